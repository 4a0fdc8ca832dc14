"""Layers that several models share: normalise, pad, crop back, double the size.

Written in ``keras.ops`` alone, so they train on any Keras backend, and with sizes that are known
only at run time, so they export to a SavedModel that takes any image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import ops

from temzoo.core.normalization import Normalization

NORMS = ("batch", "group", "instance", None)
UPSAMPLINGS = ("bilinear", "transpose")
# Of whole numbers that a model is built with, the largest: more is a mistake, and takes all memory.
COUNTS = {
    **{"filters": 1024, "depth": 8, "channels": 64, "classes": 2**16},
    **{"latent_dim": 4096, "image_size": 2**13, "hidden": 2**13, "features": 1024},
}
WIDEST = 2**13  # filters of the lowest level
# 0.99 needs some 500 steps before inference sees what training saw; runs here are that short.
BATCH_NORM_MOMENTUM = 0.9


def require_tensorflow(what: str) -> None:
    """Raises RuntimeError where Keras computes by another backend.

    Args:
        what: that needs TensorFlow, for the message.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"{what} needs TensorFlow. Received: KERAS_BACKEND={backend}. Set"
            " KERAS_BACKEND=tensorflow, or leave it out."
        )


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Layers built inside have this policy, such as "mixed_bfloat16"."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@keras.saving.register_keras_serializable("temzoo")
class Normalize(keras.layers.Layer):
    """Each image to about [-1, 1] by its own 1st and 99th percentile.

    ``y = clip((x - shift) * scale, -limit, limit)`` with ``shift = (p1 + p99) / 2`` and
    ``scale = 2 / (p99 - p1)``, one pair for all channels of an image, so that colours survive. Hot
    pixels, dust and saturated borders move percentiles by little. Where the two coincide (a few
    bright pixels on black) least and greatest take their place; a constant image becomes 0.

    With ``limit=None`` nothing is clipped, for models that must give back what they were given.

    The percentiles are those of a regular grid of at most ``grid`` rows and columns: a fixed cost
    for any size, and the same numbers for a tile as for its micrograph when ``statistics`` of the
    whole is taken once.

    Input and output: (B, H, W, C) float32. Computed in float32 under mixed precision too.
    """

    def __init__(self, low=1.0, high=99.0, limit=3.0, grid=256, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.low, self.high, self.limit, self.grid = low, high, limit, grid

    def call(self, x):
        shift, scale = _shift_and_scale(x, self.low, self.high, self.grid)
        y = (x - shift[:, None, None, None]) * scale[:, None, None, None]
        return y if self.limit is None else ops.clip(y, -self.limit, self.limit)

    def compute_output_shape(self, input_shape):
        return input_shape

    # In NumPy: (shift, scale) of one image, what ``call`` returns with them given, and that undone.
    statistics = Normalization.statistics
    apply = Normalization.apply
    invert = Normalization.invert

    def get_config(self):
        own = {"low": self.low, "high": self.high, "limit": self.limit, "grid": self.grid}
        return {**super().get_config(), **own}


def _shift_and_scale(x, low: float, high: float, grid: int):
    """``Normalize``'s (shift, scale), each (B,), of raw images (B, H, W, C)."""
    height, width = ops.shape(x)[1], ops.shape(x)[2]
    rows, cols = (height - 1) // grid + 1, (width - 1) // grid + 1
    values = ops.reshape(x[:, ::rows, ::cols, :], (ops.shape(x)[0], -1))
    percentiles = ops.quantile(values, [low / 100, high / 100], axis=1)
    sparse = percentiles[0] == percentiles[1]
    least = ops.where(sparse, ops.min(values, axis=1), percentiles[0])
    greatest = ops.where(sparse, ops.max(values, axis=1), percentiles[1])
    spread = greatest - least
    scale = ops.where(spread > 0, 2.0 / ops.where(spread > 0, spread, 1.0), 0.0)
    return (least + greatest) / 2, scale


@keras.saving.register_keras_serializable("temzoo")
class Clip(keras.layers.Layer):
    """Values to [-limit, limit]: hot pixels must not reach the convolutions at full height."""

    def __init__(self, limit=3.0, **kwargs):
        super().__init__(**kwargs)
        self.limit = limit

    def call(self, x):
        return ops.clip(x, -self.limit, self.limit)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "limit": self.limit}


@keras.saving.register_keras_serializable("temzoo")
class Denormalize(keras.layers.Layer):
    """Undoes ``Normalize(low, high, grid=grid)``: [normalised, raw image] to the image's own range.

    ``x = y / scale + shift`` by the shift and scale of the raw image; beside a constant raw image
    everything is that constant. The percentiles are written down twice but computed once:
    TensorFlow's graphs merge what is the same.

    Inputs: (B, H, W, C) normalised, (B, H, W, 1) raw. Output: (B, H, W, C) float32.
    """

    def __init__(self, low=1.0, high=99.0, grid=256, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.low, self.high, self.grid = low, high, grid

    def call(self, inputs):
        y, raw = inputs
        shift, scale = _shift_and_scale(raw, self.low, self.high, self.grid)
        spread = ops.where(scale > 0, 1.0 / ops.where(scale > 0, scale, 1.0), 0.0)
        return y * spread[:, None, None, None] + shift[:, None, None, None]

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "low": self.low, "high": self.high, "grid": self.grid}


def _padding(size, multiple):
    """Pixels to add (before, in all) so that ``size`` becomes a multiple."""
    # No remainder of negative numbers, whose sign tf2onnx takes as C does.
    total = (multiple - size % multiple) % multiple
    return total // 2, total


@keras.saving.register_keras_serializable("temzoo")
class WithNegative(keras.layers.Layer):
    """Adds each image's negative to the batch: (B, …) to (2B, …), the negatives last."""

    def call(self, x):
        return ops.concatenate([x, -x], axis=0)

    def compute_output_shape(self, input_shape):
        return _times_batch(input_shape, 2)


@keras.saving.register_keras_serializable("temzoo")
class MeanOfNegative(keras.layers.Layer):
    """Averages the answers for ``WithNegative``'s images and negatives: (2B, …) to (B, …)."""

    def call(self, x):
        half = ops.shape(x)[0] // 2
        return (x[:half] + x[half:]) / 2

    def compute_output_shape(self, input_shape):
        return _times_batch(input_shape, 0.5)


def _times_batch(shape, factor: float):
    return (shape[0] and int(shape[0] * factor), *shape[1:])


class _ToMultiple(keras.layers.Layer):
    """What ``ReflectPad`` and ``CropBack`` share: the multiple that sizes are padded to."""

    def __init__(self, multiple, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable("temzoo")
class ReflectPad(_ToMultiple):
    """Pads height and width to a multiple by mirroring, half on each side.

    (B, H, W, C) to (B, H', W', C). The mirror goes on as often as needed, so an image smaller than
    the padding works as well.
    """

    def call(self, x):
        for axis in (1, 2):
            x = ops.take(x, self._indices(ops.shape(x)[axis]), axis=axis)
        return x

    def _indices(self, size):
        before, total = _padding(size, self.multiple)
        period = ops.maximum(2 * (size - 1), 1)
        # From -before on, and whole periods more, so that none is negative.
        offset = ops.arange(0, size + total, dtype="int32") + before * (period - 1)
        return (size - 1) - ops.abs((size - 1) - offset % period)

    def compute_output_shape(self, input_shape):
        batch, *sizes, channels = input_shape
        padded = [None if n is None else n + -n % self.multiple for n in sizes]
        return (batch, *padded, channels)


@keras.saving.register_keras_serializable("temzoo")
class CropBack(_ToMultiple):
    """Cuts ``ReflectPad(multiple)``'s border off again: [padded, original] to the original size."""

    def call(self, inputs):
        padded, original = inputs
        height, width = ops.shape(original)[1], ops.shape(original)[2]
        top, _ = _padding(height, self.multiple)
        left, _ = _padding(width, self.multiple)
        return padded[:, top : top + height, left : left + width, :]

    def compute_output_shape(self, input_shape):
        padded, original = input_shape
        return (*original[:3], padded[3])


@keras.saving.register_keras_serializable("temzoo")
class BilinearUpsample(keras.layers.Layer):
    """Doubles height and width, bilinear with half-pixel centres: (B, H, W, C) to (B, 2H, 2W, C).

    The same numbers as ``UpSampling2D(2, interpolation="bilinear")``, which fails to export with
    sizes known only at run time (Keras 3.15: ``ops.image.resize`` compares them in Python). On
    TensorFlow its own kernel is called, which is six times faster in training than slices and sums.
    """

    def call(self, x):
        size = (2 * ops.shape(x)[1], 2 * ops.shape(x)[2])
        if keras.backend.backend() != "tensorflow":
            return ops.image.resize(x, size, interpolation="bilinear")
        import tensorflow

        return ops.cast(tensorflow.image.resize(x, size), x.dtype)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height and 2 * height, width and 2 * width, channels)


def upsample(x, filters: int, kind: str, name: str):
    """(H, W, C) to (2H, 2W, filters): 2 x 2 transposed convolution, or 1 x 1 then bilinear."""
    if kind == "transpose":
        return keras.layers.Conv2DTranspose(filters, 2, strides=2, name=f"{name}_up")(x)
    x = keras.layers.Conv2D(filters, 1, name=f"{name}_reduce")(x)
    return BilinearUpsample(name=f"{name}_up")(x)


def conv_relu(x, filters: int, name: str, *, size: int = 3, strides: int = 1):
    """Convolution (same padding), ReLU: (H, W, C) to (H / strides, W / strides, filters)."""
    convolution = keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )
    return convolution(x)


def conv_norm_relu(x, filters: int, norm: str | None, name: str, *, dilation: int = 1):
    """3 x 3 convolution (same padding), normalisation, ReLU: (H, W, C) to (H, W, filters)."""
    x = keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        dilation_rate=dilation,
        use_bias=norm is None,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    if norm == "batch":
        x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    elif norm is not None:
        groups = -1 if norm == "instance" else _groups(filters)
        x = keras.layers.GroupNormalization(groups, name=f"{name}_gn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _groups(filters: int) -> int:
    """The largest divisor of ``filters`` up to 8; at most 8 groups, as 16 filters are common."""
    return next(n for n in range(8, 0, -1) if filters % n == 0)


def class_probabilities(x, classes: int):
    """1 x 1 convolution and softmax in float32, also under mixed precision."""
    x = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    return keras.layers.Softmax(dtype="float32", name="softmax")(x)


def check_choices(**chosen) -> None:
    """Raises ValueError for a ``norm`` or ``upsampling`` that is not offered, or a wrong number."""
    offered = {"norm": NORMS, "upsampling": UPSAMPLINGS}
    for keyword, value in chosen.items():
        if keyword in offered and value not in offered[keyword]:
            choices = ", ".join(repr(c) for c in offered[keyword])
            raise ValueError(f"{keyword} must be one of {choices}. Received: {keyword}={value!r}.")
        if keyword == "classes" and (not isinstance(value, int) or value < 2):
            raise ValueError(
                "classes counts the background too, so it is at least 2 (background and one class)."
                f" Received: classes={value!r}."
            )
        most = COUNTS.get(keyword)
        if most and not (isinstance(value, int) and 1 <= value <= most):
            raise ValueError(
                f"{keyword} must be a whole number from 1 to {most}. Received: {value!r}."
            )
        if keyword == "dropout" and not (isinstance(value, int | float) and 0 <= value < 1):
            raise ValueError(f"dropout must be a share from 0 to below 1. Received: {value!r}.")
    filters, depth = (chosen.get(keyword, 1) for keyword in ("filters", "depth"))
    if filters << depth > WIDEST:
        raise ValueError(
            f"filters double at each of depth levels, to {WIDEST} at most. Received:"
            f" filters={filters}, depth={depth}, which is {filters << depth}. Take less of either."
        )
