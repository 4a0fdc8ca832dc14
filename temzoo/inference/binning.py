"""A micrograph seen at a lower magnification, and what was found in it at its own.

Networks know particles as large as those they learnt from, and outlines about as sharp. A frame of
4096 px shows the same particles eight times as large and blurred as one of 512 px, and a network
then finds pieces of them. How far a frame is binned is chosen by how sure the network is of what it
finds, from the coarsest binning to finer ones, and stops where finer is worse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Real

import cv2
import numpy as np
from scipy import ndimage

from temzoo.core.settings import MIN_AREA_PX, SEPARATION
from temzoo.core.types import Detection, Micrograph, Prediction
from temzoo.inference.options import PredictOptions
from temzoo.inference.pixels import checked_pixels
from temzoo.micrographs.binning import binned

LEAST_SHARE = 0.9  # of the side that weights know: a frame is not binned to less
# Of the objects found: those that are surer than this speak for a binning, others against it. A
# finer look must be worth half a sure object more: the coarser one is nearer to what is known.
SURE, GAIN = 0.8, 0.1
# Well seen: a finer look cannot add to objects that are so large, px, three quarters of them, and
# so sure, on average.
LARGE, LARGE_SHARE, SURE_ENOUGH = 32, 25, 0.95


def best_binned(
    answer: Callable[[Micrograph, PredictOptions], Prediction],
    micrograph: Micrograph,
    options: PredictOptions,
    side: int,
) -> Prediction:
    """What a network finds at the binning at which it is surest of what it finds.

    Args:
        answer: asks the network.
        side: shorter side of the micrographs that its weights know, px.
    """
    shape = checked_pixels(micrograph).shape[:2]
    binning = coarsest(shape, side)
    asked = replace(options, instances=options.instances or SEPARATION)
    quick = replace(asked, progress=False)
    best = at_binning(answer, micrograph, quick if binning > 1 else asked, binning)
    while binning > 1 and not _well_seen(best):
        binning //= 2
        finer = at_binning(answer, micrograph, quick if binning > 1 else asked, binning)
        if not _sureness(best).size or _worth(finer) > max(_worth(best), 0) + GAIN:
            best = finer
        elif _worth(best) > 0:
            break
    if options.instances is None:
        best = at_binning(answer, micrograph, options, best.binning)
    return enlarged(best, shape)


def coarsest(shape: tuple[int, ...], side: int) -> int:
    """The largest power of two that leaves nearly the side that weights know."""
    binning = 1
    while min(shape[:2]) >= 2 * binning * LEAST_SHARE * side:
        binning *= 2
    return binning


def at_binning(
    answer: Callable[[Micrograph, PredictOptions], Prediction],
    micrograph: Micrograph,
    options: PredictOptions,
    binning: int,
) -> Prediction:
    """What a network finds in a binned micrograph, in pixels of that."""
    if binning == 1:
        return answer(micrograph, options)
    least = options.min_area_px  # of what is that small, a network tells no less when it is binned
    least = max(min(least, MIN_AREA_PX), least // binning**2)
    seen = replace(options, min_area_px=least)
    if isinstance(options.smooth, Real):
        seen = replace(seen, smooth=options.smooth / binning)
    checked_pixels(micrograph)
    found = answer(binned(micrograph, binning), seen)
    return replace(found, binning=binning)


def _sureness(found: Prediction) -> np.ndarray:
    return np.zeros(0) if found.scores is None else found.scores


def _worth(found: Prediction) -> float:
    return float((_sureness(found) - SURE).sum())


def _well_seen(found: Prediction) -> bool:
    sure = _sureness(found)
    if not sure.size or sure.mean() < SURE_ENOUGH:
        return False
    areas = np.bincount(found.instances.ravel(), minlength=2)[1:]
    return float(np.sqrt(4 / np.pi * np.percentile(areas, LARGE_SHARE))) >= LARGE


def enlarged(found: Prediction, shape: tuple[int, ...]) -> Prediction:
    """What was found in a binned micrograph, in the pixels of the micrograph of this shape."""
    times = found.binning
    if times == 1:
        return found
    scale = found.nm_per_pixel
    steep = found.box_shaped

    def objects(each: tuple[Detection, ...] | None) -> tuple[Detection, ...] | None:
        return each and tuple(_enlarged_object(one, times, shape, steep=steep) for one in each)

    def values(answer: np.ndarray | None) -> np.ndarray | None:
        return None if answer is None else _interpolated(answer, times)[: shape[0], : shape[1]]

    return replace(
        found,
        classes=enlarged_labels(found.classes, times, shape, steep=steep),
        instances=enlarged_labels(found.instances, times, shape, steep=steep),
        probabilities=values(found.probabilities),
        distance=values(found.distance),
        detections=objects(found.detections),
        doubtful=objects(found.doubtful),
        nm_per_pixel=None if scale is None else (scale[0] / times, scale[1] / times),
        smoothed_px=round(found.smoothed_px * times, 2),
    )


def enlarged_labels(
    labels: np.ndarray, times: int, shape: tuple[int, ...], *, steep: bool = False
) -> np.ndarray:
    """Labels in so many times so many pixels, cut to a shape; outlines are without stairs.

    A pixel is of a label where the linear interpolation of that label's mask is above 0.5, so that
    areas and places stay, and straight outlines are straight.

    Args:
        labels: (H, W) of whole numbers, 0 is the background.
        steep: each pixel becomes a square.
    """
    if steep:
        return labels.repeat(times, axis=0).repeat(times, axis=1)[: shape[0], : shape[1]]
    out = np.zeros((labels.shape[0] * times, labels.shape[1] * times), labels.dtype)
    padded = np.pad(labels, 1, mode="edge")
    for label, box in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
        if box is None:
            continue
        rows, columns = (slice(part.start, part.stop + 2) for part in box)
        mask = _interpolated((padded[rows, columns] == label).astype(np.float32), times) > 0.5
        place = tuple(slice(part.start * times, part.stop * times) for part in box)
        out[place][mask[times:-times, times:-times]] = label
    return out[: shape[0], : shape[1]]


def _interpolated(values: np.ndarray, times: int) -> np.ndarray:
    """(H, W) or (H, W, K) in so many times so many pixels, linearly."""
    size = values.shape[1] * times, values.shape[0] * times
    planes = [
        cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_LINEAR)
        for plane in np.moveaxis(values.reshape(*values.shape[:2], -1), -1, 0)
    ]
    return planes[0] if values.ndim == 2 else np.stack(planes, axis=-1)


def _enlarged_object(
    found: Detection, times: int, shape: tuple[int, ...], *, steep: bool
) -> Detection:
    top, left = found.top * times, found.left * times
    room = shape[0] - top, shape[1] - left
    if steep:
        mask = found.mask.repeat(times, axis=0).repeat(times, axis=1)
    else:
        around = np.pad(found.mask, 1).astype(np.float32)
        mask = (_interpolated(around, times) > 0.5)[times:-times, times:-times]
    return replace(found, top=top, left=left, mask=mask[: room[0], : room[1]])
