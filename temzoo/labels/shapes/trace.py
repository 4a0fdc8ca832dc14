"""Masks to polygons, for labellers that correct outlines rather than pixels.

The outline of a mask runs half way between the centres of its pixels and those of its neighbours,
so that by the rule of ``windows.py`` it encloses exactly its pixels. Then it is simplified after
Douglas & Peucker (Cartographica 10, 112, 1973, doi:10.3138/FM57-6770-U75U-7727). A hole is joined
to the outline by a slit of no width: filled by the even-odd rule, as CVAT and ``windows.py`` do, it
stays a hole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage import measure  # its parts are loaded when first asked for

from temzoo.core.types import Shape
from temzoo.labels.shapes.windows import area, shape_window

TOLERANCE_PX = 1.0  # how far a simplified outline may leave the pixels' own
LEAST_IOU = 0.95
FINER = (1.0, 0.5, 0.25, 0.0)  # parts of the tolerance that are tried until the IoU is reached
NEIGHBOURS = np.ones((3, 3), bool)  # pixels that touch at a corner are one part


def polygons(
    mask: np.ndarray, *, tolerance_px: float = TOLERANCE_PX, least_iou: float = LEAST_IOU
) -> list[np.ndarray]:
    """Polygons that enclose the pixels of a mask, (H, W) bool, one for each connected part.

    Args:
        tolerance_px: how far a polygon may leave the outline. Where the pixels it encloses would
            then agree less than ``least_iou`` with the part's, as with small ones, it is halved, at
            last 0.
        least_iou: intersection over union of the pixels, 0 to 1.

    Returns:
        each (N, 2) float64, N at least 3: (row, col) in the continuous convention, closed
        implicitly.

    Raises:
        ValueError: a tolerance below 0.
    """
    if not tolerance_px >= 0:
        raise ValueError(
            "tolerance_px must be 0 or more. Received: "
            f"tolerance_px={tolerance_px}. Use {TOLERANCE_PX:g}, or 0 for every corner."
        )
    numbered, _ = ndimage.label(mask, structure=NEIGHBOURS)
    return [
        _fitting(part.image, tolerance_px, least_iou) + np.array(part.bbox[:2])
        for part in measure.regionprops(numbered)
    ]


def rings(mask: np.ndarray) -> list[list[np.ndarray]]:
    """Of each connected part of a mask, (H, W) bool, the outline and those of its holes, exact.

    Returns:
        closed rings, each (N, 2) float64, (row, col); the outer one first.
    """
    numbered, _ = ndimage.label(mask, structure=NEIGHBOURS)
    return [
        [measure.approximate_polygon(ring, 0.0) + part.bbox[:2] for ring in _rings(part.image)]
        for part in measure.regionprops(numbered)
    ]


def _fitting(part: np.ndarray, tolerance_px: float, least_iou: float) -> np.ndarray:
    """The simplest polygon of the tolerances in turn that agrees well enough with the part."""
    outer, *holes = _rings(part)
    for share in FINER[:-1]:
        points = _simplified(outer, holes, share * tolerance_px)
        if points is not None and _iou(points, part) >= least_iou:
            return points
    return _simplified(outer, holes, 0.0)


def _rings(part: np.ndarray) -> list[np.ndarray]:
    """The outline of one connected part, then those of its holes: closed rings (N, 2)."""
    # Diagonal neighbours are joined, as they are in a part.
    found = measure.find_contours(np.pad(part, 1).astype(np.float64), 0.5, fully_connected="high")
    # A padded pixel (1, 1) is the part's (0, 0), whose centre lies at 0.5.
    return sorted((ring - 0.5 for ring in found), key=area, reverse=True)


def _simplified(
    outer: np.ndarray, holes: Sequence[np.ndarray], tolerance_px: float
) -> np.ndarray | None:
    """One open polygon of all rings; None where the outer one would have no area."""
    points, *inner = (
        measure.approximate_polygon(ring, tolerance_px)[:-1] for ring in (outer, *holes)
    )
    if len(points) < 3:
        return None
    for hole in inner:
        if len(hole) >= 3:
            points = joined(points, hole)
    return points


def joined(points: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """A polygon that goes to the nearest vertex of a ring, around it and back the same way.

    Filled by the even-odd rule, a ring inside is a hole, one outside another part.
    """
    from scipy.spatial.distance import cdist  # a tenth of a second, for holes alone

    distances = cdist(points, ring)
    near, start = np.unravel_index(distances.argmin(), distances.shape)
    around = np.concatenate([ring[start:], ring[: start + 1]])
    return np.concatenate([points[: near + 1], around, points[near:]])


def _iou(points: np.ndarray, part: np.ndarray) -> float:
    """Of the pixels that a polygon encloses and those of a part that fills its window."""
    # Simplification never leaves the hull of the outline, which lies within the window.
    row, col, inside = shape_window(Shape("polygon", "", points), *part.shape)
    shared = part[row : row + inside.shape[0], col : col + inside.shape[1]] & inside
    return shared.sum() / (part.sum() + inside.sum() - shared.sum())
