"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # how they begin, in a spreadsheet


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``, which takes its place when the block ends well.

    The temporary name keeps the suffixes, because writers choose a format by them. When the block
    raises, or is interrupted, the old file stays as it was and the temporary one is removed.

    Example:
        >>> with atomic_path("history.csv") as temporary:
        ...     temporary.write_text("epoch,loss\\n")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=f"-{path.name}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def spreadsheet_text(value: str) -> str:
    """A text for a cell of a CSV, which spreadsheets would take for a formula otherwise.

    Example:
        >>> spreadsheet_text("=1+1.tif")
        "'=1+1.tif"
    """
    return f"'{value}" if value.startswith(FORMULAS) else value


def text_of_spreadsheet(cell: str) -> str:
    """The text that ``spreadsheet_text`` made this cell of.

    Example:
        >>> text_of_spreadsheet("'=1+1.tif")
        '=1+1.tif'
    """
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULAS) else cell
