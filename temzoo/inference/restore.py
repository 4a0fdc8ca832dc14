"""Restored micrographs: denoised or coloured, in tiles, with calibration.

A restorer takes a micrograph of any size. Beyond 1408 x 1408 px it works in tiles that are
normalised by the whole micrograph and blended, as ``tiles.py`` tells.

The colour of a grey electron micrograph is an aid to the eye, not data: electrons have no colour,
and what a network paints is what its training images had in such places.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.offset import middle_of_far_pixels
from temzoo.core.types import Micrograph
from temzoo.inference.options import TileOptions
from temzoo.inference.pixels import as_micrograph, checked_pixels
from temzoo.inference.tiles import PixelNetwork, answer_blocks
from temzoo.zoo.built import task_of


def restore(
    model: Any,
    micrograph: Micrograph | np.ndarray | str | Path,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    flips: bool = False,
    batch_size: int = 1,
    progress: bool = False,
) -> Micrograph:
    """Denoises or colours one micrograph of any size.

    Args:
        model: a restorer of temzoo, such as ``get_model("autoencoder", weights="runs/first")``,
            or one that is served (``temzoo.connect``).
        micrograph: a path, the raw pixels (H, W) or (H, W, C), an image as a signal, or a
            Micrograph.
        tile, overlap, batch_size: as for ``predict``.
        flips: average over mirror images: a little better, four times the work.
        progress: show a progress bar.

    Returns:
        The micrograph with float32 pixels in its own range, not clipped, (H, W), or (H, W, 3) of a
        model that colours; its calibration and name stay. ``as_stored`` gives its own dtype. Pixels
        so far from zero that float32 would round their contrast away are float64.

    Raises:
        ValueError: the model is no restorer; an empty image, NaN or infinite pixels; a size that
            the model does not take.

    Example:
        >>> model = get_model("autoencoder", weights="runs/first")
        >>> clean = restore(model, "noisy.tif")
    """
    options = TileOptions(
        tile=tile, overlap=overlap, flips=flips, batch_size=batch_size, progress=progress
    )
    return task_of(model).restored(model, as_micrograph(micrograph), options)


def restore_pixels(
    network: PixelNetwork, micrograph: Micrograph, options: TileOptions, channels: int
) -> Micrograph:
    """A restored micrograph, from a network that gives so many channels a pixel."""
    pixels = checked_pixels(micrograph)
    if offset := middle_of_far_pixels(pixels):
        pixels = np.subtract(pixels, offset, dtype=np.float64).astype(np.float32)
    restored = np.empty((*pixels.shape[:2], channels), np.float64 if offset else np.float32)
    for first, rows in answer_blocks(network, pixels, options):
        restored[first : first + len(rows)] = rows
    restored += offset
    return replace(micrograph, pixels=restored[..., 0] if channels == 1 else restored)


def as_stored(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Restored pixels as whole numbers of a stored dtype, rounded and clipped; floats stay."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "ui":
        return pixels if pixels.dtype == np.float64 else pixels.astype(np.float32)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(pixels), limits.min, limits.max).astype(dtype)
