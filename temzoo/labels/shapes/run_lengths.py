"""Run lengths of a mask as CVAT writes them: row-major, the first run counts zeros."""

from __future__ import annotations

import numpy as np


def encode_runs(mask: np.ndarray) -> np.ndarray:
    """Run lengths of a mask, (R,) int64: zeros and ones in turn, zeros first.

    The first is 0 where the mask begins with a one. They sum to H x W; an empty mask has none.

    Example:
        >>> encode_runs(np.array([[True, True, False]]))
        array([0, 2, 1])
    """
    pixels = np.asarray(mask, dtype=bool).ravel()
    if pixels.size == 0:
        return np.zeros(0, dtype=np.int64)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = np.concatenate([[0], changes, [pixels.size]])
    runs = np.diff(edges).astype(np.int64)
    return np.concatenate([np.zeros(1, np.int64), runs]) if pixels[0] else runs


def decode_runs(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask, (height, width) bool, of (R,) row-major run lengths, zeros first.

    Raises:
        ValueError: when a run is negative or they do not sum to height x width.
    """
    runs = np.asarray(runs, dtype=np.int64)
    check_runs(runs, height, width)
    ones = np.zeros(runs.size, dtype=bool)
    ones[1::2] = True
    return np.repeat(ones, runs).reshape(height, width)


def check_runs(runs: np.ndarray, height: int, width: int) -> None:
    """Raises ValueError unless the runs fill a mask of height x width exactly."""
    if runs.size and runs.min() < 0:
        raise ValueError(f"run lengths must not be negative. Received: {runs.min()}.")
    # Python's integers: runs from outside may be large enough to wrap around in int64.
    total = int(runs.sum()) if runs.size == 0 or runs.max() < 2**40 else sum(runs.tolist())
    if total != height * width:
        raise ValueError(
            "run lengths must sum to height x width. "
            f"Received: sum={total}, height={height}, width={width} ({height * width} pixels). "
            "Label the object again, or remove it from the file."
        )


def mask_geometry(mask: np.ndarray, row: int = 0, col: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points and runs of a mask Shape, cropped to the pixels that are set.

    Args:
        mask: (H, W) bool, whose first pixel lies at ``row``, ``col`` of the image.

    Returns:
        points: (2, 2) float64, [[top, left], [bottom, right]] in the image.
        runs: (R,) int64. Where nothing is set, one empty pixel at ``row``, ``col``.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    cols = np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        corner = np.array([[row, col], [row + 1, col + 1]], dtype=np.float64)
        return corner, np.ones(1, dtype=np.int64)
    top, bottom, left, right = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
    points = np.array([[row + top, col + left], [row + bottom, col + right]], dtype=np.float64)
    return points, encode_runs(mask[top:bottom, left:right])
