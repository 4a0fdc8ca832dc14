"""Examples to tf.data: crops, changed and batched for training; whole micrographs for validation.

Element k of a training stream is a function of the seed and k alone: which micrograph, which
window, which changes. A run that was stopped after k crops goes on with crop k, and two runs of one
seed see the same pixels in the same order, however many threads prepare them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from temzoo.core.types import Example
from temzoo.data.crop_plan import CropPlan, Target, windows
from temzoo.data.images import ahead
from temzoo.data.preparation import THREADS, Decoded, Encoding, Grid, Preparation, filled, or_new
from temzoo.data.share import ALL, Share

WHOLE_SIDE = 1024


def crop_list(examples: Sequence[Example], plan: Grid) -> list[tuple[int, int, int]]:
    """One epoch: (example, centre row, centre col) of windows that cover every micrograph.

    The windows are those of the sliding cropper at the plan's middle magnification.
    """
    low, high = plan.magnification
    side = max(1, round(plan.size / float(np.sqrt(low * high))))
    return [
        (index, row + height // 2, col + width // 2)
        for index, example in enumerate(examples)
        for row, col, height, width in windows(
            example.labels.height, example.labels.width, window=side, stride=side
        )
    ]


def training_stream(
    examples: Sequence[Example],
    plan: CropPlan,
    *,
    target: Target,
    channels: int = 1,
    batch: int = 8,
    start: int = 0,
    share: Share = ALL,
    failures: list[Exception] | None = None,
) -> tf.data.Dataset:
    """An endless stream of batches of crops.

    Args:
        target: what is learnt of them: ``learnable(class_names)`` of the task.
        channels: of the pixels: 1 or 3.
        batch: crops in a batch.
        start: crops that an earlier part of the run has used already.
        share: of each batch, that this process reads, in the parts that its devices take.
        failures: takes what loading an example raised, which TensorFlow wraps beyond recognition.

    Returns:
        Batches of (B, S, S, channels) float32 raw pixels and what the target encodes: one-hot
        (B, S, S, classes) uint8, or a dict of objects, padded to the most of a crop, 1 at least.

    Raises:
        ValueError: there are no examples.
    """
    if not examples:
        raise ValueError("There is nothing to train on: 0 examples. Check images and labels.")
    decoded = Decoded(examples, channels, target, failures=or_new(failures))
    prepare = Preparation(plan, decoded, crop_list(examples, plan))
    encoded = Encoding(target, (plan.size, plan.size))

    def load(k):
        return encoded.tensors(prepare, k, channels)

    stream = share.numbers(start, batch)
    stream = stream.map(load, num_parallel_calls=THREADS, deterministic=True)
    return ahead(encoded.batches(stream, share.rows(batch), drop_remainder=True), 2)


def validation_set(
    examples: Sequence[Example],
    *,
    target: Target,
    channels: int = 1,
    side: int | None = None,
    failures: list[Exception] | None = None,
) -> tf.data.Dataset:
    """Whole micrographs in order, one a batch, each in its own size: (1, H, W, …).

    One with more than ``WHOLE_SIDE`` rows or columns comes in windows of at most that size, which
    cover it, so that a network's activations fit into memory; each counts as an image. For a
    network that takes one size only, ``side`` px, all come in windows of that, mirrored where a
    micrograph is smaller.
    """
    decoded = Decoded(examples, channels, target, failures=or_new(failures))

    def cut(area):
        index, row, col, height, width = area
        part = (slice(row, row + height), slice(col, col + width))
        whole = decoded[int(index)]
        pixels, drawn = (filled(array[part], side or 0) for array in whole[:2])
        return pixels.astype(np.float32), target.encode(drawn, whole.measured, 1.0)

    encoded = Encoding(target, (side, side))
    stream = tf.data.Dataset.from_tensor_slices(validation_areas(examples, side))
    stream = stream.map(lambda area: encoded.tensors(cut, area, channels))
    return ahead(encoded.batches(stream, 1), 1)


def validation_areas(examples: Sequence[Example], side: int | None) -> np.ndarray:
    """Windows that cover every micrograph: (N, 5) int64, example, row, col, height and width.

    They have ``side`` px, or less where a micrograph is smaller; None: up to ``WHOLE_SIDE``.
    """
    return np.array(
        [
            (index, *window)
            for index, example in enumerate(examples)
            for window in windows(
                example.labels.height, example.labels.width, window=side or WHOLE_SIDE
            )
        ],
        np.int64,
    )
