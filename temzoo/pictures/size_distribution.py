"""The plot of a size distribution."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from temzoo.core.round_numbers import round_up
from temzoo.measurement.counted import Counted, counted
from temzoo.measurement.summary import LEVEL, sized, summarize
from temzoo.pictures.sheets import write_figure

if TYPE_CHECKING:
    # At work imported inside: whoever only measures needs no matplotlib.
    from matplotlib.axes import Axes

# Okabe and Ito's, as in the other plots.
BARS, FIT, MEDIAN, TEXT = "#56B4E9", "#0072B2", "#D55E00", "#333333"
DPI = 200
MOST_BARS = 60


def plot_sizes(
    table: pd.DataFrame | str | Path | Counted,
    path: str | Path,
    *,
    of: str = "diameter",
    border: str = "exclude",
    title: str = "",
    **how: Any,
) -> Path:
    """Draws the sizes of all particles of a table: histogram, log-normal fit, median.

    Args:
        table: what ``measure`` returned, of one or several images; or a Parquet file, as for
            ``summarize``.
        path: of the picture; its suffix chooses the format (PNG, PDF, SVG).
        of: what is a size: "diameter", "feret_max" …
        border: as for ``summarize``; with "correct" the bars count particles by their weight.
        title: above; "" for none.
        how: ``over``, ``frames``, ``model`` and ``seed`` of ``summarize``, for the median's
            interval and the number of images.

    Raises:
        ValueError: no particle counts, or as ``summarize`` does.

    Example:
        >>> plot_sizes(table, "sizes.png")
    """
    from matplotlib.figure import Figure

    particles = counted(table, of)
    row = summarize(particles, by=None, of=of, border=border, **how).iloc[0]
    sizes, weights = sized(particles, of=of, border=border)
    if not len(sizes):
        raise ValueError(
            "a size distribution needs particles that count. Received:"
            f" {len(particles.columns)} particles, none of them free of the border. Use"
            ' border="include".'
        )
    unit = particles.unit
    figure = Figure(figsize=(6.4, 4.2), layout="constrained", facecolor="white")
    axis = figure.subplots()
    edges = bin_edges(sizes)
    axis.hist(sizes, edges.tolist(), weights=weights, color=BARS, edgecolor="white", linewidth=0.8)
    _draw_fit(axis, row, unit, weights.sum() * float(edges[1] - edges[0]))
    _draw_median(axis, row, of, unit)
    _finish(axis, row, of, unit, border, title)
    return write_figure(figure, path, dpi=DPI)


def bin_edges(sizes: np.ndarray) -> np.ndarray:
    """Edges of a histogram's bars at round numbers, about as wide as Freedman and Diaconis say."""
    low, high = float(sizes.min()), float(sizes.max())
    quarter, three = np.quantile(sizes, [0.25, 0.75])
    wanted = 2 * (three - quarter) / len(sizes) ** (1 / 3) or max(high - low, high) / 10
    wanted = max(wanted, (high - low) / MOST_BARS)
    step = round_up(wanted)
    return step * np.arange(math.floor(low / step), math.floor(high / step) + 2)


def number_text(sized: str, left_out: int) -> str:
    """How many particles are in a plot, and how many are not."""
    return f"n = {sized}" + (f"; {left_out} at the border left out" if left_out else "")


def _draw_fit(axis: Axes, row: pd.Series, unit: str, scale: float) -> None:
    mu, sigma = row["lognormal_mu"], row["lognormal_sigma"]
    if not sigma > 0:
        return
    low, high = axis.get_xlim()
    x = np.linspace(max(low, high / 1e4), high, 400)
    density = np.exp(-(((np.log(x) - mu) / sigma) ** 2) / 2) / (x * sigma * math.sqrt(2 * math.pi))
    mean, spread = row[f"geometric_mean_{unit}"], row["geometric_sd"]
    text = f"log-normal: {mean:.3g} {unit} ×/÷ {spread:.3g}"
    axis.plot(x, scale * density, color=FIT, lw=2, label=text)


def _draw_median(axis: Axes, row: pd.Series, of: str, unit: str) -> None:
    value, low, high = (row[f"{of}_d50{part}_{unit}"] for part in ("", "_low", "_high"))
    text = f"D50 = {value:.3g} {unit}"
    if math.isfinite(low):
        axis.axvspan(low, high, color=MEDIAN, alpha=0.18, lw=0)
        text += f", {LEVEL:.0%}: {low:.3g} to {high:.3g} {unit}"
    axis.axvline(value, color=MEDIAN, lw=1.6, ls=(0, (5, 2)), label=text)


def _finish(axis: Axes, row: pd.Series, of: str, unit: str, border: str, title: str) -> None:
    name = "equivalent circular diameter" if of == "diameter" else of.replace("_", " ")
    axis.set_xlabel(f"{name} ({unit})", color=TEXT)
    axis.set_ylabel("particles" if border != "correct" else "particles, weighted", color=TEXT)
    axis.set_xlim(left=0)
    axis.set_ylim(top=1.22 * axis.get_ylim()[1])  # room for the legend
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25)
    axis.set_axisbelow(True)
    axis.tick_params(colors=TEXT)
    images = "1 image" if row["images"] == 1 else f"{row['images']} images"
    counted = number_text(f"{row['sized']} in {images}", int(row["particles"] - row["sized"]))
    axis.set_title(f"{title}\n{counted}" if title else counted, loc="left", fontsize=10, color=TEXT)
    axis.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=TEXT)
