"""What several formats state alike, as the points and runs of shapes: vertices, boxes, masks.

Formats state x, y; shapes hold (row, col).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from temzoo.labels.formats.limits import of_kind, require_finite, short
from temzoo.labels.shapes.run_lengths import decode_runs, mask_geometry


def numbers(values: Any, key: str, count: int | None = None) -> np.ndarray:
    """(N,) float64 of a list of finite numbers.

    Raises:
        ValueError: it is none, or has not ``count`` of them.
    """
    try:
        found = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.zeros((0, 0))
    if found.ndim != 1 or (count is not None and found.size != count):
        raise ValueError(
            f"{key} must be a list of {'' if count is None else f'{count} '}numbers. "
            f"Received: {key}={short(values)}. Correct or remove the annotation."
        )
    require_finite(found)
    return found


def vertices(values: Any, key: str, least: int = 1) -> np.ndarray:
    """(N, 2) float64, (row, col), of ``[x, y, x, y, …]`` or ``[[x, y], …]``.

    Raises:
        ValueError: it is neither, or holds less than ``least`` vertices.
    """
    if isinstance(values, list) and values and all(is_pair(pair) for pair in values):
        values = [number for pair in values for number in pair]
    flat = numbers(values, key)
    if flat.size < 2 * least or flat.size % 2:
        raise ValueError(
            f"{key} must be x, y pairs of at least {least} vertices. "
            f"Received: {flat.size} numbers. Draw it again, or remove the annotation."
        )
    return np.ascontiguousarray(flat.reshape(-1, 2)[:, ::-1])


def is_pair(values: Any) -> bool:
    return isinstance(values, list) and len(values) == 2


def stated(value: Mapping[str, Any], keys: Sequence[str]) -> list[float]:
    """The finite numbers that an object states under some keys.

    Raises:
        ValueError: one of them is missing or no number.
    """
    found = [of_kind(value.get(key), key, float) for key in keys]
    require_finite(np.array(found))
    return found


def box(left: float, top: float, width: float, height: float) -> np.ndarray:
    """(2, 2) points of a box; raises ValueError where its far corner is beyond any image."""
    points = np.array([[top, left], [top + height, left + width]])
    require_finite(points)
    return points


def ellipse(row: float, col: float, row_axis: float, col_axis: float) -> np.ndarray:
    """(2, 2) points of an ellipse; raises ValueError where a semi-axis is negative."""
    if min(row_axis, col_axis) < 0:
        raise ValueError(
            f"semi-axes must not be negative. Received: {col_axis} along x and {row_axis} along y. "
            "Draw it again, or remove the annotation."
        )
    return np.array([[row, col], [row_axis, col_axis]])


def coco_mask(stated: Mapping[str, Any], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and runs of COCO's ``{"size", "counts"}``, compressed or not.

    Raises:
        ValueError: when the size is not the image's, or the counts do not fill it.
    """
    if stated.get("size") != [height, width]:
        raise ValueError(
            "size must be the image's [height, width]. Received: "
            f"size={short(stated.get('size'))}, image {[height, width]}. Export it again."
        )
    counts = stated.get("counts")
    runs = decompress(counts) if isinstance(counts, str) else numbers(counts, "counts")
    if np.any(runs != np.floor(runs)):
        raise ValueError(
            f"counts must be whole numbers. Received: counts={str(counts)[:60]}. Export it again."
        )
    # Down the columns of the image is row-major in its transpose.
    return mask_geometry(decode_runs(runs, width, height).T)


def decompress(text: str) -> np.ndarray:
    """Run lengths, (R,) int64, down the columns, zeros first, of COCO's compressed string.

    Each number is written in groups of five bits, the lowest first, as the characters from "0"
    on; bit 5 says that more follow, bit 4 of the last is the sign. From the fourth number on, the
    difference to the one before the last is written.

    Raises:
        ValueError: when the string ends within a number or has other characters.

    Example:
        >>> decompress("52203")
        array([5, 2, 2, 2, 5])
    """
    # pycocotools decodes a damaged string to unset memory, so it is not asked.
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - 48
        if not 0 <= group < 64 or shift > 60:
            shift = 1  # not a string of this kind
            break
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            value -= (1 << shift) if group & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift or any(abs(run) >= 2**40 for run in runs):
        raise ValueError(
            "counts must be a compressed run-length string. "
            f"Received: counts={text[:60]!r} ({len(text)} characters). Export it again."
        )
    return np.array(runs, dtype=np.int64)


def compressed(pixels: np.ndarray) -> dict[str, Any]:
    """``{"size", "counts"}`` of (H, W) bool, as COCO compresses it."""
    # Imported here: only writing masks needs it.
    from pycocotools import mask as coco

    encoded = coco.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}
