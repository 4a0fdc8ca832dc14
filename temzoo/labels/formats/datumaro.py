"""Datumaro's JSON, as CVAT and OpenVINO export it: categories, items and their annotations.

Datumaro states x, y; an ellipse as the box around it; masks as COCO's compressed run lengths. CVAT
notes a rotation, degrees clockwise on screen, among the attributes.

Source: https://github.com/open-edge-platform/datumaro (its format "datumaro", version 1.0)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from temzoo.core.files import write_json
from temzoo.core.types import NO_ATTRIBUTES, LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import entry_of, left_out, size_of_file
from temzoo.labels.formats.geometry import box, coco_mask, compressed, numbers, vertices
from temzoo.labels.formats.limits import of_kind, require_finite, require_size, short
from temzoo.labels.names import ImageFolder, class_names
from temzoo.labels.shapes.windows import shape_mask

VERSION, IMAGE = "1.0", 2  # of the format; the type of its media
LEAST = {"polygon": 3, "polyline": 2, "points": 1}  # vertices
NOTES = ("caption", "hash_key", "feature_vector")  # of whole images, without a label
NO_AREA = {"label": "tag", "skeleton": "skeleton", "cuboid_3d": "cuboid", "cuboid_2d": "cuboid"}


def recognises(document: Any) -> bool:
    """Whether decoded JSON is a file of Datumaro."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("categories"), dict)
        and isinstance(document.get("items"), list)
    )


def parse(
    document: Any,
    path: Path,
    *,
    images: str | Path | None = None,
    said: list[Finding] | None = None,
) -> list[LabelledImage]:
    """All images of a decoded Datumaro file, in file order, named as ``image.path`` has it.

    Labels of images become tags; skeletons and cuboids are counted, without their points.

    Args:
        images: the folder of the images, for those whose sizes the file does not state.
        said: takes entries that cannot be read, which are left out; None: the first is raised.

    Raises:
        ValueError: when an item or annotation is malformed; the message names the file and both.
    """
    if not recognises(document):
        raise ValueError(
            f"{path}: a file of Datumaro must have 'categories' and 'items'. Received: "
            f"{short(document)}. Export it again."
        )
    classes = _classes(document["categories"], path)
    folder = None if images is None else ImageFolder(images)
    labelled = []
    for number, item in enumerate(document["items"], start=1):
        image = None
        with left_out(said, f"{path}, item {number}"):
            name, height, width = _image(entry_of(item), folder)
            entries = of_kind(item.get("annotations", []), "annotations", list)
            image = LabelledImage(name, width, height, classes=classes)
        if image is not None:
            place = f"{path}, image {name!r}"
            shapes = []
            for order, entry in enumerate(entries, start=1):
                with left_out(said, f"{place}, annotation {order}", name):
                    if entry_of(entry).get("type") not in NOTES:
                        shapes.append(_shape(entry, image))
            labelled.append(LabelledImage(name, width, height, tuple(shapes), classes))
    return labelled


def write(path: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes a Datumaro file; returns how many shapes of each kind it could not hold."""
    images = list(images)
    names = class_names(images)
    not_held: Counter[str] = Counter()
    items = []
    for image in images:
        entries = []
        for shape in image.shapes:
            geometry = _stated(shape, image)
            not_held.update([] if geometry else [shape.kind])
            if geometry:
                notes: dict[str, Any] = {**shape.attributes, "occluded": shape.occluded}
                notes |= {"rotation": shape.rotation} if shape.rotation else {}
                ids = {"id": len(entries), "group": shape.group_id, "attributes": notes}
                label = {"label_id": names.index(shape.label), "z_order": shape.z_order}
                entries.append(ids | label | geometry)
        stem = str(PurePosixPath(image.name).with_suffix(""))
        media = {"path": image.name, "size": [image.height, image.width]}
        items.append({"id": stem, "annotations": entries, "attr": {}, "image": media})
    labels = [{"name": name, "parent": "", "attributes": []} for name in names]
    categories = {"label": {"labels": labels, "label_groups": [], "attributes": []}}
    head = {"dm_format_version": VERSION, "media_type": IMAGE, "infos": {}}
    write_json(path, head | {"categories": categories, "items": items})
    return dict(not_held)


def _classes(categories: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    stated = categories.get("label", {})
    entries = stated.get("labels", []) if isinstance(stated, dict) else None
    names = [one.get("name") if isinstance(one, dict) else None for one in entries or ()]
    if not isinstance(entries, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"{path}: categories must list labels with a name each, since annotations state their "
            f"places in the list. Received: {short(stated)}. Export it again."
        )
    return tuple(names)


def _image(item: Mapping[str, Any], folder: ImageFolder | None) -> tuple[str, int, int]:
    """Name, height and width."""
    media = item.get("image", item.get("media"))
    media = media if isinstance(media, dict) else {}
    number, path = of_kind(item.get("id"), "id", str), media.get("path")
    path = path.replace("\\", "/") if isinstance(path, str) else ""
    there = PurePosixPath(path)
    if not path or there.is_absolute() or ".." in there.parts or ":" in path:
        path = number + there.suffix  # where the image lay says nothing of where it lies now
    if media.get("size") is None:
        height, width = size_of_file(path, folder)
    else:
        height, width = numbers(media["size"], "size", 2).astype(int).tolist()
    require_size(width, height)
    return path, height, width


def _shape(entry: Mapping[str, Any], image: LabelledImage) -> Shape:
    kind = str(entry.get("type"))
    fields = _fields(entry, kind, image.classes)
    if kind in LEAST:
        points = vertices(entry.get("points"), "points", LEAST[kind])
        return Shape(kind, points=points, **fields)
    if kind == "bbox":
        return Shape("box", points=box(*numbers(entry.get("bbox"), "bbox", 4).tolist()), **fields)
    if kind == "ellipse":
        left, top, right, bottom = numbers(entry.get("points"), "points", 4).tolist()
        corners = np.sort([[top, left], [bottom, right]], axis=0)
        points = np.stack([corners.mean(axis=0), np.diff(corners, axis=0)[0] / 2])
        return Shape("ellipse", points=points, **fields)
    if kind == "mask":
        runs = of_kind(entry.get("rle"), "rle", dict)
        points, runs = coco_mask(runs, image.height, image.width)
        return Shape("mask", points=points, runs=runs, **fields)
    if kind in NO_AREA:
        return Shape(NO_AREA[kind], points=np.zeros((0, 2)), **fields)
    known = sorted({*LEAST, *NO_AREA, "bbox", "ellipse", "mask"})
    raise ValueError(f"type must be one of {known}. Received: {short(kind)}. Draw it again.")


def _fields(entry: Mapping[str, Any], kind: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """What a Shape has beside its geometry."""
    notes = dict(of_kind(entry.get("attributes") or {}, "attributes", dict))
    label_id = of_kind(entry.get("label_id"), "label_id", int)
    if not 0 <= label_id < len(classes):
        raise ValueError(
            f"label_id must be the place of a label in the categories, which are {len(classes)}. "
            f"Received: {short(label_id)}. Correct it."
        )
    turned = notes.pop("rotation", 0) if kind in ("bbox", "ellipse") else 0
    rotation = of_kind(turned, "rotation", float)
    require_finite(np.array(rotation))
    return {
        "label": classes[label_id],
        "rotation": rotation,
        "z_order": of_kind(entry.get("z_order", 0), "z_order", int),
        "group_id": of_kind(entry.get("group", 0), "group", int),
        "occluded": notes.pop("occluded", False) is True,
        "attributes": {str(key): str(note) for key, note in notes.items()} or NO_ATTRIBUTES,
    }


def _stated(shape: Shape, image: LabelledImage) -> dict[str, Any]:
    """Type and geometry of the annotation for a shape; empty for a kind that is not written."""
    flat = shape.points[:, ::-1].ravel().tolist()
    if shape.kind in LEAST:
        return {"type": shape.kind, "points": flat}
    if shape.kind == "box":
        left, top, right, bottom = flat
        return {"type": "bbox", "bbox": [left, top, right - left, bottom - top]}
    if shape.kind == "ellipse":
        col, row, col_axis, row_axis = flat
        around = [col - col_axis, row - row_axis, col + col_axis, row + row_axis]
        return {"type": "ellipse", "points": around}
    if shape.kind == "mask":
        return {"type": "mask", "rle": compressed(shape_mask(shape, image.height, image.width))}
    return {"type": "label"} if shape.kind == "tag" else {}
