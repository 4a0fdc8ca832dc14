"""``temzoo export``: a trained model for TensorFlow Serving, ONNX Runtime, OpenVINO and zoos."""

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
        Path | None,
        typer.Argument(metavar="DIR", help="Of all models of a server; made when absent."),
    ] = None,
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
    bioimageio: Annotated[
        Path | None,
        typer.Option(metavar="ZIP", help="A package for the BioImage Model Zoo, with ONNX."),
    ] = None,
    author: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Who made the weights, for --bioimageio; repeatable."),
    ] = None,
    huggingface: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A new folder: weights and a model card in README.md."),
    ] = None,
):
    """Export a model for TensorFlow Serving: DIR/NAME/VERSION, checked before it appears there.

    A fresh process without Keras loads it as the server does and must give the model's answers.
    DIR/SERVING.md says how to start the server and how to ask it. DIR may be left out where
    --bioimageio or --huggingface says where to.

    Example: temzoo export runs/first served --name particles
    """
    if directory is None and bioimageio is None and huggingface is None:
        raise ValueError(
            "export must be told where to. Received: neither DIR nor --bioimageio or --huggingface."
            f" Type: temzoo export {weights} served"
        )
    if (directory is None and (version or onnx or openvino)) or (bioimageio is None and author):
        raise ValueError(
            "--version, --onnx and --openvino are of a DIR, and --author is of --bioimageio."
            f" Received: one without that. Type: temzoo export {weights} served --onnx"
        )
    if directory is None and bioimageio is None and (name or set_):
        raise ValueError(
            "--name and --set are of a DIR or --bioimageio; --huggingface takes weights and card as"
            " they are. Received: --huggingface alone. Leave them out."
        )
    if huggingface is not None:
        from temzoo.deploy.exporting.model_folder import write_folder

        print(f"{write_folder(weights, huggingface)}: weights, card and README.md")
    if directory is None and bioimageio is None:
        return
    load_tensorflow()
    import temzoo
    from temzoo.deploy.exporting.bioimage_package import write_package

    model = trained(weights, set_)
    if bioimageio is not None:
        path = write_package(model, bioimageio, name=name, authors=author or ())
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, answers as the model does")
    if directory is None:
        return
    path = temzoo.export(model, directory, version, name=name, onnx=onnx, openvino=openvino)
    size = sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) / 1e6
    print(f"{path}: {size:.1f} MB, answers as the model does")
    print(f"How to serve it: {directory / 'SERVING.md'}")
