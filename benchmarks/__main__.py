"""The benchmarks: ``python -m benchmarks COMMAND``, or ``temzoo benchmark COMMAND``.

    python -m benchmarks all --quick   # everything small, on drawn micrographs; needs no data
    python -m benchmarks all           # with ../shared/data; hours
    python -m benchmarks all --resume  # what a run that was stopped has not done
    python -m benchmarks accuracy --weights unet_mobilenet/emps --data emps

Every result is a record in ``results/KIND.json``, and ``results/README.md`` with its plots is made
anew from all of them. ``python -m benchmarks COMMAND --help`` says what a command measures and how,
and what it takes.
"""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import commands, own
from benchmarks.commands import COMMANDS, UNDER_JAX
from benchmarks.page import shown, write_page
from benchmarks.records import begin, keep, result, versions, write_json
from temzoo.core.files import read_json

DATASETS = ("emps", "super1")  # of the shipped weights, whose names begin with theirs
# What ``all`` runs, one after the other.
QUICK = (
    "startup; labels; measure; pipeline; training; accuracy --weights otsu;"
    " accuracy --weights vae/particles; throughput; precision;"
    " peers --names temzoo-unet pytorch-unet sklearn"
)
# Of nine contestants two minutes are half an hour.
FULL = (
    "peers --setup; startup; labels; measure; pipeline; training; throughput; limits sides;"
    " peers --minutes 2; peers --speed"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and writes the page; gives the exit status."""
    arguments = commands.asked(sys.argv[1:] if argv is None else argv, __doc__)
    own.load(arguments.own)
    encoder = arguments.data_folder.parent / "keras"  # ImageNet's files, where they are
    if (encoder / "models").is_dir():
        os.environ.setdefault("KERAS_HOME", str(encoder))
    if arguments.command == "all":
        return run_all(arguments)
    begin()
    try:
        for record in measured(arguments):
            print(*shown(record), f"record: {keep(record, arguments.out)}", sep="\n", flush=True)
    finally:
        if arguments.command not in ("ship", *UNDER_JAX):
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
    """A command's module, under the backend that it needs; a ValueError where another is chosen."""
    if command in UNDER_JAX:
        chosen = os.environ.setdefault("KERAS_BACKEND", "jax")
        if chosen != "jax":
            raise ValueError(f"{command} needs KERAS_BACKEND=jax. Received: {chosen}. Unset it.")
    else:
        from temzoo.cli.common import load_tensorflow

        load_tensorflow()
    return importlib.import_module(f"benchmarks.{COMMANDS[command][0]}")


def _measurements(module: Any, arguments: argparse.Namespace) -> Iterator[dict | None]:
    """The fields of records, by the names of the module's ``MEASUREMENTS`` or by its ``main``."""
    known = getattr(module, "MEASUREMENTS", None)
    if known is None:
        yield from module.main(arguments) or ()
        return
    asked = [arguments.names] if isinstance(arguments.names, str) else arguments.names
    unknown = [name for name in asked if name not in (*known, "all")]
    if unknown:
        raise ValueError(f"A name is one of {', '.join(known)}, all. Received: {unknown[0]}.")
    for name in known if "all" in asked else asked:
        told = known[name](arguments)
        yield told and {"name": name, "command": arguments.again(names=name), **told}


def shipped() -> list[str]:
    """Steps for the shipped weights: each dataset's beside the baselines, the VAEs, precisions."""
    steps = []
    for name in DATASETS:
        pixels, objects = (
            [each for each in _weights_of(task) if f"/{name}" in each]
            for task in ("semantic", "instance")
        )
        beside = f"--weights otsu --compare forest {' '.join([*pixels, *objects])}"
        steps.append(f"accuracy --data {name} {beside}")
        steps += [f"precision --data {name} --weights {each}" for each in pixels]
    return [*steps, *(f"accuracy --weights {each}" for each in _weights_of("generative"))]


def _weights_of(task: str) -> list[str]:
    """MODEL/NAME of all that are shipped."""
    import temzoo
    from temzoo.zoo import pretrained

    models = temzoo.list_models(task=task)
    return [f"{model}/{name}" for model in models for name in pretrained.available(model)]


def run_all(arguments: argparse.Namespace) -> int:
    """Every step, each told apart by a line with its minutes; one that fails stops no other.

    The finished steps are on disk after each, so that ``--resume`` goes on. They count only with
    the processor, cores, versions and data that they were run with: one run's figures are of one
    machine. Gives 1 when a step failed, with its error printed; else 0.
    """
    from temzoo.training.run_folder import hardware

    common = ["--out", str(arguments.out), "--data-folder", str(arguments.data_folder)]
    common += [word for path in arguments.own for word in ("--with", str(path))]
    path = arguments.out / f".all-{'quick' if arguments.quick else 'full'}.json"
    machine, data = hardware(), str(arguments.data_folder.resolve())
    where = {key: machine[key] for key in ("processor", "cores")}
    where |= {"versions": versions(), "data": data}
    stopped = read_json(path) if path.is_file() and arguments.resume else {"where": where}
    if stopped["where"] != where:
        print("Begun anew: the run that was stopped is of other hardware, versions or data.")
        stopped = {}
    finished = stopped.get("finished", [])
    broken: set[str] = set()
    steps = planned(arguments.quick)
    for number, step in enumerate(steps, 1):
        words = step.split()
        print(f"Step {number} of {len(steps)}", flush=True)
        if step in finished:
            print(f"== {step}: done before", flush=True)
            continue
        if _step([*words, *["--quick"] * arguments.quick, *common]):
            broken.add(words[0])  # what follows of the same command may build on it
        finished = [each for each in (*finished, step) if each.split()[0] not in broken]
        write_json(path, {"where": where, "finished": finished})
    if not broken:
        path.unlink(missing_ok=True)
    return int(bool(broken))


def planned(quick: bool) -> list[str]:
    return QUICK.split("; ") if quick else [*FULL.split("; "), *shipped()]


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


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
