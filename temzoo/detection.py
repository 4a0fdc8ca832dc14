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

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.inputs import (
    as_micrograph,
    channels_view,
    checked_pixels,
    in_order,
    progress_bar,
    trained_class_names,
)
from temzoo.types import MIN_SCORE, Detection, Micrograph, Prediction

AGREE = 0.4  # IoU in the common area from which two views are of one object; small ones are inexact
COVERED = 0.5  # share of a cut view on a better seen object from which it is a scrap of it
# A view is cut when it ends nearer to its tile's inner edge than this: boxes are good to some
# pixels, and an edge of a mask is known to one of its 28 cells.
CUT_PX = 2
CUT_SHARE = 1 / 28
INSIDE = 1 / 3  # least part of a detection's height and width inside the image, not its mirror

Window = tuple[int, int, int, int]  # top, left, bottom, right; px, the last two exclusive


def predict_detections(
    model: Any,
    micrograph: Micrograph | np.ndarray | str | Path,
    *,
    overlap: int | None = None,
    min_score: float = MIN_SCORE,
    max_detections: int | None = None,
    min_area_px: int = 0,
    batch_size: int = 1,
    progress: bool = False,
    class_names: Sequence[str] = (),
) -> Prediction:
    """Finds the objects of one micrograph of any size.

    A side shorter than the model's image size is mirrored at its end, as in training; along a
    longer one, tiles of that size are spread evenly. All are normalised by the statistics of the
    whole micrograph.

    Args:
        model: a detector of temzoo, or an object with ``image_size``, ``input_shape`` and
            ``detect`` as it has them.
        micrograph: a path, the raw pixels (H, W) or (H, W, C), or a Micrograph.
        overlap: least overlap of neighbouring tiles in pixels; None: a quarter of the image size.
            An object up to this height and width lies whole in some tile; larger ones are joined
            from their parts, and with 0 they stay in parts.
        min_score: detections below are dropped. Average precision wants them too: 0.05.
        max_detections: most objects per tile, mirrored ones included; None: the model's own.
        min_area_px: smaller objects are dropped.
        batch_size: tiles per step. 1 needs the least memory; a GPU is faster with more.
        progress: show a progress bar.
        class_names: names of the classes 1, 2, …; by default those the weights were trained on.

    Returns:
        ``detections`` by falling score, with ``scores``, and the maps of ``instances`` and
        ``classes`` in which a higher score lies on top. An object wholly under others has no
        pixel in the maps.

    Raises:
        ValueError: for an empty image, NaN or infinite pixels, or an option out of range.

    Example:
        >>> found = predict_detections(get_model("mask_rcnn", weights="run/"), "particles.tif")
        >>> len(found.detections), found.scores[:3]
    """
    _check_options(model, overlap, min_score, max_detections, batch_size)
    micrograph = as_micrograph(micrograph)
    channels = channels_view(checked_pixels(micrograph), model)
    size = model.image_size
    overlap = size // 4 if overlap is None else overlap
    windows = tile_windows(*channels.shape[:2], size, overlap)
    options = {"min_score": min_score, "max_detections": max_detections}
    views = list(_views(model, channels, windows, overlap, batch_size, progress, options))
    found = [d for d in stitched(views, windows) if np.count_nonzero(d.mask) >= min_area_px]
    class_names = tuple(class_names) or trained_class_names(model)
    _check_class_names(class_names, found)
    return replace(
        flattened(found, channels.shape[:2]),
        class_names=class_names,
        nm_per_pixel=micrograph.nm_per_pixel,
        name=micrograph.name,
    )


def _check_options(
    model: Any, overlap: int | None, min_score: float, max_detections: int | None, batch_size: int
) -> None:
    if not hasattr(model, "detect"):
        raise ValueError(
            "predict_detections needs a model that has detect. Received: "
            f"{type(model).__name__}. Use temzoo.predict, which takes every model."
        )
    if overlap is not None and not 0 <= overlap < model.image_size:
        raise ValueError(
            "overlap must be at least 0 and less than the model's image size. Received: "
            f"overlap={overlap} with tiles of {model.image_size}. Use {model.image_size // 4}."
        )
    if not 0 <= min_score <= 1:
        raise ValueError(
            f"min_score must be from 0 to 1. Received: min_score={min_score}. Use {MIN_SCORE}."
        )
    for name, value in (("max_detections", max_detections), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1. Received: {name}={value}.")


def _check_class_names(class_names: Sequence[str], found: Sequence[Detection]) -> None:
    highest = max((detection.class_id for detection in found), default=0)
    if class_names and highest > len(class_names):
        raise ValueError(
            "class_names must name each class but the background. Received: class_names="
            f"{tuple(class_names)} for a detection of class {highest}. Name the model's classes."
        )


def tile_windows(height: int, width: int, size: int, overlap: int) -> list[Window]:
    """The tiles over an image, row by row, clipped to it.

    Example:
        >>> tile_windows(100, 250, 128, 32)
        [(0, 0, 100, 128), (0, 61, 100, 189), (0, 122, 100, 250)]
    """
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


@dataclass(frozen=True, eq=False)
class View:
    """An object as one tile shows it.

    Attributes:
        found: in pixels of the micrograph.
        tile: number of the tile.
        clearance: pixels between it and the nearest inner edge of its tile, less the inaccuracy
            of its own; not above 0: cut by the edge. Infinite in a tile without inner edges.
    """

    found: Detection
    tile: int
    clearance: float

    @property
    def cut(self) -> bool:
        return self.clearance <= 0

    @property
    def box(self) -> Window:
        return _box(self.found)


def _box(found: Detection) -> Window:
    height, width = found.mask.shape
    return found.top, found.left, found.top + height, found.left + width


def _views(
    model: Any,
    channels: np.ndarray,
    windows: Sequence[Window],
    overlap: int,
    batch_size: int,
    progress: bool,
    options: dict[str, Any],
) -> Iterator[View]:
    """What the model finds in each tile, in order of the tiles."""
    shape, size = channels.shape[:2], model.image_size
    normalize = getattr(model, "normalize", None)
    statistics = None if normalize is None else normalize.statistics(channels)
    with progress_bar(len(windows), progress) as advance:
        firsts = range(0, len(windows), batch_size)
        batches = [windows[first : first + batch_size] for first in firsts]
        answers = in_order(
            partial(model.detect, statistics=statistics, **options),
            (np.stack([_tile(channels, window, size) for window in batch]) for batch in batches),
            in_flight=getattr(model, "in_flight", 1),
        )
        for first, batch, answer in zip(firsts, batches, answers, strict=True):
            _warn_if_full(
                answer, options["max_detections"] or getattr(model, "max_detections", None)
            )
            for index, window in enumerate(batch):
                for found in _inside(_decoded(answer, index, size), window):
                    view = _view(found, first + index, window, shape, overlap)
                    if view is not None:
                        yield view
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


def _tile(channels: np.ndarray, window: Window, size: int) -> np.ndarray:
    """(size, size, C) float32, mirrored at its end where the image is smaller."""
    top, left, bottom, right = window
    pixels = channels[top:bottom, left:right].astype(np.float32)
    missing = [(0, size - (bottom - top)), (0, size - (right - left)), (0, 0)]
    return np.pad(pixels, missing, mode="symmetric")


def _decoded(answer: Any, index: int, size: int) -> list[Detection]:
    """The detections of one tile, in its own pixels."""
    from temzoo.tasks.instance import decode  # its module imports Keras, which others do without

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
        moved = replace(one, top=one.top + top, left=one.left + left)
        yield from (
            [moved] if height >= full[0] and width >= full[1] else _cropped(moved, height, width)
        )


def _cropped(found: Detection, height: int, width: int) -> Iterator[Detection]:
    """The detection's first rows and columns, cut to its pixels; nothing where none is left."""
    mask = found.mask[:height, :width]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows):
        mask = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        yield replace(
            found, top=found.top + int(rows[0]), left=found.left + int(columns[0]), mask=mask.copy()
        )


def _view(
    found: Detection, tile: int, window: Window, shape: tuple[int, int], overlap: int
) -> View | None:
    """A tile's view of an object; None for a scrap in the outer half of an overlap.

    The tile on the other side of the edge that cuts such a scrap sees it and half an overlap more.
    """
    box, ends, clearance = _box(found), (0, 0, *shape), math.inf
    for edge in range(4):
        if window[edge] == ends[edge]:
            continue  # the image ends here
        gap = abs(window[edge] - box[edge]) - _slack(box, edge % 2)
        depth = abs(window[edge] - box[edge - 2])  # of the side away from the edge
        if gap <= 0 and depth <= overlap / 2:
            return None
        clearance = min(clearance, gap)
    return View(found, tile, clearance)


def _slack(box: Window, axis: int) -> float:
    return CUT_PX + CUT_SHARE * (box[axis + 2] - box[axis])


def stitched(views: Sequence[View], windows: Sequence[Window]) -> list[Detection]:
    """The objects that the views of all tiles show, each once; see the module's first lines.

    Args:
        views: of all tiles.
        windows: of the tiles, by their numbers, row by row.
    """
    certain = [view for view in views if view.found.score >= MIN_SCORE]
    doubtful = [view for view in views if view.found.score < MIN_SCORE]
    more = _put_together(_unexplained(doubtful, certain, windows), windows)
    return _put_together(certain, windows) + more


def _unexplained(
    doubtful: Sequence[View], certain: Sequence[View], windows: Sequence[Window]
) -> list[View]:
    """The doubtful views that show, or are scraps of, nothing that a certain one shows."""
    explained = set()
    for pair in _pairs([*certain, *doubtful], windows):
        for number, other, own in zip(pair.views, pair.views[::-1], pair.shares, strict=True):
            view = number - len(certain)
            if view >= 0 and other < len(certain):
                scrap = doubtful[view].cut and own >= COVERED
                if pair.iou >= AGREE or scrap:
                    explained.add(view)
    return [view for number, view in enumerate(doubtful) if number not in explained]


def _put_together(views: Sequence[View], windows: Sequence[Window]) -> list[Detection]:
    pairs = list(_pairs(views, windows))
    groups = _grouped(views, pairs)
    scraps = _scraps(views, pairs, groups)
    objects = {id(group): group for number, group in enumerate(groups) if number not in scraps}
    return [_resolved([views[number] for number in group], windows) for group in objects.values()]


@dataclass(frozen=True)
class _Pair:
    """Two views from different tiles that share pixels.

    Attributes:
        views: their numbers.
        iou: of their masks in the area that both tiles see.
        same_class: whether they are of one class.
        shares: of either's pixels, the part that lies on the other.
    """

    views: tuple[int, int]
    iou: float
    same_class: bool
    shares: tuple[float, float]


def _pairs(views: Sequence[View], windows: Sequence[Window]) -> Iterator[_Pair]:
    of_tile = [[] for _ in windows]
    for number, view in enumerate(views):
        of_tile[view.tile].append(number)
    boxes = np.array([view.box for view in views], np.int64).reshape(-1, 4)
    for tile, other in _neighbours(windows):
        common = _common(windows[tile], windows[other])
        first, second = (_touching(of_tile[t], boxes, common) for t in (tile, other))
        meet = _boxes_meet(boxes[first], boxes[second])
        for i, j in zip(*np.nonzero(meet), strict=True):
            pair = _compared(views, int(first[i]), int(second[j]), common)
            if pair is not None:
                yield pair


def _neighbours(windows: Sequence[Window]) -> Iterator[tuple[int, int]]:
    """Pairs of tiles that have pixels in common; windows are ordered by their first row."""
    for tile, window in enumerate(windows):
        for other in range(tile + 1, len(windows)):
            if windows[other][0] >= window[2]:
                break
            if windows[other][1] < window[3] and window[1] < windows[other][3]:
                yield tile, other


def _common(one: Window, other: Window) -> Window:
    low = tuple(max(a, b) for a, b in zip(one[:2], other[:2], strict=True))
    high = tuple(min(a, b) for a, b in zip(one[2:], other[2:], strict=True))
    return low + high


def _touching(numbers: Sequence[int], boxes: np.ndarray, window: Window) -> np.ndarray:
    """Those whose box has pixels in the window."""
    numbers = np.array(numbers, np.int64)
    return numbers[_boxes_meet(boxes[numbers], np.array([window]))[:, 0]]


def _boxes_meet(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) bool: whether boxes (N, 4) and (M, 4) have pixels in common."""
    first, second = first[:, None], second[None]
    return ((first[..., :2] < second[..., 2:]) & (second[..., :2] < first[..., 2:])).all(axis=-1)


def _compared(views: Sequence[View], first: int, second: int, common: Window) -> _Pair | None:
    """How two views agree; None when no pixel is in both."""
    one, other = views[first].found, views[second].found
    meet = _common(_box(one), _box(other))
    shared = np.count_nonzero(_part(one, meet) & _part(other, meet))
    if not shared:
        return None
    seen = sum(np.count_nonzero(_part(v, _common(_box(v), common))) for v in (one, other))
    shares = tuple(shared / np.count_nonzero(v.mask) for v in (one, other))
    same = one.class_id == other.class_id
    return _Pair((first, second), shared / (seen - shared), same, shares)


def _part(found: Detection, window: Window) -> np.ndarray:
    """The mask's pixels in a window that lies in its box."""
    top, left, bottom, right = window
    return found.mask[top - found.top : bottom - found.top, left - found.left : right - found.left]


def _grouped(views: Sequence[View], pairs: Sequence[_Pair]) -> list[list[int]]:
    """The group of each view: the views of its object, itself included; one list per group.

    Pairs are joined in order of agreement, those of one class first, unless two views of one tile
    would meet in a group.
    """
    groups = [[number] for number in range(len(views))]
    tiles = [{view.tile} for view in views]
    agreeing = (pair for pair in pairs if pair.iou >= AGREE)
    for pair in sorted(agreeing, key=lambda pair: (not pair.same_class, -pair.iou)):
        kept, gone = (groups[number] for number in pair.views)
        if kept is gone or not tiles[kept[0]].isdisjoint(tiles[gone[0]]):
            continue
        tiles[kept[0]] |= tiles[gone[0]]
        kept += gone
        for number in gone:
            groups[number] = kept
    return groups


def _scraps(views: Sequence[View], pairs: Sequence[_Pair], groups: Sequence[list[int]]) -> set[int]:
    """Cut views that agree with none and lie mostly on a larger one of another tile."""
    scraps = set()
    for pair in pairs:
        if groups[pair.views[0]] is groups[pair.views[1]]:
            continue
        for number, own, its in zip(pair.views, pair.shares, pair.shares[::-1], strict=True):
            alone = len(groups[number]) == 1
            if alone and views[number].cut and own >= COVERED and own > its:
                scraps.add(number)
    return scraps


def _resolved(views: Sequence[View], windows: Sequence[Window]) -> Detection:
    """One object from its views: the mask that saw most around it, the score of the surest."""
    whole = [view for view in views if not view.cut and _sees_all(windows[view.tile], views)]
    if not whole and len(views) > 1:
        return united([view.found for view in views])
    clearest = max(whole or views, key=lambda view: (view.clearance, view.found.score)).found
    surest = max((view.found for view in views), key=lambda found: found.score)
    return replace(clearest, score=surest.score, class_id=surest.class_id)


def _sees_all(window: Window, views: Sequence[View]) -> bool:
    """Whether no view reaches beyond a tile by more than boxes are accurate to."""
    for box, axis in itertools.product((view.box for view in views), (0, 1)):
        beyond = max(window[axis] - box[axis], box[axis + 2] - window[axis + 2])
        if beyond > _slack(box, axis):
            return False
    return True


def united(parts: Sequence[Detection]) -> Detection:
    """The parts of one object put together.

    Its score is the mean of the parts' scores, weighted by their areas; its class the one with the
    most area times score.
    """
    boxes = np.array([_box(part) for part in parts])
    top, left = boxes[:, :2].min(axis=0).tolist()
    bottom, right = boxes[:, 2:].max(axis=0).tolist()
    mask = np.zeros((bottom - top, right - left), bool)
    areas, votes = [], {}
    for part in parts:
        own = _part(Detection(top, left, mask, 0, 0.0), _box(part))
        own |= part.mask
        areas.append(np.count_nonzero(part.mask))
        votes[part.class_id] = votes.get(part.class_id, 0) + areas[-1] * part.score
    score = float(np.average([part.score for part in parts], weights=areas))
    return Detection(top, left, mask, max(votes, key=votes.get), score)


def flattened(found: Sequence[Detection], shape: tuple[int, int]) -> Prediction:
    """Detections as maps, a higher score on top: ``instances`` number them by falling score.

    Args:
        found: inside the image, in any order.
        shape: (H, W) of the image.
    """
    found = sorted(found, key=lambda detection: -detection.score)
    instances, classes = np.zeros(shape, np.int32), np.zeros(shape, np.uint8)
    for number in range(len(found), 0, -1):
        one = found[number - 1]
        top, left, bottom, right = _box(one)
        instances[top:bottom, left:right][one.mask] = number
        classes[top:bottom, left:right][one.mask] = one.class_id
    scores = np.array([one.score for one in found], np.float32)
    return Prediction(classes, instances, scores=scores, detections=tuple(found))
