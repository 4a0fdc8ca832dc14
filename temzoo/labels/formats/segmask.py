"""CVAT's "Segmentation mask 1.1": colours for classes and for objects, as Pascal VOC has them.

``labelmap.txt`` gives the colour of each class; an image is ``SegmentationClass/NAME.png``, and
``SegmentationObject/NAME.png`` has a colour of its own for each object.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-smask/
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from skimage import measure

from temzoo.core.connected import connected_components
from temzoo.core.files import text_lines, write_text
from temzoo.core.types import IGNORE, LabelledImage, Shape
from temzoo.core.writers import write_png
from temzoo.labels import not_areas
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import left_out
from temzoo.labels.names import class_names, label_paths, with_area
from temzoo.labels.shapes import raster
from temzoo.labels.shapes.run_lengths import mask_geometry
from temzoo.micrographs import list_images, load_micrograph

LABEL_MAP = "labelmap.txt"
CLASSES, OBJECTS, LISTS = "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"
BACKGROUND = "background"
VOID = (224, 224, 192)  # how Pascal VOC paints what nobody has judged
BITS = 8


def recognises(folder: Path) -> bool:
    """Whether a folder has the colours of classes and the images painted with them."""
    return (folder / LABEL_MAP).is_file() and (folder / CLASSES).is_dir()


def read(folder: str | Path, *, said: list[Finding] | None = None) -> list[LabelledImage]:
    """All images of an unpacked export, in the order of their names.

    Without a picture of the objects, each connected part of a class is one.

    Args:
        said: takes pictures and objects that cannot be read, which are left out; None: the first
            is raised.

    Returns:
        one per picture of classes, named as it; its shapes are of kind "mask". What is painted as
        Pascal VOC's void, and not listed, has the label "ignore".

    Raises:
        ValueError: when ``labelmap.txt`` is malformed, a picture is no image, or has a colour that
            is not listed; the message names the file.
    """
    folder = Path(folder)
    colours = _label_map(folder / LABEL_MAP)
    classes = tuple(dict.fromkeys(n for n in colours.values() if n not in (BACKGROUND, IGNORE)))
    labelled = []
    for path in list_images(folder / CLASSES, suffixes={".png"}):
        name = path.relative_to(folder / CLASSES).as_posix()
        shapes = None
        with left_out(said, str(path), name):
            painted = _codes(path)
            _check_colours(path, painted, colours)
            objects_path = folder / OBJECTS / name
            objects = _codes(objects_path) if objects_path.is_file() else None
            if objects is not None and objects.shape != painted.shape:
                raise ValueError(
                    f"{OBJECTS} and {CLASSES} must be of one size. Received: {objects.shape} and "
                    f"{painted.shape} (height, width). Export them again."
                )
            shapes = _shapes(painted, objects, colours)
        if shapes is not None:
            height, width = painted.shape
            labelled.append(LabelledImage(name, width, height, tuple(shapes), classes))
    return labelled


def write(folder: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes the folder that CVAT imports once it is zipped.

    Returns how many shapes of each kind were left out, since they have no area.

    Raises:
        ValueError: when an image's name leads out of the folder, two images get one file, or a
            class has a name that the list of colours cannot hold.
    """
    folder, images = Path(folder), list(images)
    drawn = [with_area(image) for image in images]
    known = class_names(drawn)
    names = [name for name in known if name != IGNORE]
    bad = next((name for name in names if {*name} & {*":\n\r#"} or name == BACKGROUND), None)
    if bad is not None:
        raise ValueError(
            f"a class in {LABEL_MAP} must be without ':' and '#', and not {BACKGROUND!r}. "
            f"Received: {bad!r}. Use --rename."
        )
    paths = label_paths(folder / CLASSES, (image.name for image in drawn), ".png")
    palette = _palette(1 + max([len(names), *(len(image.shapes) for image in drawn)]))
    for image, path in zip(drawn, paths, strict=True):
        ignored = raster.ignored_pixels(image)
        place = path.relative_to((folder / CLASSES).resolve())
        for part, numbers in (
            (CLASSES, raster.class_map(image, names)),
            (OBJECTS, raster.instance_map(image)),
        ):
            pixels = palette[numbers]
            if ignored is not None:
                pixels[ignored] = VOID
            (folder / part / place).parent.mkdir(parents=True, exist_ok=True)
            write_png(folder / part / place, pixels)
    rows = [(BACKGROUND, palette[0]), *zip(names, palette[1:], strict=False)]
    rows += [(IGNORE, np.array(VOID))] if IGNORE in known else []
    colours = "".join(f"{name}:{','.join(map(str, rgb.tolist()))}::\n" for name, rgb in rows)
    stems = [p.relative_to((folder / CLASSES).resolve()).with_suffix("") for p in paths]
    write_text(folder / LABEL_MAP, f"# label:color_rgb:parts:actions\n{colours}")
    write_text(folder / LISTS / "default.txt", "".join(f"{s.as_posix()}\n" for s in stems))
    return not_areas(images)


def _palette(count: int) -> np.ndarray:
    """(count, 3) uint8, Pascal VOC's: bit 3 j + c of a number is bit 7 - j of its channel c."""
    numbers = np.arange(count)
    channels = [
        sum(((numbers >> (3 * j + c)) & 1) << (BITS - 1 - j) for j in range(BITS)) for c in range(3)
    ]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _label_map(path: Path) -> dict[int, str]:
    """The class by its colour's code."""
    found: dict[int, str] = {}
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, rest = line.strip().partition(":")
        levels = rest.partition(":")[0].split(",")
        if not name or len(levels) != 3 or not all(_is_level(level) for level in levels):
            raise ValueError(
                f"{path}, line {number}: it must be name:red,green,blue:: with levels to 255. "
                f"Received: {line[:60]!r}. Export it again."
            )
        code = _code(np.array([int(level) for level in levels]))
        if found.setdefault(int(code), name) != name:
            raise ValueError(
                f"{path}, line {number}: a colour must be one class's. Received: {rest!r} for "
                f"{found[int(code)]!r} and {name!r}. Give one another colour, and export again."
            )
    found.setdefault(0, BACKGROUND)
    found.setdefault(int(_code(np.array(VOID))), IGNORE)
    return found


def _is_level(text: str) -> bool:
    return text.strip().isdecimal() and len(text.strip()) <= 3 and int(text) <= 255


def _code(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) levels to one number each."""
    red, green, blue = np.moveaxis(rgb.astype(np.int64), -1, 0)
    return (red << 16) | (green << 8) | blue


def _codes(path: Path) -> np.ndarray:
    """(H, W) int64, the code of each pixel's colour."""
    pixels = load_micrograph(path).pixels
    if pixels.dtype != np.uint8:
        raise ValueError(f"levels must be of 8 bits. Received: {pixels.dtype}. Export it again.")
    return _code(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))


def _check_colours(path: Path, painted: np.ndarray, colours: dict[int, str]) -> None:
    unknown = [int(code) for code in np.unique(painted) if int(code) not in colours]
    if unknown:
        code = unknown[0]
        raise ValueError(
            f"each colour must be in {LABEL_MAP}. Received: {len(unknown)} that are not, such as "
            f"{code >> 16},{code >> 8 & 255},{code & 255}. Export it as PNG, without anti-aliasing."
        )


def _shapes(
    painted: np.ndarray, objects: np.ndarray | None, colours: dict[int, str]
) -> list[Shape]:
    background = np.isin(painted, [code for code, name in colours.items() if name == BACKGROUND])
    codes, kinds = np.unique(painted, return_inverse=True)
    kinds = np.where(background, 0, kinds.reshape(painted.shape) + 1)
    if objects is None:
        numbered = connected_components(kinds)
    else:  # what lies in two classes are two objects
        pairs = np.stack([objects.ravel(), kinds.ravel()], axis=-1)
        numbered = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(painted.shape) + 1
        numbered[background] = 0
    found = []
    for region in measure.regionprops(numbered):
        kind = int(kinds[region.slice][region.image][0])
        points, runs = mask_geometry(region.image, *region.bbox[:2])
        label = colours[int(codes[kind - 1])]
        found.append(Shape("mask", label, points, runs=runs, source="file"))
    # From top to bottom: colours tell no order.
    return sorted(found, key=lambda shape: shape.points[0].tolist())
