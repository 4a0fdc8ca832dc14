"""VAE: a picture as a few numbers, from which it can be drawn again, and near ones drawn alike.

Kingma and Welling 2014, arXiv:1312.6114; ``beta``: Higgins et al. 2017, ICLR. Trained by
maximising the evidence lower bound (ELBO), in nats per image:
log p(x | z) - KL(q(z | x) || N(0, 1)), with one sample z of q by the reparameterisation.

Input: (B, S, S, channels) in [0, 1], S fixed by ``image_size``. ``encode``: mean and log-variance
of q, (B, latent_dim) each. ``decode``: (B, S, S, channels) in [0, 1].

``rotation_invariant=True`` takes where a thing lies out of z. The decoder draws a picture point by
point from z and the coordinates, turned by the angle and shifted (spatial-VAE: Bepler et al. 2019,
arXiv:1909.11663; rVAE: Ziatdinov et al. 2021, Science Advances 7, eabd5084). An encoder that must
say the angle of the whole circle gets stuck, so it is shown the picture turned to ``copies`` angles
and says of each how upright it looks, z, and what is left of angle and shift (after TARGET-VAE,
Nasiri and Bepler 2022, arXiv:2210.12918). Copies of a turned picture are the same copies in another
order, so z does not change with the angle.

Where we differ from TARGET-VAE: plain convolutions on turned copies; shifts by regression, as
particles are cut out centred; and no Gumbel softmax, the sum over the copies is exact. What that
costs is saved by drawing a random part of the pixels in each training step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from temzoo.models import layers
from temzoo.models.vae_networks import (
    ARCHITECTURES,
    LEAST_SIZE,
    LIKELIHOODS,
    Likelihood,
    build_decoder,
    build_encoder,
    build_spatial_decoder,
    gaussian_kl,
    pixel_positions,
    turned_copies,
    turned_pixels,
)
from temzoo.zoo.cards import register

PARTS = ("encoder", "decoder", "likelihood", "warmup")
METRICS = ("reconstruction", "kl", "elbo")
CHUNK = 128  # images that encode and decode take at a time
# Pixels of each copy that a step draws: enough in training, all of 32 x 32 px in validation.
TRAINING_PIXELS, VALIDATION_PIXELS = 128, 1024
# Standard deviation of the prior of a shift, of the image's side.
SHIFT = 0.05
POSE = 3  # angle, row shift, column shift


@register(
    "vae",
    task="generative",
    summary="variational autoencoder, plain or rotation-invariant",
    paper="Kingma and Welling 2014, arXiv:1312.6114",
    input="(B, image_size, image_size, channels) in [0, 1]",
    output="encode: mean, log-variance (and pose); decode: pictures in [0, 1]",
    parameters=335_074,
    ranges={
        "latent_dim": (2, 16),
        "beta": (0.25, 4.0, "log"),
        "warmup": [0, 250, 1000],
        "architecture": ["conv", "dense"],
        "filters": [8, 16, 32],
        "depth": [2, 3],
        "hidden": [64, 128, 256],
    },
)
def vae(
    *,
    latent_dim: int = 8,
    image_size: int = 32,
    channels: int = 1,
    beta: float = 1.0,
    warmup: int = 250,
    likelihood: str = "bernoulli",
    sigma: float | None = None,
    architecture: str = "conv",
    filters: int = 16,
    depth: int = 3,
    hidden: int = 128,
    rotation_invariant: bool = False,
    copies: int = 8,
) -> VAE:
    """Builds a VAE.

    Args:
        latent_dim: length of z.
        image_size: side of the pictures, px.
        channels: of the pictures.
        beta: weight of the KL divergence of z; above 1, fewer numbers of z are used.
        warmup: steps in which that weight rises from 0, so that z is of use before it costs.
        likelihood: "bernoulli": cross-entropy of pixels in [0, 1]; "gaussian": of one standard
            deviation for all pixels, which suits noisy grey pictures better.
        sigma: that standard deviation; None: learnt.
        architecture: "conv" or "dense".
        filters: of the first convolution; doubled with each halving.
        depth: number of halvings, or of the dense layers.
        hidden: width of the dense layers, half of which the decoder of a rotation-invariant model
            has.
        rotation_invariant: z knows nothing of angle and shift, which ``encode`` gives apart.
        copies: turned pictures that such a model's encoder sees; a multiple of 4, so that turns by
            90 degrees are exact.

    Raises:
        ValueError: a keyword out of its range.
    """
    config = dict(locals())
    _check(config)
    return (RotationInvariantVAE if rotation_invariant else VAE)(config)


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
        """As ``keras.Model.fit``; arrays are checked first.

        Raises:
            ValueError: pictures of another size, or values outside [0, 1].
        """
        self._check_given(x)
        held_out = kwargs.get("validation_data")
        self._check_given(held_out[0] if isinstance(held_out, tuple | list) else held_out)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """As ``keras.Model.evaluate``; arrays are checked first.

        Raises:
            ValueError: pictures of another size, or values outside [0, 1].
        """
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
            return vae(**config)

    def build(self, input_shape=None):
        """The parts are built already."""


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
            "encoder": build_encoder(config, outputs),
            "decoder": build_spatial_decoder(config),
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
            ops.take(pixel_positions(self.image_size), chosen, axis=0),
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
        kl = gaussian_kl(inferred.mean, inferred.log_variance)
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
        turned = turned_copies(pixels, self._angles)  # (B, K, S, S, C)
        answers = self.encoder(ops.reshape(turned, (-1, *self.input_shape[1:])))
        width = self.latent_dim + POSE
        answers = ops.reshape(answers, (-1, self.copies, 2 * width + 1))
        log_share = ops.log_softmax(answers[..., -1], axis=-1)
        return Inferred(answers[..., :width], answers[..., width : 2 * width], log_share)

    def _poses(self, rest):
        """Angle, row and column shift of the picture from what is left in copies: (B, K, 3)."""
        rest = rest * self._pose_units
        angles = ops.convert_to_tensor(self._angles.astype("float32"))
        rows, cols = turned_pixels(rest[..., 1], rest[..., 2], angles)
        return ops.stack([rest[..., 0] + angles, rows, cols], axis=-1)

    def _drawn_at(self, z, pose, positions):
        """Logits (N, P, channels) of N things at the positions (P, 2), px from the centre."""
        rows = positions[None, :, 0] - pose[:, None, 1]
        cols = positions[None, :, 1] - pose[:, None, 2]
        points = ops.stack(turned_pixels(rows, cols, -pose[:, None, 0]), axis=-1)
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
        logits = self._drawn_at(z, pose, pixel_positions(self.image_size))
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


def _in_chunks(function, *arrays) -> list:
    """The results of ``function``, (B, …) each, in chunks, as memory holds no more."""
    arrays = [ops.convert_to_tensor(array, "float32") for array in arrays]
    count = arrays[0].shape[0]
    starts = range(0, count, CHUNK) if count else [0]
    found = [function(*(array[start : start + CHUNK] for array in arrays)) for start in starts]
    return [ops.concatenate(each, axis=0) for each in zip(*found, strict=True)]


def _check(config: dict) -> None:
    layers.check_choices(**{k: config[k] for k in ("channels", "filters", "depth")})
    for keyword, offered in (("likelihood", LIKELIHOODS), ("architecture", ARCHITECTURES)):
        if config[keyword] not in offered:
            choices = ", ".join(repr(name) for name in offered)
            raise ValueError(
                f"{keyword} must be one of {choices}. Received: {keyword}={config[keyword]!r}."
            )
    least = {"latent_dim": 1, "image_size": LEAST_SIZE, "warmup": 0, "hidden": 2}
    for keyword, low in least.items():
        if not isinstance(config[keyword], int) or config[keyword] < low:
            raise ValueError(
                f"{keyword} must be a whole number from {low} on. Received:"
                f" {keyword}={config[keyword]!r}."
            )
    if not config["beta"] >= 0:
        raise ValueError(f"beta must be 0 or more. Received: beta={config['beta']!r}.")
    _check_sigma(config["sigma"], config["likelihood"])
    if not isinstance(config["copies"], int) or config["copies"] < 4 or config["copies"] % 4:
        raise ValueError(f"copies must be a multiple of 4. Received: copies={config['copies']!r}.")


def _check_sigma(sigma, likelihood: str) -> None:
    if sigma is None:
        return
    if likelihood != "gaussian":
        raise ValueError(
            f'sigma is that of likelihood="gaussian". Received: sigma={sigma!r} with'
            f" likelihood={likelihood!r}. Leave it out."
        )
    if not sigma > 0:
        raise ValueError(f"sigma must be greater than 0. Received: sigma={sigma!r}.")
