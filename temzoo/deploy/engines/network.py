"""The part of a model that an engine runs, in the forms that engines read.

It is what lies behind the layer "normalize": a tile is normalised by the statistics of its whole
micrograph before, in NumPy, so that every engine answers in tiles as in one piece.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from temzoo.core.types import Example
from temzoo.deploy.engines.model import Facts
from temzoo.inference.pixels import as_micrograph, channels_view, checked_pixels
from temzoo.models.layers import dtype_policy
from temzoo.tasks.endpoints import IMAGES
from temzoo.zoo import building
from temzoo.zoo.built import built, class_names_of, limits_of, task_of

CROPS, CROP = 32, 256  # calibration: so many crops at most, of that side in px
ANSWER = "answer"


class Network:
    """A model's network, as it is now: later changes of its weights change no engine.

    Attributes:
        model: from ``get_model``; facts: of it.
        core: what is run; float32 pixels (B, H, W, C) in, float32 answers out.
        normalize: whose ``statistics`` and ``apply`` its input comes from; None for a
            model that takes raw pixels.
        task: of the model; restores: whether it makes pictures; step: of its tiles, px.
        crops: (1, h, w, C) float32 each, to calibrate whole numbers on.

    Raises:
        ValueError: the model labels no pixels and restores none, or its network needs raw pixels
            beside the normalised ones.
    """

    def __init__(self, model: keras.Model, micrographs: Sequence[Any] | None = None):
        self.model, self.task = model, task_of(model)
        part = self.task.engine_network(model)
        self.core, self.normalize = part.core, part.normalize
        self.restores, self.step = part.restores, part.step
        self.crops = [] if micrographs is None else self._crops(micrographs)
        self.facts = Facts(
            model.name,
            self.task.name,
            class_names_of(model),
            model.input_shape,
            part.core.output_shape,
            part.step,
            part.restores,
            part.normalize,
            part.max_detections,
            limits_of(model),
        )

    @cached_property
    def sha256(self) -> str:
        """Of architecture and weights."""
        how = built(self.model)
        told = json.dumps([how.name, dict(how.config)], default=str, sort_keys=True)
        return _sha256(self.model.get_weights(), told)

    @property
    def crops_sha256(self) -> str:
        """Of what is calibrated on."""
        return _sha256(self.crops)

    def frozen(self, policy: str = "float32"):
        """A TensorFlow graph of constants, which TensorFlow can fold and fuse.

        Batch normalisation goes into the convolutions, casts of weights are done once: a fifth
        faster than a graph with variables. The layers compute under Keras' dtype policy ``policy``.
        """
        from tensorflow.python.framework.convert_to_constants import (
            convert_variables_to_constants_v2,
        )

        return convert_variables_to_constants_v2(self._traced(self._under(policy)))

    @cached_property
    def onnx(self) -> bytes:
        """An ONNX file: input ``images``, one output."""
        from temzoo.deploy.exporting.other_formats import check_convertible, write_onnx
        from temzoo.deploy.exporting.saved_model import Signature

        signature = Signature(None, {IMAGES: self._spec}, self._traced(self.core))
        check_convertible(signature)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            write_onnx(signature, path)
            return path.read_bytes()

    def noise(self, side: int) -> np.ndarray:
        """(1, h, w, C) float32, in the range of normalised pixels and of a size that it takes."""
        _, height, width, channels = self.core.inputs[0].shape
        shape = (1, height or side, width or side, channels)
        return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    @property
    def graph(self) -> bytes:
        """A TensorFlow graph of constants, for OpenVINO: input ``images``, output ``answer``.

        Tracing with the weights' values in their places is faster than turning variables into
        constants afterwards; OpenVINO folds and fuses by itself.
        """
        import tensorflow as tf

        variables = [(v, np.asarray(v)) for v in self.core.variables]
        with tf.Graph().as_default() as traced:
            images = tf.compat.v1.placeholder(tf.float32, self._spec.shape, name=IMAGES)
            constants = [(v, tf.constant(value)) for v, value in variables]
            with keras.StatelessScope(state_mapping=constants):
                tf.identity(self.core(images, training=False), name=ANSWER)
        return traced.as_graph_def().SerializeToString()

    @property
    def _spec(self):
        import tensorflow as tf

        return tf.TensorSpec(self.core.inputs[0].shape, tf.float32, name=IMAGES)

    def _traced(self, core: keras.Model):
        import tensorflow as tf

        # Keras' models need no AutoGraph, which takes longer to rewrite them than tracing does.
        asked = tf.function(lambda images: {ANSWER: core(images, training=False)}, autograph=False)
        return asked.get_concrete_function(images=self._spec)

    def _under(self, policy: str) -> keras.Model:
        """The core of a model that computes otherwise, with the same weights."""
        if policy == "float32":
            return self.core
        with dtype_policy(policy):
            twin = building.rebuild(built(self.model))
        twin.set_weights(self.model.get_weights())
        return self.task.engine_network(twin).core

    def _crops(self, micrographs: Sequence[Any]) -> list[np.ndarray]:
        """A crop of each of some micrographs, spread over all, normalised by its micrograph."""
        if not len(micrographs):
            raise ValueError(
                "examples are what a network is calibrated on. Received: none. Give some training"
                " micrographs."
            )
        chosen = np.linspace(0, len(micrographs) - 1, min(CROPS, len(micrographs))).astype(int)
        rng = np.random.default_rng(0)
        return [self._crop(micrographs[index], rng) for index in chosen]

    def _crop(self, given: Any, rng: np.random.Generator) -> np.ndarray:
        micrograph = given.micrograph if isinstance(given, Example) else as_micrograph(given)
        pixels = channels_view(checked_pixels(micrograph), self.model.input_shape[-1])
        height, width = (side or CROP for side in self.model.input_shape[1:3])
        top = rng.integers(0, max(pixels.shape[0] - height, 0) + 1)
        left = rng.integers(0, max(pixels.shape[1] - width, 0) + 1)
        crop = pixels[top : top + height, left : left + width][None]
        if self.normalize is None:
            return crop.astype(np.float32)
        return self.normalize.apply(crop, *self.normalize.statistics(pixels))


def _sha256(arrays: Sequence[np.ndarray], told: str = "") -> str:
    found = hashlib.sha256(told.encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array))
    return found.hexdigest()
