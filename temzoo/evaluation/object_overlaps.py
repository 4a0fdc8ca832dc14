"""Objects of labels and predictions, and how far they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse

from temzoo.core.types import Detection, LabelledImage
from temzoo.evaluation.judged import judged_object
from temzoo.inference.objects import filled
from temzoo.labels.shapes.raster import (
    foreground_classes,
    ignored_pixels,
    instance_window,
    instances,
)

MATCH_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of a true and a found object of one class whose pixels or boxes meet.

    Attributes:
        true, found: (P,) positions in the two sequences of objects.
        mask_iou, box_iou: (P,) float64; the first is 0 where only the boxes meet.
        shared_px: (P,) float64 pixels that both masks have.
    """

    true: np.ndarray
    found: np.ndarray
    mask_iou: np.ndarray
    box_iou: np.ndarray
    shared_px: np.ndarray

    def one_to_one(self, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``one_to_one`` by masks, of the pairs that are good, (P,) bool."""
        return one_to_one(self.true[good], self.found[good], self.mask_iou[good])


@dataclass(frozen=True)
class Match:
    """Instances of one image, matched one to one.

    Attributes:
        pairs: (M, 2) int numbers of the matched instances, (in the labels, predicted).
        true: instances in the labels.
        predicted: instances predicted.
    """

    pairs: np.ndarray
    true: int
    predicted: int


def true_objects(labels: LabelledImage, classes: Sequence[str]) -> tuple[Detection, ...]:
    """The labelled objects, each with its whole mask, also where another lies over it.

    They have score 1 and the order of ``labels.shapes.raster.instances``; those without a pixel in
    the image are left out, and what ``evaluation.judged`` drops. Classes are those of
    ``raster.class_map``.

    Raises:
        ValueError: a label is not in ``classes``.
    """
    numbers = {name: k for k, name in enumerate(foreground_classes(classes), start=1)}
    found, ignored = [], ignored_pixels(labels)
    for instance in instances(labels, classes=classes):
        top, left, mask = instance_window(instance, labels.height, labels.width)
        if mask.any():  # in the smallest window that holds its pixels
            (box,) = ndimage.find_objects(mask.astype(np.uint8))
            top, left = top + box[0].start, left + box[1].start
            one = Detection(top, left, mask[box], numbers[instance.label], 1.0)
            found.append(judged_object(one, ignored))
    return tuple(one for one in found if one is not None)


def boxed(objects: Sequence[Detection]) -> tuple[Detection, ...]:
    """The objects as their boxes, so that a detector of boxes is judged by boxes."""
    return tuple(filled(one) for one in objects)


def map_objects(
    instances: np.ndarray, classes: np.ndarray, scores: np.ndarray | None = None
) -> tuple[Detection, ...]:
    """The objects of an instance map (H, W), so that it is judged as a detector is.

    Instance k, all of one class in the class map, has scores[k - 1]; 1 without scores.
    """
    found = []
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None:
            continue
        mask = instances[box] == number
        kind = int(classes[box][mask][0])
        score = 1.0 if scores is None else float(scores[number - 1])
        found.append(Detection(box[0].start, box[1].start, mask, kind, score))
    return tuple(found)


def overlaps(true: Sequence[Detection], found: Sequence[Detection]) -> Overlaps:
    """IoUs of all pairs of one class whose boxes meet, from the windows alone."""
    edges = edges_of(found)
    kinds = class_ids(found)
    rows, columns = [], []
    for row, (one, (top, left, bottom, right)) in enumerate(zip(true, edges_of(true), strict=True)):
        meet = (edges[:, 0] < bottom) & (top < edges[:, 2]) & (kinds == one.class_id)
        near = np.flatnonzero(meet & (edges[:, 1] < right) & (left < edges[:, 3]))
        rows.append(np.full(len(near), row))
        columns.append(near)
    rows, columns = (np.concatenate([np.zeros(0, np.intp), *part]) for part in (rows, columns))
    shared = [_shared_px(true[r], found[c]) for r, c in zip(rows, columns, strict=True)]
    shared = np.array(shared, np.float64)
    union = areas_of(true)[rows] + areas_of(found)[columns] - shared
    boxes = _box_iou(edges_of(true)[rows], edges[columns])
    return Overlaps(rows, columns, shared / union, boxes, shared)


def one_to_one(
    true: np.ndarray, found: np.ndarray, iou: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As many pairs as can be with each object in one pair only; of those, the largest IoUs.

    Args:
        true, found: (P,) the pairs that may match.
        iou: (P,) theirs, up to 1.

    Returns:
        (M, 2) int64, (true, found), by rising true; and (M,) their IoUs.
    """
    rows, row = np.unique(true, return_inverse=True)
    columns, column = np.unique(found, return_inverse=True)
    chosen = [
        edges if len(edges) == 1 else _assigned(edges, row, column, iou)
        for edges in _components(row, column, len(rows), len(columns))
    ]
    chosen = np.concatenate([np.zeros(0, np.intp), *chosen])
    chosen = chosen[np.argsort(true[chosen], kind="stable")]
    pairs = np.stack([true[chosen], found[chosen]], axis=1).astype(np.int64)
    return pairs, iou[chosen]


def match_instances(
    truth: np.ndarray,
    predicted: np.ndarray,
    *,
    truth_classes: np.ndarray | None = None,
    predicted_classes: np.ndarray | None = None,
    iou: float = MATCH_IOU,
) -> Match:
    """Matches instances one to one where their IoU is at least ``iou``, as many as can be.

    Above 0.5 an instance overlaps at most one other that much. At 0.5 exactly and below, there may
    be a choice, which ``one_to_one`` makes.

    Args:
        truth, predicted: (H, W) integer maps; 0 is background, each other number an instance.
        truth_classes, predicted_classes: (H, W) class maps; given, only instances of one class
            match.
        iou: threshold in (0, 1].
    """
    true_areas, found_areas = np.bincount(truth.ravel()), np.bincount(predicted.ravel())
    both = (truth > 0) & (predicted > 0)
    shared = sparse.coo_array(
        (np.ones(np.count_nonzero(both), np.int64), (truth[both], predicted[both])),
        shape=(len(true_areas), len(found_areas)),
    )
    shared.sum_duplicates()
    rows, columns = shared.coords
    overlap = shared.data / (true_areas[rows] + found_areas[columns] - shared.data)
    good = overlap >= iou
    if truth_classes is not None and predicted_classes is not None:
        true_kinds, found_kinds = np.zeros_like(true_areas), np.zeros_like(found_areas)
        # All pixels of an instance have the same class.
        true_kinds[truth], found_kinds[predicted] = truth_classes, predicted_classes
        good &= true_kinds[rows] == found_kinds[columns]
    pairs, _ = one_to_one(rows[good], columns[good], overlap[good])
    return Match(pairs, np.count_nonzero(true_areas[1:]), np.count_nonzero(found_areas[1:]))


def edges_of(objects: Sequence[Detection]) -> np.ndarray:
    """(N, 4) int64 boxes of the windows: top, left, bottom, right, the last two excluded."""
    boxes = [(o.top, o.left, o.top + o.mask.shape[0], o.left + o.mask.shape[1]) for o in objects]
    return np.array(boxes, np.int64).reshape(-1, 4)


def areas_of(objects: Sequence[Detection]) -> np.ndarray:
    return np.array([np.count_nonzero(one.mask) for one in objects], np.float64)


def _shared_px(first: Detection, second: Detection) -> int:
    (top, left, bottom, right), (top2, left2, bottom2, right2) = edges_of((first, second))
    top, left = max(top, top2), max(left, left2)
    bottom, right = min(bottom, bottom2), min(right, right2)
    one, two = (
        o.mask[top - o.top : bottom - o.top, left - o.left : right - o.left]
        for o in (first, second)
    )
    return int(np.count_nonzero(one & two))


def _box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Row by row of two (P, 4) arrays of boxes."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    return shared / (box_areas(first) + box_areas(second) - shared)


def box_areas(edges: np.ndarray) -> np.ndarray:
    return np.prod(edges[:, 2:] - edges[:, :2], axis=1)


def _components(row: np.ndarray, column: np.ndarray, rows: int, columns: int) -> list[np.ndarray]:
    """The edges of a bipartite graph by connected component; nearly all have one edge."""
    size = rows + columns
    graph = sparse.coo_array((np.ones(len(row), bool), (row, rows + column)), shape=(size, size))
    part = sparse.csgraph.connected_components(graph, directed=False)[1][row]
    order = np.argsort(part, kind="stable")
    starts = np.flatnonzero(np.diff(part[order])) + 1
    return np.split(order, starts) if len(order) else []


def _assigned(
    edges: np.ndarray, row: np.ndarray, column: np.ndarray, iou: np.ndarray
) -> np.ndarray:
    """The edges of a largest matching with the largest sum of IoUs, within one component."""
    rows, r = np.unique(row[edges], return_inverse=True)
    columns, c = np.unique(column[edges], return_inverse=True)
    gain = np.zeros((len(rows), len(columns)))
    # One more pair is worth more than all IoUs together, which are below the number of pairs.
    gain[r, c] = 1 + iou[edges] / (2 * min(gain.shape))
    edge = np.full(gain.shape, -1)
    edge[r, c] = edges
    from scipy.optimize import linear_sum_assignment  # a quarter of a second, for few

    chosen = edge[linear_sum_assignment(gain, maximize=True)]
    return chosen[chosen >= 0]


def class_ids(objects: Sequence[Detection]) -> np.ndarray:
    return np.array([one.class_id for one in objects], np.int64)
