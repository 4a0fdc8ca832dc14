"""Objects as SVG paths, in the pixels of the micrograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from skimage.measure import find_contours

from temzoo.core.types import Detection, Prediction
from temzoo.evaluation.object_overlaps import map_objects

# An outline leaves its mask's by less than half a pixel, of the picture as it is shown.
TOLERANCE = 0.4


@dataclass(frozen=True, eq=False)
class Outlined:
    """An object as it is drawn.

    Attributes:
        number: the particle's, as the table gives it.
        class_id: 1, 2, …
        row, col: the middle of its pixels.
        path: of an SVG path element; holes are parts of it.
    """

    number: int
    class_id: int
    row: float
    col: float
    path: str


def objects_of(prediction: Prediction) -> list[tuple[int, Detection]]:
    """The particles of a prediction with their numbers, as ``temzoo.measure`` numbers them."""
    if prediction.detections is not None:
        return list(enumerate(prediction.detections, start=1))
    numbers = np.unique(prediction.instances)
    found = map_objects(prediction.instances, prediction.classes, prediction.scores)
    return list(zip(numbers[numbers > 0].tolist(), found, strict=True))


def regions_of(prediction: Prediction) -> list[tuple[int, Detection]]:
    """One object a class, for a prediction whose instances were not told apart."""
    kinds = [kind for kind in np.unique(prediction.classes).tolist() if kind]
    return [(0, Detection(0, 0, prediction.classes == kind, kind, 1.0)) for kind in kinds]


def outlined(
    objects: Sequence[tuple[int, Detection]], *, tolerance: float = TOLERANCE
) -> list[Outlined]:
    """Objects as they are drawn.

    Args:
        objects: with their numbers.
        tolerance: px by which a line may leave the outline.

    Example:
        >>> outlined(objects_of(prediction))[0].path
        'M3.5 2l4 0.5 …z'
    """
    return [_outlined(number, one, tolerance) for number, one in objects]


def _outlined(number: int, one: Detection, tolerance: float) -> Outlined:
    rows, cols = np.nonzero(one.mask)
    return Outlined(
        number=number,
        class_id=one.class_id,
        row=one.top + float(rows.mean()) + 0.5,
        col=one.left + float(cols.mean()) + 0.5,
        path=_path(one, tolerance),
    )


def _path(one: Detection, tolerance: float) -> str:
    # Between the centres of pixels inside and outside, where the pixels' own border is.
    rings = find_contours(np.pad(one.mask, 1).astype(np.float32), 0.5)
    offset = np.array([one.top, one.left]) - 0.5  # one padded pixel before, half a pixel after
    rings.sort(key=len, reverse=True)
    lines = [_simplified(ring[:-1], tolerance) for ring in rings]  # the last is the first again
    # A speck that the tolerance swallows is left out, unless it is all there is.
    drawn = [line for line in lines if len(line) > 2] or [rings[0][:-1]]
    return "".join(_subpath(line + offset) for line in drawn)


def _simplified(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """A closed line (N, 2) of fewer points; of 1 or 2 where it is smaller than the tolerance."""
    return cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, True)[:, 0]


def _subpath(line: np.ndarray) -> str:
    """A closed line (N, 2) as relative moves in tenths of a pixel, x before y."""
    tenths = np.rint(line[:, ::-1] * 10).astype(int)
    moves = np.diff(tenths, axis=0)
    start = " ".join(_tenth(v) for v in tenths[0].tolist())
    steps = "".join(f"l{_tenth(x)} {_tenth(y)}" for x, y in moves.tolist())
    return f"M{start}{steps}z"


def _tenth(value: int) -> str:
    whole, part = divmod(abs(value), 10)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"
