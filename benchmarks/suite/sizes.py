"""How well the distribution of particle sizes is met, of one image and of many together.

Sizes are equivalent circular diameters, 2 sqrt(area / pi), by number: every particle counts once,
those at the image's edge too. D50 is their median; its error is (found - true) / true, and
undefined where either side has no particle. The Kolmogorov-Smirnov statistic is the largest
distance of the two cumulative distributions; 1 where only one side has particles, undefined where
neither has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


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


def pooled(
    true: Sequence[np.ndarray], found: Sequence[np.ndarray], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Both figures of all images' particles together.

    Args:
        true, found: diameters of each image.
        weights: (B, images) int, how often each image counts; for intervals, rows of resamples.

    Returns:
        by "d50_error" and "ks_statistic": (B,).
    """
    rows = [(_together(true, weight), _together(found, weight)) for weight in weights]
    return {
        "d50_error": np.array([d50_error(*row) for row in rows]),
        "ks_statistic": np.array([ks_statistic(*row) for row in rows]),
    }


def _together(parts: Sequence[np.ndarray], weight: np.ndarray) -> np.ndarray:
    repeated = [np.tile(part, times) for part, times in zip(parts, weight, strict=True)]
    return np.concatenate([np.zeros(0), *repeated])
