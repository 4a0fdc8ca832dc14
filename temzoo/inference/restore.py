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

from temzoo.core.types import Micrograph
from temzoo.inference.pixels import as_micrograph, checked_pixels
from temzoo.inference.tiles import answer_blocks
from temzoo.tasks.endpoints import RESTORED


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
        micrograph: a path, the raw pixels (H, W) or (H, W, C), or a Micrograph.
        tile, overlap, batch_size: as for ``predict``.
        flips: average over mirror images: a little better, four times the work.
        progress: show a progress bar.

    Returns:
        The micrograph with float32 pixels in its own range, not clipped, (H, W), or (H, W, 3) of a
        model that colours; its calibration and name stay. ``as_stored`` gives its own dtype.

    Raises:
        ValueError: the model is no restorer; an empty image, NaN or infinite pixels; a size that
            the model does not take.

    Example:
        >>> model = get_model("autoencoder", weights="runs/first")
        >>> clean = restore(model, "noisy.tif")
    """
    micrograph = as_micrograph(micrograph)
    pixels = checked_pixels(micrograph)
    _check_restorer(model, pixels)
    channels = model.output_shape[-1]
    restored = np.empty((*pixels.shape[:2], channels), np.float32)
    blocks = answer_blocks(model, pixels, tile, overlap, flips, batch_size, progress)
    for first, rows in blocks:
        restored[first : first + len(rows)] = rows
    return replace(micrograph, pixels=restored[..., 0] if channels == 1 else restored)


def _check_restorer(model: Any, pixels: np.ndarray) -> None:
    names = [layer.name for layer in getattr(model, "layers", ())]
    if RESTORED not in names and not getattr(model, "restores", False):
        raise ValueError(
            "restore needs a model of the restoration task. Received: "
            f"{getattr(model, 'name', model)!r}. Use temzoo.predict for classes and objects."
        )
    side = model.input_shape[1]
    if side and pixels.shape[:2] != (side, side):
        raise ValueError(
            f"this model takes images of {side} x {side} px only. Received: "
            f"{pixels.shape[0]} x {pixels.shape[1]}. Build the autoencoder without image_size for"
            " micrographs of any size."
        )


def as_stored(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Restored pixels as whole numbers of a stored dtype, rounded and clipped; floats stay."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "ui":
        return pixels.astype(np.float32)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(pixels), limits.min, limits.max).astype(dtype)
