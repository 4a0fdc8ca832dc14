"""The variational autoencoder whose z knows neither angle nor shift; see ``temzoo.models.vae``."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from temzoo.models import vae_networks as networks
from temzoo.models.vae_model import VAE, Terms

# Pixels of each copy that a step draws: enough in training, all of 32 x 32 px in validation.
TRAINING_PIXELS, VALIDATION_PIXELS = 128, 1024
# Standard deviation of the prior of a shift, of the image's side.
SHIFT = 0.05
POSE = 3  # angle, row shift, column shift


class Inferred(NamedTuple):
    """What the encoder says of each turned copy.

    Attributes:
        mean, log_variance: (B, K, latent_dim + 3) of z, then of the pose that is left, in units of
            its prior's standard deviation.
        log_share: (B, K) log q(copy | x).
    """

    mean: keras.KerasTensor
    log_variance: keras.KerasTensor
    log_share: keras.KerasTensor


@keras.saving.register_keras_serializable("temzoo")
class RotationInvariantVAE(VAE):
    """A VAE whose z knows neither angle nor shift.

    q(copy, z, rest | x) = q(copy | x) q(z | copy, x) q(rest | copy, x). Priors: each copy 1 / K;
    z as ever; the rest of the angle normal, of the standard deviation of the even distribution
    within half a copy, pi / K / sqrt 3; the shifts normal, of a twentieth of the side. ``kl`` has
    all of them; beta weighs that of z alone. ``encode`` answers by the likeliest copy.
    """

    def _parts(self) -> dict:
        config = self.config
        outputs = 2 * (self.latent_dim + POSE) + 1
        return {
            **super()._parts(),
            "encoder": networks.build_encoder(config, outputs),
            "decoder": networks.build_spatial_decoder(config),
        }

    @property
    def copies(self) -> int:
        return self.config["copies"]

    @property
    def _angles(self) -> np.ndarray:
        """(K,) of the copies, radians."""
        return np.arange(self.copies) * 2 * math.pi / self.copies

    @property
    def _pose_units(self) -> np.ndarray:
        """(3,) standard deviations of the priors: radians, px, px."""
        shift = SHIFT * self.image_size
        return np.array([math.pi / self.copies / math.sqrt(3), shift, shift], "float32")

    def terms(self, pixels, *, training: bool) -> Terms:
        pixels = ops.cast(pixels, "float32")
        inferred = self._infer(pixels)
        drawn = self._draw(inferred.mean, inferred.log_variance, training)
        chosen = self._chosen_pixels(training)
        logits = self._drawn_at(
            ops.reshape(drawn[..., : self.latent_dim], (-1, self.latent_dim)),
            ops.reshape(self._poses(drawn[..., self.latent_dim :]), (-1, POSE)),
            ops.take(networks.pixel_positions(self.image_size), chosen, axis=0),
        )
        count = chosen.shape[0]
        wanted = ops.reshape(pixels, (-1, 1, self.image_size**2, self.channels))
        logits = ops.reshape(logits, (-1, self.copies, count, self.channels))
        nats = self.likelihood(ops.take(wanted, chosen, axis=2), logits)
        nats = ops.sum(nats, axis=(2, 3)) * (self.image_size**2 / count)
        return self._expected(inferred, nats)

    def _expected(self, inferred: Inferred, nats) -> Terms:
        """The terms of copies, (B, K), in the mean of q(copy | x)."""
        share = ops.exp(inferred.log_share)
        kl = networks.gaussian_kl(inferred.mean, inferred.log_variance)
        of_z = ops.sum(kl[..., : self.latent_dim], axis=-1)
        of_pose = ops.sum(kl[..., self.latent_dim :], axis=-1)
        of_copy = inferred.log_share + math.log(self.copies)
        parts = (nats, of_z, of_pose + of_copy)
        return Terms(*(ops.sum(share * part, axis=-1) for part in parts))

    def _chosen_pixels(self, training: bool):
        """(P,) of the pixels, in any order: those that this step draws."""
        count = min(TRAINING_PIXELS if training else VALIDATION_PIXELS, self.image_size**2)
        seed = self.seed_generator if training else 0
        return ops.argsort(keras.random.uniform((self.image_size**2,), seed=seed))[:count]

    def _infer(self, pixels) -> Inferred:
        turned = networks.turned_copies(pixels, self._angles)  # (B, K, S, S, C)
        answers = self.encoder(ops.reshape(turned, (-1, *self.input_shape[1:])))
        width = self.latent_dim + POSE
        answers = ops.reshape(answers, (-1, self.copies, 2 * width + 1))
        log_share = ops.log_softmax(answers[..., -1], axis=-1)
        return Inferred(answers[..., :width], answers[..., width : 2 * width], log_share)

    def _poses(self, rest):
        """Angle, row and column shift of the picture from what is left in copies: (B, K, 3)."""
        rest = rest * self._pose_units
        angles = ops.convert_to_tensor(self._angles.astype("float32"))
        rows, cols = networks.turned_pixels(rest[..., 1], rest[..., 2], angles)
        return ops.stack([rest[..., 0] + angles, rows, cols], axis=-1)

    def _drawn_at(self, z, pose, positions):
        """Logits (N, P, channels) of N things at the positions (P, 2), px from the centre."""
        rows = positions[None, :, 0] - pose[:, None, 1]
        cols = positions[None, :, 1] - pose[:, None, 2]
        points = ops.stack(networks.turned_pixels(rows, cols, -pose[:, None, 0]), axis=-1)
        return self.decoder([points * (2 / self.image_size), z])

    def encoded(self, pixels) -> tuple:
        inferred = self._infer(ops.cast(pixels, "float32"))
        share = inferred.log_share
        # Of whole numbers, since Keras takes floats apart bit by bit for it, which ONNX cannot.
        highest = ops.cast(share >= ops.max(share, axis=-1, keepdims=True), "int32")
        best = ops.argmax(highest, axis=-1)[:, None, None]
        mean, log_variance, pose = (
            ops.take_along_axis(each, best, axis=1)[:, 0]
            for each in (
                inferred.mean[..., : self.latent_dim],
                inferred.log_variance[..., : self.latent_dim],
                self._poses(inferred.mean[..., self.latent_dim :]),
            )
        )
        angle = math.pi - (math.pi - pose[:, :1]) % (2 * math.pi)
        return mean, log_variance, ops.concatenate([angle, pose[:, 1:]], axis=-1)

    def decoded(self, z, pose=None):
        if pose is None:
            pose = ops.zeros((ops.shape(z)[0], POSE))
        logits = self._drawn_at(z, pose, networks.pixel_positions(self.image_size))
        return ops.reshape(ops.sigmoid(logits), (-1, *self.input_shape[1:]))

    def _check_latent(self, z, pose) -> None:
        super()._check_latent(z, None)
        if pose is not None and tuple(pose.shape) != (z.shape[0], POSE):
            raise ValueError(
                f"pose must be ({z.shape[0]}, 3): angle, row and column shift of each z. Received:"
                f" shape {tuple(pose.shape)}."
            )

    def _latent_signature(self) -> list:
        pose = keras.InputSpec(shape=(None, POSE), dtype="float32")
        return [*super()._latent_signature(), pose]
