"""What a search gains over the default configuration, for each strategy and a fixed budget.

    python -m benchmarks tuning            # all three, about ten minutes on one core
    python -m benchmarks tuning bayesian   # grid, random, bayesian or all

Synthetic micrographs, seeded; a small U-Net. Every strategy searches the same ranges with the same
number of trials, of which the first is the default, and each trial is as short: what is found is
the best setting for a short training, not for a long one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.datasets import Dataset, in_memory
from benchmarks.records import result
from benchmarks.timing import seconds_of
from temzoo.core.types import Example
from temzoo.data.synthetic.scene import Scene
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.workflows.training import tune

STRATEGIES = ("grid", "random", "bayesian")
MODEL = "unet"
CONFIG = {"filters": 8, "depth": 3}
SETTINGS = {"epochs": 4, "crop": 96, "magnification": (1.0, 1.0), "augment": "light"}
SEARCH = {"dropout": None, "upsampling": None}
TRAIN, VAL, SIDE, TRIALS, SEED = 10, 5, 192, 9, 0


def examples(
    count: int, *, first: int = 0, side: int = SIDE, particles: int | tuple[int, int] = (4, 10)
) -> list[Example]:
    """Synthetic micrographs in memory; number i is made from the seed (0, i)."""
    scene = Scene(n_particles=particles, diameter_nm=(8.0, 24.0))
    found = []
    for index in range(first, first + count):
        name = f"synthetic_{index:04d}.tif"
        micrograph, labels = synthesize((SEED, index), size=side, name=name, scene=scene)
        found.append(in_memory(micrograph, labels))
    return found


def measure(strategy: str, folder: Path, *, trials: int, epochs: int) -> dict[str, Any]:
    """One search: the figures."""
    searches: list[Any] = []
    how = {"search": SEARCH, "config": CONFIG, "seed": SEED, **SETTINGS, "epochs": epochs}
    learn, judge = examples(TRAIN), examples(VAL, first=TRAIN)

    def search() -> None:
        of = {"strategy": strategy, "trials": trials, **how}
        searches.append(tune(MODEL, learn, judge, out=folder, **of))

    seconds = seconds_of(search)
    (found,) = searches
    ranges = json.loads((folder / "search.json").read_text(encoding="utf-8"))["ranges"]
    best = found.best["trial"]
    return {
        "score": found.score_name,
        "default_score": found.default_score,
        "best_score": found.best["score"],
        "best_trial": best,
        "best": {name: found.table[best][name] for name in ranges},
        "trials": len(found.table),
        "minutes": seconds / 60,
        "table": found.table,
        "ranges": ranges,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("strategy", nargs="?", default="all", choices=[*STRATEGIES, "all"])
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--epochs", type=int, default=SETTINGS["epochs"])


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    chosen = STRATEGIES if arguments.strategy == "all" else (arguments.strategy,)
    drawn = Dataset("synthetic", examples(TRAIN), examples(VAL, first=TRAIN), f"{SIDE} px, drawn")
    for strategy in chosen:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(
                strategy, Path(folder) / "run", trials=arguments.trials, epochs=arguments.epochs
            )
        yield result(
            "tuning",
            strategy,
            about=f"{strategy} search of {figures['trials']} trials",
            command=arguments.again(strategy=strategy),
            model=MODEL,
            config=CONFIG,
            settings={**SETTINGS, "epochs": arguments.epochs},
            dataset=drawn.told(),
            seed=SEED,
            figures=figures,
        )
