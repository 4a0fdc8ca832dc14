"""A micrograph's pixels as a model takes them: read, checked once, with the model's channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from temzoo.core.connected import BLOCK_ROWS
from temzoo.core.types import Micrograph
from temzoo.micrographs import as_channels, load_micrograph


def as_micrograph(micrograph: Micrograph | np.ndarray | str | Path) -> Micrograph:
    """A path is read; bare pixels get no calibration and no name."""
    if isinstance(micrograph, Micrograph):
        return micrograph
    if isinstance(micrograph, str | Path):
        return load_micrograph(micrograph)
    return Micrograph(pixels=np.asarray(micrograph))


def checked_pixels(micrograph: Micrograph) -> np.ndarray:
    """The pixels, (H, W) or (H, W, C) of any real dtype.

    Raises:
        ValueError: for a batch, an image without pixels, complex, NaN or infinite values.
    """
    pixels, name = micrograph.pixels, f" in {micrograph.name!r}" if micrograph.name else ""
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "buif":
        raise ValueError(
            "a micrograph must be real numbers of shape (H, W) or (H, W, C). Received: shape="
            f"{pixels.shape}, dtype={pixels.dtype}{name}. Pass one image, not a batch."
        )
    if pixels.size == 0:
        raise ValueError(
            f"a micrograph must have pixels. Received: shape={pixels.shape}{name}. "
            "Check the crop or the file that it came from."
        )
    if pixels.dtype.kind == "f":
        for top in range(0, len(pixels), BLOCK_ROWS):
            if not np.isfinite(pixels[top : top + BLOCK_ROWS]).all():
                raise ValueError(
                    "pixels must be finite. Received: NaN or infinite values"
                    f"{name}, first in rows {top} to {top + BLOCK_ROWS}. "
                    "Replace them, for example by np.nan_to_num."
                )
    return pixels


def channels_view(pixels: np.ndarray, channels: int | None) -> np.ndarray:
    """(H, W, C) with so many channels, None: as many as there are; never a copy of a grey image."""
    if channels is None:
        return pixels.reshape(*pixels.shape[:2], -1)
    if pixels.ndim == 3:
        return as_channels(pixels, channels)
    return np.broadcast_to(pixels[:, :, None], (*pixels.shape, channels))
