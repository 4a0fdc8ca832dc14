"""``temzoo info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import app


@app.command()
def info(
    files: Annotated[list[Path], typer.Argument(help="Micrographs, or label images.")],
):
    """Say what a file is: size, type, frames, nm per pixel, where that was read, what was ignored.

    Example: temzoo info session_3/a.dm3
    """
    from temzoo.micrographs.telling import told_of

    for path in files:
        print(path, *(f"  {line}" for line in told_of(path)), sep="\n")
