"""
Grid, random and Bayesian search
================================

Learning rate, layers: which values suit these particles? Three ways to search, with six trials
each. The grid tries what one wrote down, the random search draws, and the Bayesian search, after
four trials, learns from those before.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

import temzoo

# %%
# Drawn particles in a folder for each class. A search is many trainings, so they are small.
folder = Path(tempfile.mkdtemp())
for kind, aspect_ratio in {"sphere": (1.0, 1.1), "rod": (1.8, 2.4)}.items():
    (folder / "particles" / kind).mkdir(parents=True)
    options = {"size": 16, "aspect_ratio": aspect_ratio, "dose_e_per_px": 200.0}
    for number, image in enumerate(temzoo.synthetic.particle_images(150, **options)[0]):
        picture = Image.fromarray((255 * image).astype("uint8"))
        picture.save(folder / "particles" / kind / f"{kind}-{number}.png")
train, val = temzoo.split(temzoo.load_classes(folder / "particles"), (0.6, 0.4))

# %%
# What is searched (None takes a range of the model's card out), and what stays fixed.
ranges = {
    "filters": [(8, 16), (8, 16, 32, 64)],
    "learning_rate": (1e-4, 0.1, "log"),
    **dict.fromkeys(("batch", "loss", "strides", "dropout")),
}
fixed = {"config": {"image_size": 16}, "epochs": 3, "batch": 16}
found = {}
for strategy in ("grid", "random", "bayesian"):
    options = {"out": folder / strategy, "strategy": strategy, "trials": 6, "search": ranges}
    found[strategy] = temzoo.tune(
        "dcnn", train, val, **options, **fixed, retrain=False, progress=False
    )
    print(f"{strategy}: {found[strategy].summary()}\n")

# %%
# Each trial: where it looked, and the share of each class that it found as such.
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained", sharey=True)
for axis, (strategy, search) in zip(axes, found.items()):
    for layers, marker in ((2, "o"), (4, "s")):
        rows = [row for row in search.table if len(row["filters"]) == layers]
        rates, scores = ([row[name] for row in rows] for name in ("learning_rate", "score"))
        axis.plot(rates, scores, marker, ms=8, alpha=0.8, label=f"{layers} layers")
    axis.set(xscale="log", xlabel="learning rate", xlim=(7e-5, 0.15))
    axis.set_title(f"{strategy}: best {search.best['score']:.3f}")
axes[0].set_ylabel("balanced accuracy")
axes[0].legend()
plt.show()

# %%
# The validation particles have now chosen the setting: keep others for the final figure. On the
# command line: ``temzoo tune dcnn --images particles --strategy bayesian --trials 20``.
