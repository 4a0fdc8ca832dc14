"""Training with its pictures: ``temzoo.train`` and ``temzoo.tune``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from temzoo.core.files import own_folder
from temzoo.core.types import Example, Tell
from temzoo.inference.predict import predict
from temzoo.pictures.plots import plot_history
from temzoo.tasks.training_data import LabelledData, TrainingData
from temzoo.training import train as runs
from temzoo.training.devices import opened as opened
from temzoo.training.train import Run, checked_settings
from temzoo.training.tuning import search as searches
from temzoo.training.tuning.search import Search
from temzoo.training.tuning.space import SETTINGS, fixed_parts, space_of
from temzoo.training.tuning.trials import Searcher, budget_of
from temzoo.workflows.search_plot import plot_search
from temzoo.workflows.size_errors import countable, errors_of, row_of
from temzoo.zoo import pretrained
from temzoo.zoo.built import task_of
from temzoo.zoo.cards import model_card

HISTORY, VALIDATION, SEARCH = "history.png", "validation.png", "search.png"


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
    **settings: Any,
) -> Run:
    """Trains a model from ``get_model``; afterwards it holds the best weights.

    Where two validation images and more have six free particles, the card of the weights keeps how
    far D50 and number are off there, and ``measure`` widens its intervals by that.

    Args:
        model: its config decides channels and classes, and its task what is learnt: classes or
            objects of labelled micrographs; pairs, for restorers (``Settings.pairs``); single
            images, for generative models and, each with a class, for classifiers, which are resized
            to the model's ``image_size``.
        train: to learn from.
        val: to choose the best epoch by; at full size.
        out: the run folder; new, or with ``resume`` that of a stopped run.
        resume: go on where the run in ``out`` stopped, with its settings.
        progress: draw a progress bar; or a function that is told the share of the epochs that is
            done, 0 to 1, and a few words, after each step. KeyboardInterrupt from it ends the run
            as Ctrl-C does.
        strategy: the devices to train on: None for one; "mirrored" for all GPUs of this machine,
            or all devices under JAX; "multiworker" for those of the machines of ``TF_CONFIG``, or
            of a job of SLURM; or a strategy of tf.distribute, or a
            ``keras.distribution.DataParallel``. Each takes an equal part of a batch. Of several
            processes all call this alike; the first writes ``out``, which the others can read.
        minutes: end with the first epoch after so many, but none before one was judged; what
            follows is as ever, and ``resume`` goes on to the end. The learning rate falls as if
            all epochs were to come.
        on_begin: called with the folder of a new run, once it holds ``run.json``.
        **settings: the fields of ``Settings``.

    Raises:
        ValueError: unknown or impossible settings; labels that do not fit the model's classes; a
            specimen in both ``train`` and ``val``; another model or data than the resumed run's; a
            micrograph that cannot be used; a batch or model that the devices cannot share.
        FileExistsError: ``out`` holds a run already and ``resume`` is not set.
        FileNotFoundError: nothing to resume from.
        RuntimeError: another process of the run is gone; a strategy that comes too late.

    Example:
        >>> model = temzoo.get_model("unet", filters=16)
        >>> run = temzoo.train(model, train, val, out="runs/first", epochs=20)
        >>> run.score
    """
    return runs.train(
        model,
        train,
        val,
        out=out,
        resume=resume,
        progress=progress,
        strategy=strategy,
        minutes=minutes,
        on_begin=on_begin,
        on_finish=finish,
        **settings,
    )


def finish(run: Run, model: keras.Model, data: TrainingData) -> None:
    """Draws the history of a run and what its model makes of validation examples.

    The card of the weights then says how far its sizes and numbers are off on these.
    """
    plot_history(run.folder / "history.csv", run.folder / HISTORY)
    data.picture(model, run.folder / VALIDATION, f"epoch {run.epoch}")
    if isinstance(data, LabelledData) and task_of(model).instances and not run.interrupted:
        rows = [row_of(each, predict(model, each.micrograph)) for each in data.val]
        path = run.folder / pretrained.BEST
        card = replace(pretrained.read_card(path), errors=errors_of(countable(rows)))
        pretrained.write_card(path, card)


def tune(
    model_name: str,
    train: Sequence[Example],
    val: Sequence[Example],
    *,
    out: str | Path,
    strategy: str = "random",
    trials: int | None = None,
    minutes: float | None = None,
    search: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    seed: int = 0,
    resume: bool = False,
    retrain: bool = True,
    final: Mapping[str, Any] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Search:
    """Searches for the hyper-parameters with the best validation score.

    Searched are the keywords in the ``ranges`` of the model's card, and of training the loss, the
    batch (4, 8, 16) and the learning rate (1e-4 to 1e-2, by its logarithm). A range is a list of
    choices, (low, high), or (low, high, "log"). Of a tuple a grid takes both ends and the middle;
    it varies the last hyper-parameter fastest, and begins with the default where it holds it.

    The validation images choose the setting as well as the epoch; keep others for the final figure.

    Args:
        model_name: one of ``list_models()``.
        train: to learn from.
        val: to score by.
        out: the folder to write; new, or with ``resume`` that of a stopped search.
        strategy: "random", "grid" or "bayesian" (upper confidence bound of a Gaussian process).
        trials: to end after, the default among them; 10 when ``minutes`` is not given either.
        minutes: no trial starts that would, at the median so far, end later. Both may be given.
        search: ranges that replace or join those above, by keyword (of the model, else of
            ``train``); None removes one.
        config: keywords of the model that are fixed. ``classes`` is taken from the labels.
        seed: of the proposals, and of each trial's initial weights and training.
        resume: go on in ``out``: finished trials are kept, a stopped one goes on. More ``trials``
            or ``minutes`` prolong a finished search.
        retrain: leave the best in ``best/`` as an ordinary run.
        final: settings of ``train`` for ``best/`` that differ from the search's, such as
            ``{"epochs": 60}``: it is trained anew. None: the best trial's folder is copied, which
            holds the weights that scored.
        progress: a line for each trial.
        **settings: of ``train``, fixed (epochs, crop, steps_per_epoch …).

    Raises:
        ValueError: an unknown model, strategy, keyword or setting; a range that is none; nothing
            to search or no budget; with ``resume``, another search than the one in ``out``.
        FileExistsError: ``out`` holds a search already and ``resume`` is not set.
        FileNotFoundError: nothing to resume.
        RuntimeError: no trial could be trained; another job is at work in ``out``.

    Example:
        >>> found = temzoo.tune("unet", train, val, out="searches/unet", trials=20, epochs=10)
        >>> print(found.summary())
        >>> model = temzoo.get_model("unet", weights=found.run.folder)
    """
    card, budget = model_card(model_name), budget_of(trials, minutes)
    fixed = fixed_parts(card, config or {}, settings, [*train, *val])
    checked_settings(final or {}, "final", SETTINGS)
    space = space_of(card, search or {}, fixed, strategy)
    searcher = Searcher(Path(out), card, fixed, space, seed, train, val, budget, progress, finish)
    with own_folder(out):
        interrupted = searches.search(searcher, strategy, resume=resume)
        if searcher.best is not None:
            plot_search(searcher, searcher.folder / SEARCH)
        return searches.result(searcher, interrupted, retrain, final)
