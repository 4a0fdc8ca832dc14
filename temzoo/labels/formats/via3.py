"""VGG Image Annotator, version 3: its projects of images.

A region is ``[kind, x, y, …]`` and belongs to a view, which shows a file; its attributes hold
numbers of options, or texts. As version 2, it states no image sizes.

Source: https://gitlab.com/vgg/via (via-3.x.y, its project files)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import write_json
from temzoo.core.types import NO_ATTRIBUTES, LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import OBJECT, left_out, size_of_file
from temzoo.labels.formats.limits import of_kind, require_finite, short
from temzoo.labels.formats.via import class_attribute, require_images, say_unnamed
from temzoo.labels.names import class_names
from temzoo.labels.shapes.windows import outline

PARTS = ("file", "view", "attribute", "metadata")
IMAGE, SELECT, LABEL = 2, 4, "1"  # types of a file and of an attribute; the class's own number
# By VIA's number: the kind of the shape, and how many numbers it takes; None: pairs, so many least.
POINT, RECTANGLE, CIRCLE, ELLIPSE, LINE, POLYLINE, POLYGON = range(1, 8)
KINDS: Mapping[int, tuple[str, int | None, int]] = {
    POINT: ("points", 2, 0),
    RECTANGLE: ("box", 4, 0),
    CIRCLE: ("ellipse", 3, 0),
    ELLIPSE: ("ellipse", 4, 0),
    LINE: ("polyline", 4, 0),
    POLYLINE: ("polyline", None, 2),
    POLYGON: ("polygon", None, 3),
}


def recognises(document: Any) -> bool:
    """Whether decoded JSON is a VIA 3 project."""
    return isinstance(document, dict) and all(isinstance(document.get(k), dict) for k in PARTS)


def parse(
    document: Any,
    path: Path,
    *,
    images: str | Path | None = None,
    said: list[Finding] | None = None,
) -> list[LabelledImage]:
    """All images of a decoded VIA 3 project, in the order of its views.

    Circles become ellipses; the class is found among the attributes as in version 2.

    Args:
        images: the folder of the images; their sizes are read from their headers.
        said: takes entries that cannot be read, which are left out; None: the first is raised.

    Raises:
        ValueError: when a view or a region is malformed, ``images`` is missing or an image not
            there; the message names the file, the image and the region.
    """
    folder = require_images(path, images)
    stated = document["attribute"].items()
    attributes = {key: one for key, one in stated if isinstance(one, dict)}
    names = [str(one.get("aname", key)) for key, one in attributes.items()]
    label_attribute = class_attribute(names)
    shown: dict[str, tuple[str, int, int]] = {}
    for view, entry in document["view"].items():
        with left_out(said, f"{path}, view {view}"):
            name = _image_name(entry, document["file"])
            shown[view] = (name, *size_of_file(name, folder))
    shapes: dict[str, list[Shape]] = {view: [] for view in shown}
    for key, entry in document["metadata"].items():
        with left_out(said, f"{path}, region {key}"):
            view = str(entry.get("vid")) if isinstance(entry, dict) else ""
            if view not in shown:
                raise ValueError(
                    f"a region must belong to a view of an image. Received: vid={short(view)}. "
                    "Remove it."
                )
            if entry.get("xy"):  # else it is of the whole image
                shapes[view].append(_shape(entry, attributes, label_attribute))
    labelled = [
        LabelledImage(name, width, height, tuple(shapes[view]))
        for view, (name, height, width) in shown.items()
    ]
    return say_unnamed(labelled, label_attribute, said)


def write(path: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes a VIA 3 project, with the class as attribute "label", to choose among the classes.

    Rotated boxes and ellipses become polygons, each of several points a region of its own. Returns
    how many shapes of each kind were left out, since VIA has no such kind.
    """
    images = list(images)
    names = class_names(images)
    not_held: Counter[str] = Counter()
    files, views, metadata = {}, {}, {}
    for number, image in enumerate(images, start=1):
        key = str(number)
        files[key] = {"fid": key, "fname": image.name, "type": IMAGE, "loc": 1, "src": ""}
        views[key] = {"fid_list": [key]}
        for shape in image.shapes:
            regions = _stated(shape)
            not_held.update([] if regions else [shape.kind])
            for xy in regions:
                value = {LABEL: str(names.index(shape.label))}
                entry = {"vid": key, "flg": 0, "z": [], "xy": xy, "av": value}
                metadata[f"{key}_{len(metadata)}"] = entry
    options = {str(k): name for k, name in enumerate(names)}
    attribute = {"aname": "label", "anchor_id": "FILE1_Z0_XY1", "type": SELECT, "desc": ""}
    attribute |= {"options": options, "default_option_id": ""}
    project = {"pname": "temzoo", "vid_list": list(views), "data_format_version": "3.1.1"}
    parts = {"file": files, "view": views, "attribute": {LABEL: attribute}, "metadata": metadata}
    write_json(path, {"project": project, "config": {}, **parts})
    return dict(not_held)


def _image_name(view: Any, files: Mapping[str, Any]) -> str:
    keys = view.get("fid_list") if isinstance(view, dict) else None
    file = files.get(str(keys[0])) if isinstance(keys, list) and len(keys) == 1 else None
    if not isinstance(file, dict) or file.get("type", IMAGE) != IMAGE:
        raise ValueError(
            f"a view must show one image. Received: {short(view)}. Export a project of images."
        )
    return of_kind(file.get("fname"), "fname", str)


def _shape(
    entry: Mapping[str, Any], attributes: Mapping[str, Any], label_attribute: str | None
) -> Shape:
    stated = entry["xy"]
    number = stated[0] if isinstance(stated, list) else None
    if type(number) is not int or number not in KINDS:
        raise ValueError(
            f"a region's kind must be one of {sorted(KINDS)}. Received: xy={short(stated)}. Draw "
            "it again."
        )
    kind, count, least = KINDS[number]
    values = np.array([of_kind(value, "xy", float) for value in stated[1:]])
    pairs = count is None and len(values) >= 2 * least and len(values) % 2 == 0
    if len(values) != count and not pairs:
        raise ValueError(
            f"{kind} takes {f'{count} numbers' if count else f'{least} points or more'}. "
            f"Received: xy={short(stated)}. Draw it again."
        )
    require_finite(values)
    if number == CIRCLE:
        values = values[[0, 1, 2, 2]]
    points = np.ascontiguousarray(values.reshape(-1, 2)[:, ::-1])
    if kind == "box":
        points[1] += points[0]
    if kind == "ellipse" and points[1].min() < 0:
        raise ValueError(
            f"radii must not be negative. Received: xy={short(stated)}. Draw it again."
        )
    notes = _notes(entry.get("av"), attributes)
    label = notes.pop(label_attribute, "") or OBJECT
    return Shape(kind, label, points, attributes=notes or NO_ATTRIBUTES)


def _notes(values: Any, attributes: Mapping[str, Any]) -> dict[str, str]:
    """Values by the names of their attributes; of several options, their names with commas."""
    if not isinstance(values, dict):
        return {}
    notes = {}
    for key, value in values.items():
        attribute = attributes.get(key, {})
        options = attribute.get("options")
        options = options if isinstance(options, dict) else {}
        chosen = str(value).split(",") if options else [str(value)]
        texts = (str(options.get(one, one)).strip() for one in chosen)
        notes[str(attribute.get("aname", key))] = ",".join(texts)
    return notes


def _stated(shape: Shape) -> list[list[float]]:
    """The regions that stand for a shape; none for a kind that VIA does not have."""
    flat = shape.points[:, ::-1].ravel().tolist()
    if shape.kind == "points":
        return [[POINT, col, row] for row, col in shape.points.tolist()]
    if shape.kind == "polyline":
        return [[POLYLINE, *flat]]
    if shape.kind == "ellipse" and shape.rotation == 0:
        return [[ELLIPSE, *flat]]
    if shape.kind == "box" and shape.rotation == 0:
        left, top, right, bottom = flat
        return [[RECTANGLE, left, top, right - left, bottom - top]]
    if shape.kind in ("polygon", "ellipse", "box"):
        return [[POLYGON, *outline(shape)[:, ::-1].ravel().tolist()]]
    return []
