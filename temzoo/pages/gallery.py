"""Predictions, one after the other, become plates, rows of a table and sizes; none is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from temzoo.core.types import Detection, Micrograph, Prediction
from temzoo.evaluation.object_overlaps import one_to_one, overlaps
from temzoo.evaluation.objects import MATCH_IOU
from temzoo.measurement.by_hand import ByHand
from temzoo.measurement.counted import Counted, Pair, Parts
from temzoo.measurement.table import frame_of, measure
from temzoo.micrographs.scale_bar import FROM_PICTURE
from temzoo.pages import correcting, plates
from temzoo.pages.numbers import counted, figure, percent
from temzoo.pages.tables import MOST_ROWS
from temzoo.store.corrections import first_doubtful
from temzoo.store.particle_tables import UNITS, ImageTable

if TYPE_CHECKING:
    import pandas as pd

# What all micrographs together may take, so that a page stays below 30 MB.
PICTURE_BYTES = 11_000_000  # in the page they take a third more
OUTLINE_BYTES = 7_000_000
MOST_PICTURE_BYTES = 900_000
MOST_OUTLINES = 40_000  # objects that are drawn
COARSEST = 8  # times the tolerance, by which outlines are simplified where they take too much


@dataclass
class Gallery:
    """What the page shows of micrographs.

    Attributes:
        pictured: how many plates there will be.
        by_hand: the calibration that was given, for micrographs without one or for all.
        on_disk: the predictions are, so that they can be corrected by hand.
        plates: HTML of each.
        kinds: the kinds of outlines by which the particles of one class are coloured.
        names, own: of all micrographs: their names, and the calibrations that they state.
        sizes, frames: by the unit of the sizes: what counts of the particles, and (height, width)
            of the micrographs by their names.
        rows: tables of the particles, the first of all.
        predictions: of each plate what corrections need, by the micrograph's name.
    """

    pictured: int
    by_hand: ByHand = field(default_factory=ByHand)
    on_disk: bool = False
    plates: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    own: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    sizes: dict[str, Parts] = field(default_factory=lambda: {unit: Parts() for unit in UNITS})
    frames: dict[str, dict[str, Pair]] = field(default_factory=lambda: {unit: {} for unit in UNITS})
    rows: list[pd.DataFrame] = field(default_factory=list)
    class_names: tuple[str, ...] = ()
    kinds: set[str] = field(default_factory=set)
    truth: bool = False
    doubtful: bool = False
    outlines: int = 0
    predictions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(
        self,
        prediction: Prediction,
        micrograph: Micrograph | None,
        *,
        true: Sequence[Detection] | None = None,
        missing: str = "",
    ) -> None:
        """Measures a prediction, and draws it while there is room.

        Args:
            micrograph: None where it is not at hand; ``missing`` says why.
            true: labelled objects, where there are labels.
        """
        prediction = replace(prediction, name=printable(prediction.name))
        prediction, micrograph = self._calibrated(prediction, micrograph)
        table = measure(prediction, micrograph)
        objects = plates.objects_of(prediction)
        if true is not None:
            table["iou_of_label"] = matched_iou(true, [one for _, one in objects])
            self.truth = True
        unit = "px" if prediction.nm_per_pixel is None else "nm"
        self._count(prediction.name, ImageTable(table, unit, frame_of(prediction)))
        self.class_names = self.class_names or prediction.class_names
        if len(self.plates) < self.pictured:
            if self.on_disk:
                self.predictions[prediction.name] = correcting.facts_of(prediction)
            kinds = self._kinds_of(prediction, table)
            self.plates.append(
                self._plate(prediction, micrograph, (objects, kinds), true or (), missing)
            )

    def _kinds_of(self, prediction: Prediction, table: pd.DataFrame) -> dict[int, str]:
        """The kind of each particle by its number; {} where classes have the colours."""
        if len(prediction.class_names) > 1:
            return {}
        found = dict(zip(table["particle"].tolist(), table["morphology"], strict=True))
        self.kinds |= set(found.values())
        return found

    @property
    def plate_numbers(self) -> dict[str, int]:
        """The number of each plate, from 1, by the micrograph's name."""
        return {name: k for k, name in enumerate(self.names[: len(self.plates)], start=1)}

    def add_measured(self, told: Mapping[str, Any], measured: ImageTable) -> None:
        """Counts a prediction that is not drawn, by what its sidecar says."""
        name, scale = printable(told["name"]), told["nm_per_pixel"]
        self.own[name] = None if scale is None else (scale[0], scale[1])
        self._count(name, replace(measured, table=measured.table.assign(image=name)))
        self.class_names = self.class_names or tuple(told["class_names"])

    def _count(self, name: str, measured: ImageTable) -> None:
        if self.particles < MOST_ROWS:
            self.rows.append(measured.table)
        self.names.append(name)
        self.sizes[measured.unit].add(measured.table)
        self.frames[measured.unit][name] = measured.frame

    @property
    def particles(self) -> int:
        return sum(map(len, self.sizes.values()))

    def by_unit(self) -> dict[str, tuple[Counted, dict[str, Pair]]]:
        """Particles and frames of the micrographs with a calibration, "nm", and without, "px"."""
        return {
            unit: (self.sizes[unit].together(), frames)
            for unit, frames in self.frames.items()
            if frames
        }

    def _calibrated(
        self, prediction: Prediction, micrograph: Micrograph | None
    ) -> tuple[Prediction, Micrograph | None]:
        stating = prediction
        if prediction.nm_per_pixel is None and micrograph is not None:
            stating = micrograph
        own, read = stating.nm_per_pixel, stating.calibration
        self.own[prediction.name] = own
        scale = self.by_hand.of(own)
        shown = None if micrograph is None else replace(micrograph, nm_per_pixel=scale)
        read = read if scale == own else "given by hand"
        return replace(prediction, nm_per_pixel=scale, calibration=read), shown

    def _within_bytes(self, objects, tolerance: float, kinds=None) -> list[plates.Outlined]:
        """Outlines, the coarser the more they would take of the page."""
        layers = 2 if self.truth else 1
        most = OUTLINE_BYTES // (layers * max(self.pictured, 1))
        coarsest = COARSEST * tolerance
        drawn = plates.outlined(objects, tolerance=tolerance, kinds=kinds)
        while sum(len(one.path) for one in drawn) > most and tolerance < coarsest:
            tolerance *= 2
            drawn = plates.outlined(objects, tolerance=tolerance, kinds=kinds)
        return drawn

    def _plate(self, prediction, micrograph, found, true, missing) -> str:
        objects, kinds = found
        height, width = prediction.classes.shape
        tolerance = plates.TOLERANCE * max(1.0, max(height, width) / plates.SIDE)
        room = self.outlines + len(objects) <= MOST_OUTLINES
        drawn = (objects or plates.regions_of(prediction)) if room else []
        self.outlines += len(drawn)
        doubtful = (prediction.doubtful or ()) if room else ()
        self.doubtful |= bool(doubtful)
        picture = None
        if micrograph is not None:
            most = min(MOST_PICTURE_BYTES, PICTURE_BYTES // max(self.pictured, 1))
            picture = plates.jpeg(micrograph.pixels, most_bytes=most)
        plate = plates.Plate(
            number=len(self.plates) + 1,
            name=prediction.name,
            height=height,
            width=width,
            found=self._within_bytes(drawn, tolerance, kinds),
            true=self._within_bytes(list(enumerate(true, start=1)), tolerance),
            doubtful=self._within_bytes(
                list(enumerate(doubtful, start=first_doubtful(prediction))), tolerance
            ),
            picture=picture,
            nm_per_pixel=prediction.nm_per_pixel,
            own_bar=prediction.calibration.startswith(FROM_PICTURE),
            facts=_facts(prediction, len(objects), None if not true else len(true)),
            missing=missing if room else "Too many particles in this report to outline these.",
        )
        return plates.plate_html(plate)


def printable(name: str) -> str:
    """A name without lone surrogates, which neither a table nor a page can hold."""
    return name.encode("utf-8", "replace").decode("utf-8")


def matched_iou(true: Sequence[Detection], found: Sequence[Detection]) -> np.ndarray:
    """(N,) IoU of each found object with the label it is matched to, one to one; 0: with none.

    Objects match within a class, at an IoU of 0.5 and more.
    """
    pairs = overlaps(true, found)
    good = pairs.mask_iou >= MATCH_IOU
    matched, iou = one_to_one(pairs.true[good], pairs.found[good], pairs.mask_iou[good])
    best = np.zeros(len(found))
    best[matched[:, 1]] = iou
    return best


def _facts(prediction: Prediction, found: int, labelled: int | None) -> tuple[str, ...]:
    height, width = prediction.classes.shape
    scale = prediction.nm_per_pixel
    facts = [counted(found, "particle")]
    if labelled is not None:
        facts.append(f"{figure(labelled)} labelled")
    facts.append(f"{percent(prediction.covered_share)} covered")
    facts.append(f"{width} × {height} px")
    if scale is not None:
        row, col = scale
        same = abs(row / col - 1) < 1e-6
        size = figure(col) if same else f"{figure(row)} (rows) × {figure(col)} (columns)"
        read = f", {prediction.calibration}" if prediction.calibration else ""
        facts.append(f"{size} nm per pixel{read}")
    return tuple(facts)
