"""
Colour a micrograph
===================

The same autoencoder with three channels at its end draws colours. It learns them from pairs: a
grey picture, and the same in colour. Here particles are to become orange, and their support blue.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

import temzoo

TINTS = np.array([[0.55, 0.75, 1.0], [1.0, 0.6, 0.2]])  # of the support, and of particles


def drawn(number):
    """A grey micrograph, whose truth is itself in colour."""
    options = {"n_particles": 8, "dose_e_per_px": 300.0, "grain_nm": 0.1, "name": f"{number}.tif"}
    grey, labels = temzoo.synthetic.synthesize((7, number), size=192, **options)
    tint = temzoo.labels.encode.one_hot(labels, labels.classes) @ TINTS
    coloured = replace(grey, pixels=(grey.pixels[..., None] * tint).astype(np.uint8))
    return temzoo.Example(labels, lambda: grey, load_truth=lambda: coloured)


examples = [drawn(number) for number in range(14)]
train, val, new = examples[:11], examples[11:13], examples[13]

# %%
# With a truth of its own each example is a pair (``pairs="given"``).
keras.utils.set_random_seed(0)
model = temzoo.get_model("autoencoder", outputs="colorize", filters=8, depth=3)
out = Path(tempfile.mkdtemp()) / "run"
settings = {"pairs": "given", "epochs": 20, "crop": 96, "batch": 4, "learning_rate": 3e-3}
run = temzoo.train(model, train, val, out=out, progress=False, **settings)
print(run)

# %%
pictures = {
    "micrograph": new.micrograph,
    "coloured by the network": temzoo.restore(model, new.micrograph),
    "as it should be": new.load_truth(),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
for axis, (name, picture) in zip(axes, pictures.items()):
    axis.imshow(np.clip(picture.pixels, 0, 255).astype(np.uint8), cmap="gray")
    axis.set_title(name)
    axis.set_axis_off()
plt.show()

# %%
# An electron micrograph is grey. Colours that a network adds are an aid to the eye, not data.
