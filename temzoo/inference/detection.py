"""Micrograph → tiles → detector → objects, each once and whole.

A detector sees squares of one size, so a larger micrograph is covered by overlapping tiles, and
an object in an overlap is seen two to four times, whole in one tile and cut in another, or cut in
all of them. What decides whether two views are of one object is how well their masks agree inside
the area that both tiles see (IoU of at least 0.4 there): objects that touch share no pixels, and
those that overlap share too few. Then, for each object:

- a view that is cut by no inner edge of its tile, while no other view reaches beyond that tile, is
  the object; of several such the one furthest from the edges, which saw most of the surroundings,
  with the score and class of the surest;
- else the object is larger than the overlap, and is the union of its parts;
- a cut view in the outer half of an overlap is a scrap and dropped at once, since the next tile
  sees it and more; so is one that agrees with nothing but lies mostly on an object that another
  tile saw better.

Views of a score of 0.5 and more are put together first, and by themselves; a weaker one counts
only where it shows something else. So whoever asks for weak objects too, to rank them, gets the
same certain ones.

One object has at most one view in a tile, since a detector has already told apart what it found
there. So an object so bent that a tile's edge cuts it in two, and that no tile sees whole, may
come out in two.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from temzoo.core.offset import offset_of
from temzoo.core.types import MIN_SCORE, Detection, Micrograph, Prediction, Tell
from temzoo.inference.concurrent import in_order, progress_bar
from temzoo.inference.detection_stitching import View, stitched, view_of
from temzoo.inference.objects import Window, decode, filled, flattened, tight
from temzoo.inference.pixels import channels_view, checked_pixels, statistics_of

INSIDE = 1 / 3  # least part of a detection's height and width inside the image, not its mirror


@dataclass(frozen=True)
class Detector:
    """A model that finds objects in squares of one size.

    Attributes:
        detect: takes raw (B, S, S, C) pixels and the keywords statistics, min_score and
            max_detections; gives boxes, classes, scores, masks and counts, as ``mask_rcnn`` tells.
        image_size: S, px.
        channels: C.
        normalize: the layer whose ``statistics`` of the whole micrograph ``detect`` is given; None
            for one that takes raw pixels.
        in_flight: tiles that are asked for at once.
        max_detections: a tile, at most; None where it is unknown.
        box_shaped: it finds boxes; then an object that is put together of parts is a box too.
    """

    detect: Callable[..., Any]
    image_size: int
    channels: int | None
    normalize: Any = None
    in_flight: int = 1
    max_detections: int | None = None
    box_shaped: bool = False


def find_objects(
    detector: Detector,
    micrograph: Micrograph,
    *,
    overlap: int | None = None,
    min_score: float = MIN_SCORE,
    max_detections: int | None = None,
    min_area_px: int = 0,
    batch_size: int = 1,
    progress: bool | Tell = False,
    class_names: Sequence[str] = (),
) -> Prediction:
    """Finds the objects of one micrograph of any size.

    A side shorter than the model's image size is mirrored at its end, as in training; along a
    longer one, tiles of that size are spread evenly. All are normalised by the statistics of the
    whole micrograph.

    Args:
        detector: asked for each tile.
        micrograph: its pixels are (H, W) or (H, W, C).
        overlap: least overlap of neighbouring tiles in pixels; None: a quarter of the image size.
            An object up to this height and width lies whole in some tile; larger ones are joined
            from their parts, and with 0 they stay in parts.
        min_score: detections below are dropped. Average precision wants them too: 0.05.
        max_detections: most objects per tile, mirrored ones included; None: the model's own.
        min_area_px: smaller objects are dropped.
        batch_size: tiles per step. 1 needs the least memory; a GPU is faster with more.
        progress: show a progress bar, or a function to tell, as for ``predict``.
        class_names: names of the classes 1, 2, …; () where they are unknown.

    Returns:
        ``detections`` by falling score, with ``scores``, and the maps of ``instances`` and
        ``classes`` in which a higher score lies on top. An object wholly under others has no
        pixel in the maps.

    Raises:
        ValueError: for an empty image, NaN or infinite pixels, or an option out of range.
    """
    size = detector.image_size
    overlap = size // 4 if overlap is None else overlap
    _check_options(size, overlap, min_score, max_detections, batch_size)
    channels = channels_view(checked_pixels(micrograph), detector.channels)
    windows = tile_windows(*channels.shape[:2], size, overlap)
    options = {"min_score": min_score, "max_detections": max_detections}
    views = list(_views(detector, channels, windows, overlap, batch_size, progress, options))
    whole = stitched(views, windows)
    whole = [filled(one) for one in whole] if detector.box_shaped else whole
    found = [d for d in whole if np.count_nonzero(d.mask) >= min_area_px]
    highest = max((detection.class_id for detection in found), default=0)
    if class_names and highest > len(class_names):
        raise ValueError(
            "class_names must name each class but the background. Received: class_names="
            f"{tuple(class_names)} for a detection of class {highest}. Name the model's classes."
        )
    return replace(
        flattened(found, channels.shape[:2]),
        class_names=tuple(class_names),
        nm_per_pixel=micrograph.nm_per_pixel,
        name=micrograph.name,
        box_shaped=detector.box_shaped,
    )


def _check_options(
    size: int, overlap: int, min_score: float, max_detections: int | None, batch_size: int
) -> None:
    if not 0 <= overlap < size:
        raise ValueError(
            "overlap must be at least 0 and less than the model's image size. Received: "
            f"overlap={overlap} with tiles of {size}. Use {size // 4}."
        )
    if not 0 <= min_score <= 1:
        raise ValueError(
            f"min_score must be from 0 to 1. Received: min_score={min_score}. Use {MIN_SCORE}."
        )
    for name, value in (("max_detections", max_detections), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1. Received: {name}={value}.")


def tile_windows(height: int, width: int, size: int, overlap: int) -> list[Window]:
    """The tiles over an image, row by row, clipped to it."""
    return [
        (top, left, min(top + size, height), min(left + size, width))
        for top in _starts(height, size, overlap)
        for left in _starts(width, size, overlap)
    ]


def _starts(length: int, size: int, overlap: int) -> list[int]:
    """First pixels of as few tiles as keep the overlap, evenly spread."""
    if length <= size:
        return [0]
    steps = math.ceil((length - size) / (size - overlap))
    return [(length - size) * step // steps for step in range(steps + 1)]


def _views(
    detector: Detector,
    channels: np.ndarray,
    windows: Sequence[Window],
    overlap: int,
    batch_size: int,
    progress: bool | Tell,
    options: dict[str, Any],
) -> Iterator[View]:
    """What the model finds in each tile, in order of the tiles."""
    shape, size = channels.shape[:2], detector.image_size
    normalize = detector.normalize
    statistics, offset = None, 0.0
    if normalize is not None:
        shift, scale = statistics_of(normalize, channels)
        offset = offset_of(channels)
        statistics = (shift - offset, scale)
    detect = partial(detector.detect, statistics=statistics, **options)
    numbered = list(enumerate(windows))
    batches = [numbered[first : first + batch_size] for first in range(0, len(windows), batch_size)]
    cut = partial(_tile, channels, size=size, offset=offset)
    tiles = (np.stack([cut(window) for _, window in each]) for each in batches)
    with progress_bar(len(windows), progress) as advance:
        answers = in_order(detect, tiles, in_flight=detector.in_flight)
        for batch, answer in zip(batches, answers, strict=True):
            _warn_if_full(answer, options["max_detections"] or detector.max_detections)
            for index, (number, window) in enumerate(batch):
                seen = _inside(_decoded(answer, index, size), window)
                views = (view_of(found, number, window, shape, overlap) for found in seen)
                yield from (view for view in views if view is not None)
            advance(len(batch))


def _warn_if_full(answer: Any, limit: int | None) -> None:
    """Says when the limit of a tile has cut off what was certain."""
    full = [
        scores[limit - 1]
        for scores, n in zip(answer.scores, answer.counts, strict=True)
        if n == limit
    ]
    if full and max(full) >= MIN_SCORE:
        warnings.warn(
            f"a tile holds more objects than may be found in one: {limit}. Raise max_detections,"
            " and proposals to about twice that: get_model(…, weights=…, max_detections=800,"
            " proposals=1500), or --set of temzoo predict.",
            stacklevel=2,
        )


def _tile(channels: np.ndarray, window: Window, *, size: int, offset: float) -> np.ndarray:
    """(size, size, C) float32 less an offset, mirrored at its end where the image is smaller."""
    top, left, bottom, right = window
    pixels = channels[top:bottom, left:right]
    pixels = (pixels - offset if offset else pixels).astype(np.float32)
    missing = [(0, size - (bottom - top)), (0, size - (right - left)), (0, 0)]
    return np.pad(pixels, missing, mode="symmetric")


def _decoded(answer: Any, index: int, size: int) -> list[Detection]:
    """The detections of one tile, in its own pixels."""
    rows = slice(0, int(answer.counts[index]))
    columns = (answer.boxes, answer.classes, answer.scores, answer.masks)
    return decode(*(column[index][rows] for column in columns), size, size)


def _inside(found: Sequence[Detection], window: Window) -> Iterator[Detection]:
    """Moves a tile's detections to their place and cuts off what lies in the mirrored border.

    An object at the image's border makes one with its mirror image, centred on the border: half of
    it lies inside. Less than a third inside is the mirror image of another object.
    """
    top, left, bottom, right = window
    for one in found:
        height, width = bottom - top - one.top, right - left - one.left
        full = one.mask.shape
        if height < INSIDE * full[0] or width < INSIDE * full[1]:
            continue
        if height >= full[0] and width >= full[1]:
            yield replace(one, top=one.top + top, left=one.left + left)
        elif kept := tight(one.top + top, one.left + left, one.mask[:height, :width]):
            yield Detection(*kept, one.class_id, one.score)
