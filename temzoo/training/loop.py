"""The loop of a run: its phases, what happens at the end of an epoch, and its state on disk."""

from __future__ import annotations

import datetime
import errno
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from temzoo.core.files import NO_SPACE, atomic_path, require_in_place, write_json
from temzoo.models.layers import dtype_policy
from temzoo.training.bar import bars_of
from temzoo.training.devices import Devices
from temzoo.training.inside_epoch import SaveInside, stored_arrays
from temzoo.training.judging import Judging, by_fit
from temzoo.training.progress import PROGRESS, Progress, read_progress
from temzoo.training.run_folder import read_run, write_history
from temzoo.zoo import building, pretrained
from temzoo.zoo.built import built, task_of

WEIGHT_DECAY = 1e-4
LAST = f"last{pretrained.SUFFIX}"
AVERAGE = ".npz"  # after the name of a state: the average of its weights


@dataclass(frozen=True)
class _Phase:
    """A part of a run: at most so many epochs, from a peak rate, with keywords changed."""

    epochs: int
    rate: float
    changes: Mapping[str, Any]


class Trainer:
    """One run: its data, its state on disk, its phases."""

    def __init__(self, folder, settings, data, val, progress, devices: Devices, minutes=None):
        self.folder, self.settings, self.data = folder, settings, data
        self.val, self.progress, self.devices = val, devices.chief and progress, devices
        self.steps = settings.steps_per_epoch or math.ceil(data.crops / settings.batch)
        self.done = Progress()
        self.ends = math.inf if minutes is None else time.monotonic() + 60 * minutes
        self.failures: list[Exception] = []

    def run(self, model: keras.Model, resume: bool) -> bool:
        """Trains through the phases; True when Ctrl-C ended it."""
        if resume:
            self.done = read_progress(self.folder)
            self._remove_old_states()  # which a kill may have left
        chosen = self.settings
        phases = [_Phase(chosen.epochs, chosen.learning_rate, {})]
        if chosen.finetune:
            phases.append(_Phase(chosen.finetune_epochs, chosen.finetune_rate, chosen.finetune))
        try:
            for phase in phases[self.done.phase :]:
                self._phase(model, phase)
                if self.out_of_time():
                    break
                self.done.phase += 1
                self.done.phase_start = self.done.epoch
                self.save_progress(state="")
        except KeyboardInterrupt:
            return True
        return False

    def out_of_patience(self) -> bool:
        """Whether this phase has gone on for too long without a better score."""
        since = self.done.epoch - max(self.done.best_epoch, self.done.phase_start)
        return self.settings.patience is not None and since >= self.settings.patience

    def out_of_time(self) -> bool:
        """Whether the minutes are over; never before an epoch was judged."""
        return bool(self.done.best_epoch) and time.monotonic() >= self.ends

    def save_progress(self, state: str) -> None:
        """Names the file that holds the state first, so that a kill leaves one that is whole."""
        self.done.state = state
        write_json(self.folder / PROGRESS, asdict(self.done))
        self._remove_old_states()

    def _remove_old_states(self) -> None:
        for old in (self.folder / "state").glob("epoch-*"):
            if not self.done.state or not old.name.startswith(self.done.state):
                old.unlink(missing_ok=True)

    def _phase(self, model: keras.Model, phase: _Phase) -> None:
        end = self.done.phase_start + phase.epochs
        if self.done.epoch >= end or self.out_of_patience():
            return
        with self.devices.building():
            twin = self._twin(model, phase.changes)
            self.devices.prepare(twin)
            rate = self._compile(twin, phase.rate, phase.epochs * self.steps)
        if self.done.state:
            # Weights, optimizer and step count: the rate goes on where it was.
            path = self.folder / "state" / self.done.state
            with pretrained.reading(path, twin):
                twin.load_weights(path)
        alone = None if self.devices.count == 1 else self._alone(model, phase.changes)
        if self.done.step:  # first the epoch that a run was stopped in
            self._fit(twin, alone, rate, end, self.steps - self.done.step)
        if self.done.epoch < end and not (self.out_of_patience() or self.out_of_time()):
            self._fit(twin, alone, rate, end, self.steps)

    def _alone(self, model: keras.Model, changes: Mapping[str, Any]) -> keras.Model:
        """The model of this phase on one device, to validate by."""
        found = self._twin(model, changes)
        task_of(found).compile(found, **self._loss)
        return found

    def _fit(self, twin: keras.Model, alone: Any, rate: _Rate, end: int, steps: int) -> None:
        """Trains through epochs of so many steps; of one where the first of its steps are done.

        Args:
            alone: the model on one device, where the twin has several; None: it has one.
        """
        task, every = task_of(twin), self.settings.validate_every
        seen = self.done.epoch * self.steps + self.done.step
        batch = self.settings.batch
        stream = self.devices.stream(twin, self.data, batch, seen * batch, self.failures)
        judged = [epoch for epoch in range(1, end + 1) if epoch % every == 0 or epoch == end]
        validation = self.data.validation(self.failures)
        log = keras.callbacks.TensorBoard(self.folder / "tensorboard", profile_batch=0)
        average = _Average(self)
        asked = [] if alone is None else [by_fit(validation)]
        asked += [] if task.judged_by_fit else [self._judge]
        judges = [Judging(each, judged, average.shown, self.devices, alone) for each in asked]
        ending = _EndOfEpoch(self, average, task.score)
        inside = [] if alone else [SaveInside(self, ending, stream.element_spec)]
        bars = bars_of(self.progress, end, steps, task.score)
        try:
            with self.devices.fitting():
                twin.fit(
                    stream,
                    validation_data=validation if alone is None else None,
                    validation_freq=judged,
                    epochs=self.done.epoch + 1 if self.done.step else end,
                    initial_epoch=self.done.epoch,
                    steps_per_epoch=steps,
                    callbacks=[_SetRate(rate), average, *judges, ending, *inside, log, *bars],
                    shuffle=False,
                    verbose=0,
                )
        except Exception as error:
            if self.failures:
                # TensorFlow wraps what a loader raised into an error of its own, without the type.
                raise self.failures[0] from None
            if NO_SPACE in str(error) and not isinstance(error, OSError):  # of TensorBoard's log
                raise OSError(errno.ENOSPC, NO_SPACE, str(self.folder)) from error
            raise
        finally:
            for bar in bars:
                bar.on_train_end()

    def _judge(self, model: keras.Model) -> Mapping[str, float]:
        """What the task says of a model on whole validation micrographs."""
        return task_of(model).judge(model, self.val, self.data.names)

    def _twin(self, model: keras.Model, changes: Mapping[str, Any]) -> keras.Model:
        """The model that this phase trains: another config or precision, the same weights."""
        how = built(model)
        policy = "mixed_bfloat16" if self.settings.mixed_precision else "float32"
        with dtype_policy(policy):
            twin = building.rebuild(how, **changes)
        if self.done.phase and self.done.best_epoch:
            pretrained.load(twin, self.folder / pretrained.BEST)
        else:
            twin.set_weights(model.get_weights())
        return twin

    @cached_property
    def _loss(self) -> dict[str, Any]:
        """Keywords of ``Task.compile``; class weights take long to count."""
        weights = self.data.class_weights(self.settings.class_weights)
        return {"loss": self.settings.loss, "class_weights": weights}

    def _compile(self, twin: keras.Model, peak: float, steps: int) -> _Rate:
        rate, task = _Rate(peak, steps, self.settings.warmup), task_of(twin)
        optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY, **task.optimizer)
        task.compile(twin, optimizer=optimizer, **self._loss)
        optimizer.build(twin.trainable_variables)
        return rate


class _Rate(keras.optimizers.schedules.LearningRateSchedule):
    """A straight line up to the peak, then a cosine to zero.

    Keras puts a schedule into the graph of a step twice for each variable, which takes seconds to
    trace and time in each step. This one is a variable there, set before each step.
    Under JAX that holds since ``Task.compile`` leaves steps uncompiled: its jit would take the
    variable for a constant.

    Args:
        peak: the highest rate.
        steps: of the phase.
        warmup: their share, 0 to 1, in which the rate rises.
    """

    def __init__(self, peak: float, steps: int, warmup: float):
        self.peak, self.steps = peak, steps
        self.warmup = max(1, round(warmup * steps))
        self.now = keras.Variable(self.at(0), trainable=False, dtype="float32", name="rate")

    def at(self, step: int) -> float:
        """The rate of a step, from 0."""
        if step < self.warmup:
            return self.peak * (1 + (self.warmup - 1) * step / self.warmup) / self.warmup
        left = min((step - self.warmup) / max(1, self.steps - self.warmup), 1)
        return self.peak * (1 + math.cos(math.pi * left)) / 2

    def __call__(self, step):
        return self.now

    def get_config(self) -> dict[str, float]:
        share = self.warmup / max(1, self.steps)
        return {"peak": self.peak, "steps": self.steps, "warmup": share}


class _SetRate(keras.callbacks.Callback):
    """Sets the rate of each step."""

    def __init__(self, rate: _Rate):
        super().__init__()
        self.rate = rate

    def on_train_begin(self, logs=None):
        self.step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))

    def on_train_batch_begin(self, batch, logs=None):
        self.rate.now.assign(self.rate.at(self.step))
        self.step += 1


class _Average(keras.callbacks.Callback):
    """The mean of the weights over past steps, in whose place a model is judged and kept.

    Without ``Settings.average`` it does nothing. It starts as the mean of the few steps so far, so
    that the first weights are soon forgotten.
    """

    def __init__(self, trainer: Trainer):
        super().__init__()
        self.keep = trainer.settings.average
        self.folder, self.resumed = trainer.folder / "state", trainer.done.state
        self.steps, self.mean = 0, []

    def on_train_begin(self, logs=None):
        if self.keep and self.resumed:
            self._load(self.folder / f"{self.resumed}{AVERAGE}")
        elif self.keep:
            self.mean = [np.array(weight) for weight in self.model.get_weights()]

    def _load(self, path: Path) -> None:
        shapes = [(), *(tuple(weight.shape) for weight in self.model.weights)]
        steps, *self.mean = stored_arrays(path, shapes, "the average of this run's weights")
        self.steps = int(steps)

    def on_train_batch_end(self, batch, logs=None):
        if not self.keep:
            return
        self.steps += 1
        new = 1 - min(self.keep, self.steps / (self.steps + 10))
        for mean, weight in zip(self.mean, self.model.get_weights(), strict=True):
            mean += np.asarray(new * (weight - mean), mean.dtype)

    @contextmanager
    def shown(self, model: keras.Model) -> Iterator[None]:
        """The model holds the mean inside."""
        if not self.keep:
            yield
            return
        now = model.get_weights()
        model.set_weights(self.mean)
        try:
            yield
        finally:
            model.set_weights(now)

    def on_test_begin(self, logs=None):
        self.test = self.shown(self.model)
        self.test.__enter__()

    def on_test_end(self, logs=None):
        self.test.__exit__(None, None, None)

    def save(self, state: str) -> None:
        if self.keep:
            with atomic_path(self.folder / f"{state}{AVERAGE}") as temporary:
                weights = {f"weight{n}": weight for n, weight in enumerate(self.mean)}
                np.savez(temporary, steps=self.steps, **weights)


class _EndOfEpoch(keras.callbacks.Callback):
    """Writes history, last and best weights, and the state that a resumed run starts from."""

    def __init__(self, trainer: Trainer, average: _Average, score: str):
        super().__init__()
        self.trainer, self.average, self.score = trainer, average, score

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.monotonic()
        # Keras does not store the state of dropout's generators: each epoch has one of its own.
        for number, layer in enumerate(self.model._flatten_layers()):
            for place, generator in enumerate(layer._seed_generators):
                seed = self.trainer.settings.seed + number
                generator.state.assign([seed, epoch + place * 2**16])

    def on_test_begin(self, logs=None):
        require_in_place(self.trainer.folder / PROGRESS)  # else TensorBoard's log makes it anew

    def on_epoch_end(self, epoch, logs=None):
        done, folder = self.trainer.done, self.trainer.folder
        done.epoch, done.step = epoch + 1, 0
        self.add_minutes()
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in logs.items()}}
        if "val_loss" in row and self.score not in row:
            raise ValueError(
                f'a model of this task is judged by "{self.score}". Received: validation that gave'
                f" {', '.join(name for name in row if name.startswith('val_'))} alone."
            )
        done.history.append({**row, "minutes": round(done.minutes, 3)})
        score = row.get(self.score, -math.inf)
        # While nothing at all is found the latest epoch is the best, and patience has not begun.
        with self.average.shown(self.model):
            if score > done.best or score == done.best == 0:
                done.best, done.best_epoch = score, epoch + 1
                self._save(pretrained.BEST, row)
            self._save(LAST, row)
        write_history(folder / "history.csv", done.history)
        self.save_state(f"epoch-{epoch + 1}{pretrained.SUFFIX}")
        if self.trainer.out_of_patience() or self.trainer.out_of_time():
            self.model.stop_training = True

    def add_minutes(self) -> None:
        """Adds those since the last call, or the epoch's start, to the run's."""
        now = time.monotonic()
        self.trainer.done.minutes += (now - self.began) / 60
        self.began = now

    def save_state(self, state: str) -> None:
        with atomic_path(self.trainer.folder / "state" / state) as temporary:
            self.model.save_weights(temporary, overwrite=True)
        self.average.save(state)
        self.trainer.save_progress(state)

    def _save(self, name: str, row: Mapping[str, float]) -> None:
        """The bare weights, without the optimizer's two copies of them, and their card."""
        path = self.trainer.folder / name
        how = built(self.model)
        run = read_run(self.trainer.folder)
        card = pretrained.WeightsCard(
            model=how.name,
            config=dict(how.config),
            class_names=self.trainer.data.names,
            dataset=run["data"]["train"]["fingerprint"],
            scores={name: row[name] for name in (self.score, "epoch") if name in row},
            command=run["command"],
            date=datetime.date.today().isoformat(),
            binning=self.trainer.data.binning,
        )
        pretrained.save_with_card(self.model, path, card)
