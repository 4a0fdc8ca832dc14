"""Accuracy of any weights on any dataset, with intervals and paired differences.

    python -m benchmarks accuracy --weights unet_mobilenet/emps-frozen --data emps
    python -m benchmarks accuracy --weights runs/a --data PATH --compare runs/b otsu

To the figures of ``temzoo.evaluate``, whose head defines them, come boundary F1, errors of the size
distribution (both of ``benchmarks.metrics``) and the relative error of the count, (found - true) /
true, each with its 95 % bootstrap interval over images. Objects are told apart as by ``temzoo
predict``: necks cut, below 10 px dropped. A difference of two models is that of their means over
the same images; "better" and "worse" are said only where its interval excludes 0. Speed: five
images, the models of a run in turns on each. Restorers and VAEs among the weights are judged by
``benchmarks.denoise`` and ``benchmarks.latent``.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rich.progress import track

import temzoo
from benchmarks import denoise, latent, metrics
from benchmarks.datasets import Dataset, dataset_of
from benchmarks.metrics import CONNECTED
from benchmarks.recipes import contestant_of
from benchmarks.records import scores
from benchmarks.timing import in_turns, spread
from temzoo.data.examples import class_names
from temzoo.evaluation.bootstrap import interval, mean_interval, ratio, resamples
from temzoo.evaluation.evaluate import LEAST_SCORE, score_predictions
from temzoo.evaluation.object_overlaps import true_objects
from temzoo.evaluation.results import compare
from temzoo.inference.objects import counted_from
from temzoo.labels.shapes.raster import class_map, foreground_classes
from temzoo.zoo import pretrained
from temzoo.zoo.built import built_or_none, class_names_of, task_of

# Metrics that two models are compared by; of the latter ones the smaller absolute value is better.
GAINS = ("iou", "dice", "boundary_f1", "instance_f1", "panoptic_quality", "mask_ap50", "mask_ap")
ERRORS = ("absolute_count_error", "absolute_d50_error", "ks_statistic")
OBJECTS = {"instances": "auto", "min_area_px": 10}  # as ``temzoo predict`` by default
RESAMPLING = {"seed": 0, "bootstrap": 1000}
TIMED = 5  # images
OTHERS = {"restoration": denoise.told_of, "generative": latent.told_of}  # judges, by task


def judge(model: Any, examples: Sequence, **resampling: int) -> Any:
    """Scores a model on labelled micrographs: an evaluation with the metrics added here.

    Args:
        model: whatever ``temzoo.predict`` takes.
        examples: micrographs with their labels.
        **resampling: seed and bootstrap, of the intervals.
    """
    names = foreground_classes(class_names_of(model) or class_names(examples))
    task = task_of(model)
    examples, least = _in_classes_of(names, examples), task.least_score
    # With what AP needs: scores of instances, or of all that a detector holds possible.
    ranked = task.scored(LEAST_SCORE) | OBJECTS
    found = (temzoo.predict(model, e.micrograph, **ranked) for e in track(examples, "judging"))
    return scored(examples, found, names, least=least, **resampling)


def scored(
    examples: Sequence,
    predictions: Iterable[Any],
    names: tuple[str, ...],
    *,
    least: float | None = None,
    **resampling: int,
) -> Any:
    """Scores predictions, which come in the order of the examples, as ``judge`` does.

    Args:
        names: of the classes.
        least: the score from which a detection counts; None: objects have none.
        **resampling: seed and bootstrap, of the intervals.
    """
    extras, how = _Extras(names, least), {**RESAMPLING, **resampling}

    def looked_at() -> Iterator[Any]:
        for example, prediction in zip(examples, predictions, strict=True):
            extras.look(example, prediction)
            yield prediction

    counts: dict[str, Any] = {} if least is None else {"scored": True, "min_score": least}
    found = score_predictions(examples, looked_at(), classes=names, ap=True, **counts, **how)
    return extras.added_to(found, **how)


def _in_classes_of(names: tuple[str, ...], examples: Sequence) -> list:
    """Labels of any names count as the class of a model that knows but one."""
    if len(names) != 1:
        return list(examples)

    def renamed(labels):
        shapes = tuple(replace(shape, label=names[0]) for shape in labels.shapes if shape.has_area)
        return replace(labels, shapes=shapes, classes=names)

    return [replace(example, labels=renamed(example.labels)) for example in examples]


class _Extras:
    """Looks at predictions on their way and keeps what few numbers the added metrics need."""

    def __init__(self, classes: tuple[str, ...], least_score: float | None):
        self.classes, self.least_score = classes, least_score
        self.rows: list[dict[str, float]] = []
        self.sizes: list[tuple[np.ndarray, np.ndarray]] = []  # true, found: diameters
        self.kinds: list[tuple[np.ndarray, np.ndarray]] = []  # … and particles of each class

    def look(self, example, prediction) -> None:
        classes, areas, kinds = _counted(prediction, self.least_score)
        truth = class_map(example.labels, self.classes)
        f1, each = metrics.boundary_f1(truth, classes, len(self.classes) + 1)
        objects = true_objects(example.labels, self.classes)
        true = metrics.diameters([np.count_nonzero(one.mask) for one in objects])
        self.sizes.append((true, metrics.diameters(areas)))
        of_true = np.array([one.class_id for one in objects], int)
        self.kinds.append(
            tuple(np.bincount(k, minlength=len(self.classes) + 1)[1:] for k in (of_true, kinds))
        )
        row = {"boundary_f1": f1}
        if len(self.classes) > 1:
            of = zip(self.classes, map(float, each), strict=True)
            row |= {f"boundary_f1_{name}": value for name, value in of}
        self.rows.append(row | metrics.size_errors(*self.sizes[-1]))

    def added_to(self, evaluation, *, seed: int, bootstrap: int):
        """The evaluation with these columns, their means over images and the pooled sizes.

        Those are of all particles together; the images are drawn as for the other intervals.
        """
        how = {"seed": seed, "bootstrap": bootstrap}
        weights = resamples(len(self.rows), bootstrap, seed)
        means = {key: mean_interval([row[key] for row in self.rows], **how) for key in self.rows[0]}
        figures = metrics.pooled_sizes(*zip(*self.sizes, strict=True), weights)
        counts = np.array([[*map(len, each)] for each in self.sizes]).T
        true, found = (weights @ each for each in counts)
        figures["relative_count_error"] = ratio(found - true, true)
        if len(self.classes) > 1:
            parts = (weights @ np.array(each) for each in zip(*self.kinds, strict=True))
            figures["class_share_error"] = metrics.class_share_error(*parts)
        pooled = {name: interval(values) for name, values in figures.items()}
        table = tuple(a | b for a, b in zip(evaluation.table, self.rows, strict=True))
        per_image, pooled = evaluation.per_image | means, evaluation.pooled | pooled
        return replace(evaluation, table=table, per_image=per_image, pooled=pooled)


def _counted(prediction, least: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class map, and areas (px) and classes of the objects, of what counts as found."""
    if prediction.detections is not None:
        sure = counted_from(prediction, least)
        kinds = np.array([one.class_id for one in sure.detections], int)
        return sure.classes, np.array([one.mask.sum() for one in sure.detections]), kinds
    numbers, first = np.unique(prediction.instances, return_index=True)
    kinds = prediction.classes.ravel()[first[numbers > 0]].astype(int)
    areas = np.bincount(prediction.instances.ravel())[1:]
    kept = slice(None) if least is None else prediction.scores >= least
    return prediction.classes, areas[kept], kinds[kept]


def difference(first: Any, second: Any, metric: str) -> dict[str, Any]:
    """Mean of first minus second over the same images, its interval, and whether it is better."""
    found = compare(first, second, metric=metric)
    said = verdict(found.difference, smaller_is_better=metric in ERRORS)
    told = {"images": len(found.names), "wins": found.wins, "verdict": said}
    return {**vars(found.difference), **told}


def verdict(change: Any, *, smaller_is_better: bool = False) -> str:
    """ "better" or "worse" where the interval excludes 0, else "not told apart"."""
    if not (change.low > 0 or change.high < 0):
        return "not told apart"
    return "better" if (change.low > 0) != smaller_is_better else "worse"


def comparison(one: Any, other: Any) -> dict[str, Any]:
    """Differences of one to the other, by metric, where any image has it for both."""
    found = {}
    for metric in (*GAINS, *ERRORS):
        values = [[row[metric] for row in each.table] for each in (one, other)]
        if np.isfinite(np.array(values, float)).all(axis=0).any():
            found[metric] = difference(one, other, metric)
    return found


def _told(name: str, found: Any, dataset: Dataset, settings: Mapping, **told: Any):
    """The fields of a record of a model on a dataset."""
    about = {"name": f"{dataset.name}-{name}", "dataset": dataset.told(), "figures": scores(found)}
    return about | {"settings": {**OBJECTS, **RESAMPLING, **settings}, **told, "model": name}


def with_seconds(records: list, models: Mapping[str, Any], examples: Sequence) -> list:
    """The records, with how long each of their models takes for an image.

    The images are spread over all; the models take turns on each, after a call to warm up.
    """
    chosen = np.linspace(0, len(examples) - 1, min(TIMED, len(examples))).astype(int)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for micrograph in (examples[index].micrograph for index in chosen):
        runs = {
            name: lambda model=model, shown=micrograph: temzoo.predict(model, shown, **CONNECTED)
            for name, model in models.items()
        }
        for name, took in in_turns(runs, least=1, most=1).items():
            seconds[name] += took
    for one in records:
        if one["model"] in seconds:
            one["figures"]["seconds_per_image"] = spread(seconds[one["model"]])
    return records


def weighed(arguments: argparse.Namespace, dataset: Dataset) -> list[dict[str, Any]]:
    """Judges all weights that are asked for, compares each with those before it."""
    judged: dict[str, Any] = {}
    models: dict[str, Any] = {}
    records, compared = [], []
    for name in [arguments.weights, *arguments.compare]:
        model = contestant_of(name, dataset.train)
        told = {"command": arguments.again(weights=name, compare=[]), "about": name, "seed": 0}
        settings = {"card_scores": card_scores(name)}
        how = built_or_none(model)
        if how and how.task in OTHERS:
            told |= {"model": name, "settings": settings | {"parameters": model.count_params()}}
            records.append(told | OTHERS[how.task](name, model, dataset, arguments))
            continue
        scored = judge(model, dataset.val)
        records.append(_told(name, scored, dataset, settings, **told))
        for other, theirs in judged.items():
            metrics_of = comparison(scored, theirs)
            compared.append({"model": name, "beside": other, "metrics": metrics_of})
        judged[name], models[name] = scored, model
    with_seconds(records, models, dataset.val)
    if compared:  # apart from the scores, which are repeated by themselves
        about = f"{compared[-1]['model']} and those before it"
        told = {"what": "paired", "name": dataset.name, "about": about, "seed": 0}
        records.append({**told, "dataset": dataset.told(), "figures": {"pairs": compared}})
    return records


def card_scores(weights: str) -> dict[str, Any]:
    """What the card of shipped weights says; empty for anything else."""
    model, _, name = weights.partition("/")
    card = pretrained.available(model).get(name)
    return dict(card.scores) if card else {}


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield from weighed(arguments, dataset_of(arguments))
