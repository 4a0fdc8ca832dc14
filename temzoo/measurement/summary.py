"""Summarises a table of particles, for each image and for all together: number and sizes.

**Which particles count.** Those that touch the border stay in the table, and in the coverage, but
their size is unknown. Leaving them out favours small ones, which meet the border less often. So

- the *number* per area is always that of Miles and Lantuéjoul, the border correction of ISO
  13322-1: each particle that lies free counts 1 / ((H - h)(W - w)), where H x W is the frame and
  h x w the particle's bounding box: the area in which it could have lain free (Miles, 1974;
  Lantuéjoul, 1980). A particle of h x w pixels has (H - h - 1)(W - w - 1) free places, so a pixel
  is taken off on top; and so are the places where it would meet what is left out of the field;
- the *sizes* are of the free particles, each counting the same (``border="exclude"``), or by that
  weight (``"correct"``), or of all particles as if none were cut (``"include"``).

Particles below the smallest diameter that ``measure`` was given stay in the table too, and count in
nothing.

**How sure it is.** Sizes: bootstrap over particles, see ``temzoo.measurement.resampling``. Number
and coverage: limits of a Poisson process. Both take the particles as independent of each other.
Where images differ by more than chance (another place of the specimen, another dose), pooled
intervals are then too narrow: with ``over="images"`` whole images are drawn, for all figures. What
a model adds to that is known for D50 and the number alone: ``temzoo.measurement.model_error``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from temzoo.core.bootstrap import Interval
from temzoo.measurement.counted import Counted, Pair, counted
from temzoo.measurement.model_error import ModelError
from temzoo.measurement.resampling import Drawing, Sample, size_statistics

BORDERS = ("exclude", "correct", "include")
POOLED = "all"
BOX_SIDES = ("box_height", "box_width")
LEVEL = 0.95
NM2_PER_UM2 = 1e6


def summarize(
    table: pd.DataFrame | str | Path | Counted,
    *,
    by: str | Sequence[str] | None = "image",
    of: str = "diameter",
    border: str = "exclude",
    over: str = "particles",
    frames: Mapping[str, Pair] | None = None,
    model: ModelError | None = None,
    bootstrap: int = 1000,
    level: float = LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """Number, density, coverage and size distribution of particles, with intervals.

    Columns: ``image``, ``class`` ("all" where pooled), ``images``, ``particles`` (all in the
    table but those too small), ``too_small``, ``min_diameter_nm`` (the limit; 0: none),
    ``touching_border``, ``sized`` (those in the size statistics), ``border``, ``level``;
    then figures, each followed by its ``_low`` and ``_high``: ``density_per_um2`` (or
    ``_per_px2``); ``coverage`` (share of the area, at most 1; overlaps count twice); of the
    diameter, number-weighted: ``diameter_mean_nm``, ``diameter_d10_nm``, ``diameter_d50_nm`` (the
    median), ``diameter_d90_nm``; the log-normal fit: ``lognormal_mu`` and ``lognormal_sigma``
    (mean and standard deviation of ln(diameter in nm)), and the same as ``geometric_mean_nm`` and
    ``geometric_sd``; and by volume (ISO 9276-2): ``diameter_d43_nm``, ``diameter_d32_nm``,
    ``diameter_dv10_nm``, ``diameter_dv50_nm``, ``diameter_dv90_nm``. Intervals are by sampling;
    with ``model`` those of the number and of the diameter's D50 hold its error too. Both parts
    stand apart as well: ``density_per_um2_sampling_low``, ``diameter_d50_sampling_low_nm`` and
    their ``high``, and ``model_count_error`` and ``model_d50_error``, of the logarithm (about the
    relative error), NaN without model.

    Args:
        table: what ``measure`` returned, or several of them after ``pandas.concat``; particles
            that were dropped from it are not counted. Or the path of a Parquet file of it, such as
            particles_nm.parquet, which is read part by part: memory holds 56 bytes a particle.
        by: "image", "class", both, or None: one row for all together.
        of: what is a size: "diameter", "feret_max", "feret_min" …, without its unit; of boxes
            "box_height" or "box_width". Boxes have no diameter and no area: those figures and the
            coverage are NaN.
        border: "exclude", "correct" or "include" particles that touch it, as the module says.
        over: "particles", or "images" where they are drawn as a whole.
        frames: (height, width) of each image in the table's unit, by its name. Without it, images
            in which nothing was found are unknown, and their area missing from the pooled density.
        model: the error of what found the particles, as ``ModelError.of_card`` reads it.
        bootstrap: resamples; 0: no intervals.

    Returns:
        One row a group, in the order of the images (of ``frames``, where given); by image and
        class one for every class of the table, also where the image has none of it.

    Raises:
        ValueError: an option that is none, no such size, calibrated and uncalibrated images
            together, or two images of one name.

    Example:
        >>> tables = [measure(temzoo.predict(model, path)) for path in paths]
        >>> summarize(pandas.concat(tables), by=None, border="correct")
    """
    by = [by] if isinstance(by, str) else list(by or ())
    all_ = counted(table, of)
    how = _Method(over, bootstrap, level, seed, unit=all_.unit, of=of, border=border, model=model)
    _check(all_.columns, by, how)
    given = {name: (float(high), float(wide)) for name, (high, wide) in (frames or {}).items()}
    fields = given | {name: own for name, own in all_.fields.items() if name not in given}
    parts = _parts(all_, by, fields)
    rows = [
        {"image": image, "class": kind, **_row(part, own, how)} for image, kind, part, own in parts
    ]
    if not rows:
        return summarize(all_, by=None, of=of, bootstrap=0).iloc[:0]
    return pd.DataFrame(rows)


def sized(
    table: pd.DataFrame | Counted, *, of: str = "diameter", border: str = "exclude"
) -> tuple[np.ndarray, np.ndarray]:
    """The sizes that count and their weights, (n,) each, as ``summarize`` takes them."""
    return _sized(counted(table, of).columns, border)


def _sized(part: pd.DataFrame, border: str) -> tuple[np.ndarray, np.ndarray]:
    part = part[_counts(part, border)]
    ones = np.ones(len(part))
    return part["size"].to_numpy(), part["weight"].to_numpy() if border == "correct" else ones


def _counts(part: pd.DataFrame, border: str) -> np.ndarray:
    """(n,) bool: whose sizes count."""
    large = part["large"].to_numpy() & part["size"].notna().to_numpy()  # boxes have no diameter
    return large if border == "include" else large & part["free"].to_numpy()


@dataclass(frozen=True, kw_only=True)
class _Method(Drawing):
    """How a group of particles becomes a row: the options of ``summarize``, and the unit."""

    unit: str
    of: str
    border: str
    model: ModelError | None


def _check(table: pd.DataFrame, by: Sequence[str], how: _Method) -> None:
    rules = (
        ("by", by, not set(by) - {"image", "class"}, '"image", "class", both, or None'),
        ("border", how.border, how.border in BORDERS, '"exclude", "correct" or "include"'),
        ("over", how.over, how.over in ("particles", "images"), '"particles" or "images"'),
        ("bootstrap", how.bootstrap, how.bootstrap >= 0, "0 or more, such as 1000"),
        ("level", how.level, 0 < how.level < 1, "between 0 and 1, such as 0.95"),
    )
    for name, value, allowed, rule in rules:
        if not allowed:
            raise ValueError(f"{name} must be {rule}. Received: {name}={value!r}.")
    unknown = len(table) and table["size"].isna().all()
    if unknown and how.of not in ("diameter", *BOX_SIDES):
        raise ValueError(
            f"sizes must be known. Received: of={how.of!r} for boxes, which have no outline. Use"
            ' "box_height" or "box_width".'
        )
    twice = table[table.duplicated(["image", "particle"])]
    if len(twice):
        first = twice.iloc[0]
        raise ValueError(
            "each particle of an image has a number of its own. Received: two of number "
            f"{first['particle']} in {first['image']!r}, as of two images of one name. Rename one: "
            'table.assign(image="day 2, a.tif").'
        )


def _parts(
    all_: Counted, by: Sequence[str], fields: Mapping[str, Pair]
) -> Iterator[tuple[str, str, pd.DataFrame, Mapping[str, Pair]]]:
    """Image and class of each group, its rows of the columns, and the frames that it lies in."""
    table, found = all_.columns, {}
    if "image" in by:
        found = table.groupby("image", observed=True).indices
    # A class that an image has none of is a count of 0, not a gap in the table.
    kinds = sorted(all_.classes) if "class" in by else [POOLED]
    for image in fields if "image" in by else [POOLED]:
        part = table.iloc[found.get(image, [])] if "image" in by else table
        own = {image: fields[image]} if "image" in by else fields
        for kind in kinds:
            yield image, kind, part[part["class"] == kind] if "class" in by else part, own


def _row(part: pd.DataFrame, fields: Mapping[str, Pair], how: _Method) -> dict[str, Any]:
    """The cells of one group but its names."""
    unit, large = how.unit, part["large"].to_numpy()
    free = large & part["free"].to_numpy()
    sizes, weights = _sized(part, how.border)
    places = _image_index(part, fields) if how.over == "images" else np.zeros(len(part), int)
    groups = places[_counts(part, how.border)] if how.over == "images" else None
    found = size_statistics(
        Sample(sizes, weights, groups, len(fields)),
        bootstrap=how.bootstrap,
        level=how.level,
        seed=how.seed,
    )
    weight, area = part["weight"].to_numpy(), part["covered"].to_numpy()
    areas = np.array([height * width for height, width in fields.values()])
    # How many could be there of none that lies free is known of points alone.
    density = how.per_area(
        weight[free], places[free], areas, unseen=math.nan if large.any() else 1.0
    )
    coverage = _share(how.per_area(area[large], places[large], areas))
    scale, area_unit = (NM2_PER_UM2, "um2") if unit == "nm" else (1.0, "px2")
    return {
        "images": len(fields),
        "particles": int(large.sum()),
        "too_small": int((~large).sum()),
        f"min_diameter_{unit}": part["least"].max() if len(part) else 0.0,
        "touching_border": int((large & ~free).sum()),
        "sized": len(sizes),
        "border": how.border,
        "level": how.level,
        **_cells(f"density_per_{area_unit}", _with_model(density, "count", how), scale=scale),
        **_cells("coverage", coverage),
        **_size_cells(found, how),
        **_limits(f"density_per_{area_unit}_sampling", density, scale=scale),
        **_limits(f"{how.of}_d50_sampling", found["d50"], unit=f"_{unit}"),
        "model_count_error": how.model.count.size if how.model else math.nan,
        "model_d50_error": how.model.d50.size if how.model else math.nan,
    }


def _with_model(bounds: Interval, what: str, how: _Method) -> Interval:
    if how.model is None:
        return bounds
    return how.model.widened(bounds, getattr(how.model, what), level=how.level)


def _size_cells(found: Mapping[str, Interval], how: _Method) -> dict[str, float]:
    cells: dict[str, float] = {}
    of, unit = how.of, how.unit
    for name, bounds in found.items():
        if (of, name) == ("diameter", "d50"):
            bounds = _with_model(bounds, "d50", how)
        fit = name.startswith("lognormal")
        cells |= _cells(name, bounds) if fit else _cells(f"{of}_{name}", bounds, unit=f"_{unit}")
    mu, sigma = (
        Interval(*np.exp([bounds.value, bounds.low, bounds.high]).tolist())
        for bounds in (found["lognormal_mu"], found["lognormal_sigma"])
    )
    cells |= _cells("geometric_mean", mu, unit=f"_{unit}")
    return cells | _cells("geometric_sd", sigma)


def _cells(name: str, bounds: Interval, *, unit: str = "", scale: float = 1.0) -> dict[str, float]:
    """A figure and its limits, by the names of their columns; the unit comes last."""
    limits = _limits(name, bounds, unit=unit, scale=scale)
    return {f"{name}{unit}": bounds.value * scale, **limits}


def _limits(name: str, bounds: Interval, *, unit: str = "", scale: float = 1.0) -> dict[str, float]:
    return {
        f"{name}_low{unit}": bounds.low * scale,
        f"{name}_high{unit}": bounds.high * scale,
    }


def _share(sums: Interval) -> Interval:
    """Sums of areas by that of the frames as a share, from 0 to 1 as its limits are.

    What is left free shrinks exponentially with the sum of areas laid at random (Boolean model;
    Chiu et al., Stochastic Geometry, 2013, section 3.1): where the sum may be ``high`` / ``value``
    times as much, at most 1 - (1 - value) ** (high / value) is covered. For small shares that is
    ``high`` itself.
    """
    value, low = min(sums.value, 1.0), min(sums.low, 1.0)
    if not sums.value:
        return Interval(value, low, min(sums.high, 1.0))
    return Interval(value, low, 1 - (1 - value) ** (sums.high / sums.value))


def _image_index(part: pd.DataFrame, fields: Mapping[str, Pair]) -> np.ndarray:
    """(n,) the place of each particle's image among the fields."""
    return pd.Index(list(fields)).get_indexer(part["image"])
