"""
Train a U-Net
=============

A U-Net says of each pixel what it belongs to. How does one train it, and how good is it on
micrographs that it has not seen?
"""

import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt

import temzoo

# %%
# Twelve drawn micrographs with labels, as an export of CVAT. In their place give your own folder
# and your own label file.
folder = Path(tempfile.mkdtemp())
images, annotations = temzoo.synthetic.write_dataset(folder, n=12, seed=1, size=256)
examples = temzoo.load_dataset(images=images, labels=annotations)
train, val = temzoo.split(examples, (0.75, 0.25), seed=0)
print(len(train), "micrographs to learn from,", len(val), "to score")

# %%
# A small U-Net from scratch: 8 filters, halved three times. ``out`` gets the weights, the history
# and all that is needed to repeat the run.
keras.utils.set_random_seed(0)
model = temzoo.get_model("unet", filters=8, depth=3)
print(f"{model.count_params():,} parameters")
settings = {"epochs": 10, "crop": 128, "learning_rate": 3e-3, "augmenter": "opencv"}
run = temzoo.train(model, train, val, out=folder / "run", progress=False, **settings)
print(run)

# %%
# The score of an epoch is the IoU on the validation micrographs, at full size: the overlap of
# found and labelled pixels, as a part of their union.
print(temzoo.evaluate(model, val).summary())

# %%
# A validation micrograph, its labels and what the network found.
example = val[0]
prediction = temzoo.predict(model, example.micrograph)
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
prediction.plot(example.micrograph, axes[0])
axes[0].set_title("found")
truth = temzoo.labels.encode.one_hot(example.labels, ["particle"])[..., 1]
axes[1].imshow(truth.astype(int) * 2 + (prediction.classes > 0), cmap="magma")
axes[1].set_title("dark: only found; red: only labelled; bright: both")
axes[1].set_axis_off()
epochs = range(1, 1 + len(run.history))
for name in ("loss", "val_iou"):
    axes[2].plot(epochs, [logs[name] for logs in run.history], "o-", label=name)
axes[2].set_xlabel("epoch")
axes[2].legend()
plt.show()
