"""Polygons that stand for boxes and ellipses, for formats that know polygons only."""

from __future__ import annotations

import math

import numpy as np

from temzoo.core.types import Shape

# How far, in pixels, a polygon may lie inside its ellipse.
TOLERANCE_PX = 0.02


def outline(shape: Shape) -> np.ndarray:
    """The contour of a polygon, box or ellipse, after its rotation.

    Args:
        shape: of one of these kinds.

    Returns:
        (N, 2) float64 vertices, (row, col), closed implicitly. A box gives its four corners, an
        ellipse a polygon that leaves it by at most ``TOLERANCE_PX``.

    Raises:
        ValueError: for a kind without such a contour.

    Example:
        >>> outline(Shape("box", "particle", np.array([[0.0, 0.0], [2.0, 3.0]]))).tolist()
        [[0.0, 0.0], [0.0, 3.0], [2.0, 3.0], [2.0, 0.0]]
    """
    if shape.kind == "polygon":
        return shape.points
    if shape.kind == "box":
        (top, left), (bottom, right) = shape.points
        corners = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
        return _rotated(corners, shape.points.mean(axis=0), shape.rotation)
    if shape.kind == "ellipse":
        centre, axes = shape.points
        angles = np.arange(vertex_count(axes.max())) * 2 * np.pi
        angles = angles / len(angles)
        course = centre + axes * np.stack([np.sin(angles), np.cos(angles)], axis=1)
        return _rotated(course, centre, shape.rotation)
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


def area(points: np.ndarray) -> float:
    """Area inside a closed contour (N, 2), in the square of its unit; the shoelace formula."""
    row, col = (points - points[0]).T
    return abs(float(np.dot(col, np.roll(row, -1)) - np.dot(row, np.roll(col, -1)))) / 2


def _rotated(points: np.ndarray, centre: np.ndarray, degrees: float) -> np.ndarray:
    if degrees == 0:
        return points
    row, col = (points - centre).T
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # Clockwise on screen, where rows grow downwards: +col turns towards +row.
    return centre + np.stack([row * cos + col * sin, col * cos - row * sin], axis=1)
