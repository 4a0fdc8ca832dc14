"""How many labelled objects a model finds: the score that an epoch is chosen by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from temzoo.core.types import Example, Micrograph, Prediction
from temzoo.evaluation import objects
from temzoo.evaluation.judged import judged
from temzoo.evaluation.object_overlaps import boxed, map_objects, true_objects


def objects_found(
    model: Any,
    examples: Sequence[Example],
    class_names: Sequence[str],
    predict: Callable[[Any, Micrograph], Prediction],
) -> dict[str, float]:
    """F1, precision and recall of all micrographs together, as ``evaluate`` gives them.

    Predicted objects are matched one to one with the labelled ones of their class at an IoU of 0.5,
    of masks, or of boxes where the model finds boxes. Nothing found, or nothing to find, scores 0:
    it is no epoch to choose.

    Args:
        predict: takes the model and a micrograph, with the defaults that users meet.
    """
    counts = np.zeros(3, np.int64)
    for example in examples:
        true = true_objects(example.labels, class_names)
        answer = judged(predict(model, example.micrograph), example.labels)
        found = answer.detections
        if found is None:
            found = map_objects(answer.instances, answer.classes)
        if answer.box_shaped:
            true, found = boxed(true), boxed(found)
        match = objects.match(true, found, classes=len(class_names), ap=())
        counts += match.matched.sum(), match.true.sum(), match.predicted.sum()
    matched, true, found = counts
    return {
        "val_f1": 2 * matched / max(true + found, 1),
        "val_precision": matched / max(found, 1),
        "val_recall": matched / max(true, 1),
    }
