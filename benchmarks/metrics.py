"""Metrics that ``temzoo.evaluation`` does not have: boundary F1 and errors of particle sizes.

Boundary F1 says how well outlines agree, where IoU mostly says how well areas do. Csurka, Larlus,
Perronnin, "What is a good evaluation measure for semantic segmentation?", BMVC 2013: of one class
in one image, precision is the share of the predicted boundary's pixels that lie within a tolerance
of the true boundary, recall the share of the true boundary's within the tolerance of the predicted
one; F1 is their harmonic mean. The tolerance is 0.75 % of the image's diagonal, as there, at least
1 px. Boundary pixels belong to the class and share a side with a pixel of another; the image's edge
is no boundary.

Sizes are equivalent circular diameters, 2 sqrt(area / pi), by number: every particle counts once,
those at the image's edge too. D50 is their median; its error is (found - true) / true, and
undefined where either side has no particle. The Kolmogorov-Smirnov statistic is the largest
distance of the two cumulative distributions; 1 where only one side has particles, undefined where
neither has.

Kinds, where labels are of several classes: half the sum over classes of the differences of their
shares of the particles (total variation), 0 to 1: the share that would have to be of another class.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from temzoo.evaluation.bootstrap import ratio

TOLERANCE = 0.0075  # of the diagonal
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)

# Objects as connected regions, however small: what the figures on record count.
CONNECTED = {"instances": "components", "min_area_px": 0}


def boundary_f1(truth: np.ndarray, predicted: np.ndarray, classes: int, *, px: float | None = None):
    """Boundary F1 of each class, and of all that are there the mean.

    Args:
        truth, predicted: (H, W) class maps.
        classes: number of classes, background included; it has no boundary of its own here.
        px: the tolerance; None: 0.75 % of the diagonal.

    Returns:
        mean: over the foreground classes; NaN where neither map has a boundary.
        each: (classes - 1,) float64; NaN for a class without a boundary in both maps.
    """
    reach = tolerance_px(truth.shape) if px is None else px
    each = np.array([_of_class(truth == k, predicted == k, reach) for k in range(1, classes)])
    known = each[np.isfinite(each)]
    return (float(known.mean()) if len(known) else math.nan), each


def tolerance_px(shape: tuple[int, ...]) -> float:
    return max(1.0, TOLERANCE * math.hypot(*shape[:2]))


def boundary(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of a mask that share a side with one outside it."""
    whole = mask.astype(np.uint8)
    inner = cv2.erode(whole, CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return (whole > 0) & (inner == 0)


def _of_class(truth: np.ndarray, predicted: np.ndarray, reach: float) -> float:
    true, found = boundary(truth), boundary(predicted)
    if not true.any() and not found.any():
        return math.nan
    if not true.any() or not found.any():
        return 0.0
    precision = np.mean(_distance(true)[found] <= reach)
    recall = np.mean(_distance(found)[true] <= reach)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _distance(marked: np.ndarray) -> np.ndarray:
    """(H, W) px to the nearest marked pixel, exact."""
    return cv2.distanceTransform((~marked).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def diameters(areas: Sequence[float] | np.ndarray) -> np.ndarray:
    """Of circles of these areas, in the unit of their side."""
    return 2 * np.sqrt(np.asarray(areas, np.float64) / math.pi)


def d50_error(true: np.ndarray, found: np.ndarray) -> float:
    """Relative error of the median diameter."""
    if not len(true) or not len(found):
        return math.nan
    return float(np.median(found) / np.median(true) - 1)


def ks_statistic(true: np.ndarray, found: np.ndarray) -> float:
    """Largest distance of the cumulative distributions, 0 to 1."""
    if not len(true) or not len(found):
        return math.nan if len(true) == len(found) else 1.0
    both = np.concatenate([true, found])
    shares = [np.searchsorted(np.sort(d), both, side="right") / len(d) for d in (true, found)]
    return float(np.abs(shares[0] - shares[1]).max())


def class_share_error(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(…,) of (…, classes) particles each: total variation of shares; NaN where one has none."""
    shares = [ratio(each, each.sum(axis=-1, keepdims=True)) for each in (true, found)]
    return np.abs(shares[0] - shares[1]).sum(axis=-1) / 2


def size_errors(true: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Of one image's diameters, with the error of their number."""
    count = len(found) / len(true) - 1 if len(true) else math.nan
    d50, ks = d50_error(true, found), ks_statistic(true, found)
    errors = {"relative_count_error": count, "absolute_count_error": abs(count), "d50_error": d50}
    return errors | {"absolute_d50_error": abs(d50), "ks_statistic": ks}


def pooled_sizes(
    true: Sequence[np.ndarray], found: Sequence[np.ndarray], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Both figures of all images' particles together.

    Args:
        true, found: diameters of each image.
        weights: (B, images) int, how often each image counts; for intervals, rows of resamples.

    Returns:
        by "d50_error" and "ks_statistic": (B,).
    """
    rows = [
        [np.concatenate([np.zeros(0), *map(np.tile, parts, weight)]) for parts in (true, found)]
        for weight in weights
    ]
    kinds = {"d50_error": d50_error, "ks_statistic": ks_statistic}
    return {name: np.array([error(*row) for row in rows]) for name, error in kinds.items()}
