"""Whether images differ in what lies in them by more than chance.

Intervals of several images together take their particles as independent of each other. They are
too narrow where the images differ, since another choice of images would then give another figure.
Sizes are compared by Kruskal and Wallis' test of ranks (Journal of the American Statistical
Association 47, 583, 1952), numbers by the dispersion of a Poisson process, each by its quantile of
chi squared.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from temzoo.measurement.counted import Counted, Pair
from temzoo.measurement.resampling import LEAST
from temzoo.measurement.summary import sized

RARE = 0.01  # images that differ by chance alone are said to differ so often
SIZES, NUMBER = "size", "number"


def differing(
    particles: Counted, fields: Mapping[str, Pair], *, border: str = "exclude"
) -> tuple[str, ...]:
    """In what the images differ by more than chance: "size", "number", both or nothing.

    Args:
        fields: (height, width) of each image, also of those without a particle.
        border: as for ``temzoo.summarize``.
    """
    columns = particles.columns
    free = columns[columns["large"] & columns["free"]]
    if len(fields) < 2 or len(free) < LEAST:
        return ()
    areas = np.array([height * width for height, width in fields.values()])
    places = pd.Index(list(fields)).get_indexer(free["image"])
    weights = free["weight"].to_numpy()
    chances = {
        SIZES: _of_sizes(particles, border),
        NUMBER: _of_numbers(weights, places, areas),
    }
    return tuple(name for name, chance in chances.items() if chance < RARE)


def _of_sizes(particles: Counted, border: str) -> float:
    """Chance that images alike differ so much in their ranks."""
    numbers = np.arange(len(particles.columns), dtype=float)
    there = sized(particles.replaced(size=numbers), border=border)[0].astype(int)
    table = particles.columns.iloc[there]
    table = table[table["size"].notna()]
    ranks, count = table["size"].rank(), len(table)
    groups = ranks.groupby(table["image"].astype(str))
    ties = table["size"].value_counts().to_numpy(float)
    spread = (count**3 - count - (ties**3 - ties).sum()) / 12 / max(count - 1, 1)
    if groups.ngroups < 2 or not spread:
        return 1.0
    between = (groups.size() * (groups.mean() - (count + 1) / 2) ** 2).sum()
    return float(chdtrc(groups.ngroups - 1, between / spread))


def _of_numbers(weights: np.ndarray, places: np.ndarray, areas: np.ndarray) -> float:
    """Chance that images alike differ so much in their number per area."""
    sums = np.bincount(places, weights, len(areas))
    expected = sums.sum() * areas / areas.sum()
    each = (weights**2).sum() / weights.sum()  # what a particle counts
    return float(chdtrc(len(areas) - 1, ((sums - expected) ** 2 / expected).sum() / each))


def told(names: tuple[str, ...], images: int) -> str:
    """What it means for intervals of all images together, in a sentence; "" of nothing."""
    if not names:
        return ""
    remedy = "draw whole images" if images >= LEAST else f"take {LEAST} images and draw them whole"
    return (
        f"The images differ in {' and '.join(names)} by more than chance: intervals of all together"
        f" by their particles are too narrow; {remedy}, with --over images."
    )
