"""Speed and memory of a network by engine, precision, batch and side.

    python -m benchmarks throughput                  # the segmentation networks
    python -m benchmarks throughput --models unet

One batch of random uint8 pixels, already in memory, is predicted again and again; the engines take
turns in one process, repetition by repetition, so that other work on the machine slows them alike.
Latency: seconds of one call, its median (p50) and 95th percentile (p95, no more than the longest
where there are few repetitions). Speed: images of a batch over the median. Peak memory (``VmHWM``)
is that of a process of its own for each engine, reset after it was made, while it predicts once;
beside it stands what ``temzoo.predict`` needs for one large micrograph. Networks have random
weights, which cost no time by their values.
"""

from __future__ import annotations

import argparse
import gc
import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import temzoo
from benchmarks.datasets import generated
from benchmarks.engines import ENGINES, REFERENCE
from benchmarks.limits import micrograph
from benchmarks.timing import in_child, in_turns, memory, rates, ratio, spread, tell

MODELS: dict[str, dict[str, Any]] = {
    "unet": {},
    "unet_mobilenet": {"alpha": 0.75, "encoder_weights": None},
}
# Small, so that the largest micrographs take minutes.
MEMORY_MODELS: dict[str, dict[str, Any]] = {
    "unet": {"filters": 8},
    "unet_mobilenet": {"alpha": 0.25, "encoder_weights": None},
}
MOST_PIXELS = 2 * 1024**2  # of a batch of several: ``predict`` has tiles of 1408 px, one at a time
FEW_PIXELS = 1024**2  # of a batch, in a process that need not have the memory to itself


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    models: Mapping[str, Mapping[str, Any]]  # config by registered name, for speed
    memory_models: Mapping[str, Mapping[str, Any]]  # the same, for the memory of ``temzoo.predict``
    sides: Sequence[int] = (256, 512, 1024, 2048)  # sides, batches: of the input
    batches: Sequence[int] = (1, 8)
    engines: Sequence[tuple[str, str]] | None = None  # (name, precision) of ``ENGINES``; None: all
    seconds: float = 30.0  # of repetitions, for each input; 3 are always made, more than 40 never
    # of the micrographs that ``temzoo.predict`` takes
    memory_sides: Sequence[int] = (512, 1024, 2048, 4096, 8192, 16384)


# Memory of one model: what grows with the image is the same, and 16,384 px take minutes.
FULL = Plan(MODELS, {"unet_mobilenet": MEMORY_MODELS["unet_mobilenet"]})
QUICK = Plan(
    {"unet": {"filters": 8, "depth": 3}},
    {"unet": {"filters": 8, "depth": 3}},
    sides=(256,),  # a process for each engine's memory takes most of the time
    batches=(1,),
    seconds=4.0,
    memory_sides=(512, 1024),
)


def speed_of(name: str, config: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Speed of a model in every engine, at every side and batch: what a record says."""
    model = temzoo.get_model(name, compile=False, **config)
    channels = model.input_shape[-1]
    cells: list[dict[str, Any]] = []
    for side, batch in itertools.product(plan.sides, plan.batches):
        if batch > 1 and batch * side**2 > MOST_PIXELS:
            continue
        tell(f"{name}, {batch} of {side} px: speed")
        # Nine engines hold as much memory as their inputs asked for: a process for each size.
        asked = (name, dict(config), (batch, side, side, channels), plan.engines, plan.seconds)
        measured = in_child("benchmarks.throughput:child_cells", *asked)
        tell(f"{name}, {batch} of {side} px: memory")
        _add_peaks(name, config, measured)
        cells += measured
    figures = {"parameters": model.count_params(), "cells": cells}
    dataset = generated("random pixels", _pixels((1, 256, 256, channels)))
    return {"about": f"{name}, {_said(config)}", "figures": figures, "dataset": dataset}


def child_cells(
    name: str,
    config: Mapping[str, Any],
    shape: Sequence[int],
    engines: Sequence | None,
    seconds: float,
) -> list[dict[str, Any]]:
    """In the child: one row of the table for each engine, at one shape of the input."""
    model = temzoo.get_model(name, compile=False, **config)
    pixels, runs, cells = _pixels(shape), {}, []
    for key in map(tuple, engines or ENGINES):
        told = {"engine": key[0], "precision": key[1], "batch": shape[0], "side": shape[1]}
        try:
            runs[key] = partial(ENGINES[key](model, tuple(shape)), pixels)
        except ImportError as error:
            told |= {"left_out": str(error), "peak_bytes": None}
        cells.append(told)
    seconds_of = in_turns(runs, budget=seconds)
    reference = runs[REFERENCE]() if REFERENCE in runs else None
    for cell in cells:
        key = (cell["engine"], cell["precision"])
        if key not in runs:
            continue
        cell |= timing(seconds_of[key], shape[0])
        if reference is not None:
            cell["ratio_to_reference"] = ratio(seconds_of[REFERENCE], seconds_of[key])
            cell["difference_to_reference"] = float(np.abs(runs[key]() - reference).max())
    return cells


def _pixels(shape: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def timing(seconds: Sequence[float], batch: int) -> dict[str, Any]:
    """Latency and speed of some repetitions."""
    latency = spread(seconds) | {"p95": float(np.percentile(seconds, 95))}
    return {"latency_s": latency, "images_per_s": rates(seconds, batch)}


def _add_peaks(name: str, config: Mapping[str, Any], cells: Sequence[dict[str, Any]]) -> None:
    """Peak memory of each cell's engine; small inputs two processes at a time."""
    keys = ("engine", "precision", "batch", "side")
    wanted = [cell for cell in cells if "peak_bytes" not in cell]
    side_by_side = all(cell["batch"] * cell["side"] ** 2 <= FEW_PIXELS for cell in wanted)
    ask = partial(in_child, "benchmarks.throughput:child_peak", name, dict(config))
    with ThreadPoolExecutor(2 if side_by_side else 1) as pool:
        peaks = pool.map(lambda cell: ask(*(cell[key] for key in keys)), wanted)
        for cell, peak in zip(wanted, peaks, strict=True):
            cell["peak_bytes"] = peak


def child_peak(
    name: str, config: Mapping[str, Any], engine: str, precision: str, batch: int, side: int
) -> int:
    """In the child: bytes at the most while an engine predicts once."""
    model = temzoo.get_model(name, compile=False, **config)
    shape = (batch, side, side, model.input_shape[-1])
    run = ENGINES[engine, precision](model, shape)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak becomes what is now
    run(np.zeros(shape, np.uint8))
    return memory("VmHWM")


def memory_of(name: str, config: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Peak memory of ``temzoo.predict`` on square micrographs, each in a process of its own."""
    rows = []
    for side in plan.memory_sides:
        tell(f"{name}, a micrograph of {side} px: memory")
        asked = ("benchmarks.limits:child_predicts_with", name, dict(config), side)
        rows.append(in_child(*asked))
    dataset = generated("drawn blobs (benchmarks.limits.micrograph)", micrograph(512))
    about = f"temzoo.predict with {name}, {_said(config)}"
    return {"about": about, "figures": {"sides": rows, "repetitions": 1}, "dataset": dataset}


def _said(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in config.items() if value is not None) or (
        "its defaults"
    )


def plan_of(arguments: argparse.Namespace) -> Plan:
    plan = QUICK if arguments.quick else FULL
    if not arguments.models:
        return plan
    small = MEMORY_MODELS | plan.memory_models
    models = {name: plan.models.get(name, {}) for name in arguments.models}
    memory_models = {name: small.get(name, {}) for name in arguments.models}
    return replace(plan, models=models, memory_models=memory_models)


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    plan = plan_of(arguments)
    tasks = [("throughput", speed_of, plan.models), ("memory", memory_of, plan.memory_models)]
    for what, measure, models in tasks:
        for name, config in models.items():
            told = {"what": what, "name": name, "command": arguments.again(models=[name])}
            told |= {"model": name, "config": dict(config), "seed": 0}
            yield told | measure(name, config, plan)
