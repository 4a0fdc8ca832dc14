"""Means of N x N pixels, as a camera that is read out binned gives them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from temzoo.core.types import Micrograph


def binned(micrograph: Micrograph, binning: int) -> Micrograph:
    """The micrograph in pixels ``binning`` times as large, float32; mirrored where a bin is cut.

    Args:
        micrograph: (H, W) or (H, W, C).

    Returns:
        Of ceil(H / binning) x ceil(W / binning) px, each the mean of its pixels.
    """
    pixels = micrograph.pixels.astype(np.float32)
    down, along = (-side % binning for side in pixels.shape[:2])
    whole = cv2.copyMakeBorder(pixels, 0, down, 0, along, cv2.BORDER_REFLECT)
    size = whole.shape[1] // binning, whole.shape[0] // binning
    means = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    scale = micrograph.nm_per_pixel
    return replace(
        micrograph,
        pixels=means.reshape(*means.shape[:2], *pixels.shape[2:]),
        nm_per_pixel=None if scale is None else (scale[0] * binning, scale[1] * binning),
    )
