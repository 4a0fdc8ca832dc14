"""Whole micrographs to crops: cut, resized, changed, encoded."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import tensorflow as tf

from temzoo.core.offset import offset_of
from temzoo.core.types import Example, LabelledImage
from temzoo.data.augment import augmenter
from temzoo.data.crop_plan import CropPlan, Encoded, Target
from temzoo.data.images import resized
from temzoo.micrographs import as_channels

CACHE_BYTES = 2 * 1024**3
# Crops prepared ahead: enough for two batches of the usual size.
THREADS = 2


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
            while len(self.kept) > 1 and sum(w.nbytes for w in self.kept.values()) > self.budget:
                self.kept.popitem(last=False)
        return whole

    @abstractmethod
    def decode(self, example: Example) -> Any:
        """What is kept of an example; it has ``nbytes``."""


@dataclass
class Decoded(Cached):
    """Pixels and drawn labels of examples."""

    channels: int
    target: Target

    def decode(self, example: Example) -> _Whole:
        pixels = as_channels(example.micrograph.pixels, self.channels)
        offset = offset_of(pixels)
        pixels = (pixels - offset).astype(np.float32) if offset else pixels
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


class Encoding:
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
            if self.padding is not None:  # one row at least, so that no batch is of length 0
                encoded = {name: self._padded(name, array) for name, array in encoded.items()}
            return [pixels, *tf.nest.flatten(encoded)]

        likes = tf.nest.flatten(self.structure)
        varying = self.size if self.padding is None else (None,)
        shapes = [(*self.size, channels)]
        shapes += [(*varying, *like.shape[len(varying) :]) for like in likes]
        pixels, *parts = tensors(flat, key, shapes, [np.float32, *(like.dtype for like in likes)])
        return pixels, tf.nest.pack_sequence_as(self.structure, parts)

    def batches(self, stream: tf.data.Dataset, batch: int, **options) -> tf.data.Dataset:
        if self.padding is None:
            return stream.batch(batch, **options)
        values = {
            name: like.dtype.type(self.padding[name]) for name, like in self.structure.items()
        }
        # The pixels have one size, so their 0 is never used.
        return stream.padded_batch(batch, padding_values=(np.float32(0), values), **options)

    def _padded(self, name: str, array: np.ndarray) -> np.ndarray:
        row = np.full((1, *array.shape[1:]), self.padding[name], array.dtype)
        return array if len(array) else row


@dataclass(frozen=True)
class Preparation:
    """Crop number k of the stream."""

    plan: CropPlan
    decoded: Decoded
    crops: list[tuple[int, int, int]]

    def __call__(self, k: int) -> tuple[np.ndarray, Encoded]:
        (index, *centre), rng = visit(self.crops, self.plan.seed, int(k))
        whole, size = self.decoded[index], self.plan.size
        (pixels, drawn), side = crop(whole[:2], centre, self.plan, rng)
        pixels, drawn = _resize(pixels, drawn, size)
        change = augmenter(self.plan.augment, self.plan.augmenter)
        pixels, drawn = change(pixels, drawn, int(rng.integers(2**63)))
        encoded = self.decoded.target.encode(drawn, whole.measured, size / side)
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
    """One square of several arrays (H, W, …) of a size, and its side, px.

    They are mirrored where they are smaller. The centre, (row, col), is moved by up to half the
    side, which the plan's size and magnification give.
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
    if drawn.shape[0] == size:
        return pixels, drawn
    # Plain INTER_NEAREST takes a cell's corner, and would move the labels by half a crop pixel.
    nearest = cv2.resize(drawn, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized(pixels, size), nearest.reshape(size, size, *drawn.shape[2:])


def tensors(prepare, key: tf.Tensor, shapes: Sequence[tuple], dtypes: Sequence) -> list[tf.Tensor]:
    """The arrays that ``prepare(key)`` gives, in TensorFlow's terms."""
    parts = tf.numpy_function(prepare, [key], [tf.as_dtype(dtype) for dtype in dtypes])
    return [tf.ensure_shape(part, shape) for part, shape in zip(parts, shapes, strict=True)]


def or_new(failures: list[Exception] | None) -> list[Exception]:
    return [] if failures is None else failures
