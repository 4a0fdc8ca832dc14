"""What can be judged, by a word: shipped weights, a run, a file, a baseline, or one's own.

``--weights`` takes MODEL/NAME of `temzoo models`, a run folder, a weights file, or a name from
here. One more is a function that gives what ``temzoo.predict`` takes; ``learn`` are the training
images; it stands here, or in a file of your own that ``--with`` names (``benchmarks.own``)::

    @contestant("bright")
    def bright(learn):
        def network(batch):  # (B, H, W, 1) raw → (B, H, W, 2) probabilities
            lit = (batch > batch.mean()).astype("float32")
            return np.concatenate([1 - lit, lit], axis=-1)
        return network
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from temzoo.cli.common import trained
from temzoo.core.types import Example
from temzoo.data.examples import class_names
from temzoo.evaluation import baselines

Maker = Callable[[Sequence[Example]], Any]
CONTESTANTS: dict[str, Maker] = {}


def contestant(name: str) -> Callable[[Maker], Maker]:
    """Registers a maker of something to judge."""

    def keep(maker: Maker) -> Maker:
        CONTESTANTS[name] = maker
        return maker

    return keep


def contestant_of(weights: str, learn: Sequence[Example]) -> Any:
    """What a word of ``--weights`` names, fitted where it has to be.

    Raises:
        FileNotFoundError: it names none of those that this module's head lists.
    """
    if weights in CONTESTANTS:
        return CONTESTANTS[weights](learn)
    return trained(weights)


@contestant("otsu")
def otsu(learn: Sequence[Example]) -> Any:
    return baselines.Otsu(class_names(learn)).fit(learn)


@contestant("forest")
def forest(learn: Sequence[Example]) -> Any:
    return baselines.PixelForest(class_names(learn)).fit(learn)
