"""YOLO: a box, a class and a score for every particle in one pass, without anchor boxes.

Redmon et al. 2016, arXiv:1506.02640; the network is keras-cv 0.9.0's ``YOLOV8Detector`` (Apache
2.0), on a MobileNet: three levels of stride 8, 16 and 32, a path aggregation pyramid (Liu et al.
2018, arXiv:1803.01534) and heads that give, at each point, the class scores and a distribution over
16 bins of each edge's distance. No file or weights of Ultralytics are in it.

Input: (B, S, S, 1 or 3), raw pixels in their stored range, S fixed by ``image_size``; a larger
micrograph is tiled. Output of ``detect``: ``Detections``, whose masks fill their boxes.

Taken from keras-cv are pyramid, heads, complete IoU loss and suppression by class. What is ours,
and why: class biases begin at a score of 0.01 and boxes at five strides (keras-cv's begin at 0.5
and fifteen, where small particles never start to learn); the assignment of points to particles
(``yolo_targets`` tells); a distribution focal loss, which keras-cv has not; levels are narrowed to
a few channels before the pyramid, as its 3 x 3 convolutions on a backbone's full width would be
most of the network; and up to ``max_detections`` particles an image, not 100.
"""

from __future__ import annotations

import math
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from temzoo.models import boxes, layers, mobilenet
from temzoo.models import yolo_targets as targets
from temzoo.models.detector import DetectorModel, check_count, check_image_size
from temzoo.zoo.cards import register

LEVELS = ("P3", "P4", "P5")
WIDER = (1.0, 1.5, 2.0)  # a level's channels, in units of ``features``
FIRST_SCORE = 0.01
FIRST_FALL = 0.35  # of a bin's logit against the one before: boxes of about five strides
# Shares of the losses in their sum, those of keras-cv; the distribution's is YOLOv8's.
CLASS_SHARE, BOX_SHARE, BIN_SHARE = 0.5, 7.5, 1.5


@register(
    "yolo",
    task="boxes",
    summary="YOLO on MobileNet: a box and class for every object",
    paper="Redmon et al. 2016, arXiv:1506.02640",
    input="(B, image_size, image_size, 1 or 3) raw pixels",
    output="boxes, classes and scores of up to max_detections objects",
    parameters=3_112_195,
    ranges={
        "alpha": [0.25, 0.5, 0.75],
        "backbone_trainable": [False, "deep"],
        "features": [32, 64, 96],
        "depth": [1, 2],
    },
    free=("backbone_weights", "backbone_trainable", "image_size", "max_detections"),
    deferred={"backbone_weights": "deferred"},
)
def yolo(
    *,
    classes: int = 2,
    channels: int = 1,
    image_size: int = 512,
    alpha: float = 0.75,
    backbone_weights: str | None = "imagenet",
    backbone_trainable: bool | str = False,
    features: int = 64,
    depth: int = 1,
    max_detections: int = 400,
) -> Yolo:
    """Builds a YOLO.

    Args:
        classes: background included; 2 means background and one class.
        channels: 1 or 3.
        image_size: side of the square images, px; a multiple of 32. Weights fit any.
        alpha: width of the MobileNet: 0.25, 0.5, 0.75 or 1.0.
        backbone_weights: "imagenet", the path of a no-top ``.h5`` file of the same width, or None
            (random).
        backbone_trainable: False, True, or "deep" (blocks 7 to 13 only).
        features: channels of the finest level; the others have 1.5 and 2 times as many.
        depth: blocks of a stage of the pyramid.
        max_detections: an image, at most.
    """
    config = dict(locals())
    layers.require_tensorflow("yolo")
    layers.check_choices(classes=classes, features=features, depth=depth)
    check_image_size(image_size)
    check_count("max_detections", max_detections)
    mobilenet.check_encoder(channels, alpha, backbone_trainable, "backbone")
    backbone = build_backbone((image_size, image_size, channels), features, config)
    normalize = layers.Normalize(name="normalize")
    normalize.build(backbone.input_shape)
    network = build_network(backbone, classes - 1, depth)
    return Yolo({"normalize": normalize, "network": network}, config)


def build_backbone(shape, width: int, config) -> keras.Model:
    """Normalised pixels to maps of 1/8, 1/16 and 1/32, narrowed to few channels."""
    pixels = keras.Input(shape, name="pixels")
    weights, trainable = config["backbone_weights"], config["backbone_trainable"]
    encoder = mobilenet.build_encoder(shape[-1], config["alpha"], weights, part="backbone")
    maps = mobilenet.features(encoder, pixels, weights, trainable)[2:]
    narrowed = [
        keras.layers.Conv2D(int(width * wider), 1, name=level)(x)
        for level, wider, x in zip(LEVELS, WIDER, maps, strict=True)
    ]
    model = keras.Model(pixels, narrowed, name="levels")
    model.pyramid_level_inputs = {level: level for level in LEVELS}
    return model


def build_network(backbone: keras.Model, classes: int, depth: int) -> keras.Model:
    """Normalised pixels to the raw answers of all points, (B, A, 64 + classes) float32.

    A point has 16 logits for each of its edges (top, left, bottom, right), then the probability of
    each class. There are (S / 8)² + (S / 16)² + (S / 32)² points.
    """
    import keras_cv  # 0.9 s, which nobody else pays for

    whole = keras_cv.models.YOLOV8Detector(
        backbone, num_classes=classes, bounding_box_format="yxyx", fpn_depth=depth
    )
    network = keras.Model(whole.input, whole.get_layer("box_outputs").output, name="network")
    for level in range(1, 1 + len(LEVELS)):
        bins, scores = (
            network.get_layer(f"yolo_v8_head_{level}_{part}_3_conv") for part in ("box", "class")
        )
        scores.bias.assign(tf.fill(scores.bias.shape, math.log(FIRST_SCORE / (1 - FIRST_SCORE))))
        bins.bias.assign(np.tile(-FIRST_FALL * np.arange(targets.BINS), 4))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = layers.BATCH_NORM_MOMENTUM
    return network


def _parted(outputs):
    """Bins (B, A, 64) and scores (B, A, classes - 1) of the raw answers."""
    return outputs[..., : 4 * targets.BINS], outputs[..., 4 * targets.BINS :]


class Decode(keras.layers.Layer):
    """The network's answer at every point to its box, in parts of the image's side, and scores."""

    def __init__(self, image_size: int, **options):
        super().__init__(**options)
        self.image_size, self.points = image_size, targets.points(image_size)

    def call(self, outputs):
        bins, scores = _parted(outputs)
        found = boxes.clip(targets.decode(bins, self.points), self.image_size)
        return tf.concat([found / self.image_size, scores], axis=-1)

    def compute_output_shape(self, shape):
        return (*shape[:-1], shape[-1] - 4 * targets.BINS + 4)


@keras.saving.register_keras_serializable("temzoo")
class Yolo(DetectorModel):
    """The parts together: the losses, and how a prediction goes.

    ``call`` gives the raw answers of all points. ``detect`` is for people, ``predict`` and
    ``export`` for machines.

    Attributes:
        normalize, network: the parts.
    """

    PARTS = ("normalize", "network")
    LOSSES = ("class_loss", "box_loss", "bin_loss")
    BUILDER = staticmethod(yolo)

    def __init__(self, parts, config):
        super().__init__("yolo", parts, config)
        import keras_cv

        self.ciou = keras_cv.losses.CIoULoss("yxyx", reduction="none")
        self.points = targets.points(self.image_size)

    @cached_property
    def every_box(self) -> keras.Model:
        """Normalised pixels to (B, A, 4 + classes - 1): the box of each point, and its scores.

        Edges are y1, x1, y2, x2, cut to the image and in parts of its side. Nothing is suppressed.
        """
        found = Decode(self.image_size, dtype="float32", name="every_box")(self.network.output)
        return keras.Model(self.network.input, found, name="every_box")

    def losses_of(self, truth, outputs, *, training: bool = True) -> dict:
        """The three losses, by name, of what ``call`` gave.

        Args:
            truth: {"boxes": (B, G, 4) px, padded with -1, "classes": (B, G) from 1}.
        """
        objects = tf.cast(truth["boxes"], tf.float32)
        classes = tf.cast(truth["classes"], tf.int32) - 1
        bins, scores = _parted(outputs)
        found = targets.decode(bins, self.points)
        aims = targets.assign(
            tf.stop_gradient(scores), tf.stop_gradient(found), objects, classes, self.points
        )
        hot = tf.one_hot(tf.gather(classes, aims.objects, batch_dims=1), self.classes - 1)
        total = tf.maximum(tf.reduce_sum(aims.scores), 1.0)
        class_loss = keras.ops.binary_crossentropy(hot * aims.scores[..., None], scores)
        rows = tf.where(aims.scores > 0)  # (P, 2)
        weights = tf.gather_nd(aims.scores, rows) / total
        wanted = tf.gather_nd(tf.gather(objects, aims.objects, batch_dims=1), rows)
        apart = self.ciou(wanted, tf.gather_nd(found, rows))
        away = targets.wanted_distances(wanted, self.points, rows)
        bin_loss = targets.distribution_focal_loss(tf.gather_nd(bins, rows), away)
        return {
            "class_loss": CLASS_SHARE * tf.reduce_sum(class_loss) / total,
            "box_loss": BOX_SHARE * tf.reduce_sum(weights * apart),
            "bin_loss": BIN_SHARE * tf.reduce_sum(weights * bin_loss),
        }

    def found(self, normalized, min_score, *, max_detections: int) -> dict:
        """Normalised pixels to the fields of ``Detections``, as tensors."""
        every = self.every_box(normalized, training=False)
        found, scores = every[..., :4] * self.image_size, every[..., 4:]
        kept = self.suppressed(found, scores, min_score, max_detections)
        full = tf.cast(kept["classes"] > 0, tf.float32)[..., None, None]
        return {**kept, "masks": full}
