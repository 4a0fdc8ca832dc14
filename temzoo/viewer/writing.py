"""napari's writers of labels layers: CVAT XML, and numbers of particles as a calibrated TIFF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from temzoo import labels
from temzoo.core.writers import write_tiff
from temzoo.store.maps import compact
from temzoo.viewer.layers import LayerData, nm_per_pixel_of, plane_count
from temzoo.viewer.particles import labelled_images


def write_cvat(path: str | Path, layers: Sequence[LayerData]) -> list[str]:
    """Writes labels layers as "CVAT for images 1.1", an image for each plane.

    Returns:
        the path that was written, as napari asks of writers.

    Raises:
        ValueError: as ``labelled_images``.
    """
    labels.write(path, labelled_images(layers), to="cvat")
    return [str(path)]


def write_numbers(path: str | Path, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Writes a labels layer as TIFF of 16 or 32 bits, with its pixels' size as ImageJ reads it.

    Returns:
        the path that was written.

    Raises:
        ValueError: a number is below 0 or needs more than 31 bits; more axes than a stack.
    """
    layer = data, dict(attributes), "labels"
    plane_count(layer)
    numbers = np.asarray(data[0] if attributes.get("multiscale") else data)
    if numbers.min(initial=0) < 0 or numbers.max(initial=0) >= 2**31:
        raise ValueError(
            "numbers of particles must be from 0 to 2,147,483,647 in a TIFF. Received:"
            f" {numbers.min()} to {numbers.max()}. Number them anew."
        )
    write_tiff(path, compact(numbers), nm_per_pixel_of(attributes), compressed=True)
    return [str(path)]
