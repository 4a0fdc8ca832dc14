"""Hyper-parameters: from declared ranges to what KerasTuner proposes, and back to values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from temzoo.core import hints
from temzoo.core.settings import Settings
from temzoo.tasks.training_data import check_own, with_classes
from temzoo.training.train import checked_settings
from temzoo.zoo import cards
from temzoo.zoo.pretrained import as_json
from temzoo.zoo.task import task_named

SETTINGS = [field.name for field in dataclasses.fields(Settings) if field.name != "seed"]
STRATEGIES = ("random", "grid", "bayesian")
# Of training, beside the task's losses. A grid varies the last fastest: the rate matters most.
BATCHES = (4, 8, 16)
LEARNING_RATES = (1e-4, 1e-2, "log")
# Values of a (low, high) range in a grid: both ends and the middle.
GRID_POINTS = 3
DIGITS = 4


@dataclass(frozen=True)
class Fixed:
    """What all trials share: keywords of the model, settings of training."""

    config: Mapping[str, Any]
    settings: Mapping[str, Any]


def fixed_parts(card, config: Mapping[str, Any], settings: Mapping[str, Any], examples) -> Fixed:
    cards.check_keywords(card, config)
    checked_settings(settings, "tune", SETTINGS)
    check_own(task_named(card.task), settings)
    return Fixed(with_classes(card.name, config, examples), dict(settings))


@dataclass(frozen=True)
class Dimension:
    """One hyper-parameter: its choices, or the numbers between two.

    KerasTuner's choices are of one type and never None or a tuple, so it is given their indices.

    Attributes:
        name: the keyword.
        default: the value that it has when nothing is chosen.
        choices: None for a range of numbers.
        low, high: both included.
        log: whether equal factors, not equal steps, are equally likely.
    """

    name: str
    default: Any
    choices: tuple[Any, ...] | None = None
    low: float = 0
    high: float = 0
    log: bool = False

    def declare(self, space) -> None:
        """Adds itself to KerasTuner's HyperParameters."""
        default, sampling = self.encode(self.default), "log" if self.log else "linear"
        if self.choices is not None:
            space.Choice(self.name, list(range(len(self.choices))), default=default)
        elif self.whole:
            space.Int(self.name, self.low, self.high, sampling=sampling, default=default)
        else:
            space.Float(self.name, self.low, self.high, sampling=sampling, default=default)

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def encode(self, value: Any) -> Any:
        """As KerasTuner has it; None for a value that is not in the range."""
        if self.choices is not None:
            return next((i for i, one in enumerate(self.choices) if _equal(one, value)), None)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        inside = number and self.low <= value <= self.high
        return value if inside and (not self.whole or value == int(value)) else None

    def decode(self, given: Any) -> Any:
        """The value, which for a decimal number is one of few digits that can be typed."""
        if self.choices is not None:
            return self.choices[given]
        if self.whole:
            return int(given)
        return min(max(float(f"{given:.{DIGITS}g}"), self.low), self.high)

    def gridded(self) -> Dimension:
        """The same as a list of choices."""
        if self.choices is not None:
            return self
        spaced = (np.geomspace if self.log else np.linspace)(self.low, self.high, GRID_POINTS)
        values = (self.decode(round(v) if self.whole else v) for v in spaced.tolist())
        return Dimension(self.name, self.default, tuple(dict.fromkeys(values)))

    def described(self) -> dict[str, Any]:
        if self.choices is not None:
            return {"choices": self.choices}
        return {"low": self.low, "high": self.high, "log": self.log}


class Space:
    """All hyper-parameters of a search, by name."""

    def __init__(self, dimensions: Sequence[Dimension]):
        self.dimensions = {one.name: one for one in dimensions}

    def declare(self, space):
        for one in self.dimensions.values():
            one.declare(space)
        return space

    def decode(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {name: one.decode(given[name]) for name, one in self.dimensions.items()}

    def canonical(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values as the ranges write them, where they have them: a tuple that JSON made a list."""
        found = {}
        for name, one in self.dimensions.items():
            given = one.encode(values[name]) if one.choices is not None else None
            found[name] = values[name] if given is None else one.decode(given)
        return found

    def defaults(self) -> dict[str, Any]:
        return self.canonical({name: one.default for name, one in self.dimensions.items()})

    def encoded_defaults(self) -> dict[str, Any] | None:
        """As KerasTuner has them; None when a default is not in its range."""
        given = {name: one.encode(one.default) for name, one in self.dimensions.items()}
        return None if None in given.values() else given


def space_of(card, search: Mapping[str, Any], fixed: Fixed, strategy: str) -> Space:
    if strategy not in STRATEGIES:
        hint = hints.did_you_mean(strategy, STRATEGIES)
        raise ValueError(
            f"strategy must be one of {', '.join(STRATEGIES)}. Received: strategy={strategy!r}."
            f"{hint}"
        )
    _check_search(card, search, fixed)
    ranges = {**card.ranges, **_training_ranges(card), **search}
    dimensions = [
        _dimension(name, given, _default(card, name, fixed))
        for name, given in ranges.items()
        if given is not None and not _is_fixed(card, name, fixed)
    ]
    if not dimensions:
        raise ValueError(
            f'There is nothing to search: "{card.name}" has no ranges, or all are fixed.'
            f" Received: search={dict(search)!r}. Name some: search={{'learning_rate':"
            " (1e-4, 1e-2, 'log')}."
        )
    return Space([one.gridded() for one in dimensions] if strategy == "grid" else dimensions)


def _training_ranges(card) -> dict[str, Any]:
    losses = list(task_named(card.task).losses)
    ranges = {"loss": losses} if losses else {}
    ranges |= {"batch": list(BATCHES), "learning_rate": LEARNING_RATES}
    return {name: given for name, given in ranges.items() if name not in card.config}


def _check_search(card, search: Mapping[str, Any], fixed: Fixed) -> None:
    known = [*card.config, *SETTINGS]
    for name, given in search.items():
        if name not in known:
            raise ValueError(
                f'search has no hyper-parameter "{name}".{hints.did_you_mean(name, known)}'
                f' Keywords of "{card.name}": {", ".join(card.config)}; of training:'
                f" {', '.join(SETTINGS)}."
            )
        if given is not None and _is_fixed(card, name, fixed):
            raise ValueError(
                f"A hyper-parameter is searched or fixed. Received both for {name}:"
                f" search={given!r} and a fixed value. Leave one of them out."
            )


def _is_fixed(card, name: str, fixed: Fixed) -> bool:
    return name in (fixed.config if name in card.config else fixed.settings)


def _default(card, name: str, fixed: Fixed) -> Any:
    if name in card.config:
        return card.config[name]
    value = getattr(Settings(), name)
    if name == "loss" and value is None:
        # The first of a task's losses is its own choice; the table then names it.
        return next(iter(task_named(card.task).losses), None)
    return value


def _dimension(name: str, given: Any, default: Any) -> Dimension:
    if isinstance(given, list) and given:
        return Dimension(name, default, tuple(given))
    numbers = given[:2] if isinstance(given, tuple) and len(given) in (2, 3) else ()
    good = all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers)
    log = len(numbers) == 2 and given[2:] == ("log",)
    if not numbers or not good or (given[2:] and not log) or numbers[0] >= numbers[1]:
        raise ValueError(
            "A range is a list of choices, (low, high) or (low, high, 'log')."
            f" Received: {name}={given!r}."
        )
    if log and numbers[0] <= 0:
        raise ValueError(
            f"A logarithmic range begins above 0. Received: {name}={given!r}. Use (low, high)."
        )
    return Dimension(name, default, None, *numbers, log)


def _equal(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and as_json(one) == as_json(other)


def key_of(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def shown(value: Any) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
