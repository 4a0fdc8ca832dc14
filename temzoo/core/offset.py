"""Pixels far from zero: what is taken off them before they become float32."""

from __future__ import annotations

import numpy as np

LEVELS = 4096  # that float32 should tell apart in an image


def offset_of(pixels: np.ndarray) -> float:
    """The middle of the pixels where float32 would round their contrast away, else 0.

    A model that normalises answers the same without it.
    """
    return 0.0 if np.can_cast(pixels.dtype, np.float32) else middle_of_far_pixels(pixels)


def middle_of_far_pixels(pixels: np.ndarray) -> float:
    """The same for an answer in the pixels' own range, which has more digits than float32 holds."""
    if not pixels.size or pixels.dtype.itemsize < 4:
        return 0.0
    low, high = float(pixels.min()), float(pixels.max())
    step = max(abs(low), abs(high)) * float(np.finfo(np.float32).eps)
    return (low + high) / 2 if step * LEVELS > high - low > 0 else 0.0
