"""Lines, such as dislocations: their length, and length per area and per volume.

**Length of a mask.** The mask is thinned to a skeleton one pixel wide (Guo and Hall, Communications
of the ACM 32, 359, 1989; ``skimage.morphology.thin``), which has n_e steps along rows or columns,
n_o diagonal ones and n_c changes from one to the other. Its length is that of Vossepoel and
Smeulders (Computer Graphics and Image Processing 20, 347, 1982), 0.980 n_e + 1.406 n_o - 0.091 n_c:
without bias for straight lines of random direction, where counting diagonal steps as sqrt(2) is
5 % too long. Of bands 3 to 14 px wide, in random directions, it is off by about 1 % (root of mean
square) from 150 px on, and by 2 to 3 % at 60 px, if their outlines are smooth: roughness of 1 px
adds branches, 4 to 9 % of the length from 150 px on. Where lines cross at a small angle they share
a part of the skeleton, which counts once. Zhang and Suen's thinning, which ``skeletonize`` takes,
is no choice: it loses parts of bands near 45 degrees.

**Length of labels.** That of the polyline itself, cut at the border.

**Density.** Length per area of the field needs no correction at the border, as a line is cut where
the field is. By a foil's thickness it becomes projected length per volume. Lines of random
directions are seen at pi / 4 of their length, the mean over directions of the sine of the angle to
the beam: their length per volume is 4 / pi times as much.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from temzoo.core.hints import require_classes
from temzoo.core.types import LINE_KINDS, LabelledImage, Prediction
from temzoo.measurement.resampling import Drawing
from temzoo.measurement.volumes import NM_PER_M, checked_thickness
from temzoo.micrographs import Scale, checked_scale

EVEN, DIAGONAL, CORNER = 0.980, 1.406, -0.091
POOLED = "all"
LEVEL = 0.95
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # to half of a pixel's neighbours
NM_PER_UM = 1e3
RANDOM = 4 / math.pi  # length of lines of random directions by their projected length


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines of one class in one image.

    Attributes:
        image, class_name: where, and what they are called.
        lengths: (n,) of each piece that hangs together; of labels, of each polyline. In nm, or in
            px where ``unit`` says so.
        area: of the field, in the square of that.
        unit: "nm" or "px".
    """

    image: str
    class_name: str
    lengths: np.ndarray
    area: float
    unit: str


def skeleton_lengths(mask: np.ndarray, *, spacing: Scale = (1.0, 1.0)) -> np.ndarray:
    """The length of each connected line of a mask, (n,), as the module says.

    Args:
        mask: (H, W) bool, bands of a few pixels' width.
        spacing: size of a pixel (row, col). Where they differ, the mask is first drawn with square
            pixels of the smaller size.

    Example:
        >>> skeleton_lengths(temzoo.predict(model, "foil.tif").classes == 1, spacing=(0.5, 0.5))
    """
    return _lengths(_square(np.asarray(mask, bool), spacing)) * min(spacing)


def lines_of_prediction(
    prediction: Prediction, *, classes: Sequence[str], nm_per_pixel: float | Scale | None = None
) -> list[Lines]:
    """The lines of classes of a prediction, without what was left out of its field.

    Args:
        classes: names of the classes whose pixels are lines.
        nm_per_pixel: as for ``temzoo.measure``.

    Raises:
        ValueError: a class that the prediction does not have, a prediction of boxes, or a
            calibration that is none.
    """
    require_classes(classes, prediction.class_names, "prediction")
    if prediction.box_shaped:
        raise ValueError(
            "lines are measured along their pixels. Received: a prediction of boxes,"
            f" {prediction.name!r}, which has none. Train a model that labels pixels, as unet."
        )
    spacing, unit = _scale(nm_per_pixel or prediction.nm_per_pixel)
    field, found = _square(prediction.field, spacing), []
    for name in classes:
        mask = prediction.classes == prediction.class_names.index(name) + 1
        lengths = _lengths(_square(mask, spacing), field) * min(spacing)
        area = prediction.field.sum() * math.prod(spacing)
        found.append(Lines(prediction.name, name, lengths, float(area), unit))
    return found


def lines_of_labels(
    labels: LabelledImage, *, nm_per_pixel: float | Scale | None = None
) -> list[Lines]:
    """The polylines of labels, each class by itself, as far as they lie inside the image.

    An image without any has one entry, without lines and of the class "": its area counts.
    """
    spacing, unit = _scale(nm_per_pixel)
    own: dict[str, list[float]] = {}
    for shape in labels.shapes:
        if shape.kind in LINE_KINDS:
            own.setdefault(shape.label, []).append(_inside(shape.points, labels, spacing))
    own = own or {"": []}
    area = labels.height * labels.width * math.prod(spacing)
    return [
        Lines(labels.name, name, np.array([one for one in lengths if one]), area, unit)
        for name, lengths in own.items()
    ]


def summarize_lines(
    lines: Iterable[Lines],
    *,
    thickness_nm: float | None = None,
    over: str = "pieces",
    level: float = LEVEL,
) -> pd.DataFrame:
    """Length and density of lines, a row an image and class, and one a class of all together.

    An image that has none of a class counts with its area, and has a row of 0.

    Columns: ``image`` ("all"), ``class``, ``images``, ``pieces``, ``length_um`` (or ``_px``),
    ``area_um2``, ``length_per_area_per_um`` (or ``_per_px``); with a thickness,
    ``length_per_volume_per_m2`` of the projected length, and ``random_length_per_volume_per_m2``
    for lines of random directions, each with ``_low`` and ``_high``. The limits are those of a sum
    over pieces that lie independently of each other, or by drawing whole images.

    Args:
        thickness_nm: of the foil; None: no figures by volume.
        over: "pieces", or "images" where they are drawn as a whole; of fewer than 6 there are no
            limits then.
        level: of the intervals.

    Raises:
        ValueError: images in nm and in px together, two of one name, a thickness that is none, or
            one for images without a calibration; something else to draw.
    """
    if over not in ("pieces", "images"):
        raise ValueError(f'over must be "pieces" or "images". Received: over={over!r}.')
    lines = list(lines)
    units = {one.unit for one in lines}
    if len(units) > 1:
        mixed = next(one.image for one in lines if one.unit == "px")
        raise ValueError(
            "lines of several images are summed up in nm or in px. Received: both; "
            f"{mixed!r} has no calibration. Give --nm-per-pixel 0.5 (nm_per_pixel=0.5)."
        )
    if thickness_nm is not None:
        checked_thickness(thickness_nm, units.pop() if units else "nm")
    counts = Counter((one.image, one.class_name) for one in lines)
    twice = next((image for (image, _), count in counts.items() if count > 1), None)
    if twice is not None:
        raise ValueError(
            f"each image has a name of its own. Received: two of name {twice!r}. Rename one."
        )
    lines = _of_all_classes(lines)
    groups = {(one.image, one.class_name): [one] for one in lines}
    if len({one.image for one in lines}) > 1:
        for one in lines:
            groups.setdefault((POOLED, one.class_name), []).append(one)
    how = Drawing(over, level=level)
    return pd.DataFrame(
        [
            {"image": image, "class": name, **_row(own, thickness_nm, how)}
            for (image, name), own in groups.items()
        ]
    )


def _of_all_classes(lines: Sequence[Lines]) -> list[Lines]:
    """The same with an entry for every class and image, or areas without lines would not count."""
    found = {(one.image, one.class_name): one for one in lines}
    names = list(dict.fromkeys(one.class_name for one in lines if one.class_name)) or [""]
    fields = {one.image: one for one in reversed(lines)}
    return [
        found.get((image, name), replace(fields[image], class_name=name, lengths=np.zeros(0)))
        for image in dict.fromkeys(one.image for one in lines)
        for name in names
    ]


def _row(lines: Sequence[Lines], thickness_nm: float | None, how: Drawing) -> dict[str, float]:
    lengths, areas = np.concatenate([one.lengths for one in lines]), [one.area for one in lines]
    unit, scale = ("um", NM_PER_UM) if lines[0].unit == "nm" else ("px", 1.0)
    places = np.repeat(np.arange(len(lines)), [len(one.lengths) for one in lines])
    bounds = how.per_area(lengths, places, np.array(areas))
    row = {
        "images": len(lines),
        "pieces": len(lengths),
        f"length_{unit}": float(lengths.sum()) / scale,
        f"area_{unit}2": sum(areas) / scale**2,
        "level": how.level,
    }
    figures = {f"length_per_area_per_{unit}": scale}
    if thickness_nm is not None:
        per_m2 = NM_PER_M**2 / thickness_nm
        figures["length_per_volume_per_m2"] = per_m2
        figures["random_length_per_volume_per_m2"] = per_m2 * RANDOM
    for name, factor in figures.items():
        row |= {
            name: bounds.value * factor,
            f"{name}_low": bounds.low * factor,
            f"{name}_high": bounds.high * factor,
        }
    return row


def _scale(nm_per_pixel: float | Scale | None) -> tuple[Scale, str]:
    return ((1.0, 1.0), "px") if nm_per_pixel is None else (checked_scale(nm_per_pixel), "nm")


def _square(mask: np.ndarray, spacing: Scale) -> np.ndarray:
    """A mask with square pixels of the smaller spacing; each takes what lies under its centre."""
    if math.isclose(*spacing, rel_tol=1e-3):
        return mask
    rows, cols = (
        np.minimum(
            (np.arange(round(size * own / min(spacing))) + 0.5) * min(spacing) / own, size - 0.5
        ).astype(int)
        for size, own in zip(mask.shape, spacing, strict=True)
    )
    return mask[np.ix_(rows, cols)]


def _lengths(mask: np.ndarray, field: np.ndarray | None = None) -> np.ndarray:
    """(n,) length in px of each connected piece of the mask's skeleton, inside the field alone."""
    from scipy import ndimage
    from skimage.morphology import thin

    # Mirrored at the border, or the skeleton of what is cut there would end before it.
    margin = min(int(2 * ndimage.distance_transform_edt(mask).max()) + 2, *mask.shape)
    skeleton = thin(np.pad(mask, margin, "symmetric"))[margin:-margin, margin:-margin]
    skeleton = skeleton if field is None else skeleton & field
    number, count = ndimage.label(skeleton, np.ones((3, 3), bool))
    even, diagonal = np.zeros((2, count + 1))
    straight, slanted = np.zeros((2, *mask.shape), np.int8)
    for down, right in STEPS:
        one, other = _pair(down, right)
        both = skeleton[one] & skeleton[other]
        if down and right:  # no step where a corner between them is on the way
            both &= ~(skeleton[one[0], other[1]] | skeleton[other[0], one[1]])
        steps, degree = (diagonal, slanted) if down and right else (even, straight)
        degree[one] += both
        degree[other] += both
        steps += np.bincount(number[one][both], minlength=count + 1)
    corners = np.bincount(number[(straight == 1) & (slanted == 1)], minlength=count + 1)
    lengths = (EVEN * even + DIAGONAL * diagonal + CORNER * corners)[1:]
    return lengths[lengths > 0]


def _pair(down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the pixels lie that have a neighbour so far away, and where those neighbours lie."""
    rows = (slice(None, -down), slice(down, None)) if down else (slice(None), slice(None))
    cols = {
        0: (slice(None), slice(None)),
        1: (slice(None, -1), slice(1, None)),
        -1: (slice(1, None), slice(None, -1)),
    }[right]
    return (rows[0], cols[0]), (rows[1], cols[1])


def _inside(points: np.ndarray, labels: LabelledImage, spacing: Scale) -> float:
    """Length of a polyline within the image (Liang and Barsky's clipping of each piece)."""
    total, limits = 0.0, (labels.height, labels.width)
    for start, end in itertools.pairwise(points):
        move, first, last = end - start, 0.0, 1.0
        for axis, limit in enumerate(limits):
            if move[axis]:
                ways = sorted(((0 - start[axis]) / move[axis], (limit - start[axis]) / move[axis]))
                first, last = max(first, ways[0]), min(last, ways[1])
            elif not 0 <= start[axis] <= limit:
                last = first
        total += max(last - first, 0.0) * math.hypot(*(move * spacing))
    return total
