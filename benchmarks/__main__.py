"""The benchmark suite: ``python -m benchmarks COMMAND``, or ``temzoo benchmark COMMAND``.

    python -m benchmarks all --quick   # everything small, on drawn micrographs; needs no data
    python -m benchmarks all           # with ../shared/data; hours
    python -m benchmarks all --resume  # what a run that was stopped has not done
    python -m benchmarks accuracy --weights unet_mobilenet/emps --data emps

Every result is written as one JSON file into ``results/suite/``, and ``results/README.md`` with its
plots is made anew from all of them. Each command says by ``--help`` what it takes, and the head of
its module in ``benchmarks/suite/`` how it measures.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import own
from benchmarks.records import RESULTS, measuring, use_encoder_beside
from temzoo.cli.common import load_tensorflow

# Subcommands to the modules with ``add_arguments`` and ``main``.
COMMANDS = {
    "accuracy": "benchmarks.suite.accuracy",
    "throughput": "benchmarks.suite.throughput",
    "precision": "benchmarks.suite.precision",
    "pipeline": "benchmarks.suite.input_pipeline",
    "training": "benchmarks.suite.training_speed",
    "labels": "benchmarks.suite.labels",
    "measure": "benchmarks.suite.measurement",
    "startup": "benchmarks.suite.startup",
}
# Subcommands to the modules whose ``main`` takes the words as they are.
WHOLE = {
    "peers": ("benchmarks.peers", "other packages, each in an environment of its own"),
}
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


def parser() -> argparse.ArgumentParser:
    """The command line; modules are imported for their options alone, not for TensorFlow."""
    main_parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(module_name)
        head = module.__doc__ or ""
        added = commands.add_parser(
            name,
            help=head.splitlines()[0],
            description=head,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(added)
        _add_common(added)
    for name, (module_name, about) in WHOLE.items():
        added = commands.add_parser(name, help=about, add_help=False)
        added.add_argument("rest", nargs=argparse.REMAINDER, help=f"as {module_name} takes them")
    whole = commands.add_parser("all", help="all of them, then the page")
    whole.add_argument(
        "--resume", action="store_true", help="leave out what the last run finished on this machine"
    )
    names = [*COMMANDS, *WHOLE]
    whole.add_argument(
        "--only", nargs="+", choices=names, metavar="COMMAND", help="the steps of these alone"
    )
    _add_common(whole)
    _add_common(commands.add_parser("page", help="make the page anew from the records"))
    return main_parser


def _add_common(added: argparse.ArgumentParser) -> None:
    from benchmarks.datasets import DATA

    added.add_argument("--quick", action="store_true", help="small: minutes, without data")
    added.add_argument(
        "--out", type=Path, default=RESULTS, help=f"folder of the results ({RESULTS})"
    )
    added.add_argument("--data-folder", type=Path, default=DATA, help=f"of named datasets ({DATA})")
    own.add_argument(added)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand and writes the page; gives the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in WHOLE:
        return _whole(words[0], words[1:])
    arguments = parser().parse_args(words)
    own.load(arguments.own)
    use_encoder_beside(arguments.data_folder)
    if arguments.command != "page":
        load_tensorflow()
    if arguments.command == "all":
        status = run_all(arguments)
    elif arguments.command == "page":
        status = 0
    else:
        with measuring(_repeating(arguments)):
            status = importlib.import_module(COMMANDS[arguments.command]).main(arguments)
    from benchmarks.suite.page import write_page

    print(f"page: {write_page(arguments.out)}", flush=True)
    return status


def _repeating(arguments: argparse.Namespace) -> list[str]:
    """Words that any command needs to do what this one does: own files, data, how often."""
    from benchmarks.datasets import DATA

    words = _own(arguments)
    if arguments.data_folder.resolve() != DATA.resolve():
        words += ["--data-folder", str(arguments.data_folder)]
    if getattr(arguments, "repetitions", None):
        words += ["--repetitions", str(arguments.repetitions)]
    return words


def _own(arguments: argparse.Namespace) -> list[str]:
    return [word for path in arguments.own for word in ("--with", str(path))]


def _whole(name: str, rest: Sequence[str]) -> int:
    """Hands the words to a module that parses them itself; says so where it is not there."""
    module_name, about = WHOLE[name]
    if importlib.util.find_spec(module_name) is None:
        print(f"{name} ({about}) needs {module_name}, which this checkout does not have yet.")
        return 0
    with measuring():
        status = importlib.import_module(module_name).main(list(rest)) or 0
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--out", type=Path, default=RESULTS)
    return status or main(["page", "--out", str(shared.parse_known_args(rest)[0].out)])


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
    from benchmarks.suite.progress import Progress

    common = ["--out", str(arguments.out), "--data-folder", str(arguments.data_folder)]
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
            continue
        mine = _own(arguments) if words[0] in COMMANDS else []
        status = _step([*words, *["--quick"] * arguments.quick, *common, *mine])
        if status:  # what follows of the same command may build on it
            broken.add(words[0])
            progress.drop(words[0])
        elif words[0] not in broken:
            progress.add(words)
    if not (broken or arguments.only):
        progress.forget()
    return int(bool(broken))


def planned(quick: bool, only: Sequence[str] | None = None) -> list[tuple[str, ...]]:
    """The words of every step, or of those of some subcommands."""
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


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
