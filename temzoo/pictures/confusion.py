"""The confusion matrix of a classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from temzoo.evaluation.classification import Classification
from temzoo.pictures.sheets import write_figure

CELL = 0.9  # inches


def plot_confusion(found: Classification, path: str | Path, *, title: str = "") -> Path:
    """Draws how many images of each class were found as which.

    Cells are shaded by their share of the true class, so that a rare class shows as a frequent one
    does.
    """
    counts = found.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = CELL * len(found.classes) + 2
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, col), count in np.ndenumerate(counts):
        colour = "white" if shares[row, col] > 0.5 else "black"
        text = f"{count}\n{shares[row, col]:.0%}"
        axis.text(col, row, text, ha="center", va="center", color=colour, fontsize=8)
    places = range(len(found.classes))
    axis.set_xticks(places, found.classes, rotation=45, ha="right")
    axis.set_yticks(places, found.classes)
    score = f"balanced accuracy {found.figures['balanced_accuracy']}"
    axis.set(xlabel="found", ylabel="true")
    axis.set_title("\n".join(line for line in (title, score) if line), fontsize=9)
    return write_figure(figure, path)
