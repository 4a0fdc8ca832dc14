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
- "Per image" metrics are means over images, each image counting the same; "pooled" ones come from
  the pixels, or instances, of all images together.
- Intervals are 95% percentile bootstrap intervals over images: pixels of one image are not
  independent of each other.
- Instances are matched one to one, within a class, at IoU 0.5 or more. Those of a model that labels
  pixels are compared as maps, labels drawn over each other as in ``instance_map``; a detector's
  (``Prediction.detections``) as masks, from ``min_score`` on, with the labels' whole masks, so that
  overlaps survive. Panoptic quality, StarDist's measure and AP compare whole masks for both; their
  definitions are in ``temzoo.instance_scores``.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from temzoo import instance_scores
from temzoo.detection import flattened
from temzoo.files import atomic_path
from temzoo.instance_scores import COCO_AREAS, MATCH_IOU, ImageMatches
from temzoo.labels.raster import class_map, foreground_classes, instance_map
from temzoo.pipeline.examples import class_names
from temzoo.prediction import Watershed, predict, trained_class_names
from temzoo.types import MIN_SCORE, Example, Prediction

PER_CLASS = ("iou", "dice", "precision", "recall")
LEVEL = 0.95  # of the intervals
LEAST_SCORE = 0.05  # of what is ranked for AP, as detectors commonly report to COCO


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% bootstrap interval; NaN where it is undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Match:
    """Instances of one image, matched one to one.

    Attributes:
        pairs: (M, 2) int numbers of the matched instances, (in the labels, predicted).
        true: instances in the labels.
        predicted: instances predicted.
    """

    pairs: np.ndarray
    true: int
    predicted: int


@dataclass(frozen=True)
class Evaluation:
    """What a model scored on labelled images.

    Attributes:
        classes: names of the classes 1, 2, …
        table: one dict per image: "name", metrics, counts of pixels and instances.
        confusions: (N, K, K) int64 pixels of each image, [true class, predicted class].
        per_image: mean over images of each metric of the table, by its name.
        pooled: the metrics over all images taken together; AP by size is here alone, since few
            single images have objects of each size.
    """

    classes: tuple[str, ...]
    table: tuple[Mapping[str, Any], ...]
    confusions: np.ndarray
    per_image: Mapping[str, Interval]
    pooled: Mapping[str, Interval]

    @property
    def iou(self) -> Interval:
        """Mean over images of the foreground IoU: the figure by which models are compared."""
        return self.per_image["iou"]

    def summary(self) -> str:
        """The figures as a plain-text table."""
        lines = [
            f"{len(self.table)} images, classes: {', '.join(self.classes)}; "
            "95% bootstrap intervals over images",
            f"{'':<24}{'per image':<30}{'pooled'}",
        ]
        for metric in self.per_image | self.pooled:
            mean, pooled = self.per_image.get(metric, ""), self.pooled.get(metric, "")
            lines.append(f"{metric:<24}{mean!s:<30}{pooled!s}".rstrip())
        return "\n".join(lines)

    def to_csv(self, path: str | Path) -> None:
        """Writes the table, one row per image; undefined metrics are empty cells."""
        with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.table[0]))
            writer.writeheader()
            for row in self.table:
                writer.writerow({key: "" if _undefined(row[key]) else row[key] for key in row})

    def to_json(self, path: str | Path) -> None:
        """Writes figures, intervals, table and confusion matrices; undefined ones are null."""
        content = {
            "images": len(self.table),
            "classes": list(self.classes),
            "per_image": {metric: vars(figure) for metric, figure in self.per_image.items()},
            "pooled": {metric: vars(figure) for metric, figure in self.pooled.items()},
            "confusion": self.confusions.sum(axis=0).tolist(),
            "table": [dict(row) for row in self.table],
        }
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(_without_nan(content), indent=2, allow_nan=False))


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images, image by image.

    Attributes:
        metric: what is compared.
        names: of the images where both are defined.
        first, second: (N,) the metric of each image.
        difference: mean of first minus second, with its interval over images.
    """

    metric: str
    names: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    difference: Interval

    @property
    def wins(self) -> float:
        """Fraction of the images where the first is better; ties count half."""
        return float(np.mean((self.first > self.second) + 0.5 * (self.first == self.second)))


def evaluate(
    model: Any,
    examples: Sequence[Example],
    *,
    classes: Sequence[str] | None = None,
    instances: str | Watershed | None = "components",
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
        examples: micrographs with their labels.
        classes: names of the classes 1, 2, …; None: those that the model was trained on, else
            those that have an area in the labels.
        instances: how predicted instances are told apart, as in ``predict``; None leaves the
            instance metrics out.
        min_score: of a detector alone: objects below it count for AP, neither as instances nor in
            the class map; None: 0.5.
        ap: COCO's average precision of boxes and masks. None: of detectors, whose objects are
            ranked from score 0.05 on; True: of models that label pixels too, whose instances are
            ranked by their mean probability, which takes memory and time; False: of none.
        area_ranges: (low, high) in px by name, for AP by size; by default COCO's, 32 and 96 px
            squared, of the micrograph as it is.
        bootstrap: resamples for the intervals; AP uses the first 200 of them.
        seed: of the resampling.
        progress: show a progress bar.
        **options: for ``predict`` (tile, overlap, flips, min_area_px …).

    Raises:
        ValueError: no examples; labels of another size than the micrograph; a number of classes
            that differs from the model's; a min_score for what labels pixels.

    Example:
        >>> print(evaluate(model, validation, min_area_px=20).summary())
    """
    examples = list(examples)
    _check_examples(examples, bootstrap)
    known = classes or trained_class_names(model) or class_names(examples)
    names = foreground_classes(known)
    counted = MIN_SCORE if min_score is None else min_score
    if hasattr(model, "detect"):
        options["min_score"] = counted if ap is False else min(counted, LEAST_SCORE)
    elif min_score is not None:
        options["min_score"] = min_score  # predict refuses it
    elif ap:
        options.setdefault("probabilities", True)  # without them instances have no scores
    shown = _with_progress(examples, progress)
    return score_predictions(
        examples,
        (predict(model, one.micrograph, instances=instances, **options) for one in shown),
        classes=names,
        with_instances=instances is not None,
        min_score=counted,
        ap=ap,
        area_ranges=area_ranges,
        bootstrap=bootstrap,
        seed=seed,
    )


def score_predictions(
    examples: Sequence[Example],
    predictions: Iterable[Prediction],
    *,
    classes: Sequence[str] | None = None,
    with_instances: bool = True,
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

    The other arguments are those of ``evaluate``.

    Raises:
        ValueError: as ``evaluate`` does, and when there are fewer or more predictions.

    Example:
        >>> score_predictions(validation, [predict(model, e.micrograph) for e in validation])
    """
    examples = list(examples)
    _check_examples(examples, bootstrap)
    names = foreground_classes(classes or class_names(examples))
    confusions, rows, matches = [], [], []
    for example, prediction in _paired(examples, predictions):
        matrix, row = _score_pixels(example, _class_map(prediction, min_score), names)
        confusions.append(matrix)
        if with_instances:
            ranked = prediction.detections is not None if ap is None else ap
            found = _match_objects(example, prediction, names, min_score, ranked, area_ranges)
            row |= _score_instances(example, prediction, names, found)
            matches.append(found)
        rows.append(row)
    confusions = np.stack(confusions)
    weights = _resamples(len(rows), bootstrap, seed)
    return Evaluation(
        classes=names,
        table=tuple(rows),
        confusions=confusions,
        per_image=_mean_over_images(rows, weights),
        pooled=_pooled(confusions, rows, names, weights) | _pooled_objects(matches, weights),
    )


def compare(
    first: Evaluation,
    second: Evaluation,
    *,
    metric: str = "iou",
    bootstrap: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compares two models by their paired differences over the same images.

    Pairing removes what is common to both, the difficulty of an image, so that the interval is
    narrower than those of the two means suggest.

    Raises:
        ValueError: the evaluations are of different images, or lack the metric, or have no image
            where it is defined for both.
    """
    names = [row["name"] for row in first.table]
    if names != [row["name"] for row in second.table]:
        raise ValueError(
            "compare needs two evaluations of the same images in the same order. Received: "
            f"{len(first.table)} and {len(second.table)} images with different names. "
            "Evaluate both models on one list of examples."
        )
    for evaluation in (first, second):
        if metric not in evaluation.per_image:
            raise ValueError(
                f"metric must be one of {', '.join(evaluation.per_image)}. "
                f"Received: metric={metric!r}. Use one of them."
            )
    a, b = (np.array([row[metric] for row in e.table], float) for e in (first, second))
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        raise ValueError(
            f"compare needs an image where both have the metric. Received: metric={metric!r}, "
            "undefined everywhere for one of them. Compare another metric."
        )
    a, b = a[both], b[both]
    differences = _weighted_mean(a - b, _resamples(len(a), bootstrap, seed))
    kept = tuple(name for name, keep in zip(names, both, strict=True) if keep)
    return Comparison(metric, kept, a, b, _interval(differences))


def mean_interval(values: Sequence[float], *, bootstrap: int = 1000, seed: int = 0) -> Interval:
    """Mean over images of what is defined, with its 95% bootstrap interval."""
    figures = np.asarray(values, float)
    return _interval(_weighted_mean(figures, _resamples(len(figures), bootstrap, seed)))


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts pixels by true and predicted class.

    Args:
        truth, predicted: integer class maps of one shape, values 0 to classes - 1.
        classes: number of classes, background included.

    Returns:
        (classes, classes) int64, [true class, predicted class].

    Raises:
        ValueError: different shapes, or a class out of range.
    """
    if truth.shape != predicted.shape:
        raise ValueError(
            "labels and prediction must have one shape. Received: "
            f"{truth.shape} and {predicted.shape}. Use the labels of this very image."
        )
    for name, values in (("truth", truth), ("predicted", predicted)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(
                f"classes must be 0 to {classes - 1}. Received: {name} with values from "
                f"{values.min()} to {values.max()}. Use a model built for {values.max() + 1} "
                "classes, or labels of the model's classes."
            )
    joint = truth.astype(np.int64).ravel() * classes + predicted.ravel()
    return np.bincount(joint, minlength=classes**2).reshape(classes, classes)


def scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of one or more confusion matrices, by the module's conventions.

    Args:
        matrix: (..., K, K), [true class, predicted class]; class 0 is the background.

    Returns:
        "iou", "dice", "precision" and "recall": (..., K) per class, background first;
        "pixel_accuracy": (...). NaN where undefined.

    Example:
        >>> scores(confusion(truth, predicted, 2))["iou"][1]
    """
    matrix = np.asarray(matrix, np.float64)
    hit = np.diagonal(matrix, axis1=-2, axis2=-1)
    true, found = matrix.sum(axis=-1), matrix.sum(axis=-2)
    return {
        "iou": _ratio(hit, true + found - hit),
        "dice": _ratio(2 * hit, true + found),
        "precision": _ratio(hit, found),
        "recall": _ratio(hit, true),
        "pixel_accuracy": _ratio(hit.sum(axis=-1), matrix.sum(axis=(-1, -2))),
    }


def match_instances(
    truth: np.ndarray,
    predicted: np.ndarray,
    *,
    truth_classes: np.ndarray | None = None,
    predicted_classes: np.ndarray | None = None,
    iou: float = MATCH_IOU,
) -> Match:
    """Matches instances one to one where their IoU is at least ``iou``, as many as can be.

    Above 0.5 an instance overlaps at most one other that much. At 0.5 exactly and below, ties are
    settled so that the number of matches is largest (maximum bipartite matching).

    Args:
        truth, predicted: (H, W) integer maps; 0 is background, each other number an instance.
        truth_classes, predicted_classes: (H, W) class maps; given, only instances of one class
            match.
        iou: threshold in (0, 1].
    """
    true_ids, true_areas = _areas(truth)
    found_ids, found_areas = _areas(predicted)
    both = (truth > 0) & (predicted > 0)
    rows = np.searchsorted(true_ids, truth[both])
    columns = np.searchsorted(found_ids, predicted[both])
    shape = (len(true_ids), len(found_ids))
    shared = sparse.coo_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape)
    shared.sum_duplicates()
    rows, columns = shared.coords
    overlap = shared.data / (true_areas[rows] + found_areas[columns] - shared.data)
    good = overlap >= iou
    if truth_classes is not None and predicted_classes is not None:
        true_kind = _class_of(truth, true_ids, truth_classes)
        found_kind = _class_of(predicted, found_ids, predicted_classes)
        good &= true_kind[rows] == found_kind[columns]
    graph = sparse.csr_array((np.ones(good.sum()), (rows[good], columns[good])), shape=shape)
    partner = sparse.csgraph.maximum_bipartite_matching(graph, perm_type="column")
    matched = np.flatnonzero(partner >= 0)
    pairs = np.stack([true_ids[matched], found_ids[partner[matched]]], axis=1)
    return Match(pairs=pairs, true=len(true_ids), predicted=len(found_ids))


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


def _with_progress(examples: Sequence[Example], shown: bool) -> Any:
    if not shown:
        return examples
    from rich.progress import track  # not paid for by those who want no bar

    return track(examples, description="evaluating")


def _class_map(prediction: Prediction, min_score: float) -> np.ndarray:
    """(H, W) classes; of a detector, only of the objects that count."""
    detections = prediction.detections or ()
    counted = [one for one in detections if one.score >= min_score]
    if len(counted) == len(detections):
        return prediction.classes
    return flattened(counted, prediction.classes.shape).classes


def _score_pixels(
    example: Example, classes: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, dict[str, Any]]:
    """The confusion matrix of one image and its row of the table."""
    truth = class_map(example.labels, names)
    try:
        matrix = confusion(truth, classes, len(names) + 1)
    except ValueError as error:
        raise ValueError(f"{example.name}: {error}") from error
    return matrix, {"name": example.name, **_named(scores(matrix), names)}


def _match_objects(
    example: Example,
    prediction: Prediction,
    names: tuple[str, ...],
    min_score: float,
    ap: bool,
    area_ranges: Mapping[str, tuple[float, float]],
) -> ImageMatches:
    found = prediction.detections
    if found is None:
        min_score = 0.0  # each of its instances is one that the model stands by
        found = instance_scores.map_objects(
            prediction.instances, prediction.classes, prediction.scores
        )
    true = instance_scores.true_objects(example.labels, names)
    try:
        return instance_scores.match(
            true,
            found,
            classes=len(names),
            min_score=min_score,
            ap=ap,
            area_ranges=area_ranges,
        )
    except ValueError as error:
        raise ValueError(f"{example.name}: {error}") from error


def _score_instances(
    example: Example, prediction: Prediction, names: tuple[str, ...], found: ImageMatches
) -> dict[str, Any]:
    """The instances' part of an image's row."""
    if prediction.detections is not None:
        counts = (int(part.sum()) for part in (found.matched, found.true, found.predicted))
    else:
        match = match_instances(
            instance_map(example.labels),
            prediction.instances,
            truth_classes=class_map(example.labels, names),
            predicted_classes=prediction.classes,
        )
        counts = (len(match.pairs), match.true, match.predicted)
    values = instance_scores.metrics([found])
    sizes = tuple(f"_ap_{area}" for area in found.areas)
    own = {key: float(v[0]) for key, v in values.items() if not key.endswith(sizes)}
    return _instance_metrics(*counts) | own


def _pooled_objects(matches: Sequence[ImageMatches], weights: np.ndarray) -> dict[str, Interval]:
    if not matches:
        return {}
    values = instance_scores.metrics(matches, weights[1:])
    return {metric: _interval(value) for metric, value in values.items()}


def _named(values: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Foreground means, and per class where there are several, of (..., K) metrics."""
    named = {metric: _nanmean(values[metric][..., 1:]) for metric in PER_CLASS}
    named["pixel_accuracy"] = values["pixel_accuracy"]
    if len(names) > 1:
        for metric in PER_CLASS:
            for index, name in enumerate(names, start=1):
                named[f"{metric}_{name}"] = values[metric][..., index]
    if values["pixel_accuracy"].ndim == 0:
        return {key: float(value) for key, value in named.items()}
    return named


def _instance_metrics(matched: Any, true: Any, predicted: Any) -> dict[str, Any]:
    metrics = {
        "instance_precision": _ratio(matched, predicted),
        "instance_recall": _ratio(matched, true),
        "instance_f1": _ratio(2 * np.asarray(matched), np.asarray(true) + predicted),
    }
    if np.ndim(matched) == 0:
        metrics = {key: float(value) for key, value in metrics.items()}
        counts = {"true": int(true), "predicted": int(predicted), "matched": int(matched)}
        counts = {f"instances_{key}": value for key, value in counts.items()}
        return {**metrics, "count_error": int(predicted) - int(true), **counts}
    return {**metrics, "count_error": predicted - true}


def _mean_over_images(rows: Sequence[Mapping], weights: np.ndarray) -> dict[str, Interval]:
    metrics = [key for key in rows[0] if key != "name" and not key.startswith("instances_")]
    columns = {key: np.array([row[key] for row in rows], np.float64) for key in metrics}
    return {key: _interval(_weighted_mean(columns[key], weights)) for key in metrics}


def _pooled(
    confusions: np.ndarray, rows: Sequence[Mapping], names: Sequence[str], weights: np.ndarray
) -> dict[str, Interval]:
    """The metrics of all images together: element 0 of each is the figure, the rest resamples."""
    images, size, _ = confusions.shape
    sums = (weights @ confusions.reshape(images, -1)).reshape(-1, size, size)
    values = _named(scores(sums), names)
    if "instances_true" in rows[0]:
        keys = ("matched", "true", "predicted")
        counts = (weights @ np.array([row[f"instances_{key}"] for row in rows]) for key in keys)
        values |= _instance_metrics(*counts)
    return {metric: _interval(value) for metric, value in values.items()}


def _resamples(images: int, bootstrap: int, seed: int) -> np.ndarray:
    """(1 + bootstrap, images): how often each image is drawn; row 0 is the data themselves."""
    drawn = np.random.default_rng(seed).multinomial(
        images, np.full(images, 1 / max(images, 1)), size=bootstrap
    )
    return np.concatenate([np.ones((1, images), np.int64), drawn])


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    defined = np.isfinite(values)
    return _ratio(weights @ np.where(defined, values, 0.0), weights @ defined.astype(np.float64))


def _interval(values: np.ndarray) -> Interval:
    """The figure, values[0], with the percentiles of its defined resamples, values[1:]."""
    resampled = values[1:][np.isfinite(values[1:])]
    if math.isnan(values[0]) or not len(resampled):
        return Interval(float(values[0]), math.nan, math.nan)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return Interval(float(values[0]), float(low), float(high))


def _ratio(part: Any, whole: Any) -> np.ndarray:
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; NaN, without a warning, where nothing is."""
    defined = np.isfinite(values)
    return _ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def _areas(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    numbers, areas = np.unique(instances[instances > 0], return_counts=True)
    return numbers, areas


def _class_of(instances: np.ndarray, numbers: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The class of each instance; all pixels of one have the same."""
    found, first = np.unique(instances.ravel(), return_index=True)
    return classes.ravel()[first[np.searchsorted(found, numbers)]]


def _undefined(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    return None if _undefined(content) else content
