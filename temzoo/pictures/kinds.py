"""What kinds of particles there are: in a plot, and in an overlay with a colour for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from temzoo.core.types import Detection
from temzoo.measurement.counted import Counted
from temzoo.measurement.kinds import by_kind, ordered_kinds
from temzoo.measurement.morphology import KINDS, UNSURE
from temzoo.measurement.summary import sized
from temzoo.pictures.colours import KIND_COLOURS, UNDECIDED, Mark, rgb
from temzoo.pictures.overlays import MAX_SIDE, marked_objects
from temzoo.pictures.size_distribution import DPI, TEXT, bin_edges, number_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LEGEND_PX, LEAST_PX = 34, 640  # height of a legend's line; width that it needs
BORDER = "#333333"


def kind_marks(kinds: Sequence[str]) -> dict[str, Mark]:
    """A line for each kind: those of the rules have the same in all pictures, unsure is dashed.

    Others take the colours that are left, in the order given; they repeat after seven.
    """
    own = {kind: Mark(KIND_COLOURS[k]) for k, kind in enumerate(KINDS)}
    others = [kind for kind in kinds if kind not in (*KINDS, UNSURE)]
    first = len(KINDS) if set(kinds) & set(KINDS) else 0
    own |= {
        kind: Mark(KIND_COLOURS[(first + k) % len(KIND_COLOURS)]) for k, kind in enumerate(others)
    }
    return {kind: UNDECIDED if kind == UNSURE else own[kind] for kind in kinds}


def kind_overlay(
    pixels: np.ndarray, objects: Sequence[Detection], kinds: Sequence[str]
) -> np.ndarray:
    """A micrograph with its particles filled and outlined in the colour of their kind.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype; stretched for display, and shrunk to ``MAX_SIDE`` px
            where a side is longer.
        objects: the particles, and their ``kinds``, one each.

    Returns:
        (h, w, 3) uint8; ``kind_marks`` is the key.
    """
    marks = kind_marks(list(dict.fromkeys(kinds)))
    marked = [(one, marks[kind]) for one, kind in zip(objects, kinds, strict=True)]
    return marked_objects(pixels, marked, side=MAX_SIDE)


def write_kind_overlay(picture: np.ndarray, counts: Mapping[str, int], path: str | Path) -> Path:
    """Writes an overlay with a legend below it: each kind with its line and its number.

    Args:
        picture: (h, w, 3) uint8 of ``kind_overlay``.
        counts: particles of each kind, in the legend's order.
    """
    from matplotlib.figure import Figure

    from temzoo.pictures.sheets import legend_key, write_figure

    height, width = picture.shape[:2]
    wide, dpi = max(width, LEAST_PX), 100
    tall = height + LEGEND_PX
    figure = Figure(figsize=(wide / dpi, tall / dpi), facecolor="white")
    axis = figure.add_axes((0, LEGEND_PX / tall, width / wide, height / tall))
    axis.imshow(picture, interpolation="nearest", aspect="auto")
    axis.set_axis_off()
    marks = kind_marks(list(counts))
    keys = [legend_key(f"{kind} {count}", marks[kind]) for kind, count in counts.items()]
    figure.legend(handles=keys, loc="lower center", ncols=max(len(keys), 1), frameon=False)
    return write_figure(figure, path, dpi=dpi)


def plot_kinds(
    table: pd.DataFrame | Path | Counted,
    path: str | Path,
    *,
    of: str = "morphology",
    border: str = "exclude",
) -> Path:
    """Draws the sizes of each kind of particle, stacked, and beside them its aspect ratios.

    Args:
        table: what ``measure`` returned, of one or several images.
        path: of the picture; its suffix chooses the format (PNG, PDF, SVG).
        of: the column that tells the kinds.
        border: as for ``summarize``: which particles have a size.

    Raises:
        ValueError: no particle has a size.
    """
    from matplotlib.figure import Figure

    from temzoo.pictures.sheets import write_figure

    found = by_kind(table, of)
    kinds = ordered_kinds(found.classes)
    parts = {kind: found.of_class(kind) for kind in kinds}
    sizes = {kind: sized(part, border=border)[0] for kind, part in parts.items()}
    aspects = {
        kind: sized(part.replaced(size=part.columns["aspect"]), border=border)[0]
        for kind, part in parts.items()
    }
    kinds = [kind for kind in kinds if len(sizes[kind])]
    if not kinds:
        raise ValueError(
            "a plot of kinds needs particles with a size. Received: "
            f"{len(found.columns)} particles, none of them free of the border. Use"
            ' border="include".'
        )
    figure = Figure(figsize=(9.0, 4.2), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_sizes(left, {kind: sizes[kind] for kind in kinds}, found.unit)
    number = sum(map(len, sizes.values()))
    said = number_text(str(number), int(found.columns["large"].sum()) - number)
    left.set_title(said, loc="left", fontsize=10, color=TEXT)
    _draw_aspects(right, {kind: aspects[kind] for kind in kinds})
    return write_figure(figure, path, dpi=DPI)


def _draw_sizes(axis: Axes, sizes: Mapping[str, np.ndarray], unit: str) -> None:
    marks = kind_marks(list(sizes))
    axis.hist(
        list(sizes.values()),
        bin_edges(np.concatenate(list(sizes.values()))).tolist(),
        stacked=True,
        color=[rgb(marks[kind].colour) for kind in sizes],
        edgecolor=BORDER,
        linewidth=0.5,
        label=list(sizes),
    )
    axis.set_xlabel(f"equivalent circular diameter ({unit})", color=TEXT)
    axis.set_ylabel("particles", color=TEXT)
    axis.set_xlim(left=0)
    axis.set_ylim(top=1.3 * axis.get_ylim()[1])  # room for the legend
    axis.legend(loc="upper right", ncols=2, frameon=False, fontsize=9, labelcolor=TEXT)
    _plain(axis, "y")


def _draw_aspects(axis: Axes, aspects: Mapping[str, np.ndarray]) -> None:
    marks = kind_marks(list(aspects))
    names = [f"{kind}\nn = {len(values)}" for kind, values in aspects.items()]
    boxes = axis.boxplot(
        list(aspects.values()),
        orientation="horizontal",
        patch_artist=True,
        widths=0.6,
        flierprops={"markersize": 3},
        medianprops={"color": "black"},
    )
    for box, kind in zip(boxes["boxes"], aspects, strict=True):
        box.set(facecolor=rgb(marks[kind].colour), edgecolor=BORDER)
    axis.set_yticks(range(1, len(names) + 1), names)
    axis.invert_yaxis()
    axis.set_xlabel("aspect ratio of the ellipse of equal moments", color=TEXT)
    axis.set_xlim(left=1)
    _plain(axis, "x")


def _plain(axis: Axes, grid: str) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis=grid, alpha=0.25)
    axis.set_axisbelow(True)
    axis.tick_params(colors=TEXT)
