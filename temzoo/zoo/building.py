"""Builds models by their registered names: ``get_model``, ``trained_model``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from temzoo.core.hints import located
from temzoo.zoo import pretrained
from temzoo.zoo.built import Built, built, note
from temzoo.zoo.cards import BUILDERS, ModelCard, check_keywords, model_card
from temzoo.zoo.pretrained import as_json
from temzoo.zoo.task import task_named
from temzoo.zoo.tensorflow import load_tensorflow

if TYPE_CHECKING:
    import keras


class InitialWeightsError(FileNotFoundError):
    """Weights that a new model begins with are not at hand.

    Attributes:
        missing: which, and where they were looked for.
        in_shell: the message as a command shows it.
    """

    def __init__(self, missing: str, *, python: str, shell: str):
        super().__init__(f"{python}: {missing}.")
        self.missing, self.in_shell = missing, f"{shell}: {missing}."


def get_model(
    name: str,
    *,
    weights: str | Path | None = None,
    start: str | Path | None = None,
    compile: bool = True,
    **config: Any,
) -> keras.Model:
    """Builds a registered model.

    Args:
        name: one of ``list_models()``.
        weights: None, the name of a shipped set (``model_card(name).weights``), or the path of a
            ``.weights.h5`` file with its card beside it, or of a run folder. The model is then
            built with the config it was trained with.
        start: such weights, or MODEL/NAME of another model, to begin training from. Config and
            number of classes may differ: what has other names or shapes is new.
        compile: with its task's default optimizer, loss and metrics, so that ``fit`` works at once.
        **config: the builder's keywords.

    Raises:
        ValueError: unknown name or keyword (close matches are named); config that differs from
            that of the weights (the keyword is named); a weights file whose sha256 is wrong;
            ``weights`` beside ``start``, or a start that shares no layer.
        FileNotFoundError: no such weights; ``InitialWeightsError`` where those that a new model
            begins with cannot be downloaded.

    Example:
        >>> model = get_model("unet", classes=3, filters=8)
        >>> model(numpy.zeros((1, 100, 75, 1), "uint8")).shape
        (1, 100, 75, 3)
    """
    card = model_card(name)
    check_keywords(card, config)
    if weights is not None and start is not None:
        raise ValueError(
            f"A model is loaded or begun. Received: weights={str(weights)!r} and"
            f" start={str(start)!r}. Leave one out."
        )
    model = _begun(card, start, config) if start else _loaded(card, weights, config)
    if compile:
        task_named(card.task).compile(model)
    return model


def _begun(card: ModelCard, start: str | Path, config: Mapping[str, Any]) -> keras.Model:
    """A new model that begins with what it shares with trained weights, and keeps their config."""
    found = find_start(card.name, start)
    with located(str(found.path)):
        check_keywords(model_card(found.card.model), found.card.config)
    shared = {k: v for k, v in found.card.config.items() if k in card.config}
    changed = {k for k, v in config.items() if as_json(v) != as_json(shared.get(k, card.config[k]))}
    # Initial weights are fetched only where they may stay.
    whole = found.card.model == card.name and not found.card.partial
    full = MappingProxyType({**card.config, **shared, **config})
    how = Built(card.name, card.task, full)
    model = _build(card, how, deferred=whole and changed <= {"classes", *card.free})
    told, names = take_over(model, found), tuple(found.card.class_names)
    fits = full.get("classes") == len(names) + task_named(card.task).background
    names = names if fits else ()
    note(model, replace(how, class_names=names, begun=told))
    return model


def _loaded(card: ModelCard, weights: str | Path | None, config: Mapping[str, Any]) -> keras.Model:
    """A model with trained weights of its own config, or with none."""
    if weights is None:
        how = Built(card.name, card.task, MappingProxyType({**card.config, **config}))
        try:
            return _build(card, how, deferred=False)
        except InitialWeightsError as error:
            whole = [name for name, shipped in card.weights.items() if not shipped.partial]
            if not whole:
                raise
            raise InitialWeightsError(
                error.missing,
                python=f'Pass weights="{whole[0]}" (trained, no download)',
                shell=f"Type temzoo train … --weights {whole[0]} (trained, no download)",
            ) from None
    stored = pretrained.find(card.name, weights)
    names = tuple(stored.card.class_names)
    full = MappingProxyType(_reconcile(card, stored, config))
    how = Built(card.name, card.task, full, names, stored.card, limits=stored.card.limits)
    with located(str(stored.path)):
        check_keywords(card, stored.card.config)
        model = _build(card, how, deferred=not stored.card.partial)
    stored.load_into(model)
    return model


def find_start(model: str, start: str | Path) -> pretrained.Weights:
    """A shipped set of this model by its name, else what ``find_trained`` finds."""
    if str(start) in pretrained.available(model):
        return pretrained.find(model, start)
    return pretrained.find_trained(start)


def take_over(model: keras.Model, weights: pretrained.Weights) -> str:
    """Begins a model with the weights that another has in the same places and shapes.

    A place is the name of a layer and of its array; within one registered model it is the order.

    Args:
        model: a new one, such as "particles".
        weights: of this model with other classes, or of another, such as unet_mobilenet/emps, that
            shares layers with it.

    Returns:
        a line that tells what was taken over, and the layers that are new.

    Raises:
        ValueError: none fits; the file is damaged.
    """
    donor = get_model(weights.card.model, weights=weights.path, compile=False)
    theirs = {v.path: v for v in donor.weights}
    if weights.card.model == built(model).name and len(donor.weights) == len(model.weights):
        theirs = dict(zip((v.path for v in model.weights), donor.weights, strict=True))
    fitting = [v for v in model.weights if v.path in theirs and v.shape == theirs[v.path].shape]
    if not fitting:
        raise ValueError(
            f"{weights.path} must share layers with the model that it begins. Received: a model"
            f' "{weights.card.model}" without any of {model.name}. Use weights of a model like it.'
        )
    for variable in fitting:
        variable.assign(theirs[variable.path].numpy())
    taken = {v.path for v in fitting}
    new = dict.fromkeys(v.path.split("/")[0] for v in model.weights if v.path not in taken)
    return (
        f"begun from {weights.path}: {len(fitting)} of {len(model.weights)} arrays taken over;"
        f" new: {', '.join(new) or 'nothing'}"
    )


def trained_model(weights: str | Path, **config: Any) -> keras.Model:
    """Builds a model and loads its trained weights, for prediction.

    Args:
        weights: a run folder, a weights file, or MODEL/NAME of a shipped set.
        **config: keywords that may differ from training.

    Raises:
        FileNotFoundError: it is none of these.
    """
    found = pretrained.find_trained(weights)
    with located(str(found.path)):
        model_card(found.card.model)
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
            f' Use get_model("{stored.card.model}", weights=…).'
        )
    trained = {**card.config, **stored.card.config}
    for keyword, value in config.items():
        if keyword not in card.free and as_json(trained[keyword]) != as_json(value):
            raise ValueError(
                f"The weights {stored.path} were trained with {keyword}={trained[keyword]!r}."
                f" Received: {keyword}={value!r}. Leave {keyword} out, choose other weights, or"
                " begin a training from them (start=, temzoo train --weights)."
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
    load_tensorflow()
    if card.name not in BUILDERS:
        importlib.import_module(card.module)
    later = card.deferred if deferred else {}
    config = {k: later[k] if k in later and v else v for k, v in how.config.items()}
    try:
        model = BUILDERS[card.name](**config)
    except (ValueError, OSError, ImportError, RuntimeError):
        raise
    except Exception as error:  # of a keyword's kind, which a card from outside may have wrong
        raise ValueError(
            f'"{card.name}" cannot be built like this. Received: {config}, and {error}. Correct the'
            " keyword, or take the card of these weights."
        ) from error
    note(model, how)
    return model
