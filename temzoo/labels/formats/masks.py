"""Folders of label images: class numbers, instance numbers, or 0 and 255.

The rule by which ``values="auto"`` tells them apart stands with ``read``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
from skimage import measure

from temzoo.core.connected import connected_components
from temzoo.core.files import atomic_path
from temzoo.core.hints import require_choice, require_classes
from temzoo.core.types import LabelledImage, Shape
from temzoo.core.writers import write_png
from temzoo.labels import not_areas
from temzoo.labels.names import class_names, label_paths, with_area
from temzoo.labels.shapes import raster
from temzoo.labels.shapes.run_lengths import mask_geometry
from temzoo.micrographs import list_images, load_numbers

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
SUFFIXES = TIFF_SUFFIXES | {".png"}
VALUES = ("auto", "classes", "instances", "binary")
KINDS = ("classes", "instances")
CLASS_FILE = "classes.txt"
# More values than this in 8 bits are numbers of objects, or grey levels.
MOST_CLASSES = 32


def read(
    folder: str | Path, *, values: str = "auto", classes: Sequence[str] | None = None
) -> list[LabelledImage]:
    """The masks of a folder of PNG and TIFF label images, those in its subfolders too.

    Args:
        folder: of the label images; 0 is background everywhere.
        values: what the pixels mean.
            "binary": anything but 0 is the one class; each connected part is a shape, by the
            rule of ``temzoo.core.connected``.
            "classes": the class's number; each connected part of a class is a shape.
            "instances": the object's number, of one class; each number is a shape.
            "auto": looks at all files. "binary" when there is nothing but 0 and 1, or 0 and 255;
            else "instances" when a file has 16 or more bits; else "classes" up to 32 values,
            "instances" beyond.
        classes: names of the classes. For class numbers 1, 2, …; for other numbers, as many names
            as there are numbers, in their order. None: those of ``classes.txt`` in the folder, one
            a line, else "1", "2", ….

    Returns:
        one per file, named as the file within the folder, in the order of the names; its shapes
        are of kind "mask".

    Raises:
        FileNotFoundError: when the folder has no label images.
        ValueError: when a file is no single-channel image of whole numbers, or the names do not
            fit the numbers; the message names the file.
    """
    folder = Path(folder)
    require_choice("values", values, VALUES)
    paths = _label_images(folder)
    meaning, numbers = _survey(paths, values)
    names = _names(folder, numbers if meaning == "classes" else [1], classes)
    return [_labelled(path, folder, meaning, names) for path in paths]


def write(
    folder: str | Path,
    images: Iterable[LabelledImage],
    *,
    kind: str = "classes",
    classes: Sequence[str] | None = None,
) -> dict[str, int]:
    """Writes one PNG for each image, named as the image, and the class names to ``classes.txt``.

    Numbers of objects do not tell classes apart: the names are written for one class only.

    Args:
        kind: "classes": the class's number from 1 on; "instances": the object's number. 8 bits
            for classes (16 beyond 255), 16 bits for instances.
        classes: label names for the classes 1, 2, …; None: those declared, then those used.

    Returns:
        how many shapes of each kind were left out, since they have no area.

    Raises:
        ValueError: when an image's name leads out of the folder, two images get one file, or there
            are more than 65535 numbers.
    """
    require_choice("kind", kind, KINDS)
    images = list(images)
    names = class_names(map(with_area, images)) if classes is None else list(classes)
    paths = label_paths(folder, (image.name for image in images), ".png")
    for image, path in zip(images, paths, strict=True):
        drawn = raster.class_map(image, names) if kind == "classes" else raster.instance_map(image)
        _write_numbers(path, drawn, smallest=np.uint8 if kind == "classes" else np.uint16)
    if kind == "classes" or len(names) == 1:
        with atomic_path(Path(folder) / CLASS_FILE) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return not_areas(images)


def _label_images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there must be a folder of label images. Received: {folder}. Correct the path."
        )
    paths = list_images(folder, suffixes=SUFFIXES)
    if not paths:
        raise FileNotFoundError(
            f"{folder} must hold label images ({', '.join(sorted(SUFFIXES))}). Received: none. "
            "Pass the folder that has them."
        )
    return paths


def _survey(paths: list[Path], values: str) -> tuple[str, list[int]]:
    """What the pixels mean, and the numbers other than 0 that stand in the files."""
    if values in ("binary", "instances"):
        return values, [1]
    found: set[int] = set()
    bits = 1
    for path in paths:
        pixels = load_numbers(path).pixels
        bits = max(bits, pixels.dtype.itemsize * 8)
        found.update(np.unique(pixels).tolist())
    if values == "auto" and (found <= {0, 1} or found <= {0, 255}):
        return "binary", [1]
    many = values == "auto" and (bits >= 16 or len(found) > MOST_CLASSES)
    return ("instances" if many else "classes"), sorted(found - {0})


def _names(folder: Path, numbers: list[int], classes: Sequence[str] | None) -> dict[int, str]:
    """The class's name by its number."""
    names_file = folder / CLASS_FILE
    if classes is None and names_file.is_file():
        classes = names_file.read_text(encoding="utf-8").splitlines() or None
    if classes is None:
        return {number: str(number) for number in numbers}
    require_classes(classes)
    if not numbers or (min(numbers) >= 1 and max(numbers) <= len(classes)):
        return dict(enumerate(classes, start=1))
    if len(numbers) == len(classes):
        return dict(zip(numbers, classes, strict=True))
    raise ValueError(
        f"{folder}: there must be a name for each class number. Received: numbers "
        f"{numbers[:10]}, classes={list(classes)}. Pass {len(numbers)} names."
    )


def _labelled(path: Path, folder: Path, meaning: str, names: dict[int, str]) -> LabelledImage:
    pixels = load_numbers(path).pixels
    shapes = []
    for region in measure.regionprops(_numbered(pixels, meaning)):
        number = int(pixels[region.slice][region.image][0]) if meaning == "classes" else 1
        points, runs = mask_geometry(region.image, *region.bbox[:2])
        shapes.append((number, Shape("mask", names[number], points, runs=runs, source="file")))
    ordered = tuple(shape for _, shape in sorted(shapes, key=itemgetter(0)))
    name, (height, width) = path.relative_to(folder).as_posix(), pixels.shape
    return LabelledImage(name, width, height, ordered, tuple(names.values()))


def _numbered(pixels: np.ndarray, meaning: str) -> np.ndarray:
    """The pixels of each shape with a number of their own, from 1 on."""
    if meaning == "instances":  # renumbered, for the largest number costs memory
        numbers, order = np.unique(pixels, return_inverse=True)
        return order.reshape(pixels.shape) + int(numbers[0] != 0)
    return connected_components(pixels if meaning == "classes" else pixels != 0)


def _write_numbers(path: Path, drawn: np.ndarray, *, smallest: type) -> None:
    largest = int(drawn.max(initial=0))
    if largest > np.iinfo(np.uint16).max:
        raise ValueError(
            f"{path}: a PNG must have at most 65535 numbers. Received: {largest}. "
            "Cut the image into parts."
        )
    dtype = smallest if largest <= np.iinfo(smallest).max else np.uint16
    write_png(path, drawn.astype(dtype))
