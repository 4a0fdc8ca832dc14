"""What a file is, in words: for ``temzoo info``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from temzoo.micrographs.calibration import Scale
from temzoo.micrographs.loading import count_frames, load_micrograph
from temzoo.micrographs.opening import format_of
from temzoo.micrographs.source import LOG


def told_of(path: Path) -> list[str]:
    """Format, size, type, frames and calibration of a file, and how it was read, a line each.

    Raises:
        FileNotFoundError, MicrographError: as ``load_micrograph``.
    """
    with _heard() as notes:
        first, frames = load_micrograph(path), count_frames(path)
    colours = "" if first.channels == 1 else f", {first.channels} colours"
    lowest, highest = first.pixels.min(), first.pixels.max()
    lines = [
        f"format  {format_of(path)}",
        f"size    {first.height} x {first.width} px (rows x columns){colours}",
        f"values  {first.pixels.dtype}, from {lowest:g} to {highest:g}",
        f"frames  {frames}" + (", of which this is the first" if frames > 1 else ""),
        f"pixel   {_in_nm(first.nm_per_pixel)}"
        + (f" ({first.calibration})" if first.calibration else ""),
    ]
    prefix = f"{path}: "
    return lines + [f"note    {note.removeprefix(prefix)}" for note in dict.fromkeys(notes)]


def _in_nm(scale: Scale | None) -> str:
    if scale is None:
        return "no calibration"
    row, col = scale
    return f"{row:.6g} nm" if row == col else f"{row:.6g} x {col:.6g} nm (row x column)"


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What the readers log meanwhile."""
    notes: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes.append(record.getMessage())

    kept, level, propagate = Kept(), LOG.level, LOG.propagate
    LOG.addHandler(kept)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    try:
        yield notes
    finally:
        LOG.removeHandler(kept)
        LOG.setLevel(level)
        LOG.propagate = propagate
