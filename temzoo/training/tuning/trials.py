"""Runs and records the trials of a search, so that a stopped search can go on.

What counts is ``trial.json`` in each trial's folder, written whole. Proposals depend on nothing but
the seed and the scores so far, so a resumed search asks for them anew and answers what was tried
from there. KerasTuner's own files are not written whole, and leave out where a grid and the random
state of a Bayesian search were.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras

from temzoo.core.files import read_json, write_json
from temzoo.core.types import Example
from temzoo.core.writers import write_csv
from temzoo.training import run_folder as about_run
from temzoo.training.progress import PROGRESS
from temzoo.training.train import Run
from temzoo.training.train import train as train_model
from temzoo.training.tuning.space import Fixed, Space, key_of
from temzoo.zoo import building, cards
from temzoo.zoo.pretrained import as_json
from temzoo.zoo.task import task_named

TRIALS = 10
# Of trials, from the first on: what fails so often fails for a reason that no setting mends.
FAILURES = 3
# Starts of a trial without a new state: a kernel that kills for memory would do so for ever.
STARTS = 2
STARTED, FINISHED, FAILED = "started", "finished", "failed"
STATUSES = {STARTED: "stopped", FINISHED: "finished", FAILED: "failed"}


@dataclass(frozen=True)
class Budget:
    trials: float
    minutes: float


def budget_of(trials: int | None, minutes: float | None) -> Budget:
    if trials is None and minutes is None:
        trials = TRIALS
    for name, value in (("trials", trials), ("minutes", minutes)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be greater than 0. Received: {name}={value!r}.")
    return Budget(trials or math.inf, minutes or math.inf)


@dataclass
class Trial:
    """What is known of a trial; ``trial.json`` in its folder.

    Attributes:
        starts: without a new state; from_epoch, from_step: what was done at the last of them.
    """

    COLUMNS = ("trial", "status", "score", "epoch", "minutes", "parameters")

    trial: int
    values: dict[str, Any]
    status: str = STARTED
    score: float | None = None
    epoch: int | None = None
    minutes: float = 0.0
    parameters: int | None = None
    message: str = ""
    starts: int = 0
    from_epoch: int = -1
    from_step: int = 0

    def row(self) -> dict[str, Any]:
        known = {name: getattr(self, name) for name in self.COLUMNS}
        known["status"], known["minutes"] = STATUSES[self.status], round(self.minutes, 3)
        return {**known, **self.values, "message": self.message}


class BudgetSpentError(Exception):
    """No further trial is to start."""


@dataclass
class Searcher:
    """One search: its data, its trials and their files."""

    folder: Path
    card: cards.ModelCard
    fixed: Fixed
    space: Space
    seed: int
    train: Sequence[Example]
    val: Sequence[Example]
    budget: Budget
    progress: bool
    on_run: Callable | None = None
    trials: list[Trial] = field(default_factory=list)

    @property
    def score_name(self) -> str:
        return task_named(self.card.task).score_name

    @property
    def best(self) -> Trial | None:
        done = [trial for trial in self.trials if trial.status == FINISHED]
        return max(done, key=lambda trial: trial.score, default=None)

    def stopped(self) -> list[Trial]:
        """Those that were begun and not ended, by a kill or Ctrl-C."""
        return [trial for trial in self.trials if trial.status == STARTED]

    def open(self, strategy: str, resume: bool) -> None:
        """Writes ``search.json``, or checks that it tells of this same search, and reads trials."""
        path = self.folder / "search.json"
        told = self._told(strategy)
        if path.is_file() and not resume:
            raise FileExistsError(
                f"{self.folder} holds a search already. Resume it (resume=True, --resume), or"
                " choose another out."
            )
        if resume and not path.is_file():
            raise FileNotFoundError(
                f"There is no search to resume in {self.folder}. Start it anew."
            )
        sessions = []
        if resume:
            before = read_json(path)
            sessions = before["sessions"]
            _check_same(path, before, told)
            self._read_trials()
        limits = {k: None if math.isinf(v) else v for k, v in asdict(self.budget).items()}
        sessions = [*sessions, {**about_run.session(), **limits}]
        write_json(path, {**told, "sessions": sessions}, indent=1)

    def _told(self, strategy: str) -> dict[str, Any]:
        data = {
            "train": about_run.fingerprint(self.train),
            "val": about_run.fingerprint(self.val),
        }
        ranges = {name: one.described() for name, one in self.space.dimensions.items()}
        told = {"model": self.card.name, "strategy": strategy, "seed": self.seed, "ranges": ranges}
        return as_json({**told, **asdict(self.fixed), "data": data})

    def _read_trials(self) -> None:
        for path in self.folder.glob("trials/*/trial.json"):
            trial = Trial(**read_json(path))
            trial.values = self.space.canonical(trial.values)
            self.trials.append(trial)
        self.trials.sort(key=lambda trial: trial.trial)

    def require_budget(self) -> None:
        """Raises when no further trial is to start."""
        ended = [trial for trial in self.trials if trial.status != STARTED]
        hopeless = len(ended) >= FAILURES and all(t.status == FAILED for t in ended)
        late = sum(t.minutes for t in self.trials) + self._typical_minutes() > self.budget.minutes
        if hopeless or late or len(ended) >= self.budget.trials:
            raise BudgetSpentError

    def _typical_minutes(self) -> float:
        """Of a trial; failed ones, which mostly end at once, tell of it only where there is none
        other."""
        done = [t.minutes for t in self.trials if t.status == FINISHED]
        return statistics.median(done or [t.minutes for t in self.trials])

    def attempt(self, values: dict[str, Any]) -> Trial:
        """The trial of these values, trained unless it was already."""
        known = {key_of(trial.values): trial for trial in self.trials}
        trial = known.get(key_of(values))
        if trial is None:
            trial = Trial(len(self.trials), values)
            self.trials.append(trial)
        if trial.status != STARTED:
            return trial
        if self._may_start(trial):
            self._save(trial)
            self._train(trial)
        self._save(trial)
        self.write_table()
        self._tell(trial)
        return trial

    def _may_start(self, trial: Trial) -> bool:
        """Notes a start; False, with the trial failed, where kills leave no hope."""
        folder = self.run_folder(trial)
        done = progress_of(folder) if begun(folder) else {"epoch": 0, "minutes": 0.0}
        trial.minutes = max(trial.minutes, done["minutes"])
        now, before = (done["epoch"], done.get("step", 0)), (trial.from_epoch, trial.from_step)
        trial.starts = 1 + (trial.starts if now == before else 0)
        trial.from_epoch, trial.from_step = now
        if trial.starts > STARTS:
            trial.status = FAILED
            trial.message = f"killed {STARTS} times in epoch {done['epoch'] + 1}; short of memory?"
        return trial.status == STARTED

    def _train(self, trial: Trial) -> None:
        """Trains it and notes how it ended."""
        start, before = time.monotonic(), trial.minutes
        try:
            run = self._run(trial)
        except (KeyboardInterrupt, OSError):  # a full disk is no fault of the settings
            trial.starts = 0
            trial.minutes = before + (time.monotonic() - start) / 60
            with suppress(OSError):
                self._save(trial)
            raise
        except Exception as error:  # out of memory, or a combination that the model refuses
            trial.status, trial.message = FAILED, f"{type(error).__name__}: {error}"
        else:
            trial.status, trial.score, trial.epoch = FINISHED, run.score, run.epoch
            if not run.epoch or not math.isfinite(run.score):
                trial.status, trial.score = FAILED, None
                trial.message = "no epoch had a finite score"
        trial.minutes = before + (time.monotonic() - start) / 60

    def _run(self, trial: Trial) -> Run:
        config, settings = self.arguments(trial.values)
        folder = self.run_folder(trial)
        run = self.fit(folder, config, settings, resume=begun(folder), trial=trial)
        if run.interrupted:
            raise KeyboardInterrupt
        return run

    def fit(
        self, folder: Path, config, settings, *, resume: bool, trial: Trial | None = None
    ) -> Run:
        """An ordinary run, from weights that the seed alone decides."""
        try:
            keras.utils.set_random_seed(self.seed)
            model = building.get_model(self.card.name, compile=False, **config)
            if trial is not None:
                trial.parameters = model.count_params()
            given = {} if resume else {**settings, "seed": self.seed}
            given |= {"progress": self.progress and trial is None, "on_finish": self.on_run}
            return train_model(model, self.train, self.val, out=folder, resume=resume, **given)
        finally:
            model = None
            gc.collect()  # a model and its optimizer hold each other, and the next is coming

    def arguments(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The model's config and training's settings of a trial."""
        config, settings = dict(self.fixed.config), dict(self.fixed.settings)
        for name, value in values.items():
            (config if name in self.card.config else settings)[name] = value
        return config, settings

    def run_folder(self, trial: Trial) -> Path:
        return self.folder / "trials" / f"{trial.trial:03d}"

    def _save(self, trial: Trial) -> None:
        write_json(self.run_folder(trial) / "trial.json", as_json(asdict(trial)), indent=1)

    def table(self) -> list[dict[str, Any]]:
        return [trial.row() for trial in self.trials]

    def write_table(self) -> None:
        columns = [*Trial.COLUMNS, *self.space.dimensions, "message"]
        rows = ([row[name] for name in columns] for row in self.table())
        write_csv(self.folder / "trials.csv", columns, rows)

    def _tell(self, trial: Trial) -> None:
        if not self.progress:
            return
        from rich.console import Console

        name, best = self.score_name, self.best
        of = "" if math.isinf(self.budget.trials) else f" of {self.budget.trials}"
        told = trial.message if trial.score is None else f"{name} {trial.score:.4f}"
        told += f"  best {best.score:.4f} in trial {best.trial}" if best else ""
        line = f"trial {trial.trial} ({len(self.trials)}{of})  {told}  {self._time_left()}"
        Console().print(line, highlight=False, markup=False, soft_wrap=True)

    def _time_left(self) -> str:
        by_trials = (self.budget.trials - len(self.trials)) * self._typical_minutes()
        by_minutes = self.budget.minutes - sum(trial.minutes for trial in self.trials)
        return f"{max(0, min(by_trials, by_minutes)):.1f} min left"


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name, value in now.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            keys = [key for key in {**old, **value} if old.get(key) != value.get(key)]
            differences = [(f"{name}: {key}", old.get(key), value.get(key)) for key in keys]
        else:
            differences = [(name, old, value)] if old != value else []
        for what, stored, received in differences:
            raise ValueError(
                f"A search is resumed as it was started. Received: {what} {received!r}, in {path}"
                f" {stored!r}. Give it as it was, or choose another out."
            )


def begun(folder: Path) -> bool:
    return (folder / PROGRESS).is_file()


def progress_of(folder: Path) -> dict[str, Any]:
    return read_json(folder / PROGRESS)
