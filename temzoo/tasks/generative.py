"""Generative models of single pictures: what they are judged by, and how they are compiled.

Data are pictures alone, (B, S, S, channels) in [0, 1]. The score is the evidence lower bound on
held-out pictures, in nats per image, with one sample of z and the KL divergence in full, whatever
beta the training weighs it by; higher is better. It compares models of one likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import keras

from temzoo.tasks import endpoints

SCORE = "val_elbo"
SCORE_NAME = "ELBO"
JUDGE = "metrics"
DATA = "images"
OPTIMIZER: Mapping[str, Any] = MappingProxyType({})
LOSSES: tuple[str, ...] = ()
POSTERIOR = ("mean", "log_variance", "pose")  # what a model says of a picture; the last if it can
LATENT = ("z", "pose")  # what it draws one from


def compile_model(
    model: keras.Model,
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
    loss: None = None,
    class_weights: None = None,
    jit_compile: bool = False,
) -> None:
    """Compiles with Adam at 1e-3, unless told otherwise; the loss is the model's own.

    Without weight decay, which would pull a learnt standard deviation towards 1.

    Raises:
        ValueError: a loss or class weights are given.
    """
    if loss is not None:
        raise ValueError(
            "The loss of a generative model is its own, the negative ELBO. Received:"
            f" loss={loss!r}. Leave loss out; beta is a keyword of the model."
        )
    if class_weights is not None:
        raise ValueError(
            f"A generative model knows no classes. Received: class_weights={class_weights!r}."
            " Leave class_weights out."
        )
    optimizer = optimizer or keras.optimizers.Adam(1e-3, **OPTIMIZER)
    model.compile(optimizer=optimizer, jit_compile=jit_compile)
    # Keras warns of a loaded model's optimizer when it was saved before the first step.
    model.optimizer.build(model.trainable_variables)


def serving(model: keras.Model) -> dict[str, endpoints.Endpoint]:
    """What a served model of this task answers: the posterior and what is drawn of its mean.

    ``decode`` draws pictures of any z (and pose, where the model has one).
    """
    shape = model.input_shape[1:]
    mean, _, *pose = model.encoded(keras.ops.zeros((1, *shape)))
    latent = dict(zip(LATENT, [tuple(each.shape[1:]) for each in (mean, *pose)], strict=False))
    return {
        endpoints.RAW: endpoints.Endpoint(
            partial(_inferred, model), {endpoints.IMAGES: shape}, unit=True
        ),
        "decode": endpoints.Endpoint(
            lambda *latent: {"reconstruction": model.decoded(*latent)}, latent
        ),
    }


def _inferred(model: keras.Model, images) -> dict:
    mean, log_variance, *pose = model.encoded(images)
    drawn = {"reconstruction": model.decoded(mean, *pose)}
    return {**dict(zip(POSTERIOR, (mean, log_variance, *pose), strict=False)), **drawn}
