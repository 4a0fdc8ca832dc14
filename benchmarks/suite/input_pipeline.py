"""Is training ever kept waiting for its data? ``benchmarks.pipeline``, as a part of the suite.

    python -m benchmarks pipeline

Crops per second of the input pipeline beside a plain imgaug loop; and images per second of training
from memory and from the pipeline. Where training takes r images a second from memory and f from the
pipeline, the share of a step's time that is spent waiting is 1 - f / r: the pipeline's threads
share the processor with the training, so this is what the pipeline costs in all.
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
        figures={"images_per_s": rates, "waiting": waiting(rates, told["models"])},
        quick=quick,
        dataset=generated(
            f"synthetic, {told['micrographs']} of {told['side']} px",
            pipeline.micrographs(1, told["side"])[0].micrograph.pixels,
        ),
        seed=0,
    )


def waiting(rates: dict[str, dict[str, float]], models: list[str]) -> dict[str, float]:
    """Share of the step's time, by model, of the medians; where training was measured."""
    found = {}
    for name in models:
        free = rates.get(f"{name}: training, from memory")
        fed = rates.get(f"{name}: training, from the pipeline")
        if free and fed:
            found[name] = 1 - fed["median"] / free["median"]
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def main(arguments: argparse.Namespace) -> int:
    print(keep(measure(quick=arguments.quick), arguments.out), flush=True)
    return 0
