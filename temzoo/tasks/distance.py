"""Instance segmentation by distance: a class for every pixel, and how deep in its object it lies.

Truth is (B, H, W, classes + 2) uint8: one-hot classes, then the distance to the outline over the
object's largest and the nearness of two objects, 0 to 255. Answers are (B, H, W, classes + 1):
probabilities that sum to 1, class 0 the background, then the distance, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from temzoo.core.types import Detection, Example, LabelledImage, Micrograph, Prediction
from temzoo.evaluation.uncertainty import Doubts, doubts_of_pixels
from temzoo.inference.fused import LEAST_SCORE
from temzoo.inference.options import PredictOptions
from temzoo.inference.predict import predict, segment
from temzoo.inference.tiles import PixelNetwork
from temzoo.tasks import endpoints
from temzoo.tasks.distance_targets import distance_maps
from temzoo.tasks.objects_found import objects_found
from temzoo.tasks.pixel_models import classes_alone, pixel_network
from temzoo.tasks.semantic import ClassMaps, Semantic, deviations, with_ignored
from temzoo.zoo.building import kept_model
from temzoo.zoo.built import class_names_of
from temzoo.zoo.pretrained import DETECTOR
from temzoo.zoo.task import register_task

if TYPE_CHECKING:
    import keras

# Confidence from which an object counts. As many are then found as there are, within 3 %, with
# nearly the highest F1; chosen on EMPS' validation images: benchmarks/results/tried.md.
COUNTED = 0.4


class Distance(Semantic):
    """Models that part touching objects where their learnt distance to the outline has a valley."""

    name = "distance"
    score = "val_f1"
    score_name = "F1"
    judged_by_fit = False
    least_score = COUNTED

    def target(self, class_names: tuple[str, ...]) -> DistanceMaps:
        return DistanceMaps(tuple(class_names))

    def classes(self, model: keras.Model) -> int:
        return model.output_shape[-1] - 1

    def balanced_weights(self, maps: Iterable[np.ndarray], classes: int) -> list[float]:
        return super().balanced_weights((drawn[..., 0] for drawn in maps), classes)

    def loss_and_metrics(
        self, model: keras.Model, loss: Any, class_weights: Sequence[float] | None
    ) -> dict[str, Any]:
        from temzoo.tasks.distance_graph import ClassIoU, DistanceLoss

        self.check_weights(model, class_weights)
        if loss is None or isinstance(loss, str):
            loss = DistanceLoss(loss or self.losses[0], class_weights)
        return {"loss": loss, "metrics": [ClassIoU()]}

    def judge(
        self, model: keras.Model, examples: Sequence[Example], class_names: tuple[str, ...]
    ) -> dict[str, float]:
        """F1, precision and recall of all micrographs together, as ``evaluate`` gives them."""
        return objects_found(model, examples, class_names, predict)

    def recognises(self, model: Any) -> bool:
        return False  # a function of pixels is taken to give classes alone

    def tiled(
        self, model: Any, options: PredictOptions
    ) -> tuple[PixelNetwork, PredictOptions, bool]:
        if options.min_score is None:
            options = replace(options, min_score=self.least_score)
        return pixel_network(model), options, True

    def answer(self, model: Any, micrograph: Micrograph, options: PredictOptions) -> Prediction:
        names = tuple(options.class_names) or class_names_of(model)
        network, options, _ = self.tiled(model, options)
        found: Sequence[Detection] = ()
        if options.instances == "fused":
            if len(names) > 1:
                raise ValueError(
                    f'instances="fused" serves one class. Received: {", ".join(names)}. Use'
                    ' instances="auto".'
                )
            found = (
                predict(kept_model(DETECTOR), micrograph, min_score=LEAST_SCORE).detections or ()
            )
        return segment(network, micrograph, options, names, distance=True, detections=found)

    def scored(self, least: float | None) -> dict[str, Any]:
        return {"min_score": least}

    def doubts(self, model: Any, pixels: np.ndarray, mirrors: Sequence[tuple]) -> Doubts:
        return doubts_of_pixels(classes_alone(pixel_network(model)), pixels, mirrors)

    def endpoints(self, model: keras.Model) -> Mapping[str, endpoints.Endpoint]:
        """The class map, the probabilities and the distance."""
        from temzoo.tasks.distance_graph import class_map_probabilities_distance

        return self.pixel_endpoints(model, class_map_probabilities_distance, compare=_deviations)


def _deviations(expected: endpoints.Answers, found: endpoints.Answers) -> dict[str, float]:
    """How far a served model's answers are from what was expected."""
    distance = endpoints.deviation(expected["distance"], found["distance"])
    return {**deviations(expected, found), "distance": distance}


class DistanceMaps(ClassMaps):
    """What a model learns of a micrograph: its classes, and where in its object a pixel lies."""

    def draw(self, labels: LabelledImage) -> np.ndarray:
        """The (H, W, 3) uint8 maps of a whole micrograph: see ``distance_maps``."""
        maps = distance_maps(labels, self.class_names)
        maps[..., 0] = with_ignored(maps[..., 0], labels)
        return maps

    def encode(self, drawn: np.ndarray, whole: None = None, magnification: float = 1.0):
        """(h, w, classes + 2) uint8 of a crop's maps."""
        return np.concatenate([super().encode(drawn[..., 0]), drawn[..., 1:]], axis=-1)


register_task(Distance())
