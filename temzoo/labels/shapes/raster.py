"""Shapes to masks: the one place that knows where a pixel lies.

Coordinates are continuous: pixel (r, c) covers [r, r + 1) x [c, c + 1), its centre lies at
(r + 0.5, c + 0.5). **A pixel belongs to a shape when its centre does.** A centre exactly on the
edge of a polygon or box belongs to it where the edge is its left or top one, not where it is its
right or bottom one, so that two shapes sharing an edge share no pixel and lose none. An ellipse
owns its outline, a polyline's band too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from temzoo.core.hints import did_you_mean, require_classes
from temzoo.core.types import IGNORE, LabelledImage, Shape
from temzoo.labels.shapes.run_lengths import mask_geometry
from temzoo.labels.shapes.windows import Window, drawn_pixels, is_drawn, shape_window, view

BACKGROUND = "background"
LARGEST_STACK = 4_000_000_000


@dataclass(frozen=True, eq=False)
class Instance:
    """One labelled object: one shape, or the parts that a group id ties together, in file order."""

    label: str
    shapes: tuple[Shape, ...]


def instances(image: LabelledImage, **drawing: Any) -> list[Instance]:
    """The objects of an image: the grouping that every mask, map and encoding uses.

    Arguments and errors are those of ``numbered_shapes``; the objects stand in the order of first
    appearance.
    """
    parts: dict[int, list[Shape]] = {}
    for shape, number in numbered_shapes(image, **drawing):
        parts.setdefault(number, []).append(shape)
    return [Instance(shapes[0].label, tuple(shapes)) for shapes in parts.values()]


def numbered_shapes(
    image: LabelledImage,
    *,
    classes: Sequence[str] | None = None,
    ignore: Collection[str] = (),
    line_width: float | None = None,
) -> list[tuple[Shape, int]]:
    """The shapes that are drawn, in file order, each with the number of its object.

    Shapes with one group id above 0 and one label are one object. Kinds without area are left
    out, polylines too unless a line width is given, and regions of the label "ignore".

    Args:
        classes: the label names that are known; any other is an error. None: all are.
        ignore: labels to leave out.
        line_width: as in ``shape_mask``.

    Returns:
        (shape, k) pairs; the shape is a part of ``instances(...)[k - 1]``.

    Raises:
        ValueError: when a label is not in ``classes``, or classes repeat a name.
    """
    drawn = _in_order(image, classes=classes, ignore=ignore, line_width=line_width)
    return [(shape, number) for shape, number in drawn if number]


def _in_order(
    image: LabelledImage,
    *,
    classes: Sequence[str] | None = None,
    ignore: Collection[str] = (),
    line_width: float | None = None,
) -> list[tuple[Shape, int]]:
    """``numbered_shapes`` and among them the regions of the label "ignore", with number 0."""
    ignored = {ignore} if isinstance(ignore, str) else {*ignore}
    drawn = [
        shape
        for shape in image.shapes
        if is_drawn(shape, line_width) and shape.label not in ignored
    ]
    if classes is not None:
        _require_known(image, drawn, foreground_classes(classes))
    numbers: dict[tuple, int] = {}
    numbered = []
    for index, shape in enumerate(drawn):
        if shape.label == IGNORE:
            numbered.append((shape, 0))
            continue
        key = (shape.label, shape.group_id) if shape.group_id > 0 else (index,)
        numbered.append((shape, numbers.setdefault(key, len(numbers) + 1)))
    return numbered


def instance_window(
    instance: Instance, height: int, width: int, *, line_width: float | None = None
) -> Window:
    """The pixels of an object, all parts together, in its bounding window: as ``shape_window``."""
    windows = [shape_window(part, height, width, line_width=line_width) for part in instance.shapes]
    windows = [window for window in windows if window[2].size]
    if len(windows) == 1:
        return windows[0]
    if not windows:
        return 0, 0, np.zeros((0, 0), dtype=bool)
    top, left = min(row for row, _, _ in windows), min(col for _, col, _ in windows)
    bottom = max(row + window.shape[0] for row, _, window in windows)
    right = max(col + window.shape[1] for _, col, window in windows)
    union = np.zeros((bottom - top, right - left), dtype=bool)
    for row, col, window in windows:
        view(union, (row - top, col - left, window))[window] = True
    return top, left, union


def one_shape_each(image: LabelledImage) -> list[Shape]:
    """The shapes, the lowest first, for formats without groups: one for each object.

    The parts of an object become one mask, which stands where its lowest part does and has that
    one's attributes.
    """
    parts: dict[tuple, list[Shape]] = {}
    for index, shape in enumerate(sorted(image.shapes, key=lambda each: each.z_order)):
        is_part = shape.group_id > 0 and shape.has_area
        parts.setdefault((shape.label, shape.group_id) if is_part else (index,), []).append(shape)
    return [_as_one(Instance(shapes[0].label, tuple(shapes)), image) for shapes in parts.values()]


def _as_one(instance: Instance, image: LabelledImage) -> Shape:
    first, *others = instance.shapes
    if not others:
        return first
    row, col, window = instance_window(instance, image.height, image.width)
    points, runs = mask_geometry(window, row, col)
    return replace(first, kind="mask", points=points, runs=runs, rotation=0.0, group_id=0)


def instance_masks(
    image: LabelledImage, *, line_width: float | None = None, **drawing: Any
) -> np.ndarray:
    """One whole mask for each object, also where another object lies over it.

    Arguments are those of ``numbered_shapes``.

    Returns:
        (N, H, W) bool, in the order of ``instances``; N may be 0. An object outside the image
        has an empty mask.

    Raises:
        ValueError: as ``instances`` and ``shape_mask`` do, or when the stack would exceed 4 GB.
    """
    found = instances(image, line_width=line_width, **drawing)
    size = len(found) * image.height * image.width
    if size > LARGEST_STACK:
        raise ValueError(
            f"instance_masks makes at most {LARGEST_STACK / 1e9:g} GB. Received: {len(found)} "
            f"instances of {image.height} x {image.width} px in image {image.name!r}, "
            f"{size / 1e9:.1f} GB. Use instance_map, or cut the image into crops."
        )
    masks = np.zeros((len(found), image.height, image.width), dtype=bool)
    for mask, instance in zip(masks, found, strict=True):
        window = instance_window(instance, image.height, image.width, line_width=line_width)
        view(mask, window)[...] = window[2]
    return masks


def instance_map(
    image: LabelledImage, *, line_width: float | None = None, **drawing: Any
) -> np.ndarray:
    """The objects of an image drawn over each other, numbered.

    A higher ``z_order`` lies on top; of equal ones, the later in the file. Regions of the label
    "ignore" are background to what lies below. Arguments and errors are those of
    ``numbered_shapes``.

    Returns:
        (H, W) int32; 0 is background, k is the object of ``instances(...)[k - 1]`` and of
        ``instance_masks(...)[k - 1]``. An object wholly covered by others, or outside the image,
        has no pixel: its number is missing from the map.
    """
    canvas = np.zeros((image.height, image.width), dtype=np.int32)
    return drawn_pixels(canvas, _in_order(image, line_width=line_width, **drawing), line_width)


def class_map(
    image: LabelledImage,
    classes: Sequence[str],
    *,
    ignore: Collection[str] = (),
    line_width: float | None = None,
) -> np.ndarray:
    """The class of each pixel, shapes drawn in the order of ``instance_map``.

    Args:
        classes: label names; the first is class 1. A leading "background" is accepted and
            stands for class 0.
        ignore: labels to leave out.
        line_width: as in ``shape_mask``.

    Returns:
        (H, W) int32; 0 is background, k is ``classes[k - 1]``.

    Raises:
        ValueError: when a label is not in ``classes``, or classes repeat a name.

    Example:
        >>> class_map(image, ["particle", "void"]).max()
        2
    """
    canvas = np.zeros((image.height, image.width), dtype=np.int32)
    numbers = {name: k for k, name in enumerate(foreground_classes(classes), start=1)}
    shapes = _in_order(image, classes=classes, ignore=ignore, line_width=line_width)
    drawn = [(shape, numbers[shape.label] if number else 0) for shape, number in shapes]
    return drawn_pixels(canvas, drawn, line_width)


def ignored_pixels(image: LabelledImage) -> np.ndarray | None:
    """(H, W) bool: pixels of the label "ignore", which nobody has judged; None without any.

    An object that lies on top of such a region, in the order of ``instance_map``, is judged.
    """
    if all(shape.label != IGNORE for shape in image.shapes):
        return None
    canvas = np.zeros((image.height, image.width), dtype=np.uint8)
    drawn = [(s, int(s.label == IGNORE)) for s in image.shapes if s.has_area]
    return drawn_pixels(canvas, drawn, None) > 0


def foreground_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names without a leading "background"; the first is class 1.

    Raises:
        ValueError: when a name stands there twice, or ``classes`` is one string.
    """
    require_classes(classes)
    names = tuple(classes)
    names = names[1:] if names[:1] == (BACKGROUND,) else names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"classes must differ from each other. Received: classes={list(classes)}, with "
            f"{', '.join(map(repr, twice))} more than once. Name each once."
        )
    return names


def _require_known(image: LabelledImage, shapes: list[Shape], names: tuple[str, ...]) -> None:
    known = (*names, IGNORE)
    unknown = next((shape.label for shape in shapes if shape.label not in known), None)
    if unknown is not None:
        raise ValueError(
            f"every label must be one of the classes. Received: label={unknown!r} in image "
            f"{image.name!r}, classes={list(names)}."
            f"{did_you_mean(unknown, names, repr)} Add it to the classes, or leave it "
            f"out with ignore=[{unknown!r}]."
        )
