"""Restored micrographs beside the truth: PSNR and SSIM with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from temzoo.core.bootstrap import held_text
from temzoo.core.types import Example
from temzoo.data.degrade import black_and_white
from temzoo.data.pairs import PairPlan, pair_of
from temzoo.evaluation.bootstrap import Interval, mean_interval
from temzoo.inference.restore import restore
from temzoo.micrographs import as_channels

SSIM_WINDOW = 7  # px; what structural_similarity takes, and the least image it can


@dataclass(frozen=True)
class Restoration:
    """How well micrographs were restored.

    Attributes:
        table: a row an image: name, psnr_db and ssim of the restored one, and of what it was made
            from (psnr_before_db, ssim_before).
        figures: mean over images of each column.
    """

    table: tuple[Mapping[str, Any], ...]
    figures: Mapping[str, Interval]

    def summary(self) -> str:
        """The figures as a plain-text table."""
        figures = [f"{name:<16}{figure!s}" for name, figure in self.figures.items()]
        head = f"{len(self.table)} images; {held_text(len(self.table), 'images')}"
        return "\n".join([head, *figures])


def evaluate_restoration(
    model: Any,
    examples: Sequence[Example],
    *,
    pairs: str | Any = "given",
    bootstrap: int = 1000,
    seed: int = 0,
) -> Restoration:
    """Restores examples and compares them with what they should be.

    Args:
        model: a restorer.
        examples: with a truth for "given", else those that poor pictures are made of.
        pairs: where a poor picture comes from, as in ``data.pairs.PairPlan``; a "blind_spot"
            has no truth to compare with.
        bootstrap, seed: resamples of the intervals, and what draws them.

    Raises:
        ValueError: there are no examples, or no truths to compare with.

    Example:
        >>> evaluate_restoration(model, load_pairs("short", "long")).figures["psnr_db"]
    """
    plan = PairPlan(source=pairs)
    if plan.source == "blind_spot":
        raise ValueError(
            'a blind spot has no truth to compare with. Received: pairs="blind_spot". Use pairs='
            '"given" with load_pairs, or the name of a degradation on clean micrographs.'
        )
    rows: list[dict[str, Any]] = []
    for example in examples:
        poor, better = pair_of(example, plan, **channels_of(model))
        restored = restore(model, poor).pixels
        before, after = compared_with(better, truth_of(example, plan), poor, restored)
        names = ("psnr_db", "ssim", "psnr_before_db", "ssim_before")
        rows.append({"name": example.name, **dict(zip(names, (*after, *before), strict=True))})
    if not rows:
        raise ValueError("evaluate_restoration needs at least one example. Received: none.")
    figures = {
        name: mean_interval([row[name] for row in rows], bootstrap=bootstrap, seed=seed)
        for name in rows[0]
        if name != "name"
    }
    return Restoration(tuple(rows), figures)


def data_range(pixels: np.ndarray) -> float:
    """What PSNR and SSIM call the data range: 255 for uint8, else from black to white of the truth.

    Black and white are its 0.1st and 99.9th percentile, so that a hot pixel does not raise the
    score of everything else.
    """
    black, white = black_and_white(pixels)
    return white - black or 1.0


def compared_with(better, stored: np.ndarray, *pictures) -> list[tuple[float, float]]:
    """(PSNR, SSIM) of pictures against the better one, whose dtype and range are ``stored``'s.

    They are cut to what that dtype can hold: noise below black is not a deeper black.
    """
    reach, channels = data_range(stored), better.shape[-1]
    if stored.dtype.kind in "ui":
        limits = np.iinfo(stored.dtype)
        pictures = tuple(np.clip(one, limits.min, limits.max) for one in pictures)
    return [compared(as_channels(one, channels), better, reach) for one in pictures]


def compared(restored: np.ndarray, truth: np.ndarray, reach: float) -> tuple[float, float]:
    """PSNR in dB, infinite for equal images, and SSIM, NaN for one smaller than 7 px.

    SSIM is scikit-image's, in even windows of 7 px; that of Wang et al. 2004,
    doi:10.1109/TIP.2003.819861, has Gaussian ones of 11 px.

    Args:
        restored, truth: (H, W, C).
        reach: the data range.
    """
    from skimage.metrics import structural_similarity

    restored, truth = (np.asarray(array, np.float64) for array in (restored, truth))
    error = float(np.mean((restored - truth) ** 2))
    psnr = 10 * np.log10(reach**2 / error) if error else np.inf
    if min(truth.shape[:2]) < SSIM_WINDOW:
        return float(psnr), np.nan
    ssim = structural_similarity(truth, restored, data_range=reach, channel_axis=-1)
    return float(psnr), float(ssim)


def truth_of(example: Example, plan: PairPlan) -> np.ndarray:
    """The better picture in its stored dtype."""
    if plan.source == "given" and example.load_truth is not None:
        return example.load_truth().pixels
    return example.micrograph.pixels


def channels_of(model: Any) -> dict[str, int]:
    return {"channels": model.input_shape[-1], "out_channels": model.output_shape[-1]}
