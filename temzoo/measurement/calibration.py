"""Nanometres per pixel that somebody gives by hand."""

from __future__ import annotations

import math

import numpy as np

Pair = tuple[float, float]


def nm_per_pixel_from_scale_bar(start: Pair, end: Pair, length_nm: float) -> float:
    """The size of a pixel, from the two ends of a scale bar; pixels are taken as square.

    Args:
        start, end: (row, col) of the bar's ends in pixels, anywhere across its thickness. From its
            first edge to its last: a bar that covers columns 100 to 299 ends at 100 and 300.
        length_nm: what is written beside it.

    Raises:
        ValueError: the ends are one point, or a number is not finite, or the length not above 0.

    Example:
        >>> nm_per_pixel_from_scale_bar((980, 100), (980, 300), 50)
        0.25
    """
    numbers = np.array([*start, *end, length_nm], float)
    length_px = math.dist(start, end)
    if not np.isfinite(numbers).all() or length_px == 0 or length_nm <= 0:
        raise ValueError(
            "a scale bar has two ends (row, col) that differ, and a length above 0 nm. Received: "
            f"start={tuple(start)}, end={tuple(end)}, length_nm={length_nm}. Read both ends off in "
            "an image program."
        )
    return length_nm / length_px


def checked_nm_per_pixel(nm_per_pixel: float | Pair) -> Pair:
    """A (row, col) pair of what may be one number.

    Raises:
        ValueError: not one or two finite numbers above 0.
    """
    values = np.asarray(nm_per_pixel, float)
    if values.shape not in ((), (2,)) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(
            "nm_per_pixel must be one number or a pair (row, col), finite and above 0. Received: "
            f"nm_per_pixel={nm_per_pixel!r}. Read it off the microscope, or use a scale bar: "
            "nm_per_pixel_from_scale_bar."
        )
    row, col = np.broadcast_to(values, 2)
    return float(row), float(col)
