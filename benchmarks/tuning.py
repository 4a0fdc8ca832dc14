"""What a search gains over the default configuration, for each strategy and a fixed budget.

    python -m benchmarks.tuning            # all three, about ten minutes on one core
    python -m benchmarks.tuning bayesian   # grid, random, bayesian or all

Synthetic micrographs, seeded; a small U-Net. Every strategy searches the same ranges with the same
number of trials, of which the first is the default, and each trial is as short: what is found is
the best setting for a short training, not for a long one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.records import RESULTS, measured_on, stamp, write_json, write_lines
from temzoo.core.types import Example, Micrograph
from temzoo.data.synthetic.scene import Scene
from temzoo.data.synthetic.synthesize import synthesize

STRATEGIES = ("grid", "random", "bayesian")
MODEL = "unet"
CONFIG = {"filters": 8, "depth": 3}
SETTINGS = {"epochs": 4, "crop": 96, "magnification": (1.0, 1.0), "augment": "light"}
SEARCH = {"dropout": None, "upsampling": None}
TRAIN, VAL, SIDE, TRIALS, SEED = 10, 5, 192, 9, 0
PATH = RESULTS / "tuning.json"


def examples(
    count: int, *, first: int = 0, side: int = SIDE, particles: int | tuple[int, int] = (4, 10)
) -> list[Example]:
    """Synthetic micrographs in memory; number i is made from the seed (0, i)."""
    scene = Scene(n_particles=particles, diameter_nm=(8.0, 24.0))
    found = []
    for index in range(first, first + count):
        name = f"synthetic_{index:04d}.tif"
        micrograph, labels = synthesize((SEED, index), size=side, name=name, scene=scene)
        found.append(Example(labels, partial(_same, micrograph)))
    return found


def _same(micrograph: Micrograph) -> Micrograph:
    return micrograph


def measure(strategy: str, folder: Path, *, trials: int, epochs: int) -> dict[str, Any]:
    """One search and its record."""
    from temzoo.training.tuning import tune

    start = time.monotonic()
    found = tune(
        MODEL,
        examples(TRAIN),
        examples(VAL, first=TRAIN),
        out=folder,
        strategy=strategy,
        trials=trials,
        search=SEARCH,
        config=CONFIG,
        seed=SEED,
        **{**SETTINGS, "epochs": epochs},
    )
    told = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    return {
        "strategy": strategy,
        "score": found.score_name,
        "default_score": found.default_score,
        "best_score": found.best["score"],
        "best_trial": found.best["trial"],
        "best": {name: found.table[found.best["trial"]][name] for name in told["ranges"]},
        "trials": len(found.table),
        "minutes": (time.monotonic() - start) / 60,
        "table": found.table,
        "ranges": told["ranges"],
        "config": CONFIG,
        "settings": {**SETTINGS, "epochs": epochs},
        "seed": SEED,
        "data": told["data"],
        **stamp(f"python -m benchmarks.tuning {strategy}"),
    }


def write_table(records: Mapping[str, Mapping[str, Any]]) -> Path:
    """Regenerates ``results/tuning.md``."""
    known = [records[name] for name in STRATEGIES if name in records]
    one = known[0]
    lines = [
        "# What a search gains over the default",
        "",
        "Written by `python -m benchmarks.tuning`; every row's command is beside it. A U-Net of"
        f" {CONFIG['filters']} filters and depth {CONFIG['depth']} on {TRAIN} synthetic micrographs"
        f" of {SIDE} px, judged on {VAL} others, {one['settings']['epochs']} epochs a trial. The"
        " first trial is the default. The score is that of the validation images which chose the"
        " setting, and that of a short training: it flatters the best a little.",
        "",
        f"| strategy | default {one['score']} | best {one['score']} | in trial | of | minutes |"
        " found | command |",
        "|---|---|---|---|---|---|---|---|",
        *map(_row, known),
        "",
        measured_on(known),
    ]
    return write_lines(RESULTS / "tuning.md", lines)


def _row(record: Mapping[str, Any]) -> str:
    cells = (
        record["strategy"],
        f"{record['default_score']:.3f}",
        f"{record['best_score']:.3f}",
        record["best_trial"],
        record["trials"],
        f"{record['minutes']:.1f}",
        ", ".join(f"{name} {value}" for name, value in record["best"].items()),
        f"`{record['command']}`",
    )
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description=__doc__)
    parser.add_argument("strategy", nargs="?", default="all", choices=[*STRATEGIES, "all"])
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--epochs", type=int, default=SETTINGS["epochs"])
    parser.add_argument("--out", type=Path, help="keep the searches in this folder")
    parser.add_argument("--dry", action="store_true", help="print the records, write no results")
    arguments = parser.parse_args()
    records = json.loads(PATH.read_text(encoding="utf-8")) if PATH.is_file() else {}
    chosen = STRATEGIES if arguments.strategy == "all" else (arguments.strategy,)
    for strategy in chosen:
        folder = (arguments.out or Path(tempfile.mkdtemp())) / strategy
        record = measure(strategy, folder, trials=arguments.trials, epochs=arguments.epochs)
        records[strategy] = record
        print(
            f"{strategy}: default {record['default_score']:.4f}, best {record['best_score']:.4f}"
            f" in {record['minutes']:.1f} min: {record['best']}"
        )
        if not arguments.out:
            shutil.rmtree(folder.parent)
        if not arguments.dry:
            write_json(PATH, records)
    if not arguments.dry:
        print(write_table(records))


if __name__ == "__main__":
    main()
