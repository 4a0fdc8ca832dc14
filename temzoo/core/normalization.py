"""A micrograph's brightness to about [-1, 1], in NumPy; models do the same in their graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Normalization:
    """Each image to about [-1, 1] by its own percentiles; ``models.layers.Normalize`` has the rule.

    Attributes:
        low, high: percentiles that become -1 and 1.
        limit: beyond which values are clipped; None: nothing is.
        grid: rows and columns, at most, that the percentiles are those of.
    """

    low: float = 1.0
    high: float = 99.0
    limit: float | None = 3.0
    grid: int = 256

    def statistics(self, pixels: np.ndarray) -> tuple[float, float]:
        """(shift, scale) of one image, pixels (H, W, C)."""
        rows, cols = ((n - 1) // self.grid + 1 for n in pixels.shape[:2])
        values = pixels[::rows, ::cols].astype(_exact(pixels))
        low, high = np.percentile(values, [self.low, self.high])
        if low == high:
            low, high = values.min(), values.max()
        return float(low + high) / 2, (2.0 / float(high - low) if high > low else 0.0)

    def apply(self, pixels: np.ndarray, shift: float, scale: float) -> np.ndarray:
        """Pixels (…, C) of any type, normalised by given statistics; float32.

        Of pixels with more digits than float32 has, the shift is taken off before they are cut.
        """
        number = _exact(pixels)
        y = (pixels.astype(number) - number(shift)) * number(scale)
        y = y if self.limit is None else np.clip(y, -self.limit, self.limit)
        return y.astype(np.float32, copy=False)

    def invert(self, normalised: np.ndarray, shift: float, scale: float) -> np.ndarray:
        """``apply`` undone, float32; a constant image (scale 0) is ``shift`` all over."""
        return normalised.astype("float32") * np.float32(1 / scale if scale else 0) + np.float32(
            shift
        )


def _exact(pixels: np.ndarray) -> type:
    """float32 where it holds all values of the pixels' type, else float64."""
    return np.float32 if np.can_cast(pixels.dtype, np.float32) else np.float64
