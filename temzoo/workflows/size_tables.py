"""Measured particles as files: their table, its summary with intervals, the plot of their sizes."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from temzoo.core.files import atomic_path, partial_path
from temzoo.core.writers import write_csv
from temzoo.measurement import summarize
from temzoo.measurement.between_images import differing
from temzoo.measurement.counted import Counted, counted, read_parquet
from temzoo.measurement.kinds import summarize_kinds
from temzoo.measurement.summary import BOX_SIDES
from temzoo.pictures.kinds import plot_kinds
from temzoo.pictures.size_distribution import plot_sizes
from temzoo.store.particle_tables import UNITS
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
        differing: in what images differ by more than chance; () where whole images are drawn.
    """

    summary: pd.DataFrame
    kinds: pd.DataFrame
    files: tuple[Path, ...]
    differing: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As JSON has it; what is undefined is null."""
        rows = json.loads(self.summary.to_json(orient="records", double_precision=15))
        kinds = json.loads(self.kinds.to_json(orient="records", double_precision=15))
        return {
            "summary": rows,
            "kinds": kinds,
            "files": [str(path) for path in self.files],
            "images_differ_in": list(self.differing),
        }


@contextmanager
def tables_of(out: Path) -> Iterator[Mapping[str, Path]]:
    """Where ``measure_folder`` may write tables that ``write_sizes`` takes from there."""
    with ExitStack() as files:
        yield {
            unit: files.enter_context(partial_path(out / f"particles_{unit}.parquet"))
            for unit in UNITS
        }


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
    count = {unit: counted(part.table) for unit, part in measured.by_unit.items()}
    summaries = {
        unit: _summarized(count[unit], part, measured, how)
        for unit, part in measured.by_unit.items()
    }
    _remove_plots(out)  # there may be none this time
    found = {}
    for unit, part in measured.by_unit.items():
        about = {**how, "frames": part.frames, "model": part.model}
        kinds = summarize_kinds(count[unit], of=measured.kinds, **about)
        paths = [out / _named(name, unit, measured.by_unit) for name in (*TABLES, *PLOTS)]
        for path, parts in zip(
            paths, (_parts(part.table), None, [summaries[unit]], [kinds]), strict=False
        ):
            if parts is not None:
                _write_rows(path, parts)
        with atomic_path(paths[1]) as temporary:
            if isinstance(part.table, Path):
                os.replace(part.table, temporary)
            else:
                part.table.to_parquet(temporary, index=False)
        if summaries[unit]["sized"].any():
            plot_sizes(count[unit], paths[-2], **about)
            plot_kinds(count[unit], paths[-1], of=measured.kinds, border=border)
        else:
            paths = paths[: len(TABLES)]
        unlike = () if over == "images" else differing(count[unit], part.frames, border=border)
        found[unit] = Sizes(summaries[unit], kinds, tuple(paths), unlike)
    return found


def _parts(table: pd.DataFrame | Path) -> Iterable[pd.DataFrame]:
    return read_parquet(table) if isinstance(table, Path) else [table]


def _write_rows(path: Path, parts: Iterable[pd.DataFrame]) -> None:
    """A CSV of a table that comes in parts, one at least."""
    parts = iter(parts)
    first = next(parts)
    rows = (
        row for part in chain([first], parts) for row in part.itertuples(index=False, name=None)
    )
    write_csv(path, first.columns, rows, digits=9)


def _summarized(
    particles: Counted, part: Particles, measured: Measured, how: Mapping
) -> pd.DataFrame:
    """A row an image, then all together; classes apart where there are several.

    Column ``doubtful``: the objects of all classes that a model was not sure enough of, where it
    says so; they count in nothing. Columns ``excluded_by_hand``, ``taken_in_by_hand``,
    ``merged_by_hand`` and ``relabelled_by_hand``, where anything was corrected: objects before
    that. Of boxes alone there are figures of ``BOX_SIDES`` too.
    """
    how = {**how, "frames": part.frames, "model": part.model}
    kinds = ["class"] if len(particles.classes) > 1 else []
    summary = _rows(particles, kinds, how)
    if len(particles.columns) and particles.columns["covered"].isna().all():
        for side in BOX_SIDES:
            more = _rows(counted(part.table, side), kinds, {**how, "of": side})
            summary = summary.join(more[[name for name in more if name.startswith(side)]])
    known = {name: n for name in part.frames if (n := measured.doubtful.get(name)) is not None}
    counts = known | ({"all": sum(known.values())} if known else {})
    summary.insert(4, "doubtful", summary["image"].map(counts).astype("Int64"))
    if measured.corrected:
        own = {name: measured.corrected.get(name, Counter()) for name in part.frames}
        own["all"] = sum(own.values(), Counter())
        for name in ("excluded", "taken_in", "merged", "relabelled"):
            by_image = {image: counts[name] for image, counts in own.items()}
            summary[f"{name}_by_hand"] = summary["image"].map(by_image)
    summary["calibration"] = summary["image"].map(measured.calibrations).fillna("")
    return summary


def _rows(particles: Counted, kinds: list[str], how: Mapping) -> pd.DataFrame:
    parts = [summarize(particles, by=["image", *kinds], **how)]
    parts += [summarize(particles, by=kinds, **how)] if len(how["frames"]) > 1 else []
    return pd.concat(parts, ignore_index=True)


def _named(name: str, unit: str, units: Collection[str]) -> str:
    """A file's name: those in pixels have another where there are two units."""
    stem, _, suffix = name.partition(".")
    return f"{stem}_px.{suffix}" if unit == "px" and len(units) > 1 else name


def _remove_plots(out: Path) -> None:
    """And all in pixels beside nanometres."""
    in_px = (_named(name, "px", ("nm", "px")) for name in (*TABLES, *PLOTS))
    for path in (*PLOTS, *in_px):
        (out / path).unlink(missing_ok=True)
