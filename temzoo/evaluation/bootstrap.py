"""Means over images of what is defined, with 95% bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from temzoo.core.bootstrap import Interval, resamples
from temzoo.core.bootstrap import percentile_interval as interval


def mean_interval(values: Sequence[float], *, bootstrap: int = 1000, seed: int = 0) -> Interval:
    """Mean over images of what is defined, with its 95% bootstrap interval."""
    figures = np.asarray(values, float)
    return interval(weighted_mean(figures, resamples(len(figures), bootstrap, seed)))


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    defined = np.isfinite(values)
    return ratio(weights @ np.where(defined, values, 0.0), weights @ defined.astype(np.float64))


def ratio(part: Any, whole: Any) -> np.ndarray:
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; NaN, without a warning, where nothing is."""
    defined = np.isfinite(values)
    return ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))
