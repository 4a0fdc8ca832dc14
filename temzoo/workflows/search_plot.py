"""One picture of a search: scores by trial, and against each hyper-parameter."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from temzoo.pictures.colours import BLACK, BLUE, ORANGE, VERMILION, rgb
from temzoo.pictures.sheets import write_figure
from temzoo.training.tuning.space import Dimension, shown
from temzoo.training.tuning.trials import FAILED, FINISHED, Searcher, Trial


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
