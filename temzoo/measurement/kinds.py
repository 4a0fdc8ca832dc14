"""Particles summarised by what they are: number, share, D50 and aspect ratio of each kind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from temzoo.measurement.counted import KIND, Counted, counted
from temzoo.measurement.morphology import KINDS, UNSURE
from temzoo.measurement.summary import summarize

FIGURES = ("diameter_d50", "aspect_ratio_d50")  # each with its _low and _high


def summarize_kinds(
    table: pd.DataFrame | str | Path | Counted, *, of: str = KIND, **how: Any
) -> pd.DataFrame:
    """Number, share, D50 and median aspect ratio of the particles of each kind.

    Columns: ``image``; the one that ``of`` names; ``particles`` (those too small left out) and
    ``share`` of the image's; ``diameter_d50_nm`` and ``aspect_ratio_d50``, the medians of the sized
    ones, each with ``_low`` and ``_high``. Intervals are those of all images together, as
    ``summarize`` has them; of several images those of each have none.

    Args:
        table: as ``summarize`` takes it.
        of: the column that tells the kinds: "morphology", or "class".
        how: ``border``, ``over``, ``frames``, ``model`` and ``seed`` of ``summarize``.

    Returns:
        A row for every kind of the table, for each image and, of several, for "all".

    Raises:
        ValueError: the table has no such column, or as ``summarize`` does.

    Example:
        >>> summarize_kinds(temzoo.measure(prediction))
    """
    particles = by_kind(table, of)
    pooled = _rows(particles, [], how)
    images = list(how.get("frames") or particles.columns["image"].unique())
    if len(images) == 1:
        parts = [pooled.assign(image=images[0])]
    else:
        parts = [_rows(particles, ["image"], how | {"bootstrap": 0}), pooled]
    found = pd.concat(parts, ignore_index=True)
    found["share"] = found["particles"] / found.groupby("image")["particles"].transform("sum")
    figures = [f"{name}{part}" for name in FIGURES for part in ("", "_low", "_high")]
    unit = particles.unit
    figures = [f"{name}_{unit}" if name.startswith("diameter") else name for name in figures]
    found = found.rename(columns={"class": of})
    return found[["image", of, "particles", "share", *figures]]


def by_kind(table: pd.DataFrame | str | Path | Counted, of: str = KIND) -> Counted:
    """What counts of particles, with their kind in the place of their class.

    Raises:
        ValueError: the table has no such column.
    """
    particles = counted(table)
    if of == "class":
        return particles
    kinds = particles.columns["kind"]
    if of != KIND or "" in kinds.cat.categories:
        raise ValueError(
            f"of names a column that tells kinds. Received: of={of!r}. Use 'morphology' or 'class'."
        )
    return particles.replaced(**{"class": kinds})


def _rows(particles: Counted, by: list[str], how: dict[str, Any]) -> pd.DataFrame:
    """What ``summarize`` says of each kind, and the median of its aspect ratio."""
    by, unit = [*by, "class"], particles.unit
    rows = summarize(particles, by=by, **how)
    ratios = particles.replaced(size=particles.columns["aspect"])
    aspects = summarize(ratios, by=by, **how | {"model": None})
    for part in ("", "_low", "_high"):
        rows[f"aspect_ratio_d50{part}"] = aspects[f"diameter_d50{part}_{unit}"]
    return rows


def ordered_kinds(found: Iterable[str]) -> list[str]:
    """The different kinds in it: those of the rules in their order, others by name, then unsure."""
    there = set(found)
    others = sorted(there - {*KINDS, UNSURE})
    return [kind for kind in (*KINDS, *others, UNSURE) if kind in there]
