"""Measured particles, told apart by a classifier, and drawn in the colour of their kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from temzoo.core.types import Example, LabelledImage, Micrograph, Prediction
from temzoo.measurement.kinds import ordered_kinds
from temzoo.measurement.morphology import UNSURE
from temzoo.micrographs import Scale
from temzoo.pages.plates import objects_of
from temzoo.particles.cutting import cut_predictions
from temzoo.pictures.kinds import kind_overlay, write_kind_overlay
from temzoo.store import sources
from temzoo.store.sidecar import SUFFIX
from temzoo.tasks.classification import classify, require_classifier
from temzoo.workflows.measure_folder import Measured, loaded, prediction_paths

OVERLAYS = "overlays"
ENDING = "_kinds.png"
Sources = Mapping[str, Sequence[Path]]


def classified(
    measured: Measured,
    predictions: Sequence[Path],
    model: Any,
    *,
    images: Path | None = None,
    **window: Any,
) -> tuple[Measured, str]:
    """Has a classifier tell each measured particle's class, and how probable it is.

    Windows are cut as ``temzoo particles --border mirror`` cuts them, and resized to what the model
    takes. The tables' ``class`` becomes the model's, "unsure" for particles that the border cuts,
    of which there is no window; ``probability`` is that of the class, NaN for those.

    Args:
        measured: what ``measure_folder`` made of the same ``predictions`` and ``images``.
        model: a classifier of single particles.
        window: ``window_px``, ``window_nm`` or ``window_feret``, of a side (none: 1.5 times the
            particles' largest Feret diameters), and ``mask_out``, of ``particles.CutPlan``: those
            that the model's training particles were cut with.

    Returns:
        The same with those columns, and a line that says which windows were cut.

    Raises:
        ValueError: the model is no classifier; a micrograph is not at hand; or as ``cut`` does.
    """
    require_classifier(model, "measure")
    cut = cut_predictions(
        _with_micrographs(measured, predictions, images),
        size=model.input_shape[1],
        border="mirror",
        **window,
    )
    told: dict[tuple[str, int], tuple[str, float]] = {}
    if len(cut):
        classes = classify(model, [particle.image for particle in cut])
        best = classes.probabilities.max(axis=1).tolist()
        for particle, kind, share in zip(cut, classes.found, best, strict=True):
            told[particle.micrograph, particle.instance] = kind, share
    by_unit = {
        unit: replace(part, table=_told_table(part.table, told))
        for unit, part in measured.by_unit.items()
    }
    return replace(measured, by_unit=by_unit, kinds="class"), f"Classifier: {cut.summary()}."


def _told_table(table: pd.DataFrame, told: Mapping[tuple[str, int], tuple]) -> pd.DataFrame:
    keys = zip(table["image"], table["particle"], strict=True)
    answers = [told.get(key, (UNSURE, np.nan)) for key in keys]
    table = table.assign(**{"class": pd.Series([kind for kind, _ in answers], dtype="str")})
    place = list(table).index("class") + 1
    table.insert(place, "probability", np.array([share for _, share in answers], float))
    return table


def _with_micrographs(
    measured: Measured, predictions: Sequence[Path], images: Path | None
) -> Iterator[tuple[Example, Prediction]]:
    """Each prediction with particles, and its micrograph, read when asked for."""
    known, scales = _sources(images), _scales(measured)
    for path in prediction_paths(predictions):
        prediction, _, _ = loaded(path, known)
        if prediction.name in scales:
            height, width = prediction.instances.shape
            load = partial(_micrograph, path, known, scales[prediction.name])
            yield Example(LabelledImage(prediction.name, width, height), load), prediction


def _micrograph(path: Path, known: Sources, scale: Scale | None) -> Micrograph:
    prediction, micrograph, why = loaded(path, known)
    if micrograph is None:
        raise ValueError(
            f"{prediction.name}: a classifier looks at the micrograph. Received: a prediction"
            f" alone. {why} Give --images, the folder where it lies."
        )
    return replace(micrograph, nm_per_pixel=scale)


def _scales(measured: Measured) -> dict[str, Scale | None]:
    """The calibration that each image with particles was measured by."""
    found: dict[str, Scale | None] = {}
    for unit, part in measured.by_unit.items():
        first = part.table.drop_duplicates("image")
        sides = zip(first["nm_per_pixel_row"], first["nm_per_pixel_col"], strict=True)
        for name, scale in zip(first["image"], sides, strict=True):
            found[name] = scale if unit == "nm" else None
    return found


def _sources(images: Path | None) -> Sources:
    return {} if images is None else sources.sources_in(images)


def write_overlays(
    measured: Measured, predictions: Sequence[Path], out: Path, *, images: Path | None = None
) -> tuple[list[Path], list[str]]:
    """Writes each micrograph with its particles in the colours of their kinds, and a legend.

    Returns:
        The files, ``overlays/STEM_kinds.png``, and the images without one, whose micrograph is not
        at hand.
    """
    tables = [part.table for part in measured.by_unit.values()]
    kinds = {
        (image, number): kind
        for table in tables
        for image, number, kind in zip(
            table["image"], table["particle"], table[measured.kinds], strict=True
        )
    }
    known, files, without = _sources(images), [], []
    for path in prediction_paths(predictions):
        prediction, micrograph, _ = loaded(path, known)
        if micrograph is None:
            without.append(prediction.name)
            continue
        drawn = [
            (one, kinds[prediction.name, number])
            for number, one in objects_of(prediction)
            if (prediction.name, number) in kinds
        ]
        stem = path.name.removesuffix(SUFFIX) if path.name.endswith(SUFFIX) else path.stem
        own = [kind for _, kind in drawn]
        picture = kind_overlay(micrograph.pixels, [one for one, _ in drawn], own)
        counts = {kind: own.count(kind) for kind in ordered_kinds(pd.Series(own, dtype="str"))}
        files.append(write_kind_overlay(picture, counts, out / OVERLAYS / f"{stem}{ENDING}"))
    return files, without
