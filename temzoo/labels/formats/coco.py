"""COCO JSON: instances as polygons or run lengths.

COCO states x, y and counts runs down the columns; shapes hold (row, col) and row-major runs.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import read_json, write_json
from temzoo.core.types import NO_ATTRIBUTES, LabelledImage, Shape
from temzoo.labels.formats.limits import of_kind, require_finite, require_size
from temzoo.labels.names import class_names
from temzoo.labels.shapes import windows
from temzoo.labels.shapes.run_lengths import decode_runs, mask_geometry
from temzoo.labels.shapes.windows import area, outline

CONTOUR_KINDS = frozenset({"polygon", "box", "ellipse"})


def read(path: str | Path) -> list[LabelledImage]:
    """All images of a COCO instances file, in file order; the classes in the order of their ids.

    An annotation of several polygons becomes shapes that share a ``group_id``; run lengths become
    masks; one without a segmentation becomes its ``bbox``. ``iscrowd`` is kept as the attribute
    ``{"iscrowd": "1"}``. Annotations may stand in any order.

    Raises:
        ValueError: when it is no COCO file or an entry is malformed; the message names the file
            and the image or annotation.
    """
    return parse(read_json(path), Path(path))


def recognises(document: Any) -> bool:
    """Whether decoded JSON has the lists of a COCO file."""
    return isinstance(document, dict) and all(
        isinstance(document.get(key), list) for key in ("images", "annotations")
    )


def parse(document: Any, path: Path) -> list[LabelledImage]:
    """What ``read`` does, for JSON that is decoded already; ``path`` is for messages."""
    if not recognises(document):
        raise ValueError(
            f"{path}: a COCO file must have the lists 'images' and 'annotations'. Received: "
            f"{sorted(document)[:8] if isinstance(document, dict) else type(document).__name__}. "
            "Export the instances as COCO 1.0."
        )
    names = _categories(document, path)
    images = _by_id(document["images"], path, "image", _image_fields)
    shapes: dict[int, list[Shape]] = {number: [] for number in images}
    groups: Counter[int] = Counter()

    def place(entry: Mapping[str, Any]) -> None:
        number = _known(entry, "image_id", images)
        label = names[_known(entry, "category_id", names)]
        parts = _shapes(entry, label, images[number])
        if len(parts) > 1:
            groups[number] += 1
            parts = [replace(part, group_id=groups[number]) for part in parts]
        shapes[number] += parts

    _by_id(document["annotations"], path, "annotation", place)
    classes = tuple(names[number] for number in sorted(names))
    return [
        LabelledImage(**fields, shapes=tuple(shapes[number]), classes=classes)
        for number, fields in images.items()
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
    left_out: Counter[str] = Counter()
    entries, annotations = [], []
    for number, image in enumerate(images, start=1):
        size = {"width": image.width, "height": image.height}
        entries.append({"id": number, **size, "file_name": image.name})
        for parts in _objects(image, left_out):
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
    return dict(left_out)


def decompress(text: str) -> np.ndarray:
    """Run lengths, (R,) int64, down the columns, zeros first, of COCO's compressed string.

    Each number is written in groups of five bits, the lowest first, as the characters from "0"
    on; bit 5 says that more follow, bit 4 of the last is the sign. From the fourth number on, the
    difference to the one before the last is written.

    Raises:
        ValueError: when the string ends within a number or has other characters.

    Example:
        >>> decompress("52203")
        array([5, 2, 2, 2, 5])
    """
    # pycocotools decodes a damaged string to unset memory, so it is not asked.
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - 48
        if not 0 <= group < 64 or shift > 60:
            shift = 1  # not a string of this kind
            break
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            value -= (1 << shift) if group & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift or any(abs(run) >= 2**40 for run in runs):
        raise ValueError(
            "counts must be a compressed run-length string. "
            f"Received: counts={text[:60]!r} ({len(text)} characters). Export it again."
        )
    return np.array(runs, dtype=np.int64)


def _by_id(entries: list, path: Path, what: str, convert: Any) -> dict[int, Any]:
    """Converts each entry, and names the file and the entry's id when that fails."""
    done: dict[int, Any] = {}
    for place, entry in enumerate(entries):
        number = entry.get("id") if isinstance(entry, dict) else None
        try:
            if of_kind(number, "id", int) in done:
                raise ValueError(f"ids must be unique. Received: id={number} twice. Renumber it.")
            done[number] = convert(entry)
        except ValueError as error:
            name = f"at position {place}" if number is None else number
            raise ValueError(f"{path}, {what} {name}: {error}") from error
    return done


def _categories(document: Mapping[str, Any], path: Path) -> dict[int, str]:
    entries = document.get("categories", [])
    if not isinstance(entries, list):
        raise ValueError(
            f"{path}: 'categories' must be a list. Received: {type(entries).__name__}. "
            "Export the instances as COCO 1.0."
        )
    return _by_id(entries, path, "category", lambda entry: of_kind(entry.get("name"), "name", str))


def _image_fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    width, height = (of_kind(entry.get(side), side, int) for side in ("width", "height"))
    require_size(width, height)
    name = of_kind(entry.get("file_name"), "file_name", str)
    return {"name": name, "width": width, "height": height}


def _known(entry: Mapping[str, Any], key: str, known: Mapping[int, Any]) -> int:
    number = of_kind(entry.get(key), key, int)
    if number not in known:
        raise ValueError(
            f"{key} must be an id that the file lists. Received: {key}={number}, "
            f"known {sorted(known)[:10]}. Add it, or remove the annotation."
        )
    return number


def _shapes(entry: Mapping[str, Any], label: str, image: Mapping[str, Any]) -> list[Shape]:
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
        points, runs = _mask(segmentation, image)
        return [Shape("mask", points=points, runs=runs, **tags)]
    if segmentation:
        if not isinstance(segmentation, list):
            raise ValueError(
                "segmentation must be a list of polygons or run lengths. "
                f"Received: {type(segmentation).__name__}. Correct or remove the annotation."
            )
        return [Shape("polygon", points=_polygon(values), **tags) for values in segmentation]
    left, top, width, height = _numbers(entry.get("bbox"), "bbox", 4).tolist()
    return [Shape("box", points=np.array([[top, left], [top + height, left + width]]), **tags)]


def _numbers(values: Any, key: str, count: int | None = None) -> np.ndarray:
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros((0, 0))
    if numbers.ndim != 1 or (count is not None and numbers.size != count):
        raise ValueError(
            f"{key} must be a list of {'' if count is None else f'{count} '}numbers. "
            f"Received: {key}={str(values)[:60]}. Correct or remove the annotation."
        )
    require_finite(numbers)
    return numbers


def _polygon(values: Any) -> np.ndarray:
    flat = _numbers(values, "segmentation")
    if flat.size < 6 or flat.size % 2:
        raise ValueError(
            "a polygon must be x, y pairs of at least three vertices. "
            f"Received: {flat.size} numbers. Draw it again, or remove the annotation."
        )
    return np.ascontiguousarray(flat.reshape(-1, 2)[:, ::-1])


def _mask(
    segmentation: Mapping[str, Any], image: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    height, width = image["height"], image["width"]
    if segmentation.get("size") != [height, width]:
        raise ValueError(
            "size must be the image's [height, width]. Received: "
            f"size={segmentation.get('size')}, image {[height, width]}. Export it again."
        )
    counts = segmentation.get("counts")
    runs = decompress(counts) if isinstance(counts, str) else _numbers(counts, "counts")
    if np.any(runs != np.floor(runs)):
        raise ValueError(
            f"counts must be whole numbers. Received: counts={str(counts)[:60]}. Export it again."
        )
    # Down the columns of the image is row-major in its transpose.
    return mask_geometry(decode_runs(runs, width, height).T)


def _objects(image: LabelledImage, left_out: Counter[str]) -> list[list[Shape]]:
    """The shapes of each object in the order of drawing; those COCO cannot hold are counted."""
    objects: dict[Any, list[Shape]] = {}
    for place, shape in enumerate(image.shapes):
        if not shape.has_area or (shape.kind == "polygon" and len(shape.points) < 3):
            left_out[shape.kind] += 1
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
    # Imported here: only writing masks needs it.
    from pycocotools import mask as coco_mask

    pixels = np.zeros((image.height, image.width), dtype=bool)
    for part in parts:
        pixels |= windows.shape_mask(part, image.height, image.width)
    encoded = coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return {
        "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")},
        "bbox": coco_mask.toBbox(encoded).tolist(),
        "area": int(coco_mask.area(encoded)),
    }
