"""Seconds of a training step: in either precision; and whether IoU stays the same.

    python -m benchmarks training                  # steps, then IoU on drawn micrographs
    python -m benchmarks training --data emps --only iou

Steps: each variant of a network is built and compiled by ``temzoo.train``'s own code, and takes one
real batch of its crops again and again, from memory; what waiting for data adds is measured by
``python -m benchmarks pipeline``. The variants take turns, repetition by repetition, so that other
work on the machine slows them alike, and ratios are taken turn by turn. Encoders have random
weights and their batch norms in inference mode, as those that were loaded have.

IoU: one network is trained by ``temzoo.train`` in either precision, and with either library of
augmentation, from the same weights on the same crops, and scored by ``temzoo.evaluate`` in float32
on the validation images. Beside the differences stands that of another seed: what chance does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras

import temzoo
from benchmarks.accuracy import difference
from benchmarks.datasets import Arguments, Dataset, dataset_of, synthetic
from benchmarks.recipes import PYRAMID, Recipe, fitted_once
from benchmarks.timing import in_turns, ratio, spread, tell
from temzoo.core.settings import Settings
from temzoo.tasks.training_data import with_classes
from temzoo.training.devices import Devices
from temzoo.training.loop import Trainer
from temzoo.zoo.built import task_of

PRECISIONS = ("float32", "mixed_bfloat16")


@dataclass(frozen=True)
class Plan:
    networks: Sequence[Recipe]  # whose steps are timed
    seconds: float  # of repetitions, for each of them, within ``timing.LEAST`` and ``MOST``
    side: int  # of the drawn micrographs that crops are cut from, px
    training: Recipe  # what is trained in either precision, on any data


SMALL = ("unet, filters 8, depth 3", "any", "unet", {"filters": 8, "depth": 3})
SETTINGS = {"crop": 256, "augment": "em", "learning_rate": 3e-3}
# ``encoder_trainable`` by its name in tables.
ENCODERS = {"frozen": False, "deep blocks": "deep", "all of it": True}
# What is compared, by what ``temzoo.train`` is told of it; the first is what the others change, and
# the last shows what chance changes.
USUAL = "float32, imgaug"
COMPARED = {
    USUAL: {},
    "mixed_bfloat16": {"mixed_precision": True},
    "opencv": {"augmenter": "opencv"},
    "seed 1": {"seed": 1},
}
STEP = {"crop": 256, "batch": 8}
PYRAMIDS = ("unet_mobilenet, pyramid 1 2 4", "any", "unet_mobilenet", PYRAMID)
FULL = Plan(
    (
        Recipe("unet", "any", "unet", {}, STEP),
        Recipe("unet, filters 16", "any", "unet", {"filters": 16}, STEP),
        Recipe(*SMALL, STEP),
        Recipe(*PYRAMIDS, {"crop": 384, "batch": 4}),
    ),
    seconds=20.0,
    side=512,
    training=Recipe(*SMALL, {**SETTINGS, "batch": 8, "epochs": 4, "steps_per_epoch": 40}),
)
# Tracing is most of what it costs: one network with an encoder has all there is to show.
TINY = {"alpha": 0.25, "decoder_filters": (32, 32, 16, 8, 8)}
TINY_NETWORK = ("unet_mobilenet, alpha 0.25", "any", "unet_mobilenet", TINY)
QUICK = Plan(
    (Recipe(*TINY_NETWORK, {"crop": 128, "batch": 2}),),
    seconds=0.0,
    side=256,
    training=Recipe(*SMALL, {**SETTINGS, "batch": 2, "epochs": 1, "steps_per_epoch": 20}),
)


def variants(network: Recipe) -> dict[str, dict[str, Any]]:
    """The config of each variant by its name, which is "" of a network without an encoder."""
    if "encoder_trainable" not in temzoo.model_card(network.model).config:
        return {"": dict(network.config)}
    # As one whose weights will be loaded: batch norms do not learn.
    return {
        name: {**network.config, "encoder_weights": "deferred", "encoder_trainable": trainable}
        for name, trainable in ENCODERS.items()
    }


def steps_of(network: Recipe, plan: Plan) -> dict[str, Any]:
    """What the record of a network says: seconds of each variant's step, and their ratios."""
    tell(f"{network.about}: steps")
    keras.utils.set_random_seed(0)
    drawn = synthetic(train=4, val=1, size=plan.side)
    runs: dict[tuple[str, str], Callable] = {}
    for name, config in variants(network).items():
        for precision in PRECISIONS:
            twin, batch = trained_by_train(network, config, precision, drawn)
            runs[name, precision] = partial(twin.train_on_batch, *batch)
    crop, batch = (network.settings[key] for key in ("crop", "batch"))
    about = f"{network.about}; crops of {crop} px, batch {batch}"
    told = {"name": network.about, "about": about, "dataset": drawn.told("train"), "seed": 0}
    figures = step_figures(in_turns(runs, budget=plan.seconds))
    return network.told() | told | {"figures": figures}


def trained_by_train(network: Recipe, config: Mapping, precision: str, drawn: Dataset) -> tuple:
    """The network that ``temzoo.train`` would fit, compiled as it would be, and a batch."""
    model = temzoo.get_model(network.model, compile=False, **config)
    kind = task_of(model).training_data()
    how = {"steps_per_epoch": 100, "mixed_precision": precision != "float32", **network.settings}
    settings = kind.complete(model, Settings(**how), drawn.train)
    data = kind(model, settings, drawn.train, drawn.val)
    trainer = Trainer(Path(), settings, data, drawn.val, False, Devices())  # writes no file
    twin = trainer._twin(model, {})
    trainer._compile(twin, settings.learning_rate, settings.epochs * trainer.steps)
    return twin, next(iter(data.training(0, []).take(1)))


def step_figures(seconds: Mapping[tuple[str, str], Sequence[float]]) -> dict[str, Any]:
    """Rows and ratios of the seconds, turn by turn, by variant and precision."""
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(name for name, _ in seconds):
        each = {precision: seconds[name, precision] for precision in PRECISIONS}
        row = {"variant": name, "step_s": {key: spread(times) for key, times in each.items()}}
        rows.append(row | {"float32_over_bfloat16": ratio(*each.values())})
    return {"steps": rows}


def iou_of(plan: Plan, dataset: Dataset) -> dict[str, Any]:
    """What the record of one network says that is trained in several ways, and scored."""
    chosen, told, found = plan.training, {}, {}
    for name, how in COMPARED.items():
        tell(f"{chosen.about}: trains, {name}")
        told[name], found[name] = scored(chosen, dataset, how)
    changes = {n: difference(e, found[USUAL], "iou") for n, e in found.items() if n != USUAL}
    steps = chosen.settings["epochs"] * chosen.settings["steps_per_epoch"]
    about = f"{chosen.about}, {steps} steps on {dataset.name}"
    record = {"name": f"iou-{dataset.name}", "about": about, "dataset": dataset.told("val")}
    record |= {"figures": {"trainings": told, "iou_change": changes}, "seed": 0}
    return chosen.told() | record


def scored(chosen: Recipe, dataset: Dataset, how: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Trains, and gives what a record says of it and its evaluation on the validation images."""
    config = with_classes(chosen.model, chosen.config, dataset.part("all"))
    recipe = replace(chosen, config=config, settings={**chosen.settings, "seed": 0, **how})
    model, training = fitted_once(recipe, dataset.train, dataset.val)
    found = temzoo.evaluate(model, dataset.val, instances=None)
    told = {key: training[key] for key in ("best_epoch", "loss", "minutes")}
    return {**how, "iou": vars(found.iou), **told}, found


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    plan = QUICK if arguments.quick else FULL
    if arguments.only != "iou":
        command = arguments.again(only="steps", data="synthetic")
        for network in plan.networks:
            yield {"command": command, **steps_of(network, plan)}
    if arguments.only != "steps":
        yield {"command": arguments.again(only="iou"), **iou_of(plan, dataset_of(arguments))}
