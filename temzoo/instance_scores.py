"""True and found objects → matches → average precision, panoptic quality, F1, with resamples.

Objects are ``Detection``s: windowed masks that may overlap. ``match`` compares those of one image;
``metrics`` makes figures of one or many images, and of resamples of them without comparing again.

- Average precision is COCO's (Lin et al., ECCV 2014; cocodataset.org/#detection-eval): greedy by
  falling score, mean over IoU 0.50, 0.55 … 0.95 and over the classes with objects; ``ap50`` and
  ``ap75`` at one IoU. Precision over recall comes from pycocotools' ``accumulate``, with no limit
  of detections per image: its ``summarize`` stops at 100, where 256 perfect boxes score 0.396.
  Matching is that of its ``evaluateImg``, over the pairs that overlap by half instead of over all
  pairs, which takes seconds where there are hundreds. A box is that of the mask's pixels.
- AP by size leaves out true objects, and unmatched found ones, with an area outside the range.
- Panoptic quality (Kirillov et al., CVPR 2019), per class and averaged over classes: with pairs
  matched one to one at IoU > 0.5, segmentation quality is their mean IoU, recognition quality
  TP / (TP + FP/2 + FN/2), panoptic quality the product. Only things; no class is "stuff" here.
- ``stardist_ap50`` is TP / (TP + FP + FN) at IoU 0.5, all classes' objects counted together. The
  StarDist papers (Schmidt et al., MICCAI 2018) call it average precision; it has nothing to do with
  the area under a curve, and stands beside COCO's AP50 under a name of its own.
- Scores rank for AP alone. Where all are equal (a model without scores), AP is that of a single
  operating point, close to precision x recall; as in pycocotools, objects of equal score then
  count in the order given, so the third digit depends on that order.
- What has no object to be judged by is NaN.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import ndimage, sparse
from scipy.optimize import linear_sum_assignment

from temzoo.labels.raster import foreground_classes, instance_window, instances
from temzoo.types import MIN_SCORE, Detection, LabelledImage

MATCH_IOU = 0.5
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # as pycocotools computes them, to the last bit
RECALLS = np.linspace(0.0, 1.0, 101)
LEAST_LIMIT = 100  # detections per image; COCO's own, never cut below what there is
AP_RESAMPLES = 200  # 2 s for 73 images of 200 found; 1000 move the ends by 3% of the width
EVERY_AREA = (0.0, 1e10)
# COCO's, in px of the micrograph; an object of 32 x 32 px is both small and medium.
COCO_AREAS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
)
KINDS = ("box", "mask")


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of a true and a found object of one class whose pixels or boxes meet.

    Attributes:
        true, found: (P,) positions in the two sequences of objects.
        mask_iou, box_iou: (P,) float64; the first is 0 where only the boxes meet.
    """

    true: np.ndarray
    found: np.ndarray
    mask_iou: np.ndarray
    box_iou: np.ndarray


@dataclass(frozen=True, eq=False)
class ImageMatches:
    """What the metrics need to know of one image; small, however large the masks were.

    Attributes:
        true, predicted, matched: (classes,) int64 objects; matched one to one at IoU >= 0.5.
        panoptic_matched: (classes,) int64; matched at IoU > 0.5.
        panoptic_iou: (classes,) float64; sum of their IoUs.
        areas: names of the area ranges, the first of them "all".
        ranked: by "box" and "mask": for each class, for each area range, what pycocotools calls an
            ``evalImg`` (None where the class has no object). Empty without AP.
    """

    true: np.ndarray
    predicted: np.ndarray
    matched: np.ndarray
    panoptic_matched: np.ndarray
    panoptic_iou: np.ndarray
    areas: tuple[str, ...]
    ranked: Mapping[str, tuple[tuple[dict[str, np.ndarray] | None, ...], ...]]


def true_objects(labels: LabelledImage, classes: Sequence[str]) -> tuple[Detection, ...]:
    """The labelled objects, each with its whole mask, also where another lies over it.

    Args:
        labels: of one image.
        classes: label names; the first is class 1. A leading "background" stands for class 0.

    Returns:
        In the order of ``labels.raster.instances``, with score 1; objects without a pixel in the
        image are left out.

    Raises:
        ValueError: a label is not in ``classes``.
    """
    numbers = {name: k for k, name in enumerate(foreground_classes(classes), start=1)}
    found = []
    for instance in instances(labels, classes=classes):
        top, left, mask = instance_window(instance, labels.height, labels.width)
        if mask.any():
            found.append(_cut(top, left, mask, numbers[instance.label], 1.0))
    return tuple(found)


def map_objects(
    instances: np.ndarray, classes: np.ndarray, scores: np.ndarray | None = None
) -> tuple[Detection, ...]:
    """The objects of an instance map, so that it is judged as a detector is.

    Args:
        instances: (H, W) integers; 0 is background, k an instance.
        classes: (H, W) class map; an instance has one class.
        scores: instance k has scores[k - 1]; None: all have 1.
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
    """IoUs of all pairs of one class whose boxes meet, from the windows alone.

    Example:
        >>> overlaps(true_objects(labels, ["particle"]), prediction.detections).mask_iou
    """
    edges = _edges(found)
    kinds = _class_ids(found)
    rows, columns = [], []
    for row, (one, (top, left, bottom, right)) in enumerate(zip(true, _edges(true), strict=True)):
        meet = (edges[:, 0] < bottom) & (top < edges[:, 2]) & (kinds == one.class_id)
        near = np.flatnonzero(meet & (edges[:, 1] < right) & (left < edges[:, 3]))
        rows.append(np.full(len(near), row))
        columns.append(near)
    rows, columns = (np.concatenate([np.zeros(0, np.intp), *part]) for part in (rows, columns))
    shared = [_shared_px(true[r], found[c]) for r, c in zip(rows, columns, strict=True)]
    shared = np.array(shared, np.float64)
    union = _areas(true)[rows] + _areas(found)[columns] - shared
    return Overlaps(rows, columns, shared / union, _box_iou(_edges(true)[rows], edges[columns]))


def one_to_one(
    true: np.ndarray, found: np.ndarray, iou: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As many pairs as can be with each object in one pair only; of those, the largest IoUs.

    Args:
        true, found: (P,) the pairs that may match.
        iou: (P,) theirs, up to 1.

    Returns:
        pairs: (M, 2) int64, (true, found), by rising true.
        iou: (M,) theirs.

    Example:
        >>> good = pairs.mask_iou >= 0.5
        >>> one_to_one(pairs.true[good], pairs.found[good], pairs.mask_iou[good])
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


def match(
    true: Sequence[Detection],
    found: Sequence[Detection],
    *,
    classes: int = 1,
    min_score: float = MIN_SCORE,
    ap: bool = True,
    area_ranges: Mapping[str, tuple[float, float]] = COCO_AREAS,
) -> ImageMatches:
    """Compares the objects of one image.

    Args:
        true: labelled objects.
        found: predicted ones, in any order.
        classes: foreground classes; class ids are 1 to ``classes``.
        min_score: found objects below it count for AP alone.
        ap: rank objects for average precision too; False saves the time.
        area_ranges: (low, high) in px, both included, by name.

    Raises:
        ValueError: a class id is out of range.

    Example:
        >>> metrics([match(true_objects(labels, ["particle"]), prediction.detections)])["mask_ap50"]
    """
    _check_classes(true, found, classes)
    pairs = overlaps(true, found)
    counted = np.array([one.score >= min_score for one in found], bool)
    kinds, found_kinds = _class_ids(true), _class_ids(found)
    kept = counted[pairs.found]
    half, _ = _matched(pairs, kept & (pairs.mask_iou >= MATCH_IOU))
    more, iou = _matched(pairs, kept & (pairs.mask_iou > MATCH_IOU))
    areas = {"all": EVERY_AREA, **area_ranges}
    return ImageMatches(
        true=_per_class(kinds, classes),
        predicted=_per_class(found_kinds[counted], classes),
        matched=_per_class(kinds[half[:, 0]], classes),
        panoptic_matched=_per_class(kinds[more[:, 0]], classes),
        panoptic_iou=_per_class(kinds[more[:, 0]], classes, iou),
        areas=tuple(areas),
        ranked={kind: _ranked(true, found, pairs, kind, classes, areas) for kind in KINDS}
        if ap
        else {},
    )


def metrics(
    matches: Sequence[ImageMatches], resamples: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The figures of all images taken together.

    Args:
        matches: one per image, made with the same classes and area ranges.
        resamples: (B, images) how often each image is drawn; for intervals.

    Returns:
        By name, (1 + B,): the figure, then those of the resamples. "panoptic_quality",
        "segmentation_quality", "recognition_quality", "stardist_ap50"; and where they were ranked
        "box_ap", "box_ap50", "box_ap75", "box_ap_small" … and "mask_ap" …, of the first
        ``AP_RESAMPLES`` resamples only. NaN where undefined.

    Example:
        >>> float(metrics(matches)["mask_ap50"][0])
    """
    images = len(matches)
    drawn = np.zeros((0, images), np.int64) if resamples is None else np.asarray(resamples)
    values = _count_metrics(matches, np.concatenate([np.ones((1, images), np.int64), drawn]))
    for kind in KINDS:
        if matches and matches[0].ranked:
            values |= _average_precision(matches, kind, drawn[:AP_RESAMPLES])
    return values


def _check_classes(true: Sequence[Detection], found: Sequence[Detection], classes: int) -> None:
    for name, part in (("labelled", true), ("predicted", found)):
        wrong = next((one.class_id for one in part if not 1 <= one.class_id <= classes), None)
        if wrong is not None:
            raise ValueError(
                f"class ids must be 1 to {classes}. Received: a {name} object with "
                f"class_id={wrong}. Use labels of the model's classes."
            )


def _cut(top: int, left: int, mask: np.ndarray, kind: int, score: float) -> Detection:
    """An object in the smallest window that holds its pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    window = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Detection(top + int(rows[0]), left + int(columns[0]), window, kind, score)


def _edges(objects: Sequence[Detection]) -> np.ndarray:
    """(N, 4) int64 boxes of the windows: top, left, bottom, right, the last two excluded."""
    boxes = [(o.top, o.left, o.top + o.mask.shape[0], o.left + o.mask.shape[1]) for o in objects]
    return np.array(boxes, np.int64).reshape(-1, 4)


def _areas(objects: Sequence[Detection]) -> np.ndarray:
    return np.array([np.count_nonzero(one.mask) for one in objects], np.float64)


def _shared_px(first: Detection, second: Detection) -> int:
    (top, left, bottom, right), (top2, left2, bottom2, right2) = _edges((first, second))
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
    return shared / (_box_areas(first) + _box_areas(second) - shared)


def _box_areas(edges: np.ndarray) -> np.ndarray:
    return np.prod(edges[:, 2:] - edges[:, :2], axis=1)


def _matched(pairs: Overlaps, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return one_to_one(pairs.true[good], pairs.found[good], pairs.mask_iou[good])


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
    chosen = edge[linear_sum_assignment(gain, maximize=True)]
    return chosen[chosen >= 0]


def _per_class(numbers: np.ndarray, classes: int, weights: np.ndarray | None = None) -> np.ndarray:
    return np.bincount(numbers, weights=weights, minlength=classes + 1)[1:]


def _ranked(
    true: Sequence[Detection],
    found: Sequence[Detection],
    pairs: Overlaps,
    kind: str,
    classes: int,
    area_ranges: Mapping[str, tuple[float, float]],
) -> tuple[tuple[dict[str, np.ndarray] | None, ...], ...]:
    """By class and area range, the objects of one image as pycocotools' ``evaluateImg`` has them.

    As there, a true object's area is that of its mask, a found one's that of its box or mask.
    """
    iou = pairs.mask_iou if kind == "mask" else pairs.box_iou
    found_areas = _areas(found) if kind == "mask" else _box_areas(_edges(found))
    scores = np.array([one.score for one in found], np.float64)
    near = _candidates(pairs, iou, len(found))
    by_score = np.argsort(-scores, kind="stable")
    outside = [(_outside(_areas(true), r), _outside(found_areas, r)) for r in area_ranges.values()]

    def entry(number: int, ignored: np.ndarray, excluded: np.ndarray) -> dict | None:
        objects = np.flatnonzero(_class_ids(true) == number)
        ranks = by_score[_class_ids(found)[by_score] == number]
        if not len(objects) and not len(ranks):
            return None
        hit, hidden = _greedy(ranks, near, ignored)
        return {
            "dtScores": scores[ranks],
            "dtMatches": hit,
            "dtIgnore": hidden | (~hit & excluded[ranks]),
            "gtIgnore": ignored[objects],
        }

    return tuple(tuple(entry(k, *areas) for areas in outside) for k in range(1, classes + 1))


def _class_ids(objects: Sequence[Detection]) -> np.ndarray:
    return np.array([one.class_id for one in objects], np.int64)


def _outside(areas: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (areas < limits[0]) | (areas > limits[1])


def _candidates(pairs: Overlaps, iou: np.ndarray, found: int) -> list[list[tuple[int, float]]]:
    """For each found object the true ones, in order, that it could match at the least IoU."""
    near: list[list[tuple[int, float]]] = [[] for _ in range(found)]
    for k in np.flatnonzero(iou >= THRESHOLDS[0]):
        near[pairs.found[k]].append((int(pairs.true[k]), float(iou[k])))
    return near


def _greedy(
    ranks: np.ndarray, near: Sequence[Sequence[tuple[int, float]]], ignored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """COCO's matching: by falling score, each takes the best true object that is left.

    Args:
        ranks: (D,) found objects of one class by falling score.
        near: their candidates, true object and IoU.
        ignored: by true object; such a one is taken only where no other matches.

    Returns:
        hit, hidden: (thresholds, D) bool; matched, and matched with an ignored object.
    """
    hit = np.zeros((len(THRESHOLDS), len(ranks)), bool)
    hidden = hit.copy()
    near = [sorted(near[k], key=lambda candidate: ignored[candidate[0]]) for k in ranks]
    hopeful = [rank for rank, candidates in enumerate(near) if candidates]
    for level, threshold in enumerate(THRESHOLDS):
        taken: set[int] = set()
        for rank in hopeful:
            best = _best(near[rank], threshold, taken, ignored)
            if best is not None:
                taken.add(best)
                hit[level, rank] = True
                hidden[level, rank] = ignored[best]
    return hit, hidden


def _best(
    candidates: Sequence[tuple[int, float]],
    threshold: float,
    taken: set[int],
    ignored: np.ndarray,
) -> int | None:
    """Of the candidates left, the one with the largest IoU, the last of equals."""
    best, iou = None, min(threshold, 1 - 1e-10)
    for candidate, value in candidates:
        if candidate in taken or value < iou:
            continue
        if best is not None and ignored[candidate] and not ignored[best]:
            break
        best, iou = candidate, value
    return best


def _count_metrics(matches: Sequence[ImageMatches], weights: np.ndarray) -> dict[str, np.ndarray]:
    names = ("true", "predicted", "matched", "panoptic_matched", "panoptic_iou")
    true, predicted, matched, pairs, iou = (  # each (1 + B, classes)
        weights @ np.array([getattr(one, name) for one in matches]) for name in names
    )
    recognition = _ratio(2 * pairs, true + predicted)
    # Without a pair there is no mean IoU, but the quality is 0 as long as there is an object.
    quality = _ratio(2 * iou, true + predicted)
    hits = matched.sum(axis=1)
    return {
        "panoptic_quality": _nanmean(quality),
        "segmentation_quality": _nanmean(_ratio(iou, pairs)),
        "recognition_quality": _nanmean(recognition),
        "stardist_ap50": _ratio(hits, true.sum(axis=1) + predicted.sum(axis=1) - hits),
    }


def _average_precision(
    matches: Sequence[ImageMatches], kind: str, resamples: np.ndarray
) -> dict[str, np.ndarray]:
    areas = matches[0].areas
    by_class = coco_precision(matches, kind).mean(axis=1)  # (thresholds, classes, areas)
    exact = _nanmean(np.moveaxis(by_class, 1, -1))
    values = np.stack([exact, *_resampled(matches, kind, resamples)])  # (1 + B, thresholds, areas)
    named = {
        f"{kind}_ap": values[:, :, 0].mean(axis=1),
        f"{kind}_ap50": values[:, 0, 0],
        f"{kind}_ap75": values[:, 5, 0],
    }
    for index, area in enumerate(areas[1:], start=1):
        named[f"{kind}_ap_{area}"] = values[:, :, index].mean(axis=1)
    return named


def coco_precision(matches: Sequence[ImageMatches], kind: str) -> np.ndarray:
    """Precision as pycocotools accumulates it, without a limit of detections that would cut.

    Args:
        matches: one per image, ranked for AP.
        kind: "box" or "mask".

    Returns:
        (10 IoUs, 101 recalls, classes, area ranges) float64; NaN for a class without an object.
    """
    from pycocotools.cocoeval import COCOeval  # not paid for by those who want no AP

    classes, areas = len(matches[0].true), matches[0].areas
    entries = [
        one.ranked[kind][number][area]
        for number in range(classes)
        for area in range(len(areas))
        for one in matches
    ]
    found = [len(entry["dtScores"]) for entry in entries if entry is not None]
    evaluator = COCOeval()
    setting: Any = evaluator.params
    setting.imgIds, setting.catIds = list(range(len(matches))), list(range(1, classes + 1))
    # Only the number of the area ranges matters here; that they differ, so that none is skipped.
    setting.areaRng, setting.areaRngLbl = [[k, k] for k in range(len(areas))], list(areas)
    setting.maxDets = [max([LEAST_LIMIT, *found])]
    evaluator.evalImgs, evaluator._paramsEval = entries, setting
    with contextlib.redirect_stdout(io.StringIO()):  # it reports by print
        evaluator.accumulate()
    precision = evaluator.eval["precision"][..., 0]
    return np.where(precision < 0, np.nan, precision)


def _resampled(matches: Sequence[ImageMatches], kind: str, resamples: np.ndarray) -> np.ndarray:
    """(B, thresholds, areas) AP of each resample, mean over classes."""
    classes, areas = len(matches[0].true), len(matches[0].areas)
    values = np.full((classes, len(resamples), len(THRESHOLDS), areas), np.nan)
    for number in range(classes):
        for area in range(areas):
            entries = [one.ranked[kind][number][area] for one in matches]
            values[number, :, :, area] = _weighted_ap(entries, resamples)
    return _nanmean(np.moveaxis(values, 0, -1))


def _weighted_ap(
    entries: Sequence[dict[str, np.ndarray] | None], weights: np.ndarray
) -> np.ndarray:
    """(B, thresholds) AP of one class and area range with each image counted so many times.

    The steps of pycocotools' ``accumulate`` for many weightings at once. Precision is looked at
    where an object is hit, since recall rises nowhere else.
    """
    present = [k for k, entry in enumerate(entries) if entry is not None]
    if not present or not len(weights):
        return np.full((len(weights), len(THRESHOLDS)), np.nan)
    kept = [entries[k] for k in present]
    weights = weights[:, present].astype(np.float64)
    objects = weights @ [np.count_nonzero(~entry["gtIgnore"]) for entry in kept]
    image = np.repeat(np.arange(len(kept)), [len(entry["dtScores"]) for entry in kept])
    order = np.argsort(-np.concatenate([entry["dtScores"] for entry in kept]), kind="stable")
    hit, hidden = (
        np.concatenate([entry[name] for entry in kept], axis=1)[:, order]
        for name in ("dtMatches", "dtIgnore")
    )
    image = image[order]
    columns = [
        _weighted_ap_at(hit[level], ~hidden[level], image, weights, objects)
        for level in range(len(THRESHOLDS))
    ]
    return np.where(objects[:, None] > 0, np.stack(columns, axis=1), np.nan)


def _weighted_ap_at(
    hit: np.ndarray,
    judged: np.ndarray,
    image: np.ndarray,
    weights: np.ndarray,
    objects: np.ndarray,
) -> np.ndarray:
    """(B,) AP at one IoU.

    Args:
        hit, judged: (D,) by falling score: matched; not ignored.
        image: (D,) which image each is of.
        weights: (B, images); objects: (B,) true objects of each resample.
    """
    image, hit = image[judged], hit[judged]
    if not hit.any():
        return np.zeros(len(weights))
    means = np.empty(len(weights))
    for row, (weight, count) in enumerate(zip(weights, objects, strict=True)):
        drawn = weight[image]
        ranked = np.cumsum(drawn)[hit]
        true = np.cumsum(drawn[hit])
        precision = true / (ranked + np.spacing(1))
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        reached = np.searchsorted(true / max(count, 1), RECALLS, side="left")
        means[row] = np.append(precision, 0.0)[reached].mean()
    return means


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; NaN, without a warning, where nothing is."""
    defined = np.isfinite(values)
    return _ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))
