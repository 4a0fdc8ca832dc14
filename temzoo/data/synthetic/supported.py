"""Small particles on the uneven support of a catalyst, whose labels are known exactly.

Annular dark field, bright on dark, or bright field, dark on bright. The dark field's signal is
taken as the mass along the beam: thickness by atomic number to about 1.7 (Pennycook and Jesson,
Ultramicroscopy 37, 1991), of which particles have several times their support's; the bright
field's falls as exp(-mass). Then come the probe's blur, Poisson noise, and the stretching of grey
levels that programs do. All sizes are in pixels: what is drawn has no calibration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import scipy.ndimage

from temzoo.core.types import LabelledImage, Micrograph, Shape
from temzoo.data.synthetic.exposure import film_texture
from temzoo.data.synthetic.scene import Body, Window, checked_size

DIAMETERS = (5.0, 50.0)  # px, of the typical particle of an image
SMALLEST, LARGEST = 4.0, 90.0
COUNTS = (8, 260)
COVERED = 0.2  # most of the support that particles hide, about
HIDDEN = 0.15  # of a particle's area, by those drawn after it
CLUMPED = 0.3  # share of images whose particles stand together
BRIGHT_FIELD = 0.35  # share of images
STRENGTHS = (0.2, 1.6)  # mass of a typical particle by that of its support
# Contrast by noise in its area that lets a typical particle be seen, and smaller ones: 3 to 5
# are needed (Rose, J. Opt. Soc. Am. 38, 1948).
SEEN = 8.0


def supported_catalyst(
    seed: int | Sequence[int], *, size: int | tuple[int, int] = 512, name: str = "supported.tif"
) -> tuple[Micrograph, LabelledImage]:
    """Draws particles on a support, which is of spheres, a cloud, of fibres or a film.

    Args:
        seed: of everything random; one seed gives one image.
        size: pixels; one number for a square, or (height, width).
        name: of the image.

    Returns:
        (H, W) uint8 pixels without calibration; and an ellipse for each particle, of the class
        "particle".

    Raises:
        ValueError: a size that is none.

    Example:
        >>> micrograph, labels = supported_catalyst(3, size=256)
        >>> micrograph.pixels.shape
        (256, 256)
    """
    shape = checked_size(size)
    rng = np.random.default_rng(seed)
    support, there = _support(rng, shape)
    typical = _log_uniform(rng, *DIAMETERS)
    particles = list(_particles(rng, there, typical))
    strength = _log_uniform(rng, *STRENGTHS)
    mass = support * rng.uniform(0.3, 1) + _mass(rng, particles, strength, typical, shape)
    least = SEEN**2 / (strength**2 * math.pi / 4 * typical**2)  # electrons a pixel
    pixels = _exposed(rng, mass, typical, max(least, _log_uniform(rng, 30, 3000)))
    shapes = tuple(_label(each, order) for order, each in enumerate(particles))
    labels = LabelledImage(name, shape[1], shape[0], shapes, ("particle",))
    return Micrograph(pixels, None, name), labels


def _ellipsoid(row: float, col: float, long: float, short: float, angle: float) -> Body:
    """A body of semi-axes in px, whose greatest thickness is 1."""
    return Body("ellipsoid", row, col, long, short, angle, height=0.5, cavity=False)


def _thickness(body: Body, window: Window) -> np.ndarray:
    return body.thickness(window).astype(np.float32)


def _diameter(body: Body) -> float:
    """Of the circle of the same projected area, px."""
    return 2 * math.sqrt(body.semi_long * body.semi_short)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _support(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Its mass, about 0 to 1.6, and where it is."""
    draw = rng.choice([_spheres, _cloud, _fibres, _film], p=[0.4, 0.35, 0.1, 0.15])
    mass = draw(rng, shape)
    mass = np.clip(mass / max(np.percentile(mass, 99), 1e-3), 0, 1.6)
    there = mass > 0.12
    grain = film_texture(rng, shape, rng.uniform(1.2, 2.8))
    mass = mass * (1 + np.float32(rng.uniform(0.02, 0.2)) * grain)
    return scipy.ndimage.gaussian_filter(mass, rng.uniform(1, 4)), there


def _spheres(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    radius = _log_uniform(rng, 15, 180)
    count = np.clip(rng.uniform(0.3, 3) * math.prod(shape) / (math.pi * radius**2), 2, 500)
    mass = np.zeros(shape, np.float32)
    for _ in range(int(count)):
        row, col = rng.normal(0.5, 0.35, 2) * shape
        long = radius * math.exp(rng.normal(0, 0.25))
        ball = _ellipsoid(row, col, long, long / rng.uniform(1, 1.3), rng.uniform(0, math.pi))
        window = ball.window(shape)
        mass[window] += _thickness(ball, window)
    return mass


def _cloud(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    texture = film_texture(rng, shape, rng.uniform(2.2, 3.6))
    return np.clip(texture - rng.uniform(-1.5, 0.5), 0, None) ** rng.uniform(0.5, 1.5)


def _fibres(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    mass = np.zeros(shape, np.float32)
    for _ in range(rng.integers(4, 30)):
        one, two = (rng.uniform(-0.2, 1.2, (2, 2)) * shape[::-1]).astype(int).tolist()
        fibre = np.zeros(shape, np.uint8)
        cv2.line(fibre, one, two, 1, int(rng.integers(6, 50)))
        mass += np.float32(rng.uniform(0.3, 1)) * fibre
    return scipy.ndimage.gaussian_filter(mass, 2)


def _film(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 1 + np.float32(0.3) * film_texture(rng, shape, 3)


def _particles(rng: np.random.Generator, there: np.ndarray, typical: float) -> Iterator[Body]:
    """Particles on the support, in the order in which they lie on each other."""
    if there.mean() < 0.02:
        there = np.ones_like(there)
    rows, cols = np.nonzero(there)
    most = int(COVERED * len(rows) / (0.8 * typical**2)) + 3
    owner = np.zeros(there.shape, bool)
    spread, clumped = rng.uniform(0.1, 0.45), rng.random() < CLUMPED
    last: Body | None = None
    for _ in range(min(int(rng.integers(*COUNTS)), most)):
        diameter = float(np.clip(typical * math.exp(rng.normal(0, spread)), SMALLEST, LARGEST))
        place = int(rng.integers(len(rows)))
        row, col = rows[place] + rng.random(), cols[place] + rng.random()
        if clumped and last is not None and rng.random() < 0.5:
            away, to = (diameter + _diameter(last)) / 2 * rng.uniform(0.9, 1.3), rng.uniform(0, 7)
            row, col = last.row + away * math.sin(to), last.col + away * math.cos(to)
        aspect = 1 + abs(rng.normal(0, 0.2))
        long = diameter / 2 * math.sqrt(aspect)
        body = _ellipsoid(row, col, long, long / aspect, rng.uniform(0, math.pi))
        window = body.window(there.shape)
        covered = _thickness(body, window) > 0
        if covered.sum() >= 8 and owner[window][covered].mean() <= HIDDEN:
            owner[window] |= covered
            last = body
            yield body


def _mass(
    rng: np.random.Generator,
    particles: Sequence[Body],
    strength: float,
    typical: float,
    shape: tuple[int, int],
) -> np.ndarray:
    """Of the particles: larger ones are thicker, and a facet is flatter than a sphere."""
    mass = np.zeros(shape, np.float32)
    for body in particles:
        window = body.window(shape)
        own = strength * rng.uniform(0.6, 1.4) * (0.4 + 0.6 * _diameter(body) / typical)
        height = _thickness(body, window) ** np.float32(rng.uniform(0.3, 1))
        mass[window] = np.maximum(mass[window], np.float32(own) * height)
    return mass


def _exposed(rng: np.random.Generator, mass: np.ndarray, typical: float, dose: float) -> np.ndarray:
    """(H, W) uint8: blur, background, noise and grey levels."""
    probe = rng.uniform(0.5, 1.6) * np.clip(typical / 14, 0.6, 2.5)
    signal = scipy.ndimage.gaussian_filter(mass, probe)
    slope = np.linspace(0, rng.uniform(0, 0.15), max(signal.shape), dtype=np.float32)
    signal += np.float32(rng.uniform(0, 0.2))
    across = rng.random() < 0.5
    signal += slope[: signal.shape[1]] if across else slope[: signal.shape[0], None]
    if rng.random() < BRIGHT_FIELD:
        signal = np.exp(-rng.uniform(0.4, 1.2) * signal)
    counts = rng.poisson(dose * np.clip(signal, 0, None)).astype(np.float32)
    if rng.random() < 0.4:
        counts = scipy.ndimage.gaussian_filter(counts, rng.uniform(0.5, 1.2))
    low, high = np.percentile(counts, [rng.uniform(0, 0.5), 100 - rng.uniform(0, 0.6)])
    shown = np.clip((counts - low) / max(high - low, 1e-6), 0, 1) ** rng.uniform(0.7, 1.4)
    return np.rint(255 * shown).astype(np.uint8)


def _label(body: Body, order: int) -> Shape:
    points = np.array([[body.row, body.col], [body.semi_short, body.semi_long]])
    rotation = math.degrees(body.angle)
    place = {"z_order": order, "source": "auto"}
    return Shape("ellipse", "particle", points, rotation=rotation, **place)
