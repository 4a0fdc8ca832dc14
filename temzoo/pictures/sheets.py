"""Contact sheets: pictures in rows, each with a line of text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from temzoo.core.files import atomic_path
from temzoo.pictures.colours import Mark, rgb
from temzoo.pictures.overlays import SHEET_SIDE, shrunk

DPI = 150
WIDE = 3.2  # inches of a picture
# Characters that fit above one picture, and of a sheet's title for each column.
IN_LINE, IN_TITLE = 42, 32
KEYS = 2  # entries of a legend for each column


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a sheet: (H, W) or (H, W, 3) uint8 with a line of text above it."""

    picture: np.ndarray
    title: str = ""


def sheet(
    path: str | Path,
    panels: Sequence[Panel],
    *,
    columns: int = 4,
    legend: Mapping[str, tuple[int, int, int] | Mark] | None = None,
    title: str = "",
) -> Path:
    """Writes a contact sheet: pictures in rows, each with its line of text, a legend below.

    Args:
        path: of the picture; its suffix chooses the format (PNG, PDF …).
        panels: what to show, in reading order.
        columns: pictures per row.
        legend: names to colours, or to how outlines are drawn.

    Raises:
        ValueError: there is nothing to show.
    """
    if not panels:
        raise ValueError("a sheet needs at least one panel. Received: none. Pass some examples.")
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    # A line is as high as the tallest of its pictures needs, so that wide ones leave no gaps.
    tallest = max(panel.picture.shape[0] / panel.picture.shape[1] for panel in panels)
    height = WIDE * min(max(tallest, 0.4), 1.5) + 0.2
    size = WIDE * columns, height * lines + (0.8 if title else 0.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        axis.imshow(shrunk(panel.picture, SHEET_SIDE), cmap="gray", vmin=0, vmax=255)
        axis.set_title("\n".join(map(in_line, panel.title.split("\n"))), fontsize=8)
    if title:
        figure.suptitle(textwrap.fill(title, IN_TITLE * columns), fontsize=11)
        figure.get_layout_engine().set(h_pad=0.06)  # inches, also between titles
    if legend:
        keys = [legend_key(name, value) for name, value in legend.items()]
        several = {"ncols": min(len(keys), KEYS * columns), "fontsize": 9, "frameon": False}
        figure.legend(handles=keys, loc="outside lower center", **several)
    return write_figure(figure, path)


def in_line(text: str) -> str:
    """A line that fits above a picture: the middle of a longer one is left out."""
    if len(text) <= IN_LINE:
        return text
    end = IN_LINE // 2
    return f"{text[: IN_LINE - end - 1]}…{text[-end:]}"


def legend_key(name: str, value: tuple[int, int, int] | Mark) -> Artist:
    """A legend's entry: a patch of a colour, or a line as outlines have it."""
    if not isinstance(value, Mark):
        return Patch(facecolor=rgb(value), edgecolor="black", linewidth=0.5, label=name)
    style = (0, (2, 1)) if value.dashed else "-"
    marker = "x" if value.crossed else None
    return Line2D(
        [0],
        [0],
        color=rgb(value.colour),
        lw=1.5 + value.width,
        ls=style,
        marker=marker,
        markersize=9,
        markeredgewidth=2.5,
        label=name,
    )


def write_figure(figure: Figure, path: str | Path, *, dpi: int | None = None) -> Path:
    """Writes a figure whole or not at all; the suffix chooses the format (PNG, PDF …)."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi or DPI)
    return Path(path)
