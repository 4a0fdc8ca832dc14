"""Speed of prediction beside IoU, for each engine and precision of ``temzoo.accelerate``.

    python -m benchmarks precision --weights unet_mobilenet/emps-frozen --data emps
    python -m benchmarks precision --quick              # a network trained for a minute

Every image is predicted whole by all engines in turn, so that other work on the machine slows them
alike; the same predictions are scored. Speed is of ``temzoo.predict`` from pixels to class map,
without instances; its ratio to that of the model as Keras runs it is taken image by image. The
difference in IoU is that of means over the same images, with its interval. int8 is calibrated on 32
crops of training images, which no figure is of.

Tiling: a large micrograph is predicted in tiles, as many and as large as by default. What it costs
is two figures: the seconds above those spent in the network, in parts of the latter, in three to
nine turns; and the pixels computed for each that the image has, since what lies under two tiles is
computed twice. Batches: seconds of a tile alone, and of one of eight.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import open_dataset
from benchmarks.records import keep, result, spread

KERAS = ("keras", "float32")  # the model as it is, with which the others are compared
BATCH, TILE, REPETITIONS = 8, 256, 5
TILED_SIDE = 2048
TURNS, TURNS_S = (3, 9), 6.0  # least and most of a tiled image, and the seconds that suffice
QUICK_SIDE, QUICK_TILE = 512, 256  # of an image that would not be tiled by itself


def measure(
    weights: str | None,
    source: str,
    *,
    data: Path,
    quick: bool = False,
    limit: int | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """A record with a row for each engine and precision.

    Args:
        weights: as ``temzoo predict`` takes them; None: a small network trained here.
        source: of the images, as ``open_dataset`` takes it.
        data: folder of named datasets.
        quick: short, for a machine without data.
        limit: so many images at most.
        threads: of OpenVINO and ONNX Runtime; None: all cores.
    """
    from temzoo.deploy.engines.network import Network

    dataset = open_dataset(source, data=data.resolve(), quick=quick)
    model = _model(weights, dataset, quick)
    examples = dataset.part("val")[:limit]
    network = Network(model, dataset.train)
    models, left_out = made(network, threads)
    side, tile = (QUICK_SIDE, QUICK_TILE) if quick else (TILED_SIDE, None)
    rows = scored(models, examples)
    for key, row in rows.items():
        row |= {"tiling": tiling(models[key], side, tile), **batches(models[key], network)}
    words = ["--weights", str(weights)] if weights else []
    words += ["--data", source, *(["--limit", str(limit)] if limit else [])]
    words += ["--threads", str(threads)] if threads else []
    return result(
        "precision",
        f"{dataset.name}-{weights or 'small'}" + (f"-{limit}-images" if limit else ""),
        about=f"{weights or 'a small U-Net'} on {len(examples)} images of {dataset.name}",
        command=" ".join(["python -m benchmarks precision", *words, *["--quick"] * quick]),
        model=weights or "unet",
        dataset=dataset.told("val"),
        seed=0,
        figures={"rows": list(rows.values()), "left_out": left_out},
        quick=quick,
        settings={"threads": threads, "tile": tile, "side": side},
    )


def _model(weights: str | None, dataset: Any, quick: bool) -> Any:
    if weights is not None:
        from temzoo.cli.common import trained

        return trained(weights)
    import temzoo
    from benchmarks.suite.accuracy import CURVE, QUICK_CURVE, _throwaway_folder

    plan = QUICK_CURVE if quick else CURVE
    model = temzoo.get_model(plan["model"], **plan["config"])
    with _throwaway_folder():
        settings = {**plan["settings"], "progress": False}
        temzoo.train(model, dataset.train, dataset.val, out="run", **settings)
    return model


def made(network: Any, threads: int | None) -> tuple[dict, dict[str, str]]:
    """The models by engine and precision, Keras' first; and what is left out, with the reason."""
    from temzoo.deploy.engines import AcceleratedModel
    from temzoo.deploy.engines.makers import MAKERS, check_installed, cores

    models, left_out = {KERAS: network.model}, {}
    for key in MAKERS:
        try:
            check_installed(*key)
        except ImportError as error:
            left_out["-".join(key)] = str(error)
            continue
        models[key] = AcceleratedModel(network, *key, threads or cores())
    return models, left_out


def scored(models: Mapping[tuple[str, str], Any], examples: Sequence) -> dict:
    """Seconds and IoU of each, from the same predictions."""
    from rich.progress import track

    import temzoo
    from temzoo.evaluation.evaluate import score_predictions
    from temzoo.evaluation.results import compare
    from temzoo.zoo.built import class_names_of

    seconds: dict = {key: [] for key in models}
    found: dict = {key: [] for key in models}
    prepared = set()
    for example in track(examples, "judging"):
        micrograph = example.micrograph
        for key, model in models.items():
            if (key, micrograph.pixels.shape) not in prepared:
                temzoo.predict(model, micrograph, instances=None)
                prepared.add((key, micrograph.pixels.shape))
            began = time.perf_counter()
            found[key].append(temzoo.predict(model, micrograph, instances=None))
            seconds[key].append(time.perf_counter() - began)
    names = class_names_of(models[KERAS]) or None
    judged = {
        key: score_predictions(examples, each, classes=names, with_instances=False)
        for key, each in found.items()
    }
    return {
        key: {
            "engine": key[0],
            "precision": key[1],
            "seconds": spread(seconds[key]),
            "ratio_to_keras": spread(
                [k / s for k, s in zip(seconds[KERAS], seconds[key], strict=True)]
            ),
            "iou": vars(judged[key].iou),
            "iou_change": vars(compare(judged[key], judged[KERAS], metric="iou").difference),
            "pixels_that_differ": _differing(found[key], found[KERAS]),
        }
        for key in models
    }


def _differing(found: Sequence, reference: Sequence) -> float:
    shares = [(a.classes != b.classes).mean() for a, b in zip(found, reference, strict=True)]
    return float(np.mean(shares))


def tiling(model: Any, side: int, tile: int | None = None) -> dict[str, Any]:
    """What a prediction in tiles costs beside one pass of the network over the image's pixels.

    Args:
        model: is asked.
        side: of the micrograph, px.
        tile: edge of the tiles, px; None: as by default.

    Returns:
        ``overhead``: seconds above those of the network when it has nothing else to do, in parts of
        the latter; ``pixels_per_pixel``: what is computed, for each pixel that there is.
    """
    import temzoo
    from temzoo.inference.tiles import tile_layout

    micrograph = _micrograph(side)
    rows, columns = tile_layout(model, micrograph.shape, tile=tile)
    ask = _asked_directly(model, (rows.size, columns.size))
    count = len(rows.starts) * len(columns.starts)
    temzoo.predict(model, micrograph, tile=tile, instances=None)
    ask()
    whole, spent = [], []
    while len(whole) < TURNS[0] or (len(whole) < TURNS[1] and sum(whole) < TURNS_S):
        spent.append(_seconds(ask, count))
        whole.append(_seconds(lambda: temzoo.predict(model, micrograph, tile=tile, instances=None)))
    return {
        "tiles": count,
        "seconds": spread(whole),
        "network_s": spread(spent),
        "overhead": spread([t / network - 1 for t, network in zip(whole, spent, strict=True)]),
        "pixels_per_pixel": rows.computed * columns.computed,
    }


def _micrograph(side: int) -> np.ndarray:
    from temzoo.data.synthetic.synthesize import synthesize

    pixels = synthesize(0, size=512, n_particles=8)[0].pixels
    return np.tile(pixels, (-(-side // len(pixels)),) * 2)[:side, :side]


def _seconds(do: Callable[[], Any], times: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(times):
        do()
    return time.perf_counter() - began


def _asked_directly(model: Any, tile: tuple[int, int], batch: int = 1) -> Callable[[], Any]:
    """The network alone, on normalised pixels that are there."""
    from temzoo.tasks.pixel_models import core

    shape = (batch, *tile, model.input_shape[-1])
    pixels = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    run = getattr(model, "answer", None) or core(model).predict_on_batch
    return lambda: run(pixels)


def batches(model: Any, network: Any) -> dict[str, Any]:
    """Seconds an image of 256 px, alone and of eight at once, in turns."""
    asked = {size: _asked_directly(model, (TILE, TILE), size) for size in (1, BATCH)}
    seconds: dict[int, list[float]] = {size: [] for size in asked}
    for number in range(REPETITIONS + 1):
        for size, ask in asked.items():
            spent = _seconds(ask, BATCH // size)
            if number:
                seconds[size].append(spent / BATCH)
    alone, together = (statistics.median(seconds[size]) for size in (1, BATCH))
    return {"batch_1_s": alone, "batch_8_s": together, "batch_1_over_8": alone / together - 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", help="MODEL/NAME, a run folder or a weights file")
    parser.add_argument("--data", default="synthetic", help="emps, super1, synthetic, or a folder")
    parser.add_argument("--limit", type=int, help="so many images at most")
    parser.add_argument("--threads", type=int, help="of OpenVINO and ONNX Runtime; all cores")


def line(row: Mapping[str, Any]) -> str:
    """A row in words."""
    change, tiles = row["iou_change"], row["tiling"]
    return (
        f"{row['engine']:<12}{row['precision']:<10}{row['seconds']['median'] * 1e3:8.1f} ms"
        f" {row['ratio_to_keras']['median']:6.2f}x  IoU {row['iou']['value']:.4f}"
        f" ({change['value']:+.4f} [{change['low']:+.4f}, {change['high']:+.4f}]);"
        f" tiling {tiles['overhead']['median']:+.0%} at {tiles['pixels_per_pixel']:.2f} px a px,"
        f" batch 1 over 8 {row['batch_1_over_8']:+.0%}"
    )


def main(arguments: argparse.Namespace) -> int:
    found = measure(
        arguments.weights,
        arguments.data,
        data=arguments.data_folder,
        quick=arguments.quick,
        limit=arguments.limit,
        threads=arguments.threads,
    )
    for row in found["figures"]["rows"]:
        print(line(row), flush=True)
    print(keep(found, arguments.out), flush=True)
    return 0
