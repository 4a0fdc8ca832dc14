"""Other packages on the same data: same split, same crops, same minutes, same metric code.

    python -m benchmarks peers --setup                     # an environment for each, by pip
    python -m benchmarks peers --data emps --minutes 5     # trains and judges all of them
    python -m benchmarks peers --speed                     # one U-Net in every engine

A contestant learns for so many minutes of processor time on each of ``--threads`` cores, from one
list of crops at stored resolution with their quarter turns and mirrors; nobody sees the labels that
judge. Then it predicts whole micrographs at full resolution, and ``temzoo.evaluation`` scores what
it wrote; ``--work`` holds it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.datasets import Dataset, open_dataset, synthetic
from benchmarks.peers import contest, environments, jobs, speed
from benchmarks.peers.contestants import ALL
from benchmarks.peers.environments import FOLDER
from benchmarks.records import result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--setup", nargs="*", metavar="NAME", help="make these environments; all")
    parser.add_argument("--environments", type=Path, default=FOLDER, help=f"folder ({FOLDER})")
    parser.add_argument("--data", default="emps", help="a dataset's name or folder (emps)")
    parser.add_argument("--images", type=int, nargs=2, metavar=("TRAIN", "VAL"), help="at most")
    parser.add_argument("--minutes", type=float, default=5.0, help="of learning (5)")
    parser.add_argument("--threads", type=int, default=2, help="of each contestant (2)")
    parser.add_argument("--crop", type=int, default=256, help="side, px (256)")
    parser.add_argument("--batch", type=int, default=8, help="crops of a step (8)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--names", nargs="+", choices=[*ALL], metavar="NAME", help=", ".join(ALL))
    parser.add_argument(
        "--encoder-weights", help='of segmentation_models.pytorch: "imagenet" downloads; else none'
    )
    parser.add_argument("--speed", action="store_true", help="speed of one architecture instead")
    parser.add_argument("--repetitions", type=int, default=7, help="of --speed (7)")
    parser.add_argument("--work", type=Path, default=Path("runs") / "peers", help="(runs/peers)")


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    arguments.environments = arguments.environments.resolve()
    if arguments.setup is not None:
        found = environments.set_up(arguments.setup, arguments.environments)
        print(*(f"{name}: {state}" for name, state in found.items()), sep="\n", flush=True)
        return any(state != "ready" for state in found.values())
    yield _speed(arguments) if arguments.speed else _contest(arguments)
    return 0


def _contest(arguments: argparse.Namespace) -> dict[str, Any]:
    dataset = _dataset(arguments)
    minutes = 1 / 3 if arguments.quick else arguments.minutes
    work = arguments.work.resolve() / f"{'quick-' * arguments.quick}{dataset.name}"
    settings = {key: getattr(arguments, key) for key in ("crop", "batch", "threads", "seed")}
    told = jobs.write_job(work / "job", dataset, minutes=minutes, **settings)
    weights = arguments.encoder_weights
    options = {"encoder_weights": weights} if weights else None
    places = {"environments": arguments.environments, "options": options}
    names = arguments.names or [*ALL]
    rows = contest.contest(names, work / "job", work, dataset.val, **places)
    return result(
        "peers",
        f"{dataset.name}-{minutes:.3g}-min",
        about=f"{minutes:.3g} minutes on {arguments.threads} cores, {dataset.name}",
        command=arguments.again(),
        figures={"contestants": rows},
        quick=arguments.quick,
        dataset=told.pop("dataset"),
        seed=arguments.seed,
        settings=told,
    )


def _dataset(arguments: argparse.Namespace) -> Dataset:
    if arguments.quick:
        return synthetic(train=6, val=3, size=256)
    found = open_dataset(arguments.data, data=arguments.data_folder)
    if arguments.images:
        train, val = arguments.images
        found = replace(found.drawn(min(train, len(found.train))), val=found.val[:val])
    return found


def _speed(arguments: argparse.Namespace) -> dict[str, Any]:
    quick = arguments.quick
    filters = 8 if quick else 32
    found = speed.measure(
        environments=arguments.environments,
        threads=arguments.threads,
        repetitions=2 if quick else arguments.repetitions,
        filters=filters,
    )
    told = {"command": arguments.again(), "quick": quick, "seed": 0}
    return result("engines", f"{filters}-filters", **told, **found)
