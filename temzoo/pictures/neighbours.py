"""Which objects of a picture are neighbours, and colours in which no two of them are alike."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from temzoo.core.types import Detection
from temzoo.pictures.colours import CLASS_COLOURS

REACH = (1, 3, 6)  # pixels at which a neighbour is looked for, in eight directions
TINTS = (0.0, 0.5, -0.4)  # towards white, towards black: further colours where all are taken


def neighbours(labels: np.ndarray) -> np.ndarray:
    """(2, P) pairs of the numbers of a map (H, W) that lie within about 6 px of each other."""
    height, width = labels.shape
    pairs = [np.zeros((2, 0), np.int64)]
    for step in REACH:
        for down, along in ((0, step), (step, 0), (step, step), (step, -step)):
            if down >= height or step > width:
                continue
            one = labels[: height - down, max(-along, 0) : width - max(along, 0)]
            other = labels[down:, max(along, 0) : width - max(-along, 0)]
            differ = one != other
            one, other = one[differ], other[differ]
            meet = (one > 0) & (other > 0)
            pairs.append(_unique(one[meet], other[meet]))
    return _unique(*np.concatenate(pairs, axis=1))


def neighbours_of_objects(objects: Sequence[Detection], shape: tuple[int, int]) -> np.ndarray:
    """The same of objects that may overlap, numbered from 1: those that do are neighbours too."""
    canvas = np.zeros(shape, np.int64)
    pairs = [np.zeros((2, 0), np.int64)]
    for number, one in enumerate(objects, start=1):
        height, width = one.mask.shape
        window = canvas[one.top : one.top + height, one.left : one.left + width]
        below = np.unique(window[one.mask])
        below = below[below > 0]
        pairs.append(np.stack([below, np.full(len(below), number)]))
        window[one.mask] = number
    return _unique(*np.concatenate([*pairs, neighbours(canvas)], axis=1))


def colour_numbers(pairs: np.ndarray, count: int) -> np.ndarray:
    """(count + 1,) int64 numbers of ``palette``, by the object's number; two of a pair differ.

    Greedy, the object with the fewest neighbours last, then the one with the fewest of those that
    are left … (Matula & Beck, JACM 30, 417, 1983, doi:10.1145/2402.322385). Of areas that touch,
    six colours are enough so; of the first seven, the rarest that is free is taken.
    """
    near: list[list[int]] = [[] for _ in range(count + 1)]
    for one, other in pairs.T.tolist():
        near[one].append(other)
        near[other].append(one)
    chosen, used = np.full(count + 1, -1), np.zeros(len(CLASS_COLOURS), np.int64)
    for k in reversed(_fewest_first(near)):
        taken = {int(chosen[other]) for other in near[k]}
        free = [colour for colour in range(len(used)) if colour not in taken]
        if free:
            chosen[k] = min(free, key=used.__getitem__)
            used[chosen[k]] += 1
        else:
            chosen[k] = next(c for c in range(len(used), count + len(used)) if c not in taken)
    return chosen


def palette(numbers: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 colours: the seven of classes, then the same lighter, then darker."""
    tints = np.array([_tinted(c, t) for t in TINTS for c in CLASS_COLOURS])
    return np.rint(tints[numbers % len(tints)]).astype(np.uint8)


def _tinted(colour: tuple[int, int, int], tint: float) -> np.ndarray:
    return np.array(colour) * (1 - abs(tint)) + 255 * max(tint, 0.0)


def _unique(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(2, P) different pairs, the smaller number first."""
    low, high = np.minimum(one, other).astype(np.int64), np.maximum(one, other)
    base = int(high.max(initial=0)) + 1
    return np.stack(np.divmod(np.unique(low * base + high), base))


def _fewest_first(near: Sequence[Sequence[int]]) -> list[int]:
    """Objects 1 …, each time the one with the fewest neighbours among those that are left."""
    left = [len(others) for others in near]
    heap = [(left[k], k) for k in range(1, len(near))]
    heapq.heapify(heap)
    order, gone = [], [False] * len(near)
    while heap:
        degree, k = heapq.heappop(heap)
        if gone[k] or degree != left[k]:
            continue
        gone[k] = True
        order.append(k)
        for other in near[k]:
            if not gone[other]:
                left[other] -= 1
                heapq.heappush(heap, (left[other], other))
    return order
