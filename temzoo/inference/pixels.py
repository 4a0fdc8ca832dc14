"""A micrograph's pixels as a model takes them: read, checked once, with the model's channels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.connected import BLOCK_ROWS
from temzoo.core.types import Micrograph
from temzoo.inference.signals import is_signal, signal_image
from temzoo.micrographs import as_channels, load_micrograph

LAZY = ("dask", "zarr")  # libraries of arrays
LARGEST = np.finfo(np.float32).max
FAR = 10  # times what most pixels spread: beyond it a hundredth of them is noise, or rare objects
ALONE = 0.5  # share of far pixels without a far neighbour from which they are hot or dead ones


def is_lazy(pixels: Any) -> bool:
    """Whether this is an array of dask or zarr, whose pixels are elsewhere until asked for."""
    return type(pixels).__module__.partition(".")[0] in LAZY and hasattr(pixels, "chunks")


def as_micrograph(micrograph: Any) -> Micrograph:
    """A path is read; a signal keeps its calibration; bare pixels get neither that nor a name."""
    if isinstance(micrograph, Micrograph):
        return micrograph
    if isinstance(micrograph, str | Path):
        return load_micrograph(micrograph)
    if is_signal(micrograph):
        return signal_image(micrograph)
    return Micrograph(pixels=np.asarray(micrograph))


def checked_pixels(micrograph: Micrograph) -> np.ndarray:
    """The pixels, (H, W) or (H, W, C) of any real dtype.

    Raises:
        ValueError: for a batch, an image without pixels, complex, NaN or infinite values, or
            values beyond float32, which models compute in.
    """
    pixels, name = micrograph.pixels, f" in {micrograph.name!r}" if micrograph.name else ""
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "buif":
        raise ValueError(
            "a micrograph must be real numbers of shape (H, W) or (H, W, C). Received: shape="
            f"{pixels.shape}, dtype={pixels.dtype}{name}. Pass one image, not a batch."
        )
    if pixels.size == 0:
        raise ValueError(
            f"a micrograph must have pixels. Received: shape={pixels.shape}{name}. "
            "Check the crop or the file that it came from."
        )
    if pixels.dtype.kind == "f":
        for top in range(0, len(pixels), BLOCK_ROWS):
            if not np.isfinite(pixels[top : top + BLOCK_ROWS]).all():
                raise ValueError(
                    "pixels must be finite. Received: NaN or infinite values"
                    f"{name}, first in rows {top} to {top + BLOCK_ROWS}. "
                    "Replace them, for example by np.nan_to_num."
                )
            if np.abs(pixels[top : top + BLOCK_ROWS]).max() > LARGEST:
                raise ValueError(
                    f"pixels must lie within float32, to {LARGEST:.1e}. Received: larger ones"
                    f"{name}, first in rows {top} to {top + BLOCK_ROWS}. Divide them first."
                )
    return pixels


def channels_view(pixels: np.ndarray, channels: int | None) -> np.ndarray:
    """(H, W, C) with so many channels, None: as many as there are; never a copy of a grey image."""
    if channels is None:
        return pixels.reshape(*pixels.shape[:2], -1)
    if pixels.ndim == 3:
        return as_channels(pixels, channels)
    return np.broadcast_to(pixels[:, :, None], (*pixels.shape, channels))


class Thinned(np.ndarray):
    """A grid of a micrograph's pixels, among which no neighbours tell hot pixels from others."""


def statistics_of(normalize: Any, channels: np.ndarray) -> tuple[float, float]:
    """``normalize.statistics`` of a micrograph; warns where hot or dead pixels decide them."""
    share = 0.0 if isinstance(channels, Thinned) else _share_alone(channels[..., 0])
    if share:
        warnings.warn(
            f"{share:.1%} of the pixels are hot or dead: single ones far from all others. They"
            " decide the contrast that the model sees. Filter them out first, for example by"
            " scipy.ndimage.median_filter(pixels, 3).",
            stacklevel=2,
        )
    return normalize.statistics(channels)


def _share_alone(pixels: np.ndarray) -> float:
    """Share of far pixels that stand alone; 0 where they are too few to move the percentiles."""
    step = max(1, int(np.sqrt(pixels.size / 256**2)))
    values = pixels[::step, ::step].astype(np.float64)
    outer, low, middle, high, top = np.percentile(values, [1, 10, 50, 90, 99])
    far = np.zeros(pixels.shape, bool)
    if top - middle > FAR * (high - middle) > 0:
        far |= pixels > middle + (top - middle) / 2
    if middle - outer > FAR * (middle - low) > 0:
        far |= pixels < middle - (middle - outer) / 2
    if not far.any():
        return 0.0
    beside = np.zeros_like(far)
    for axis in (0, 1):
        for one, other in ((slice(1, None), slice(-1)), (slice(-1), slice(1, None))):
            here, there = ((part, slice(None))[:: 1 - 2 * axis] for part in (one, other))
            beside[here] |= far[there]
    alone = np.count_nonzero(far & ~beside)
    return alone / far.size if alone > ALONE * np.count_nonzero(far) else 0.0
