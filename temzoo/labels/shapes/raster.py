"""Shapes to masks: the one place that knows where a pixel lies.

Coordinates are continuous: pixel (r, c) covers [r, r + 1) x [c, c + 1), its centre lies at
(r + 0.5, c + 0.5). **A pixel belongs to a shape when its centre does.** A centre exactly on the
edge of a polygon or box belongs to it where the edge is its left or top one, not where it is its
right or bottom one, so that two shapes sharing an edge share no pixel and lose none. An ellipse
owns its outline, a polyline's band too.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.shapes.windows import Window, drawn_pixels, is_drawn, shape_window, view

BACKGROUND = "background"
LARGEST_STACK = 4_000_000_000


@dataclass(frozen=True, eq=False)
class Instance:
    """One labelled object: one shape, or the parts that a group id ties together.

    Attributes:
        label: the class's name.
        shapes: its parts, in file order.
    """

    label: str
    shapes: tuple[Shape, ...]


def instances(
    image: LabelledImage,
    *,
    classes: Sequence[str] | None = None,
    ignore: Collection[str] = (),
    line_width: float | None = None,
) -> list[Instance]:
    """The objects of an image: the grouping that every mask, map and encoding uses.

    Shapes with one group id above 0 and one label are one object. Kinds without area are left
    out, polylines too unless a line width is given.

    Args:
        image: the labels.
        classes: the label names that are known; any other is an error. None: all are.
        ignore: labels to leave out.
        line_width: as in ``shape_mask``.

    Returns:
        in order of first appearance.

    Raises:
        ValueError: when a label is not in ``classes``, or classes repeat a name.

    Example:
        >>> [instance.label for instance in instances(image)]
        ['particle', 'particle', 'void']
    """
    parts: dict[int, list[Shape]] = {}
    for shape, number in numbered_shapes(
        image, classes=classes, ignore=ignore, line_width=line_width
    ):
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

    Arguments and errors are those of ``instances``.

    Returns:
        (shape, k) pairs; the shape is a part of ``instances(...)[k - 1]``.

    Example:
        >>> [number for _, number in numbered_shapes(image)]
        [1, 2, 1, 3]
    """
    ignored = {ignore} if isinstance(ignore, str) else set(ignore)
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
        key = (shape.label, shape.group_id) if shape.group_id > 0 else (index,)
        numbered.append((shape, numbers.setdefault(key, len(numbers) + 1)))
    return numbered


def instance_window(
    instance: Instance, height: int, width: int, *, line_width: float | None = None
) -> Window:
    """The pixels of an object, all parts together, in its bounding window.

    Arguments, returns and errors are those of ``shape_window``.

    Example:
        >>> row, col, window = instance_window(instances(image)[0], image.height, image.width)
    """
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


def instance_masks(
    image: LabelledImage,
    *,
    classes: Sequence[str] | None = None,
    ignore: Collection[str] = (),
    line_width: float | None = None,
) -> np.ndarray:
    """One whole mask for each object, also where another object lies over it.

    Arguments are those of ``instances``.

    Returns:
        (N, H, W) bool, in the order of ``instances``; N may be 0. An object outside the image
        has an empty mask.

    Raises:
        ValueError: as ``instances`` and ``shape_mask`` do, or when the stack would exceed 4 GB.

    Example:
        >>> areas_px = instance_masks(image).sum(axis=(1, 2))
    """
    found = instances(image, classes=classes, ignore=ignore, line_width=line_width)
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
    image: LabelledImage,
    *,
    classes: Sequence[str] | None = None,
    ignore: Collection[str] = (),
    line_width: float | None = None,
) -> np.ndarray:
    """The objects of an image drawn over each other, numbered.

    A higher ``z_order`` lies on top; of equal ones, the later in the file. Arguments and errors
    are those of ``instances``.

    Returns:
        (H, W) int32; 0 is background, k is the object of ``instances(...)[k - 1]`` and of
        ``instance_masks(...)[k - 1]``. An object wholly covered by others, or outside the image,
        has no pixel: its number is missing from the map.

    Example:
        >>> numbers = np.unique(instance_map(image))
    """
    canvas = np.zeros((image.height, image.width), dtype=np.int32)
    numbered = numbered_shapes(image, classes=classes, ignore=ignore, line_width=line_width)
    return drawn_pixels(canvas, numbered, line_width)


def class_map(
    image: LabelledImage,
    classes: Sequence[str],
    *,
    ignore: Collection[str] = (),
    line_width: float | None = None,
) -> np.ndarray:
    """The class of each pixel, shapes drawn in the order of ``instance_map``.

    Args:
        image: the labels.
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
    numbered = numbered_shapes(image, classes=classes, ignore=ignore, line_width=line_width)
    return drawn_pixels(
        canvas, [(shape, numbers[shape.label]) for shape, _ in numbered], line_width
    )


def foreground_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names without a leading "background"; the first is class 1.

    Raises:
        ValueError: when a name stands there twice, or ``classes`` is one string.

    Example:
        >>> foreground_classes(["background", "particle"])
        ('particle',)
    """
    if isinstance(classes, str):
        raise ValueError(
            f"classes must be a sequence of names. Received: classes={classes!r}. "
            f"Use [{classes!r}]."
        )
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
    unknown = next((shape.label for shape in shapes if shape.label not in names), None)
    if unknown is None:
        return
    close = difflib.get_close_matches(unknown, names)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise ValueError(
        f"every label must be one of the classes. Received: label={unknown!r} in image "
        f"{image.name!r}, classes={list(names)}.{hint} Add it to the classes, or leave it out "
        f"with ignore=[{unknown!r}]."
    )
