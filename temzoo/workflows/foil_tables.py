"""Figures of foils as files: lines by area, and particles and lines by volume."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from temzoo.core.types import Prediction
from temzoo.core.writers import write_csv
from temzoo.measurement.lines import lines_of_prediction, summarize_lines
from temzoo.measurement.volumes import checked_thickness, per_volume
from temzoo.workflows.measure_folder import Measured

FILES = {"lines": "lines.csv", "volumes": "volumes.csv"}


def foil_tables(
    measured: Measured,
    predictions: Iterable[Prediction] = (),
    *,
    lines: Sequence[str] = (),
    thickness_nm: float | None = None,
    over: str = "particles",
) -> dict[str, pd.DataFrame]:
    """What is asked for of "lines" and "volumes".

    Args:
        measured: the particles; its tables must still be where they are.
        predictions: the same images, looked at for lines.
        lines: classes whose pixels are lines; they are no particles in the volumes.
        thickness_nm: of the foil; None: no volumes, as where all classes are lines.
        over: "images" where intervals are by drawing whole images.

    Raises:
        ValueError: as ``summarize_lines`` and ``per_volume`` do.
    """
    tables, names = {}, set()
    if lines:
        found = []
        for each in predictions:
            found += lines_of_prediction(each, classes=lines)
            names.update(each.class_names)
        tables["lines"] = summarize_lines(
            found,
            thickness_nm=thickness_nm,
            over="pieces" if over == "particles" else over,
        )
    if thickness_nm is not None:
        for unit in measured.by_unit:
            checked_thickness(thickness_nm, unit)
        if not lines or names - set(lines):  # else there are no particles to tell of
            part = measured.by_unit["nm"]
            tables["volumes"] = per_volume(
                part.table,
                thickness_nm=thickness_nm,
                frames=part.frames,
                without=lines,
                model=part.model,
                over=over,
            )
    return tables


def write_foil_tables(tables: Mapping[str, pd.DataFrame], out: Path) -> list[Path]:
    """Writes each table that there is, and removes what an earlier call left of the others."""
    for name, file in FILES.items():
        if name not in tables:
            (out / file).unlink(missing_ok=True)
    paths = []
    for name, table in tables.items():
        paths.append(out / FILES[name])
        rows = table.itertuples(index=False, name=None)
        write_csv(paths[-1], table.columns, rows, digits=9)
    return paths


def facts(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """As JSON has them; what is undefined is null."""
    return {
        name: json.loads(table.to_json(orient="records", double_precision=15))
        for name, table in tables.items()
    }


def told(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The last row of each class in words."""
    lines = []
    if "lines" in tables:
        lines += [_line(row) for row in _last(tables["lines"])]
    if "volumes" in tables:
        lines += [_volume(row) for row in _last(tables["volumes"])]
    return lines


def _last(table: pd.DataFrame) -> list[Mapping[str, Any]]:
    return table.drop_duplicates("class", keep="last").to_dict("records")


def _line(row: Mapping[str, Any]) -> str:
    unit = "um" if "length_um" in row else "px"
    said = f"{row['class']}: {row[f'length_{unit}']:.4g} {unit} of lines in {row['pieces']} pieces,"
    said += f" {_figure(row, f'length_per_area_per_{unit}')} per {unit}"
    if "length_per_volume_per_m2" in row:
        said += f"; {_figure(row, 'length_per_volume_per_m2')} per m2 of projected length,"
        said += f" {row['random_length_per_volume_per_m2']:.4g} for random directions"
    return said


def _volume(row: Mapping[str, Any]) -> str:
    said = f"{row['class']}: {_figure(row, 'number_per_m3')} per m3; as spheres"
    said += f" {_figure(row, 'volume_fraction')} of the volume, swelling {row['swelling']:.4g}"
    if row["larger_than_foil"]:
        said += f"; {row['larger_than_foil']} are larger than the foil is thick"
    return said


def _figure(row: Mapping[str, Any], name: str) -> str:
    low, high = (row[f"{name}_{side}"] for side in ("low", "high"))
    between = "" if math.isnan(high) else f" (95 % {low:.4g} to {high:.4g})"
    return f"{row[name]:.4g}{between}"
