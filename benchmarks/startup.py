"""What the user waits for before anything happens: import, help, first prediction.

    python -m benchmarks startup

Each repetition is a fresh process; they take turns with a bare Python and a bare import of
TensorFlow. "first prediction" makes an untrained U-Net of 8 filters and predicts 512 px.
"temzoo predict" finds the particles of a drawn micrograph of 768 px by its usual weights: with
TensorFlow; with an engine for the first time, when the network is converted and kept; and with the
network that was kept. Time and memory are those that the system counts for the process.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from benchmarks.datasets import Arguments, generated
from benchmarks.timing import ROOT, last_line, spreads, tell
from temzoo.data.synthetic.synthesize import synthesize

FIRST = """
import numpy as np, temzoo
model = temzoo.get_model("unet", compile=False, filters=8, depth=3)
pixels = np.random.default_rng(0).integers(0, 256, (512, 512), np.uint8)
temzoo.predict(model, pixels, instances=None)
"""
PREDICT = ["-m", "temzoo", "predict", "one.tif", "--again"]
COMMANDS = {
    "bare Python": ["-c", "pass"],
    "import temzoo": ["-c", "import temzoo"],
    "temzoo --help": ["-m", "temzoo", "--help"],
    "import tensorflow": ["-c", "import tensorflow"],
    "first prediction": ["-c", FIRST],
    "temzoo predict, TensorFlow": [*PREDICT, "--engine", "tensorflow"],
    "temzoo predict, network made and kept": PREDICT,
    "temzoo predict, network kept before": PREDICT,
}
MADE = "temzoo predict, network made and kept"  # it begins without any
SIDE, PARTICLES = 768, 30
Took = dict[str, float]  # of a process: seconds and bytes


# Of a small process: Linux counts the memory that a process had before it became another for both.
LAUNCH = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
status = subprocess.run(sys.argv[1:], **nowhere).returncode
wall, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([status, wall, used.ru_utime, used.ru_maxrss * 1024]))
"""


def once(words: Sequence[str], folder: Path, *, code: Path = ROOT) -> Took:
    """Seconds, seconds of the processors, and bytes of a process of Python in a folder.

    ``code`` is where its packages lie. What it keeps for later calls, it keeps in the folder. That
    it did not run to its end is a RuntimeError.
    """
    where = {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(code)}
    command = [sys.executable, "-c", LAUNCH, sys.executable, *words]
    status, wall, user, memory = json.loads(last_line(command, cwd=folder, **where))
    if status:
        said = f"{' '.join(words)[:300]} must run to its end. Received: status"
        raise RuntimeError(f"{said} {status}.")
    return {"s": wall, "user_s": user, "memory": memory}


def in_turns(runs: Mapping[str, Callable[[], Took]], repetitions: int) -> dict[str, list[Took]]:
    """What each process took; all are run once before, so that their files are in memory."""
    found: dict[str, list[Took]] = {name: [] for name in runs}
    for turn in range(repetitions + 1):
        for name, run in runs.items():
            took = run()
            tell(f"{name}: {took['s']:.1f} s")
            found[name] += [took] if turn else []
    return found


def measure(commands: Mapping[str, Sequence[str]], repetitions: int) -> dict[str, Any]:
    """What each command takes, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn, _ = synthesize(0, size=SIDE, n_particles=PARTICLES)
        tifffile.imwrite(folder / "one.tif", np.asarray(drawn.pixels))

        def run(command: str) -> Took:
            if command == MADE:
                shutil.rmtree(folder / "cache", ignore_errors=True)
            return once(commands[command], folder)

        return spreads(in_turns({name: partial(run, name) for name in commands}, repetitions))


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    figures = measure(COMMANDS, 2 if arguments.quick else arguments.repetitions)
    told = {"name": "startup", "about": "fresh processes", "figures": figures, "seed": 0}
    yield told | {"dataset": generated("random pixels, and a drawn micrograph", FIRST.encode())}
