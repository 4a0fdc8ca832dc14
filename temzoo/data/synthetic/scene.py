"""What is drawn: particles, support, dose and defocus of a micrograph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

Range = float | tuple[float, float]
Window = tuple[slice, slice]
KINDS = ("sphere", "ellipsoid", "rod")
CAP_POINTS = 33  # of the outline of a rod, for each of its round ends


@dataclass(frozen=True)
class Scene:
    """What is in the image, and how it is taken. A pair is a range to draw from.

    Attributes:
        nm_per_pixel: size of a pixel.
        n_particles: whole number, or range.
        diameter_nm: smallest and largest; each image draws its own typical size between them.
            Of the sphere of equal volume for ellipsoids, the thickness for rods.
        size_spread: relative standard deviation of the sizes in one image.
        shares: of spheres, ellipsoids and rods.
        aspect_ratio: longest axis by the shorter ones, of ellipsoids.
        rod_aspect_ratio: whole length by diameter, of rods.
        clustering: share of the particles that are put beside another one.
        max_overlap: share of an object's area that may lie on others, and that others may hide;
            0 keeps them apart.
        cavity_share: share of the objects that are cavities in the film, bright.
        loop_share: share of the objects that are dislocation loops; ``diameter_nm`` is then that of
            the circle, which ``loop_aspect_ratio`` shows tilted.
        loop_aspect_ratio: long by short axis of a loop's ellipse.
        n_lines: dislocation lines, a whole number, or range.
        line_length_nm: of one, as far as it does not leave the image.
        line_width_nm: full width at half maximum of a dislocation's dark image.
        line_darkness: the part exp(-darkness) of the electrons is left at a dislocation's core.
        labels: "particle", or "kind" for sphere, ellipsoid and rod. Cavities are "cavity", loops
            "loop", lines "line".
        free_path_nm: after which 1/e of the electrons is left, in a particle.
        contrast_spread: relative standard deviation of 1 / free path among particles, as
            crystals of different orientation differ.
        particle_volt, support_volt: mean inner potentials.
        support_nm: mean thickness of the film.
        support_free_path_nm: as above, in the film.
        gradient: change of the film's thickness across the image, relative to its mean.
        curvature: relative sag of the film between the image's centre and its corners.
        texture_rms: of the film's slow thickness variation, relative to its mean.
        texture_beta: its power spectrum falls as 1 / frequency ** texture_beta.
        grain_nm: rms of the film's thickness from pixel to pixel, at 0.5 nm per pixel, as the
            random positions of its atoms give it; it shows by defocus.
        voltage_kv: of the microscope.
        defocus_nm: positive is underfocus, which puts a bright rim around particles.
        convergence_mrad: half angle of the illumination.
        dose_e_per_px: electrons per pixel where there is no specimen.
        spread_px: standard deviation of the camera's point spread.
        gain: counts per electron.
        noise: False leaves the expected image.
        dtype: "uint8" is stretched as image programs do; "uint16" are the camera's counts.
        scale_bar: burns a white bar and its length into the lower right corner.
    """

    nm_per_pixel: float = 0.5
    n_particles: Range = (14, 32)
    diameter_nm: tuple[float, float] = (8.0, 40.0)
    size_spread: float = 0.25
    shares: tuple[float, float, float] = (0.45, 0.35, 0.2)
    aspect_ratio: Range = (1.15, 2.0)
    rod_aspect_ratio: Range = (2.0, 4.0)
    clustering: float = 0.35
    max_overlap: float = 0.0
    cavity_share: float = 0.0
    loop_share: float = 0.0
    loop_aspect_ratio: Range = (1.1, 2.5)
    n_lines: Range = 0
    line_length_nm: Range = (100.0, 500.0)
    line_width_nm: Range = (4.0, 7.0)
    line_darkness: Range = (0.4, 0.9)
    labels: str = "particle"
    free_path_nm: Range = (60.0, 150.0)
    contrast_spread: float = 0.15
    particle_volt: float = 14.0
    support_volt: float = 9.0
    support_nm: Range = (40.0, 90.0)
    support_free_path_nm: float = 150.0
    gradient: Range = (0.4, 1.1)
    curvature: Range = (-0.3, 0.3)
    texture_rms: Range = (0.04, 0.1)
    texture_beta: Range = (1.8, 2.6)
    grain_nm: float = 0.35
    voltage_kv: float = 200.0
    defocus_nm: Range = (200.0, 1200.0)
    convergence_mrad: float = 0.5
    dose_e_per_px: Range = (40.0, 200.0)
    spread_px: float = 0.6
    gain: float = 10.0
    noise: bool = True
    dtype: str = "uint8"
    scale_bar: bool = False

    def __post_init__(self) -> None:
        _require(self.dtype in ("uint8", "uint16"), self, "dtype", '"uint8" or "uint16"')
        _require(self.labels in ("particle", "kind"), self, "labels", '"particle" or "kind"')
        for name in ("cavity_share", "loop_share", "max_overlap", "clustering"):
            _require(0 <= getattr(self, name) <= 1, self, name, "between 0 and 1")
        lengths = ("nm_per_pixel", "diameter_nm", "free_path_nm", "line_length_nm", "line_width_nm")
        for name in (*lengths, "dose_e_per_px", "gain"):
            _require(np.min(getattr(self, name)) > 0, self, name, "greater than 0")
        for name in ("n_lines", "line_darkness"):
            _require(np.min(getattr(self, name)) >= 0, self, name, "0 or more")
        ordered = np.shape(self.diameter_nm) == (2,) and self.diameter_nm[0] <= self.diameter_nm[1]
        _require(ordered, self, "diameter_nm", "(smallest, largest)")
        for name in ("aspect_ratio", "rod_aspect_ratio", "loop_aspect_ratio"):
            _require(np.min(getattr(self, name)) >= 1, self, name, "at least 1")
        shares = np.asarray(self.shares)
        allowed = shares.shape == (3,) and shares.min() >= 0 and shares.sum() > 0
        _require(allowed, self, "shares", "three numbers from 0 on, not all 0")

    @property
    def classes(self) -> tuple[str, ...]:
        """The label names that images of this scene declare."""
        particles = KINDS if self.labels == "kind" else ("particle",)
        drawn = {
            "cavity": self.cavity_share > 0,
            "loop": self.loop_share > 0,
            "line": np.max(self.n_lines) > 0,
        }
        # Without objects of its own an image of lines knows of lines alone.
        no_particles = max(self.cavity_share, self.loop_share) == 1 or (
            drawn["line"] and not np.max(self.n_particles)
        )
        named = () if no_particles else particles
        return (*named, *(name for name, there in drawn.items() if there))


def _require(allowed: bool, scene: Scene, name: str, rule: str) -> None:
    if not allowed:
        raise ValueError(f"{name} must be {rule}. Received: {name}={getattr(scene, name)!r}.")


@dataclass(frozen=True, eq=False)
class Body:
    """One object, in pixels of the image; of kind "loop" it is an outline without a thickness.

    Its thickness is 2 * height * sqrt(1 - q), where q is 0 on its centre (the axis, for a rod)
    and 1 on its silhouette.
    """

    kind: str
    row: float
    col: float
    semi_long: float
    semi_short: float
    angle: float  # radians from the column axis towards the row axis: clockwise on screen
    height: float
    cavity: bool

    @property
    def core(self) -> float:
        """Half the length of a rod's cylinder."""
        return self.semi_long - self.semi_short if self.kind == "rod" else 0.0

    @property
    def area(self) -> float:
        if self.kind == "rod":
            return math.pi * self.semi_short**2 + 4 * self.core * self.semi_short
        return math.pi * self.semi_long * self.semi_short

    def window(self, shape: tuple[int, int], margin: int = 0) -> Window:
        """The slices of a canvas, larger than the image by ``margin`` on each side."""
        reach = self.semi_long + 1
        starts = (self.row + margin - reach, self.col + margin - reach)
        return tuple(
            slice(max(0, math.floor(start)), max(0, min(size, math.ceil(start + 2 * reach))))
            for start, size in zip(starts, shape, strict=True)
        )

    def inside(self, window: Window, margin: int = 0, gap: float = 0.0) -> np.ndarray:
        """1 - q at the pixel centres of a window, positive within ``gap`` of the silhouette."""
        rows, cols = (np.arange(part.start, part.stop) + 0.5 - margin for part in window)
        down, right = (rows - self.row)[:, None], (cols - self.col)[None, :]
        along = right * math.cos(self.angle) + down * math.sin(self.angle)
        across = down * math.cos(self.angle) - right * math.sin(self.angle)
        along = np.maximum(np.abs(along) - self.core, 0)
        q = (along / (self.semi_long - self.core + gap)) ** 2
        return 1 - q - (across / (self.semi_short + gap)) ** 2

    def thickness(self, window: Window, margin: int = 0) -> np.ndarray:
        return 2 * self.height * np.sqrt(np.maximum(self.inside(window, margin), 0))


def checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or min(pair) < 16:
        raise ValueError(
            f"size must be one number or (height, width), each at least 16. Received: size={size}."
        )
    return pair


def draw(rng: np.random.Generator, value: Range) -> float:
    """A number of a range, evenly; the number itself when it is no range."""
    return float(rng.uniform(*value)) if isinstance(value, Sequence) else float(value)


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
    if scene.loop_share and rng.random() < scene.loop_share:
        short = radius / draw(rng, scene.loop_aspect_ratio)
        return Body("loop", row, col, radius, short, rng.uniform(0, math.pi), 0.0, False)
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


def stadium(body: Body) -> np.ndarray:
    """Outline of a rod: two half circles joined by straight lines."""
    half = np.linspace(-math.pi / 2, math.pi / 2, CAP_POINTS)
    turn = np.concatenate([half, half + math.pi])
    along = body.semi_short * np.cos(turn) + np.repeat([body.core, -body.core], CAP_POINTS)
    across = body.semi_short * np.sin(turn)
    rows = body.row + along * math.sin(body.angle) + across * math.cos(body.angle)
    cols = body.col + along * math.cos(body.angle) - across * math.sin(body.angle)
    return np.stack([rows, cols], axis=1)
