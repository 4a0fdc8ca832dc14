"""What a YOLO-type detector learns: anchor points, boxes from bins, their assignment to objects.

Boxes are (…, 4) float32 ``y1, x1, y2, x2`` in pixels; a box without area is padding. Everything
stays in float32 under mixed precision.

The assignment is that of TOOD (Feng et al. 2021, arXiv:2108.07755), and differs from keras-cv's
label encoder, which leaves a quarter of the objects below 12 px unlearnt: an object's nearest
points count as inside it; overlap is the plain IoU, since the complete IoU is negative for boxes
apart, and an even power of it positive; and every object keeps a point of its own, whose target is
``LEAST_TARGET`` at least, so that what overlaps nothing yet is learnt as well.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from temzoo.models import boxes

STRIDES = (8, 16, 32)
BINS = 16  # distances of an edge from its point: 0 to 15 strides
# Exponents of score and overlap in the alignment, and the points that an object may have (TOOD).
ALPHA, BETA, MOST_POINTS = 0.5, 6.0, 10
LEAST_IOU = 0.01  # added, so that points that overlap nothing are ranked by their score
LEAST_TARGET = 0.05


class Points(NamedTuple):
    """Anchor points, level by level, row by row.

    Attributes:
        centres: (A, 2) float32 y, x, px.
        strides: (A, 1) float32, px.
    """

    centres: np.ndarray
    strides: np.ndarray


class Targets(NamedTuple):
    """What the points are to say.

    Attributes:
        objects: (B, A) int32, the object of a point.
        scores: (B, A) float32, from 0 to 1; 0: of none.
    """

    objects: tf.Tensor
    scores: tf.Tensor


def points(size: int) -> Points:
    """The anchor points of an image of this side: the centres of all levels' cells."""
    centres, strides = [], []
    for stride in STRIDES:
        along = (np.arange(size // stride) + 0.5) * stride
        grid = np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(-1, 2)
        centres.append(grid)
        strides.append(np.full((len(grid), 1), stride))
    return Points(*(np.concatenate(part).astype(np.float32) for part in (centres, strides)))


def distances(bins):
    """Distances of the four edges from their point, in strides: (…, 4 * BINS) to (…, 4).

    They are the means of the distributions over the bins (Li et al. 2020, arXiv:2006.04388).
    """
    shape = tf.concat([tf.shape(bins)[:-1], [4, BINS]], axis=0)
    shares = tf.nn.softmax(tf.reshape(bins, shape))
    return tf.linalg.matvec(shares, tf.range(BINS, dtype=tf.float32))


def decode(bins, at: Points):
    """Boxes in px: (B, A, 4 * BINS) to (B, A, 4)."""
    away = distances(bins) * at.strides
    return tf.concat([at.centres - away[..., :2], at.centres + away[..., 2:]], axis=-1)


def assign(scores, found, objects, classes, at: Points) -> Targets:
    """Which points are to find which objects, and how sure they should be.

    Args:
        scores: (B, A, C) of the points, by class.
        found: (B, A, 4) their boxes.
        objects: (B, G, 4), padded.
        classes: (B, G) int32, from 0; of padding any.
    """
    real = boxes.area(objects) > 0  # (B, G)
    overlap = boxes.iou(objects, found)  # (B, G, A)
    of_class = tf.gather(tf.transpose(scores, (0, 2, 1)), tf.maximum(classes, 0), batch_dims=1)
    metric = of_class**ALPHA * (overlap + LEAST_IOU) ** BETA
    metric = tf.where(_near(objects, at) & real[..., None], metric, 0.0)
    own = _own_points(tf.stop_gradient(metric))
    least = tf.math.top_k(metric, MOST_POINTS).values[..., -1:]
    candidate = (metric > 0) & (metric >= least)
    # An own point outranks all else; of other points, each takes the object it overlaps most.
    rank = tf.where(own > 0, 2.0, tf.where(candidate, overlap + LEAST_IOU, 0.0))
    which = tf.argmax(rank, axis=1, output_type=tf.int32)  # (B, A)
    chosen = tf.equal(tf.range(tf.shape(objects)[1])[None, :, None], which[:, None]) & (rank > 0)
    metric, overlap = tf.where(chosen, metric, 0.0), tf.where(chosen, overlap, 0.0)
    best = tf.reduce_max(metric, axis=-1, keepdims=True)
    reached = tf.maximum(tf.reduce_max(overlap, axis=-1, keepdims=True), LEAST_TARGET)
    target = tf.reduce_max(tf.math.divide_no_nan(metric, best) * reached, axis=1)
    target = tf.maximum(target, LEAST_TARGET * tf.reduce_max(own * tf.cast(chosen, tf.float32), 1))
    return Targets(which, tf.stop_gradient(target))


def _near(objects, at: Points):
    """Whether a point lies in an object, or is one of the finest level's four around its centre."""
    y, x = at.centres[:, 0], at.centres[:, 1]
    inside = (
        (objects[..., 0, None] < y)
        & (y < objects[..., 2, None])
        & (objects[..., 1, None] < x)
        & (x < objects[..., 3, None])
    )
    middle = (objects[..., :2] + objects[..., 2:]) / 2
    apart = tf.maximum(tf.abs(middle[..., 0, None] - y), tf.abs(middle[..., 1, None] - x))
    return inside | ((apart <= STRIDES[0]) & (at.strides[:, 0] == STRIDES[0]))


def _own_points(metric):
    """The best point of each object, one-hot (B, G, A); of two with one, the later takes another.

    Who gives way may meet a third, so this goes on until all are parted. Padding has none, nor has
    an object whose points are all taken by others.

    Args:
        metric: (B, G, A), above 0 where a point may be an object's.
    """

    def best(metric):
        first = tf.one_hot(tf.argmax(metric, axis=-1), metric.shape[-1])
        return first * tf.cast(metric > 0, tf.float32)

    def looked_at(metric):
        """The metric, and the best points that an earlier object has too."""
        own = best(metric)
        return metric, (own > 0) & (tf.cumsum(own, axis=1, exclusive=True) > 0)

    metric, _ = tf.while_loop(
        lambda _, taken: tf.reduce_any(taken),
        lambda metric, taken: looked_at(tf.where(taken, 0.0, metric)),
        looked_at(metric),
    )
    return best(metric)


def distribution_focal_loss(bins, wanted):
    """Cross-entropy of the two bins beside each distance, weighted by how near they are.

    Li et al. 2020, arXiv:2006.04388, equation 6.

    Args:
        bins: (P, 4 * BINS) logits.
        wanted: (P, 4) distances in strides; beyond the last bin they count as that.

    Returns:
        (P,) mean over the four edges.
    """
    wanted = tf.clip_by_value(wanted, 0.0, BINS - 1.0)
    low = tf.minimum(tf.floor(wanted), BINS - 2.0)
    share = (wanted - low)[..., None]
    lower = tf.one_hot(tf.cast(low, tf.int32), BINS)
    upper = tf.one_hot(tf.cast(low, tf.int32) + 1, BINS)
    target = (1 - share) * lower + share * upper
    logits = tf.reshape(bins, (-1, 4, BINS))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits), axis=-1)


def wanted_distances(objects, at: Points, rows):
    """Distances in strides of objects' edges (P, 4) from the points at rows (P, 2) of (B, A)."""
    centres, strides = (tf.gather(part, rows[:, 1]) for part in at)
    return tf.concat([centres - objects[:, :2], objects[:, 2:] - centres], axis=-1) / strides
