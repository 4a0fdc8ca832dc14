"""A model and examples to trained weights, with everything needed to repeat the run.

A run folder holds ``best.weights.h5`` and ``last.weights.h5`` with their cards, ``run.json``
(settings, versions, hardware, data fingerprint, seed, command), ``history.csv`` and its plot,
``validation.png`` with what the model makes of validation images, ``tensorboard/``, and ``state/``,
from which a stopped run goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from temzoo.core import hints
from temzoo.core.hints import located
from temzoo.core.settings import Settings
from temzoo.core.showing import Told
from temzoo.core.types import Example, Tell
from temzoo.tasks.training_data import TrainingData, check_examples, check_own, crop_side
from temzoo.training.devices import devices_of
from temzoo.training.loop import Trainer
from temzoo.training.progress import PROGRESS
from temzoo.training.run_folder import RUN, fingerprint, read_run, write_run
from temzoo.zoo import building, cards, pretrained
from temzoo.zoo.built import Built, Limits, built, name_classes, note, task_of

SETTINGS = tuple(field.name for field in dataclasses.fields(Settings))


@dataclass(frozen=True, repr=False)
class Run(Told):
    """What training gives back.

    Attributes:
        folder: with the weights, history and ``run.json``.
        score: best on the validation micrographs, by the task's measure.
        epoch: that it was reached in, from 1; 0 before any was judged.
        history: one mapping per epoch.
        interrupted: whether Ctrl-C ended it; the best so far is kept.
        score_name: what the score is, for texts: "IoU", "F1".
    """

    folder: Path
    score: float
    epoch: int
    history: tuple[Mapping[str, float], ...]
    interrupted: bool = False
    score_name: str = ""

    def _told(self) -> tuple[str, Mapping[str, Any]]:
        score = f"{self.score_name} {self.score:.4f} in epoch {self.epoch}".lstrip()
        return f"Run in {self.folder}", {
            "epochs": len(self.history) or "none was finished",
            "best on validation": score if self.epoch else "none was judged",
            "stopped": "by Ctrl-C" if self.interrupted else "",
        }


def train(
    model: keras.Model,
    train: Sequence[Example],
    val: Sequence[Example],
    *,
    out: str | Path,
    resume: bool = False,
    progress: bool | Tell = True,
    strategy: Any = None,
    minutes: float | None = None,
    on_begin: Callable[[Path], None] | None = None,
    on_finish: Callable[[Run, keras.Model, TrainingData], None] | None = None,
    **settings: Any,
) -> Run:
    """Trains as ``temzoo.train`` tells, and draws nothing.

    Args:
        on_finish: called with the run, the model holding the best weights, and its data, unless no
            epoch was judged.
    """
    folder, task, devices = Path(out), task_of(model), devices_of(strategy)
    if minutes is not None and not minutes > 0:
        raise ValueError(f"minutes must be above 0. Received: minutes={minutes}. Use 60.")
    if minutes is not None and devices.processes > 1:
        raise ValueError(
            "minutes end the run of one process; several would stop at different epochs. Received:"
            f" minutes={minutes} for {devices.processes} processes. Give epochs."
        )
    if resume:
        chosen = _resumed_settings(folder, model, train, val, settings)
    else:
        chosen = checked_settings(settings, "train")
        check_own(task, settings)
        _check_new(folder)
    check_examples(train, val)
    kind = task.training_data()
    chosen = kind.complete(model, chosen, train)
    data = kind(model, chosen, train, val)
    note(model, dataclasses.replace(built(model), limits=Limits(binning=data.binning)))
    _check_finetune(model, chosen)
    devices.check(model, chosen.batch)
    with devices.watched(), devices.folder(folder, resume) as own:
        trainer = Trainer(own, chosen, data, val, progress, devices, minutes)
        devices.begin_alike(model, [*train, *val])
        if not resume:
            _begin(trainer, model, train)
            if on_begin is not None:
                on_begin(own)
        run = dataclasses.replace(_run(trainer, model, resume), folder=folder)
    if run.epoch and on_finish is not None and devices.chief:
        on_finish(run, model, data)
    return run


def _check_new(folder: Path) -> None:
    if (folder / PROGRESS).exists():
        raise FileExistsError(
            f"{folder} holds a run already. Resume it (resume=True, --resume), or choose another"
            " out."
        )


def _begin(trainer: Trainer, model: keras.Model, train: Sequence[Example]) -> None:
    """Writes down what a new run is, and tells what a user may not expect of it."""
    folder, data = trainer.folder, trainer.data
    notes = [line for line in (built(model).begun, *data.notes) if line]
    parts, devices = {"train": train, "val": trainer.val}, trainer.devices.told()
    write_run(folder, model, trainer.settings, data.names, notes, parts, devices)
    if trainer.progress is True:
        print(*notes, sep="\n", end="\n" if notes else "")
    data.prepare(model)


def _run(trainer: Trainer, model: keras.Model, resume: bool) -> Run:
    """Trains, and leaves the best weights in the model."""
    interrupted = trainer.run(model, resume)
    folder, data, done = trainer.folder, trainer.data, trainer.done
    if done.best_epoch:
        pretrained.load(model, folder / pretrained.BEST)
        name_classes(model, data.names)
        data.finish(model, folder)
    score_name, history = task_of(model).score_name, tuple(done.history)
    return Run(folder, done.best, done.best_epoch, history, interrupted, score_name)


def checked_settings(
    given: Mapping[str, Any], where: str, known: Sequence[str] = SETTINGS
) -> Settings:
    """Raises ValueError, with close matches, for a setting that is not known, or is impossible."""
    for name in given:
        if name not in known:
            hint = hints.did_you_mean(name, list(known))
            raise ValueError(
                f'{where} has no setting "{name}".{hint} Settings: {", ".join(known)}.'
            )
    return Settings(**given)


def _resumed_settings(
    folder: Path, model: keras.Model, train, val, given: Mapping[str, Any]
) -> Settings:
    """Those that the run was started with; of what its file cannot hold, those that are given."""
    path = folder / RUN
    if not (folder / PROGRESS).is_file():
        raise FileNotFoundError(
            f"There is no run to resume in {folder}: no state of it was written. Start it anew."
        )
    run = read_run(folder)
    _check_same_model(path, run, built(model))
    for part, examples in (("train", train), ("val", val)):
        before, now = run["data"][part]["fingerprint"], fingerprint(examples)
        if before != now:
            raise ValueError(
                f"A run is resumed with the data it was started with. Received: other images or"
                f" labels for {part} (fingerprint {now}, in {path} {before})."
            )
    now = pretrained.as_json(dataclasses.asdict(checked_settings(given, "train")))
    with located(str(path)):
        # Runs from before binning saw the pixels.
        before = checked_settings({"binning": 1, **run["settings"]}, "the run")
    objects = run.get("objects", [])
    for name in given:
        if name not in objects and now[name] != run["settings"].get(name):
            raise ValueError(
                f"A run is resumed with the settings it was started with. Received: {name}="
                f"{given[name]!r}, in {path} {run['settings'].get(name)!r}. Leave {name} out, or"
                f" begin another run from these weights (--weights {folder}, or start= of"
                " get_model)."
            )
    missing = [name for name in objects if name not in given]
    if missing:
        raise ValueError(
            f"{path} cannot hold the {' and the '.join(missing)} of this run, which are objects of"
            f" yours. Received: resume without {', '.join(missing)}. Pass the same again."
        )
    return dataclasses.replace(before, **{name: given[name] for name in objects})


def _check_same_model(path: Path, run: Mapping[str, Any], how: Built) -> None:
    free = cards.model_card(how.name).free
    now = pretrained.as_json({"name": how.name, **how.config})
    before = {"name": run["model"], **run["config"]}
    if how.begun and how.begun not in run.get("notes", ()):
        raise ValueError(
            "A run is resumed with the weights it was started with. Received: a model"
            f" {how.begun}, and {path} tells of none such. Leave --weights (start=) out."
        )
    for keyword, value in now.items():
        if keyword not in free and before.get(keyword) != value:
            raise ValueError(
                f"A run is resumed with the model it was started with. Received:"
                f" {keyword}={value!r}, in {path} {before.get(keyword)!r}."
            )


def _check_finetune(model: keras.Model, settings: Settings) -> None:
    card = cards.model_card(built(model).name)
    cards.check_keywords(card, settings.finetune or {})
    for keyword in settings.finetune or {}:
        if keyword not in card.free:
            raise ValueError(
                "finetune changes keywords that leave the weights' shapes alone:"
                f" {', '.join(card.free) or 'none'} for {card.name}. Received: {keyword}."
            )
    if settings.finetune:  # both phases have crops of one size
        later = building.rebuild(built(model), **settings.finetune)
        crop_side(later, settings.crop, 0)
