"""Regions of interest: features cut from a pyramid, and masks cut from objects.

ROIAlign of He et al. 2017, arXiv:1703.06870, with the half-cell correction: a cell of stride s has
its centre at (i + 1/2) s, and bins are sampled at their own points, never rounded to cells.

The samples of all bins lie on one regular grid, so TensorFlow's bilinear ``crop_and_resize`` takes
them (its first and last sample are at the corners it is given), and bins are means of them.
"""

from __future__ import annotations

import tensorflow as tf

# Samples along a bin's side.
SAMPLES = 2
# A region of this side, px, is cut from the first level, twice that from the second, and so on.
FINEST = 28.0


def levels(boxes, strides: tuple[int, ...]):
    """The pyramid level to cut each box from: (N, 4) px to (N,) int32, 0 the finest."""
    sides = tf.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    octave = tf.math.log(tf.sqrt(sides[:, 0] * sides[:, 1]) / FINEST) / tf.math.log(2.0)
    return tf.clip_by_value(tf.cast(tf.floor(octave), tf.int32), 0, len(strides) - 1)


def align(features, boxes, images, *, bins: int, strides: tuple[int, ...]):
    """Cuts boxes from the pyramid.

    Args:
        features: a (B, H / stride, W / stride, C) map per level, finest first.
        boxes: (N, 4) px; N may be known at run time only, and 0.
        images: (N,) int32, which image of the batch each box is of.
        bins: along a side of the output.
        strides: of the levels, px.

    Returns:
        (N, bins, bins, C) float32.
    """
    level = levels(boxes, strides)
    rows, parts = [], []
    for number, (feature, stride) in enumerate(zip(features, strides, strict=True)):
        here = tf.where(level == number)[:, 0]
        rows.append(here)
        parts.append(
            _crop(feature, tf.gather(boxes, here) / stride, tf.gather(images, here), bins * SAMPLES)
        )
    order = tf.argsort(tf.concat(rows, axis=0))
    samples = tf.gather(tf.concat(parts, axis=0), order)
    return tf.nn.avg_pool2d(samples, SAMPLES, SAMPLES, "VALID")


def _crop(feature, boxes, images, samples: int):
    """Bilinear samples at the middles of a box's ``samples`` x ``samples`` parts.

    Args:
        boxes: (N, 4) in cells.
    """
    # The border is repeated, as half a cell of the image lies beyond the outermost centres.
    padded = tf.pad(tf.cast(feature, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    return _sample(padded, boxes, images, samples)


def _sample(padded, boxes, images, samples: int):
    """``_crop`` of maps with a border of one cell around them: (N, samples, samples, C)."""
    low, high = boxes[:, :2], boxes[:, 2:]
    half = (high - low) / (2 * samples)
    # Cell i of the bordered map has its centre at i - 1/2; the corners are given as shares of the
    # way between the first and the last centre.
    last = tf.cast(tf.shape(padded)[1:3] - 1, tf.float32)
    corners = tf.concat([(low + half + 0.5) / last, (high - half + 0.5) / last], axis=1)
    return tf.image.crop_and_resize(padded, corners, images, (samples, samples))


def mask_targets(masks, objects, regions, *, size: int):
    """What the mask head is to say of regions: each object's mask, seen from its region.

    Args:
        masks: (N, M, M) uint8 0 or 1, the object's mask inside its own box.
        objects: (N, 4) the object's box, px.
        regions: (N, 4) the region's box, px.
        size: of the target.

    Returns:
        (N, size, size) float32 in [0, 1]: the share of a pixel that the object covers, 0 outside
        its box.
    """
    grid = tf.cast(tf.shape(masks)[1], tf.float32)
    origin, sides = objects[:, :2], objects[:, 2:] - objects[:, :2]
    inside = (tf.reshape(regions, (-1, 2, 2)) - origin[:, None]) / sides[:, None] * grid
    padded = tf.pad(tf.cast(masks, tf.float32), [[0, 0], [1, 1], [1, 1]])[..., None]
    numbers = tf.range(tf.shape(masks)[0])
    return _sample(padded, tf.reshape(inside, (-1, 4)), numbers, size)[..., 0]
