"""napari's reader of micrographs, and of what ``temzoo predict`` wrote."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from temzoo.core.types import Micrograph
from temzoo.micrographs import (
    MicrographError,
    count_frames,
    frame_name,
    load_micrograph,
)
from temzoo.micrographs.hdf5_file import SUFFIXES as HDF5_SUFFIXES
from temzoo.micrographs.hdf5_file import parted
from temzoo.micrographs.listing import is_folder_of_images
from temzoo.micrographs.opening import SUFFIXES, opened
from temzoo.store.predictions import load_prediction
from temzoo.store.sidecar import SUFFIX as SIDECAR
from temzoo.store.sidecar import about, card_errors
from temzoo.store.sources import load_source
from temzoo.viewer.layers import LayerData, image_layer, labels_layer, place_of


def reader_of(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """What reads a path, as napari's readers answer; None where temzoo does not read it.

    Args:
        path: a micrograph, an OME-Zarr folder, a dataset "a.h5::/entry/data", or the
            ``.prediction.json`` of a prediction. Several files, to be stacked, are left to others.
    """
    if not isinstance(path, str):
        return None
    if path.endswith(SIDECAR):
        return read_prediction
    file, _ = parted(Path(path))
    known = file.suffix.lower() in (*SUFFIXES, *HDF5_SUFFIXES)
    return read_micrograph if known and not is_folder_of_images(file) else None


def read_micrograph(path: str) -> list[LayerData]:
    """The image layer of a file, in nanometres where it is calibrated.

    Of a stack a layer (N, H, W) whose planes are read when they are looked at; of a file with
    images of several sizes a layer for each.

    Raises:
        FileNotFoundError, MicrographError: as ``load_micrograph``.
    """
    place, count = Path(path), count_frames(path)
    first = load_micrograph(place)
    if count == 1:
        return [image_layer(first, source=str(path))]
    with opened(place) as images:
        sizes = {tuple(images.size(frame)) for frame in range(count)}
    if len(sizes) == 1:
        return [_stack(place, first, count)]
    layers = []
    for frame in range(count):
        data, attributes, kind = image_layer(load_micrograph(place, frame=frame), source=str(path))
        name = frame_name(place, frame, count)
        attributes["metadata"]["file"] = name
        layers.append((data, attributes | {"name": name}, kind))
    return layers


def _stack(path: Path, first: Micrograph, count: int) -> LayerData:
    import dask.array
    from dask import delayed

    like = first.pixels
    planes = [
        dask.array.from_delayed(
            delayed(partial(_plane, path, first))(frame), like.shape, like.dtype
        )
        for frame in range(count)
    ]
    _, attributes, kind = image_layer(first, source=str(path))
    attributes |= place_of(first.nm_per_pixel, stack=True)
    # Or napari would read planes to find them.
    attributes["contrast_limits"] = _limits(like)
    return dask.array.stack(planes), attributes, kind


def _plane(path: Path, first: Micrograph, frame: int) -> np.ndarray:
    found = load_micrograph(path, frame=frame)
    same = found.pixels.dtype == first.pixels.dtype and found.nm_per_pixel == first.nm_per_pixel
    if not same or found.pixels.shape != first.pixels.shape:
        raise MicrographError(
            f"{path}: the images of a stack must be alike. Received: image {frame} of"
            f" {found.pixels.shape}, {found.pixels.dtype}, {found.nm_per_pixel} nm per pixel, after"
            f" {first.pixels.shape}, {first.pixels.dtype}, {first.nm_per_pixel}. Save each as a"
            " file of its own."
        )
    return found.pixels


def _limits(pixels: np.ndarray) -> tuple[float, float]:
    low, high = float(pixels.min()), float(pixels.max())
    return (low, high) if low < high else (low, low + 1)


def read_prediction(path: str) -> list[LayerData]:
    """The layers of a prediction: its micrograph, where it is still there, and its particles.

    Raises:
        FileNotFoundError, ValueError: as ``load_prediction``; the objects are boxes.
    """
    prediction, told = load_prediction(path), about(path)
    micrograph, why = load_source(told)
    if micrograph is None:
        warnings.warn(f"{prediction.name}: {why}", stacklevel=2)
    shown = micrograph or Micrograph(prediction.classes, name=prediction.name)
    shown = replace(shown, name=prediction.name, calibration=told["calibration"])
    image = image_layer(shown, file=told["image"] or prediction.name)
    image[1].update(place_of(prediction.nm_per_pixel))
    labels = labels_layer(image, [prediction], errors=dict(card_errors(told)))
    return [labels] if micrograph is None else [image, labels]
