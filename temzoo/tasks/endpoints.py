"""What a served model is asked and what it answers: functions of tensors, by their signature.

``Task.endpoints(model)`` gives them. Those of pixels have one input, ``images``; from
the one of raw pixels, ``RAW``, an export makes others that take whole numbers and encoded files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

IMAGES = "images"
RAW = "serving_default"  # raw pixels in their stored range
NORMALIZED = "serving_normalized"  # what the layer "normalize" would make of them
# What outputs of one number, or one of each class, a pixel are.
OUTPUTS = {
    "class_map": "the most probable class of each pixel, 0 is the background",
    "probabilities": "the probability of each class, the background first",
    "distance": "the learnt distance to the outline, 0 there and outside, 1 in the middle",
    "restored": "restored pixels, in the range of the input",
}


Answers = Mapping[str, np.ndarray]


def deviation(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest difference of an answer, in units of the expected range where that exceeds 1.

    Infinite for another shape or dtype, values that are not finite, and other whole numbers.
    """
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return float("inf")
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, found) else float("inf")
    if not expected.size:
        return 0.0
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(expected - found).max() / max(1.0, float(np.ptp(expected))))


def deviations(expected: Answers, found: Answers) -> dict[str, float]:
    """``deviation`` of each answer, by name."""
    return {name: deviation(expected[name], found[name]) for name in expected}


@dataclass(frozen=True)
class Endpoint:
    """One question that a served model answers.

    Attributes:
        answer: takes a float32 tensor for each input, in order, and gives {name: tensor}; the
            first dimension of all of them is the batch.
        inputs: name -> shape without the batch; None where any length is taken.
        unit: pixels are in [0, 1], so whole numbers are divided by the largest of their type.
        compare: how far answers are from what was expected, by name, in the unit that a float's
            difference has.
    """

    answer: Callable[..., Mapping[str, Any]]
    inputs: Mapping[str, tuple[int | None, ...]]
    unit: bool = False
    compare: Callable[[Answers, Answers], Mapping[str, float]] = deviations
