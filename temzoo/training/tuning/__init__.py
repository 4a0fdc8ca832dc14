"""Searches for the best settings of a model, within a budget of training.

KerasTuner proposes; every trial is an ordinary run of ``temzoo.train`` in ``trials/000``,
``trials/001`` …, judged by its ``Run.score``. Trial 000 is the default configuration, so that the
table shows what the search gained.

The folder also holds ``search.json`` (strategy, ranges, seed, data, versions, commands),
``trials.csv``, ``search.png`` and ``best/`` (an ordinary run).
"""
