"""Shapes layers of napari as its "Save Selected Layer" writes them: a CSV, a vertex a line.

Positions are in pixels, rows before columns, and the centre of pixel (0, 0) lies at 0. Rectangles
and ellipses have the four corners of their boxes, in whatever direction these lie. There are no
classes, and no size: the file is named as its image. Of a stack the shapes of its first image are
read.

Source: https://napari.org (napari_builtins.io, napari 0.9)
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path

import numpy as np

from temzoo.core.files import text_lines
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import OBJECT, OneOfStack, file_of, left_out, size_of_file
from temzoo.labels.formats.limits import require_finite, short
from temzoo.labels.names import ImageFolder

BEGIN = b"index,shape-type,vertex-index,axis-0,axis-1"
# By napari's name: the kind of the shape, and the least vertices.
KINDS = {
    "polygon": ("polygon", 3),
    "rectangle": ("polygon", 4),
    "ellipse": ("ellipse", 4),
    "path": ("polyline", 2),
    "line": ("polyline", 2),
}


def begins(line: bytes) -> bool:
    """Whether a file that begins so is a layer of shapes."""
    return line.startswith(BEGIN)


def read(
    path: str | Path, *, images: str | Path | None = None, said: list[Finding] | None = None
) -> list[LabelledImage]:
    """The shapes of an image, or those of a folder, a file for each image, named as it.

    Args:
        images: the folder of the images; None: they lie beside.
        said: takes shapes that cannot be read, which are left out; None: the first is raised.

    Raises:
        ValueError: a shape is malformed, or the image is not there.
    """
    path, labelled = Path(path), []
    home = path.parent if path.is_file() else path
    folder = ImageFolder(home if images is None else images)
    for file in [path] if path.is_file() else sorted(filter(_recognises, path.rglob("*.csv"))):
        stem = file.relative_to(home).with_suffix("").as_posix()
        with left_out(said, str(file)):
            height, width = size_of_file(stem, folder)
            image = file_of(stem, folder)
            name, shapes = image.relative_to(folder.folder).as_posix(), []
            stack = OneOfStack.of(image)
            rows = csv.DictReader(line + "\n" for line in text_lines(file))
            for number, vertices in itertools.groupby(rows, key=itemgetter("index")):
                with left_out(said, f"{file}, shape {short(number)}", name):
                    shapes.append(_shape([*vertices], stack))
            labelled.append(LabelledImage(name, width, height, tuple(shapes), (OBJECT,)))
    return labelled


def _recognises(path: Path) -> bool:
    with path.open("rb") as file:
        return begins(file.read(len(BEGIN)))


def _shape(vertices: list[Mapping[str, str]], stack: OneOfStack) -> Shape:
    stated = vertices[0]["shape-type"]
    kind, least = KINDS.get(stated, ("", 0))
    axes = [key for key in vertices[0] if key and key.startswith("axis-")]
    try:
        points = np.array([[float(vertex[axis]) for axis in axes] for vertex in vertices])
    except (TypeError, ValueError):
        points = np.zeros((0, 2))
    if not kind or len(points) < least:
        raise ValueError(
            f"a shape must be one of {sorted(KINDS)}, with a number for each axis of its vertices."
            f" Received: {short(stated)} of {len(points)} vertices. Draw it again."
        )
    require_finite(points)
    stack.require(1 + round(float(points[:, :-2].max(initial=0))))
    points = np.ascontiguousarray(points[:, -2:]) + 0.5
    if kind == "ellipse":
        return Shape(kind, OBJECT, *_ellipse(points))
    corners = np.stack([points.min(axis=0), points.max(axis=0)])
    if stated == "rectangle" and (points[:, None] == corners).any(axis=1).all():
        return Shape("box", OBJECT, corners)
    return Shape(kind, OBJECT, points)


def _ellipse(corners: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and semi-axes, and the rotation, of an ellipse from the corners of its box."""
    down, along = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    axes = np.array([math.hypot(*down), math.hypot(*along)])
    angle = math.degrees(math.atan2(along[0], along[1])) % 180
    return np.stack([corners[:4].mean(axis=0), axes]), angle
