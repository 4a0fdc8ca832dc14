"""What the user waits for before anything happens: import, help, first prediction.

    python -m benchmarks startup

Each repetition is a fresh process; they take turns with a bare Python and a bare import of
TensorFlow, the floor of what can be reached. "first prediction" makes an untrained U-Net of 8
filters and predicts 512 px, from the start of the process to the class map.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.datasets import generated
from benchmarks.records import keep, result, spread

ROOT = Path(__file__).resolve().parents[2]
FIRST = """
import numpy as np, temzoo
model = temzoo.get_model("unet", compile=False, filters=8, depth=3)
pixels = np.random.default_rng(0).integers(0, 256, (512, 512), np.uint8)
temzoo.predict(model, pixels, instances=None)
"""
COMMANDS = {
    "bare Python": ["-c", "pass"],
    "import temzoo": ["-c", "import temzoo"],
    "temzoo --help": ["-m", "temzoo.cli", "--help"],
    "import tensorflow": ["-c", "import tensorflow"],
    "first prediction": ["-c", FIRST],
}
REPETITIONS, QUICK_REPETITIONS = 9, 2


def measure(repetitions: int, *, quick: bool = False, commands=None) -> dict[str, Any]:
    """The record; each command once before, so that files are in memory."""
    chosen = commands or COMMANDS
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for repetition in range(repetitions + 1):
        for name, arguments in chosen.items():
            took = _seconds(arguments)
            if repetition:
                seconds[name].append(took)
    return result(
        "startup",
        "startup",
        about="fresh processes, wall time",
        command="python -m benchmarks startup" + " --quick" * quick,
        figures={name: spread(values) for name, values in seconds.items()},
        quick=quick,
        dataset=generated("random pixels, 512 px", FIRST.encode()),
        seed=0,
    )


def _seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{arguments} must run to its end. Received:\n{done.stderr[-2000:]}")
    return took


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repetitions", type=int, help="fresh processes of each")


def main(arguments: argparse.Namespace) -> int:
    usual = QUICK_REPETITIONS if arguments.quick else REPETITIONS
    record = measure(arguments.repetitions or usual, quick=arguments.quick)
    print(keep(record, arguments.out), flush=True)
    return 0
