"""A file of the user's own: its datasets, contestants and models stand beside ours.

    python -m benchmarks accuracy --with mine.py --data ours --weights otsu --compare bright

``mine.py`` is run once, before anything else; what it registers can be named from then on, also in
the processes that are started. docs/how-to/benchmarks.md shows a dataset; a contestant is::

    from benchmarks.recipes import contestant

    @contestant("bright")
    def bright(learn):
        def network(batch):  # (B, H, W, 1) raw to (B, H, W, 2) probabilities
            lit = (batch > batch.mean()).astype("float32")
            return np.concatenate([1 - lit, lit], axis=-1)
        return network
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from temzoo.zoo.plugins import load_file

VARIABLE = "TEMZOO_BENCHMARKS_WITH"  # its paths, for the processes that are started


def registering(known: dict[str, Any]) -> Callable[[str], Callable]:
    """The decorator that keeps what it stands over in ``known``, under a name."""

    def named(name: str) -> Callable:
        def keep(made: Any) -> Any:
            known[name] = made
            return made

        return keep

    return named


def load(paths: Sequence[Path]) -> None:
    """Runs each file, which must be there, once here and in the processes started from now on."""
    for path in map(Path.resolve, paths):
        load_file(path)
        known = [*filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))]
        os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*known, str(path)]))


def load_inherited() -> None:
    """What the process that started this one had loaded."""
    load([Path(path) for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path])
