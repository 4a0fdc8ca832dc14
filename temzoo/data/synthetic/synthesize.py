"""Bright-field TEM micrographs whose labels are known exactly.

The specimen is a support film with particles on it, or with cavities in it, all given by their
thickness along the beam; or a foil with dislocations (``temzoo.data.synthetic.dislocations``).
Three steps make the image:

1. Exit wave in the projection approximation: the amplitude follows Beer-Lambert,
   I = I0 exp(-t / free path), which is mass-thickness contrast (Reimer & Kohl, Transmission
   Electron Microscopy, 5th ed. 2008); the phase is the interaction constant times the
   mean inner potential times t.
2. Defocus by the Fresnel propagator (Kirkland, Advanced Computing in Electron Microscopy, 2nd ed.
   2010), without spherical aberration: Fresnel rims, and the grain of amorphous film.
   It is the whole of what the transport-of-intensity equation gives to first order. So a bubble
   is bright in a dark rim under focus, dark in a bright rim over focus, and the fringe beyond the
   rim lies at 0.8 to 1.1 of the first Fresnel zone's sqrt(wavelength |defocus|) from its edge. The
   illumination's convergence blurs the image by its angle times the defocus.
3. Camera: Poisson noise of the dose, then the scintillator's Gaussian spread, then the gain.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from temzoo.core import writers
from temzoo.core.hints import require_choice
from temzoo.core.types import LabelledImage, Micrograph, Shape
from temzoo.data.synthetic.dislocations import Line, random_lines
from temzoo.data.synthetic.exposure import drawn_scale_bar, expose, intensity_of, stored
from temzoo.data.synthetic.scene import (
    Body,
    Scene,
    Window,
    checked_size,
    draw,
    random_body,
    stadium,
)
from temzoo.labels.formats import cvat_writing

TRIES_PER_PARTICLE = 1000
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
# A metal foil: thick by the standards of a film, and a crystal, which has little of its grain.
FOIL = {
    "grain_nm": 0.08,
    "dose_e_per_px": (100.0, 300.0),
    "support_nm": (80.0, 130.0),
    "support_volt": 20.0,
    "gradient": (0.1, 0.4),
    "texture_rms": (0.02, 0.04),
    "texture_beta": (3.2, 3.8),
}
SCENES = {
    # What a precipitate absorbs, and its potential, is beyond the matrix that it displaces.
    "precipitates": Scene(
        **FOIL,
        shares=(0.5, 0.4, 0.1),
        n_particles=(20, 40),
        diameter_nm=(6.0, 30.0),
        clustering=0.1,
        free_path_nm=(25.0, 60.0),
        particle_volt=4.0,
        defocus_nm=(0.0, 400.0),
    ),
    "bubbles": Scene(
        **FOIL,
        cavity_share=1.0,
        shares=(1.0, 0.0, 0.0),
        n_particles=(30, 60),
        diameter_nm=(4.0, 20.0),
        nm_per_pixel=0.25,
        clustering=0.1,
        defocus_nm=(300.0, 1000.0),
    ),
    "loops": Scene(
        **FOIL,
        loop_share=1.0,
        n_particles=(15, 30),
        diameter_nm=(12.0, 50.0),
        clustering=0.0,
        defocus_nm=(0.0, 200.0),
    ),
    "lines": Scene(**FOIL, n_particles=0, n_lines=(6, 16), defocus_nm=(0.0, 200.0)),
}


def synthesize(
    seed: int | Sequence[int],
    *,
    size: int | tuple[int, int] = 512,
    scene: Scene | str | None = None,
    name: str = "synthetic.tif",
    **changes: object,
) -> tuple[Micrograph, LabelledImage]:
    """Makes one calibrated micrograph with its labels; one seed gives one image, bit for bit.

    Spheres and ellipsoids are labelled by their silhouette, a rotated ellipse, exactly; rods by a
    polygon with its vertices on the silhouette. Attributes: ``diameter_nm`` (of the circle of
    equal projected area), ``aspect_ratio`` and ``angle_deg`` (long axis, clockwise on screen from
    the horizontal) of the silhouette, and ``kind``. Loops are labelled by the ellipse of their
    dislocation; lines by a polyline along their middle, with ``length_nm`` and ``width_nm``.

    Args:
        seed: of everything random.
        size: pixels; one number for a square, or (height, width).
        scene: what to show, or one of "precipitates", "bubbles" (under focus; over focus with
            ``defocus_nm=-600``), "loops" and "lines"; ``Scene()`` when not given.
        name: of the image.
        changes: attributes of the scene that differ, such as ``n_particles=40``.

    Raises:
        ValueError: a scene that makes no sense or is unknown, or more particles than fit.
        TypeError: an unknown attribute of the scene; names the close matches.

    Example:
        >>> micrograph, labels = synthesize(7, size=256, n_particles=10)
        >>> micrograph.pixels.shape, len(labels.shapes)
        ((256, 256), 10)
    """
    if isinstance(scene, str):
        require_choice("scene", scene, tuple(SCENES))
        scene = SCENES[scene]
    scene = _changed(scene or Scene(), changes)
    shape = checked_size(size)
    rng = np.random.default_rng(seed)
    bar = drawn_scale_bar(shape, scene.nm_per_pixel) if scene.scale_bar else None
    bodies = _place(rng, scene, shape, bar)
    lines = random_lines(rng, scene, shape)
    electrons = expose(rng, scene, intensity_of(rng, scene, shape, bodies, lines))
    pixels = stored(electrons, scene)
    if bar is not None:
        pixels[bar > 0] = np.iinfo(pixels.dtype).max
    micrograph = Micrograph(pixels, (scene.nm_per_pixel, scene.nm_per_pixel), name)
    shapes = [_label(body, order, scene) for order, body in enumerate(bodies)]
    shapes += [_line_label(line, scene) for line in lines]
    return micrograph, LabelledImage(name, shape[1], shape[0], tuple(shapes), scene.classes)


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


def write_dataset(
    folder: str | Path,
    *,
    n: int = 24,
    seed: int = 0,
    size: int | tuple[int, int] = 512,
    scene: Scene | str | None = None,
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
    cvat_writing.write(annotations, labels)
    return images, annotations


def write_tiff(path: str | Path, micrograph: Micrograph) -> None:
    """Writes a micrograph (uint8, uint16 or float32) as TIFF that ImageJ opens calibrated."""
    writers.write_tiff(path, micrograph.pixels, micrograph.nm_per_pixel)


def _changed(scene: Scene, changes: dict[str, object]) -> Scene:
    known = [field.name for field in fields(Scene)]
    for name in changes:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or known
            raise TypeError(f"Scene has no attribute {name!r}. Use one of: {', '.join(near)}.")
    return replace(scene, **changes)


def _place(
    rng: np.random.Generator, scene: Scene, shape: tuple[int, int], bar: np.ndarray | None
) -> list[Body]:
    """Random sequential placement: each object goes where the ones before leave room."""
    owner = np.full(shape, -1, dtype=np.int32)
    closed = np.zeros(shape, dtype=bool)
    if bar is not None:  # it would hide what lies there
        rows, cols = np.nonzero(bar)
        closed[rows.min() :, cols.min() :] = True
    low, high = np.log(scene.diameter_nm)
    # Away from the ends, so that the spread of the sizes is rarely cut by them.
    trim = min(0.3, 0.25 * (high - low))
    typical_nm = math.exp(rng.uniform(low + trim, high - trim))
    wanted = round(draw(rng, scene.n_particles))
    bodies: list[Body] = []
    room = np.zeros(wanted)  # pixels of each object that others may still hide
    failures = 0
    while len(bodies) < wanted and failures < TRIES_PER_PARTICLE:
        body = random_body(rng, scene, shape, typical_nm, bodies)
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


def _hidden_px(
    body: Body, owner: np.ndarray, window: Window, scene: Scene, wanted: int
) -> np.ndarray:
    """Pixels of each object placed before that this one would hide, (wanted,)."""
    # Objects that do not overlap stay two pixels apart, so that their masks do not touch.
    covered = body.inside(window, gap=0.0 if scene.max_overlap else 2.0) > 0
    below = owner[covered]
    return np.bincount(below[below >= 0], minlength=wanted)


def _label(body: Body, order: int, scene: Scene) -> Shape:
    own = body.kind == "loop" or scene.labels == "kind"
    name = "cavity" if body.cavity else body.kind if own else "particle"
    attributes = {
        "diameter_nm": f"{2 * math.sqrt(body.area / math.pi) * scene.nm_per_pixel:.3f}",
        "aspect_ratio": f"{body.semi_long / body.semi_short:.4f}",
        "angle_deg": f"{math.degrees(body.angle):.2f}",
        "kind": body.kind,
    }
    common = {"label": name, "z_order": order if scene.max_overlap else 0, "source": "auto"}
    if body.kind == "rod":
        return Shape("polygon", points=stadium(body), attributes=attributes, **common)
    points = np.array([[body.row, body.col], [body.semi_short, body.semi_long]])
    rotation = math.degrees(body.angle)
    return Shape("ellipse", points=points, rotation=rotation, attributes=attributes, **common)


def _line_label(line: Line, scene: Scene) -> Shape:
    length = np.hypot(*np.diff(line.points, axis=0).T).sum()
    attributes = {
        "length_nm": f"{length * scene.nm_per_pixel:.3f}",
        "width_nm": f"{line.width * scene.nm_per_pixel:.3f}",
    }
    return Shape("polyline", "line", line.points, attributes=attributes, source="auto")
