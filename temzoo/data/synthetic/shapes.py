"""Shapes of drawn particles."""

from __future__ import annotations

import math

import numpy as np
import scipy.ndimage

from temzoo.data.synthetic.scene import KINDS, Body, Scene, draw

CAP_POINTS = 33


def random_body(
    rng: np.random.Generator,
    scene: Scene,
    shape: tuple[int, int],
    typical_nm: float,
    others: list[Body],
) -> Body:
    spread = math.sqrt(math.log1p(scene.size_spread**2))
    diameter_nm = np.clip(typical_nm * rng.lognormal(0, spread), *scene.diameter_nm)
    radius = float(diameter_nm) / 2 / scene.nm_per_pixel
    kind = str(rng.choice(KINDS, p=np.asarray(scene.shares) / np.sum(scene.shares)))
    semi_long, semi_short, angle, height = _silhouette(rng, scene, kind, radius)
    row, col = rng.uniform((0, 0), shape)
    if others and rng.random() < scene.clustering:
        row, col = _beside(rng, others, semi_short, shape)
    cavity = bool(rng.random() < scene.cavity_share)
    return Body(kind, row, col, semi_long, semi_short, angle, height, cavity)


def _silhouette(
    rng: np.random.Generator, scene: Scene, kind: str, radius: float
) -> tuple[float, float, float, float]:
    """Long and short semi-axis, angle, and half the thickness at the centre, of one object."""
    if kind == "sphere":
        return radius, radius, 0.0, radius
    if kind == "rod":  # lies flat on the film
        return radius * draw(rng, scene.rod_aspect_ratio), radius, rng.uniform(0, math.pi), radius
    aspect = draw(rng, scene.aspect_ratio)
    flat = rng.uniform(0.9, 1.1)
    semi_axes = radius * aspect ** (-1 / 3) * np.array([aspect, flat, 1 / flat])
    return project_ellipsoid(semi_axes, scipy.linalg.qr(rng.normal(size=(3, 3)))[0])


def project_ellipsoid(
    semi_axes: np.ndarray, rotation: np.ndarray
) -> tuple[float, float, float, float]:
    """Shadow of an ellipsoid along the third axis.

    The body is p' A p <= 1. Minimising over the third coordinate leaves the Schur complement of A,
    an ellipse; the chord above a point of it is 2 sqrt((1 - q) / A33).

    Args:
        semi_axes: (3,), in any unit.
        rotation: (3, 3) orthogonal; its columns are the axes' directions as (row, col, beam).

    Returns:
        Long and short semi-axis of the shadow; angle of the long one in [0, pi), from the column
        axis towards the row axis; half the chord at the centre.
    """
    a = rotation @ np.diag(np.asarray(semi_axes, dtype=np.float64) ** -2.0) @ rotation.T
    shadow = a[:2, :2] - np.outer(a[:2, 2], a[2, :2]) / a[2, 2]
    values, vectors = np.linalg.eigh(shadow)  # ascending: the long axis comes first
    down, right = vectors[:, 0]
    long, short = values**-0.5
    return float(long), float(short), math.atan2(down, right) % math.pi, float(a[2, 2] ** -0.5)


def _beside(
    rng: np.random.Generator, others: list[Body], semi_short: float, shape: tuple[int, int]
) -> tuple[float, float]:
    """A centre next to another object's, inside the image."""
    other = others[rng.integers(len(others))]
    distance = (other.semi_short + semi_short) * rng.uniform(1.02, 1.3) + 2
    direction = rng.uniform(0, 2 * math.pi)
    row = other.row + distance * math.sin(direction)
    col = other.col + distance * math.cos(direction)
    return float(np.clip(row, 0, shape[0])), float(np.clip(col, 0, shape[1]))


def particles_nm(
    rng: np.random.Generator,
    scene: Scene,
    canvas: tuple[int, int],
    margin: int,
    bodies: list[Body],
) -> tuple[np.ndarray, np.ndarray]:
    """Summed thickness of the particles, and thickness by free path, each with its own."""
    thickness = np.zeros(canvas, dtype=np.float32)
    absorption = np.zeros(canvas, dtype=np.float32)
    free_path_nm = draw(rng, scene.free_path_nm)
    for body in bodies:
        contrast = max(0.2, 1 + scene.contrast_spread * rng.standard_normal())
        if not body.cavity:
            window = body.window(canvas, margin)
            own = body.thickness(window, margin) * scene.nm_per_pixel
            thickness[window] += own
            absorption[window] += own * contrast / free_path_nm
    return thickness, absorption


def stadium(body: Body) -> np.ndarray:
    """Outline of a rod: two half circles joined by straight lines."""
    half = np.linspace(-math.pi / 2, math.pi / 2, CAP_POINTS)
    turn = np.concatenate([half, half + math.pi])
    along = body.semi_short * np.cos(turn) + np.repeat([body.core, -body.core], CAP_POINTS)
    across = body.semi_short * np.sin(turn)
    rows = body.row + along * math.sin(body.angle) + across * math.cos(body.angle)
    cols = body.col + along * math.cos(body.angle) - across * math.sin(body.angle)
    return np.stack([rows, cols], axis=1)
