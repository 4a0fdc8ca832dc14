"""Single particles cut from labelled or predicted micrographs, with what is measured of each.

A particle lies in the middle of a square window that is the same for all of a set, so that they
can be compared, and learnt by a model of single images.

Without ``size`` a window holds the micrograph's own pixels: it starts at a whole pixel, so a
particle's centroid lies within half a pixel of its middle. With ``size`` a window may start
anywhere: its pixels are the averages of the micrograph over their own areas (or, where they are
finer, linear interpolations between pixel centres), and the centroid lies in the very middle. Both
equal OpenCV's INTER_AREA and INTER_LINEAR where the window starts at a whole pixel.

Shapes are measured by ``temzoo.measurement``, in nanometres where pixels are calibrated, which
matters where they are not square.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from temzoo.core.files import file_stem
from temzoo.core.hints import require_classes
from temzoo.core.types import Example, Micrograph, Prediction
from temzoo.measurement.pixel_runs import Runs, runs_of_detections
from temzoo.measurement.shapes import ellipses, ferets, hulls
from temzoo.particles.fields import (
    Field,
    Object,
    inside_frame,
    labelled_field,
    numbered_objects,
    predicted_field,
)
from temzoo.particles.plan import SMALLEST_WINDOW, CutPlan, Frame, Pair, Particle, ParticleSet
from temzoo.particles.window_pixels import resample, without_neighbours

WINDOW_PER_FERET = 1.5
WINDOW_PERCENTILE = 95
FERET = "Feret diameters"  # the unit of windows as large as their particles


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
    objects = numbered_objects(
        instances, lambda one: labels[one.class_id - 1] if labels else "particle", scores
    )
    source = Field(lambda: micrograph, micrograph.name, instances.shape, objects)
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
    return _cut_fields((labelled_field(example) for example in examples), CutPlan(**options))


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
    fields = (predicted_field(source, prediction) for source, prediction in pairs)
    return _cut_fields(fields, CutPlan(**options))


@dataclass
class _Cutting:
    """The particles cut so far, and how many were left out."""

    plan: CutPlan
    side: float  # of the windows
    unit: str  # of the side: "px", "nm" or ``FERET``
    particles: list[Particle] = field(default_factory=list)
    n_at_border: int = 0
    n_larger: int = 0
    whole_px: int | None = None
    stems: set[str] = field(default_factory=set)

    def add(self, source: Field) -> None:
        """Cuts the particles of one micrograph."""
        wanted = source.wanted(self.plan)
        if not wanted:
            return
        micrograph = _plain(source.load())
        if micrograph.pixels.shape[:2] != source.shape:
            raise ValueError(
                f"{source.name or 'micrograph'}: image and instances must have one size. Received: "
                f"pixels of {micrograph.pixels.shape[:2]}, instances of {source.shape} (rows, "
                "columns). Use those that were made of this image."
            )
        stem = _unused(file_stem(source.name), self.stems)
        self.stems.add(stem.casefold())
        runs = runs_of_detections(wanted, source.shape)
        spacing = self._spacing(micrograph)
        diameters, _ = ferets(hulls(runs), spacing)
        measured = _measured(wanted, runs, micrograph.nm_per_pixel)
        rows = zip(wanted, measured, diameters, runs.touches_border, strict=True)
        for one, facts, feret, cut_off in rows:
            side = self.side * feret if self.unit == FERET else self.side
            sides = self._sides(micrograph.name, side, spacing)
            starts = facts["row"] - sides[0] / 2, facts["col"] - sides[1] / 2
            if self.plan.size is None:  # windows start at whole pixels
                starts = math.floor(starts[0] + 0.5), math.floor(starts[1] + 0.5)
            last = np.add(starts, sides) - source.shape
            beyond = min(starts) < -1e-6 or max(last) > 1e-6  # by more than rounding
            if cut_off or (beyond and self.plan.border == "skip"):
                self.n_at_border += 1
                continue
            self.n_larger += int(feret > side)
            image = self._image(micrograph, source, one, starts, sides)
            image = Micrograph(*image, f"{stem}_{one.number}.tif")
            self.particles.append(Particle(image, source.name, one.number, one.label, **facts))

    def _spacing(self, micrograph: Micrograph) -> Pair:
        """(row, column) size of a pixel in the unit of the windows' sides."""
        pixel = None if self.unit == "px" else micrograph.nm_per_pixel
        if pixel is None and self.unit == "nm":
            raise ValueError(
                f"{micrograph.name}: window_nm needs a calibrated micrograph. Received: "
                f"window_nm={self.plan.window_nm}. Give its nm_per_pixel, or use window_px."
            )
        return pixel or (1.0, 1.0)

    def _sides(self, name: str, side: float, spacing: Pair) -> Pair:
        """(rows, columns) of a window; whole and all the same, unless resized."""
        sides = side / spacing[0], side / spacing[1]
        if self.plan.size is not None:
            return sides
        whole = {max(round(each), SMALLEST_WINDOW) for each in sides}
        whole |= {self.whole_px or min(whole)}
        if len(whole) > 1:
            raise ValueError(
                f"{name}: a window of {side:g} nm must have as many pixels "
                f"in all directions and micrographs. Received: {min(whole)} and {max(whole)} px. "
                f"Give size={max(whole)}, to which windows are resized."
            )
        [self.whole_px] = whole
        return float(self.whole_px), float(self.whole_px)

    def _image(
        self, micrograph: Micrograph, source: Field, one: Object, starts: Pair, sides: Pair
    ) -> tuple[np.ndarray, Pair | None]:
        """The pixels of a window and their size."""
        size, pixel = self.plan.size, micrograph.nm_per_pixel
        frame = _frame(starts, sides, margin=1 if size else 0)
        pixels = self._framed(micrograph, source, one, frame)
        if size is None:
            return pixels, pixel
        offsets = (starts[0] - frame[0], starts[1] - frame[1])
        scaled = pixel and (pixel[0] * sides[0] / size, pixel[1] * sides[1] / size)
        return resample(pixels, offsets, sides, size), scaled

    def _framed(
        self, micrograph: Micrograph, source: Field, one: Object, frame: Frame
    ) -> np.ndarray:
        """A copy of a frame's pixels, complete."""
        inside = inside_frame(frame, source.shape)
        top, left, bottom, right = inside
        if not self.plan.mask_out:
            return _mirrored(micrograph.pixels[top:bottom, left:right], frame, inside)
        own = without_neighbours(micrograph, source, inside, keep=one)
        if frame == inside:
            return own.copy()
        # The particle's own mirror image would be a neighbour.
        empty = without_neighbours(micrograph, source, inside, keep=None)
        pixels = _mirrored(empty, frame, inside)
        row, col = top - frame[0], left - frame[1]
        pixels[row : row + len(own), col : col + own.shape[1]] = own
        return pixels


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
                f"{count} instances. Give one for each, or leave {name} out."
            )
    return instances


def _cut_fields(fields: Iterable[Field], plan: CutPlan) -> ParticleSet:
    sides = ((plan.window_px, "px"), (plan.window_nm, "nm"), (plan.window_feret, FERET))
    window = next(((float(side), unit) for side, unit in sides if side is not None), None)
    if window is None:
        fields = list(fields)  # only once all are known is the window
        window = _usual_window(fields, plan)
    cutting, known = _Cutting(plan, *window), set()
    for source in fields:
        cutting.add(source)
        known |= {*source.known, *(one.label for one in source.objects)}
    require_classes(plan.classes or (), known, "particles")
    left_out = {"n_at_border": cutting.n_at_border, "n_larger": cutting.n_larger}
    return ParticleSet(tuple(cutting.particles), *window, **left_out)


def _usual_window(fields: Sequence[Field], plan: CutPlan) -> tuple[float, str]:
    """1.5 times the 95th percentile of the largest Feret diameters, and its unit."""
    used = [source for source in fields if source.wanted(plan)]
    if not used:
        return 0.0, "px"
    in_nm = plan.size is not None and all(source.nm_per_pixel for source in used)
    unit = "nm" if in_nm else "px"
    diameters = [
        ferets(
            hulls(runs_of_detections(source.wanted(plan), source.shape)),
            source.nm_per_pixel if in_nm else (1.0, 1.0),
        )[0]
        for source in used
    ]
    side = WINDOW_PER_FERET * float(np.percentile(np.concatenate(diameters), WINDOW_PERCENTILE))
    return (side if plan.size else float(2 * math.ceil(side / 2))), unit


def _plain(micrograph: Micrograph) -> Micrograph:
    """One channel of a grey micrograph that was stored as colour; else the micrograph."""
    pixels = micrograph.pixels
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        return replace(micrograph, pixels=pixels[..., 0])
    return micrograph


def _unused(stem: str, used: set[str]) -> str:
    """The stem, with a number behind it where another micrograph has the same, in any case."""
    names = (stem if k == 1 else f"{stem}-{k}" for k in range(1, len(used) + 2))
    return next(name for name in names if name.casefold() not in used)


def _measured(
    objects: Sequence[Object], runs: Runs, nm_per_pixel: Pair | None
) -> Iterator[dict[str, Any]]:
    """What the table says of each object, by the names of ``Particle``."""
    spacing = nm_per_pixel or (1.0, 1.0)
    geometric_mean_nm = nm_per_pixel and math.sqrt(nm_per_pixel[0] * nm_per_pixel[1])
    shapes = ellipses(runs, spacing)
    centroids = (shapes.centroid / spacing).tolist()
    for k, one in enumerate(objects):
        diameter_px = 2 * math.sqrt(int(runs.area_px[k]) / math.pi)
        yield {
            "row": centroids[k][0],
            "col": centroids[k][1],
            "area_px": int(runs.area_px[k]),
            "diameter_px": diameter_px,
            "diameter_nm": geometric_mean_nm and diameter_px * geometric_mean_nm,
            "aspect_ratio": float(shapes.aspect_ratio[k]),
            "angle_deg": float(shapes.orientation_deg[k]),
            "score": one.score,
        }


def _frame(starts: Pair, sides: Pair, *, margin: int) -> Frame:
    """The whole pixels that hold a window, and a margin for interpolation."""
    first = (math.floor(start) - margin for start in starts)
    last = (math.ceil(a + b) + margin for a, b in zip(starts, sides, strict=True))
    return (*first, *last)


def _mirrored(pixels: np.ndarray, frame: Frame, inside: Frame) -> np.ndarray:
    """A copy of a frame's pixels, those beyond the image mirrored at its border."""
    before = [i - f for i, f in zip(inside[:2], frame[:2], strict=True)]
    after = [f - i for i, f in zip(inside[2:], frame[2:], strict=True)]
    widths = [*zip(before, after, strict=True), (0, 0)][: pixels.ndim]
    return np.pad(pixels, widths, mode="symmetric")
