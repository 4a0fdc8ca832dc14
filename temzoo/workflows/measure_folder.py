"""The particles of many predictions on disk, measured into one table, image by image.

What a job on a cluster has measured is taken from there (``store.particle_tables``), unless it is
to be measured otherwise.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from temzoo.core.types import Micrograph, Prediction
from temzoo.inference.left_out import leave_out
from temzoo.measurement import load_instance_map, measure
from temzoo.measurement.by_hand import ByHand
from temzoo.measurement.model_error import ModelError, worst
from temzoo.measurement.table import frame_of
from temzoo.micrographs import Scale
from temzoo.micrographs.drawn import Drawn
from temzoo.store import particle_tables, sidecar, sources
from temzoo.store.corrections import CorrectionFile, counts_text, read_corrections, recorded_counts
from temzoo.store.particle_tables import UNITS, ImageTable, writer
from temzoo.store.predictions import list_predictions, load_prediction
from temzoo.store.sidecar import SUFFIX

MAP_ENDING = "_instances.tif"
NOTHING = pd.DataFrame()


@dataclass(frozen=True)
class Particles:
    """What was measured of the images of one unit.

    Attributes:
        table: a row a particle, as ``temzoo.measure`` gives it; or the Parquet file of it.
        frames: (height, width) of each image by its name, in that unit.
        model: the error of what found the particles; None where it is not known of all.
    """

    table: pd.DataFrame | Path
    frames: Mapping[str, tuple[float, float]]
    model: ModelError | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured of several images.

    Attributes:
        by_unit: "nm", of calibrated images, and "px", of the others; either only where there are.
        own_scales: the calibration that each image states itself.
        calibrations: where the calibration of each image was read, as far as that is known.
        without_micrograph: why an image has no intensities, where that is a surprise.
        doubtful: objects of each image that its model is not sure of, where it says so.
        kinds: the column of the tables that tells what a particle is.
        corrected: how much was corrected by hand in each image, see ``Corrections.counts``, before
            and now; of those alone where something was.
    """

    by_unit: Mapping[str, Particles]
    own_scales: Mapping[str, Scale | None]
    calibrations: Mapping[str, str]
    without_micrograph: Mapping[str, str]
    doubtful: Mapping[str, int]
    corrected: Mapping[str, Counter[str]]
    kinds: str = "morphology"

    @property
    def corrected_text(self) -> str:
        return counts_text(sum(self.corrected.values(), Counter()))


def measure_folder(
    predictions: Sequence[Path],
    *,
    images: Path | None = None,
    by_hand: ByHand | None = None,
    drawn: Drawn | None = None,
    tables: Mapping[str, Path] | None = None,
    corrections: Path | None = None,
    **options: Any,
) -> Measured:
    """Measures the particles of predictions on disk.

    Args:
        predictions: folders that ``temzoo predict`` wrote, sidecars, or label images.
        images: folder of the micrographs, for intensities, if they were moved.
        by_hand: a calibration that is given for them; None: their own.
        drawn: what is done about scale bars, info bars and panel letters of their micrographs;
            None: they are left alone. Where ``temzoo predict`` left them out, it is done already.
        tables: Parquet files to write to, of each unit, so that memory holds the particles of a
            few images; None: it holds all.
        corrections: the file of those by hand, with which the predictions are measured.
        **options: for ``temzoo.measure``: min_area_px, min_diameter_nm, classes …

    Raises:
        FileNotFoundError: there are no predictions.
        ValueError: two are of images of one name, the corrections are of other predictions, or as
            ``temzoo.measure`` does.
    """
    given = None if corrections is None else read_corrections(corrections)
    how = _How(images, by_hand or ByHand(), drawn, given, options)
    found: dict[str, _OfImage] = {}
    with ExitStack() as open_files:
        sinks = {
            unit: _InMemory() if tables is None else open_files.enter_context(writer(tables[unit]))
            for unit in UNITS
        }
        for path in prediction_paths(predictions):
            one = how.measured(path)
            sinks[one.particles.unit].add(one.particles.table)
            found[one.name] = replace(one, particles=replace(one.particles, table=NOTHING))
        if given is not None:
            given.require_among(found)
    by_unit = {}
    for unit, sink in sinks.items():
        own = {name: one for name, one in found.items() if one.particles.unit == unit}
        if own:
            frames = {name: one.particles.frame for name, one in own.items()}
            table = sink.table() if isinstance(sink, _InMemory) else sink.path
            by_unit[unit] = Particles(table, frames, worst(one.error for one in own.values()))
    return Measured(
        by_unit,
        {name: one.scale for name, one in found.items()},
        {name: one.calibration for name, one in found.items()},
        {name: one.missing for name, one in found.items() if one.missing},
        {name: one.doubtful for name, one in found.items() if one.doubtful is not None},
        {name: one.corrected for name, one in found.items() if one.corrected.total()},
    )


def looked_at(
    predictions: Sequence[Path],
    *,
    images: Path | None = None,
    by_hand: ByHand | None = None,
    drawn: Drawn | None = None,
) -> Iterator[Prediction]:
    """Predictions on disk one by one, as ``measure_folder`` measures them.

    Args:
        predictions, images, by_hand, drawn: as for ``measure_folder``.

    Yields:
        Each with the calibration that counts, and without what was drawn into its micrograph.
    """
    how = _How(images, by_hand or ByHand(), drawn, None, {})
    for path in prediction_paths(predictions):
        yield how.looked_at(path, _told(path))[0]


class _InMemory:
    """In place of a file."""

    def __init__(self) -> None:
        self._tables: list[pd.DataFrame] = []
        self.add = self._tables.append

    def table(self) -> pd.DataFrame:
        return pd.concat(self._tables, ignore_index=True)


@dataclass(frozen=True)
class _OfImage:
    """What was measured of one image; see ``Measured``."""

    name: str
    particles: ImageTable
    error: ModelError | None
    scale: Scale | None
    calibration: str
    missing: str = ""
    doubtful: int | None = None
    corrected: Counter[str] = field(default_factory=Counter)


class _How:
    """How images are measured: what ``measure_folder`` is given."""

    def __init__(
        self,
        images: Path | None,
        by_hand: ByHand,
        drawn: Drawn | None,
        corrections: CorrectionFile | None,
        options: Mapping,
    ):
        self.by_hand, self.drawn, self.options = by_hand, drawn, options
        self.corrections = corrections
        self.micrographs = {} if images is None else sources.sources_in(images)
        # Else a table that is there was measured otherwise.
        self.as_usual = images is None and by_hand.scale is None and _usual(options)

    def measured(self, path: Path) -> _OfImage:
        told = _told(path)
        return (told and self._there(path, told)) or self._measured(path, told)

    def _there(self, path: Path, told: Mapping[str, Any]) -> _OfImage | None:
        """What a job on a cluster has measured."""
        as_it_is = self.as_usual and self._is_drawn_alike(told) and not self._corrects(told["name"])
        found = particle_tables.read(path) if as_it_is else None
        if found is None or "border_weight" not in found.table:
            return None  # a job of an older release
        if found.unit == "px" and self.drawn and self.drawn.reads_text:
            return None  # there may be a bar, which that job could not read
        doubtful, scale = told["doubtful"], told["nm_per_pixel"]
        return _OfImage(
            told["name"],
            found,
            ModelError.of_card(sidecar.card_errors(told)),
            None if scale is None else tuple(scale),
            told["calibration"],
            doubtful=None if doubtful is None else len(doubtful),
            corrected=_counts(told),
        )

    def _corrects(self, name: str) -> bool:
        return self.corrections is not None and name in self.corrections.images

    def _is_drawn_alike(self, told: Mapping[str, Any]) -> bool:
        """Whether the prediction was made with what is to be left out, and no more."""
        asked = {} if self.drawn is None else json.loads(json.dumps(self.drawn.options()))
        return self.drawn is None or told["options"].get("drawn") == asked.get("drawn")

    def looked_at(
        self, path: Path, told: Mapping[str, Any] | None
    ) -> tuple[Prediction, Micrograph | None, Scale | None, str]:
        """The prediction as it counts, its micrograph, their own scale, and why none is there."""
        prediction, micrograph, missing = _loaded(path, told, self.micrographs)
        if self.corrections is not None and self._corrects(prediction.name):
            prediction = self.corrections.of(prediction)
        if self.drawn is not None:
            prediction, micrograph = _without_drawn(prediction, micrograph, self.drawn)
        scale = prediction.nm_per_pixel or (micrograph.nm_per_pixel if micrograph else None)
        prediction = replace(prediction, nm_per_pixel=self.by_hand.of(scale))
        return prediction, micrograph, scale, missing

    def _measured(self, path: Path, told: Mapping[str, Any] | None) -> _OfImage:
        prediction, micrograph, scale, missing = self.looked_at(path, told)
        counts = _counts(told)
        if self.corrections is not None and self._corrects(prediction.name):
            counts += self.corrections.images[prediction.name].counts()
        doubtful = prediction.doubtful
        read = micrograph.calibration if micrograph else ""
        return _OfImage(
            prediction.name,
            ImageTable(
                measure(prediction, micrograph, **self.options),
                "px" if prediction.nm_per_pixel is None else "nm",
                frame_of(prediction),
            ),
            ModelError.of_card(sidecar.card_errors(told)) if told else None,
            scale,
            (told and told["calibration"]) or read,
            missing,
            None if doubtful is None else len(doubtful),
            counts,
        )


def _counts(told: Mapping[str, Any] | None) -> Counter[str]:
    """How much a prediction was corrected by hand, as its sidecar says."""
    return recorded_counts(told["corrections"] if told else ())


def _usual(options: Mapping[str, Any]) -> bool:
    """Whether ``temzoo.measure`` would do the same without them."""
    return all(value in (None, 0) for value in options.values())


def _without_drawn(
    prediction: Prediction, micrograph: Micrograph | None, drawn: Drawn
) -> tuple[Prediction, Micrograph | None]:
    """The prediction without what was drawn, and its micrograph, calibrated by its scale bar.

    Raises:
        ValueError: a scale bar is required, and there is neither one nor a calibration.
    """
    if prediction.left_out or micrograph is None:
        if drawn.scale_bar == "require" and prediction.nm_per_pixel is None:
            raise ValueError(
                f"{prediction.name}: its scale bar is read from its micrograph. Received: no"
                " micrograph with one. Give --images, the folder where it lies, or --nm-per-pixel."
            )
        return leave_out(prediction, drawn.boxes), micrograph
    if prediction.nm_per_pixel is not None and micrograph.nm_per_pixel is None:
        micrograph = replace(micrograph, nm_per_pixel=prediction.nm_per_pixel)
    micrograph, boxes = drawn.of(micrograph)
    return leave_out(prediction, boxes), micrograph


def prediction_paths(places: Sequence[Path]) -> list[Path]:
    """The predictions that are named, and those of the folders that are."""
    paths = [path for place in places for path in _in_place(place)]
    if not paths:
        raise FileNotFoundError(
            f"There are no predictions in {', '.join(map(str, places))}. Name a folder that"
            " `temzoo predict` wrote, or label images."
        )
    first: dict[str, Path] = {}
    for path in paths:
        other = first.setdefault(path.name.casefold(), path)
        if other != path:
            raise ValueError(
                "Tables name their particles after the image, so the names must differ. Received:"
                f" {other} and {path}. Take one folder at a time, each with an --out of its own."
            )
    return paths


def _in_place(place: Path) -> list[Path]:
    """The sidecars of a folder, or its instance maps where it has none; a file as it is."""
    if not place.is_dir():
        return [place]
    return list_predictions(place) or sorted(place.glob(f"[!.]*{MAP_ENDING}"))


def loaded(
    path: Path, micrographs: Mapping[str, Sequence[Path]]
) -> tuple[Prediction, Micrograph | None, str]:
    """The prediction, its micrograph if it is there, and why not where that is a surprise."""
    return _loaded(path, _told(path), micrographs)


def _told(path: Path) -> Mapping[str, Any] | None:
    """What the sidecar says; None of a map alone."""
    return sidecar.about(path) if path.name.endswith(SUFFIX) else None


def _loaded(
    path: Path, told: Mapping[str, Any] | None, micrographs: Mapping[str, Sequence[Path]]
) -> tuple[Prediction, Micrograph | None, str]:
    if told is not None:
        micrograph, why = sources.load_source(told, micrographs)
        return load_prediction(path), micrograph, why if told["source"] else ""
    prediction = load_instance_map(path)
    # The map's own name is none that a micrograph could have, so that its stem counts.
    name = prediction.name.removesuffix(MAP_ENDING)
    height, width = prediction.instances.shape
    told = {"name": name if name == prediction.name else f"{name}.map", "source": None}
    told |= {"source_sha256": None, "height": height, "width": width}
    micrograph, why = sources.load_source(told, micrographs)
    return prediction, micrograph, why if micrographs else ""
