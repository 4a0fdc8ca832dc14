"""Micrographs and class maps in one file that is small enough to travel.

``NAME.npz`` holds, for each part ("train", "val"), encoded images as arrays of bytes: pixels as
WebP, class maps as PNG; and the names of the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

PARTS = ("train", "val")
LOSSLESS = 101  # WebP's quality from which nothing is lost


@dataclass(frozen=True)
class Packed:
    """Labelled micrographs.

    Attributes:
        class_names: of the classes 1, 2, …
        parts: part -> list of (pixels (H, W) uint8, class map (H, W) uint8).
    """

    class_names: tuple[str, ...]
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]]


def pack(name: str, data: Path, folder: Path, quality: int = LOSSLESS) -> Path:
    """Writes a named dataset of ``benchmarks.datasets``; gives the file.

    Args:
        name: of the dataset.
        data: the folder of named datasets.
        folder: that gets ``NAME.npz``.
        quality: of the pixels; below ``LOSSLESS`` they are smaller and not quite the same.

    Raises:
        ValueError: a micrograph has more than 8 bits.
    """
    from benchmarks.datasets import open_dataset
    from temzoo.labels.raster import class_map, foreground_classes
    from temzoo.micrographs import as_channels
    from temzoo.pipeline.examples import class_names

    dataset = open_dataset(name, data=data)
    names = foreground_classes(class_names(dataset.part("all")))
    arrays = {"class_names": np.array(names)}
    how = [cv2.IMWRITE_WEBP_QUALITY, quality]
    for part in PARTS:
        for number, example in enumerate(dataset.part(part)):
            pixels = of_8_bits(as_channels(example.micrograph.pixels, 1)[..., 0], example.name)
            classes = class_map(example.labels, names).astype(np.uint8)
            arrays[f"{part}-{number:04d}-pixels"] = cv2.imencode(".webp", pixels, how)[1]
            arrays[f"{part}-{number:04d}-classes"] = cv2.imencode(".png", classes)[1]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", **arrays)
    return folder / f"{name}.npz"


def of_8_bits(pixels: np.ndarray, name: str) -> np.ndarray:
    """The same uint8 pixels; grey made of colours is rounded."""
    rounded = np.rint(pixels)
    if rounded.min() < 0 or rounded.max() > 255:
        raise ValueError(
            f"What is packed has 8 bits, 0 to 255. Received: {name}, {pixels.dtype} up to"
            f" {rounded.max()}. Convert it first."
        )
    return rounded.astype(np.uint8)


def unpack(path: Path) -> Packed:
    """What ``pack`` wrote."""
    with np.load(path) as file:
        arrays = dict(file)
    parts = {}
    for part in PARTS:
        keys = sorted(k for k in arrays if k.startswith(part) and k.endswith("-pixels"))
        pairs = [(arrays[k], arrays[k.replace("-pixels", "-classes")]) for k in keys]
        parts[part] = [(_decoded(pixels), _decoded(classes)) for pixels, classes in pairs]
    return Packed(tuple(map(str, arrays["class_names"])), parts)


def _decoded(encoded: np.ndarray) -> np.ndarray:
    return cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)


def flattened(images: Sequence[np.ndarray]) -> np.ndarray:
    """All images one after the other, (sum of H * W,)."""
    return np.concatenate([image.ravel() for image in images])
