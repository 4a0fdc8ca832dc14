"""LabelMe: a JSON file for each image, beside it.

LabelMe states x, y; shapes hold (row, col). Of shapes with one group id and label it makes one
object, as here; the later in the file lies on top.

X-AnyLabeling writes such files too: a rectangle by its four corners, a turned one as "rotation".

Source: https://github.com/wkentaro/labelme (files of versions 5 and 6) and
https://github.com/CVHub520/X-AnyLabeling
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from temzoo.core.files import write_json
from temzoo.core.types import NO_ATTRIBUTES, LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import each_file, entry_of, left_out, size_of_file
from temzoo.labels.formats.limits import (
    of_kind,
    require_finite,
    require_mask_fits,
    require_size,
    short,
)
from temzoo.labels.names import ImageFolder, label_paths
from temzoo.labels.shapes.run_lengths import decode_runs, encode_runs
from temzoo.labels.shapes.windows import outline

VERSION = "5.4.1"
CORNERS = "oriented_rectangle"
# By LabelMe's name: the kind of the shape, and the least and the most points.
KINDS: Mapping[str, tuple[str, int, float]] = {
    "polygon": ("polygon", 3, math.inf),
    "rectangle": ("box", 2, 2),
    CORNERS: ("polygon", 4, 4),
    "rotation": ("polygon", 4, 4),
    "circle": ("ellipse", 2, 2),
    "line": ("polyline", 2, 2),
    "linestrip": ("polyline", 2, math.inf),
    "point": ("points", 1, 1),
    "points": ("points", 1, math.inf),
    "mask": ("mask", 2, 2),
}


def recognises(document: Any) -> bool:
    """Whether decoded JSON is a file of LabelMe."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("shapes"), list)
        and isinstance(document.get("imagePath"), str)
    )


def read(
    folder: str | Path, *, images: str | Path | None = None, said: list[Finding] | None = None
) -> list[LabelledImage]:
    """The images of a folder of LabelMe files, those in its subfolders too.

    Args:
        images: the folder of the images, for files that state no size.
        said: takes files and shapes that cannot be read, which are left out; None: the first is
            raised.

    Returns:
        one per file, in the order of their names, named as ``imagePath`` has it, in the folder of
        the file.

    Raises:
        ValueError: when a file or a shape is malformed; the message names the file and the shape.
    """
    return each_file(folder, "*.json", recognises, parse, images=images, said=said)


def parse(
    document: Any,
    path: Path,
    *,
    images: str | Path | None = None,
    said: list[Finding] | None = None,
    place: Path = Path(),
) -> list[LabelledImage]:
    """The one image of a file that is decoded already; ``place`` is its folder in the data set."""
    # Where the image lay when it was labelled says nothing of where it lies now.
    last = PurePosixPath(document["imagePath"].replace("\\", "/")).name
    name = (place / last).as_posix()
    size = [document.get(key) for key in ("imageHeight", "imageWidth")]
    if size == [None, None]:
        size = [*size_of_file(name, None if images is None else ImageFolder(images))]
    height, width = (of_kind(side, "imageHeight and imageWidth", int) for side in size)
    require_size(width, height)
    shapes: list[Shape] = []
    from_0 = any(isinstance(e, dict) and e.get("group_id") == 0 for e in document["shapes"])
    for number, entry in enumerate(document["shapes"], start=1):
        with left_out(said, f"{path}, shape {number}", name):
            shapes.append(_shape(entry, height, width, int(from_0)))
    return [LabelledImage(name, width, height, tuple(shapes))]


def write(folder: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes a file for each image, named as the image, to be put beside it.

    Rotated boxes, and ellipses that are no circles, become polygons; several points each a shape.

    Returns:
        how many shapes of each kind were left out, since LabelMe has no such kind.

    Raises:
        ValueError: when an image's name leads out of the folder, or two images get one file.
    """
    images = list(images)
    not_held: Counter[str] = Counter()
    paths = label_paths(folder, (image.name for image in images), ".json")
    for path, image in zip(paths, images, strict=True):
        shapes = []
        for shape in sorted(image.shapes, key=lambda each: each.z_order):
            stated = _stated(shape)
            not_held.update([] if stated else [shape.kind])
            shapes += [_entry(shape, *one) for one in stated]
        head = {"version": VERSION, "flags": {}, "shapes": shapes}
        last = PurePosixPath(image.name.replace("\\", "/")).name
        size = {"imageHeight": image.height, "imageWidth": image.width}
        write_json(path, {**head, "imagePath": last, "imageData": None, **size})
    return dict(not_held)


def _shape(entry: Any, height: int, width: int, shift: int) -> Shape:
    stated = entry_of(entry).get("shape_type", "polygon")
    if not isinstance(stated, str) or stated not in KINDS:
        raise ValueError(
            f"a shape must be one of {sorted(KINDS)}. Received: shape_type={short(stated)}. Draw "
            "it again."
        )
    points = _points(entry.get("points"))
    if stated == "rectangle" and len(points) == 4:
        stated = CORNERS
    kind, least, most = KINDS[stated]
    if not least <= len(points) <= most:
        raise ValueError(
            f"a {stated} must have {least} points{'' if most == least else ' or more'}. Received: "
            f"{len(points)}. Draw it again."
        )
    group = entry.get("group_id")
    fields: dict[str, Any] = {"label": of_kind(entry.get("label"), "label", str)}
    fields["group_id"] = 0 if group is None else of_kind(group, "group_id", int) + shift
    fields["attributes"] = _notes(entry) or NO_ATTRIBUTES
    if kind == "mask":
        return Shape("mask", **fields, **_mask(entry.get("mask"), points, height, width))
    corners = np.stack([points.min(axis=0), points.max(axis=0)])
    if stated == CORNERS and (points[:, None] == corners).any(axis=1).all():
        kind = "box"
    if kind == "box":
        points = corners
    elif kind == "ellipse":
        radius = math.dist(*points)
        points = np.array([points[0], [radius, radius]])
    return Shape(kind, points=points, **fields)


def _points(stated: Any) -> np.ndarray:
    try:
        points = np.array(stated, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f"points must be pairs of numbers. Received: {short(stated)}. Draw the shape again."
        )
    require_finite(points)
    return np.ascontiguousarray(points[:, ::-1])


def _notes(entry: Mapping[str, Any]) -> dict[str, str]:
    flags = entry.get("flags")
    notes = {str(k): "true" for k, v in flags.items() if v} if isinstance(flags, dict) else {}
    description = entry.get("description")
    return notes | ({"description": str(description)} if description else {})


def _mask(stated: Any, points: np.ndarray, height: int, width: int) -> dict[str, Any]:
    """Points and runs of a picture in base64, which lies at the first of the points."""
    from PIL import Image  # not paid for by the other shapes

    top, left = (round(float(corner)) for corner in points.min(axis=0))
    try:
        opened = Image.open(io.BytesIO(base64.b64decode(stated, validate=True)), formats=["PNG"])
        box = np.array([[top, left], [top + opened.height, left + opened.width]], np.float64)
        empty = np.array([opened.height * opened.width])
        require_mask_fits({"kind": "mask", "points": box, "runs": empty}, width, height)
        pixels = np.asarray(opened.convert("L")) > 0
    except (TypeError, binascii.Error, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"a mask must be a PNG in base64. Received: {short(stated)} ({error}). Draw it again."
        ) from error
    return {"points": box, "runs": encode_runs(pixels)}


def _stated(shape: Shape) -> list[tuple[str, np.ndarray, str | None]]:
    """Names, points (row, col) and pictures of the entries for a shape; none for another kind."""
    points = shape.points
    if shape.kind == "mask":
        (top, left), (bottom, right) = points.astype(int).tolist()
        pixels = decode_runs(shape.runs, bottom - top, right - left)
        # LabelMe's box includes its last row and column.
        return [("mask", np.array([[top, left], [bottom - 1, right - 1]]), _png(pixels))]
    if shape.kind == "points":
        return [("point", point[None], None) for point in points]
    if shape.kind == "polyline":
        return [("linestrip", points, None)]
    if shape.kind == "box" and shape.rotation == 0:
        return [("rectangle", points, None)]
    if shape.kind == "ellipse" and points[1, 0] == points[1, 1]:
        return [("circle", np.array([points[0], points[0] + (0, points[1, 0])]), None)]
    return [("polygon", outline(shape), None)] if shape.has_area else []


def _png(pixels: np.ndarray) -> str:
    from PIL import Image

    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode("ascii")


def _entry(shape: Shape, name: str, points: np.ndarray, picture: str | None) -> dict[str, Any]:
    notes = dict(shape.attributes)
    return {
        "label": shape.label,
        "points": points[:, ::-1].tolist(),
        "group_id": shape.group_id or None,
        "description": notes.pop("description", ""),
        "shape_type": name,
        "flags": {key: True for key, value in notes.items() if value == "true"},
        "mask": picture,
    }
