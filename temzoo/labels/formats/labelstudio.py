"""Label Studio's JSON: its native export, a list of tasks.

It states x, y in percent of the image's width and height, and rotations in degrees clockwise on
screen: of a rectangle about its top left corner, of an ellipse about its centre. Brushes are masks
in run lengths of bits, see ``brush_runs``.

Source: https://labelstud.io/guide/task_format and https://labelstud.io/templates/image_bbox
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import numpy as np

from temzoo.core.files import write_json
from temzoo.core.types import NO_ATTRIBUTES, LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.brush import brush_bytes, brush_runs
from temzoo.labels.formats.entries import entry_of, finished, left_out, newest, size_of_file
from temzoo.labels.formats.geometry import box, ellipse, stated, vertices
from temzoo.labels.formats.limits import of_kind, require_finite, require_size, short
from temzoo.labels.names import ImageFolder
from temzoo.labels.shapes.run_lengths import decode_runs, encode_runs, mask_geometry
from temzoo.labels.shapes.windows import rotated, shape_mask

KINDS = {
    "polygon": "polygon",
    "rectangle": "box",
    "ellipse": "ellipse",
    "brush": "mask",
    "keypoint": "points",
}
OF_KIND = {kind: name for name, kind in KINDS.items()}
# What is said of a region, or of the image, beside its shape.
NOTES = frozenset(
    {"labels", "choices", "textarea", "taxonomy", "rating", "number", "datetime", "relation"}
)
SIDES = ("width", "height")
LOCAL = "/data/local-files/?d="
UPLOADED = re.compile(r"(?:[0-9a-f]{8}-)?(.+)", re.DOTALL)


def recognises(document: Any) -> bool:
    """Whether decoded JSON is a list of Label Studio's tasks."""
    return isinstance(document, list) and any(
        isinstance(task, dict)
        and isinstance(task.get("data"), dict)
        and isinstance(_labellings(task), list)
        for task in document
    )


def parse(
    document: Any,
    path: Path,
    *,
    images: str | Path | None = None,
    said: list[Finding] | None = None,
) -> list[LabelledImage]:
    """The labelled images of a decoded export, in the order of its tasks.

    Of several labellings of a task the last changed is read; skipped ones and predictions are not.
    Images are named as they were uploaded, without the eight figures that Label Studio puts before
    a name, unless ``images`` has a file with them.

    Args:
        images: the folder of the images, for tasks that state no size: those without a region.
        said: takes entries that cannot be read, which are left out; None: the first is raised.

    Raises:
        ValueError: when a task or region is malformed; the message names the file and both.
    """
    folder = None if images is None else ImageFolder(images)
    labelled, unlabelled = [], 0
    for number, task in enumerate(document, start=1):
        place, image = f"{path}, task {number}", None
        with left_out(said, place):
            name = _image_name(entry_of(task), folder)
            place += f", image {name!r}"
            labellings = [entry_of(one) for one in of_kind(_labellings(task), "annotations", list)]
            done = [one for one in labellings if not one.get("was_cancelled")]
            chosen = newest(done, [one.get("updated_at") for one in done], said, name)
            unlabelled += chosen is None
            if chosen is not None:
                results = of_kind(chosen.get("result"), "result", list)
                height, width = _size(results, name, folder)
                image = LabelledImage(name, width, height)
        if image is not None:
            labelled.append(replace(image, shapes=tuple(_shapes(results, image, said, place))))
    return finished(labelled, unlabelled, said)


def write(path: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes tasks with an annotation each, several points each a region of its own.

    The images are named as local files, to be edited to where Label Studio has them. Returns how
    many shapes of each kind were left out, since it has no such kind.
    """
    not_held: Counter[str] = Counter()
    tasks = []
    for number, image in enumerate(images, start=1):
        results: list[dict[str, Any]] = []
        for shape in sorted(image.shapes, key=lambda each: each.z_order):
            regions = _regions(shape, image)
            not_held.update([] if regions else [shape.kind])
            for value in regions:
                kind = f"{OF_KIND[shape.kind]}labels"
                entry = {"id": f"{number}-{len(results)}", "type": kind, "to_name": "image"}
                entry |= {"from_name": kind, "image_rotation": 0, "origin": "manual"}
                entry |= {"original_width": image.width, "original_height": image.height}
                results.append(entry | {"value": value | {kind: [shape.label]}})
        data = {"image": LOCAL + quote(image.name)}
        annotation = {"id": number, "was_cancelled": False, "result": results}
        tasks.append({"id": number, "data": data, "annotations": [annotation]})
    write_json(path, tasks)
    return dict(not_held)


def _labellings(task: Mapping[str, Any]) -> Any:
    return task.get("annotations", task.get("completions"))  # the latter: before 1.0


def _image_name(task: Mapping[str, Any], folder: ImageFolder | None) -> str:
    """The name of a task's image in its folder, of the address that the task states."""
    data = of_kind(task.get("data"), "data", dict)
    texts = [value for value in data.values() if isinstance(value, str)]
    named = [text for text in texts if PurePosixPath(urlsplit(text).path).suffix]
    address = data.get("image") or next(iter([*named, *texts]), None)
    parts = urlsplit(of_kind(address, "image", str))
    local = parse_qs(parts.query).get("d") if parts.path.startswith("/data/") else None
    name = local[0] if local else unquote(parts.path)
    name = name.replace("\\", "/").lstrip("/").removeprefix("data/")
    if not name.startswith("upload/"):
        return name
    last = name.rpartition("/")[2]
    plain = UPLOADED.sub(r"\1", last)
    return last if folder is not None and not folder.find(plain) and folder.find(last) else plain


def _size(results: list, name: str, folder: ImageFolder | None) -> tuple[int, int]:
    """(height, width) that the first region with a size states, else of the file."""
    for one in results:
        if isinstance(one, dict) and one.get("original_width") is not None:
            sides = [of_kind(one.get(f"original_{s}"), f"original_{s}", int) for s in SIDES]
            require_size(*sides)
            return sides[1], sides[0]
    return size_of_file(name, folder)


def _shapes(
    results: list, image: LabelledImage, said: list[Finding] | None, place: str
) -> list[Shape]:
    """Those of the regions that can be read."""
    shapes, labels = [], _separate_labels(results)
    for number, result in enumerate(results, start=1):
        with left_out(said, f"{place}, region {number}", image.name):
            kind = str(entry_of(result).get("type"))
            if kind not in NOTES:
                shapes.append(_shape(result, kind, labels, image))
    return shapes


def _separate_labels(results: list) -> dict[str, Any]:
    """Of regions whose labels are results of their own, with the same id."""
    named = [one for one in results if isinstance(one, dict) and one.get("type") == "labels"]
    values = ((str(one.get("id")), one.get("value")) for one in named)
    return {key: value.get("labels") for key, value in values if isinstance(value, dict)}


def _shape(
    result: Mapping[str, Any], kind: str, labels: Mapping[str, Any], image: LabelledImage
) -> Shape:
    name = KINDS.get(kind.removesuffix("labels"))
    if name is None:
        raise ValueError(f"type must be one of {sorted(KINDS)}. Received: {short(kind)}.")
    if result.get("image_rotation"):
        raise ValueError(
            "regions must be of the image as it is stored. Received: image_rotation="
            f"{short(result['image_rotation'])}. Turn the image back, and label it again."
        )
    value = of_kind(result.get("value"), "value", dict)
    names = value.get(kind) or value.get("labels") or labels.get(str(result.get("id")))
    label, *others = [of_kind(one, kind, str) for one in of_kind(names, kind, list)] or [""]
    if not label:
        raise ValueError(f"a region must have a label. Received: {kind}={short(names)}. Label it.")
    notes = {"other_labels": ",".join(others)} if others else NO_ATTRIBUTES
    if name == "mask":
        runs = brush_runs(value.get("rle"), image.height, image.width)
        points, runs = mask_geometry(decode_runs(runs, image.height, image.width))
        return Shape("mask", label, points, runs=runs, attributes=notes)
    return Shape(name, label, *_geometry(name, value, image), attributes=notes)


def _geometry(
    name: str, value: Mapping[str, Any], image: LabelledImage
) -> tuple[np.ndarray, float]:
    """Points, in pixels, and rotation."""
    scale = np.array([image.height, image.width]) / 100
    rotation = 0.0
    if name in ("box", "ellipse") and "rotation" in value:
        (rotation,) = stated(value, ["rotation"])
    if name == "polygon":
        points = vertices(value.get("points"), "points", 3) * scale
    elif name == "points":
        points = np.array([stated(value, "yx")]) * scale
    elif name == "ellipse":
        points = ellipse(*stated(value, ("y", "x", "radiusY", "radiusX"))) * scale
    else:
        points = box(*stated(value, ("x", "y", *SIDES))) * scale
        centre = points.mean(axis=0)
        points += rotated(centre, points[0], rotation) - centre
    require_finite(points)
    return points, rotation


def _regions(shape: Shape, image: LabelledImage) -> list[dict[str, Any]]:
    """The values of the regions for a shape; none for a kind that Label Studio does not have."""
    share = shape.points[:, ::-1] * 100 / (image.width, image.height)
    if shape.kind == "polygon":
        return [{"points": share.tolist(), "closed": True}]
    if shape.kind == "points":
        return [{"x": x, "y": y, "width": 0.5} for x, y in share.tolist()]
    if shape.kind == "ellipse":
        (x, y), (width, height) = share.tolist()
        radii = {"radiusX": width, "radiusY": height}
        return [{"x": x, "y": y, **radii, "rotation": shape.rotation}]
    if shape.kind == "box":
        corner = rotated(shape.points[0], shape.points.mean(axis=0), shape.rotation)
        y, x = (corner * 100 / (image.height, image.width)).tolist()
        width, height = (share[1] - share[0]).tolist()
        return [{"x": x, "y": y, "width": width, "height": height, "rotation": shape.rotation}]
    if shape.kind == "mask":
        runs = encode_runs(shape_mask(shape, image.height, image.width))
        return [{"format": "rle", "rle": brush_bytes(runs)}]
    return []
