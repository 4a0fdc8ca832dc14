"""Parts of a picture that are no specimen, taken out of its prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from temzoo.core.types import Detection, Prediction

Box = tuple[int, int, int, int]
MOST_LOST = 0.5  # of an object's pixels; one that loses more is not counted


def leave_out(prediction: Prediction, boxes: Sequence[Box]) -> Prediction:
    """The prediction without what lies in some boxes.

    Objects that lose more than half of their pixels are gone, and the others numbered anew; of
    those that stay, the pixels in the boxes are. ``measure`` counts them as touching the border.

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
    drawn = np.zeros((height, width), bool)
    for top, left, bottom, right in inside:
        drawn[top:bottom, left:right] = True
    stays = _stays(prediction, drawn)
    numbers = np.r_[0, np.where(stays, np.cumsum(stays), 0)]
    found, scores, doubtful = prediction.detections, prediction.scores, prediction.doubtful
    return replace(
        prediction,
        classes=np.where(drawn, 0, prediction.classes).astype(prediction.classes.dtype),
        instances=np.where(drawn, 0, numbers[prediction.instances]).astype(np.int32),
        scores=None if scores is None else scores[stays[: len(scores)]],
        detections=None if found is None else _cut(found, drawn, stays),
        doubtful=None if doubtful is None else _cut(doubtful, drawn, None),
        left_out=(*prediction.left_out, *inside),
    )


def _clipped(box: Box, height: int, width: int) -> Box:
    top, left, bottom, right = box
    return max(top, 0), max(left, 0), min(bottom, height), min(right, width)


def _stays(prediction: Prediction, drawn: np.ndarray) -> np.ndarray:
    """(N,) bool of each object: whether at least half of it lies outside."""
    if prediction.detections is not None:
        return np.array([_lost(one, drawn) <= MOST_LOST for one in prediction.detections], bool)
    scores = prediction.scores
    count = int(prediction.instances.max(initial=0)) if scores is None else len(scores)
    whole = np.bincount(prediction.instances.ravel(), minlength=count + 1)[1:]
    lost = np.bincount(prediction.instances[drawn], minlength=count + 1)[1:]
    return lost <= MOST_LOST * np.maximum(whole, 1)


def _lost(one: Detection, drawn: np.ndarray) -> float:
    return float(_under(one, drawn)[one.mask].mean())


def _under(one: Detection, drawn: np.ndarray) -> np.ndarray:
    rows, cols = one.mask.shape
    return drawn[one.top : one.top + rows, one.left : one.left + cols]


def _cut(
    found: Sequence[Detection], drawn: np.ndarray, stays: np.ndarray | None
) -> tuple[Detection, ...]:
    """Detections without the pixels that were drawn, cut to those that are left."""
    kept = []
    for number, one in enumerate(found):
        if _lost(one, drawn) > MOST_LOST if stays is None else not stays[number]:
            continue
        mask = one.mask & ~_under(one, drawn)
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        mask = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        top, left = one.top + int(rows[0]), one.left + int(cols[0])
        kept.append(replace(one, top=top, left=left, mask=mask))
    return tuple(kept)
