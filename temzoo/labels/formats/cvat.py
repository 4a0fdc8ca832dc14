"""CVAT 1.1 XML, for images and for video.

Files are read as a stream: an image's shapes are held until its end, a video's keyframes until the
end of the file. CVAT states x, y; shapes hold (row, col). Names and e-mails of owners and assignees
are never read, so they cannot get into an output.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from sys import intern
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from temzoo.core.types import NO_ATTRIBUTES, LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.cvat_shapes import Attributes, flag, geometry, text_of, vertices, whole
from temzoo.labels.formats.cvat_video import Task, Track, frames, task_of, track_of
from temzoo.labels.formats.entries import LEFT_OUT
from temzoo.labels.formats.limits import require_mask_fits, require_size
from temzoo.labels.formats.tracks import Keyframe

CHUNK_BYTES = 1 << 16


def read(path: str | Path, *, said: list[Finding] | None = None) -> list[LabelledImage]:
    """All images of a CVAT 1.1 file, "for images" or "for video", of a task, a job or a project.

    Args:
        said: takes images, tracks and shapes that cannot be read, which are left out; None: the
            first is raised.

    Returns:
        one per image, in file order, those without shapes too; of a video one per frame that has
        shapes, named ``frame_000123``. Elements without an area (cuboid, skeleton, tag, and kinds
        unknown here) are shapes of that kind, so that they can be counted.

    Raises:
        ValueError: when the file is no complete CVAT XML, has a DTD, or an image or shape in it
            is malformed; the message names the file, the line, the image and the shape.
    """
    return list(iterate(path, said=said))


def iterate(path: str | Path, *, said: list[Finding] | None = None) -> Iterator[LabelledImage]:
    """The images of a CVAT 1.1 file one after the other, in bounded memory (see ``read``)."""
    document = _Document(Path(path), said)
    parser = DefusedXMLParser(target=document, forbid_dtd=True)
    document.line = lambda: parser.parser.CurrentLineNumber
    with document.path.open("rb") as file:
        for chunk in chain(iter(lambda: file.read(CHUNK_BYTES), b""), [None]):
            _parse(document, parser, chunk)
            yield from document.images
            document.images.clear()
    tasks, tracks = document.tasks, document.tracks
    yield from frames(document.path, tuple(document.classes), tasks, tracks, said)


class _Document:
    """Receives the parser's events and builds images and tracks of them.

    The parser calls ``start``, ``end``, ``data`` and ``close``; everything else follows from the
    stack of open elements.
    """

    def __init__(self, path: Path, said: list[Finding] | None = None) -> None:
        self.path = path
        self.line: Callable[[], int] = lambda: 0
        self._said = said
        self.classes: list[str] = []
        self.tasks: list[Task] = []
        self.tracks: list[Track] = []
        self.images: list[LabelledImage] = []
        self._stack: list[str] = []
        self._text: list[str] = []
        self._meta: dict[str, str] = {}
        self._label = ""
        self._image: dict[str, Any] | None = None
        self._shapes: list[Shape] = []
        self._track: Track | None = None
        self._shape: dict[str, Any] | None = None
        self._shape_count = 0
        self._kind = ""
        self._at: tuple[int, bool] = (0, False)
        self._attribute = ""

    def where(self) -> str:
        """The image or track and the shape that is being read, in words."""
        place = ""
        if self._image is not None:
            place += f", image {self._image.get('name', '')!r}"
        if self._track is not None:
            place += f", track {self._track.id} of label {self._track.label!r}"
        return place + (f", shape {self._shape_count} ({self._kind})" if self._kind else "")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        try:
            self._start(tag, attributes)
        except ValueError as error:
            if self._said is None or not self._stack or "meta" in self._stack:
                raise
            name = "" if self._image is None else str(self._image.get("name", ""))
            text = f"{self.path}, line {self.line()}{self.where()} was left out: {error}"
            self._said.append(Finding("error", LEFT_OUT, name, None, text))
            if self._kind:
                self._shape = None
            else:
                self._image = self._track = None
        self._stack.append(tag)
        self._text.clear()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
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
        elif depth == 3 and self._shape is not None and tag == "attribute":
            self._attribute = text_of(attributes, "name")
        elif (depth, tag, self._kind) == (3, "points", "skeleton") and self._shape is not None:
            self._add_joint(attributes)

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        self._stack.pop()
        depth, text = len(self._stack), "".join(self._text)
        if depth >= 2 and self._stack[1] == "meta":
            self._end_meta(tag, text)
        elif tag == "attribute" and depth == 3 and self._shape is not None:
            self._shape["attributes"] = {**self._shape["attributes"], self._attribute: text}
        elif tag == "attribute" and depth == 2 and self._track is not None:
            self._track.attributes[self._attribute] = text
        elif depth == 2 and tag != "attribute":
            if self._shape is not None:
                self._end_shape()
            self._shape, self._kind = None, ""
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
            self._track = track_of(attributes)

    def _end_part(self, tag: str) -> None:
        if tag == "image" and self._image is not None:
            done = LabelledImage(
                **self._image, shapes=tuple(self._shapes), classes=tuple(self.classes)
            )
            self.images.append(done)
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
        self._shape = {"attributes": NO_ATTRIBUTES, "runs": None, **geometry(tag, attributes)}
        if self._image is not None:
            require_mask_fits(self._shape, self._image["width"], self._image["height"])
            self._shape.update(_image_tags(tag, attributes))
        else:
            self._shape.update(self._track.tags, z_order=whole(attributes, "z_order", 0))
            self._shape["occluded"] = flag(attributes, "occluded")
            self._at = (whole(attributes, "frame"), flag(attributes, "outside"))

    def _add_joint(self, attributes: Attributes) -> None:
        if not flag(attributes, "outside"):
            joint = vertices(text_of(attributes, "points"))
            self._shape["points"] = np.vstack([self._shape["points"], joint])

    def _end_shape(self) -> None:
        if self._image is not None:
            self._shapes.append(Shape(**self._shape))
        else:
            stated = {**self._track.attributes, **self._shape["attributes"]}
            self._shape["attributes"] = stated or NO_ATTRIBUTES
            frame, outside = self._at
            self._track.keyframes.append(Keyframe(frame, Shape(**self._shape), outside))

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
            self.tasks.append(task_of(self._meta))
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


def _image_fields(attributes: Attributes) -> dict[str, Any]:
    width, height = whole(attributes, "width"), whole(attributes, "height")
    require_size(width, height)
    return {
        "name": text_of(attributes, "name"),
        "width": width,
        "height": height,
        "subset": attributes.get("subset", ""),
        "task_id": attributes.get("task_id", ""),
        "frame": whole(attributes, "frame") if "frame" in attributes else None,
    }


def _image_tags(kind: str, attributes: Attributes) -> dict[str, Any]:
    known = kind in KINDS
    return {
        "label": intern(text_of(attributes, "label") if known else attributes.get("label", "")),
        "z_order": whole(attributes, "z_order", 0),
        "occluded": flag(attributes, "occluded"),
        "group_id": whole(attributes, "group_id", 0),
        "source": intern(attributes.get("source", "manual")),
        "track_id": whole(attributes, "track_id") if "track_id" in attributes else None,
    }


KINDS = frozenset(
    {"polygon", "polyline", "points", "box", "ellipse", "mask", "cuboid", "skeleton", "tag"}
)
