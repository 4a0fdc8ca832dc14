"""The settings of cutting, and the cut particles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from temzoo.core.hints import require_choice, require_classes
from temzoo.core.types import Micrograph

BORDERS = ("skip", "mirror")
SMALLEST_WINDOW = 2  # pixels
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
Pair = tuple[float, float]
Frame = tuple[int, int, int, int]  # top, left, bottom, right in pixels, the last two excluded


@dataclass(frozen=True)
class CutPlan:
    """How windows are cut. Give one of the sides, or none.

    Attributes:
        window_px: side of the window in the micrograph's pixels.
        window_nm: side in nanometres; needs calibration. Where pixels of several micrographs
            differ, or are not square, it needs ``size`` too.
        window_feret: side as a multiple of each particle's own largest Feret diameter, in nm where
            the micrograph is calibrated, so that size tells nothing; needs ``size``.
            None of them: 1.5 times the 95th percentile of the largest Feret diameters of all that
            are cut; in nm when all are calibrated and ``size`` is given, else in pixels.
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
    window_feret: float | None = None
    size: int | None = None
    border: str = "skip"
    mask_out: bool = False
    classes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        self._check_sides()
        if self.size is not None and self.size < SMALLEST_WINDOW:
            raise ValueError(
                f"size must be at least {SMALLEST_WINDOW} px. Received: size={self.size}. Use 64."
            )
        require_choice("border", self.border, BORDERS)
        require_classes(self.classes or ())

    def _check_sides(self) -> None:
        sides = {name: getattr(self, name) for name in ("window_px", "window_nm", "window_feret")}
        given = [f"{name}={side}" for name, side in sides.items() if side is not None]
        if len(given) > 1:
            raise ValueError(
                f"a window has one side. Received: {' and '.join(given)}. Leave all but one out."
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
        if self.window_feret is not None and not (1 <= self.window_feret < math.inf and self.size):
            raise ValueError(
                "window_feret must be at least 1, and windows of many sizes are resized to one:"
                f" give size too. Received: window_feret={self.window_feret}, size={self.size}."
                " Use window_feret=1.6, size=32."
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
        unit: of it: "px", "nm" or "Feret diameters".
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
