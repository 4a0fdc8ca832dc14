"""Builds models by their registered names: ``get_model``, ``trained_model``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from temzoo.zoo import pretrained
from temzoo.zoo.built import Built, note
from temzoo.zoo.cards import BUILDERS, ModelCard, check_keywords, model_card
from temzoo.zoo.pretrained import as_json
from temzoo.zoo.task import task_named

if TYPE_CHECKING:
    import keras


def get_model(
    name: str, *, weights: str | Path | None = None, compile: bool = True, **config: Any
) -> keras.Model:
    """Builds a registered model.

    Args:
        name: one of ``list_models()``.
        weights: None, the name of a shipped set (``model_card(name).weights``), or the path of a
            ``.weights.h5`` file with its card beside it, or of a run folder. The model is then
            built with the config it was trained with.
        compile: with its task's default optimizer, loss and metrics, so that ``fit`` works at once.
        **config: the builder's keywords.

    Raises:
        ValueError: unknown name or keyword (close matches are named); config that differs from
            that of the weights (the keyword is named); a weights file whose sha256 is wrong.
        FileNotFoundError: no such weights.

    Example:
        >>> model = get_model("unet", classes=3, filters=8)
        >>> model(numpy.zeros((1, 100, 75, 1), "uint8")).shape
        (1, 100, 75, 3)
    """
    card = model_card(name)
    check_keywords(card, config)
    stored = None
    full = {**card.config, **config}
    if weights is not None:
        stored = pretrained.find(name, weights)
        full = _reconcile(card, stored, config)
    how = Built(name, card.task, MappingProxyType(full))
    if stored is not None:
        how = replace(how, class_names=tuple(stored.card.class_names), weights=stored.card)
    model = _build(card, how, deferred=stored is not None and not stored.card.partial)
    if stored is not None:
        stored.load_into(model)
    if compile:
        task_named(card.task).compile(model)
    return model


def trained_model(weights: str | Path, **config: Any) -> keras.Model:
    """Builds a model and loads its trained weights, for prediction.

    Args:
        weights: a run folder, a weights file, or MODEL/NAME of a shipped set.
        **config: keywords that may differ from training.

    Raises:
        FileNotFoundError: it is none of these.
    """
    found = pretrained.find_trained(weights)
    return get_model(found.card.model, weights=found.path, compile=False, **config)


@cache
def kept_model(weights: str) -> keras.Model:
    """``trained_model`` of a shipped set, which stays in memory."""
    return trained_model(weights)


def _reconcile(card: ModelCard, stored: pretrained.Weights, config: Mapping[str, Any]) -> dict:
    """The config of stored weights, after checking that what was asked for agrees with it."""
    if stored.card.model != card.name:
        raise ValueError(
            f'The weights {stored.path} are of "{stored.card.model}". Received: name="{card.name}".'
        )
    trained = {**card.config, **stored.card.config}
    for keyword, value in config.items():
        if keyword not in card.free and as_json(trained[keyword]) != as_json(value):
            raise ValueError(
                f"The weights {stored.path} were trained with {keyword}={trained[keyword]!r}."
                f" Received: {keyword}={value!r}. Leave {keyword} out, or choose other weights."
            )
    return {**trained, **config}


def rebuild(how: Built, **changes: Any) -> keras.Model:
    """An uncompiled model of the same config, with the given keywords changed; no weights loaded.

    Raises:
        ValueError: a keyword that the model does not have.
    """
    card = model_card(how.name)
    check_keywords(card, changes)
    full = MappingProxyType({**how.config, **changes})
    return _build(card, replace(how, config=full, weights=None), deferred=True)


def _build(card: ModelCard, how: Built, *, deferred: bool) -> keras.Model:
    if card.name not in BUILDERS:
        importlib.import_module(card.module)
    later = card.deferred if deferred else {}
    config = {k: later[k] if k in later and v else v for k, v in how.config.items()}
    model = BUILDERS[card.name](**config)
    note(model, how)
    return model
