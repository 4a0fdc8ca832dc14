"""Semantic segmentation: a class for every pixel.

Truth and prediction are (B, H, W, classes): one-hot, and probabilities that sum to 1; class 0 is
the background.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from temzoo.core.types import Example, LabelledImage
from temzoo.labels.shapes.raster import class_map
from temzoo.tasks import endpoints

SCORE = "val_iou"
SCORE_NAME = "IoU"
DATA = "labels"
JUDGE = "metrics"
OPTIMIZER: Mapping[str, Any] = MappingProxyType({})

LOSSES = ("dice_ce", "ce", "dice", "focal", "tversky")
EPSILON = 1e-6
# Weight of a missed pixel in the Tversky index, a false one having the rest; at 0.5 it is Dice.
MISSES = {"dice": 0.5, "dice_ce": 0.5, "tversky": 0.7}


@keras.saving.register_keras_serializable("temzoo")
class SegmentationLoss(keras.losses.Loss):
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

    def __init__(self, kind="dice_ce", class_weights=None, name="segmentation", **kwargs):
        super().__init__(name=name, **{"reduction": "sum_over_batch_size", **kwargs})
        if kind not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}. Received: loss={kind!r}.")
        self.kind = kind
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]

    def call(self, truth, probabilities):
        truth = ops.cast(truth, probabilities.dtype)
        loss = 0.0
        if self.kind in ("ce", "dice_ce", "focal"):
            loss = loss + self._cross_entropy(truth, probabilities)
        if self.kind in MISSES:
            index = _tversky_index(truth, probabilities, MISSES[self.kind])
            loss = loss + 1.0 - self._mean_of_foreground(index)
        return loss

    def _mean_of_foreground(self, index):
        if self.class_weights is None:
            return ops.mean(index)
        weights = ops.convert_to_tensor(self.class_weights[1:], index.dtype)
        return ops.sum(index * weights) / ops.sum(weights)

    def _cross_entropy(self, truth, probabilities):
        log = ops.log(ops.clip(probabilities, EPSILON, 1.0))
        if self.kind == "focal":
            log = log * ops.square(1.0 - probabilities)
        if self.class_weights is not None:
            truth = truth * ops.convert_to_tensor(self.class_weights, truth.dtype)
        return -ops.mean(ops.sum(truth * log, axis=-1))

    def get_config(self):
        own = {"kind": self.kind, "class_weights": self.class_weights}
        return {**super().get_config(), **own}


def _tversky_index(truth, probabilities, misses: float):
    """(classes - 1,) of the foreground classes over the batch; ``misses`` weighs missed pixels."""
    truth, found = truth[..., 1:], probabilities[..., 1:]
    hit = ops.sum(truth * found, axis=(0, 1, 2))
    missed = ops.sum(truth, axis=(0, 1, 2)) - hit
    false = ops.sum(found, axis=(0, 1, 2)) - hit
    # One pixel's worth keeps a crop without any foreground finite, and right when nothing is found.
    return (hit + 1.0) / (hit + misses * missed + (1.0 - misses) * false + 1.0)


@keras.saving.register_keras_serializable("temzoo")
class ImageIoU(keras.metrics.Metric):
    """Mean over images of the mean IoU of the foreground classes.

    A class that an image has neither in truth nor in prediction does not count for that image; an
    image with no class at all to count is left out.
    """

    def __init__(self, name="iou", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_variable((), "zeros", dtype="float32", name="total")
        self.images = self.add_variable((), "zeros", dtype="float32", name="images")

    def update_state(self, truth, probabilities, sample_weight=None):
        classes = probabilities.shape[-1]
        found = ops.one_hot(ops.argmax(probabilities, axis=-1), classes, dtype="float32")[..., 1:]
        truth = ops.cast(truth, "float32")[..., 1:]
        hit = ops.sum(truth * found, axis=(1, 2))
        union = ops.sum(truth, axis=(1, 2)) + ops.sum(found, axis=(1, 2)) - hit
        present = ops.cast(union > 0, "float32")
        iou = ops.sum(hit / ops.maximum(union, 1.0), axis=-1)
        counted = ops.sum(present, axis=-1)
        self.total.assign_add(ops.sum(iou / ops.maximum(counted, 1.0)))
        self.images.assign_add(ops.sum(ops.cast(counted > 0, "float32")))

    def result(self):
        return self.total / ops.maximum(self.images, 1.0)


def compile_model(
    model: keras.Model,
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
    loss: str | keras.losses.Loss | None = None,
    class_weights=None,
    jit_compile: bool = False,
) -> None:
    """Compiles with AdamW at 1e-3, Dice + cross-entropy and IoU, unless told otherwise.

    ``jit_compile`` is off because XLA's CPU convolutions are slower than oneDNN's.
    """
    count = classes(model)
    if class_weights is not None and len(class_weights) != count:
        raise ValueError(
            f"class_weights must give one factor per class, background first: {count} here."
            f" Received: class_weights={list(class_weights)}."
        )
    if loss is None or isinstance(loss, str):
        loss = SegmentationLoss(LOSSES[0] if loss is None else loss, class_weights)
    model.compile(
        optimizer=optimizer or keras.optimizers.AdamW(1e-3),
        loss=loss,
        metrics=[ImageIoU()],
        jit_compile=jit_compile,
    )


@dataclass(frozen=True)
class ClassMaps:
    """What a model learns of a micrograph: its classes, as ``pipeline.dataset.Target`` asks.

    Attributes:
        class_names: of the classes 1, 2, …
        padding: None, because all crops have maps of one size.
    """

    class_names: tuple[str, ...]
    padding: ClassVar[None] = None

    def draw(self, labels: LabelledImage) -> np.ndarray:
        """The (H, W) uint8 class map of a whole micrograph."""
        return class_map(labels, self.class_names).astype(np.uint8)

    def measure(self, drawn: np.ndarray) -> None:
        """Nothing: a crop's classes are known from the crop."""

    def encode(self, drawn: np.ndarray, whole: None = None, magnification: float = 1.0):
        """(h, w, classes) uint8, one-hot, of a crop's class map."""
        hot = np.empty((*drawn.shape, depth(self.class_names)), bool)
        for value in range(hot.shape[-1]):  # six times faster than comparing along the last axis
            np.equal(drawn, value, out=hot[..., value])
        return hot.view(np.uint8)


def learnable(class_names: tuple[str, ...]) -> ClassMaps:
    """What a model of this task learns of micrographs with these classes."""
    return ClassMaps(tuple(class_names))


def depth(class_names: tuple[str, ...]) -> int:
    """Number of values in the target map."""
    return len(class_names) + 1


def classes(model: keras.Model) -> int:
    """Number of classes that a model tells apart, the background included."""
    return model.output_shape[-1]


def prepare(
    model: keras.Model, examples: Sequence[Example], *, magnification: tuple[float, float]
) -> None:
    """Nothing: these models need to know nothing of the examples before the first step."""


def balanced_weights(maps: Iterable[np.ndarray], classes: int) -> list[float]:
    """Class weights for rare classes: 1 / sqrt(share of pixels), scaled to a mean of 1 per pixel.

    The square root keeps a class of 0.1 % of the pixels from outweighing all the rest.
    """
    counts = np.zeros(classes)
    for one in maps:
        counts += np.bincount(one.ravel(), minlength=classes)[:classes]
    share = np.maximum(counts, 1) / max(counts.sum(), 1)
    weights = 1 / np.sqrt(share)
    return list(weights / np.sum(weights * share))


def serving(model: keras.Model) -> dict[str, endpoints.Endpoint]:
    """What a served model of this task answers: the class map and the probabilities."""
    networks = {endpoints.RAW: model, endpoints.NORMALIZED: endpoints.normalized_alone(model)}
    inputs = {endpoints.IMAGES: model.input_shape[1:]}
    return {
        signature: endpoints.Endpoint(partial(_maps, network), inputs, compare=deviations)
        for signature, network in networks.items()
        if network is not None
    }


def _maps(network: keras.Model, images) -> dict:
    """(B, H, W) class map, as ``predict`` has it, and (B, H, W, classes) probabilities."""
    probabilities = network(images, training=False)
    dtype = "uint8" if probabilities.shape[-1] <= 256 else "int32"
    # Of whole numbers, since Keras takes floats apart bit by bit for it, which ONNX cannot.
    highest = ops.cast(probabilities >= ops.max(probabilities, axis=-1, keepdims=True), "int32")
    return {
        "class_map": ops.cast(ops.argmax(highest, axis=-1), dtype),
        "probabilities": ops.cast(probabilities, "float32"),
    }


def deviations(expected: endpoints.Answers, found: endpoints.Answers) -> dict[str, float]:
    """How far a served model's answers are from what was expected.

    Where the class maps differ, by how much the expected class is the more probable one.
    """
    ours, theirs = expected["class_map"], found["class_map"]
    probable = endpoints.deviation(expected["probabilities"], found["probabilities"])
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype or not np.isfinite(probable):
        return {"class_map": float("inf"), "probabilities": probable}
    of_class = [
        np.take_along_axis(expected["probabilities"], each[..., None].astype(np.intp), -1)
        for each in (ours, theirs)
    ]
    doubt = np.where(ours == theirs, 0.0, (of_class[0] - of_class[1])[..., 0])
    return {"class_map": float(doubt.max(initial=0.0)), "probabilities": probable}
