"""Pictures and plots: what a prediction looks like, where it errs, how methods compare.

Colours are Okabe and Ito's (jfly.uni-koeln.de/color). For errors the choice among them was made by
computing CIELAB distances between the translucent colours, and to the grey beneath, as seen by
normal, protan, deutan and tritan eyes (Machado et al., IEEE TVCG 15, 1291, 2009): sky blue, yellow,
vermilion and blue stay apart by 11 or more on any grey; green and vermilion, the habit, by 2.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from skimage.segmentation import find_boundaries

from temzoo import prediction as predictions
from temzoo.evaluation import Evaluation, confusion, scores
from temzoo.files import atomic_path
from temzoo.labels.raster import class_map
from temzoo.micrographs import as_channels
from temzoo.prediction import file_stem, predict
from temzoo.types import Example, Micrograph, Prediction

ORANGE, SKY, GREEN, YELLOW = (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)
BLUE, VERMILION, PURPLE, BLACK = (0, 114, 178), (213, 94, 0), (204, 121, 167), (0, 0, 0)
CLASS_COLOURS = (SKY, ORANGE, GREEN, YELLOW, VERMILION, PURPLE, BLUE)

# Codes of an error map and how they are drawn; 0 is a true negative, left as it is.
CORRECT, FALSE_POSITIVE, MISSED, WRONG_CLASS = 1, 2, 3, 4
ERROR_COLOURS = {
    CORRECT: SKY,
    FALSE_POSITIVE: VERMILION,
    MISSED: YELLOW,
    WRONG_CLASS: BLUE,
}
ERROR_NAMES = {
    CORRECT: "true positive",
    FALSE_POSITIVE: "false positive",
    MISSED: "missed",
    WRONG_CLASS: "wrong class",
}

DISPLAY_PERCENTILES = (0.5, 99.5)
MAX_SIDE = 2048  # pixels; larger pictures are shrunk, so that viewers open them
SHEET_SIDE = 512  # pixels; of one picture in a sheet
DPI = 150


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a sheet: (H, W) or (H, W, 3) uint8 with a line of text above it."""

    picture: np.ndarray
    title: str = ""


def stretched(pixels: np.ndarray) -> np.ndarray:
    """A micrograph of any dtype for display.

    Args:
        pixels: (H, W), (H, W, 1) or (H, W, 3).

    Returns:
        (H, W, 3) uint8; the 0.5th percentile is black, the 99.5th white. A constant image is
        mid-grey.
    """
    image = as_channels(pixels, 3)
    sampled = image[:: max(len(image) // 512, 1), :: max(image.shape[1] // 512, 1)]
    low, high = np.percentile(sampled.astype(np.float64), DISPLAY_PERCENTILES)
    if high <= low:
        return np.full(image.shape, 128, np.uint8)
    shades = (image.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(np.rint(shades), 0, 255).astype(np.uint8)


def overlay(pixels: np.ndarray, labels: np.ndarray, *, alpha: float = 0.35) -> np.ndarray:
    """A micrograph with its classes or instances filled translucently and outlined.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype; stretched for display.
        labels: (H, W) class map or instance map; 0 is left as it is. Colours repeat after seven,
            so that neighbouring instances mostly differ.
        alpha: opacity of the filling, 0 to 1.

    Returns:
        (H, W, 3) uint8.

    Example:
        >>> picture = overlay(micrograph.pixels, prediction.instances)
    """
    colours = np.array(CLASS_COLOURS, np.float32)[(labels - 1) % len(CLASS_COLOURS)]
    return _painted(pixels, labels, colours, alpha)


def error_map(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Where a class map errs: (H, W) uint8.

    Args:
        truth, predicted: (H, W) class maps; 0 is background.

    Returns:
        0 background in both, 1 correct, 2 false positive, 3 missed, 4 of another class.
    """
    _require_one_shape(truth, predicted)
    errors = np.zeros(truth.shape, np.uint8)
    errors[(truth > 0) & (predicted == truth)] = CORRECT
    errors[(truth == 0) & (predicted > 0)] = FALSE_POSITIVE
    errors[(truth > 0) & (predicted == 0)] = MISSED
    errors[(truth > 0) & (predicted > 0) & (predicted != truth)] = WRONG_CLASS
    return errors


def error_overlay(
    pixels: np.ndarray, truth: np.ndarray, predicted: np.ndarray, *, alpha: float = 0.5
) -> np.ndarray:
    """A micrograph with true positive, false positive and missed pixels in three colours.

    Sky blue, vermilion and yellow, which colour-blind readers tell apart; dark blue where the class
    is wrong. ``error_legend`` gives the key.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype; stretched for display.
        truth, predicted: (H, W) class maps; 0 is background.
        alpha: opacity, 0 to 1.

    Returns:
        (H, W, 3) uint8.
    """
    errors = error_map(truth, predicted)
    table = np.zeros((len(ERROR_COLOURS) + 1, 3), np.float32)
    for code, colour in ERROR_COLOURS.items():
        table[code] = colour
    return _painted(pixels, errors, table[errors], alpha)


def error_legend(*, several_classes: bool = False) -> dict[str, tuple[int, int, int]]:
    """Names and colours (R, G, B) of ``error_overlay``, for a legend."""
    codes = [code for code in ERROR_COLOURS if several_classes or code != WRONG_CLASS]
    return {ERROR_NAMES[code]: ERROR_COLOURS[code] for code in codes}


def sheet(
    path: str | Path,
    panels: Sequence[Panel],
    *,
    columns: int = 4,
    legend: Mapping[str, tuple[int, int, int]] | None = None,
    title: str = "",
) -> Path:
    """Writes a contact sheet: pictures in rows, each with its line of text, a legend below.

    Args:
        path: of the picture; its suffix chooses the format (PNG, PDF …).
        panels: what to show, in reading order.
        columns: pictures per row.
        legend: names to colours.
        title: above all.

    Returns:
        The path.

    Raises:
        ValueError: there is nothing to show.
    """
    if not panels:
        raise ValueError("a sheet needs at least one panel. Received: none. Pass some examples.")
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.2 * lines + 0.8), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        axis.imshow(_shrunk(panel.picture, SHEET_SIDE), cmap="gray", vmin=0, vmax=255)
        axis.set_title(panel.title, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=11)
    if legend:
        _draw_legend(figure, legend)
    return _written(figure, path)


def validation_sheet(
    path: str | Path,
    model: Any,
    examples: Sequence[Example],
    classes: Sequence[str],
    *,
    limit: int = 12,
    title: str = "",
    **options: Any,
) -> Path:
    """Predicts labelled micrographs and writes a sheet of their error overlays with name and IoU.

    Args:
        path: of the picture.
        model: whatever ``predict`` takes.
        examples: the first ``limit`` of them are shown.
        classes: names of the classes 1, 2, …
        limit: how many to show.
        title: above all.
        **options: for ``predict``.
    """
    panels = []
    for example in examples[:limit]:
        micrograph = example.micrograph
        predicted = predict(model, micrograph, instances=None, **options).classes
        truth = class_map(example.labels, classes)
        picture = error_overlay(micrograph.pixels, truth, predicted)
        panels.append(Panel(picture, f"{example.name}   {_iou_text(truth, predicted)}"))
    legend = error_legend(several_classes=len(classes) > 1)
    return sheet(path, panels, legend=legend, title=title)


def save_prediction(
    prediction: Prediction,
    folder: str | Path,
    *,
    micrograph: Micrograph,
    probabilities: bool = False,
) -> dict[str, Path]:
    """Writes what ``prediction.save`` does, and beside it an overlay picture ("overlay").

    The overlay shows instances where there are any, else classes, and is shrunk to 2048 pixels.
    """
    paths = predictions.save(prediction, folder, probabilities=probabilities)
    path = Path(folder) / f"{file_stem(prediction.name)}_overlay.png"
    shown = prediction.instances if prediction.instances.any() else prediction.classes
    picture = overlay(_shrunk(micrograph.pixels, MAX_SIDE), _shrunk_labels(shown, MAX_SIDE))
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), picture[..., ::-1])
    return {**paths, "overlay": path}


def plot_history(history: str | Path, path: str | Path) -> Path:
    """Plots a training history: each metric over the epochs, training beside validation.

    Args:
        history: CSV with a column "epoch" and one per metric; "val_" marks validation.
        path: of the picture.

    Raises:
        ValueError: the file has no rows.
    """
    columns = _read_columns(Path(history))
    metrics = [
        name
        for name in columns
        if name != "epoch" and not name.startswith("val_") and np.isfinite(columns[name]).any()
    ]
    figure = Figure(figsize=(6.4, 2.2 * len(metrics) + 0.4), layout="constrained")
    axes = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
    for axis, metric in zip(axes, metrics, strict=True):
        _plot_metric(axis, columns, metric)
    axes[-1].set_xlabel("epoch")
    return _written(figure, path)


def plot_iou(
    evaluations: Mapping[str, Evaluation], path: str | Path, *, metric: str = "iou"
) -> Path:
    """Plots a metric image by image for several methods, images sorted by the first method's.

    Args:
        evaluations: by the method's name, all of the same images.
        path: of the picture.
        metric: a column of the table.

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
    values = {name: np.array([row[metric] for row in table]) for name, table in tables.items()}
    order = np.argsort(next(iter(values.values())), kind="stable")
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axis = figure.subplots()
    styles = zip(_line_colours(), "osD^vPX", strict=False)
    for (name, value), (colour, marker) in zip(values.items(), styles, strict=False):
        mean = evaluations[name].per_image[metric]
        text = f"{name}: {mean}"
        axis.plot(value[order], marker, color=colour, ms=5, alpha=0.85, label=text)
        axis.axhline(mean.value, color=colour, lw=1, alpha=0.6)
    name = _axis_name(metric)
    first = next(iter(values))
    axis.set(ylim=(-0.02, 1.02), ylabel=name, xlabel=f"image, sorted by the {name} of {first}")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return _written(figure, path)


def _painted(
    pixels: np.ndarray, labels: np.ndarray, colours: np.ndarray, alpha: float
) -> np.ndarray:
    """Fills labelled pixels with their (H, W, 3) colours and outlines each label's area."""
    _require_one_shape(pixels, labels)
    picture = stretched(pixels)
    inside = labels > 0
    mixed = picture[inside] * np.float32(1 - alpha) + colours[inside] * np.float32(alpha)
    picture[inside] = np.rint(mixed).astype(np.uint8)
    width = max(1, round(min(labels.shape) / 512))
    outline = find_boundaries(labels, mode="inner") & inside
    if width > 1:
        outline = cv2.dilate(outline.astype(np.uint8), np.ones((width, width))) > 0
        outline &= inside
    picture[outline] = colours[outline].astype(np.uint8)
    return picture


def _require_one_shape(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape[:2] != second.shape[:2]:
        raise ValueError(
            "a picture and its label maps must have one size. Received: "
            f"{first.shape[:2]} and {second.shape[:2]}. Use the maps of this very micrograph."
        )


def _iou_text(truth: np.ndarray, predicted: np.ndarray) -> str:
    count = int(max(truth.max(), predicted.max())) + 1
    values = scores(confusion(truth, predicted, count))["iou"][1:]
    values = values[np.isfinite(values)]
    return f"IoU {values.mean():.2f}" if len(values) else "nothing there, nothing found"


def _shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture with its longer side at most ``side``, averaging pixels."""
    factor = side / max(picture.shape[:2])
    if factor >= 1:
        return picture
    # OpenCV resizes neither int32 nor float16 and the like; float32 serves all for display.
    known = picture.dtype in (np.uint8, np.uint16, np.float32)
    source = picture if known else picture.astype(np.float32)
    return cv2.resize(source, _size(picture, factor), interpolation=cv2.INTER_AREA)


def _shrunk_labels(labels: np.ndarray, side: int) -> np.ndarray:
    """A label map with its longer side at most ``side``, picking the nearest pixels."""
    factor = side / max(labels.shape)
    if factor >= 1:
        return labels
    width, height = _size(labels, factor)
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
    return labels[np.ix_(rows, columns)]


def _size(picture: np.ndarray, factor: float) -> tuple[int, int]:
    height, width = picture.shape[:2]
    return max(round(width * factor), 1), max(round(height * factor), 1)


def _draw_legend(figure: Figure, legend: Mapping[str, tuple[int, int, int]]) -> None:
    patches = [
        Patch(facecolor=np.array(colour) / 255, edgecolor="black", linewidth=0.5, label=name)
        for name, colour in legend.items()
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)


def _read_columns(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(
            f"a history needs at least one epoch. Received: {path} without rows. "
            "Train for an epoch first."
        )
    return {name: np.array([_number(row[name]) for row in rows]) for name in rows[0] if name}


def _number(text: str | None) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):  # an empty cell: not measured in that epoch
        return np.nan


def _plot_metric(axis: Axes, columns: Mapping[str, np.ndarray], metric: str) -> None:
    epochs = columns.get("epoch", np.arange(len(columns[metric])))
    first, second = list(_line_colours())[:2]
    axis.plot(epochs, columns[metric], color=first, label="training")
    if f"val_{metric}" in columns:
        axis.plot(epochs, columns[f"val_{metric}"], "--", color=second, label="validation")
        axis.legend(frameon=False, fontsize=8)
    axis.set_ylabel(_axis_name(metric))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)


def _line_colours() -> list[tuple[float, ...]]:
    """Dark enough for lines on white, which sky blue and yellow are not."""
    return [tuple(c / 255 for c in rgb) for rgb in (BLUE, VERMILION, GREEN, PURPLE, ORANGE, BLACK)]


def _axis_name(metric: str) -> str:
    return metric.replace("_", " ").replace("iou", "IoU")


def _written(figure: Figure, path: str | Path) -> Path:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI)
    return Path(path)
