"""Semantic segmentation as Keras computes it: losses, the score, and what a served model answers.

Truth and prediction are (B, H, W, classes): one-hot, and probabilities that sum to 1; class 0 is
the background. A pixel that is of no class, all 0 in the truth, weighs nothing in loss and score.
"""

from __future__ import annotations

import keras
from keras import ops

from temzoo.tasks.semantic import LOSSES
from temzoo.tasks.whole_batch import MeanOfImages, NamedLoss, over_devices, part_of_device

EPSILON = 1e-6
# Weight of a missed pixel in the Tversky index, a false one having the rest; at 0.5 it is Dice.
MISSES = {"dice": 0.5, "dice_ce": 0.5, "tversky": 0.7}


@keras.saving.register_keras_serializable("temzoo")
class SegmentationLoss(NamedLoss):
    """Cross-entropy, Dice, their sum, focal or Tversky loss on one-hot truth.

    ``ce``: mean over pixels of -log p(true class), weighted by class. ``focal``: the same times
    (1 - p)^2 (Lin et al. 2017, arXiv:1708.02002). ``dice``: 1 - 2|A∩B| / (|A| + |B|), soft, over
    the batch, mean of the foreground classes (Milletari et al. 2016,
    arXiv:1606.04797). ``tversky``:
    1 - TP / (TP + 0.3 FP + 0.7 FN), which forgives false alarms sooner than misses (Salehi et al.
    2017, arXiv:1706.05721). ``dice_ce``: ``dice`` + ``ce``.

    Args:
        kind: one of the names above.
        class_weights: one factor per class, background first; None: all 1.
    """

    KINDS = LOSSES

    def __init__(self, kind="dice_ce", class_weights=None, name="segmentation", **kwargs):
        super().__init__(kind, class_weights, name=name, **kwargs)

    def call(self, truth, probabilities):
        truth = ops.cast(truth, probabilities.dtype)
        return part_of_device(self.of_classes(truth, probabilities))

    def of_classes(self, truth, probabilities, weight=1.0):
        """The loss; ``weight``, (B, H, W, 1), is that of a pixel in the cross-entropy."""
        loss = 0.0
        if self.kind in ("ce", "dice_ce", "focal"):
            loss = loss + self._cross_entropy(truth * weight, probabilities)
        if self.kind in MISSES:
            known = ops.sum(truth, axis=-1, keepdims=True)
            index = _tversky_index(truth, probabilities * known, MISSES[self.kind])
            loss = loss + 1.0 - self._mean_of_foreground(index)
        return loss

    def _mean_of_foreground(self, index):
        if self.class_weights is None:
            return ops.mean(index)
        weights = ops.convert_to_tensor(self.class_weights[1:], index.dtype)
        return ops.sum(index * weights) / ops.maximum(ops.sum(weights), EPSILON)

    def _cross_entropy(self, truth, probabilities):
        log = ops.log(ops.clip(probabilities, EPSILON, 1.0))
        if self.kind == "focal":
            log = log * ops.square(1.0 - probabilities)
        if self.class_weights is not None:
            truth = truth * ops.convert_to_tensor(self.class_weights, truth.dtype)
        return -ops.mean(ops.sum(truth * log, axis=-1))


def _tversky_index(truth, probabilities, misses: float):
    """(classes - 1,) of the foreground classes over the batch; ``misses`` weighs missed pixels."""
    truth, found = truth[..., 1:], probabilities[..., 1:]
    summed = [ops.sum(each, axis=(0, 1, 2)) for each in (truth * found, truth, found)]
    hit, true, positive = over_devices(summed)
    missed, false = true - hit, positive - hit
    # One pixel's worth keeps a crop without any foreground finite, and right when nothing is found.
    return (hit + 1.0) / (hit + misses * missed + (1.0 - misses) * false + 1.0)


@keras.saving.register_keras_serializable("temzoo")
class ImageIoU(MeanOfImages):
    """Mean over images of the mean IoU of the foreground classes.

    A class that an image has neither in truth nor in prediction does not count for that image; an
    image with no class at all to count is left out.
    """

    def __init__(self, name="iou", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, truth, probabilities, sample_weight=None):
        classes = probabilities.shape[-1]
        found = ops.one_hot(ops.argmax(probabilities, axis=-1), classes, dtype="float32")
        truth = ops.cast(truth, "float32")
        found = (found * ops.sum(truth, axis=-1, keepdims=True))[..., 1:]
        truth = truth[..., 1:]
        hit = ops.sum(truth * found, axis=(1, 2))
        union = ops.sum(truth, axis=(1, 2)) + ops.sum(found, axis=(1, 2)) - hit
        present = ops.cast(union > 0, "float32")
        iou = ops.sum(hit / ops.maximum(union, 1.0), axis=-1)
        counted = ops.sum(present, axis=-1)
        self.total.assign_add(ops.sum(iou / ops.maximum(counted, 1.0)))
        self.images.assign_add(ops.sum(ops.cast(counted > 0, "float32")))


def class_map_and_probabilities(probabilities) -> dict:
    """(B, …) most probable classes, as ``predict`` has them, of (B, …, classes); and these."""
    dtype = "uint8" if probabilities.shape[-1] <= 256 else "int32"
    # Of whole numbers, since Keras takes floats apart bit by bit for it, which ONNX cannot.
    highest = ops.cast(probabilities >= ops.max(probabilities, axis=-1, keepdims=True), "int32")
    return {
        "class_map": ops.cast(ops.argmax(highest, axis=-1), dtype),
        "probabilities": ops.cast(probabilities, "float32"),
    }
