"""What the tables are made of: rows, numbers, timings, scores, commands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Record = Mapping[str, Any]
GB = 1e9


class Point(NamedTuple):
    """A figure of a plot with its interval, and what it stands over."""

    panel: str  # the plot that it belongs to
    series: str  # the line, or marker
    x: tuple[float, float, float]  # x, y: (value, low, high)
    y: tuple[float, float, float]


def table(head: str, rows: Iterable[Sequence[Any]]) -> list[str]:
    """A Markdown table; the names of its columns are separated by ``|``."""
    names = [name.strip() for name in head.split("|")]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [names, ["---"] * len(names), *cells]
    return [f"| {' | '.join(line)} |" for line in lines]


def number(value: float | None, digits: int = 3) -> str:
    """Three significant figures, or a dash for what is not defined."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.0e}"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def timed(figure: Mapping[str, float] | None, factor: float = 1.0) -> str:
    """``median [least, most]`` of a spread, or the figure alone where there is one repetition."""
    if figure is None:
        return "–"
    if figure.get("repetitions") == 1:
        return number(factor * figure["median"])
    median, least, most = (number(factor * figure[key]) for key in ("median", "least", "most"))
    return f"{median} [{least}, {most}]"


def score(
    figure: Mapping[str, float] | None, form: Callable[[float], str] = "{:.3f}".format
) -> str:
    """``value [low, high]`` of a score, or the value alone where it has no interval."""
    if figure is None or figure["value"] is None:
        return "–"
    first, *bounds = [form(figure[k]) for k in ("value", "low", "high") if figure[k] is not None]
    return f"{first} [{', '.join(bounds)}]" if bounds else first


def change(figure: Mapping[str, Any] | None) -> str:
    """A score's difference, with "better" or "worse" where it is."""
    if figure is None:
        return "–"
    told = "" if figure["verdict"] == "not told apart" else f" **{figure['verdict']}**"
    return score(figure, "{:+.3f}".format) + told


def command(record: Record) -> str:
    return f"`{record['command']}`"


def by(records: Iterable[Record]) -> list[str]:
    """The commands of some records, as a paragraph after their table."""
    return ["", f"By {'; '.join(dict.fromkeys(map(command, records)))}."]


def images_of(record: Record) -> str:
    return f"{record['dataset']['name']}, {record['dataset']['images']}"
