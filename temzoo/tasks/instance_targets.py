"""Labels as layers of objects, crops of them as boxes, classes and masks; sizes of anchors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from scipy import ndimage
from skimage.measure import label as connected_parts

from temzoo.core.types import Example, LabelledImage
from temzoo.labels.shapes import raster, windows

BASE = 256
MASK_SIDE = 56
# What is left of an object at a crop's edge is learnt as an object when it is at least this part
# of it. A thinner rim has no shape of its own, and next to nothing of it tells it from the edges
# of the ground; half would leave particles unlabelled that anybody sees.
VISIBLE = 0.25
LEAST_PX = 4
# Of the finest level's anchors, px, where the objects leave the choice: three of its cells.
NATURAL_ANCHOR = 12.0
# A level's anchors are as large as its base, and sqrt(2) times that.
LARGEST_SCALE = math.sqrt(2)
ANCHOR_QUANTILES = (0.05, 0.95)


def layers(labels: LabelledImage, class_names: Sequence[str]) -> np.ndarray:
    """The objects of an image, in as few layers as keep overlapping ones apart (greedily).

    Args:
        labels: the shapes; those of one group id are one object.
        class_names: of the classes 1, 2, …

    Returns:
        (H, W, L) int32, L at least 1; 0 is background, else ``number * 256 + class``. Number k is
        ``raster.instances(labels)[k - 1]``; one without a pixel in the image is missing.

    Raises:
        ValueError: a label is not among the classes, or there are more than 255 of them.
    """
    names = raster.foreground_classes(class_names)
    if len(names) >= BASE:
        raise ValueError(
            f"Instance segmentation tells at most {BASE - 1} classes apart. Received:"
            f" {len(names)} classes. Join some of them in the label file."
        )
    height, width = labels.height, labels.width
    drawn = [np.zeros((height, width), np.int32)]
    for number, one in enumerate(raster.instances(labels, classes=names), start=1):
        row, col, window = raster.instance_window(one, height, width)
        place = slice(row, row + window.shape[0]), slice(col, col + window.shape[1])
        free = next((layer for layer in drawn if not layer[place][window].any()), None)
        if free is None:
            free = np.zeros((height, width), np.int32)
            drawn.append(free)
        free[place][window] = number * BASE + 1 + names.index(one.label)
    return np.stack(drawn, axis=-1)


def measure(drawn: np.ndarray) -> np.ndarray:
    """Area and number of connected parts of each object of a whole micrograph.

    Args:
        drawn: (H, W, L) int32 layers.

    Returns:
        (N + 1, 2) int64; row k has the area of object number k in px, and its parts.
    """
    table = np.zeros((int(drawn.max(initial=0)) // BASE + 1, 2), np.int64)
    for layer in np.moveaxis(drawn, -1, 0):
        _, values, areas = _parts(layer)
        numbers = values // BASE
        np.add.at(table, numbers, np.stack([areas, np.ones_like(areas)], axis=1))
    return table


def encode(
    drawn: np.ndarray,
    *,
    whole: np.ndarray | None = None,
    magnification: float = 1.0,
) -> dict[str, np.ndarray]:
    """The objects of a crop, after it was cut, resized and augmented.

    A reflecting border shows an object twice, and a crop's edge may cut a bent one in two: each
    connected part (corners count) that is large enough, at least ``VISIBLE`` of the object's area
    and ``LEAST_PX`` pixels, is an object of its own, and what is too small becomes background. An
    object that had several parts in the micrograph, or whose parts are large enough only together,
    stays one.

    Args:
        drawn: (S, S, L) int32 layers of the crop.
        whole: ``measure`` of the micrograph's layers; None: the crop is all of it.
        magnification: of the crop, against the micrograph.

    Returns:
        ``"boxes"``: (G, 4) float32 y1, x1, y2, x2 px, tight: y2 is the last row + 1.
        ``"classes"``: (G,) int32, 1 and up.
        ``"masks"``: (G, 56, 56) uint8, 0 or 1, inside the box.
    """
    whole = measure(drawn) if whole is None else whole
    least_px = np.maximum(VISIBLE * whole[:, 0] * magnification**2, LEAST_PX)
    boxes, classes, masks = [], [], []
    for layer in np.moveaxis(drawn, -1, 0):
        parts, values, areas = _parts(layer)
        objects = _objects(values // BASE, areas, least_px, whole[:, 1] > 1)
        kinds = np.zeros(objects.max(initial=0) + 1, np.int32)
        kinds[objects] = values % BASE
        numbered = np.concatenate([[0], objects])[parts]
        for k, (rows, cols) in enumerate(ndimage.find_objects(numbered), start=1):
            boxes.append((rows.start, cols.start, rows.stop, cols.stop))
            classes.append(kinds[k])
            masks.append(mini_mask(numbered[rows, cols] == k))
    return {
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "classes": np.array(classes, np.int32),
        "masks": np.array(masks, np.uint8).reshape(-1, MASK_SIDE, MASK_SIDE),
    }


def _parts(layer: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(H, W) connected parts numbered from 1, the value of each, the area of each in px."""
    parts = connected_parts(layer, background=0, connectivity=2)
    inside = parts > 0
    inner = parts[inside]
    values = np.zeros(inner.max(initial=0) + 1, np.int32)
    values[inner] = layer[inside]
    return parts, values[1:], np.bincount(inner, minlength=len(values))[1:]


def _objects(
    numbers: np.ndarray, areas: np.ndarray, least_px: np.ndarray, in_parts: np.ndarray
) -> np.ndarray:
    """The object, from 1, that each part of a layer belongs to; 0: too small.

    Args:
        numbers, areas: (P,) of each part, the number it carries and its area, px.
        least_px, in_parts: by number, the least area, and whether the object had several parts
            from the start.
    """
    least_px = least_px[numbers]
    alone = (areas >= least_px) & ~in_parts[numbers]
    divided = np.isin(numbers, numbers[alone])
    first, of_number = np.unique(numbers, return_index=True, return_inverse=True)[1:]
    together = (np.bincount(of_number, areas, minlength=len(first))[of_number] >= least_px) & (
        ~divided
    )
    one = np.where(alone, np.arange(len(numbers)), first[of_number] if len(first) else 0)
    objects = np.zeros(len(numbers), np.int64)
    kept = alone | together
    objects[kept] = np.unique(one[kept], return_inverse=True)[1] + 1
    return objects


def mini_mask(mask: np.ndarray) -> np.ndarray:
    """A mask of any size, (h, w) bool, as (56, 56) uint8 of 0 and 1 over the same box."""
    side = (MASK_SIDE, MASK_SIDE)
    shrinks = mask.shape[0] > MASK_SIDE and mask.shape[1] > MASK_SIDE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    shares = cv2.resize(mask.astype(np.float32), side, interpolation=how)
    return (shares >= 0.5).astype(np.uint8)


def anchor_sizes(
    examples: Iterable[Example],
    *,
    magnification: tuple[float, float] = (1.0, 1.0),
    levels: int = 4,
    largest: float = math.inf,
) -> list[float]:
    """Base sizes of a detector's anchors, finest level first, from the objects to be learnt.

    Sizes are square roots of box areas. Each level serves the base and sqrt(2) times the base, so
    bases that double leave no gap. The ladder reaches from the 5 % quantile of the sizes to the
    95 % quantile; where it would reach further than that, it is moved as near as can be to 12 px
    at the finest level (three of its cells of 4 px): a small object is then found on a fine grid,
    a large one where the network sees all of it. Where doubling does not reach, the steps widen.

    Args:
        examples: the training examples.
        magnification: (low, high) of the crops.
        levels: of the pyramid.
        largest: an object larger than a crop is seen as large as the crop, px.

    Returns:
        ``levels`` sizes in px, each at least twice the one before.

    Raises:
        ValueError: no example has an object.
    """
    sizes = np.array([size for example in examples for size in _sizes_px(example.labels)])
    if not sizes.size:
        raise ValueError(
            "Anchor sizes are chosen from the training objects. Received: labels without one."
            " Check the labels, or build the model with anchor_sizes=(12, 24, 48, 96)."
        )
    seen = np.minimum(np.concatenate([sizes * m for m in magnification]), largest)
    low, high = np.quantile(seen, ANCHOR_QUANTILES)
    low = max(low, 1.0)
    step = max(2.0, (high / LARGEST_SCALE / low) ** (1 / max(1, levels - 1)))
    reach = LARGEST_SCALE * step ** (levels - 1)
    base = min(max(NATURAL_ANCHOR, high / reach), low)
    return [float(base * step**level) for level in range(levels)]


def _sizes_px(labels: LabelledImage) -> list[float]:
    """Square root of the box area of each object, as far as it lies in the image."""
    sizes = []
    edges = np.array([labels.height, labels.width] * 2)
    for one in raster.instances(labels):
        extents = [windows.shape_extent(part) for part in one.shapes]
        extents = np.clip([extent for extent in extents if extent is not None], 0, edges)
        height, width = extents[:, 2:].max(axis=0) - extents[:, :2].min(axis=0)
        if height > 0 and width > 0:
            sizes.append(math.sqrt(height * width))
    return sizes
