"""
Grid, random and Bayesian search
================================

Learning rate, number of filters: which values suit these micrographs? Three ways to search, with
as many trials each. The grid tries what one wrote down, the random search draws, and the Bayesian
search learns from the trials before.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import temzoo

# %%
# Small micrographs and short trainings: a search is a hundred trainings, so first see on how
# little data a difference shows.
folder = Path(tempfile.mkdtemp())
images, annotations = temzoo.synthetic.write_dataset(folder, n=6, seed=3, size=128, n_particles=6)
train, val = temzoo.split(temzoo.load_dataset(images, annotations), (0.67, 0.33))

# %%
# What is searched, and what stays fixed.
ranges = {"filters": [4, 8], "learning_rate": (1e-4, 3e-2, "log"), "batch": None, "loss": None}
fixed = {"crop": 64, "epochs": 3, "batch": 4, "augment": "none", "config": {"depth": 2}}
found = {}
for strategy in ("grid", "random", "bayesian"):
    found[strategy] = temzoo.tune(
        "unet", train, val, out=folder / strategy, strategy=strategy, trials=6, search=ranges,
        retrain=False, progress=False, **fixed,
    )  # fmt: skip
    print(f"{strategy}: {found[strategy].summary()}\n")

# %%
# Each trial: where it looked, and the IoU that it reached.
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained", sharey=True)
for axis, (strategy, search) in zip(axes, found.items()):
    for filters, marker in ((4, "o"), (8, "s")):
        rows = [row for row in search.table if row["filters"] == filters]
        rates, scores = ([row[name] for row in rows] for name in ("learning_rate", "score"))
        axis.plot(rates, scores, marker, ms=8, alpha=0.8, label=f"{filters} filters")
    axis.set(xscale="log", xlabel="learning rate", xlim=(7e-5, 4e-2))
    axis.set_title(f"{strategy}: best {search.best['score']:.3f}")
axes[0].set_ylabel("IoU on validation micrographs")
axes[0].legend()

# %%
# The validation micrographs have now chosen the setting: keep others for the final figure. On the
# command line: ``temzoo tune unet --images … --labels … --strategy bayesian --trials 20``.
