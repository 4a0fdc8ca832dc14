"""Other packages on the same data: same split, same crops, same minutes, same metric code.

    python -m benchmarks peers --setup                     # an environment for each, by pip
    python -m benchmarks peers --data emps --minutes 5     # trains and judges all of them
    python -m benchmarks peers --speed                     # one U-Net in every engine

A contestant learns for so many minutes of processor time on each of ``--threads`` cores, from one
list of crops at stored resolution with their quarter turns and mirrors; nobody sees the labels that
judge. Then it predicts whole micrographs at full resolution, and ``temzoo.evaluation`` scores what
it wrote; ``--work`` holds it. Of the U-Net in every engine: the head of
``benchmarks/beside_torch.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks import beside_torch, environments
from benchmarks.datasets import Dataset, dataset_of, synthetic
from benchmarks.peers import contest, jobs


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    arguments.environments = arguments.environments.resolve()
    if arguments.setup is None:
        if arguments.speed:
            yield beside_torch.on_processor(arguments, contest.threads_of(arguments.threads))
        else:
            yield _contest(arguments)
        return
    found = environments.set_up(arguments.setup, arguments.environments)
    print(*(f"{name}: {state}" for name, state in found.items()), sep="\n", flush=True)
    failed = [name for name, state in found.items() if state != "ready"]
    if failed:
        raise SystemExit(f"Environments are made by pip. Received: no {', '.join(failed)}.")


def _contest(arguments: argparse.Namespace) -> dict[str, Any]:
    dataset = _dataset(arguments)
    minutes = 1 / 3 if arguments.quick else arguments.minutes
    work = arguments.work.resolve() / f"{'quick-' * arguments.quick}{dataset.name}"
    settings = {key: getattr(arguments, key) for key in ("crop", "batch", "threads", "seed")}
    told = jobs.write_job(work / "job", dataset, minutes=minutes, **settings)
    weights = arguments.encoder_weights
    options = {"encoder_weights": weights} if weights else None
    places = {"environments": arguments.environments, "options": options}
    names = arguments.names or [*contest.ALL]
    return {
        "name": f"{dataset.name}-{minutes:.3g}-min",
        "about": f"{minutes:.3g} minutes on {arguments.threads} cores, {dataset.name}",
        "figures": {
            "contestants": contest.contest(names, work / "job", work, dataset.val, **places)
        },
        "dataset": told.pop("dataset"),
        "seed": arguments.seed,
        "settings": told,
    }


def _dataset(arguments: argparse.Namespace) -> Dataset:
    if arguments.quick:
        return synthetic(train=6, val=3, size=256)
    found = dataset_of(arguments)
    if arguments.images:
        train, val = arguments.images
        found = replace(found.drawn(min(train, len(found.train))), val=found.val[:val])
    return found
