"""Shapes to masks: the one place that knows where a pixel lies.

Coordinates are continuous: pixel (r, c) covers [r, r + 1) x [c, c + 1), its centre lies at
(r + 0.5, c + 0.5). **A pixel belongs to a shape when its centre does.** A centre exactly on the
edge of a polygon or box belongs to it where the edge is its left or top one, not where it is its
right or bottom one, so that two shapes sharing an edge share no pixel and lose none. An ellipse
owns its outline, a polyline's band too.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from temzoo.labels.limits import MAX_COORDINATE
from temzoo.labels.runs import decode_runs
from temzoo.types import LINE_KINDS, LabelledImage, Shape

BACKGROUND = "background"
LARGEST_STACK = 4_000_000_000

Window = tuple[int, int, np.ndarray]


@dataclass(frozen=True, eq=False)
class Instance:
    """One labelled object: one shape, or the parts that a group id ties together.

    Attributes:
        label: the class's name.
        shapes: its parts, in file order.
    """

    label: str
    shapes: tuple[Shape, ...]


def shape_mask(
    shape: Shape, height: int, width: int, *, line_width: float | None = None
) -> np.ndarray:
    """The pixels of a shape in an image.

    Args:
        shape: of any kind; it may lie partly or wholly outside the image. Polygons are filled
            by the even-odd rule, so a self-intersecting one has holes.
        height, width: of the image, in pixels.
        line_width: width of the band that a polyline stands for, in pixels; None: no area.

    Returns:
        (height, width) bool; nothing is set for a kind without area.

    Raises:
        ValueError: when a coordinate is not finite, the runs of a mask do not fill its box, or
            the line width is not positive.

    Example:
        >>> box = Shape("box", "particle", np.array([[1.0, 1.0], [3.0, 4.0]]))
        >>> int(shape_mask(box, 8, 8).sum())
        6
    """
    mask = np.zeros((height, width), dtype=bool)
    row, col, window = shape_window(shape, height, width, line_width=line_width)
    mask[row : row + window.shape[0], col : col + window.shape[1]] = window
    return mask


def shape_window(
    shape: Shape, height: int, width: int, *, line_width: float | None = None
) -> Window:
    """The pixels of a shape in its bounding window only, clipped to the image.

    Arguments and errors are those of ``shape_mask``.

    Returns:
        row, col: of the window's first pixel in the image.
        window: (h, w) bool; (0, 0) where no part of the image is within the shape's extent.

    Example:
        >>> box = Shape("box", "particle", np.array([[1.0, 1.0], [3.0, 4.0]]))
        >>> row, col, window = shape_window(box, 1000, 1000)
        >>> row, col, window.shape
        (1, 1, (2, 3))
    """
    if line_width is not None and not line_width > 0:
        raise ValueError(
            f"line_width must be above 0 pixels. Received: line_width={line_width}. "
            "Use the width of the line's band, or None to leave lines out."
        )
    extent = shape_extent(shape, line_width=line_width)
    if extent is None or not _is_drawn(shape, line_width):
        return 0, 0, np.zeros((0, 0), dtype=bool)
    top, left = (max(0, math.floor(edge)) for edge in extent[:2])
    bottom, right = min(height, math.ceil(extent[2])), min(width, math.ceil(extent[3]))
    if bottom <= top or right <= left:
        return 0, 0, np.zeros((0, 0), dtype=bool)
    frame = (top, left, bottom, right)
    return top, left, _pixels_in_frame(shape, frame, line_width)


def shape_extent(
    shape: Shape, *, line_width: float | None = None
) -> tuple[float, float, float, float] | None:
    """The rectangle around a shape, in continuous coordinates, not clipped to any image.

    Args:
        shape: of any kind.
        line_width: as in ``shape_mask``; None: the vertices of a polyline alone.

    Returns:
        top, left, bottom, right; None for a shape without points.

    Raises:
        ValueError: when a coordinate is not finite.

    Example:
        >>> shape_extent(Shape("ellipse", "particle", np.array([[5.0, 5.0], [1.0, 2.0]])))
        (4.0, 3.0, 6.0, 7.0)
    """
    _require_finite(shape)
    if len(shape.points) == 0:
        return None
    if shape.kind == "ellipse":
        half = _ellipse_half_extent(shape)
        low, high = shape.points[0] - half, shape.points[0] + half
    else:
        corners = _box_corners(shape) if shape.kind == "box" else shape.points
        margin = (line_width or 0) / 2 if shape.kind in LINE_KINDS else 0
        low, high = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


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
        if _is_drawn(shape, line_width) and shape.label not in ignored
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
        _view(union, (row - top, col - left, window))[window] = True
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
        _view(mask, window)[...] = window[2]
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
    return _drawn(canvas, numbered, line_width)


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
    return _drawn(canvas, [(shape, numbers[shape.label]) for shape, _ in numbered], line_width)


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


def _is_drawn(shape: Shape, line_width: float | None) -> bool:
    return shape.has_area or (shape.kind in LINE_KINDS and line_width is not None)


def _drawn(
    canvas: np.ndarray, numbered: Iterable[tuple[Shape, int]], line_width: float | None
) -> np.ndarray:
    height, width = canvas.shape
    # sorted is stable: of equal z_order, the later in the file is drawn later.
    for shape, number in sorted(numbered, key=lambda item: item[0].z_order):
        window = shape_window(shape, height, width, line_width=line_width)
        _view(canvas, window)[window[2]] = number
    return canvas


def _view(canvas: np.ndarray, window: Window) -> np.ndarray:
    row, col, pixels = window
    return canvas[row : row + pixels.shape[0], col : col + pixels.shape[1]]


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


def _require_finite(shape: Shape) -> None:
    # A comparison with NaN is false, so this refuses it too.
    within = np.all(np.abs(shape.points) < MAX_COORDINATE)
    if not (within and math.isfinite(shape.rotation)):
        raise ValueError(
            f"coordinates must be finite numbers. Received: a {shape.kind} of label "
            f"{shape.label!r} with points={shape.points.tolist()[:4]}, "
            f"rotation={shape.rotation}. Correct or remove it in the label file."
        )


def _pixels_in_frame(
    shape: Shape, frame: tuple[int, int, int, int], line_width: float | None
) -> np.ndarray:
    if shape.kind == "ellipse":
        return _ellipse_pixels(shape, frame)
    if shape.kind == "mask":
        return _mask_pixels(shape, frame)
    if shape.kind in LINE_KINDS:
        return _line_pixels(shape.points, frame, line_width)
    return _polygon_pixels(_box_corners(shape) if shape.kind == "box" else shape.points, frame)


def _box_corners(shape: Shape) -> np.ndarray:
    """(4, 2) corners of a box after its rotation, (row, col)."""
    (top, left), (bottom, right) = shape.points
    corners = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
    if shape.rotation == 0:
        return corners
    centre = shape.points.mean(axis=0)
    row, col = (corners - centre).T
    cos, sin = _cos_sin(shape.rotation)
    # Clockwise on screen, where rows grow downwards: +col turns towards +row.
    return centre + np.stack([row * cos + col * sin, col * cos - row * sin], axis=1)


def _cos_sin(degrees: float) -> tuple[float, float]:
    # Quarter turns exactly: cos(pi / 2) is 6e-17, enough to move a corner off a pixel centre.
    quarters, rest = divmod(degrees, 90)
    if rest == 0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarters) % 4]
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def _ellipse_half_extent(shape: Shape) -> np.ndarray:
    row_axis, col_axis = np.abs(shape.points[1])
    cos, sin = _cos_sin(shape.rotation)
    return np.array(
        [math.hypot(row_axis * cos, col_axis * sin), math.hypot(col_axis * cos, row_axis * sin)]
    )


def _ellipse_pixels(shape: Shape, frame: tuple[int, int, int, int]) -> np.ndarray:
    top, left, bottom, right = frame
    (row, col), (row_axis, col_axis) = shape.points
    if not (row_axis > 0 and col_axis > 0):
        return np.zeros((bottom - top, right - left), dtype=bool)
    rows = np.arange(top, bottom)[:, None] + 0.5 - row
    cols = np.arange(left, right)[None, :] + 0.5 - col
    cos, sin = _cos_sin(shape.rotation)
    along_rows = (rows * cos - cols * sin) / row_axis
    along_cols = (cols * cos + rows * sin) / col_axis
    return along_rows**2 + along_cols**2 <= 1


def _mask_pixels(shape: Shape, frame: tuple[int, int, int, int]) -> np.ndarray:
    corners = shape.points.astype(np.int64)
    height, width = corners[1] - corners[0]
    top, left, bottom, right = np.array(frame) - np.concatenate([corners[0], corners[0]])
    mask = decode_runs(shape.runs, int(height), int(width))
    return mask[top:bottom, left:right]


def _line_pixels(
    points: np.ndarray, frame: tuple[int, int, int, int], line_width: float
) -> np.ndarray:
    """Pixels whose centre lies within half a line width of any segment."""
    top, left, bottom, right = frame
    pixels = np.zeros((bottom - top, right - left), dtype=bool)
    reach = line_width / 2
    ends = points if len(points) > 1 else np.repeat(points, 2, axis=0)
    for start, end in itertools.pairwise(ends):
        low = np.floor(np.minimum(start, end) - reach).clip((top, left), (bottom, right))
        high = np.ceil(np.maximum(start, end) + reach).clip((top, left), (bottom, right))
        (row, col), (row_end, col_end) = low.astype(int), high.astype(int)
        centres = np.mgrid[row:row_end, col:col_end] + 0.5
        near = _squared_distance(centres, start, end) <= reach**2
        pixels[row - top : row_end - top, col - left : col_end - left] |= near
    return pixels


def _squared_distance(centres: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Of (2, h, w) positions to the segment from start to end; (h, w)."""
    offset = centres - start[:, None, None]
    along = end - start
    length = along @ along
    share = np.tensordot(along, offset, axes=1) / length if length > 0 else 0.0
    nearest = np.clip(share, 0, 1) * along[:, None, None]
    return ((offset - nearest) ** 2).sum(axis=0)


def _polygon_pixels(points: np.ndarray, frame: tuple[int, int, int, int]) -> np.ndarray:
    """Scanline fill by the even-odd rule, half-open along rows and columns.

    An edge crosses the row of centres y when low <= y < high; a pixel is inside when an odd
    number of crossings lies at or left of its centre. Crossings are computed from the upper end
    in image coordinates whichever way the edge is drawn, so that two polygons sharing an edge
    get the same number to the last bit.
    """
    top, left, bottom, right = frame
    height, width = bottom - top, right - left
    low, high, first, count = _crossing_edges(points, top, bottom)
    edge = np.repeat(np.arange(len(count)), count)
    # Number of the row within its edge: 0, 1, … count - 1, for each edge in turn.
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    row = first[edge] + step
    low, high = low[edge], high[edge]
    share = (row + 0.5 - low[:, 0]) / (high[:, 0] - low[:, 0])
    crossing = low[:, 1] + share * (high[:, 1] - low[:, 1])
    col = np.clip(np.ceil(crossing - 0.5) - left, 0, width).astype(np.int64)
    # uint8 wraps at 256, which keeps what is odd odd; column `width` takes what lies beyond.
    toggles = np.zeros((height, width + 1), dtype=np.uint8)
    np.add.at(toggles, (row - top, col), 1)
    return (np.cumsum(toggles[:, :width], axis=1, dtype=np.uint8) & 1).astype(bool)


def _crossing_edges(
    points: np.ndarray, top: int, bottom: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The edges that cross a row of centres in [top, bottom).

    Returns:
        low, high: (E, 2) upper and lower end of each edge on screen.
        first, count: (E,) the first row crossed, and how many.
    """
    ends = np.roll(points, -1, axis=0)
    downwards = (points[:, 0] <= ends[:, 0])[:, None]
    low, high = np.where(downwards, points, ends), np.where(downwards, ends, points)
    first = np.clip(np.ceil(low[:, 0] - 0.5), top, bottom).astype(np.int64)
    last = np.clip(np.ceil(high[:, 0] - 0.5), top, bottom).astype(np.int64)
    crossing = last > first
    return low[crossing], high[crossing], first[crossing], (last - first)[crossing]
