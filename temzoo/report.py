"""Pictures and plots: what a prediction looks like, where it errs, how methods compare.

Colours are Okabe and Ito's (jfly.uni-koeln.de/color). For errors the choice among them was made by
computing CIELAB distances between the translucent colours, and to the grey beneath, as seen by
normal, protan, deutan and tritan eyes (Machado et al., IEEE TVCG 15, 1291, 2009): sky blue, yellow,
vermilion and blue stay apart by 11 or more on any grey; green and vermilion, the habit, by 2.
Objects are outlined in the same colours, and missed and false ones differ by their line too.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy import ndimage
from skimage.segmentation import find_boundaries

from temzoo import saved
from temzoo.evaluation import Evaluation, confusion, scores
from temzoo.files import atomic_path
from temzoo.instance_scores import MATCH_IOU, one_to_one, overlaps, true_objects
from temzoo.labels.raster import class_map
from temzoo.micrographs import as_channels
from temzoo.prediction import predict
from temzoo.types import MIN_SCORE, Detection, Example, LabelledImage, Micrograph, Prediction

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

# Dark blue is left out: a thin line of it is lost on dark particles.
OUTLINE_COLOURS = (SKY, ORANGE, GREEN, YELLOW, VERMILION, PURPLE)
MOST_TOLD_APART = 10_000  # objects whose neighbours are looked for: seconds, and no more
NEAR = 6  # pixels; objects whose boxes are closer are neighbours and differ in colour
DASH, GAP = 6.0, 5.0  # pixels of the picture
SUBPIXEL = 4  # bits of OpenCV's fixed-point coordinates
CASING = 0.5  # opacity of the dark line beneath a coloured one, which keeps it apart from any grey

DISPLAY_PERCENTILES = (0.5, 99.5)
MAX_SIDE = 2048  # pixels; larger pictures are shrunk, so that viewers open them
SHEET_SIDE = 512  # pixels; of one picture in a sheet
DPI = 150


@dataclass(frozen=True)
class Mark:
    """How an object's outline is drawn.

    Attributes:
        colour: R, G, B.
        width: pixels, in a picture of 512 px.
        dashed: a broken line.
        crossed: with a cross in the middle of the object.
    """

    colour: tuple[int, int, int]
    width: int = 1
    dashed: bool = False
    crossed: bool = False


MARKS = {
    "found": Mark(SKY),
    "missed": Mark(YELLOW, width=2, dashed=True),
    "false": Mark(VERMILION, width=2, crossed=True),
}


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


def overlay(
    pixels: np.ndarray, labels: np.ndarray, *, alpha: float = 0.35, instances: bool = False
) -> np.ndarray:
    """A micrograph with its classes or instances filled translucently and outlined.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype; stretched for display.
        labels: (H, W) class map or instance map; 0 is left as it is. A number has one colour,
            repeating after seven.
        alpha: opacity of the filling, 0 to 1.
        instances: whether they are; then neighbours differ in colour, whatever their numbers, up to
            ten thousand of them.

    Returns:
        (H, W, 3) uint8.

    Example:
        >>> picture = overlay(micrograph.pixels, prediction.instances)
    """
    numbers = _neighbours_apart(labels) if instances else (labels - 1) % len(CLASS_COLOURS)
    colours = np.array(CLASS_COLOURS, np.float32)[numbers]
    return _painted(pixels, labels, colours, alpha)


def _neighbours_apart(labels: np.ndarray) -> np.ndarray:
    """(H, W) numbers of ``CLASS_COLOURS`` for an instance map."""
    if not len(CLASS_COLOURS) < labels.max(initial=0) <= MOST_TOLD_APART:
        return (labels - 1) % len(CLASS_COLOURS)
    found = [(n, box) for n, box in enumerate(ndimage.find_objects(labels), start=1) if box]
    boxes = [(r.start, c.start, r.stop - r.start, c.stop - c.start) for _, (r, c) in found]
    numbers = np.zeros(int(labels.max()) + 1, np.int64)
    numbers[[n for n, _ in found]] = _neighbour_colours(np.array(boxes), len(CLASS_COLOURS))
    return numbers[labels]


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


def outlines(
    pixels: np.ndarray, objects: Sequence[Detection], *, side: int = MAX_SIDE
) -> np.ndarray:
    """A micrograph with objects outlined, neighbours in different colours.

    Overlapping objects are seen whole. Colours repeat; up to six neighbours have one each.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype; stretched for display.
        objects: what to outline.
        side: longest side of the picture; a larger micrograph is shrunk to it.

    Returns:
        (h, w, 3) uint8.

    Example:
        >>> picture = outlines(micrograph.pixels, prediction.detections)
    """
    picture, scale = _canvas(pixels, side)
    width = _line_width(picture)
    boxes = np.array([(o.top, o.left, *o.mask.shape) for o in objects]).reshape(-1, 4)
    numbers = _neighbour_colours(boxes, len(OUTLINE_COLOURS))
    marks = [Mark(OUTLINE_COLOURS[k], width) for k in numbers]
    return _drawn_objects(picture, list(zip(objects, marks, strict=True)), scale)


def match_overlay(
    pixels: np.ndarray,
    true: Sequence[Detection],
    found: Sequence[Detection],
    *,
    iou: float = MATCH_IOU,
    side: int = SHEET_SIDE,
) -> np.ndarray:
    """A micrograph with found, missed and false objects outlined, each in a line of its own.

    Found objects are drawn as they were found, in thin sky blue; missed ones as they are labelled,
    dashed in yellow; false ones in thick vermilion with a cross. One in the right place, of the
    wrong class, is both missed and false. ``MARKS`` is the key.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype; stretched for display.
        true, found: objects of this micrograph.
        iou: from which two match, one to one and within a class.
        side: longest side of the picture; a larger micrograph is shrunk to it, one of less than
            half enlarged.

    Returns:
        (h, w, 3) uint8.

    Example:
        >>> match_overlay(pixels, true_objects(labels, ["particle"]), prediction.detections)
    """
    picture, scale = _canvas(pixels, side, enlarge=True)
    hits, missed, false = _sorted_out(true, found, iou)
    width = _line_width(picture)
    marked = [
        (one, replace(MARKS[kind], width=MARKS[kind].width * width))
        for kind, objects in (("found", hits), ("false", false), ("missed", missed))
        for one in objects
    ]
    return _drawn_objects(picture, marked, scale)


def sheet(
    path: str | Path,
    panels: Sequence[Panel],
    *,
    columns: int = 4,
    legend: Mapping[str, tuple[int, int, int] | Mark] | None = None,
    title: str = "",
) -> Path:
    """Writes a contact sheet: pictures in rows, each with its line of text, a legend below.

    Args:
        path: of the picture; its suffix chooses the format (PNG, PDF …).
        panels: what to show, in reading order.
        columns: pictures per row.
        legend: names to colours, or to how outlines are drawn.
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
    # A line is as high as the tallest of its pictures needs, so that wide ones leave no gaps.
    tallest = max(panel.picture.shape[0] / panel.picture.shape[1] for panel in panels)
    height = 3.2 * min(max(tallest, 0.4), 1.5) + 0.2
    figure = Figure(figsize=(3.2 * columns, height * lines + 0.6), layout="constrained")
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
    min_score: float | None = None,
    title: str = "",
    **options: Any,
) -> Path:
    """Predicts labelled micrographs and writes a sheet of where each is right and wrong.

    A detector's objects are outlined with the number found, missed and false (``match_overlay``);
    what labels pixels is drawn as error overlay with its IoU.

    Args:
        path: of the picture.
        model: whatever ``predict`` takes.
        examples: the first ``limit`` of them are shown.
        classes: names of the classes 1, 2, …
        limit: how many to show.
        min_score: of a detector alone: objects that score less are not shown; None: 0.5.
        title: above all.
        **options: for ``predict``.
    """
    panels, legend = [], error_legend(several_classes=len(classes) > 1)
    least = MIN_SCORE if min_score is None else min_score
    for example in examples[:limit]:
        micrograph = example.micrograph
        prediction = predict(
            model, micrograph, min_score=min_score, **{"instances": None, **options}
        )
        panels.append(validation_panel(micrograph, prediction, example.labels, classes, least))
        legend = legend if prediction.detections is None else MARKS
    return sheet(path, panels, legend=legend, title=title)


def validation_panel(
    micrograph: Micrograph,
    prediction: Prediction,
    labels: LabelledImage,
    classes: Sequence[str],
    min_score: float = MIN_SCORE,
) -> Panel:
    """One picture of a ``validation_sheet``, of a prediction that is there already."""
    if prediction.detections is None:
        truth = class_map(labels, classes)
        picture = error_overlay(micrograph.pixels, truth, prediction.classes)
        return Panel(picture, f"{labels.name}   {_iou_text(truth, prediction.classes)}")
    true = true_objects(labels, classes)
    found = [one for one in prediction.detections if one.score >= min_score]
    hits, missed, false = _sorted_out(true, found, MATCH_IOU)
    counts = f"{len(hits)} found, {len(missed)} missed, {len(false)} false"
    return Panel(match_overlay(micrograph.pixels, true, found), f"{labels.name}\n{counts}")


def save_prediction(
    prediction: Prediction,
    folder: str | Path,
    *,
    micrograph: Micrograph,
    probabilities: bool = False,
    min_score: float = MIN_SCORE,
    origin: saved.Origin | None = None,
) -> dict[str, Path]:
    """Writes what ``saved.save`` does, and beside it an overlay picture ("overlay").

    The overlay outlines a detector's objects from ``min_score`` on; else it shows instances where
    there are any, else classes. It is shrunk to 2048 pixels.
    """
    if prediction.detections is not None:
        kept = [one for one in prediction.detections if one.score >= min_score]
        picture = outlines(micrograph.pixels, kept)
    else:
        instances = bool(prediction.instances.any())
        shown = _shrunk_labels(prediction.instances if instances else prediction.classes, MAX_SIDE)
        picture = overlay(_shrunk(micrograph.pixels, MAX_SIDE), shown, instances=instances)
    return saved.save(
        prediction,
        folder,
        probabilities=probabilities,
        pictures={"overlay": picture},
        origin=origin,
    )


def plot_history(history: str | Path, path: str | Path) -> Path:
    """Plots a training history: each metric over the epochs, training beside validation.

    Args:
        history: CSV with a column "epoch" and one per metric; "val_" marks validation.
        path: of the picture.

    Raises:
        ValueError: the file has no rows.
    """
    columns = _read_columns(Path(history))
    plotted = [name for name in columns if name not in ("epoch", "minutes")]
    names = [name for name in plotted if np.isfinite(columns[name]).any()]
    metrics = list(dict.fromkeys(name.removeprefix("val_") for name in names))
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


def _canvas(pixels: np.ndarray, side: int, *, enlarge: bool = False) -> tuple[np.ndarray, float]:
    """A stretched micrograph to draw on, and the pixels of it per pixel of the micrograph."""
    picture = _shrunk(stretched(pixels), side)
    factor = max(side // max(picture.shape[:2]), 1) if enlarge else 1
    picture = np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)
    return picture, max(picture.shape[:2]) / max(pixels.shape[:2])


def _line_width(picture: np.ndarray) -> int:
    return max(1, round(max(picture.shape[:2]) / 640))


def _sorted_out(
    true: Sequence[Detection], found: Sequence[Detection], iou: float
) -> tuple[list[Detection], list[Detection], list[Detection]]:
    """The found objects that are right, the true ones that are missed, the found that are false."""
    pairs = overlaps(true, found)
    good = pairs.mask_iou >= iou
    matched, _ = one_to_one(pairs.true[good], pairs.found[good], pairs.mask_iou[good])
    seen, right = set(matched[:, 0].tolist()), set(matched[:, 1].tolist())
    return (
        [one for k, one in enumerate(found) if k in right],
        [one for k, one in enumerate(true) if k not in seen],
        [one for k, one in enumerate(found) if k not in right],
    )


def _neighbour_colours(boxes: np.ndarray, colours: int) -> list[int]:
    """A colour's number for each object, one that no neighbour before it has, if there is one.

    Args:
        boxes: (N, 4) top, left, height, width.
        colours: how many there are.
    """
    low, high = boxes[:, :2] - NEAR, boxes[:, :2] + boxes[:, 2:]
    chosen = np.full(len(boxes), -1)
    used = np.zeros(colours)
    for k in range(len(boxes)):
        near = ((low[k] < high) & (low < high[k])).all(axis=1)
        taken = np.bincount(chosen[near & (chosen >= 0)], minlength=len(used))
        # Fewest neighbours first; of those, the colour that is rarest in the whole picture.
        chosen[k] = np.lexsort([used, taken])[0]
        used[chosen[k]] += 1
    return chosen.tolist()


def _drawn_objects(
    picture: np.ndarray, marked: Sequence[tuple[Detection, Mark]], scale: float
) -> np.ndarray:
    lines = [line for one, mark in marked for line in _lines(one, mark, scale)]
    dark = picture.copy()
    for points, _, width in lines:
        _draw_line(dark, points, BLACK, width + 2)
    picture = cv2.addWeighted(dark, CASING, picture, 1 - CASING, 0)
    for points, colour, width in lines:
        _draw_line(picture, points, colour, width)
    return picture


def _draw_line(
    picture: np.ndarray, line: np.ndarray, colour: tuple[int, int, int], width: int
) -> None:
    points = np.rint(line * 2**SUBPIXEL).astype(np.int32)
    # Antialiasing thins a line of one pixel out, most of all where its points are as close.
    kind = cv2.LINE_AA if width > 1 else cv2.LINE_8
    cv2.polylines(picture, [points], False, colour, width, kind, SUBPIXEL)


def _lines(
    one: Detection, mark: Mark, scale: float
) -> list[tuple[np.ndarray, tuple[int, int, int], int]]:
    """What is drawn of an object: (N, 2) points (x, y) of the picture, with colour and width."""
    padded = np.pad(one.mask, 1).astype(np.uint8)
    contours, _ = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # OpenCV takes a pixel's centre as whole numbers; the window starts one pixel early.
    offset = np.array([one.left - 1, one.top - 1]) + 0.5
    rings = [(contour[:, 0] + offset) * scale - 0.5 for contour in contours]
    rings = [np.concatenate([ring, ring[:1]]) for ring in rings]
    lines = [dash for ring in rings for dash in _dashes(ring)] if mark.dashed else rings
    lines = [(line, mark.colour, mark.width) for line in lines]
    if mark.crossed:
        arms, reach = _cross(one, scale)
        # A cross as thick as the outline would fill a small object.
        width = mark.width if reach > 3 * mark.width else 1
        lines += [(arm, mark.colour, width) for arm in arms]
    return lines


def _dashes(ring: np.ndarray) -> list[np.ndarray]:
    """A closed line in pieces of nearly ``DASH`` pixels with gaps between; four at least."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(ring, axis=0).T))])
    count = max(round(along[-1] / (DASH + GAP)), 4)
    period = along[-1] / count
    pieces = []
    for start in np.arange(count) * period:
        at = np.linspace(start, start + period * DASH / (DASH + GAP), 8)
        pieces.append(np.stack([np.interp(at, along, axis) for axis in ring.T], axis=1))
    return pieces


def _cross(one: Detection, scale: float) -> tuple[list[np.ndarray], float]:
    """Two lines across the middle of an object's box, and how far they reach from it."""
    height, width = one.mask.shape
    centre = np.array([one.left + width / 2, one.top + height / 2]) * scale - 0.5
    reach = float(np.clip(min(height, width) * scale / 4, 2, 8))
    arms = np.array([[reach, reach], [reach, -reach]])
    return [np.stack([centre - arm, centre + arm]) for arm in arms], reach


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


def _draw_legend(figure: Figure, legend: Mapping[str, tuple[int, int, int] | Mark]) -> None:
    keys = [_key(name, value) for name, value in legend.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False)


def _key(name: str, value: tuple[int, int, int] | Mark) -> Artist:
    if not isinstance(value, Mark):
        return Patch(facecolor=_rgb(value), edgecolor="black", linewidth=0.5, label=name)
    style = (0, (2, 1)) if value.dashed else "-"
    marker = "x" if value.crossed else None
    return Line2D(
        [0],
        [0],
        color=_rgb(value.colour),
        lw=1.5 + value.width,
        ls=style,
        marker=marker,
        markersize=9,
        markeredgewidth=2.5,
        label=name,
    )


def _rgb(colour: tuple[int, int, int]) -> tuple[float, ...]:
    return tuple(part / 255 for part in colour)


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
    styles = {"training": (metric, "-"), "validation": (f"val_{metric}", "--")}
    for (label, (name, line)), colour in zip(styles.items(), _line_colours(), strict=False):
        if name in columns:
            values = columns[name]
            epochs = columns.get("epoch", np.arange(len(values)))
            known = np.isfinite(values)  # not every epoch is validated
            axis.plot(epochs[known], values[known], line, marker=".", color=colour, label=label)
    axis.legend(loc="upper right", frameon=False, fontsize=8)
    axis.set_ylabel(_axis_name(metric))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)


def _line_colours() -> list[tuple[float, ...]]:
    """Dark enough for lines on white, which sky blue and yellow are not."""
    return [_rgb(c) for c in (BLUE, VERMILION, GREEN, PURPLE, ORANGE, BLACK)]


def _axis_name(metric: str) -> str:
    return metric.replace("_", " ").replace("iou", "IoU")


def _written(figure: Figure, path: str | Path) -> Path:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI)
    return Path(path)
