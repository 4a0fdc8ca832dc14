"""The benchmarks: ``python -m benchmarks COMMAND``, or ``temzoo benchmark COMMAND``.

    python -m benchmarks all --quick   # everything small, on drawn micrographs; needs no data
    python -m benchmarks all           # with ../shared/data; hours
    python -m benchmarks all --resume  # what a run that was stopped has not done
    python -m benchmarks accuracy --weights unet_mobilenet/emps --data emps

Every result is a record in ``results/KIND.json``, and ``results/README.md`` with its plots is made
anew from all of them. ``python -m benchmarks COMMAND --help`` says what a command measures and how,
and what it takes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import commands, own
from benchmarks.commands import COMMANDS, UNDER_JAX
from benchmarks.records import (
    keep,
    measuring,
    result,
    use_encoder_beside,
    versions,
    write_json,
)

CURVE = ("5", "10", "20", "50", "293")
DATASETS = ("emps", "super1")  # of the shipped weights, whose names begin with theirs
# What ``all`` runs, one after the other; a list of words for each.
QUICK = (
    ("startup",),
    ("labels",),
    ("measure",),
    ("pipeline",),
    ("training",),
    ("accuracy", "--weights", "otsu"),
    ("accuracy", "--curve", "2", "8"),
    ("accuracy", "--weights", "vae/particles"),
    ("throughput",),
    ("precision",),
    ("peers", "--names", "temzoo-unet", "pytorch-unet", "sklearn"),
)
FULL = (
    ("peers", "--setup"),
    ("startup",),
    ("labels",),
    ("measure",),
    ("pipeline",),
    ("training",),
    ("throughput",),
    ("accuracy", "--data", "emps", "--curve", *CURVE),
    ("accuracy", "--data", "emps", "--curve", *CURVE, "--curve-model", "unet_mobilenet"),
    ("peers", "--minutes", "2"),  # of nine contestants: half an hour
    ("peers", "--speed"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and writes the page; gives the exit status."""
    arguments = commands.asked(sys.argv[1:] if argv is None else argv, __doc__)
    own.load(arguments.own)
    use_encoder_beside(arguments.data_folder)
    if arguments.command == "all":
        return run_all(arguments)
    try:
        with measuring():
            for record in measured(arguments):
                _show(record, arguments.out)
    finally:
        if arguments.command not in ("ship", *UNDER_JAX):
            from benchmarks.page import write_page

            print(f"page: {write_page(arguments.out)}", flush=True)
    return 0


def measured(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The records of a command, as they come."""
    if arguments.command == "page":
        return
    for told in _measurements(module_of(arguments.command), arguments):
        if told is not None:
            usual = {"what": arguments.command, "quick": arguments.quick}
            yield result(**{**usual, "command": arguments.again(), **told})


def module_of(command: str) -> Any:
    """A command's module, and the backend that it needs."""
    if command in UNDER_JAX:
        from benchmarks.gpu import use_jax

        use_jax()
    else:
        from temzoo.cli.common import load_tensorflow

        load_tensorflow()
    return importlib.import_module(f"benchmarks.{COMMANDS[command][0]}")


def _measurements(module: Any, arguments: argparse.Namespace) -> Iterator[dict | None]:
    if not hasattr(module, "MEASUREMENTS"):
        yield from module.main(arguments) or ()
        return
    names = [arguments.names] if isinstance(arguments.names, str) else arguments.names
    for name in module.MEASUREMENTS if "all" in names else names:
        told = module.MEASUREMENTS[name](arguments)
        usual = {"name": name, "command": arguments.again(names=name)}
        yield told and {**usual, **told}


def _show(record: dict, out: Path) -> None:
    """Keeps a record and prints what the page will say of it."""
    from benchmarks.page import shown

    print(*shown(record), f"record: {keep(record, out)}", sep="\n", flush=True)


def shipped() -> list[tuple[str, ...]]:
    """Steps for the shipped weights: each dataset's beside the baselines, the VAEs, precisions."""
    steps = []
    for name in DATASETS:
        judged, pixels = (
            [each for task in tasks for each in _weights_of(task) if f"/{name}" in each]
            for tasks in (("semantic", "instance", "restoration"), ("semantic",))
        )
        if judged:
            words = ("accuracy", "--data", name, "--weights", "otsu", "--compare", "forest")
            steps.append((*words, *judged))
            steps += [("precision", "--data", name, "--weights", each) for each in pixels]
    return [*steps, *(("accuracy", "--weights", each) for each in _weights_of("generative"))]


def _weights_of(task: str) -> list[str]:
    """MODEL/NAME of all that are shipped."""
    import temzoo
    from temzoo.zoo import pretrained

    models = temzoo.list_models(task=task)
    return [f"{model}/{name}" for model in models for name in pretrained.available(model)]


def run_all(arguments: argparse.Namespace) -> int:
    """Every step, each told apart by a line with its minutes; one that fails stops no other.

    Returns:
        1 when a step failed, with its error printed; else 0.
    """
    common = ["--out", str(arguments.out), "--data-folder", str(arguments.data_folder)]
    common += [word for path in arguments.own for word in ("--with", str(path))]
    progress = Progress(arguments)
    if not (arguments.resume or arguments.only):
        progress.forget()
    broken: set[str] = set()
    steps = planned(arguments.quick, arguments.only)
    for number, words in enumerate(steps, 1):
        print(f"Step {number} of {len(steps)}", flush=True)
        if arguments.resume and " ".join(words) in progress.finished:
            print(f"== {' '.join(words)}: done before", flush=True)
        elif _step([*words, *["--quick"] * arguments.quick, *common]):
            broken.add(words[0])  # what follows of the same command may build on it
        progress.note(words, broken)
    if not (broken or arguments.only):
        progress.forget()
    return int(bool(broken))


def planned(quick: bool, only: Sequence[str] | None = None) -> list[tuple[str, ...]]:
    """The words of every step, or of those of some commands."""
    found = QUICK if quick else (*FULL, *shipped())
    return [words for words in found if not only or words[0] in only]


def _step(words: Sequence[str]) -> int:
    began = time.monotonic()
    print(f"== {' '.join(words)}", flush=True)
    try:
        status = main(words)
    except (Exception, SystemExit) as error:  # whatever it is, hours of other steps go on
        if os.environ.get("TEMZOO_TRACEBACK"):
            raise
        print(f"{words[0]} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        status = 1
    print(f"== {words[0]}: {(time.monotonic() - began) / 60:.1f} min", flush=True)
    return status


class Progress:
    """The finished steps of ``all``, on disk after each, so that ``--resume`` goes on.

    The list counts only with the processor, cores, versions and data that it was made with: one
    run's figures are of one machine. The quick run has a list of its own.

    Attributes:
        finished: the words of each step.
    """

    def __init__(self, arguments: argparse.Namespace):
        from temzoo.training.run_folder import hardware

        self._path = arguments.out / f".all-{'quick' if arguments.quick else 'full'}.json"
        machine, data = hardware(), str(arguments.data_folder.resolve())
        self._where = {key: machine[key] for key in ("processor", "cores")}
        self._where |= {"versions": versions(), "data": data}
        known = {"where": self._where, "finished": []}
        if self._path.is_file():
            known = json.loads(self._path.read_text(encoding="utf-8"))
        if arguments.resume and known["where"] != self._where:
            print("Begun anew: the run that was stopped is of other hardware, versions or data.")
        self.finished = known["finished"] if known["where"] == self._where else []

    def note(self, words: Sequence[str], broken: set[str]) -> None:
        """Keeps a step as done, and none of the commands that broke."""
        done = dict.fromkeys([*self.finished, " ".join(words)])
        self.finished = [step for step in done if step.split()[0] not in broken]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, {"where": self._where, "finished": self.finished})

    def forget(self) -> None:
        """What comes is a run of its own."""
        self.finished = []
        self._path.unlink(missing_ok=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
