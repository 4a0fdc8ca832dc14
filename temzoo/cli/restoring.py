"""``temzoo restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli import common
from temzoo.cli.common import app, load_tensorflow, trained


@app.command()
def restore(
    weights: common.Weights,
    images: common.Micrographs,
    set_: common.Set = None,
    with_: common.With = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("restored"),
    tile: common.Tile = None,
    overlap: common.Overlap = None,
    flips: common.Flips = False,
    keep_float: Annotated[
        bool, typer.Option("--float", help="32-bit TIFF, nothing rounded or clipped.")
    ] = False,
):
    """Denoise or colour micrographs of any size: a calibrated TIFF of each, and a picture of both.

    Says when an image looks unlike those the model was trained on. Colours of a grey electron
    micrograph are an aid to the eye, not data.

    Example: temzoo restore runs/denoiser micrographs --out restored
    """
    load_tensorflow()
    from temzoo.evaluation.unlike_images import Likeness
    from temzoo.tasks.training_data import LIKENESS
    from temzoo.workflows.restore_folder import restore_folder

    where = Path(weights)
    known = (where if where.is_dir() else where.parent) / LIKENESS
    done = restore_folder(
        trained(weights, set_),
        images,
        out,
        likeness=Likeness.load(known) if known.is_file() else None,
        tile=tile,
        overlap=overlap,
        flips=flips,
        keep_float=keep_float,
    )
    for one in done:
        if one.frames > 1:
            typer.echo(f"temzoo: {one.name}: the first of {one.frames} frames alone", err=True)
        print(f"{one.name}: {one.files['restored']}, {one.files['comparison']}")
        if one.warning:
            typer.echo(f"temzoo: {one.warning}", err=True)
