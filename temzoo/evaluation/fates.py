"""What became of each object of an image, and how far its number and sizes are off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from temzoo.core.types import Detection
from temzoo.evaluation.bootstrap import Interval, interval, ratio
from temzoo.evaluation.object_overlaps import MATCH_IOU, areas_of, overlaps

LABELLED = ("matched", "merged", "split", "missed")
PREDICTED = ("matched", "false", "fragment")
NEAR = 0.1  # of the true count: a count within it is taken as right
HALF = 0.5


@dataclass(frozen=True)
class ObjectErrors:
    """Over images, what the pooled figures of objects do not show.

    Attributes:
        over_images: "median_count_error", the median over images of |found - labelled| / labelled;
            "median_d50_error", that of |D50 found / D50 labelled - 1| with the median
            equivalent-circle diameter D50; "count_within_10_percent", the share of images whose
            count is. The first leaves out images without a labelled object, the second those
            without a labelled or a found one. With 95 % bootstrap intervals over images.
        fates: how many "labelled" and "predicted" objects of all images had which fate.
    """

    over_images: Mapping[str, Interval] = field(default_factory=dict)
    fates: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def fates(true: Sequence[Detection], found: Sequence[Detection]) -> tuple[np.ndarray, np.ndarray]:
    """What became of each object of one image.

    Only objects of one class are compared, by their whole masks. A labelled object is, by the first
    of these rules that holds,

    - "matched": in a pair of IoU >= 0.5, one to one (``object_overlaps.one_to_one``);
    - "merged": at least half of it lies in a found object that holds at least half of another
      labelled one too;
    - "split": at least half of it is covered by two or more found objects, each of which lies at
      least half in it;
    - "missed": none of these.

    A found object is "matched" in a pair; a "fragment" where at least half of it lies in one
    labelled object; else "false", also where it joins several labelled objects.

    Returns:
        (T,) and (F,) texts of ``LABELLED`` and ``PREDICTED``.
    """
    pairs = overlaps(true, found)
    of_true = pairs.shared_px / areas_of(true)[pairs.true]
    of_found = pairs.shared_px / areas_of(found)[pairs.found]
    held, inside = of_true >= HALF, of_found >= HALF
    number_held = np.bincount(pairs.found[held], minlength=len(found))
    joined = held & (number_held[pairs.found] > 1)
    pieces = np.bincount(pairs.true[inside], minlength=len(true))
    covered = np.bincount(pairs.true[inside], of_true[inside], len(true))
    matched, _ = pairs.one_to_one(pairs.mask_iou >= MATCH_IOU)

    labelled = np.full(len(true), "missed", "U8")
    labelled[(pieces > 1) & (covered >= HALF)] = "split"
    labelled[pairs.true[joined]] = "merged"
    labelled[matched[:, 0]] = "matched"
    predicted = np.full(len(found), "false", "U8")
    predicted[pairs.found[inside]] = "fragment"
    predicted[matched[:, 1]] = "matched"
    return labelled, predicted


def image_errors(true: Sequence[Detection], found: Sequence[Detection]) -> dict[str, float]:
    """The columns of an image's row: fates, and the relative errors of count and D50."""
    labelled, predicted = fates(true, found)
    counts = {f"labelled_{fate}": np.count_nonzero(labelled == fate) for fate in LABELLED}
    counts |= {f"predicted_{fate}": np.count_nonzero(predicted == fate) for fate in PREDICTED}
    # Diameters of circles of equal area; the median's own area would differ for even numbers.
    d50 = [np.median(np.sqrt(areas_of(part))) if len(part) else math.nan for part in (found, true)]
    return {
        **counts,
        "relative_count_error": len(found) / len(true) - 1 if len(true) else math.nan,
        "d50_error": d50[0] / d50[1] - 1,
    }


def object_errors(
    rows: Sequence[Mapping[str, float]], weights: np.ndarray, *, sizes: bool = True
) -> ObjectErrors:
    """The figures of all images.

    Args:
        rows: ``image_errors`` of each.
        weights: (1 + B, images) how often each is drawn; first the images as they are.
        sizes: False leaves the diameters out.
    """
    columns = {key: np.array([row[key] for row in rows], float) for key in rows[0]}
    count, d50 = (np.abs(columns[key]) for key in ("relative_count_error", "d50_error"))
    # Without a labelled object a count is right where nothing was found.
    totals = [sum(columns[f"{side}_{fate}"] for fate in names) for side, names in _SIDES.items()]
    right = np.abs(totals[1] - totals[0]) <= NEAR * totals[0]
    figures = {
        "median_count_error": _medians(count, weights),
        **({"median_d50_error": _medians(d50, weights)} if sizes else {}),
        "count_within_10_percent": ratio(weights @ right.astype(float), weights.sum(axis=1)),
    }
    return ObjectErrors(
        {name: interval(values) for name, values in figures.items()},
        {
            side: {fate: int(columns[f"{side}_{fate}"].sum()) for fate in names}
            for side, names in _SIDES.items()
        },
    )


def _medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(1 + B,) of what is defined; NaN where nothing is."""
    known = np.isfinite(values)
    drawn = (np.repeat(values[known], counts) for counts in weights[:, known])
    return np.array([np.median(one) if len(one) else math.nan for one in drawn])


_SIDES = {"labelled": LABELLED, "predicted": PREDICTED}
