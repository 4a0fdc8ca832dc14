"""What ``fit`` of Keras 3.12 to 3.15 needs to work under a strategy of tf.distribute.

Under ``MultiWorkerMirroredStrategy`` it fails twice: it builds a model from the mean of a first
batch, of which it makes no tensor, and it takes the mean of a step's figures along the first axis
of what are single numbers. https://github.com/keras-team/keras/issues/20585 asks for support.
On any strategy the synchronised batch norm loses digits: see ``variances_centred``.
``test_plain_keras_fails_on_several_machines`` tells when this file can go.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

import keras

MEANT_FOR = ((3, 12), (3, 15))  # tried with 3.12.0 and 3.15.1
BUILDS, REDUCES = "_maybe_symbolic_build", "reduce_per_replica"
MOMENTS = "_compute_moments_sync"


def check_version() -> None:
    """Raises RuntimeError for a Keras that this file was not written for."""
    version = tuple(int(part) for part in keras.__version__.split(".")[:2])
    first, last = MEANT_FOR
    if not first <= version <= last:
        raise RuntimeError(
            f"Training on several devices of TensorFlow needs Keras {_text(first)} to"
            f" {_text(last)}. Received: Keras {keras.__version__}. Install one of these, or train"
            " on one device."
        )


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def build(model: keras.Model, strategy: Any, batch: Any) -> None:
    """Builds a compiled model's metrics and loss, so that ``fit`` need not.

    Args:
        strategy: of tf.distribute, under which the model was made.
        batch: a ``tf.TensorSpec`` for each array of a device's batch.
    """
    with strategy.scope():
        model._symbolic_build(data_batch=batch)
    setattr(model, BUILDS, lambda **batch: None)


@contextmanager
def figures_averaged() -> Iterator[None]:
    """Inside, the figures of a step are averaged over the devices of all machines."""
    trainer = import_module("keras.src.backend.tensorflow.trainer")
    theirs = getattr(trainer, REDUCES)

    def ours(values, strategy, reduction):
        if reduction != "auto" or strategy.num_replicas_in_sync == 1:
            return theirs(values, strategy, reduction)
        return keras.tree.map_structure(partial(strategy.reduce, "MEAN", axis=None), values)

    setattr(trainer, REDUCES, ours)
    try:
        yield
    finally:
        setattr(trainer, REDUCES, theirs)


@contextmanager
def variances_centred() -> Iterator[None]:
    """Inside, the variance of a synchronised batch norm is as exact as that of one device.

    Keras takes it for the mean of squares less the square of the mean, in float32, which loses
    digits where the mean is large beside the deviation: Chan, Golub and LeVeque, American
    Statistician 37, 242 (1983). Here it is the mean of squared deviations.
    """
    backend = import_module("keras.src.backend.tensorflow.nn")
    theirs = getattr(backend, MOMENTS)

    def ours(x, axes, keepdims):
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if replica is None:
            return theirs(x, axes, keepdims)

        def summed(values):
            return replica.all_reduce("SUM", tf.reduce_sum(values, axes, keepdims=True))

        count = summed(tf.ones_like(x))
        mean = summed(x) / count
        # Deviations add up to 0, so that the mean has no part in the slope.
        variance = summed(tf.square(x - tf.stop_gradient(mean))) / count
        both = mean, variance
        return both if keepdims else tuple(tf.squeeze(each, axes) for each in both)

    setattr(backend, MOMENTS, ours)
    try:
        yield
    finally:
        setattr(backend, MOMENTS, theirs)
