"""Number and sizes of the particles: the first figures of the page, the distribution, a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from temzoo.measurement.between_images import differing, told
from temzoo.measurement.counted import Counted
from temzoo.measurement.kinds import summarize_kinds
from temzoo.measurement.model_error import ModelError
from temzoo.measurement.summary import sized, summarize
from temzoo.pages.charts import Sizes, size_chart
from temzoo.pages.gallery import Gallery
from temzoo.pages.html import text
from temzoo.pages.numbers import column, counted, figure, interval
from temzoo.pages.page import KeyFigure, Section
from temzoo.pages.tables import figure_table, name_cell

PER_MEGAPIXEL = 1e6
FEWEST = 5  # particles; of fewer a histogram says nothing
MOST_CLASSES = 6
INTERVAL = "95 % interval"
Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Measured:
    """All particles of a gallery, and what is said of them together.

    Attributes:
        particles: what counts of them, of all micrographs.
        pooled: the one row of ``temzoo.summarize``.
        frames: (height, width) of each micrograph by its name, in the unit of the table.
        model: the error of what found the particles, where it is known.
    """

    particles: Counted
    pooled: Row
    frames: Mapping[str, tuple[float, float]]
    model: ModelError | None

    @property
    def unit(self) -> str:
        return self.particles.unit


def measured(gallery: Gallery, model: ModelError | None = None) -> list[Measured]:
    """Of the calibrated micrographs, then of the others."""
    return [
        Measured(particles, _pooled(particles, frames, model), frames, model)
        for particles, frames in gallery.by_unit().values()
    ]


def key_figures(found: Sequence[Measured]) -> list[KeyFigure]:
    """How many particles, how large, how dense, how much of the area; of each unit."""
    return [
        replace(key, name=f"{key.name}{_apart(one, found)}")
        for one in found
        for key in _key_figures(one)
    ]


def _apart(one: Measured, found: Sequence[Measured]) -> str:
    """What is added to a name, so that two units are told apart."""
    where = {"nm": "calibrated micrographs", "px": "uncalibrated micrographs"}
    return f", {where[one.unit]}" if len(found) > 1 else ""


def _key_figures(found: Measured) -> list[KeyFigure]:
    unit, row = found.unit, found.pooled
    value, low, high = _density(row, unit)
    cut = int(row["touching_border"])
    return [
        KeyFigure(
            "Particles",
            figure(int(row["particles"])),
            "",
            f"{figure(cut)} of them {'touches' if cut == 1 else 'touch'} the border",
        ),
        KeyFigure(
            "Median diameter, D50",
            figure(row[f"diameter_d50_{unit}"]),
            unit,
            _aside(*_bounds(row, f"diameter_d50_{unit}")),
        ),
        KeyFigure("Density", figure(value), _per(unit), _aside(low, high)),
        KeyFigure(
            "Coverage",
            figure(100 * row["coverage"]),
            "%",
            _aside(*(100 * bound for bound in _bounds(row, "coverage"))),
        ),
    ]


def size_sections(found: Sequence[Measured], plates: Mapping[str, int]) -> list[Section]:
    """The distribution of sizes, and the figures of each micrograph."""
    return [
        replace(section, name=f"{section.name}{_apart(one, found)}")
        for one in found
        for section in [*_distributions(one), *_kinds(one), _each(one, plates)]
    ]


def _pooled(
    particles: Counted, frames: Mapping[str, tuple[float, float]], model: ModelError | None
) -> Row:
    return summarize(particles, by=None, frames=frames, model=model).iloc[0].to_dict()


def _distributions(found: Measured) -> list[Section]:
    """One, unless there is no particle."""
    if not len(found.particles.columns):
        return []
    kinds = found.particles.classes
    parts = {"": (found.particles, found.pooled)}
    if len(kinds) > 1:
        of_kind = {kind: found.particles.of_class(kind) for kind in kinds[:MOST_CLASSES]}
        how = found.frames, found.model
        parts = {kind: (part, _pooled(part, *how)) for kind, part in of_kind.items()}
    figures = "".join(_size_figure(name, *part) for name, part in parts.items())
    left_out = len(kinds) - MOST_CLASSES
    more = f" The {MOST_CLASSES} most frequent classes of {len(kinds)}." if left_out > 0 else ""
    note = (
        "Equivalent circular diameter: of the circle of the same area. Particles that touch the"
        f" border are left out, since their size is not whole.{more}"
    )
    return [Section("Size distribution", figures, note=note)]


def _size_figure(name: str, part: Counted, row: Row) -> str:
    unit = part.unit
    values, _ = sized(part)
    heading = f"<h3>{text(name)}</h3>" if name else ""
    if len(values) < FEWEST:
        whole = counted(len(values), "whole particle")
        return f'{heading}<p class="note">{whole}: too few for a distribution.</p>'
    mu, sigma = row["lognormal_mu"], row["lognormal_sigma"]
    sizes = Sizes(
        values=values,
        unit=unit,
        quantiles={f"D{q}": row[f"diameter_d{q}_{unit}"] for q in (10, 50, 90)},
        d50=_bounds(row, f"diameter_d50_{unit}"),
        fit=(mu, sigma) if math.isfinite(mu) and math.isfinite(sigma) else None,
    )
    caption = (
        f"{counted(len(values), 'whole particle')}, log-normal fit as a line, {INTERVAL} of D50"
        f" shaded{_parts_of_interval(row, unit)}."
    )
    return (
        f'<div class="sizes"><figure>{heading}{size_chart(sizes)}'
        f"<figcaption>{caption}</figcaption></figure>{_size_table(row, unit)}</div>"
    )


def _parts_of_interval(row: Row, unit: str) -> str:
    own = row["model_d50_error"]
    if math.isnan(own):
        return "; it is by sampling alone"
    limits = (row[f"diameter_d50_sampling_{side}_{unit}"] for side in ("low", "high"))
    factor = figure(math.exp(own))
    return f": {interval(*limits)} by sampling, widened by the model's own factor of {factor}"


def _size_table(row: Row, unit: str) -> str:
    names = {
        f"diameter_mean_{unit}": ("Mean", unit),
        f"diameter_d10_{unit}": ("D10", unit),
        f"diameter_d50_{unit}": ("D50, median", unit),
        f"diameter_d90_{unit}": ("D90", unit),
        f"diameter_d43_{unit}": ("D[4,3], mean by volume", unit),
        f"diameter_d32_{unit}": ("D[3,2], mean by surface", unit),
        **{f"diameter_dv{q}_{unit}": (f"Dv{q}, by volume", unit) for q in (10, 50, 90)},
        f"geometric_mean_{unit}": ("Log-normal: geometric mean", unit),
        "geometric_sd": ("Log-normal: geometric SD", ""),
    }
    rows = [
        (name, (figure(row[key]), row[key]), of, interval(*_bounds(row, key)))
        for key, (name, of) in names.items()
        if key in row
    ]
    return figure_table(("Diameter", "Value", "Unit", INTERVAL), rows, caption="Sizes", words=(2,))


def _kinds(found: Measured) -> list[Section]:
    """Number, D50 and aspect ratio of the particles of each kind of outline, if there are any."""
    if not len(found.particles.columns):
        return []
    table = summarize_kinds(found.particles, frames=found.frames, model=found.model)
    pooled = table[table["image"] == table["image"].iloc[-1]]
    unit, d50, aspect = found.unit, f"diameter_d50_{found.unit}", "aspect_ratio_d50"
    rows = [
        (
            row["morphology"],
            (figure(int(row["particles"])), int(row["particles"])),
            (figure(100 * row["share"]), row["share"]),
            (figure(row[d50]), row[d50]),
            interval(*_bounds(row, d50)),
            (figure(row[aspect]), row[aspect]),
            interval(*_bounds(row, aspect)),
        )
        for row in pooled.to_dict("records")
    ]
    head = ("Outline", "Particles", "Share\n%", f"D50\n{unit}", INTERVAL, "Aspect ratio", INTERVAL)
    body = figure_table(head, rows, caption="Number and sizes by kind of outline")
    note = (
        "In projection: a sphere is round, a faceted particle compact with corners, an aggregate"
        " has a neck. Unsure: near a threshold of the rules, below 20 px, or at the border."
        " Medians of particles free of the border."
    )
    return [Section("Kinds of outlines", body, note=note)]


def _each(found: Measured, plates: Mapping[str, int]) -> Section:
    unit = found.unit
    by_image = summarize(found.particles, by="image", frames=found.frames, model=found.model)
    rows = [_image_row(row, unit, plates) for row in by_image.to_dict("records")]
    total = _image_row({**found.pooled, "image": "All"}, unit, {}) if len(rows) > 1 else None
    head = (
        "Micrograph",
        "Particles",
        f"D50\n{unit}",
        INTERVAL,
        f"Mean\n{unit}",
        f"Density\n{_per(unit)}",
        INTERVAL,
        "Coverage\n%",
    )
    body = figure_table(head, rows, caption="Figures of each micrograph", total=total)
    return Section(
        "Summary by micrograph",
        body,
        note="Intervals of sizes: bootstrap over particles; of density: Poisson limits. Both hold"
        " for particles that are independent of each other. Densities count whole particles,"
        " weighted by the area in which each could have lain whole (ISO 13322-1, Miles and"
        f" Lantuéjoul). {_model_note(found.model)} {_unlike_note(found)}".rstrip(),
    )


def _unlike_note(found: Measured) -> str:
    names = differing(found.particles, found.frames)
    known = told(names, len(found.frames))
    return known.replace("--over", "temzoo measure --over")


def _model_note(model: ModelError | None) -> str:
    if model is None:
        return (
            "The error of what found the particles is not known, or of too few validation images,"
            " and not in the intervals."
        )
    return (
        "Intervals of D50 and density also hold the model's own error, on the"
        f" {model.images} validation images with six free particles or more: a factor of"
        f" {figure(math.exp(model.d50.size))} in D50,"
        f" of {figure(math.exp(model.count.size))} in number."
    )


def _image_row(row: Row, unit: str, plates: Mapping[str, int]) -> tuple:
    density, low, high = _density(row, unit)
    d50, mean = (row[f"diameter_{which}_{unit}"] for which in ("d50", "mean"))
    return (
        name_cell(str(row["image"]), plates),
        (figure(int(row["particles"])), int(row["particles"])),
        (figure(d50), d50),
        interval(*_bounds(row, f"diameter_d50_{unit}")),
        (figure(mean), mean),
        (figure(density), density),
        interval(low, high),
        (figure(100 * row["coverage"]), row["coverage"]),
    )


def _density(row: Row, unit: str) -> tuple[float, float, float]:
    """Per µm², or per million pixels, with its limits."""
    key, factor = ("density_per_um2", 1.0) if unit == "nm" else ("density_per_px2", PER_MEGAPIXEL)
    low, high = _bounds(row, key)
    return factor * row[key], factor * low, factor * high


def _per(unit: str) -> str:
    return "µm⁻²" if unit == "nm" else "per Mpx"


def _bounds(row: Row, key: str) -> tuple[float, float]:
    named = column(key)
    unit = key.removeprefix(named.stem) if named.unit in ("nm", "px") else ""
    stem = key.removesuffix(unit)  # the unit stands last: diameter_d50_low_nm
    return float(row[f"{stem}_low{unit}"]), float(row[f"{stem}_high{unit}"])


def _aside(low: float, high: float) -> str:
    known = interval(low, high)
    return f"{INTERVAL} {known}" if known else "too few for an interval"
