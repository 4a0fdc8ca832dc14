"""What a format loses of labels that it can hold, in words, before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from temzoo.core.connected import connected_components
from temzoo.core.types import IGNORE, LabelledImage
from temzoo.labels.names import class_names, with_area
from temzoo.labels.shapes import raster

WITHOUT_IGNORED = ("masks instances", "yolo", "yolo-seg", "cellpose")


def losses(images: Iterable[LabelledImage], to: str, kind: str = "classes") -> list[str]:
    """What reading the written labels would not give back; shapes without area are not told.

    Args:
        to: the format.
        kind: of masks: "classes" or "instances".
    """
    drawn = [with_area(image) for image in images]
    written = f"{to} {kind}" if to == "masks" else to
    found = list(_LOST.get(written, lambda _: [])(drawn))
    if written in WITHOUT_IGNORED:
        left = sum(shape.label == IGNORE for image in drawn for shape in image.shapes)
        found += [f'{left} regions of the label "ignore": they become background'] if left else []
    if to not in ("cvat", "coco", "datumaro", "via", "via-csv", "qupath"):
        shapes = (shape for image in drawn for shape in image.shapes)
        notes = sum(any(not _kept(item, to) for item in s.attributes.items()) for s in shapes)
        found += [f"the attributes of {notes} shapes"] if notes else []
    return found


def _kept(note: tuple[str, str], to: str) -> bool:
    """Whether a format holds an attribute: LabelMe has a description, and flags that are true."""
    return to == "labelme" and (note[0] == "description" or note[1] == "true")


def _of_class_masks(images: Sequence[LabelledImage]) -> list[str]:
    objects = parts = kept = 0
    for image in images:
        names = [name for name in class_names([image]) if name != IGNORE]
        numbers = raster.instance_map(image)
        part_of = connected_components(raster.class_map(image, names))
        objects += len(raster.instances(image))
        parts += int(part_of.max(initial=0))
        inside = numbers > 0
        pairs = np.unique(numbers[inside].astype(np.int64) << 32 | part_of[inside])
        alone = [np.bincount(part)[part] == 1 for part in (pairs >> 32, pairs & (2**32 - 1))]
        kept += np.count_nonzero(alone[0] & alone[1])
    if kept == objects:
        return []
    return [
        f"{objects - kept} of {objects} objects, which touch others of their class, are covered or "
        f"in pieces: {parts} parts are left. --kind instances keeps the numbers of objects"
    ]


def _of_instance_masks(images: Sequence[LabelledImage]) -> list[str]:
    found = []
    names = [name for name in class_names(images) if name != IGNORE]
    if len(names) > 1:
        found.append(
            f"the {len(names)} classes ({', '.join(names[:5])}): objects have numbers alone"
        )
    return [*found, *_hidden(images)]


def _hidden(images: Sequence[LabelledImage]) -> list[str]:
    hidden = sum(
        len(raster.instances(image)) - np.count_nonzero(np.unique(raster.instance_map(image)))
        for image in images
    )
    return [f"{hidden} objects without a pixel of their own"] if hidden else []


def _of_regions(images: Sequence[LabelledImage]) -> list[str]:
    several = sum(len(one.shapes) > 1 for image in images for one in raster.instances(image))
    return [f"{several} objects of several parts became one object a part"] if several else []


def _of_boxes(images: Sequence[LabelledImage]) -> list[str]:
    outlined = sum(
        shape.kind != "box" or shape.rotation != 0
        for image in images
        for shape in image.shapes
        if shape.label != IGNORE
    )
    if not outlined:
        return []
    return [f"{outlined} outlines became upright boxes: --to yolo-seg keeps them"]


_LOST: dict[str, Callable[[Sequence[LabelledImage]], list[str]]] = {
    "masks classes": _of_class_masks,
    "masks instances": _of_instance_masks,
    "segmask": _hidden,
    "cellpose": _of_instance_masks,
    "yolo": _of_boxes,
    "via": _of_regions,
    "via3": _of_regions,
    "via-csv": _of_regions,
    "labelstudio": _of_regions,
    "labelbox": _of_regions,
}
