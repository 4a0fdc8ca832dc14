"""Examples to tf.data: crops, changed and batched for training; whole micrographs for validation.

Element k of a training stream is a function of the seed and k alone: which micrograph, which
window, which changes. A run that was stopped after k crops goes on with crop k, and two runs of one
seed see the same pixels in the same order, however many threads prepare them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import tensorflow as tf

from temzoo.micrographs import as_channels
from temzoo.pipeline.augment import augmenter
from temzoo.pipeline.crops import windows
from temzoo.types import Example, LabelledImage

CACHE_BYTES = 2 * 1024**3
WHOLE_SIDE = 1024
# Crops prepared ahead: enough for two batches of the usual size.
THREADS = 2


@dataclass(frozen=True)
class CropPlan:
    """Where training crops come from and what is done to them.

    Attributes:
        size: side of a crop, px.
        magnification: (low, high): crops are drawn from the micrograph resized by a factor in this
            range (uniform in the logarithm), so that (0.5, 1) shows twice the field at half the
            resolution or the stored pixels, and all between.
        augment: preset of ``pipeline.augment``.
        seed: of order, windows and changes.
    """

    size: int = 256
    magnification: tuple[float, float] = (1.0, 1.0)
    augment: str = "em"
    seed: int = 0

    def __post_init__(self):
        augmenter(self.augment)  # refuses an unknown preset now, not in a thread later
        low, high = self.magnification
        if self.size < 16:
            raise ValueError(f"A crop has 16 px and more a side. Received: size={self.size}.")
        if not 0 < low <= high:
            raise ValueError(
                f"magnification is (low, high) with 0 < low <= high."
                f" Received: {self.magnification}."
            )


@dataclass
class _Decoded:
    """Pixels and target maps of examples, kept up to a number of bytes, the oldest dropped."""

    examples: Sequence[Example]
    channels: int
    target: Callable[[LabelledImage], np.ndarray]
    failures: list[Exception] = field(default_factory=list)
    budget: int = CACHE_BYTES
    kept: OrderedDict = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        with self.lock:
            if index in self.kept:
                self.kept.move_to_end(index)
                return self.kept[index]
        try:
            pair = self._decode(self.examples[index])
        except Exception as error:
            self.failures.append(error)
            raise
        with self.lock:
            self.kept[index] = pair
            while len(self.kept) > 1 and self._bytes() > self.budget:
                self.kept.popitem(last=False)
        return pair

    def _decode(self, example: Example) -> tuple[np.ndarray, np.ndarray]:
        pixels = as_channels(example.micrograph.pixels, self.channels)
        target = self.target(example.labels)
        if pixels.shape[:2] != target.shape[:2]:
            raise ValueError(
                f"{example.name}: labels and image must have one size. Received: labels of"
                f" {target.shape[:2]}, pixels of {pixels.shape[:2]}. Run temzoo labels check."
            )
        return pixels, target

    def _bytes(self) -> int:
        return sum(array.nbytes for pair in self.kept.values() for array in pair)


def crop_list(examples: Sequence[Example], plan: CropPlan) -> list[tuple[int, int, int]]:
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
    target: Callable[[LabelledImage], np.ndarray],
    depth: int,
    channels: int = 1,
    batch: int = 8,
    start: int = 0,
    failures: list[Exception] | None = None,
) -> tf.data.Dataset:
    """An endless stream of batches of crops.

    Args:
        examples: what to learn from.
        plan: size, magnification, changes and seed of the crops.
        target: labels to the (H, W) integer map to be learnt.
        depth: number of values in that map; the second element of a batch is one-hot of it.
        channels: of the pixels: 1 or 3.
        batch: crops in a batch.
        start: crops that an earlier part of the run has used already.
        failures: takes what loading an example raised, which TensorFlow wraps beyond recognition.

    Returns:
        Batches of ((B, S, S, channels) float32 raw pixels, (B, S, S, depth) uint8).

    Raises:
        ValueError: there are no examples.
    """
    if not examples:
        raise ValueError("There is nothing to train on: 0 examples. Check images and labels.")
    decoded = _Decoded(examples, channels, target, _list(failures))
    prepare = _Preparation(plan, decoded, crop_list(examples, plan))

    def load(k):
        shapes = ((plan.size, plan.size, channels), (plan.size, plan.size))
        pixels, target_map = tf.numpy_function(prepare, [k], (tf.float32, tf.uint8))
        return tf.ensure_shape(pixels, shapes[0]), tf.ensure_shape(target_map, shapes[1])

    stream = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
    stream = stream.map(load, num_parallel_calls=THREADS, deterministic=True)
    stream = stream.batch(batch, drop_remainder=True)
    stream = stream.map(lambda x, y: (x, tf.one_hot(y, depth, dtype=tf.uint8)))
    return stream.prefetch(2)


@dataclass(frozen=True)
class _Preparation:
    """Crop number k of the stream."""

    plan: CropPlan
    decoded: _Decoded
    crops: list[tuple[int, int, int]]

    def __call__(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, position = divmod(int(k), len(self.crops))
        order = np.random.default_rng([self.plan.seed, epoch]).permutation(len(self.crops))
        index, row, col = self.crops[order[position]]
        rng = np.random.default_rng([self.plan.seed, 1, int(k)])
        pixels, target = self.decoded[index]
        pixels, target = _crop(pixels, target, (row, col), self.plan, rng)
        seed = int(rng.integers(2**63))
        pixels, target = augmenter(self.plan.augment)(pixels, target, seed)
        return pixels.astype(np.float32), target.astype(np.uint8)


def _crop(pixels, target, centre, plan: CropPlan, rng):
    """A square of the plan's size about a centre that is moved by up to half its side."""
    magnification = np.exp(rng.uniform(*np.log(plan.magnification)))
    side = max(1, round(plan.size / magnification))
    jitter = rng.integers(-(side // 2), side // 2 + 1, size=2)
    slices = []
    for axis in (0, 1):
        first = centre[axis] + jitter[axis] - side // 2
        first = int(np.clip(first, 0, max(0, pixels.shape[axis] - side)))
        slices.append(slice(first, first + side))
    pixels, target = pixels[tuple(slices)], target[tuple(slices)]
    if target.shape != (side, side):
        pixels, target = _fill(pixels, side), _fill(target, side)
    return _resize(pixels, target, plan.size)


def _fill(array: np.ndarray, side: int) -> np.ndarray:
    """Mirrors an array that is smaller than a crop up to its size."""
    widths = [(0, max(0, side - n)) for n in array.shape[:2]]
    return np.pad(array, widths + [(0, 0)] * (array.ndim - 2), mode="symmetric")


def _resize(pixels, target, size: int):
    side = target.shape[0]
    if side == size:
        return pixels, target
    # Averaging is what a lower magnification does; linear keeps a higher one smooth.
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    resized = cv2.resize(_for_opencv(pixels), (size, size), interpolation=how)
    # Plain INTER_NEAREST takes a cell's corner, and would move the labels by half a crop pixel.
    exact = cv2.INTER_NEAREST_EXACT
    target = cv2.resize(target.astype(np.uint8), (size, size), interpolation=exact)
    return resized.reshape(size, size, pixels.shape[-1]), target


def _for_opencv(pixels: np.ndarray) -> np.ndarray:
    """OpenCV resizes uint8, uint16 and float32."""
    return pixels if pixels.dtype in (np.uint8, np.uint16) else pixels.astype(np.float32)


def _list(failures: list[Exception] | None) -> list[Exception]:
    return [] if failures is None else failures


def validation_set(
    examples: Sequence[Example],
    *,
    target: Callable[[LabelledImage], np.ndarray],
    depth: int,
    channels: int = 1,
    failures: list[Exception] | None = None,
) -> tf.data.Dataset:
    """Whole micrographs in order, one a batch, each in its own size: (1, H, W, …).

    One with more than ``WHOLE_SIDE`` rows or columns comes in windows of at most that size, which
    cover it, so that a network's activations fit into memory; each counts as an image.
    """
    decoded = _Decoded(examples, channels, target, _list(failures))
    areas = np.array(
        [
            (index, *window)
            for index, example in enumerate(examples)
            for window in windows(example.labels.height, example.labels.width, window=WHOLE_SIDE)
        ],
        np.int64,
    )

    def cut(area):
        index, row, col, height, width = area
        part = (slice(row, row + height), slice(col, col + width))
        pixels, target_map = decoded[int(index)]
        return pixels[part].astype(np.float32), target_map[part].astype(np.uint8)

    def load(area):
        pixels, target_map = tf.numpy_function(cut, [area], (tf.float32, tf.uint8))
        pixels = tf.ensure_shape(pixels, (None, None, channels))
        return pixels, tf.ensure_shape(target_map, (None, None))

    stream = tf.data.Dataset.from_tensor_slices(areas).map(load)
    stream = stream.map(lambda x, y: (x, tf.one_hot(y, depth, dtype=tf.uint8)))
    return stream.batch(1).prefetch(1)
