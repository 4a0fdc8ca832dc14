"""Figures with 95% percentile bootstrap intervals over images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEVEL = 0.95  # of the intervals


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% bootstrap interval; NaN where it is undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(values: Sequence[float], *, bootstrap: int = 1000, seed: int = 0) -> Interval:
    """Mean over images of what is defined, with its 95% bootstrap interval."""
    figures = np.asarray(values, float)
    return interval(weighted_mean(figures, resamples(len(figures), bootstrap, seed)))


def resamples(images: int, bootstrap: int, seed: int) -> np.ndarray:
    """(1 + bootstrap, images): how often each image is drawn; row 0 is the data themselves."""
    drawn = np.random.default_rng(seed).multinomial(
        images, np.full(images, 1 / max(images, 1)), size=bootstrap
    )
    return np.concatenate([np.ones((1, images), np.int64), drawn])


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    defined = np.isfinite(values)
    return ratio(weights @ np.where(defined, values, 0.0), weights @ defined.astype(np.float64))


def interval(values: np.ndarray) -> Interval:
    """The figure, values[0], with the percentiles of its defined resamples, values[1:]."""
    resampled = values[1:][np.isfinite(values[1:])]
    if math.isnan(values[0]) or not len(resampled):
        return Interval(float(values[0]), math.nan, math.nan)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return Interval(float(values[0]), float(low), float(high))


def ratio(part: Any, whole: Any) -> np.ndarray:
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; NaN, without a warning, where nothing is."""
    defined = np.isfinite(values)
    return ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))
