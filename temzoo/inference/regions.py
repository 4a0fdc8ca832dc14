"""Class map → instances: connected regions, cut at their necks where particles touch."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from temzoo.core.connected import connected_components, renumber
from temzoo.core.types import Detection
from temzoo.inference.pixels import BLOCK_ROWS

LARGEST_SPLIT = 4096**2  # pixels; a region with a larger box would need gigabytes to be split
SEPARATIONS = ("auto", "components", "watershed", "fused")
FULL = 255  # what stands for a learnt distance, or a probability, of 1
NECK = 0.8  # watershed: a neck narrower than this part of the slimmer neighbour is cut
# The same of learnt distances, which are 1 in the middle of each object: a dip below this part of
# the lower peak is cut. ``LEAST`` is added, so that differences among small ones are no dips, after
# smoothing by ``SMOOTH`` px. Chosen on EMPS' validation images: benchmarks/results/tried.md.
LEARNT_NECK, LEAST, SMOOTH = 0.6, 0.1, 1.5
DOUBTFUL = 0.2  # what scores less is not even a doubtful object


@dataclass(frozen=True)
class Watershed:
    """How regions are cut at their necks, for particles that touch.

    Attributes:
        neck: 0 (never) to 1 (always): a neck narrower than this part of the slimmer neighbour is
            cut. None: 0.8, or 0.6 where a model has learnt the distance. ``temzoo.tune_instances``
            finds what suits one's own images.
        threshold: 0.5 to 1: pixels whose background has a probability above 1 - threshold belong
            to no instance. Weak bridges between particles vanish, and particles of which the
            model is unsure; the others shrink a little. None: all pixels of the class map.
    """

    neck: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.neck is not None and not 0 <= self.neck <= 1:
            raise ValueError(
                f"neck must be from 0 to 1. Received: neck={self.neck}. Use {NECK}, or more to cut "
                "more."
            )
        if self.threshold is not None and not 0.5 <= self.threshold < 1:
            raise ValueError(
                "threshold must be from 0.5 to below 1. Received: threshold="
                f"{self.threshold}. Use 0.7, or None for the class map as it is."
            )


def label_instances(
    classes: np.ndarray,
    *,
    method: str | Watershed | None = "components",
    min_area_px: int = 0,
    distance: np.ndarray | None = None,
) -> np.ndarray:
    """Numbers the instances of a class map.

    Args:
        classes: (H, W) integer class map; 0 is background.
        method: "components", "watershed" or ``Watershed(neck=…)`` (as in ``predict``; there are no
            probabilities here for its threshold), or None for no instances.
        min_area_px: smaller instances become background.
        distance: (H, W) uint8, ``FULL`` times a learnt distance to the outline, 1 in the middle of
            each object; it takes the place of the distance in pixels.

    Returns:
        (H, W) int32; 0 is background, 1..N number the instances. With ``method=None`` all zero
        and read-only, because it takes no memory.
    """
    if method is None:
        return no_instances(classes)
    numbered = connected_components(classes)
    if min_area_px > 1:
        _drop_small(numbered, min_area_px)
    cut = Watershed() if method in ("auto", "watershed", "fused") else method
    if isinstance(cut, Watershed):
        split_touching(numbered, neck=cut.neck, distance=distance)
        _drop_small(numbered, min_area_px)
    return numbered


def no_instances(classes: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.int32(0), classes.shape)


def split_touching(
    instances: np.ndarray, *, neck: float | None = None, distance: np.ndarray | None = None
) -> None:
    """Cuts instances at necks, in place, by a watershed on the distance to their outline.

    Two maxima of the distance are two particles when the neck between them is narrower than
    ``neck`` times the width at the smaller maximum: a rule without a length, so that it serves
    particles of all sizes. The parts beyond the first get new numbers at the end. A region that
    spans more than 4096 x 4096 pixels is left whole, since memory must stay bounded.

    Args:
        instances: (H, W) int32, connected regions numbered from 1; changed.
        neck: 0 (never cut) to 1 (cut at any neck); None: as in ``Watershed``.
        distance: learnt, as in ``label_instances``; None: in pixels.
    """
    if neck is None:
        neck = NECK if distance is None else LEARNT_NECK
    following = int(instances.max(initial=0)) + 1
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None or instances[box].size > LARGEST_SPLIT:
            continue
        mask = instances[box] == number
        heights = _heights(mask) if distance is None else _learnt_heights(mask, distance[box])
        if heights is None:
            continue
        parts = _parts(np.pad(mask, 1), heights, neck)
        added = max(int(parts.max()) - 1, 0)
        later = parts > 1
        instances[box][later] = parts[later] + (following - 2)
        following += added


def instance_scores(
    instances: np.ndarray, classes: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Mean probability of its own class over each instance's pixels; (N,) float32."""
    own = np.empty(classes.shape, np.float32)
    for top in range(0, len(own), BLOCK_ROWS):
        rows = slice(top, top + BLOCK_ROWS)
        index = classes[rows][..., None].astype(np.intp)
        own[rows] = np.take_along_axis(probabilities[rows], index, -1)[..., 0]
    return mean_inside(instances, own)


def mean_inside(instances: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of a map (H, W) over each instance's pixels; (N,) float32."""
    count = int(instances.max(initial=0)) + 1
    areas, sums = np.zeros(count, np.int64), np.zeros(count)
    for top in range(0, len(instances), BLOCK_ROWS):
        numbers = instances[top : top + BLOCK_ROWS].ravel()
        areas += np.bincount(numbers, minlength=count)
        sums += np.bincount(numbers, values[top : top + BLOCK_ROWS].ravel(), minlength=count)
    return (sums[1:] / np.maximum(areas[1:], 1)).astype(np.float32)


def doubtful_objects(
    instances: np.ndarray, classes: np.ndarray, scores: np.ndarray, least: float
) -> tuple[Detection, ...]:
    """The instances that score below ``least``, but not below ``DOUBTFUL``, likelier ones first."""
    numbers = np.flatnonzero((scores >= DOUBTFUL) & (scores < least)) + 1
    boxes = ndimage.find_objects(instances) if len(numbers) else []
    found = []
    for number in sorted(numbers, key=lambda number: -scores[number - 1]):
        box = boxes[number - 1]
        mask = instances[box] == number
        kind = int(classes[box][mask][0])
        found.append(Detection(box[0].start, box[1].start, mask, kind, float(scores[number - 1])))
    return tuple(found)


def keep_sure(instances: np.ndarray, scores: np.ndarray, least: float) -> np.ndarray:
    """Sets instances that score below ``least`` to 0, in place, and gives the others' scores."""
    kept = np.concatenate([[False], scores >= least])
    renumber(instances, np.where(kept, np.cumsum(kept), 0))
    return scores[kept[1:]]


def _drop_small(instances: np.ndarray, min_area_px: int) -> None:
    """Sets instances below the area to 0 and closes the gaps in the numbering, in place."""
    areas = np.zeros(int(instances.max(initial=0)) + 1, np.int64)
    for top in range(0, len(instances), BLOCK_ROWS):
        areas += np.bincount(instances[top : top + BLOCK_ROWS].ravel(), minlength=len(areas))
    kept = areas >= max(min_area_px, 1)
    kept[0] = False
    renumber(instances, np.where(kept, np.cumsum(kept), 0))


def _heights(mask: np.ndarray) -> np.ndarray | None:
    """Logarithm of the distance to a region's outline, padded by 1; None: too thin to be cut."""
    inside = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if distance.max() < 2:
        return None
    # A difference of logarithms is a ratio of widths; smoothing takes out the pixel staircase.
    return np.log1p(ndimage.gaussian_filter(distance, 1.0).astype(np.float64))


def _learnt_heights(mask: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The same of a learnt distance, which is 1 in the middle of each object."""
    inside = np.pad(np.where(mask, distance, 0).astype(np.float32) / FULL, 1)
    smooth = ndimage.gaussian_filter(inside, SMOOTH).astype(np.float64)
    return np.log1p(smooth / LEAST)


def _parts(inside: np.ndarray, heights: np.ndarray, neck: float) -> np.ndarray:
    """One region's parts between necks: (h, w) int32, 0 outside the region, 1..N inside.

    Args:
        inside, heights: (h + 2, w + 2) the region and the logarithm of its distance, both padded.
    """
    heights[~inside] = 0
    if label(local_maxima(heights, connectivity=2), connectivity=2).max() < 2:
        return inside[1:-1, 1:-1].astype(np.int32)  # most regions, and all the work below is saved
    lowered = np.clip(heights + np.log(max(neck, 1e-9)), 0, None)
    peaks = local_maxima(reconstruction(lowered, heights), connectivity=2) & inside
    parts = watershed(-heights, label(peaks, connectivity=2), mask=inside)
    if (inside & (parts == 0)).any():  # thin lines that hang on a corner
        parts = watershed(-heights, parts, mask=inside, connectivity=2)
    return parts[1:-1, 1:-1].astype(np.int32)
