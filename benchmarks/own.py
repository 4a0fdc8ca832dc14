"""A file of the user's own: its datasets, contestants, engines and models stand beside ours.

    python -m benchmarks accuracy --with mine.py --data ours --weights otsu --compare bright
    python -m benchmarks throughput --with mine.py --models tiny

``mine.py`` is run once, before anything else; what it registers can be named from then on::

    import numpy as np, temzoo
    from benchmarks.datasets import Dataset, dataset
    from benchmarks.contestants import contestant

    @dataset("ours")
    def ours(folder):
        examples = temzoo.load_dataset(images="tif", labels="labels.xml")
        return Dataset("ours", *temzoo.split(examples, (0.8, 0.2), seed=0), "a fifth, seed 0")

    @contestant("bright")
    def bright(learn):
        def network(batch):  # (B, H, W, 1) raw to (B, H, W, 2) probabilities
            lit = (batch > batch.mean()).astype("float32")
            return np.concatenate([1 - lit, lit], axis=-1)
        return network

Processes that are started run it too.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "TEMZOO_BENCHMARKS_WITH"  # its paths, for the processes that are started


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--with",
        dest="own",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.py",
        help="run this first: datasets, contestants, engines, models of your own",
    )


def load(paths: Sequence[Path]) -> None:
    """Runs each file once in this process, and in those that are started from now on.

    Raises:
        FileNotFoundError: there is no such file.
    """
    for path in map(Path.resolve, paths):
        if not path.is_file():
            raise FileNotFoundError(
                f"--with takes a Python file that registers what is yours. Received: {path}, which"
                " is not there. See the head of benchmarks/own.py for one."
            )
        name = f"benchmarks_own_{path.stem}"
        if getattr(sys.modules.get(name), "__file__", None) == str(path):
            continue
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
        known = os.environ.get(VARIABLE, "").split(os.pathsep)
        os.environ[VARIABLE] = os.pathsep.join([*filter(None, known), str(path)])


def load_inherited() -> None:
    """What the process that started this one had loaded."""
    inherited = os.environ.pop(VARIABLE, "")
    load([Path(path) for path in inherited.split(os.pathsep) if path])
