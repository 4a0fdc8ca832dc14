"""Predictions against labels → metrics with confidence intervals.

Conventions, so that a figure can be compared with others:

- Per class c, with TP, FP and FN counted in pixels: IoU = TP / (TP + FP + FN),
  Dice = 2 TP / (2 TP + FP + FN), precision = TP / (TP + FP), recall = TP / (TP + FN).
- A ratio of zero to zero is undefined, NaN, and left out of means: an image where neither labels
  nor prediction have a class says nothing of that class. A class that is only in the labels, or
  only in the prediction, has IoU 0.
- ``iou``, ``dice``, ``precision`` and ``recall`` without a class's name are means over the
  foreground classes; with one class they are that class's. The background is in no mean;
  ``pixel_accuracy`` counts it.
- Pixels of the label "ignore" count for nothing: ``evaluation.judged``.
- "Per image" metrics are means over images, each image counting the same; "pooled" ones come from
  the pixels, or instances, of all images together.
- Intervals are 95% percentile bootstrap intervals over images: pixels of one image are not
  independent of each other.
- Instances are matched one to one, within a class, at IoU 0.5 or more. Those of a model that labels
  pixels are compared as maps, labels drawn over each other as in ``instance_map``; a detector's
  (``Prediction.detections``) as masks, from ``min_score`` on, with the labels' whole masks, so that
  overlaps survive. What a model of boxes finds (``Prediction.box_shaped``) is compared with the
  boxes of the labels, and has no metrics of pixels, masks or sizes. Panoptic quality, StarDist's
  measure and AP compare whole masks for both; their definitions are in ``evaluation.objects``. So
  do the fates of objects and the errors of an image's count and sizes, in ``evaluation.fates``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from temzoo.core.hints import located
from temzoo.core.settings import SEPARATION
from temzoo.core.types import MIN_SCORE, Detection, Example, Prediction
from temzoo.data.examples import class_names
from temzoo.evaluation import objects
from temzoo.evaluation.average_precision import ImageMatches
from temzoo.evaluation.bootstrap import interval, nanmean, ratio, resamples, weighted_mean
from temzoo.evaluation.fates import ObjectErrors, image_errors, object_errors
from temzoo.evaluation.judged import judged, judged_labels
from temzoo.evaluation.object_overlaps import boxed, map_objects, match_instances, true_objects
from temzoo.evaluation.objects import COCO_AREAS
from temzoo.evaluation.pixels import confusion, scores
from temzoo.evaluation.results import Evaluation
from temzoo.inference.objects import flattened
from temzoo.inference.predict import predict
from temzoo.inference.regions import Watershed, keep_sure
from temzoo.labels.shapes.raster import class_map, foreground_classes, ignored_pixels
from temzoo.zoo.built import class_names_of, task_of

# Metrics of objects that compare outlines or areas.
OF_OUTLINES = (
    "panoptic_quality",
    "segmentation_quality",
    "recognition_quality",
    "stardist_ap50",
    "instances_d50_error",
)
PER_CLASS = ("iou", "dice", "precision", "recall")
LEAST_SCORE = 0.05  # of what is ranked for AP, as detectors commonly report to COCO


def evaluate(
    model: Any,
    examples: Sequence[Example],
    *,
    classes: Sequence[str] | None = None,
    instances: str | Watershed | None = SEPARATION,
    min_score: float | None = None,
    ap: bool | None = None,
    area_ranges: Mapping[str, tuple[float, float]] = COCO_AREAS,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
    **options: Any,
) -> Evaluation:
    """Scores a model on labelled micrographs at their full resolution.

    Args:
        model: whatever ``predict`` takes: a network, Otsu, a random forest.
        classes: names of the classes 1, 2, …; None: as ``scored_names``.
        instances: how predicted instances are told apart, as in ``predict``; None leaves the
            instance metrics out.
        min_score: of models whose objects have scores: objects below it count for AP, neither as
            instances nor in a detector's class map; None: as in ``predict``.
        ap: COCO's average precision of boxes and masks. None: of models whose objects have scores,
            which are ranked from 0.05 on; True: of all models that label pixels, whose instances
            are ranked by their mean probability, which takes memory and time; False: of none.
        area_ranges: (low, high) in px by name, for AP by size; by default COCO's, 32 and 96 px
            squared, of the micrograph as it is.
        bootstrap: resamples for the intervals; AP uses the first 200 of them.
        **options: for ``predict`` (tile, overlap, flips, min_area_px …).

    Raises:
        ValueError: no examples; labels of another size than the micrograph; a number of classes
            that differs from the model's; a min_score for what labels pixels.

    Example:
        >>> print(evaluate(model, validation, min_area_px=20).summary())
    """
    examples = list(examples)
    _check_examples(examples, bootstrap)
    names = scored_names(model, examples, classes)
    task = task_of(model)
    counted = min_score
    if task.least_score is not None:
        counted = task.least_score if min_score is None else min_score
        ap = ap is not False
        options["min_score"] = min(counted, LEAST_SCORE) if ap else counted
    elif min_score is not None:
        options["min_score"] = min_score  # predict refuses it
    elif ap:
        options = {**task.scored(0.0), **options}  # without scores nothing can be ranked
    shown = tracked(examples, progress, "evaluating")
    return score_predictions(
        examples,
        (predict(model, one.micrograph, instances=instances, **options) for one in shown),
        classes=names,
        with_instances=instances is not None,
        scored=task.least_score is not None,
        min_score=MIN_SCORE if counted is None else counted,
        ap=ap,
        area_ranges=area_ranges,
        bootstrap=bootstrap,
        seed=seed,
    )


def scored_names(
    model: Any, examples: Sequence[Example], classes: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The names of a model's classes 1, 2, … where it is scored on labels.

    Those that are given, else those it was trained on, else those that have an area in the labels.
    The one class of a model is the one class of labels, whatever their names.
    """
    known, labelled = classes or class_names_of(model), class_names(examples)
    same = not classes and len(known) == len(labelled) == 1
    return foreground_classes(labelled if same or not known else known)


def score_predictions(
    examples: Sequence[Example],
    predictions: Iterable[Prediction],
    *,
    classes: Sequence[str] | None = None,
    with_instances: bool = True,
    scored: bool = False,
    min_score: float = MIN_SCORE,
    ap: bool | None = None,
    area_ranges: Mapping[str, tuple[float, float]] = COCO_AREAS,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Scores predictions that are there already; ``evaluate`` is this after ``predict``.

    Args:
        examples: micrographs with their labels; only the labels are read.
        predictions: one per example, in their order; taken one at a time.
        with_instances: False leaves the instance metrics out.
        scored: whether instances of a map count from ``min_score`` on, as detections do; else all
            of them count.

    The other arguments and the errors are those of ``evaluate``; there must not be fewer or more
    predictions than examples.
    """
    examples = list(examples)
    _check_examples(examples, bootstrap)
    names = foreground_classes(classes or class_names(examples))
    each, rows, matches, errors = [], [], [], []
    least = min_score if scored else 0.0  # of the instances of a map
    boxes = False
    for example, prediction in _paired(examples, predictions):
        with located(example.name):
            truth, ignored = class_map(example.labels, names), ignored_pixels(example.labels)
            prediction = judged(prediction, example.labels)
            boxes = prediction.box_shaped
            both = truth, _class_map(prediction, min_score)
            each.append(confusion(*both, len(names) + 1, ignored=ignored))
            row = {} if boxes else _named(scores(each[-1]), names)
            if with_instances:
                ranked = prediction.detections is not None if ap is None else ap
                counts = least if prediction.detections is None else min_score
                true, found = _objects(example, prediction, names)
                kinds = objects.KINDS[:1] if boxes else objects.KINDS
                how: dict[str, Any] = {"min_score": counts, "ap": kinds if ranked else ()}
                how |= {"classes": len(names), "area_ranges": area_ranges}
                matches.append(objects.match(true, found, **how))
                row |= _score_instances(example, prediction, truth, matches[-1], least)
                errors.append(image_errors(true, [o for o in found if o.score >= counts]))
                row |= {f"instances_{key}": value for key, value in errors[-1].items()}
        row = _of_boxes(row) if boxes else row
        rows.append({key: np.asarray(value).item() for key, value in row.items()})
    confusions = np.stack(each)
    weights = resamples(len(rows), bootstrap, seed)
    means = {
        key: weighted_mean(np.array([row[key] for row in rows], np.float64), weights)
        for key in rows[0]
        if not key.startswith("instances_")
    }
    pooled = _pooled(confusions, rows, names, weights)
    pooled |= objects.metrics(matches, weights[1:]) if matches else {}
    pooled = _of_boxes(pooled) if boxes else pooled
    return Evaluation(
        classes=names,
        table=tuple({"name": one.name, **row} for one, row in zip(examples, rows, strict=True)),
        confusions=confusions * (not boxes),
        per_image={key: interval(value) for key, value in means.items()},
        pooled={key: interval(value) for key, value in pooled.items()},
        objects=object_errors(errors, weights, sizes=not boxes) if errors else ObjectErrors(),
    )


def _of_boxes(values: Mapping[str, Any]) -> dict[str, Any]:
    """What of the metrics is defined for boxes."""
    pixels = ("pixel_accuracy", *PER_CLASS)
    return {k: v for k, v in values.items() if k not in OF_OUTLINES and not k.startswith(pixels)}


def _check_examples(examples: Sequence[Example], bootstrap: int) -> None:
    if not examples:
        raise ValueError("evaluate needs at least one labelled image. Received: no examples.")
    if bootstrap < 1:
        raise ValueError(
            f"bootstrap must be at least 1. Received: bootstrap={bootstrap}. Use 1000."
        )


def _paired(
    examples: Sequence[Example], predictions: Iterable[Prediction]
) -> Iterator[tuple[Example, Prediction]]:
    pairs = zip_longest(examples, predictions)
    for count, (example, prediction) in enumerate(pairs):
        if example is None or prediction is None:
            raise ValueError(
                f"every example needs one prediction. Received: {len(examples)} examples and "
                f"{count if prediction is None else 'more'} predictions. Pass both in one order."
            )
        yield example, prediction


def tracked(items: Sequence[Any], shown: bool, description: str) -> Iterable[Any]:
    """The items, with a progress bar where one is wanted."""
    if not shown:
        return items
    from rich.progress import track  # not paid for by those who want no bar

    return track(items, description=description)


def _class_map(prediction: Prediction, min_score: float) -> np.ndarray:
    """(H, W) classes; of a detector, only of the objects that count."""
    detections = prediction.detections or ()
    counted = [one for one in detections if one.score >= min_score]
    if len(counted) == len(detections):
        return prediction.classes
    return flattened(counted, prediction.classes.shape).classes


def _objects(
    example: Example, prediction: Prediction, names: tuple[str, ...]
) -> tuple[Sequence[Detection], Sequence[Detection]]:
    """The labelled and the found ones, with their whole masks."""
    true, found = true_objects(example.labels, names), prediction.detections
    if found is None:
        found = map_objects(prediction.instances, prediction.classes, prediction.scores)
    return (boxed(true), boxed(found)) if prediction.box_shaped else (true, found)


def _score_instances(
    example: Example, prediction: Prediction, truth: np.ndarray, found: ImageMatches, least: float
) -> dict[str, Any]:
    """The instances' part of an image's row."""
    if prediction.detections is not None:
        parts = (found.matched, found.true, found.predicted)
        matched, true, predicted = (int(part.sum()) for part in parts)
    else:
        match = match_instances(
            judged_labels(example.labels),
            sure_instances(prediction, least),
            truth_classes=truth,
            predicted_classes=prediction.classes,
        )
        matched, true, predicted = len(match.pairs), match.true, match.predicted
    counts = {"true": true, "predicted": predicted, "matched": matched}
    sizes = tuple(f"_ap_{area}" for area in found.areas)
    return {
        **_instance_metrics(matched, true, predicted),
        **{f"instances_{key}": value for key, value in counts.items()},
        **{k: v[0] for k, v in objects.metrics([found]).items() if not k.endswith(sizes)},
    }


def sure_instances(prediction: Prediction, least: float) -> np.ndarray:
    """The instance map without those that score below ``least``."""
    if prediction.scores is None or (prediction.scores >= least).all():
        return prediction.instances
    instances = prediction.instances.copy()
    keep_sure(instances, prediction.scores, least)
    return instances


def _named(values: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, Any]:
    """Foreground means, and per class where there are several, of (..., K) metrics."""
    named = {metric: nanmean(values[metric][..., 1:]) for metric in PER_CLASS}
    named["pixel_accuracy"] = values["pixel_accuracy"]
    for metric in PER_CLASS if len(names) > 1 else ():
        for index, name in enumerate(names, start=1):
            named[f"{metric}_{name}"] = values[metric][..., index]
    return named


def _instance_metrics(matched: Any, true: Any, predicted: Any) -> dict[str, Any]:
    return {
        "instance_precision": ratio(matched, predicted),
        "instance_recall": ratio(matched, true),
        "instance_f1": ratio(2 * matched, true + predicted),
        "count_error": predicted - true,
    }


def _pooled(
    confusions: np.ndarray, rows: Sequence[Mapping], names: Sequence[str], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics of all images together: element 0 of each is the figure, the rest resamples."""
    images, size, _ = confusions.shape
    sums = (weights @ confusions.reshape(images, -1)).reshape(-1, size, size)
    values = _named(scores(sums), names)
    if "instances_true" in rows[0]:
        keys = ("matched", "true", "predicted")
        counts = (weights @ np.array([row[f"instances_{key}"] for row in rows]) for key in keys)
        values |= _instance_metrics(*counts)
    return values
