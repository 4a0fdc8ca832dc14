"""One shape as its outline, and as the pixels whose centres lie in it.

Label coordinates are continuous: pixel (0, 0) covers [0, 1) x [0, 1), and its centre lies at
(0.5, 0.5).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np

from temzoo.core.types import LINE_KINDS, Shape
from temzoo.labels.formats.limits import MAX_COORDINATE
from temzoo.labels.shapes.run_lengths import decode_runs

# How far, in pixels, a polygon may lie inside the ellipse that it stands for.
TOLERANCE_PX = 0.02
Window = tuple[int, int, np.ndarray]
Frame = tuple[int, int, int, int]  # top, left, bottom, right; the last two excluded


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
    """
    if line_width is not None and not line_width > 0:
        raise ValueError(
            f"line_width must be above 0 pixels. Received: line_width={line_width}. "
            "Use the width of the line's band, or None to leave lines out."
        )
    extent = shape_extent(shape, line_width=line_width)
    if extent is not None and is_drawn(shape, line_width):
        top, left = (max(0, math.floor(edge)) for edge in extent[:2])
        bottom, right = min(height, math.ceil(extent[2])), min(width, math.ceil(extent[3]))
        if bottom > top and right > left:
            return top, left, _pixels_in_frame(shape, (top, left, bottom, right), line_width)
    return 0, 0, np.zeros((0, 0), dtype=bool)


def shape_extent(
    shape: Shape, *, line_width: float | None = None
) -> tuple[float, float, float, float] | None:
    """Top, left, bottom and right of a shape, not clipped to any image; None without points.

    Args:
        shape: of any kind.
        line_width: as in ``shape_mask``; None: the vertices of a polyline alone.

    Raises:
        ValueError: when a coordinate is not finite.
    """
    _require_finite(shape)
    if len(shape.points) == 0:
        return None
    if shape.kind == "ellipse":
        row_axis, col_axis = np.abs(shape.points[1])
        cos, sin = _cos_sin(shape.rotation)
        half = [
            math.hypot(row_axis * cos, col_axis * sin),
            math.hypot(col_axis * cos, row_axis * sin),
        ]
        low, high = shape.points[0] - half, shape.points[0] + half
    else:
        corners = _box_corners(shape) if shape.kind == "box" else shape.points
        margin = (line_width or 0) / 2 if shape.kind in LINE_KINDS else 0
        low, high = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def outline(shape: Shape) -> np.ndarray:
    """The contour of a polygon, box or ellipse, after its rotation.

    Returns:
        (N, 2) float64 vertices, (row, col), closed implicitly. A box gives its four corners, an
        ellipse a polygon that leaves it by at most ``TOLERANCE_PX``.

    Raises:
        ValueError: for a kind without such a contour.
    """
    if shape.kind == "polygon":
        return shape.points
    if shape.kind == "box":
        return _box_corners(shape)
    if shape.kind == "ellipse":
        centre, axes = shape.points
        count = vertex_count(axes.max())
        angles = np.arange(count) * (2 * np.pi / count)
        course = centre + axes * np.stack([np.sin(angles), np.cos(angles)], axis=1)
        return rotated(course, centre, shape.rotation)
    raise ValueError(
        f"only a polygon, box or ellipse has an outline. Received: kind={shape.kind!r}. "
        "Use labels.raster.shape_mask for its pixels."
    )


def vertex_count(radius: float) -> int:
    """Vertices that keep a polygon within ``TOLERANCE_PX`` of a circle of this radius."""
    # A chord over the angle 2a lies radius * (1 - cos a) inside its arc.
    if radius <= TOLERANCE_PX:
        return 8
    return max(8, math.ceil(math.pi / math.acos(1 - TOLERANCE_PX / radius)))


def signed_area(points: np.ndarray) -> float:
    """Area in a closed contour (N, 2) by the shoelace formula; its sign tells the direction."""
    row, col = (points - points[0]).T  # so that the edge that closes it adds nothing
    return float(np.dot(col[:-1], row[1:]) - np.dot(row[:-1], col[1:])) / 2


def area(points: np.ndarray) -> float:
    """Area in a closed contour (N, 2), in the square of its unit."""
    return abs(signed_area(points))


def is_drawn(shape: Shape, line_width: float | None) -> bool:
    return shape.has_area or (shape.kind in LINE_KINDS and line_width is not None)


def drawn_pixels(
    canvas: np.ndarray, numbered: Iterable[tuple[Shape, int]], line_width: float | None
) -> np.ndarray:
    height, width = canvas.shape
    # sorted is stable: of equal z_order, the later in the file is drawn later.
    for shape, number in sorted(numbered, key=lambda item: item[0].z_order):
        window = shape_window(shape, height, width, line_width=line_width)
        view(canvas, window)[window[2]] = number
    return canvas


def view(canvas: np.ndarray, window: Window) -> np.ndarray:
    row, col, pixels = window
    return canvas[row : row + pixels.shape[0], col : col + pixels.shape[1]]


def _require_finite(shape: Shape) -> None:
    # A comparison with NaN is false, so this refuses it too.
    within = np.all(np.abs(shape.points) < MAX_COORDINATE)
    if not (within and math.isfinite(shape.rotation)):
        raise ValueError(
            f"coordinates must be finite numbers. Received: a {shape.kind} of label "
            f"{shape.label!r} with points={shape.points.tolist()[:4]}, "
            f"rotation={shape.rotation}. Correct or remove it in the label file."
        )


def _pixels_in_frame(shape: Shape, frame: Frame, line_width: float | None) -> np.ndarray:
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
    return rotated(corners, shape.points.mean(axis=0), shape.rotation)


def rotated(points: np.ndarray, centre: np.ndarray, degrees: float) -> np.ndarray:
    """Points, (N, 2) or (2,), turned about a centre, clockwise on screen."""
    if degrees == 0:
        return points
    row, col = (points - centre).T
    cos, sin = _cos_sin(degrees)
    # Clockwise on screen, where rows grow downwards: +col turns towards +row.
    return centre + np.stack([row * cos + col * sin, col * cos - row * sin], axis=-1)


def _cos_sin(degrees: float) -> tuple[float, float]:
    # Quarter turns exactly: cos(pi / 2) is 6e-17, enough to move a corner off a pixel centre.
    quarters, rest = divmod(degrees, 90)
    if rest == 0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarters) % 4]
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def _ellipse_pixels(shape: Shape, frame: Frame) -> np.ndarray:
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


def _mask_pixels(shape: Shape, frame: Frame) -> np.ndarray:
    (first, start), (last, stop) = shape.points.astype(np.int64).tolist()
    top, left, bottom, right = frame
    mask = decode_runs(shape.runs, last - first, stop - start)
    return mask[top - first : bottom - first, left - start : right - start]


def _line_pixels(points: np.ndarray, frame: Frame, line_width: float) -> np.ndarray:
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


def _polygon_pixels(points: np.ndarray, frame: Frame) -> np.ndarray:
    """Scanline fill by the even-odd rule, half-open along rows and columns.

    An edge crosses the row of centres y when low <= y < high; a pixel is inside when an odd
    number of crossings lies at or left of its centre. Crossings are computed from the upper end
    in image coordinates whichever way the edge is drawn, so that two polygons sharing an edge
    get the same number to the last bit.
    """
    top, left, bottom, right = frame
    ends = np.roll(points, -1, axis=0)
    downwards = (points[:, 0] <= ends[:, 0])[:, None]
    low, high = np.where(downwards, points, ends), np.where(downwards, ends, points)
    first, last = (
        np.clip(np.ceil(end[:, 0] - 0.5), top, bottom).astype(np.int64) for end in (low, high)
    )
    count = np.maximum(last - first, 0)  # of rows that an edge crosses
    edge = np.repeat(np.arange(len(count)), count)
    # Number of the row within its edge: 0, 1, … count - 1, for each edge in turn.
    step = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    row = first[edge] + step
    low, high = low[edge], high[edge]
    share = (row + 0.5 - low[:, 0]) / (high[:, 0] - low[:, 0])
    crossing = low[:, 1] + share * (high[:, 1] - low[:, 1])
    width = right - left
    col = np.clip(np.ceil(crossing - 0.5) - left, 0, width).astype(np.int64)
    # uint8 wraps at 256, which keeps what is odd odd; column `width` takes what lies beyond.
    toggles = np.zeros((bottom - top, width + 1), dtype=np.uint8)
    np.add.at(toggles, (row - top, col), 1)
    return (np.cumsum(toggles[:, :width], axis=1, dtype=np.uint8) & 1).astype(bool)
