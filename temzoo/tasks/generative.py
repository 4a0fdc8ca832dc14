"""Generative models of single pictures: what they are judged by.

Data are pictures alone, (B, S, S, channels) in [0, 1]. The score is the evidence lower bound on
held-out pictures, in nats per image, with one sample of z and the KL divergence in full, whatever
beta the training weighs it by; higher is better. It compares models of one likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from temzoo.tasks import endpoints
from temzoo.zoo.task import Task, register_task

if TYPE_CHECKING:
    import keras

POSTERIOR = ("mean", "log_variance", "pose")  # what a model says of a picture; the last if it can
LATENT = ("z", "pose")  # what it draws one from


class Generative(Task):
    """Models that encode pictures of one size to latent vectors and draw pictures from such."""

    name = "generative"
    examples = "images"
    score = "val_elbo"
    score_name = "ELBO"

    def training_data(self) -> type:
        from temzoo.tasks.training_data import ImageData  # brings TensorFlow

        return ImageData

    def compile(self, model: keras.Model, *, optimizer: Any = None, **more: Any) -> None:
        """As ``Task.compile``, with Adam: weight decay would pull a learnt deviation towards 1."""
        import keras

        super().compile(model, optimizer=optimizer or keras.optimizers.Adam(1e-3), **more)
        # Keras warns of a loaded model's optimizer when it was saved before the first step.
        model.optimizer.build(model.trainable_variables)

    def loss_and_metrics(
        self, model: keras.Model, loss: Any, class_weights: Sequence[float] | None
    ) -> dict[str, Any]:
        if loss is not None:
            raise ValueError(
                "The loss of a generative model is its own, the negative ELBO. Received:"
                f" loss={loss!r}. Leave loss out; beta is a keyword of the model."
            )
        return super().loss_and_metrics(model, loss, class_weights)

    def bare(self, model: keras.Model) -> keras.Model:
        # A model that is more than a graph of layers says itself what it is without its optimizer.
        return model.bare() if hasattr(model, "bare") else super().bare(model)

    def picture(
        self, path: Path, model: Any, examples: Sequence[Any], class_names: tuple[str, ...], **more
    ) -> Path:
        from temzoo.pictures.latent_mosaics import reconstructions  # draws

        return reconstructions(model, examples, path, **more)

    def latent_image_size(self, model: Any) -> int:
        return model.image_size

    def endpoints(self, model: keras.Model) -> Mapping[str, endpoints.Endpoint]:
        """The posterior and what is drawn of its mean.

        ``decode`` draws pictures of any z (and pose, where the model has one).
        """
        shape = model.input_shape[1:]
        mean, _, *pose = model.encoded(np.zeros((1, *shape), np.float32))
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


register_task(Generative())
