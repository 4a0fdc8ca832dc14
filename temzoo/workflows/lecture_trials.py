"""What the lecture on classifiers trains and measures: networks by family, data and pixel order.

All networks learn for as many steps, of batches of 32, and the last weights are scored: nothing is
chosen on the particles that score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from temzoo.data.images import image_stream
from temzoo.tasks.classification_graph import ClassLoss
from temzoo.workflows.lecture_windows import KINDS, SIZE, Windows
from temzoo.zoo.building import get_model

BATCH, STEPS, SEEDS, IMAGES = 32, 900, 5, 1000
SHIFTS = (0, 1, 2, 3, 4, 6)  # px
FEW = (50, 200, IMAGES)
MLP, DCNN, STRIDELESS, ALEXNET = "MLP", "DCNN", "DCNN without strides", "AlexNet"
RATES = {"mlp": 1e-3, "dcnn": 5e-3, "alexnet": 5e-4}
MLPS = [{"hidden": hidden} for hidden in ((8,), (16,), (64,), (128,))]
DCNNS = [{"filters": filters} for filters in ((4, 8), (8, 16), (8, 16, 32), (8, 16, 32, 64))]
USUAL = {MLP: MLPS[2], DCNN: DCNNS[3]}  # what is compared where one of each family is


@dataclass(frozen=True)
class Trial:
    """A network, and what it learns from.

    Attributes:
        family: as the page names it.
        model, config: a registered name and its keywords.
        images: that it learns from, drawn anew for each seed.
        augmented: turned by quarters, mirrored, one of two as its negative.
        permuted: all pixels of all images change places alike, so that none keeps its neighbours.
    """

    family: str
    model: str
    config: Mapping[str, Any] = field(default_factory=dict)
    images: int = IMAGES
    augmented: bool = True
    permuted: bool = False

    def told(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "config": {k: list(v) if isinstance(v, tuple) else v for k, v in self.config.items()},
        }


def trials() -> list[Trial]:
    """Everything that the page shows, each once."""
    both = ((MLP, "mlp"), (DCNN, "dcnn"))
    of_sizes = [Trial(MLP, "mlp", one) for one in MLPS] + [
        Trial(DCNN, "dcnn", one) for one in DCNNS
    ]
    shifted = [
        Trial(STRIDELESS, "dcnn", {**DCNNS[3], "strides": False}),
        Trial(ALEXNET, "alexnet"),
    ]
    curves = [Trial(f, m, USUAL[f], n, augmented=False) for f, m in both for n in FEW]
    permuted = [Trial(f, m, USUAL[f], augmented=False, permuted=True) for f, m in both]
    return [*of_sizes, *shifted, *curves, *permuted]


@dataclass(frozen=True, eq=False)
class Learnt:
    """What came of a trial, over S seeds.

    Attributes:
        trial: what was done.
        parameters: of the network.
        train: (S,) mean recall of the kinds on what was learnt from.
        shifted: (S, 6) on other groups, the window shifted by 0, 1, 2, 3, 4 and 6 px.
        kernels: (h, w, filters) of the first layer, of the last seed; None where it has none.
    """

    trial: Trial
    parameters: int
    train: np.ndarray
    shifted: np.ndarray
    kernels: np.ndarray | None

    @property
    def val(self) -> np.ndarray:
        """(S,) on other groups, not shifted."""
        return self.shifted[:, 0]

    def row(self) -> dict[str, Any]:
        """For ``figures.json``."""
        told = {"parameters": self.parameters, "train": self.train.tolist()}
        shifted = dict(zip(map(str, SHIFTS), self.shifted.T.tolist(), strict=True))
        return {**self.trial.told(), **told, "val_by_shift_px": shifted}


def learn(
    trial: Trial,
    train: Windows,
    val: Windows,
    seeds: Sequence[int],
    steps: int,
    tell: Callable[[], None] = lambda: None,
) -> Learnt:
    """Trains a trial's network with each seed, of weights, order and images, and scores it.

    Args:
        tell: is called after each seed.
    """
    order = np.random.default_rng(0).permutation(SIZE * SIZE) if trial.permuted else None
    of_train, of_val, model = [], [], None
    for seed in seeds:
        rng = np.random.default_rng(seed)
        some = train.picked(np.sort(rng.permutation(len(train))[: trial.images]))
        model = _trained(trial, _ordered(some.seen(), order), some, seed, steps)
        of_train.append(mean_recall(model, _ordered(some.seen(), order), some.kinds))
        of_val.append([_shifted(model, val, shift, order) for shift in SHIFTS])
        keras.utils.clear_session()  # the graphs of a hundred trainings would need gigabytes
        tell()
    first = next((one for one in model.layers if isinstance(one, keras.layers.Conv2D)), None)
    kernels = None if first is None else np.asarray(first.kernel)[:, :, 0]
    return Learnt(trial, model.count_params(), np.array(of_train), np.array(of_val), kernels)


def _trained(trial: Trial, pixels: np.ndarray, some: Windows, seed: int, steps: int):
    keras.utils.set_random_seed(seed)
    model = get_model(trial.model, classes=len(KINDS), image_size=SIZE, **trial.config)
    # The loss of the zoo: TensorFlow's own takes a truth that sums to 1, and this one is weighted.
    truth = np.eye(len(KINDS), dtype=np.float32)[some.kinds] * some.weights()[:, None]
    rate = keras.optimizers.schedules.CosineDecay(RATES[trial.model], steps)
    model.compile(keras.optimizers.Adam(rate), ClassLoss("ce"))
    change = {"augment": trial.augmented, "invert": trial.augmented}
    stream = image_stream(pixels, batch=BATCH, seed=seed, truth=truth, **change)
    model.fit(stream, steps_per_epoch=steps, shuffle=False, verbose=0)
    return model


def _ordered(pixels: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    if order is None:
        return pixels
    return pixels.reshape(len(pixels), -1)[:, order].reshape(pixels.shape)


def _shifted(model: Any, val: Windows, shift: int, order: np.ndarray | None) -> float:
    """The mean over four directions."""
    ways = [(shift, 0), (-shift, 0), (0, shift), (0, -shift)] if shift else [(0, 0)]
    seen = (_ordered(val.seen(*way), order) for way in ways)
    return float(np.mean([mean_recall(model, pixels, val.kinds) for pixels in seen]))


def mean_recall(model: Any, pixels: np.ndarray, kinds: np.ndarray) -> float:
    """Mean over the kinds that occur of the share that is found as such."""
    found = np.asarray(model(pixels, training=False)).argmax(axis=1)
    return float(np.mean([(found[kinds == kind] == kind).mean() for kind in np.unique(kinds)]))
