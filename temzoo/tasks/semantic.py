"""Semantic segmentation: a class for every pixel.

Truth and prediction are (B, H, W, classes): one-hot, and probabilities that sum to 1; class 0 is
the background.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from temzoo.core.types import LabelledImage, Micrograph, Prediction
from temzoo.evaluation.uncertainty import Doubts, doubts_of_pixels
from temzoo.inference.options import PredictOptions
from temzoo.inference.predict import segment
from temzoo.inference.tiles import PixelNetwork
from temzoo.labels.shapes.raster import class_map, ignored_pixels
from temzoo.tasks import endpoints
from temzoo.tasks.pixel_models import PixelTask, pixel_network
from temzoo.zoo.built import class_names_of
from temzoo.zoo.task import register_task

if TYPE_CHECKING:
    import keras

IGNORED = 255  # in class maps that are learnt from: neither background nor a class
LOSSES = ("dice_ce", "ce", "dice", "focal", "tversky")


class Semantic(PixelTask):
    """Models that give a probability for each class of each pixel.

    The task also takes any function of raw pixels (B, H, W, C) to (B, H, W, classes), and objects
    whose ``predict_probabilities`` takes a whole image.
    """

    name = "semantic"
    score = "val_iou"
    score_name = "IoU"
    losses = LOSSES
    instances = "regions"

    def training_data(self) -> type:
        from temzoo.tasks.training_data import LabelledData  # brings TensorFlow

        return LabelledData

    def target(self, class_names: tuple[str, ...]) -> ClassMaps:
        return ClassMaps(tuple(class_names))

    def classes(self, model: keras.Model) -> int:
        return model.output_shape[-1]

    def balanced_weights(self, maps: Iterable[np.ndarray], classes: int) -> list[float]:
        return balanced_weights(maps, classes)

    def loss_and_metrics(
        self, model: keras.Model, loss: Any, class_weights: Sequence[float] | None
    ) -> dict[str, Any]:
        from temzoo.tasks.semantic_graph import ImageIoU, SegmentationLoss

        self.check_weights(model, class_weights)
        if loss is None or isinstance(loss, str):
            loss = SegmentationLoss(loss or self.losses[0], class_weights)
        return {"loss": loss, "metrics": [ImageIoU()]}

    def check_weights(self, model: keras.Model, class_weights: Sequence[float] | None) -> None:
        """Raises ValueError unless there is one per class."""
        count = self.classes(model)
        if class_weights is not None and len(class_weights) != count:
            raise ValueError(
                f"class_weights must give one factor per class, background first: {count} here."
                f" Received: class_weights={list(class_weights)}."
            )

    def picture(
        self, path: Path, model: Any, examples: Sequence[Any], class_names: tuple[str, ...], **more
    ) -> Path:
        from temzoo.tasks.validation_sheet import validation_sheet  # draws

        return validation_sheet(path, model, examples, class_names, **more)

    def recognises(self, model: Any) -> bool:
        return True

    def class_names(self, model: Any) -> tuple[str, ...]:
        return tuple(getattr(model, "class_names", ()))

    def tiled(
        self, model: Any, options: PredictOptions
    ) -> tuple[PixelNetwork, PredictOptions, bool]:
        if options.min_score is not None:
            raise ValueError(
                "min_score is for models that detect objects. Received: "
                f"min_score={options.min_score} for one that labels pixels. Leave it out, or use "
                "instances=Watershed(threshold=0.7) to keep only sure pixels."
            )
        return pixel_network(model), options, False

    def answer(self, model: Any, micrograph: Micrograph, options: PredictOptions) -> Prediction:
        network, options, _ = self.tiled(model, options)
        names = tuple(options.class_names) or class_names_of(model)
        return segment(network, micrograph, options, names)

    def at_once(self, model: Any) -> int:
        return getattr(model, "in_flight", 1)

    def scored(self, least: float | None) -> dict[str, Any]:
        return {"probabilities": least is not None}

    def doubts(self, model: Any, pixels: np.ndarray, mirrors: Sequence[tuple]) -> Doubts:
        return doubts_of_pixels(pixel_network(model), pixels, mirrors)

    def endpoints(self, model: keras.Model) -> Mapping[str, endpoints.Endpoint]:
        """The class map and the probabilities."""
        from temzoo.tasks.semantic_graph import class_map_and_probabilities

        def answer(network, images):
            return class_map_and_probabilities(network(images, training=False))

        return self.pixel_endpoints(model, answer, compare=deviations)


@dataclass(frozen=True)
class ClassMaps:
    """What a model learns of a micrograph: its classes, as ``data.crop_plan.Target`` asks.

    Attributes:
        class_names: of the classes 1, 2, …
        padding: None, because all crops have maps of one size.
    """

    class_names: tuple[str, ...]
    padding: ClassVar[None] = None

    def __post_init__(self) -> None:
        if len(self.class_names) >= IGNORED:
            raise ValueError(
                f"A model that labels pixels tells at most {IGNORED - 1} classes apart. Received:"
                f" {len(self.class_names)} classes. Join some of them in the label file."
            )

    def draw(self, labels: LabelledImage) -> np.ndarray:
        """The (H, W) uint8 class map of a whole micrograph; ``IGNORED`` where nobody has judged."""
        return with_ignored(class_map(labels, self.class_names).astype(np.uint8), labels)

    def measure(self, drawn: np.ndarray) -> None:
        """Nothing: a crop's classes are known from the crop."""

    def encode(self, drawn: np.ndarray, whole: None = None, magnification: float = 1.0):
        """(h, w, classes) uint8, one-hot, of a crop's class map; all 0 where it is ``IGNORED``."""
        hot = np.empty((*drawn.shape, len(self.class_names) + 1), bool)
        for value in range(hot.shape[-1]):  # six times faster than comparing along the last axis
            np.equal(drawn, value, out=hot[..., value])
        return hot.view(np.uint8)


def with_ignored(classes: np.ndarray, labels: LabelledImage) -> np.ndarray:
    """A (H, W) uint8 class map, ``IGNORED`` at pixels of the label "ignore"."""
    ignored = ignored_pixels(labels)
    return classes if ignored is None else np.where(ignored, np.uint8(IGNORED), classes)


def balanced_weights(maps: Iterable[np.ndarray], classes: int) -> list[float]:
    """Class weights for rare classes: 1 / sqrt(share of pixels), scaled to a mean of 1 per pixel.

    The square root keeps a class of 0.1 % of the pixels from outweighing all the rest. A class
    without a pixel weighs nothing.
    """
    counts = np.zeros(classes)
    for one in maps:
        counts += np.bincount(one[one < classes], minlength=classes)
    share = counts / max(counts.sum(), 1)
    weights = np.divide(1, np.sqrt(share), out=np.zeros(classes), where=share > 0)
    return list(weights / max(np.sum(weights * share), 1e-12))


def deviations(
    expected: endpoints.Answers,
    found: endpoints.Answers,
    *,
    of: str = "class_map",
    by: str = "probabilities",
) -> dict[str, float]:
    """How far a served model's answers are from what was expected.

    Where the classes differ, by how much the expected class is the more probable one.

    Args:
        of: name of the classes among the answers.
        by: that of their probabilities.
    """
    ours, theirs = expected[of], found[of]
    probable = endpoints.deviation(expected[by], found[by])
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype or not np.isfinite(probable):
        return {of: float("inf"), by: probable}
    of_class = [
        np.take_along_axis(expected[by], each[..., None].astype(np.intp), -1)
        for each in (ours, theirs)
    ]
    doubt = np.where(ours == theirs, 0.0, (of_class[0] - of_class[1])[..., 0])
    return {of: float(doubt.max(initial=0.0)), by: probable}


register_task(Semantic())
