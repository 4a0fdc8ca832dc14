"""What separation by distance learns: class, distance to the outline, nearness of others."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage
from skimage.measure import label as connected_parts

from temzoo.core.types import LabelledImage
from temzoo.labels.shapes.raster import class_map, instance_map

FULL = 255  # a distance, or a nearness, of 1
# px; where two objects are so far from each other, or nearer, the pixels between them weigh more.
GAP = 4.0
REACH = 3 * GAP


def distance_maps(labels: LabelledImage, class_names: Sequence[str]) -> np.ndarray:
    """What is learnt of a whole micrograph.

    Args:
        labels: where objects overlap, the upper one has the pixels.
        class_names: of the classes 1, 2, …, at most 254.

    Returns:
        (H, W, 3) uint8: the class; ``FULL`` times the distance to the outline over the largest of
        that object (1 in its middle, 0 outside); ``FULL`` times the nearness of two objects.

    Raises:
        ValueError: a label is not among the classes.
    """
    objects = instance_map(labels, classes=class_names)
    parts = connected_parts(objects, background=0, connectivity=1).astype(np.int32)
    distance, nearness = _distance_and_nearness(parts, objects)
    maps = class_map(labels, class_names), np.rint(FULL * distance), np.rint(FULL * nearness)
    return np.stack(maps, axis=-1).astype(np.uint8)


def _distance_and_nearness(parts: np.ndarray, objects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both (H, W) float32, 0 to 1.

    The nearness is exp(-(d1 + d2)^2 / (2 GAP^2)) with the distances d1 and d2 to the two nearest
    objects (Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28, section 3); inside an object
    d1 is 0. What the image's edge cuts off is taken to go on: the edge is no outline.
    """
    distance = np.zeros(parts.shape, np.float32)
    first, second = np.full((2, *parts.shape), np.inf, np.float32)
    owner = np.zeros(parts.shape, np.int32)
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        inside = parts[box] == number
        own = _to_outline(inside, box, parts.shape)
        distance[box][inside] = own[inside] / own.max()
        _keep_two_nearest(first, second, owner, box, inside, int(objects[box][inside][0]))
    apart = np.minimum(first + second, 1e6)
    return distance, np.exp(-np.square(apart) / (2 * GAP**2)).astype(np.float32)


def _to_outline(inside: np.ndarray, box: tuple[slice, ...], shape: tuple[int, int]) -> np.ndarray:
    """Distance of a part's pixels to the nearest pixel outside it, px."""
    padded = np.pad(inside.astype(np.uint8), 1)
    for axis, (place, length) in enumerate(zip(box, shape, strict=True)):
        lines = np.moveaxis(padded, axis, 0)
        if place.start == 0:
            lines[0] = lines[1]
        if place.stop == length:
            lines[-1] = lines[-2]
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


def _keep_two_nearest(first, second, owner, box, inside, number: int) -> None:
    """Updates the distances to the two nearest objects around a part of object ``number``."""
    reach = int(REACH)
    rows, columns = (
        slice(max(0, place.start - reach), place.stop + reach) for place in box
    )  # beyond the image a slice ends by itself
    window = rows, columns
    around = np.ones(first[window].shape, np.uint8)
    around[
        box[0].start - rows.start : box[0].stop - rows.start,
        box[1].start - columns.start : box[1].stop - columns.start,
    ][inside] = 0
    to_part = cv2.distanceTransform(around, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    nearest, next_, of = first[window], second[window], owner[window]
    own = of == number  # another part of the object that is nearest already
    nearer = (to_part < nearest) & ~own
    next_[nearer] = nearest[nearer]
    between = ~nearer & ~own
    next_[between] = np.minimum(next_[between], to_part[between])
    closer = nearer | (own & (to_part < nearest))
    nearest[closer], of[nearer] = to_part[closer], number
