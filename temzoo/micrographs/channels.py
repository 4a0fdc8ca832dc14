"""Grey and colour: the channels of an image as a model takes them."""

from __future__ import annotations

import numpy as np

BT601 = (0.299, 0.587, 0.114)


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """One channel of an image, in its dtype.

    Colour becomes luma, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded in integer dtypes.
    Three equal channels give exactly one of them.

    Args:
        pixels: (H, W), (H, W, 1) or (H, W, 3).

    Returns:
        (H, W) in the dtype of ``pixels``; a view where nothing needs computing.
    """
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)):
        raise ValueError(
            "pixels must be (H, W), (H, W, 1) or (H, W, 3). "
            f"Received: shape={pixels.shape}. Take one plane, or the three colours, of it."
        )
    if pixels.ndim == 2:
        return pixels
    red, green, blue = (pixels[..., channel % pixels.shape[2]] for channel in range(3))
    if pixels.shape[2] == 1 or (np.array_equal(red, green) and np.array_equal(red, blue)):
        return red
    luma = sum(
        weight * band.astype(np.float64)
        for weight, band in zip(BT601, (red, green, blue), strict=True)
    )
    if np.issubdtype(pixels.dtype, np.integer):
        np.rint(luma, out=luma)
    return luma.astype(pixels.dtype)


def as_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """The image with as many channels as a model takes: grey is replicated, colour becomes luma.

    Args:
        pixels: (H, W), (H, W, 1) or (H, W, 3).
        channels: 1 or 3.

    Returns:
        (H, W, channels) in the dtype of ``pixels``.
    """
    if channels not in (1, 3):
        raise ValueError(
            f"channels must be 1 (grey) or 3 (colour). Received: channels={channels}. "
            "Build the model with channels=1 for micrographs."
        )
    if channels == 3 and pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    return np.repeat(to_grey(pixels)[..., np.newaxis], channels, axis=2)
