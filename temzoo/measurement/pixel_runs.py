"""Particles as horizontal runs of pixels: the form in which both kinds of prediction are measured.

A map of instances and the overlapping masks of a detector become the same list of runs, and all
that is measured of a shape is a sum over its runs, or over the ends of its rows. So ten thousand
particles take a few NumPy calls, whatever their size, and a large map is never copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from temzoo.core.types import Detection

BLOCK_ROWS = 1024  # of a map that is looked through at a time


@dataclass(frozen=True, eq=False)
class Runs:
    """The pixels of N particles in R runs, sorted by particle, row and column.

    A particle may consist of several pieces, and particles may overlap.

    Attributes:
        numbers: (N,) int64 number of each particle, ascending; each has at least one run.
        particle: (R,) int64 index into ``numbers``.
        row: (R,) int64.
        start, stop: (R,) int64 first column, and the one after the last.
        shape: (H, W) of the micrograph.
    """

    numbers: np.ndarray
    particle: np.ndarray
    row: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.numbers)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(N,) float64: the sum over each particle's runs of (R,) values."""
        return np.bincount(self.particle, weights=values, minlength=len(self))

    @cached_property
    def first(self) -> np.ndarray:
        """(N,) index of each particle's first run."""
        return np.searchsorted(self.particle, np.arange(len(self)))

    @cached_property
    def area_px(self) -> np.ndarray:
        """(N,) int64."""
        return self.sums(self.stop - self.start).astype(np.int64)

    @cached_property
    def boxes(self) -> np.ndarray:
        """(N, 4) int64: top, left, bottom, right in pixels, the last two excluded."""
        if not len(self):
            return np.zeros((0, 4), np.int64)
        top, left = (np.minimum.reduceat(ends, self.first) for ends in (self.row, self.start))
        last, right = (np.maximum.reduceat(ends, self.first) for ends in (self.row, self.stop))
        return np.stack([top, left, last + 1, right], axis=1)

    @cached_property
    def touches_border(self) -> np.ndarray:
        """(N,) bool: it has pixels in the first or last row or column, so that it may be cut."""
        return (self.boxes == (0, 0, *self.shape)).any(axis=1)

    def picked(self, keep: np.ndarray) -> Runs:
        """Those particles alone where the (N,) bool ``keep`` is set."""
        kept = keep[self.particle]
        particle = (np.cumsum(keep) - 1)[self.particle[kept]]
        runs = (part[kept] for part in (self.row, self.start, self.stop))
        return Runs(self.numbers[keep], particle, *runs, self.shape)


def runs_of_map(instances: np.ndarray) -> Runs:
    """The particles of an (H, W) integer map; 0 is background, numbers may have gaps."""
    blocks = [
        _block_runs(instances[top : top + BLOCK_ROWS], top)
        for top in range(0, instances.shape[0], BLOCK_ROWS)
    ]
    return _sorted(np.concatenate([np.zeros((4, 0), np.int64), *blocks], axis=1), instances.shape)


def runs_of_detections(detections: Sequence[Detection], shape: tuple[int, int]) -> Runs:
    """Each detection's own mask, so that overlaps survive; detection k - 1 has the number k.

    Other objects with a top, a left and a mask do as well. ``shape`` is the micrograph's.
    """
    parts = [np.zeros((4, 0), np.int64)]
    for number, one in enumerate(detections, start=1):
        runs = _block_runs(one.mask.astype(np.uint8), one.top)
        parts.append(runs * [[number], [1], [1], [1]] + [[0], [0], [one.left], [one.left]])
    return _sorted(np.concatenate(parts, axis=1), shape)


def _block_runs(block: np.ndarray, top: int) -> np.ndarray:
    """(4, R) int64 number, row, start and stop of all runs, row by row."""
    begins = np.ones(block.shape, bool)  # the first pixel of a row always begins a run
    np.not_equal(block[:, 1:], block[:, :-1], out=begins[:, 1:])
    at = np.flatnonzero(begins)
    number = block.ravel()[at]
    ends = np.append(at[1:], block.size)[number > 0]
    rows, starts = np.divmod(at[number > 0], block.shape[1])
    stops = ends - rows * block.shape[1]
    return np.stack([number[number > 0].astype(np.int64), rows + top, starts, stops])


def _sorted(runs: np.ndarray, shape: tuple[int, int]) -> Runs:
    number, row, start, stop = runs
    order = np.argsort(number, kind="stable")  # rows and columns keep their order
    numbers, particle = np.unique(number[order], return_inverse=True)
    return Runs(numbers, particle, row[order], start[order], stop[order], tuple(shape[:2]))
