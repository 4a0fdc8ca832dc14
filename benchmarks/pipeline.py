"""Is the input pipeline ever what training waits for?

    python -m benchmarks pipeline

Crops per second, augmented by the preset "em", through ``temzoo.data.dataset``, as training
takes them, and by the same operations of imgaug, in its own classes, called crop by crop in a plain
loop, on the same synthetic micrographs. And images per second of training from memory, where the
pipeline costs nothing, and from the pipeline. Waiting: the share of a step's time until the next
batch is there. The pipeline's threads share the processor with the training, too: where training
takes r images a second from memory and f from the pipeline, a step is longer by the share
1 - f / r, within what such a rate spreads.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.datasets import Arguments, generated, in_memory
from benchmarks.timing import rates, seconds_of
from temzoo.core.types import Example
from temzoo.data.augment_imgaug import SegmentationMapsOnImage, iaa
from temzoo.data.crop_plan import CropPlan
from temzoo.data.dataset import training_stream
from temzoo.data.examples import class_names
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.labels.shapes.raster import class_map
from temzoo.zoo.building import get_model
from temzoo.zoo.task import task_named

# The speed of a step does not depend on the weights, so none have to be at hand.
MODELS = {"unet": {}, "unet_mobilenet": {"encoder_weights": None}}


@dataclass(frozen=True)
class Plan:
    models: tuple[str, ...] = tuple(MODELS)  # whose training takes crops
    repetitions: int = 5  # of each
    crops: int = 256  # crops, steps: of the pipeline and of training, in each repetition
    steps: int = 4
    size: int = 256  # side of a crop, px
    batch: int = 8  # crops of a step
    micrographs: int = 8  # micrographs, side: that crops are cut from; px
    side: int = 512


QUICK = Plan(("unet_mobilenet",), 3, 48, 2, 128, 8, 4, 256)


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
        examples.append(in_memory(replace(micrograph, pixels=scaled), labels))
    return examples


def stream(examples: list[Example], plan: Plan, augmenter: str = "imgaug") -> Iterator:
    crops = CropPlan(size=plan.size, augment="em", seed=0, augmenter=augmenter)
    target = task_named("semantic").target(class_names(examples))
    return iter(training_stream(examples, crops, target=target, batch=plan.batch))


def per_second(work: Callable[[], Any], times: int, images: int, plan: Plan) -> dict[str, float]:
    """Images per second of calls, so many times in a repetition, each of so many images."""

    def several(count: int) -> None:
        for _ in range(count):
            work()

    several(max(1, times // 4))  # caches fill, graphs are traced
    turns = [seconds_of(lambda: several(times)) for _ in range(plan.repetitions)]
    return rates(turns, times * images)


def plain_loop(examples: list[Example], plan: Plan) -> Iterator:
    """Crops without end, one by one."""
    change, names = plain_imgaug(plan.size), class_names(examples)
    pairs = [(e.micrograph.pixels[..., None], class_map(e.labels, names)) for e in examples]
    for pixels, target in itertools.cycle(pairs):
        maps = SegmentationMapsOnImage(target, pixels.shape)
        yield change(image=pixels, segmentation_maps=maps)


def appetite(name: str, examples: list[Example], plan: Plan) -> tuple[dict, dict, float]:
    """Images per second that training takes, from memory and from the pipeline; its waiting."""
    model = get_model(name, classes=1 + len(class_names(examples)), **MODELS[name])
    batches, taken = stream(examples, plan), []
    first = next(batches)

    def fed_step() -> None:
        began = time.perf_counter()
        batch = next(batches)
        there = time.perf_counter()
        model.train_on_batch(*batch)
        taken.append((there - began, time.perf_counter() - began))

    free = per_second(lambda: model.train_on_batch(*first), plan.steps, plan.batch, plan)
    fed = per_second(fed_step, plan.steps, plan.batch, plan)
    steps = np.array(taken[-plan.repetitions * plan.steps :])  # those before warm up
    waited, whole = steps.reshape(plan.repetitions, -1, 2).sum(axis=1).T
    return free, fed, float(np.median(waited / whole))


def measure(plan: Plan) -> dict[str, Any]:
    """Images per second by what takes them; of a step what is waited, and what it is longer."""
    examples = micrographs(plan.micrographs, plan.side)
    found, times = {}, -(-plan.crops // plan.batch)
    for name, augmenter in (("pipeline", "imgaug"), ("pipeline, by OpenCV", "opencv")):
        batches = stream(examples, plan, augmenter)
        found[name] = per_second(partial(next, batches), times, plan.batch, plan)
    loop = plain_loop(examples, plan)
    found["plain imgaug loop"] = per_second(partial(next, loop), plan.crops, 1, plan)
    waiting, longer = {}, {}
    for name in plan.models:
        free, fed, waiting[name] = appetite(name, examples, plan)
        train = f"{name}: training, from"
        found |= {f"{train} memory": free, f"{train} the pipeline": fed}
        longer[name] = 1 - fed["median"] / free["median"]
    return {"images_per_s": found, "waiting": waiting, "longer": longer}


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    plan = QUICK if arguments.quick else Plan()
    drawn = micrographs(1, plan.side)[0].micrograph.pixels
    told = {"name": "pipeline", "about": f"crops of {plan.size} px, preset em", "seed": 0}
    told |= {"dataset": generated(f"synthetic, {plan.micrographs} of {plan.side} px", drawn)}
    yield told | {"settings": asdict(plan), "figures": measure(plan)}
