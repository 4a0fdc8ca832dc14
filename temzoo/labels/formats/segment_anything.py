"""Masks of Segment Anything: the JSON of SA-1B, and of its ``amg.py --convert-to-rle``.

There is a file for each image, and masks are COCO's run lengths; amg.py writes their list alone,
and names the file as the image. Masks have no classes, and those of parts lie within those of
wholes: the smaller lies on top.

Source: https://github.com/facebookresearch/segment-anything
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import OBJECT, each_file, entry_of, left_out
from temzoo.labels.formats.geometry import coco_mask
from temzoo.labels.formats.limits import of_kind, require_size


def recognises(document: Any) -> bool:
    """Whether decoded JSON is a file of SA-1B, or a list of masks."""
    if isinstance(document, dict):
        return isinstance(document.get("image"), dict) and "annotations" in document
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and {"segmentation", "predicted_iou"} <= first.keys()


def read(
    folder: str | Path, *, images: str | Path | None = None, said: list[Finding] | None = None
) -> list[LabelledImage]:
    """The images of a folder of such files, those in its subfolders too; see ``parse``."""
    return each_file(folder, "*.json", recognises, parse, images=images, said=said)


def parse(
    document: Any,
    path: Path,
    *,
    images: str | Path | None = None,
    said: list[Finding] | None = None,
    place: Path = Path(),
) -> list[LabelledImage]:
    """The one image of a file that is decoded already, its largest mask first.

    Args:
        images: not looked at; the file states the image's size.
        place: the folder of the file in the data set.
        said: takes masks that cannot be read, which are left out; None: the first is raised.

    Raises:
        ValueError: when the file or a mask is malformed.
    """
    with left_out(None, str(path)):
        name, size, entries = _stated(document, path)
        height, width = (of_kind(side, "size", int) for side in (*size, None, None)[:2])
        require_size(width, height)
    name, shapes = (place / PurePosixPath(name.replace("\\", "/")).name).as_posix(), []
    for number, entry in enumerate(entries, start=1):
        with left_out(said, f"{path}, mask {number}", name):
            mask = entry_of(entry_of(entry).get("segmentation"))
            points, runs = coco_mask(mask, height, width)
            shapes.append(Shape("mask", OBJECT, points, runs=runs))
    shapes.sort(key=lambda shape: -int(shape.runs[1::2].sum()))
    return [LabelledImage(name, width, height, tuple(shapes), (OBJECT,))]


def _stated(document: Any, path: Path) -> tuple[str, list[Any], list[Any]]:
    """Name, [height, width] and masks."""
    if isinstance(document, list):
        first = entry_of(document[0]["segmentation"])
        return path.stem, of_kind(first.get("size"), "size", list), document
    name = of_kind(document["image"].get("file_name"), "file_name", str)
    size = [document["image"].get(side) for side in ("height", "width")]
    return name, size, of_kind(document["annotations"], "annotations", list)
