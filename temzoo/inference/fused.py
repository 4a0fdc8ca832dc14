"""Two answers made one: regions of a network that learns distances, and objects of a detector.

The regions have the better outlines, the detector sees where two objects overlap or lie so close
that no dip of the distance parts them. Nothing is counted that the network does not mark: a
detection alone, such as a ghost on the background, adds no object.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from temzoo.core.types import Detection
from temzoo.inference.objects import box_of

# Chosen on EMPS' validation images: benchmarks/results/tried.md.
LEAST_SCORE = 0.8  # of a detection that is believed
INSIDE = 0.6  # least part of a detection in the region that it is of
PART = 0.8  # what covers more of a region is no part of it, but all of it
COVERED = 0.6  # least part of a region that its parts cover together
SAME = 0.6  # IoU from which a detection confirms a region
SHRINK = 6  # a part's marker is shrunk by its side over this


def fuse(
    instances: np.ndarray,
    scores: np.ndarray,
    distance: np.ndarray,
    detections: Sequence[Detection],
) -> np.ndarray:
    """Cuts regions in which a detector sees several objects, and raises scores that it confirms.

    Args:
        instances: (H, W) int32; 0 is background, 1..N number the regions; changed.
        scores: (N,) confidence of the regions.
        distance: (H, W) uint8, 255 times the learnt distance to the outline.
        detections: inside the image, in any order.

    Returns:
        (N + parts,) float32 scores of the regions and, after them, of the parts cut off.
    """
    found = list(scores)
    areas = np.bincount(instances.ravel(), minlength=len(found) + 1)
    parts: dict[int, list[Detection]] = {}
    for one in detections:
        if one.score < LEAST_SCORE:
            continue
        top, left, bottom, right = box_of(one)
        shares = np.bincount(instances[top:bottom, left:right][one.mask], minlength=1)
        shares[0] = 0
        number, area = int(shares.argmax()), int(np.count_nonzero(one.mask))
        common = int(shares[number])
        if common < INSIDE * area:
            continue
        if common > SAME * (area + areas[number] - common):
            found[number - 1] = max(found[number - 1], one.score)
        if area < PART * areas[number]:
            parts.setdefault(number, []).append(one)
    boxes = ndimage.find_objects(instances) if parts else []
    for number, seen in parts.items():
        if len(seen) > 1 and sum(one.mask.sum() for one in seen) > COVERED * areas[number]:
            found += _cut(instances, boxes[number - 1], number, distance, seen, len(found))
            found[number - 1] = max(found[number - 1], seen[0].score)
    return np.array(found, np.float32)


def _cut(
    instances: np.ndarray,
    box: tuple[slice, slice],
    number: int,
    distance: np.ndarray,
    seen: list[Detection],
    count: int,
) -> list[float]:
    """Cuts a region into what was seen in it; the surest keeps its number. The others' scores."""
    region = instances[box] == number
    markers = np.zeros(region.shape, np.int32)
    seen.sort(key=lambda one: -one.score)
    for marker, one in reversed(list(enumerate(seen, start=1))):
        shrunk = max(1, int(np.sqrt(one.mask.sum()) / SHRINK))
        core = ndimage.binary_erosion(one.mask, iterations=shrunk)
        rows, columns = np.nonzero(core if core.any() else one.mask)
        rows, columns = rows + one.top - box[0].start, columns + one.left - box[1].start
        there = (rows >= 0) & (rows < len(region)) & (columns >= 0) & (columns < region.shape[1])
        markers[rows[there], columns[there]] = marker
    parts = watershed(-distance[box].astype(np.int16), markers * region, mask=region)
    later = parts > 1
    instances[box][later] = parts[later] + (count - 1)
    return [one.score for one in seen[1:]]
