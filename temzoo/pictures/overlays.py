"""Micrographs with classes, objects or errors drawn over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from temzoo.core.offset import offset_of
from temzoo.core.types import Detection
from temzoo.evaluation.object_overlaps import one_to_one, overlaps
from temzoo.evaluation.objects import MATCH_IOU
from temzoo.micrographs import as_channels
from temzoo.pictures.colours import (
    BLACK,
    CLASS_COLOURS,
    CORRECT,
    DOUBTFUL,
    ERROR_COLOURS,
    FALSE_POSITIVE,
    MARKS,
    MISSED,
    WRONG_CLASS,
    Mark,
)
from temzoo.pictures.neighbours import colour_numbers, neighbours, neighbours_of_objects, palette

DASH, GAP = 6.0, 5.0  # pixels of the picture
SUBPIXEL = 4  # bits of OpenCV's fixed-point coordinates
CASING = 0.5  # opacity of the dark line beneath a coloured one, which keeps it apart from any grey
DISPLAY_PERCENTILES = (0.5, 99.5)
MAX_SIDE = 2048  # pixels; larger pictures are shrunk, so that viewers open them
SHEET_SIDE = 512  # pixels; of one picture in a sheet


def stretched(pixels: np.ndarray) -> np.ndarray:
    """A micrograph of any dtype for display.

    Args:
        pixels: (H, W), (H, W, 1) or (H, W, 3).

    Returns:
        (H, W, 3) uint8; the 0.5th percentile is black, the 99.5th white. A constant image is
        mid-grey.
    """
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    image = pixels if colour else as_channels(pixels, 1)[..., 0]
    sampled = image[:: max(len(image) // 512, 1), :: max(image.shape[1] // 512, 1)]
    low, high = np.percentile(sampled.astype(np.float64), DISPLAY_PERCENTILES)
    if high <= low:
        return np.full((*image.shape[:2], 3), 128, np.uint8)
    number = np.float64 if offset_of(sampled) else np.float32
    shades = (image.astype(number) - number(low)) * number(255 / (high - low))
    return as_channels(np.clip(np.rint(shades), 0, 255).astype(np.uint8), 3)


def overlay(
    pixels: np.ndarray, labels: np.ndarray, *, alpha: float = 0.35, instances: bool = False
) -> np.ndarray:
    """A micrograph with its classes or instances filled translucently and outlined.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype; stretched for display.
        labels: (H, W) class map or instance map; 0 is left as it is. A number has one colour,
            repeating after seven.
        alpha: opacity of the filling, 0 to 1.
        instances: whether they are; then neighbours differ in colour, whatever their numbers.

    Returns:
        (H, W, 3) uint8.

    Example:
        >>> picture = overlay(micrograph.pixels, prediction.instances)
    """
    numbers = np.arange(-1, int(labels.max(initial=0))) % len(CLASS_COLOURS)
    if instances:
        numbers = colour_numbers(neighbours(labels), len(numbers) - 1)
    return _painted(pixels, labels, palette(numbers).astype(np.uint8)[labels], alpha)


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
    table = np.zeros((len(ERROR_COLOURS) + 1, 3), np.uint8)
    for code, colour in ERROR_COLOURS.items():
        table[code] = colour
    return _painted(pixels, errors, table[errors], alpha)


def outlines(
    pixels: np.ndarray, objects: Sequence[Detection], *, alpha: float = 0.35, side: int = MAX_SIDE
) -> np.ndarray:
    """A micrograph with objects filled translucently and outlined, neighbours in different colours.

    Overlapping objects are outlined whole, and filled one over the other.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype; stretched for display.
        objects: what to draw, from the lowest up.
        alpha: opacity of the filling, 0 to 1.
        side: longest side of the picture; a larger micrograph is shrunk to it.

    Returns:
        (h, w, 3) uint8.

    Example:
        >>> picture = outlines(micrograph.pixels, prediction.detections)
    """
    pairs = neighbours_of_objects(objects, pixels.shape[:2])
    colours = palette(colour_numbers(pairs, len(objects)))[1:].tolist()
    marks = [Mark(tuple(colour)) for colour in colours]
    return marked_objects(pixels, list(zip(objects, marks, strict=True)), alpha=alpha, side=side)


def marked_objects(
    pixels: np.ndarray,
    marked: Sequence[tuple[Detection, Mark]],
    *,
    alpha: float = 0.35,
    side: int = MAX_SIDE,
) -> np.ndarray:
    """A micrograph with objects filled and outlined, each as its mark says.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype; stretched for display.
        marked: objects with how they are drawn, from the lowest up; a mark's width is in lines.
        alpha, side: as of ``outlines``.
    """
    picture, scale = _canvas(pixels, side)
    width = _line_width(picture)
    marked = [(one, replace(mark, width=mark.width * width)) for one, mark in marked]
    return _drawn_objects(_filled(picture, marked, alpha, scale), marked, scale)


def with_doubtful(picture: np.ndarray, objects: Sequence[Detection], scale: float) -> np.ndarray:
    """An overlay with doubtful objects outlined by broken lines.

    Args:
        picture: (h, w, 3) uint8.
        objects: in the pixels of the micrograph.
        scale: the picture's pixels over the micrograph's.
    """
    mark = replace(DOUBTFUL, width=_line_width(picture))
    return _drawn_objects(picture, [(one, mark) for one in objects], scale)


def match_overlay(
    pixels: np.ndarray,
    true: Sequence[Detection],
    found: Sequence[Detection],
    *,
    side: int = SHEET_SIDE,
) -> np.ndarray:
    """A micrograph with found, missed and false objects outlined, each in a line of its own.

    Found objects are drawn as they were found, in thin sky blue; missed ones as they are labelled,
    dashed in yellow; false ones in thick vermilion with a cross. One in the right place, of the
    wrong class, is both missed and false. ``MARKS`` is the key.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype; stretched for display.
        true, found: objects of this micrograph; two match, one to one and within a class, from
            ``MATCH_IOU`` on.
        side: longest side of the picture; a larger micrograph is shrunk to it, one of less than
            half enlarged.

    Returns:
        (h, w, 3) uint8.

    Example:
        >>> match_overlay(pixels, true_objects(labels, ["particle"]), prediction.detections)
    """
    picture, scale = _canvas(pixels, side, enlarge=True)
    hits, missed, false = sorted_out(true, found)
    width = _line_width(picture)
    marked = [
        (one, replace(MARKS[kind], width=MARKS[kind].width * width))
        for kind, objects in (("found", hits), ("false", false), ("missed", missed))
        for one in objects
    ]
    return _drawn_objects(picture, marked, scale)


def _painted(
    pixels: np.ndarray, labels: np.ndarray, colours: np.ndarray, alpha: float
) -> np.ndarray:
    """Fills labelled pixels with their (H, W, 3) colours and outlines each label's area."""
    _require_one_shape(pixels, labels)
    picture = stretched(pixels)
    inside = (labels > 0).astype(np.uint8)
    cv2.copyTo(cv2.addWeighted(picture, 1 - alpha, colours, alpha, 0), inside, picture)
    width = max(1, round(min(labels.shape) / 512))
    outline = _edges(labels)
    if width > 1:
        outline = cv2.dilate(outline, np.ones((width, width)))
    return cv2.copyTo(colours, outline * inside, picture)


def _edges(labels: np.ndarray) -> np.ndarray:
    """(H, W) uint8, 1 where a pixel shares a side with another label."""
    edges = np.zeros(labels.shape, np.uint8)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = labels[one] != labels[other]
        edges[one] |= differ
        edges[other] |= differ
    return edges


def _canvas(pixels: np.ndarray, side: int, *, enlarge: bool = False) -> tuple[np.ndarray, float]:
    """A stretched micrograph to draw on, and the pixels of it per pixel of the micrograph."""
    picture = shrunk(stretched(pixels), side)
    factor = max(side // max(picture.shape[:2]), 1) if enlarge else 1
    picture = np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)
    return picture, max(picture.shape[:2]) / max(pixels.shape[:2])


def _line_width(picture: np.ndarray) -> int:
    return max(1, round(max(picture.shape[:2]) / 640))


def sorted_out(
    true: Sequence[Detection], found: Sequence[Detection]
) -> tuple[list[Detection], list[Detection], list[Detection]]:
    """The found objects that are right, the true ones that are missed, the found that are false."""
    pairs = overlaps(true, found)
    good = pairs.mask_iou >= MATCH_IOU
    matched, _ = one_to_one(pairs.true[good], pairs.found[good], pairs.mask_iou[good])
    seen, right = set(matched[:, 0].tolist()), set(matched[:, 1].tolist())
    return (
        [one for k, one in enumerate(found) if k in right],
        [one for k, one in enumerate(true) if k not in seen],
        [one for k, one in enumerate(found) if k not in right],
    )


def _filled(
    picture: np.ndarray, marked: Sequence[tuple[Detection, Mark]], alpha: float, scale: float
) -> np.ndarray:
    painted = picture.copy()
    for one, mark in marked:
        rings = [np.rint(ring * 2**SUBPIXEL).astype(np.int32) for ring in _rings(one, scale)]
        cv2.fillPoly(painted, rings, mark.colour, cv2.LINE_8, SUBPIXEL)
    return cv2.addWeighted(painted, alpha, picture, 1 - alpha, 0)


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
    rings = _rings(one, scale)
    lines = [dash for ring in rings for dash in _dashes(ring)] if mark.dashed else rings
    lines = [(line, mark.colour, mark.width) for line in lines]
    if mark.crossed:
        arms, reach = _cross(one, scale)
        # A cross as thick as the outline would fill a small object.
        width = mark.width if reach > 3 * mark.width else 1
        lines += [(arm, mark.colour, width) for arm in arms]
    return lines


def _rings(one: Detection, scale: float) -> list[np.ndarray]:
    """The outlines of an object and its holes, closed, (N, 2) points (x, y) of the picture."""
    padded = np.pad(one.mask, 1).astype(np.uint8)
    contours, _ = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # OpenCV takes a pixel's centre as whole numbers; the window starts one pixel early.
    offset = np.array([one.left - 1, one.top - 1]) + 0.5
    rings = [(contour[:, 0] + offset) * scale - 0.5 for contour in contours]
    return [np.concatenate([ring, ring[:1]]) for ring in rings]


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


def shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture with its longer side at most ``side``, averaging pixels."""
    factor = side / max(picture.shape[:2])
    if factor >= 1:
        return picture
    # OpenCV resizes neither int32 nor float16 and the like; float32 serves all for display.
    known = picture.dtype in (np.uint8, np.uint16, np.float32)
    source = picture if known else picture.astype(np.float32)
    return cv2.resize(source, _size(picture, factor), interpolation=cv2.INTER_AREA)


def shrunk_labels(labels: np.ndarray, side: int) -> np.ndarray:
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
