"""Boxes, scores and small masks of a detector as objects at full resolution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from temzoo.core.types import Detection


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
    interpolated between the centres of the mask's cells, reaches the threshold.

    Args:
        boxes: (D, 4) y1, x1, y2, x2 px; they may reach beyond the image.
        classes: (D,) 1 and up.
        scores: (D,).
        masks: (D, M, M) probabilities inside the boxes; M is 28 for Mask R-CNN.
        height, width: of the image, px.
        threshold: of the probability.

    Returns:
        in the order given; objects without a pixel in the image are left out.

    Example:
        >>> found = model.detect(pixels)
        >>> n = found.counts[0]
        >>> decode(found.boxes[0, :n], found.classes[0, :n], found.scores[0, :n],
        ...        found.masks[0, :n], 512, 512)
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
    pixels = pixels >= threshold
    filled_rows, filled_cols = pixels.any(axis=1).nonzero()[0], pixels.any(axis=0).nonzero()[0]
    if not len(filled_rows):
        return None
    first, last = filled_rows[[0, -1]]
    start, stop = filled_cols[[0, -1]]
    return (
        top + int(first),
        left + int(start),
        pixels[first : last + 1, start : stop + 1].copy(),
    )


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
