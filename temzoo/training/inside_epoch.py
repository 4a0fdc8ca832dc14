"""The state inside an epoch, every few minutes, so that long epochs are not lost.

An epoch that is taken up in its midst is the same as one that was never stopped: crops follow from
the seed and their number, and what Keras starts anew in each epoch, the running means of loss and
metrics and the draws of dropout, is kept beside the weights.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from temzoo.core.files import atomic_path
from temzoo.zoo import pretrained

SUFFIX = ".inside.npz"  # after the name of a state


def stored_arrays(path: Path, shapes: Sequence[tuple], what: str) -> list[np.ndarray]:
    """The arrays of an NPZ file of a run, in the order in which they were written.

    Args:
        shapes: that they must have.
        what: they are, for the message.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            found = [stored[name] for name in stored.files]
        fits = [array.shape for array in found] == list(shapes)
    except Exception as error:  # whatever the damage leads NumPy and zipfile to
        fits, said = False, f"{type(error).__name__}: {error}"
    else:
        said = "arrays of other shapes"
    if not fits:
        raise ValueError(
            f"{path} must hold {what}. Received: {said}. It is damaged: copy it again, or start the"
            " run anew."
        )
    return found


class SaveInside(keras.callbacks.Callback):
    """Writes the state every ``Settings.save_every`` minutes, and takes up one that was written.

    Args:
        trainer: the run.
        ending: writes the state's weights, and the run's minutes.
        batch: what the stream gives, as ``tf.TensorSpec``.
    """

    def __init__(self, trainer: Any, ending: Any, batch: Any):
        super().__init__()
        self.trainer, self.ending, self.batch = trainer, ending, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.step, self.saved = self.trainer.done.step, time.monotonic()
        if self.step:
            self._load(self._path(self.trainer.done.state))

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        due = time.monotonic() - self.saved >= 60 * self.trainer.settings.save_every
        if due and self.step < self.trainer.steps:  # the end of the epoch has a state of its own
            self._save()

    def _save(self) -> None:
        done = self.trainer.done
        done.step = self.step
        state = f"epoch-{done.epoch}-step-{self.step}{pretrained.SUFFIX}"
        with atomic_path(self._path(state)) as temporary:
            np.savez(temporary, *[np.asarray(variable) for variable in self._variables()])
        self.ending.add_minutes()
        self.ending.save_state(state)
        self.saved = time.monotonic()

    def _load(self, path: Path) -> None:
        """Raises ValueError where the file is damaged."""
        self.model._symbolic_build(data_batch=self.batch)  # metrics too, in the first step else
        variables = list(self._variables())
        shapes = [tuple(variable.shape) for variable in variables]
        values = stored_arrays(path, shapes, "the state of this run inside an epoch")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _variables(self) -> Iterator[keras.Variable]:
        """What begins anew with each epoch."""
        for metric in self.model.metrics:
            yield from metric.variables
        for layer in self.model._flatten_layers():
            for generator in layer._seed_generators:
                yield generator.state

    def _path(self, state: str) -> Path:
        return self.trainer.folder / "state" / f"{state}{SUFFIX}"
