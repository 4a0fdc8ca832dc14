"""Particles summarised by what they are: number, share, D50 and aspect ratio of each kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from temzoo.measurement.morphology import KINDS, UNSURE
from temzoo.measurement.resampling import Sample, size_statistics
from temzoo.measurement.summary import LEVEL, POOLED, sized, summarize, table_unit

FIGURES = ("diameter_d50", "aspect_ratio_d50")  # each with its _low and _high


def summarize_kinds(table: pd.DataFrame, *, of: str = "morphology", **how: Any) -> pd.DataFrame:
    """Number, share, D50 and median aspect ratio of the particles of each kind.

    Columns: ``image``; the one that ``of`` names; ``particles`` (those too small left out) and
    ``share`` of the image's; ``diameter_d50_nm`` and ``aspect_ratio_d50``, the medians of the sized
    ones, each with ``_low`` and ``_high``. Intervals are those of all images together, as
    ``summarize`` has them; of several images those of each have none.

    Args:
        table: as ``summarize`` takes it.
        of: the column that tells the kinds: "morphology", or "class".
        how: ``border``, ``frames``, ``model`` and ``seed`` of ``summarize``.

    Returns:
        A row for every kind of the table, for each image and, of several, for "all".

    Raises:
        ValueError: the table has no such column, or as ``summarize`` does.

    Example:
        >>> summarize_kinds(temzoo.measure(prediction))
    """
    if of not in table:
        raise ValueError(
            f"of names a column that tells kinds. Received: of={of!r}. Use 'morphology' or 'class'."
        )
    unit = table_unit(table)
    kinds = table.assign(**{"class": table[of], f"aspect_ratio_{unit}": table["aspect_ratio"]})
    pooled = _rows(kinds, [], how)
    images = list(how.get("frames") or dict.fromkeys(table["image"]))
    if len(images) == 1:
        parts = [pooled.assign(image=images[0])]
    else:
        parts = [_rows(kinds, ["image"], how | {"bootstrap": 0}), pooled]
    found = pd.concat(parts, ignore_index=True)
    found["share"] = found["particles"] / found.groupby("image")["particles"].transform("sum")
    figures = [f"{name}{part}" for name in FIGURES for part in ("", "_low", "_high")]
    figures = [f"{name}_{unit}" if name.startswith("diameter") else name for name in figures]
    found = found.rename(columns={"class": of})
    return found[["image", of, "particles", "share", *figures]]


def _rows(table: pd.DataFrame, by: list[str], how: dict[str, Any]) -> pd.DataFrame:
    """What ``summarize`` says of each kind, and the median of its aspect ratio."""
    rows = summarize(table, by=[*by, "class"], **how)
    aspects = [f"aspect_ratio_d50{part}" for part in ("", "_low", "_high")]
    rows[aspects] = np.nan
    border = how.get("border", "exclude")
    options = {"bootstrap": how.get("bootstrap", 1000), "seed": how.get("seed", 0)}
    for at, image, kind in zip(rows.index, rows["image"], rows["class"], strict=True):
        part = table[(table["class"] == kind) & ((image == POOLED) | (table["image"] == image))]
        sample = Sample(*sized(part, of="aspect_ratio", border=border))
        bounds = size_statistics(sample, level=LEVEL, **options)["d50"]
        rows.loc[at, aspects] = bounds.value, bounds.low, bounds.high
    return rows


def ordered_kinds(found: Iterable[str]) -> list[str]:
    """The different kinds in it: those of the rules in their order, others by name, then unsure."""
    there = set(found)
    others = sorted(there - {*KINDS, UNSURE})
    return [kind for kind in (*KINDS, *others, UNSURE) if kind in there]
