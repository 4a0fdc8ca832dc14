"""Figures as a reader wants them: digits that count, units in their place, thin spaces."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

DASH = "–"
# The measures that are shown, in this order, where the table has them; all are in the CSV.
SHOWN = (
    "diameter",
    "feret_max",
    "area",
    "morphology",
    "circularity",
    "aspect_ratio",
    "score",
)
NAMES = {
    "particle": "No.",
    "class": "Class",
    "score": "Score",
    "diameter": "Diameter",
    "feret_max": "Feret max",
    "feret_min": "Feret min",
    "area": "Area",
    "perimeter": "Perimeter",
    "circularity": "Circ.",
    "aspect_ratio": "Aspect",
    "morphology": "Outline",
    "touches_border": "Border",
    "iou_of_label": "IoU",
}
# Longest first: "_nm2" ends in no shorter one, but "_px2" would.
UNITS = {"_nm2": "nm²", "_px2": "px²", "_um2": "µm²", "_nm": "nm", "_px": "px", "_deg": "°"}


@dataclass(frozen=True)
class Column:
    """A column's key in the table, the same without its unit, and its unit ("nm", "px²", "")."""

    key: str
    stem: str
    unit: str

    @property
    def name(self) -> str:
        words = NAMES.get(self.stem, self.stem.replace("_", " "))
        return words[:1].upper() + words[1:]


def column(key: str) -> Column:
    """What a key of a table says of itself: "feret_max_nm" is "Feret max" in "nm"."""
    for suffix, unit in UNITS.items():
        if key.endswith(suffix):
            return Column(key, key.removesuffix(suffix), unit)
    return Column(key, key, "")


def shown_columns(keys: list[str]) -> list[str]:
    """Those of a table's keys that the page shows, in its order."""
    return [key for stem in SHOWN for key in keys if column(key).stem == stem]


def figure(value: float | int | None, digits: int = 3) -> str:
    """A number with so many digits that count, thousands parted by thin spaces."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    if isinstance(value, int) or abs(value) >= 10 ** (digits - 1):
        whole = f"{value:,.0f}"
        return whole.replace(",", "\u2009") if abs(value) >= 10_000 else whole.replace(",", "")
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}" if places <= 6 else f"{value:.{digits - 1}e}"


def interval(low: float | None, high: float | None) -> str:
    """An interval in brackets; empty where it is not known."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{figure(low)},\u00a0{figure(high)}]"


def counted(number: int, one: str) -> str:
    """A count with its noun: "1 particle", "2 micrographs"."""
    return f"{figure(int(number))} {one if number == 1 else one + 's'}"


def percent(share: float) -> str:
    """A share of one in percent: "12.3 %"."""
    return f"{figure(100 * share)} %"


def metric_name(key: str) -> str:
    """A metric's key in words: "val_iou" is "IoU", "instance_f1" is "Instance F1"."""
    words = key.removeprefix("val_").replace("_", " ")
    known = {"iou": "IoU", "f1": "F1", "ap": "AP", "ap50": "AP50", "ap75": "AP75", "psnr": "PSNR"}
    words = " ".join(known.get(word, word) for word in words.split(" "))
    return words[:1].upper() + words[1:]


def slug(words: str) -> str:
    """An id made of words."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "part"
