"""Trains a named recipe on real micrographs and scores it: one command for each figure.

    python -m benchmarks recipe --help                 # lists the recipes
    python -m benchmarks recipe emps-frozen            # trains in runs/, scores
    python -m benchmarks recipe emps-frozen --run DIR  # scores a finished run
    python -m benchmarks recipe emps-unet-fast --seed 1  # again: how much is chance?

Scores are those of ``temzoo.evaluate`` by its defaults, at full resolution: instances are connected
components. A training that was stopped goes on. The data are not part of the repository;
``--data-folder`` names the folder that holds ``emps/`` and ``super1/``. ImageNet weights are found
where Keras keeps them, or in ``keras/`` beside the data.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

import temzoo
from benchmarks.contestants import CONTESTANTS
from benchmarks.datasets import Dataset, open_dataset
from benchmarks.metrics import CONNECTED
from benchmarks.records import scores
from benchmarks.timing import repeated, timed
from temzoo.evaluation import pixels
from temzoo.training.run_folder import fingerprint

BASELINES = ("otsu", "forest")  # of ``benchmarks.contestants``: fitted, not trained
EMPS = {"batch": 8, "crop": 256, "magnification": (0.5, 1.0), "seed": 0}
# Crops show most of a micrograph, since the objects of many fill a third of it; particles are dark
# in some micrographs and bright in others, and from 4 px to 500 px large.
WIDE = {
    **{"batch": 4, "crop": 384, "magnification": (0.45, 1.4), "augment": "em_invert"},
    **{"steps_per_epoch": 150, "validate_every": 2, "average": 0.998, "seed": 0},
}
SMALL = {
    **{**EMPS, "augment": "em_invert", "average": 0.998},
    **{"validate_every": 4, "mixed_precision": True},
}
PYRAMID = {"alpha": 0.75, "pyramid": (1, 2, 4), "decoder_filters": (128, 96, 64, 24, 8)}
FINE = {"alpha": 0.75, "pyramid": (0.5, 1), "decoder_filters": (128, 96, 64, 32, 24)}
FEW = {**EMPS, "epochs": 5, "steps_per_epoch": 60}
SCRATCH = {"alpha": 0.75, "encoder_weights": None, "encoder_trainable": True}
FOREST, OTSU = ("random forest on pixels", "emps", "forest"), ("Otsu's threshold", "emps", "otsu")
MOBILENET = ("U-Net on MobileNet 0.75, ImageNet, frozen", "emps", "unet_mobilenet", {"alpha": 0.75})
UNET = ("U-Net, 16 filters, from scratch", "emps", "unet", {"filters": 16})


@dataclass(frozen=True)
class Recipe:
    """One figure: what is trained on what."""

    about: str  # in words
    data: str  # a dataset's name
    model: str  # a registered name, or one of ``BASELINES``
    config: Mapping[str, Any] = field(default_factory=dict)  # the model's keywords
    settings: Mapping[str, Any] = field(default_factory=dict)  # of ``temzoo.train``
    images: int | None = None  # train on so many images, drawn with the seed; None: all

    def told(self) -> dict[str, Any]:
        """What a record says of it."""
        how = {"config": dict(self.config), "settings": dict(self.settings)}
        return {"about": self.about, "model": self.model, "seed": self.settings.get("seed"), **how}


def finetuned(epochs: int, rate: float) -> dict[str, Any]:
    """Settings of a second phase, in which the deep blocks of the encoder learn."""
    return {
        "finetune": {"encoder_trainable": "deep"},
        "finetune_epochs": epochs,
        "finetune_rate": rate,
    }


RECIPES: dict[str, Recipe] = {
    "emps-frozen": Recipe(*MOBILENET, {**EMPS, "epochs": 18}),
    "emps-pyramid": Recipe(
        "U-Net on MobileNet 0.75 at three scales, ImageNet, frozen (fine-tuning it lowers this)",
        *("emps", "unet_mobilenet", PYRAMID),
        {**WIDE, "epochs": 24, **finetuned(6, 1e-4)},
    ),
    "emps-scratch-encoder": Recipe(
        "the network of emps-frozen, all of it from random weights, 4 epochs",
        *("emps", "unet_mobilenet", SCRATCH, {**EMPS, "epochs": 4}),
    ),
    "emps-unet": Recipe(*UNET, {**EMPS, "epochs": 5}),
    "emps-unet-fast": Recipe(
        "U-Net, 8 filters, three levels, from scratch",
        *("emps", "unet", {"filters": 8, "depth": 3}),
        {**SMALL, "epochs": 12, "steps_per_epoch": 150},
    ),
    "emps-forest": Recipe(*FOREST),
    "emps-otsu": Recipe(*OTSU),
    "emps10-frozen": Recipe(*MOBILENET, FEW, images=10),
    "emps10-unet": Recipe(*UNET, FEW, images=10),
    "emps10-forest": Recipe(*FOREST, images=10),
    "emps10-otsu": Recipe(*OTSU, images=10),
    "super1-frozen": Recipe(
        "U-Net on MobileNet 0.75, frozen, then its deep blocks fine-tuned",
        *("super1", "unet_mobilenet", {"alpha": 0.75, "classes": 3}),
        {"epochs": 5, "steps_per_epoch": 30, **finetuned(2, 2e-4)},
    ),
    "super1": Recipe(
        "U-Net on MobileNet 0.75 at two scales, ImageNet, frozen (fine-tuning it lowers this)",
        *("super1", "unet_mobilenet", {**FINE, "classes": 3}),
        {
            **{"epochs": 16, "steps_per_epoch": 40, "batch": 4, "crop": 256},
            **{"magnification": (0.9, 1.1), "average": 0.995, "validate_every": 4},
            **finetuned(8, 3e-5),
        },
    ),
}


def load(recipe: Recipe, data: Path) -> Dataset:
    """The dataset of a recipe, with as many training images as it has."""
    found = open_dataset(recipe.data, data=data)
    return found.drawn(recipe.images) if recipe.images else found


def fitted(
    name: str, recipe: Recipe, learn: Sequence, judge: Sequence, run: Path | None = None
) -> tuple[Any, dict[str, Any]]:
    """The model, trained or fitted or loaded, and what is known of its training.

    Args:
        name: of the run's folder in ``runs/``; a stopped training there goes on.
        recipe: what is trained.
        learn, judge: the examples; the best epoch is chosen by the latter.
        run: a finished run of the recipe, which is only loaded.

    Raises:
        ValueError: the folder holds a run of something else, or ``run`` is not finished.
        SystemExit: the training was stopped.
    """
    if recipe.model in BASELINES:
        model, seconds = timed(lambda: CONTESTANTS[recipe.model](learn))
        return model, {"minutes": seconds / 60}
    folder = run or Path("runs") / name
    if not _finished(name, recipe, folder, learn):
        if run is not None:
            raise ValueError(
                f"--run names a finished run of {name}. Received: {run}. Leave it out."
            )
        keras.utils.set_random_seed(recipe.settings.get("seed", 0))
        model = temzoo.get_model(recipe.model, **recipe.config)
        stopped = (folder / "state" / "progress.json").exists()
        done = temzoo.train(model, learn, judge, out=folder, resume=stopped, **recipe.settings)
        if done.interrupted:
            raise SystemExit(f"{name} was stopped; run it again to go on.")
    told, progress = _read(folder / "run.json"), _read(folder / "state" / "progress.json")
    training = {key: told[key] for key in ("command", "date", "commit", "settings")}
    training |= {"minutes": progress["minutes"], "best_epoch": progress["best_epoch"]}
    training["loss"] = [row["loss"] for row in progress["history"]]
    return temzoo.get_model(recipe.model, weights=folder, compile=False), training


def _finished(name: str, recipe: Recipe, folder: Path, learn: Sequence) -> bool:
    """Whether the folder holds this recipe's run, whole; another's is not filed under its name."""
    if not (folder / "state" / "progress.json").exists():
        return False
    told = _read(folder / "run.json")
    plain = json.loads(json.dumps({"config": recipe.config, "settings": recipe.settings}))
    for part, wanted in plain.items():
        for key, value in wanted.items():
            if told[part].get(key) != value:
                raise ValueError(
                    f'"{name}" has {key}={value!r}. Received: {folder}, trained with'
                    f" {key}={told[part].get(key)!r}. Name another --run, or move it away."
                )
    seen, given = told["data"]["train"]["fingerprint"], fingerprint(learn)
    if seen != given:
        raise ValueError(
            f'"{name}" learns from data of fingerprint {given}. Received: {folder}, trained on'
            f" {seen}. Move it away."
        )
    progress = _read(folder / "state" / "progress.json")
    return progress.get("phase", 0) > bool(told["settings"]["finetune"])


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains a recipe and gives the record of its scores."""
    recipe = RECIPES[name]
    if arguments.seed is not None:
        name, recipe = f"{name}-seed{arguments.seed}", seeded(name, arguments.seed)
    dataset = load(recipe, arguments.data_folder)
    model, training = fitted(name, recipe, dataset.train, dataset.val, arguments.run)
    found = temzoo.evaluate(model, dataset.val, progress=True, **CONNECTED)
    confusion, micrograph = found.confusions.sum(axis=0), dataset.val[0].micrograph
    each = map(float, pixels.scores(confusion)["iou"])
    ask = partial(temzoo.predict, model, micrograph, instances=None)
    figures = {
        **scores(found),
        "pooled_iou_of_classes": dict(zip(("background", *found.classes), each, strict=True)),
        "joint_iou": joint_iou(confusion),
        "seconds_per_image": repeated(ask, 5),
    }
    told = {"name": name, "training": training, "dataset": dataset.told(), "figures": figures}
    return recipe.told() | told


def joint_iou(confusion: np.ndarray) -> float:
    """IoU with the pixels of all classes, the background too, in one numerator and denominator.

    The IoU of segmentation_models.pytorch on one-hot masks, by which NASA's
    pretrained-microscopy-models are trained and chosen. Classes count by their area: with pixel
    accuracy a, it is a / (2 - a).
    """
    right = confusion.trace()
    return float(right / (2 * confusion.sum() - right))


def seeded(name: str, seed: int) -> Recipe:
    """A recipe with another seed."""
    recipe = RECIPES[name]
    if recipe.model in BASELINES:
        raise ValueError(f"{name} has no seed that decides. Leave --seed out.")
    return replace(recipe, settings={**recipe.settings, "seed": seed})


MEASUREMENTS: dict[str, Callable] = {name: partial(measure, name) for name in RECIPES}
