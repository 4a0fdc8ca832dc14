"""Trains a recipe on a GPU, under Keras' JAX backend and without TensorFlow.

    python -m benchmarks gpu-train emps-unet --steps 7280 --until 0.75

It wants the extra ``gpu``, and runs on a CPU too, slowly. It leaves a folder with weights and their
card, as a run has them, for ``python -m benchmarks ship``.

One compiled call takes ``CHUNK`` steps: crops are cut and changed on the device, gradients are
those of ``temzoo.tasks.semantic``'s loss, AdamW's rate rises over the first twentieth of the steps
and falls to 0 by half a cosine, and a running average of the weights is what is judged and kept.
The IoU on the way is of tiles that are normalised one by one, to see a training by.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax

import temzoo
from benchmarks.datasets import Arguments, Dataset, open_dataset
from benchmarks.gpu_scenes import Changes, Images, batch_of, device, store
from benchmarks.recipes import RECIPES, Recipe
from benchmarks.records import result, write_json
from temzoo.data.examples import class_names
from temzoo.evaluation.bootstrap import nanmean
from temzoo.evaluation.pixels import confusion, scores
from temzoo.labels.shapes.raster import class_map, foreground_classes
from temzoo.micrographs import as_channels
from temzoo.models.layers import dtype_policy
from temzoo.tasks.semantic_graph import SegmentationLoss
from temzoo.zoo import pretrained

CHUNK = 20
WARM_UP = 0.05  # of the steps
LEAST_RATE = 0.01  # of the peak, at the start
JUDGED_AT = (0.25, 0.5, 0.75)  # of the steps, and at the end
MOST_NORM = 1.0  # of all gradients together; longer ones are shortened
TILE = 512  # px, of what judges


class State(NamedTuple):
    weights: list
    others: list  # statistics of batch normalisation
    moments: Any
    average: list  # of both
    steps: jax.Array


@dataclass(frozen=True)
class Plan:
    steps: int  # over which the rate rises and falls
    until: float = 1.0  # share of them after which it stops
    seed: int = 0  # of weights, crops and changes
    bfloat16: bool = True  # mixed precision
    crop: int = 256  # side, px
    batch: int = 32  # crops of a step
    rate: float = 2e-3  # peak learning rate
    decay: float = 0.02  # of weights, beside the rate
    average: float = 0.999  # of the weights, what is kept of the average at each step
    changes: Changes = field(default_factory=Changes)  # of the crops


class Trained(NamedTuple):
    """A model with the averaged weights, and what is known of its training so far."""

    model: keras.Model
    history: tuple[dict[str, float], ...] = ()
    steps: int = 0
    seconds: float = 0.0
    compiling_s: float = 0.0


def drawn(dataset: Dataset, names: Sequence[str]) -> dict[str, Images]:
    """(pixels, class map), (H, W) uint8 each, of every micrograph that trains, and that judges."""

    def pair(e: temzoo.Example) -> tuple[np.ndarray, np.ndarray]:
        return of_8_bits(e.micrograph.pixels, e.name), class_map(e.labels, names).astype(np.uint8)

    return {"train": [*map(pair, dataset.train)], "val": [*map(pair, dataset.val)]}


def of_8_bits(pixels: np.ndarray, name: str) -> np.ndarray:
    """(H, W) uint8, grey; more bits are refused."""
    if pixels.dtype != np.uint8:
        raise ValueError(f"8 bits train. Received: {name}, {pixels.dtype}. Convert it first.")
    return as_channels(pixels, 1)[..., 0]


def train(recipe: Recipe, images: Mapping, classes: int, plan: Plan, save: Callable) -> Trained:
    """Trains a recipe's network as planned, not by its settings; whole chunks of ``CHUNK`` steps.

    The images are those that "train" and "val"; ``save`` gets what there is whenever it is judged.
    """
    keras.utils.set_random_seed(plan.seed)
    with dtype_policy("mixed_bfloat16" if plan.bfloat16 else "float32"):
        model = temzoo.get_model(recipe.model, compile=False, classes=classes, **recipe.config)
    began, key = time.monotonic(), jax.random.key(plan.seed)
    iou_of_tiles(model, images["val"])  # compiles
    adam = _adam(plan)
    learn, state = store(images["train"]), start(model, adam)
    chunk = _chunk_of(plan, model, adam).lower(state, learn, key).compile()
    trained = Trained(model, compiling_s=time.monotonic() - began)
    print(f"compiled in {trained.compiling_s:.0f} s", flush=True)
    began, last = time.monotonic(), round(plan.until * plan.steps)
    marks = [*(mark * plan.steps for mark in JUDGED_AT if mark < plan.until), last]
    for done in range(CHUNK, last + CHUNK, CHUNK):
        state, loss = chunk(state, learn, jax.random.fold_in(key, done))
        loss = float(loss)  # waits
        if done >= marks[0]:
            marks = [mark for mark in marks if mark > done]
            put(model, state)
            row = {"steps": done, "loss": loss, "iou": iou_of_tiles(model, images["val"])}
            row["seconds"] = time.monotonic() - began
            history = (*trained.history, row)
            trained = trained._replace(steps=done, history=history, seconds=row["seconds"])
            save(trained)
            print(json.dumps({k: round(v, 4) for k, v in row.items()}), flush=True)
    return trained


def start(model: keras.Model, adam: Any) -> State:
    """Copies, since a step takes the memory of what it is given."""
    weights = [jnp.copy(v.value) for v in model.trainable_variables]
    others = [jnp.copy(v.value) for v in model.non_trainable_variables]
    average = [jnp.copy(value) for value in (*weights, *others)]
    return State(weights, others, adam.init(weights), average, jnp.int32(0))


def learning_step(model: keras.Model, adam: Any) -> Callable:
    """(weights, others, moments, pixels, one-hot classes) → the first three anew, and the loss."""
    loss_of = SegmentationLoss("dice_ce")

    def loss(weights, others, pixels, hot):
        found, others = model.stateless_call(weights, others, pixels, training=True)
        return loss_of(hot, found), others

    def step(weights, others, moments, *batch):
        (value, others), slopes = jax.value_and_grad(loss, has_aux=True)(weights, others, *batch)
        ways, moments = adam.update(slopes, moments, weights)
        return optax.apply_updates(weights, ways), others, moments, value

    return step


def rate_of(plan: Plan) -> Callable:
    """Learning rate by the step: a short rise, half a cosine to 0."""
    peak, rise = plan.rate, round(WARM_UP * plan.steps)
    return optax.schedules.warmup_cosine_decay_schedule(LEAST_RATE * peak, peak, rise, plan.steps)


def _adam(plan: Plan):
    how = {"weight_decay": plan.decay, "mask": lambda weights: [w.ndim > 1 for w in weights]}
    return optax.chain(optax.clip_by_global_norm(MOST_NORM), optax.adamw(rate_of(plan), **how))


def _chunk_of(plan: Plan, model: keras.Model, adam: Any):
    """``CHUNK`` compiled steps: (state, images, key) → (state, mean loss)."""
    learn, classes = learning_step(model, adam), model.output_shape[-1]

    def step(images, state: State, key):
        crops = batch_of(key, images, plan.crop, plan.batch, classes, plan.changes)
        weights, others, moments, value = learn(*state[:3], *crops)
        # Of the first steps the plain mean, which nothing random at the start holds back.
        kept = jnp.minimum(plan.average, state.steps / (state.steps + 1.0))
        pairs = zip(state.average, [*weights, *others], strict=True)
        # Whole numbers (states of random generators) are not averaged.
        average = [
            kept * mean + (1 - kept) * new if jnp.issubdtype(new.dtype, jnp.floating) else new
            for mean, new in pairs
        ]
        return State(weights, others, moments, average, state.steps + 1), value

    def chunk(state, images, key):
        state, losses = jax.lax.scan(partial(step, images), state, jax.random.split(key, CHUNK))
        return state, losses.mean()

    return jax.jit(chunk, donate_argnums=0)


def put(model: keras.Model, state: State) -> None:
    """The averaged weights into the model."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    for variable, value in zip(variables, state.average, strict=True):
        variable.assign(jnp.copy(value))  # the next steps take what is in the state


def iou_of_tiles(model: keras.Model, images: Images) -> float:
    """Mean IoU of the foreground over images, cut into tiles of one size.

    A guide to the training: tiles are normalised one by one, not by their micrograph's grey values
    as ``temzoo.predict`` does it, so figures for tables come from ``temzoo.evaluate``.
    """
    ious = []
    for pixels, classes in images:
        whole = np.pad(pixels, [(0, -n % TILE) for n in pixels.shape], mode="symmetric")
        down, across = (n // TILE for n in whole.shape)
        tiles = whole.reshape(down, TILE, across, TILE).swapaxes(1, 2).reshape(-1, TILE, TILE, 1)
        answer = model.predict(tiles.astype(np.float32), batch_size=1, verbose=0).argmax(axis=-1)
        found = answer.reshape(down, across, TILE, TILE).swapaxes(1, 2).reshape(whole.shape)
        found = found[: pixels.shape[0], : pixels.shape[1]]
        matrix = confusion(classes, found, model.output_shape[-1])
        ious.append(nanmean(scores(matrix)["iou"][1:]))
    return float(nanmean(np.array(ious)))


def write(trained: Trained, recipe: Recipe, names: Sequence[str], folder: Path, **told: Any):
    """``best.weights.h5`` (float16, complete) with its card, and the record as ``run.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / pretrained.BEST
    config = {"classes": len(names) + 1, **recipe.config}
    pretrained.save_trained(trained.model, path, complete=True)
    pretrained.write_card(path, pretrained.WeightsCard(recipe.model, config, tuple(names)))
    figures = {key: value for key, value in trained._asdict().items() if key != "model"}
    told |= {"about": recipe.about, "model": recipe.model, "config": config, **device()}
    told |= {"what": "gpu-train", "figures": figures}
    write_json(folder / "run.json", result(**told))
    return told


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    name, recipe = arguments.recipe, RECIPES[arguments.recipe]
    dataset = open_dataset(recipe.data, data=arguments.data_folder, quick=arguments.quick)
    names = foreground_classes(class_names(dataset.part("all")))
    folder = arguments.run or Path("runs") / f"gpu-{name}"
    plan = Plan(arguments.steps, arguments.until, arguments.seed)
    told = {"name": name, "command": arguments.again(), "seed": plan.seed}
    told |= {"training": {"xla_flags": os.environ.get("XLA_FLAGS")}, "settings": asdict(plan)}
    told |= {"dataset": dataset.told(), "quick": arguments.quick}
    records = []

    def save(done: Trained) -> None:
        records.append(write(done, recipe, names, folder, **told))

    train(recipe, drawn(dataset, names), len(names) + 1, plan, save)
    yield records[-1]
