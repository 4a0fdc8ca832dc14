"""What joins an epoch's logs at its end: validation on one device, and a task's own judgement."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any

import keras

from temzoo.training.devices import Devices

Shown = Callable[[keras.Model], AbstractContextManager]


class Judging(keras.callbacks.Callback):
    """Adds to the logs of some epochs what is said of the model, or of its stand-in.

    Args:
        judge: takes a model to figures by name, those of an epoch's logs.
        epochs: that are judged, from 1.
        shown: inside, a model holds the weights that it is judged by.
        alone: the same model on one device, which is judged in the place of one on several;
            None: where training has one device.
    """

    def __init__(
        self,
        judge: Callable[[keras.Model], Mapping[str, float]],
        epochs: Collection[int],
        shown: Shown,
        devices: Devices,
        alone: keras.Model | None,
    ):
        super().__init__()
        self.judge, self.epochs, self.shown = judge, frozenset(epochs), shown
        self.devices, self.alone = devices, alone

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 not in self.epochs:
            return
        with self.shown(self.model):
            if self.alone is not None:
                self.alone.set_weights(self.model.get_weights())
            with self.devices.alone():
                found = self.judge(self.alone or self.model)
        logs.update(self.devices.agreed(found))


def by_fit(validation: Any) -> Callable[[keras.Model], Mapping[str, float]]:
    """What ``fit`` itself would log of a validation set."""

    def judge(model: keras.Model) -> dict[str, float]:
        found = model.evaluate(validation, return_dict=True, verbose=0)
        return {f"val_{name}": value for name, value in found.items()}

    return judge
