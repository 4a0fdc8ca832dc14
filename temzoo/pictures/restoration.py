"""Micrographs before and after restoration, as a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.types import Example
from temzoo.data.pairs import PairPlan, pair_of
from temzoo.data.preparation import filled
from temzoo.evaluation.restoration import channels_of, compared_with, truth_of
from temzoo.inference.restore import restore
from temzoo.micrographs import as_channels
from temzoo.pictures.sheets import Panel, sheet


def restoration_sheet(
    path: str | Path,
    model: Any,
    examples: Sequence[Example],
    *,
    source: str | Any,
    limit: int = 4,
    title: str = "",
) -> Path:
    """Draws what a restorer makes of examples: before, after, and the truth or what was removed.

    Args:
        examples: the first ``limit`` of them are shown.
        source: where the poor picture comes from, as in ``PairPlan``.
    """
    panels: list[Panel] = []
    for example in examples[:limit]:
        plan = PairPlan(source=source)
        poor, better = (
            None if one is None else _middle(one, model.input_shape[1])
            for one in pair_of(example, plan, **channels_of(model))
        )
        restored = restore(model, poor).pixels
        panels += _row(example, plan, poor, restored, better)
    return sheet(path, panels, columns=3, title=title)


def _middle(pixels: np.ndarray, side: int | None) -> np.ndarray:
    """The middle of an image, for a model of one size, mirrored where it is smaller."""
    if side is None:
        return pixels
    top, left = ((length - side) // 2 if length > side else 0 for length in pixels.shape[:2])
    return filled(pixels[top : top + side, left : left + side], side)


def _row(example: Example, plan: PairPlan, poor, restored, better) -> list[Panel]:
    """Three pictures in one scale of grey: that of the restored one, or of the truth."""
    name = Path(example.name).name
    restored = restored.reshape(*restored.shape[:2], -1)
    if better is None:
        shades = shades_of(restored)
        removed = poor - restored
        spread = float(np.abs(removed).std()) * 3 or 1.0
        last = Panel(shown(removed, -spread, spread), "removed")
        return [
            Panel(shown(poor, *shades), name),
            Panel(shown(restored, *shades), "restored"),
            last,
        ]
    (before, _), (after, _) = compared_with(better, truth_of(example, plan), poor, restored)
    shades = shades_of(better)
    return [
        Panel(shown(poor, *shades), f"{name}: {before:.1f} dB"),
        Panel(shown(restored, *shades), f"restored: {after:.1f} dB"),
        Panel(shown(better, *shades), "truth"),
    ]


def shades_of(pixels: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(pixels, (0.5, 99.5))
    return float(low), float(high if high > low else low + 1)


def shown(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """(H, W, 3) uint8, ``low`` black and ``high`` white."""
    scaled = (as_channels(np.asarray(pixels, np.float32), 3) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
