"""Remembers how each model was built, and tells its task and class names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from temzoo.zoo.task import Task, task_named, task_recognising

if TYPE_CHECKING:
    import keras

    from temzoo.zoo.pretrained import WeightsCard


@dataclass(frozen=True)
class Limits:
    """Up to where weights serve: ``noise``, ``side`` and ``binning`` of their ``WeightsCard``."""

    noise: float | None = None
    side: int | None = None
    binning: int = 1


@dataclass(frozen=True)
class Built:
    """How a model came about: enough to build it again.

    Attributes:
        name, task: of the card.
        config: every keyword with the value it was built with.
        class_names: of the classes 1, 2, …, where a weights card gives them.
        weights: the card of those that were loaded; None: none were, or it was trained since.
        begun: a line on the weights that it began from; "" of one that did not.
        limits: up to where the weights serve.
    """

    name: str
    task: str
    config: Mapping[str, Any]
    class_names: tuple[str, ...] = ()
    weights: WeightsCard | None = None
    begun: str = ""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class _Known:
    """What is asked of any model."""

    task: Task
    class_names: tuple[str, ...]
    limits: Limits


_BUILT: WeakKeyDictionary[keras.Model, Built] = WeakKeyDictionary()
_STAND_INS: WeakKeyDictionary[Any, _Known] = WeakKeyDictionary()


def built(model: keras.Model) -> Built:
    """How ``get_model`` built this model.

    Raises:
        ValueError: the model is not from ``get_model``.
    """
    how = built_or_none(model)
    if how is None:
        raise ValueError(
            "This needs a model from temzoo.get_model, whose name and config are known. Received:"
            f" {model!r}. Register its builder with @temzoo.register."
        )
    return how


def note(model: keras.Model, how: Built) -> None:
    """Notes how a model was built."""
    _BUILT[model] = how


def built_or_none(model: Any) -> Built | None:
    """How ``get_model`` built this model; None of any other object."""
    return _noted(_BUILT, model)


def stands_for(
    stand_in: Any, task: Task, class_names: tuple[str, ...], limits: Limits | None = None
) -> None:
    """Notes that an object, such as an accelerated model, is asked as models of a task are."""
    _STAND_INS[stand_in] = _Known(task, class_names, limits or Limits())


def _noted(notes: WeakKeyDictionary, model: Any) -> Any:
    try:
        return notes.get(model)
    except TypeError:  # of what cannot be referred to weakly
        return None


def name_classes(model: keras.Model, names: tuple[str, ...]) -> None:
    """Notes the names of a model's classes 1, 2, …, once it was trained on them."""
    _BUILT[model] = replace(built(model), class_names=tuple(names), weights=None)


def task_of(model: Any) -> Task:
    """The task that trains, judges and asks this model.

    Args:
        model: from ``get_model``; or an object that stands for one, such as an accelerated or
            served model, or any callable on pixels, whose task is told by what it can do.
    """
    known = _known(model)
    return known.task if known else task_recognising(model)


def class_names_of(model: Any) -> tuple[str, ...]:
    """Names of the classes 1, 2, … that a model's weights were trained on; () when unknown."""
    known = _known(model)
    return known.class_names if known else task_recognising(model).class_names(model)


def limits_of(model: Any) -> Limits:
    """Up to where a model's weights serve."""
    known = _known(model)
    return known.limits if known else Limits()


def _known(model: Any) -> _Known | None:
    how = built_or_none(model)
    if how is not None:
        return _Known(task_named(how.task), tuple(how.class_names), how.limits)
    return _noted(_STAND_INS, model)
