"""Restoration as Keras computes it: losses, the score, and what a served model answers.

Truth and prediction are (B, H, W, C), C 1 (grey) or 3 (colour), in the image's own range. Losses
and score are taken image by image, in units of the truth's own range, so that uint8 and uint16
images weigh alike. Weights (B, H, W) of 0 and 1 choose the pixels that count, as blind-spot
training needs; an image without a pixel that counts is left out.
"""

from __future__ import annotations

import keras
from keras import ops

from temzoo.tasks.restoration import LOSSES
from temzoo.tasks.whole_batch import MeanOfImages, over_devices, part_of_device

CHARBONNIER = 1e-3  # of the range; errors below it count by their square, as rounding does
LEAST_ERROR = 1e-10  # mean squared error in units of the range: 100 dB at most


@keras.saving.register_keras_serializable("temzoo")
class RestorationLoss(keras.losses.Loss):
    """The error of each image in units of its truth's range, averaged over images.

    With e = (prediction - truth) / unit: ``mse`` mean e^2; ``mae`` mean |e|; ``charbonnier`` mean
    sqrt(e^2 + 0.001^2) (Charbonnier et al. 1994, doi 10.1109/ICIP.1994.413553); ``psnr``
    10 log10 of mean e^2, whose minimum is the best mean PSNR, so that easy images count like hard
    ones.

    The unit is max - min of the truth, but at least half its largest absolute value: a crop of flat
    ground has next to no range, and would outweigh all others.

    Args:
        kind: one of the names above.
    """

    def __init__(self, kind="mse", name="restoration", **kwargs):
        super().__init__(name=name, **{"reduction": "sum_over_batch_size", **kwargs})
        if kind not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}. Received: loss={kind!r}.")
        self.kind = kind

    def __call__(self, y_true, y_pred, sample_weight=None):
        truth = ops.cast(y_true, "float32")
        unit = ops.maximum(_ranges(truth), ops.max(ops.abs(truth), axis=(1, 2, 3)) / 2)
        error = (ops.cast(y_pred, "float32") - truth) / _nonzero(unit)[:, None, None, None]
        per_image, counted = _mean_of_pixels(self.call(error), sample_weight)
        if self.kind == "psnr":
            per_image = _decibels(per_image)
        total, images = over_devices([ops.sum(per_image * counted), ops.sum(counted)])
        return part_of_device(total / ops.maximum(images, 1.0))

    def call(self, error):
        """(B, H, W, C) of errors in units of the range to what is averaged over pixels."""
        if self.kind == "mae":
            return ops.abs(error)
        if self.kind == "charbonnier":
            return ops.sqrt(ops.square(error) + CHARBONNIER**2)
        return ops.square(error)

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable("temzoo")
class PSNR(MeanOfImages):
    """Mean over images of the peak signal-to-noise ratio, dB, at most 100.

    10 log10(range^2 / mean squared error) with the range max - min of that image's truth (of all
    its pixels, also where weights leave some out), because a tensor does not tell the range its
    file had. Where that range is not filled, as in most crops, this is less than what benchmarks
    and papers give, which take the stored type's range (255 for uint8). An image whose truth is
    constant is left out.
    """

    def __init__(self, name="psnr", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        truth = ops.cast(y_true, "float32")
        ranges = _ranges(truth)
        error = (ops.cast(y_pred, "float32") - truth) / _nonzero(ranges)[:, None, None, None]
        squared, counted = _mean_of_pixels(ops.square(error), sample_weight)
        counted = counted * ops.cast(ranges > 0, "float32")
        self.total.assign_add(-ops.sum(_decibels(squared) * counted))
        self.images.assign_add(ops.sum(counted))


def _ranges(truth):
    """(B,) max - min of each image."""
    return ops.max(truth, axis=(1, 2, 3)) - ops.min(truth, axis=(1, 2, 3))


def _nonzero(values):
    return ops.where(values > 0, values, 1.0)


def _decibels(squared):
    return 10.0 * ops.log10(ops.maximum(squared, LEAST_ERROR))


def _mean_of_pixels(values, sample_weight):
    """Of (B, H, W, C): means over the pixels that count, (B,), and whether any does, (B,) 1 or 0.

    Weights are (B, H, W), or (B,) for whole images, or None for all.
    """
    values = ops.mean(values, axis=-1)
    if sample_weight is None:
        return ops.mean(values, axis=(1, 2)), ops.ones_like(values[:, 0, 0])
    weight = ops.cast(sample_weight, "float32")
    weight = weight[:, None, None] if len(weight.shape) == 1 else weight
    weight = ops.broadcast_to(weight, ops.shape(values))
    total = ops.sum(weight, axis=(1, 2))
    return ops.sum(values * weight, axis=(1, 2)) / _nonzero(total), ops.cast(total > 0, "float32")


def restored_pixels(network: keras.Model, images) -> dict:
    return {"restored": ops.cast(network(images, training=False), "float32")}
