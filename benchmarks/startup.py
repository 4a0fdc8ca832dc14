"""What the user waits for before anything happens: import, help, first prediction.

    python -m benchmarks startup

Each repetition is a fresh process; they take turns with a bare Python and a bare import of
TensorFlow, the floor of what can be reached. "first prediction" makes an untrained U-Net of 8
filters and predicts 512 px, from the start of the process to the class map.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.datasets import generated
from benchmarks.timing import in_turns, last_line, spread

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


def measure(commands: Mapping[str, Sequence[str]], repetitions: int) -> dict[str, Any]:
    """Seconds by command; each is called before, so that its files are in memory."""
    runs = {n: partial(last_line, [sys.executable, *words]) for n, words in commands.items()}
    return {n: spread(s) for n, s in in_turns(runs, least=repetitions, most=repetitions).items()}


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    figures = measure(COMMANDS, 2 if arguments.quick else arguments.repetitions)
    told = {"name": "startup", "about": "fresh processes, wall time", "figures": figures, "seed": 0}
    yield told | {"dataset": generated("random pixels, 512 px", FIRST.encode())}
