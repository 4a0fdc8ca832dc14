"""Boundary F1: how well outlines agree, where IoU mostly tells how well areas do.

Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?", BMVC
2013. Of one class in one image, precision is the share of the predicted boundary's pixels that lie
within a tolerance of the true boundary, recall the share of the true boundary's within the
tolerance of the predicted one; F1 is their harmonic mean. The tolerance is 0.75 % of the image's
diagonal, as there (and as of Berkeley's benchmark, which however matches boundary pixels one to
one); at least 1 px. Boundary pixels belong to the class and share a side with a pixel of another;
the image's edge is no boundary.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

TOLERANCE = 0.0075  # of the diagonal
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def boundary_f1(truth: np.ndarray, predicted: np.ndarray, classes: int, *, px: float | None = None):
    """Boundary F1 of each class, and of all that are there the mean.

    Args:
        truth, predicted: (H, W) class maps.
        classes: number of classes, background included; it has no boundary of its own here.
        px: the tolerance; None: 0.75 % of the diagonal.

    Returns:
        mean: over the foreground classes; NaN where neither map has a boundary.
        each: (classes - 1,) float64; NaN for a class without a boundary in both maps.

    Example:
        >>> mean, each = boundary_f1(truth, prediction.classes, 2)
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
