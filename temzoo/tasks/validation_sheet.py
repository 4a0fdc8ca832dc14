"""Labelled micrographs, predicted, with what is right and wrong drawn on each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.types import MIN_SCORE, Example, LabelledImage, Micrograph, Prediction
from temzoo.evaluation.judged import judged
from temzoo.evaluation.object_overlaps import boxed, true_objects
from temzoo.evaluation.pixels import confusion, scores
from temzoo.inference.predict import predict
from temzoo.labels.shapes.raster import class_map
from temzoo.pictures.colours import MARKS, error_legend
from temzoo.pictures.overlays import error_overlay, match_overlay, sorted_out
from temzoo.pictures.sheets import Panel, sheet


def validation_sheet(
    path: str | Path,
    model: Any,
    examples: Sequence[Example],
    classes: Sequence[str],
    *,
    limit: int = 12,
    min_score: float | None = None,
    title: str = "",
    **options: Any,
) -> Path:
    """Predicts labelled micrographs and writes a sheet of where each is right and wrong.

    A detector's objects are outlined with the number found, missed and false (``match_overlay``);
    what labels pixels is drawn as error overlay with its IoU.

    Args:
        model: whatever ``predict`` takes.
        examples: the first ``limit`` of them are shown.
        classes: names of the classes 1, 2, …
        min_score: of a detector alone: objects that score less are not shown; None: those that the
            model counts.
        **options: for ``predict``.
    """
    panels, legend = [], error_legend(several_classes=len(classes) > 1)
    least = 0.0 if min_score is None else min_score  # predict has left out what does not count
    for example in examples[:limit]:
        micrograph = example.micrograph
        prediction = predict(
            model,
            micrograph,
            min_score=min_score,
            **{"instances": None, "min_area_px": 0, **options},
        )
        panels.append(validation_panel(micrograph, prediction, example.labels, classes, least))
        legend = legend if prediction.detections is None else MARKS
    return sheet(path, panels, legend=legend, title=title)


def validation_panel(
    micrograph: Micrograph,
    prediction: Prediction,
    labels: LabelledImage,
    classes: Sequence[str],
    min_score: float = MIN_SCORE,
) -> Panel:
    """One picture of a ``validation_sheet``, of a prediction that is there already."""
    prediction = judged(prediction, labels)
    if prediction.detections is None:
        truth = class_map(labels, classes)
        picture = error_overlay(micrograph.pixels, truth, prediction.classes)
        return Panel(picture, f"{labels.name}   {_iou_text(truth, prediction.classes)}")
    true = true_objects(labels, classes)
    true = boxed(true) if prediction.box_shaped else true
    found = [one for one in prediction.detections if one.score >= min_score]
    hits, missed, false = sorted_out(true, found)
    counts = f"{len(hits)} found, {len(missed)} missed, {len(false)} false"
    return Panel(match_overlay(micrograph.pixels, true, found), f"{labels.name}\n{counts}")


def _iou_text(truth: np.ndarray, predicted: np.ndarray) -> str:
    count = int(max(truth.max(), predicted.max())) + 1
    values = scores(confusion(truth, predicted, count))["iou"][1:]
    values = values[np.isfinite(values)]
    return f"IoU {values.mean():.2f}" if len(values) else "nothing there, nothing found"
