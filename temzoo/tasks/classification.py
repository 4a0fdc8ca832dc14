"""Classification: the class of a single image, such as a cut particle.

Truth and prediction are (B, classes): one-hot, and probabilities that sum to 1. There is no
background: class 0 is the first that has a name. Images are raw pixels of the model's size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from temzoo.core.types import Example, LabelledImage, Micrograph
from temzoo.evaluation.classification import class_probabilities, evaluate_classifier
from temzoo.tasks import endpoints
from temzoo.tasks.pixel_models import layer_named
from temzoo.tasks.semantic import balanced_weights, deviations
from temzoo.zoo.built import class_names_of, task_of
from temzoo.zoo.task import Task, register_task

if TYPE_CHECKING:
    import keras

LOSSES = ("smooth_ce", "ce")
LOGITS = "logits"  # the layer before the softmax
TEMPERATURES = 0.5, 5.0
CLASSIFY = "classify"  # the signature of served models, beside the usual one
CLASS, PROBABILITIES = "class", "class_probabilities"  # what they answer


class ClassificationTask(Task):
    """Models that give a probability for each class of a single image."""

    name = "classification"
    examples = "classes"
    background = False
    score = "val_balanced_accuracy"
    score_name = "balanced accuracy"
    losses = LOSSES

    def training_data(self) -> type:
        from temzoo.tasks.training_data import ClassData  # brings TensorFlow

        return ClassData

    def classes(self, model: keras.Model) -> int:
        return model.output_shape[-1]

    def balanced_weights(self, maps: Iterable[np.ndarray], classes: int) -> list[float]:
        return balanced_weights(maps, classes)

    def loss_and_metrics(
        self, model: keras.Model, loss: Any, class_weights: Sequence[float] | None
    ) -> dict[str, Any]:
        from temzoo.tasks.classification_graph import KINDS, ClassLoss, ClassMean

        count = self.classes(model)
        if class_weights is not None and len(class_weights) != count:
            raise ValueError(
                f"class_weights must give one factor per class: {count} here. Received:"
                f" class_weights={list(class_weights)}."
            )
        if loss is None or isinstance(loss, str):
            loss = ClassLoss(loss or self.losses[0], class_weights)
        return {"loss": loss, "metrics": [ClassMean(kind, count) for kind in KINDS]}

    def picture(
        self,
        path: Path,
        model: Any,
        examples: Sequence[Example],
        class_names: tuple[str, ...],
        *,
        title: str = "",
        **options: Any,
    ) -> Path:
        from temzoo.pictures.confusion import plot_confusion  # draws

        found = evaluate_classifier(model, examples, classes=class_names)
        return plot_confusion(found, path, title=title)

    def answer(self, model: Any, micrograph: Micrograph, options: Any) -> Any:
        raise ValueError(_takes_particles("predict", model))

    def doubts(self, model: Any, pixels: np.ndarray, mirrors: Sequence[tuple]) -> Any:
        raise ValueError(_takes_particles("label_next", model))

    def endpoints(self, model: keras.Model) -> Mapping[str, endpoints.Endpoint]:
        """The most probable class, from 0, and the probabilities of all."""
        one = endpoints.Endpoint(
            partial(_answered, model),
            {endpoints.IMAGES: model.input_shape[1:]},
            compare=partial(deviations, of=CLASS, by=PROBABILITIES),
        )
        return {endpoints.RAW: one, CLASSIFY: one}


def _takes_particles(asked: str, model: Any) -> str:
    return (
        f"{asked} takes models of whole micrographs. Received: {model!r}, which tells the class of"
        " a single particle. Cut particles with `temzoo particles`, and ask temzoo.classify, or"
        " `temzoo evaluate RUN --images PARTICLES` where their classes are known."
    )


def _answered(model: keras.Model, images) -> dict:
    from temzoo.tasks.semantic_graph import class_map_and_probabilities

    found = class_map_and_probabilities(model(images, training=False))
    return {CLASS: found["class_map"], PROBABILITIES: found["probabilities"]}


def calibrate(model: keras.Model, probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Divides a model's last scores by the temperature that fits images of known classes best.

    Which class is the most probable stays; how probable it is called becomes right on average (Guo
    et al. 2017, arXiv:1706.04599). The temperature goes into the weights of the layer "logits".

    Args:
        probabilities: (N, classes) of the model for these images.
        truth: (N, classes) one-hot.

    Returns:
        the temperature; 1 for a model without such a layer, which stays as it is.
    """
    layer = layer_named(model, LOGITS)
    if layer is None:
        return 1.0
    found = temperature(probabilities, truth)
    layer.set_weights([weight / found for weight in layer.get_weights()])
    return found


def temperature(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The temperature of least cross-entropy, from ``TEMPERATURES``: a few images prove little."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    scores = np.log(np.clip(probabilities.astype(np.float64), 1e-30, None))

    def cross_entropy(logarithm: float) -> float:
        return -float(np.mean(np.sum(truth * log_softmax(scores / np.exp(logarithm), -1), -1)))

    found = minimize_scalar(cross_entropy, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


@dataclass(frozen=True, eq=False)
class Classes:
    """What a classifier says of single images.

    Attributes:
        probabilities: (N, classes) float32; they sum to 1.
        class_names: of the classes 0, 1, …; "0", "1", … where the model's have no names.
    """

    probabilities: np.ndarray
    class_names: tuple[str, ...]

    @property
    def found(self) -> list[str]:
        """The most probable class of each image."""
        return [self.class_names[k] for k in self.probabilities.argmax(axis=1)]


def classify(model: keras.Model, images: Sequence[Example | Micrograph | np.ndarray]) -> Classes:
    """Tells the classes of single particles.

    Args:
        model: a classifier.
        images: square ones, (S, S) or (S, S, C), in their stored range and of any size; as
            examples (``particles.load``), micrographs or arrays.

    Raises:
        ValueError: the model is no classifier; there are no images, or one is not square or not
            finite.

    Example:
        >>> classify(model, temzoo.particles.load("particles")[0]).found
        ['disc', 'rod', 'rod']
    """
    require_classifier(model, "classify")
    found = class_probabilities(model, [_example(one, k) for k, one in enumerate(images)])
    names = class_names_of(model) or tuple(map(str, range(found.shape[1])))
    return Classes(found, names)


def require_classifier(model: Any, asked: str) -> None:
    """Refuses a model that tells no classes of single particles."""
    if task_of(model).examples != "classes":
        raise ValueError(
            f"{asked} needs a classifier, such as dcnn. Received: {model!r}, of the task"
            f' "{task_of(model).name}". Use temzoo.predict for classes and objects of micrographs.'
        )


def _example(image: Example | Micrograph | np.ndarray, number: int) -> Example:
    if isinstance(image, Example):
        return image
    if not isinstance(image, Micrograph):
        image = Micrograph(np.asarray(image), name=f"images[{number}]")
    return Example(LabelledImage(image.name, image.width, image.height), lambda: image)


register_task(ClassificationTask())
