"""Blind spots: pixels that are hidden from a network, to be told from those around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# One pixel of 8 x 8 is blind: 64 of 64 x 64, the number of Krull et al.
BLIND_CELL_PX = 8
BLIND_REACH_PX = 2  # a neighbour comes from the 5 x 5 about the pixel


def blind_spots(pixels: np.ndarray, seed: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Replaces one pixel of each 8 x 8 by one of its neighbours.

    Args:
        pixels: (H, W, C).
        seed: whole numbers from 0 on.

    Returns:
        (H, W, C) pixels, in which each such pixel has the value of another one of the 5 x 5 about
        it, as far as that lies in the image; and (H, W) float32 weights, 1 there and 0 elsewhere.
    """
    rng = np.random.default_rng(seed)
    places = _stratified(pixels.shape[:2], rng)
    neighbours = _neighbours(places, pixels.shape[:2], rng)
    hidden = pixels.copy()
    hidden[tuple(places)] = pixels[tuple(neighbours)]
    weight = np.zeros(pixels.shape[:2], np.float32)
    weight[tuple(places)] = 1
    return hidden, weight


def _stratified(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(2, N) rows and columns, one in each cell; of a cut cell, as often as it is there."""
    corners = np.mgrid[tuple(slice(0, n, BLIND_CELL_PX) for n in size)].reshape(2, -1)
    places = corners + rng.integers(BLIND_CELL_PX, size=corners.shape)
    return places[:, (places < np.array(size)[:, None]).all(axis=0)]


def _neighbours(places: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(2, N) one other pixel each from the 5 x 5 about a place, cut at the border."""
    first = np.maximum(places - BLIND_REACH_PX, 0)
    last = np.minimum(places + BLIND_REACH_PX, np.array(size)[:, None] - 1)
    rows, cols = last - first + 1
    own = (places[0] - first[0]) * cols + places[1] - first[1]
    drawn = rng.integers(rows * cols - 1)
    drawn += drawn >= own  # all but the pixel itself
    return first + np.stack([drawn // cols, drawn % cols])
