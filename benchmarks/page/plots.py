"""The suite's plots: accuracy beside speed, memory beside size, accuracy beside labelled images.

Colours are Okabe and Ito's, as in ``temzoo.report``; markers tell the series apart where colour
does not. Error bars are what the records state: 95 % bootstrap intervals over images upwards, least
and most of the repetitions sideways.
"""

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from temzoo.core.files import atomic_path

DPI = 150
PANEL, LEGEND = (5.2, 3.3), 2.4  # inches: a panel's width and least height; width of a legend
LEGEND_ROW, WRAP = 0.19, 38  # inches of a row of the legend, and its most characters
# Blue, vermilion, green, purple, orange, sky blue, black.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = "osD^vPXh*<>"
WHISKERS = {"lw": 1.4, "elinewidth": 1.0, "capsize": 2.5}


class Point(NamedTuple):
    """A figure of a plot with its interval, and what it stands over."""

    panel: str  # the plot that it belongs to
    series: str  # the line, or marker
    x: tuple[float, float, float]  # x, y: (value, low, high)
    y: tuple[float, float, float]


def iou_and_speed(points: Sequence[Point], path: Path) -> Path:
    """IoU over images per second, a panel a dataset, a marker a model."""
    figure, axes = _panels(points)
    for axis, panel in axes.items():
        best_first = sorted(panel, key=lambda point: -point.y[0])
        for point, style in zip(best_first, _styles(), strict=False):
            bars = {"yerr": _bars([point.y]), "xerr": _bars([point.x]), "linestyle": "none"}
            axis.errorbar(point.x[:1], point.y[:1], label=point.series, **bars, **style)
        axis.set_xscale("log")
        low, high = (choose(v for point in panel for v in point.x) for choose in (min, max))
        steps = [m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5)]
        _ticks(axis, [s for s in steps if low / 2.6 <= s <= high * 2.6], "{:g}")
        axis.set_xlim(low / 1.7, high * 1.7)
        axis.set(xlabel="images per second, whole image to class map", ylim=(0, 1))
        axis.set_ylabel("IoU, mean over images")
    return _written(figure, path, axes)


def curves(points: Sequence[Point], path: Path, *, base: int, **labels: Any) -> Path:
    """A panel a plot, a line a series, over a logarithmic axis that names every place."""
    figure, axes = _panels(points)
    for axis, panel in axes.items():
        for (series, line), style in zip(_lines(panel).items(), _styles(), strict=False):
            places, values = [p.x[0] for p in line], [p.y[0] for p in line]
            axis.errorbar(places, values, yerr=_bars([p.y for p in line]), label=series, **style)
        axis.set_xscale("log", base=base)
        _ticks(axis, sorted({point.x[0] for point in panel}), "{:,.0f}")
        axis.set(**labels)
    return _written(figure, path, axes)


LEARNING = {"xlabel": "labelled images to train on", "ylabel": "IoU, mean over images"}
MEMORY = {"xlabel": "side of the micrograph, px", "ylabel": "GB on top of libraries and image"}
learning_curve = partial(curves, base=10, ylim=(0, 1), **LEARNING)
memory_and_size = partial(curves, base=2, ylim=(0, None), **MEMORY)


def _panels(points: Sequence[Point]):
    """A figure with a panel for each name, one below the other, and the points of each.

    A panel is as high as its legend needs, which stands at its right.
    """
    from matplotlib.figure import Figure  # not every command needs it

    of: dict[str, list[Point]] = {}
    for point in points:
        of.setdefault(point.panel, []).append(point)
    rows = [
        sum(_wrapped(series).count("\n") + 1 for series in {point.series for point in each})
        for each in of.values()
    ]
    heights = [max(PANEL[1], LEGEND_ROW * count + 0.6) for count in rows]
    figure = Figure(figsize=(PANEL[0] + LEGEND, sum(heights)), layout="constrained")
    axes = figure.subplots(len(of), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, name in zip(axes, of, strict=True):
        axis.set_title(name, fontsize=10, loc="left")
        axis.grid(color="#e4e4e4", lw=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, dict(zip(axes, of.values(), strict=True))


def _wrapped(series: str) -> str:
    return "\n".join(textwrap.wrap(series, WRAP)) or series


def _styles() -> Iterator[dict[str, Any]]:
    """Colour and marker of one series after the other, without end."""
    for colour, marker in zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False):
        yield {"color": colour, "marker": marker, "ms": 6, "mec": "white", "mew": 0.6} | WHISKERS


def _bars(of: Sequence[tuple[float, float, float]]) -> list[list[float]]:
    """How far the intervals reach down and up."""
    return [[value - low for value, low, _ in of], [high - value for value, _, high in of]]


def _lines(points: Sequence[Point]) -> Mapping[str, list[Point]]:
    """The points of each series from left to right; the series that ends highest first."""
    lines: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda p: p.x[0]):
        lines.setdefault(point.series, []).append(point)
    return dict(sorted(lines.items(), key=lambda line: -line[1][-1].y[0]))


def _ticks(axis: Any, places: Sequence[float], form: str) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.xaxis.set_major_locator(FixedLocator(places))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form.format(value)))
    axis.xaxis.set_minor_locator(NullLocator())


def _written(figure: Any, path: Path, axes: Mapping[Any, Sequence[Point]]) -> Path:
    where = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.02)}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        axis.legend(handles, map(_wrapped, labels), fontsize=7.5, frameon=False, **where)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")
    return path
