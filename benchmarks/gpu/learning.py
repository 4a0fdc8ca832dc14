"""Trains a recipe on the device and writes its weights as a run has them.

    python -m benchmarks gpu-train emps-unet --steps 7280 --until 0.75
    python -m benchmarks gpu-train emps --start emps      # goes on from shipped weights

It reads what ``gpu-pack`` wrote. One compiled call takes ``CHUNK`` steps: crops are cut and changed
on the device, gradients are those of ``temzoo.tasks.semantic``'s loss, AdamW's rate rises over the
first twentieth of the steps and falls to 0 by half a cosine, and a running average of the weights
is what is judged and kept. The IoU on the way is of tiles that are normalised one by one, to see a
training by.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
from keras import ops

import temzoo
from benchmarks.gpu import device, packed
from benchmarks.gpu.recipes import RECIPES, Recipe
from benchmarks.gpu.scenes import batch_of, store
from benchmarks.records import result, write_json
from temzoo.models.layers import dtype_policy
from temzoo.tasks.semantic_graph import SegmentationLoss
from temzoo.zoo import cards, pretrained

CHUNK = 20
WARM_UP = 0.05  # of the steps
LEAST_RATE = 0.01  # of the peak, at the start
JUDGED_AT = (0.25, 0.5, 0.75)  # of the steps, and at the end
MOST_NORM = 1.0  # of all gradients together; longer ones are shortened
TILE, TILES_AT_ONCE = 512, 8  # of what judges: side, px
ENCODER = "encoder"  # the layer's name in models on a MobileNet


class State(NamedTuple):
    """What a step changes."""

    weights: list
    others: list  # statistics of batch normalisation
    moments: Any
    average: list
    average_of_others: list
    steps: jax.Array


@dataclass(frozen=True)
class Plan:
    """How a recipe is trained."""

    steps: int  # over which the rate rises and falls
    until: float = 1.0  # share of them after which it stops
    # weights to go on from, a shipped set's name or a run; None: as the config says
    start: str | None = None
    seed: int = 0  # of weights, crops and changes
    bfloat16: bool = True  # mixed precision


@dataclass(frozen=True)
class Trained:
    """A model with the averaged weights, and what is known of its training so far."""

    model: keras.Model
    history: list[dict[str, float]]
    steps: int
    seconds: float
    compiling_s: float


def build(recipe: Recipe, classes: int, plan: Plan) -> keras.Model:
    """The recipe's network, all that is to learn trainable; the background is a class, too."""
    free = cards.model_card(recipe.model).free
    wanted = {"encoder_trainable": recipe.encoder > 0, "negatives": False}
    config = {"classes": classes, **recipe.config}
    config |= {key: value for key, value in wanted.items() if key in free}
    with dtype_policy("mixed_bfloat16" if plan.bfloat16 else "float32"):
        model = temzoo.get_model(recipe.model, weights=plan.start, compile=False, **config)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.call = MethodType(_depthwise, layer)
    return model


def _depthwise(layer: keras.layers.DepthwiseConv2D, x):
    """The same as a sum of shifted, weighted copies.

    XLA compiles the gradients of grouped convolutions for minutes; these are fused in seconds.
    """
    kernel = ops.cast(layer.kernel, x.dtype)[..., 0]  # (3, 3, C)
    (rows, cols), stride = kernel.shape[:2], layer.strides[0]
    if layer.padding == "same":
        x = ops.pad(x, [(0, 0), (rows // 2, rows // 2), (cols // 2, cols // 2), (0, 0)])
    height, width = ((n - k) // stride + 1 for n, k in zip(x.shape[1:3], (rows, cols), strict=True))
    return sum(
        kernel[row, col]
        * x[:, row : row + stride * height : stride, col : col + stride * width : stride]
        for row in range(rows)
        for col in range(cols)
    )


def train(
    recipe: Recipe,
    data: packed.Packed,
    plan: Plan,
    *,
    save: Callable[[Trained], None] = lambda trained: None,
    say: Callable[[str], None] = print,
) -> Trained:
    """Trains as planned; whole chunks of ``CHUNK`` steps.

    Args:
        recipe: what.
        data: of the recipe's dataset.
        plan: how long, and from where.
        save: takes what there is whenever it was judged.
        say: takes a line of progress.
    """
    keras.utils.set_random_seed(plan.seed)
    model = build(recipe, len(data.class_names) + 1, plan)
    began = time.monotonic()
    key, images = jax.random.key(plan.seed), store(data.parts["train"])
    state, judge = _start(model), Judge(model, data.parts["val"])
    chunk = _chunk_of(recipe, model, plan.steps).lower(state, images, key, 0).compile()
    judge(state)  # compiles
    trained = Trained(model, [], 0, 0.0, time.monotonic() - began)
    say(f"compiled in {trained.compiling_s:.0f} s")
    began, last = time.monotonic(), round(plan.until * plan.steps)
    marks = [*(mark * plan.steps for mark in JUDGED_AT if mark < plan.until), last]
    for done in range(CHUNK, last + CHUNK, CHUNK):
        state, loss = chunk(state, images, jax.random.fold_in(key, done), done - CHUNK)
        loss = float(loss)  # waits
        if done >= marks[0]:
            marks = [mark for mark in marks if mark > done]
            row = {"steps": done, "loss": loss, **judge(state)}
            row["seconds"] = time.monotonic() - began
            history = [*trained.history, row]
            put(model, state)
            trained = replace(trained, history=history, steps=done, seconds=row["seconds"])
            save(trained)
            say(json.dumps({k: round(v, 4) for k, v in row.items()}))
    return trained


def _start(model: keras.Model) -> State:
    weights = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]
    copies = [jnp.copy(w) for w in weights], [jnp.copy(w) for w in others]
    return State(weights, others, _adam().init(weights), *copies, jnp.int32(0))


def _adam():
    return optax.chain(optax.clip_by_global_norm(MOST_NORM), optax.scale_by_adam())


def rate(progress):
    """Share of the peak rate: a short rise, half a cosine to 0."""
    rising = LEAST_RATE + (1 - LEAST_RATE) * progress / WARM_UP
    falling = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip((progress - WARM_UP) / (1 - WARM_UP), 0, 1)))
    return jnp.where(progress < WARM_UP, rising, falling)


def _chunk_of(recipe: Recipe, model: keras.Model, steps: int):
    """``CHUNK`` compiled steps: (state, images, key, steps before) → (state, mean loss)."""
    loss_of = SegmentationLoss("dice_ce")
    classes = model.output_shape[-1]
    gentle = encoder_of(model)
    shares = [recipe.encoder if id(v) in gentle else 1.0 for v in model.trainable_variables]
    decayed = [recipe.decay if len(v.shape) > 1 else 0.0 for v in model.trainable_variables]
    adam = _adam()

    def loss(weights, others, pixels, hot):
        found, others = model.stateless_call(weights, others, pixels, training=True)
        return loss_of(hot, found), others

    def step(images, state: State, inputs):
        key, progress = inputs
        drawn = batch_of(key, images, recipe.crop, recipe.batch, classes, recipe.changes)
        (value, others), slopes = jax.value_and_grad(loss, has_aux=True)(
            state.weights, state.others, *drawn
        )
        ways, moments = adam.update(slopes, state.moments)
        peak = recipe.rate * rate(progress)
        weights = [
            w - peak * share * (way + decay * w)
            for w, way, share, decay in zip(state.weights, ways, shares, decayed, strict=True)
        ]
        # Of the first steps the plain mean, which nothing random at the start holds back.
        kept = jnp.minimum(recipe.average, state.steps / (state.steps + 1.0))
        mean = [
            [_mixed(kept, *pair) for pair in zip(*lists, strict=True)]
            for lists in ((state.average, weights), (state.average_of_others, others))
        ]
        return State(weights, others, moments, *mean, state.steps + 1), value

    def chunk(state, images, key, before):
        inputs = (jax.random.split(key, CHUNK), (before + jnp.arange(CHUNK)) / steps)
        state, losses = jax.lax.scan(partial(step, images), state, inputs)
        return state, losses.mean()

    return jax.jit(chunk, donate_argnums=0)


def encoder_of(model: keras.Model) -> set[int]:
    """The ids of the variables that learn at the encoder's rate; none without an encoder."""
    parts = [layer for layer in model.layers if layer.name == ENCODER]
    return {id(variable) for part in parts for variable in part.variables}


def _mixed(kept, mean, new):
    """Whole numbers (states of random generators) are not averaged."""
    if not jnp.issubdtype(new.dtype, jnp.floating):
        return new
    return kept * mean + (1 - kept) * new


def put(model: keras.Model, state: State) -> None:
    """The averaged weights into the model."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    for variable, value in zip(variables, [*state.average, *state.average_of_others], strict=True):
        variable.assign(value)


class Judge:
    """Mean IoU of the foreground over images, cut into tiles of one size.

    A guide to the training: tiles are normalised one by one, not by their micrograph's grey values
    as ``temzoo.predict`` does it, so figures for tables come from ``temzoo.evaluate``.
    """

    def __init__(self, model: keras.Model, images):
        self.images = images
        self._call = jax.jit(
            lambda weights, others, x: model.stateless_call(weights, others, x, training=False)[0]
        )

    def __call__(self, state: State) -> dict[str, float]:
        found = self._answers(
            [cut for pixels, _ in self.images for _, cut in _tiles(pixels)], state
        )
        ious, at = [], 0
        for pixels, classes in self.images:
            total = np.zeros((*pixels.shape, found.shape[-1]), np.float32)
            for (top, left), cut in _tiles(pixels):
                height, width = cut.shape
                total[top : top + height, left : left + width] += found[at, :height, :width]
                at += 1
            ious.append(ious_of(total.argmax(axis=-1), classes, found.shape[-1]))
        return mean_iou(np.array(ious))

    def _answers(self, cuts, state: State) -> np.ndarray:
        padded = [np.pad(c, [(0, TILE - n) for n in c.shape], mode="symmetric") for c in cuts]
        answers = []
        for first in range(0, len(padded), TILES_AT_ONCE):
            some = padded[first : first + TILES_AT_ONCE]
            full = some + [some[-1]] * (TILES_AT_ONCE - len(some))
            x = jnp.asarray(np.stack(full)[..., None], jnp.float32)
            answers.append(np.asarray(self._call(state.average, state.average_of_others, x)))
        return np.concatenate(answers)[: len(padded)]


def _tiles(pixels: np.ndarray):
    """((top, left), part) of as few parts of at most TILE px as cover it."""
    starts = [
        [round(at) for at in np.linspace(0, max(n - TILE, 0), -(-n // TILE))] for n in pixels.shape
    ]
    return [
        ((top, left), pixels[top : top + TILE, left : left + TILE])
        for top in starts[0]
        for left in starts[1]
    ]


def mean_iou(ious: np.ndarray) -> dict[str, float]:
    """Mean over images of the mean of their foreground classes, and of each class if several.

    Args:
        ious: (images, classes), background first; NaN does not count.
    """
    foreground = np.ma.masked_invalid(ious[:, 1:])
    told = {"iou": float(foreground.mean(axis=1).mean())}
    if foreground.shape[1] == 1:
        return told
    each = foreground.mean(axis=0)
    return told | {f"iou_{n}": float(value) for n, value in enumerate(each, start=1)}


def ious_of(found: np.ndarray, true: np.ndarray, classes: int) -> list[float]:
    """Of each foreground class, after the background's; NaN where neither has it."""
    ious = []
    for value in range(classes):
        union = ((found == value) | (true == value)).sum()
        both = ((found == value) & (true == value)).sum()
        ious.append(both / union if union else np.nan)
    return ious


def write(trained: Trained, recipe: Recipe, class_names, folder: Path, **told: Any) -> dict:
    """``best.weights.h5`` (float16, complete) with its card, and the record as ``run.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / pretrained.BEST
    config = {"classes": len(class_names) + 1, **recipe.config}
    pretrained.save_trained(trained.model, path, complete=True)
    pretrained.write_card(path, pretrained.WeightsCard(recipe.model, config, tuple(class_names)))
    known = {k: getattr(trained, k) for k in ("steps", "seconds", "compiling_s", "history")}
    about = {"about": recipe.about, "model": recipe.model, "config": config, **device()}
    record = result("gpu-train", figures=known, settings=asdict(recipe), **about, **told)
    write_json(folder / "run.json", record)
    return record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", choices=[*RECIPES])
    parser.add_argument("--packed", type=Path, default=Path("packed"), help="what gpu-pack wrote")
    parser.add_argument("--steps", type=int, help="over which the rate falls; the recipe's")
    parser.add_argument("--until", type=float, default=1.0, help="stop at this share of them (1)")
    parser.add_argument("--start", help="weights to go on from: NAME of a shipped set, or a run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--float32", action="store_true", help="instead of mixed bfloat16")
    parser.add_argument("--run", type=Path, help="folder of the run (runs/gpu-RECIPE)")


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    name, recipe = arguments.recipe, RECIPES[arguments.recipe]
    data = packed.unpack(arguments.packed / f"{recipe.data}.npz")
    folder = arguments.run or Path("runs") / f"gpu-{name}"
    steps, bfloat16 = arguments.steps or recipe.steps, not arguments.float32
    plan = Plan(steps, arguments.until, arguments.start, arguments.seed, bfloat16)
    dataset = {"name": recipe.data, "split": "as packed", "fingerprint": data.fingerprint}
    dataset |= {"quality": data.quality}
    training = {"xla_flags": os.environ.get("XLA_FLAGS"), "plan": asdict(plan)}
    told = {"name": name, "command": arguments.again(), "seed": plan.seed, "training": training}
    told |= {"dataset": dataset}
    records = []
    train(
        recipe,
        data,
        plan,
        save=lambda done: records.append(write(done, recipe, data.class_names, folder, **told)),
        say=lambda line: print(f"{name}: {line}", flush=True),
    )
    print(f"{name}: {folder}", flush=True)
    yield records[-1]
