"""What a file is, in words: for ``temzoo info``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from temzoo.micrographs.calibration import Scale
from temzoo.micrographs.loading import count_frames, load_micrograph
from temzoo.micrographs.opening import format_of
from temzoo.micrographs.source import LOG


def facts_of(path: Path) -> dict[str, Any]:
    """Format, size, type, frames and calibration of a file, and how it was read, as JSON has it.

    Raises:
        FileNotFoundError, MicrographError: as ``load_micrograph``.
    """
    with _heard() as notes:
        first, frames = load_micrograph(path), count_frames(path)
    return {
        "file": str(path),
        "format": format_of(path),
        "height": first.height,
        "width": first.width,
        "channels": first.channels,
        "dtype": str(first.pixels.dtype),
        "lowest": first.pixels.min().item(),
        "highest": first.pixels.max().item(),
        "frames": frames,
        "nm_per_pixel": first.nm_per_pixel,
        "calibration": first.calibration,
        "notes": [note.removeprefix(f"{path}: ") for note in dict.fromkeys(notes)],
    }


def told_of(path: Path) -> list[str]:
    """The same in words, a line each.

    Raises:
        FileNotFoundError, MicrographError: as ``load_micrograph``.
    """
    told = facts_of(path)
    colours = "" if told["channels"] == 1 else f", {told['channels']} colours"
    calibration = f" ({told['calibration']})" if told["calibration"] else ""
    return [
        f"format  {told['format']}",
        f"size    {told['height']} x {told['width']} px (rows x columns){colours}",
        f"values  {told['dtype']}, from {told['lowest']:g} to {told['highest']:g}",
        f"frames  {told['frames']}"
        + (", of which this is the first" if told["frames"] > 1 else ""),
        f"pixel   {_in_nm(told['nm_per_pixel'])}{calibration}",
        *(f"note    {note}" for note in told["notes"]),
    ]


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
