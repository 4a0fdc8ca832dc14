"""Boxes: coding, overlap, matching to objects, and sampling for the losses.

Boxes are (…, 4) float32 ``y1, x1, y2, x2`` in pixels. A box without area is padding: no object.
Nothing here is trained, and everything stays in float32 under mixed precision.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

# Deltas are divided by these, so that all four come out at about unit scale (Ren et al. 2015).
VARIANCES = (0.1, 0.1, 0.2, 0.2)
# A box may not grow or shrink by more than this factor at once; exp would overflow.
LARGEST_STEP = 62.5
# Anchors compared with the objects at a time: some 8192 x 50 overlaps, whatever the image's size.
CHUNK = 8192
# Times that objects with one best anchor are parted; more than two such are rare.
ROUNDS = 3


class Grid(NamedTuple):
    """How anchors lie in memory: level by level, row by row, cell by cell, shape by shape.

    Attributes:
        size: side of the image, px.
        strides: side of a cell, px, level by level.
        shapes: anchors in a cell.
    """

    size: int
    strides: tuple[int, ...]
    shapes: int

    @property
    def counts(self) -> tuple[int, ...]:
        """Anchors of each level."""
        return tuple((self.size // stride) ** 2 * self.shapes for stride in self.strides)


class Matches(NamedTuple):
    """What boxes are to be taught.

    Attributes:
        positive, negative: (B, N) bool; a box that is neither is left out.
        objects: (B, N) int32, the object that a positive box is to find.
    """

    positive: tf.Tensor
    negative: tf.Tensor
    objects: tf.Tensor


class Sample(NamedTuple):
    """The boxes that a loss sees, positive ones first.

    Attributes:
        indices: (B, S) int32.
        positive: (B, S) bool.
        chosen: (B, S) bool; False where there were not enough boxes.
    """

    indices: tf.Tensor
    positive: tf.Tensor
    chosen: tf.Tensor


def area(boxes):
    """(…, 4) to (…), px²; 0 for a box whose corners are swapped or one."""
    sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def clip(boxes, size: float):
    """Cuts boxes to an image of this side."""
    return tf.clip_by_value(boxes, 0.0, float(size))


def iou(boxes, others):
    """Overlap of each with each: (…, N, 4), (…, M, 4) to (…, N, M)."""
    lows = [tf.maximum(boxes[..., :, None, i], others[..., None, :, i]) for i in (0, 1)]
    highs = [tf.minimum(boxes[..., :, None, i], others[..., None, :, i]) for i in (2, 3)]
    height, width = (tf.nn.relu(high - low) for low, high in zip(lows, highs, strict=True))
    common = height * width
    both = area(boxes)[..., :, None] + area(others)[..., None, :]
    return tf.math.divide_no_nan(common, both - common)


def encode(boxes, anchors):
    """Deltas that take anchors to boxes: shift of the centre and log of the size, scaled."""
    anchor_sides = anchors[..., 2:] - anchors[..., :2]
    sides = boxes[..., 2:] - boxes[..., :2]
    shift = (boxes[..., :2] + boxes[..., 2:] - anchors[..., :2] - anchors[..., 2:]) / 2
    deltas = tf.concat([shift / anchor_sides, tf.math.log(sides / anchor_sides)], axis=-1)
    return deltas / tf.constant(VARIANCES)


def decode(deltas, anchors):
    """The inverse of ``encode``; the size changes by at most ``LARGEST_STEP``."""
    deltas = deltas * tf.constant(VARIANCES)
    anchor_sides = anchors[..., 2:] - anchors[..., :2]
    centres = (anchors[..., :2] + anchors[..., 2:]) / 2 + deltas[..., :2] * anchor_sides
    limit = tf.math.log(LARGEST_STEP)
    sides = anchor_sides * tf.exp(tf.clip_by_value(deltas[..., 2:], -limit, limit))
    return tf.concat([centres - sides / 2, centres + sides / 2], axis=-1)


def match_anchors(anchors, objects, grid: Grid, *, positive: float, negative: float) -> Matches:
    """Which anchors are to find which objects.

    An anchor is positive from an IoU of ``positive`` on with its best object, negative below
    ``negative`` with all. Besides, every object keeps its best anchor, however little they
    overlap: particles smaller than the least anchor would never be learnt otherwise.

    Args:
        anchors: (A, 4), as ``grid`` orders them.
        objects: (B, G, 4), padded.
    """
    padding = -anchors.shape[0] % CHUNK
    chunks = tf.reshape(tf.pad(anchors, [[0, padding], [0, 0]]), (-1, CHUNK, 4))

    def of_image(objects):
        best, which = tf.map_fn(
            lambda chunk: _best_objects(chunk, objects, negative),
            chunks,
            fn_output_signature=(tf.float32, tf.int32),
        )
        best = tf.reshape(best, [-1])[: anchors.shape[0]]
        which = tf.reshape(which, [-1])[: anchors.shape[0]]
        kept = tf.cast(tf.where(area(objects) > 0)[:, 0], tf.int32)
        forced = best_anchors(anchors, tf.gather(objects, kept), grid)[:, None]
        best = tf.tensor_scatter_nd_update(best, forced, tf.ones_like(kept, tf.float32))
        return best, tf.tensor_scatter_nd_update(which, forced, kept)

    signature = (tf.float32, tf.int32)
    best, which = tf.map_fn(of_image, objects, fn_output_signature=signature)
    return Matches(best >= positive, best < negative, which)


def _best_objects(chunk, objects, negative: float):
    """Greatest IoU of each anchor and the object it is with: (CHUNK, 4), (G, 4) to (CHUNK,) twice.

    Compared are the objects in the chunk's rows whose size lets them reach ``negative``; an anchor
    without one gets 0.
    """
    sizes, anchor_sizes = area(objects), area(chunk)
    near = (objects[:, 2] > tf.reduce_min(chunk[:, 0])) & (
        objects[:, 0] < tf.reduce_max(chunk[:, 2])
    )
    similar = (sizes > negative * tf.reduce_min(anchor_sizes)) & (
        negative * sizes < tf.reduce_max(anchor_sizes)
    )
    # A box without area, last, keeps the table from being empty.
    candidates = tf.concat([tf.where(near & similar)[:, 0], [0]], axis=0)
    boxes = tf.pad(tf.gather(objects, candidates[:-1]), [[0, 1], [0, 0]])
    table = iou(chunk, boxes)
    which = tf.gather(candidates, tf.argmax(table, axis=1))
    return tf.reduce_max(table, axis=1), tf.cast(which, tf.int32)


def best_anchors(anchors, objects, grid: Grid):
    """Index of the anchor with the greatest IoU: (A, 4), (G, 4) to (G,) int32, each its own.

    For given sides the overlap falls with the distance of the centres, along either axis, so the
    best anchor of a level and shape is that of the cell in which the object's centre lies: a
    handful of candidates instead of all. Of two objects with one best anchor, the later takes its
    next best.
    """
    centres = (objects[:, :2] + objects[:, 2:]) / 2
    candidates, start = [], 0
    for stride, count in zip(grid.strides, grid.counts, strict=True):
        cells = grid.size // stride
        cell = tf.clip_by_value(tf.cast(centres / stride, tf.int32), 0, cells - 1)
        first = start + (cell[:, 0] * cells + cell[:, 1]) * grid.shapes
        candidates.append(first[:, None] + tf.range(grid.shapes)[None])
        start += count
    candidates = tf.concat(candidates, axis=1)  # (G, levels * shapes)
    overlap = iou(objects[:, None], tf.gather(anchors, candidates))[:, 0]
    for _ in range(ROUNDS):
        best = tf.argmax(overlap, axis=1)
        taken = _taken(tf.gather(candidates, best, batch_dims=1))
        spoilt = tf.one_hot(best, overlap.shape[1], dtype=tf.float32) * taken[:, None]
        overlap -= 2.0 * spoilt
    return tf.gather(candidates, tf.argmax(overlap, axis=1), batch_dims=1)


def _taken(indices):
    """1 where an earlier row has the same index, else 0: (G,) to (G,) float32."""
    same = tf.cast(indices[:, None] == indices[None, :], tf.float32)
    earlier = tf.reduce_sum(tf.linalg.band_part(same, -1, 0), axis=1) - 1.0
    return tf.minimum(earlier, 1.0)


def match_regions(regions, objects, *, positive: float) -> Matches:
    """Which proposals show which objects: (B, R, 4), (B, G, 4), both padded."""
    overlap = iou(regions, objects)
    best = tf.reduce_max(overlap, axis=-1)
    which = tf.argmax(overlap, axis=-1, output_type=tf.int32)
    real = area(regions) > 0
    return Matches(real & (best >= positive), real & (best < positive), which)


def sample(matches: Matches, random, *, count: int, positives: int) -> Sample:
    """Draws ``count`` boxes an image: at most so many positive ones, first, then negative ones.

    Args:
        random: (B, N) in [0, 1), what to draw by.
    """
    hits, is_hit = _draw(matches.positive, random, positives)
    rest, is_rest = _draw(matches.negative, random, count)
    found = tf.reduce_sum(tf.cast(is_hit, tf.int32), axis=1, keepdims=True)  # (B, 1)
    slot = tf.range(count)[None]  # (1, S)
    positive = slot < found
    # Both draws are sorted with the real ones first: the n-th slot is a hit, then a negative.
    of_hits = tf.gather(hits, tf.minimum(slot, positives - 1) + 0 * found, batch_dims=1)
    behind = tf.maximum(slot - found, 0)
    of_rest = tf.gather(rest, behind, batch_dims=1)
    chosen = positive | tf.gather(is_rest, behind, batch_dims=1)
    return Sample(tf.where(positive, of_hits, of_rest), positive, chosen)


def _draw(allowed, random, count: int):
    """Up to ``count`` indices a row where allowed: (B, count) int32, and which of them are real."""
    values, indices = tf.math.top_k(tf.where(allowed, random, -1.0), count)
    return indices, values >= 0
