"""What runs a network: name and precision → a function from raw pixels to probabilities.

An engine is a maker; it gets a Keras model and the input's shape and gives a function from a
(B, H, W, C) uint8 array to the output as an array. Throughput, memory and the table take one more
with no other edit::

    @engine("onnxruntime")
    def onnxruntime(model, shape):
        session = onnxruntime.InferenceSession(exported(model))
        return lambda pixels: session.run(None, {"images": pixels})[0]

A maker raises ImportError where its library is not there; the table then says so.

``tensorflow`` float32 is the model as Keras has it, as a graph; ``accelerated tensorflow`` the same
as ``temzoo.accelerate`` has it, of constants. The other engines are those of ``temzoo.accelerate``
too: a call normalises each image in NumPy, and the rest is the engine's. int8 is calibrated on
random pixels here, which are what is predicted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.own import registering
from temzoo.deploy.engines import AcceleratedModel
from temzoo.deploy.engines.makers import MAKERS, check_installed, cores
from temzoo.deploy.engines.network import Network

Shape = tuple[int, int, int, int]
Run = Callable[[np.ndarray], np.ndarray]
ENGINES: dict[tuple[str, str], Callable[[Any, Shape], Run]] = {}
REFERENCE = ("tensorflow", "float32")  # what the others' speed and output are compared with
CROPS, CROP = 8, 256  # of random pixels for int8, and their side


def engine(name: str, precision: str = "float32") -> Callable:
    """Registers a maker under a name and a precision."""
    return registering(ENGINES)((name, precision))


@engine("tensorflow")
def tensorflow(model: Any, shape: Shape) -> Run:
    """A traced graph of one size, as a SavedModel's signature is."""
    call = tf.function(
        lambda x: model(x, training=False), input_signature=[tf.TensorSpec(shape, tf.uint8)]
    )
    return lambda pixels: call(tf.constant(pixels)).numpy()


@engine("keras predict")
def keras_predict(model: Any, shape: Shape) -> Run:
    """``model.predict``, with what it does about a call."""
    return lambda pixels: model.predict(pixels, batch_size=shape[0], verbose=0)


def accelerated(name: str, precision: str, model: Any, shape: Shape) -> Run:
    """An engine of ``temzoo.accelerate``, which takes every shape."""
    check_installed(name, precision)
    return made(model, name, precision)


@cache
def made(model: Any, name: str, precision: str) -> AcceleratedModel:
    return AcceleratedModel(network(model), name, precision, cores())


@cache
def network(model: Any) -> Network:
    """What the engines run: converted and calibrated once, for all of them and all shapes."""
    _, height, width, channels = model.input_shape
    shape = (CROPS, height or CROP, width or CROP, channels)
    return Network(model, list(np.random.default_rng(1).integers(0, 256, shape, np.uint8)))


engine("accelerated tensorflow")(partial(accelerated, *REFERENCE))
for _key in [key for key in MAKERS if key != REFERENCE]:
    engine(*_key)(partial(accelerated, *_key))
