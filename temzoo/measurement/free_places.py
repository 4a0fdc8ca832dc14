"""Where in a field a particle could have lain whole, and how much of it lies in the field.

Large particles meet the border more often than small ones, and also the scale bar and the letters
that are left out inside of it. So a particle that meets neither counts by the area of the field
over that of the places where its bounding box would meet neither: the border correction of ISO
13322-1 (Miles, 1974; Lantuéjoul, 1980), for a field with holes. At the border the weight is exact
for every shape; at the corners of a hole a round particle has a little more room than its box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from temzoo.measurement.pixel_runs import Runs

Box = tuple[int, int, int, int]
BLOCK = 4096  # sizes of bounding boxes at a time


def free_weights(boxes: np.ndarray, shape: tuple[int, int], left_out: Sequence[Box]) -> np.ndarray:
    """(N,) pixels of the field by places of each bounding box free of its edge, from 1 on.

    Args:
        boxes: (N, 4) int64 top, left, bottom, right of particles.
        shape: of the image; left_out: boxes in it that are no field, half-open.

    Returns:
        Infinite where there is no such place.
    """
    sizes, of_size = np.unique(boxes[:, 2:] - boxes[:, :2], axis=0, return_inverse=True)
    blocks = np.array_split(sizes, len(sizes) // BLOCK + 1)
    places = np.concatenate([_free_places(block, shape, left_out) for block in blocks])
    whole = np.zeros((1, 2), np.int64)  # of no size, and without an edge: the field itself
    field = float(_covered_by(whole, (0, 0, *shape), left_out)[0])
    with np.errstate(divide="ignore"):
        return (field / places)[of_size.ravel()]


def in_field_px(runs: Runs, left_out: Sequence[Box]) -> np.ndarray:
    """(N,) pixels of each particle that lie in none of the boxes."""
    bands = np.unique([0, *(row for top, _, bottom, _ in left_out for row in (top, bottom))])
    field = np.ones((len(bands), runs.shape[1]), bool)  # all rows of a band are alike
    for top, left, bottom, right in left_out:
        field[(top <= bands) & (bands < bottom), left:right] = False
    before = np.pad(np.cumsum(field, axis=1), ((0, 0), (1, 0)))
    band = np.searchsorted(bands, runs.row, side="right") - 1
    return runs.sums(before[band, runs.stop] - before[band, runs.start])


def _free_places(sizes: np.ndarray, shape: tuple[int, int], left_out: Sequence[Box]) -> np.ndarray:
    """(M,) places of boxes of (M, 2) sizes at which they meet neither edge nor what is left out."""
    # A pixel away from the edge, or the particle might be cut.
    inner = 1, 1, shape[0] - 1, shape[1] - 1
    around = [(top - 1, left - 1, bottom + 1, right + 1) for top, left, bottom, right in left_out]
    return _covered_by(sizes, inner, around)


def _covered_by(sizes: np.ndarray, inner: Box, holes: Sequence[Box]) -> np.ndarray:
    """(M,) places of a box's corner at which it lies within ``inner`` and outside of all holes."""
    edges, taken = [], []
    for axis in (0, 1):
        size = np.maximum(sizes[:, axis], 1)[:, None]
        first, last = inner[axis], np.maximum(inner[axis + 2] - size + 1, inner[axis])
        low, high = (np.array([hole[axis + k] for hole in holes], np.int64) for k in (0, 2))
        low, high = np.clip(low - size + 1, first, last), np.clip(high[None], first, last)
        ends = np.sort(np.concatenate([np.full_like(size, first), last, low, high], axis=1), axis=1)
        begins = ends[:, :-1, None]
        edges.append(np.diff(ends, axis=1))
        taken.append((low[:, None] <= begins) & (begins < high[:, None]))  # (M, stretches, holes)
    hit = (taken[0][:, :, None] & taken[1][:, None]).any(axis=-1)
    return (edges[0][:, :, None] * edges[1][:, None] * ~hit).sum(axis=(1, 2))
