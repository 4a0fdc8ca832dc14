"""Necks: where a particle is thinner between two thick places, as aggregates are where they touch.

Each pixel has its distance from the outline, as a share of the largest in its particle: its depth
(Borgefors, Computer Vision, Graphics, and Image Processing 34, 344, 1986, and the pieces of
ultimate erosion, Serra, Image Analysis and Mathematical Morphology, 1982, chapter XI). Where the
outline moves inwards, two discs that touch part at their neck before either is gone; the lobes of
a single body are gone before they would part from it. The neck's depth is how far the second of two
parted pieces reaches beyond the level at which they part: nearly 1 for two equal discs that touch
in a point, 0 for one body, since the depth of a convex one has a single maximum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from temzoo.measurement.pixel_runs import Runs

LEVELS = np.arange(0.1, 0.95, 0.05)
ACROSS = 40  # steps over a particle: depths of larger ones are looked at in coarser steps


def neck_depths(runs: Runs, spacing: tuple[float, float], concave: np.ndarray) -> np.ndarray:
    """(N,) from 0 to 1: of each particle's deepest neck, to a twentieth; 0 where it has none.

    Args:
        spacing: (row, col) of a pixel.
        concave: (N,) bool: the particles that are looked at; a convex one has no neck.
    """
    found = np.zeros(len(runs))
    at = np.flatnonzero(concave)
    for index, mask in zip(at, _masks(runs, at), strict=True):
        found[index] = _neck_depth(mask, spacing)
    return found


def _masks(runs: Runs, at: np.ndarray) -> Iterator[np.ndarray]:
    """The pixels of some particles, (h, w) bool with one pixel around."""
    for index in at:
        top, left, bottom, right = runs.boxes[index]
        last = runs.first[index + 1] if index + 1 < len(runs) else len(runs.row)
        own = slice(runs.first[index], last)
        row, start, stop = runs.row[own] - top + 1, runs.start[own], runs.stop[own]
        ends = np.zeros((bottom - top + 2, right - left + 3), np.int8)
        np.add.at(ends, (row, start - left + 1), 1)
        np.add.at(ends, (row, stop - left + 1), -1)
        yield np.cumsum(ends, axis=1)[:, :-1] > 0


def _neck_depth(mask: np.ndarray, spacing: tuple[float, float]) -> float:
    # From the centre of a pixel to the outline, which lies half a pixel before the next centre.
    depth = np.maximum(ndimage.distance_transform_edt(mask, spacing) - min(spacing) / 2, 0)
    step = max(round(np.sqrt(np.count_nonzero(mask)) / ACROSS), 1)
    depth = depth[::step, ::step] / (depth[::step, ::step].max() or 1.0)
    return max(_beyond(depth, level) for level in LEVELS)


def _beyond(depth: np.ndarray, level: float) -> float:
    """How far the second highest piece reaches beyond a level; 0 where there is one alone."""
    numbered, count = ndimage.label(depth >= level)
    if count < 2:
        return 0.0
    peaks = np.sort(ndimage.maximum(depth, numbered, np.arange(1, count + 1)))
    return float(peaks[-2] - level)
