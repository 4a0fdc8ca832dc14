"""Labels written as CVAT 1.1 XML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO
from xml.sax.saxutils import escape, quoteattr

from temzoo.core.files import atomic_path
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.names import class_names

BOX = ("xtl", "ytl", "xbr", "ybr")
CUBOID = tuple(f"{axis}{corner}{face}" for face in "12" for corner in ("tl", "bl", "tr", "br")
               for axis in "xy")  # fmt: skip
HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <size>{size}</size>
      <mode>annotation</mode>
      <labels>
{labels}      </labels>
    </task>
  </meta>
"""
LABEL = """        <label>
          <name>{name}</name>
          <type>any</type>
          <attributes></attributes>
        </label>
"""
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ELEMENT_NAME = re.compile(r"[A-Za-z_][\w.-]*")


def write(
    path: str | Path, images: Iterable[LabelledImage], *, classes: Sequence[str] | None = None
) -> dict[str, int]:
    """Writes a CVAT 1.1 file "for images", which CVAT can import; frames of a video as images.

    Coordinates keep their full precision: reading the file again gives equal shapes.

    Args:
        classes: label names to declare; None: those the images declare, then those of the shapes.

    Returns:
        how many shapes of each kind could not be written: none, so it is empty.

    Raises:
        ValueError: when a name or text has characters that XML cannot hold.
    """
    images = list(images)
    names = class_names(images) if classes is None else classes
    labels = "".join(LABEL.format(name=_content(name)) for name in names)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as out,
    ):
        out.write(HEAD.format(size=len(images), labels=labels))
        for number, image in enumerate(images):
            _write_image(out, number, image)
        out.write("</annotations>\n")
    return {}


def _write_image(out: TextIO, number: int, image: LabelledImage) -> None:
    tags = {"id": number, "name": image.name, "width": image.width, "height": image.height}
    tags |= {"subset": image.subset or None, "task_id": image.task_id or None, "frame": image.frame}
    out.write(f"  <image{_quoted(tags)}>\n")
    for shape in image.shapes:
        _write_shape(out, shape)
    out.write("  </image>\n")


def _write_shape(out: TextIO, shape: Shape) -> None:
    if not ELEMENT_NAME.fullmatch(shape.kind):
        raise ValueError(
            f"a shape's kind must be an XML name. Received: kind={shape.kind!r}. Rename it."
        )
    tags: dict[str, Any] = {"label": shape.label, "source": shape.source}
    tags |= {"occluded": int(shape.occluded), "z_order": shape.z_order}
    tags |= {"group_id": shape.group_id or None, "track_id": shape.track_id}
    out.write(f"    <{shape.kind}{_quoted(tags | _written_geometry(shape))}>\n")
    for name, value in shape.attributes.items():
        name, value = _quoted({"name": name}), _content(value)
        out.write(f"      <attribute{name}>{value}</attribute>\n")
    out.write(f"    </{shape.kind}>\n")


def _written_geometry(shape: Shape) -> dict[str, Any]:
    points = shape.points.tolist()
    rotation = {"rotation": float(shape.rotation) or None}
    if shape.kind == "box":
        (top, left), (bottom, right) = points
        return dict(zip(BOX, (left, top, right, bottom), strict=True)) | rotation
    if shape.kind == "ellipse":
        (row, col), (row_axis, col_axis) = points
        return {"cx": col, "cy": row, "rx": col_axis, "ry": row_axis} | rotation
    if shape.kind == "mask":
        (top, left), (bottom, right) = (map(int, corner) for corner in points)
        rle = ", ".join(map(str, shape.runs.tolist()))
        return {"rle": rle, "left": left, "top": top, "width": right - left, "height": bottom - top}
    if shape.kind == "cuboid" and len(points) * 2 == len(CUBOID):
        return dict(zip(CUBOID, shape.points[:, ::-1].ravel().tolist(), strict=True))
    return {"points": ";".join(f"{col!r},{row!r}" for row, col in points) or None}


def _quoted(tags: Mapping[str, Any]) -> str:
    """XML attributes; those that are None are left out."""
    stated = {name: str(value) for name, value in tags.items() if value is not None}
    return "".join(f" {name}={quoteattr(_legal(value))}" for name, value in stated.items())


def _content(text: str) -> str:
    return escape(_legal(text), {"\r": "&#13;"})


def _legal(text: str) -> str:
    bad = NOT_IN_XML.search(text)
    if bad:
        raise ValueError(
            "names and texts must be without control characters, which XML cannot hold. "
            f"Received: {text[:60]!r} with {bad[0]!r} at {bad.start()}. Rename it."
        )
    return text
