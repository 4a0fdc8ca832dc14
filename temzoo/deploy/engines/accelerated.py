"""``accelerate``, and what stands for a model in ``predict``, ``evaluate`` and ``restore``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock
from typing import Any

import keras
import numpy as np

from temzoo.core.hints import did_you_mean
from temzoo.deploy.engines import choice
from temzoo.deploy.engines.choice import AUTO, Row
from temzoo.deploy.engines.makers import MAKERS, PRECISIONS, Answer, check_installed, cores
from temzoo.deploy.engines.network import Network
from temzoo.inference.tiles import on_tiles
from temzoo.zoo.built import class_names_of, stands_for


def accelerate(
    model: keras.Model,
    engine: str = AUTO,
    precision: str | None = None,
    *,
    examples: Sequence[Any] | None = None,
    calibration: Sequence[Any] | None = None,
    threads: int | None = None,
) -> AcceleratedModel:
    """A segmentation model or restorer in another engine or precision, for a CPU.

    ``auto`` takes the fastest that is installed and whose IoU on ``examples`` is within 0.002 of
    float32's; without examples it takes what it found for these weights before, or what the card of
    shipped ones says of lower precisions, else the fastest in float32. What it found is kept in
    ``~/.cache/temzoo/engines`` (or ``$XDG_CACHE_HOME``), for these weights, library versions and
    this processor. A restorer, which has no IoU, stays in float32 unless a precision is named.

    Args:
        model: from ``get_model``. Its weights are copied: training it further changes nothing.
        engine: "tensorflow"; "openvino" or "onnxruntime", which are extras; or "auto".
        precision: "float32"; "bfloat16" (tensorflow, openvino); "int8" (openvino, onnxruntime),
            calibrated on crops. None: float32; of engine "auto" whatever holds.
            Where the processor has no bfloat16, OpenVINO computes in float32.
        examples: labelled micrographs that ``auto`` judges by: validation images, some 20 or more.
        calibration: micrographs that int8 is calibrated on, such as those of training; 32 crops
            are taken. None: ``examples``, whose labels are not looked at.
        threads: of openvino and onnxruntime; None: all cores. TensorFlow has its own setting.

    Returns:
        What ``temzoo.predict``, ``evaluate`` and ``restore`` take in place of the model.

    Raises:
        ValueError: no such engine or precision, a model that is no network of pixels, or nothing
            to calibrate on.
        ImportError: the engine is not installed; the command is named.

    Example:
        >>> model = temzoo.get_model("unet_mobilenet", weights="emps")
        >>> fast = temzoo.accelerate(model, "openvino", "bfloat16")
        >>> temzoo.predict(fast, "particles.tif").instances.max()
    """
    threads = cores() if threads is None else threads
    check(engine, precision, threads)
    micrographs = examples if calibration is None else calibration
    if engine != AUTO:
        precision = precision or PRECISIONS[0]
        check_installed(engine, precision)
        if MAKERS[engine, precision].calibrates and micrographs is None:
            raise ValueError(
                f"{precision} is calibrated on micrographs. Received: none. Give some of those that"
                " the model was trained on: examples=load_dataset(…), or calibration=[paths]."
            )
        return AcceleratedModel(Network(model, micrographs), engine, precision, threads)
    network = Network(model, micrographs)
    made = partial(AcceleratedModel, network, threads=threads)
    return choice.choose(network, precision, threads, examples, made)


def check(engine: str, precision: str | None, threads: int = 1) -> None:
    """Raises ValueError for an engine and precision that there are not together."""
    engines = list(dict.fromkeys(name for name, _ in MAKERS))
    if engine not in (*engines, AUTO):
        raise ValueError(
            f"engine must be {AUTO} or one of {', '.join(engines)}. Received: engine={engine!r}."
            f"{did_you_mean(engine, [*engines, AUTO])}"
        )
    offered = [p for p in PRECISIONS if engine == AUTO or (engine, p) in MAKERS]
    if precision is not None and precision not in offered:
        raise ValueError(
            f"precision of {engine} must be one of {', '.join(offered)}. Received:"
            f" precision={precision!r}."
        )
    if threads < 1:
        raise ValueError(f"threads must be at least 1. Received: threads={threads}.")


class AcceleratedModel:
    """A network in an engine; made by ``accelerate``.

    Attributes:
        engine, precision: what runs it.
        class_names: of the classes 1, 2, …; () where they are unknown.
        input_shape, output_shape: (None, H, W, channels); None for any length.
        tile_step: tiles are cut at multiples of it, px; None where it is unknown.
        restores: whether it makes pictures, for ``temzoo.restore``.
        in_flight: a tile is normalised, and another blended, while one is in the network.
        found: what ``auto`` measured, a row for each engine and precision; () unless it chose.
    """

    in_flight = 2

    def __init__(self, network: Network, engine: str, precision: str, threads: int):
        self.engine, self.precision = engine, precision
        model = network.model
        self.name = model.name
        self.class_names = class_names_of(model)
        stands_for(self, network.task, self.class_names)
        self.input_shape, self.output_shape = model.input_shape, model.output_shape
        self.tile_step = network.step
        self.restores = network.restores
        self.found: tuple[Row, ...] = ()
        self._normalize = network.normalize
        self._run: Answer = MAKERS[engine, precision].make(network, threads)
        self._busy = Lock()

    def tile_network(self, channels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """The network as a function of raw tiles (B, h, w, C) of one micrograph (H, W, C).

        Threads may share it.
        """
        return on_tiles(
            self._normalize, channels, lambda tiles, raw: self.answer(tiles), restores=self.restores
        )

    def answer(self, normalised: np.ndarray) -> np.ndarray:
        """What the engine makes of normalised pixels: (B, H, W, C) to (B, H, W, K) float32."""
        with self._busy:
            return self._run(np.ascontiguousarray(normalised, np.float32))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Raw images, each normalised by itself as the model does: (B, H, W, C) to (B, H, W, K)."""
        if self._normalize is None:
            return self.answer(pixels)
        pairs = [self._normalize.statistics(image) for image in pixels]
        normalised = [
            self._normalize.apply(image, *pair) for image, pair in zip(pixels, pairs, strict=True)
        ]
        answers = self.answer(np.stack(normalised))
        if not self.restores:
            return answers
        restored = [
            self._normalize.invert(one, *pair) for one, pair in zip(answers, pairs, strict=True)
        ]
        return np.stack(restored)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.engine}, {self.precision}>"
