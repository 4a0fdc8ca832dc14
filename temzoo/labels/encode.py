"""Labels as networks want them: one-hot (U-Net), boxes (YOLO), boxes + labels + masks (Mask R-CNN).

All three draw with ``raster``: what a class, an object and a pixel of it is, stands there. In all
of them a leading "background" among the classes is accepted and ignored, a label that is not
among the classes is an error unless it is in ``ignore``, kinds without area are left out, and
polylines count only with a ``line_width``.

Objects without a single pixel in the image (outside it, or too small to hold a pixel's centre)
are dropped from the boxes and masks. Objects that others cover keep their whole box and mask;
only the one-hot classes show who lies on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from temzoo.core.types import LabelledImage
from temzoo.labels.shapes import raster, windows


def one_hot(
    image: LabelledImage,
    classes: Sequence[str],
    *,
    dtype: npt.DTypeLike = np.uint8,
    **drawing: Any,
) -> np.ndarray:
    """The class of each pixel, one-hot, as a U-Net with softmax is trained on.

    Args:
        classes, drawing: as in ``raster.class_map``.

    Returns:
        (H, W, 1 + K), 0 or 1; channel 0 is background, channel k is ``classes[k - 1]``. Exactly
        one channel of each pixel is 1; higher ``z_order`` wins.

    Raises:
        ValueError: when a label is not in ``classes``.
    """
    names = raster.foreground_classes(classes)
    pixels = raster.class_map(image, names, **drawing)
    return (pixels[..., None] == np.arange(1 + len(names))).astype(dtype)


def yolo(
    image: LabelledImage,
    classes: Sequence[str],
    *,
    line_width: float | None = None,
    **drawing: Any,
) -> np.ndarray:
    """One row ``[class x y w h]`` for each object, as the lines of a YOLO label file.

    The box is the extent of the object's outline, to a fraction of a pixel (that of a rotated
    shape is the upright rectangle around it). For a mask, and where the outline leaves the image,
    it is the rectangle around the pixels, so that it fits what can be seen.

    Args:
        classes, line_width, drawing: as in ``raster.class_map``.

    Returns:
        (N, 5) float32: class 0..K - 1 (YOLO has no background), centre x and y, width and height;
        x and w as shares of the image's width, y and h of its height, all within [0, 1].

    Raises:
        ValueError: when a label is not in ``classes``.
    """
    names = raster.foreground_classes(classes)
    rows = []
    for instance in raster.instances(image, classes=names, line_width=line_width, **drawing):
        box = _box_in_image(instance, image.height, image.width, line_width)
        if box is not None:
            y1, x1, y2, x2 = box / (image.height, image.width, image.height, image.width)
            number = names.index(instance.label)
            rows.append([number, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
    return np.array(rows, dtype=np.float32).reshape(-1, 5)


def boxes_labels_masks(
    image: LabelledImage, classes: Sequence[str], **drawing: Any
) -> dict[str, np.ndarray]:
    """The objects of an image as a Mask R-CNN is trained on.

    Args:
        classes, drawing: as in ``raster.class_map``.

    Returns:
        ``"boxes"``: (N, 4) float32, [x1 y1 x2 y2] in pixels, tight around the mask: x2 and y2 are
        the far edges of the last pixels, so that x2 - x1 is the width in pixels.
        ``"labels"``: (N,) int32, 1..K; 0 is kept for background.
        ``"masks"``: (N, H, W) uint8, 0 or 1, whole also where another object lies on top.

    Raises:
        ValueError: when a label is not in ``classes``, or the masks would exceed 4 GB.
    """
    names = raster.foreground_classes(classes)
    masks = raster.instance_masks(image, classes=names, **drawing)
    seen = masks.any(axis=(1, 2))
    found = raster.instances(image, classes=names, **drawing)
    labels = [1 + names.index(instance.label) for instance in found]
    masks = masks if seen.all() else masks[seen]
    boxes = [_pixel_box(mask)[[1, 0, 3, 2]] for mask in masks]
    return {
        "boxes": np.array(boxes, dtype=np.float32).reshape(-1, 4),
        "labels": np.array(labels, dtype=np.int32)[seen],
        "masks": masks.view(np.uint8),
    }


def _pixel_box(mask: np.ndarray) -> np.ndarray:
    """(4,) y1, x1, y2, x2 around the pixels of a mask that has some."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([rows[0], cols[0], rows[-1] + 1, cols[-1] + 1], dtype=np.float64)


def _box_in_image(
    instance: raster.Instance, height: int, width: int, line_width: float | None
) -> np.ndarray | None:
    """(4,) y1, x1, y2, x2 of what lies in the image; None when no pixel does."""
    row, col, window = raster.instance_window(instance, height, width, line_width=line_width)
    if not window.any():
        return None
    extents = [windows.shape_extent(part, line_width=line_width) for part in instance.shapes]
    extents = np.array([extent for extent in extents if extent is not None])
    box = np.concatenate([extents[:, :2].min(axis=0), extents[:, 2:].max(axis=0)])
    inside = box.min() >= 0 and box[2] <= height and box[3] <= width
    # The bounding box of a mask may be wider than its pixels.
    outlined = all(part.kind != "mask" for part in instance.shapes)
    return box if inside and outlined else _pixel_box(window) + np.array([row, col, row, col])
