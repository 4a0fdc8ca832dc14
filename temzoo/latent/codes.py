"""Pictures to latent codes and back, with the error of the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, section 5.2


@dataclass(frozen=True, eq=False)
class Encoded:
    """What an encoder says of N images.

    Attributes:
        means: (N, D) float32, the codes.
        log_variances: (N, D) float32 of the posterior; None of a plain autoencoder.
        poses: (N, 3) float32 angle (rad), row and column shift (px), which a rotation-invariant
            model keeps apart from the code; else None.
    """

    means: np.ndarray
    log_variances: np.ndarray | None = None
    poses: np.ndarray | None = None

    @property
    def activity(self) -> np.ndarray:
        """(D,) variance of each dimension's mean over the images."""
        return self.means.var(axis=0, dtype=np.float64)

    @property
    def order(self) -> np.ndarray:
        """(D,) dimensions, the most active first."""
        return np.argsort(-self.activity, kind="stable")


def encode_images(model: Any, images: np.ndarray, *, batch: int = 256) -> Encoded:
    """Encodes images in batches.

    Args:
        model: with ``encode`` and ``image_size`` S.
        images: (N, S, S) or (N, S, S, C) in the range that the model takes.

    Raises:
        ValueError: the images are not of the model's size, or not finite, or the model takes any
            size and has no latent vector.

    Example:
        >>> encoded = encode_images(model, digits)
        >>> encoded.means.shape
        (1797, 2)
    """
    parts = _in_batches(model.encode, checked_images(model, images), batch)
    return Encoded(*map(np.concatenate, list(zip(*parts, strict=True))[:3]))


def decode_codes(model: Any, codes: np.ndarray, *, batch: int = 256) -> np.ndarray:
    """Decodes (N, D) codes in batches: (N, S, S, C) float32 pictures in [0, 1]."""
    decoded = _in_batches(lambda part: [model.decode(part)], np.asarray(codes, np.float32), batch)
    return np.concatenate([part for [part] in decoded])


def _in_batches(function: Callable, values: np.ndarray, batch: int) -> list[list[np.ndarray]]:
    """What a function gives of a batch at a time, each of its parts as float32."""
    batches = (values[k : k + batch] for k in range(0, len(values), batch))
    return [[np.asarray(one, np.float32) for one in function(part)] for part in batches]


def reconstruct(
    model: Any, images: np.ndarray, *, encoded: Encoded | None = None, batch: int = 256
) -> np.ndarray:
    """Images through the whole model and back: (N, S, S, C) float32, in the images' range.

    A model that can be called is called: it gives the pose back that a rotation-invariant decoder
    leaves out, and the range that an autoencoder of raw pixels normalises away. Of another the
    decoded means are taken.

    Args:
        model: with ``encode``, ``decode``, ``image_size``.
        images: what ``encode_images`` takes.
        encoded: of these images, where it is there already.

    Raises:
        ValueError: what comes back has not the images' shape.
    """
    images = checked_images(model, images)
    if callable(model):
        again = _in_batches(lambda part: [model(part)], images, batch)
        again = np.concatenate([part for [part] in again])
    else:
        means = (encoded or encode_images(model, images, batch=batch)).means
        again = decode_codes(model, means, batch=batch)
    if again.shape != images.shape:
        raise ValueError(
            "a reconstruction must have the shape of its images. Received: "
            f"{again.shape} for images {images.shape}. Use a model that gives its input back."
        )
    return again


def reconstruction_error(
    model: Any, images: np.ndarray, *, encoded: Encoded | None = None
) -> ReconstructionError:
    """Mean squared error of what a model gives back, per pixel, image by image.

    Arguments and errors are those of ``reconstruct``.

    Example:
        >>> reconstruction_error(model, digits).mean
        0.0123
    """
    again = reconstruct(model, images, encoded=encoded)
    return squared_error(checked_images(model, images), again)


@dataclass(frozen=True, eq=False)
class ReconstructionError:
    """Squared error of reconstructions, (N,) float64 mean over the pixels of each image."""

    per_image: np.ndarray

    @property
    def mean(self) -> float:
        """Mean squared error per pixel, over all images."""
        return float(self.per_image.mean())


def squared_error(images: np.ndarray, again: np.ndarray) -> ReconstructionError:
    """Error of reconstructions that are there already, both (N, S, S, C)."""
    return ReconstructionError(((again.astype(np.float64) - images) ** 2).mean(axis=(1, 2, 3)))


def kl_per_dimension(means: np.ndarray, log_variances: np.ndarray) -> np.ndarray:
    """Divergence of the posterior from the standard normal prior, in nats.

    Closed form, Kingma and Welling 2014, appendix B: (mean² + variance - ln variance - 1) / 2.

    Args:
        means, log_variances: (N, D).

    Returns:
        (D,) float64 mean over the images; the sum is the model's KL.

    Example:
        >>> kl_per_dimension(np.ones((1, 2)), np.zeros((1, 2)))
        array([0.5, 0.5])
    """
    means, logs = np.asarray(means, np.float64), np.asarray(log_variances, np.float64)
    return 0.5 * (means**2 + np.exp(logs) - logs - 1).mean(axis=0)


def active_units(means: np.ndarray) -> np.ndarray:
    """Which dimensions say something: the variance of their means over the data exceeds 0.01.

    Burda et al. 2016, arXiv:1509.00519. Meant for variational models, whose codes have the scale
    of the prior; a plain autoencoder's scale is free, and its dimensions are nearly always active.

    Args:
        means: (N, D) codes.

    Returns:
        (D,) bool.
    """
    return np.asarray(means, np.float64).var(axis=0) > ACTIVE_VARIANCE


def checked_images(model: Any, images: np.ndarray) -> np.ndarray:
    """(N, S, S, C) float32 of images that fit a model."""
    images = np.asarray(images, np.float32)
    images = images[..., None] if images.ndim == 3 else images
    side = model.image_size
    if side is None:
        raise ValueError(
            "a model must have a latent vector to look at. Received: one for images of any size, "
            "image_size=None. Build it with an image_size (an autoencoder with skips=False)."
        )
    if images.ndim != 4 or images.shape[1:3] != (side, side) or not len(images):
        raise ValueError(
            f"images must be (N, {side}, {side}) or (N, {side}, {side}, C) for this model. "
            f"Received: {images.shape}. Cut or resize them to {side} px."
        )
    if not np.isfinite(images).all():
        raise ValueError(
            "images must be finite. Received: NaN or infinity. Leave those images out."
        )
    return images


def checked_codes(codes: np.ndarray) -> np.ndarray:
    """(N, D) float64."""
    codes = np.asarray(codes, np.float64)
    finite = np.isfinite(codes).all()
    if codes.ndim != 2 or not codes.size or not finite:
        raise ValueError(
            "codes must be (N, D) finite numbers. Received: "
            f"{codes.shape}{'' if finite else ' with NaN or infinity'}. "
            "Pass the means of encode_images."
        )
    return codes
