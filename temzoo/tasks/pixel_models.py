"""Models that answer every pixel: their networks behind the normalisation, for tiles and engines.

A Keras model of temzoo normalises raw pixels by its layer "normalize". What lies behind that layer
is asked in tiles, with the statistics of the whole micrograph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from temzoo.inference.tiles import STEP, Network, PixelNetwork, on_tiles
from temzoo.tasks.endpoints import IMAGES, NORMALIZED, RAW, Endpoint
from temzoo.zoo.task import Task

NORMALIZE = "normalize"  # name of the layer that a model normalises its raw input with
RESTORED = "restored"  # of a restorer's last layer before it goes back to the raw range
# Of a model, what lies behind its normalisation, and that as a function of arrays.
_cores: WeakKeyDictionary[Any, tuple[Any, Callable[..., np.ndarray]]] = WeakKeyDictionary()


def layer_named(model: Any, name: str) -> Any:
    """A layer of a Keras model by its name; None where it has none, or is no Keras model."""
    layers = getattr(model, "layers", ())  # of another library's model too, without names
    return next((each for each in layers if getattr(each, "name", None) == name), None)


def core(model: Any) -> Any:
    """The model behind its normalisation; built once per model, sharing its weights.

    It takes [normalised pixels], or [normalised, raw] where it needs the raw ones too, as to crop
    back to their size. A restorer's answer is in normalised units.
    """
    return _core(model)[0]


def _core(model: Any) -> tuple[Any, Callable[..., np.ndarray]]:
    if model not in _cores:
        import keras  # a Keras model is here, so Keras is loaded; other models do without

        last = layer_named(model, RESTORED)
        answer = last.output if last else model.outputs[0]
        normalised, name = layer_named(model, NORMALIZE).output, f"{model.name}_core"
        raw = model.inputs if _reach(answer, normalised, model.inputs) else []
        found = keras.Model([normalised, *raw], answer, name=name)
        found.jit_compile = False  # XLA would compile anew for each image size
        _cores[model] = found, _of_any_size(found)
    return _cores[model]


def _reach(answer: Any, normalised: Any, inputs: Sequence[Any]) -> bool:
    """Whether an answer is computed of a model's inputs otherwise than by what is normalised.

    Keras 3.12 builds a model of the latter alone in any case, which fails when it is called.
    """
    seen, left = {id(normalised)}, [answer]
    while left:
        tensor = left.pop()
        if any(tensor is one for one in inputs):
            return True
        if id(tensor) not in seen:
            seen.add(id(tensor))
            operation, node, _ = tensor._keras_history
            left += operation._inbound_nodes[node].input_tensors
    return False


def _of_any_size(network: Any) -> Callable[..., np.ndarray]:
    """A Keras model as a function of its arrays, float32, that is traced once for all image sizes.

    Keras itself traces it for the first size, again for a second one and at times for a third,
    which takes as long as predicting several micrographs.
    """
    import keras

    if keras.backend.backend() == "jax":
        return lambda *arrays: _without_giving_away(network, list(arrays))
    if keras.backend.backend() != "tensorflow":
        return lambda *arrays: network.predict_on_batch(list(arrays))
    import tensorflow as tf

    asked = tf.function(
        lambda *tensors: network(list(tensors), training=False),
        input_signature=[tf.TensorSpec(each.shape, tf.float32) for each in network.inputs],
        autograph=False,
    )
    return lambda *arrays: asked(*arrays).numpy()


def _without_giving_away(network: Any, inputs: Any) -> np.ndarray:
    """A Keras model's answer under JAX, after which it has its weights also where this fails.

    ``predict`` and ``predict_on_batch`` of Keras give the weights to the step, which gives them
    back at its end.
    """
    kept = (network.trainable_variables, network.non_trainable_variables)
    weights = ([variable.value for variable in variables] for variables in kept)
    answer, _ = network.stateless_call(*weights, inputs, training=False)
    return np.asarray(answer)


def require_weights(model: Any) -> None:
    """Gives a model back what a failed ``fit`` or ``predict`` of Keras under JAX took, if it can.

    Raises:
        RuntimeError: the weights are lost.
    """
    if not _is_without(model):
        return
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()  # as Keras itself does after its last step
        model._jax_state = None
    if _is_without(model):
        raise RuntimeError(
            f"A model is asked with its weights. Received: {model.name}, which lost them when a"
            " fit, evaluate or predict of Keras failed under JAX. Load them again (get_model,"
            " weights=), and predict with temzoo.predict, which leaves them where they are."
        )


def _is_without(model: Any) -> bool:
    return any(getattr(each, "_value", 0) is None for each in getattr(model, "variables", ()))


def _asked_raw(model: Any) -> Callable[..., np.ndarray]:
    """A model that takes raw pixels, as a function of them."""
    import keras

    if keras.backend.backend() == "jax" and hasattr(model, "stateless_call"):
        return partial(_without_giving_away, model)
    return model.predict_on_batch


def normalized_alone(model: Any) -> Any:
    """The ``core`` of a model that needs nothing but normalised pixels; None of any other."""
    if layer_named(model, NORMALIZE) is None:
        return None
    found = core(model)
    return found if len(found.inputs) == 1 else None


def step_of(model: Any) -> int | None:
    """Pixels per cell of a model's coarsest level, to which it pads; None where it does not say."""
    given = getattr(model, "tile_step", None)
    steps = (getattr(layer, "multiple", None) for layer in getattr(model, "layers", ()))
    return given or next((step for step in steps if step), None)


def pixel_network(model: Any) -> PixelNetwork:
    """A model as tiled prediction asks it.

    Args:
        model: a Keras model; an object whose ``tile_network(channels)`` gives a function of tiles;
            one whose ``predict_probabilities`` takes a whole image; or any callable on raw pixels
            (B, H, W, C).
    """
    shape = getattr(model, "input_shape", None)
    is_keras = hasattr(model, "predict_on_batch")
    return PixelNetwork(
        on=getattr(model, "tile_network", None) or partial(_network, model, is_keras=is_keras),
        channels=None if shape is None else shape[-1],
        step=step_of(model) or STEP,
        in_flight=getattr(model, "in_flight", 2 if is_keras else 1),
        whole=getattr(model, "predict_probabilities", None),
        name=str(getattr(model, "address", None) or getattr(model, "name", None) or model),
    )


def classes_alone(network: PixelNetwork) -> PixelNetwork:
    """A network whose answer ends in a distance, without it."""

    def on(channels: np.ndarray) -> Network:
        ask = network.on(channels)
        return lambda batch: ask(batch)[..., :-1]

    return replace(network, on=on)


def _network(model: Any, channels: np.ndarray, *, is_keras: bool) -> Network:
    """The model as a function of raw tiles, normalised by the whole image's statistics."""
    if not is_keras:
        return lambda batch: np.asarray(model(batch), np.float32)
    require_weights(model)
    layer = layer_named(model, NORMALIZE)
    if layer is None:
        needs_raw, ask = False, _asked_raw(model)
    else:
        behind, ask = _core(model)
        needs_raw = len(behind.inputs) > 1
    busy = Lock()  # a second network at the same time would need its memory too

    def answer(normalised: np.ndarray, raw: np.ndarray) -> np.ndarray:
        with busy:
            return ask(normalised, raw.astype(np.float32)) if needs_raw else ask(normalised)

    restores = layer_named(model, RESTORED) is not None
    return on_tiles(layer, channels, answer, restores=restores)


@dataclass(frozen=True)
class EngineNetwork:
    """The part of a model that another engine runs.

    Attributes:
        core: a Keras model; float32 pixels (B, H, W, C) in, float32 (B, H, W, K) out, or
            (B, N, 4 + classes) of a detector of boxes.
        normalize: the layer whose ``statistics`` and ``apply`` its input comes from; None for a
            model that takes raw pixels.
        restores: whether answers are pictures, which go back to the raw range.
        step: px; tiles are cut at multiples of it.
        max_detections: of a detector; None of another.
    """

    core: Any
    normalize: Any
    restores: bool = False
    step: int | None = None
    max_detections: int | None = None


def engine_network(model: Any) -> EngineNetwork:
    """What an engine runs of a Keras model.

    Raises:
        ValueError: its network needs raw pixels beside the normalised ones.
    """
    normalize = layer_named(model, NORMALIZE)
    found = model if normalize is None else normalized_alone(model)
    if found is None:
        raise ValueError(
            "accelerate needs a network that takes normalised pixels alone. Received:"
            f" {model.name}, which needs the raw ones too. Predict with the model itself."
        )
    restores = layer_named(model, RESTORED) is not None
    return EngineNetwork(found, normalize, restores, step_of(model))


class PixelTask(Task):
    """What the kinds of models that answer every pixel have in common."""

    def normalizer(self, model: Any) -> Any:
        return layer_named(model, NORMALIZE)

    def served_facts(self, model: Any) -> dict[str, Any]:
        return {"step": step_of(model), "max_detections": None}

    def pixel_endpoints(self, model: Any, answer: Callable, **how: Any) -> dict[str, Endpoint]:
        """Endpoints of raw and, where that is all the network needs, of normalised pixels.

        Args:
            answer: takes a Keras model and a tensor of pixels.
            how: keywords of ``Endpoint``.
        """
        networks = {RAW: model, NORMALIZED: normalized_alone(model)}
        inputs = {IMAGES: model.input_shape[1:]}
        return {
            signature: Endpoint(partial(answer, network), inputs, **how)
            for signature, network in networks.items()
            if network is not None
        }

    def engine_network(self, model: Any) -> EngineNetwork:
        return engine_network(model)
