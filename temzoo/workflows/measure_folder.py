"""The particles of many predictions on disk, measured into one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from temzoo.core.types import Micrograph, Prediction
from temzoo.measurement import load_instance_map, measure
from temzoo.measurement.by_hand import ByHand
from temzoo.measurement.left_out import leave_out
from temzoo.measurement.model_error import ModelError, worst
from temzoo.micrographs import Scale
from temzoo.store import sidecar, sources
from temzoo.store.predictions import list_predictions, load_prediction
from temzoo.store.sidecar import SUFFIX
from temzoo.workflows.drawn import Drawn

MAP_ENDING = "_instances.tif"


@dataclass(frozen=True)
class Particles:
    """What was measured of the images of one unit.

    Attributes:
        table: a row a particle, as ``temzoo.measure`` gives it.
        frames: (height, width) of each image by its name, in that unit.
        model: the error of what found the particles; None where it is not known of all.
    """

    table: pd.DataFrame
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
    """

    by_unit: Mapping[str, Particles]
    own_scales: Mapping[str, Scale | None]
    calibrations: Mapping[str, str]
    without_micrograph: Mapping[str, str]
    doubtful: Mapping[str, int]
    kinds: str = "morphology"


def measure_folder(
    predictions: Sequence[Path],
    *,
    images: Path | None = None,
    by_hand: ByHand | None = None,
    drawn: Drawn | None = None,
    **options: Any,
) -> Measured:
    """Measures the particles of predictions on disk.

    Args:
        predictions: folders that ``temzoo predict`` wrote, sidecars, or label images.
        images: folder of the micrographs, for intensities, if they were moved.
        by_hand: a calibration that is given for them; None: their own.
        drawn: what is done about scale bars, info bars and panel letters of their micrographs;
            None: they are left alone. Where ``temzoo predict`` left them out, it is done already.
        **options: for ``temzoo.measure``: min_area_px, min_diameter_nm, classes …

    Raises:
        FileNotFoundError: there are no predictions.
        ValueError: two are of images of one name, or as ``temzoo.measure`` does.
    """
    by_hand = by_hand or ByHand()
    own, read, without, doubtful = {}, {}, {}, {}
    tables: dict[str, list[pd.DataFrame]] = {"nm": [], "px": []}
    frames: dict[str, dict[str, tuple[float, float]]] = {"nm": {}, "px": {}}
    errors: dict[str, list[ModelError | None]] = {"nm": [], "px": []}
    micrographs = {} if images is None else sources.sources_in(images)
    for path in prediction_paths(predictions):
        prediction, micrograph, why = loaded(path, micrographs)
        name, known = prediction.name, prediction.nm_per_pixel
        read[name] = sidecar.about(path)["calibration"] if path.name.endswith(SUFFIX) else ""
        if drawn is not None:
            prediction, micrograph = _without_drawn(prediction, micrograph, drawn)
        own[name] = known or (micrograph.nm_per_pixel if micrograph else None)
        read[name] = read[name] or (micrograph.calibration if micrograph else "")
        prediction = replace(prediction, nm_per_pixel=by_hand.of(own[name]))
        unit = "px" if prediction.nm_per_pixel is None else "nm"
        tables[unit].append(measure(prediction, micrograph, **options))
        frames[unit][name] = _frame(prediction)
        errors[unit].append(_model_error(path))
        without |= {name: why} if why else {}
        if prediction.doubtful is not None:
            doubtful[name] = len(prediction.doubtful)
    by_unit = {
        unit: Particles(pd.concat(parts, ignore_index=True), frames[unit], worst(errors[unit]))
        for unit, parts in tables.items()
        if parts
    }
    return Measured(by_unit, own, read, without, doubtful)


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
    if path.name.endswith(SUFFIX):
        told = sidecar.about(path)
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


def _model_error(path: Path) -> ModelError | None:
    """Of what a sidecar says that it was made with; of a label image it is not known."""
    known = path.name.endswith(SUFFIX)
    return ModelError.of_card(sidecar.card_errors(sidecar.about(path))) if known else None


def _frame(prediction: Prediction) -> tuple[float, float]:
    """(height, width) of the field, in nm where it is calibrated, else in px; see ``measure``."""
    height, width = prediction.instances.shape
    down, along = prediction.nm_per_pixel or (1.0, 1.0)
    return height * down * prediction.field_share, width * along
