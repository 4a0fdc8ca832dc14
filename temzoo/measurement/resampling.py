"""Weighted statistics of a sample of sizes, with bootstrap intervals.

Intervals are those of ``temzoo.core.bootstrap.corrected_interval``. BCa's acceleration was tried
and made D10 and D90 of few particles worse.

How often a nominal 95 % interval held the truth, of 300 to 1,000 log-normal samples each: mean,
D50 and mu 91 to 98 % from 8 particles on, all figures 92 to 97 % from 50 on. The spread sigma of
20 particles 88 %, of 8 only 80 %: so it has no interval below 36, as D10 and D90 have none.

By volume a few large particles decide. Dv10 and Dv50 held in 90 to 97 % from an effective number of
36 on. D[3,2] held in 78 to 92 %, D[4,3] in 62 to 87 %, Dv90 in 24 to 81 %: they have no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from temzoo.core.bootstrap import Interval, corrected_interval, resamples_in_pieces

QUANTILES = {"d10": 0.1, "d50": 0.5, "d90": 0.9}
# Share of the particles in the tail that a figure hangs on; half of them where it hangs on none,
# none where no sample reaches far enough.
TAILS = {"d10": 0.1, "d90": 0.1, "lognormal_sigma": 0.1}
TAILS |= {"dv10": 0.1, "dv50": 0.1, "dv90": 0.0, "d43": 0.0, "d32": 0.0}
BY_VOLUME = ("d43", "d32", *(name.replace("d", "dv") for name in QUANTILES))
STATISTICS = ("mean", *QUANTILES, "lognormal_mu", "lognormal_sigma", *BY_VOLUME)
LEAST = 6  # particles, or images where those are drawn; of fewer there is no interval


@dataclass(frozen=True, eq=False)
class Sample:
    """Sizes with weights, and how they are drawn again.

    Attributes:
        values: (n,) above 0.
        weights: (n,) above 0; 1 each where none is to count more.
        groups: (n,) index from 0 of the group that is drawn as a whole (the image), or None where
            each value is drawn by itself.
        n_groups: how many groups there are, some perhaps without a value; ignored without groups.
    """

    values: np.ndarray
    weights: np.ndarray
    groups: np.ndarray | None = None
    n_groups: int = 0

    @property
    def units(self) -> int:
        """How many independent things there are."""
        return len(self.values) if self.groups is None else self.n_groups

    def counts(self, bootstrap: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """(b, n) int64 pieces of ``bootstrap`` rows: how often each value is drawn."""
        width = len(self.values)
        for counts in resamples_in_pieces(self.units, bootstrap, rng, width=width):
            yield counts if self.groups is None else counts[:, self.groups]


@dataclass(frozen=True)
class Drawing:
    """What an interval takes as independent of each other, and how it is drawn again.

    Attributes:
        over: "images", which are drawn as a whole; else what lies in them, one by one.
        bootstrap: resamples; 0: no intervals of what is drawn.
        level: of the intervals.
        seed: of what is drawn.
    """

    over: str = "particles"
    bootstrap: int = 1000
    level: float = 0.95
    seed: int = 0

    def per_area(
        self,
        parts: np.ndarray,
        places: np.ndarray,
        areas: np.ndarray,
        *,
        unseen: float = math.nan,
    ) -> Interval:
        """The sum of what each thing contributes, by the area of all images.

        Args:
            parts: (n,) above 0.
            places: (n,) index of the image of each; read where images are drawn.
            areas: (images,) of their fields.
            unseen: as for ``poisson_sum_interval``.
        """
        total = areas.sum() or math.nan
        if self.over != "images":
            bounds = poisson_sum_interval(parts, level=self.level, unseen=unseen)
            return Interval(bounds.value / total, bounds.low / total, bounds.high / total)
        sums = np.bincount(places, parts, len(areas))
        images = Sample(sums, np.ones(len(areas)))
        draws = images.counts(self.bootstrap, np.random.default_rng(self.seed))
        enough = len(areas) >= LEAST
        drawn = [counts @ sums / (counts @ areas) for counts in draws] if enough else []
        replicates = np.concatenate([np.zeros(0), *drawn])
        figure = sums.sum() / total
        return corrected_interval(figure, replicates, units=len(areas), level=self.level)


UNDEFINED = Interval(math.nan, math.nan, math.nan)


def size_statistics(
    sample: Sample, *, bootstrap: int, level: float, seed: int
) -> dict[str, Interval]:
    """Mean, quantiles and log-normal fit of a sample, each with its interval.

    Quantiles are Hazen's (piecewise linear through the middle of each value's weight). The
    log-normal fit is by moments of the logarithms, which is its maximum likelihood but for n - 1 in
    place of n. These count particles. ``BY_VOLUME`` are ISO 9276-2's moment ratios D[4,3], the mean
    weighted by volume, and D[3,2], Sauter's mean weighted by surface, and quantiles by volume; the
    volume is taken as the cube of the size.

    Returns:
        By the names of ``STATISTICS``; undefined for an empty sample. The interval alone is
        undefined below 6 values, and where the sample misses a tail more often than the interval
        may fail: D10, D90 and sigma need 36 values at 95 %, and Dv10 and Dv50 36 of Kish's
        effective number, (sum of the volumes)² / sum of their squares. The others by volume have
        none.
    """
    if not len(sample.values):
        return dict.fromkeys(STATISTICS, UNDEFINED)
    order = np.argsort(sample.values, kind="stable")
    groups = None if sample.groups is None else sample.groups[order]
    sample = Sample(sample.values[order], sample.weights[order], groups, sample.n_groups)
    figures = _figures(sample, np.ones((1, len(order)), np.int64))[:, 0]
    replicates = [np.zeros((len(STATISTICS), 0))]
    if sample.units >= LEAST:
        draws = sample.counts(bootstrap, np.random.default_rng(seed))
        replicates += [_figures(sample, counts) for counts in draws]
    volumes = sample.weights * sample.values**3
    effective = volumes.sum() ** 2 / (volumes**2).sum()
    found = {}
    for name, figure, replicate in zip(
        STATISTICS, figures, np.concatenate(replicates, axis=1), strict=True
    ):
        number = effective if name in BY_VOLUME else len(order)
        reached = (1 - TAILS.get(name, 0.5)) ** number <= (1 - level) / 2
        known = replicate if reached else replicate[:0]
        units = min(sample.units, number) if name in BY_VOLUME else sample.units
        found[name] = corrected_interval(figure, known, units=units, level=level)
    return found


def poisson_sum_interval(parts: np.ndarray, *, level: float, unseen: float = math.nan) -> Interval:
    """A sum over things that lie about independently of each other, such as particles in an image.

    The limits of Fay and Feuer (Statistics in Medicine 16, 791, 1997); for equal parts they are
    Garwood's exact ones of a Poisson number.

    Args:
        parts: (n,) what each contributes, above 0.
        unseen: what one would contribute where there is none; gives the upper limit there.
    """
    tail = (1 - level) / 2
    if not len(parts):
        return Interval(0.0, 0.0, -math.log(tail) * unseen)
    total, square, most = float(parts.sum()), float((parts**2).sum()), float(parts.max())
    low = square / total / 2 * chdtri(2 * total**2 / square, 1 - tail)
    above, wider = total + most, square + most**2
    high = wider / above / 2 * chdtri(2 * above**2 / wider, tail)
    return Interval(total, float(low), float(high))


def weighted_quantiles(
    values: np.ndarray, weights: np.ndarray, counts: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Hazen's quantiles of samples in which each value occurs several times.

    Args:
        values: (n,) ascending.
        weights: (n,) of one occurrence.
        counts: (B, n) occurrences in each sample.
        shares: (Q,) of the whole weight, 0 to 1.

    Returns:
        (Q, B); NaN for a sample of nothing.
    """
    sample, at = np.nonzero(counts)
    mass = counts[sample, at] * weights[at]
    # One long line: each value reaches over the middles of its first and its last occurrence.
    upper = np.cumsum(mass)
    ends = np.stack([upper - mass, upper - weights[at]], axis=1) + weights[at][:, None] / 2
    ends[:, 1] = np.maximum(ends[:, 1], ends[:, 0])  # equal but for rounding where it occurs once
    total = np.bincount(sample, mass, len(counts))
    before = np.cumsum(total) - total
    real = total > 0
    first = np.searchsorted(sample, np.flatnonzero(real))
    last = np.append(first[1:], len(sample))[: len(first)] - 1
    targets = before[real] + np.asarray(shares)[:, None] * total[real]
    found = np.full((len(targets), len(counts)), math.nan)
    targets = np.clip(targets, ends[first, 0], ends[last, 1])
    found[:, real] = np.interp(targets, ends.ravel(), np.repeat(values[at], 2))
    return found


def _figures(sample: Sample, counts: np.ndarray) -> np.ndarray:
    """(len(STATISTICS), B) of the samples that (B, n) counts stand for."""
    mass = counts * sample.weights
    total, number = mass.sum(axis=1), counts.sum(axis=1)
    logs = np.log(sample.values)
    centre = logs.mean()  # so that the squares lose no digit
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample of nothing is NaN
        mean, mu, spread = (
            mass @ x / total for x in (sample.values, logs - centre, (logs - centre) ** 2)
        )
        sigma = np.sqrt(np.maximum(spread - mu**2, 0) * number / (number - 1))
        square, cube, fourth = (mass @ sample.values**power for power in (2, 3, 4))
        moments = fourth / cube, cube / square
    shares = np.array([*QUANTILES.values()])
    by_number, by_volume = (
        weighted_quantiles(sample.values, weights, counts, shares)
        for weights in (sample.weights, sample.weights * sample.values**3)
    )
    return np.stack([mean, *by_number, mu + centre, sigma, *moments, *by_volume])
