"""Shapes of one group that are not its parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.shapes.windows import shape_extent

# Boxes around pixels and boxes around outlines differ by so much, px.
NEAR_PX = 1.0


def without_own_boxes(image: LabelledImage) -> tuple[LabelledImage, int]:
    """The image without boxes that only bound the rest of their group; and how many those were.

    Where a COCO file comes into CVAT by way of datumaro, an object is a group of its outline and
    its bounding box, and would be filled as the box.
    """
    groups: dict[tuple[int, str], list[Shape]] = {}
    for shape in image.shapes:
        if shape.group_id > 0 and shape.has_area:
            groups.setdefault((shape.group_id, shape.label), []).append(shape)
    extra = {id(box) for parts in groups.values() for box in _bounding(parts)}
    if not extra:
        return image, 0
    kept = tuple(shape for shape in image.shapes if id(shape) not in extra)
    return replace(image, shapes=kept), len(image.shapes) - len(kept)


def _bounding(parts: list[Shape]) -> list[Shape]:
    boxes = [part for part in parts if part.kind == "box" and part.rotation == 0]
    rest = [shape_extent(part) for part in parts if part.kind != "box"]
    rest = np.array([extent for extent in rest if extent is not None])
    if not boxes or not len(rest):
        return []
    around = [*rest[:, :2].min(axis=0), *rest[:, 2:].max(axis=0)]
    return [box for box in boxes if np.abs(np.subtract(_edges(box), around)).max() <= NEAR_PX]


def _edges(box: Shape) -> list[float]:
    return [*box.points.min(axis=0), *box.points.max(axis=0)]
