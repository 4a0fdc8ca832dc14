"""Is training ever kept waiting for its data? ``benchmarks.pipeline``, as a part of the suite.

    python -m benchmarks pipeline

Crops per second of the input pipeline beside a plain imgaug loop; and images per second of training
from memory and from the pipeline. Waiting: the share of a step's time until the next batch is
there. The pipeline's threads share the processor with the training, too: where training takes r
images a second from memory and f from the pipeline, a step is longer by the share 1 - f / r, within
what such a rate spreads.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.records import keep, result

USUAL = {
    "repeats": 5,
    "crops": 256,
    "size": 256,
    "batch": 8,
    "micrographs": 8,
    "side": 512,
    "appetite": True,
    "models": ["unet", "unet_mobilenet"],
    "steps": 4,
}
QUICK = {
    "repeats": 3,
    "crops": 48,
    "size": 128,
    "micrographs": 4,
    "side": 256,
    "models": ["unet_mobilenet"],
    "steps": 2,
}


def measure(*, quick: bool = False, **settings: Any) -> dict[str, Any]:
    """The record; ``settings`` are the options of ``benchmarks.pipeline``."""
    from benchmarks import pipeline
    from benchmarks.datasets import generated

    told = {**USUAL, **(QUICK if quick else {}), **settings}
    rates = {
        name: {**rate, "repetitions": told["repeats"]}
        for name, rate in pipeline.measure(argparse.Namespace(**told)).items()
    }
    return result(
        "pipeline",
        "pipeline",
        about=f"crops of {told['size']} px, preset em",
        command="python -m benchmarks pipeline" + " --quick" * quick,
        settings=told,
        figures={"images_per_s": rates, **shares(rates, told["models"])},
        quick=quick,
        dataset=generated(
            f"synthetic, {told['micrographs']} of {told['side']} px",
            pipeline.micrographs(1, told["side"])[0].micrograph.pixels,
        ),
        seed=0,
    )


def shares(rates: dict[str, dict[str, float]], models: list[str]) -> dict[str, dict[str, float]]:
    """By model, where training was measured: of a step, what is waited, and what it is longer."""
    found: dict[str, dict[str, float]] = {"waiting": {}, "longer": {}}
    for name in models:
        free = rates.get(f"{name}: training, from memory")
        fed = rates.get(f"{name}: training, from the pipeline")
        if free and fed:
            found["waiting"][name] = fed["waiting"]
            found["longer"][name] = 1 - fed["median"] / free["median"]
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def main(arguments: argparse.Namespace) -> int:
    print(keep(measure(quick=arguments.quick), arguments.out), flush=True)
    return 0
