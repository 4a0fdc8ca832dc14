"""Predictions as far as they are judged: on pixels of the label "ignore" nothing is right or wrong.

Such regions are drawn over what lies below, as other shapes are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from temzoo.core.types import IGNORE, Detection, LabelledImage, Prediction
from temzoo.inference.objects import flattened, tight
from temzoo.labels.shapes.raster import ignored_pixels, instance_map

LEAST_LEFT = 0.5  # of an object, that it is still one


def judged(prediction: Prediction, labels: LabelledImage) -> Prediction:
    """The prediction without what lies on ignored pixels.

    Objects lose those pixels; one of which less than half is left is dropped.
    """
    ignored = ignored_pixels(labels)
    if ignored is None or ignored.shape != prediction.classes.shape:
        return prediction
    if prediction.detections is None:
        classes = np.where(ignored, 0, prediction.classes).astype(prediction.classes.dtype)
        instances = judged_instances(prediction.instances, ignored)
        return replace(prediction, classes=classes, instances=instances)
    cut = (judged_object(one, ignored) for one in prediction.detections)
    kept = tuple(one for one in cut if one is not None)
    drawn = flattened(kept, ignored.shape)
    return replace(prediction, classes=drawn.classes, instances=drawn.instances, detections=kept)


def judged_instances(instances: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """An instance map, (H, W), likewise; numbers stay as they are."""
    if ignored is None:
        return instances
    before = np.bincount(instances.ravel())
    left = np.bincount(instances[~ignored], minlength=len(before))
    gone = left < LEAST_LEFT * before
    return np.where(ignored | gone[instances], 0, instances).astype(instances.dtype)


def judged_labels(labels: LabelledImage) -> np.ndarray:
    """The labels' instance map, (H, W), likewise; numbers are those of ``raster.instance_map``."""
    return judged_instances(instance_map(labels, ignore=[IGNORE]), ignored_pixels(labels))


def judged_object(one: Detection, ignored: np.ndarray | None) -> Detection | None:
    """An object likewise; None where it is dropped."""
    if ignored is None:
        return one
    height, width = one.mask.shape
    window = ignored[one.top : one.top + height, one.left : one.left + width]
    left = one.mask & ~window
    cut = tight(one.top, one.left, left)
    if cut is None or np.count_nonzero(left) < LEAST_LEFT * np.count_nonzero(one.mask):
        return None
    return replace(one, **dict(zip(("top", "left", "mask"), cut, strict=True)))
