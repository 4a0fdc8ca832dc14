"""What stands for a model in ``predict``, ``evaluate`` and ``restore``, while an engine runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from temzoo.deploy.engines.runtime import Answer
from temzoo.inference.tiles import on_tiles
from temzoo.zoo.built import stands_for
from temzoo.zoo.task import task_named

BESIDE = 3 * 2**19  # px; a larger image is asked alone: several would not fit into memory


@dataclass(frozen=True)
class Facts:
    """What must be known of a model whose network an engine runs.

    Attributes:
        name, task: of the model.
        class_names: of the classes 1, 2, …; () where they are unknown.
        input_shape, output_shape: (None, H, W, channels); None for any length.
        step: tiles are cut at multiples of it, px; None where it is unknown.
        restores: whether it makes pictures, for ``temzoo.restore``.
        normalize: has ``statistics``, ``apply`` and ``invert``; None of a model of raw pixels.
    """

    name: str
    task: str
    class_names: tuple[str, ...]
    input_shape: tuple[int | None, ...]
    output_shape: tuple[int | None, ...]
    step: int | None
    restores: bool
    normalize: Any


class AcceleratedModel:
    """A network in an engine; made by ``accelerate``.

    Attributes:
        engine, precision: what runs it.
        class_names, input_shape, output_shape, restores: see ``Facts``; tile_step: its ``step``.
        in_flight: a tile is normalised, and another blended, while one is in the network.
        found: what ``auto`` measured, a row for each engine and precision; () unless it chose.
    """

    in_flight = 2

    def __init__(
        self,
        facts: Facts,
        engine: str,
        precision: str,
        run: Answer,
        opened: Callable[[int], Answer] | None = None,
    ):
        self.engine, self.precision = engine, precision
        self.name, self.class_names = facts.name, facts.class_names
        stands_for(self, task_named(facts.task), facts.class_names)
        self.input_shape, self.output_shape = facts.input_shape, facts.output_shape
        self.tile_step, self.restores = facts.step, facts.restores
        self.found: tuple[Any, ...] = ()
        self._facts, self._normalize, self._run, self._busy = facts, facts.normalize, run, Lock()
        self._opened, self._beside = opened, None

    def tile_network(self, channels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """The network as a function of raw tiles (B, h, w, C) of one micrograph (H, W, C).

        Threads may share it.
        """
        return on_tiles(
            self._normalize, channels, lambda tiles, raw: self.answer(tiles), restores=self.restores
        )

    def answer(self, normalised: np.ndarray) -> np.ndarray:
        """What the engine makes of normalised pixels: (B, H, W, C) to (B, H, W, K) float32."""
        pixels = np.ascontiguousarray(normalised, np.float32)
        if self._beside is not None and pixels[..., 0].size <= BESIDE:
            return self._beside(pixels)
        with self._busy:
            return self._run(pixels)

    def for_calls(self, calls: int) -> AcceleratedModel:
        """The same, to be asked of several micrographs at once.

        Those calls share the cores, so that none waits for another; a large one has all of them.
        """
        if calls == 1 or self._opened is None:
            return self
        made = AcceleratedModel(self._facts, self.engine, self.precision, self._run, self._opened)
        made.found, made._beside = self.found, self._opened(calls)
        return made

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
