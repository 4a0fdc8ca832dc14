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

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.optimize import linear_sum_assignment

from temzoo.core.types import IGNORE, MIN_SCORE, Example, LabelledImage, Micrograph, Prediction
from temzoo.evaluation.uncertainty import Doubts, doubts_of_objects
from temzoo.inference.detection import Detector, find_objects
from temzoo.inference.objects import counted_from
from temzoo.inference.options import PredictOptions
from temzoo.inference.pixels import as_micrograph
from temzoo.inference.predict import predict
from temzoo.inference.regions import no_instances
from temzoo.tasks import endpoints
from temzoo.tasks.instance_targets import anchor_sizes, encode, layers, measure
from temzoo.tasks.objects_found import objects_found
from temzoo.zoo.built import built, class_names_of
from temzoo.zoo.task import Task, register_task

if TYPE_CHECKING:
    import keras

# From which a detection counts: what scores less is doubtful, down to ``MIN_SCORE``. Chosen on the
# validation images of EMPS: benchmarks/results/tried.md.
SURE = 0.7
FAR = 1e6  # px; no two boxes of an image are so far apart
DETECTS = "detect"  # the method by which a detector is told from other objects


class Instance(Task):
    """Models whose method ``detect`` finds objects in squares of their ``image_size``."""

    name = "instance"
    score = "val_f1"
    score_name = "F1"
    judged_by_fit = False
    # A few steps of the first epochs have gradients a hundred times the usual: heads that see no
    # object for a while, then many.
    optimizer = MappingProxyType({"clipnorm": 5.0})
    instances = "objects"
    least_score = SURE

    def training_data(self) -> type:
        from temzoo.tasks.training_data import LabelledData  # brings TensorFlow

        return LabelledData

    def target(self, class_names: tuple[str, ...]) -> Objects:
        return Objects(tuple(class_names))

    def classes(self, model: keras.Model) -> int:
        return built(model).config["classes"]

    def prepare(
        self, model: keras.Model, examples: Sequence[Example], magnification: tuple[float, float]
    ) -> None:
        """Chooses the anchor sizes from the training objects, before the first step.

        Those that the config names stay, and so do those of a model that was trained before: its
        proposals were learnt with them. Regions of the label "ignore" are background to a detector,
        which learns of boxes; the log says so.
        """
        regions = sum(shape.label == IGNORE for one in examples for shape in one.labels.shapes)
        if regions:
            logging.getLogger(__name__).warning(
                "a detector learns %d regions of label %r as background. Use particles or a U-Net,"
                " which leave them out.",
                regions,
                IGNORE,
            )
        how = built(model)
        if how.config.get("anchor_sizes", ()) is not None or how.class_names or how.begun:
            return
        sizes = anchor_sizes(
            examples,
            magnification=magnification,
            levels=len(model.anchor_sizes),
            largest=model.image_size,
        )
        model.set_anchor_sizes(sizes)

    def bare(self, model: keras.Model) -> keras.Model:
        # A model that is more than a graph of layers says itself what it is without its optimizer.
        return model.bare() if hasattr(model, "bare") else super().bare(model)

    def judge(
        self, model: keras.Model, examples: Sequence[Example], class_names: tuple[str, ...]
    ) -> dict[str, float]:
        """F1, precision and recall of all micrographs together, as ``evaluate`` gives them.

        Predicted objects are matched one to one with the labelled ones of their class at a mask
        IoU of 0.5.
        """
        return objects_found(model, examples, class_names, predict)

    def picture(
        self, path: Path, model: Any, examples: Sequence[Any], class_names: tuple[str, ...], **more
    ) -> Path:
        from temzoo.tasks.validation_sheet import validation_sheet  # draws

        return validation_sheet(path, model, examples, class_names, **more)

    def recognises(self, model: Any) -> bool:
        return hasattr(model, DETECTS)

    def class_names(self, model: Any) -> tuple[str, ...]:
        return tuple(getattr(model, "class_names", ()))

    def answer(self, model: Any, micrograph: Micrograph, options: PredictOptions) -> Prediction:
        _check_options(options)
        least = self.least_score if options.min_score is None else options.min_score
        found = predict_detections(
            model,
            micrograph,
            box_shaped=self.box_shaped,
            overlap=options.overlap,
            min_score=min(least, MIN_SCORE),
            min_area_px=options.min_area_px,
            batch_size=options.batch_size,
            progress=options.progress,
            class_names=options.class_names,
        )
        found = counted_from(found, least)
        return found if options.instances else replace(found, instances=no_instances(found.classes))

    def at_once(self, model: Any) -> int:
        return getattr(model, "in_flight", 1)

    def scored(self, least: float | None) -> dict[str, Any]:
        return {"min_score": least}

    def doubts(self, model: Any, pixels: np.ndarray, mirrors: Sequence[tuple]) -> Doubts:
        return doubts_of_objects(partial(predict_detections, model), pixels, mirrors)

    def normalizer(self, model: Any) -> Any:
        return getattr(model, "normalize", None)

    def endpoints(self, model: keras.Model) -> Mapping[str, endpoints.Endpoint]:
        """The fields of the model's ``Detections``."""
        answers = {endpoints.RAW: model.serve, endpoints.NORMALIZED: model.serve_normalized}
        inputs = {endpoints.IMAGES: model.input_shape[1:]}
        return {
            signature: endpoints.Endpoint(partial(_found, answer), inputs, compare=deviations)
            for signature, answer in answers.items()
        }

    def served_facts(self, model: keras.Model) -> dict[str, Any]:
        return {"step": None, "max_detections": model.max_detections}


def predict_detections(
    model: Any, micrograph: Micrograph | np.ndarray | str | Path, **options: Any
) -> Prediction:
    """Finds the objects of one micrograph of any size.

    Args:
        model: a detector of temzoo, or an object with ``image_size``, ``input_shape`` and
            ``detect`` as it has them.
        micrograph: a path, the raw pixels (H, W) or (H, W, C), or a Micrograph.
        **options: of ``inference.detection.find_objects``; and box_shaped, whether it finds boxes.

    Raises:
        ValueError: the model has no ``detect``; else as ``find_objects``.
    """
    if not hasattr(model, DETECTS):
        raise ValueError(
            "predict_detections needs a model that has detect. Received: "
            f"{type(model).__name__}. Use temzoo.predict, which takes every model."
        )
    names = tuple(options.pop("class_names", ())) or class_names_of(model)
    detector = Detector(
        detect=model.detect,
        box_shaped=options.pop("box_shaped", False),
        image_size=model.image_size,
        channels=model.input_shape[-1],
        normalize=getattr(model, "normalize", None),
        in_flight=getattr(model, "in_flight", 1),
        max_detections=getattr(model, "max_detections", None),
    )
    return find_objects(detector, as_micrograph(micrograph), class_names=names, **options)


def _check_options(options: PredictOptions) -> None:
    regions = options.instances in ("auto", "components", None)
    refused = {
        "tile": options.tile if options.tile is not None else False,
        "flips": options.flips,
        "probabilities": options.probabilities,
        "instances": False if regions else options.instances,
    }
    given = ", ".join(f"{name}={value!r}" for name, value in refused.items() if value is not False)
    if given:
        raise ValueError(
            "a detector has tiles of its own size and finds objects, not probabilities of pixels. "
            f"Received: {given}. Leave them out."
        )


@dataclass(frozen=True)
class Objects:
    """What a model learns of a micrograph: its objects, as ``data.crop_plan.Target`` asks.

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


register_task(Instance())
