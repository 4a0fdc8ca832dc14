"""Reads a label image of any program, in which each particle has a number, as a Prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from temzoo.core.connected import connected_components
from temzoo.core.types import Prediction
from temzoo.micrographs import load_numbers

CLASS_MAP = "_classes.png"  # of `temzoo predict`
BUSIEST = 0.5  # share of the pixels that may differ from the one to their left


def load_instance_map(path: str | Path) -> Prediction:
    """Reads particles from a label image: each whole number above 0 is a particle's.

    It may be what ``temzoo predict`` wrote (STEM_instances.tif), or a 16- or 32-bit TIFF of ImageJ,
    Cellpose, StarDist …; its calibration is kept. Where all particles have one number, as in a
    mask, they are told apart as predictions are (``temzoo.core.connected``).

    Args:
        path: one plane of numbers, as ``temzoo.micrographs.load_numbers`` reads it.

    Returns:
        All of one class, "particle".

    Raises:
        ValueError: the file is no such plane, or a micrograph, or the map of classes that
            ``temzoo predict`` wrote.

    Example:
        >>> measure(load_instance_map("predictions/a_instances.tif"))
    """
    path = Path(path)
    if path.name.endswith(CLASS_MAP):
        stem = path.name.removesuffix(CLASS_MAP)
        raise ValueError(
            "particles are counted in a map that numbers them. Received: "
            f"{path}, a map of classes, where particles that touch are one. Measure "
            f"{stem}.prediction.json or {stem}_instances.tif, which lie beside it."
        )
    image = load_numbers(path)
    pixels = image.pixels
    if np.mean(pixels[:, 1:] != pixels[:, :-1]) > BUSIEST:
        raise ValueError(
            f"{path}: the pixels of a particle share its number. Received: an image where most "
            "pixels differ from their neighbour, as in a micrograph. Predict it first: "
            f"temzoo predict {path}."
        )
    instances = pixels.astype(np.int32)
    if pixels.max() > 0 and len(np.unique(pixels[pixels > 0])) == 1:
        instances = connected_components(pixels > 0)
    return Prediction(
        classes=(instances > 0).astype(np.uint8),
        instances=instances,
        class_names=("particle",),
        nm_per_pixel=image.nm_per_pixel,
        name=path.name,
    )
