"""Speed and memory of a network by engine, precision, batch and side.

    python -m benchmarks throughput                        # the segmentation networks
    python -m benchmarks throughput --models unet --sides 256 512 --batches 1 8

One batch of random uint8 pixels, already in memory, is predicted again and again; the engines take
turns in one process, repetition by repetition, so that other work on the machine slows them alike.
Latency: seconds of one call, its median (p50) and 95th percentile (p95, no more than the longest
where there are few repetitions). Speed: images of a batch over the median. ``peak share``: the
network's operations (``benchmarks.suite.operations``) over the median, as a share of what a large
float32 matrix product reached in the same minutes. Peak memory (``VmHWM``) is that of a process of
its own for each engine, reset after it was made, while it predicts once; beside it stands what
``temzoo.predict`` needs for one large micrograph. Networks have random weights, which cost no time
by their values.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import own
from benchmarks.datasets import generated
from benchmarks.records import keep, result, spread, tell
from benchmarks.suite.engines import ENGINES, REFERENCE

ROOT = Path(__file__).resolve().parents[2]
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
LEAST, MOST = 3, 40  # repetitions
WARM_S = 5.0  # a first call of so many seconds is warm-up enough; else there is a second


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        models: config by registered name, for speed.
        memory_models: the same, for the memory of ``temzoo.predict``.
        sides, batches: of the input.
        engines: (name, precision) of ``ENGINES``; None: all.
        seconds: of repetitions, for each input; 3 are always made, more than 40 never.
        memory_sides: of the micrographs that ``temzoo.predict`` takes.
        peak_side: of the matrix product that shows the peak; 2048 is past every cache.
    """

    models: Mapping[str, Mapping[str, Any]]
    memory_models: Mapping[str, Mapping[str, Any]]
    sides: Sequence[int] = (256, 512, 1024, 2048)
    batches: Sequence[int] = (1, 8)
    engines: Sequence[tuple[str, str]] | None = None
    seconds: float = 30.0
    memory_sides: Sequence[int] = (512, 1024, 2048, 4096, 8192, 16384)
    peak_side: int = 2048


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


def measure(plan: Plan, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """A record of each model's speed, and one of each model's memory, as they are made."""
    for name, config in plan.models.items():
        yield speed_of(name, config, plan, quick=quick)
    for name, config in plan.memory_models.items():
        if plan.memory_sides:
            yield memory_of(name, config, plan, quick=quick)


def speed_of(name: str, config: Mapping[str, Any], plan: Plan, *, quick: bool) -> dict[str, Any]:
    """Speed of a model in every engine, at every side and batch."""
    import temzoo

    model = temzoo.get_model(name, compile=False, **config)
    cells, left_out = [], []
    for side in plan.sides:
        for batch in plan.batches:
            shape = (batch, side, side, model.input_shape[-1])
            if batch > 1 and batch * side**2 > MOST_PIXELS:
                left_out.append(f"{batch} of {side} px")
                continue
            tell(f"{name}, {batch} of {side} px: speed")
            measured = _cells_in_child(name, config, shape, plan)
            tell(f"{name}, {batch} of {side} px: memory")
            _add_peaks(name, config, measured)
            cells += measured
    return result(
        "throughput",
        _named(name, plan, quick, "sides", "batches"),
        about=f"{name}, {_said(config)}",
        command=_command(name, plan, quick),
        model=name,
        config=dict(config),
        parameters=model.count_params(),
        gflop_per_256px=_gflop(model, (1, 256, 256, model.input_shape[-1])),
        figures={"cells": cells, "too_large": left_out},
        quick=quick,
        dataset=generated("random pixels", _pixels((1, 256, 256, model.input_shape[-1]))),
        seed=0,
    )


def _cells_in_child(name: str, config: Mapping[str, Any], shape: tuple, plan: Plan) -> list[dict]:
    """``cells_of`` in a process of its own: nine engines hold as much as their inputs asked for."""
    asked = {"model": name, "config": dict(config), "shape": shape}
    parts = {part: getattr(plan, part) for part in ("engines", "seconds", "peak_side")}
    return in_child(asked | {"plan": parts})


def cells_of(model: Any, shape: tuple[int, int, int, int], plan: Plan) -> list[dict[str, Any]]:
    """One row of the table for each engine, at one shape of the input."""
    from benchmarks.suite.operations import matrix_peak, share_of_peak

    pixels = _pixels(shape)
    runs, cells = {}, []
    for key in plan.engines or list(ENGINES):
        told = {"engine": key[0], "precision": key[1], "batch": shape[0], "side": shape[1]}
        try:
            runs[key] = ENGINES[key](model, shape)
        except ImportError as error:
            cells.append({**told, "left_out": str(error), "peak_bytes": None})
            continue
        cells.append(told)
    peaks = matrix_peak(side=plan.peak_side)
    seconds = in_turns(runs, pixels, plan.seconds)
    peaks += matrix_peak(side=plan.peak_side)
    reference = runs[REFERENCE](pixels) if REFERENCE in runs else None
    operations = _gflop(model, shape)
    for cell in cells:
        key = (cell["engine"], cell["precision"])
        if key not in runs:
            continue
        cell |= timing(seconds[key], shape[0]) | {"matrix_peak_gflop_per_s": spread(peaks)}
        if operations is not None:
            rate = operations / cell["latency_s"]["median"]
            cell |= {"gflop": operations, "peak_share": share_of_peak(rate, peaks)}
        if reference is not None:
            cell["ratio_to_reference"] = _ratio(seconds[REFERENCE], seconds[key])
            cell["difference_to_reference"] = float(np.abs(runs[key](pixels) - reference).max())
    return cells


def _pixels(shape: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def in_turns(runs: Mapping[Any, Any], pixels: np.ndarray, budget: float) -> dict[Any, list[float]]:
    """Seconds of each call; each engine has a call or two to warm up, then they alternate."""
    found: dict[Any, list[float]] = {key: [] for key in runs}
    for run in runs.values():
        began = time.perf_counter()
        run(pixels)
        if time.perf_counter() - began < WARM_S:
            run(pixels)
    began = time.perf_counter()
    for repetition in range(MOST):
        if repetition >= LEAST and time.perf_counter() - began > budget:
            break
        for key, run in runs.items():
            start = time.perf_counter()
            run(pixels)
            found[key].append(time.perf_counter() - start)
    return found


def timing(seconds: Sequence[float], batch: int) -> dict[str, Any]:
    """Latency and speed of some repetitions."""
    p95 = float(np.percentile(seconds, 95))
    return {
        "latency_s": spread(seconds) | {"p95": p95},
        "images_per_s": {
            "median": batch / statistics.median(seconds),
            "least": batch / max(seconds),
            "most": batch / min(seconds),
            "repetitions": len(seconds),
        },
    }


def _ratio(reference: Sequence[float], seconds: Sequence[float]) -> dict[str, float]:
    """Speed relative to the reference, turn by turn."""
    return spread([r / s for r, s in zip(reference, seconds, strict=True)])


def _gflop(model: Any, shape: tuple[int, int, int, int]) -> float | None:
    from benchmarks.suite.operations import gflop

    try:
        return gflop(model, shape)
    except ValueError:
        return None


def _add_peaks(name: str, config: Mapping[str, Any], cells: Sequence[dict[str, Any]]) -> None:
    """Peak memory of each cell's engine; small inputs two processes at a time."""
    keys = ("engine", "precision", "batch", "side")
    asked = {"model": name, "config": dict(config)}
    wanted = [cell for cell in cells if "peak_bytes" not in cell]
    side_by_side = all(cell["batch"] * cell["side"] ** 2 <= FEW_PIXELS for cell in wanted)
    with ThreadPoolExecutor(2 if side_by_side else 1) as pool:
        told = pool.map(in_child, [asked | {key: cell[key] for key in keys} for cell in wanted])
        for cell, found in zip(wanted, told, strict=True):
            cell["peak_bytes"] = found["peak"]


def memory_of(name: str, config: Mapping[str, Any], plan: Plan, *, quick: bool) -> dict[str, Any]:
    """Peak memory of ``temzoo.predict`` on square micrographs, each in a process of its own."""
    from benchmarks.limits import micrograph

    rows = []
    for side in plan.memory_sides:
        tell(f"{name}, a micrograph of {side} px: memory")
        told = in_child({"model": name, "config": dict(config), "side": side})
        used = told["peak"] - told["baseline"] - told["input"]
        rows.append({"side": side, "used": used, **told})
    return result(
        "memory",
        _named(name, plan, quick, "memory_sides"),
        about=f"temzoo.predict with {name}, {_said(config)}",
        command=_command(name, plan, quick),
        model=name,
        config=dict(config),
        figures={"sides": rows, "repetitions": 1},
        quick=quick,
        dataset=generated("drawn blobs (benchmarks.limits.micrograph)", micrograph(512)),
        seed=0,
    )


def in_child(asked: Mapping[str, Any]) -> Any:
    """Measures in a fresh process; ``asked`` says what, as ``_child`` tells apart.

    Raises:
        RuntimeError: it did not run to its end.
    """
    command = [sys.executable, "-m", "benchmarks.suite.throughput", json.dumps(asked)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if run.returncode:
        raise RuntimeError(f"{asked} must run to its end. Received:\n{run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def _child(asked: Mapping[str, Any]) -> Any:
    """The cells of a shape, the peak of an engine, or, of a side alone, that of ``predict``."""
    from benchmarks.limits import GB, Limit, child_predicts, memory

    if "shape" not in asked and "engine" not in asked:
        return child_predicts(Limit("", 2 * GB, "", asked["model"], asked["config"]), asked["side"])
    import temzoo

    model = temzoo.get_model(asked["model"], compile=False, **asked["config"])
    if "shape" in asked:
        parts = dict(asked["plan"])
        if parts["engines"] is not None:
            parts["engines"] = [tuple(key) for key in parts["engines"]]
        return cells_of(model, tuple(asked["shape"]), Plan({}, {}, **parts))
    shape = (asked["batch"], asked["side"], asked["side"], model.input_shape[-1])
    run = ENGINES[asked["engine"], asked["precision"]](model, shape)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak becomes what is now
    run(np.zeros(shape, np.uint8))
    return {"peak": memory("VmHWM")}


def _said(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in config.items() if value is not None) or (
        "its defaults"
    )


def _usual(quick: bool) -> Plan:
    return QUICK if quick else FULL


def _named(name: str, plan: Plan, quick: bool, *parts: str) -> str:
    """The model's name, with those sizes that are not as usual: such a record replaces no other."""
    usual = _usual(quick)
    unusual = [getattr(plan, part) for part in parts if getattr(plan, part) != getattr(usual, part)]
    return "-".join([name, *("-".join(map(str, sizes)) for sizes in unusual)])


def _command(name: str, plan: Plan, quick: bool) -> str:
    words = ["python -m benchmarks throughput --models", name]
    for part in ("sides", "batches", "memory_sides"):
        chosen = getattr(plan, part)
        if chosen != getattr(_usual(quick), part):
            words += [f"--{part.replace('_', '-')}", *map(str, chosen)]
    return " ".join([*words, *["--quick"] * quick])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="registered names")
    parser.add_argument("--sides", nargs="+", type=int, help="of the input, px")
    parser.add_argument("--batches", nargs="+", type=int)
    parser.add_argument("--memory-sides", nargs="*", type=int, help="of predicted micrographs, px")


def plan_of(arguments: argparse.Namespace) -> Plan:
    plan = _usual(arguments.quick)
    if arguments.models:
        memory = MEMORY_MODELS | plan.memory_models
        plan = replace(
            plan,
            models={name: plan.models.get(name, {}) for name in arguments.models},
            memory_models={name: memory.get(name, {}) for name in arguments.models},
        )
    for part in ("sides", "batches", "memory_sides"):
        if getattr(arguments, part) is not None:
            plan = replace(plan, **{part: tuple(getattr(arguments, part))})
    return plan


def main(arguments: argparse.Namespace) -> int:
    for record in measure(plan_of(arguments), quick=arguments.quick):
        print(keep(record, arguments.out), flush=True)
    return 0


if __name__ == "__main__":
    own.load_inherited()
    print(json.dumps(_child(json.loads(sys.argv[1]))))
