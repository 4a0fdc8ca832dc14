"""VGG Image Annotator, version 2: its JSON annotations and projects.

VIA states x, y, and an ellipse's ``theta`` in radians, clockwise on screen; it states no image
sizes, so reading looks at the images.

Source: https://www.robots.ox.ac.uk/~vgg/software/via/ (via 2.0, its JSON export)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import write_json
from temzoo.core.types import NO_ATTRIBUTES, LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import OBJECT, finished, left_out, size_of_file
from temzoo.labels.formats.limits import of_kind, require_finite
from temzoo.labels.names import ImageFolder
from temzoo.labels.shapes.windows import outline

LABEL_ATTRIBUTES = ("label", "class", "name", "type")
Attributes = Mapping[str, Any]


def recognises(document: Any) -> bool:
    """Whether decoded JSON is a VIA 2 project or an export of its annotations."""
    if not isinstance(document, dict):
        return False
    entries = document.get("_via_img_metadata", document)
    return (
        isinstance(entries, dict)
        and document != {}
        and all(
            isinstance(entry, dict) and "filename" in entry and "regions" in entry
            for entry in entries.values()
        )
    )


def parse(
    document: Any,
    path: Path,
    *,
    images: str | Path | None = None,
    said: list[Finding] | None = None,
) -> list[LabelledImage]:
    """All images of a decoded VIA 2 file, an export or a saved project, in file order.

    Circles become ellipses, points "points"; the other region attributes become the shapes'. The
    class is the only attribute there is, else "label", "class", "name" or "type"; a region without
    it is an "object".

    Args:
        path: for messages.
        images: the folder of the images; their sizes are read from their headers.
        said: takes entries that cannot be read, which are left out; None: the first is raised.

    Raises:
        ValueError: when it is no VIA file, a region is malformed or ``images`` is missing; the
            message names the file, the image and the region; or an image is not in the folder.
    """
    if not recognises(document):
        raise ValueError(
            f"{path}: a VIA file must have 'filename' and 'regions' for each image. Received: "
            f"{sorted(document)[:8] if isinstance(document, dict) else type(document).__name__}. "
            "Export the annotations as JSON from VIA 2."
        )
    folder = require_images(path, images)
    entries = list(document.get("_via_img_metadata", document).values())
    label_attribute = class_attribute(_attribute_names(entries))
    labelled = []
    for entry in entries:
        name, regions = str(entry["filename"]), None
        place = f"{path}, image {name!r}"
        with left_out(said, place, name):
            height, width = size_of_file(name, folder)
            regions = _entries_of(entry["regions"])
        if regions is not None:
            shapes = tuple(_shapes(regions, label_attribute, said, place, name))
            labelled.append(LabelledImage(name, width, height, shapes))
    return say_unnamed(labelled, label_attribute, said)


def require_images(path: Path, images: str | Path | None) -> ImageFolder:
    """The folder of the images; raises ValueError where none is given."""
    if images is None:
        raise ValueError(
            f"{path}: VIA states no image sizes, so the images are needed. "
            "Received: images=None. Pass the folder of the images as images=… (--images)."
        )
    return ImageFolder(images)


def class_attribute(names: list[str]) -> str | None:
    """Of the attributes of a file, the one that names the class; None where that is not clear."""
    by_lower = {name.lower(): name for name in names}
    known = [by_lower[name] for name in LABEL_ATTRIBUTES if name in by_lower]
    return next(iter(names if len(names) == 1 else known), None)


def say_unnamed(
    labelled: list[LabelledImage], label_attribute: str | None, said: list[Finding] | None
) -> list[LabelledImage]:
    """The images with their classes; how many regions state none is said."""
    unnamed = sum(s.label == OBJECT for image in labelled for s in image.shapes)
    if unnamed and label_attribute is not None and said is not None:
        text = (
            f"{unnamed} regions without {label_attribute!r}, which names the class, became the "
            f"class {OBJECT!r}. Name them in VIA."
        )
        said.append(Finding("warning", "unnamed-regions", "", None, text))
    return finished(labelled, 0)


def write(path: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes VIA 2 annotations, the class as region attribute "label".

    Rotated boxes become polygons, each of several points a region of its own. Returns how many
    shapes of each kind were left out, since VIA has no such kind (mask, cuboid, …).
    """
    document, not_held = document_of(images)
    write_json(path, document)
    return not_held


def document_of(
    images: Iterable[LabelledImage],
) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """What ``write`` writes, and how many shapes of each kind are not in it."""
    not_held: Counter[str] = Counter()
    document: dict[str, dict[str, Any]] = {}
    for image in images:
        not_held.update(shape.kind for shape in image.shapes if shape.kind not in WRITTEN_KINDS)
        regions = [
            {
                "shape_attributes": stated,
                "region_attributes": {**shape.attributes, "label": shape.label},
            }
            for shape in image.shapes
            for stated in _stated(shape)
        ]
        # VIA's key is name and file size; -1 where the size is unknown.
        document[f"{image.name}-1"] = {
            "filename": image.name,
            "size": -1,
            "regions": regions,
            "file_attributes": {},
        }
    return document, dict(not_held)


def _entries_of(regions: Any) -> list:
    """VIA 1 numbers the regions in an object, VIA 2 lists them."""
    if isinstance(regions, dict):
        return list(regions.values())
    if isinstance(regions, list):
        return regions
    raise ValueError(
        f"regions must be a list or an object. Received: {type(regions).__name__}. Export it again."
    )


def _attribute_names(entries: list[Attributes]) -> list[str]:
    """Those of all regions that can be read."""
    names: dict[str, None] = {}
    for entry in entries:
        with suppress(ValueError):
            for region in _entries_of(entry["regions"]):
                with suppress(ValueError):
                    names.update(dict.fromkeys(_part(region, "region_attributes")))
    return list(names)


def _shapes(
    regions: list, label_attribute: str | None, said: list[Finding] | None, place: str, name: str
) -> Iterator[Shape]:
    """Those of the regions that can be read."""
    for number, region in enumerate(regions, start=1):
        with left_out(said, f"{place}, region {number}", name):
            yield _shape(region, label_attribute)


def _part(region: Any, key: str) -> dict[str, Any]:
    part = region.get(key) if isinstance(region, dict) else None
    if not isinstance(part, dict):
        raise ValueError(f"a region must have an object {key!r}. Received: {part!r}. Export again.")
    return part


def _shape(region: Any, label_attribute: str | None) -> Shape:
    stated = _part(region, "shape_attributes")
    kind = stated.get("name")
    if not isinstance(kind, str) or kind not in GEOMETRY:
        raise ValueError(
            f"a region's shape must be one of {sorted(GEOMETRY)}. Received: name={kind!r}. "
            "Draw it again in VIA 2."
        )
    notes = {key: _value(value) for key, value in _part(region, "region_attributes").items()}
    label = notes.pop(label_attribute, "") or OBJECT
    kind, read = GEOMETRY[kind]
    points, *rotation = read(stated)
    require_finite(points)
    return Shape(kind, label, points, *rotation, attributes=notes or NO_ATTRIBUTES)


def _value(value: Any) -> str:
    """An attribute as text; a checkbox states an object of true and false."""
    if isinstance(value, dict):
        return ",".join(key for key, chosen in value.items() if chosen)
    return str(value).strip()


def _number(stated: Attributes, key: str, default: float | None = None) -> float:
    return of_kind(stated.get(key, default), key, float)


def _course(stated: Attributes) -> tuple[np.ndarray]:
    cols, rows = stated.get("all_points_x"), stated.get("all_points_y")
    try:
        course = np.array([rows, cols], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        course = np.zeros(0)
    if course.ndim != 2 or not course.size:
        raise ValueError(
            "all_points_x and all_points_y must be equally long lists of numbers. Received: "
            f"{str(cols)[:40]} and {str(rows)[:40]}. Draw the region again."
        )
    return (np.ascontiguousarray(course.T),)


def _ellipse(stated: Attributes) -> tuple[np.ndarray, float]:
    radius = _number(stated, "r") if "r" in stated else None
    axes = [_number(stated, "ry", radius), _number(stated, "rx", radius)]
    if min(axes) < 0:
        raise ValueError(
            "radii must not be negative. "
            f"Received: rx={axes[1]}, ry={axes[0]}. Draw the region again."
        )
    theta = _number(stated, "theta", 0.0)
    require_finite(np.array([theta]))
    centre = [_number(stated, "cy"), _number(stated, "cx")]
    return np.array([centre, axes]), math.degrees(theta)


def _box(stated: Attributes) -> tuple[np.ndarray]:
    top, left = _number(stated, "y"), _number(stated, "x")
    bottom, right = top + _number(stated, "height"), left + _number(stated, "width")
    return (np.array([[top, left], [bottom, right]]),)


def _point(stated: Attributes) -> tuple[np.ndarray]:
    return (np.array([[_number(stated, "cy"), _number(stated, "cx")]]),)


# By VIA's name: the kind of the shape, and what reads its points (and an ellipse's rotation).
GEOMETRY: Mapping[str, tuple[str, Callable[[Attributes], tuple]]] = {
    "polygon": ("polygon", _course),
    "polyline": ("polyline", _course),
    "circle": ("ellipse", _ellipse),
    "ellipse": ("ellipse", _ellipse),
    "rect": ("box", _box),
    "point": ("points", _point),
}
WRITTEN_KINDS = frozenset(kind for kind, _ in GEOMETRY.values())


def _stated(shape: Shape) -> list[dict[str, Any]]:
    """The regions that stand for a shape; none for a kind that VIA does not have."""
    points = shape.points.tolist()
    if shape.kind == "points":
        return [{"name": "point", "cx": col, "cy": row} for row, col in points]
    if shape.kind == "ellipse":
        (row, col), (row_axis, col_axis) = points
        axes = {"rx": col_axis, "ry": row_axis, "theta": math.radians(shape.rotation)}
        return [{"name": "ellipse", "cx": col, "cy": row} | axes]
    if shape.kind == "box" and shape.rotation == 0:
        (top, left), (bottom, right) = points
        size = {"width": right - left, "height": bottom - top}
        return [{"name": "rect", "x": left, "y": top} | size]
    if shape.kind in WRITTEN_KINDS:
        line = shape.kind == "polyline"
        rows, cols = (shape.points if line else outline(shape)).T.tolist()
        name = "polyline" if line else "polygon"
        return [{"name": name, "all_points_x": cols, "all_points_y": rows}]
    return []
