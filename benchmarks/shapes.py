"""Does Mask R-CNN learn outlines? Two trainings on drawn shapes, whose masks are known exactly.

    python -m benchmarks shapes overfit       # four images of 128 px in 300 steps
    python -m benchmarks shapes held-out      # 1200 steps, then 30 images it has never seen

Rods, crescents, triangles and ellipses in two classes (straight-edged and round). On ellipses alone
a filled box scores well, so the trained masks are compared with what the same detections score when
each mask is replaced: by its filled box, by the ellipse in that box, or by the mask of another
detection. Background and black frames without any object are shown as well.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

import temzoo
from benchmarks.datasets import generated
from benchmarks.metrics import CONNECTED
from benchmarks.recipes import Recipe, fitted, throwaway_folder
from benchmarks.timing import seconds_of
from temzoo.core.types import Detection, Example, LabelledImage, Micrograph, Shape
from temzoo.data.crop_plan import CropPlan
from temzoo.data.dataset import training_stream
from temzoo.evaluation import object_overlaps, objects
from temzoo.labels.shapes import raster
from temzoo.tasks import instance_targets as anchors
from temzoo.zoo.built import task_of
from temzoo.zoo.task import task_named

CLASSES = ("straight", "round")
KINDS = {"rod": "straight", "triangle": "straight", "crescent": "round", "ellipse": "round"}
SMALL = {"backbone": "mobilenet", "alpha": 0.25, "backbone_weights": None}
SMALL |= {"backbone_trainable": True, "classes": len(CLASSES) + 1}


def scene(
    seed: int, *, side: int, objects: int, sizes: tuple[float, float] = (20, 48), apart: float = 1.0
) -> Example:
    """A noisy image of shapes, darker or brighter than a sloping ground; contrasts add up.

    Args:
        sizes: (least, most) diameter of the circle around a shape, px.
        apart: least distance of two circles' centres, by the sum of their radii; below 1, shapes
            touch and overlap.
    """
    rng = np.random.default_rng(seed)
    placed: list[tuple[np.ndarray, float]] = []
    shapes = []
    for _ in range(20 * objects):
        radius = rng.uniform(*sizes) / 2
        centre = rng.uniform(0.5 * radius, side - 0.5 * radius, 2)
        if all(np.hypot(*(centre - c)) > apart * (radius + r + 1) for c, r in placed):
            placed.append((centre, radius))
            kind = str(rng.choice(list(KINDS)))
            points = outline(kind, radius, rng) + centre
            shapes.append(Shape("polygon", KINDS[kind], points))
        if len(shapes) == objects:
            break
    labels = LabelledImage(f"shapes-{seed}", side, side, tuple(shapes), CLASSES)
    return Example(labels, partial(_drawn, labels, seed))


def outline(kind: str, radius: float, rng: np.random.Generator) -> np.ndarray:
    """(N, 2) vertices of a shape about the origin, turned at random, inside the radius."""
    turn = rng.uniform(0, 2 * np.pi)
    if kind == "rod":
        points = np.array([[-0.95, -0.3], [0.95, -0.3], [0.95, 0.3], [-0.95, 0.3]])
    elif kind == "triangle":
        points = _arc(np.array([0, 2, 4]) * np.pi / 3)
    elif kind == "ellipse":
        points = _arc(np.linspace(0, 2 * np.pi, 48, endpoint=False)) * (1, 0.65)
    else:  # a crescent: an outer arc, and back along an inner one
        outer = np.linspace(-0.75 * np.pi, 0.75 * np.pi, 40)
        points = np.concatenate([_arc(outer), _arc(outer[::-1]) * (0.62, 0.72) - (0.12, 0)])
    points = radius * points
    cos, sin = np.cos(turn), np.sin(turn)
    return points @ np.array([[cos, -sin], [sin, cos]])


def _arc(angles: np.ndarray) -> np.ndarray:
    """(N, 2) points of the unit circle."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _drawn(labels: LabelledImage, seed: int) -> Micrograph:
    rng = np.random.default_rng([seed, 1])
    masks = raster.instance_masks(labels)
    rows, cols = np.mgrid[: labels.height, : labels.width] / labels.height
    slope = rng.uniform(-25, 25, 2)
    pixels = 128 + slope[0] * rows + slope[1] * cols
    for mask in masks:
        pixels = np.where(mask, pixels + rng.choice([-1, 1]) * rng.uniform(28, 60), pixels)
    pixels = pixels + rng.normal(0, 12, pixels.shape)
    return Micrograph(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), name=labels.name)


def overfit() -> dict[str, Any]:
    """Four images, 300 steps, and what it says of the same four."""
    examples = [scene(seed, side=128, objects=7) for seed in range(4)]
    keras.utils.set_random_seed(0)
    model = temzoo.get_model("mask_rcnn", image_size=128, **SMALL, compile=False)
    model.set_anchor_sizes(anchors.anchor_sizes(examples))
    rate = keras.optimizers.schedules.CosineDecay(1e-4, 280, warmup_target=2e-3, warmup_steps=20)
    task_of(model).compile(model, optimizer=keras.optimizers.AdamW(rate, clipnorm=5.0))
    data = tf.data.Dataset.from_tensors(batch(examples)).repeat()
    learn = partial(model.fit, data, steps_per_epoch=300, shuffle=False, verbose=0)
    figures = {"steps": 300, "minutes": seconds_of(learn) / 60}
    figures["losses"] = {name: values[-1] for name, values in model.history.history.items()}
    return figures | judged(model, examples)


def batch(examples: Sequence[Example]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Whole images as one training batch, unchanged, in any order."""
    plan = CropPlan(size=examples[0].labels.height, augment="none")
    target = task_named("instance").target(CLASSES)
    stream = training_stream(examples, plan, target=target, batch=len(examples))
    pixels, truth = next(iter(stream))
    return pixels.numpy(), {name: values.numpy() for name, values in truth.items()}


def held_out() -> dict[str, Any]:
    """1200 steps on 200 images of 256 px, a fifth of them empty; judged on 30 others.

    In half of the images shapes may touch and overlap; 10 more to judge are crowded with such.
    """
    learn = [
        scene(seed, side=256, objects=14 * (seed % 5 > 0), apart=(0.7, 1.0)[seed % 2])
        for seed in range(1000, 1200)
    ]
    choose = [scene(seed, side=256, objects=12) for seed in range(2000, 2006)]
    judge = [scene(seed, side=256, objects=12) for seed in range(3000, 3030)]
    crowded = [scene(seed, side=256, objects=24, apart=0.7) for seed in range(5000, 5010)]
    settings = {"epochs": 4, "steps_per_epoch": 300, "batch": 2, "learning_rate": 2e-3}
    settings |= {"magnification": (1.0, 1.0), "augment": "light"}
    recipe = Recipe("", "drawn", "mask_rcnn", {"image_size": 256, **SMALL}, settings)
    with throwaway_folder():
        model, training = fitted("run", recipe, learn, choose)
    figures = {"steps": 1200, "minutes": training["minutes"]}
    figures["crowded"] = judged(model, crowded)["masks"]["trained"]
    return figures | judged(model, judge) | false_alarms(model)


def judged(model, examples: Sequence[Example]) -> dict[str, Any]:
    """Average precisions of the model's masks, and of what stands in for them."""
    options = {"min_score": 0.05, **CONNECTED}
    found = [temzoo.predict(model, e.micrograph, **options).detections for e in examples]
    rng = np.random.default_rng(0)
    masks = {"trained": found, "filled boxes": [[*map(filled, each)] for each in found]}
    masks["filled ellipses"] = [[*map(ellipse, each)] for each in found]
    masks["shuffled"] = [shuffled(each, rng) for each in found]
    return {"masks": {name: precision(examples, each) for name, each in masks.items()}}


def precision(examples: Sequence[Example], found: Sequence[Sequence[Detection]]) -> dict:
    """COCO's average precisions of boxes and masks over all images."""
    truth = [object_overlaps.true_objects(example.labels, CLASSES) for example in examples]
    matches = [
        objects.match(true, detections, classes=len(CLASSES))
        for true, detections in zip(truth, found, strict=True)
    ]
    figures = objects.metrics(matches)
    names = [f"{kind}_{metric}" for kind in ("box", "mask") for metric in ("ap", "ap50", "ap75")]
    return {name: float(figures[name][0]) for name in names}


def filled(one: Detection) -> Detection:
    return replace(one, mask=np.ones_like(one.mask))


def ellipse(one: Detection) -> Detection:
    """The ellipse that touches the sides of the mask's box."""
    rows, cols = (((np.arange(n) + 0.5) / n * 2 - 1) ** 2 for n in one.mask.shape)
    return replace(one, mask=rows[:, None] + cols[None] <= 1)


def shuffled(detections: Sequence[Detection], rng: np.random.Generator) -> list[Detection]:
    """Each detection with the mask of another one, stretched into its own box."""
    order = np.roll(rng.permutation(len(detections)), 1)
    changed = []
    for one, other in zip(detections, order, strict=True):
        size = one.mask.shape[::-1]
        mask = cv2.resize(detections[other].mask.astype(np.uint8), size)
        changed.append(replace(one, mask=mask.astype(bool)))
    return [one for one in changed if one.mask.any()]


def false_alarms(model) -> dict[str, float]:
    """Detections of score 0.5 and more, an image, where there is nothing."""

    def found(images: Sequence[Micrograph]) -> float:
        return statistics.fmean(
            len(temzoo.predict(model, image, **CONNECTED).detections) for image in images
        )

    ground = [scene(seed, side=256, objects=0).micrograph for seed in range(4000, 4010)]
    zeros = [Micrograph(np.zeros((256, 256), np.uint8))]
    return {"false objects on the ground": found(ground), "false objects on zeros": found(zeros)}


def measure(trained: Callable[[], dict], arguments: argparse.Namespace) -> dict[str, Any]:
    figures = trained()
    drawn = generated("drawn shapes", scene(0, side=128, objects=7).micrograph.pixels)
    about = f"Mask R-CNN on drawn shapes, {figures['steps']} steps"
    told = {"about": about, "model": "mask_rcnn", "config": SMALL, "seed": 0}
    return told | {"dataset": drawn, "figures": figures}


MEASUREMENTS = {"overfit": partial(measure, overfit), "held-out": partial(measure, held_out)}
