"""Views of objects in overlapping tiles → each object once and whole.

The rules are told in ``inference/detection.py``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from temzoo.core.types import MIN_SCORE, Detection
from temzoo.inference.objects import Window, box_of, part_of, united

AGREE = 0.4  # IoU in the common area from which two views are of one object; small ones are inexact
COVERED = 0.5  # share of a cut view on a better seen object from which it is a scrap of it
# A view is cut when it ends nearer to its tile's inner edge than this: boxes are good to some
# pixels, and an edge of a mask is known to one of its 28 cells.
CUT_PX = 2
CUT_SHARE = 1 / 28


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
        return box_of(self.found)


def view_of(
    found: Detection, tile: int, window: Window, shape: tuple[int, int], overlap: int
) -> View | None:
    """A tile's view of an object; None for a scrap in the outer half of an overlap.

    The tile on the other side of the edge that cuts such a scrap sees it and half an overlap more.
    """
    box, ends, clearance = box_of(found), (0, 0, *shape), math.inf
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
    meet = _common(box_of(one), box_of(other))
    shared = np.count_nonzero(part_of(one, meet) & part_of(other, meet))
    if not shared:
        return None
    seen = sum(np.count_nonzero(part_of(v, _common(box_of(v), common))) for v in (one, other))
    shares = tuple(shared / np.count_nonzero(v.mask) for v in (one, other))
    same = one.class_id == other.class_id
    return _Pair((first, second), shared / (seen - shared), same, shares)


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
