"""IoU beside speed: a panel a dataset, a marker a model.

Colours are Okabe and Ito's, as in ``temzoo.report``; markers tell the models apart where colour
does not. Error bars are what the records state: 95 % bootstrap intervals over images upwards, least
and most of the repetitions sideways.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.page.tables import Record, rate

DPI = 150
PANEL = (7.6, 3.3)  # inches, the legend at the right included
# Blue, vermilion, green, purple, orange, sky blue, black.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = "osD^vPXh*<>"


def iou_and_speed(found: Sequence[Record], path: Path) -> Path:
    """Draws records of accuracy that have a speed; the legend has the best first."""
    from matplotlib.figure import Figure  # not every command needs these

    from temzoo.pictures.sheets import write_figure

    panels: dict[str, list[Record]] = {}
    for record in sorted(found, key=lambda r: -r["figures"]["per_image"]["iou"]["value"]):
        panels.setdefault(record["dataset"]["name"], []).append(record)
    figure = Figure(figsize=(PANEL[0], PANEL[1] * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, (name, judged) in zip(axes, sorted(panels.items()), strict=True):
        for record, *style in zip(
            judged, itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False
        ):
            _draw(axis, record, *style)
        _finish(axis, name)
    return write_figure(figure, path, dpi=DPI)


def _draw(axis: Any, record: Record, colour: str, marker: str) -> None:
    figures = record["figures"]
    iou, speed = figures["per_image"]["iou"], rate(figures["seconds_per_image"])
    up = [[iou["value"] - iou["low"]], [iou["high"] - iou["value"]]]
    along = [[speed["median"] - speed["least"]], [speed["most"] - speed["median"]]]
    style = {"color": colour, "marker": marker, "ms": 6, "mec": "white", "mew": 0.6}
    bars = {"yerr": up, "xerr": along, "lw": 1.4, "elinewidth": 1.0, "capsize": 2.5}
    axis.errorbar(speed["median"], iou["value"], ls="none", label=record["model"], **bars, **style)


def _finish(axis: Any, title: str) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_title(title, fontsize=10, loc="left")
    axis.set(xscale="log", ylim=(0, 1), ylabel="IoU, mean over images")
    axis.set_xlabel("images per second, whole image to class map")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.grid(color="#e4e4e4", lw=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), fontsize=7.5, frameon=False)
