"""A model and examples to trained weights, with everything needed to repeat the run.

A run folder holds ``best.weights.h5`` and ``last.weights.h5`` with their cards, ``run.json``
(settings, versions, hardware, data fingerprint, seed, command), ``history.csv`` and its plot,
``validation.png`` with what the model makes of validation images, ``tensorboard/``, and ``state/``,
from which a stopped run goes on.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from temzoo.core import hints
from temzoo.core.settings import Settings
from temzoo.core.types import Example
from temzoo.pictures.plots import plot_history
from temzoo.tasks.feeds import Feed, check_examples, check_own, crop_side, feed_of
from temzoo.training.loop import PROGRESS, Trainer
from temzoo.training.run_folder import fingerprint, write_run
from temzoo.zoo import building, cards, pretrained


@dataclass(frozen=True)
class Run:
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
        model: its config decides channels and classes, and its task what is learnt: classes or
            objects of labelled micrographs; pairs, for restorers (``Settings.pairs``); single
            images, for generative models, which are resized to the model's ``image_size``.
        train: to learn from.
        val: to choose the best epoch by; at full size.
        out: the run folder; new, or with ``resume`` that of a stopped run.
        resume: go on where the run in ``out`` stopped, with its settings.
        progress: draw a progress bar.
        **settings: the fields of ``Settings``.

    Raises:
        ValueError: unknown or impossible settings; labels that do not fit the model's classes; a
            specimen in both ``train`` and ``val``; another model or data than the resumed run's; a
            micrograph that cannot be used.
        FileExistsError: ``out`` holds a run already and ``resume`` is not set.
        FileNotFoundError: nothing to resume from.

    Example:
        >>> model = temzoo.get_model("unet", filters=16)
        >>> run = temzoo.train(model, train, val, out="runs/first", epochs=20)
        >>> run.score
    """
    folder = Path(out)
    kind = feed_of(model)
    chosen = _resumed_settings(folder, model, train, val) if resume else _settings(settings, kind)
    check_examples(train, val)
    chosen = kind.complete(model, chosen, train)
    feed = kind(model, chosen, train, val)
    _check_finetune(model, chosen)
    trainer = Trainer(folder, chosen, feed, val, progress)
    if not resume:
        _new_folder(folder)
        write_run(folder, model, chosen, feed.names, train, val)
        feed.prepare(model)
    interrupted = trainer.run(model, resume)
    done = trainer.done
    if done.best_epoch:
        pretrained.load(model, folder / pretrained.BEST)
        building.name_classes(model, feed.names)
        plot_history(folder / "history.csv", folder / "history.png")
        feed.finish(model, folder, f"epoch {done.best_epoch}")
    score_name = building.task_of(model).SCORE_NAME
    return Run(folder, done.best, done.best_epoch, tuple(done.history), interrupted, score_name)


def _settings(given: Mapping[str, Any], kind: type[Feed]) -> Settings:
    known = [f.name for f in dataclasses.fields(Settings)]
    for name in given:
        if name not in known:
            hint = hints.did_you_mean(name, known)
            raise ValueError(f'train has no setting "{name}".{hint} Settings: {", ".join(known)}.')
    check_own(kind, given)
    return Settings(**given)


def _resumed_settings(folder: Path, model: keras.Model, train, val) -> Settings:
    path = folder / "run.json"
    if not (folder / PROGRESS).is_file():
        raise FileNotFoundError(
            f"There is no run to resume in {folder}: no epoch of it was finished. Start it anew."
        )
    run = json.loads(path.read_text(encoding="utf-8"))
    _check_same_model(path, run, building.built(model))
    for part, examples in (("train", train), ("val", val)):
        before, now = run["data"][part]["fingerprint"], fingerprint(examples)
        if before != now:
            raise ValueError(
                f"A run is resumed with the data it was started with. Received: other images or"
                f" labels for {part} (fingerprint {now}, in {path} {before})."
            )
    return Settings(**run["settings"])


def _check_same_model(path: Path, run: Mapping[str, Any], how: building.Built) -> None:
    free = cards.model_card(how.name).free
    now = json.loads(json.dumps({"name": how.name, **how.config}, default=str))
    before = {"name": run["model"], **run["config"]}
    for keyword, value in now.items():
        if keyword not in free and before.get(keyword) != value:
            raise ValueError(
                f"A run is resumed with the model it was started with. Received:"
                f" {keyword}={value!r}, in {path} {before.get(keyword)!r}."
            )


def _check_finetune(model: keras.Model, settings: Settings) -> None:
    card = cards.model_card(building.built(model).name)
    cards.check_keywords(card, settings.finetune or {})
    for keyword in settings.finetune or {}:
        if keyword not in card.free:
            raise ValueError(
                "finetune changes keywords that leave the weights' shapes alone:"
                f" {', '.join(card.free) or 'none'} for {card.name}. Received: {keyword}."
            )
    if settings.finetune:  # both phases have crops of one size
        later = building.rebuild(building.built(model), **settings.finetune)
        crop_side(later, settings.crop, 0)


def _new_folder(folder: Path) -> None:
    if (folder / PROGRESS).exists():
        raise FileExistsError(
            f"{folder} holds a run already. Resume it (resume=True, --resume), or choose another"
            " out."
        )
    folder.mkdir(parents=True, exist_ok=True)
