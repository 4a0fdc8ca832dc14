"""Restored micrographs: denoised or coloured, in tiles, with calibration; scored, drawn, written.

A restorer takes a micrograph of any size. Beyond 1408 x 1408 px it works in tiles that are
normalised by the whole micrograph and blended, as ``prediction.py`` tells.

The colour of a grey electron micrograph is an aid to the eye, not data: electrons have no colour,
and what a network paints is what its training images had in such places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.evaluation import Interval, mean_interval
from temzoo.inputs import as_micrograph, checked_pixels
from temzoo.micrographs import as_channels
from temzoo.pipeline.dataset import filled
from temzoo.pipeline.degrade import black_and_white
from temzoo.pipeline.pairs import PairPlan, pair_of
from temzoo.prediction import answer_blocks, file_stem
from temzoo.report import Panel, sheet, stretched
from temzoo.synthetic import write_tiff
from temzoo.tasks.endpoints import RESTORED
from temzoo.types import Example, Micrograph

SSIM_WINDOW = 7  # px; what structural_similarity takes, and the least image it can


def restore(
    model: Any,
    micrograph: Micrograph | np.ndarray | str | Path,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    flips: bool = False,
    batch_size: int = 1,
    progress: bool = False,
) -> Micrograph:
    """Denoises or colours one micrograph of any size.

    Args:
        model: a restorer of temzoo, such as ``get_model("autoencoder", weights="runs/first")``,
            or one that is served (``temzoo.connect``).
        micrograph: a path, the raw pixels (H, W) or (H, W, C), or a Micrograph.
        tile, overlap, batch_size: as for ``predict``.
        flips: average over mirror images: a little better, four times the work.
        progress: show a progress bar.

    Returns:
        The micrograph with float32 pixels in its own range, not clipped, (H, W), or (H, W, 3) of a
        model that colours; its calibration and name stay. ``as_stored`` gives its own dtype.

    Raises:
        ValueError: the model is no restorer; an empty image, NaN or infinite pixels; a size that
            the model does not take.

    Example:
        >>> model = get_model("autoencoder", weights="runs/first")
        >>> clean = restore(model, "noisy.tif")
    """
    micrograph = as_micrograph(micrograph)
    pixels = checked_pixels(micrograph)
    _check_restorer(model, pixels)
    channels = model.output_shape[-1]
    restored = np.empty((*pixels.shape[:2], channels), np.float32)
    blocks = answer_blocks(model, pixels, tile, overlap, flips, batch_size, progress)
    for first, rows in blocks:
        restored[first : first + len(rows)] = rows
    return replace(micrograph, pixels=restored[..., 0] if channels == 1 else restored)


def _check_restorer(model: Any, pixels: np.ndarray) -> None:
    names = [layer.name for layer in getattr(model, "layers", ())]
    if RESTORED not in names and not getattr(model, "restores", False):
        raise ValueError(
            "restore needs a model of the restoration task. Received: "
            f"{getattr(model, 'name', model)!r}. Use temzoo.predict for classes and objects."
        )
    side = model.input_shape[1]
    if side and pixels.shape[:2] != (side, side):
        raise ValueError(
            f"this model takes images of {side} x {side} px only. Received: "
            f"{pixels.shape[0]} x {pixels.shape[1]}. Build the autoencoder without image_size for"
            " micrographs of any size."
        )


def as_stored(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Restored pixels as whole numbers of a stored dtype, rounded and clipped; floats stay."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "ui":
        return pixels.astype(np.float32)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(pixels), limits.min, limits.max).astype(dtype)


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
        head = f"{len(self.table)} images; 95% bootstrap intervals over images"
        return "\n".join([head, *figures])


def evaluate_restoration(
    model: Any,
    examples: Sequence[Example],
    *,
    pairs: str | Any = "given",
    flips: bool = False,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Restoration:
    """Restores examples and compares them with what they should be.

    Args:
        model: a restorer.
        examples: with a truth for "given", else those that poor pictures are made of.
        pairs: where a poor picture comes from, as in ``pipeline.pairs.PairPlan``; a "blind_spot"
            has no truth to compare with.
        flips: average over mirror images.
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
    rows = []
    for example in examples:
        poor, better = pair_of(example, plan, **_channels(model))
        restored = restore(model, poor, flips=flips).pixels
        before, after = _compared_with(better, _truth(example, plan), poor, restored)
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


def _compared_with(better, stored: np.ndarray, *pictures) -> list[tuple[float, float]]:
    """(PSNR, SSIM) of pictures against the better one, whose dtype and range are ``stored``'s."""
    reach = data_range(stored)
    return [
        compared(_within(one, stored.dtype, better.shape[-1]), better, reach) for one in pictures
    ]


def _within(pixels: np.ndarray, dtype: np.dtype, channels: int) -> np.ndarray:
    """Pixels cut to what the truth's dtype can hold: noise below black is not a deeper black."""
    if dtype.kind in "ui":
        pixels = np.clip(pixels, np.iinfo(dtype).min, np.iinfo(dtype).max)
    return as_channels(pixels, channels)


def compared(restored: np.ndarray, truth: np.ndarray, reach: float) -> tuple[float, float]:
    """PSNR in dB and SSIM of one image.

    SSIM is scikit-image's, in even windows of 7 px; that of Wang et al. 2004,
    doi:10.1109/TIP.2003.819861, has Gaussian ones of 11 px.

    Args:
        restored, truth: (H, W, C).
        reach: the data range.

    Returns:
        PSNR, infinite for equal images, and SSIM, NaN for one smaller than 7 px.
    """
    from skimage.metrics import structural_similarity

    restored, truth = (np.asarray(array, np.float64) for array in (restored, truth))
    error = float(np.mean((restored - truth) ** 2))
    psnr = 10 * np.log10(reach**2 / error) if error else np.inf
    if min(truth.shape[:2]) < SSIM_WINDOW:
        return float(psnr), np.nan
    ssim = structural_similarity(truth, restored, data_range=reach, channel_axis=-1)
    return float(psnr), float(ssim)


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
        path: of the picture.
        model: a restorer.
        examples: the first ``limit`` of them are shown.
        source: where the poor picture comes from, as in ``PairPlan``.
        title: above all.
    """
    panels: list[Panel] = []
    for example in examples[:limit]:
        plan = PairPlan(source=source)
        poor, better = (
            None if one is None else _middle(one, model.input_shape[1])
            for one in pair_of(example, plan, **_channels(model))
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


def _truth(example: Example, plan: PairPlan) -> np.ndarray:
    """The better picture in its stored dtype."""
    return (example.load_truth() if plan.source == "given" else example.micrograph).pixels


def _row(example: Example, plan: PairPlan, poor, restored, better) -> list[Panel]:
    """Three pictures in one scale of grey: that of the restored one, or of the truth."""
    name = Path(example.name).name
    restored = restored.reshape(*restored.shape[:2], -1)
    if better is None:
        shades = _shades(restored)
        removed = poor - restored
        spread = float(np.abs(removed).std()) * 3 or 1.0
        last = Panel(_shown(removed, -spread, spread), "removed")
        return [
            Panel(_shown(poor, *shades), name),
            Panel(_shown(restored, *shades), "restored"),
            last,
        ]
    (before, _), (after, _) = _compared_with(better, _truth(example, plan), poor, restored)
    shades = _shades(better)
    return [
        Panel(_shown(poor, *shades), f"{name}: {before:.1f} dB"),
        Panel(_shown(restored, *shades), f"restored: {after:.1f} dB"),
        Panel(_shown(better, *shades), "truth"),
    ]


def _shades(pixels: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(pixels, (0.5, 99.5))
    return float(low), float(high if high > low else low + 1)


def _shown(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """(H, W, 3) uint8, ``low`` black and ``high`` white."""
    scaled = (as_channels(np.asarray(pixels, np.float32), 3) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _channels(model: Any) -> dict[str, int]:
    return {"channels": model.input_shape[-1], "out_channels": model.output_shape[-1]}


def save_restored(
    restored: Micrograph, folder: str | Path, *, before: Micrograph, keep_float: bool = False
) -> dict[str, Path]:
    """Writes a restored micrograph and a picture of before and after, each whole or not at all.

    Args:
        restored: what ``restore`` returned.
        folder: made when absent; files are named after the micrograph.
        before: what it was made from; its dtype is that of the TIFF.
        keep_float: a 32-bit TIFF instead, with nothing rounded or clipped (grey alone).

    Returns:
        The paths by what they hold: "restored" and "comparison".
    """
    folder, stem = Path(folder), file_stem(restored.name)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"restored": folder / f"{stem}_restored.tif", "comparison": folder / f"{stem}_both.png"}
    write_tiff(paths["restored"], replace(restored, pixels=_writable(restored, before, keep_float)))
    pictures = [
        Panel(stretched(before.pixels), "before"),
        Panel(stretched(restored.pixels), "after"),
    ]
    sheet(paths["comparison"], pictures, columns=2, title=Path(restored.name).name)
    return paths


def _writable(restored: Micrograph, before: Micrograph, keep_float: bool) -> np.ndarray:
    """What ImageJ's TIFF takes: uint8, uint16 or float32, colours as uint8 alone."""
    if restored.channels == 3:
        if before.pixels.dtype == np.uint8:
            return as_stored(restored.pixels, np.uint8)
        return _shown(restored.pixels, *_shades(before.pixels))
    kept = before.pixels.dtype in (np.uint8, np.uint16) and not keep_float
    return as_stored(restored.pixels, before.pixels.dtype if kept else np.float32)
