"""The bootstrap: how data are drawn again, and the intervals that replicates give.

Evaluation draws images and takes plain percentiles. Measurement draws particles, of which there may
be few, and corrects for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # of the plain intervals
ROUNDING = 1e-12  # by which sums of the same numbers differ
# How often plain 95 % intervals of the mean of so few held it: of skewed values and normal ones.
HELD = {2: 0.50, 3: 0.72, 4: 0.79, 5: 0.83, 6: 0.85, 7: 0.87, 8: 0.88, 9: 0.89}
CHUNK = 200_000  # counts drawn at a time: they stay in the processor's cache


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap interval; NaN where undefined, as are the limits of one image.

    So are they where all resamples are equal: 20 images that are all right do not tell how rare a
    wrong one is.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "–"  # of nothing, as the quality of matches where there are none
        if math.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def held_text(units: int, what: str) -> str:
    """ "95% bootstrap intervals over images", and how much that is worth of few."""
    said = f"95% bootstrap intervals over {what}"
    if units not in HELD:
        return said
    return f"{said} (of {units}, they hold the true mean {HELD[units]:.0%} of the time)"


def resamples(units: int, bootstrap: int, seed: int) -> np.ndarray:
    """(1 + bootstrap, units): how often each is drawn; row 0 is the data themselves.

    It is alone where there is one unit, whose resamples would give an interval of no width.
    """
    if units == 1:
        return np.ones((1, 1), np.int64)
    drawn = np.random.default_rng(seed).multinomial(
        units, np.full(units, 1 / max(units, 1)), size=bootstrap
    )
    return np.concatenate([np.ones((1, units), np.int64), drawn])


def resamples_in_pieces(
    units: int, bootstrap: int, rng: np.random.Generator, *, width: int
) -> Iterator[np.ndarray]:
    """(b, units) pieces of ``bootstrap`` rows in all: how often each unit is drawn.

    ``width`` is the number of values in a row of what is made of them, so that a piece stays small.
    """
    step = max(CHUNK // max(units, width, 1), 1)
    for begin in range(0, bootstrap, step):
        rows = min(step, bootstrap - begin)
        drawn = rng.integers(0, units, (rows, units)) + np.arange(rows)[:, None] * units
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units)


def percentile_interval(values: np.ndarray) -> Interval:
    """The figure, values[0], with the percentiles of its defined resamples, values[1:]."""
    resampled = values[1:][np.isfinite(values[1:])]
    if math.isnan(values[0]) or not len(resampled) or np.ptp(resampled) <= ROUNDING:
        return Interval(float(values[0]), math.nan, math.nan)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return Interval(float(values[0]), float(low), float(high))


def corrected_interval(
    figure: float, replicates: np.ndarray, *, units: float, level: float
) -> Interval:
    """The percentile interval of a figure of few units, bias-corrected and expanded.

    The levels are shifted by the bias of the median replicate (Efron, 1981) and widened as
    Student's t is wider than the normal distribution (Hesterberg, American Statistician 69, 371,
    2015).

    Args:
        replicates: (B,) of its resamples; NaN where a resample has none.
        units: how many independent things were drawn.
    """
    from scipy.special import ndtr, ndtri, stdtrit

    known = replicates[np.isfinite(replicates)]
    if not math.isfinite(figure) or not len(known) or units < 2:
        return Interval(float(figure), math.nan, math.nan)
    below = (np.mean(known < figure) + np.mean(known <= figure)) / 2
    edge = 0.5 / len(known)
    bias = ndtri(np.clip(below, edge, 1 - edge))
    reach = math.sqrt(units / (units - 1)) * stdtrit(units - 1, (1 + level) / 2)
    low, high = np.quantile(known, ndtr([2 * bias - reach, 2 * bias + reach]))
    return Interval(float(figure), float(low), float(high))
