"""Accuracy of any weights on any dataset, with intervals and paired differences.

    python -m benchmarks accuracy --weights unet_mobilenet/emps-frozen --data emps
    python -m benchmarks accuracy --weights runs/a --data PATH --compare runs/b otsu
    python -m benchmarks accuracy --curve 5 10 20 50 293 --data emps   # trains at each size

To the figures of ``temzoo.evaluate``, whose head defines them, come boundary F1
(``benchmarks.suite.boundary``), errors of the size distribution (``benchmarks.suite.sizes``) and
the relative error of the count, (found - true) / true, each with its 95 % bootstrap interval over
images. Objects are told apart as ``temzoo predict`` does by itself: necks cut, below 10 px dropped.
A difference of two models is that of their means over the same images; "better" and "worse" are
said only where its interval excludes 0. Speed: five images, the models of a run in turns on each.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import shlex
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import Dataset, generated, open_dataset
from benchmarks.records import keep, result, spread
from benchmarks.suite import boundary, generative, restorers, sizes
from benchmarks.suite.contestants import contestant_of

# Metrics that two models are compared by; of the latter ones the smaller absolute value is better.
GAINS = ("iou", "dice", "boundary_f1", "instance_f1", "panoptic_quality", "mask_ap50", "mask_ap")
ERRORS = ("absolute_count_error", "absolute_d50_error", "ks_statistic")
INSTANCES, MIN_AREA_PX = "auto", 10  # as ``temzoo predict`` by default
TIMED = 5  # images
CURVE_CONFIGS = {"unet": {"filters": 16}, "unet_mobilenet": {"alpha": 0.75}}  # others: default
CURVE = {
    "model": "unet",
    "config": {"filters": 16},
    "settings": {"batch": 8, "crop": 256, "epochs": 5, "steps_per_epoch": 60, "seed": 0},
}
# Short enough for a machine without data; as in the demo, crops are as large as the micrographs.
QUICK_CURVE = {
    "model": "unet",
    "config": {"filters": 8, "depth": 3},
    "settings": {
        "batch": 4,
        "crop": 256,
        "magnification": (1.0, 1.0),
        "augment": "light",
        "learning_rate": 3e-3,
        "epochs": 3,
        "steps_per_epoch": 20,
        "seed": 0,
    },
}


@dataclass(frozen=True)
class Judged:
    """What a model scored, with what ``temzoo.evaluation`` does not know.

    Attributes:
        evaluation: with columns and means of the suite's own metrics as well.
        classes_iou: pooled IoU of each class, background first.
    """

    evaluation: Any
    classes_iou: dict[str, float]


def judge(
    model: Any,
    examples: Sequence,
    *,
    min_area_px: int = MIN_AREA_PX,
    seed: int = 0,
    bootstrap: int = 1000,
) -> Judged:
    """Scores a model on labelled micrographs at full resolution.

    Args:
        model: whatever ``temzoo.predict`` takes.
        examples: micrographs with their labels.
        min_area_px: smaller instances are dropped; the class map keeps them.
        seed, bootstrap: of the resampling for the intervals.
    """
    from temzoo.data.examples import class_names
    from temzoo.evaluation.evaluate import score_predictions
    from temzoo.evaluation.pixels import scores
    from temzoo.labels.shapes.raster import foreground_classes
    from temzoo.zoo.built import class_names_of

    names = foreground_classes(class_names_of(model) or class_names(examples))
    examples = _in_classes_of(names, examples)
    extras = _Extras(names)
    found = score_predictions(
        examples,
        extras.watch(examples, _predictions(model, examples, min_area_px)),
        classes=names,
        ap=True,
        seed=seed,
        bootstrap=bootstrap,
    )
    iou = scores(found.confusions.sum(axis=0))["iou"]
    by_class = dict(zip(("background", *found.classes), map(float, iou), strict=True))
    return Judged(extras.added_to(found, seed=seed, bootstrap=bootstrap), by_class)


def _in_classes_of(names: tuple[str, ...], examples: Sequence) -> list:
    """Labels of any names count as the class of a model that knows but one."""
    if len(names) != 1:
        return list(examples)

    def renamed(labels):
        shapes = tuple(replace(shape, label=names[0]) for shape in labels.shapes if shape.has_area)
        return replace(labels, shapes=shapes, classes=names)

    return [replace(example, labels=renamed(example.labels)) for example in examples]


def _predictions(model: Any, examples: Sequence, min_area_px: int) -> Iterator[Any]:
    """With what AP needs: scores of instances, or of all that a detector holds possible."""
    from rich.progress import track

    import temzoo
    from temzoo.evaluation.evaluate import LEAST_SCORE

    ranked = {"min_score": LEAST_SCORE} if hasattr(model, "detect") else {"probabilities": True}
    ranked |= {"instances": INSTANCES, "min_area_px": min_area_px}
    for example in track(examples, "judging"):
        yield temzoo.predict(model, example.micrograph, **ranked)


class _Extras:
    """Looks at predictions on their way and keeps what few numbers the suite's metrics need."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        self.rows: list[dict[str, float]] = []
        self.true: list[np.ndarray] = []
        self.found: list[np.ndarray] = []

    def watch(self, examples: Sequence, predictions: Iterable) -> Iterator[Any]:
        for example, prediction in zip(examples, predictions, strict=True):
            self._look(example, prediction)
            yield prediction

    def _look(self, example, prediction) -> None:
        from temzoo.evaluation.object_overlaps import true_objects
        from temzoo.labels.shapes.raster import class_map

        truth = class_map(example.labels, self.classes)
        classes, areas = _counted(prediction)
        f1, each = boundary.boundary_f1(truth, classes, len(self.classes) + 1)
        objects = true_objects(example.labels, self.classes)
        true = sizes.diameters([np.count_nonzero(one.mask) for one in objects])
        found = sizes.diameters(areas)
        self.true.append(true)
        self.found.append(found)
        self.rows.append(
            {"boundary_f1": f1}
            | _by_class("boundary_f1", self.classes, each)
            | _size_errors(true, found)
        )

    def added_to(self, evaluation, *, seed: int, bootstrap: int):
        """The evaluation with these columns, their means over images and the pooled sizes."""
        from temzoo.evaluation.bootstrap import mean_interval

        means = {
            key: mean_interval([row[key] for row in self.rows], bootstrap=bootstrap, seed=seed)
            for key in self.rows[0]
        }
        table = tuple(a | b for a, b in zip(evaluation.table, self.rows, strict=True))
        pooled = self._pooled(seed, bootstrap)
        return replace(
            evaluation,
            table=table,
            per_image=dict(evaluation.per_image) | means,
            pooled=dict(evaluation.pooled) | pooled,
        )

    def _pooled(self, seed: int, bootstrap: int) -> dict[str, Any]:
        """Over all particles together; the images are drawn as for the other intervals."""
        from temzoo.evaluation.bootstrap import interval, ratio, resamples

        weights = resamples(len(self.rows), bootstrap, seed)
        counts = [np.array([len(d) for d in part]) for part in (self.true, self.found)]
        true, found = (weights @ count for count in counts)
        figures = sizes.pooled(self.true, self.found, weights)
        figures["relative_count_error"] = ratio(found - true, true)
        return {name: interval(values) for name, values in figures.items()}


def _counted(prediction) -> tuple[np.ndarray, np.ndarray]:
    """Class map, and areas (px) of the objects, of what counts as found."""
    from temzoo.core.types import MIN_SCORE
    from temzoo.inference.objects import flattened

    if prediction.detections is None:
        numbers = prediction.instances[prediction.instances > 0]
        return prediction.classes, np.unique(numbers, return_counts=True)[1]
    kept = [one for one in prediction.detections if one.score >= MIN_SCORE]
    areas = np.array([np.count_nonzero(one.mask) for one in kept])
    return flattened(kept, prediction.classes.shape).classes, areas


def _by_class(metric: str, classes: Sequence[str], each: np.ndarray) -> dict[str, float]:
    if len(classes) < 2:
        return {}
    return {f"{metric}_{name}": float(value) for name, value in zip(classes, each, strict=True)}


def _size_errors(true: np.ndarray, found: np.ndarray) -> dict[str, float]:
    d50 = sizes.d50_error(true, found)
    count = len(found) / len(true) - 1 if len(true) else math.nan
    return {
        "relative_count_error": count,
        "absolute_count_error": abs(count),
        "d50_error": d50,
        "absolute_d50_error": abs(d50),
        "ks_statistic": sizes.ks_statistic(true, found),
    }


def difference(first: Judged, second: Judged, metric: str, *, seed: int = 0) -> dict[str, Any]:
    """Mean of first minus second over the same images, its interval, and whether it is better."""
    from temzoo.evaluation.results import compare

    found = compare(first.evaluation, second.evaluation, metric=metric, seed=seed)
    return {
        **vars(found.difference),
        "images": len(found.names),
        "verdict": verdict(found.difference, smaller_is_better=metric in ERRORS),
    }


def verdict(change: Any, *, smaller_is_better: bool = False) -> str:
    """ "better" or "worse" where the interval excludes 0, else "not told apart"."""
    if not (change.low > 0 or change.high < 0):
        return "not told apart"
    return "better" if (change.low > 0) != smaller_is_better else "worse"


def figures_of(judged: Judged) -> dict[str, Any]:
    """What a record keeps of a model's scores."""
    found = judged.evaluation
    return {
        "per_image": {metric: vars(figure) for metric, figure in found.per_image.items()},
        "pooled": {metric: vars(figure) for metric, figure in found.pooled.items()},
        "pooled_iou_of_classes": judged.classes_iou,
        "images": [dict(row) for row in found.table],
    }


def record(name: str, model: Any, judged: Judged, dataset: Dataset, part: str, **told: Any):
    """A record of a model on a dataset."""
    told = {"resampling_seed": 0, "bootstrap": 1000} | told
    return result(
        "accuracy",
        f"{dataset.name}-{part}-{name}" if part != "val" else f"{dataset.name}-{name}",
        model=name,
        parameters=parameters(model),
        dataset=dataset.told(part),
        figures=figures_of(judged),
        **told,
    )


def seconds_in_turns(models: Mapping[str, Any], examples: Sequence) -> dict[str, dict[str, float]]:
    """Spread of the seconds that each model takes for some images, the models in turns on each.

    The images are spread over all; each model predicts an image once before it is timed.
    """
    import temzoo

    chosen = np.linspace(0, len(examples) - 1, min(TIMED, len(examples))).astype(int)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for micrograph in (examples[index].micrograph for index in chosen):
        for name, model in models.items():
            temzoo.predict(model, micrograph)
            began = time.perf_counter()
            temzoo.predict(model, micrograph)
            seconds[name].append(time.perf_counter() - began)
    return {name: spread(each) for name, each in seconds.items()}


def _with_seconds(records: list, models: Mapping[str, Any], examples: Sequence) -> list:
    """The records, those of accuracy with how fast their models are."""
    seconds = seconds_in_turns(models, examples)
    for one in records:
        if one["model"] in seconds:
            one["figures"]["seconds_per_image"] = seconds[one["model"]]
    return records


def parameters(model: Any) -> int | None:
    """Of a network; None of what has none."""
    count = getattr(model, "count_params", None)
    return count() if callable(count) else None


def run(
    weights: Sequence[str],
    source: str,
    *,
    part: str = "val",
    data: Path,
    quick: bool = False,
    min_area_px: int = MIN_AREA_PX,
) -> list[dict[str, Any]]:
    """Judges each of ``weights``, compares it with those before it, and gives the records."""
    dataset = open_dataset(source, data=data, quick=quick)
    judged: dict[str, Judged] = {}
    models: dict[str, Any] = {}
    records, compared = [], []
    usual = min_area_px == MIN_AREA_PX
    smallest = [] if usual else ["--min-area-px", str(min_area_px)]
    for name in weights:
        model = contestant_of(name, dataset.train)
        command = _command(["--weights", name, "--data", source, *smallest], part, quick)
        told = {"about": name, "command": command, "quick": quick, "seed": 0}
        told |= {"card_scores": card_scores(name)}
        if restorers.is_restorer(model):
            records.append(_restorer_record(name, model, dataset, part, **told))
            continue
        if generative.is_generative(model):
            told["command"] = _command(["--weights", name], "val", quick)
            records.append(_generative_record(name, model, **told))
            continue
        scored = judge(model, dataset.part(part), min_area_px=min_area_px)
        label = name if usual else f"{name} from {min_area_px} px"
        settings = {"min_area_px": min_area_px, "instances": INSTANCES}
        told |= {"about": label, "settings": settings}
        records.append(record(label, model, scored, dataset, part, **told))
        compared += [
            {"model": label, "beside": other, "metrics": comparison(scored, theirs)}
            for other, theirs in judged.items()
        ]
        judged[label], models[label] = scored, model
    _with_seconds(records, models, dataset.part(part))
    if compared:
        words = ["--data", source, *smallest, "--weights", weights[0], "--compare", *weights[1:]]
        command = _command(words, part, quick)
        records.append(_paired_record(dataset, part, compared, command=command, quick=quick))
    return records


def _paired_record(dataset: Dataset, part: str, compared: list, **told: Any) -> dict[str, Any]:
    """Of the differences, apart from the scores, which are repeated by themselves."""
    return result(
        "paired",
        dataset.name if part == "val" else f"{dataset.name}-{part}",
        about=f"{compared[-1]['model']} and those before it",
        dataset=dataset.told(part),
        seed=0,
        figures={"pairs": compared},
        **told,
    )


def card_scores(weights: str) -> dict[str, Any]:
    """What the card of shipped weights says; empty for anything else."""
    from temzoo.zoo import pretrained

    model, slash, name = weights.partition("/")
    card = pretrained.available(model).get(name) if slash else None
    return dict(card.scores) if card else {}


def _restorer_record(name: str, model: Any, dataset: Dataset, part: str, **told: Any):
    return result(
        "restoration",
        f"{dataset.name}-{name}",
        model=name,
        parameters=parameters(model),
        dataset=dataset.told(part),
        figures={"doses": restorers.judge(model, dataset.part(part))},
        **told,
    )


def _generative_record(name: str, model: Any, **told: Any):
    count = generative.QUICK_PICTURES if told["quick"] else generative.PICTURES
    images, _ = generative.pictures(model, count)
    about = f"drawn particles, {count} of {model.image_size} px"
    return result(
        "latent",
        name,
        model=name,
        parameters=parameters(model),
        dataset=generated(about, images, seed=generative.SEED),
        figures=generative.judge(model, count),
        **told,
    )


def comparison(one: Judged, other: Judged) -> dict[str, Any]:
    """Differences of one to the other, by metric, where any image has it for both."""
    metrics = [m for m in (*GAINS, *ERRORS) if _both_defined(one, other, m)]
    return {metric: difference(one, other, metric) for metric in metrics}


def _both_defined(first: Judged, second: Judged, metric: str) -> bool:
    values = [[row[metric] for row in one.evaluation.table] for one in (first, second)]
    return bool(np.isfinite(np.array(values, float)).all(axis=0).any())


def curve_plan(model: str, quick: bool) -> dict[str, Any]:
    """What a learning curve of a model trains; the quick one is always of one small network."""
    from temzoo.zoo import cards

    if quick:
        return QUICK_CURVE
    cards.model_card(model)  # refuses what is not registered
    return {**CURVE, "model": model, "config": CURVE_CONFIGS.get(model, {})}


def curve(counts: Sequence[int], source: str, *, data: Path, quick: bool = False, plan=None):
    """Trains on so many images each, drawn with one seed, and judges on the same ones.

    Runs lie in ``runs/`` and are taken up again where they were stopped; quick ones are trained
    anew, in a folder that is removed.
    """
    from benchmarks.accuracy import Experiment, fitted

    plan = plan or curve_plan("unet", quick)
    dataset = open_dataset(source, data=data.resolve(), quick=quick)
    records, models = [], {}
    for count in counts:
        part = dataset.drawn(count)
        name = f"{plan['model']}-{count}-images"
        about = f"{plan['model']}, trained on {count} images"
        experiment = Experiment(
            about, dataset.name, plan["model"], plan["config"], plan["settings"]
        )
        with _throwaway_folder() if quick else contextlib.nullcontext():
            run_name = f"suite-{dataset.name}-{name}"
            model, training = fitted(run_name, experiment, part.train, part.val, None)
        words = ["--curve", str(count), "--curve-model", plan["model"], "--data", source]
        command = _command(words, "val", quick)
        told = {"about": about, "command": command, "quick": quick, "training": training}
        told |= {"config": plan["config"], "seed": plan["settings"]["seed"], "curve": plan["model"]}
        records.append(record(name, model, judge(model, part.val), part, "val", **told))
        models[name] = model
    return _with_seconds(records, models, dataset.val)


@contextlib.contextmanager
def _throwaway_folder() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield


def _command(arguments: Sequence[str], part: str, quick: bool) -> str:
    words = [*arguments, *(["--part", part] if part != "val" else []), *["--quick"] * quick]
    return f"python -m benchmarks accuracy {shlex.join(words)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", help="MODEL/NAME, a run folder, a weights file, otsu or forest"
    )
    parser.add_argument("--data", default="synthetic", help="emps, super1, synthetic, or a folder")
    parser.add_argument("--compare", nargs="+", default=[], metavar="WEIGHTS", help="beside these")
    parser.add_argument("--part", default="val", help="val (default), train or all")
    parser.add_argument(
        "--min-area-px", type=int, default=MIN_AREA_PX, help=f"drop smaller ones ({MIN_AREA_PX})"
    )
    parser.add_argument("--curve", nargs="+", type=int, metavar="N", help="train on N images each")
    parser.add_argument("--curve-model", default="unet", help="that is trained (unet)")


def main(arguments: argparse.Namespace) -> int:
    where = {"data": arguments.data_folder, "quick": arguments.quick}
    if arguments.weights is None and arguments.curve is None:
        if not arguments.quick:
            raise ValueError("Name what to judge by --weights, or --curve N … to train.")
        arguments.curve = [2, 8]
    records = []
    if arguments.weights:
        names = [arguments.weights, *arguments.compare]
        options = {"part": arguments.part, "min_area_px": arguments.min_area_px}
        records += run(names, arguments.data, **options, **where)
    if arguments.curve:
        plan = curve_plan(arguments.curve_model, arguments.quick)
        records += curve(arguments.curve, arguments.data, plan=plan, **where)
    for one in records:
        keep(one, arguments.out)
        if one["what"] != "paired":
            print(f"{one['model']} on {one['dataset']['name']}: {headline(one)}", flush=True)
    return 0


def headline(one: Mapping[str, Any]) -> str:
    """The figure that a record is first asked for, with its interval."""
    figures = one["figures"]
    if one["what"] == "restoration":
        name, figure = "PSNR at low dose, dB", figures["doses"]["low-dose"]["psnr_db"]
    elif one["what"] == "latent":
        name, figure = "|r| with the diameter", figures["r diameter_px"]
    else:
        name, figure = "IoU", figures["per_image"]["iou"]
    return f"{name} {figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
