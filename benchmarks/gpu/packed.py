"""Micrographs and class maps in one file that is small enough to travel.

    python -m benchmarks gpu-pack emps super1 --to packed

``NAME.npz`` holds, for each part ("train", "val"), encoded images as arrays of bytes: pixels as
WebP, class maps as PNG; and the names of the classes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from temzoo.core.files import atomic_path
from temzoo.micrographs import as_channels

PARTS = ("train", "val")
LOSSLESS = 101  # WebP's quality from which nothing is lost


@dataclass(frozen=True)
class Packed:
    """Labelled micrographs."""

    class_names: tuple[str, ...]  # of the classes 1, 2, …
    # part -> list of (pixels (H, W) uint8, class map (H, W) uint8)
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]]
    quality: int  # of the pixels, ``LOSSLESS`` or less
    fingerprint: str  # of the dataset, before it was packed


def pack(dataset, folder: Path, quality: int = LOSSLESS) -> Path:
    """Writes a dataset's micrographs with their class maps; gives the file.

    Args:
        dataset: whose micrographs have 8 bits.
        folder: that gets ``NAME.npz``.
        quality: of the pixels; below ``LOSSLESS`` they are smaller and not quite the same.

    Raises:
        ValueError: a micrograph has more than 8 bits.
    """
    from temzoo.data.examples import class_names
    from temzoo.labels.shapes.raster import class_map, foreground_classes
    from temzoo.training.run_folder import fingerprint

    names = foreground_classes(class_names(dataset.part("all")))
    arrays = {"class_names": np.array(names), "quality": np.array(quality)}
    arrays["fingerprint"] = np.array(fingerprint(dataset.part("all")))
    how = [cv2.IMWRITE_WEBP_QUALITY, quality]
    for part in PARTS:
        for number, example in enumerate(dataset.part(part)):
            pixels = of_8_bits(example.micrograph.pixels, example.name)
            classes = class_map(example.labels, names).astype(np.uint8)
            arrays[f"{part}-{number:04d}-pixels"] = cv2.imencode(".webp", pixels, how)[1]
            arrays[f"{part}-{number:04d}-classes"] = cv2.imencode(".png", classes)[1]
    path = folder / f"{dataset.name}.npz"
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
    return path


def of_8_bits(pixels: np.ndarray, name: str) -> np.ndarray:
    """(H, W) uint8 of (H, W) or (H, W, 3), colours made grey."""
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"What is packed has 8 bits. Received: {name}, {pixels.dtype}. Convert it first."
        )
    return as_channels(pixels, 1)[..., 0]


def unpack(path: Path) -> Packed:
    """What ``pack`` wrote."""
    with np.load(path) as file:
        arrays = dict(file)
    parts = {}
    for part in PARTS:
        keys = sorted(k for k in arrays if k.startswith(part) and k.endswith("-pixels"))
        pairs = [(arrays[k], arrays[k.replace("-pixels", "-classes")]) for k in keys]
        parts[part] = [(_decoded(pixels), _decoded(classes)) for pixels, classes in pairs]
    names = tuple(map(str, arrays["class_names"]))
    return Packed(names, parts, int(arrays["quality"]), str(arrays["fingerprint"]))


def _decoded(encoded: np.ndarray) -> np.ndarray:
    return cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", help="datasets (emps super1)")
    parser.add_argument("--to", type=Path, default=Path("packed"), help="folder (packed)")
    parser.add_argument("--quality", type=int, default=LOSSLESS, help="of WebP; 101: lossless")


def main(arguments: argparse.Namespace) -> None:
    from benchmarks.datasets import open_dataset  # takes TensorFlow

    for name in arguments.names or ("emps", "super1"):
        dataset = open_dataset(name, data=arguments.data_folder, quick=arguments.quick)
        path = pack(dataset, arguments.to, arguments.quality)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
