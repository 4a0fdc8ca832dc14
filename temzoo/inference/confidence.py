"""How likely an object that was found by a learnt distance is a real one.

A logistic regression on four measures of the object. ``python -m benchmarks instances
emps-confidence`` fits it on the validation images of EMPS, and tells how well what it says holds on
publications that it was not fitted on.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from temzoo.inference.regions import FULL, mean_inside

# Of the measures, in their order, and of 1. Fitted on EMPS' validation images.
WEIGHTS = 2.55, 0.48, -0.99, 1.43
BIAS = 3.29
LIKELY = 0.85  # mean probability of the objects whose median area is the usual one
LEAST_SHARE = 1 / FULL  # nearest to 0 and to 1 that a mean is taken to be
AREAS_PX = 20, 100_000  # those of EMPS; beyond, an area counts as the nearer of these


def confidences(instances: np.ndarray, own: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """How likely each object is real: of those with 0.8, four in five or more match a labelled one.

    Args:
        instances: (H, W) int32; 0 is background, 1..N number the objects.
        own: (H, W) uint8, ``FULL`` times the probability of the likeliest class.
        distance: (H, W) uint8, ``FULL`` times the learnt distance to the outline.

    Returns:
        (N,) float32, 0 to 1.
    """
    weighted = object_measures(instances, own, distance) @ np.asarray(WEIGHTS) + BIAS
    return (1 / (1 + np.exp(-weighted))).astype(np.float32)


def likeliest_share(probabilities: np.ndarray) -> np.ndarray:
    """(H, W) uint8, ``FULL`` times the probability of the likeliest class, of (H, W, classes)."""
    # NumPy is slow along an axis as short as that of the classes.
    best = reduce(np.maximum, np.moveaxis(probabilities, -1, 0))
    return np.rint(best * FULL).astype(np.uint8)


def object_measures(instances: np.ndarray, own: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """What the confidence rests on.

    Arguments are those of ``confidences``.

    Returns:
        (N, 4) float64: log odds of the mean probability; log odds of the mean distance; logarithm
        of the area in px; and of the area over the usual one, the median of the likely objects,
        as far as it is smaller.
    """
    probability = mean_inside(instances, own) / FULL
    depth = mean_inside(instances, distance) / FULL
    area = np.bincount(instances.ravel(), minlength=len(probability) + 1)[1:].astype(np.float64)
    likely = area[probability >= LIKELY]
    usual = np.median(likely if len(likely) else area) if len(area) else 1.0
    sizes = np.log(np.clip(area, *AREAS_PX)), np.log(np.minimum(area / usual, 1.0))
    return np.stack([_log_odds(probability), _log_odds(depth), *sizes], axis=-1)


def _log_odds(share: np.ndarray) -> np.ndarray:
    bounded = np.clip(share.astype(np.float64), LEAST_SHARE, 1 - LEAST_SHARE)
    return np.log(bounded / (1 - bounded))
