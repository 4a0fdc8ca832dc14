"""Plots of classifiers beside each other: scores by parameters, by images, by shift; kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from temzoo.pictures.plots import line_colours
from temzoo.pictures.sheets import write_figure

Curve = tuple[Sequence[float], np.ndarray]  # x (N,), scores (seeds, N)


def plot_scores(
    curves: Mapping[str, Curve],
    path: str | Path,
    *,
    x: str,
    logarithmic: bool = False,
    chance: float | None = None,
) -> Path:
    """Mean scores as lines, with a band from the lowest to the highest seed.

    Args:
        curves: by name; names that end in ", training" are drawn broken, in their family's colour.
        x: name of the axis.
        logarithmic: of the x axis.
        chance: the score of a guess.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axis = figure.subplots()
    families = list(dict.fromkeys(name.removesuffix(", training") for name in curves))
    colours = dict(zip(families, line_colours(), strict=False))
    for name, (places, scores) in curves.items():
        line = "--" if name.endswith(", training") else "-"
        colour = colours[name.removesuffix(", training")]
        axis.plot(places, scores.mean(axis=0), line, marker="o", ms=4, color=colour, label=name)
        axis.fill_between(places, scores.min(axis=0), scores.max(axis=0), color=colour, alpha=0.15)
    if chance is not None:
        axis.axhline(chance, color="0.5", lw=1, ls=":")
        where = axis.get_yaxis_transform()
        axis.text(0.01, chance, "chance", va="bottom", fontsize=8, transform=where)
    if logarithmic:
        axis.set_xscale("log")
    axis.set(xlabel=x, ylabel="mean recall", ylim=(0, 1.02))
    axis.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return write_figure(figure, path)


def plot_kernels(kernels: np.ndarray, path: str | Path) -> Path:
    """Each kernel of a first layer, (h, w, filters), in greys of its own range around 0."""
    count = kernels.shape[-1]
    columns = min(count, 12)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(0.6 * columns, 0.6 * rows), layout="constrained")
    for place, axis in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axis.set_axis_off()
        if place < count:
            reach = np.abs(kernels[..., place]).max() or 1.0
            axis.imshow(kernels[..., place], cmap="gray", vmin=-reach, vmax=reach)
    return write_figure(figure, path)
