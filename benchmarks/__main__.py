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
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import own
from benchmarks.records import (
    DATA,
    RESULTS,
    keep,
    measuring,
    use_encoder_beside,
    versions,
    write_json,
)

# Commands to their modules, which have ``add_arguments`` and ``main``: it yields records, and its
# return value is the exit status.
COMMANDS = {
    "accuracy": ("accuracy", "IoU, boundaries, objects and sizes of weights; learning curves"),
    "recipe": ("recipes", "train a named recipe on real micrographs and score it"),
    "instances": ("instances", "particles told apart: AP, panoptic quality, counts"),
    "shapes": ("shapes", "whether Mask R-CNN learns outlines, on drawn shapes"),
    "denoise": ("denoise", "restorers beside classical filters: PSNR, SSIM, segmentation"),
    "colour": ("colour", "colouring of grey images, and the check of likeness"),
    "latent": ("latent", "what the latent numbers of VAEs know"),
    "label-next": ("label_next", "whether `temzoo label-next` finds the images with errors"),
    "measure": ("measure", "whether `temzoo measure` is right, and how fast"),
    "tuning": ("tuning", "what a search gains over the default configuration"),
    "variants": ("variants", "IoU of averages of several predictions of an image"),
    "throughput": ("throughput", "speed and memory of networks by engine, batch and size"),
    "precision": ("precision", "speed beside IoU for each engine and precision; tiling"),
    "batch-one": ("batch_one", "an image alone beside one of eight, in OpenVINO"),
    "training": ("training", "speed of training steps; bfloat16, frozen encoders"),
    "pipeline": ("pipeline", "whether training waits for its crops"),
    "labels": ("labels", "reading and drawing of large label files, beside datumaro"),
    "limits": ("limits", "bounds of memory at full size"),
    "startup": ("startup", "seconds until import, help and first prediction"),
    "export": ("export", "seconds and sizes of exports"),
    "peers": ("peers", "other packages on the same data, crops and minutes"),
    "ship": ("ship", "make shipped weights of a finished run"),
    "gpu-pack": ("gpu.packed", "micrographs in one small file, to train on elsewhere"),
    "gpu-train": ("gpu.learning", "train a recipe on a GPU under JAX"),
    "gpu-speed": ("gpu.speed", "speed on a GPU under JAX beside PyTorch"),
}
UNDER_JAX = ("gpu-train", "gpu-speed")  # they need no TensorFlow and write no page
WITHOUT_RECORDS = ("ship", "gpu-pack")
CURVE = ("5", "10", "20", "50", "293")
DATASETS = ("emps", "super1")  # of the shipped weights, whose names begin with theirs
# What ``all`` runs, one after the other; a list of words for each.
QUICK = (
    ("startup",),
    ("labels", "--no-datumaro"),
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
    ("startup",),
    ("labels",),
    ("measure",),
    ("pipeline",),
    ("training",),
    ("throughput",),
    ("accuracy", "--data", "emps", "--curve", *CURVE),
    ("accuracy", "--data", "emps", "--curve", *CURVE, "--curve-model", "unet_mobilenet"),
    ("peers", "--setup"),
    ("peers", "--minutes", "2"),  # of nine contestants: half an hour
    ("peers", "--speed"),
)


def asked(words: Sequence[str]) -> argparse.Namespace:
    """The parsed command line; ``again(**changes)`` of it gives the command that repeats it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=_Raw
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {}
    for name, (_, about) in COMMANDS.items():
        parsers[name] = commands.add_parser(name, help=about, formatter_class=_Raw)
        if name in words[:1]:  # others are not imported: most take TensorFlow
            parsers[name].description = _module(name).__doc__
            _module(name).add_arguments(parsers[name])
    whole = parsers["all"] = commands.add_parser("all", help="all that needs no choice")
    whole.add_argument(
        "--resume", action="store_true", help="leave out what the last run finished on this machine"
    )
    whole.add_argument("--only", nargs="+", choices=[*COMMANDS], help="the steps of these alone")
    parsers["page"] = commands.add_parser("page", help="results/README.md anew from the records")
    for added in parsers.values():
        _add_common(added)
    arguments = parser.parse_args(words)
    arguments.again = _repeating(parsers[arguments.command], arguments)
    return arguments


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Shows a module's head as it is written."""


def _module(command: str):
    if command in UNDER_JAX:
        from benchmarks.gpu import use_jax

        use_jax()
    else:
        from temzoo.cli.common import load_tensorflow

        load_tensorflow()
    return importlib.import_module(f"benchmarks.{COMMANDS[command][0]}")


def _add_common(added: argparse.ArgumentParser) -> None:
    added.add_argument("--quick", action="store_true", help="small: minutes, without data")
    added.add_argument("--out", type=Path, default=RESULTS, help=f"of the results ({RESULTS})")
    added.add_argument("--data-folder", type=Path, default=DATA, help=f"of named datasets ({DATA})")
    own.add_argument(added)


def _repeating(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Callable:
    """``again(**changes)``: the command of these arguments, with some changed."""

    def again(**changes: Any) -> str:
        words, options = ["python", "-m", "benchmarks", arguments.command], []
        for action in parser._actions:
            value = {**vars(arguments), **changes}.get(action.dest)
            if action.dest == "out" or value in (None, False, []) or value == action.default:
                continue
            values = [str(each) for each in (value if isinstance(value, list | tuple) else [value])]
            flag = max(action.option_strings, key=len, default="")
            if not flag:
                words += values
            elif value is True:
                options.append(flag)
            elif isinstance(action, argparse._AppendAction):
                options += [word for each in values for word in (flag, each)]
            else:
                options += [flag, *values]
        return shlex.join([*words, *options])

    return again


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and writes the page; gives the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = asked(words)
    own.load(arguments.own)
    if arguments.command in UNDER_JAX:
        return _measured(arguments)
    use_encoder_beside(arguments.data_folder)
    if arguments.command == "all":
        status = run_all(arguments)
    elif arguments.command == "page":
        status = 0
    else:
        with measuring():
            status = _measured(arguments)
    if arguments.command not in WITHOUT_RECORDS:
        from benchmarks.page import write_page

        print(f"page: {write_page(arguments.out)}", flush=True)
    return status


def _measured(arguments: argparse.Namespace) -> int:
    """Keeps each record as it comes and shows what the page will say of it."""
    from benchmarks.page import shown

    def records() -> Iterator[dict]:
        return (yield from _module(arguments.command).main(arguments) or ())

    each = records()
    while True:
        try:
            record = next(each)
        except StopIteration as end:
            return int(end.value or 0)
        print(*shown(record), f"record: {keep(record, arguments.out)}", sep="\n", flush=True)


def shipped() -> list[tuple[str, ...]]:
    """Steps for the shipped weights: each dataset's beside the baselines, the VAEs, precisions."""
    import temzoo

    steps = []
    for name in DATASETS:
        judged = [
            f"{model}/{weights}"
            for task in ("semantic", "instance", "restoration")
            for model in temzoo.list_models(task=task)
            for weights in _weights_of(model)
            if weights.startswith(name)
        ]
        if judged:
            words = ("accuracy", "--data", name, "--weights", "otsu", "--compare", "forest")
            steps.append((*words, *judged))
            pixels = temzoo.list_models(task="semantic")
            measured = [each for each in judged if each.partition("/")[0] in pixels]
            steps += [("precision", "--data", name, "--weights", each) for each in measured]
    drawn = [f"{m}/{w}" for m in temzoo.list_models(task="generative") for w in _weights_of(m)]
    return [*steps, *(("accuracy", "--weights", each) for each in drawn)]


def _weights_of(model: str) -> list[str]:
    from temzoo.zoo import pretrained

    return list(pretrained.available(model))


def run_all(arguments: argparse.Namespace) -> int:
    """Every step, each told apart by a line with its minutes; one that fails stops no other.

    Returns:
        1 when a step failed, with its error printed; else 0.
    """
    common = ["--out", str(arguments.out), "--data-folder", str(arguments.data_folder)]
    common += [word for path in arguments.own for word in ("--with", str(path))]
    progress = Progress(arguments.out, arguments.data_folder, quick=arguments.quick)
    if arguments.resume and progress.elsewhere:
        print("Begun anew: the run that was stopped is of other hardware, versions or data.")
    if not (arguments.resume or arguments.only):
        progress.forget()
    broken: set[str] = set()
    steps = planned(arguments.quick, arguments.only)
    for number, words in enumerate(steps, 1):
        print(f"Step {number} of {len(steps)}", flush=True)
        if arguments.resume and progress.has(words):
            print(f"== {' '.join(words)}: done before", flush=True)
        elif _step([*words, *["--quick"] * arguments.quick, *common]):
            broken.add(words[0])  # what follows of the same command may build on it
            progress.drop(words[0])
        elif words[0] not in broken:
            progress.add(words)
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
    return int(bool(status))


class Progress:
    """The finished steps of ``all``, on disk after each, so that ``--resume`` goes on.

    The list counts only with the processor, cores, versions and data that it was made with: one
    run's figures are of one machine.

    Args:
        folder: of the results.
        data: folder of the named datasets.
        quick: whether the run is the quick one, which has a list of its own.

    Attributes:
        elsewhere: whether there is a list, of another machine, other versions or data.
    """

    def __init__(self, folder: Path, data: Path, *, quick: bool):
        from temzoo.training.run_folder import hardware

        self._path = folder / f".all-{'quick' if quick else 'full'}.json"
        machine = hardware()
        self._where = {key: machine[key] for key in ("processor", "cores")}
        self._where |= {"versions": versions(), "data": str(data.resolve())}
        known = {"where": self._where, "finished": []}
        if self._path.is_file():
            known = json.loads(self._path.read_text(encoding="utf-8"))
        self.elsewhere = known["where"] != self._where
        self._finished: list[str] = [] if self.elsewhere else known["finished"]

    def has(self, words: Sequence[str]) -> bool:
        """Whether a step ran to its end."""
        return " ".join(words) in self._finished

    def add(self, words: Sequence[str]) -> None:
        """Keeps a step as done."""
        if not self.has(words):
            self._finished.append(" ".join(words))
        self._write()

    def drop(self, command: str) -> None:
        """The steps of a command are to be done again."""
        self._finished = [step for step in self._finished if step.split()[0] != command]
        self._write()

    def forget(self) -> None:
        """What comes is a run of its own."""
        self._finished = []
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, {"where": self._where, "finished": self._finished})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
