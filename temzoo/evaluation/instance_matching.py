"""Instance maps against labels, one to one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from temzoo.evaluation.object_overlaps import one_to_one
from temzoo.evaluation.objects import MATCH_IOU


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
    true_ids, true_areas = _areas(truth)
    found_ids, found_areas = _areas(predicted)
    both = (truth > 0) & (predicted > 0)
    rows = np.searchsorted(true_ids, truth[both])
    columns = np.searchsorted(found_ids, predicted[both])
    shape = (len(true_ids), len(found_ids))
    shared = sparse.coo_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape)
    shared.sum_duplicates()
    rows, columns = shared.coords
    overlap = shared.data / (true_areas[rows] + found_areas[columns] - shared.data)
    good = overlap >= iou
    if truth_classes is not None and predicted_classes is not None:
        true_kind = _class_of(truth, true_ids, truth_classes)
        found_kind = _class_of(predicted, found_ids, predicted_classes)
        good &= true_kind[rows] == found_kind[columns]
    matched, _ = one_to_one(rows[good], columns[good], overlap[good])
    pairs = np.stack([true_ids[matched[:, 0]], found_ids[matched[:, 1]]], axis=1)
    return Match(pairs=pairs, true=len(true_ids), predicted=len(found_ids))


def _areas(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    numbers, areas = np.unique(instances[instances > 0], return_counts=True)
    return numbers, areas


def _class_of(instances: np.ndarray, numbers: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The class of each instance; all pixels of one have the same."""
    found, first = np.unique(instances.ravel(), return_index=True)
    return classes.ravel()[first[np.searchsorted(found, numbers)]]
