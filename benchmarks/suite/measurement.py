"""Ten thousand particles measured, beside scikit-image: ``benchmarks.measure speed`` in the suite.

    python -m benchmarks measure

Seconds of the processor, since other work on the machine does not count there. The ratio is that of
the medians; its ends are those of the least and most. Whether the figures of ``temzoo measure`` are
right is another matter: ``python -m benchmarks.measure labels`` and ``synthetic``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from benchmarks.records import keep, result

OURS = "temzoo.measure"
REPEATS, QUICK_REPEATS = 5, 3


def measure(repeats: int, *, quick: bool = False) -> dict[str, Any]:
    """The record."""
    from benchmarks.datasets import generated
    from benchmarks.measure import crowd, speed

    found = speed(argparse.Namespace(repeats=repeats))
    seconds = found["cpu_seconds"]
    ratios = {
        f"{name} / {OURS}": ratio(theirs, seconds[OURS])
        for name, theirs in seconds.items()
        if name != OURS
    }
    return result(
        "measure",
        "particles",
        about=f"{found['particles']:,} particles; of temzoo.measure {found['columns']} columns",
        command="python -m benchmarks measure" + " --quick" * quick,
        figures=seconds | ratios,
        quick=quick,
        dataset=generated("drawn ellipses (benchmarks.measure.crowd)", *crowd(4)),
        seed=0,
    )


def ratio(slow: Mapping[str, float], fast: Mapping[str, float]) -> dict[str, float]:
    """Of two spreads."""
    return {
        "median": slow["median"] / fast["median"],
        "least": slow["least"] / fast["most"],
        "most": slow["most"] / fast["least"],
        "repetitions": min(slow["repetitions"], fast["repetitions"]),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repetitions", type=int, help="of each, but for the slowest")


def main(arguments: argparse.Namespace) -> int:
    repeats = arguments.repetitions or (QUICK_REPEATS if arguments.quick else REPEATS)
    print(keep(measure(repeats, quick=arguments.quick), arguments.out), flush=True)
    return 0
