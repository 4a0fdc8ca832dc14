"""Micrograph → tiles → model → Prediction, in bounded memory whatever the image's size.

A model reflects an image up to a multiple of its coarsest step before it pools. The same is done
here to the whole micrograph, and tiles are cut from that at multiples of the step, so that a tile
is pooled exactly as the whole image would be. Where tiles overlap, their probabilities are blended
by weights that sum to one at each pixel and vanish near a tile's own edge, where it lacks context.
Only one row of tiles is held as probabilities at a time; what remains of it is the class map. A
tile is cut and normalised, and the one before it checked and blended, while one is in the network.

Normalisation statistics come from the whole micrograph, never from a tile, so a tiled prediction
equals that of the whole image wherever a tile sees the context that the model uses.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from scipy import ndimage, sparse
from skimage.measure import label
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from temzoo.detection import predict_detections
from temzoo.inputs import (
    BLOCK_ROWS,
    as_micrograph,
    channels_view,
    checked_pixels,
    in_order,
    progress_bar,
    trained_class_names,
)
from temzoo.registry import built, task_of
from temzoo.tasks.endpoints import core, normalizer, on_tiles, restored_layer
from temzoo.types import MIN_SCORE, Micrograph, Prediction

STEP = 32  # pixels; the coarsest step taken for a model that does not state its own
TILE = 1408  # pixels; the longest edge of a tile where an image is too large to be taken whole
WHOLE = TILE**2  # pixels; up to this area an image is one tile, unless a tile size is given
REACH = 12  # an overlap is so many times the model's coarsest step, unless it is given
MOST_OVERLAP = 512  # pixels; of an overlap that is not given
RAMP = 32  # pixels over which a tile fades into the next
LARGEST_SPLIT = 4096**2  # pixels; a region with a larger box would need gigabytes to be split
FEW_CLASSES = 16  # up to here classes are compared one by one
SEPARATIONS = ("auto", "components", "watershed")
NECK = 0.8  # watershed: a neck narrower than this part of the slimmer neighbour is cut


@dataclass(frozen=True)
class Watershed:
    """How regions are cut at their necks, for particles that touch.

    Attributes:
        neck: 0 (never) to 1 (always): a neck narrower than this part of the slimmer neighbour is
            cut. ``temzoo.instance_tuning.tune_instances`` finds what suits one's own images.
        threshold: 0.5 to 1: pixels whose background has a probability above 1 - threshold belong
            to no instance. Weak bridges between particles vanish, and particles of which the
            model is unsure; the others shrink a little. None: all pixels of the class map.
    """

    neck: float = NECK
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.neck <= 1:
            raise ValueError(
                f"neck must be from 0 to 1. Received: neck={self.neck}. Use {NECK}, or more to cut "
                "more."
            )
        if self.threshold is not None and not 0.5 <= self.threshold < 1:
            raise ValueError(
                "threshold must be from 0.5 to below 1. Received: threshold="
                f"{self.threshold}. Use 0.7, or None for the class map as it is."
            )


Network = Callable[[np.ndarray], np.ndarray]  # raw (B, h, w, C) → (B, h, w, K) float32


def predict(
    model: Any,
    micrograph: Micrograph | np.ndarray | str | Path,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    flips: bool = False,
    probabilities: bool = False,
    instances: str | Watershed | None = "components",
    min_area_px: int = 0,
    min_score: float | None = None,
    batch_size: int = 1,
    progress: bool = False,
    class_names: Sequence[str] = (),
) -> Prediction:
    """Segments one micrograph of any size, or finds its objects.

    A model with ``detect`` is a detector: ``temzoo.detection.predict_detections`` takes it, which
    tells what overlap, min_area_px and what follows mean there. Its tiles have its own size and
    its objects need no separation, so tile, flips, probabilities and a watershed are refused.

    Args:
        model: a segmentation model of temzoo; or one that is served (``temzoo.connect``); or any
            callable on raw pixels (B, H, W, C) that returns (B, H, W, K) class probabilities; or
            an object whose ``predict_probabilities`` takes a whole (H, W) or (H, W, C) image to
            (H, W, K).
        micrograph: a path, the raw pixels (H, W) or (H, W, C), or a Micrograph.
        tile: edge of the tiles in pixels, a multiple of the model's coarsest step (32 serves
            all). None: the whole image at once up to 1408 x 1408 pixels, else as few tiles of at
            most that size as cover it, no larger than they need be.
        overlap: least overlap of neighbouring tiles in pixels; None: 12 times the model's coarsest
            step, at most 512 or half the tile that is given. A tile counts from 16 px before the
            middle of the overlap inwards, so half the overlap must reach as far as the model
            looks: 12 steps do for a plain U-Net and for one on MobileNet, but one that sees the
            image reduced 4 times looks farther than 512 px. Less is faster: ``tile_layout`` tells
            how many pixels are computed. Group and instance norm measure each tile by itself, so
            such models never agree.
        flips: average the predictions of the four mirror images (four times the work).
        probabilities: keep the (H, W, K) float32 probabilities, and score the instances by them.
        instances: "components" numbers connected regions of one class (sharing a side);
            "watershed" cuts them further at necks, for particles that touch, and so do
            "auto" and ``Watershed(neck=…, threshold=…)`` with settings of one's own; None: none.
        min_area_px: smaller instances are dropped from the instance map (not the class map).
        min_score: of a detector alone: objects that score less are dropped; None: 0.5.
        batch_size: tiles per step. 1 needs the least memory; a GPU is faster with more.
        progress: show a progress bar.
        class_names: names of the classes 1, 2, …; by default those the weights were trained on.

    Returns:
        Class map, instance map and, when asked for, probabilities. ``scores`` are the mean
        probability of an instance's class over its pixels, None without ``probabilities``.

    Raises:
        ValueError: for an empty image, NaN or infinite pixels, or an option out of range.

    Example:
        >>> prediction = predict(get_model("unet", weights="run/"), "particles.tif")
        >>> prediction.classes.shape, prediction.instances.max()
    """
    _check_options(tile, overlap, instances, batch_size)
    _check_task(model)
    if hasattr(model, "detect"):
        _check_detector_options(tile, flips, probabilities, instances)
        found = predict_detections(
            model,
            micrograph,
            overlap=overlap,
            min_score=MIN_SCORE if min_score is None else min_score,
            min_area_px=min_area_px,
            batch_size=batch_size,
            progress=progress,
            class_names=class_names,
        )
        return found if instances else replace(found, instances=_no_instances(found.classes))
    _check_no_min_score(min_score)
    micrograph = as_micrograph(micrograph)
    pixels = checked_pixels(micrograph)
    class_names = tuple(class_names) or trained_class_names(model)
    blocks = answer_blocks(model, pixels, tile, overlap, flips, batch_size, progress)
    threshold = getattr(instances, "threshold", None)
    with closing(blocks):
        found = _collect(blocks, pixels.shape[:2], probabilities, threshold, class_names)
    classes, sure, kept = found
    numbered = label_instances(sure, method=instances, min_area_px=min_area_px)
    return Prediction(
        classes=classes,
        instances=numbered,
        probabilities=kept,
        scores=None if kept is None else instance_scores(numbered, classes, kept),
        class_names=class_names,
        nm_per_pixel=micrograph.nm_per_pixel,
        name=micrograph.name,
    )


def file_stem(name: str) -> str:
    """A micrograph's name as the start of a file name: no folders, suffix or odd characters.

    Example:
        >>> file_stem("../day 1/grid:3.tif")
        'grid_3'
    """
    last = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    stem = re.sub(r"[^\w.+-]+", "_", Path(last).stem).strip(".")
    return stem or "micrograph"


def label_instances(
    classes: np.ndarray, *, method: str | Watershed | None = "components", min_area_px: int = 0
) -> np.ndarray:
    """Numbers the instances of a class map.

    Args:
        classes: (H, W) integer class map; 0 is background.
        method: "components", "watershed" or ``Watershed(neck=…)`` (as in ``predict``; there are no
            probabilities here for its threshold), or None for no instances.
        min_area_px: smaller instances become background.

    Returns:
        (H, W) int32; 0 is background, 1..N number the instances. With ``method=None`` all zero
        and read-only, because it takes no memory.
    """
    if method is None:
        return _no_instances(classes)
    numbered = connected_components(classes)
    cut = Watershed() if method in ("auto", "watershed") else method
    if isinstance(cut, Watershed):
        split_touching(numbered, neck=cut.neck)
        _drop_small(numbered, min_area_px)
    elif min_area_px > 1:
        _drop_small(numbered, min_area_px)
    return numbered


def _no_instances(classes: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.int32(0), classes.shape)


def connected_components(classes: np.ndarray) -> np.ndarray:
    """Numbers the regions of one class whose pixels share sides, in reading order.

    Works in blocks of rows that are joined afterwards, so that beside the result it needs little
    memory.

    Args:
        classes: (H, W) integer class map; 0 is background.

    Returns:
        (H, W) int32; 0 is background, 1..N number the regions.
    """
    numbered = np.zeros(classes.shape, np.int32)
    found, joins = 0, [np.zeros((2, 0), np.int32)]
    for top in range(0, classes.shape[0], BLOCK_ROWS):
        rows = slice(top, top + BLOCK_ROWS)
        block, count = label(classes[rows], background=0, connectivity=1, return_num=True)
        np.add(block, found, out=numbered[rows], where=block > 0, casting="unsafe")
        if top:
            same = (classes[top - 1] == classes[top]) & (classes[top] > 0)
            joins.append(np.unique(numbered[top - 1 : top + 1, same], axis=1))
        found += count
    above, below = np.concatenate(joins, axis=1)
    graph = sparse.coo_array((np.ones(len(above), bool), (above, below)), shape=(found + 1,) * 2)
    _renumber(numbered, sparse.csgraph.connected_components(graph, directed=False)[1])
    return numbered


def split_touching(instances: np.ndarray, *, neck: float = NECK) -> None:
    """Cuts instances at necks, in place, by a watershed on the distance to their outline.

    Two maxima of the distance are two particles when the neck between them is narrower than
    ``neck`` times the width at the smaller maximum: a rule without a length, so that it serves
    particles of all sizes. The parts beyond the first get new numbers at the end. A region that
    spans more than 4096 x 4096 pixels is left whole, since memory must stay bounded.

    Args:
        instances: (H, W) int32, connected regions numbered from 1; changed.
        neck: 0 (never cut) to 1 (cut at any neck).
    """
    following = int(instances.max(initial=0)) + 1
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None or instances[box].size > LARGEST_SPLIT:
            continue
        parts = _parts(instances[box] == number, neck)
        added = max(int(parts.max()) - 1, 0)
        later = parts > 1
        instances[box][later] = parts[later] + (following - 2)
        following += added


def instance_scores(
    instances: np.ndarray, classes: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Mean probability of its own class over each instance's pixels; (N,) float32."""
    inside = instances > 0
    numbers = instances[inside]
    own = np.take_along_axis(probabilities[inside], classes[inside][:, None].astype(np.intp), 1)
    areas = np.bincount(numbers, minlength=1)[1:]
    sums = np.bincount(numbers, weights=own[:, 0], minlength=1)[1:]
    return (sums / areas).astype(np.float32)


def _check_task(model: Any) -> None:
    """Refuses models that make pictures; what is not from ``get_model`` is tried."""
    try:
        how = built(model)
    except (TypeError, ValueError):
        if getattr(model, "restores", False):
            raise ValueError(
                f"predict finds classes and objects. Received: {model}, which restores pictures."
                " Use temzoo.restore."
            ) from None
        return
    if task_of(model).DATA != "labels":
        raise ValueError(
            f"predict finds classes and objects, and {how.name} makes pictures. Received: a model"
            f' of the task "{how.task}". Use temzoo.restore, or its encode and decode.'
        )


def _check_options(tile: int | None, overlap: int | None, instances: Any, batch_size: int) -> None:
    if tile is not None and tile < 1:
        raise ValueError(f"tile must be positive. Received: tile={tile}. Use {TILE}.")
    if overlap is not None and not 0 <= overlap < (tile or TILE):
        raise ValueError(
            f"overlap must be at least 0 and less than the tile. Received: overlap={overlap} with "
            f"tile={tile or TILE}. Use {(tile or TILE) // 2}."
        )
    known = isinstance(instances, Watershed) or instances in (*SEPARATIONS, None)
    if not known:
        raise ValueError(
            'instances must be "auto", "components", "watershed" or None. '
            f"Received: instances={instances!r}. Use one of them, or Watershed(neck={NECK})."
        )
    if batch_size < 1:
        raise ValueError(
            f"batch_size must be at least 1. Received: batch_size={batch_size}. Use 1."
        )


def _check_detector_options(
    tile: int | None, flips: bool, probabilities: bool, instances: str | Watershed | None
) -> None:
    refused = {
        "tile": tile if tile is not None else False,
        "flips": flips,
        "probabilities": probabilities,
        "instances": instances if instances not in ("auto", "components", None) else False,
    }
    given = ", ".join(f"{name}={value!r}" for name, value in refused.items() if value is not False)
    if given:
        raise ValueError(
            "a detector has tiles of its own size and finds objects, not probabilities of pixels. "
            f"Received: {given}. Leave them out."
        )


def _check_no_min_score(min_score: float | None) -> None:
    if min_score is not None:
        raise ValueError(
            "min_score is for models that detect objects. Received: "
            f"min_score={min_score} for one that labels pixels. Leave it out, or use "
            "instances=Watershed(threshold=0.7) to keep only sure pixels."
        )


def answer_blocks(
    model: Any,
    pixels: np.ndarray,
    tile: int | None,
    overlap: int | None,
    flips: bool,
    batch_size: int,
    progress: bool,
) -> Iterator[tuple[int, np.ndarray]]:
    """A model's answer, in tiles and blended: finished rows from top to bottom.

    Yields (first row, (rows, W, K) float32): probabilities, or a restorer's pixels in the range of
    ``pixels``; the other arguments are those of ``predict``.
    """
    if hasattr(model, "predict_probabilities"):
        answer = np.asarray(model.predict_probabilities(pixels), np.float32)
        yield 0, _checked_answer(answer[None], (1, *pixels.shape[:2], 1), model)[0]
        return
    channels = channels_view(pixels, model)
    network = _network(model, channels)
    rows, columns = tile_layout(model, channels.shape[:2], tile=tile, overlap=overlap)
    if flips:
        network = _mirrored(network)
    several = len(rows.starts) * len(columns.starts) > batch_size
    in_flight = _in_flight(model) if several else 1
    answers = partial(in_order, _checked(network, model), in_flight=in_flight)
    yield from _stitch(answers, channels, rows, columns, batch_size, progress)


def tile_layout(
    model: Any, shape: tuple[int, int], *, tile: int | None = None, overlap: int | None = None
) -> tuple[Tiles, Tiles]:
    """The tiles that ``predict`` would cover an image (H, W) with: down it, and across it.

    Example:
        >>> rows, columns = tile_layout(model, (4096, 4096))
        >>> len(rows.starts) * len(columns.starts), rows.size * columns.size
    """
    step = _coarsest_step(model)
    if overlap is None:
        overlap = min(REACH * step, (tile or 2 * MOST_OVERLAP) // 2)
    fit = tile is None and shape[0] * shape[1] > WHOLE
    edges = [_fitting_edge(length, overlap, step) if fit else tile for length in shape]
    rows, columns = (
        Tiles.along(length, edge, overlap, step) for length, edge in zip(shape, edges, strict=True)
    )
    return rows, columns


def _fitting_edge(length: int, overlap: int, step: int) -> int:
    """The least edge of tiles that cover a length in as few as tiles of ``TILE`` do.

    Tiles of ``TILE`` itself would seldom fill a length evenly: the last would repeat much of its
    neighbour. All lengths are multiples of the step.
    """
    padded, overlap = length + -length % step, overlap + -overlap % step
    most = max(TILE - TILE % step, overlap + step)
    count = max(-(-(padded - overlap) // (most - overlap)), 1)
    edge = -(-(padded + (count - 1) * overlap) // count)
    return edge + -edge % step


def _in_flight(model: Any) -> int:
    """Tiles that are taken up at once; a function of unknown make is called from its own thread."""
    return getattr(model, "in_flight", 2 if hasattr(model, "predict_on_batch") else 1)


def _coarsest_step(model: Any) -> int:
    """Pixels per cell of the model's coarsest level: what its padding layer pads to."""
    if getattr(model, "tile_step", None):
        return model.tile_step
    steps = (getattr(layer, "multiple", None) for layer in getattr(model, "layers", ()))
    return next((step for step in steps if step), STEP)


def _network(model: Any, channels: np.ndarray) -> Network:
    """The model as a function of raw tiles, normalised by the whole image's statistics."""
    if hasattr(model, "tile_network"):
        return model.tile_network(channels)
    if not hasattr(model, "predict_on_batch"):
        return lambda batch: np.asarray(model(batch), np.float32)
    layer = normalizer(model)
    behind = model if layer is None else core(model)
    busy = Lock()  # a second network at the same time would need its memory too

    def ask(pixels: np.ndarray | list[np.ndarray]) -> np.ndarray:
        with busy:
            return behind.predict_on_batch(pixels)

    if layer is None:
        return lambda batch: ask(batch.astype(np.float32))

    def answer(normalised: np.ndarray, raw: np.ndarray) -> np.ndarray:
        if len(behind.inputs) == 1:
            return ask(normalised)
        return ask([normalised, raw.astype(np.float32)])

    return on_tiles(layer, channels, answer, restores=restored_layer(model) is not None)


def _mirrored(network: Network) -> Network:
    """The mean of a network's answers to the four mirror images, mirrored back."""

    def mean(batch: np.ndarray) -> np.ndarray:
        total = network(batch)
        for axes in ((1,), (2,), (1, 2)):
            total = total + np.flip(network(np.flip(batch, axes)), axes)
        return total / 4

    return mean


@dataclass(frozen=True)
class Tiles:
    """The tiles along one axis of an image.

    Attributes:
        length: pixels of the image along this axis.
        before: pixels reflected before the first one, to complete the model's coarsest step.
        size: pixels of each tile.
        starts: first pixel of each tile, counted from the start of the reflected border.
        weights: (tiles, size) float32; at each pixel those of all tiles over it sum to 1.
    """

    length: int
    before: int
    size: int
    starts: tuple[int, ...]
    weights: np.ndarray

    @classmethod
    def along(cls, length: int, tile: int | None, overlap: int | None, step: int) -> Tiles:
        padded = length + -length % step
        before = (padded - length) // 2
        if tile is not None and tile % step:
            lower = max(tile // step, 1) * step
            raise ValueError(
                f"tile must be a multiple of {step} for this model. Received: tile={tile}. "
                f"Use {lower} or {lower + step}."
            )
        if tile is None or tile >= padded:
            return cls(length, before, padded, (0,), np.ones((1, padded), np.float32))
        stride = tile - (tile // 2 if overlap is None else overlap)
        stride -= stride % step if stride >= step else 0
        starts = (*range(0, padded - tile, stride), padded - tile)
        return cls(length, before, tile, starts, _blend_weights(starts, tile))

    @property
    def end(self) -> int:
        return self.starts[-1] + self.size

    @cached_property
    def counted(self) -> list[slice]:
        """Of each tile the part that has weight, counted from the tile's own start."""
        inside = [np.flatnonzero(weights) for weights in self.weights]
        return [slice(int(each[0]), int(each[-1]) + 1) for each in inside]

    @property
    def computed(self) -> float:
        """Pixels that the tiles have, for each that the image has."""
        return len(self.starts) * self.size / self.length

    def pixels(self, start: int) -> np.ndarray:
        """(size,) indices into the image of the tile at ``start``, reflected at its ends."""
        period = max(2 * (self.length - 1), 1)
        offset = np.arange(start - self.before, start - self.before + self.size) % period
        return (self.length - 1) - np.abs((self.length - 1) - offset)


def _blend_weights(starts: Sequence[int], size: int) -> np.ndarray:
    """(tiles, size) float32 weights that sum to 1 at each pixel.

    Across an overlap one tile fades out as the next fades in, along sin² over the middle 32 pixels
    (an eighth of an overlap below 256); what lies nearer to a tile's own edge, where it lacks
    context, has weight 0.
    """
    weights = np.ones((len(starts), size))
    for index, (first, second) in enumerate(itertools.pairwise(starts)):
        shared = first + size - second
        if shared > 0:
            position = (np.arange(shared) + 0.5) / shared
            width = min(RAMP / shared, 1 / 8)
            ramp = np.sin(np.pi / 2 * np.clip((position - 0.5) / width + 0.5, 0, 1)) ** 2
            weights[index, size - shared :] *= 1 - ramp
            weights[index + 1, :shared] *= ramp
    total = np.zeros(starts[-1] + size)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + size] += weight
    for start, weight in zip(starts, weights, strict=True):
        weight /= total[start : start + size]
    return weights.astype(np.float32)


Answers = Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]]  # batches → theirs, in order


def _checked(network: Network, model: Any) -> Network:
    return lambda batch: _checked_answer(network(batch), batch.shape, model)


def _stitch(
    answers: Answers,
    channels: np.ndarray,
    rows: Tiles,
    columns: Tiles,
    batch_size: int,
    progress: bool,
) -> Iterator[tuple[int, np.ndarray]]:
    """Blends row after row of tiles and yields each pixel row once no later tile adds to it."""
    tops = [top + part.start for top, part in zip(rows.starts, rows.counted, strict=True)]
    inside = slice(columns.before, columns.before + columns.length)
    left_over = None
    with progress_bar(len(rows.starts) * len(columns.starts), progress) as advance:
        tiles = _tiles(answers(_batches(channels, rows, columns, batch_size)), advance)
        for top, end, part, weights in zip(
            tops, (*tops[1:], rows.end), rows.counted, rows.weights, strict=True
        ):
            strip = _blended(itertools.islice(tiles, len(columns.starts)), columns, part)
            _fade(strip, weights[part])
            if left_over is not None:
                strip[: len(left_over)] += left_over
            first = max(rows.before - top, 0)
            last = min(end, rows.before + rows.length) - top
            if last > first:
                yield top + first - rows.before, strip[first:last, inside]
            left_over = strip[end - top :].copy()


def _batches(
    channels: np.ndarray, rows: Tiles, columns: Tiles, batch_size: int
) -> Iterator[np.ndarray]:
    """The raw tiles, row by row from left to right, (B, h, w, C); no batch spans two rows."""
    for top in rows.starts:
        lines = rows.pixels(top)
        for index in range(0, len(columns.starts), batch_size):
            starts = columns.starts[index : index + batch_size]
            yield np.stack([_cut(channels, lines, columns.pixels(start)) for start in starts])


def _cut(channels: np.ndarray, lines: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The pixels of these lines and places; a view where none of them is reflected."""
    top, left = lines.min(), places.min()
    part = channels[top : lines.max() + 1, left : places.max() + 1]
    whole = part.shape[:2] == (len(lines), len(places))
    if whole and lines[0] <= lines[-1] and places[0] <= places[-1]:
        return part
    return part.take(lines - top, axis=0).take(places - left, axis=1)


def _tiles(answers: Iterator[np.ndarray], advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    """The answers to single tiles, each (h, w, K)."""
    for answer in answers:
        advance(len(answer))
        yield from answer


def _blended(tiles: Iterator[np.ndarray], columns: Tiles, lines: slice) -> np.ndarray:
    """These lines of one row of tiles, weighted and added up: (h, padded width, K) float32."""
    strip = None
    covered = 0
    for start, part, weights, tile in zip(
        columns.starts, columns.counted, columns.weights, tiles, strict=True
    ):
        count = tile.shape[-1]
        if strip is None:
            strip = np.empty((lines.stop - lines.start, columns.end * count), np.float32)
        # Classes are no axis of their own here: NumPy is slow along one that is so short.
        shown = tile[lines, part].reshape(len(strip), -1)
        weights = np.repeat(weights[part], count)
        first, last = ((start + end) * count for end in (part.start, part.stop))
        both = max(covered - first, 0)  # over these the tile before is seen too
        strip[:, first : first + both] += shown[:, :both] * weights[:both]
        np.multiply(shown[:, both:], weights[both:], out=strip[:, first + both : last])
        covered = last
    return strip.reshape(len(strip), columns.end, -1)


def _fade(strip: np.ndarray, weights: np.ndarray) -> None:
    """Multiplies rows by their weights in place; most have weight 1."""
    fading = weights != 1
    strip[fading] *= weights[fading, None, None]


def _checked_answer(answer: np.ndarray, shape: tuple[int, ...], model: Any) -> np.ndarray:
    if answer.ndim != 4 or answer.shape[:3] != shape[:3]:
        raise ValueError(
            "a segmentation model must return (B, H, W, classes) for pixels (B, H, W, C). "
            f"Received: {answer.shape} for {shape}. Use a model of the semantic task."
        )
    # The likeliest of classes that are NaN is the background: a broken model would find nothing.
    strange = answer.size - np.count_nonzero(np.isfinite(answer))
    if strange:
        raise ValueError(
            f"a model's answer must be finite. Received: {strange} NaN or infinite values of"
            f" {answer.size} from {_told(model)}, for pixels that are finite. Its weights are"
            " damaged or its training diverged: take earlier weights, or train with a lower"
            " learning rate."
        )
    return answer


def _told(model: Any) -> str:
    """A model as a message names it: a server's by its address."""
    return str(getattr(model, "address", None) or getattr(model, "name", None) or model)


def _collect(
    blocks: Iterator[tuple[int, np.ndarray]],
    shape: tuple[int, int],
    keep: bool,
    threshold: float | None,
    class_names: Sequence[str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """From finished blocks of rows: class map, the same where it is sure, kept probabilities."""
    classes = sure = kept = None
    for top, block in blocks:
        if classes is None:
            count = block.shape[-1]
            _check_class_names(class_names, count)
            classes = np.empty(shape, np.uint8 if count <= 256 else np.int32)
            kept = np.empty((*shape, count), np.float32) if keep else None
            sure = classes if threshold is None else np.empty_like(classes)
        rows = slice(top, top + len(block))
        likeliest(block, out=classes[rows])
        if threshold is not None:
            sure[rows] = sure_classes(classes[rows], block, threshold)
        if keep:
            kept[rows] = block
    return classes, sure, kept


def likeliest(probabilities: np.ndarray, *, out: np.ndarray) -> None:
    """``probabilities.argmax(axis=-1)``, of few classes many times as fast.

    Args:
        probabilities: (H, W, K), without NaN.
        out: (H, W) of whole numbers; written.
    """
    count = probabilities.shape[-1]
    if count > FEW_CLASSES:
        out[...] = probabilities.argmax(axis=-1)
        return
    if count == 2:
        np.greater(probabilities[..., 1], probabilities[..., 0], out=out)
        return
    for top in range(0, len(out), BLOCK_ROWS):
        block, found = probabilities[top : top + BLOCK_ROWS], out[top : top + BLOCK_ROWS]
        best, *others = np.ascontiguousarray(np.moveaxis(block, -1, 0))
        found[...] = 0
        for number, other in enumerate(others, start=1):
            # Numbers rise, so the last class that exceeds all before it is the greatest number.
            np.maximum(found, (other > best) * found.dtype.type(number), out=found)
            best = np.maximum(best, other)


def sure_classes(
    classes: np.ndarray, probabilities: np.ndarray, threshold: float | None
) -> np.ndarray:
    """The class map without the pixels that a ``Watershed`` of this threshold leaves out."""
    if threshold is None:
        return classes
    return np.where(probabilities[..., 0] <= 1 - threshold, classes, 0)


def _check_class_names(class_names: Sequence[str], count: int) -> None:
    if class_names and len(class_names) != count - 1:
        raise ValueError(
            "class_names must name each class but the background. Received: class_names="
            f"{tuple(class_names)} for a model of {count} classes. Pass {count - 1} names."
        )


def _renumber(instances: np.ndarray, numbers: np.ndarray) -> None:
    """Replaces number k by numbers[k], in place and in blocks of rows."""
    numbers = numbers.astype(np.int32)
    for top in range(0, len(instances), BLOCK_ROWS):
        rows = instances[top : top + BLOCK_ROWS]
        rows[...] = numbers[rows]


def _drop_small(instances: np.ndarray, min_area_px: int) -> None:
    """Sets instances below the area to 0 and closes the gaps in the numbering, in place."""
    areas = np.zeros(int(instances.max(initial=0)) + 1, np.int64)
    for top in range(0, len(instances), BLOCK_ROWS):
        areas += np.bincount(instances[top : top + BLOCK_ROWS].ravel(), minlength=len(areas))
    kept = areas >= max(min_area_px, 1)
    kept[0] = False
    _renumber(instances, np.where(kept, np.cumsum(kept), 0))


def _parts(mask: np.ndarray, neck: float) -> np.ndarray:
    """One region's parts between necks: (h, w) int32, 0 outside the region, 1..N inside."""
    inside = np.pad(mask, 1)
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if distance.max() < 2:
        return mask.astype(np.int32)
    # A difference of logarithms is a ratio of widths; smoothing takes out the pixel staircase.
    height = np.log1p(ndimage.gaussian_filter(distance, 1.0).astype(np.float64))
    height[~inside] = 0
    lowered = np.clip(height + np.log(max(neck, 1e-9)), 0, None)
    peaks = local_maxima(reconstruction(lowered, height), connectivity=2) & inside
    parts = watershed(-height, label(peaks, connectivity=2), mask=inside)
    return parts[1:-1, 1:-1].astype(np.int32)
