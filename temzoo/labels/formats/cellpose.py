"""What Cellpose's window opens beside an image: ``NAME_seg.npy``, a dictionary with numbered masks.

It is written and not read: such files are pickles, which can run any program that they hold. Save
masks from Cellpose as PNG or TIFF, and read these as a folder of masks.

Source: https://cellpose.readthedocs.io/en/latest/outputs.html
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy import ndimage

from temzoo.core.files import atomic_path
from temzoo.core.types import LabelledImage
from temzoo.labels import not_areas
from temzoo.labels.names import label_paths, with_area
from temzoo.labels.shapes.raster import instance_map

SUFFIX = "_seg.npy"


def write(folder: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes ``NAME_seg.npy`` for each image, to be put beside it. Classes are lost.

    Returns:
        how many shapes of each kind were left out, since they have no area.

    Raises:
        ValueError: when an image's name leads out of the folder, or two images get one file.
    """
    images = list(images)
    paths = label_paths(folder, (image.name for image in images), SUFFIX)
    for path, image in zip(paths, images, strict=True):
        masks = _renumbered(instance_map(with_area(image)))
        count = int(masks.max(initial=0))
        content = {
            "filename": image.name,
            "masks": masks,
            "outlines": _rims(masks),
            "ismanual": np.zeros(count, bool),
            "colors": np.random.default_rng(0).integers(64, 256, (count, 3)).astype(np.uint8),
            "chan_choose": [0, 0],
            "flows": [],
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, np.array(content, object), allow_pickle=True)
    return not_areas(images)


def _renumbered(numbers: np.ndarray) -> np.ndarray:
    """The same objects from 1 on without gaps, uint16 where they fit, as Cellpose has them."""
    found, masks = np.unique(numbers, return_inverse=True)
    masks = masks.reshape(numbers.shape) + (found[0] != 0)
    return masks.astype(np.uint16 if masks.max(initial=0) < 2**16 else np.uint32)


def _rims(masks: np.ndarray) -> np.ndarray:
    """The pixels of each object that touch another or the ground along a row or column."""
    cross = ndimage.generate_binary_structure(2, 1)
    lowest = ndimage.minimum_filter(masks, footprint=cross, mode="constant")
    highest = ndimage.maximum_filter(masks, footprint=cross, mode="constant")
    return np.where((lowest != masks) | (highest != masks), masks, 0).astype(masks.dtype)
