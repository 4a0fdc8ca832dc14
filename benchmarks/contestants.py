"""What can be judged, by a word: shipped weights, a run, a file, a baseline, or one's own.

``--weights`` takes MODEL/NAME of `temzoo models`, a run folder, a weights file, or a name from
here. One more is a function that gives what ``temzoo.predict`` takes, of the training images; it
stands here, or in a file of your own, as ``benchmarks.own`` shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.own import registering
from temzoo.cli.common import trained
from temzoo.core.types import Example
from temzoo.data.examples import class_names
from temzoo.evaluation import baselines

CONTESTANTS: dict[str, Callable[[Sequence[Example]], Any]] = {}
contestant = registering(CONTESTANTS)


def contestant_of(weights: str, learn: Sequence[Example]) -> Any:
    """What a word of ``--weights`` names, fitted where it has to be.

    Raises:
        FileNotFoundError: it names none of those that this module's head lists.
    """
    return CONTESTANTS[weights](learn) if weights in CONTESTANTS else trained(weights)


@contestant("otsu")
def otsu(learn: Sequence[Example]) -> Any:
    return baselines.Otsu(class_names(learn)).fit(learn)


@contestant("forest")
def forest(learn: Sequence[Example]) -> Any:
    return baselines.PixelForest(class_names(learn)).fit(learn)
