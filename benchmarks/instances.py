"""Particles told apart, by trained detectors and by a U-Net whose regions are cut at necks.

    python -m benchmarks instances emps-mask-rcnn        # trains in runs/, scores
    python -m benchmarks instances emps-watershed        # the shipped U-Net, watershed tuned
    python -m benchmarks instances emps-particles        # the shipped network of distances, tuned
    python -m benchmarks instances emps-confidence       # are 80 % real of what it says so of?

``emps-…``: the 73 images of ``val.csv`` at full resolution. ``loops-mask-rcnn``,
``loops-watershed``, ``loops-particles``: dislocation loops, every frame predicted by a model that
was trained without it and the frames beside it; ``loops-blobs`` counts them without a network.
``dense``: synthetic training, then one micrograph
of 2048 x 2048 px with 1,500 particles that touch and overlap.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

import temzoo
from benchmarks.blobs import FOLDS, density, frames, loops_blobs
from benchmarks.datasets import Dataset, in_memory, open_dataset
from benchmarks.recipes import RECIPES, Recipe, fitted
from benchmarks.records import CONNECTED, scores
from benchmarks.timing import timed
from temzoo.cli.common import trained
from temzoo.core.types import Example
from temzoo.data.synthetic import crowded
from temzoo.evaluation.evaluate import score_predictions
from temzoo.evaluation.object_overlaps import match_instances
from temzoo.inference.confidence import likeliest_share, object_measures
from temzoo.inference.objects import counted_from
from temzoo.labels.shapes.raster import instance_map
from temzoo.training.loop import LAST
from temzoo.zoo.built import task_of

# Small particles come by the hundred in one image; the defaults would leave some out.
MANY = {"proposals": 1500, "max_detections": 600}
MOBILENET = {"backbone": "mobilenet", "alpha": 0.75}
MIN_SCORES = tuple(np.round(np.arange(0.2, 0.95, 0.05), 2).tolist())
RANKED = {"min_score": 0.05, **CONNECTED}  # with all that AP counts
FROZEN = "Mask R-CNN on MobileNet 0.75, ImageNet, frozen"
WATERSHED = "U-Net on MobileNet 0.75, ImageNet, frozen; watershed, tuned"
SHORT = {"batch": 4, "steps_per_epoch": 60, "validate_every": 2, "seed": 0}
DETECTOR = Recipe(
    f"{FROZEN}, then its deep blocks fine-tuned",
    *("emps", "mask_rcnn", {**MOBILENET, "image_size": 384}),
    {
        **{"epochs": 15, "steps_per_epoch": 120, "batch": 4, "validate_every": 5, "seed": 0},
        # Up to 512 px of the micrographs, which have 512 and more: no crop is filled by mirroring.
        **{"magnification": (0.75, 1.5), "augment": "light"},
        **{"finetune": {"backbone_trainable": "deep"}, "finetune_epochs": 6, "finetune_rate": 3e-4},
    },
)
LOOPS = {
    "mask_rcnn": Recipe(
        FROZEN,
        *("loops", "mask_rcnn", {**MOBILENET, "image_size": 256}),
        {**SHORT, "epochs": 20, "validate_every": 5, "magnification": (0.8, 1.4), "average": 0.99},
    ),
    "unet_mobilenet": Recipe(
        WATERSHED,
        *("loops", "unet_mobilenet", {"alpha": 0.75}),
        {"epochs": 8, "steps_per_epoch": 30, "batch": 8, "magnification": (1.0, 1.5), "seed": 0},
    ),
    "particles": Recipe(
        "particles/emps-mobilenet, trained further; tuned",
        *("loops", "particles", {}),
        {"epochs": 6, "steps_per_epoch": 40, "batch": 8, "magnification": (0.9, 1.4), "seed": 0},
        start="particles/emps-mobilenet",
    ),
}
WATERSHED_CUT = replace(RECIPES["emps-frozen"], about=WATERSHED)
DENSE = Recipe(
    FROZEN,
    *("dense", "mask_rcnn", {**MOBILENET, "image_size": 256}),
    {**SHORT, "epochs": 10, "magnification": (0.9, 1.1)},
)
CONFIDENCE_FOLDS, CONFIDENCE_BINS = 10, (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95)


def emps_mask_rcnn(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trained on 293 images; judged on 73 with up to 600 detections each.

    The score from which a detection counts is chosen on one half of the publications and judged on
    the other; beside it stands the default, 0.5.
    """
    dataset = open_dataset("emps", data=arguments.data_folder)
    judge = dataset.val
    _, training = fitted("emps-mask-rcnn", DETECTOR, dataset.train, judge)
    # Nearly every micrograph fits into one image of this side.
    model = _rebuilt("emps-mask-rcnn", image_size=768, **MANY)
    predictions = {e.name: temzoo.predict(model, e.micrograph, **RANKED) for e in judge}

    def scored(examples: Sequence, least: float):
        some = [counted_from(predictions[e.name], least) for e in examples]
        return score_predictions(examples, some, ap=False, min_score=0.0, bootstrap=1)

    kept, settings = {}, []
    for tune, test in _halves(judge):
        least = max(MIN_SCORES, key=lambda m: scored(tune, m).pooled["instance_f1"].value)
        settings.append({"min_score": least})
        kept |= {e.name: counted_from(predictions[e.name], least) for e in test}
    found = score_predictions(judge, [predictions[e.name] for e in judge])
    tuned = score_predictions(judge, [kept[e.name] for e in judge], ap=False, min_score=0.0)
    figures = scores(found)
    figures["at the default score"] = {name: figures["pooled"][name] for name in tuned.pooled}
    figures["pooled"] |= {name: vars(figure) for name, figure in tuned.pooled.items()}
    return _told(DETECTOR, dataset, training | {"tuned": settings}, figures)


def _rebuilt(run: str, **changes: Any):
    """The best model of a run for images of another size: weights fit any."""
    return temzoo.get_model("mask_rcnn", weights=Path("runs") / run, compile=False, **changes)


def _halves(judge: Sequence) -> list[tuple[list, list]]:
    """Two folds by publication: what is chosen on one half is judged on the other."""
    groups = sorted({example.group for example in judge})
    chosen = set(np.random.default_rng(0).permutation(groups)[: len(groups) // 2].tolist())
    halves = [[e for e in judge if (e.group in chosen) == side] for side in (True, False)]
    return [(halves[0], halves[1]), (halves[1], halves[0])]


def emps_tuned(recipe: Recipe, weights: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """A shipped network; the cutting is tuned on one half of the publications, judged on the other.

    So no image is judged by a setting that was chosen on it or on its publication.
    """
    dataset = open_dataset("emps", data=arguments.data_folder)
    model = trained(weights)
    predictions, settings = {}, []
    for tune, test in _halves(dataset.val):
        tuned = temzoo.tune_instances(model, tune)
        settings.append(dict(tuned.best))
        predictions |= {e.name: _cut(model, e, tuned.options) for e in test}
    found = score_predictions(dataset.val, [predictions[e.name] for e in dataset.val], ap=True)
    return _told(recipe, dataset, {"minutes": None, "tuned": settings}, scores(found))


def emps_confidence(arguments: argparse.Namespace) -> dict[str, Any]:
    """How often an object is real that is said to be so with a confidence of so much.

    The regression of ``temzoo.inference.confidence`` is fitted on nine tenths of the publications
    and judged on the other, ten times; ``weights`` and ``bias`` are those of a fit on all.
    """
    dataset, model = open_dataset("emps", data=arguments.data_folder), trained("particles/emps")
    measured, real, groups, true = [], [], [], 0
    for example in dataset.val:
        found = temzoo.predict(model, example.micrograph, probabilities=True, min_score=0.0)
        own = likeliest_share(found.probabilities)
        match = match_instances(instance_map(example.labels), found.instances)
        measured.append(object_measures(found.instances, own, found.distance))
        real.append(np.isin(np.arange(len(measured[-1])), match.pairs[:, 1] - 1))
        groups += [example.group] * len(real[-1])
        true += match.true
    measures, real = np.concatenate(measured), np.concatenate(real)
    said = np.empty(len(real))
    for fit, judge in GroupKFold(CONFIDENCE_FOLDS).split(measures, real, groups):
        regression = LogisticRegression().fit(measures[fit], real[fit])
        said[judge] = regression.predict_proba(measures[judge])[:, 1]
    regression = LogisticRegression().fit(measures, real)
    counted, bins = said >= task_of(model).least_score, np.digitize(said, CONFIDENCE_BINS)
    figures = {
        "held_out_f1": 2 * real[counted].sum() / (counted.sum() + true),
        "held_out": [
            {"said": said[bins == k].mean(), "real": real[bins == k].mean(), "objects": n}
            for k, n in zip(*np.unique(bins, return_counts=True), strict=True)
        ],
        "weights": regression.coef_[0].tolist(),
        "bias": regression.intercept_[0],
    }
    about = "confidence of the objects of particles/emps"
    return {"about": about, "model": "particles", "seed": None} | {
        "dataset": dataset.told(),
        "figures": json.loads(json.dumps(figures, default=float)),
    }


def _cut(model, example: Example, options: Mapping[str, Any]):
    """Regions with the probabilities that rank them."""
    return temzoo.predict(model, example.micrograph, probabilities=True, **options)


def _told(recipe: Recipe, dataset: Dataset, training: dict, figures: dict) -> dict[str, Any]:
    return recipe.told() | {"training": training, "dataset": dataset.told(), "figures": figures}


def loops(model_name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Cross-validated: frames in file order, in four blocks, since neighbours resemble each other.

    In each fold one block is judged; the frames beside it are left out, two others choose the
    epoch and the watershed. Of the detector nothing is chosen: its last weights count, and its
    objects from the default score on, since two frames tell epochs and scores apart by chance.
    """
    recipe, examples = LOOPS[model_name], frames(arguments.data_folder / "loops")
    predictions: list[Any] = []
    trainings, counts = [], {}
    for fold, held in enumerate(np.array_split(np.arange(len(examples)), FOLDS)):
        far = [e for i, e in enumerate(examples) if not held[0] - 1 <= i <= held[-1] + 1]
        choose, judge = far[:: len(far) // 2][:2], [examples[i] for i in held]
        name = f"loops-{model_name}-{fold}"
        model, training = fitted(name, recipe, [e for e in far if e not in choose], choose)
        if task_of(model).instances == "objects":
            model = _rebuilt(f"{name}/{LAST}", image_size=512)
            predictions += [temzoo.predict(model, e.micrograph, **RANKED) for e in judge]
            counts = {"min_score": task_of(model).least_score}
        else:
            tuned = temzoo.tune_instances(model, choose)
            training["tuned"] = dict(tuned.best)
            predictions += [_cut(model, e, tuned.options) for e in judge]
        trainings.append(training)
    found = score_predictions(examples, predictions, ap=True, **counts)
    training = {"minutes": sum(t["minutes"] for t in trainings), "folds": trainings}
    dataset = Dataset("loops", examples, examples, f"{FOLDS} blocks of frames, each judged once")
    true, error = (
        np.array([row[key] for row in found.table]) for key in ("instances_true", "count_error")
    )
    counted = {"density": density(true, true + error)}
    return _told(recipe, dataset, training, {**scores(found), **counted})


def dense(arguments: argparse.Namespace) -> dict[str, Any]:
    """1,500 particles in one field, in tiles, after training on other synthetic fields."""

    def example(seed: int, size: int, count: int) -> Example:
        name = f"crowded-{seed}.tif"
        return in_memory(*crowded(seed, size=size, n_particles=count, name=name))

    # From empty fields to somewhat denser ones than the field that is judged.
    rng = np.random.default_rng(0)
    learn = [example(seed, 512, int(rng.integers(10, 110))) for seed in range(100, 130)]
    learn += [example(seed, 512, 0) for seed in range(130, 133)]
    choose = [example(seed, 512, 94) for seed in range(200, 204)]
    field = example(300, 2048, 1500)
    _, training = fitted("dense-mask-rcnn", DENSE, learn, choose)
    model = _rebuilt("dense-mask-rcnn", image_size=512)
    ask = partial(temzoo.predict, model, field.micrograph, **CONNECTED)
    prediction, seconds = timed(ask)
    found = score_predictions([field], [ask(min_score=RANKED["min_score"])])
    true = found.table[0]["instances_true"]
    error = (len(prediction.detections) - true) / true
    dataset = Dataset("dense", learn, [field], "seeds 100 to 132 train, 300 judges")
    figures = {**scores(found), "seconds": seconds, "relative count error": error}
    return _told(DENSE, dataset, training, figures)


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "emps-mask-rcnn": emps_mask_rcnn,
    "emps-watershed": partial(emps_tuned, WATERSHED_CUT, "unet_mobilenet/emps-frozen"),
    "emps-particles": partial(emps_tuned, RECIPES["emps-particles-lite"], "particles/emps"),
    "emps-confidence": emps_confidence,
    "loops-mask-rcnn": partial(loops, "mask_rcnn"),
    "loops-watershed": partial(loops, "unet_mobilenet"),
    "loops-particles": partial(loops, "particles"),
    "loops-blobs": loops_blobs,
    "dense": dense,
}
