"""Instance segmentation by distance as Keras computes it: its loss, its score, what it serves.

Truth is (B, H, W, classes + 2) uint8: one-hot classes, then the two maps of
``distance_targets.distance_maps``. Answers are (B, H, W, classes + 1): probabilities, distance.
"""

from __future__ import annotations

import keras
from keras import ops

from temzoo.tasks.distance_targets import FULL
from temzoo.tasks.semantic_graph import ImageIoU, SegmentationLoss, class_map_and_probabilities
from temzoo.tasks.whole_batch import part_of_device

NEAR = 4.0  # by how much a pixel weighs more where two objects touch
DISTANCE = 2.0  # weight of the distance beside the classes


@keras.saving.register_keras_serializable("temzoo")
class DistanceLoss(SegmentationLoss):
    """``SegmentationLoss`` of the classes and the mean absolute error of the distance.

    Cross-entropy and distance weigh a pixel by 1 + ``NEAR`` times the nearness of two objects. The
    absolute error, unlike the squared one, is least at the median, so an unsure gap stays a gap.
    """

    def call(self, truth, answer):
        classes = answer.shape[-1] - 1
        truth = ops.cast(truth, answer.dtype)
        hot, distance = truth[..., :classes], truth[..., classes] / FULL
        weight = 1.0 + NEAR / FULL * truth[..., classes + 1]
        weight = weight * ops.sum(hot, axis=-1)  # 0 of pixels that nobody has judged
        of_classes = self.of_classes(hot, answer[..., :classes], weight[..., None])
        error = ops.mean(weight * ops.abs(answer[..., classes] - distance))
        return part_of_device(of_classes + DISTANCE * error)


@keras.saving.register_keras_serializable("temzoo")
class ClassIoU(ImageIoU):
    """``ImageIoU`` of the classes."""

    def update_state(self, truth, answer, sample_weight=None):
        classes = answer.shape[-1] - 1
        super().update_state(truth[..., :classes], answer[..., :classes])


def class_map_probabilities_distance(network: keras.Model, images) -> dict:
    """(B, H, W) class map, (B, H, W, classes) probabilities, (B, H, W) distance."""
    answer = network(images, training=False)
    classes = answer.shape[-1] - 1
    distance = ops.cast(answer[..., classes], "float32")
    return class_map_and_probabilities(answer[..., :classes]) | {"distance": distance}
