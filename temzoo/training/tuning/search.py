"""A search as a whole: what KerasTuner proposes is tried, and what comes of it."""

from __future__ import annotations

import logging
import math
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from temzoo.core.files import read_json, require_in_place
from temzoo.training.train import Run
from temzoo.training.tuning.space import Space, key_of, shown
from temzoo.training.tuning.trials import (
    FAILED,
    BudgetSpentError,
    Searcher,
    Trial,
    begun,
    progress_of,
)
from temzoo.zoo.pretrained import as_json

# Trials before a Gaussian process chooses. KerasTuner's three a dimension would leave a budget of
# ten trials, in seven dimensions, to chance alone.
INITIAL_POINTS = 4
# Random draws for one that was not tried, until the ranges count as exhausted.
DRAWS = 1000


@dataclass(frozen=True)
class Search:
    """What a search gives back.

    Attributes:
        folder: with ``search.json``, ``trials.csv``, ``search.png`` and ``trials/``.
        best: "trial", "score", and the "config" and "settings" it was trained with, whole enough
            for ``get_model`` and ``train``; of equal scores the first. None when Ctrl-C came
            before a trial was finished.
        table: one dict a trial: "trial", "status" ("finished", "failed" or "stopped"), "score",
            "epoch", "minutes", "parameters", every hyper-parameter, and the "message" of a failed
            one.
        default_score: of the default configuration; None when it failed or was stopped.
        run: the best, as an ordinary run in ``best/``; None without ``retrain``.
        interrupted: whether Ctrl-C ended it.
        score_name: what the score is: "IoU", "F1", "PSNR".
    """

    folder: Path
    best: Mapping[str, Any] | None
    table: tuple[Mapping[str, Any], ...]
    default_score: float | None
    run: Run | None = None
    interrupted: bool = False
    score_name: str = ""

    def summary(self) -> str:
        """Two lines: the best score beside the default's, and how it was reached."""
        if self.best is None:
            return "no trial was finished"
        default = "none" if self.default_score is None else f"{self.default_score:.4f}"
        row = next(row for row in self.table if row["trial"] == self.best["trial"])
        chosen = {name: row[name] for name in list(row)[len(Trial.COLUMNS) : -1]}
        return (
            f"best {self.score_name} {self.best['score']:.4f} in trial {self.best['trial']} of"
            f" {len(self.table)}; the default's {default}\n"
            + ", ".join(f"{name}={shown(value)}" for name, value in chosen.items())
        )


def search(searcher: Searcher, strategy: str, *, resume: bool) -> bool:
    """Tries the default, then what KerasTuner proposes; True when Ctrl-C ended it."""
    searcher.open(strategy, resume)
    try:
        with quiet(), TemporaryDirectory(prefix="temzoo-") as notes:
            searcher.attempt(searcher.space.defaults())
            for trial in searcher.stopped():
                searcher.require_budget()
                searcher.attempt(trial.values)
            tuner_of(searcher, strategy, notes).search()
    except BudgetSpentError:
        pass
    except KeyboardInterrupt:
        return True
    finally:
        searcher.write_table()
    return False


def result(
    searcher: Searcher, interrupted: bool, retrain: bool, final: Mapping[str, Any] | None
) -> Search:
    """What was found, with the best as a run in ``best/``; the arguments are ``temzoo.tune``'s.

    Raises:
        RuntimeError: no trial could be trained.
    """
    default = searcher.trials[0].score if searcher.trials else None
    best, run, told = searcher.best, None, None
    if best is not None:
        config, settings = searcher.arguments(best.values)
        settings["seed"] = searcher.seed
        told = {"trial": best.trial, "score": best.score, "config": config, "settings": settings}
        run = _best_run(searcher, told, final, interrupted) if retrain else None
    elif not interrupted:
        first = next((t.message for t in searcher.trials if t.status == FAILED), "")
        raise RuntimeError(
            f"No trial could be trained: {len(searcher.trials)} failed, the first by {first} See"
            f" {searcher.folder / 'trials.csv'}; fix what they share, or narrow the ranges."
        )
    return Search(
        searcher.folder,
        told,
        tuple(searcher.table()),
        default,
        run,
        interrupted or (run is not None and run.interrupted),
        searcher.score_name,
    )


def _best_run(
    searcher: Searcher,
    best: Mapping[str, Any],
    final: Mapping[str, Any] | None,
    interrupted: bool,
) -> Run | None:
    """The best as an ordinary run in ``best/``: the trial's, copied, or trained with ``final``."""
    folder = searcher.folder / "best"
    if not final:
        _copy_folder(searcher.folder / "trials" / f"{best['trial']:03d}", folder)
        done = progress_of(folder)
        return Run(
            folder,
            done["best"],
            done["best_epoch"],
            tuple(done["history"]),
            score_name=searcher.score_name,
        )
    if interrupted:
        return None
    settings = {**best["settings"], **final}
    resume = begun(folder) and _is_of(folder, best["config"], settings)
    if folder.exists() and not resume:
        shutil.rmtree(folder)
    settings.pop("seed")
    return searcher.fit(folder, best["config"], settings, resume=resume)


def _copy_folder(source: Path, target: Path) -> None:
    require_in_place(target)
    partial = target.with_name(f".partial-{target.name}")
    for leftover in (partial, target):
        if leftover.exists():
            shutil.rmtree(leftover)
    shutil.copytree(source, partial, ignore=shutil.ignore_patterns("trial.json"))
    partial.rename(target)


def _is_of(folder: Path, config: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a run was started with these."""
    told = read_json(folder / "run.json")
    wanted = as_json({"config": config, "settings": settings})
    return all({**told[part], **values} == told[part] for part, values in wanted.items())


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of KerasTuner, of the Gaussian process it fits to a few points, and of
    TensorFlow, which takes the next trial's model for a function traced in vain."""
    from sklearn.exceptions import ConvergenceWarning

    log, retracing = logging.getLogger("tensorflow"), _NoRetracing()
    log.addFilter(retracing)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="keras_tuner")
            warnings.filterwarnings("ignore", category=ConvergenceWarning)
            yield
    finally:
        log.removeFilter(retracing)


class _NoRetracing(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "retracing" not in record.getMessage()


def tuner_of(searcher: Searcher, strategy: str, notes: str):
    """KerasTuner's loop around ``searcher.attempt``.

    Args:
        notes: a folder for its own notes, which nobody needs later.
    """
    import keras_tuner
    from keras_tuner.engine.base_tuner import BaseTuner
    from keras_tuner.engine.trial import TrialStatus

    class Tuner(BaseTuner):
        def pre_create_trial(self):
            searcher.require_budget()

        def search(self):
            try:
                super().search()
            except keras_tuner.errors.FatalError as error:
                raise error.__cause__ from None

        def run_trial(self, trial):
            values = searcher.space.decode(trial.hyperparameters.values)
            try:
                done = searcher.attempt(values)
            except Exception as error:  # of the search, not the training: a full disk
                raise keras_tuner.errors.FatalError(str(error)) from error
            return {"score": math.nan if done.score is None else done.score}

        def on_trial_end(self, trial):
            # Told by an error instead, it would print its own lines of code to the terminal.
            if math.isnan(trial.metrics.get_last_value("score")):
                trial.status = TrialStatus.FAILED
            super().on_trial_end(trial)

    oracle = oracle_of(searcher.space, strategy, searcher.seed)
    return Tuner(oracle, directory=notes, project_name="keras_tuner", overwrite=True)


def oracle_of(space: Space, strategy: str, seed: int):
    """KerasTuner's oracle, which begins with the default and proposes nothing twice."""
    import keras_tuner

    base = {
        "random": keras_tuner.oracles.RandomSearchOracle,
        "grid": keras_tuner.oracles.GridSearchOracle,
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    }[strategy]
    options = {"num_initial_points": INITIAL_POINTS} if strategy == "bayesian" else {}

    class Oracle(base):
        def populate_space(self, trial_id):
            first = None if strategy == "grid" or self.trials else space.encoded_defaults()
            if first is not None:
                return {"status": "RUNNING", "values": first}
            proposed = super().populate_space(trial_id)
            values = proposed["values"]
            # Two numbers may differ only beyond the digits that are used.
            if strategy == "grid" or values is None or not self._was_tried(values):
                return proposed
            return self._draw()

        def _was_tried(self, values):
            tried = (trial.hyperparameters.values for trial in self.trials.values())
            return key_of(space.decode(values)) in {key_of(space.decode(each)) for each in tried}

        def _draw(self):
            rng = np.random.default_rng([self.seed, len(self.trials)])
            for _ in range(DRAWS):
                parts = self.hyperparameters.space
                values = {one.name: one.prob_to_value(rng.random()) for one in parts}
                if not self._was_tried(values):
                    return {"status": "RUNNING", "values": values}
            return {"status": "STOPPED", "values": None}

    oracle = Oracle(
        objective=keras_tuner.Objective("score", "max"),
        max_trials=None,
        hyperparameters=space.declare(keras_tuner.HyperParameters()),
        # KerasTuner takes 0 for no seed, and seeds that follow each other share their draws.
        seed=int(np.random.default_rng(seed).integers(1, 2**31)),
        max_consecutive_failed_trials=sys.maxsize,
        **options,
    )
    oracle.verbose = 0
    return oracle
