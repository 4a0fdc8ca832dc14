"""Trains a named recipe on real micrographs and scores it: one command for each figure.

    python -m benchmarks recipe emps-frozen            # trains in runs/, scores
    python -m benchmarks recipe emps-unet-fast --seed 1  # again: how much is chance?

Recipes: emps-frozen, emps-pyramid, emps-particles, emps-particles-longer, emps-particles-lite,
emps-scratch-encoder, emps-unet, emps-unet-fast, emps-forest, emps-otsu; emps10-frozen, emps10-unet,
emps10-forest, emps10-otsu (on ten images); super1, super1-frozen, super1-particles;
supported-particles. Scores are those of ``temzoo.evaluate`` at full resolution; instances are
connected components. A training that was stopped goes on.
``--data-folder`` names the folder that holds ``emps/`` and ``super1/``, which are not part of the
repository. ImageNet weights are found where Keras keeps them, or in ``keras/`` beside the data.
"""

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

import temzoo
from benchmarks.datasets import Arguments, open_dataset
from benchmarks.own import registering
from benchmarks.records import CONNECTED, scores
from benchmarks.timing import in_turns, spread, timed
from temzoo.cli.common import trained
from temzoo.core.files import read_json
from temzoo.data.examples import class_names
from temzoo.evaluation import baselines

PROGRESS = Path("state") / "progress.json"  # of a run
# What can be judged, by a word; one more is a function that gives what ``temzoo.predict`` takes, of
# the training images: here, or in a file of your own, as ``benchmarks.own`` shows.
CONTESTANTS: dict[str, Callable[[Sequence[temzoo.Example]], Any]] = {
    "otsu": lambda learn: baselines.Otsu(class_names(learn)).fit(learn),
    "forest": lambda learn: baselines.PixelForest(class_names(learn)).fit(learn),
}
contestant = registering(CONTESTANTS)
EMPS = {"batch": 8, "crop": 256, "magnification": (0.5, 1.0), "seed": 0}
# Crops show most of a micrograph, since the objects of many fill a third of it; particles are dark
# in some micrographs and bright in others, and from 4 px to 500 px large.
WIDE = {"batch": 4, "crop": 384, "magnification": (0.45, 1.4), "augment": "em_invert", "seed": 0}
WIDE |= {"steps_per_epoch": 150, "validate_every": 2, "average": 0.998}
SMALL = {**EMPS, "augment": "em_invert", "average": 0.998, "validate_every": 4}
SMALL |= {"mixed_precision": True, "epochs": 12, "steps_per_epoch": 150}
PYRAMID = {"alpha": 0.75, "pyramid": (1, 2, 4), "decoder_filters": (128, 96, 64, 24, 8)}
FINE = {"alpha": 0.75, "pyramid": (0.5, 1), "decoder_filters": (128, 96, 64, 32, 24)}
TWO_SCALES = {"epochs": 16, "steps_per_epoch": 40, "batch": 4, "crop": 256, "validate_every": 4}
TWO_SCALES |= {"magnification": (0.9, 1.1), "average": 0.995}
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
    model: str  # a registered name, or one of ``CONTESTANTS``
    config: Mapping[str, Any] = field(default_factory=dict)  # the model's keywords
    settings: Mapping[str, Any] = field(default_factory=dict)  # of ``temzoo.train``
    images: int | None = None  # train on so many images, drawn with the seed; None: all
    start: str | None = None  # weights, shipped or of a run, of a model that shares layers

    def told(self) -> dict[str, Any]:
        """What a record says of it."""
        settings = {**self.settings, "start": self.start} if self.start else dict(self.settings)
        how = {"config": dict(self.config), "settings": settings}
        return {"about": self.about, "model": self.model, "seed": self.settings.get("seed"), **how}


def finetuned(epochs: int, rate: float) -> dict[str, Any]:
    """Settings of a second phase, in which the deep blocks of the encoder learn."""
    deep = {"encoder_trainable": "deep"}
    return {"finetune": deep, "finetune_epochs": epochs, "finetune_rate": rate}


RECIPES: dict[str, Recipe] = {
    "emps-frozen": Recipe(*MOBILENET, {**EMPS, "epochs": 18}),
    "emps-pyramid": Recipe(
        "U-Net on MobileNet 0.75 at three scales, ImageNet, frozen (fine-tuning it lowers this)",
        *("emps", "unet_mobilenet", PYRAMID),
        {**WIDE, "epochs": 24, **finetuned(6, 1e-4)},
    ),
    "emps-particles": Recipe(
        "the decoder of emps-pyramid goes on, with a head for the distance, without negatives",
        *("emps", "particles", {}),
        {**WIDE, "epochs": 12, "steps_per_epoch": 100, "validate_every": 4, "average": 0.995},
        start="unet_mobilenet/emps",
    ),
    "emps-particles-longer": Recipe(
        "the run of emps-particles goes on, with other crops",
        *("emps", "particles", {}),
        {**WIDE, "epochs": 14, "steps_per_epoch": 100, "validate_every": 7, "average": 0.998}
        | {"learning_rate": 7e-4, "seed": 1},
        start="runs/emps-particles",
    ),
    "emps-particles-lite": Recipe(
        "the decoder of particles/emps-mobilenet goes on, on EfficientNet-Lite0",
        *("emps", "particles", {"encoder": "efficientnet_lite0"}),
        {**WIDE, "epochs": 18, "validate_every": 6, "average": 0.998, "seed": 2},
        start="particles/emps-mobilenet",
    ),
    "supported-particles": Recipe(
        "the decoder of particles/emps goes on, on particles drawn on supports",
        *("supported", "particles", {"encoder": "efficientnet_lite0"}),
        {**EMPS, "augment": "em_invert", "epochs": 6, "steps_per_epoch": 100}
        | {"average": 0.99, "mixed_precision": True, "validate_every": 6},
        start="particles/emps",
    ),
    "emps-scratch-encoder": Recipe(
        "the network of emps-frozen, all of it from random weights, 4 epochs",
        *("emps", "unet_mobilenet", SCRATCH, {**EMPS, "epochs": 4}),
    ),
    "emps-unet": Recipe(*UNET, {**EMPS, "epochs": 5}),
    "emps-unet-fast": Recipe(
        "U-Net, 8 filters, three levels, from scratch",
        *("emps", "unet", {"filters": 8, "depth": 3}, SMALL),
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
        *("super1", "unet_mobilenet", {**FINE, "classes": 3}, TWO_SCALES | finetuned(8, 3e-5)),
    ),
    "super1-particles": Recipe(
        "the decoder of super1 goes on, with a head for the distance",
        *("super1", "particles", {**FINE, "classes": 3}),
        {**TWO_SCALES, "epochs": 10, "validate_every": 5},
        start="unet_mobilenet/super1",
    ),
}


def contestant_of(weights: str, learn: Sequence[temzoo.Example]) -> Any:
    """What a word of ``--weights`` names, fitted to training images where it has to be.

    It is one of ``CONTESTANTS``, MODEL/NAME, a run folder or a weights file.
    """
    return CONTESTANTS[weights](learn) if weights in CONTESTANTS else trained(weights)


def fitted(name: str, recipe: Recipe, learn: Sequence, judge: Sequence) -> tuple[Any, dict]:
    """The model, trained or fitted or loaded, and what is known of its training.

    It lies in ``runs/NAME``; a stopped training there goes on, a finished one is loaded, one of
    something else is refused. The best epoch is chosen by the examples of ``judge``.
    """
    if recipe.model in CONTESTANTS:
        model, seconds = timed(lambda: CONTESTANTS[recipe.model](learn))
        return model, {"minutes": seconds / 60}
    folder = Path("runs") / name
    begun = (folder / PROGRESS).exists()
    keras.utils.set_random_seed(recipe.settings.get("seed", 0))
    start = None if begun else recipe.start  # what was begun goes on from its own weights
    model = temzoo.get_model(recipe.model, start=start, **recipe.config)
    # Of a finished run there is nothing left to do but to compare model and data.
    done = temzoo.train(model, learn, judge, out=folder, resume=begun, **recipe.settings)
    if done.interrupted:
        raise SystemExit(f"{name} was stopped; run it again to go on.")
    told, progress = read_json(folder / "run.json"), read_json(folder / PROGRESS)
    training = {key: told[key] for key in ("date", "commit", "settings")}
    training |= {"minutes": progress["minutes"], "best_epoch": progress["best_epoch"]}
    training["loss"] = [row["loss"] for row in progress["history"]]
    return temzoo.get_model(recipe.model, weights=folder, compile=False), training


def fitted_once(recipe: Recipe, learn: Sequence, judge: Sequence) -> tuple[Any, dict]:
    """The same in a folder that is removed, for runs that are not to be taken up again."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return fitted("run", recipe, learn, judge)


def measure(name: str, arguments: Arguments) -> dict[str, Any]:
    """Trains a recipe and gives the record of its scores."""
    recipe = RECIPES[name]
    if arguments.seed is not None:
        name, recipe = f"{name}-seed{arguments.seed}", seeded(name, arguments.seed)
    dataset = open_dataset(recipe.data, data=arguments.data_folder)
    dataset = dataset.drawn(recipe.images) if recipe.images else dataset
    model, training = fitted(name, recipe, dataset.train, dataset.val)
    found = temzoo.evaluate(model, dataset.val, progress=True, **CONNECTED)
    ask = partial(temzoo.predict, model, dataset.val[0].micrograph, instances=None)
    figures = scores(found) | {"joint_iou": joint_iou(found.confusions.sum(axis=0))}
    figures["seconds_per_image"] = spread(in_turns({"": ask}, least=5, most=5)[""])
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
    recipe = RECIPES[name]
    if recipe.model in CONTESTANTS:
        raise ValueError(f"{name} has no seed that decides. Leave --seed out.")
    return replace(recipe, settings={**recipe.settings, "seed": seed})


MEASUREMENTS: dict[str, Callable] = {name: partial(measure, name) for name in RECIPES}
