"""Folders of label images: class numbers, instance numbers, or 0 and 255.

The rule by which ``values="auto"`` tells them apart stands in ``mask_numbers``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
from skimage import measure

from temzoo.core.connected import connected_components
from temzoo.core.files import text_lines, write_text
from temzoo.core.hints import require_choice, require_classes
from temzoo.core.types import IGNORE, LabelledImage, Shape
from temzoo.core.writers import write_png
from temzoo.labels import not_areas
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.mask_numbers import Meaning, Numbers, meaning_of
from temzoo.labels.names import class_names, label_paths, with_area
from temzoo.labels.shapes import raster
from temzoo.labels.shapes.run_lengths import mask_geometry
from temzoo.micrographs import list_images, load_numbers

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
SUFFIXES = TIFF_SUFFIXES | {".png"}
VALUES = ("auto", "classes", "instances", "binary")
KINDS = ("classes", "instances")
CLASS_FILE = "classes.txt"
CELLPOSE = "_cp_masks"  # a.png's masks are a_cp_masks.png, often beside it


def read(
    folder: str | Path,
    *,
    values: str = "auto",
    classes: Sequence[str] | None = None,
    said: list[Finding] | None = None,
) -> list[LabelledImage]:
    """The masks of a folder of PNG and TIFF label images, those in its subfolders too.

    Args:
        folder: of the label images; 0 is background everywhere.
        values: what the pixels mean.
            "binary": anything but 0 is the one class; each connected part is a shape, by the
            rule of ``temzoo.core.connected``. Where there are grey levels up to white, as
            anti-aliasing makes them, anything from the middle level on is.
            "classes": the class's number; each connected part of a class is a shape.
            "instances": the object's number, of one class; each number is a shape.
            "auto": several class names mean "classes". Else "binary" where there is only one
            number besides 0, and it is 1 or the largest that there can be; else it is told by how
            many of the numbers are in one piece, in 8 bits more readily "classes", in 16 more
            readily "instances".
            In both, 255 beside numbers up to 32 that are named otherwise stands for pixels that
            nobody has judged: they become shapes of the label "ignore".
        classes: names of the classes. For class numbers 1, 2, …; for other numbers, as many names
            as there are numbers, in their order. None: those of ``classes.txt`` in the folder, one
            a line, else "1", "2", …. One that is named "ignore" is none (see above), nor is
            "background", for programs that number the ground as well.
        said: takes how the numbers were read, in words.

    Returns:
        one per file, named as the file within the folder, in the order of the names; its shapes
        are of kind "mask". Where Cellpose wrote some of the files, those alone, named as the
        images.

    Raises:
        FileNotFoundError: when the folder has no label images.
        ValueError: when a file is no single-channel image of whole numbers, or has grey levels,
            or the names do not fit the numbers; the message names the file.
    """
    folder = Path(folder)
    require_choice("values", values, VALUES)
    paths = _label_images(folder)
    numbers = [Numbers.of(path, load_numbers(path).pixels) for path in paths]
    names = _names(folder) if classes is None else classes
    require_classes(names or ())
    meaning = meaning_of(folder, numbers, values, names, [] if said is None else said)
    return [_labelled(path, folder, meaning) for path in paths]


def write(
    folder: str | Path,
    images: Iterable[LabelledImage],
    *,
    kind: str = "classes",
    classes: Sequence[str] | None = None,
) -> dict[str, int]:
    """Writes one PNG for each image, named as the image, and the class names to ``classes.txt``.

    Numbers of objects do not tell classes apart: the names are written for one class only. Pixels
    of the label "ignore" are the last class, of that name; of numbers of objects, background.

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
    drawn_images = [with_area(image) for image in images]
    known = class_names(drawn_images) if classes is None else classes
    names = [name for name in known if name != IGNORE]
    paths = label_paths(folder, (image.name for image in images), ".png")
    for image, path in zip(images, paths, strict=True):
        drawn = raster.class_map(image, names) if kind == "classes" else raster.instance_map(image)
        ignored = raster.ignored_pixels(image) if kind == "classes" else None
        if ignored is not None:
            drawn[ignored] = len(names) + 1
        _write_numbers(path, drawn, smallest=np.uint8 if kind == "classes" else np.uint16)
    if kind == "classes" and any(s.label == IGNORE for i in drawn_images for s in i.shapes):
        names.append(IGNORE)
    if kind == "classes" or len(names) == 1:
        write_text(Path(folder) / CLASS_FILE, "".join(f"{name}\n" for name in names))
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
    return [path for path in paths if path.stem.endswith(CELLPOSE)] or paths


def _names(folder: Path) -> list[str] | None:
    """What ``classes.txt`` lists; None where it is absent or empty."""
    names_file = folder / CLASS_FILE
    return text_lines(names_file) or None if names_file.is_file() else None


def _labelled(path: Path, folder: Path, meaning: Meaning) -> LabelledImage:
    pixels = load_numbers(path).pixels
    names = meaning.names | ({} if meaning.void is None else {meaning.void: IGNORE})
    shapes = []
    for region in measure.regionprops(_numbered(pixels, meaning)):
        number = int(pixels[region.slice][region.image][0])
        number = number if meaning.values == "classes" or number == meaning.void else 1
        if names[number] == raster.BACKGROUND:
            continue
        points, runs = mask_geometry(region.image, *region.bbox[:2])
        shapes.append((number, Shape("mask", names[number], points, runs=runs, source="file")))
    ordered = tuple(shape for _, shape in sorted(shapes, key=itemgetter(0)))
    of = path.with_name(path.stem.removesuffix(CELLPOSE) + path.suffix)
    name, (height, width) = of.relative_to(folder).as_posix(), pixels.shape
    none = (IGNORE, raster.BACKGROUND)
    classes = tuple(name for name in meaning.names.values() if name not in none)
    return LabelledImage(name, width, height, ordered, classes)


def _numbered(pixels: np.ndarray, meaning: Meaning) -> np.ndarray:
    """The pixels of each shape with a number of their own, from 1 on."""
    if meaning.values == "instances":  # renumbered, for the largest number costs memory
        numbers, order = np.unique(pixels, return_inverse=True)
        return order.reshape(pixels.shape) + int(numbers[0] != 0)
    return connected_components(pixels if meaning.values == "classes" else pixels >= meaning.least)


def _write_numbers(path: Path, drawn: np.ndarray, *, smallest: type) -> None:
    largest = int(drawn.max(initial=0))
    if largest > np.iinfo(np.uint16).max:
        raise ValueError(
            f"{path}: a PNG must have at most 65535 numbers. Received: {largest}. "
            "Cut the image into parts."
        )
    dtype = smallest if largest <= np.iinfo(smallest).max else np.uint16
    write_png(path, drawn.astype(dtype))
