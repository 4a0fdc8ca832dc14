"""COCO JSON: instances as polygons or run lengths.

COCO states x, y and counts runs down the columns; shapes hold (row, col) and row-major runs.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import write_json
from temzoo.core.types import NO_ATTRIBUTES, LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import entry_of, left_out, size_of_file
from temzoo.labels.formats.geometry import (
    box,
    coco_mask,
    compressed,
    is_pair,
    numbers,
    vertices,
)
from temzoo.labels.formats.limits import of_kind, require_size, short
from temzoo.labels.names import ImageFolder, class_names
from temzoo.labels.shapes import windows
from temzoo.labels.shapes.windows import area, outline

CONTOUR_KINDS = frozenset({"polygon", "box", "ellipse"})


def recognises(document: Any) -> bool:
    """Whether decoded JSON has the lists of a COCO file."""
    return isinstance(document, dict) and all(
        isinstance(document.get(key), list) for key in ("images", "annotations")
    )


def parse(
    document: Any,
    path: Path,
    *,
    images: str | Path | None = None,
    said: list[Finding] | None = None,
) -> list[LabelledImage]:
    """All images of a decoded COCO file, in file order; the classes in the order of their ids.

    An annotation of several polygons becomes shapes that share a ``group_id``; run lengths become
    masks; one without a segmentation becomes its ``bbox``. ``iscrowd`` is kept as the attribute
    ``{"iscrowd": "1"}``. Annotations may stand in any order. Ids may be numbers or texts of them,
    and those of annotations may be absent; vertices may be pairs.

    Args:
        path: for messages.
        images: the folder of the images, for those whose sizes the file does not state.
        said: takes entries that cannot be read, which are left out; None: the first is raised.

    Raises:
        ValueError: when it is no COCO file or an entry is malformed; the message names the file
            and the image or annotation.
    """
    if not recognises(document):
        raise ValueError(
            f"{path}: a COCO file must have the lists 'images' and 'annotations'. Received: "
            f"{sorted(document)[:8] if isinstance(document, dict) else type(document).__name__}. "
            "Export the instances as COCO 1.0."
        )
    names = _categories(document, path, said)
    folder = None if images is None else ImageFolder(images)
    fields = partial(_image_fields, folder=folder)
    known = _by_id(document["images"], f"{path}, image", fields, said)
    shapes: dict[int | str, list[Shape]] = {number: [] for number in known}
    groups: Counter[int | str] = Counter()
    for position, entry in enumerate(document["annotations"]):
        number = entry.get("id") if isinstance(entry, dict) else None
        place = f"annotation at position {position}" if number is None else f"annotation {number}"
        place = f"{path}, {place[:60]}"
        with left_out(said, place):
            image = _known(entry_of(entry), "image_id", known)
            label = names[_known(entry, "category_id", names)]
            parts = _shapes(entry, label, known[image], said, place)
            if len(parts) > 1:
                groups[image] += 1
                parts = [replace(part, group_id=groups[image]) for part in parts]
            shapes[image] += parts
    umbrella = _umbrella(document)
    classes = tuple(names[number] for number in sorted(names, key=_order) if number != umbrella)
    return [
        LabelledImage(**stated, shapes=tuple(shapes[number]), classes=classes)
        for number, stated in known.items()
    ]


def write(
    path: str | Path, images: Iterable[LabelledImage], *, classes: Sequence[str] | None = None
) -> dict[str, int]:
    """Writes a COCO instances file.

    Polygons, boxes and ellipses become polygons (an ellipse one that leaves it by at most 0.02
    pixels), masks run lengths; parts of one group one annotation. COCO has no z_order:
    annotations stand in the order of drawing, the topmost last.

    Args:
        classes: label names for the categories 1, 2, …; None: those declared, then those used.

    Returns:
        how many shapes of each kind were left out, since COCO has no such kind (polyline, points,
        cuboid, …) or a polygon has fewer than three vertices.

    Raises:
        ValueError: when a label is not among the classes.
    """
    images = list(images)
    names = class_names(images) if classes is None else list(classes)
    not_held: Counter[str] = Counter()
    entries, annotations = [], []
    for number, image in enumerate(images, start=1):
        size = {"width": image.width, "height": image.height}
        entries.append({"id": number, **size, "file_name": image.name})
        for parts in _objects(image, not_held):
            label = parts[0].label
            if label not in names:
                raise ValueError(
                    f"every label must be one of the classes. Received: label={label!r} in image "
                    f"{image.name!r}, classes={names}. Add it to the classes."
                )
            ids = {"id": len(annotations) + 1, "image_id": number}
            ids["category_id"] = names.index(label) + 1
            annotations.append(ids | _annotation(parts, image))
    categories = [
        {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(names, 1)
    ]
    write_json(path, {"images": entries, "annotations": annotations, "categories": categories})
    return dict(not_held)


def _by_id(
    entries: list, what: str, convert: Callable[[Any], Any], said: list[Finding] | None
) -> dict[int | str, Any]:
    """What each entry converts to, by its id; entries that share an id are all left out."""
    done: dict[int | str, Any] = {}
    twice = set()
    for position, entry in enumerate(entries):
        stated = entry.get("id") if isinstance(entry, dict) else None
        name = f"at position {position}" if stated is None else str(stated)[:60]
        with left_out(said, f"{what} {name}"):
            number = _id(entry_of(entry).get("id"), "id")
            converted = convert(entry)
            if done.get(number, converted) != converted:
                twice.add(number)
                raise ValueError(
                    f"ids must be unique. Received: id={number} twice. Renumber it; the other with "
                    "this id was left out too, since its annotations may belong to either."
                )
            done[number] = converted
    return {number: converted for number, converted in done.items() if number not in twice}


def _id(value: Any, key: str) -> int | str:
    """A whole number, also where it is stated as a text or with a point; else a text."""
    if isinstance(value, str) and value:
        return int(value) if value.isdecimal() and len(value) < 20 else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return of_kind(value, key, int)


def _order(number: int | str) -> tuple[bool, int | str]:
    return isinstance(number, str), number


def _categories(
    document: Mapping[str, Any], path: Path, said: list[Finding] | None
) -> dict[int | str, str]:
    entries = document.get("categories", [])
    if not isinstance(entries, list):
        raise ValueError(
            f"{path}: 'categories' must be a list. Received: {type(entries).__name__}. "
            "Export the instances as COCO 1.0."
        )

    def name(entry: Mapping[str, Any]) -> str:
        return of_kind(entry.get("name"), "name", str)

    return _by_id(entries, f"{path}, category", name, said)


def _umbrella(document: Mapping[str, Any]) -> int | str | None:
    """The id of the category that Roboflow puts first: no class, but what it calls all of them."""
    entries = [one for one in document.get("categories", []) if isinstance(one, dict)]
    above = {str(one.get("supercategory")) for one in entries}
    first = entries[0] if entries else {}
    if first.get("supercategory") != "none" or str(first.get("name")) not in above:
        return None
    used = (one.get("category_id") for one in document["annotations"] if isinstance(one, dict))
    return None if first.get("id") in used else first.get("id")


def _image_fields(entry: Mapping[str, Any], folder: ImageFolder | None) -> dict[str, Any]:
    name = of_kind(entry.get("file_name"), "file_name", str)
    if entry.get("width") is None and entry.get("height") is None:
        height, width = size_of_file(name, folder)
    else:
        width, height = (_id(entry.get(side), side) for side in ("width", "height"))
        width, height = (of_kind(side, "width and height", int) for side in (width, height))
    require_size(width, height)
    return {"name": name, "width": width, "height": height}


def _known(entry: Mapping[str, Any], key: str, known: Mapping[int | str, Any]) -> int | str:
    number = _id(entry.get(key), key)
    if number not in known:
        raise ValueError(
            f"{key} must be an id that the file lists. Received: {key}={short(number)}, "
            f"known {sorted(islice(known, 10), key=_order)}. Add it, or remove the annotation."
        )
    return number


def _shapes(
    entry: Mapping[str, Any],
    label: str,
    image: Mapping[str, Any],
    said: list[Finding] | None,
    place: str,
) -> list[Shape]:
    """The parts of an annotation; an outline that cannot be read is left out alone."""
    stated = entry.get("attributes") or {}
    if not isinstance(stated, dict):
        raise ValueError(f"attributes must be an object. Received: {stated!r}. Correct it.")
    notes = {str(name): str(value) for name, value in stated.items() if name != "occluded"}
    if entry.get("iscrowd"):
        notes["iscrowd"] = "1"
    tags = {"label": label, "attributes": notes or NO_ATTRIBUTES}
    tags["occluded"] = bool(stated.get("occluded", False))
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, dict):
        points, runs = coco_mask(segmentation, image["height"], image["width"])
        return [Shape("mask", points=points, runs=runs, **tags)]
    if segmentation:
        if not isinstance(segmentation, list):
            raise ValueError(
                "segmentation must be a list of polygons or run lengths. "
                f"Received: {type(segmentation).__name__}. Correct or remove the annotation."
            )
        if len(segmentation) >= 3 and all(is_pair(values) for values in segmentation):
            segmentation = [segmentation]
        parts = []
        for number, values in enumerate(segmentation, start=1):
            with left_out(said, f"{place}, outline {number}", image["name"]):
                parts.append(Shape("polygon", points=vertices(values, "segmentation", 3), **tags))
        return parts
    bounds = numbers(entry.get("bbox"), "bbox", 4).tolist()
    return [Shape("box", points=box(*bounds), **tags)]


def _objects(image: LabelledImage, not_held: Counter[str]) -> list[list[Shape]]:
    """The shapes of each object in the order of drawing; those COCO cannot hold are counted."""
    objects: dict[Any, list[Shape]] = {}
    for place, shape in enumerate(image.shapes):
        if not shape.has_area or (shape.kind == "polygon" and len(shape.points) < 3):
            not_held[shape.kind] += 1
            continue
        key = (shape.group_id, shape.label) if shape.group_id else place
        objects.setdefault(key, []).append(shape)
    return sorted(objects.values(), key=lambda parts: max(part.z_order for part in parts))


def _annotation(parts: list[Shape], image: LabelledImage) -> dict[str, Any]:
    notes: dict[str, Any] = dict(parts[0].attributes)
    crowd = int(notes.pop("iscrowd", "0") == "1")
    notes["occluded"] = parts[0].occluded
    if all(part.kind in CONTOUR_KINDS for part in parts):
        geometry = _contour_geometry([outline(part) for part in parts])
    else:
        geometry = _mask_annotation(parts, image)
    return {**geometry, "iscrowd": crowd, "attributes": notes}


def _contour_geometry(contours: list[np.ndarray]) -> dict[str, Any]:
    points = np.concatenate(contours)
    (top, left), (bottom, right) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return {
        "segmentation": [points[:, ::-1].ravel().tolist() for points in contours],
        "bbox": [left, top, right - left, bottom - top],
        "area": sum(area(points) for points in contours),
    }


def _mask_annotation(parts: list[Shape], image: LabelledImage) -> dict[str, Any]:
    pixels = np.zeros((image.height, image.width), dtype=bool)
    for part in parts:
        pixels |= windows.shape_mask(part, image.height, image.width)
    rows, cols = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    bounds = [0.0] * 4
    if rows.size:
        top, left = float(rows[0]), float(cols[0])
        bounds = [left, top, float(cols[-1]) + 1 - left, float(rows[-1]) + 1 - top]
    return {"segmentation": compressed(pixels), "bbox": bounds, "area": int(pixels.sum())}
