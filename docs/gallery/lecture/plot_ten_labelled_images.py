"""
Ten labelled micrographs: which model?
======================================

Who has labelled ten micrographs can train a network from scratch, begin with an encoder that has
seen other images, or take a random forest on pixels, which is no network. Which finds most?
"""

import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt

import temzoo

# %%
# Drawn precipitates in a foil: eight micrographs to learn from, two to choose the best epoch by,
# four to score.
folder = Path(tempfile.mkdtemp())
images, annotations = temzoo.synthetic.write_dataset(
    folder, n=14, seed=1, size=192, scene="precipitates", n_particles=12
)
examples = temzoo.load_dataset(images=images, labels=annotations)
train, val, test = examples[:8], examples[8:10], examples[10:]

# %%
# Two networks, trained alike. The encoder of the second, a MobileNet, learnt from photographs
# (ImageNet) and comes with the weights ``unet_mobilenet/emps``. It is frozen: the decoder alone
# learns, from nothing.
keras.utils.set_random_seed(0)
from_photographs = {"start": "unet_mobilenet/emps", "pyramid": (1,), "negatives": False}
from_photographs["encoder_weights"] = None  # nothing to download: the start has them
models = {
    "U-Net from scratch": temzoo.get_model("unet", filters=8, depth=3),
    "U-Net, frozen encoder": temzoo.get_model(
        "unet_mobilenet", decoder_filters=(64, 48, 32, 16, 8), **from_photographs
    ),
}
settings = {"epochs": 8, "crop": 96, "learning_rate": 3e-3, "augmenter": "opencv"}
for name, model in models.items():
    run = temzoo.train(model, train, val, out=folder / name, progress=False, **settings)

# %%
# Random forest: the same ten micrographs, 20 filters of each pixel, 100 trees.
models["random forest"] = temzoo.classical.PixelForest(("particle",)).fit([*train, *val])

# %%
# The IoU on the four other micrographs, with its 95 % interval.
scores = {}
for name, model in models.items():
    scores[name] = temzoo.evaluate(model, test).iou
    print(f"{name}: IoU {scores[name]}")

# %%
# What each finds in one of them.
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
test[0].micrograph.plot(axes[0, 0])
for axis, (name, model) in zip(axes.flat[1:], models.items()):
    temzoo.predict(model, test[0].micrograph).plot(test[0].micrograph, axis)
    axis.set_title(f"{name}, IoU {scores[name].value:.2f}", fontsize=10)
plt.show()

# %%
# Where grey values alone tell particles from their ground, as here, a forest on pixels is hard to
# beat. Where they do not, look at the benchmark results: the same comparison on published
# micrographs. And one draw of ten says little: others may turn the order round.
