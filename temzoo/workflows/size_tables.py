"""Measured particles as files: their table, its summary with intervals, the plot of their sizes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from temzoo.core.files import atomic_path
from temzoo.core.writers import write_csv
from temzoo.measurement import summarize
from temzoo.measurement.kinds import summarize_kinds
from temzoo.pictures.kinds import plot_kinds
from temzoo.pictures.size_distribution import plot_sizes
from temzoo.workflows.measure_folder import Measured, Particles

TABLES = ("particles.csv", "particles.parquet", "summary.csv", "kinds.csv")
PLOTS = ("sizes.png", "kinds.png")


@dataclass(frozen=True)
class Sizes:
    """What is known of the sizes of the images of one unit.

    Attributes:
        summary: a row an image, then all together, as ``temzoo.summarize`` gives them, with the
            columns ``doubtful`` and ``calibration``.
        kinds: a row for each kind of particle, as ``summarize_kinds`` gives it.
        files: that were written.
    """

    summary: pd.DataFrame
    kinds: pd.DataFrame
    files: tuple[Path, ...]

    def facts(self) -> dict[str, Any]:
        """As JSON has it; what is undefined is null."""
        rows = json.loads(self.summary.to_json(orient="records", double_precision=15))
        kinds = json.loads(self.kinds.to_json(orient="records", double_precision=15))
        return {"summary": rows, "kinds": kinds, "files": [str(path) for path in self.files]}


def write_sizes(
    measured: Measured,
    out: Path,
    *,
    border: str = "exclude",
    over: str = "particles",
    seed: int = 0,
) -> Mapping[str, Sizes]:
    """Summarises what was measured and writes it, each file whole or not at all.

    The plot is written only where there are sizes. Where some images have no calibration, their
    files have names of their own, ``particles_px.csv`` …

    Args:
        border, over, seed: see ``temzoo.summarize``.

    Returns:
        By unit, as in ``measured``.

    Raises:
        ValueError: as ``temzoo.summarize`` does; nothing is written then.
    """
    how = {"border": border, "over": over, "seed": seed}
    summaries = {unit: _summarized(part, measured, how) for unit, part in measured.by_unit.items()}
    _remove_plots(out)  # there may be none this time
    found = {}
    for unit, part in measured.by_unit.items():
        about = {**how, "frames": part.frames, "model": part.model}
        kinds = summarize_kinds(part.table, of=measured.kinds, **about)
        paths = [out / _named(name, unit, measured.by_unit) for name in (*TABLES, *PLOTS)]
        for path, frame in zip(paths, (part.table, None, summaries[unit], kinds), strict=False):
            if frame is not None:
                write_csv(path, frame.columns, frame.itertuples(index=False, name=None), digits=9)
        with atomic_path(paths[1]) as temporary:
            part.table.to_parquet(temporary, index=False)
        if summaries[unit]["sized"].any():
            plot_sizes(part.table, paths[-2], border=border, seed=seed, model=part.model)
            plot_kinds(part.table, paths[-1], of=measured.kinds, border=border)
        else:
            paths = paths[: len(TABLES)]
        found[unit] = Sizes(summaries[unit], kinds, tuple(paths))
    return found


def _summarized(part: Particles, measured: Measured, how: Mapping) -> pd.DataFrame:
    """A row an image, then all together; classes apart where there are several.

    Column ``doubtful``: the objects of all classes that a model was not sure enough of, where it
    says so; they count in nothing.
    """
    table, how = part.table, {**how, "frames": part.frames, "model": part.model}
    kinds = ["class"] if table["class"].nunique() > 1 else []
    parts = [summarize(table, by=["image", *kinds], **how)]
    parts += [summarize(table, by=kinds, **how)] if len(part.frames) > 1 else []
    summary = pd.concat(parts, ignore_index=True)
    known = {name: n for name in part.frames if (n := measured.doubtful.get(name)) is not None}
    counts = known | ({"all": sum(known.values())} if known else {})
    summary.insert(4, "doubtful", summary["image"].map(counts).astype("Int64"))
    summary["calibration"] = summary["image"].map(measured.calibrations).fillna("")
    return summary


def _named(name: str, unit: str, units: Collection[str]) -> str:
    """A file's name: those in pixels have another where there are two units."""
    stem, _, suffix = name.partition(".")
    return f"{stem}_px.{suffix}" if unit == "px" and len(units) > 1 else name


def _remove_plots(out: Path) -> None:
    """And all in pixels beside nanometres."""
    in_px = (_named(name, "px", ("nm", "px")) for name in (*TABLES, *PLOTS))
    for path in (*PLOTS, *in_px):
        (out / path).unlink(missing_ok=True)
