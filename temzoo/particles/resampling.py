"""Resizes a window of a micrograph that may begin and end inside pixels."""

from __future__ import annotations

import numpy as np

from temzoo.particles.plan import Pair


def resample(pixels: np.ndarray, starts: Pair, sides: Pair, size: int) -> np.ndarray:
    """A window that may start and end inside pixels, in another number of them.

    Args:
        pixels: (h, w) or (h, w, C), any real dtype; the window lies inside, by half a pixel at
            least where it is enlarged.
        starts: (row, col) of its corner, in continuous coordinates.
        sides: rows and columns that it spans.
        size: of the result.

    Returns:
        (size, size) or (size, size, C) in the dtype of ``pixels``: along each axis the mean over
        a new pixel's extent where that is a pixel or more, else linear interpolation.
    """
    down, along = (
        _weights(length, start, side, size)
        for length, start, side in zip(pixels.shape, starts, sides, strict=False)
    )
    rows = np.tensordot(down, pixels.astype(np.float64), 1)
    values = np.moveaxis(np.tensordot(along, rows, (1, 1)), 0, 1)
    return (np.rint(values) if pixels.dtype.kind in "biu" else values).astype(pixels.dtype)


def _weights(length: int, start: float, side: float, size: int) -> np.ndarray:
    """(size, length) shares of the old pixels in each new one; each row sums to 1."""
    step, old = side / size, np.arange(length)
    first = start + step * np.arange(size)[:, None]
    if step >= 1:
        shares = np.minimum(first + step, old + 1) - np.maximum(first, old)
    else:
        shares = 1 - np.abs(first + step / 2 - (old + 0.5))
    shares = np.maximum(shares, 0)
    return shares / shares.sum(axis=1, keepdims=True)
