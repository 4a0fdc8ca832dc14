"""Restored micrographs on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from temzoo.core.files import file_stem
from temzoo.core.types import Micrograph
from temzoo.core.writers import write_tiff
from temzoo.inference.restore import as_stored
from temzoo.pictures.overlays import stretched
from temzoo.pictures.restoration import shades_of, shown
from temzoo.pictures.sheets import Panel, sheet


def save_restored(
    restored: Micrograph, folder: str | Path, *, before: Micrograph, keep_float: bool = False
) -> dict[str, Path]:
    """Writes a restored micrograph and a picture of before and after, each whole or not at all.

    Args:
        restored: what ``restore`` returned.
        before: what it was made from; its dtype is that of the TIFF.
        keep_float: a TIFF of floating point instead, with nothing rounded or clipped (grey alone).

    Returns:
        The paths by what they hold: "restored" and "comparison".
    """
    folder, stem = Path(folder), file_stem(restored.name)
    paths = {"restored": folder / f"{stem}_restored.tif", "comparison": folder / f"{stem}_both.png"}
    pixels = _writable(restored, before, keep_float)
    write_tiff(paths["restored"], pixels, restored.nm_per_pixel)
    pictures = [
        Panel(stretched(before.pixels), "before"),
        Panel(stretched(restored.pixels), "after"),
    ]
    sheet(paths["comparison"], pictures, columns=2, title=Path(restored.name).name)
    return paths


def _writable(restored: Micrograph, before: Micrograph, keep_float: bool) -> np.ndarray:
    """What ImageJ's TIFF takes: uint8, uint16, int16 or float32, colours as uint8 alone."""
    if restored.channels == 3:
        if before.pixels.dtype == np.uint8:
            return as_stored(restored.pixels, np.uint8)
        return shown(restored.pixels, *shades_of(before.pixels))
    kept = before.pixels.dtype in (np.uint8, np.uint16, np.int16) and not keep_float
    return as_stored(restored.pixels, before.pixels.dtype if kept else np.float32)
