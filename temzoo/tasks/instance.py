"""Instance segmentation: a box, a class and a mask for every object, also where objects overlap.

Labels are drawn as **layers**, (H, W, L) int32: each object lies in one layer, in which nothing
covers it, and its pixels hold ``number * 256 + class``. Layers are cropped, resized and augmented
just as a class map is; boxes and masks are then taken from what is left of each object, so that
they always fit the pixels.

What is learnt of a crop is ``{"boxes": (G, 4), "classes": (G,), "masks": (G, 56, 56)}``; a mask
fills its tight box, whose edges are pixel edges. What a model says is decoded to ``Detection``s at
the micrograph's resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import keras
import numpy as np
from scipy.optimize import linear_sum_assignment

from temzoo.core.types import Example, LabelledImage
from temzoo.tasks import endpoints
from temzoo.tasks.anchors import anchor_sizes
from temzoo.tasks.instance_targets import encode, layers, measure
from temzoo.zoo import building

SCORE = "val_f1"

SCORE_NAME = "F1"

DATA = "labels"

JUDGE = "instances"

# A few steps of the first epochs have gradients a hundred times the usual: heads that see no
# object for a while, then many.
OPTIMIZER: Mapping[str, Any] = MappingProxyType({"clipnorm": 5.0})

FAR = 1e6  # px; no two boxes of an image are so far apart


@dataclass(frozen=True)
class Objects:
    """What a model learns of a micrograph: its objects, as ``pipeline.dataset.Target`` asks.

    Attributes:
        class_names: of the classes 1, 2, …
        padding: what fills a batch up to the crop with most objects.
    """

    class_names: tuple[str, ...]
    padding: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"boxes": -1, "classes": -1, "masks": 0}
    )

    def draw(self, labels: LabelledImage) -> np.ndarray:
        """The (H, W, L) int32 layers of a whole micrograph."""
        return layers(labels, self.class_names)

    def measure(self, drawn: np.ndarray) -> np.ndarray:
        """What ``encode`` asks of the whole micrograph: see ``measure``."""
        return measure(drawn)

    def encode(
        self, drawn: np.ndarray, whole: np.ndarray, magnification: float
    ) -> dict[str, np.ndarray]:
        """Boxes, classes and masks of a crop: see ``encode``."""
        return encode(drawn, whole=whole, magnification=magnification)


def learnable(class_names: tuple[str, ...]) -> Objects:
    """What a model of this task learns of micrographs with these classes."""
    return Objects(tuple(class_names))


def prepare(
    model: keras.Model, examples: Sequence[Example], *, magnification: tuple[float, float]
) -> None:
    """Chooses the anchor sizes from the training objects, before the first step.

    Those that the config names stay, and so do those of a model that was trained before: its
    proposals were learnt with them.
    """
    how = building.built(model)
    if how.config.get("anchor_sizes", ()) is not None or how.class_names:
        return
    sizes = anchor_sizes(
        examples,
        magnification=magnification,
        levels=len(model.anchor_sizes),
        largest=model.image_size,
    )
    model.set_anchor_sizes(sizes)


def classes(model: keras.Model) -> int:
    """Number of classes that a model tells apart, the background included."""
    return building.built(model).config["classes"]


def depth(class_names: tuple[str, ...]) -> int:
    """Number of classes that a model of these names needs."""
    return len(class_names) + 1


def compile_model(
    model: keras.Model,
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
    loss: None = None,
    class_weights: None = None,
    jit_compile: bool = False,
) -> None:
    """Compiles with AdamW at 1e-3, unless told otherwise; the losses are the model's own.

    Raises:
        ValueError: a loss or class weights are given.
    """
    if loss is not None:
        raise ValueError(
            "The losses of instance segmentation are the model's own. Received:"
            f" loss={loss!r}. Leave loss out."
        )
    if class_weights is not None:
        raise ValueError(_no_weights(class_weights))
    optimizer = optimizer or keras.optimizers.AdamW(1e-3, **OPTIMIZER)
    model.compile(optimizer=optimizer, jit_compile=jit_compile)


def balanced_weights(maps: Iterable[np.ndarray], classes: int) -> list[float]:
    """Refuses: objects are drawn evenly, so that rare classes need no weights of pixels.

    Raises:
        ValueError: always.
    """
    raise ValueError(_no_weights("balanced"))


def _no_weights(received: Any) -> str:
    return (
        "Instance segmentation has no class weights. Received:"
        f" class_weights={received!r}. Leave class_weights (--balance) out."
    )


def serving(model: keras.Model) -> dict[str, endpoints.Endpoint]:
    """What a served model of this task answers: the fields of its ``Detections``."""
    answers = {endpoints.RAW: model.serve, endpoints.NORMALIZED: model.serve_normalized}
    inputs = {endpoints.IMAGES: model.input_shape[1:]}
    return {
        signature: endpoints.Endpoint(partial(_found, answer), inputs, compare=deviations)
        for signature, answer in answers.items()
    }


def _found(answer, images) -> dict:
    """``count`` says how many of the (B, N) boxes, classes, scores and masks are objects."""
    detections = dict(answer(images))
    detections["count"] = detections.pop("counts")
    return detections


def deviations(expected: endpoints.Answers, found: endpoints.Answers) -> dict[str, float]:
    """How far a served model's answers are from what was expected.

    Objects of one score may come in any order; those with the nearest boxes are compared.
    """
    if any(value.shape != found[name].shape for name, value in expected.items()):
        return endpoints.deviations(expected, found)
    batch = range(len(found["count"]))
    order = np.stack([_nearest(expected, found, image) for image in batch])
    ordered = {
        name: value
        if name == "count"
        else np.take_along_axis(value, order.reshape(*order.shape, *[1] * (value.ndim - 2)), 1)
        for name, value in found.items()
    }
    return endpoints.deviations(expected, ordered)


def _nearest(expected: endpoints.Answers, found: endpoints.Answers, image: int) -> np.ndarray:
    """Of each of the N objects of an image its own among those found: (N,), each once."""
    apart = np.abs(expected["boxes"][image][:, None] - found["boxes"][image][None]).max(axis=-1)
    # Boxes are shared by the classes, so two of one place may differ in their class alone.
    other = expected["classes"][image][:, None] != found["classes"][image][None]
    return linear_sum_assignment(apart + other * FAR)[1]
