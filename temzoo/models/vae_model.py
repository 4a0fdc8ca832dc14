"""The variational autoencoder as a Keras model: its bound, what people ask of it, its export."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from temzoo.models import layers
from temzoo.models.vae_networks import Likelihood, build_decoder, build_encoder, gaussian_kl

PARTS = ("encoder", "decoder", "likelihood", "warmup")
METRICS = ("reconstruction", "kl", "elbo")
CHUNK = 128  # images that encode and decode take at a time


class Warmup(keras.layers.Layer):
    """The part of beta that counts by now: steps so far by ``steps``, at most 1."""

    def __init__(self, steps, **kwargs):
        super().__init__(**{"dtype": "float32", "name": "warmup", **kwargs})
        self.steps = float(steps)
        self.done = self.add_weight(shape=(), initializer="zeros", trainable=False, name="done")
        self.built = True

    def advance(self):
        """Counts a training step; what counts by now."""
        self.done.assign(ops.minimum(self.done + 1.0, self.steps))
        return self.done / self.steps if self.steps else 1.0


class Terms(NamedTuple):
    """Of each image, in nats, (B,): -log p(x | z), KL of z, KL of the pose."""

    reconstruction: keras.KerasTensor
    kl: keras.KerasTensor
    pose_kl: keras.KerasTensor | float


@keras.saving.register_keras_serializable("temzoo")
class VAE(keras.Model):
    """Encoder, decoder and the bound they are trained on.

    ``fit`` needs pictures alone; targets beside them are ignored. In the history, in nats per
    image: ``reconstruction``, ``kl``, ``elbo`` = -(reconstruction + kl), and ``loss`` =
    reconstruction + beta kl, where beta rises in the warm-up; in validation it is always whole.

    Attributes:
        latent_dim, image_size, channels: as built.
        encoder, decoder: the networks.
    """

    def __init__(self, config, parts=None):
        # float32: nats are summed over a thousand pixels; the networks have policies of their own.
        super().__init__(name="vae", dtype="float32")
        self.config = dict(config)
        self.policy = keras.config.dtype_policy().name
        self.latent_dim, self.image_size = config["latent_dim"], config["image_size"]
        self.channels, self.beta = config["channels"], float(config["beta"])
        for name, part in (parts or self._parts()).items():
            setattr(self, name, part)
        self.seed_generator = keras.random.SeedGenerator(name="sampling")
        self.trackers = [keras.metrics.Mean(name=name) for name in METRICS]
        self.built = True

    def _parts(self) -> dict:
        config = self.config
        return {
            "encoder": build_encoder(config, 2 * self.latent_dim),
            "decoder": build_decoder(config),
            "likelihood": Likelihood(config["likelihood"], config["sigma"]),
            "warmup": Warmup(config["warmup"]),
        }

    def bare(self) -> VAE:
        """The same parts and weights in a model that was never compiled."""
        return type(self)(self.config, {name: getattr(self, name) for name in PARTS})

    @property
    def input_shape(self):
        return (None, self.image_size, self.image_size, self.channels)

    # What a training step does.

    def call(self, pixels, training=None):
        """Pictures to what is drawn again from their means: (B, S, S, channels) in [0, 1]."""
        mean, _, *pose = self.encoded(pixels)
        return self.decoded(mean, *pose)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean over the batch of reconstruction + beta KL."""
        # y_pred is drawn from the mean and not used: a compiled step leaves it out.
        terms = self.terms(x, training=training)
        beta = self.beta * (self.warmup.advance() if training else 1.0)
        kl = terms.kl + terms.pose_kl
        values = (terms.reconstruction, kl, -(terms.reconstruction + kl))
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return ops.mean(terms.reconstruction + beta * terms.kl + terms.pose_kl)

    def terms(self, pixels, *, training: bool) -> Terms:
        """The terms of the bound, with one sample of z; without training the same each time."""
        pixels = ops.cast(pixels, "float32")
        mean, log_variance = self._posterior(pixels)
        z = self._draw(mean, log_variance, training)
        nats = self.likelihood(pixels, self.decoder(z, training=training))
        return Terms(
            ops.sum(nats, axis=(1, 2, 3)), ops.sum(gaussian_kl(mean, log_variance), axis=-1), 0.0
        )

    def _posterior(self, pixels):
        return ops.split(self.encoder(pixels), 2, axis=-1)

    def _draw(self, mean, log_variance, training: bool):
        """A sample of N(mean, variance), through which gradients flow."""
        seed = self.seed_generator if training else 0
        noise = keras.random.normal(ops.shape(mean), dtype="float32", seed=seed)
        return mean + ops.exp(0.5 * log_variance) * noise

    def fit(self, x=None, *args, **kwargs):
        """As ``keras.Model.fit``; arrays are checked first, by ``check_pixels``."""
        self._check_given(x)
        held_out = kwargs.get("validation_data")
        self._check_given(held_out[0] if isinstance(held_out, tuple | list) else held_out)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """As ``keras.Model.evaluate``; arrays are checked first, by ``check_pixels``."""
        self._check_given(x)
        return super().evaluate(x, *args, **kwargs)

    def _check_given(self, x) -> None:
        if isinstance(x, np.ndarray):
            self.check_pixels(x)

    def check_pixels(self, pixels) -> None:
        """Raises ValueError for pictures of another size, or values outside [0, 1]."""
        pixels = np.asarray(pixels)
        expected = self.input_shape[1:]
        if pixels.ndim != 4 or pixels.shape[1:] != expected:
            raise ValueError(
                f"pixels must be (images, {', '.join(map(str, expected))}). Received: shape"
                f" {pixels.shape}. Resize them, or build the model with another image_size or"
                " channels."
            )
        if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ValueError(
                f"pixels must be finite and in [0, 1]. Received: {pixels.dtype} from"
                f" {pixels.min()} to {pixels.max()}. Divide by the largest value there can be, 255"
                " for uint8."
            )

    # What people ask of it.

    def encode(self, pixels):
        """Pictures to the posterior of z.

        Args:
            pixels: (B, S, S, channels) in [0, 1].

        Returns:
            Mean and log-variance, (B, latent_dim) float32 each. A rotation-invariant model gives
            the pose too, (B, 3): angle in (-pi, pi], clockwise on screen, row and column shift, px.

        Raises:
            ValueError: pictures of another size, or values outside [0, 1].
        """
        self.check_pixels(pixels)
        return tuple(_in_chunks(self.encoded, pixels))

    def decode(self, z, pose=None):
        """z to pictures.

        Args:
            z: (B, latent_dim).
            pose: (B, 3), for a rotation-invariant model; None: upright and centred.

        Returns:
            (B, S, S, channels) float32 in [0, 1]: the mean of p(x | z).

        Raises:
            ValueError: another shape, or a pose where there is none.
        """
        z, pose = (p if p is None else ops.convert_to_tensor(p, "float32") for p in (z, pose))
        self._check_latent(z, pose)
        given = (z,) if pose is None else (z, pose)
        return _in_chunks(lambda *parts: (self.decoded(*parts),), *given)[0]

    def sample(self, count: int, *, seed: int = 0):
        """Pictures of z drawn from N(0, 1): (count, S, S, channels) in [0, 1]."""
        return self.decode(keras.random.normal((count, self.latent_dim), seed=seed))

    def _check_latent(self, z, pose) -> None:
        if len(z.shape) != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(
                f"z must be (pictures, {self.latent_dim}). Received: shape {tuple(z.shape)}."
            )
        if pose is not None:
            raise ValueError(
                "Only a model of rotation_invariant=True has a pose. Received: pose of shape"
                f" {tuple(pose.shape)}. Leave it out."
            )

    def encoded(self, pixels) -> tuple:
        """``encode`` on tensors, unchecked."""
        return tuple(self._posterior(ops.cast(pixels, "float32")))

    def decoded(self, z):
        """``decode`` on tensors, unchecked."""
        return ops.sigmoid(self.decoder(z))

    # How it is kept.

    def export(
        self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs
    ):
        """Writes a SavedModel with two signatures, ``encode`` and ``decode``, for any batch.

        ``encode`` gives {"mean", "log_variance"} (and "pose", which ``decode`` then takes too).

        Raises:
            ValueError: another format, which has no two signatures.
        """
        if format != "tf_saved_model":
            raise ValueError(
                f'A VAE is exported as "tf_saved_model" only. Received: format="{format}".'
            )
        archive = keras.export.ExportArchive()
        for name in PARTS:
            archive.track(getattr(self, name))
        pixels = [keras.InputSpec(shape=self.input_shape, dtype="float32")]
        archive.add_endpoint("encode", self._served, input_signature=pixels)
        archive.add_endpoint("decode", self.decoded, input_signature=self._latent_signature())
        archive.write_out(filepath, verbose=verbose is None or verbose)

    def _served(self, pixels) -> dict:
        names = ("mean", "log_variance", "pose")
        return dict(zip(names, self.encoded(pixels), strict=False))

    def _latent_signature(self) -> list:
        return [keras.InputSpec(shape=(None, self.latent_dim), dtype="float32")]

    def get_config(self):
        return {**self.config, "policy": self.policy}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        with layers.dtype_policy(config.pop("policy")):
            return cls(config)

    def build(self, input_shape=None):
        """The parts are built already."""


def _in_chunks(function, *arrays) -> list:
    """The results of ``function``, (B, …) each, in chunks, as memory holds no more."""
    arrays = [ops.convert_to_tensor(array, "float32") for array in arrays]
    count = arrays[0].shape[0]
    starts = range(0, count, CHUNK) if count else [0]
    found = [function(*(array[start : start + CHUNK] for array in arrays)) for start in starts]
    return [ops.concatenate(each, axis=0) for each in zip(*found, strict=True)]
