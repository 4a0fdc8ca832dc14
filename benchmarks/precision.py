"""Speed of prediction beside IoU, for each engine and precision of ``temzoo.accelerate``.

    python -m benchmarks precision --weights unet_mobilenet/emps-frozen --data emps

Every image is predicted whole by all engines in turn, so that other work on the machine slows them
alike; the same predictions are scored. Speed is of ``temzoo.predict`` from pixels to class map,
without instances but for models that have learnt to tell objects apart, of which F1 is a figure
too; its ratio to that of the model as Keras runs it is taken image by image. The difference in IoU
is that of means over the same images, with its interval. int8 is calibrated on 32 crops of training
images, which no figure is of.

Tiling: a large micrograph is predicted in tiles, as many and as large as by default. What it costs
is two figures: the seconds above those spent in the network, in parts of the latter, in three to
nine turns; and the pixels computed for each that the image has, since what lies under two tiles is
computed twice. Batches: seconds of a tile alone, and of one of eight.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from rich.progress import track

import temzoo
from benchmarks.datasets import Arguments, dataset_of
from benchmarks.timing import in_turns, ratio, spread, timed
from temzoo.cli.common import trained
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.deploy.engines.makers import MAKERS, check_installed, made
from temzoo.deploy.engines.network import Network
from temzoo.deploy.engines.runtime import cores
from temzoo.evaluation.evaluate import score_predictions
from temzoo.evaluation.results import compare
from temzoo.inference.tiles import tile_layout
from temzoo.tasks.pixel_models import core, pixel_network
from temzoo.zoo.built import class_names_of, task_of

KERAS = ("keras", "float32")  # the model as it is, with which the others are compared
BATCH, REPETITIONS = 8, 5
TURNS = {"least": 3, "most": 9, "budget": 12.0}  # of a tiled image
TILED, QUICK = (2048, None), (512, 256)  # side of the tiled image, tile; one would not be by itself


def of_all_engines(network: Any) -> tuple[dict, dict[str, str]]:
    """The models by engine and precision, Keras' first; and what is left out, with the reason."""
    models, left_out = {KERAS: network.model}, {}
    for key in MAKERS:
        try:
            check_installed(*key)
            models[key] = made(network, *key, cores())
        except ImportError as error:
            left_out["-".join(key)] = str(error)
    return models, left_out


def scored(models: Mapping[tuple[str, str], Any], examples: Sequence) -> dict:
    """Seconds and scores of each, from the same predictions."""
    objects = task_of(models[KERAS]).least_score is not None
    how = {} if objects else {"instances": None}
    seconds: dict = {key: [] for key in models}
    found: dict = {key: [] for key in models}
    prepared = set()  # shapes, of all models
    for micrograph in track([example.micrograph for example in examples], "judging"):
        for key, model in models.items():
            ask = partial(temzoo.predict, model, micrograph, **how)
            if micrograph.pixels.shape not in prepared:
                ask()
            prediction, took = timed(ask)
            found[key].append(prediction)
            seconds[key].append(took)
        prepared.add(micrograph.pixels.shape)
    names = class_names_of(models[KERAS]) or None
    judge = partial(score_predictions, examples, classes=names, with_instances=objects)
    plain, rows = judge(found[KERAS]), {}
    for key, each in found.items():
        judged, pairs = judge(each), zip(each, found[KERAS], strict=True)
        differ = np.mean([(a.classes != b.classes).mean() for a, b in pairs])
        rows[key] = {
            **{"engine": key[0], "precision": key[1], "seconds": spread(seconds[key])},
            "ratio_to_keras": ratio(seconds[KERAS], seconds[key]),
            "iou": vars(judged.iou),
            "iou_change": vars(compare(judged, plain, metric="iou").difference),
            "pixels_that_differ": float(differ),
        }
        if objects:
            rows[key]["f1"] = judged.pooled["instance_f1"].value
    return rows


def tiling(model: Any, side: int, tile: int | None = None) -> dict[str, Any]:
    """What a prediction in tiles costs beside one pass of the network over the image's pixels.

    ``overhead``: seconds above those of the network when it has nothing else to do, in parts of
    the latter; ``pixels_per_pixel``: what is computed, for each pixel that there is.
    """
    pixels = synthesize(0, size=512, n_particles=8)[0].pixels
    micrograph = np.tile(pixels, (-(-side // len(pixels)),) * 2)[:side, :side]
    step = pixel_network(model).step
    rows, columns = tile_layout(step, micrograph.shape, tile=tile)
    ask = _asked_directly(model, (rows.size, columns.size))
    count = len(rows.starts) * len(columns.starts)
    tiled = partial(temzoo.predict, model, micrograph, tile=tile, instances=None)
    runs = {"network": lambda: [ask() for _ in range(count)], "tiled": tiled}
    spent, whole = in_turns(runs, **TURNS).values()
    return {
        **{"tiles": count, "seconds": spread(whole), "network_s": spread(spent)},
        "overhead": spread([t / network - 1 for t, network in zip(whole, spent, strict=True)]),
        "pixels_per_pixel": count * rows.size * columns.size / side**2,
    }


def _asked_directly(model: Any, tile: tuple[int, int], batch: int = 1) -> Callable[[], Any]:
    """The network alone, on normalised pixels that are there."""
    shape = (batch, *tile, model.input_shape[-1])
    pixels = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    run = getattr(model, "answer", None) or core(model).predict_on_batch
    return lambda: run(pixels)


def batches(model: Any) -> dict[str, Any]:
    """Seconds an image of 256 px, alone and of eight at once, in turns."""
    one, eight = (_asked_directly(model, (256, 256), size) for size in (1, BATCH))
    runs = {1: lambda: [one() for _ in range(BATCH)], BATCH: eight}
    found = in_turns(runs, least=REPETITIONS, most=REPETITIONS)
    alone, together = (spread(found[size])["median"] / BATCH for size in (1, BATCH))
    return {"batch_1_s": alone, "batch_8_s": together, "batch_1_over_8": alone / together - 1}


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    weights, dataset = arguments.weights, dataset_of(arguments)
    models, left_out = of_all_engines(Network(trained(weights), dataset.train))
    side, tile = QUICK if arguments.quick else TILED
    rows = scored(models, dataset.val)
    for key, row in rows.items():
        row |= {"tiling": tiling(models[key], side, tile), **batches(models[key])}
    told = {"name": f"{dataset.name}-{weights}", "model": weights, "dataset": dataset.told("val")}
    told |= {"about": f"{weights} on {len(dataset.val)} images of {dataset.name}", "seed": 0}
    told |= {"settings": {"tile": tile, "side": side}}
    yield told | {"figures": {"rows": list(rows.values()), "left_out": left_out}}
