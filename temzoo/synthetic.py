"""Bright-field TEM micrographs whose labels are known exactly.

The specimen is a support film with particles on it, or with cavities in it, all given by their
thickness along the beam. Three steps make the image:

1. Exit wave in the projection approximation: the amplitude follows Beer-Lambert,
   I = I0 exp(-t / free path), which is mass-thickness contrast (Reimer & Kohl, Transmission
   Electron Microscopy, 5th ed. 2008); the phase is the interaction constant times the
   mean inner potential times t.
2. Defocus by the Fresnel propagator (Kirkland, Advanced Computing in Electron Microscopy, 2nd ed.
   2010), without spherical aberration: Fresnel rims, and the grain of amorphous film.
   It is the whole of what the transport-of-intensity equation gives to first order. The
   illumination's convergence blurs the image by its angle times the defocus.
3. Camera: Poisson noise of the dose, then the scintillator's Gaussian spread, then the gain.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.linalg
import scipy.ndimage

from temzoo.files import atomic_path
from temzoo.types import LabelledImage, Micrograph, Shape

Range = float | tuple[float, float]
Window = tuple[slice, slice]

KINDS = ("sphere", "ellipsoid", "rod")
TRIES_PER_PARTICLE = 1000
CAP_POINTS = 33
LOPSIDE = 0.3  # radius of the sphere on a lopsided particle's end, by the long semi-axis
SCALE_BAR_LENGTHS_NM = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)

# CODATA 2018, in the units used here: nm, V.
PLANCK_EV_NM = 1239.841984  # h c
REST_ENERGY_EV = 510998.95


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
        labels: "particle", or "kind" for sphere, ellipsoid and rod. Cavities are "cavity".
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
        for name in ("cavity_share", "max_overlap", "clustering"):
            _require(0 <= getattr(self, name) <= 1, self, name, "between 0 and 1")
        for name in ("nm_per_pixel", "diameter_nm", "free_path_nm", "dose_e_per_px", "gain"):
            _require(np.min(getattr(self, name)) > 0, self, name, "greater than 0")
        ordered = np.shape(self.diameter_nm) == (2,) and self.diameter_nm[0] <= self.diameter_nm[1]
        _require(ordered, self, "diameter_nm", "(smallest, largest)")
        for name in ("aspect_ratio", "rod_aspect_ratio"):
            _require(np.min(getattr(self, name)) >= 1, self, name, "at least 1")
        shares = np.asarray(self.shares)
        allowed = shares.shape == (3,) and shares.min() >= 0 and shares.sum() > 0
        _require(allowed, self, "shares", "three numbers from 0 on, not all 0")

    @property
    def classes(self) -> tuple[str, ...]:
        """The label names that images of this scene declare."""
        particles = KINDS if self.labels == "kind" else ("particle",)
        named = particles if self.cavity_share < 1 else ()
        return (*named, "cavity") if self.cavity_share > 0 else named


def _require(allowed: bool, scene: Scene, name: str, rule: str) -> None:
    if not allowed:
        raise ValueError(f"{name} must be {rule}. Received: {name}={getattr(scene, name)!r}.")


# A metal foil with voids, as irradiated steel has them: thick, so that cavities fit into it.
VOIDS = Scene(
    cavity_share=1.0,
    shares=(0.8, 0.2, 0.0),
    diameter_nm=(8.0, 30.0),
    support_nm=(80.0, 130.0),
    support_volt=20.0,
    gradient=(0.2, 0.5),
    texture_rms=(0.02, 0.04),
    defocus_nm=(300.0, 1000.0),
)


@dataclass(frozen=True, eq=False)
class _Body:
    """One object, in pixels of the image.

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
            slice(max(0, math.floor(start)), min(size, math.ceil(start + 2 * reach)))
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


def synthesize(
    seed: int | Sequence[int],
    *,
    size: int | tuple[int, int] = 512,
    scene: Scene | None = None,
    name: str = "synthetic.tif",
    **changes: object,
) -> tuple[Micrograph, LabelledImage]:
    """Makes one calibrated micrograph with its labels; one seed gives one image, bit for bit.

    Spheres and ellipsoids are labelled by their silhouette, a rotated ellipse, exactly; rods by a
    polygon with its vertices on the silhouette. Attributes: ``diameter_nm`` (of the circle of
    equal projected area), ``aspect_ratio`` and ``angle_deg`` (long axis, clockwise on screen from
    the horizontal) of the silhouette, and ``kind``.

    Args:
        seed: of everything random.
        size: pixels; one number for a square, or (height, width).
        scene: what to show; ``Scene()`` when not given.
        name: of the image.
        changes: attributes of the scene that differ, such as ``n_particles=40``.

    Raises:
        ValueError: a scene that makes no sense, or more particles than fit.
        TypeError: an unknown attribute of the scene; names the close matches.

    Example:
        >>> micrograph, labels = synthesize(7, size=256, n_particles=10)
        >>> micrograph.pixels.shape, len(labels.shapes)
        ((256, 256), 10)
    """
    scene = _changed(scene or Scene(), changes)
    shape = _checked_size(size)
    rng = np.random.default_rng(seed)
    bar = _scale_bar(shape, scene.nm_per_pixel) if scene.scale_bar else None
    bodies = _place(rng, scene, shape, bar)
    electrons = _expose(rng, scene, _intensity(rng, scene, shape, bodies))
    pixels = _stored(electrons, scene)
    if bar is not None:
        pixels[bar > 0] = np.iinfo(pixels.dtype).max
    micrograph = Micrograph(pixels, (scene.nm_per_pixel, scene.nm_per_pixel), name)
    shapes = tuple(_label(body, order, scene) for order, body in enumerate(bodies))
    return micrograph, LabelledImage(name, shape[1], shape[0], shapes, scene.classes)


def crowded(
    seed: int | Sequence[int],
    *,
    size: int | tuple[int, int] = 2048,
    n_particles: int = 1500,
    **changes: object,
) -> tuple[Micrograph, LabelledImage]:
    """A large field full of small particles that partly overlap; see ``synthesize``."""
    dense = {"diameter_nm": (8.0, 22.0), "max_overlap": 0.2, "clustering": 0.1}
    return synthesize(seed, size=size, n_particles=n_particles, **dense | changes)


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
    diameter_px = (0.25 * size, 0.45 * size) if diameter_px is None else diameter_px
    _check_particles(n, size, diameter_px, aspect_ratio, shift_px, lopsided)
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


def _check_particles(n, size, diameter_px, aspect_ratio, shift_px, lopsided) -> None:
    if n < 1:
        raise ValueError(f"n must be at least 1 picture. Received: n={n}.")
    _checked_size(size)
    if not 1 <= aspect_ratio[0] <= aspect_ratio[1]:
        raise ValueError(
            "aspect_ratio must be (smallest, largest), from 1 on. Received:"
            f" aspect_ratio={aspect_ratio}."
        )
    reach = diameter_px[1] / 2 * math.sqrt(aspect_ratio[1]) * (1 + LOPSIDE * lopsided) + shift_px
    if not 0 < diameter_px[0] <= diameter_px[1] or reach > size / 2:
        raise ValueError(
            "diameter_px must be (smallest, largest), and the largest must fit. Received:"
            f" diameter_px={diameter_px} in size={size}, of which the longest would reach"
            f" {reach:.1f} px from the centre. Take smaller ones, or a larger size."
        )


def _single(
    diameter: float, aspect: float, angle_deg: float, row: float, col: float, lopsided: bool
) -> list[_Body]:
    """An ellipsoid, and the sphere on its end."""
    root, angle = math.sqrt(aspect), math.radians(angle_deg)
    long, short = diameter / 2 * root, diameter / 2 / root
    bodies = [_Body("ellipsoid", row, col, long, short, angle, short, False)]
    if lopsided:
        radius = LOPSIDE * long
        end = (row + long * math.sin(angle), col + long * math.cos(angle))
        bodies.append(_Body("sphere", *end, radius, radius, 0.0, radius, False))
    return bodies


def _single_exposure(
    rng: np.random.Generator, bodies: list[_Body], size: int, dose_e_per_px: float
) -> np.ndarray:
    """(size, size) float32 in [0, 1]; the ground is at 0.8, so that its noise is not cut."""
    whole = (slice(0, size), slice(0, size))
    thickness = sum(body.thickness(whole) for body in bodies)
    # A free path of half the side: the thickest lets a third through, the thinnest two thirds.
    electrons = rng.poisson(dose_e_per_px * np.exp(-thickness / (size / 2)))
    seen = scipy.ndimage.gaussian_filter(electrons.astype(np.float32), 0.6, mode="nearest")
    return np.clip(0.8 * seen / dose_e_per_px, 0, 1)


def write_dataset(
    folder: str | Path,
    *,
    n: int = 24,
    seed: int = 0,
    size: int | tuple[int, int] = 512,
    scene: Scene | None = None,
    **changes: object,
) -> tuple[Path, Path]:
    """Writes micrographs as calibrated TIFF, as ImageJ does, and their labels as CVAT XML.

    Args:
        folder: gets ``images/synthetic_0000.tif`` ... and ``annotations.xml``.
        n: number of images.
        seed: image i is made from the seed (seed, i), so that more images keep the first ones.
        size, scene, changes: see ``synthesize``.

    Returns:
        The folder of images and the annotation file.
    """
    from temzoo.labels import cvat

    if n < 1:
        raise ValueError(f"n must be at least 1 image. Received: n={n}.")
    images, annotations = Path(folder) / "images", Path(folder) / "annotations.xml"
    labels = []
    for index in range(n):
        name = f"synthetic_{index:04d}.tif"
        micrograph, labelled = synthesize(
            (seed, index), size=size, scene=scene, name=name, **changes
        )
        write_tiff(images / name, micrograph)
        labels.append(labelled)
    cvat.write(annotations, labels)
    return images, annotations


def write_tiff(path: str | Path, micrograph: Micrograph) -> None:
    """Writes a micrograph as TIFF that ImageJ opens with its calibration.

    Args:
        path: the file, replaced when it is there.
        micrograph: uint8, uint16 or float32.
    """
    import tifffile

    calibration = {}
    if micrograph.nm_per_pixel is not None:
        row, col = micrograph.nm_per_pixel
        calibration = {"resolution": (1 / col, 1 / row), "metadata": {"unit": "nm"}}
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, micrograph.pixels, imagej=True, **calibration)


def film_texture(rng: np.random.Generator, shape: tuple[int, int], beta: float) -> np.ndarray:
    """Random field of mean 0 and rms 1 whose power spectrum falls as 1 / frequency ** beta.

    Args:
        rng: source of randomness.
        shape: (height, width).
        beta: 0 is white noise; thin amorphous films have about 2.

    Returns:
        (height, width) float32, periodic.
    """
    spectrum = scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    k_squared = _k_squared(shape, 1.0, real=True)
    k_squared[0, 0] = np.inf
    field = scipy.fft.irfft2(spectrum * k_squared ** np.float32(-beta / 4), s=shape)
    return field / max(field.std(), np.finfo(np.float32).tiny)


def electron_wavelength_nm(voltage_kv: float) -> float:
    """Relativistic de Broglie wavelength (Kirkland 2010, chapter 2), in nm."""
    energy = voltage_kv * 1e3
    return PLANCK_EV_NM / math.sqrt(energy * (2 * REST_ENERGY_EV + energy))


def interaction_constant(voltage_kv: float) -> float:
    """Phase per volt and nanometre of specimen (Kirkland 2010, chapter 5), in rad / (V nm)."""
    energy = voltage_kv * 1e3
    relativity = (REST_ENERGY_EV + energy) / (2 * REST_ENERGY_EV + energy)
    return 2 * math.pi / (electron_wavelength_nm(voltage_kv) * energy) * relativity


def defocus_wave(
    wave: np.ndarray, *, defocus_nm: float, wavelength_nm: float, nm_per_pixel: float
) -> np.ndarray:
    """Intensity of a wave seen out of focus; positive is underfocus.

    Args:
        wave: (H, W) complex, at the specimen's exit; taken as periodic.
        defocus_nm, wavelength_nm, nm_per_pixel: of the microscope and the sampling.

    Returns:
        (H, W) real; its mean is that of ``abs(wave) ** 2``.
    """
    if defocus_nm:
        k_squared = _k_squared(wave.shape, nm_per_pixel)
        # An underfocused lens sees a plane before the specimen: against the propagation.
        propagator = np.exp(1j * np.float32(math.pi * wavelength_nm * defocus_nm) * k_squared)
        wave = scipy.fft.ifft2(scipy.fft.fft2(wave) * propagator)
    return np.abs(wave) ** 2


def _changed(scene: Scene, changes: dict[str, object]) -> Scene:
    known = [field.name for field in fields(Scene)]
    for name in changes:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or known
            raise TypeError(f"Scene has no attribute {name!r}. Use one of: {', '.join(near)}.")
    return replace(scene, **changes)


def _checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or min(pair) < 16:
        raise ValueError(
            f"size must be one number or (height, width), each at least 16. Received: size={size}."
        )
    return pair


def _draw(rng: np.random.Generator, value: Range) -> float:
    """A number of a range, evenly; the number itself when it is no range."""
    return float(rng.uniform(*value)) if isinstance(value, Sequence) else float(value)


def _place(
    rng: np.random.Generator, scene: Scene, shape: tuple[int, int], bar: np.ndarray | None
) -> list[_Body]:
    """Random sequential placement: each object goes where the ones before leave room."""
    owner = np.full(shape, -1, dtype=np.int32)
    closed = _bar_surroundings(shape, bar)
    typical_nm = _typical_nm(rng, scene)
    wanted = round(_draw(rng, scene.n_particles))
    bodies: list[_Body] = []
    room = np.zeros(wanted)  # pixels of each object that others may still hide
    failures = 0
    while len(bodies) < wanted and failures < TRIES_PER_PARTICLE:
        body = _random_body(rng, scene, shape, typical_nm, bodies)
        window = body.window(shape)
        hidden = _hidden_px(body, owner[window], window, scene, wanted)
        allowed = scene.max_overlap * body.area
        failures += 1
        if hidden.sum() <= allowed and (hidden <= room).all() and not closed[window].any():
            owner[window][body.inside(window) > 0] = len(bodies)
            room -= hidden
            room[len(bodies)] = allowed
            bodies.append(body)
            failures = 0
    if len(bodies) < wanted:
        raise ValueError(
            f"n_particles must fit into the image. Received: n_particles={wanted}, of which only "
            f"{len(bodies)} fit. Take fewer or smaller ones, a larger size, or max_overlap=0.3."
        )
    return bodies


def _typical_nm(rng: np.random.Generator, scene: Scene) -> float:
    low, high = np.log(scene.diameter_nm)
    # Away from the ends, so that the spread of the sizes is rarely cut by them.
    trim = min(0.3, 0.25 * (high - low))
    return math.exp(rng.uniform(low + trim, high - trim))


def _bar_surroundings(shape: tuple[int, int], bar: np.ndarray | None) -> np.ndarray:
    """Where no object may lie, because the scale bar would hide it."""
    closed = np.zeros(shape, dtype=bool)
    if bar is not None:
        rows, cols = np.nonzero(bar)
        closed[rows.min() :, cols.min() :] = True
    return closed


def _hidden_px(
    body: _Body, owner: np.ndarray, window: Window, scene: Scene, wanted: int
) -> np.ndarray:
    """Pixels of each object placed before that this one would hide, (wanted,)."""
    # Objects that do not overlap stay two pixels apart, so that their masks do not touch.
    covered = body.inside(window, gap=0.0 if scene.max_overlap else 2.0) > 0
    below = owner[covered]
    return np.bincount(below[below >= 0], minlength=wanted)


def _random_body(
    rng: np.random.Generator,
    scene: Scene,
    shape: tuple[int, int],
    typical_nm: float,
    others: list[_Body],
) -> _Body:
    spread = math.sqrt(math.log1p(scene.size_spread**2))
    diameter_nm = np.clip(typical_nm * rng.lognormal(0, spread), *scene.diameter_nm)
    radius = float(diameter_nm) / 2 / scene.nm_per_pixel
    kind = str(rng.choice(KINDS, p=np.asarray(scene.shares) / np.sum(scene.shares)))
    semi_long, semi_short, angle, height = _silhouette(rng, scene, kind, radius)
    row, col = rng.uniform((0, 0), shape)
    if others and rng.random() < scene.clustering:
        row, col = _beside(rng, others, semi_short, shape)
    cavity = bool(rng.random() < scene.cavity_share)
    return _Body(kind, row, col, semi_long, semi_short, angle, height, cavity)


def _silhouette(
    rng: np.random.Generator, scene: Scene, kind: str, radius: float
) -> tuple[float, float, float, float]:
    """Long and short semi-axis, angle, and half the thickness at the centre, of one object."""
    if kind == "sphere":
        return radius, radius, 0.0, radius
    if kind == "rod":  # lies flat on the film
        return radius * _draw(rng, scene.rod_aspect_ratio), radius, rng.uniform(0, math.pi), radius
    aspect = _draw(rng, scene.aspect_ratio)
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
    rng: np.random.Generator, others: list[_Body], semi_short: float, shape: tuple[int, int]
) -> tuple[float, float]:
    """A centre next to another object's, inside the image."""
    other = others[rng.integers(len(others))]
    distance = (other.semi_short + semi_short) * rng.uniform(1.02, 1.3) + 2
    direction = rng.uniform(0, 2 * math.pi)
    row = other.row + distance * math.sin(direction)
    col = other.col + distance * math.cos(direction)
    return float(np.clip(row, 0, shape[0])), float(np.clip(col, 0, shape[1]))


def _intensity(
    rng: np.random.Generator, scene: Scene, shape: tuple[int, int], bodies: list[_Body]
) -> np.ndarray:
    """(H, W) share of the electrons that reach the camera's pixels, before noise."""
    # The propagator is periodic: what comes round the edge stays in a margin that is cut away.
    margin = max(16, math.ceil(16 / scene.nm_per_pixel))
    canvas = tuple(scipy.fft.next_fast_len(size + 2 * margin) for size in shape)
    support = _support_nm(rng, scene, canvas, shape, margin)
    particles, absorption = _particles_nm(rng, scene, canvas, margin, bodies)
    cavities = _cavities_nm(scene, canvas, margin, bodies)
    support = np.maximum(support - cavities, 0)
    absorption += support / scene.support_free_path_nm
    potential = scene.support_volt * support + scene.particle_volt * particles
    phase = np.float32(interaction_constant(scene.voltage_kv)) * potential
    defocus_nm = _draw(rng, scene.defocus_nm)
    intensity = defocus_wave(
        np.exp(-absorption / 2 + 1j * phase),
        defocus_nm=defocus_nm,
        wavelength_nm=electron_wavelength_nm(scene.voltage_kv),
        nm_per_pixel=scene.nm_per_pixel,
    )
    blur_nm = abs(defocus_nm) * scene.convergence_mrad * 1e-3
    if blur_nm:
        intensity = scipy.ndimage.gaussian_filter(intensity, blur_nm / scene.nm_per_pixel)
    return intensity[margin : margin + shape[0], margin : margin + shape[1]]


def _support_nm(
    rng: np.random.Generator,
    scene: Scene,
    canvas: tuple[int, int],
    shape: tuple[int, int],
    margin: int,
) -> np.ndarray:
    """Thickness of the film: a wedge, a sag, slow variation and grain."""
    rows, cols = (
        (np.arange(whole, dtype=np.float32) + 0.5 - margin) / size - 0.5
        for whole, size in zip(canvas, shape, strict=True)
    )
    direction = rng.uniform(0, 2 * math.pi)
    wedge = rows[:, None] * math.sin(direction) + cols[None, :] * math.cos(direction)
    sag = rows[:, None] ** 2 + cols[None, :] ** 2
    relative = 1 + _draw(rng, scene.gradient) * wedge + _draw(rng, scene.curvature) * 2 * sag
    rms, beta = _draw(rng, scene.texture_rms), _draw(rng, scene.texture_beta)
    relative += np.float32(rms) * film_texture(rng, canvas, beta)
    thickness = np.float32(_draw(rng, scene.support_nm)) * relative
    # The number of atoms above a pixel varies as its root: coarser pixels see less of the grain.
    grain_nm = np.float32(scene.grain_nm * 0.5 / scene.nm_per_pixel)
    thickness += grain_nm * rng.standard_normal(canvas, dtype=np.float32)
    return np.maximum(thickness, 0)


def _particles_nm(
    rng: np.random.Generator,
    scene: Scene,
    canvas: tuple[int, int],
    margin: int,
    bodies: list[_Body],
) -> tuple[np.ndarray, np.ndarray]:
    """Summed thickness of the particles, and thickness by free path, each with its own."""
    thickness = np.zeros(canvas, dtype=np.float32)
    absorption = np.zeros(canvas, dtype=np.float32)
    free_path_nm = _draw(rng, scene.free_path_nm)
    for body in bodies:
        contrast = max(0.2, 1 + scene.contrast_spread * rng.standard_normal())
        if not body.cavity:
            window = body.window(canvas, margin)
            own = body.thickness(window, margin) * scene.nm_per_pixel
            thickness[window] += own
            absorption[window] += own * contrast / free_path_nm
    return thickness, absorption


def _cavities_nm(
    scene: Scene, canvas: tuple[int, int], margin: int, bodies: list[_Body]
) -> np.ndarray:
    thickness = np.zeros(canvas, dtype=np.float32)
    for body in bodies:
        if body.cavity:
            window = body.window(canvas, margin)
            thickness[window] += body.thickness(window, margin) * scene.nm_per_pixel
    return thickness


def _k_squared(shape: tuple[int, int], spacing: float, *, real: bool = False) -> np.ndarray:
    """Squared spatial frequency of the elements of a discrete Fourier transform, float32."""
    frequency = scipy.fft.rfftfreq if real else scipy.fft.fftfreq
    rows, cols = scipy.fft.fftfreq(shape[0], spacing), frequency(shape[1], spacing)
    return (rows[:, None] ** 2 + cols[None, :] ** 2).astype(np.float32)


def _expose(rng: np.random.Generator, scene: Scene, intensity: np.ndarray) -> np.ndarray:
    """Electrons per pixel as the camera sees them."""
    low, high = np.broadcast_to(scene.dose_e_per_px, 2)
    dose = math.exp(rng.uniform(math.log(low), math.log(high)))
    electrons = dose * intensity
    if scene.noise:
        electrons = rng.poisson(electrons).astype(np.float32)
    if scene.spread_px:
        electrons = scipy.ndimage.gaussian_filter(electrons, scene.spread_px)
    return electrons


def _stored(electrons: np.ndarray, scene: Scene) -> np.ndarray:
    if scene.dtype == "uint16":
        return np.clip(np.rint(scene.gain * electrons), 0, 65535).astype(np.uint16)
    low, high = np.percentile(electrons, (0.1, 99.9))
    stretched = (electrons - low) / max(high - low, np.finfo(np.float32).tiny)
    return np.clip(np.rint(255 * stretched), 0, 255).astype(np.uint8)


def _label(body: _Body, order: int, scene: Scene) -> Shape:
    name = "cavity" if body.cavity else body.kind if scene.labels == "kind" else "particle"
    attributes = {
        "diameter_nm": f"{2 * math.sqrt(body.area / math.pi) * scene.nm_per_pixel:.3f}",
        "aspect_ratio": f"{body.semi_long / body.semi_short:.4f}",
        "angle_deg": f"{math.degrees(body.angle):.2f}",
        "kind": body.kind,
    }
    common = {"label": name, "z_order": order if scene.max_overlap else 0, "source": "auto"}
    if body.kind == "rod":
        return Shape("polygon", points=_stadium(body), attributes=attributes, **common)
    points = np.array([[body.row, body.col], [body.semi_short, body.semi_long]])
    rotation = math.degrees(body.angle)
    return Shape("ellipse", points=points, rotation=rotation, attributes=attributes, **common)


def _stadium(body: _Body) -> np.ndarray:
    """Outline of a rod: two half circles joined by straight lines."""
    half = np.linspace(-math.pi / 2, math.pi / 2, CAP_POINTS)
    turn = np.concatenate([half, half + math.pi])
    along = body.semi_short * np.cos(turn) + np.repeat([body.core, -body.core], CAP_POINTS)
    across = body.semi_short * np.sin(turn)
    rows = body.row + along * math.sin(body.angle) + across * math.cos(body.angle)
    cols = body.col + along * math.cos(body.angle) - across * math.sin(body.angle)
    return np.stack([rows, cols], axis=1)


def _scale_bar(shape: tuple[int, int], nm_per_pixel: float) -> np.ndarray:
    """(H, W) uint8, 255 on the bar and its length in words; about a fifth of the width."""
    import cv2

    fitting = [nm for nm in SCALE_BAR_LENGTHS_NM if nm <= 0.25 * shape[1] * nm_per_pixel]
    length_nm = fitting[-1] if fitting else SCALE_BAR_LENGTHS_NM[0]
    length, scale = round(length_nm / nm_per_pixel), max(0.35, shape[1] / 900)
    stroke = max(1, round(2 * scale))
    text = f"{length_nm} nm" if length_nm < 1000 else f"{length_nm // 1000} um"
    canvas = np.zeros(shape, dtype=np.uint8)
    edge, thick = max(4, shape[1] // 40), max(2, shape[0] // 100)
    right, bottom = shape[1] - edge, shape[0] - edge
    canvas[bottom - thick : bottom, max(0, right - length) : right] = 255
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    corner = (max(0, right - (length + width) // 2), bottom - 2 * thick)
    cv2.putText(canvas, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, stroke, cv2.LINE_8)
    return canvas
