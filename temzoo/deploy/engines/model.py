"""What stands for a model in ``predict``, ``evaluate`` and ``restore``, while an engine runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np

from temzoo.deploy.engines.runtime import Answer
from temzoo.inference.objects import suppressed
from temzoo.inference.tiles import on_tiles
from temzoo.zoo.built import Limits, stands_for
from temzoo.zoo.task import task_named


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
        max_detections: of a detector of boxes, an image; None of another model.
        noise: that its weights bear; None: unknown.
    """

    name: str
    task: str
    class_names: tuple[str, ...]
    input_shape: tuple[int | None, ...]
    output_shape: tuple[int | None, ...]
    step: int | None
    restores: bool
    normalize: Any
    max_detections: int | None = None
    limits: Limits = field(default_factory=Limits)


class AcceleratedModel:
    """A network in an engine; made by ``accelerate``.

    Attributes:
        engine, precision: what runs it.
        class_names, input_shape, output_shape, restores: see ``Facts``; tile_step: its ``step``.
        in_flight: a tile is normalised, and another blended, while one is in the network; so are
            micrographs of a folder.
        found: what ``auto`` measured, a row for each engine and precision; () unless it chose.
        memory: the file in which that is kept; None unless it chose.
    """

    in_flight = 2

    def __init__(self, facts: Facts, engine: str, precision: str, run: Answer):
        self.engine, self.precision = engine, precision
        self.name, self.class_names = facts.name, facts.class_names
        stands_for(self, task_named(facts.task), facts.class_names, facts.limits)
        self.input_shape, self.output_shape = facts.input_shape, facts.output_shape
        self.tile_step, self.restores = facts.step, facts.restores
        self.found: tuple[Any, ...] = ()
        self.memory: Path | None = None
        self._normalize, self._run, self._busy = facts.normalize, run, Lock()

    @property
    def told(self) -> str:
        """What runs it, and what ``auto`` could not take because it failed, in lines."""
        failed = [one for one in self.found if one.failure]
        lines = [f"{one.engine}, {one.precision} failed: {one.failure}" for one in failed]
        return "\n".join([f"engine: {self.engine}, {self.precision}", *lines])

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


class AcceleratedDetector(AcceleratedModel):
    """A detector of boxes in an engine.

    Attributes:
        image_size: side of the squares that it takes, px.
        max_detections: in one of them.
        normalize: see ``Facts``.
    """

    def __init__(self, facts: Facts, engine: str, precision: str, run: Answer):
        super().__init__(facts, engine, precision, run)
        self.image_size, self.max_detections = facts.input_shape[1], facts.max_detections
        self.normalize = facts.normalize

    def detect(
        self,
        pixels: np.ndarray,
        *,
        statistics: tuple[float, float] | None = None,
        min_score: float,
        max_detections: int | None = None,
    ) -> SimpleNamespace:
        """Raw squares (B, S, S, C) to boxes, as ``yolo`` documents them."""
        how = [statistics or self.normalize.statistics(image) for image in pixels]
        pairs = zip(pixels, how, strict=True)
        answers = self.answer(np.stack([self.normalize.apply(one, *pair) for one, pair in pairs]))
        limit = max_detections or self.max_detections
        boxes, scores = answers[..., :4] * self.image_size, answers[..., 4:]
        return suppressed(boxes, scores, min_score=min_score, most=limit)


def in_engine(facts: Facts, engine: str, precision: str, run: Answer) -> AcceleratedModel:
    """A network that an engine runs, as what stands for its model."""
    made = AcceleratedModel if facts.max_detections is None else AcceleratedDetector
    return made(facts, engine, precision, run)
