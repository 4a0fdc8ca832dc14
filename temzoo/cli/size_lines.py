"""What ``temzoo measure`` shows on the screen: the figures that are most asked for, in lines."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

from temzoo.core.showing import doubtful_text

if TYPE_CHECKING:
    import pandas as pd

MOST_LINES = 30  # of images in the table on the screen
IN_PX = "all, as if of one magnification"


def shown(summary: pd.DataFrame) -> str:
    """The summary for the screen: the most asked for figures, rounded."""
    unit = "nm" if "diameter_mean_nm" in summary else "px"
    area = "um2" if unit == "nm" else "px2"
    if f"box_height_d50_{unit}" in summary:
        return boxes_shown(summary, unit, area)
    head = ("image", "particles", "at border", f"D10 {unit}", f"D50 {unit}", "95 %", f"D90 {unit}")
    head += (
        f"mean {unit}",
        f"D[4,3] {unit}",
        "GSD",
        "per µm²" if unit == "nm" else "per px²",
        "coverage",
    )
    rows = [line_of(row, unit, area) for _, row in _named(summary, unit)]
    if len(rows) > MOST_LINES:
        left = len(rows) - MOST_LINES
        rows = [*rows[: MOST_LINES - 1], (f"… {left} more",) + ("",) * 11, rows[-1]]
    lines = aligned([head, *rows])
    more = left_out(summary, unit) + doubtful_line(summary)
    return f"{lines}{more}\n{interval_parts(summary.iloc[-1])}"


def boxes_shown(summary: pd.DataFrame, unit: str, area: str) -> str:
    """The same of boxes: number, density and the medians of their sides."""
    head = ("image", "boxes", "at border", f"height D50 {unit}", "95 %", f"width D50 {unit}")
    head += ("95 %", "per µm²" if unit == "nm" else "per px²")
    rows = [box_line_of(row, unit, area) for _, row in _named(summary, unit)]
    if len(rows) > MOST_LINES:
        left = len(rows) - MOST_LINES
        rows = [*rows[: MOST_LINES - 1], (f"… {left} more",) + ("",) * 7, rows[-1]]
    told = "Boxes have no outline: no areas, diameters or coverage. 95 % intervals: sampling alone."
    return f"{aligned([head, *rows])}{doubtful_line(summary)}\n{told}"


def _named(summary: pd.DataFrame, unit: str) -> Iterator[tuple[Hashable, pd.Series]]:
    """The rows; that of all images says that their px are pooled as if of one magnification."""
    if unit == "px":
        summary = summary.assign(image=summary["image"].replace("all", IN_PX))
    return summary.iterrows()


def box_line_of(row: pd.Series, unit: str, area: str) -> tuple[str, ...]:
    """The cells of one line of boxes."""
    name = row["image"] if row["class"] == "all" else f"{row['image']}, {row['class']}"
    cells = [name, str(row["particles"]), str(row["touching_border"])]
    for side in ("box_height", "box_width"):
        low, high = (figure(row[f"{side}_d50_{end}_{unit}"]) for end in ("low", "high"))
        cells += [figure(row[f"{side}_d50_{unit}"]), f"{low} – {high}" if low else ""]
    return (*cells, figure(row[f"density_per_{area}"]))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines, the first column to the left."""
    widths = [max(len(cells[k]) for cells in rows) for k in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    )


def interval_parts(row: pd.Series) -> str:
    """What the intervals of the last line hold."""
    d50, count = row["model_d50_error"], row["model_count_error"]
    if math.isnan(d50):
        return (
            "95 % intervals: sampling alone; the error of what found the particles is not known, or"
            " of too few validation images."
        )
    return (
        "95 % intervals of D50 and number: sampling and model; by itself the model is off by a"
        f" factor of {math.exp(d50):.3g} in D50 and {math.exp(count):.3g} in number (root of mean"
        " square on validation images)."
    )


def left_out(summary: pd.DataFrame, unit: str) -> str:
    """A line on particles that count in nothing, if any; the limit is the largest of all images."""
    single = summary[summary["image"] != "all"]
    small, least = single["too_small"].sum(), single[f"min_diameter_{unit}"].max()
    if not least > 0:
        return ""
    return f"\nToo small to count, below {figure(least)} {unit}: {small}; they stay in the table."


def doubtful_line(summary: pd.DataFrame) -> str:
    """A line on objects of which the model is not sure, if any."""
    single = summary[summary["image"] != "all"].drop_duplicates("image")
    count = int(single["doubtful"].sum())
    return f"\n{doubtful_text(count)}" if count else ""


def kinds_line(kinds: pd.DataFrame) -> str:
    """What the particles of all images are, in a line; nothing where there are none."""
    last = kinds[(kinds["image"] == kinds["image"].tail(1).sum()) & (kinds["particles"] > 0)]
    unit = "nm" if "diameter_d50_nm" in kinds else "px"
    parts = []
    for _, row in last.sort_values("particles", ascending=False).iterrows():
        d50, aspect = figure(row[f"diameter_d50_{unit}"]), figure(row["aspect_ratio_d50"])
        sizes = f" (D50 {d50} {unit}, aspect ratio {aspect})" if d50 else ""
        parts.append(f"{row['particles']} {row.iloc[1]}{sizes}")
    return f"{kinds.columns[1].capitalize()}: {', '.join(parts) or 'no particles'}."


def line_of(row: pd.Series, unit: str, area: str) -> tuple[str, ...]:
    """The cells of one line."""
    name = row["image"] if row["class"] == "all" else f"{row['image']}, {row['class']}"
    low, high = (figure(row[f"diameter_d50_{side}_{unit}"]) for side in ("low", "high"))
    sizes = [
        figure(row[f"diameter_{name}_{unit}"]) for name in ("d10", "d50", "d90", "mean", "d43")
    ]
    between = f"{low} – {high}" if low else ""
    others = (row["geometric_sd"], row[f"density_per_{area}"], row["coverage"])
    return (
        name,
        str(row["particles"]),
        str(row["touching_border"]),
        *sizes[:2],
        between,
        *sizes[2:],
        *(figure(value) for value in others),
    )


def figure(value: float) -> str:
    """Three or four digits; nothing for what is undefined."""
    return "" if math.isnan(value) else f"{value:.4g}"
