"""A prediction → one row a particle, with the unit in each column's name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from temzoo.core.hints import require_classes
from temzoo.core.types import Micrograph, Prediction
from temzoo.measurement.free_places import free_weights, in_field_px
from temzoo.measurement.morphology import THRESHOLDS, morphology
from temzoo.measurement.necks import neck_depths
from temzoo.measurement.pixel_runs import Runs, runs_of_detections, runs_of_map
from temzoo.measurement.shapes import (
    ellipse_likeness,
    ellipses,
    ferets,
    hull_perimeters,
    hulls,
    perimeters,
    ratios,
    solidity,
)
from temzoo.micrographs import Scale, checked_scale, load_micrograph, to_grey

# Beginnings of the columns that boxes cannot give.
OF_OUTLINES = (
    *("area_", "diameter_", "feret_", "perimeter_", "circularity", "aspect_ratio"),
    *("orientation_deg", "solidity", "mean_intensity", "elongation", "convexity", "roundness"),
    *("extent", "ellipse_likeness", "neck_depth"),
)
NO_NECK = 0.97  # solidity from which on a neck is no deeper than the rules of morphology look for


def measure(
    prediction: Prediction,
    micrograph: Micrograph | np.ndarray | str | Path | None = None,
    *,
    nm_per_pixel: float | Scale | None = None,
    min_area_px: int = 0,
    min_diameter_nm: float = 0.0,
    min_diameter_px: float = 0.0,
    classes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Measures each particle of a micrograph, in nanometres where it is calibrated.

    Lengths and areas are physical ones also where pixels are not square; how each is defined
    stands in ``temzoo.measurement.shapes``. A detector's objects are measured by their own whole
    masks, overlaps and all. A particle in several pieces is one row.

    Columns, with ``nm`` for a calibrated micrograph and ``px`` else, never both:

    - ``image``, ``particle`` (its number in the instance map, or of the detection from 1 on),
      ``class``, ``score`` (NaN where the model gives none); doubtful objects are not in the table;
    - ``area_nm2``; ``diameter_nm`` of the circle of equal area; ``feret_max_nm``,
      ``feret_min_nm``; ``perimeter_nm`` (Crofton);
    - ``circularity``, 4 pi area / perimeter², not clipped: it scatters about 1 for circles and
      exceeds it for the smallest; ``feret_aspect_ratio``, ``elongation``, ``convexity``,
      ``roundness`` and ``extent`` of ISO 9276-6 (``shapes.ratios`` has the formulas);
      ``aspect_ratio`` and ``orientation_deg`` of the ellipse of equal moments (long axis, clockwise
      on screen from the horizontal, 0 to below 180); ``solidity``; ``ellipse_likeness`` of the
      convex hull; ``neck_depth``, NaN below an equivalent diameter of 20 px;
    - ``morphology``: sphere, rod, faceted, irregular or aggregate in projection, or "unsure", by
      the rules of ``temzoo.measurement.morphology``;
    - ``centroid_row_nm``, ``centroid_col_nm`` from the micrograph's upper left corner;
    - ``mean_intensity`` in the micrograph's grey values, NaN without it;
    - ``nearest_neighbour_nm``, between centroids, NaN where there is no other particle;
    - ``touches_border``: it has pixels in the first or last row or column, or beside a box that was
      left out (``Prediction.left_out``), so that it may be cut;
    - ``confidence``: how likely the particle is real, of models that know ("particles"), else NaN;
    - ``box_height_nm``, ``box_width_nm``: of its bounding box; ``frame_height_nm``,
      ``frame_width_nm``: of the micrograph, without an info bar; ``field_share``: what of the
      frame was looked at, 0 to 1; ``share_in_field``: what of the particle's area lies there, below
      1 where a scale bar hides some of it; ``border_weight``, from 1 on: the area of the field by
      that in which the particle could have lain free (ISO 13322-1), NaN where it does not;
      ``nm_per_pixel_row``, ``nm_per_pixel_col``: the calibration, NaN where there is none;
      ``min_diameter_nm``: the smallest that counts, 0 for all. ``summarize`` counts by them.

    Of a model that finds boxes (``Prediction.box_shaped``), area, diameters, perimeter, shape and
    intensity are NaN and the morphology is "unsure": a box has no outline. Number, class, score,
    centroid (of the box), neighbours, border and box sizes are known.

    Args:
        prediction: what ``temzoo.predict`` returned or ``temzoo.load_prediction`` read.
        micrograph: what it was made of, for the intensities (colour counts as its luma).
        nm_per_pixel: one number or (row, col), in place of the calibration of the prediction, or
            of the micrograph where the prediction has none.
        min_area_px: smaller particles are left out; neighbours are those that remain.
        min_diameter_nm, min_diameter_px: particles of a smaller equivalent diameter stay in the
            table, but have and are no neighbours, and ``summarize`` counts them as too small
            alone. A pixel is the square of a pixel's area. Of both the larger holds.
        classes: names of the classes to keep; None: all.

    Returns:
        One row a particle, in the order of their numbers; the columns and dtypes are the same
        where there is none.

    Raises:
        ValueError: an unknown class, a calibration that is none, a micrograph of another size, a
            smallest diameter below 0, in nm of a micrograph that has no calibration, or of boxes.

    Example:
        >>> table = measure(temzoo.predict(model, "particles.tif"))
        >>> table["diameter_nm"].median()
    """
    if isinstance(micrograph, str | Path):
        micrograph = load_micrograph(micrograph)
    source = Micrograph(micrograph) if isinstance(micrograph, np.ndarray) else micrograph
    if nm_per_pixel is None:
        nm_per_pixel = prediction.nm_per_pixel or (source.nm_per_pixel if source else None)
    spacing = None if nm_per_pixel is None else checked_scale(nm_per_pixel)
    least = _least_diameter(min_diameter_nm, min_diameter_px, spacing, prediction.name)
    if least and prediction.box_shaped:
        raise ValueError(
            "boxes have no diameter, so none is too small. Received: a smallest diameter for the"
            f" boxes of {prediction.name!r}. Leave it out, or predict with particles/emps."
        )
    runs, ids = _particles(prediction)
    keep = (runs.area_px >= min_area_px) & _is_wanted(prediction, ids, classes)
    runs, ids = runs.picked(keep), ids[keep]
    scores = _scores(prediction, runs)
    columns = {
        "image": _texts([prediction.name] * len(runs)),
        "particle": runs.numbers,
        "class": _texts([_class_name(prediction, one) for one in ids]),
        "score": scores,
        **_measures(runs, spacing or (1.0, 1.0), "nm" if spacing else "px", least),
    }
    columns["field_share"], columns["share_in_field"] = np.ones((2, len(runs)))
    if prediction.left_out:
        columns |= _in_the_field(columns, prediction, runs)
    weights = free_weights(runs.boxes, runs.shape, prediction.left_out)
    columns["border_weight"] = np.where(columns["touches_border"], math.nan, weights)
    columns["mean_intensity"] = _mean_intensity(runs, source)
    if prediction.box_shaped:
        outlined = (name for name in columns if name.startswith(OF_OUTLINES))
        columns |= {name: np.full(len(runs), math.nan) for name in outlined}
    unknown = np.full(len(runs), math.nan)
    columns["confidence"] = scores if _is_calibrated(prediction) else unknown
    for axis, size in zip(("row", "col"), spacing or (math.nan, math.nan), strict=True):
        columns[f"nm_per_pixel_{axis}"] = np.full(len(runs), size)
    columns["min_diameter_nm" if spacing else "min_diameter_px"] = np.full(len(runs), least)
    table = pd.DataFrame(columns)
    table.insert(list(columns).index("neck_depth") + 1, "morphology", morphology(table))
    return table


def frame_of(prediction: Prediction) -> tuple[float, float]:
    """(height, width) of the field, in nm where it is calibrated, else in px.

    What was left out of it makes it less high, so that its area is that of the rest.
    """
    height, width = prediction.instances.shape
    down, along = prediction.nm_per_pixel or (1.0, 1.0)
    return height * down * prediction.field_share, width * along


def _in_the_field(
    columns: Mapping[str, np.ndarray], prediction: Prediction, runs: Runs
) -> dict[str, np.ndarray]:
    """The columns that differ where a part was left out: the field is smaller, its edge longer."""
    beside = set()
    for top, left, bottom, right in prediction.left_out:
        around = prediction.instances[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]
        beside |= set(np.unique(around).tolist())
    height = next(name for name in columns if name.startswith("frame_height_"))
    rows = prediction.field.any(axis=1).mean()  # an info bar makes the frame less high
    share = prediction.field_share / rows if rows else 0.0
    return {
        "touches_border": columns["touches_border"] | np.isin(runs.numbers, [*beside]),
        height: columns[height] * rows,
        "field_share": np.full(len(runs), share),
        "share_in_field": in_field_px(runs, prediction.left_out) / runs.area_px,
    }


def _least_diameter(nm: float, px: float, spacing: Scale | None, image: str) -> float:
    """The smallest diameter that counts, in nm where there is a calibration, else in px."""
    for name, value in (("min_diameter_nm", nm), ("min_diameter_px", px)):
        if not 0 <= value < math.inf:
            raise ValueError(
                f"{name} must be a length, 0 or more. Received: {name}={value}. Use 0 for all."
            )
    if spacing is None and nm:
        raise ValueError(
            f"min_diameter_nm needs a calibrated micrograph. Received: min_diameter_nm={nm:g} for "
            f"{image!r}, which has no calibration. Give nm_per_pixel, or min_diameter_px."
        )
    return max(nm, px * math.sqrt(math.prod(spacing))) if spacing else px


def _particles(prediction: Prediction) -> tuple[Runs, np.ndarray]:
    """The particles, and the class of each; all pixels of one have the same."""
    if prediction.detections is not None:
        runs = runs_of_detections(prediction.detections, prediction.instances.shape)
        ids = np.array([one.class_id for one in prediction.detections], np.int64)
        return runs, ids[runs.numbers - 1]
    runs = runs_of_map(prediction.instances)
    first = runs.row[runs.first], runs.start[runs.first]
    return runs, prediction.classes[first].astype(np.int64)


def _measures(runs: Runs, spacing: Scale, unit: str, least: float) -> dict[str, np.ndarray]:
    """The columns that depend on the pixels' size, and the place that the intensity will have."""
    area = runs.area_px * (spacing[0] * spacing[1])
    hull, ellipse = hulls(runs), ellipses(runs, spacing)
    longest, narrowest = ferets(hull, spacing)
    perimeter = perimeters(runs, spacing)
    diameter = 2 * np.sqrt(area / math.pi)
    top, left, bottom, right = runs.boxes.T
    height, width = runs.shape
    feret = longest, narrowest
    shape = {
        **ratios(area, perimeter, hull_perimeters(hull, spacing), feret),
        "aspect_ratio": ellipse.aspect_ratio,
        "orientation_deg": ellipse.orientation_deg,
        "solidity": solidity(runs, hull),
    }
    shape["ellipse_likeness"] = ellipse_likeness(shape)
    shape["neck_depth"] = _necks(runs, spacing, shape["solidity"])
    return {
        f"area_{unit}2": area,
        f"diameter_{unit}": diameter,
        f"feret_max_{unit}": longest,
        f"feret_min_{unit}": narrowest,
        f"perimeter_{unit}": perimeter,
        **shape,
        f"centroid_row_{unit}": ellipse.centroid[:, 0],
        f"centroid_col_{unit}": ellipse.centroid[:, 1],
        "mean_intensity": np.full(len(runs), math.nan),
        f"nearest_neighbour_{unit}": _nearest(ellipse.centroid, diameter >= least),
        "touches_border": runs.touches_border,
        f"box_height_{unit}": (bottom - top) * spacing[0],
        f"box_width_{unit}": (right - left) * spacing[1],
        f"frame_height_{unit}": np.full(len(runs), height * spacing[0]),
        f"frame_width_{unit}": np.full(len(runs), width * spacing[1]),
    }


def _necks(runs: Runs, spacing: Scale, solid: np.ndarray) -> np.ndarray:
    """(N,) depths of necks: 0 where hardly any can be, NaN where there are too few pixels."""
    large = 2 * np.sqrt(runs.area_px / math.pi) >= THRESHOLDS["pixels"].value
    found = neck_depths(runs, spacing, large & (solid < NO_NECK))
    return np.where(large, found, math.nan)


def _class_name(prediction: Prediction, class_id: int) -> str:
    names = prediction.class_names
    return names[class_id - 1] if 1 <= class_id <= len(names) else str(class_id)


def _is_wanted(
    prediction: Prediction, ids: np.ndarray, classes: Sequence[str] | None
) -> np.ndarray:
    """(N,) bool: which particles are of one of the classes."""
    if classes is None:
        return np.ones(len(ids), bool)
    own = [_class_name(prediction, one) for one in ids.tolist()]
    require_classes(classes, {*prediction.class_names, *own} or None, "prediction")
    return np.array([name in classes for name in own], bool)


def _is_calibrated(prediction: Prediction) -> bool:
    """Whether a score is a probability: those of a detector are none."""
    return prediction.doubtful is not None and prediction.detections is None


def _scores(prediction: Prediction, runs: Runs) -> np.ndarray:
    scores = prediction.scores
    if prediction.detections is not None:
        scores = np.array([one.score for one in prediction.detections])
    if scores is None:
        return np.full(len(runs), math.nan)
    return np.asarray(scores, float)[runs.numbers - 1]


def _texts(values: Sequence[str]) -> pd.Series:
    return pd.Series(list(values), dtype="str")


def _nearest(centroids: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(N,) distance to the nearest other point of those that count; NaN where there is none."""
    distances = np.full(len(centroids), math.nan)
    if np.count_nonzero(counts) > 1:
        points = centroids[counts]
        distances[counts] = KDTree(points).query(points, k=2)[0][:, 1]
    return distances


def _mean_intensity(runs: Runs, source: Micrograph | None) -> np.ndarray:
    if source is None or not len(runs):
        return np.full(len(runs), math.nan)
    if source.pixels.shape[:2] != runs.shape:
        raise ValueError(
            "the micrograph must be the one that was predicted, of its size. Received: "
            f"{source.pixels.shape[:2]} pixels (rows, columns) for a prediction of {runs.shape}. "
            "Pass that very image."
        )
    values = to_grey(source.pixels).ravel()
    begins = runs.row * runs.shape[1] + runs.start
    order = np.argsort(begins, kind="stable")  # or the sums between the runs would be long
    ends = begins + runs.stop - runs.start
    pairs = np.stack([begins[order], ends[order]], axis=1).ravel()
    # The last run may end where the image does, beyond which no sum can begin.
    pairs = pairs[:-1] if pairs[-1] == len(values) else pairs
    sums = np.empty(len(order))
    sums[order] = np.add.reduceat(values, pairs, dtype=np.float64)[::2]
    return runs.sums(sums) / runs.area_px
