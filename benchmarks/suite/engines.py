"""What runs a network: name and precision → a function from raw pixels to probabilities.

An engine is a maker; it gets a Keras model and the input's shape and gives a function from a
(B, H, W, C) uint8 array to the output as an array. Throughput, memory and the table take one more
with no other edit::

    @engine("onnxruntime")
    def onnxruntime(model, shape):
        session = onnxruntime.InferenceSession(exported(model))
        return lambda pixels: session.run(None, {"images": pixels})[0]

A maker raises ImportError where its library is not there; the table then says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]
Maker = Callable[[Any, tuple[int, int, int, int]], Run]
ENGINES: dict[tuple[str, str], Maker] = {}
REFERENCE = ("tensorflow", "float32")  # what the others' speed and output are compared with


def engine(name: str, precision: str = "float32") -> Callable[[Maker], Maker]:
    """Registers a maker under a name and a precision."""

    def keep(maker: Maker) -> Maker:
        ENGINES[name, precision] = maker
        return maker

    return keep


@engine("tensorflow")
def tensorflow(model: Any, shape: tuple[int, int, int, int]) -> Run:
    """A traced graph of one size, as a SavedModel's signature is."""
    import tensorflow as tf

    call = tf.function(
        lambda x: model(x, training=False), input_signature=[tf.TensorSpec(shape, tf.uint8)]
    )
    return lambda pixels: call(tf.constant(pixels)).numpy()


@engine("keras predict")
def keras_predict(model: Any, shape: tuple[int, int, int, int]) -> Run:
    """``model.predict``, with what it does about a call."""
    return lambda pixels: model.predict(pixels, batch_size=shape[0], verbose=0)
