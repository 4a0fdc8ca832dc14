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

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from temzoo.core.types import MIN_SCORE, Detection
from temzoo.evaluation.average_precision import (
    AP_RESAMPLES,
    EVERY_AREA,
    THRESHOLDS,
    ImageMatches,
    average_precision,
)
from temzoo.evaluation.bootstrap import nanmean, ratio
from temzoo.evaluation.object_overlaps import (
    MATCH_IOU,
    Overlaps,
    areas_of,
    box_areas,
    class_ids,
    edges_of,
    overlaps,
)

# COCO's, in px of the micrograph; an object of 32 x 32 px is both small and medium.
COCO_AREAS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
)
KINDS = ("box", "mask")


def match(
    true: Sequence[Detection],
    found: Sequence[Detection],
    *,
    classes: int = 1,
    min_score: float = MIN_SCORE,
    ap: Sequence[str] = KINDS,
    area_ranges: Mapping[str, tuple[float, float]] = COCO_AREAS,
) -> ImageMatches:
    """Compares the labelled objects of one image with those that were found, in any order.

    Args:
        classes: foreground classes; class ids are 1 to ``classes``.
        min_score: found objects below it count for AP alone.
        ap: what objects are ranked by for average precision, of ``KINDS``; () saves the time.
        area_ranges: (low, high) in px, both included, by name.

    Raises:
        ValueError: a class id is out of range.
    """
    for name, part in (("labelled", true), ("predicted", found)):
        wrong = next((one.class_id for one in part if not 1 <= one.class_id <= classes), None)
        if wrong is not None:
            raise ValueError(
                f"class ids must be 1 to {classes}. Received: a {name} object with "
                f"class_id={wrong}. Use labels of the model's classes."
            )
    pairs = overlaps(true, found)
    counted = np.array([one.score >= min_score for one in found], bool)
    kinds, found_kinds = class_ids(true), class_ids(found)
    kept = counted[pairs.found]
    half, _ = pairs.one_to_one(kept & (pairs.mask_iou >= MATCH_IOU))
    more, iou = pairs.one_to_one(kept & (pairs.mask_iou > MATCH_IOU))
    areas = {"all": EVERY_AREA, **area_ranges}
    ranked = {kind: _ranked(true, found, pairs, kind, classes, areas) for kind in ap}
    return ImageMatches(
        true=_per_class(kinds, classes),
        predicted=_per_class(found_kinds[counted], classes),
        matched=_per_class(kinds[half[:, 0]], classes),
        panoptic_matched=_per_class(kinds[more[:, 0]], classes),
        panoptic_iou=_per_class(kinds[more[:, 0]], classes, iou),
        areas=tuple(areas),
        ranked=ranked,
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
    """
    images = len(matches)
    drawn = np.zeros((0, images), np.int64) if resamples is None else np.asarray(resamples)
    values = _count_metrics(matches, np.concatenate([np.ones((1, images), np.int64), drawn]))
    for kind in matches[0].ranked if matches else ():
        values |= average_precision(matches, kind, drawn[:AP_RESAMPLES])
    return values


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
    found_areas = areas_of(found) if kind == "mask" else box_areas(edges_of(found))
    scores = np.array([one.score for one in found], np.float64)
    near = _candidates(pairs, iou, len(found))
    by_score = np.argsort(-scores, kind="stable")
    outside = [
        [(areas < low) | (areas > high) for areas in (areas_of(true), found_areas)]
        for low, high in area_ranges.values()
    ]

    def entry(number: int, ignored: np.ndarray, excluded: np.ndarray) -> dict | None:
        objects = np.flatnonzero(class_ids(true) == number)
        ranks = by_score[class_ids(found)[by_score] == number]
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
    recognition = ratio(2 * pairs, true + predicted)
    # Without a pair there is no mean IoU, but the quality is 0 as long as there is an object.
    quality = ratio(2 * iou, true + predicted)
    hits = matched.sum(axis=1)
    return {
        "panoptic_quality": nanmean(quality),
        "segmentation_quality": nanmean(ratio(iou, pairs)),
        "recognition_quality": nanmean(recognition),
        "stardist_ap50": ratio(hits, true.sum(axis=1) + predicted.sum(axis=1) - hits),
    }
