"""Examples to tf.data: crops, changed and batched for training; whole micrographs for validation.

Element k of a training stream is a function of the seed and k alone: which micrograph, which
window, which changes. A run that was stopped after k crops goes on with crop k, and two runs of one
seed see the same pixels in the same order, however many threads prepare them.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import tensorflow as tf

from temzoo.micrographs import as_channels
from temzoo.pipeline.augment import augmenter
from temzoo.pipeline.crops import windows
from temzoo.types import Example, LabelledImage

Encoded = np.ndarray | dict[str, np.ndarray]

CACHE_BYTES = 2 * 1024**3
WHOLE_SIDE = 1024
# Crops prepared ahead: enough for two batches of the usual size.
THREADS = 2


class Target(Protocol):
    """What a model learns of a micrograph; each task has its own.

    Labels are drawn once, as whole numbers that lie on the pixels; those are cropped, resized (each
    pixel takes the nearest number) and augmented together with the micrograph, and what is left of
    them in a crop is encoded for the loss.

    Attributes:
        padding: None when the encodings of all crops have one shape; else their first axis, which
            counts objects, differs, and a batch is filled up with the value of each name.
    """

    padding: Mapping[str, int] | None

    def draw(self, labels: LabelledImage) -> np.ndarray:
        """(H, W) or (H, W, K) integers, 0 background; of a whole micrograph."""

    def measure(self, drawn: np.ndarray) -> np.ndarray | None:
        """What ``encode`` must know of the whole micrograph; kept beside the drawing."""

    def encode(
        self, drawn: np.ndarray, whole: np.ndarray | None, magnification: float
    ) -> np.ndarray | dict[str, np.ndarray]:
        """What the loss compares with, from the drawing of a crop at this magnification."""


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


class _Whole(NamedTuple):
    """A micrograph, (H, W, C), its labels as a target draws them, and what it measures of them."""

    pixels: np.ndarray
    drawn: np.ndarray
    measured: np.ndarray | None

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self if array is not None)


@dataclass(kw_only=True)
class Cached(ABC):
    """What is decoded of examples, kept up to a number of bytes, the oldest dropped.

    Attributes:
        examples: by index.
        failures: takes what ``decode`` raised, before a thread of TensorFlow loses it.
        budget: bytes; one decoded example is kept whatever its size.
        kept: from the one used longest ago to the last.
    """

    examples: Sequence[Example] = field(kw_only=False)
    failures: list[Exception] = field(default_factory=list)
    budget: int = CACHE_BYTES
    kept: OrderedDict = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __getitem__(self, index: int) -> Any:
        with self.lock:
            if index in self.kept:
                self.kept.move_to_end(index)
                return self.kept[index]
        try:
            whole = self.decode(self.examples[index])
        except Exception as error:
            self.failures.append(error)
            raise
        with self.lock:
            self.kept[index] = whole
            while len(self.kept) > 1 and self._bytes() > self.budget:
                self.kept.popitem(last=False)
        return whole

    @abstractmethod
    def decode(self, example: Example) -> Any:
        """What is kept of an example; it has ``nbytes``."""

    def _bytes(self) -> int:
        return sum(whole.nbytes for whole in self.kept.values())


@dataclass
class _Decoded(Cached):
    """Pixels and drawn labels of examples."""

    channels: int
    target: Target

    def decode(self, example: Example) -> _Whole:
        pixels = as_channels(example.micrograph.pixels, self.channels)
        drawn = self.target.draw(example.labels)
        if pixels.shape[:2] != drawn.shape[:2]:
            raise ValueError(
                f"{example.name}: labels and image must have one size. Received: labels of"
                f" {drawn.shape[:2]}, pixels of {pixels.shape[:2]}. Run temzoo labels check."
            )
        return _Whole(pixels, drawn, self.target.measure(drawn))


class Grid(Protocol):
    """What a plan says of where crops lie."""

    size: int
    magnification: tuple[float, float]


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
    failures: list[Exception] | None = None,
) -> tf.data.Dataset:
    """An endless stream of batches of crops.

    Args:
        examples: what to learn from.
        plan: size, magnification, changes and seed of the crops.
        target: what is learnt of them: ``learnable(class_names)`` of the task.
        channels: of the pixels: 1 or 3.
        batch: crops in a batch.
        start: crops that an earlier part of the run has used already.
        failures: takes what loading an example raised, which TensorFlow wraps beyond recognition.

    Returns:
        Batches of (B, S, S, channels) float32 raw pixels and what the target encodes: one-hot
        (B, S, S, classes) uint8, or a dict of objects, padded to the most of a crop, 1 at least.

    Raises:
        ValueError: there are no examples.
    """
    if not examples:
        raise ValueError("There is nothing to train on: 0 examples. Check images and labels.")
    decoded = _Decoded(examples, channels, target, failures=or_new(failures))
    prepare = _Preparation(plan, decoded, crop_list(examples, plan))
    encoded = _Encoding(target, (plan.size, plan.size))

    def load(k):
        return encoded.tensors(prepare, k, channels)

    stream = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
    stream = stream.map(load, num_parallel_calls=THREADS, deterministic=True)
    return encoded.batches(stream, batch, drop_remainder=True).prefetch(2)


class _Encoding:
    """A target's encoding as tensors: their types and shapes, and how they become a batch."""

    def __init__(self, target: Target, size: tuple[int | None, int | None]):
        """``size``: (rows, columns) of the crops; None where they differ."""
        self.padding, self.size = target.padding, size
        drawn = target.draw(LabelledImage("", *(side or 1 for side in size[::-1])))
        # What an image without objects gives has the types, and the shapes but for what differs.
        self.structure = target.encode(drawn, target.measure(drawn), 1.0)

    def tensors(self, prepare, key, channels: int):
        """(pixels, encoding) of what ``prepare(key)`` gives, in TensorFlow's terms."""

        def flat(key):
            pixels, encoded = prepare(key)
            return [pixels, *tf.nest.flatten(self._with_a_row(encoded))]

        likes = tf.nest.flatten(self.structure)
        pixels, *parts = tf.numpy_function(flat, [key], [tf.float32, *(a.dtype for a in likes)])
        pixels = tf.ensure_shape(pixels, (*self.size, channels))
        parts = [
            tf.ensure_shape(part, self._shape(like))
            for part, like in zip(parts, likes, strict=True)
        ]
        return pixels, tf.nest.pack_sequence_as(self.structure, parts)

    def batches(self, stream: tf.data.Dataset, batch: int, **options) -> tf.data.Dataset:
        if self.padding is None:
            return stream.batch(batch, **options)
        values = {
            name: like.dtype.type(self.padding[name]) for name, like in self.structure.items()
        }
        # The pixels have one size, so their 0 is never used.
        return stream.padded_batch(batch, padding_values=(np.float32(0), values), **options)

    def _shape(self, like: np.ndarray) -> tf.TensorShape:
        counted = () if self.padding is None else (None,)
        sides = self.size if self.padding is None else ()
        fixed = len(counted) + len(sides)
        return tf.TensorShape((*counted, *sides, *like.shape[fixed:]))

    def _with_a_row(self, encoded: Encoded) -> Encoded:
        """Objects with one row of padding where there is none, so that no batch is of length 0."""
        if self.padding is None:
            return encoded
        return {
            name: array if len(array) else self._row(name, array) for name, array in encoded.items()
        }

    def _row(self, name: str, like: np.ndarray) -> np.ndarray:
        return np.full((1, *like.shape[1:]), self.padding[name], like.dtype)


@dataclass(frozen=True)
class _Preparation:
    """Crop number k of the stream."""

    plan: CropPlan
    decoded: _Decoded
    crops: list[tuple[int, int, int]]

    def __call__(self, k: int) -> tuple[np.ndarray, Encoded]:
        (index, *centre), rng = visit(self.crops, self.plan.seed, int(k))
        whole = self.decoded[index]
        (pixels, drawn), side = crop(whole[:2], centre, self.plan, rng)
        pixels, drawn = _resize(pixels, drawn, self.plan.size)
        seed = int(rng.integers(2**63))
        pixels, drawn = augmenter(self.plan.augment)(pixels, drawn, seed)
        magnification = self.plan.size / side
        encoded = self.decoded.target.encode(drawn, whole.measured, magnification)
        return pixels.astype(np.float32), encoded


def visit(
    crops: Sequence[tuple[int, int, int]], seed: int, k: int
) -> tuple[tuple[int, int, int], np.random.Generator]:
    """The crop that element k of a stream takes, and the randomness that is its own.

    Each epoch visits every crop once, in an order of its own.
    """
    epoch, position = divmod(k, len(crops))
    order = np.random.default_rng([seed, epoch]).permutation(len(crops))
    return crops[order[position]], np.random.default_rng([seed, 1, k])


def crop(
    arrays: Sequence[np.ndarray], centre: Sequence[int], plan: Grid, rng: np.random.Generator
) -> tuple[list[np.ndarray], int]:
    """One square of several arrays of a size, and its side, px.

    Args:
        arrays: (H, W, …) each; mirrored where they are smaller than the square.
        centre: (row, col), moved by up to half the side.
        plan: its size and magnification give the side.
    """
    magnification = np.exp(rng.uniform(*np.log(plan.magnification)))
    side = max(1, round(plan.size / magnification))
    jitter = rng.integers(-(side // 2), side // 2 + 1, size=2)
    slices = []
    for axis in (0, 1):
        first = centre[axis] + jitter[axis] - side // 2
        first = int(np.clip(first, 0, max(0, arrays[0].shape[axis] - side)))
        slices.append(slice(first, first + side))
    return [filled(array[tuple(slices)], side) for array in arrays], side


def filled(array: np.ndarray, side: int) -> np.ndarray:
    """Mirrors an array that is smaller than a crop up to its size."""
    if array.shape[:2] == (side, side):
        return array
    widths = [(0, max(0, side - n)) for n in array.shape[:2]]
    return np.pad(array, widths + [(0, 0)] * (array.ndim - 2), mode="symmetric")


def _resize(pixels: np.ndarray, drawn: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    side = drawn.shape[0]
    if side == size:
        return pixels, drawn
    # Averaging is what a lower magnification does; linear keeps a higher one smooth.
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    resized = cv2.resize(_for_opencv(pixels), (size, size), interpolation=how)
    # Plain INTER_NEAREST takes a cell's corner, and would move the labels by half a crop pixel.
    nearest = cv2.resize(drawn, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    # OpenCV drops a last axis of 1.
    shapes = [(size, size, *array.shape[2:]) for array in (pixels, drawn)]
    return resized.reshape(shapes[0]), nearest.reshape(shapes[1])


def _for_opencv(pixels: np.ndarray) -> np.ndarray:
    """OpenCV resizes uint8, uint16 and float32."""
    return pixels if pixels.dtype in (np.uint8, np.uint16) else pixels.astype(np.float32)


def or_new(failures: list[Exception] | None) -> list[Exception]:
    return [] if failures is None else failures


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
    decoded = _Decoded(examples, channels, target, failures=or_new(failures))

    def cut(area):
        index, row, col, height, width = area
        part = (slice(row, row + height), slice(col, col + width))
        whole = decoded[int(index)]
        pixels, drawn = (filled(array[part], side or 0) for array in whole[:2])
        return pixels.astype(np.float32), target.encode(drawn, whole.measured, 1.0)

    encoded = _Encoding(target, (side, side))
    stream = tf.data.Dataset.from_tensor_slices(validation_areas(examples, side))
    stream = stream.map(lambda area: encoded.tensors(cut, area, channels))
    return encoded.batches(stream, 1).prefetch(1)


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
