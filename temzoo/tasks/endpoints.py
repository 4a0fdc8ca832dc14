"""What a served model is asked and what it answers: functions of tensors, by their signature.

A task's ``serving(model)`` gives its endpoints. Those of pixels have one input, ``images``; from
the one of raw pixels, ``RAW``, an export makes others that take whole numbers and encoded files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

NORMALIZE = "normalize"  # name of the layer that a model normalises its raw input with
RESTORED = "restored"  # of a restorer's last layer before it goes back to the raw range

IMAGES = "images"
RAW = "serving_default"  # raw pixels in their stored range
NORMALIZED = "serving_normalized"  # what the layer "normalize" would make of them


Answers = Mapping[str, np.ndarray]


def deviation(expected: np.ndarray, found: np.ndarray) -> float:
    """How far an answer is from what was expected.

    Returns:
        the largest difference, in units of the expected range where that is more than 1; infinite
        for another shape or dtype, for values that are not finite, and for other whole numbers.
    """
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return float("inf")
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, found) else float("inf")
    if not expected.size:
        return 0.0
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(expected - found).max() / max(1.0, float(np.ptp(expected))))


def deviations(expected: Answers, found: Answers) -> dict[str, float]:
    """``deviation`` of each answer, by name."""
    return {name: deviation(expected[name], found[name]) for name in expected}


@dataclass(frozen=True)
class Endpoint:
    """One question that a served model answers.

    Attributes:
        answer: takes a float32 tensor for each input, in order, and gives {name: tensor}; the
            first dimension of all of them is the batch.
        inputs: name -> shape without the batch; None where any length is taken.
        unit: pixels are in [0, 1], so whole numbers are divided by the largest of their type.
        compare: how far answers are from what was expected, by name, in the unit that a float's
            difference has.
    """

    answer: Callable[..., Mapping[str, Any]]
    inputs: Mapping[str, tuple[int | None, ...]]
    unit: bool = False
    compare: Callable[[Answers, Answers], Mapping[str, float]] = deviations


_cores: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def normalizer(model: Any) -> Any:
    """The layer that a model normalises its raw pixels with; None where it has none."""
    return next((each for each in getattr(model, "layers", ()) if each.name == NORMALIZE), None)


def restored_layer(model: Any) -> Any:
    """A restorer's last layer that works in normalised units; None for other models."""
    return next((layer for layer in model.layers if layer.name == RESTORED), None)


def core(model: Any) -> Any:
    """The model behind its normalisation; built once per model, sharing its weights.

    It takes [normalised pixels], or [normalised, raw] where it needs the raw ones too, as to crop
    back to their size. A restorer's answer is in normalised units.
    """
    if model not in _cores:
        last = restored_layer(model)
        answer = last.output if last else model.outputs[0]
        found = _from(normalizer(model), model, answer)
        found.jit_compile = False  # XLA would compile anew for each image size
        _cores[model] = found
    return _cores[model]


def _from(layer: Any, model: Any, answer: Any) -> Any:
    """The network behind a layer."""
    import keras  # a Keras model is here, so Keras is loaded; other models do without

    name = f"{model.name}_core"
    try:
        return keras.Model([layer.output], answer, name=name)
    except ValueError:
        return keras.Model([layer.output, *model.inputs], answer, name=name)


def on_tiles(
    normalize: Any, channels: np.ndarray, answer: Callable[..., np.ndarray], *, restores: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """What lies behind a normalisation, as a function of raw tiles (B, h, w, C) of one micrograph.

    Args:
        normalize: the layer; its statistics are those of the whole micrograph.
        channels: (H, W, C), the micrograph.
        answer: takes normalised tiles, float32, and the raw ones, of the micrograph's own type.
        restores: answers are pictures in normalised units, which go back to the raw range.
    """
    shift, scale = normalize.statistics(channels)

    def network(batch: np.ndarray) -> np.ndarray:
        found = answer(normalize.apply(batch, shift, scale), batch)
        return normalize.invert(found, shift, scale) if restores else found

    return network


def normalized_alone(model: Any) -> Any:
    """The ``core`` of a model that needs nothing but normalised pixels; None of any other."""
    if normalizer(model) is None:
        return None
    found = core(model)
    return found if len(found.inputs) == 1 else None
