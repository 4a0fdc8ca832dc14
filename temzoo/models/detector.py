"""What detectors of square images share: checks, suppression, what is served and exported.

A detector is made of named parts, layers and networks, and says in ``found`` what they make of
normalised pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from temzoo.models import layers, mobilenet

GRID = 32  # image_size is a multiple of the coarsest level's stride
DETECTION_IOU, DETECTION_SCORE = 0.5, 0.05


@dataclass(frozen=True)
class Detections:
    """What was found in a batch of images; only the first ``counts[b]`` rows of image b count.

    Attributes:
        boxes: (B, D, 4) float32 y1, x1, y2, x2, px.
        classes: (B, D) int32, from 1.
        scores: (B, D) float32, falling.
        masks: (B, D, M, M) float32, probability of the object inside its box: M is 28 of Mask
            R-CNN; 1, and the probability 1, of a detector that gives boxes alone.
        counts: (B,) int32.
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    masks: np.ndarray
    counts: np.ndarray


class DetectorModel(keras.Model):
    """The parts of a detector together.

    A subclass names its ``PARTS``, its ``LOSSES`` and its ``BUILDER``, and has ``found``.

    Attributes:
        classes, channels, image_size, max_detections: as built; classes count the background.
        normalize: the layer that normalises raw pixels.
    """

    PARTS: ClassVar[tuple[str, ...]] = ()
    LOSSES: ClassVar[tuple[str, ...]] = ()
    BUILDER: ClassVar[Callable[..., DetectorModel]]

    def __init__(self, name, parts, config):
        # float32: pixels must not be rounded on their way in; the parts have policies of their own.
        super().__init__(name=name, dtype="float32")
        self.config = dict(config)
        self.policy = keras.config.dtype_policy().name
        for part in self.PARTS:
            setattr(self, part, parts[part])
        self.classes, self.channels = config["classes"], config["channels"]
        self.image_size, self.max_detections = config["image_size"], config["max_detections"]
        self.trackers = [keras.metrics.Mean(name=loss) for loss in self.LOSSES]
        self.supports_jit = False  # XLA cannot compile combined suppression
        self.built = True

    def bare(self) -> DetectorModel:
        """The same parts and weights in a model that was never compiled."""
        return type(self)({part: getattr(self, part) for part in self.PARTS}, self.config)

    @property
    def input_shape(self):
        return (None, self.image_size, self.image_size, self.channels)

    def call(self, pixels, training=None):
        """Raw pixels to the raw answers of the network, from which the losses are computed."""
        normalized = self.normalize(tf.cast(pixels, tf.float32))
        return self.network(normalized, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        losses = self.losses_of(y, y_pred, training=training)
        for tracker in self.trackers:
            tracker.update_state(losses[tracker.name], tf.shape(y["boxes"])[0])
        return tf.add_n(list(losses.values()))

    def normalized(self, pixels: np.ndarray, statistics: tuple[float, float] | None) -> tf.Tensor:
        """Raw pixels as the network takes them.

        Args:
            pixels: (B, S, S, C) raw.
            statistics: (shift, scale) of ``normalize.statistics`` of the micrograph that all the
                images are tiles of; None: each image is normalised by itself.

        Raises:
            ValueError: another shape, or NaN or infinite pixels, which would be found particles.
        """
        pixels = np.asarray(pixels)
        expected = self.input_shape[1:]
        if pixels.shape[1:] != expected or pixels.ndim != 4:
            raise ValueError(
                f"pixels must be (images, {', '.join(map(str, expected))}). Received: shape"
                f" {pixels.shape}. Tile a larger image, or build the model with another image_size."
            )
        bad = pixels.size - np.count_nonzero(np.isfinite(pixels))
        if bad:
            raise ValueError(
                f"pixels must be finite. Received: {bad} NaN or infinite values. Replace them, by"
                " numpy.nan_to_num for instance."
            )
        if statistics is None:
            return self.normalize(tf.cast(pixels, tf.float32))
        return tf.constant(self.normalize.apply(pixels, *statistics))

    def suppressed(self, boxes, scores, min_score, max_detections: int) -> dict:
        """Keeps the best of boxes of one class that overlap; the rest becomes 0.

        Args:
            boxes: (B, N, 4) px.
            scores: (B, N, classes - 1).
        """
        import keras_cv

        suppress = keras_cv.layers.MultiClassNonMaxSuppression(
            "yxyx",
            from_logits=False,
            iou_threshold=DETECTION_IOU,
            confidence_threshold=min_score,
            max_detections=max_detections,
            max_detections_per_class=max_detections,
            dtype="float32",
        )
        kept = suppress(boxes, scores)
        real = tf.range(max_detections)[None] < kept["num_detections"][:, None]
        return {
            "boxes": tf.where(real[..., None], kept["boxes"], 0.0),
            "classes": tf.where(real, tf.cast(kept["classes"], tf.int32) + 1, 0),
            "scores": tf.where(real, kept["confidence"], 0.0),
            "counts": kept["num_detections"],
        }

    def found(self, normalized, min_score, **limits: int) -> dict:
        """Normalised pixels to the fields of ``Detections``, as tensors."""
        raise NotImplementedError

    def limits(self) -> dict[str, int]:
        """The limits of ``found``, as built."""
        return {"max_detections": self.max_detections}

    def detect(
        self,
        pixels: np.ndarray,
        *,
        statistics: tuple[float, float] | None = None,
        min_score: float = DETECTION_SCORE,
        **limits: int | None,
    ) -> Detections:
        """Finds the objects of a batch of images.

        Args:
            pixels: (B, S, S, C) raw.
            statistics: (shift, scale) of ``normalize.statistics`` of the micrograph that all the
                images are tiles of; None: each image is normalised by itself.
            min_score: least score, 0 to 1.
            **limits: ``max_detections``, an image, at most; of Mask R-CNN also ``proposals``, boxes
                an image that are looked at: a dense image needs about twice as many as it has
                objects. None: as built.

        Raises:
            TypeError: a limit that the network does not have.
            ValueError: another shape, or NaN or infinite pixels, which would be found particles.
        """
        if unknown := sorted(set(limits) - set(self.limits())):
            raise TypeError(
                f"detect() takes no {', '.join(unknown)}; its limits are {', '.join(self.limits())}"
            )
        asked = {name: limit for name, limit in limits.items() if limit}
        found = self.found_in_graph(
            self.normalized(pixels, statistics),
            tf.constant(min_score, tf.float32),
            **{**self.limits(), **asked},
        )
        return Detections(**{name: value.numpy() for name, value in found.items()})

    @tf.function(reduce_retracing=True, autograph=False)
    def found_in_graph(self, normalized, min_score, **limits: int) -> dict:
        return self.found(normalized, min_score, **limits)

    # What is written to disk.

    def predict_step(self, data):
        """For ``predict``: raw pixels to the fields of ``Detections``."""
        return self.serve(data[0] if isinstance(data, tuple) else data)

    def serve(self, pixels) -> dict:
        """Raw pixels to the fields of ``Detections`` as tensors, with the limits as built."""
        return self.serve_normalized(self.normalize(tf.cast(pixels, tf.float32)))

    def serve_normalized(self, normalized) -> dict:
        """As ``serve``, of pixels that went through ``normalize`` already."""
        return self.found(normalized, DETECTION_SCORE, **self.limits())

    def export(
        self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs
    ):
        """Writes a SavedModel from raw pixels to detections, for any number of images at once.

        Raises:
            ValueError: another format; there is no suppression by class in those.
        """
        if format != "tf_saved_model":
            raise ValueError(
                f'{self.name} is exported as "tf_saved_model" only. Received: format="{format}".'
            )
        signature = input_signature or [keras.InputSpec(shape=self.input_shape, dtype="float32")]
        archive = keras.export.ExportArchive()
        for part in self.PARTS:
            archive.track(getattr(self, part))
        archive.add_endpoint("serve", self.serve, input_signature=signature)
        archive.write_out(filepath, verbose=verbose is None or verbose)

    def get_config(self):
        return {**self.config, "policy": self.policy}

    @classmethod
    def from_config(cls, config):
        """The model without its weights, which a file brings: none are fetched."""
        config = dict(config)
        if config["backbone_weights"]:
            config["backbone_weights"] = mobilenet.DEFERRED
        with layers.dtype_policy(config.pop("policy")):
            return cls.BUILDER(**config)

    def build(self, input_shape=None):
        """The parts are built already."""


def check_image_size(image_size) -> None:
    """Raises ValueError for a side that is no multiple of the coarsest stride."""
    if not isinstance(image_size, int) or image_size % GRID or image_size < 2 * GRID:
        raise ValueError(
            f"image_size must be a multiple of {GRID}, from {2 * GRID} on. Received:"
            f" image_size={image_size!r}. Use 512."
        )
    layers.check_choices(image_size=image_size)


def check_count(keyword: str, value, least: int = 1) -> None:
    """Raises ValueError for what is no whole number from ``least`` on."""
    if not isinstance(value, int) or value < least:
        raise ValueError(
            f"{keyword} must be a whole number from {least} on. Received: {keyword}={value!r}."
            f" Use {least}."
        )
