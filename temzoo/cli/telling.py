"""``temzoo info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import OF_HDF5, AsJson, app, print_json


@app.command()
def info(
    files: Annotated[list[Path], typer.Argument(help=f"Micrographs, or label images. {OF_HDF5}")],
    as_json: AsJson = False,
):
    """Say what a file is: size, type, frames, nm per pixel, where that was read, what was ignored.

    Of an HDF5 or NeXus file the dataset is named behind it; the file alone says which it has.

    Example: temzoo info session_3/a.dm3
    """
    from temzoo.micrographs.telling import facts_of, told_of

    if as_json:
        print_json([facts_of(path) for path in files])
        return
    for path in files:
        print(path, *(f"  {line}" for line in told_of(path)), sep="\n")
