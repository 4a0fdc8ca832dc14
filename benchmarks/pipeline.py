"""Is the input pipeline ever what training waits for?

    python -m benchmarks.pipeline [--appetite] [--repeats 5] [--crops 256]

measures crops per second of 256 x 256 px, augmented by the preset "em",

- through ``temzoo.pipeline.dataset``, as training takes them,
- and by the same operations of imgaug, in its own classes, called crop by crop in a plain loop,

on the same synthetic micrographs. With ``--appetite`` also how many the training steps of the
models take per second: from memory, where the pipeline costs nothing, and fed by the pipeline,
which then shares the processor with them, with the share of their time that they wait for a batch
("waiting"). The table is printed and written, with hardware, versions
and date, to ``benchmarks/results/pipeline.json``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.records import RESULTS, stamp, write_json
from temzoo.core.types import Example
from temzoo.data.augment import SegmentationMapsOnImage, iaa
from temzoo.data.crop_plan import CropPlan
from temzoo.data.dataset import training_stream
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.labels.shapes.raster import class_map
from temzoo.tasks import semantic
from temzoo.zoo.building import get_model

OUT = RESULTS / "pipeline.json"
CLASSES = ("particle",)
# The speed of a step does not depend on the weights, so none have to be at hand.
MODELS = {"unet": {}, "unet_mobilenet": {"encoder_weights": None}}


class _Float32Elastic(iaa.ElasticTransformation):
    """imgaug's own; OpenCV 4.14 refuses the float64 displacements that it computes."""

    @classmethod
    def _generate_shift_maps(cls, shape, alpha, sigma, random_state):
        moves = super()._generate_shift_maps(shape, alpha, sigma, random_state)
        return tuple(move.astype(np.float32) for move in moves)


def plain_imgaug(size: int) -> iaa.Augmenter:
    """What "em" does, written as imgaug's documentation does: one class an operation."""
    return iaa.Sequential(
        [
            iaa.CropToFixedSize(size, size),
            iaa.Sometimes(0.75, iaa.Rot90((1, 3), keep_size=False)),
            iaa.Fliplr(0.5),
            iaa.Sometimes(0.5, iaa.Affine(rotate=(-45, 45), mode="reflect")),
            iaa.Sometimes(0.5, iaa.Affine(scale=(0.8, 1.25), mode="reflect")),
            iaa.Sometimes(0.25, iaa.Affine(translate_percent=(-0.08, 0.08), mode="reflect")),
            iaa.Sometimes(0.2, _Float32Elastic(alpha=(20, 100), sigma=10, order=1, mode="reflect")),
            iaa.Sometimes(0.15, iaa.GaussianBlur((0.4, 1.5))),
            iaa.Sometimes(0.25, iaa.BlendAlphaSimplexNoise(iaa.Add((-40, 40)))),
            iaa.Sometimes(0.25, iaa.AdditivePoissonNoise((5, 30))),
            iaa.Sometimes(0.25, iaa.AdditiveGaussianNoise(scale=(2, 20))),
            iaa.Sometimes(0.1, iaa.SaltAndPepper((0.0005, 0.01))),
            iaa.Sometimes(0.3, iaa.GammaContrast((0.7, 1.4))),
            iaa.Sometimes(0.3, iaa.LinearContrast((0.7, 1.3))),
            iaa.Sometimes(0.3, iaa.Add((-38, 38))),
        ],
        seed=0,
    )


def micrographs(count: int, side: int) -> list[Example]:
    """uint8, as most are stored, and as imgaug wants them."""
    examples = []
    for seed in range(count):
        micrograph, labels = synthesize(seed, size=side, name=f"{seed}.tif")
        low, high = np.percentile(micrograph.pixels, (0.1, 99.9))
        scaled = np.clip((micrograph.pixels - low) / (high - low) * 255, 0, 255).astype(np.uint8)
        loaded = type(micrograph)(scaled, micrograph.nm_per_pixel, micrograph.name)
        examples.append(Example(labels, lambda loaded=loaded: loaded))
    return examples


class Particles(semantic.ClassMaps):
    """Every class as one, so that the models need two: background and particle."""

    def draw(self, labels):
        return np.minimum(super().draw(labels), 1)

    def encode(self, drawn, whole, magnification):
        return np.eye(2, dtype=np.uint8)[drawn]


def stream(examples: list[Example], args: argparse.Namespace) -> tf.data.Dataset:
    names = tuple(sorted({s.label for e in examples for s in e.labels.shapes})) or CLASSES
    return training_stream(
        examples,
        CropPlan(size=args.size, augment="em", seed=0),
        target=Particles(names),
        batch=args.batch,
    )


def per_second(work: Callable[[int], None], images: int, repeats: int) -> dict[str, float]:
    """Images per second of ``work(images)``: median, least and most of some repetitions."""
    work(max(1, images // 4))  # caches fill, graphs are traced
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        work(images)
        rates.append(images / (time.perf_counter() - began))
    return {"median": statistics.median(rates), "least": min(rates), "most": max(rates)}


def pipeline_rate(examples: list[Example], args: argparse.Namespace) -> dict[str, float]:
    batches = iter(stream(examples, args))

    def take(images: int) -> None:
        for _ in range(-(-images // args.batch)):
            next(batches)

    return per_second(take, args.crops, args.repeats)


def plain_loop_rate(examples: list[Example], args: argparse.Namespace) -> dict[str, float]:
    change = plain_imgaug(args.size)
    pairs = [
        (
            e.micrograph.pixels[..., None],
            class_map(e.labels, tuple({s.label for s in e.labels.shapes})),
        )
        for e in examples
    ]

    def loop(images: int) -> None:
        for pixels, target in itertools.islice(itertools.cycle(pairs), images):
            maps = SegmentationMapsOnImage(target, pixels.shape)
            change(image=pixels, segmentation_maps=maps)

    return per_second(loop, args.crops, args.repeats)


def appetite(
    name: str, examples: list[Example], args: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Images per second that a model's training takes, from memory and from the pipeline."""
    model = get_model(name, classes=2, **MODELS[name])
    batches = iter(stream(examples, args))
    kept = next(batches)

    def from_memory(images: int) -> None:
        for _ in range(-(-images // args.batch)):
            model.train_on_batch(*kept)

    waited = []

    def from_pipeline(images: int) -> None:
        began, blocked = time.perf_counter(), 0.0
        for _ in range(-(-images // args.batch)):
            asked = time.perf_counter()
            batch = next(batches)
            blocked += time.perf_counter() - asked
            model.train_on_batch(*batch)
        waited.append(blocked / (time.perf_counter() - began))

    images = args.steps * args.batch
    free = per_second(from_memory, images, args.repeats)
    fed = per_second(from_pipeline, images, args.repeats)
    fed["waiting"] = statistics.median(waited[1:])  # the first warms up
    return {f"{name}: training, from memory": free, f"{name}: training, from the pipeline": fed}


def measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    examples = micrographs(args.micrographs, args.side)
    rates = {
        "pipeline": pipeline_rate(examples, args),
        "plain imgaug loop": plain_loop_rate(examples, args),
    }
    if args.appetite:
        for name in args.models:
            rates |= appetite(name, examples, args)
    return rates


def table(rates: dict[str, dict[str, float]]) -> str:
    lines = [f"{'images per second':<42}{'median':>9}{'least':>9}{'most':>9}"]
    lines += [
        f"{name:<42}{r['median']:9.1f}{r['least']:9.1f}{r['most']:9.1f}"
        for name, r in rates.items()
    ]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--crops", type=int, default=256, help="per repetition")
    parser.add_argument("--size", type=int, default=256, help="side of a crop, px")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--micrographs", type=int, default=8)
    parser.add_argument("--side", type=int, default=512, help="of a micrograph, px")
    parser.add_argument("--appetite", action="store_true", help="train the models as well")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--steps", type=int, default=4, help="training steps per repetition")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    load = os.getloadavg()[0]  # what else ran: above 0.5, a figure says little
    rates = measure(args)
    print(table(rates))
    record = {
        **stamp(shlex.join(["python", "-m", "benchmarks.pipeline", *sys.argv[1:]])),
        "load_before": round(load, 2),
        "settings": {k: v for k, v in vars(args).items() if k != "out"},
        "images_per_second": rates,
    }
    write_json(args.out, record)
    print(f"Written to {args.out}.")


if __name__ == "__main__":
    main()
