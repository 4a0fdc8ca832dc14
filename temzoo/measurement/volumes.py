"""Particles by the volume of a foil whose thickness is known: number density, swelling.

Each particle stands for a sphere whose diameter is that of the circle of equal area: exact for
bubbles, which are spheres as long as they are small, and too much for what lies flat. All that is
seen is taken to lie whole in the foil. What its surfaces have cut counts as whole too, so that
particles about as large as the foil is thick are counted too often.

A particle that lies free counts by Miles and Lantuéjoul's weight, as in
``temzoo.measurement.summary``, in number and in volume. Swelling is the growth of what was there
before: the volume of the bubbles by that of the matrix.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from temzoo.core.bootstrap import Interval
from temzoo.measurement.counted import Counted, Pair, counted
from temzoo.measurement.model_error import ModelError
from temzoo.measurement.resampling import Drawing

POOLED = "all"
LEVEL = 0.95
NM_PER_M = 1e9


def per_volume(
    table: pd.DataFrame | str | Path | Counted,
    *,
    thickness_nm: float,
    frames: Mapping[str, Pair] | None = None,
    without: Collection[str] = (),
    model: ModelError | None = None,
    over: str = "particles",
) -> pd.DataFrame:
    """Number per volume, volume fraction and swelling, a row an image and class, and all together.

    Columns: ``image``, ``class`` ("all" where there is one alone), ``images``, ``particles`` (those
    that count: free and not too small), ``larger_than_foil`` (of them, those whose diameter exceeds
    the thickness), ``thickness_nm``, ``level``, and with ``_low`` and ``_high``: ``number_per_m3``,
    ``volume_fraction`` and ``swelling`` (fraction / (1 - fraction), NaN from a fraction of 1 on);
    of boxes, which have no diameter, the number alone.
    Intervals are those of sampling; with ``model`` that of the number holds its error too.

    Args:
        table: as for ``temzoo.summarize``.
        thickness_nm: of the foil, the same for all images.
        frames: as for ``temzoo.summarize``.
        without: classes that are no particles, as lines.
        model, over: as for ``temzoo.summarize``.

    Raises:
        ValueError: a thickness that is none, or sizes in pixels; something else to draw.

    Example:
        >>> per_volume(temzoo.measure(prediction), thickness_nm=90)["swelling"]
    """
    if over not in ("particles", "images"):
        raise ValueError(f'over must be "particles" or "images". Received: over={over!r}.')
    all_ = counted(table)
    checked_thickness(thickness_nm, all_.unit)
    how = Drawing(over, level=LEVEL)
    fields = {**all_.fields, **(frames or {})}
    kinds = [name for name in sorted(all_.classes) if name not in without]
    part = all_.columns[all_.columns["class"].isin(kinds)]
    rows = [
        {"image": image, "class": kind, **_row(own, own_fields, thickness_nm, (how, model))}
        for image, kind, own, own_fields in _groups(part, kinds, fields)
    ]
    return pd.DataFrame(rows)


def checked_thickness(thickness_nm: float, unit: str) -> float:
    """A foil's thickness for figures by volume.

    Raises:
        ValueError: it is no length above 0, or lengths are in px.
    """
    if not 0 < thickness_nm < math.inf:
        raise ValueError(
            "thickness_nm must be a length above 0. Received: "
            f"thickness_nm={thickness_nm}. Use 100 for a foil of 100 nm."
        )
    if unit != "nm":
        raise ValueError(
            "figures by volume need calibrated images. Received: thickness_nm="
            f"{thickness_nm:g} for sizes in pixels. Give --nm-per-pixel 0.5 (nm_per_pixel=0.5)."
        )
    return thickness_nm


def _groups(
    part: pd.DataFrame, kinds: list[str], fields: Mapping[str, Pair]
) -> Iterator[tuple[str, str, pd.DataFrame, Mapping[str, Pair]]]:
    """Image and class of each group, its particles, and its frames."""
    for image in [*fields, *([POOLED] if len(fields) > 1 else [])]:
        own = part if image == POOLED else part[part["image"] == image]
        sides = fields if image == POOLED else {image: fields[image]}
        if len(kinds) < 2:
            yield image, POOLED, own, sides
        else:
            yield from ((image, kind, own[own["class"] == kind], sides) for kind in kinds)


def _row(
    part: pd.DataFrame,
    fields: Mapping[str, Pair],
    thickness_nm: float,
    how: tuple[Drawing, ModelError | None],
) -> dict[str, Any]:
    (drawing, model), seen = how, part["large"].any()
    part = part[part["large"] & part["free"]]
    size, weight = part["size"].to_numpy(), part["weight"].to_numpy()
    places = pd.Index(list(fields)).get_indexer(part["image"])
    volumes = np.array([height * width * thickness_nm for height, width in fields.values()])
    number = drawing.per_area(weight, places, volumes, unseen=math.nan if seen else 1.0)
    if model is not None:
        number = model.widened(number, model.count, level=LEVEL)
    fraction = drawing.per_area(weight * size**3 * (math.pi / 6), places, volumes)
    shares = _limits(fraction)
    swelling = [share / (1 - share) if share < 1 else math.nan for share in shares]
    return {
        "images": len(fields),
        "particles": len(part),
        "larger_than_foil": int(np.count_nonzero(size > thickness_nm)),
        "thickness_nm": thickness_nm,
        "level": LEVEL,
        **_cells("number_per_m3", [each * NM_PER_M**3 for each in _limits(number)]),
        **_cells("volume_fraction", shares),
        **_cells("swelling", swelling),
    }


def _limits(bounds: Interval) -> tuple[float, float, float]:
    return bounds.value, bounds.low, bounds.high


def _cells(name: str, values: Sequence[float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
