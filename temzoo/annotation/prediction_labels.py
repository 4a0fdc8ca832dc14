"""A prediction as labels, to be corrected by hand in CVAT and trained on again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from temzoo.core.hints import require_choice
from temzoo.core.types import NO_ATTRIBUTES, Detection, LabelledImage, Prediction, Shape
from temzoo.evaluation.object_overlaps import map_objects
from temzoo.labels.shapes.run_lengths import mask_geometry
from temzoo.labels.shapes.trace import LEAST_IOU, TOLERANCE_PX, polygons

SHAPES = ("polygons", "masks")
# A larger box would need gigabytes to be traced; the object becomes a mask.
LARGEST_TRACED = 4096**2
# 1 - IoU is a metric: two changes that each spend half of what may be lost stay within all of it.
HALF_IOU = (1 + LEAST_IOU) / 2


def labels_of(
    prediction: Prediction,
    *,
    name: str | None = None,
    shapes: str = "polygons",
    error_px: float = TOLERANCE_PX,
    may_be_empty: bool = False,
) -> LabelledImage:
    """The objects of a prediction as shapes with the source "auto", which CVAT takes as labels.

    A detector's objects are whole, also under others, the surest last, since CVAT draws it on top.
    Several parts of one object share a ``group_id``. Objects of a model that finds boxes are boxes,
    whatever ``shapes`` says. A score becomes the attribute "score".

    Args:
        prediction: with instances.
        name: of the image as CVAT knows it (``lot3/a.png``); None: the prediction's.
        shapes: "polygons", or "masks", which are exact. A polygon of CVAT has no holes, so an
            object with a hole of more pixels than a disc of the radius ``error_px`` is a mask in
            any case; smaller holes are filled.
        error_px: how far a polygon may leave the outline of the pixels. Small objects get less:
            each polygon holds the pixels of its part with an IoU of at least 0.95.
        may_be_empty: classes without any instance are no mistake: all objects were too small.

    Raises:
        ValueError: an option is out of range, or the prediction has classes but no instances.

    Example:
        >>> temzoo.labels.write("prelabels.xml", [labels_of(predict(model, "a.png"))], to="cvat")
    """
    require_choice("shapes", shapes, SHAPES)
    if not 0 <= error_px < np.inf:
        raise ValueError(
            f"error_px must be 0 or more pixels. Received: error_px={error_px}. Use "
            f"{TOLERANCE_PX:g}."
        )
    drawn: list[Shape] = []
    groups, names = 0, prediction.class_names
    for one in _objects(prediction, may_be_empty):
        known = 1 <= one.class_id <= len(names)
        tags: dict[str, Any] = {
            "label": names[one.class_id - 1] if known else str(one.class_id),
            "source": "auto",
            "attributes": NO_ATTRIBUTES if np.isnan(one.score) else {"score": f"{one.score:.3f}"},
        }
        if prediction.box_shaped:
            corners = np.add([[0, 0], one.mask.shape], [one.top, one.left]).astype(np.float64)
            drawn.append(Shape("box", points=corners, **tags))
            continue
        parts = _outlines(one, error_px) if shapes == "polygons" else []
        groups += len(parts) > 1
        group_id = groups if len(parts) > 1 else 0
        drawn += [Shape("polygon", points=part, group_id=group_id, **tags) for part in parts]
        if not parts:
            points, runs = mask_geometry(one.mask, one.top, one.left)
            drawn.append(Shape("mask", points=points, runs=runs, **tags))
    height, width = prediction.classes.shape
    image = prediction.name if name is None else name
    return LabelledImage(image, width, height, tuple(drawn), tuple(prediction.class_names))


def _objects(prediction: Prediction, may_be_empty: bool) -> Sequence[Detection]:
    """The objects in the order in which they are drawn; their scores are NaN where unknown."""
    if prediction.detections is not None:
        # As in the maps, the lowest score comes first, so that the highest lies on top.
        return sorted(prediction.detections, key=lambda found: -found.score)[::-1]
    scores = prediction.scores
    if scores is None:
        scores = np.full(prediction.instances.max(initial=0), np.nan)
    found = map_objects(prediction.instances, prediction.classes, scores)
    if not (found or may_be_empty) and prediction.classes.any():
        raise ValueError(
            "a prediction must have instances to become labels. Received: classes alone. Predict "
            'with instances="components".'
        )
    return found


def _outlines(one: Detection, error_px: float) -> list[np.ndarray]:
    """The polygons of an object's parts, (N, 2) each; none where only a mask can hold it."""
    mask = None if one.mask.size > LARGEST_TRACED else _without_small_holes(one.mask, error_px)
    if mask is None:
        return []
    least = LEAST_IOU if mask is one.mask else HALF_IOU
    parts = polygons(mask, tolerance_px=error_px, least_iou=least)
    return [part + np.array([one.top, one.left]) for part in parts]


def _without_small_holes(mask: np.ndarray, error_px: float) -> np.ndarray | None:
    """The mask with its holes filled; None where one is larger than the error's disc.

    A hole is what no step along rows or columns leads out of.
    """
    full = ndimage.binary_fill_holes(mask)
    holes, count = ndimage.label(full & ~mask)
    if count == 0:
        return mask
    largest = np.bincount(holes.ravel())[1:].max()
    iou = np.count_nonzero(mask) / np.count_nonzero(full)
    return full if largest <= np.pi * error_px**2 and iou >= HALF_IOU else None
