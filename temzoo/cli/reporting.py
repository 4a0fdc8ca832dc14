"""``temzoo report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import (
    LabelsIfAny,
    NmPerPixel,
    OverrideCalibration,
    ScaleBar,
    With,
    app,
    calibration,
    load_tensorflow,
)


@app.command()
def report(
    source: Annotated[Path, typer.Argument(help="A folder of predictions, or a run folder.")],
    out: Annotated[Path | None, typer.Option(help="File to write; report.html in it.")] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Where the micrographs lie now; of a run, the validation ones."),
    ] = None,
    labels: LabelsIfAny = None,
    nm_per_pixel: NmPerPixel = None,
    scale_bar: ScaleBar = None,
    override_calibration: OverrideCalibration = False,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    limit: Annotated[int, typer.Option(help="Micrographs to picture; all are measured.")] = 50,
    with_: With = None,
):
    """Write one HTML file of predictions, or of a training run, to send to a colleague.

    It holds the micrographs with outlines to toggle and zoom, the sizes and their distribution, the
    table of particles to sort and download, scores, model, and how all was made. It works offline.

    A run's validation micrographs are predicted, scored and shown when --images and --labels are
    given; without them the report holds its history, and the scores of `temzoo evaluate RUN --out
    RUN/scores`.

    Example: temzoo report predictions --nm-per-pixel 0.42 --title "Batch 7"
    """
    by_hand = calibration(nm_per_pixel, scale_bar, override=override_calibration)
    if labels is not None:
        load_tensorflow()
    from temzoo.pages import write_report

    written = write_report(
        source,
        out=out,
        images=images,
        labels=labels,
        nm_per_pixel=by_hand.scale,
        override_calibration=by_hand.override,
        title=title,
        limit=limit,
        progress=True,
    )
    print(f"report: {written} ({written.stat().st_size / 1e6:.1f} MB)")
