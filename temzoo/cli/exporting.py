"""``temzoo export``: a trained model for TensorFlow Serving, ONNX Runtime or OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import Set, With, app, load_tensorflow, trained


@app.command()
def export(
    weights: Annotated[
        str, typer.Argument(metavar="RUN", help="A run folder, a weights file, or MODEL/NAME.")
    ],
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Of all models of a server; made when absent.")
    ],
    set_: Set = None,
    with_: With = None,
    version: Annotated[
        int | None, typer.Option(help="Number of the version; by default the next that is free.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="To serve it by; by default that of the architecture.")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Also write onnx/model.onnx.")] = False,
    openvino: Annotated[
        bool, typer.Option("--openvino", help="Also write openvino/model.xml.")
    ] = False,
):
    """Export a model for TensorFlow Serving: DIR/NAME/VERSION, checked before it appears there.

    A fresh process without Keras loads it as the server does and must give the model's answers.
    DIR/SERVING.md says how to start the server and how to ask it.

    Example: temzoo export runs/first served --name particles
    """
    load_tensorflow()
    import temzoo

    model = trained(weights, set_)
    path = temzoo.export(model, directory, version, name=name, onnx=onnx, openvino=openvino)
    size = sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) / 1e6
    print(f"{path}: {size:.1f} MB, answers as the model does")
    print(f"How to serve it: {directory / 'SERVING.md'}")
