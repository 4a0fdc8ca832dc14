"""Measures that tell a sound shape from a slip of the mouse; ``check`` puts them into words.

Masks are bool windows as ``raster`` makes them, points (N, 2) as (row, col).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from temzoo.labels.shapes.windows import Window, area

PAIRS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Hole:
    """A patch of background with no way out to the image's border.

    ``row``, ``col`` is a pixel of it, ``objects`` are the numbers of those around it, ascending.
    """

    row: int
    col: int
    area_px: int
    objects: tuple[int, ...]


def is_collinear(points: np.ndarray) -> bool:
    """Whether all points lie on one line, or on one point: the polygon has no area."""
    offsets = points - points[0]
    distances = np.hypot(*offsets.T)
    far = offsets[distances.argmax()]
    crosses = offsets[:, 0] * far[1] - offsets[:, 1] * far[0]
    # 1e-12: what rounding leaves of a cross product of float64.
    return bool(np.abs(crosses).max() <= 1e-12 * max(1.0, distances.max()) ** 2)


def self_crossing(points: np.ndarray) -> tuple[float, float] | None:
    """(row, col) where two edges of a polygon cross; None when none do.

    Edges that only meet, at a shared vertex or along a line, do not cross.

    Args:
        points: (N, 2) vertices, closed implicitly.
    """
    starts, ends = points, np.roll(points, -1, axis=0)
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    for first, second in _overlapping(low, high):
        a, b, c, d = starts[first], ends[first], starts[second], ends[second]
        side_c, side_d = _side(a, b, c), _side(a, b, d)
        side_a, side_b = _side(c, d, a), _side(c, d, b)
        crosses = (side_c * side_d < 0) & (side_a * side_b < 0)
        if crosses.any():
            k = crosses.argmax()
            share = side_a[k] / (side_a[k] - side_b[k])
            row, col = a[k] + share * (b[k] - a[k])
            return float(row), float(col)
    return None


def solidity(mask: np.ndarray) -> float:
    """Pixels of a mask over pixels of its convex hull; 1 for whatever was convex when drawn.

    The hull is that of the pixels' centres, and it counts the centres within it, by Pick's
    theorem (area = inside + border / 2 - 1). The centres within a convex shape have a hull within
    that shape, hence exactly 1 at any size: there is no bias from the staircase of the pixels.

    Args:
        mask: (H, W) bool, with at least one pixel.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    ends = np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)])
    hull = cv2.convexHull(ends.astype(np.int32))[:, 0].astype(np.int64)
    border = int(np.gcd(*np.abs(np.roll(hull, -1, axis=0) - hull).T).sum())
    return int(mask.sum()) / ((round(2 * area(hull)) + border) // 2 + 1)


def enclosed_holes(numbers: np.ndarray) -> list[Hole]:
    """Patches of background (joined through pixel edges) that do not reach the image's border.

    Args:
        numbers: (H, W) integers, 0 background, 1..N objects, as ``raster.instance_map`` gives.
    """
    holes = []
    patches, _ = ndimage.label(numbers == 0)
    # Not by skimage's clear_border and regionprops, which take more than twice as long.
    border = np.concatenate([patches[0], patches[-1], patches[:, 0], patches[:, -1]])
    outside = set(np.unique(border).tolist())
    for patch, (rows, cols) in enumerate(ndimage.find_objects(patches), start=1):
        if patch in outside:
            continue
        # The patch does not reach the border, so one pixel more on each side is in the image.
        around = slice(rows.start - 1, rows.stop + 1), slice(cols.start - 1, cols.stop + 1)
        inside = patches[around] == patch
        ring = ndimage.binary_dilation(inside) & ~inside
        row, col = np.argwhere(inside)[0].tolist()
        objects = tuple(np.unique(numbers[around][ring]).tolist())
        holes.append(Hole(rows.start - 1 + row, cols.start - 1 + col, int(inside.sum()), objects))
    return holes


def near_pairs(windows: list[Window]) -> Iterator[tuple[int, int]]:
    """Pairs of windows whose rectangles meet or overlap, as indices (i < j)."""
    low = np.array([window[:2] for window in windows], dtype=np.float64).reshape(-1, 2)
    shapes = np.array([window[2].shape for window in windows], dtype=np.float64).reshape(-1, 2)
    for first, second in _overlapping(low, low + shapes):
        for i, j in zip(first.tolist(), second.tolist(), strict=True):
            yield min(i, j), max(i, j)


def shared_pixels(one: Window, other: Window) -> tuple[int, bool]:
    """How many pixels two windows share; and whether they share one, or the edge between two."""
    top, left = max(one[0], other[0]) - 1, max(one[1], other[1]) - 1
    bottom = min(one[0] + one[2].shape[0], other[0] + other[2].shape[0]) + 1
    right = min(one[1] + one[2].shape[1], other[1] + other[2].shape[1]) + 1
    a, b = (_cut(window, (top, left, bottom, right)) for window in (one, other))
    shared = int((a & b).sum())
    touching = (
        shared > 0
        or (a[1:] & b[:-1]).any()
        or (a[:-1] & b[1:]).any()
        or (a[:, 1:] & b[:, :-1]).any()
        or (a[:, :-1] & b[:, 1:]).any()
    )
    return shared, bool(touching)


def _cut(window: Window, frame: tuple[int, int, int, int]) -> np.ndarray:
    """A window's pixels within a frame (top, left, bottom, right), False beyond the window."""
    row, col, pixels = window
    top, left, bottom, right = frame
    cut = np.zeros((max(0, bottom - top), max(0, right - left)), dtype=bool)
    first, start = max(top, row), max(left, col)
    inner = pixels[first - row : max(0, bottom - row), start - col : max(0, right - col)]
    place = slice(first - top, first - top + inner.shape[0])
    cut[place, start - left : start - left + inner.shape[1]] = inner
    return cut


def _side(start: np.ndarray, end: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Sign tells on which side of the line start-end a point lies; 0 on it. All (K, 2)."""
    along, offset = end - start, point - start
    return along[:, 0] * offset[:, 1] - along[:, 1] * offset[:, 0]


def _overlapping(low: np.ndarray, high: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Index pairs of the rectangles that meet, each once, some at a time; corners are (N, 2).

    A sweep along the rows: sorted by upper edge, a rectangle meets only those that begin before
    it ends, so that the short edges of a long contour cost near N, not N².
    """
    order = np.argsort(low[:, 0], kind="stable")
    stops = np.searchsorted(low[order, 0], high[order, 0], side="right")
    counts = stops - np.arange(len(order)) - 1
    total = np.cumsum(counts)
    done = 0
    while done < len(order):
        base = total[done - 1] if done else 0
        end = max(done + 1, int(np.searchsorted(total, base + PAIRS_AT_ONCE, side="right")))
        block = np.arange(done, end)
        first = np.repeat(block, counts[block])
        before = np.repeat(total[block] - counts[block] - base, counts[block])
        second = first + 1 + np.arange(len(first)) - before
        done = end
        i, j = order[first], order[second]
        meet = (low[i, 1] <= high[j, 1]) & (low[j, 1] <= high[i, 1])
        yield i[meet], j[meet]
