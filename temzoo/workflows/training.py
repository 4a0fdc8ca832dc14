"""Training with its pictures: ``temzoo.train`` and ``temzoo.tune``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from temzoo.core.types import Example
from temzoo.pictures.colours import BLACK, BLUE, ORANGE, VERMILION, rgb
from temzoo.pictures.plots import plot_history
from temzoo.pictures.sheets import write_figure
from temzoo.tasks.training_data import TrainingData
from temzoo.training import train as runs
from temzoo.training.train import Run, checked_settings
from temzoo.training.tuning import search as searches
from temzoo.training.tuning.search import Search
from temzoo.training.tuning.space import SETTINGS, Dimension, fixed_parts, shown, space_of
from temzoo.training.tuning.trials import FAILED, FINISHED, Searcher, Trial, budget_of
from temzoo.zoo.cards import model_card

HISTORY, VALIDATION, SEARCH = "history.png", "validation.png", "search.png"


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
    return runs.train(
        model, train, val, out=out, resume=resume, progress=progress, on_finish=draw, **settings
    )


def draw(run: Run, model: keras.Model, data: TrainingData) -> None:
    """Draws the history of a run, and what its model makes of validation examples."""
    plot_history(run.folder / "history.csv", run.folder / HISTORY)
    data.picture(model, run.folder / VALIDATION, f"epoch {run.epoch}")


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
        RuntimeError: no trial could be trained.

    Example:
        >>> found = temzoo.tune("unet", train, val, out="searches/unet", trials=20, epochs=10)
        >>> print(found.summary())
        >>> model = temzoo.get_model("unet", weights=found.run.folder)
    """
    card, budget = model_card(model_name), budget_of(trials, minutes)
    fixed = fixed_parts(card, config or {}, settings, [*train, *val])
    checked_settings(final or {}, "final", SETTINGS)
    space = space_of(card, search or {}, fixed, strategy)
    searcher = Searcher(Path(out), card, fixed, space, seed, train, val, budget, progress, draw)
    interrupted = searches.search(searcher, strategy, resume=resume)
    if searcher.best is not None:
        plot_search(searcher, searcher.folder / SEARCH)
    return searches.result(searcher, interrupted, retrain, final)


def plot_search(searcher: Searcher, path: str | Path) -> Path:
    """Draws the scores by trial with the best so far, and against each hyper-parameter."""
    names = list(searcher.space.dimensions)
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(2.6 * max(columns, 3), 2.8 + 2.2 * rows), layout="constrained")
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[1.25, *[1] * rows])
    top = figure.add_subplot(grid[0, :])
    _plot_trials(top, searcher)
    for place, name in enumerate(names):
        axis = figure.add_subplot(grid[1 + place // columns, place % columns])
        _plot_dimension(axis, searcher, searcher.space.dimensions[name])
        if place % columns == 0:
            axis.set_ylabel(searcher.score_name)
    figure.legend(loc="outside upper center", ncols=5, frameon=False, fontsize=8)
    return write_figure(figure, path)


def _plot_trials(axis: Axes, searcher: Searcher) -> None:
    done = [trial for trial in searcher.trials if trial.status == FINISHED]
    numbers, scores = [t.trial for t in done], [t.score for t in done]
    running = list(itertools.accumulate(scores, max))
    axis.step(numbers, running, where="post", color=rgb(BLACK), lw=1, label="best so far", zorder=1)
    axis.plot(numbers, scores, "o", color=rgb(BLUE), ms=5, label="trial")
    _mark(axis, searcher, lambda trial: trial.trial)
    failed = [trial.trial for trial in searcher.trials if trial.status == FAILED]
    if failed:
        style = {"color": rgb(VERMILION), "label": "failed"}
        at_foot = axis.get_xaxis_transform()
        axis.plot(failed, [0.04] * len(failed), "x", transform=at_foot, **style)
    axis.set(xlabel="trial", ylabel=searcher.score_name)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)


def _mark(axis: Axes, searcher: Searcher, x) -> None:
    """Marks the default configuration and the best."""
    default, best = searcher.trials[0], searcher.best
    style = {"ms": 11, "mfc": "none", "mew": 1.6}
    if default.score is not None:
        axis.plot(x(default), default.score, "s", color=rgb(ORANGE), label="default", **style)
    axis.plot(x(best), best.score, "o", color=rgb(VERMILION), label="best", **style)


def _plot_dimension(axis: Axes, searcher: Searcher, dimension: Dimension) -> None:
    """Value against score; choices stand side by side, the default last where it is none."""
    done = [trial for trial in searcher.trials if trial.status == FINISHED]
    places = None
    if dimension.choices is not None:
        values = [*dimension.choices, *(trial.values[dimension.name] for trial in done)]
        texts = list(dict.fromkeys(map(shown, values)))
        places = {text: place for place, text in enumerate(texts)}

    def x(trial: Trial):
        value = trial.values[dimension.name]
        return value if places is None else places[shown(value)]

    axis.plot([x(t) for t in done], [t.score for t in done], "o", color=rgb(BLUE), ms=4)
    _mark(axis, searcher, x)
    for line in axis.lines:
        line.set_label("_")  # the first panel has the legend
    if places is not None:
        slanted = {"rotation": 25, "ha": "right"} if sum(map(len, texts)) > 18 else {}
        axis.set_xticks(range(len(texts)), texts, fontsize=8, **slanted)
        axis.set_xlim(-0.5, len(texts) - 0.5)
    elif dimension.log:
        axis.set_xscale("log")
    axis.margins(0.1)  # room for the marks
    axis.set_xlabel(dimension.name)
    axis.grid(alpha=0.3)
