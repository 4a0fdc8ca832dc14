"""Names of result files, made of the names of micrographs."""

from __future__ import annotations

import re
from pathlib import Path


def file_stem(name: str) -> str:
    """A micrograph's name as the start of a file name: no folders, suffix or odd characters.

    Example:
        >>> file_stem("../day 1/grid:3.tif")
        'grid_3'
    """
    last = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    stem = re.sub(r"[^\w.+-]+", "_", Path(last).stem).strip(".")
    return stem or "micrograph"
