"""Speed and memory of a network by engine, precision, batch and side.

    python -m benchmarks throughput                  # the segmentation networks
    python -m benchmarks throughput --models unet

One batch of random uint8 pixels, already in memory, is predicted again and again; the engines take
turns in one process, repetition by repetition, so that other work on the machine slows them alike.
Latency: seconds of one call. Speed: images of a batch over the median. Peak memory (``VmHWM``) is
that of a process of its own for each engine, reset after it was made, while it predicts once.
Networks have random weights, which cost no time by their values.

``tensorflow`` float32 is the model as Keras has it, as a graph; ``accelerated tensorflow`` the same
as ``temzoo.accelerate`` has it, of constants. The other engines are those of ``temzoo.accelerate``
too: a call normalises each image in NumPy, and the rest is the engine's. int8 is calibrated on
random pixels here, which are what is predicted. One more engine gets a Keras model and the input's
shape, and gives a function from (B, H, W, C) uint8 to the output; it raises ImportError where its
library is not there, and the table then says so::

    @engine("onnxruntime")
    def onnxruntime(model, shape):
        session = onnxruntime.InferenceSession(exported(model))
        return lambda pixels: session.run(None, {"images": pixels})[0]
"""

import gc
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import temzoo
from benchmarks.datasets import Arguments, generated
from benchmarks.own import registering
from benchmarks.timing import in_child, in_turns, memory, rates, ratio, spread, tell
from temzoo.deploy.engines.makers import MAKERS, check_installed, made
from temzoo.deploy.engines.network import Network
from temzoo.deploy.engines.runtime import cores

Config = Mapping[str, Any]
Configs = Mapping[str, Config]
MODELS: Configs = {"unet": {}, "unet_mobilenet": {"alpha": 0.75, "encoder_weights": None}}
MOST_PIXELS = 2 * 1024**2  # of a batch of several: ``predict`` has tiles of 1408 px, one at a time
Shape = tuple[int, int, int, int]
Run = Callable[[np.ndarray], np.ndarray]
ENGINES: dict[tuple[str, str], Callable[[Any, Shape], Run]] = {}
REFERENCE = ("tensorflow", "float32")  # what the others' speed and output are compared with
CROPS, CROP = 8, 256  # of random pixels for int8, and their side


def engine(name: str, precision: str = "float32") -> Callable:
    """Registers a maker under a name and a precision."""
    return registering(ENGINES)((name, precision))


@engine("tensorflow")
def tensorflow(model: Any, shape: Shape) -> Run:
    """A traced graph of one size, as a SavedModel's signature is."""
    call = tf.function(
        lambda x: model(x, training=False), input_signature=[tf.TensorSpec(shape, tf.uint8)]
    )
    return lambda pixels: call(tf.constant(pixels)).numpy()


@engine("keras predict")
def keras_predict(model: Any, shape: Shape) -> Run:
    """``model.predict``, with what it does about a call."""
    return lambda pixels: model.predict(pixels, batch_size=shape[0], verbose=0)


def accelerated(name: str, precision: str, model: Any, shape: Shape) -> Run:
    """An engine of ``temzoo.accelerate``."""
    check_installed(name, precision)
    return made(network(model), name, precision, cores())


@cache
def network(model: Any) -> Network:
    """What the engines run: converted and calibrated once, for all of them."""
    _, height, width, channels = model.input_shape
    shape = (CROPS, height or CROP, width or CROP, channels)
    return Network(model, list(np.random.default_rng(1).integers(0, 256, shape, np.uint8)))


engine("accelerated tensorflow")(partial(accelerated, *REFERENCE))
for _key in [key for key in MAKERS if key != REFERENCE]:
    engine(*_key)(partial(accelerated, *_key))


@dataclass(frozen=True)
class Plan:
    models: Configs  # by registered name
    sides: Sequence[int] = (256, 512, 1024, 2048)  # sides, batches: of the input
    batches: Sequence[int] = (1, 8)
    seconds: float = 30.0  # of repetitions, for each input; 3 are always made, more than 40 never


FULL = Plan(MODELS)
# A process for each engine's memory takes most of the time.
QUICK = Plan({"unet": {"filters": 8, "depth": 3}}, (256,), (1,), seconds=4.0)


def speed_of(name: str, config: Config, plan: Plan) -> dict[str, Any]:
    """Speed of a model in every engine, at every side and batch: what a record says."""
    channels = temzoo.get_model(name, compile=False, **config).input_shape[-1]
    cells: list[dict[str, Any]] = []
    for side, batch in itertools.product(plan.sides, plan.batches):
        if batch > 1 and batch * side**2 > MOST_PIXELS:
            continue
        tell(f"{name}, {batch} of {side} px: speed")
        # Nine engines hold as much memory as their inputs asked for: a process for each size.
        asked = (name, dict(config), (batch, side, side, channels), plan.seconds)
        measured = in_child("benchmarks.throughput:child_cells", *asked)
        tell(f"{name}, {batch} of {side} px: memory")
        for cell in measured:
            if "left_out" not in cell:
                asked = (name, dict(config), cell["engine"], cell["precision"], batch, side)
                cell["peak_bytes"] = in_child("benchmarks.throughput:child_peak", *asked)
        cells += measured
    dataset = generated("random pixels", _pixels((1, 256, 256, channels)))
    said = ", ".join(f"{key} {value}" for key, value in config.items() if value is not None)
    about = f"{name}, {said or 'its defaults'}"
    return {"about": about, "figures": {"cells": cells}, "dataset": dataset}


def child_cells(name: str, config: Config, shape: Sequence[int], seconds: float) -> list[dict]:
    """In the child: one row of the table for each engine, at one shape of the input."""
    model = temzoo.get_model(name, compile=False, **config)
    pixels, runs, cells = _pixels(shape), {}, {}
    for key, maker in ENGINES.items():
        told = {"engine": key[0], "precision": key[1], "batch": shape[0], "side": shape[1]}
        try:
            runs[key] = partial(maker(model, tuple(shape)), pixels)
        except ImportError as error:
            told["left_out"] = str(error)
        cells[key] = told
    taken, reference = in_turns(runs, budget=seconds), runs[REFERENCE]()
    for key, times in taken.items():
        cells[key] |= {"latency_s": spread(times), "images_per_s": rates(times, shape[0])}
        cells[key] |= {"ratio_to_reference": ratio(taken[REFERENCE], times)}
        cells[key]["difference_to_reference"] = float(np.abs(runs[key]() - reference).max())
    return list(cells.values())


def _pixels(shape: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def child_peak(
    name: str, config: Config, engine: str, precision: str, batch: int, side: int
) -> int:
    """In the child: bytes at the most while an engine predicts once."""
    model = temzoo.get_model(name, compile=False, **config)
    shape = (batch, side, side, model.input_shape[-1])
    run = ENGINES[engine, precision](model, shape)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak becomes what is now
    run(np.zeros(shape, np.uint8))
    return memory("VmHWM")


def plan_of(arguments: Arguments) -> Plan:
    plan = QUICK if arguments.quick else FULL
    asked = arguments.models or plan.models
    return replace(plan, models={name: plan.models.get(name, {}) for name in asked})


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    plan = plan_of(arguments)
    for name, config in plan.models.items():
        told = {"name": name, "command": arguments.again(models=[name])}
        told |= {"model": name, "config": dict(config), "seed": 0}
        yield told | speed_of(name, config, plan)
