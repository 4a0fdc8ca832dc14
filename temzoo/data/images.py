"""Single square images, such as cut particles, for models that generate images like them.

They are small, so all lie in memory as one array of [0, 1], and a stream draws from it. Element k
of a stream is a function of the seed and k alone, as in ``data.dataset``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from temzoo.core.hints import located, require_choice
from temzoo.core.types import Example
from temzoo.data.share import ALL, Share
from temzoo.micrographs import as_channels

if TYPE_CHECKING:
    # At work it is imported inside the streams: particles are cut without it.
    import tensorflow as tf

PERCENTILES = (0.5, 99.5)
LARGEST_ARRAY = 2 * 1024**3  # bytes
SCALES = ("image", "dtype")
STORED = "stored"  # values as they are, for models that normalise them


def image_array(
    examples: Sequence[Example], size: int, channels: int = 1, *, scale: str = "image"
) -> np.ndarray:
    """All images of a set, of one size, in [0, 1]: (N, size, size, channels) float32.

    Each is loaded once, made grey (or colour), resized by averaging or linear interpolation, and
    scaled by ``unit_range``.

    Args:
        examples: of square images; their labels are not used.
        size: side of the array's images, px.
        channels: 1 or 3.
        scale: as in ``unit_range``; or "stored", by which values stay as they are.

    Raises:
        ValueError: there are no images, one is not square within a pixel or not finite, the array
            would need more than 2 GiB, or an option is unknown.
    """
    _check_request(examples, size, channels, scale)
    array = np.empty((len(examples), size, size, channels), np.float32)
    for place, example in zip(array, examples, strict=True):
        pixels = as_channels(example.micrograph.pixels, channels)
        with located(example.name):
            height, width = pixels.shape[:2]
            if abs(height - width) > 1:
                raise ValueError(
                    f"an image must be square. Received: {height} x {width} px (height x width). "
                    "Cut square images of single particles with `temzoo particles`."
                )
            values = resized(pixels.astype(np.float32), size)
            if scale == STORED:
                _require_finite(values)
                place[...] = values
            else:
                place[...] = unit_range(values, scale=scale, dtype=pixels.dtype)
    return array


def unit_range(
    pixels: np.ndarray, *, scale: str = "image", dtype: np.dtype | None = None
) -> np.ndarray:
    """An image, of any shape and real dtype, in [0, 1], as float32.

    Args:
        scale: "image": the image's own 0.5th percentile becomes 0, its 99.5th 1, what lies beyond
            is clipped; a constant image becomes 0.5. "dtype": the whole range of the dtype, so
            that brightness compares between images; floats must lie in [0, 1] already.
        dtype: that the range belongs to; None: of ``pixels``.

    Raises:
        ValueError: values are not finite, or floats leave [0, 1] with ``scale="dtype"``.
    """
    values, dtype = np.asarray(pixels, np.float32), np.dtype(dtype or pixels.dtype)
    _require_finite(values)
    if scale == "image":
        low, high = np.percentile(values, PERCENTILES)
    elif dtype.kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    elif values.min() < 0 or values.max() > 1:
        raise ValueError(
            'floats must lie in [0, 1] with scale="dtype", for they have no range of their own. '
            f"Received: {values.min():g} to {values.max():g}. Use scale='image'."
        )
    else:
        low, high = 0.0, 1.0
    if high <= low:
        return np.full(values.shape, 0.5, np.float32)
    return np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)


def _require_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError(
            "pixels must be finite. Received: NaN or infinite values. "
            "Replace them, for example by np.nan_to_num."
        )


def image_stream(
    array: np.ndarray,
    *,
    batch: int,
    seed: int,
    start: int = 0,
    augment: bool = False,
    invert: bool = False,
    truth: np.ndarray | None = None,
    share: Share = ALL,
) -> tf.data.Dataset:
    """Endless batches of images, (batch, S, S, C) float32, shuffled anew in each epoch.

    Args:
        array: (N, S, S, C) float32, as ``image_array`` gives it; not copied.
        batch: images in a batch; all batches are full, one may reach into the next epoch.
        seed: of the order and the changes.
        start: images that an earlier part of the run has used already.
        augment: turn each by quarters and mirror it, at random: for particles, which lie in any
            position, not for digits.
        invert: show one of two as its negative, -x; for models that normalise what they are given.
        truth: (N, K) what is learnt of each image: batches are then (images, truth).
        share: of each batch, that this process reads, in the parts that its devices take.

    Raises:
        ValueError: the array has no images, or is not of square ones.
    """
    _check_array(array, batch)
    arrays = [array] if truth is None else [array, truth]

    @lru_cache(maxsize=4)  # one takes long to draw
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch]).permutation(len(array))

    def index(k: int) -> int:
        epoch, position = divmod(k, len(array))
        return order(epoch)[position]

    def element(k: int) -> np.ndarray:
        image = array[index(k)]
        if not augment:
            return image
        rng = np.random.default_rng([seed, 1, k])
        image = np.rot90(image, rng.integers(4))
        image = image[:, ::-1] if rng.integers(2) else image
        return -image if invert and rng.integers(2) else image

    def pick(numbers: np.ndarray) -> list[np.ndarray]:
        images = np.stack([element(int(k)) for k in numbers])
        return [images] if truth is None else [images, truth[[index(int(k)) for k in numbers]]]

    rows = share.rows(batch)
    numbers = share.numbers(start, batch).batch(rows, drop_remainder=True)
    return ahead(_batches(pick, numbers, arrays, rows=rows), 2)


def image_validation(
    array: np.ndarray, batch: int, truth: np.ndarray | None = None
) -> tf.data.Dataset:
    """All images once, in order: batches of (up to ``batch``, S, S, C) float32, or with truth."""
    _check_array(array, batch)
    import tensorflow as tf

    arrays = [array] if truth is None else [array, truth]
    numbers = tf.data.Dataset.range(len(array)).batch(batch)
    return ahead(_batches(lambda k: [each[k] for each in arrays], numbers, arrays, rows=None), 2)


def _check_request(examples: Sequence[Example], size: int, channels: int, scale: str) -> None:
    if not examples:
        raise ValueError(
            "an array of images needs at least one. Received: 0 examples. Check the folder, or "
            "cut particles with `temzoo particles`."
        )
    if size < 1:
        raise ValueError(f"size must be at least 1 px. Received: size={size}. Use 64.")
    require_choice("scale", scale, (*SCALES, STORED))
    each = size * size * channels * 4
    if len(examples) * each > LARGEST_ARRAY:
        raise ValueError(
            f"the images must fit into {LARGEST_ARRAY / 1024**3:g} GiB as float32. Received: "
            f"{len(examples)} of {size} x {size} px, {channels} channel(s), which need "
            f"{len(examples) * each / 1024**3:.2f} GiB. Take at most {LARGEST_ARRAY // each} of "
            "them, or a smaller size."
        )


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """A square image in another size, (size, size, C): uint8 and uint16 stay, all else is float32.

    Averaging is what a lower magnification does; linear interpolation keeps a higher one smooth.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels = pixels.astype(np.float32)
    if pixels.shape[:2] == (size, size):
        return pixels
    how = cv2.INTER_AREA if min(pixels.shape[:2]) > size else cv2.INTER_LINEAR
    # OpenCV drops a last axis of 1.
    return cv2.resize(pixels, (size, size), interpolation=how).reshape(size, size, -1)


def _check_array(array: np.ndarray, batch: int) -> None:
    if array.ndim != 4 or not len(array) or array.shape[1] != array.shape[2]:
        raise ValueError(
            "images must be an array (N, S, S, C) with N at least 1. Received: "
            f"shape={array.shape}. Use image_array."
        )
    if batch < 1:
        raise ValueError(f"batch must be at least 1. Received: batch={batch}. Use 32.")


def _batches(
    pick: Callable[[np.ndarray], list[np.ndarray]],
    numbers: tf.data.Dataset,
    arrays: Sequence[np.ndarray],
    *,
    rows: int | None,
) -> tf.data.Dataset:
    """The batches that ``pick`` gives of arrays, which themselves never become part of a graph.

    Args:
        pick: of the numbers of a batch's elements, its part of each array.
    """
    import tensorflow as tf

    def load(some):
        found = tf.numpy_function(
            lambda k: [np.ascontiguousarray(part, np.float32) for part in pick(k)],
            [some],
            [tf.float32] * len(arrays),
        )
        shaped = [
            tf.ensure_shape(part, (rows, *array.shape[1:]))
            for part, array in zip(found, arrays, strict=True)
        ]
        return tuple(shaped) if len(shaped) > 1 else shaped[0]

    return numbers.map(load)


def ahead(stream: tf.data.Dataset, batches: int) -> tf.data.Dataset:
    """The stream, with so many batches prepared ahead.

    Its threads are given, so tf.data has nothing to tune. Its tuner sleeps for up to a minute, and
    whoever drops an iterator may wait for it (TensorFlow 2.21, ``RootDataset::Iterator``).
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return stream.prefetch(batches).with_options(options)
