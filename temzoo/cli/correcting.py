"""``temzoo apply-corrections``: what was corrected by hand in a report, as predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import app
from temzoo.cli.measuring import MOST_NAMES


@app.command()
def apply_corrections(
    predictions: Annotated[Path, typer.Argument(help="Folder of `temzoo predict`.")],
    corrections: Annotated[Path, typer.Argument(help="File that its `temzoo report` saved.")],
    out: Annotated[Path, typer.Option(help="New folder to write.")],
    images: Annotated[
        Path | None, typer.Option(help="Where the micrographs lie now, for the overlays.")
    ] = None,
):
    """Write predictions as corrected by hand in a report: a new folder like that of predict.

    Excluded particles are gone from the maps, doubtful objects that were taken in are particles,
    merged ones are one, relabelled ones of their new class; then all are numbered anew. Predictions
    without corrections are copied. Each sidecar says by what file it was corrected, and how much.
    `temzoo measure` and `temzoo report` take the folder like any other; and so does `temzoo predict
    WEIGHTS IMAGES --out FOLDER --format cvat`, which predicts nothing anew there.

    Example: temzoo apply-corrections predictions corrections.json --out corrected
    """
    from temzoo.workflows.apply_corrections import apply_corrections

    done = apply_corrections(predictions, corrections, out, images=images)
    told = f"{len(done.counts)} of {done.predictions} predictions corrected"
    print(f"{out}: {told}: {done.text}" if done.text else f"{out}: {told}")
    print(f"next: temzoo measure {out}; temzoo report {out}")
    missing = done.without_micrograph
    for name, why in [*missing.items()][:MOST_NAMES]:
        typer.echo(f"temzoo: {name}: {why} Its overlay is over grey; give --images.", err=True)
    if len(missing) > MOST_NAMES:
        typer.echo(f"temzoo: … and {len(missing) - MOST_NAMES} more", err=True)
