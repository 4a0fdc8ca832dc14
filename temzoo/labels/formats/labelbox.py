"""Labelbox's export: NDJSON, a data row on each line.

Labelbox states x, y in pixels, and draws masks into pictures on its server, which are not fetched:
a segmentation mask is left out.

Source: https://docs.labelbox.com/reference/export-image-annotations
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from temzoo.core.files import text_lines, write_text
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import entry_of, finished, left_out, newest, size_of_file
from temzoo.labels.formats.geometry import box, stated
from temzoo.labels.formats.limits import of_kind, require_size, short
from temzoo.labels.names import ImageFolder
from temzoo.labels.shapes.windows import outline

SIDES = ("top", "left", "height", "width")
# By Labelbox's key: the kind of the shape, and the least vertices.
KINDS = {"polygon": ("polygon", 3), "line": ("polyline", 2), "point": ("points", 1)}
ANNOTATION_KINDS = {
    "bounding_box": "ImageBoundingBox",
    "polygon": "ImagePolygon",
    "line": "ImagePolyline",
    "point": "ImagePoint",
}


def recognises(document: Any) -> bool:
    """Whether decoded JSON is a data row of Labelbox, or a list of them."""
    rows = document if isinstance(document, list) else [document]
    return any(isinstance(row, dict) and {"data_row", "projects"} <= row.keys() for row in rows)


def begins(line: bytes) -> bool:
    """Whether a file that begins so is an export, a data row a line."""
    return line.startswith(b"{") and b'"data_row"' in line


def read(
    path: str | Path, *, images: str | Path | None = None, said: list[Finding] | None = None
) -> list[LabelledImage]:
    """The labelled images of an export, in file order, named by ``external_id``.

    Of several labellings of a data row, in whatever project, the last changed is read.

    Args:
        images: the folder of the images, for rows that state no size.
        said: takes lines and objects that cannot be read, which are left out; None: the first is
            raised.

    Raises:
        ValueError: when a line or an object is malformed; the message names the file and both.
    """
    rows = []
    for number, line in enumerate(text_lines(path), start=1):
        if line.strip():
            with left_out(said, f"{path}, line {number}"):
                try:
                    rows.append((f"line {number}", json.loads(line)))
                except RecursionError as error:
                    raise ValueError("a data row is not nested so deeply. Remove it.") from error
    return _labelled(rows, Path(path), images, said)


def parse(
    document: Any,
    path: Path,
    *,
    images: str | Path | None = None,
    said: list[Finding] | None = None,
) -> list[LabelledImage]:
    """What ``read`` does, for rows in one list of JSON, or one alone."""
    rows = document if isinstance(document, list) else [document]
    named = [(f"row {number}", row) for number, row in enumerate(rows, start=1)]
    return _labelled(named, path, images, said)


def write(path: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes data rows as an export has them; rotated boxes and ellipses become polygons.

    Returns how many shapes of each kind were left out, since Labelbox has no such kind.
    """
    not_held: Counter[str] = Counter()
    lines = []
    for image in images:
        objects: list[dict[str, Any]] = []
        for shape in sorted(image.shapes, key=lambda each: each.z_order):
            geometries = _geometries(shape)
            not_held.update([] if geometries else [shape.kind])
            for geometry in geometries:
                kind = ANNOTATION_KINDS[next(iter(geometry))]
                entry = {"name": shape.label, "value": shape.label, "annotation_kind": kind}
                objects.append(entry | {"classifications": []} | geometry)
        label = {"label_kind": "Default", "version": "1.0.0"}
        label |= {"annotations": {"objects": objects, "classifications": []}}
        row = {"data_row": {"id": image.name, "external_id": image.name}}
        row |= {"media_attributes": {"height": image.height, "width": image.width}}
        lines.append(json.dumps(row | {"projects": {"temzoo": {"labels": [label]}}}))
    write_text(path, "".join(f"{line}\n" for line in lines))
    return dict(not_held)


def _labelled(
    rows: Iterable[tuple[str, Any]],
    path: Path,
    images: str | Path | None,
    said: list[Finding] | None,
) -> list[LabelledImage]:
    folder = None if images is None else ImageFolder(images)
    labelled, unlabelled = [], 0
    for where, row in rows:
        place, image = f"{path}, {where}", None
        with left_out(said, place):
            name = _image_name(of_kind(entry_of(row).get("data_row"), "data_row", dict))
            place += f", image {name!r}"
            labellings = list(_labellings(of_kind(row.get("projects"), "projects", dict)))
            times = [_details(one).get("updated_at") for one in labellings]
            chosen = newest(labellings, times, said, name)
            unlabelled += chosen is None
            if chosen is not None:
                notes = of_kind(chosen.get("annotations"), "annotations", dict)
                objects = of_kind(notes.get("objects", []), "objects", list)
                height, width = _size(row.get("media_attributes"), name, folder)
                image = LabelledImage(name, width, height)
        if image is not None:
            labelled.append(replace(image, shapes=tuple(_shapes(objects, name, said, place))))
    return finished(labelled, unlabelled, said)


def _image_name(row: Mapping[str, Any]) -> str:
    address = urlsplit(str(row.get("row_data") or "")).path
    names = (row.get("external_id"), row.get("global_key"), PurePosixPath(unquote(address)).name)
    return of_kind(next(filter(None, names), None), "external_id", str)


def _labellings(projects: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for project in projects.values():
        for label in of_kind(entry_of(project).get("labels", []), "labels", list):
            yield entry_of(label)


def _details(label: Mapping[str, Any]) -> Mapping[str, Any]:
    details = label.get("label_details")
    return details if isinstance(details, dict) else {}


def _size(attributes: Any, name: str, folder: ImageFolder | None) -> tuple[int, int]:
    """(height, width) as stated, else of the file."""
    attributes = attributes if isinstance(attributes, dict) else {}
    if attributes.get("height") is None and attributes.get("width") is None:
        return size_of_file(name, folder)
    height, width = (of_kind(attributes.get(side), side, int) for side in ("height", "width"))
    require_size(width, height)
    return height, width


def _shapes(objects: list, name: str, said: list[Finding] | None, place: str) -> list[Shape]:
    """Those of the objects that can be read."""
    shapes = []
    for number, entry in enumerate(objects, start=1):
        with left_out(said, f"{place}, object {number}", name):
            shapes.append(_shape(entry_of(entry)))
    return shapes


def _shape(entry: Mapping[str, Any]) -> Shape:
    label = of_kind(entry.get("name"), "name", str)
    if "bounding_box" in entry:
        bounds = of_kind(entry["bounding_box"], "bounding_box", dict)
        top, left, height, width = stated(bounds, SIDES)
        return Shape("box", label, box(left, top, width, height))
    key = next((key for key in KINDS if key in entry), None)
    if key is None:
        raise ValueError(
            f"an object must have one of {[*KINDS, 'bounding_box']}; masks lie on Labelbox's "
            f"server. Received: {short(entry.get('annotation_kind'))} with {sorted(entry)[:8]}. "
            "Draw it as a polygon."
        )
    kind, least = KINDS[key]
    entries = [entry[key]] if key == "point" else of_kind(entry[key], key, list)
    points = np.array([stated(entry_of(one), "yx") for one in entries]).reshape(-1, 2)
    if len(points) < least:
        raise ValueError(
            f"a {key} must have {least} vertices or more. Received: {len(points)}. Draw it again."
        )
    return Shape(kind, label, points)


def _geometries(shape: Shape) -> list[dict[str, Any]]:
    """What stands for a shape; nothing for a kind that Labelbox does not have."""
    if shape.kind == "points":
        return [{"point": {"x": x, "y": y}} for y, x in shape.points.tolist()]
    if shape.kind == "polyline":
        return [{"line": [{"x": x, "y": y} for y, x in shape.points.tolist()]}]
    if shape.kind == "box" and shape.rotation == 0:
        (top, left), (bottom, right) = shape.points.tolist()
        sides = (top, left, bottom - top, right - left)
        return [{"bounding_box": dict(zip(SIDES, sides, strict=True))}]
    if shape.kind in ("polygon", "box", "ellipse"):
        return [{"polygon": [{"x": x, "y": y} for y, x in outline(shape).tolist()]}]
    return []
