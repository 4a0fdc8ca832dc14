"""Plots of training histories and of scores image by image."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from temzoo.evaluation.results import Evaluation
from temzoo.pictures.colours import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILION, rgb
from temzoo.pictures.sheets import write_figure


def plot_history(history: str | Path, path: str | Path) -> Path:
    """Plots a training history: each metric over the epochs, training beside validation.

    Args:
        history: CSV with a column "epoch" and one per metric; "val_" marks validation.

    Raises:
        ValueError: the file has no rows.
    """
    columns = read_history(history)
    if not columns:
        raise ValueError(
            f"a history needs at least one epoch. Received: {history} without rows. "
            "Train for an epoch first."
        )
    plotted = [name for name in columns if name not in ("epoch", "minutes")]
    names = [name for name in plotted if np.isfinite(columns[name]).any()]
    metrics = list(dict.fromkeys(name.removeprefix("val_") for name in names))
    figure = Figure(figsize=(6.4, 2.2 * len(metrics) + 0.4), layout="constrained")
    axes = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
    for axis, metric in zip(axes, metrics, strict=True):
        _plot_metric(axis, columns, metric)
    axes[-1].set_xlabel("epoch")
    # Each colour is named once, above the plots, where it covers no line.
    lines = {line.get_label(): line for axis in axes for line in axis.get_lines()}
    where = {"loc": "outside upper right", "ncols": 2, "frameon": False, "fontsize": 8}
    figure.legend(handles=list(lines.values()), **where)
    return write_figure(figure, path)


def plot_iou(evaluations: Mapping[str, Evaluation], path: str | Path) -> Path:
    """Plots the IoU image by image for several methods, images sorted by the first method's.

    Args:
        evaluations: by the method's name, all of the same images.

    Raises:
        ValueError: the evaluations are of different images.
    """
    tables = {name: evaluation.table for name, evaluation in evaluations.items()}
    names = [[row["name"] for row in table] for table in tables.values()]
    if any(others != names[0] for others in names):
        raise ValueError(
            "plot_iou compares methods on the same images. Received: evaluations of different "
            f"ones for {', '.join(tables)}. Evaluate all on one list of examples."
        )
    values = {name: np.array([row["iou"] for row in table]) for name, table in tables.items()}
    order = np.argsort(next(iter(values.values())), kind="stable")
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axis = figure.subplots()
    styles = zip(line_colours(), "osD^vPX", strict=False)
    for (name, value), (colour, marker) in zip(values.items(), styles, strict=False):
        mean = evaluations[name].per_image["iou"]
        text = f"{name}: {mean}"
        axis.plot(value[order], marker, color=colour, ms=5, alpha=0.85, label=text)
        axis.axhline(mean.value, color=colour, lw=1, alpha=0.6)
    first = next(iter(values))
    axis.set(ylim=(-0.02, 1.02), ylabel="IoU", xlabel=f"image, sorted by the IoU of {first}")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return write_figure(figure, path)


def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """The columns of a training history, NaN where nothing was measured; empty without rows."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name] if rows else []
    return {name: np.array([_number(row[name]) for row in rows]) for name in names}


def _number(text: str | None) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):  # an empty cell: not measured in that epoch
        return np.nan


def _plot_metric(axis: Axes, columns: Mapping[str, np.ndarray], metric: str) -> None:
    styles = {"training": (metric, "-"), "validation": (f"val_{metric}", "--")}
    for (label, (name, line)), colour in zip(styles.items(), line_colours(), strict=False):
        if name in columns:
            values = columns[name]
            epochs = columns.get("epoch", np.arange(len(values)))
            known = np.isfinite(values)  # not every epoch is validated
            axis.plot(epochs[known], values[known], line, marker=".", color=colour, label=label)
    axis.set_ylabel(_axis_name(metric))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)


def line_colours() -> list[tuple[float, ...]]:
    """Dark enough for lines on white, which sky blue and yellow are not."""
    return [rgb(c) for c in (BLUE, VERMILION, GREEN, PURPLE, ORANGE, BLACK)]


def _axis_name(metric: str) -> str:
    return metric.replace("_", " ").replace("iou", "IoU")
