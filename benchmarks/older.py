"""How much an older commit differs: predictions, trainings, and what is installed.

    python -m benchmarks older cold folder auto large cores
    python -m benchmarks older folder --commit f76f78d --images 200
    python -m benchmarks older published    # EMPS' val.csv, with scale bars and panel letters
    python -m benchmarks older training few --seeds 3    # on EMPS; goes on where it was stopped
    python -m benchmarks older install

The older package is taken from git into a temporary folder. Both run ``temzoo predict`` as it
comes, with their own usual weights, in fresh processes of the same Python and the same other
packages, in turns. Every turn writes into a new folder; networks that were kept for the next call
stay kept, as for a user. Micrographs are drawn, a third each TIFF, PNG and MRC, of 512 to 1,024 px;
"cold" is one of 768 px, "large" one of 4,096 px, "auto" the folder, now with ``--engine auto``, and
"cores" the folder on one core and on all. Those of "published" were not drawn: journals printed
them.

"training" is how long ``temzoo train`` takes from ImageNet's encoder to a mean IoU per image of
0.80 on EMPS' ``val.csv``, validations included, with all of ``train.csv``; "few" is the best IoU
within so many minutes with ten of its images. The words are those of ``TRAININGS``, the IoU is each
run's own, and its minutes are those of the processors, which other work changes little. Finished
trainings lie in ``--work``. "install" is ``make demo`` in an environment of its own, without pip's
cache: the bytes and seconds of what it installs, and the seconds from then to its first picture,
when it is ended.
"""

import io
import itertools
import os
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import tifffile

from benchmarks.datasets import Arguments, generated, open_dataset
from benchmarks.startup import in_turns, once
from benchmarks.timing import ROOT, ratio, spread, spreads, tell
from temzoo.core.files import read_json, write_json
from temzoo.data.synthetic.synthesize import synthesize

SIDES = (512, 640, 768, 896, 1024)  # px
LARGE = 4096  # px
AREA_PER_PARTICLE = 12_000  # px
NOW, BEFORE = "now", "before"
CALL = ["-c", "import sys; from temzoo.cli import main; sys.exit(main())"]
GOAL = 0.80  # IoU, mean of the images
EMPS = "--batch 8 --crop 256 --magnification 0.5 1.0"
FROZEN = f"unet_mobilenet --set alpha=0.75 {EMPS}"
LITE = f"particles --set encoder=efficientnet_lite0 {EMPS} --mixed-precision --augment em_invert"
LITE += " --learning-rate 3e-3 --average 0.95"
# The words of `temzoo train` before and now.
TRAININGS = {
    "training": {
        BEFORE: f"{FROZEN} --epochs 18",
        NOW: f"{LITE} --epochs 8 --steps 100 --validate-every 8",
    },
    "few": {
        BEFORE: f"{FROZEN} --limit 10 --epochs 5 --steps 60",
        NOW: f"{LITE} --limit 10 --epochs 2 --steps 50 --validate-every 2",
    },
}
PREDICTIONS = ("cold", "folder", "auto", "published", "large", "cores")
FEW_MINUTES = {BEFORE: 6.0, NOW: 3.0}
Fields = dict[str, Any]  # of a record
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
Found = Mapping[str, Sequence[Mapping[str, float]]]  # by run, what each turn took


def measure(name: str, arguments: Arguments) -> Fields:
    """What each of some runs takes, in turns, and ratios of them."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        how = published_folder if name == "published" else partial(drawn_folder, name)
        images, fields = how(folder / "micrographs", arguments)
        more = ("--engine", "auto") if name == "auto" else ()
        run = cores if name == "cores" else partial(beside, more=more)
        figures = run(folder, arguments, images)
    settings = {"commit": arguments.commit, "images": images, **fields.pop("settings", {})}
    about = f"`temzoo predict` beside {arguments.commit}: {name}"
    return {"about": about, "figures": figures, "settings": settings, "seed": 0, **fields}


def drawn_folder(name: str, folder: Path, arguments: Arguments) -> tuple[int, Fields]:
    """How many micrographs were drawn into a folder, and what a record tells of them."""
    many = itertools.islice(itertools.cycle(SIDES), arguments.images)
    sides = {"cold": [768], "large": [LARGE]}.get(name) or [*many]
    draw(folder, sides=sides)
    made = generated("drawn micrographs", Path(__file__).read_bytes())
    return len(sides), {"dataset": made, "settings": {"sides": sides[: len(SIDES)]}}


def published_folder(folder: Path, arguments: Arguments) -> tuple[int, Fields]:
    """The same of links to the micrographs of EMPS' ``val.csv``."""
    data = arguments.data_folder.resolve()
    dataset = open_dataset("emps", data=data)
    folder.mkdir()
    for example in dataset.val:
        (folder / example.name).symlink_to(data / "emps" / "images" / example.name)
    return len(dataset.val), {"dataset": dataset.told()}


def learning(name: str, arguments: Arguments) -> Fields:
    """How soon trainings of each reach the goal, or how far they come."""
    data, work = arguments.data_folder.resolve() / "emps", arguments.work.resolve() / name
    told: dict[str, list[dict[str, float]]] = {BEFORE: [], NOW: []}
    with tempfile.TemporaryDirectory() as place:
        code = {BEFORE: older(arguments.commit, Path(place)), NOW: ROOT}
        for seed in range(arguments.seeds):
            for who, each in told.items():
                words = f"{TRAININGS[name][who]} --seed {seed}".split()
                run = work / f"{who}-{seed}"
                tell(f"{run.name}: {' '.join(words)}")
                epochs = learnt(code[who], words, data, run, GOAL if name == "training" else 1)
                each.append(_reached(epochs) if name == "training" else _best(epochs, who))
    about = f"`temzoo train` beside {arguments.commit}: {name}"
    settings = {"commit": arguments.commit, "goal": GOAL, "words": TRAININGS[name]}
    dataset = open_dataset("emps", data=arguments.data_folder.resolve()).told()
    how = {"about": about, "settings": settings, "dataset": dataset}
    return {"what": "older-training", "figures": compared(told), **how}


def _reached(epochs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Minutes to the goal."""
    if epochs[-1]["iou"] < GOAL:
        raise RuntimeError(f"A run must reach an IoU of {GOAL}. Received: {epochs[-1]}.")
    return {key: epochs[-1][key] for key in ("cpu_minutes", "minutes")}


def _best(epochs: Sequence[Mapping[str, float]], who: str) -> dict[str, float]:
    """The best IoU of the epochs that ended in time, on two processors."""
    within = [one["iou"] for one in epochs if one["cpu_minutes"] <= 2 * FEW_MINUTES[who]]
    return {"iou": max(within, default=0.0)}


def learnt(code: Path, words: Sequence[str], data: Path, run: Path, goal: float) -> list[dict]:
    """Minutes and IoU of each validated epoch of a training, which is ended at the goal.

    What was finished with the same words before, is read from where it was left.
    """
    kept = run.with_suffix(".json")
    if kept.is_file() and (told := read_json(kept))["words"] == list(words):
        return told["epochs"]
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    names = [f"--{part}-names={data / part}.csv" for part in ("train", "val")]
    given = ["--images", data / "images", "--labels", data / "annotations.xml", *names]
    command = [sys.executable, *CALL, "train", *words, *map(str, given), "--out", str(run)]
    environment = {**os.environ, "PYTHONPATH": str(code)}
    began, used = time.perf_counter(), 0.0
    epochs: list[dict[str, float]] = []
    with subprocess.Popen(command, cwd=run.parent, env=environment, **QUIET) as process:
        while not (epochs and epochs[-1]["iou"] >= goal):
            status = process.poll()
            used = _cpu_minutes(process.pid) if status is None else used
            minutes = (time.perf_counter() - began) / 60
            new = _validated(run / "history.csv")[len(epochs) :]
            epochs += [{"iou": iou, "minutes": minutes, "cpu_minutes": used} for iou in new]
            if status is not None:
                break
            time.sleep(0.5)
        process.terminate()
    write_json(kept, {"words": list(words), "epochs": epochs})
    return epochs


def _cpu_minutes(pid: int) -> float:
    """Of a process, on Linux, as proc(5) tells it."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") / 60


def _validated(history: Path) -> list[float]:
    """The IoU of each validated epoch so far; none has the column before the first."""
    table = pd.read_csv(history) if history.is_file() else {}
    return table["val_iou"].dropna().tolist() if "val_iou" in table else []


def installed(arguments: Arguments) -> Fields:
    """What ``make demo`` installs, and how soon it shows a picture."""
    found: dict[str, list[dict[str, float]]] = {BEFORE: [], NOW: []}
    with tempfile.TemporaryDirectory() as place:
        for _ in range(arguments.repetitions):
            for who, commit in ((BEFORE, arguments.commit), (NOW, "HEAD")):
                tell(f"{who}: make demo")
                found[who].append(_demo(older(commit, Path(place))))
                shutil.rmtree(Path(place) / commit)
    made = generated("what the demo draws", arguments.commit.encode())
    told = {"about": f"`make demo` beside {arguments.commit}", "dataset": made, "seed": 0}
    told |= {"settings": {"commit": arguments.commit}, "figures": compared(found)}
    return {"what": "older-install", **told}


def _demo(code: Path) -> dict[str, float]:
    """Runs ``make demo`` until its first picture: what installing takes, and the time from then."""
    environment = {**os.environ, "PIP_NO_CACHE_DIR": "1"}
    environment.pop("PYTHONPATH", None)
    began = time.perf_counter()
    how = {"cwd": code, "env": environment, "start_new_session": True, **QUIET}
    with subprocess.Popen(["make", "demo"], **how) as process:
        while not (ready := [*code.glob(".venv/.set-up*")]) and process.poll() is None:
            time.sleep(0.2)
        installed = time.perf_counter()
        size = sum(p.stat().st_size for p in code.glob(".venv/**/*") if p.is_file())
        while ready and not [*code.glob("demo/**/*.png")] and process.poll() is None:
            time.sleep(0.2)
        ended = process.poll() is not None
        shown = time.perf_counter()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    if ended or not ready:
        raise RuntimeError(f"make demo must show a picture. Received: its end, in {code}.")
    return {"s": installed - began, "bytes": float(size), "to_picture_s": shown - installed}


def cores(folder: Path, arguments: Arguments, images: int) -> Fields:
    """One core and all of them; efficiency 1 is a speed that grows as the cores do."""
    everything = sorted(os.sched_getaffinity(0))
    runs = {
        f"{n} of the cores": partial(predict, ROOT, folder, everything[:n])
        for n in (1, len(everything))
    }
    found = in_turns(runs, arguments.repetitions)
    alone, together = ([one["s"] for one in each] for each in found.values())
    gained = ratio(alone, [s * len(everything) for s in together])
    return {"runs": with_rates(found, images), "ratios": {"by cores": {"efficiency": gained}}}


def beside(folder: Path, arguments: Arguments, images: int, more=()) -> Fields:
    """The package now, with more words, and before."""
    runs = {
        BEFORE: partial(predict, older(arguments.commit, folder), folder),
        NOW: partial(predict, ROOT, folder, more=more),
    }
    found = in_turns(runs, arguments.repetitions)
    return compared(found) | {"runs": with_rates(found, images)}


def compared(found: Found) -> dict[str, Any]:
    """The spread of each figure, and its ratio, now to before, turn by turn."""
    shares = {
        key: ratio(*([one[key] for one in found[who]] for who in (NOW, BEFORE)))
        for key in found[NOW][0]
    }
    return {"runs": spreads(found), "ratios": {"now / before": shares}}


def with_rates(found: Found, images: int) -> dict[str, Any]:
    """The spreads, and that of the images per second."""
    told = spreads(found)
    for name, each in found.items():
        told[name]["images_per_s"] = spread([images / one["s"] for one in each])
    return told


def predict(code: Path, folder: Path, cpus=None, more: Sequence[str] = ()) -> dict[str, float]:
    """What one ``temzoo predict`` takes by the package in ``code``, on some of the processors."""
    out = Path(tempfile.mkdtemp(prefix="out-", dir=folder))
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus or before)  # a process hands it on
        words = ["predict", "micrographs", "--out", str(out / "found"), *more]
        return once([*CALL, *words], folder, code=code)
    finally:
        os.sched_setaffinity(0, before)
        shutil.rmtree(out)


def older(commit: str, folder: Path) -> Path:
    """All files of a commit, below a folder; a ValueError where git does not know it."""
    command = ["git", "-C", str(ROOT), "archive", commit]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise ValueError(f"--commit names one of this repository. Received: {commit}. git: {said}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder / commit, filter="data")
    return folder / commit


def draw(folder: Path, *, sides: Sequence[int]) -> None:
    """Writes drawn micrographs: the first a TIFF, the second a PNG, the third an MRC, and so on."""
    folder.mkdir(exist_ok=True)
    for seed, side in enumerate(sides):
        drawn, _ = synthesize(seed, size=side, n_particles=side * side // AREA_PER_PARTICLE)
        pixels, name = np.asarray(drawn.pixels), f"{folder}/{seed:03d}"
        if seed % 3 == 0:
            tifffile.imwrite(f"{name}.tif", pixels)
        elif seed % 3 == 1:
            cv2.imwrite(f"{name}.png", pixels)
        else:  # MRC2014 (doi:10.1016/j.jsb.2015.04.002), mode 6 (uint16), without calibration
            header = bytearray(1024)
            struct.pack_into("<4i", header, 0, *pixels.shape[::-1], 1, 6)
            struct.pack_into("<4s4s", header, 208, b"MAP ", bytes([0x44, 0x44, 0, 0]))
            Path(f"{name}.mrc").write_bytes(bytes(header) + pixels.astype("<u2").tobytes())


MEASUREMENTS: dict[str, Callable] = {
    **{name: partial(measure, name) for name in PREDICTIONS},
    **{name: partial(learning, name) for name in TRAININGS},
    "install": installed,
}
