"""Other packages on the same data: same split, same crops, same minutes, same metric code.

    python -m benchmarks peers --setup                     # an environment for each, by pip
    python -m benchmarks peers --data emps --minutes 5     # trains and judges all of them
    python -m benchmarks peers --speed                     # one U-Net in every engine
    python -m benchmarks peers --table                     # peers.md anew from the records

A contestant learns for so many minutes of processor time on each of ``--threads`` cores, from one
list of crops at stored resolution with their quarter turns and mirrors; nobody sees the labels that
judge. Then it predicts whole micrographs at full resolution, and ``temzoo.evaluation`` scores what
it wrote. Who is finished for the same job is not run again; ``--work`` holds what they wrote.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import own

# Options that decide what is measured.
TOLD = (
    "data",
    "images",
    "minutes",
    "threads",
    "crop",
    "batch",
    "seed",
    "names",
    "encoder_weights",
)
TOLD_OF_SPEED = ("threads", "repetitions")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what the words ask for; gives the exit status."""
    from benchmarks.records import use_encoder_beside

    arguments = parser().parse_args(argv)
    own.load(arguments.own)
    if arguments.setup is not None:
        return _set_up(arguments)
    use_encoder_beside(arguments.data_folder)
    if arguments.speed:
        _speed(arguments)
    elif not arguments.table:
        _contest(arguments)
    from benchmarks.peers.table import write_table

    print(f"table: {write_table(arguments.out)}", flush=True)
    return 0


def parser() -> argparse.ArgumentParser:
    from benchmarks.datasets import DATA
    from benchmarks.peers.contestants import ALL
    from benchmarks.peers.environments import FOLDER
    from benchmarks.records import RESULTS

    added = argparse.ArgumentParser(
        prog="python -m benchmarks peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.add_argument("--setup", nargs="*", metavar="NAME", help="make these environments; all")
    added.add_argument("--environments", type=Path, default=FOLDER, help=f"folder ({FOLDER})")
    added.add_argument("--data", default="emps", help="a dataset's name or folder (emps)")
    added.add_argument("--data-folder", type=Path, default=DATA, help=f"of named datasets ({DATA})")
    added.add_argument("--images", type=int, nargs=2, metavar=("TRAIN", "VAL"), help="at most")
    added.add_argument("--minutes", type=float, default=5.0, help="of learning (5)")
    added.add_argument("--threads", type=int, default=2, help="of each contestant (2)")
    added.add_argument("--crop", type=int, default=256, help="side, px (256)")
    added.add_argument("--batch", type=int, default=8, help="crops of a step (8)")
    added.add_argument("--seed", type=int, default=0)
    added.add_argument("--names", nargs="+", choices=[*ALL], metavar="NAME", help=", ".join(ALL))
    added.add_argument(
        "--encoder-weights", help='of segmentation_models.pytorch: "imagenet" downloads; else none'
    )
    added.add_argument("--speed", action="store_true", help="speed of one architecture instead")
    added.add_argument("--repetitions", type=int, default=7, help="of --speed (7)")
    added.add_argument("--table", action="store_true", help="write the table alone")
    added.add_argument("--quick", action="store_true", help="20 s each on 6 drawn micrographs")
    added.add_argument("--work", type=Path, default=Path("runs") / "peers", help="(runs/peers)")
    added.add_argument("--out", type=Path, default=RESULTS, help=f"of the results ({RESULTS})")
    own.add_argument(added)
    return added


def _set_up(arguments: argparse.Namespace) -> int:
    from benchmarks.peers.environments import set_up

    found = set_up(arguments.setup, arguments.environments)
    for name, state in found.items():
        print(f"{name}: {state}", flush=True)
    return int(any(state != "ready" for state in found.values()))


def _contest(arguments: argparse.Namespace) -> None:
    from benchmarks.peers.contest import contest
    from benchmarks.peers.contestants import ALL
    from benchmarks.peers.jobs import write_job
    from benchmarks.records import keep, result

    dataset = _dataset(arguments)
    minutes = 1 / 3 if arguments.quick else arguments.minutes
    work = arguments.work.resolve() / f"{'quick-' * arguments.quick}{dataset.name}"
    settings = {key: getattr(arguments, key) for key in ("crop", "batch", "threads", "seed")}
    told = write_job(work / "job", dataset, minutes=minutes, **settings)
    given = {"encoder_weights": arguments.encoder_weights}
    options = given if arguments.encoder_weights else None
    names = arguments.names or [*ALL]
    places = {"environments": arguments.environments.resolve(), "options": options}
    rows = contest(names, work / "job", work, dataset.val, **places)
    # What earlier runs finished stands in the record too, so its command must name it.
    arguments.names = None if len(rows) == len(ALL) else [*rows]
    record = result(
        "peers",
        f"{dataset.name}-{minutes:.3g}-min",
        about=f"{minutes:.3g} minutes on {arguments.threads} cores, {dataset.name}",
        command=_command(arguments),
        figures={"contestants": rows},
        quick=arguments.quick,
        dataset=told["dataset"],
        seed=arguments.seed,
        job=told,
    )
    print(keep(record, arguments.out), flush=True)


def _dataset(arguments: argparse.Namespace):
    from dataclasses import replace

    from benchmarks.datasets import open_dataset, synthetic

    if arguments.quick:
        return synthetic(train=6, val=3, size=256)
    found = open_dataset(arguments.data, data=arguments.data_folder)
    if arguments.images:
        train, val = arguments.images
        found = replace(found.drawn(min(train, len(found.train))), val=found.val[:val])
    return found


def _speed(arguments: argparse.Namespace) -> None:
    from benchmarks.peers.speed import measure
    from benchmarks.records import keep, result

    found = measure(
        environments=arguments.environments.resolve(),
        threads=arguments.threads,
        repetitions=2 if arguments.quick else arguments.repetitions,
        filters=8 if arguments.quick else 32,
    )
    record = result(
        "peers",
        f"speed-{found['config']['filters']}-filters",
        command=_command(arguments),
        figures={"cells": found.pop("cells")},
        quick=arguments.quick,
        seed=0,
        **found,
    )
    print(keep(record, arguments.out), flush=True)


def _command(arguments: argparse.Namespace) -> str:
    """The words that repeat it: what was asked for, and of the rest what is not as usual."""
    usual = parser()
    words = ["python -m benchmarks peers", *["--speed"] * arguments.speed]
    for key in TOLD_OF_SPEED if arguments.speed else TOLD:
        value = getattr(arguments, key)
        if key in ("data", "minutes", "threads") or value != usual.get_default(key):
            each = value if isinstance(value, list) else [value]
            words.append(" ".join(map(str, [f"--{key.replace('_', '-')}", *each])))
    return " ".join([*words, *["--quick"] * arguments.quick])
