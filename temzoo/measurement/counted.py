"""What ``summarize`` counts by: a few columns of a table of particles, which may come in parts.

A table of ``temzoo.measure`` takes some 300 bytes a particle; these columns take 56, and a file is
never held whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

Pair = tuple[float, float]
BATCH = 2**16  # rows of a Parquet file at a time
SIDES = ("height", "width")
KIND = "morphology"


@dataclass(frozen=True, eq=False)
class Counted:
    """Particles of one or several images, in the columns that count.

    Attributes:
        columns: a row a particle: image, class, kind (categories; the last is its morphology, ""
            where the table has none), particle (its number), size, aspect (ratio), covered (area
            in the field), weight (area of the field by that in which it could have lain free, from
            1 on; of a free one), least (smallest diameter that counts), large (whether it is not
            below that), free (whether the border does not touch it).
        fields: (height, width) of each image by its name, without what was left out.
        unit: "nm" or "px".
        of: what ``size`` is: "diameter", "feret_max" …
    """

    columns: pd.DataFrame
    fields: dict[str, Pair]
    unit: str
    of: str

    @cached_property
    def classes(self) -> list[str]:
        """The most frequent first."""
        return self.columns["class"].value_counts().index.tolist()

    def replaced(self, **columns: pd.Series) -> Counted:
        """The same particles with other columns in the place of some."""
        return Counted(self.columns.assign(**columns), self.fields, self.unit, self.of)

    def of_class(self, name: str) -> Counted:
        return self._picked(self.columns["class"] == name)

    def of_image(self, name: str) -> Counted:
        return self._picked(self.columns["image"] == name)

    def _picked(self, rows: pd.Series) -> Counted:
        return Counted(self.columns[rows], self.fields, self.unit, self.of)


def counted(table: pd.DataFrame | str | Path | Counted, of: str = "diameter") -> Counted:
    """The columns of a table, or of a Parquet file of it, which is read part by part.

    Raises:
        ValueError: it is no table of particles, or has no such size.
    """
    if isinstance(table, Counted):
        return table
    parts = Parts(of)
    for part in [table] if isinstance(table, pd.DataFrame) else read_parquet(table, of):
        parts.add(part)
    return parts.together()


def read_parquet(
    path: str | Path, of: str | None = None, *, rows: int = BATCH
) -> Iterator[pd.DataFrame]:
    """A table of particles from a Parquet file, so many rows at a time; one part at least.

    Args:
        of: a size: the columns alone that ``Parts`` needs for it; None: all columns.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if of is not None:
            unit = table_unit(names)
            names = [name for name in names if name in _needed(of, unit)]
        empty = True
        for batch in file.iter_batches(rows, columns=names):
            empty = False
            yield batch.to_pandas()
        if empty:
            yield file.schema_arrow.empty_table().select(names).to_pandas()


def table_unit(table: pd.DataFrame | Iterable[str]) -> str:
    """ "nm" or "px", by a table's columns.

    Raises:
        ValueError: it has neither or both.
    """
    names = set(table)
    units = [unit for unit in ("nm", "px") if f"area_{unit}2" in names]
    if len(units) == 1:
        return units[0]
    found, remedy = (
        ("both", "Calibrate all images, or measure them with one nm_per_pixel.")
        if units
        else ("neither", "Pass what temzoo.measure returns.")
    )
    raise ValueError(
        f"a table of particles is in nm or in px. Received: {found} of area_nm2 and area_px2. "
        f"{remedy}"
    )


class Parts:
    """Puts tables of particles, as ``temzoo.measure`` gives them, together to what counts of them.

    Args:
        of: what is a size.
    """

    def __init__(self, of: str = "diameter"):
        self.of, self.unit = of, ""
        self._fields: dict[str, Pair] = {}
        self._numbers: dict[str, dict[str, int]] = {"image": {}, "class": {}, "kind": {}}
        self._arrays: dict[str, list[np.ndarray]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, table: pd.DataFrame) -> None:
        """Adds the rows of a table in the unit of those before.

        Raises:
            ValueError: its unit is another, or it has no such size.
        """
        unit = table_unit(table)
        if self.unit not in ("", unit):
            unit = table_unit(["area_nm2", "area_px2"])
        self.unit = unit
        if f"{self.of}_{unit}" not in table:
            raise ValueError(
                f"of must be a length of the table, without its unit. Received: of={self.of!r}. Use"
                ' "diameter", "feret_max" or "feret_min".'
            )
        for name, values in self._columns(table).items():
            self._arrays.setdefault(name, []).append(values.copy())  # a view holds the whole table
        for name, sides in _fields(table, unit).items():
            self._fields.setdefault(name, sides)
        self._count += len(table)

    def together(self) -> Counted:
        """All that was added, which is not kept."""
        arrays = {name: np.concatenate(self._arrays.pop(name)) for name in [*self._arrays]}
        for name, numbers in self._numbers.items():
            arrays[name] = pd.Categorical.from_codes(arrays[name], [*numbers])
        columns = pd.DataFrame(arrays, copy=False)
        return Counted(columns, self._fields, self.unit, self.of)

    def _columns(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        unit, least = self.unit, np.zeros(len(table))
        if f"min_diameter_{unit}" in table:  # tables of older releases know of none
            least = table[f"min_diameter_{unit}"].to_numpy(float)
        return {
            "image": self._codes(table, "image", np.int32),
            "particle": table["particle"].to_numpy(),
            "class": self._codes(table, "class", np.int16),
            "kind": self._codes(table.rename(columns={KIND: "kind"}), "kind", np.int16),
            "aspect": table["aspect_ratio"].to_numpy(float),
            "size": table[f"{self.of}_{unit}"].to_numpy(float),
            "covered": _covered(table, unit),
            "weight": _weights(table, unit),
            "least": least,
            # Boxes have no diameter, and none is too small.
            "large": ~(table[f"diameter_{unit}"].to_numpy(float) < least),
            "free": ~table["touches_border"].to_numpy(bool),
        }

    def _codes(self, table: pd.DataFrame, name: str, dtype: type) -> np.ndarray:
        """(n,) the number of each row's name among all names so far."""
        codes, names = pd.factorize(table.get(name, pd.Series([""] * len(table))))
        numbers = self._numbers[name]
        places = [numbers.setdefault(each, len(numbers)) for each in names]
        return np.array([*places, -1], dtype)[codes]


def _needed(of: str, unit: str) -> set[str]:
    columns = {"image", "particle", "class", KIND, "aspect_ratio", "touches_border", "field_share"}
    columns |= {"share_in_field", "border_weight"}
    columns |= {f"area_{unit}2", f"diameter_{unit}", f"{of}_{unit}", f"min_diameter_{unit}"}
    columns |= {f"{what}_{side}_{unit}" for what in ("frame", "box") for side in SIDES}
    return columns | {"nm_per_pixel_row", "nm_per_pixel_col"}


def _fields(table: pd.DataFrame, unit: str) -> dict[str, Pair]:
    """(height, width) of each image, by its name; what was left out is no height."""
    known = table.drop_duplicates("image")
    heights, widths = (known[f"frame_{side}_{unit}"].to_numpy(float) for side in SIDES)
    if "field_share" in known:
        heights = heights * known["field_share"].to_numpy(float)
    return dict(
        zip(known["image"], zip(heights.tolist(), widths.tolist(), strict=True), strict=True)
    )


def _covered(table: pd.DataFrame, unit: str) -> np.ndarray:
    """(n,) area of each particle, without what is no field."""
    area = table[f"area_{unit}2"].to_numpy(float)
    if "share_in_field" not in table:  # tables of older releases
        return area
    return area * table["share_in_field"].fillna(1.0).to_numpy(float)


def _weights(table: pd.DataFrame, unit: str) -> np.ndarray:
    """(n,) area of the field by that in which each particle could have lain free, from 1 on."""
    weights = np.ones(len(table))
    for side, axis in zip(SIDES, ("row", "col"), strict=True):
        frame, box = (table[f"{what}_{side}_{unit}"].to_numpy(float) for what in ("frame", "box"))
        pixel = table[f"nm_per_pixel_{axis}"].to_numpy(float) if unit == "nm" else 1.0
        with np.errstate(divide="ignore"):  # of one as long as the frame, which is never free
            weights *= frame / (frame - box - pixel)
    if "border_weight" not in table:  # tables of older releases know the border alone
        return weights
    known = table["border_weight"].to_numpy(float)
    return np.where(np.isnan(known), weights, known)
