"""Single drawn particles, one an image."""

from __future__ import annotations

import math

import numpy as np
import scipy.ndimage

from temzoo.data.synthetic.scene import Body, checked_size

LOPSIDE = 0.3  # radius of the sphere on a lopsided particle's end, by the long semi-axis


def particle_images(
    n: int,
    *,
    size: int = 32,
    seed: int = 0,
    diameter_px: tuple[float, float] | None = None,
    aspect_ratio: tuple[float, float] = (1.2, 2.2),
    shift_px: float = 1.0,
    dose_e_per_px: float = 400.0,
    lopsided: bool = False,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Pictures of one particle each, dark on a bright ground, for models of single pictures.

    Ellipsoids lying flat, as long along the beam as across their short axis; Beer-Lambert, Poisson
    noise of the dose, the camera's spread. What they differ in is drawn evenly and independently,
    so that a model's latent numbers can be held against it.

    Args:
        n: number of pictures.
        size: their side, px; at least 16.
        seed: of everything random; more pictures keep the first ones.
        diameter_px: range of the diameter of the circle of equal area; None: 0.25 to 0.45 of size.
        aspect_ratio: range of long by short axis of the silhouette.
        shift_px: the centre lies within this of the picture's, in rows and in columns.
        dose_e_per_px: electrons per pixel of the ground.
        lopsided: a small sphere sits on one end, which tells a particle from itself turned by 180
            degrees; diameter and aspect ratio remain those of the ellipsoid.

    Returns:
        (n, size, size) float32 in [0, 1], and (n,) float64 each of ``diameter_px``,
        ``aspect_ratio`` and ``angle_deg``: of the long axis, clockwise on screen from the
        horizontal, in [0, 180); of the end with the sphere, in [0, 360), when lopsided.

    Raises:
        ValueError: fewer than one picture, a small size, or particles that do not fit.

    Example:
        >>> images, factors = particle_images(100, size=32, seed=1)
        >>> images.shape, sorted(factors)
        ((100, 32, 32), ['angle_deg', 'aspect_ratio', 'diameter_px'])
    """
    if n < 1:
        raise ValueError(f"n must be at least 1 picture. Received: n={n}.")
    checked_size(size)
    if not 1 <= aspect_ratio[0] <= aspect_ratio[1]:
        raise ValueError(
            "aspect_ratio must be (smallest, largest), from 1 on. Received:"
            f" aspect_ratio={aspect_ratio}."
        )
    diameter_px = (0.25 * size, 0.45 * size) if diameter_px is None else diameter_px
    reach = diameter_px[1] / 2 * math.sqrt(aspect_ratio[1]) * (1 + LOPSIDE * lopsided) + shift_px
    if not 0 < diameter_px[0] <= diameter_px[1] or reach > size / 2:
        raise ValueError(
            "diameter_px must be (smallest, largest), and the largest must fit. Received:"
            f" diameter_px={diameter_px} in size={size}, of which the longest would reach"
            f" {reach:.1f} px from the centre. Take smaller ones, or a larger size."
        )
    images = np.empty((n, size, size), np.float32)
    factors = np.empty((n, 3))
    ranges = np.array([diameter_px, aspect_ratio, (0, 360 if lopsided else 180)], float)
    for index in range(n):
        rng = np.random.default_rng((seed, index))
        factors[index] = rng.uniform(*ranges.T)
        row, col = size / 2 + rng.uniform(-shift_px, shift_px, 2)
        bodies = _single(*factors[index], row, col, lopsided)
        images[index] = _single_exposure(rng, bodies, size, dose_e_per_px)
    names = ("diameter_px", "aspect_ratio", "angle_deg")
    return images, dict(zip(names, factors.T.copy(), strict=True))


def _single(
    diameter: float, aspect: float, angle_deg: float, row: float, col: float, lopsided: bool
) -> list[Body]:
    """An ellipsoid, and the sphere on its end."""
    root, angle = math.sqrt(aspect), math.radians(angle_deg)
    long, short = diameter / 2 * root, diameter / 2 / root
    bodies = [Body("ellipsoid", row, col, long, short, angle, short, False)]
    if lopsided:
        radius = LOPSIDE * long
        end = (row + long * math.sin(angle), col + long * math.cos(angle))
        bodies.append(Body("sphere", *end, radius, radius, 0.0, radius, False))
    return bodies


def _single_exposure(
    rng: np.random.Generator, bodies: list[Body], size: int, dose_e_per_px: float
) -> np.ndarray:
    """(size, size) float32 in [0, 1]; the ground is at 0.8, so that its noise is not cut."""
    whole = (slice(0, size), slice(0, size))
    thickness = sum(body.thickness(whole) for body in bodies)
    # A free path of half the side: the thickest lets a third through, the thinnest two thirds.
    electrons = rng.poisson(dose_e_per_px * np.exp(-thickness / (size / 2)))
    seen = scipy.ndimage.gaussian_filter(electrons.astype(np.float32), 0.6, mode="nearest")
    return np.clip(0.8 * seen / dose_e_per_px, 0, 1)
