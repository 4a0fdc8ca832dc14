"""What is one object, where a map tells classes alone: the rule for labels and predictions alike.

Pixels of one class that share a side belong together. Where two such parts meet at a corner alone,
they are one object if either is a thin line, one without a square of 2 x 2 pixels: a crack or a
dislocation goes on across corners, while two grains that meet at a corner are two.
"""

from __future__ import annotations

import numpy as np

BLOCK_ROWS = 64  # rows per step, so that temporaries stay small


def connected_components(classes: np.ndarray) -> np.ndarray:
    """Numbers the objects of a class map, in reading order.

    Works in blocks of rows that are joined afterwards, so that beside the result it needs little
    memory.

    Args:
        classes: (H, W) integer or bool class map; 0 is background.

    Returns:
        (H, W) int32; 0 is background, 1..N number the objects.
    """
    from skimage.measure import label

    numbered = np.zeros(classes.shape, np.int32)
    found, joins = 0, []
    for top in range(0, classes.shape[0], BLOCK_ROWS):
        rows = slice(top, top + BLOCK_ROWS)
        block, count = label(classes[rows], background=0, connectivity=1, return_num=True)
        np.add(block, found, out=numbered[rows], where=block > 0, casting="unsafe")
        if top:
            same = (classes[top - 1] == classes[top]) & (classes[top] > 0)
            joins.append(np.unique(numbered[top - 1 : top + 1, same], axis=1))
        found += count
    _join(numbered, found, joins)
    _join(numbered, found, [_thin_corners(numbered, classes)])
    return numbered


def renumber(instances: np.ndarray, numbers: np.ndarray) -> None:
    """Replaces number k by numbers[k], in place and in blocks of rows."""
    numbers = numbers.astype(np.int32)
    for top in range(0, len(instances), BLOCK_ROWS):
        rows = instances[top : top + BLOCK_ROWS]
        rows[...] = numbers[rows]


def _join(numbered: np.ndarray, found: int, pairs: list[np.ndarray]) -> None:
    """Gives the objects of (2, P) pairs one number, in place."""
    from scipy import sparse

    first, second = np.concatenate([np.zeros((2, 0), np.int32), *pairs], axis=1)
    if len(first):
        graph = sparse.coo_array((np.ones(len(first), bool), (first, second)), (found + 1,) * 2)
        renumber(numbered, sparse.csgraph.connected_components(graph, directed=False)[1])


def _thin_corners(numbered: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(2, P) parts of one class that meet at a corner, of which one at least is thin."""
    thick = np.zeros(int(numbered.max(initial=0)) + 1, bool)
    pairs = []
    for top in range(0, len(numbered), BLOCK_ROWS):
        rows = slice(top, top + BLOCK_ROWS + 1)
        part, kind = numbered[rows], classes[rows]
        upper, lower = part[:-1], part[1:]
        square = (upper[:, :-1] == upper[:, 1:]) & (upper == lower)[:, :-1]
        thick[upper[:, :-1][square & (upper[:, 1:] == lower[:, 1:])]] = True
        for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[1:], np.s_[:-1])):
            above, below = upper[:, one], lower[:, other]
            meet = (kind[:-1, one] == kind[1:, other]) & (above > 0) & (above != below)
            pairs.append(np.unique(np.stack([above[meet], below[meet]]), axis=1))
    met = np.concatenate([np.zeros((2, 0), np.int32), *pairs], axis=1)
    return met[:, ~thick[met].all(axis=0)]
