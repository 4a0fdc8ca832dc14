"""Predictions and restored micrographs on disk, each with a picture beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from temzoo.core.files import file_stem
from temzoo.core.types import MIN_SCORE, Micrograph, Prediction
from temzoo.core.writers import write_tiff
from temzoo.inference.restore import as_stored
from temzoo.pictures.overlays import (
    MAX_SIDE,
    outlines,
    overlay,
    shrunk,
    shrunk_labels,
    stretched,
)
from temzoo.pictures.restoration import shades_of, shown
from temzoo.pictures.sheets import Panel, sheet
from temzoo.store import predictions, sidecar


def save_prediction(
    prediction: Prediction,
    folder: str | Path,
    *,
    micrograph: Micrograph,
    probabilities: bool = False,
    min_score: float = MIN_SCORE,
    origin: sidecar.Origin | None = None,
) -> dict[str, Path]:
    """Writes what ``predictions.save`` does, and beside it an overlay picture ("overlay").

    The overlay outlines a detector's objects from ``min_score`` on; else it shows instances where
    there are any, else classes. It is shrunk to 2048 pixels.
    """
    if prediction.detections is not None:
        kept = [one for one in prediction.detections if one.score >= min_score]
        picture = outlines(micrograph.pixels, kept)
    else:
        instances = bool(prediction.instances.any())
        shown = shrunk_labels(prediction.instances if instances else prediction.classes, MAX_SIDE)
        picture = overlay(shrunk(micrograph.pixels, MAX_SIDE), shown, instances=instances)
    return predictions.save(
        prediction,
        folder,
        probabilities=probabilities,
        pictures={"overlay": picture},
        origin=origin,
    )


def save_restored(
    restored: Micrograph, folder: str | Path, *, before: Micrograph, keep_float: bool = False
) -> dict[str, Path]:
    """Writes a restored micrograph and a picture of before and after, each whole or not at all.

    Args:
        restored: what ``restore`` returned.
        before: what it was made from; its dtype is that of the TIFF.
        keep_float: a 32-bit TIFF instead, with nothing rounded or clipped (grey alone).

    Returns:
        The paths by what they hold: "restored" and "comparison".
    """
    folder, stem = Path(folder), file_stem(restored.name)
    folder.mkdir(parents=True, exist_ok=True)
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
    """What ImageJ's TIFF takes: uint8, uint16 or float32, colours as uint8 alone."""
    if restored.channels == 3:
        if before.pixels.dtype == np.uint8:
            return as_stored(restored.pixels, np.uint8)
        return shown(restored.pixels, *shades_of(before.pixels))
    kept = before.pixels.dtype in (np.uint8, np.uint16) and not keep_float
    return as_stored(restored.pixels, before.pixels.dtype if kept else np.float32)
