"""What kind of outline a particle has: sphere, rod, faceted, irregular or aggregate, by rules.

A micrograph shows a projection, and the names say no more than that: a "sphere" is round in
projection, also where it is a disc seen from above; a "faceted" particle is compact with straight
edges and corners, be it a plate, a cube or a crystal; a "rod" may be a plate seen from its side.

``THRESHOLDS`` holds all numbers. The rules, in this order:

1. aggregate: a neck parts it into two cores (``neck_depth``);
2. rod: its ``aspect_ratio`` is that of a fibre; or it is elongated, and its ``solidity`` high;
3. irregular: its outline is dented: the ``solidity`` is low;
4. sphere: its hull is bounded like an ellipse's (``ellipse_likeness``);
5. faceted: the others.

"unsure" is the answer where another one would follow if a single threshold were moved by its
margin, for particles of too few pixels, and for those that touch the border, whose outline may be
cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

KINDS = ("sphere", "rod", "faceted", "irregular", "aggregate")
UNSURE = "unsure"


@dataclass(frozen=True)
class Threshold:
    """A number that rules compare a column with.

    Attributes:
        column: of the table.
        value: from which on the rule holds.
        margin: to both sides of it the answer is "unsure" where it matters.
        meaning: of a value from it on.
        origin: of the number.
    """

    column: str
    value: float
    margin: float
    meaning: str
    origin: str


THRESHOLDS: Mapping[str, Threshold] = {
    "pixels": Threshold(
        "diameter_px", 20, 0, "enough pixels", "below it necks and corners are of a pixel or two"
    ),
    "neck": Threshold(
        "neck_depth", 0.14, 0.04, "aggregate", "between drawn lobed outlines and touching discs"
    ),
    "long": Threshold("aspect_ratio", 1.5, 0.1, "elongated", "convention: half as long again"),
    "fibre": Threshold("aspect_ratio", 3, 0.2, "rod, also where bent", "WHO's fibres, 3:1"),
    "convex": Threshold(
        "solidity", 0.93, 0.01, "not dented", "between drawn lobed outlines and convex ones"
    ),
    "round": Threshold(
        "ellipse_likeness",
        0.945,
        0.01,
        "sphere",
        "between drawn polygons, up to 0.92, and discs, from 0.95",
    ),
}

RULES = tuple(name for name in THRESHOLDS if name != "pixels")


def morphology(table: pd.DataFrame) -> pd.Series:
    """The kind of each particle, by the rules of this module.

    Args:
        table: what ``temzoo.measure`` returns.

    Returns:
        (N,) texts: one of ``KINDS``, or "unsure".

    Raises:
        ValueError: the table lacks a column that the rules need.

    Example:
        >>> morphology(temzoo.measure(prediction)).value_counts()
    """
    needed = [*dict.fromkeys(THRESHOLDS[name].column for name in RULES), "touches_border"]
    missing = [name for name in needed if name not in table]
    if missing:
        raise ValueError(
            "morphology needs the columns of temzoo.measure. Received: a table without"
            f" {', '.join(missing)}. Measure the predictions again."
        )
    found = _decided(table, THRESHOLDS)
    large = _diameters_px(table) >= _value("pixels")  # boxes have no diameter
    unsure = table["touches_border"].to_numpy(bool) | ~large
    for name in RULES:
        one = THRESHOLDS[name]
        for moved in (one.value - one.margin, one.value + one.margin):
            other = _decided(table, {**THRESHOLDS, name: replace(one, value=moved)})
            unsure |= other != found
    return pd.Series(np.where(unsure, UNSURE, found), index=table.index, dtype="str")


def _value(name: str) -> float:
    return THRESHOLDS[name].value


def _decided(table: pd.DataFrame, thresholds: Mapping[str, Threshold]) -> np.ndarray:
    """(N,) kinds, without doubt."""
    holds = {
        name: table[thresholds[name].column].to_numpy(float) >= thresholds[name].value
        for name in RULES
    }
    rules = {
        "aggregate": holds["neck"],
        "rod": holds["fibre"] | (holds["long"] & holds["convex"]),
        "irregular": ~holds["convex"],
        "sphere": holds["round"],
    }
    return np.select(list(rules.values()), list(rules), "faceted")


def _diameters_px(table: pd.DataFrame) -> np.ndarray:
    """(N,) equivalent diameters, in the side of a square of a pixel's area."""
    if "diameter_px" in table:
        return table["diameter_px"].to_numpy(float)
    pixel = np.sqrt(table["nm_per_pixel_row"] * table["nm_per_pixel_col"]).to_numpy(float)
    return table["diameter_nm"].to_numpy(float) / pixel
