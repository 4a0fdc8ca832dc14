"""A model and labelled micrographs to trained weights, with everything needed to repeat the run.

A run folder holds ``best.weights.h5`` and ``last.weights.h5`` with their cards, ``run.json``
(settings, versions, hardware, data fingerprint, seed, command), ``history.csv`` and its plot,
``validation.png`` with overlays, ``tensorboard/``, and ``state/``, from which a stopped run goes
on.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from temzoo import pretrained, registry
from temzoo.files import atomic_path
from temzoo.pipeline.dataset import CropPlan, crop_list, training_stream, validation_set
from temzoo.pipeline.examples import class_names as names_in
from temzoo.report import plot_history, validation_sheet
from temzoo.types import Example

PACKAGES = ("temzoo", "tensorflow", "keras", "numpy", "opencv-python", "imgaug", "scikit-image")
WEIGHT_DECAY = 1e-4
LAST = f"last{pretrained.SUFFIX}"


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        epochs: passes over windows that cover the training micrographs once.
        batch: crops in a step.
        crop: side of a crop, px.
        magnification: (low, high) factors by which micrographs are resized before cropping.
        augment: preset of ``pipeline.augment``: "none", "light" or "em".
        learning_rate: of AdamW, reached after ``warmup`` and left by a cosine to zero.
        warmup: share of the steps.
        loss: one of the task's losses.
        class_weights: None, "balanced" (rare classes weigh more), or one factor per class,
            background first.
        mixed_precision: compute in bfloat16, keep the weights in float32.
        patience: epochs without a better validation score before stopping; None: never.
        steps_per_epoch: None: as many as the windows need.
        finetune: keywords of the model that a second phase changes, such as
            ``{"encoder_trainable": "deep"}``; None: one phase.
        finetune_epochs, finetune_rate: of the second phase.
        seed: of weights, order, crops and changes.
    """

    epochs: int = 30
    batch: int = 8
    crop: int = 256
    magnification: tuple[float, float] = (0.7, 1.0)
    augment: str = "em"
    learning_rate: float = 1e-3
    warmup: float = 0.05
    loss: str = "dice_ce"
    class_weights: str | Sequence[float] | None = None
    mixed_precision: bool = False
    patience: int | None = None
    steps_per_epoch: int | None = None
    finetune: Mapping[str, Any] | None = None
    finetune_epochs: int = 10
    finetune_rate: float = 1e-4
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "batch", "crop"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}.")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive. Received: {self.learning_rate}.")


@dataclass(frozen=True)
class Run:
    """What training gives back.

    Attributes:
        folder: with the weights, history and ``run.json``.
        score: best validation IoU.
        epoch: that it was reached in, from 1.
        history: one mapping per epoch.
        interrupted: whether Ctrl-C ended it; the best so far is kept.
    """

    folder: Path
    score: float
    epoch: int
    history: tuple[Mapping[str, float], ...]
    interrupted: bool = False


@dataclass
class _Progress:
    """How far a run is: all that is needed to go on, beside the weights."""

    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = 0
    minutes: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    model: keras.Model,
    train: Sequence[Example],
    val: Sequence[Example],
    *,
    out: str | Path,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Trains a model from ``get_model``; afterwards it holds the best weights.

    Args:
        model: its config decides channels and classes.
        train: to learn from.
        val: to choose the best epoch by; at full size.
        out: the run folder; new, or with ``resume`` that of a stopped run.
        resume: go on where the run in ``out`` stopped, with its settings.
        progress: draw a progress bar.
        **settings: the fields of ``Settings``.

    Raises:
        ValueError: unknown or impossible settings; labels that do not fit the model's classes; a
            micrograph in both ``train`` and ``val``; other data than the resumed run's.
        FileExistsError: ``out`` holds a run already and ``resume`` is not set.
        FileNotFoundError: nothing to resume from.

    Example:
        >>> model = temzoo.get_model("unet", filters=16)
        >>> run = temzoo.train(model, train, val, out="runs/first", epochs=20)
        >>> run.score
    """
    folder = Path(out)
    chosen = _resumed_settings(folder, train, val) if resume else _settings(settings)
    names = _check_data(model, train, val)
    trainer = _Trainer(folder, chosen, names, train, val, progress)
    if not resume:
        _new_folder(folder)
        _write_run(folder, model, chosen, names, train, val)
    interrupted = trainer.run(model, resume)
    done = trainer.done
    if done.best_epoch:
        pretrained.load(model, folder / pretrained.BEST)
        registry.name_classes(model, names)
        plot_history(folder / "history.csv", folder / "history.png")
        validation_sheet(
            folder / "validation.png", model, val, names, title=f"epoch {done.best_epoch}"
        )
    return Run(folder, done.best, done.best_epoch, tuple(done.history), interrupted)


def _settings(given: Mapping[str, Any]) -> Settings:
    known = [f.name for f in dataclasses.fields(Settings)]
    for name in given:
        if name not in known:
            hint = registry.did_you_mean(name, known)
            raise ValueError(f'train has no setting "{name}".{hint} Settings: {", ".join(known)}.')
    return Settings(**given)


def _resumed_settings(folder: Path, train, val) -> Settings:
    path = folder / "run.json"
    if not (folder / "state" / "progress.json").is_file():
        raise FileNotFoundError(
            f"There is no run to resume in {folder}: no epoch of it was finished. Start it anew."
        )
    run = json.loads(path.read_text(encoding="utf-8"))
    for part, examples in (("train", train), ("val", val)):
        before, now = run["data"][part]["fingerprint"], fingerprint(examples)
        if before != now:
            raise ValueError(
                f"A run is resumed with the data it was started with. Received: other images or"
                f" labels for {part} (fingerprint {now}, in {path} {before})."
            )
    return Settings(**run["settings"])


def _new_folder(folder: Path) -> None:
    if (folder / "state").exists():
        raise FileExistsError(
            f"{folder} holds a run already. Resume it (resume=True, --resume), or choose another"
            " out."
        )
    folder.mkdir(parents=True, exist_ok=True)


def _check_data(model: keras.Model, train, val) -> tuple[str, ...]:
    """The class names, after checking that data and model fit."""
    if not train or not val:
        raise ValueError(
            f"Training needs micrographs to learn from and others to choose by. Received:"
            f" {len(train)} for training, {len(val)} for validation."
        )
    both = sorted({e.name for e in train} & {e.name for e in val})
    if both:
        raise ValueError(
            f"A micrograph is either for training or for validation. Received in both: {both[:5]}."
        )
    names = registry.built(model).class_names or names_in([*train, *val])
    depth, built = registry.task_of(model).depth(names), model.output_shape[-1]
    if depth != built:
        raise ValueError(
            f"The labels have {len(names)} classes ({', '.join(names)}) beside the background, so"
            f" the model needs classes={depth}. Received: classes={built}."
        )
    return names


class _Trainer:
    """One run: its data, its state on disk, its phases."""

    def __init__(self, folder, settings, names, train, val, progress):
        self.folder, self.settings, self.names = folder, settings, names
        self.train, self.val, self.progress = train, val, progress
        self.plan = CropPlan(
            settings.crop, tuple(settings.magnification), settings.augment, settings.seed
        )
        windows = len(crop_list(train, self.plan))
        self.steps = settings.steps_per_epoch or math.ceil(windows / settings.batch)
        self.done = _Progress()

    def run(self, model: keras.Model, resume: bool) -> bool:
        """Trains through the phases; True when Ctrl-C ended it."""
        if resume:
            stored = json.loads((self.folder / "state" / "progress.json").read_text("utf-8"))
            self.done = _Progress(**stored)
        phases = [(0, self.settings.epochs, self.settings.learning_rate, {})]
        if self.settings.finetune:
            end = self.settings.epochs + self.settings.finetune_epochs
            phases.append(
                (self.settings.epochs, end, self.settings.finetune_rate, self.settings.finetune)
            )
        try:
            for first, end, rate, changes in phases:
                if self.done.epoch < end:
                    self._phase(model, first, end, rate, changes)
        except KeyboardInterrupt:
            return True
        return False

    def _phase(self, model, first: int, end: int, rate: float, changes: Mapping) -> None:
        twin = self._twin(model, first, changes)
        self._compile(twin, rate, (end - first) * self.steps)
        if self.done.epoch > first:
            # Weights, optimizer and step count: the rate goes on where it was.
            twin.load_weights(self.folder / "state" / LAST)
        start = self.done.epoch * self.steps * self.settings.batch
        task = registry.task_of(model)
        target = partial(task.target, class_names=self.names)
        options = {"target": target, "depth": task.depth(self.names)}
        options["channels"] = model.input_shape[-1]
        stream = training_stream(
            self.train, self.plan, batch=self.settings.batch, start=start, **options
        )
        callbacks = [_EndOfEpoch(self, model, first), *self._bars(end)]
        twin.fit(
            stream,
            validation_data=validation_set(self.val, **options),
            epochs=end,
            initial_epoch=self.done.epoch,
            steps_per_epoch=self.steps,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )

    def _twin(self, model, first: int, changes: Mapping) -> keras.Model:
        """The model that this phase trains: another config or precision, the same weights."""
        keras.utils.set_random_seed(self.settings.seed + first)
        how = registry.built(model)
        policy = "mixed_bfloat16" if self.settings.mixed_precision else "float32"
        with _dtype_policy(policy):
            twin = registry.rebuild(how, **changes)
        if first and self.done.best_epoch:
            pretrained.load(twin, self.folder / pretrained.BEST)
        else:
            twin.set_weights(model.get_weights())
        return twin

    def _compile(self, twin, rate: float, steps: int) -> None:
        warmup = max(1, round(self.settings.warmup * steps))
        schedule = keras.optimizers.schedules.CosineDecay(
            rate / warmup, max(1, steps - warmup), warmup_target=rate, warmup_steps=warmup
        )
        weights = self.settings.class_weights
        task = registry.task_of(twin)
        if weights == "balanced":
            maps = (task.target(e.labels, self.names) for e in self.train)
            weights = task.balanced_weights(maps, task.depth(self.names))
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY)
        task.compile_model(
            twin, optimizer=optimizer, loss=self.settings.loss, class_weights=weights
        )
        optimizer.build(twin.trainable_variables)

    def _bars(self, end: int) -> list[keras.callbacks.Callback]:
        bars = [keras.callbacks.TensorBoard(self.folder / "tensorboard", profile_batch=0)]
        return [*bars, _Bar(end, self.steps)] if self.progress else bars


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class _EndOfEpoch(keras.callbacks.Callback):
    """Writes history, last and best weights, and the state that a resumed run starts from."""

    def __init__(self, trainer: _Trainer, original: keras.Model, first: int):
        super().__init__()
        self.trainer, self.original, self.first = trainer, original, first

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.monotonic()
        # Keras does not store the state of dropout's generators: each epoch has one of its own.
        for number, layer in enumerate(self.model._flatten_layers()):
            if hasattr(layer, "seed_generator"):
                layer.seed_generator.state.assign([self.trainer.settings.seed + number, epoch])

    def on_epoch_end(self, epoch, logs=None):
        done, folder = self.trainer.done, self.trainer.folder
        done.epoch = epoch + 1
        done.minutes += (time.monotonic() - self.began) / 60
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in logs.items()}}
        done.history.append({**row, "minutes": round(done.minutes, 3)})
        if row["val_iou"] > done.best:
            done.best, done.best_epoch = row["val_iou"], epoch + 1
            self._save(pretrained.BEST, row)
        self._save(LAST, row)
        _write_history(folder / "history.csv", done.history)
        self._save_state()
        patience = self.trainer.settings.patience
        if patience and epoch + 1 - max(done.best_epoch, self.first) >= patience:
            self.model.stop_training = True

    def _save(self, name: str, row: Mapping[str, float]) -> None:
        """The bare weights, without the optimizer's two copies of them, and their card."""
        path = self.trainer.folder / name
        pretrained.save(self.model, path)
        how = registry.built(self.model)
        run = json.loads((self.trainer.folder / "run.json").read_text(encoding="utf-8"))
        card = pretrained.WeightsCard(
            model=how.name,
            config=dict(how.config),
            class_names=self.trainer.names,
            dataset=run["data"]["train"]["fingerprint"],
            scores={"val_iou": row["val_iou"], "epoch": row["epoch"]},
            command=run["command"],
            date=datetime.date.today().isoformat(),
        )
        pretrained.write_card(path, card)

    def _save_state(self) -> None:
        state = self.trainer.folder / "state"
        with atomic_path(state / LAST) as temporary:
            self.model.save_weights(temporary, overwrite=True)
        with atomic_path(state / "progress.json") as temporary:
            temporary.write_text(json.dumps(asdict(self.trainer.done)), encoding="utf-8")


class _Bar(keras.callbacks.Callback):
    """A progress bar an epoch; a line for each that is done."""

    def __init__(self, epochs: int, steps: int):
        super().__init__()
        self.epochs, self.steps = epochs, steps

    def on_train_begin(self, logs=None):
        from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

        columns = Progress.get_default_columns()[:3]
        self.bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn())
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.task = self.bar.add_task(f"epoch {epoch + 1}/{self.epochs}", total=self.steps)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        self.bar.remove_task(self.task)
        self.bar.console.print(
            f"epoch {epoch + 1:3d}/{self.epochs}  loss {logs['loss']:.4f}  iou {logs['iou']:.4f}"
            f"  validation: loss {logs['val_loss']:.4f}  iou {logs['val_iou']:.4f}",
            highlight=False,
        )

    def on_train_end(self, logs=None):
        self.bar.stop()


def _write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def fingerprint(examples: Sequence[Example]) -> str:
    """A hash of names, sizes and shapes of labelled images, for telling data sets apart."""
    digest = hashlib.sha256()
    for example in sorted(examples, key=lambda e: e.name):
        labels = example.labels
        digest.update(f"{labels.name} {labels.width} {labels.height}\n".encode())
        for shape in labels.shapes:
            digest.update(f"{shape.kind} {shape.label} ".encode())
            digest.update(np.ascontiguousarray(shape.points, np.float64).tobytes())
            if shape.runs is not None:
                digest.update(np.ascontiguousarray(shape.runs, np.int64).tobytes())
    return digest.hexdigest()[:16]


def hardware() -> dict[str, Any]:
    """Processor, cores and system of this machine."""
    processor = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        processor = models[0] if models else processor
    return {"processor": processor, "cores": os.cpu_count(), "system": platform.platform()}


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with_missing = _version(package)
        if with_missing:
            found[package] = with_missing
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ImportError:
        return None


def commit() -> str | None:
    """The commit of the checkout that temzoo runs from, "-dirty" when it was changed; else None."""
    where = Path(__file__).parents[1]
    if not (where / ".git").exists():
        return None
    command = ["git", "-C", str(where), "describe", "--always", "--dirty", "--exclude=*"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


def _write_run(folder: Path, model, settings: Settings, names, train, val) -> None:
    how = registry.built(model)
    data = {
        part: {
            "images": len(examples),
            "shapes": sum(len(e.labels.shapes) for e in examples),
            "fingerprint": fingerprint(examples),
            "names": [e.name for e in examples],
        }
        for part, examples in (("train", train), ("val", val))
    }
    run = {
        "model": how.name,
        "config": dict(how.config),
        "class_names": names,
        "settings": asdict(settings),
        "data": data,
        "seed": settings.seed,
        "command": " ".join(sys.argv),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": versions(),
        "commit": commit(),
        "hardware": hardware(),
    }
    with atomic_path(folder / "run.json") as temporary:
        temporary.write_text(json.dumps(run, indent=2, default=str) + "\n", encoding="utf-8")
