"""How much an older commit differs: a cold start, a folder, a large micrograph, one core and two.

    python -m benchmarks older cold folder large cores
    python -m benchmarks older folder --commit f76f78d --images 200

The older package is taken from git into a temporary folder. Both run ``temzoo predict`` as it
comes, with their own usual weights, in fresh processes of the same Python and the same other
packages, in turns. Every turn writes into a new folder; networks that were kept for the next call
stay kept, as for a user. Micrographs are drawn, a third each TIFF, PNG and MRC, of 512 to 1,024 px;
"cold" is one of 768 px, "large" one of 4,096 px, "cores" the folder on one core and on all.
"""

import argparse
import io
import os
import shutil
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from benchmarks.datasets import generated
from benchmarks.startup import once
from benchmarks.timing import ROOT, ratio, spread, tell
from temzoo.data.synthetic.synthesize import synthesize

SIDES = (512, 640, 768, 896, 1024)  # px
LARGE = 4096  # px
AREA_PER_PARTICLE = 12_000  # px
NOW, BEFORE = "now", "before"
CALL = ["-c", "import sys; from temzoo.cli import main; sys.exit(main())", "predict"]


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a record: what each of some runs takes, in turns, and ratios of them."""
    count = arguments.images if name in ("folder", "cores") else 1
    sides = {"cold": (768,), "large": (LARGE,)}.get(name) or [
        SIDES[n % len(SIDES)] for n in range(count)
    ]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        draw(folder / "drawn", sides=sides)
        figures = (cores if name == "cores" else beside)(folder, arguments, count)
    told = {"commit": arguments.commit, "images": count, "sides": list(sides)[: len(SIDES)]}
    about = f"`temzoo predict` beside {arguments.commit}: {name}"
    made = generated("drawn micrographs", Path(__file__).read_bytes())
    return {"about": about, "figures": figures, "settings": told, "seed": 0, "dataset": made}


MEASUREMENTS: dict[str, Callable] = {
    name: partial(measure, name) for name in ("cold", "folder", "large", "cores")
}


def cores(folder: Path, arguments: argparse.Namespace, images: int) -> dict[str, Any]:
    """One core and all of them; efficiency 1 is a speed that grows as the cores do."""
    everything = sorted(os.sched_getaffinity(0))
    runs = {
        f"{n} of the cores": partial(predict, ROOT, folder, everything[:n])
        for n in (1, len(everything))
    }
    found = in_turns(runs, arguments.repetitions)
    alone, together = ([one["s"] for one in each] for each in found.values())
    gained = ratio(alone, [s * len(everything) for s in together])
    return {"runs": spreads(found, images), "ratios": {"by cores": {"efficiency": gained}}}


def beside(folder: Path, arguments: argparse.Namespace, images: int) -> dict[str, Any]:
    """The package now and before."""
    runs = {
        BEFORE: partial(predict, older(arguments.commit, folder), folder),
        NOW: partial(predict, ROOT, folder),
    }
    found = in_turns(runs, arguments.repetitions)
    shares = {
        key: ratio(*([one[key] for one in found[by]] for by in (NOW, BEFORE)))
        for key in ("s", "user_s", "memory")
    }
    return {"runs": spreads(found, images), "ratios": {"now / before": shares}}


def in_turns(runs: dict[str, Callable], repetitions: int) -> dict[str, list[dict[str, float]]]:
    """What each process took; all run once before, so that files are in memory."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for turn in range(repetitions + 1):
        for name, run in runs.items():
            took = run()
            tell(f"{name}: {took['s']:.1f} s")
            found[name] += [took] if turn else []
    return found


def spreads(found: dict[str, list[dict[str, float]]], images: int) -> dict[str, Any]:
    """By run: spread of seconds, user seconds and memory, and images per second."""
    told: dict[str, Any] = {}
    for name, each in found.items():
        told[name] = {key: spread([one[key] for one in each]) for key in each[0]}
        told[name]["images_per_s"] = spread([images / one["s"] for one in each])
    return told


def predict(code: Path, folder: Path, cpus: list[int] | None = None) -> dict[str, float]:
    """What one ``temzoo predict`` takes by the package in ``code``, on some of the processors."""
    out = Path(tempfile.mkdtemp(prefix="out-", dir=folder))
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus or before)  # a process hands it on
        return once([*CALL, "drawn", "--out", str(out / "found")], folder, code=code)
    finally:
        os.sched_setaffinity(0, before)
        shutil.rmtree(out)


def older(commit: str, folder: Path) -> Path:
    """The package and the weights of a commit, below a folder.

    Raises:
        ValueError: git does not know it.
    """
    command = ["git", "-C", str(ROOT), "archive", commit, "temzoo", "weights"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise ValueError(f"--commit names one of this repository. Received: {commit}. git: {said}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder / "older", filter="data")
    return folder / "older"


def draw(folder: Path, *, sides: Sequence[int]) -> None:
    """Writes drawn micrographs: the first a TIFF, the second a PNG, the third an MRC, and so on."""
    folder.mkdir(exist_ok=True)
    for seed, side in enumerate(sides):
        drawn, _ = synthesize(seed, size=side, n_particles=side * side // AREA_PER_PARTICLE)
        pixels = np.asarray(drawn.pixels)
        name = folder / f"{seed:03d}"
        if seed % 3 == 0:
            tifffile.imwrite(name.with_suffix(".tif"), pixels)
        elif seed % 3 == 1:
            cv2.imwrite(str(name.with_suffix(".png")), pixels)
        else:
            write_mrc(name.with_suffix(".mrc"), pixels)


def write_mrc(path: Path, pixels: np.ndarray) -> None:
    """An image as MRC2014 (doi:10.1016/j.jsb.2015.04.002), mode 6 (uint16), without calibration."""
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, *pixels.shape[::-1], 1, 6)
    struct.pack_into("<4s4s", header, 208, b"MAP ", bytes([0x44, 0x44, 0, 0]))
    path.write_bytes(bytes(header) + pixels.astype("<u2").tobytes())
