"""Temzoo's commands as processes that begin at once, and readers of all that they write.

The parent imports what the commands need, and forks a child for each: the child has a process group
of its own and calls ``temzoo.cli.main`` as the command does, without the five seconds of importing
TensorFlow. The parent itself computes nothing by TensorFlow, whose threads a fork would not have.
"""

import contextlib
import csv
import importlib
import io
import json
import os
import re
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import h5py
import numpy as np
import tifffile

from temzoo import cli
from temzoo.data.synthetic.synthesize import write_dataset
from temzoo.zoo import pretrained

HEAVY = ("tensorflow", "keras", "keras_tuner", "matplotlib.pyplot", "skimage.measure", "pandas")
HEAVY += ("temzoo.workflows.training", "temzoo.workflows.predict_folder", "temzoo.deploy")
HEAVY += ("temzoo.workflows.restore_folder", "temzoo.pages.report")
NO_RESULTS = ("tensorboard",)  # logs, which are appended to
LEFTOVERS = (".partial-*", ".exporting-*", "*.lock")
# What differs between two runs that are the same: times, and what was typed.
STATED = ("date", "seconds", "minutes", "command", "sessions", "exported", "created", "commit")
STATED += ("starts", "from_epoch", "from_step")  # how often a trial of a search was begun
MINUTE = r" on [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}"  # of a report
STATED += ("sha256",)  # of weights: the file holds the running numbers of Keras' layers
TOLD = (*STATED, "status")  # in tables: the row of a prediction that an earlier job made says so


def import_heavy() -> None:
    """Imports what the commands import, quietly."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        for name in HEAVY:
            importlib.import_module(name)
    finally:
        os.dup2(kept, 2)


@dataclass
class Process:
    """A command that runs; its output is in ``log``."""

    pid: int
    log: Path
    began: float
    status: int | None = None

    def poll(self) -> int | None:
        """The exit status; -N after signal N; None while it runs."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def wait(self, until: Callable[[], bool] = lambda: False, seconds: float = 300) -> int | None:
        """The exit status, or None where what is waited for came first."""
        while self.poll() is None and not until():
            if time.monotonic() - self.began > seconds:
                self.kill()
                raise TimeoutError(f"{self.log.read_text()[-500:]}\n{seconds} s went by")
            time.sleep(0.005)
        return self.status

    def kill(self) -> None:
        """Kills the whole group, unless it has ended."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            while self.poll() is None:
                time.sleep(0.005)


def start(words: list, log: Path, before: Callable[[], None] = lambda: None) -> Process:
    """A command in a process group of its own.

    Args:
        before: called in the child first, for limits of its own.
    """
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        _be_the_command([str(word) for word in words], log, before)
    with contextlib.suppress(OSError):  # whichever of the two is first
        os.setpgid(pid, pid)
    return Process(pid, log, time.monotonic())


def _be_the_command(words: list[str], log: Path, before: Callable[[], None]) -> None:
    status = 70
    try:
        os.setpgid(0, 0)
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(written, 1)
        os.dup2(written, 2)
        sys.argv = ["temzoo", *words]
        before()
        cli.main()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(status)


@dataclass(frozen=True)
class Job:
    """A command that is killed.

    Attributes:
        words: the command's, of the folder that it writes to.
        again: those that go on after a kill; None: the same.
        begun: a file that is there once its work has begun, where kills begin; "": at the start.
    """

    name: str
    words: Callable[[Path], list]
    again: Callable[[Path], list] | None = None
    begun: str = ""

    def repeated(self, out: Path) -> list:
        return (self.again or self.words)(out)


def inputs(folder: Path) -> dict[str, Path]:
    """Micrographs, labels, weights of a tiny network, and predictions by them."""
    scene = {"size": 96, "n_particles": 5, "diameter_nm": (6.0, 16.0)}
    images, labels = write_dataset(folder / "data", n=6, **scene)
    made = {"images": images, "labels": labels, "run": folder / "run", "predictions": folder / "p"}
    train = ["train", "unet", "--images", images, "--labels", labels, "--out", made["run"]]
    train += [*SMALL, "--epochs", 3]
    for words in (train, ["predict", made["run"], images, "--out", made["predictions"]]):
        process = start(words, folder / "log")
        if process.wait():
            raise RuntimeError((folder / "log").read_text())
    return made


SMALL = ["--set", "filters=4", "--set", "depth=1", "--crop", 32, "--batch", 2, "--steps", 8]
SMALL += ["--augment", "light", "--val", 0.3, "--average", 0.9]


def all_jobs(made: dict[str, Path]) -> list[Job]:
    """The commands that write files which somebody keeps."""
    images, labels, run = made["images"], made["labels"], made["run"]
    given = ["--images", images, "--labels", labels]
    train = ["train", "unet", *given, *SMALL, "--epochs", 3, "--save-every", 1e-3]
    few = ["--search", "filters=[2,4]", "--search", "loss=None", "--search", "batch=None"]
    few += ["--search", "dropout=None", "--search", "norm=None", "--set", "depth=1"]
    tune = ["tune", "unet", *given, "--crop", 32, "--steps", 3, "--epochs", 2, "--trials", 2]
    tune += ["--val", 0.3, *few]
    return [
        Job("convert", lambda o: ["labels", "convert", labels, o / "coco.json", "--to", "coco"]),
        Job("convert-masks", lambda o: ["labels", "convert", labels, o / "masks", "--to", "masks"]),
        Job("measure", lambda o: ["measure", made["predictions"], "--out", o]),
        Job("report", lambda o: ["report", made["predictions"], "--out", o / "report.html"]),
        Job("predict", lambda o: ["predict", run, images, "--out", o, "--format", "cvat,coco"]),
        Job("restore", lambda o: ["restore", "autoencoder/emps-denoise", images, "--out", o]),
        Job("export", lambda o: ["export", run, o, "--version", 1]),
        Job(
            "train",
            lambda o: [*train, "--out", o],
            lambda o: [*train, "--out", o, *(["--resume"] * (o / "state/progress.json").exists())],
            begun="run.json",
        ),
        Job(
            "tune",
            lambda o: [*tune, "--out", o],
            lambda o: [*tune, "--out", o, *(["--resume"] * (o / "search.json").exists())],
        ),
    ]


def cluster_job(made: dict[str, Path]) -> Job:
    """Predictions on the Ray cluster that runs here: the driver alone is killed."""
    given = ["predict", made["run"], made["images"], "--cluster", "auto"]
    return Job("cluster", lambda o: [*given, "--out", o])


def results(out: Path) -> dict[str, Path]:
    """Files under final names, by their path below a folder."""
    found = {}
    for path in sorted(out.rglob("*")):
        parts = path.relative_to(out).parts
        hidden = any(part.startswith((".partial-", ".exporting-")) for part in parts)
        if path.is_file() and not hidden and not any(part in NO_RESULTS for part in parts):
            found["/".join(parts)] = path
    return found


def leftovers(out: Path) -> list[str]:
    return [str(path.relative_to(out)) for ending in LEFTOVERS for path in out.rglob(ending)]


def damaged(out: Path) -> Iterator[str]:
    """What is wrong with each file under a final name that is not whole."""
    for name, path in results(out).items():
        try:
            _open(path)
        except Exception as error:
            yield f"{name}: {type(error).__name__}: {error}"


def _open(path: Path) -> None:
    """Reads a file to its end, by its kind; raises where that fails."""
    kind = path.suffix.lower()
    if kind == ".json":
        json.loads(path.read_text())
    elif kind == ".toml":
        tomllib.loads(path.read_text())
    elif kind == ".csv":
        text = path.read_text()
        rows = list(csv.reader(io.StringIO(text)))
        if not text.endswith("\n") or len({len(row) for row in rows}) != 1:
            raise ValueError("rows of several lengths, or no end of a line")
    elif kind in (".png", ".jpg"):
        if cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is None:
            raise ValueError("no picture")
    elif kind in (".tif", ".tiff"):
        tifffile.imread(path)
    elif kind == ".h5":
        arrays(path)
        if path.parent.name != "state":
            pretrained.find_trained(path).check()  # of its card
    elif kind == ".npz":
        with np.load(path, allow_pickle=False) as stored:
            [stored[name] for name in stored.files]
    elif kind == ".xml":
        ElementTree.parse(path)
    elif kind == ".html":
        if not path.read_text().rstrip().endswith("</html>"):
            raise ValueError("no end of the page")
    elif kind == ".pb":
        from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2

        message = fingerprint_pb2.FingerprintDef() if "finger" in path.name else None
        (message or saved_model_pb2.SavedModel()).ParseFromString(path.read_bytes())
    elif kind == ".parquet":
        import pandas

        pandas.read_parquet(path)
    elif kind == ".index":
        variables(path)
    elif kind in (".md", ".txt", ".config", ".data-00000-of-00001"):
        if not path.stat().st_size:
            raise ValueError("empty")
    else:
        raise ValueError(f"no reader of {kind!r} here")


def arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an HDF5 file."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def variables(index: Path) -> dict[str, np.ndarray]:
    """All variables of a SavedModel; its graph of objects, which is no array, is left out."""
    from tensorflow.train import load_checkpoint

    reader = load_checkpoint(str(index.with_suffix("")))
    names = (n for n in reader.get_variable_to_shape_map() if not n.startswith("_"))
    return {name: reader.get_tensor(name) for name in names}


def differences(out: Path, reference: Path) -> list[str]:
    """How results differ: in files, or in what they hold beside the times that they state."""
    mine, other = results(out), results(reference)
    found = [f"{name}: only in one" for name in mine.keys() ^ other.keys()]
    for name in mine.keys() & other.keys():
        if mine[name].read_bytes() == other[name].read_bytes():
            continue
        if _content(mine[name], out) != _content(other[name], reference):
            found.append(name)
    return sorted(found)


def _content(path: Path, out: Path):
    """What a file holds, without times and the name of the folder."""
    if path.suffix in (".h5", ".index"):
        found = arrays(path) if path.suffix == ".h5" else variables(path)
        held = {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in found.items()}
        return held if path.suffix == ".h5" else sorted(held.values())  # exports number them anew
    if path.suffix == ".pb" or ".data-" in path.suffix:
        return None  # an export answers as the model, or it does not appear; see `.index`
    if path.suffix == ".npz":
        with np.load(path) as stored:
            return {name: stored[name].tobytes() for name in stored.files}
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            return [{k: v for k, v in r.items() if k not in TOLD} for r in rows]
    if path.suffix == ".parquet":
        import pandas

        return pandas.read_parquet(path).drop(columns=[*TOLD], errors="ignore").to_csv()
    if path.suffix in (".json", ".md", ".html"):
        text = re.sub(MINUTE, "", path.read_text().replace(str(out), "OUT"))
        return _untimed(json.loads(text)) if path.suffix == ".json" else text
    return path.read_bytes()


def _untimed(value):
    if isinstance(value, dict):
        return {key: _untimed(one) for key, one in value.items() if key not in STATED}
    return [_untimed(one) for one in value] if isinstance(value, list) else value
