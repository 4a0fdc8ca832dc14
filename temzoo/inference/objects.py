"""Objects of a detector: decoded at full resolution, put together, drawn as maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from temzoo.core.types import Detection, Prediction

SAME = 0.5  # IoU beyond which two boxes of one class are one object
Window = tuple[int, int, int, int]  # top, left, bottom, right; px, the last two exclusive


def box_of(found: Detection) -> Window:
    height, width = found.mask.shape
    return found.top, found.left, found.top + height, found.left + width


def part_of(found: Detection, window: Window) -> np.ndarray:
    """The mask's pixels in a window that lies in its box."""
    top, left, bottom, right = window
    return found.mask[top - found.top : bottom - found.top, left - found.left : right - found.left]


def filled(found: Detection) -> Detection:
    """An object as its box: its mask is full."""
    return replace(found, mask=np.ones(found.mask.shape, bool))


def united(parts: Sequence[Detection]) -> Detection:
    """The parts of one object put together.

    Its score is the mean of the parts' scores, weighted by their areas; its class the one with the
    most area times score.
    """
    boxes = np.array([box_of(part) for part in parts])
    top, left = boxes[:, :2].min(axis=0).tolist()
    bottom, right = boxes[:, 2:].max(axis=0).tolist()
    mask = np.zeros((bottom - top, right - left), bool)
    areas, votes = [], {}
    for part in parts:
        own = part_of(Detection(top, left, mask, 0, 0.0), box_of(part))
        own |= part.mask
        areas.append(np.count_nonzero(part.mask))
        votes[part.class_id] = votes.get(part.class_id, 0) + areas[-1] * part.score
    score = float(np.average([part.score for part in parts], weights=areas))
    return Detection(top, left, mask, max(votes, key=votes.get), score)


def flattened(found: Sequence[Detection], shape: tuple[int, int]) -> Prediction:
    """Detections as maps, a higher score on top: ``instances`` number them by falling score.

    Args:
        found: inside the image, in any order.
        shape: (H, W) of the image.
    """
    found = sorted(found, key=lambda detection: -detection.score)
    instances, classes = np.zeros(shape, np.int32), np.zeros(shape, np.uint8)
    for number in range(len(found), 0, -1):
        one = found[number - 1]
        top, left, bottom, right = box_of(one)
        instances[top:bottom, left:right][one.mask] = number
        classes[top:bottom, left:right][one.mask] = one.class_id
    scores = np.array([one.score for one in found], np.float32)
    return Prediction(classes, instances, scores=scores, detections=tuple(found))


def counted_from(found: Prediction, least: float) -> Prediction:
    """A detector's prediction in which objects that score less are doubtful, not instances."""
    detections = found.detections or ()
    sure = flattened([one for one in detections if one.score >= least], found.classes.shape)
    return replace(
        found,
        classes=sure.classes,
        instances=sure.instances,
        scores=sure.scores,
        detections=sure.detections,
        doubtful=tuple(one for one in detections if one.score < least),
    )


def suppressed(
    boxes: np.ndarray, scores: np.ndarray, *, min_score: float, most: int
) -> SimpleNamespace:
    """Of boxes of one class that overlap, the one with the highest score.

    Args:
        boxes: (B, N, 4) y1, x1, y2, x2 px.
        scores: (B, N, classes), without the background.
        min_score: what scores less is dropped.
        most: kept of an image.

    Returns:
        boxes (B, most, 4), classes (B, most) from 1, scores (B, most), falling, and full masks
        (B, most, 1, 1); of each image the first ``counts`` count.
    """
    found = SimpleNamespace(
        boxes=np.zeros((len(boxes), most, 4), np.float32),
        classes=np.zeros((len(boxes), most), np.int32),
        scores=np.zeros((len(boxes), most), np.float32),
        masks=np.ones((len(boxes), most, 1, 1), np.float32),
        counts=np.zeros(len(boxes), np.int32),
    )
    for image, (all_boxes, all_scores) in enumerate(zip(boxes, scores, strict=True)):
        at, kinds = np.nonzero(all_scores > min_score)
        here, likely = all_boxes[at].astype(np.float64), all_scores[at, kinds]
        sides = np.concatenate([here[:, 1::-1], here[:, 3:1:-1] - here[:, 1::-1]], axis=1)
        kept = cv2.dnn.NMSBoxesBatched(sides, likely, kinds.astype(np.int32), min_score, SAME)
        kept = np.asarray(kept, int)[:most]
        found.counts[image], rows = len(kept), slice(len(kept))
        found.boxes[image, rows], found.scores[image, rows] = here[kept], likely[kept]
        found.classes[image, rows] = kinds[kept] + 1
    return found


def decode(
    boxes: np.ndarray,
    classes: np.ndarray,
    scores: np.ndarray,
    masks: np.ndarray,
    height: int,
    width: int,
    *,
    threshold: float = 0.5,
) -> list[Detection]:
    """What a model says of one image, as objects with masks at its full resolution.

    A pixel belongs to an object when its centre lies in the box and the mask's probability there,
    interpolated between the centres of the mask's cells, reaches the threshold. Objects without a
    pixel in the image are left out.

    Args:
        boxes: (D, 4) y1, x1, y2, x2 px; they may reach beyond the image.
        classes: (D,) 1 and up.
        scores: (D,).
        masks: (D, M, M) probabilities inside the boxes; M is 28 for Mask R-CNN.
        height, width: of the image, px.
        threshold: of the probability.
    """
    found = []
    for box, kind, score, mask in zip(boxes, classes, scores, masks, strict=True):
        pasted = _pasted(box, mask, height, width, threshold)
        if pasted is not None:
            found.append(Detection(*pasted, class_id=int(kind), score=float(score)))
    return found


def _pasted(
    box: np.ndarray, mask: np.ndarray, height: int, width: int, threshold: float
) -> tuple[int, int, np.ndarray] | None:
    """Top, left and tight (h, w) bool mask of a box's probabilities; None without a pixel."""
    top, below, row_share = _samples(box[0], box[2], len(mask), height)
    left, right, col_share = _samples(box[1], box[3], len(mask), width)
    if not (len(below) and len(right)):
        return None
    rows = _between(mask[below], mask[np.minimum(below + 1, len(mask) - 1)], row_share[:, None])
    pixels = _between(rows[:, right], rows[:, np.minimum(right + 1, len(mask) - 1)], col_share)
    return tight(top, left, pixels >= threshold)


def _samples(low: float, high: float, cells: int, length: int) -> tuple[int, Any, Any]:
    """Where the pixels of an axis lie in a box's mask.

    Returns:
        the first pixel whose centre is in [low, high) and in the image; and for it and all that
        follow, the cell whose centre lies before the pixel's and how far it is from there to the
        next cell, 0 to 1. Beyond the outermost cells' centres the mask goes on as it is there.
    """
    low, high = float(low), float(high)
    if not high > low:
        return 0, np.zeros(0, np.int64), np.zeros(0, np.float32)
    first, last = max(0, math.ceil(low - 0.5)), min(length, math.ceil(high - 0.5))
    centres = np.arange(first, last) + 0.5
    position = np.clip((centres - low) * (cells / (high - low)) - 0.5, 0, cells - 1)
    cell = position.astype(np.int64)
    return first, cell, (position - cell).astype(np.float32)


def _between(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + (second - first) * share


def tight(top: int, left: int, mask: np.ndarray) -> tuple[int, int, np.ndarray] | None:
    """A mask at a place, cut to its pixels, and its place then; None without a pixel."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    cut = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].copy()
    return top + int(rows[0]), left + int(cols[0]), cut
