"""Networks and likelihoods of the variational autoencoder."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

from temzoo.models.layers import conv_relu

LIKELIHOODS = ("bernoulli", "gaussian")
ARCHITECTURES = ("conv", "dense")
LEAST_SIZE = 8
FIRST_SIGMA = 0.1


def build_encoder(config: dict, outputs: int) -> keras.Model:
    """(S, S, channels) to (outputs,) float32."""
    size, filters, hidden = config["image_size"], config["filters"], config["hidden"]
    pixels = keras.Input((size, size, config["channels"]), name="pixels")
    x = pixels
    if config["architecture"] == "conv":
        for level in range(config["depth"]):  # (S / 2^(level + 1), same, filters * 2^level)
            x = conv_relu(x, filters * 2**level, f"down{level}", strides=2)
        x = keras.layers.Flatten(name="flat")(x)
        x = _dense(hidden, "hidden")(x)
    else:
        x = keras.layers.Flatten(name="flat")(x)
        for level in range(config["depth"]):
            x = _dense(hidden, f"hidden{level}")(x)
    x = keras.layers.Dense(outputs, dtype="float32", name="posterior")(x)
    return keras.Model(pixels, x, name="encoder")


def build_decoder(config: dict) -> keras.Model:
    """(latent_dim,) to logits (S, S, channels) float32."""
    size, channels, depth = config["image_size"], config["channels"], config["depth"]
    z = keras.Input((config["latent_dim"],), name="z")
    x = z
    if config["architecture"] == "dense":
        for level in range(depth):
            x = _dense(config["hidden"], f"hidden{level}")(x)
        x = keras.layers.Dense(size * size * channels, dtype="float32", name="logits")(x)
        x = keras.layers.Reshape((size, size, channels), dtype="float32", name="picture")(x)
        return keras.Model(z, x, name="decoder")
    least, widest = -(-size // 2**depth), config["filters"] * 2 ** (depth - 1)
    x = _dense(config["hidden"], "hidden")(x)
    x = _dense(least * least * widest, "unfold")(x)
    x = keras.layers.Reshape((least, least, widest), name="fold")(x)
    for level in reversed(range(depth)):  # doubled, (…, …, filters * 2^(level - 1))
        width = config["filters"] * 2 ** max(level - 1, 0)
        # Four is a multiple of the stride, which leaves no checkerboard.
        how = {"activation": "relu", "kernel_initializer": "he_normal", "name": f"up{level}"}
        x = keras.layers.Conv2DTranspose(width, 4, strides=2, padding="same", **how)(x)
    x = keras.layers.Conv2D(channels, 3, padding="same", dtype="float32", name="logits")(x)
    surplus = least * 2**depth - size
    if surplus:
        edges = (surplus // 2, surplus - surplus // 2)
        x = keras.layers.Cropping2D((edges, edges), dtype="float32", name="crop")(x)
    return keras.Model(z, x, name="decoder")


def build_spatial_decoder(config: dict) -> keras.Model:
    """Coordinates (P, 2) in the thing's own frame, and z (latent_dim,), to logits (P, channels)."""
    width = config["hidden"] // 2
    points = keras.Input((None, 2), name="points")
    z = keras.Input((config["latent_dim"],), name="z")
    # Wide enough that the first tanh bends within the picture, not only at its ends.
    steep = keras.initializers.RandomNormal(stddev=2.0)
    where = keras.layers.Dense(width, kernel_initializer=steep, name="where")(points)
    what = keras.layers.Dense(width, use_bias=False, name="what")(z)
    x = keras.layers.Add(name="join")([where, keras.layers.Reshape((1, width), name="row")(what)])
    x = keras.layers.Activation("tanh", name="bend")(x)
    for level in range(2):
        step = keras.layers.Dense(width, activation="tanh", name=f"hidden{level}")(x)
        x = keras.layers.Add(name=f"residual{level}")([x, step])
    x = keras.layers.Dense(config["channels"], dtype="float32", name="logits")(x)
    return keras.Model([points, z], x, name="decoder")


def _dense(width: int, name: str) -> keras.layers.Layer:
    return keras.layers.Dense(width, activation="relu", kernel_initializer="he_normal", name=name)


def gaussian_kl(mean, log_variance):
    """KL(N(mean, variance) || N(0, 1)) of each number, in nats (Kingma and Welling, appendix B)."""
    return 0.5 * (ops.exp(log_variance) + ops.square(mean) - 1.0 - log_variance)


class Likelihood(keras.layers.Layer):
    """-log p(pixel | logit), in nats.

    ``bernoulli``: p = sigmoid(logit), cross-entropy; of grey pixels it has no norm, so its values
    compare among models of it alone. ``gaussian``: density of N(sigmoid(logit), sigma).

    Args:
        kind: one of the above.
        sigma: standard deviation; None: learnt, one for all pixels (Rybkin et al. 2021,
            arXiv:2006.13202).
    """

    def __init__(self, kind, sigma=None, **kwargs):
        super().__init__(**{"dtype": "float32", "name": "likelihood", **kwargs})
        self.kind = kind
        self.log_sigma = None if sigma is None else math.log(sigma)
        if kind == "gaussian" and sigma is None:
            start = keras.initializers.Constant(math.log(FIRST_SIGMA))
            self.log_sigma = self.add_weight(shape=(), initializer=start, name="log_sigma")
        self.built = True

    def call(self, pixels, logits):
        if self.kind == "bernoulli":
            return ops.softplus(logits) - pixels * logits
        log_sigma = ops.convert_to_tensor(self.log_sigma)
        deviation = (pixels - ops.sigmoid(logits)) * ops.exp(-log_sigma)
        return 0.5 * ops.square(deviation) + log_sigma + 0.5 * math.log(2 * math.pi)


def turned_copies(pixels, angles: np.ndarray):
    """Pictures turned back by each angle, bilinear: (B, S, S, C) to (B, K, S, S, C).

    What lies at an angle, clockwise on screen from the column axis, lies along that axis in its
    copy. Outside the circle that fits into the picture all is 0, so that no corner tells the copy.
    """
    _, size, _, channels = pixels.shape
    indices, weights = _turning(size, angles)
    flat = ops.reshape(pixels, (-1, size * size, channels))
    total = 0.0
    for index, weight in zip(indices, weights, strict=True):
        total = total + ops.take(flat, index, axis=1) * weight[:, None]
    return ops.reshape(total, (-1, len(angles), size, size, channels))


def _turning(size: int, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each copy's pixel the four source pixels, (4, K S S) int32, and their weights, float32."""
    rows, cols = pixel_positions(size).T
    disc = np.clip(size / 2 - np.hypot(rows, cols) + 0.5, 0, 1)  # one pixel soft
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    centre = (size - 1) / 2
    # Rounded, so that turns by 90 degrees hit pixels exactly.
    row = np.round(cos * rows + sin * cols + centre, 6)
    col = np.round(cos * cols - sin * rows + centre, 6)
    top, left = np.floor(row), np.floor(col)
    indices, weights = [], []
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - (row - top)) * np.abs(1 - right - (col - left))
            at = [np.clip(n, 0, size - 1) for n in (top + down, left + right)]
            indices.append((at[0] * size + at[1]).ravel().astype("int32"))
            weights.append((weight * disc).ravel().astype("float32"))
    return np.stack(indices), np.stack(weights)


def pixel_positions(size: int) -> np.ndarray:
    """(S S, 2) float32 row and column of the pixels' centres from the picture's centre, px."""
    line = np.arange(size, dtype="float32") - np.float32((size - 1) / 2)
    return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)


def turned_pixels(rows, cols, angles) -> tuple:
    """Rows and columns of points after a turn by ``angles``, clockwise on screen."""
    cos, sin = ops.cos(angles), ops.sin(angles)
    return cos * rows + sin * cols, cos * cols - sin * rows
