"""KerasTuner's loop and oracles, which ask for trials and are told their scores."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from temzoo.training.tuning.space import Space, key_of
from temzoo.training.tuning.trials import Searcher

# Trials before a Gaussian process chooses. KerasTuner's three a dimension would leave a budget of
# ten trials, in seven dimensions, to chance alone.
INITIAL_POINTS = 4
# Random draws for one that was not tried, until the ranges count as exhausted.
DRAWS = 1000


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


def tuner_of(searcher: Searcher, strategy: str):
    """KerasTuner's loop around ``searcher.attempt``."""
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
    return Tuner(oracle, directory=searcher.folder, project_name="keras_tuner", overwrite=True)


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
