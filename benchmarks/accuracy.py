"""Accuracy of any weights on any dataset, with intervals and paired differences.

    python -m benchmarks accuracy --weights unet_mobilenet/emps-frozen --data emps
    python -m benchmarks accuracy --weights runs/a --data PATH --compare runs/b otsu

To the figures of ``temzoo.evaluate``, whose head defines them, come AP of all models, and three of
the particles of all images together: the relative error of their number, (found - true) / true,
that of D50, the median of their equivalent circular diameters, and that of the D50 of those which
no border cuts, as ``temzoo measure`` takes it. Objects are told apart as by ``temzoo predict``:
necks cut, below 10 px dropped. A difference of two models is that of their means over the same
images; "better" and "worse" are said only where its interval excludes 0.
VAEs are judged by ``benchmarks.latent``. Speed: ``precision``.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rich.progress import track

import temzoo
from benchmarks import latent
from benchmarks.datasets import Arguments, dataset_of
from benchmarks.recipes import contestant_of
from benchmarks.records import scores
from temzoo.evaluation.bootstrap import interval, ratio, resamples
from temzoo.evaluation.evaluate import LEAST_SCORE, score_predictions, scored_names
from temzoo.evaluation.object_overlaps import areas_of, true_objects
from temzoo.evaluation.results import compare
from temzoo.inference.objects import counted_from
from temzoo.measurement.pixel_runs import runs_of_map
from temzoo.zoo.built import built_or_none, task_of

# Metrics that two models are compared by.
GAINS = ("iou", "dice", "instance_f1", "panoptic_quality", "mask_ap50", "mask_ap")
OBJECTS = {"instances": "auto", "min_area_px": 10}  # as ``temzoo predict`` by default
RESAMPLING = {"seed": 0, "bootstrap": 1000}


def judge(model: Any, examples: Sequence, **resampling: int) -> Any:
    """An evaluation of whatever ``temzoo.predict`` takes, with the figures added here.

    ``resampling``: seed and bootstrap, of the intervals.
    """
    task, names = task_of(model), scored_names(model, examples)
    # With what AP needs: scores of instances, or of all that a detector holds possible.
    ranked = task.scored(LEAST_SCORE) | OBJECTS
    found = (temzoo.predict(model, e.micrograph, **ranked) for e in track(examples, "judging"))
    return scored(examples, found, names, least=task.least_score, **resampling)


def scored(
    examples: Sequence, predictions: Iterable, names: tuple, *, least=None, **resampling: int
) -> Any:
    """Scores predictions, which come in the order of the examples, as ``judge`` does.

    Names are of classes; a detection counts from the score ``least`` on; None: objects have none.
    """
    sizes, free, how = [], [], {**RESAMPLING, **resampling}  # of labelled and found particles

    def looked_at() -> Iterator[Any]:
        for example, prediction in zip(examples, predictions, strict=True):
            true = true_objects(example.labels, names)
            sides = _sized(true, prediction.classes.shape), _found(prediction, least)
            sizes.append(tuple(diameters for diameters, _ in sides))
            free.append(tuple(diameters[~cut] for diameters, cut in sides))
            yield prediction

    counts: dict[str, Any] = {} if least is None else {"scored": True, "min_score": least}
    found = score_predictions(examples, looked_at(), classes=names, ap=True, **counts, **how)
    weights = resamples(len(sizes), how["bootstrap"], how["seed"])
    errors = pooled_errors(sizes, weights)
    errors["free_d50_error"] = pooled_errors(free, weights)["d50_error"]
    figures = {name: interval(values) for name, values in errors.items()}
    return replace(found, pooled=found.pooled | figures)


def _sized(objects: Sequence[Any], shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) roots of the areas of some objects, px; and whether the image's border cuts them."""
    at = np.array([(each.top, each.left, *each.mask.shape) for each in objects]).reshape(-1, 4)
    cut = (at[:, :2] == 0) | (at[:, :2] + at[:, 2:] == shape)
    return np.sqrt(areas_of(objects)), cut.any(axis=1)


def _found(prediction: Any, least: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The same of the objects that count as found."""
    if prediction.detections is not None:
        return _sized(counted_from(prediction, least).detections, prediction.classes.shape)
    runs = runs_of_map(prediction.instances)
    counts = slice(None) if least is None else prediction.scores >= least
    return np.sqrt(runs.area_px)[counts], runs.touches_border[counts]


def pooled_errors(sizes: Sequence[tuple], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Relative errors of number and D50 of the particles of all images together, (B,) each.

    Sizes are the diameters of the labelled and of the found particles of each image, in any unit;
    weights, (B, images) int, how often each image counts: rows of resamples. NaN where a side has
    no particle.
    """
    sides = [*zip(*sizes, strict=True)]
    true, found = (weights @ np.array([*map(len, side)]) for side in sides)
    d50 = [np.array([_median(side, row) for row in weights]) for side in sides]
    return {"relative_count_error": ratio(found - true, true), "d50_error": d50[1] / d50[0] - 1}


def _median(parts: Sequence[np.ndarray], weight: Sequence[int]) -> float:
    values = np.concatenate([*map(np.tile, parts, weight)])
    return float(np.median(values)) if len(values) else math.nan


def difference(first: Any, second: Any, metric: str) -> dict[str, Any]:
    """Mean of first minus second over the same images, its interval, and whether it is better."""
    found = compare(first, second, metric=metric)
    told = {"images": len(found.names), "wins": found.wins, "verdict": verdict(found.difference)}
    return {**vars(found.difference), **told}


def verdict(change: Any) -> str:
    """ "better" or "worse" where the interval excludes 0, else "not told apart"."""
    return "better" if change.low > 0 else "worse" if change.high < 0 else "not told apart"


def comparison(one: Any, other: Any) -> dict[str, Any]:
    """Differences of one to the other, by metric, where any image has it for both."""
    found = {}
    for metric in GAINS:
        values = [[row[metric] for row in each.table] for each in (one, other)]
        if np.isfinite(np.array(values, float)).all(axis=0).any():
            found[metric] = difference(one, other, metric)
    return found


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    """Judges all weights that are asked for, compares each with those before it."""
    dataset, judged, compared = dataset_of(arguments), {}, []
    for name in [arguments.weights, *arguments.compare]:
        model = contestant_of(name, dataset.train)
        command = arguments.again(weights=name, compare=[])
        told = {"command": command, "about": name, "model": name, "seed": 0}
        how = built_or_none(model)
        if how and how.task == "generative":
            told["settings"] = {"parameters": model.count_params()}
            yield told | latent.told_of(name, model, arguments)
            continue
        found = judge(model, dataset.val)
        told |= {"name": f"{dataset.name}-{name}", "dataset": dataset.told()}
        yield told | {"settings": {**OBJECTS, **RESAMPLING}, "figures": scores(found)}
        for other, theirs in judged.items():
            metrics = comparison(found, theirs)
            compared.append({"model": name, "beside": other, "metrics": metrics})
        judged[name] = found
    if compared:  # apart from the scores, which are repeated by themselves
        about = f"{compared[-1]['model']} and those before it"
        told = {"what": "paired", "name": dataset.name, "about": about, "seed": 0}
        yield {**told, "dataset": dataset.told(), "figures": {"pairs": compared}}
