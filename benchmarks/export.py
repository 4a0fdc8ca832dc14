"""How long an export takes, and how large it is, for every registered model.

    python -m benchmarks export
    python -m benchmarks export unet vae        # some; the records of the others are kept

Models have their default config and random weights, but for initial weights that would have to be
fetched. Seconds are of one export with all its checks, in a process that has TensorFlow loaded:
by the clock, and of the processors (this process and the one that checks), which a busy machine
stretches less; ``model`` are the bytes of the bare weights.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import temzoo
from benchmarks.timing import seconds_of, timed
from temzoo.deploy.exporting import ExportError, verify


def measured(name: str) -> dict[str, Any]:
    """Seconds and bytes of one model's export, of its check, and of its ONNX file, if any."""
    offline = dict.fromkeys(temzoo.model_card(name).deferred)
    model = temzoo.get_model(name, compile=False, **offline)
    checks, check = [], verify.check_saved_model
    verify.check_saved_model = lambda *asked: checks.append(seconds_of(lambda: check(*asked)))
    try:
        with tempfile.TemporaryDirectory() as folder:
            spent = sum(os.times()[:4])
            path, seconds = timed(partial(temzoo.export, model, folder))
            cpu_seconds = sum(os.times()[:4]) - spent
            sizes = {"export": _bytes(path), "graph": (path / "saved_model.pb").stat().st_size}
            try:
                path = temzoo.export(model, folder, 2, onnx=True)
                sizes["onnx"] = (path / "onnx" / "model.onnx").stat().st_size
            except ExportError as reason:
                sizes["onnx"] = None
                print(f"{name}: no ONNX: {reason}", file=sys.stderr)
    finally:
        verify.check_saved_model = check
    sizes["model"] = sum(weight.numpy().nbytes for weight in model.weights)
    figures = {"seconds": seconds, "cpu_seconds": cpu_seconds, "check_seconds": checks[0]}
    return {**figures, "bytes": sizes}


def _bytes(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for name in arguments.models or temzoo.list_models():
        told = {"name": name, "command": arguments.again(models=[name]), "model": name}
        yield told | {"about": f"export of {name}, its default config", "figures": measured(name)}
