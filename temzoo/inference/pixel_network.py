"""A model that answers every pixel, as tiled prediction asks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

STEP = 32  # pixels; the coarsest step taken for a model that does not state its own
Network = Callable[[np.ndarray], np.ndarray]  # raw (B, h, w, C) → (B, h, w, K) float32


@dataclass(frozen=True)
class PixelNetwork:
    """A model that answers every pixel of an image.

    Attributes:
        on: of a micrograph (H, W, C), the function of its raw tiles, (B, h, w, C) to (B, h, w, K)
            float32.
        channels: that it takes; None: any.
        step: px; tiles are cut at multiples of it.
        in_flight: tiles that are taken up at once; 1 for a function that is called from its own
            thread alone.
        whole: takes a whole image, (H, W) or (H, W, C) to (H, W, K), in place of tiles.
        name: of the model, in messages.
    """

    on: Callable[[np.ndarray], Network]
    channels: int | None = None
    step: int = STEP
    in_flight: int = 1
    whole: Callable[[np.ndarray], np.ndarray] | None = None
    name: str = ""


def on_tiles(
    normalize: Any, channels: np.ndarray, answer: Callable[..., np.ndarray], *, restores: bool
) -> Network:
    """What lies behind a normalisation, as a function of raw tiles (B, h, w, C) of one micrograph.

    Args:
        normalize: the layer; its statistics are those of the whole micrograph. None: there is none.
        channels: (H, W, C), the micrograph.
        answer: takes normalised tiles, float32, and the raw ones, of the micrograph's own type.
        restores: answers are pictures in normalised units, which go back to the raw range.
    """
    if normalize is None:
        return lambda batch: answer(batch.astype(np.float32), batch)
    shift, scale = normalize.statistics(channels)

    def network(batch: np.ndarray) -> np.ndarray:
        found = answer(normalize.apply(batch, shift, scale), batch)
        return normalize.invert(found, shift, scale) if restores else found

    return network
