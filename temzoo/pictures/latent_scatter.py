"""Codes of images as points in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from temzoo.latent.codes import checked_codes
from temzoo.latent.information import checked_factors, is_category, known
from temzoo.pictures.latent_mosaics import POINT_COLOURS, UNKNOWN_COLOUR
from temzoo.pictures.sheets import write_figure

MARKERS = "osD^vPX*<>h"
UNITS = {"nm": "nm", "nm2": "nm²", "px": "px", "px2": "px²", "deg": "°", "rad": "rad"}
MOST_KINDS = 20  # categories with a colour of their own; the rarest others are grey
CLOSE = 0.06  # of the picture, at which the names of two kinds would cover each other


def scatter(
    codes: np.ndarray,
    path: str | Path,
    values: Sequence | np.ndarray | None = None,
    name: str = "",
    *,
    period: float | None = None,
    title: str = "",
) -> Path:
    """Draws encoded data, coloured by a class or a measured number.

    Classes (text, truth values, whole numbers of few values) have a legend and their names in the
    middle of them, numbers a colour bar, angles one that closes. What is not known is grey.

    Args:
        codes: (N, D). Of more than two dimensions the two most active ones are drawn; the axes say
            which. One dimension is drawn over the images' order.
        values: (N,) class or number of each; None: all in one colour.
        name: of the values, a unit at its end: "diameter_nm".
        period: of numbers that go round: 180 for the angle in degrees of what looks the same
            turned by half.

    Raises:
        ValueError: lengths differ.
    """
    points, names = _plane(checked_codes(codes))
    figure = Figure(figsize=(6.8, 5.4), layout="constrained")
    axis = figure.subplots()
    # Grey, since both ends of a light and dark colour map must be seen on it.
    axis.set_facecolor("#ededed")
    if values is None:
        axis.scatter(*points.T, **_point_style(len(codes)), color=POINT_COLOURS[0])
    else:
        column = checked_factors({name: values}, len(codes))[name]
        if period is None and is_category(column):
            _draw_kinds(axis, points, column, name)
        else:
            _draw_measured(axis, points, column, name, period)
    axis.set(xlabel=names[0], ylabel=names[1])
    by = f" by {named(name)}" if name else ""
    axis.set_title(title or f"{len(codes):,} encoded images{by}", fontsize=10)
    return write_figure(figure, path)


def named(name: str) -> str:
    """A value's name as people write it, its unit in brackets."""
    start, _, unit = name.rpartition("_")
    if start and unit in UNITS:
        return f"{start.replace('_', ' ')} ({UNITS[unit]})"
    return name.replace("_", " ")


def _plane(codes: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Codes laid into a plane: (N, 2) points and the two axes' names."""
    count = codes.shape[1]
    if count == 1:
        return np.column_stack([codes[:, 0], np.arange(len(codes))]), ("z0", "image")
    if count == 2:
        return codes, ("z0", "z1")
    first, second = np.argsort(-codes.var(axis=0), kind="stable")[:2]
    names = (f"z{first} (most active)", f"z{second} (second most active of {count})")
    return codes[:, [first, second]], names


def _point_style(count: int) -> dict[str, Any]:
    """Smaller the more there are, with a thin dark edge, which keeps light colours apart."""
    area = float(np.clip(30_000 / max(count, 1), 8, 36))
    return {"s": area, "edgecolors": (0, 0, 0, 0.55), "linewidths": 0.3, "alpha": 0.9}


def _draw_kinds(axis: Axes, points: np.ndarray, values: np.ndarray, name: str) -> None:
    there = known(values)
    kinds, counts = np.unique(values[there], return_counts=True)
    shown = np.sort(kinds[np.argsort(-counts, kind="stable")[:MOST_KINDS]])
    style = _point_style(len(points))
    rest = ~np.isin(values, shown) | ~there
    for k, kind in enumerate(shown):
        chosen = there & (values == kind)
        marker = MARKERS[k % len(MARKERS)]
        axis.scatter(*points[chosen].T, **style, color=_colour(k), marker=marker, label=str(kind))
    if rest.any():
        text = "not known" if len(shown) == len(kinds) else "others"
        axis.scatter(*points[rest].T, **style, color=UNKNOWN_COLOUR, label=text, zorder=0.9)
    _name_kinds(axis, points, values, shown)
    axis.figure.legend(
        loc="outside right upper", title=named(name), frameon=False, fontsize=8, markerscale=1.4
    )


def _name_kinds(axis: Axes, points: np.ndarray, values: np.ndarray, shown: np.ndarray) -> None:
    """Writes each kind's name in its middle; the legend alone has those that would collide."""
    places = np.array([np.median(points[values == kind], axis=0) for kind in shown])
    size = np.ptp(points, axis=0)
    apart = np.abs(places[:, None] - places) / np.where(size > 0, size, 1.0)
    collide = (apart < CLOSE).all(axis=2).sum(axis=1) > 1
    for k in np.flatnonzero(~collide):
        box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": _colour(k), "alpha": 0.85}
        centred = {"ha": "center", "va": "center"}
        axis.annotate(str(shown[k]), places[k], **centred, fontweight="bold", bbox=box)


def _colour(kind: int) -> str:
    return POINT_COLOURS[kind % len(POINT_COLOURS)]


def _draw_measured(
    axis: Axes, points: np.ndarray, values: np.ndarray, name: str, period: float | None
) -> None:
    there = known(values)
    style = _point_style(len(points))
    if not there.all():
        axis.scatter(*points[~there].T, **style, color=UNKNOWN_COLOUR, label="not known")
        axis.legend(frameon=False, fontsize=8)
    measured = values[there].astype(np.float64)
    options: dict[str, Any] = {"cmap": "viridis"}
    if period is not None:
        measured = measured % period
        options = {"cmap": "twilight_shifted", "vmin": 0, "vmax": period}
    drawn = axis.scatter(*points[there].T, c=measured, **style, **options)
    bar = axis.figure.colorbar(drawn, ax=axis, label=named(name))
    if period is not None:
        bar.set_ticks(np.linspace(0, period, 5))
