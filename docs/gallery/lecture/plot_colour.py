"""
Colour a micrograph
===================

The same autoencoder with three channels at its end draws colours. It learns them from pairs: a
grey picture, and the same in colour. Here a rod is to become blue, a sphere orange.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

import temzoo

TINTS = {"sphere": (1.0, 0.65, 0.3), "rod": (0.35, 0.6, 1.0)}


def drawn(number):
    """A grey micrograph, whose truth is itself with its particles tinted by their class."""
    grey, labels = temzoo.synthetic.synthesize(
        (7, number), size=192, n_particles=12, shares=(0.5, 0.0, 0.5), labels="kind",
        rod_aspect_ratio=(3.0, 4.0), clustering=0.0, name=f"{number}.tif",
    )  # fmt: skip
    masks = temzoo.labels.encode.one_hot(labels, list(TINTS))
    tint = masks[..., :1] + sum(masks[..., k : k + 1] * t for k, t in enumerate(TINTS.values(), 1))
    lighter = 0.5 * grey.pixels[..., None] + 127 * (masks[..., :1] == 0)
    pixels = np.where(masks[..., :1] == 1, grey.pixels[..., None], lighter) * tint
    coloured = replace(grey, pixels=pixels.astype(np.uint8))
    return temzoo.Example(labels, lambda: grey, load_truth=lambda: coloured)


examples = [drawn(number) for number in range(14)]
train, val, new = examples[:11], examples[11:13], examples[13]

# %%
# With a truth of its own each example is a pair (``pairs="given"``).
keras.utils.set_random_seed(0)
model = temzoo.get_model("autoencoder", outputs="colorize", filters=12, depth=3)
run = temzoo.train(
    model, train, val, out=Path(tempfile.mkdtemp()) / "run", pairs="given", epochs=25, crop=96,
    learning_rate=3e-3, progress=False,
)  # fmt: skip
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

# %%
# An electron micrograph is grey. Colours that a network adds are an aid to the eye, not data.
