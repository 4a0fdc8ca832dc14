"""Detections put together and drawn as maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from temzoo.core.types import Detection, Prediction

Window = tuple[int, int, int, int]  # top, left, bottom, right; px, the last two exclusive


def box_of(found: Detection) -> Window:
    height, width = found.mask.shape
    return found.top, found.left, found.top + height, found.left + width


def part_of(found: Detection, window: Window) -> np.ndarray:
    """The mask's pixels in a window that lies in its box."""
    top, left, bottom, right = window
    return found.mask[top - found.top : bottom - found.top, left - found.left : right - found.left]


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
