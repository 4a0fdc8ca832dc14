"""Crops cut, turned, resized and changed on the device, a batch at a time.

A crop is a window of a micrograph under a random magnification, turn, mirror and slight
stretch, mirrored at the borders. Reduced crops average four samples a pixel, so that what is small
does not flicker. A part of the crops is as recorded: magnification 1, quarter turns, whole pixels.
Then grey values change: negative, gamma, shading, blur, noise. The network normalises by itself, so
brightness and contrast need no change of their own.
"""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

REACH = 3  # px, of a blur
Images = Sequence[tuple[np.ndarray, np.ndarray]]  # (pixels, class map), (H, W) uint8 each


@dataclass(frozen=True)
class Changes:
    """How crops differ from what was recorded."""

    # least and most, drawn evenly on a logarithmic scale
    magnification: tuple[float, float] = (0.45, 1.4)
    stretch: float = 0.08  # standard deviation of the logarithm of height over width, halved
    # share of crops whose geometry is as recorded, but for quarter turns and mirrors
    recorded: float = 0.2
    negative: float = 0.5  # share whose dark and bright are exchanged
    gamma: float = 0.3  # standard deviation of log gamma
    # Of half of the crops, the others have none:
    shading: float = 0.1  # standard deviation of slow changes of brightness, of the grey range
    blur: float = 1.0  # greatest standard deviation, px
    noise: float = 0.06  # greatest standard deviation, of the grey range


def device() -> dict[str, Any]:
    """Hardware for a record: the device as JAX names it."""
    kind, system = jax.devices()[0].device_kind, platform.platform()
    return {"hardware": {"processor": kind, "cores": os.cpu_count(), "system": system}}


class Store(NamedTuple):
    """All micrographs of a part, on the device, one after the other."""

    pixels: jax.Array  # (sum of H * W,) uint8
    classes: jax.Array  # likewise
    first: jax.Array  # (N,) int32: where each begins
    heights: jax.Array
    widths: jax.Array


def store(images: Images) -> Store:
    """Puts micrographs onto the device."""
    pixels, classes = zip(*images, strict=True)
    shapes = np.array([image.shape for image in pixels], np.int32)
    first = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))[:-1]]).astype(np.int32)
    flat = [np.concatenate([image.ravel() for image in each]) for each in (pixels, classes)]
    arrays = (*flat, first, shapes[:, 0], shapes[:, 1])
    return Store(*map(jnp.asarray, arrays))


def batch_of(key, images: Store, side: int, count: int, classes: int, changes: Changes):
    """(count, side, side, 1) float32 pixels 0 to 255, and their one-hot classes."""

    def one(key):
        place, grey = jax.random.split(key)
        pixels, shares = _cut(place, images, side, classes, changes)
        hot = jax.nn.one_hot(jnp.argmax(shares, axis=-1), classes)
        return _changed(grey, pixels, changes)[..., None] * 255, hot

    return jax.vmap(one)(jax.random.split(key, count))


def _cut(key, images: Store, side: int, classes: int, changes: Changes):
    """(side, side) pixels 0 to 1, (side, side, classes) shares of each class."""
    keys = iter(jax.random.split(key, 9))
    number = jax.random.randint(next(keys), (), 0, len(images.first))
    size = jnp.stack([images.heights[number], images.widths[number]]).astype(jnp.float32)
    recorded = jax.random.uniform(next(keys)) < changes.recorded
    low, high = jnp.log(jnp.array(changes.magnification))
    scale = jnp.exp(jax.random.uniform(next(keys), minval=low, maxval=high))
    scale = jnp.where(recorded, 1.0, scale)
    turn = jax.random.uniform(next(keys), maxval=jnp.pi / 2) * _half(next(keys))
    quarters = jax.random.randint(next(keys), (), 0, 4) * (jnp.pi / 2)
    angle = quarters + jnp.where(recorded, 0.0, turn)
    aspect = jnp.where(recorded, 1.0, jnp.exp(changes.stretch * jax.random.normal(next(keys))))
    mirror = jnp.where(_half(next(keys)), -1.0, 1.0)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turned = jnp.array([[cos, -sin * mirror], [sin, cos * mirror]])
    matrix = turned @ jnp.diag(jnp.array([aspect, 1 / aspect])) / scale
    free = jnp.maximum(size - side / scale, 0)  # rows and columns to spare
    middle = jnp.round(size / 2 + (jax.random.uniform(next(keys), (2,)) - 0.5) * free)
    spread = jnp.clip(1 / scale - 1, 0, 1) / 4
    line, pixels, shares = jnp.arange(side) - (side - 1) / 2, 0.0, 0.0
    grid = jnp.stack(jnp.meshgrid(line, line, indexing="ij"), axis=-1)  # from the crop's middle
    for offset in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        moved = grid + jnp.array(offset) * spread
        positions = moved @ matrix.T + middle - 0.5  # of samples, from the first pixel's middle
        seen, found = _sampled(images, number, size, positions, classes)
        pixels, shares = pixels + seen / 4, shares + found / 4
    return pixels / 255, shares


def _half(key):
    return jax.random.bernoulli(key, 0.5)


def _sampled(images: Store, number, size, positions, classes: int):
    """Pixels and shares of classes at (…, 2) positions, bilinear, mirrored at the borders."""
    corner = jnp.floor(positions)
    part = positions - corner
    pixels, shares = 0.0, 0.0
    for row in (0, 1):
        for col in (0, 1):
            at = jnp.mod(corner + jnp.array([row, col]), 2 * size)
            at = jnp.minimum(at, 2 * size - 1 - at).astype(jnp.int32)  # the border pixel twice
            index = images.first[number] + at[..., 0] * images.widths[number] + at[..., 1]
            weight = jnp.abs(1 - row - part[..., 0]) * jnp.abs(1 - col - part[..., 1])
            pixels = pixels + weight * images.pixels[index].astype(jnp.float32)
            hot = jax.nn.one_hot(images.classes[index], classes)
            shares = shares + weight[..., None] * hot
    return pixels, shares


def _changed(key, x, changes: Changes):
    """(side, side) pixels 0 to 1, with other grey values."""
    negative, gamma, shade, shaded, blur, blurred, noise, noisy, grain = jax.random.split(key, 9)
    x = jnp.where(jax.random.uniform(negative) < changes.negative, 1 - x, x)
    x = jnp.clip(x, 1e-4, 1) ** jnp.exp(changes.gamma * jax.random.normal(gamma))
    slow = jax.image.resize(jax.random.normal(shade, (3, 3)), x.shape, "cubic")
    x = x + changes.shading * slow * _half(shaded)
    x = _blurred(x, changes.blur * jax.random.uniform(blur) * _half(blurred))
    height = changes.noise * jax.random.uniform(noise) * _half(noisy)
    return x + height * jax.random.normal(grain, x.shape)


def _blurred(x, sigma):
    """Gaussian of ``sigma`` px, cut off at ``REACH``; 0 leaves the image as it is."""
    at = jnp.arange(-REACH, REACH + 1)
    taps = jnp.exp(-(at**2) / (2 * jnp.maximum(sigma, 1e-3) ** 2))
    taps = taps / taps.sum()
    wide = jnp.pad(x, REACH, mode="reflect")
    return jax.scipy.signal.convolve2d(wide, jnp.outer(taps, taps), "valid", precision="highest")
