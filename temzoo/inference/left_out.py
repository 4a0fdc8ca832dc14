"""Parts of a picture that are no specimen, taken out of its prediction."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from temzoo.core.types import Detection, Prediction
from temzoo.micrographs.drawn_bars import Box

MOST_LOST = 0.75  # of an object's pixels; one that loses more is not counted


def leave_out(prediction: Prediction, boxes: Sequence[Box]) -> Prediction:
    """The prediction without what lies in some boxes.

    Objects of which more than three quarters lie in the boxes are gone, and the others numbered
    anew. Where a box spans the image, as an info bar does, the field ends: pixels in it are gone
    from those that stay. A scale bar or a letter lies on the specimen, so that what it hides a part
    of stays whole. ``measure`` counts what meets a box as touching the border.

    Args:
        boxes: (top, left, bottom, right), half-open; what is outside the image does not matter.

    Example:
        >>> leave_out(prediction, [(480, 0, 512, 640)]).left_out
        ((480, 0, 512, 640),)
    """
    height, width = prediction.classes.shape
    inside = [_clipped(box, height, width) for box in boxes]
    inside = [box for box in inside if box[0] < box[2] and box[1] < box[3]]
    if not inside:
        return prediction
    drawn, beyond = np.zeros((2, height, width), bool)
    for box in inside:
        top, left, bottom, right = box
        drawn[top:bottom, left:right] = True
        if _spans(box, height, width):
            beyond[top:bottom, left:right] = True
    stays = _stays(prediction, drawn)
    numbers = np.r_[0, np.where(stays, np.cumsum(stays), 0)]
    kept = np.where(beyond, 0, numbers[prediction.instances]).astype(np.int32)
    found, scores, doubtful = prediction.detections, prediction.scores, prediction.doubtful
    return replace(
        prediction,
        classes=np.where(drawn & (kept == 0), 0, prediction.classes).astype(
            prediction.classes.dtype
        ),
        instances=kept,
        scores=None if scores is None else scores[stays[: len(scores)]],
        detections=None if found is None else _cut(found, beyond, stays),
        doubtful=None if doubtful is None else _cut(doubtful, beyond, _outside(doubtful, drawn)),
        left_out=(*prediction.left_out, *inside),
    )


def _clipped(box: Box, height: int, width: int) -> Box:
    top, left, bottom, right = box
    return max(top, 0), max(left, 0), min(bottom, height), min(right, width)


def _stays(prediction: Prediction, drawn: np.ndarray) -> np.ndarray:
    """(N,) bool of each object: whether it lies outside for the most part."""
    if prediction.detections is not None:
        return _outside(prediction.detections, drawn)
    scores = prediction.scores
    count = int(prediction.instances.max(initial=0)) if scores is None else len(scores)
    whole = np.bincount(prediction.instances.ravel(), minlength=count + 1)[1:]
    lost = np.bincount(prediction.instances[drawn], minlength=count + 1)[1:]
    return lost <= MOST_LOST * np.maximum(whole, 1)


def _outside(found: Sequence[Detection], drawn: np.ndarray) -> np.ndarray:
    """(N,) bool of each detection: whether it stays."""
    return np.array([_under(one, drawn)[one.mask].mean() <= MOST_LOST for one in found], bool)


def _spans(box: Box, height: int, width: int) -> bool:
    top, left, bottom, right = box
    return right - left >= width or bottom - top >= height


def _under(one: Detection, drawn: np.ndarray) -> np.ndarray:
    rows, cols = one.mask.shape
    return drawn[one.top : one.top + rows, one.left : one.left + cols]


def _cut(
    found: Sequence[Detection], beyond: np.ndarray, stays: np.ndarray
) -> tuple[Detection, ...]:
    """Those detections that stay, without the pixels beyond the field."""
    kept = []
    for one in itertools.compress(found, stays):
        mask = one.mask & ~_under(one, beyond)
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        mask = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        top, left = one.top + int(rows[0]), one.left + int(cols[0])
        kept.append(replace(one, top=top, left=left, mask=mask))
    return tuple(kept)
