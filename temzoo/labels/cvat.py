"""CVAT 1.1 XML, for images and for video.

Files are read as a stream: an image's shapes are held until its end, a video's keyframes until the
end of the file. CVAT states x, y; shapes hold (row, col). Names and e-mails of owners and assignees
are never read, so they cannot get into an output.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any, TextIO
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from temzoo.files import atomic_path
from temzoo.labels.limits import require_finite, require_mask_size, require_size
from temzoo.labels.names import class_names
from temzoo.labels.runs import check_runs
from temzoo.labels.tracks import Keyframe, interpolate
from temzoo.types import NO_ATTRIBUTES, LabelledImage, Shape

CHUNK_BYTES = 1 << 16
MAX_FRAMES = 10_000_000
BOX = ("xtl", "ytl", "xbr", "ybr")
CUBOID = tuple(f"{axis}{corner}{face}" for face in "12" for corner in ("tl", "bl", "tr", "br")
               for axis in "xy")  # fmt: skip
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NOT_SEPARATORS = bytes(set(range(256)) - set(b",;"))
ELEMENT_NAME = re.compile(r"[A-Za-z_][\w.-]*")

Attributes = Mapping[str, str]


def read(path: str | Path) -> list[LabelledImage]:
    """All images of a CVAT 1.1 file.

    Args:
        path: ``annotations.xml`` of an export "CVAT for images 1.1" or "CVAT for video 1.1", of a
            task, a job or a project.

    Returns:
        one per image, in file order, those without shapes too; of a video one per frame that has
        shapes, named ``frame_000123``. Elements without an area (cuboid, skeleton, tag, and kinds
        unknown here) are shapes of that kind, so that they can be counted.

    Raises:
        ValueError: when the file is no complete CVAT XML, has a DTD, or an image or shape in it
            is malformed; the message names the file, the line, the image and the shape.

    Example:
        >>> for image in read("annotations.xml"):
        ...     print(image.name, len(image.shapes))
    """
    return list(iterate(path))


def iterate(path: str | Path) -> Iterator[LabelledImage]:
    """The images of a CVAT 1.1 file one after the other, in bounded memory (see ``read``)."""
    document = _Document(Path(path))
    parser = DefusedXMLParser(target=document, forbid_dtd=True)
    with document.path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            _parse(document, parser, chunk)
            yield from document.take()
    _parse(document, parser, None)
    yield from document.take()
    yield from _frames(document)


def write(
    path: str | Path, images: Iterable[LabelledImage], *, classes: Sequence[str] | None = None
) -> dict[str, int]:
    """Writes a CVAT 1.1 file "for images", which CVAT can import.

    Coordinates keep their full precision. Reading the file again gives equal shapes.

    Args:
        path: of the XML file to write.
        images: the labels; frames of a video are written as images.
        classes: label names to declare; None: those the images declare, then those of the shapes.

    Returns:
        how many shapes of each kind could not be written: none, so it is empty.

    Raises:
        ValueError: when a name or text has characters that XML cannot hold.

    Example:
        >>> write("annotations.xml", [LabelledImage("a.png", 640, 480)])
        {}
    """
    images = list(images)
    names = class_names(images) if classes is None else list(classes)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as out,
    ):
        out.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        out.write("  <version>1.1</version>\n")
        _write_meta(out, names, len(images))
        for number, image in enumerate(images):
            _write_image(out, number, image)
        out.write("</annotations>\n")
    return {}


@dataclass
class _Task:
    """What ``<meta>`` says of one task or job."""

    id: str = ""
    subset: str = ""
    start_frame: int | None = None
    stop_frame: int | None = None
    step: int = 1
    width: int | None = None
    height: int | None = None


@dataclass
class _Track:
    """One object of a video, as far as it was read."""

    id: int
    label: str
    tags: dict[str, Any]
    task_id: str
    subset: str
    attributes: dict[str, str] = field(default_factory=dict)
    keyframes: list[Keyframe] = field(default_factory=list)


class _Document:
    """Receives the parser's events and builds images and tracks of them.

    The parser calls ``start``, ``end``, ``data`` and ``close``; everything else follows from the
    stack of open elements.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.classes: list[str] = []
        self.tasks: list[_Task] = []
        self.tracks: list[_Track] = []
        self._images: list[LabelledImage] = []
        self._stack: list[str] = []
        self._text: list[str] = []
        self._meta: dict[str, str] = {}
        self._label = ""
        self._image: dict[str, Any] | None = None
        self._shapes: list[Shape] = []
        self._track: _Track | None = None
        self._shape: dict[str, Any] | None = None
        self._shape_count = 0
        self._kind = ""
        self._at: tuple[int, bool] = (0, False)
        self._attribute = ""

    def take(self) -> list[LabelledImage]:
        """The images complete since the last call."""
        done, self._images = self._images, []
        return done

    def where(self) -> str:
        """The image or track and the shape that is being read, in words."""
        place = ""
        if self._image is not None:
            place += f", image {self._image.get('name', '')!r}"
        if self._track is not None:
            place += f", track {self._track.id} of label {self._track.label!r}"
        return place + (f", shape {self._shape_count} ({self._kind})" if self._kind else "")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        depth = len(self._stack)
        if depth == 0 and tag != "annotations":
            raise ValueError(
                "the outermost element of a CVAT file must be <annotations>. "
                f"Received: <{tag}>. Export the task as 'CVAT for images 1.1'."
            )
        if depth == 1:
            self._start_part(tag, attributes)
        elif depth == 2 and (self._image is not None or self._track is not None):
            self._start_child(tag, attributes)
        elif depth == 3 and self._shape is not None:
            self._start_grandchild(tag, attributes)
        self._stack.append(tag)
        self._text.clear()

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        self._stack.pop()
        depth = len(self._stack)
        if depth >= 2 and self._stack[1] == "meta":
            self._end_meta(tag, "".join(self._text))
        elif tag == "attribute":
            self._end_attribute(depth)
        elif depth == 2 and self._shape is not None:
            self._end_shape()
        elif depth == 1:
            self._end_part(tag)
        self._text.clear()

    def close(self) -> None:
        """Called by the parser after the last element."""

    def _start_part(self, tag: str, attributes: Attributes) -> None:
        if tag == "image":
            self._shapes, self._shape_count = [], 0
            self._image = {"name": attributes.get("name", "")}
            self._image = _image_fields(attributes)
        elif tag == "track":
            self._shape_count = 0
            self._track = _track(attributes)

    def _end_part(self, tag: str) -> None:
        if tag == "image" and self._image is not None:
            done = LabelledImage(
                **self._image, shapes=tuple(self._shapes), classes=tuple(self.classes)
            )
            self._images.append(done)
            self._image, self._shapes = None, []
        elif tag == "track" and self._track is not None:
            self.tracks.append(self._track)
            self._track = None

    def _start_child(self, tag: str, attributes: Attributes) -> None:
        if self._track is not None and tag in ("attribute", "track"):
            # The nested tracks of a skeleton are its joints, which it states itself as well.
            self._attribute = attributes.get("name", "")
            return
        self._shape_count += 1
        self._kind = intern(tag)
        self._shape = {"attributes": NO_ATTRIBUTES, **_geometry(tag, attributes)}
        if self._image is not None:
            self._require_mask_fits()
            self._shape.update(_image_tags(tag, attributes))
        else:
            self._shape.update(self._track.tags, z_order=_whole(attributes, "z_order", 0))
            self._shape["occluded"] = _flag(attributes, "occluded")
            self._at = (_whole(attributes, "frame"), _flag(attributes, "outside"))

    def _require_mask_fits(self) -> None:
        if self._shape["kind"] == "mask":
            height, width = (int(side) for side in np.diff(self._shape["points"], axis=0)[0])
            require_mask_size(width, height, self._image["width"], self._image["height"])
            check_runs(self._shape["runs"], height, width)

    def _start_grandchild(self, tag: str, attributes: Attributes) -> None:
        if tag == "attribute":
            self._attribute = _text(attributes, "name")
        elif tag == "points" and self._kind == "skeleton" and not _flag(attributes, "outside"):
            joint = _vertices(_text(attributes, "points"))
            self._shape["points"] = np.vstack([self._shape["points"], joint])

    def _end_attribute(self, depth: int) -> None:
        value = "".join(self._text)
        if depth == 3 and self._shape is not None:
            self._shape["attributes"] = {**self._shape["attributes"], self._attribute: value}
        elif depth == 2 and self._track is not None:
            self._track.attributes[self._attribute] = value

    def _end_shape(self) -> None:
        if self._image is not None:
            self._shapes.append(Shape(**self._shape))
        else:
            stated = {**self._track.attributes, **self._shape["attributes"]}
            self._shape["attributes"] = stated or NO_ATTRIBUTES
            frame, outside = self._at
            self._track.keyframes.append(Keyframe(frame, Shape(**self._shape), outside))
        self._shape, self._kind = None, ""

    def _end_meta(self, tag: str, text: str) -> None:
        parent = self._stack[-1]
        if parent == "label" and tag == "name":
            self._label = text
        elif parent == "label" and tag == "parent":
            self._label = ""  # a joint of a skeleton
        elif tag == "label" and parent == "labels":
            if self._label and self._label not in self.classes:
                self.classes.append(self._label)
            self._label = ""
        elif parent in ("task", "job", "original_size"):
            self._meta[tag] = text.strip()
        if tag in ("task", "job"):
            self.tasks.append(_task(self._meta))
            self._meta = {}


def _parse(document: _Document, parser: DefusedXMLParser, chunk: bytes | None) -> None:
    """Feeds the parser, or closes it, and says where in which file something was wrong."""
    path = document.path
    try:
        parser.close() if chunk is None else parser.feed(chunk)
    except DefusedXmlException as error:
        raise ValueError(
            f"{path}: a label file must not have a document type or entities, which can fill the "
            f"memory. Received: {type(error).__name__}. Export it from CVAT again."
        ) from error
    except ParseError as error:
        raise ValueError(
            f"{path}{document.where()}: the file must be complete XML. Received: {error}. "
            "Export it from CVAT again; unpack it when it is a zip."
        ) from error
    except (ValueError, LookupError) as error:
        line = parser.parser.CurrentLineNumber
        raise ValueError(f"{path}, line {line}{document.where()}: {error}") from error


def _text(attributes: Attributes, name: str) -> str:
    try:
        return attributes[name]
    except KeyError:
        raise ValueError(
            f"the attribute {name!r} is missing. Received: {sorted(attributes)}. "
            "Add it, or remove the element."
        ) from None


def _whole(attributes: Attributes, name: str, default: int | None = None) -> int:
    text = attributes.get(name) if default is not None else _text(attributes, name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        value = None
    if value is None or abs(value) >= 2**31:
        raise ValueError(
            f"{name} must be a whole number below 2**31. Received: {name}={text[:60]!r}. "
            "Correct it."
        ) from None
    return value


def _flag(attributes: Attributes, name: str) -> bool:
    text = attributes.get(name, "0")
    if text not in ("0", "1"):
        raise ValueError(f"{name} must be 0 or 1. Received: {name}={text[:60]!r}. Correct it.")
    return text == "1"


def _numbers(attributes: Attributes, *names: str) -> list[float]:
    values = []
    for name in names:
        text = _text(attributes, name)
        try:
            values.append(float(text))
        except ValueError:
            raise ValueError(
                f"{name} must be a number. Received: {name}={text[:60]!r}. Correct it."
            ) from None
    return values


def _vertices(text: str) -> np.ndarray:
    """(N, 2) (row, col) of ``x,y;x,y;…``."""
    commas = text.count(",")
    separators = text.encode().translate(None, NOT_SEPARATORS).removesuffix(b";")
    try:
        flat = np.fromstring(text.replace(";", ","), dtype=np.float64, sep=",")
    except (ValueError, DeprecationWarning):  # the latter: NumPy 1
        flat = np.zeros(0)
    if not commas or flat.size != 2 * commas or separators != (b",;" * commas)[:-1]:
        raise ValueError(
            f"points must be numbers as 'x,y;x,y;…'. Received: points={text[:60]!r} "
            f"({len(text)} characters). Draw the shape again, or remove it."
        )
    points = np.ascontiguousarray(flat.reshape(-1, 2)[:, ::-1])
    require_finite(points)
    return points


def _geometry(kind: str, attributes: Attributes) -> dict[str, Any]:
    """The Shape's fields ``kind``, ``points``, ``rotation`` and ``runs``."""
    fields: dict[str, Any] = {"kind": intern(kind)}
    if kind in ("polygon", "polyline", "points"):
        fields["points"] = _vertices(_text(attributes, "points"))
    elif kind in ("box", "ellipse"):
        fields["points"] = (_box if kind == "box" else _ellipse)(attributes)
        fields["rotation"] = _rotation(attributes)
    elif kind == "mask":
        fields["points"] = _mask_box(attributes)
        fields["runs"] = _runs(_text(attributes, "rle"))
    elif kind == "cuboid":
        fields["points"] = np.array(_numbers(attributes, *CUBOID)).reshape(-1, 2)[:, ::-1].copy()
        require_finite(fields["points"])
    else:
        stated = attributes.get("points", "")
        fields["points"] = _vertices(stated) if stated else np.zeros((0, 2))
    return fields


def _box(attributes: Attributes) -> np.ndarray:
    left, top, right, bottom = _numbers(attributes, *BOX)
    points = np.array([[top, left], [bottom, right]])
    require_finite(points)
    return points


def _ellipse(attributes: Attributes) -> np.ndarray:
    col, row, col_axis, row_axis = _numbers(attributes, "cx", "cy", "rx", "ry")
    points = np.array([[row, col], [row_axis, col_axis]])
    require_finite(points)
    if points[1].min() < 0:
        raise ValueError(
            "an ellipse's semi-axes must not be negative. "
            f"Received: rx={col_axis}, ry={row_axis}. Draw it again, or remove it."
        )
    return points


def _rotation(attributes: Attributes) -> float:
    if "rotation" not in attributes:
        return 0.0
    (rotation,) = _numbers(attributes, "rotation")
    require_finite(np.array([rotation]))
    return rotation


def _mask_box(attributes: Attributes) -> np.ndarray:
    left, top, width, height = (
        _whole(attributes, name) for name in ("left", "top", "width", "height")
    )
    return np.array([[top, left], [top + height, left + width]], dtype=np.float64)


def _runs(text: str) -> np.ndarray:
    try:
        runs = np.fromstring(text, dtype=np.int64, sep=",")
    except (ValueError, DeprecationWarning):  # the latter: NumPy 1
        runs = np.zeros(0, dtype=np.int64)
    if runs.size != text.rstrip(" ,").count(",") + 1:
        raise ValueError(
            f"rle must be whole numbers as 'n, n, n'. Received: rle={text[:60]!r}. "
            "Draw the mask again, or remove it."
        )
    return runs


def _image_fields(attributes: Attributes) -> dict[str, Any]:
    width, height = _whole(attributes, "width"), _whole(attributes, "height")
    require_size(width, height)
    return {
        "name": _text(attributes, "name"),
        "width": width,
        "height": height,
        "subset": attributes.get("subset", ""),
        "task_id": attributes.get("task_id", ""),
        "frame": _whole(attributes, "frame") if "frame" in attributes else None,
    }


def _image_tags(kind: str, attributes: Attributes) -> dict[str, Any]:
    known = kind in KINDS
    return {
        "label": intern(_text(attributes, "label") if known else attributes.get("label", "")),
        "z_order": _whole(attributes, "z_order", 0),
        "occluded": _flag(attributes, "occluded"),
        "group_id": _whole(attributes, "group_id", 0),
        "source": intern(attributes.get("source", "manual")),
        "track_id": _whole(attributes, "track_id") if "track_id" in attributes else None,
    }


KINDS = frozenset(
    {"polygon", "polyline", "points", "box", "ellipse", "mask", "cuboid", "skeleton", "tag"}
)


def _track(attributes: Attributes) -> _Track:
    number, label = _whole(attributes, "id"), intern(_text(attributes, "label"))
    tags = {
        "label": label,
        "group_id": _whole(attributes, "group_id", 0),
        "source": intern(attributes.get("source", "manual")),
        "track_id": number,
    }
    task_id, subset = attributes.get("task_id", ""), attributes.get("subset", "")
    return _Track(number, label, tags, task_id, subset)


def _task(meta: Mapping[str, str]) -> _Task:
    task = _Task(meta.get("id", ""), meta.get("subset", ""))
    for name in ("start_frame", "stop_frame", "width", "height"):
        if meta.get(name):
            setattr(task, name, _whole(meta, name))
    step = re.search(r"step\s*=\s*(\S+)", meta.get("frame_filter", ""))
    if step:
        task.step = _whole({"frame_filter step": step[1]}, "frame_filter step")
    if task.step < 1:
        raise ValueError(
            f"frame_filter's step must be at least 1. Received: step={task.step}. Correct it."
        )
    return task


def _frames(document: _Document) -> Iterator[LabelledImage]:
    """The frames of a video's tracks, task by task."""
    classes = tuple(document.classes)
    for task_id in dict.fromkeys(track.task_id for track in document.tracks):
        tracks = [track for track in document.tracks if track.task_id == task_id]
        task = _task_of(document, task_id)
        width, height = _video_size(document, task, tracks)
        frames = _frame_range(document, task, tracks)
        moving = (interpolate(track.keyframes, frames) for track in tracks)
        # merge keeps the order of the tracks within a frame, and holds one shape of each.
        by_frame = itertools.groupby(
            heapq.merge(*moving, key=lambda item: item[0]), key=lambda item: item[0]
        )
        for frame, items in by_frame:
            yield LabelledImage(
                name=f"frame_{frame:06d}",
                width=width,
                height=height,
                shapes=tuple(shape for _, shape in items),
                classes=classes,
                subset=tracks[0].subset or task.subset,
                task_id=task_id,
                frame=frame,
            )


def _task_of(document: _Document, task_id: str) -> _Task:
    tasks = document.tasks
    if not tasks and not task_id:
        return _Task()
    if len(tasks) == 1 and not (task_id and tasks[0].id):
        return tasks[0]  # the only one need not be numbered
    for task in tasks:
        if task.id == task_id:
            return task
    raise ValueError(
        f"{document.path}: each track must name a task of <meta>. Received: task_id={task_id!r}, "
        f"tasks {[task.id for task in tasks]}. Export the project again."
    )


def _video_size(document: _Document, task: _Task, tracks: list[_Track]) -> tuple[int, int]:
    if task.width is None or task.height is None:
        raise ValueError(
            f"{document.path}: a video's <meta> must state <original_size>, width and height. "
            f"Received: width={task.width}, height={task.height}. Export the task again."
        )
    try:
        require_size(task.width, task.height)
    except ValueError as error:
        raise ValueError(f"{document.path}, <original_size>: {error}") from error
    for track in tracks:
        for key in track.keyframes:
            _require_mask(document, task, track, key)
    return task.width, task.height


def _require_mask(document: _Document, task: _Task, track: _Track, key: Keyframe) -> None:
    if key.shape.kind != "mask":
        return
    height, width = (int(side) for side in np.diff(key.shape.points, axis=0)[0])
    try:
        require_mask_size(width, height, task.width, task.height)
        check_runs(key.shape.runs, height, width)
    except ValueError as error:
        raise ValueError(
            f"{document.path}, track {track.id} of label {track.label!r}, frame {key.frame}, "
            f"shape (mask): {error}"
        ) from error


def _frame_range(document: _Document, task: _Task, tracks: list[_Track]) -> range:
    """The frames of a task; where <meta> does not say, those between its keyframes."""
    stated = [key.frame for track in tracks for key in track.keyframes] or [0]
    start = min(stated) if task.start_frame is None else task.start_frame
    stop = max(stated) if task.stop_frame is None else task.stop_frame
    frames = range(start, stop + 1, task.step)
    if len(frames) > MAX_FRAMES:
        raise ValueError(
            f"{document.path}: a video must have at most {MAX_FRAMES} frames. Received: "
            f"start_frame={start}, stop_frame={stop}, step={task.step}. Correct <meta>."
        )
    return frames


def _write_meta(out: TextIO, classes: Sequence[str], size: int) -> None:
    out.write(f"  <meta>\n    <task>\n      <size>{size}</size>\n")
    out.write("      <mode>annotation</mode>\n      <labels>\n")
    for name in classes:
        out.write("        <label>\n")
        out.write(f"          <name>{_content(name)}</name>\n          <type>any</type>\n")
        out.write("          <attributes></attributes>\n        </label>\n")
    out.write("      </labels>\n    </task>\n  </meta>\n")


def _write_image(out: TextIO, number: int, image: LabelledImage) -> None:
    tags = {"id": number, "name": image.name, "width": image.width, "height": image.height}
    optional = {"subset": image.subset, "task_id": image.task_id, "frame": image.frame}
    tags |= {name: value for name, value in optional.items() if value not in ("", None)}
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
    if shape.group_id:
        tags["group_id"] = shape.group_id
    if shape.track_id is not None:
        tags["track_id"] = shape.track_id
    tags |= _written_geometry(shape)
    out.write(f"    <{shape.kind}{_quoted(tags)}>\n")
    for name, value in shape.attributes.items():
        name, value = _quoted({"name": name}), _content(value)
        out.write(f"      <attribute{name}>{value}</attribute>\n")
    out.write(f"    </{shape.kind}>\n")


def _written_geometry(shape: Shape) -> dict[str, Any]:
    points = shape.points.tolist()
    rotation = {"rotation": float(shape.rotation)} if shape.rotation else {}
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
        return dict(
            zip(CUBOID, (value for row, col in points for value in (col, row)), strict=True)
        )
    return {"points": ";".join(f"{col!r},{row!r}" for row, col in points)} if points else {}


def _quoted(tags: Mapping[str, Any]) -> str:
    return "".join(f" {name}={quoteattr(_legal(str(value)))}" for name, value in tags.items())


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
