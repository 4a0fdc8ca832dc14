"""Labelled micrographs → the setting that tells touching particles apart best.

A network that labels pixels sees particles that touch as one region. How narrow a neck must be to
be cut, how sure a pixel and how large a particle must be to count, depends on the material and the
network. Each image is predicted once; what follows, from probabilities to instances, is tried in a
small grid. Use the images the model was validated on: a setting chosen on test images flatters.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from temzoo.core.types import Example
from temzoo.evaluation.evaluate import scored_names
from temzoo.evaluation.judged import judged_instances, judged_labels
from temzoo.evaluation.object_overlaps import match_instances
from temzoo.inference.confidence import confidences, likeliest_share
from temzoo.inference.predict import predict, sure_classes
from temzoo.inference.regions import Watershed, label_instances
from temzoo.labels.shapes.raster import class_map, ignored_pixels
from temzoo.zoo.built import task_of

NECKS = (0.0, 0.7, 0.8, 0.9)  # 0 cuts nothing: connected components
# Of models whose objects have scores, and which have learnt where objects part.
LEARNT_NECKS, MIN_SCORES = (0.0, 0.5, 0.6, 0.7, 0.8), (0.3, 0.4, 0.5, 0.6, 0.7)
THRESHOLDS = (None, 0.7)
MIN_AREAS_PX = (0, 25, 50, 100, 200, 400, 800)


@dataclass(frozen=True)
class InstanceTuning:
    """What was tried, and the best of it.

    Attributes:
        best: row of the table with the highest F1; of equal ones the first, which changes least.
        table: one dict per setting: "neck", "threshold", "min_score" (None where objects have
            none), "min_area_px", then over all images together "f1", "matched", "true" and
            "predicted" instances.
    """

    best: Mapping[str, Any]
    table: tuple[Mapping[str, Any], ...]

    @property
    def options(self) -> dict[str, Any]:
        """Of ``predict`` and ``evaluate``, for the best setting."""
        cut = Watershed(neck=self.best["neck"], threshold=self.best["threshold"])
        found = {"instances": cut, "min_area_px": self.best["min_area_px"]}
        least = self.best["min_score"]
        return found if least is None else {**found, "min_score": least}


def tune_instances(
    model: Any,
    examples: Sequence[Example],
    *,
    classes: Sequence[str] | None = None,
    necks: Sequence[float] | None = None,
    thresholds: Sequence[float | None] = THRESHOLDS,
    min_areas_px: Sequence[int] = MIN_AREAS_PX,
    **options: Any,
) -> InstanceTuning:
    """Finds the instance setting with the highest F1 at IoU 0.5, pooled over all instances.

    Args:
        model: whatever labels pixels for ``predict``.
        examples: of validation, with their labels.
        classes: names of the classes 1, 2, …; None: as in ``evaluate``.
        necks, thresholds: of ``Watershed``, each with each. necks=None: some around the default.
        min_areas_px: of ``predict``.
        **options: for ``predict`` (tile, overlap, flips …).

    Raises:
        ValueError: no examples, nothing to try, a setting out of range, or a detector.

    Example:
        >>> tuned = tune_instances(model, validation)
        >>> evaluate(model, test, **tuned.options)
    """
    examples = list(examples)
    scored = task_of(model).least_score is not None
    min_scores: Sequence[float | None] = MIN_SCORES if scored else (None,)
    if necks is None:
        necks = LEARNT_NECKS if scored else NECKS
    _check(model, examples, necks, thresholds, min_areas_px)
    names = scored_names(model, examples, classes)
    cuts = [Watershed(neck, threshold) for threshold in thresholds for neck in necks]
    leasts = list(itertools.product(min_scores, min_areas_px))
    each = [list(_counts(model, one, names, cuts, leasts, options)) for one in examples]
    settings = ((cut, *least) for cut in cuts for least in leasts)
    table = tuple(
        {
            "neck": cut.neck,
            "threshold": cut.threshold,
            "min_score": score,
            "min_area_px": area,
            "f1": 2 * matched / (true + predicted) if true + predicted else 1.0,
            "matched": matched,
            "true": true,
            "predicted": predicted,
        }
        for (cut, score, area), (matched, true, predicted) in zip(
            settings, np.sum(each, axis=0).tolist(), strict=True
        )
    )
    return InstanceTuning(best=max(table, key=lambda row: row["f1"]), table=table)


def _check(
    model: Any, examples: Sequence, necks: Sequence, thresholds: Sequence, min_areas_px: Sequence
) -> None:
    if task_of(model).instances != "regions":
        raise ValueError(
            "tune_instances needs a model that labels pixels. Received: "
            f"{type(model).__name__}, whose objects, if any, are apart already. Tune its min_score."
        )
    for name, given in (
        ("examples", examples),
        ("necks", necks),
        ("thresholds", thresholds),
        ("min_areas_px", min_areas_px),
    ):
        if not len(given):
            raise ValueError(
                f"tune_instances needs at least one of {name}. Received: {name}={given!r}. "
                "Leave the argument out for the default, or pass labelled images."
            )


def _counts(
    model: Any,
    example: Example,
    names: tuple[str, ...],
    cuts: Sequence[Watershed],
    leasts: Sequence[tuple[float | None, int]],
    options: Mapping[str, Any],
) -> Iterator[tuple[int, int, int]]:
    """Matched, true and predicted instances of one image, by cut, then by least score and area."""
    truth, true_classes = judged_labels(example.labels), class_map(example.labels, names)
    ignored = ignored_pixels(example.labels)
    found = predict(model, example.micrograph, probabilities=True, instances=None, **options)
    for cut in cuts:
        sure = found.classes
        if found.probabilities is not None:
            sure = sure_classes(found.classes, found.probabilities, cut.threshold)
        instances = label_instances(sure, method=cut, distance=found.distance)
        instances = judged_instances(instances, ignored)
        match = match_instances(
            truth, instances, truth_classes=true_classes, predicted_classes=sure
        )
        areas = np.bincount(instances.ravel())[1:]
        scores = np.zeros(len(areas))
        if found.distance is not None and found.probabilities is not None:
            own = likeliest_share(found.probabilities)
            scores = confidences(instances, own, found.distance)
        paired = match.pairs[:, 1] - 1
        for score, area in leasts:
            # To drop instances changes no match of the others, which are above an IoU of 0.5.
            kept = (areas >= max(area, 1)) & (scores >= (score or 0.0))
            yield int(np.count_nonzero(kept[paired])), match.true, int(np.count_nonzero(kept))
