"""Single particles cut from labelled or predicted micrographs, with what is measured of each.

A particle lies in the middle of a square window that is the same for all of a set, so that they
can be compared, and learnt by a model of single images.

Without ``size`` a window holds the micrograph's own pixels: it starts at a whole pixel, so a
particle's centroid lies within half a pixel of its middle. With ``size`` a window may start
anywhere: its pixels are the averages of the micrograph over their own areas (or, where they are
finer, linear interpolations between pixel centres), and the centroid lies in the very middle. Both
equal OpenCV's INTER_AREA and INTER_LINEAR where the window starts at a whole pixel.

Measurements treat a pixel as a square, not as a point: its own extent adds 1/12 px² to the second
moments, so that a needle one pixel wide has an aspect ratio. Where pixels are calibrated and not
square, shapes are measured in nanometres.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.distance import pdist

from temzoo.files import atomic_path
from temzoo.instance_scores import map_objects
from temzoo.labels.raster import BACKGROUND, instance_map
from temzoo.labels.raster import instances as labelled_objects
from temzoo.micrographs import image_size, load_micrograph, to_grey
from temzoo.pipeline.images import unit_range
from temzoo.prediction import file_stem
from temzoo.synthetic import write_tiff
from temzoo.types import Detection, Example, LabelledImage, Micrograph, Prediction

BORDERS = ("skip", "mirror")
WINDOW_PER_FERET = 1.5
WINDOW_PERCENTILE = 95
SMALLEST_WINDOW = 2  # pixels
HALO = 3  # pixels; how far the rim of defocus around an object is taken to reach
LEAST_BACKGROUND = 64  # pixels; fewer do not show its noise

TABLE = "particles.csv"
SHEET = "particles.png"
TEXTS = ("name", "micrograph", "class")
NUMBERS = (
    "instance",
    "row",
    "col",
    "area_px",
    "diameter_px",
    "diameter_nm",
    "aspect_ratio",
    "angle_deg",
    "score",
)
SHEET_COLUMNS, SHEET_ROWS = 10, 10
SHEET_TILE, SHEET_GAP = 96, 4  # pixels

Pair = tuple[float, float]
Frame = tuple[int, int, int, int]  # top, left, bottom, right in pixels, the last two excluded


@dataclass(frozen=True)
class CutPlan:
    """How windows are cut; one of ``window_px`` and ``window_nm``, or neither.

    Attributes:
        window_px: side of the window in the micrograph's pixels.
        window_nm: side in nanometres; needs calibration. Where pixels of several micrographs
            differ, or are not square, it needs ``size`` too.
            Neither: 1.5 times the 95th percentile of the particles' largest Feret diameters, of
            all that are cut; in nm when all are calibrated and ``size`` is given, else in pixels.
            Particles that are larger than the window reach out of it; they are counted.
        size: side in pixels that windows are resized to; None: they stay as they are.
        border: "skip" leaves out particles whose window reaches beyond the micrograph; "mirror"
            keeps them and mirrors what is missing. Particles that the border itself cuts, or
            touches, are left out in both: their shape is not known, and a mirror would invent it.
        mask_out: other objects in the window, and 3 px around them for the rim of defocus, are
            replaced by background copied from beside them.
        classes: that are cut; None: all.
    """

    window_px: float | None = None
    window_nm: float | None = None
    size: int | None = None
    border: str = "skip"
    mask_out: bool = False
    classes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.window_px is not None and self.window_nm is not None:
            raise ValueError(
                "a window has one side. Received: window_px="
                f"{self.window_px} and window_nm={self.window_nm}. Leave one of them out."
            )
        if self.window_px is not None and not SMALLEST_WINDOW <= self.window_px < math.inf:
            raise ValueError(
                f"window_px must be at least {SMALLEST_WINDOW}. Received: window_px="
                f"{self.window_px}. Use 64, or leave it out."
            )
        if self.window_nm is not None and not 0 < self.window_nm < math.inf:
            raise ValueError(
                f"window_nm must be above 0. Received: window_nm={self.window_nm}. "
                "Use one and a half times the largest diameter, or leave it out."
            )
        if self.size is not None and self.size < SMALLEST_WINDOW:
            raise ValueError(
                f"size must be at least {SMALLEST_WINDOW} px. Received: size={self.size}. Use 64."
            )
        if self.border not in BORDERS:
            raise ValueError(
                f'border must be "skip" or "mirror". Received: border={self.border!r}.'
            )
        if isinstance(self.classes, str):
            raise ValueError(
                "classes must be a sequence of names. Received: classes="
                f"{self.classes!r}. Use [{self.classes!r}]."
            )


@dataclass(frozen=True, eq=False)
class Particle:
    """One particle in its window, and what was measured of it in its micrograph.

    Attributes:
        image: (S, S) or (S, S, 3) pixels in the micrograph's dtype, their size, and the name of
            the file that ``save`` writes. Three equal channels have become one.
        micrograph: the name of where it was cut from.
        instance: its number there.
        label: its class.
        row, col: centroid in the micrograph, px; the first pixel's centre is at (0.5, 0.5).
        area_px: visible pixels.
        diameter_px, diameter_nm: of the circle of equal area; nm is None when uncalibrated.
        aspect_ratio: long by short axis of the ellipse of equal second moments.
        angle_deg: of its long axis, clockwise on screen from the horizontal, from 0 to below 180.
        score: of a predicted one, where the model gives scores.
    """

    image: Micrograph
    micrograph: str
    instance: int
    label: str
    row: float
    col: float
    area_px: int
    diameter_px: float
    diameter_nm: float | None
    aspect_ratio: float
    angle_deg: float
    score: float | None

    def facts(self) -> dict[str, Any]:
        """The particle's row of the table, by column."""
        facts = {name: getattr(self, name) for name in NUMBERS}
        return {"name": self.image.name, "micrograph": self.micrograph, "class": self.label} | facts


@dataclass(frozen=True, eq=False)
class ParticleSet:
    """Particles in windows of one size.

    Attributes:
        particles: in the order of their micrographs and numbers.
        window: side of a window, before it was resized.
        unit: of it: "px" or "nm".
        n_at_border: left out because the border cuts them or their window.
        n_larger: that reach out of their window, for it is smaller than their Feret diameter.
    """

    particles: tuple[Particle, ...]
    window: float
    unit: str
    n_at_border: int = 0
    n_larger: int = 0

    def __len__(self) -> int:
        return len(self.particles)

    def __iter__(self) -> Iterator[Particle]:
        return iter(self.particles)

    @property
    def images(self) -> np.ndarray:
        """(N, S, S) or (N, S, S, 3) in the stored dtype.

        Raises:
            ValueError: the micrographs have different dtypes or channels, or there is no particle.
        """
        kinds = {(p.image.pixels.dtype.name, p.image.pixels.shape) for p in self.particles}
        if len(kinds) != 1:
            found = ", ".join(f"{dtype} {shape}" for dtype, shape in sorted(kinds, key=str))
            raise ValueError(
                "images of one array must have one dtype and shape. Received: "
                f"{found or 'no particles'}. Save them, and load them with image_array."
            )
        return np.stack([particle.image.pixels for particle in self.particles])

    @property
    def table(self) -> dict[str, np.ndarray]:
        """Columns by name, (N,) each: numbers float64, NaN where unknown, and texts.

        ``diameter_nm`` and ``score`` are there when at least one particle has them.
        """
        rows = [particle.facts() for particle in self.particles]
        columns = {name: np.array([row[name] for row in rows], object) for name in TEXTS}
        for name in NUMBERS:
            values = [row[name] for row in rows]
            if any(value is not None for value in values) or name not in ("diameter_nm", "score"):
                columns[name] = np.array(values, np.float64)
        return columns

    def summary(self) -> str:
        """What was cut and what was left out, in a line."""
        text = f"{len(self)} particles in windows of {self.window:.4g} {self.unit}"
        if self.n_larger:
            text += f", {self.n_larger} of them larger than that"
        if self.n_at_border:
            text += f"; {self.n_at_border} left out at the border"
        return text


def cut(
    micrograph: Micrograph,
    instances: np.ndarray,
    *,
    labels: Sequence[str] = (),
    scores: Sequence[float] | None = None,
    **options: Any,
) -> ParticleSet:
    """Cuts the particles of one micrograph.

    Args:
        micrograph: (H, W) or (H, W, 3) pixels; with its calibration, where known.
        instances: (H, W) integers; 0 is background, k an object.
        labels: instance k is of class labels[k - 1]; (): all are "particle".
        scores: instance k has scores[k - 1].
        options: attributes of ``CutPlan``.

    Returns:
        The particles, in the order of their numbers.

    Raises:
        ValueError: image and instances differ in size, labels or scores are too few, a class is
            unknown, or the window needs a calibration that is not there.

    Example:
        >>> particles = cut(micrograph, instance_map(labels), size=64)
        >>> particles.images.shape, particles.table["diameter_nm"].mean()
    """
    plan = CutPlan(**options)
    instances = _checked_map(instances, labels, scores)
    objects = _numbered_objects(
        instances, lambda one: labels[one.class_id - 1] if labels else "particle", scores
    )
    source = _Field(lambda: micrograph, micrograph.name, instances.shape, objects)
    return _cut_fields([source], plan)


def cut_dataset(examples: Sequence[Example], **options: Any) -> ParticleSet:
    """Cuts the labelled particles of several micrographs; objects of "background" are left out.

    An object is what is visible of it, where others lie over it. The micrographs are read one
    after another, and again when the window is to be found.

    Args:
        examples: with labels.
        options: attributes of ``CutPlan``.

    Raises:
        ValueError: as ``cut`` does, with the image's name.

    Example:
        >>> cut_dataset(load_dataset("images", "annotations.xml"), size=64, mask_out=True)
    """
    return _cut_fields((_labelled_field(example) for example in examples), CutPlan(**options))


def cut_predictions(
    pairs: Iterable[tuple[Micrograph | Example, Prediction]], **options: Any
) -> ParticleSet:
    """Cuts the particles that a model found in several micrographs.

    Of a detector, each particle is its own whole mask, also where another lies over it. A
    prediction is not kept once its particles are known, only their masks, so that ``pairs`` may
    be a generator that predicts.

    Args:
        pairs: micrograph, or the example that loads it, and what ``temzoo.predict`` said of it.
        options: attributes of ``CutPlan``.

    Raises:
        ValueError: as ``cut`` does.

    Example:
        >>> pairs = ((example, predict(model, example.micrograph)) for example in examples)
        >>> particles = cut_predictions(pairs, size=64)
    """
    fields = (_predicted_field(source, prediction) for source, prediction in pairs)
    return _cut_fields(fields, CutPlan(**options))


def save(particles: ParticleSet, folder: str | Path) -> Path:
    """Writes particles, their table and a sheet of up to 100 of them.

    Each particle becomes a TIFF that ImageJ opens with its calibration, in the stored dtype where
    that is uint8, uint16 or float32, else in float32; colour of other dtypes than uint8 becomes
    grey. ``particles.csv`` is written last: a folder without it is unfinished.

    Args:
        particles: at least one.
        folder: made when absent. Other files in it stay.

    Returns:
        The path of the table.

    Raises:
        ValueError: there are no particles.
    """
    if not len(particles):
        raise ValueError(
            "there must be particles to be saved. Received: none, "
            f"{particles.n_at_border} left out at the border. Use border='mirror', a smaller "
            "window, or other classes."
        )
    folder = Path(folder)
    path = folder / TABLE
    path.unlink(missing_ok=True)  # it would list files that are being replaced
    for particle in particles:
        write_tiff(folder / particle.image.name, _storable(particle.image))
    _write_sheet(folder / SHEET, [particle.image.pixels for particle in particles])
    _write_table(path, particles.table)
    return path


def load(folder: str | Path) -> tuple[list[Example], dict[str, np.ndarray]]:
    """Reads what ``save`` wrote; the pixels are read later, when asked for.

    Returns:
        examples: one a particle, without shapes; those of one micrograph are of one group, so
            that a split never parts them.
        table: columns by name, (N,) each: float64 where numbers, NaN where empty, else texts. A
            column that somebody added is of numbers when all its cells are.

    Raises:
        FileNotFoundError: there is no table, or a file that it names is missing.
        ValueError: the table is empty, lacks a column, or has a cell that is no number where one
            should be, with file, row and column.

    Example:
        >>> examples, table = load("particles")
        >>> table["diameter_nm"].mean()
    """
    path = Path(folder) / TABLE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: a folder of particles has a table. Received: no such file. Cut particles "
            "into the folder with `temzoo particles`; an interrupted cut leaves none."
        )
    cells = _read_cells(path)
    examples = [
        _example(path, line, name, micrograph)
        for line, (name, micrograph) in enumerate(
            zip(cells["name"], cells["micrograph"], strict=True), start=2
        )
    ]
    return examples, {name: _column(path, name, values) for name, values in cells.items()}


@dataclass(frozen=True, eq=False)
class _Object:
    """An object of a micrograph: its number, class, score and pixels."""

    number: int
    label: str
    score: float | None
    top: int
    left: int
    mask: np.ndarray

    @property
    def box(self) -> Frame:
        return (
            self.top,
            self.left,
            self.top + self.mask.shape[0],
            self.left + self.mask.shape[1],
        )

    def feret(self, spacing: Pair) -> float:
        """Largest distance between two corners of its pixels."""
        return float(pdist(self.corners * spacing).max())

    @cached_property
    def corners(self) -> np.ndarray:
        """(K, 2) corners of its pixels that lie on its convex hull, in px."""
        rows = np.flatnonzero(self.mask.any(axis=1))
        first = self.mask.argmax(axis=1)[rows]
        last = self.mask.shape[1] - self.mask[:, ::-1].argmax(axis=1)[rows]
        ends = [(rows + down, cols) for down in (0, 1) for cols in (first, last)]
        points = np.concatenate([np.stack(pair, axis=1) for pair in ends]).astype(np.int32)
        return cv2.convexHull(points)[:, 0].astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Field:
    """A micrograph and its objects; the pixels are loaded when asked for."""

    load: Callable[[], Micrograph]
    name: str
    shape: tuple[int, int]
    objects: Sequence[_Object]
    known: Sequence[str] = ()  # classes, beside those of the objects

    @cached_property
    def nm_per_pixel(self) -> Pair | None:
        return self.load().nm_per_pixel

    @cached_property
    def boxes(self) -> np.ndarray:
        return np.array([one.box for one in self.objects], np.int64).reshape(-1, 4)

    def wanted(self, plan: CutPlan) -> list[_Object]:
        """The objects of the plan's classes."""
        return [one for one in self.objects if plan.classes is None or one.label in plan.classes]

    def covered(self, frame: Frame, *, but: _Object | None = None) -> np.ndarray:
        """Where objects lie in a frame inside the image, (h, w) bool."""
        top, left, bottom, right = frame
        covered = np.zeros((bottom - top, right - left), bool)
        meet = (self.boxes[:, :2] < (bottom, right)) & (self.boxes[:, 2:] > (top, left))
        for index in np.flatnonzero(meet.all(axis=1)):
            if self.objects[index] is not but:
                _paint(covered, (top, left), self.objects[index])
        return covered


@dataclass(frozen=True)
class _Window:
    """The side of the windows of a set, in "px" or "nm"."""

    side: float
    unit: str

    def sides_px(self, nm_per_pixel: Pair | None) -> Pair:
        """(rows, columns) of a window in a micrograph's pixels."""
        if self.unit == "px":
            return self.side, self.side
        return self.side / nm_per_pixel[0], self.side / nm_per_pixel[1]


@dataclass
class _Cutting:
    """What is being cut of a set, with its counts."""

    plan: CutPlan
    window: _Window
    particles: list[Particle] = field(default_factory=list)
    n_at_border: int = 0
    n_larger: int = 0
    whole_px: int | None = None
    stems: set[str] = field(default_factory=set)

    def add(self, source: _Field) -> None:
        """Cuts the particles of one micrograph."""
        wanted = source.wanted(self.plan)
        if not wanted:
            return
        micrograph = _plain(source.load())
        _require_one_size(micrograph, source)
        sides = self._sides(micrograph)
        stem = _unused(file_stem(source.name), self.stems)
        self.stems.add(stem.casefold())
        for one in wanted:
            facts = _measured(one, micrograph.nm_per_pixel)
            starts = self._starts((facts["row"], facts["col"]), sides)
            skipped = self.plan.border == "skip" and _beyond(starts, sides, source.shape)
            if skipped or _touches_border(one, source.shape):
                self.n_at_border += 1
                continue
            feret = one.feret(_spacing(micrograph.nm_per_pixel, self.window.unit))
            self.n_larger += int(feret > self.window.side)
            image = self._image(micrograph, source, one, starts, sides)
            image = Micrograph(*image, f"{stem}_{one.number}.tif")
            self.particles.append(Particle(image, source.name, one.number, one.label, **facts))

    def _sides(self, micrograph: Micrograph) -> Pair:
        """(rows, columns) of the windows of a micrograph; whole and all the same, unless resized"""
        if self.window.unit == "nm" and micrograph.nm_per_pixel is None:
            raise ValueError(
                f"{micrograph.name}: window_nm needs a calibrated micrograph. Received: "
                f"window_nm={self.plan.window_nm}. Give its nm_per_pixel, or use window_px."
            )
        sides = self.window.sides_px(micrograph.nm_per_pixel)
        if self.plan.size is not None:
            return sides
        whole = {max(round(side), SMALLEST_WINDOW) for side in sides}
        whole |= {self.whole_px or min(whole)}
        if len(whole) > 1:
            raise ValueError(
                f"{micrograph.name}: a window of {self.window.side:g} nm must have as many pixels "
                f"in all directions and micrographs. Received: {min(whole)} and {max(whole)} px. "
                f"Give size={max(whole)}, to which windows are resized."
            )
        [self.whole_px] = whole
        return float(self.whole_px), float(self.whole_px)

    def _starts(self, centre: Pair, sides: Pair) -> Pair:
        """The window's first row and column, in continuous coordinates."""
        row, col = (middle - side / 2 for middle, side in zip(centre, sides, strict=True))
        return (row, col) if self.plan.size else (math.floor(row + 0.5), math.floor(col + 0.5))

    def _image(
        self, micrograph: Micrograph, source: _Field, one: _Object, starts: Pair, sides: Pair
    ) -> tuple[np.ndarray, Pair | None]:
        """The pixels of a window and their size."""
        frame = _frame(starts, sides, margin=1 if self.plan.size else 0)
        pixels = self._framed(micrograph, source, one, frame)
        if self.plan.size is None:
            return pixels, micrograph.nm_per_pixel
        offsets = (starts[0] - frame[0], starts[1] - frame[1])
        return (
            resample(pixels, offsets, sides, self.plan.size),
            _scaled(micrograph.nm_per_pixel, sides, self.plan.size),
        )

    def _framed(
        self, micrograph: Micrograph, source: _Field, one: _Object, frame: Frame
    ) -> np.ndarray:
        """A copy of a frame's pixels, complete."""
        inside = _inside(frame, source.shape)
        top, left, bottom, right = inside
        if not self.plan.mask_out:
            return _mirrored(micrograph.pixels[top:bottom, left:right], frame, inside)
        own = _without_neighbours(micrograph, source, inside, keep=one)
        if frame == inside:
            return own.copy()
        # The particle's own mirror image would be a neighbour.
        empty = _without_neighbours(micrograph, source, inside, keep=None)
        pixels = _mirrored(empty, frame, inside)
        row, col = top - frame[0], left - frame[1]
        pixels[row : row + len(own), col : col + own.shape[1]] = own
        return pixels


def resample(pixels: np.ndarray, starts: Pair, sides: Pair, size: int) -> np.ndarray:
    """A window that may start and end inside pixels, in another number of them.

    Args:
        pixels: (h, w) or (h, w, C), any real dtype; the window lies inside, by half a pixel at
            least where it is enlarged.
        starts: (row, col) of its corner, in continuous coordinates.
        sides: rows and columns that it spans.
        size: of the result.

    Returns:
        (size, size) or (size, size, C) in the dtype of ``pixels``: along each axis the mean over
        a new pixel's extent where that is a pixel or more, else linear interpolation.
    """
    down, along = (
        _weights(length, start, side, size)
        for length, start, side in zip(pixels.shape, starts, sides, strict=False)
    )
    rows = np.tensordot(down, pixels.astype(np.float64), 1)
    values = np.moveaxis(np.tensordot(along, rows, (1, 1)), 0, 1)
    return (np.rint(values) if pixels.dtype.kind in "biu" else values).astype(pixels.dtype)


def _weights(length: int, start: float, side: float, size: int) -> np.ndarray:
    """(size, length) shares of the old pixels in each new one; each row sums to 1."""
    step, old = side / size, np.arange(length)
    first = start + step * np.arange(size)[:, None]
    if step >= 1:
        shares = np.minimum(first + step, old + 1) - np.maximum(first, old)
    else:
        shares = 1 - np.abs(first + step / 2 - (old + 0.5))
    shares = np.maximum(shares, 0)
    return shares / shares.sum(axis=1, keepdims=True)


def _checked_map(
    instances: np.ndarray, labels: Sequence[str], scores: Sequence[float] | None
) -> np.ndarray:
    instances = np.asarray(instances)
    if instances.ndim != 2 or instances.dtype.kind not in "iu":
        raise ValueError(
            "instances must be an (H, W) map of whole numbers. Received: shape="
            f"{instances.shape}, dtype={instances.dtype}. Number a mask with label_instances."
        )
    count = int(instances.max(initial=0))
    for name, given in (("labels", labels or None), ("scores", scores)):
        if given is not None and len(given) < count:
            raise ValueError(
                f"{name} must hold one for each instance. Received: {len(given)} {name} for "
                f"{count} instances."
            )
    return instances


def _numbered_objects(
    instances: np.ndarray, label_of: Callable[[Detection], str], scores: Sequence[float] | None
) -> list[_Object]:
    objects = []
    # The number stands for the class of what is found: numbers may have gaps.
    for one in map_objects(instances, instances):
        score = None if scores is None else float(scores[one.class_id - 1])
        objects.append(_Object(one.class_id, label_of(one), score, one.top, one.left, one.mask))
    return objects


def _labelled_field(example: Example) -> _Field:
    labels = example.labels
    names = [one.label for one in labelled_objects(labels)]
    objects = _numbered_objects(instance_map(labels), lambda one: names[one.class_id - 1], None)
    objects = [one for one in objects if one.label != BACKGROUND]
    known = (*labels.classes, *names)
    return _Field(example.load, example.name, (labels.height, labels.width), objects, known)


def _predicted_field(source: Micrograph | Example, prediction: Prediction) -> _Field:
    load = source.load if isinstance(source, Example) else lambda: source
    names = prediction.class_names
    if prediction.detections is not None:
        objects = [
            _Object(k, _name(one.class_id, names), one.score, one.top, one.left, one.mask)
            for k, one in enumerate(prediction.detections, start=1)
        ]
    else:

        def label_of(one: Detection) -> str:
            inside = prediction.classes[one.top :, one.left :]
            return _name(int(inside[tuple(np.argwhere(one.mask)[0])]), names)

        objects = _numbered_objects(prediction.instances, label_of, prediction.scores)
    return _Field(load, source.name, prediction.instances.shape, objects, names)


def _name(class_id: int, names: Sequence[str]) -> str:
    return names[class_id - 1] if names else f"class {class_id}"


def _cut_fields(fields: Iterable[_Field], plan: CutPlan) -> ParticleSet:
    if plan.window_px is None and plan.window_nm is None:
        fields = list(fields)  # only once all are known is the window
        window = _usual_window(fields, plan)
    elif plan.window_px is not None:
        window = _Window(float(plan.window_px), "px")
    else:
        window = _Window(float(plan.window_nm), "nm")
    cutting, known = _Cutting(plan, window), set()
    for source in fields:
        cutting.add(source)
        known |= {*source.known, *(one.label for one in source.objects)}
    _require_known(plan.classes or (), known)
    return ParticleSet(
        tuple(cutting.particles),
        window.side,
        window.unit,
        n_at_border=cutting.n_at_border,
        n_larger=cutting.n_larger,
    )


def _usual_window(fields: Sequence[_Field], plan: CutPlan) -> _Window:
    """1.5 times the 95th percentile of the largest Feret diameters."""
    used = [source for source in fields if source.wanted(plan)]
    if not used:
        return _Window(0.0, "px")
    in_nm = plan.size is not None and all(source.nm_per_pixel for source in used)
    ferets = [
        one.feret(_spacing(source.nm_per_pixel, "nm" if in_nm else "px"))
        for source in used
        for one in source.wanted(plan)
    ]
    side = WINDOW_PER_FERET * float(np.percentile(ferets, WINDOW_PERCENTILE))
    if plan.size is None:
        side = float(2 * math.ceil(side / 2))
    return _Window(side, "nm" if in_nm else "px")


def _require_known(classes: Sequence[str], known: set[str]) -> None:
    unknown = next((name for name in classes if name not in known), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, known) or sorted(known)
        raise ValueError(
            f"classes must be among those of the particles. Received: {unknown!r}. "
            f"Use {', '.join(map(repr, near)) or 'None: there are no particles'}."
        )


def _plain(micrograph: Micrograph) -> Micrograph:
    """One channel of a grey micrograph that was stored as colour; else the micrograph."""
    pixels = micrograph.pixels
    if pixels.ndim == 3 and all(
        np.array_equal(pixels[..., 0], p) for p in np.moveaxis(pixels, 2, 0)
    ):
        pixels = pixels[..., 0]
    return replace(micrograph, pixels=pixels)


def _require_one_size(micrograph: Micrograph, source: _Field) -> None:
    if micrograph.pixels.shape[:2] != source.shape:
        raise ValueError(
            f"{source.name or 'micrograph'}: image and instances must have one size. Received: "
            f"pixels of {micrograph.pixels.shape[:2]}, instances of {source.shape} (rows, "
            "columns). Use those that were made of this image."
        )


def _unused(stem: str, used: set[str]) -> str:
    """The stem, or with a number behind it where another micrograph has it (any case)."""
    names = (stem if k == 1 else f"{stem}-{k}" for k in range(1, len(used) + 2))
    return next(name for name in names if name.casefold() not in used)


def _measured(one: _Object, nm_per_pixel: Pair | None) -> dict[str, Any]:
    """What the table says of an object, by the names of ``Particle``."""
    area = int(np.count_nonzero(one.mask))
    (row, col), moments = _moments(one.mask, nm_per_pixel or (1.0, 1.0))
    (short, long), axes = np.linalg.eigh(moments)
    down, right = axes[:, 1]
    diameter_px = 2 * math.sqrt(area / math.pi)
    geometric_mean_nm = nm_per_pixel and math.sqrt(nm_per_pixel[0] * nm_per_pixel[1])
    return {
        "row": one.top + row,
        "col": one.left + col,
        "area_px": area,
        "diameter_px": diameter_px,
        "diameter_nm": geometric_mean_nm and diameter_px * geometric_mean_nm,
        "aspect_ratio": math.sqrt(long / short),
        # Rounded first: a hair's breadth below the horizontal would else become 180.
        "angle_deg": round(math.degrees(math.atan2(down, right)), 9) % 180,
        "score": one.score,
    }


def _moments(mask: np.ndarray, spacing: Pair) -> tuple[Pair, np.ndarray]:
    """Centroid (row, col) in px; (2, 2) second central moments by area, in spacing's unit²."""
    rows, cols = (np.arange(n) + 0.5 for n in mask.shape)
    by_row, by_col = mask.sum(axis=1), mask.sum(axis=0)
    area = by_row.sum()
    row, col = float(by_row @ rows / area), float(by_col @ cols / area)
    rows, cols = rows - row, cols - col
    # einsum casts in pieces; a product would first make 8 bytes of each of a large mask's pixels.
    mixed = rows @ np.einsum("ij,j->i", mask, cols) / area
    squares = by_row @ rows**2 / area + 1 / 12, by_col @ cols**2 / area + 1 / 12
    moments = np.array([[squares[0], mixed], [mixed, squares[1]]])
    return (row, col), moments * np.outer(spacing, spacing)


def _touches_border(one: _Object, shape: tuple[int, int]) -> bool:
    top, left, bottom, right = one.box
    return top == 0 or left == 0 or bottom == shape[0] or right == shape[1]


def _beyond(starts: Pair, sides: Pair, shape: tuple[int, int]) -> bool:
    """Whether a window goes beyond the image, by more than rounding."""
    return any(
        start < -1e-6 or start + side > length + 1e-6
        for start, side, length in zip(starts, sides, shape, strict=True)
    )


def _frame(starts: Pair, sides: Pair, *, margin: int) -> Frame:
    """The whole pixels that hold a window, and a margin for interpolation."""
    first = (math.floor(start) - margin for start in starts)
    last = (math.ceil(a + b) + margin for a, b in zip(starts, sides, strict=True))
    return (*first, *last)


def _inside(frame: Frame, shape: tuple[int, int]) -> Frame:
    top, left, bottom, right = frame
    return max(top, 0), max(left, 0), min(bottom, shape[0]), min(right, shape[1])


def _mirrored(pixels: np.ndarray, frame: Frame, inside: Frame) -> np.ndarray:
    """A copy of a frame's pixels, those beyond the image mirrored at its border."""
    before = [i - f for i, f in zip(inside[:2], frame[:2], strict=True)]
    after = [f - i for i, f in zip(inside[2:], frame[2:], strict=True)]
    widths = [*zip(before, after, strict=True), (0, 0)][: pixels.ndim]
    return np.pad(pixels, widths, mode="symmetric")


def _paint(canvas: np.ndarray, corner: tuple[int, int], one: _Object) -> None:
    """Sets an object's pixels in a canvas whose first pixel lies at ``corner`` of the image."""
    slices = [
        (max(first, start), min(first + length, start + extent), first, start)
        for first, length, start, extent in zip(
            corner, canvas.shape, (one.top, one.left), one.mask.shape, strict=True
        )
    ]
    where = tuple(slice(low - first, high - first) for low, high, first, _ in slices)
    part = tuple(slice(low - start, high - start) for low, high, _, start in slices)
    canvas[where] |= one.mask[part]


def _without_neighbours(
    micrograph: Micrograph, source: _Field, inside: Frame, *, keep: _Object | None
) -> np.ndarray:
    """The pixels of a frame with background in place of all objects but one, or of all."""
    top, left, bottom, right = inside
    pixels = micrograph.pixels[top:bottom, left:right]
    others = source.covered(inside, but=keep)
    own = np.zeros_like(others)
    if keep is not None:
        _paint(own, inside[:2], keep)
    # A neighbour's halo goes with it, except where it would take the particle's own.
    hidden = (others | (_widened(others) & ~_widened(own))) & ~own
    if not hidden.any():
        return pixels
    pixels = pixels.copy()
    pixels[hidden] = _background_at(hidden, micrograph, source, inside)
    return pixels


def _background_at(
    hidden: np.ndarray, micrograph: Micrograph, source: _Field, inside: Frame
) -> np.ndarray:
    """Background for the M hidden pixels of a frame: copied from beside them, as whole as can be.

    Each copy is shifted as one piece, so that the noise keeps its grain. The shift that brings
    most of what is still missing comes first; what no shift brings is drawn at random.
    """
    frame, free = _free_around(source, inside)
    found = micrograph.pixels[frame[0] : frame[2], frame[1] : frame[3]][free]
    places = np.argwhere(hidden) + np.array(inside[:2])
    values = np.random.default_rng(len(places)).choice(found, len(places))
    shifts = _shifts(hidden.shape)
    usable = _usable(hidden, free, (inside[0] - frame[0], inside[1] - frame[1]), shifts)
    for _ in shifts:
        best = int(usable.sum(axis=1).argmax())
        brought = usable[best].copy()
        if not brought.any():
            break
        rows, cols = (places[brought] + shifts[best]).T
        values[brought] = micrograph.pixels[rows, cols]
        usable[:, brought] = False
    return values


def _usable(
    hidden: np.ndarray, free: np.ndarray, corner: tuple[int, int], shifts: np.ndarray
) -> np.ndarray:
    """(K, M) bool: which shift brings which hidden pixel to a free one.

    Args:
        hidden: (h, w), M of them set.
        free: of a frame in which ``hidden`` begins at ``corner``; nothing is free beyond it.
        shifts: (K, 2), each by up to (h, w).
    """
    height, width = hidden.shape
    around = np.pad(free, [(height, height), (width, width)])
    starts = shifts + np.array(corner) + np.array([height, width])
    return np.stack([around[r : r + height, c : c + width][hidden] for r, c in starts])


def _shifts(shape: tuple[int, int]) -> np.ndarray:
    """(K, 2) by up to the size of a window each way, in quarters of it, the shortest first."""
    quarters = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 2, indexing="ij"), -1).reshape(-1, 2)
    order = np.argsort((quarters**2).sum(axis=1), kind="stable")[1:]
    return np.rint(quarters[order] * np.array(shape) / 4).astype(int)


def _free_around(source: _Field, inside: Frame) -> tuple[Frame, np.ndarray]:
    """A frame around another, three times its size or as large as it takes, and where it is free.

    Free is what lies in no object and in no halo.
    """
    whole, frame = (0, 0, *source.shape), inside
    while True:
        top, left, bottom, right = frame
        down, along = bottom - top, right - left
        frame = _inside((top - down, left - along, bottom + down, right + along), source.shape)
        free = ~_widened(source.covered(frame))
        if np.count_nonzero(free) >= LEAST_BACKGROUND or (frame == whole and free.any()):
            return frame, free
        if frame == whole:
            raise ValueError(
                f"{source.name or 'micrograph'}: mask_out needs background. Received: an image "
                f"that objects and {HALO} px around them cover wholly. Use mask_out=False."
            )


def _widened(mask: np.ndarray) -> np.ndarray:
    """The mask and all pixels up to the width of a halo around it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * HALO + 1, 2 * HALO + 1))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0


def _spacing(nm_per_pixel: Pair | None, unit: str) -> Pair:
    return nm_per_pixel if unit == "nm" else (1.0, 1.0)


def _scaled(nm_per_pixel: Pair | None, sides: Pair, size: int) -> Pair | None:
    """The pixels' size after a window was resized."""
    if nm_per_pixel is None:
        return None
    return nm_per_pixel[0] * sides[0] / size, nm_per_pixel[1] * sides[1] / size


def _storable(image: Micrograph) -> Micrograph:
    """The image in a form that ImageJ's TIFF knows."""
    pixels = image.pixels
    if pixels.ndim == 3 and pixels.dtype != np.uint8:
        pixels = to_grey(pixels)
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels = pixels.astype(np.float32)
    return Micrograph(pixels, image.nm_per_pixel, image.name)


def _write_table(path: Path, table: dict[str, np.ndarray]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(
            [_cell(value) for value in row] for row in zip(*table.values(), strict=True)
        )


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.9g}"


def _write_sheet(path: Path, images: Sequence[np.ndarray]) -> None:
    """Up to 100 of the images, evenly through the set, each stretched by itself."""
    count = min(len(images), SHEET_COLUMNS * SHEET_ROWS)
    chosen = np.linspace(0, len(images) - 1, count).round().astype(int)
    step, lines = SHEET_TILE + SHEET_GAP, -(-count // SHEET_COLUMNS)
    columns = min(count, SHEET_COLUMNS)
    canvas = np.full((lines * step + SHEET_GAP, columns * step + SHEET_GAP, 3), 255, np.uint8)
    for place, index in enumerate(chosen):
        line, column = divmod(place, columns)
        row, col = line * step + SHEET_GAP, column * step + SHEET_GAP
        canvas[row : row + SHEET_TILE, col : col + SHEET_TILE] = _tile(images[index])
    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), canvas[..., ::-1]):
            raise OSError(f"could not write a PNG. Received: path={str(path)!r}. Check the disk.")


def _tile(pixels: np.ndarray) -> np.ndarray:
    """(SHEET_TILE, SHEET_TILE, 3) uint8; a small image keeps its pixels to be seen."""
    shades = np.rint(255 * unit_range(pixels)).astype(np.uint8)
    how = cv2.INTER_AREA if len(pixels) > SHEET_TILE else cv2.INTER_NEAREST_EXACT
    tile = cv2.resize(shades, (SHEET_TILE, SHEET_TILE), interpolation=how)
    return tile if tile.ndim == 3 else np.repeat(tile[..., None], 3, axis=2)


def _read_cells(path: Path) -> dict[str, list[str]]:
    """The table's texts, column by column."""
    # utf-8-sig: spreadsheets begin their CSV files with a byte-order mark.
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    missing = [name for name in ("name", "micrograph") if name not in header]
    if missing or not rows:
        raise ValueError(
            f"{path}: a table of particles has the columns name and micrograph, and a row for each "
            f"particle. Received: columns {header}, {len(rows)} row(s). Cut the particles again."
        )
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(
                f"{path}, row {line}: each row has a cell for each column. Received: {len(row)} "
                f"cells for {len(header)} columns. Correct the row."
            )
    return {name: [row[k] for row in rows] for k, name in enumerate(header)}


def _column(path: Path, name: str, cells: list[str]) -> np.ndarray:
    if name in TEXTS:
        return np.array(cells, object)
    values = np.full(len(cells), np.nan)
    for place, cell in enumerate(cells):
        try:
            values[place] = float(cell) if cell.strip() else np.nan
        except ValueError as error:
            if name not in NUMBERS:
                return np.array(cells, object)
            raise ValueError(
                f"{path}, row {place + 2}, column {name!r}: must be a number. "
                f"Received: {cell!r}. Correct the cell, or leave it empty."
            ) from error
    return values


def _example(path: Path, line: int, name: str, micrograph: str) -> Example:
    # The table may come from outside, so a name must not lead out of its folder.
    if Path(name).name != name or "\\" in name or name in ("", ".."):
        raise ValueError(
            f"{path}, row {line}, column 'name': must be a file beside the table. "
            f"Received: {name!r}. Write its name alone."
        )
    file = path.parent / name
    if not file.is_file():
        raise FileNotFoundError(
            f"{path}, row {line}, column 'name': there is no such file. Received: {name!r}. "
            "Put it back, or remove the row."
        )
    height, width = image_size(file)
    return Example(LabelledImage(name, width, height), partial(load_micrograph, file), micrograph)
