"""COCO's average precision of ranked objects."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from temzoo.evaluation.bootstrap import nanmean

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # as pycocotools computes them, to the last bit
RECALLS = np.linspace(0.0, 1.0, 101)
LEAST_LIMIT = 100  # detections per image; COCO's own, never cut below what there is
AP_RESAMPLES = 200  # 2 s for 73 images of 200 found; 1000 move the ends by 3% of the width
EVERY_AREA = (0.0, 1e10)


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


def average_precision(
    matches: Sequence[ImageMatches], kind: str, resamples: np.ndarray
) -> dict[str, np.ndarray]:
    areas = matches[0].areas
    by_class = coco_precision(matches, kind).mean(axis=1)  # (thresholds, classes, areas)
    exact = nanmean(np.moveaxis(by_class, 1, -1))
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

    Of matches that are ranked for AP, by "box" or "mask": (10 IoUs, 101 recalls, classes, area
    ranges) float64; NaN for a class without an object.
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
    values = [
        _weighted_ap([one.ranked[kind][number][area] for one in matches], resamples)
        for number in range(classes)
        for area in range(areas)
    ]
    values = np.reshape(values, (classes, areas, len(resamples), len(THRESHOLDS)))
    return nanmean(np.moveaxis(values, (0, 1), (3, 2)))


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
    hit: np.ndarray, judged: np.ndarray, image: np.ndarray, weights: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    """(B,) AP at one IoU, of D found objects by falling score.

    Args:
        hit, judged: (D,) matched; not ignored.
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
