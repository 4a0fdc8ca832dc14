"""Plots as SVG inside the page: crisp at any zoom, in the page's colours, light and dark.

Each is drawn twice, for wide and for narrow screens, since text in a scaled SVG would not stay
readable; the style sheet shows the one that fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from temzoo.core.round_numbers import round_down, round_up
from temzoo.pages.html import text
from temzoo.pages.numbers import counted, figure, metric_name

WIDE, NARROW = 760, 340  # px
FEWEST_BINS, MOST_BINS = 5, 120
TICKS = 6
LEVELS, LINE, LETTER = 3, 14, 8  # lines for names, their height and that of a letter's width, px
PEAK_ROOM = 1.08  # of the highest bar


@dataclass(frozen=True)
class Frame:
    """Where a chart's data lie: from its data's ranges to px of the drawing.

    Attributes:
        width, height: of the drawing.
        x, y: (low, high) of the data.
        left, right, top, bottom: margins, px.
    """

    width: int
    height: int
    x: tuple[float, float]
    y: tuple[float, float]
    left: int = 46
    right: int = 12
    top: int = 22
    bottom: int = 44

    def at_x(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return self.left + share * (self.width - self.left - self.right)

    def at_y(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)


@dataclass(frozen=True, eq=False)
class Sizes:
    """What a size distribution is drawn of.

    Attributes:
        values: (N,) diameters.
        unit: of them.
        quantiles: "D10", "D50", "D90" to their values.
        d50: its interval; None where it is not known.
        fit: mean and standard deviation of the logarithm of the diameter, of the log-normal fit;
            None where there is none.
        name: of what is measured.
    """

    values: np.ndarray
    unit: str
    quantiles: Mapping[str, float]
    d50: tuple[float, float] | None = None
    fit: tuple[float, float] | None = None
    name: str = "equivalent circular diameter"


def size_chart(sizes: Sizes) -> str:
    """The histogram of diameters with its log-normal fit, D10, D50 and D90."""
    label = (
        f"Histogram of the {sizes.name} of {counted(len(sizes.values), 'particle')}; "
        + ", ".join(f"{name} {figure(v)} {sizes.unit}" for name, v in sizes.quantiles.items())
    )
    return _both(lambda width: _size_svg(sizes, width, label))


def history_chart(
    name: str, epochs: Sequence[float], train: Sequence[float], val: Sequence[float], best: int
) -> str:
    """A metric over the epochs, in training and in validation.

    Args:
        train, val: (N,) NaN where it was not measured; or empty.
        best: the epoch that was kept; 0: none.
    """
    label = f"{metric_name(name)} over {len(epochs)} epochs"
    return _both(lambda width: _history_svg(name, epochs, train, val, best, width, label), 520)


def whisker(value: float, low: float, high: float, *, width: int = 150) -> str:
    """An interval on the scale from 0 to 1, for a row of a table; empty where undefined."""
    if not all(math.isfinite(v) for v in (value, low, high)):
        return ""
    inner = width - 12
    at = [6 + inner * min(max(v, 0), 1) for v in (low, value, high)]
    return (
        f'<svg class="chart" width="{width}" height="16" viewBox="0 0 {width} 16"'
        ' aria-hidden="true">'
        f'<path class="grid" d="M6 8H{width - 6}M6 4v8M{width / 2} 5v6M{width - 6} 4v8"/>'
        f'<path class="main" d="M{at[0]:.1f} 8H{at[2]:.1f}"/>'
        f'<circle class="dot" cx="{at[1]:.1f}" cy="8" r="4"/></svg>'
    )


def bins_of(values: np.ndarray) -> np.ndarray:
    """Edges of a histogram after Freedman and Diaconis, at round numbers.

    Freedman & Diaconis, Z. Wahrscheinlichkeitstheorie 57, 453 (1981): a bin is twice the quartiles'
    distance by the cube root of the number.

    Args:
        values: (N,) positive.
    """
    low, high = float(values.min()), float(values.max())
    quarter, rest = np.percentile(values, [25, 75])
    width = 2 * float(rest - quarter) / len(values) ** (1 / 3)
    span = max(high - low, abs(high) * 1e-2)
    width = min(max(width, span / MOST_BINS * 2.5), span / FEWEST_BINS)
    width = round_down(width, (1, 2, 2.5, 5))
    first = math.floor(low / width)
    count = max(math.ceil(high / width - 1e-9) - first, 1)
    return width * np.arange(first, first + count + 1)


def _both(draw, widest: int = WIDE) -> str:
    return (
        f'<div class="wide-only">{draw(widest)}</div>'
        f'<div class="narrow-only" aria-hidden="true">{draw(NARROW)}</div>'
    )


def _size_svg(sizes: Sizes, width: int, label: str) -> str:
    edges = bins_of(sizes.values)
    counts, _ = np.histogram(sizes.values, edges)
    room = (edges[-1] - edges[0]) * 0.02
    low = 0.0 if edges[0] <= 0.25 * edges[-1] else float(edges[0] - room)
    curve = _log_normal(sizes, edges, low)
    top = max(float(counts.max()), max((y for _, y in curve), default=0.0)) * PEAK_ROOM
    frame = Frame(width, 330, (low, float(edges[-1] + room)), (0.0, top), top=62)
    parts = [
        _band(frame, sizes.d50),
        _y_axis(frame, "particles"),
        _bars(frame, edges, counts),
        _line(frame, curve, "fit"),
        _x_axis(frame, f"{sizes.name} ({sizes.unit})"),
        _quantile_marks(frame, sizes.quantiles),
    ]
    return _svg(frame, label, parts)


def _log_normal(sizes: Sizes, edges: np.ndarray, low: float) -> list[tuple[float, float]]:
    """Points of the fit's curve, in particles per bin."""
    if sizes.fit is None or not sizes.fit[1] > 0:
        return []
    mean, deviation = sizes.fit
    x = np.linspace(max(low, edges[-1] * 1e-3), edges[-1], 200)
    density = np.exp(-0.5 * ((np.log(x) - mean) / deviation) ** 2)
    density /= x * deviation * math.sqrt(2 * math.pi)
    expected = len(sizes.values) * (edges[1] - edges[0]) * density
    return list(zip(x.tolist(), expected.tolist(), strict=True))


def _bars(frame: Frame, edges: np.ndarray, counts: np.ndarray) -> str:
    ground = frame.at_y(0)
    drawn = []
    for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True):
        left, right, top = frame.at_x(low) + 0.5, frame.at_x(high) - 0.5, frame.at_y(count)
        title = f"{figure(low)} to {figure(high)}: {counted(count, 'particle')}"
        drawn.append(
            f'<path d="M{left:.1f} {ground:.1f}V{top:.1f}H{right:.1f}V{ground:.1f}z">'
            f"<title>{text(title)}</title></path>"
        )
    return f'<g class="bars">{"".join(drawn)}</g>'


def _band(frame: Frame, interval: tuple[float, float] | None) -> str:
    if interval is None or not all(math.isfinite(v) for v in interval):
        return ""
    left, right = (frame.at_x(min(max(v, frame.x[0]), frame.x[1])) for v in interval)
    return (
        f'<rect class="band" x="{left:.1f}" y="{frame.top - 6}" width="{max(right - left, 1):.1f}"'
        f' height="{frame.height - frame.bottom - frame.top + 6}"/>'
    )


def _quantile_marks(frame: Frame, quantiles: Mapping[str, float]) -> str:
    parts, ends = [], [-math.inf] * LEVELS
    for name, value in sorted(quantiles.items(), key=lambda item: item[1]):
        if not math.isfinite(value):
            continue
        x, words = frame.at_x(value), f"{name} {figure(value)}"
        half = LETTER * len(words) / 2
        # Names that would lie on each other stand on lines of their own.
        level = next((k for k, end in enumerate(ends) if x - half > end), 0)
        ends[level] = x + half
        y = frame.top - 10 - LINE * level
        parts.append(
            f'<path class="mark" d="M{x:.1f} {y + 4}V{frame.at_y(0):.1f}" stroke-dasharray="2 3"/>'
            f'<text class="strong" x="{x:.1f}" y="{y}" text-anchor="middle">{text(words)}</text>'
        )
    return "".join(parts)


def _history_svg(name, epochs, train, val, best, width, label) -> str:
    series = {"training": (train, "soft"), "validation": (val, "main")}
    lines = {
        key: ([(e, v) for e, v in zip(epochs, values, strict=True) if math.isfinite(v)], kind)
        for key, (values, kind) in series.items()
        if len(values)
    }
    heights = [v for line, _ in lines.values() for _, v in line]
    low, high = min(heights), max(heights)
    room = (high - low or abs(high) or 1.0) * 0.08
    span = (min(epochs), max(max(epochs), min(epochs) + 1))
    frame = Frame(width, 240, span, (low - room, high + room), top=30)
    parts = [
        f'<text class="strong" x="0" y="14">{text(metric_name(name))}</text>',
        _y_axis(frame, ""),
        _x_axis(frame, "epoch", whole=True),
        *(_line(frame, line, kind) for line, kind in lines.values()),
        _legend(frame, {key: kind for key, (line, kind) in lines.items() if line}),
        _best_mark(frame, dict(lines.get("validation", ([], ""))[0]), best),
    ]
    return _svg(frame, label, parts)


def _legend(frame: Frame, kinds: Mapping[str, str]) -> str:
    parts, x = [], frame.width - frame.right
    for name, kind in reversed(kinds.items()):
        parts.append(
            f'<text class="{kind}text" x="{x}" y="14" text-anchor="end">{name}</text>'
            f'<path class="{kind}" d="M{x - 7 * len(name) - 24} 10h18"/>'
        )
        x -= 7 * len(name) + 44
    return "".join(parts)


def _best_mark(frame: Frame, values: Mapping[float, float], best: int) -> str:
    if best not in values:
        return ""
    x, y = frame.at_x(best), frame.at_y(values[best])
    anchor = "end" if x > frame.width / 2 else "start"
    below = 18 if y < frame.height / 2 else -10
    return (
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
        f'<text class="maintext" x="{x:.1f}" y="{y + below:.1f}" text-anchor="{anchor}">'
        f"weights kept: epoch {best}, {figure(values[best])}</text>"
    )


def _line(frame: Frame, points: Sequence[tuple[float, float]], kind: str) -> str:
    if not points:
        return ""
    moves = "L".join(f"{frame.at_x(x):.1f} {frame.at_y(y):.1f}" for x, y in points)
    return f'<path class="{kind}" d="M{moves}"/>'


def _ticks(low: float, high: float, count: int, *, whole: bool = False) -> list[float]:
    step = max(round_up((high - low) / count), 1.0 if whole else 0.0)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _x_axis(frame: Frame, name: str, *, whole: bool = False) -> str:
    ground = frame.at_y(frame.y[0])
    count = TICKS if frame.width < 500 else 2 * TICKS
    ticks = _ticks(*frame.x, count, whole=whole)
    marks = "".join(f"M{frame.at_x(t):.1f} {ground:.1f}v5" for t in ticks)
    numbers = "".join(
        f'<text x="{frame.at_x(t):.1f}" y="{ground + 18:.1f}" text-anchor="middle">{t:g}</text>'
        for t in ticks
    )
    middle = (frame.left + frame.width - frame.right) / 2
    return (
        f'<path class="axis" d="M{frame.left} {ground:.1f}H{frame.width - frame.right}{marks}"/>'
        f'{numbers}<text x="{middle:.1f}" y="{frame.height - 6}" text-anchor="middle">'
        f"{text(name)}</text>"
    )


def _y_axis(frame: Frame, name: str) -> str:
    ticks = _ticks(*frame.y, 4)
    lines = "".join(f"M{frame.left} {frame.at_y(t):.1f}H{frame.width - frame.right}" for t in ticks)
    numbers = "".join(
        f'<text x="{frame.left - 7}" y="{frame.at_y(t) + 4:.1f}" text-anchor="end">{t:g}</text>'
        for t in ticks
    )
    title = f'<text x="0" y="11">{text(name)}</text>' if name else ""
    return f'<path class="grid" d="{lines}"/>{numbers}{title}'


def _svg(frame: Frame, label: str, parts: Sequence[str]) -> str:
    width, height = frame.width, frame.height
    return (
        f'<svg class="chart" role="img" aria-label="{text(label)}" width="{width}"'
        f' height="{height}" viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'
    )
