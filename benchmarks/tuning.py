"""What a search gains over the default configuration, for each strategy and a fixed budget.

    python -m benchmarks tuning            # all three, about ten minutes on one core
    python -m benchmarks tuning bayesian   # grid, random, bayesian or all

Synthetic micrographs, seeded; a small U-Net. Every strategy searches the same ranges with the same
number of trials, of which the first is the default, and each trial is as short: what is found is
the best setting for a short training, not for a long one.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import temzoo
from benchmarks.datasets import Arguments, Dataset, in_memory
from benchmarks.timing import timed
from temzoo.core.files import read_json
from temzoo.data.synthetic.scene import Scene
from temzoo.data.synthetic.synthesize import synthesize

MODEL = "unet"
CONFIG = {"filters": 8, "depth": 3}
TRIALS = 9
SETTINGS = {"epochs": 4, "crop": 96, "magnification": (1.0, 1.0), "augment": "light"}
SEARCH = {"dropout": None, "upsampling": None}
TRAIN, VAL, SIDE, SEED = 10, 5, 192, 0


def examples(count: int, *, first: int = 0, side=SIDE, particles=(4, 10)) -> list[temzoo.Example]:
    """Synthetic micrographs in memory; number i is made from the seed (0, i)."""
    how = {"size": side, "scene": Scene(n_particles=particles, diameter_nm=(8.0, 24.0))}
    return [
        in_memory(*synthesize((SEED, index), name=f"synthetic_{index:04d}.tif", **how))
        for index in range(first, first + count)
    ]


def measure(strategy: str, arguments: Arguments) -> dict[str, Any]:
    learn, judge = examples(TRAIN), examples(VAL, first=TRAIN)
    how = {"search": SEARCH, "config": CONFIG, "seed": SEED, **SETTINGS}
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        how |= {"strategy": strategy, "trials": TRIALS, "out": folder}
        found, seconds = timed(partial(temzoo.tune, MODEL, learn, judge, **how))
        ranges = read_json(folder / "search.json")["ranges"]
    best = found.best["trial"]
    figures = {"score": found.score_name, "default_score": found.default_score, "ranges": ranges}
    figures |= {"best_score": found.best["score"], "best_trial": best, "minutes": seconds / 60}
    figures |= {"best": {name: found.table[best][name] for name in ranges}}
    figures |= {"trials": len(found.table), "table": found.table}
    told = {"about": f"{strategy} search of {len(found.table)} trials", "seed": SEED}
    told |= {"model": MODEL, "config": CONFIG, "settings": SETTINGS, "figures": figures}
    return told | {"dataset": Dataset("synthetic", learn, judge, f"{SIDE} px, drawn").told()}


MEASUREMENTS = {name: partial(measure, name) for name in ("grid", "random", "bayesian")}
