"""A micrograph with the objects that are cut from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from temzoo.core.types import Detection, Example, Micrograph, Prediction
from temzoo.evaluation.object_overlaps import edges_of, map_objects
from temzoo.labels.shapes.raster import BACKGROUND, instance_map
from temzoo.labels.shapes.raster import instances as labelled_objects
from temzoo.particles.plan import CutPlan, Frame, Pair


@dataclass(frozen=True, eq=False)
class Object:
    """An object of a micrograph: its number, class, score and pixels."""

    number: int
    label: str
    score: float | None
    top: int
    left: int
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class Field:
    """A micrograph and its objects; the pixels are loaded when asked for."""

    load: Callable[[], Micrograph]
    name: str
    shape: tuple[int, int]
    objects: Sequence[Object]
    known: Sequence[str] = ()  # classes, beside those of the objects

    @cached_property
    def nm_per_pixel(self) -> Pair | None:
        return self.load().nm_per_pixel

    @cached_property
    def boxes(self) -> np.ndarray:
        return edges_of(self.objects)

    def wanted(self, plan: CutPlan) -> list[Object]:
        """The objects of the plan's classes."""
        return [one for one in self.objects if plan.classes is None or one.label in plan.classes]

    def covered(self, frame: Frame, *, but: Object | None = None) -> np.ndarray:
        """Where objects lie in a frame inside the image, (h, w) bool."""
        top, left, bottom, right = frame
        covered = np.zeros((bottom - top, right - left), bool)
        meet = (self.boxes[:, :2] < (bottom, right)) & (self.boxes[:, 2:] > (top, left))
        for index in np.flatnonzero(meet.all(axis=1)):
            if self.objects[index] is not but:
                paint(covered, (top, left), self.objects[index])
        return covered


def numbered_objects(
    instances: np.ndarray, label_of: Callable[[Detection], str], scores: Sequence[float] | None
) -> list[Object]:
    # The number stands for the class of what is found: numbers may have gaps.
    found = map_objects(instances, instances)
    known = [None if scores is None else float(scores[one.class_id - 1]) for one in found]
    return [
        Object(one.class_id, label_of(one), score, one.top, one.left, one.mask)
        for one, score in zip(found, known, strict=True)
    ]


def labelled_field(example: Example) -> Field:
    labels = example.labels
    names = [one.label for one in labelled_objects(labels)]
    objects = numbered_objects(instance_map(labels), lambda one: names[one.class_id - 1], None)
    objects = [one for one in objects if one.label != BACKGROUND]
    known = (*labels.classes, *names)
    return Field(example.load, example.name, (labels.height, labels.width), objects, known)


def predicted_field(source: Micrograph | Example, prediction: Prediction) -> Field:
    load = source.load if isinstance(source, Example) else lambda: source
    names = prediction.class_names
    if prediction.detections is not None:
        objects = [
            Object(k, _name(one.class_id, names), one.score, one.top, one.left, one.mask)
            for k, one in enumerate(prediction.detections, start=1)
        ]
    else:

        def label_of(one: Detection) -> str:
            inside = prediction.classes[one.top :, one.left :]
            return _name(int(inside[tuple(np.argwhere(one.mask)[0])]), names)

        objects = numbered_objects(prediction.instances, label_of, prediction.scores)
    return Field(load, source.name, prediction.instances.shape, objects, names)


def _name(class_id: int, names: Sequence[str]) -> str:
    return names[class_id - 1] if names else f"class {class_id}"


def inside_frame(frame: Frame, shape: tuple[int, int]) -> Frame:
    top, left, bottom, right = frame
    return max(top, 0), max(left, 0), min(bottom, shape[0]), min(right, shape[1])


def paint(canvas: np.ndarray, corner: tuple[int, int], one: Object) -> None:
    """Sets an object's pixels in a canvas whose first pixel lies at ``corner`` of the image."""
    where, part = [], []
    for first, length, start, extent in zip(
        corner, canvas.shape, (one.top, one.left), one.mask.shape, strict=True
    ):
        low, high = max(first, start), min(first + length, start + extent)
        where.append(slice(low - first, high - first))
        part.append(slice(low - start, high - start))
    canvas[tuple(where)] |= one.mask[tuple(part)]
