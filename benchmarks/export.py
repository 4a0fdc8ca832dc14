"""How long an export takes, and how large it is, for every registered model.

    python -m benchmarks.export
    python -m benchmarks.export unet vae        # some; the records of the others are kept

Models have their default config and random weights, but for initial weights that would have to be
fetched. Seconds are of one export with all its checks, in a process that has TensorFlow loaded:
by the clock, and of the processors (this process and the one that checks), which a busy machine
stretches less; ``model`` are the bytes of the bare weights. Written to ``results/export.json`` and
``results/export.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.records import RESULTS, measured_on, stamp, write_json, write_lines

RECORD, TABLE = RESULTS / "export.json", RESULTS / "export.md"


def measured(name: str) -> dict:
    """Seconds and bytes of one model's export, of its check, and of its ONNX file, if any."""
    import temzoo
    from temzoo.deploy.exporting import ExportError, verify

    offline = dict.fromkeys(temzoo.model_card(name).deferred)
    model = temzoo.get_model(name, compile=False, **offline)
    checks, check = [], verify.check_saved_model

    def timed(*question):
        started = time.perf_counter()
        check(*question)
        checks.append(time.perf_counter() - started)

    verify.check_saved_model = timed
    try:
        with tempfile.TemporaryDirectory() as folder:
            started, spent = time.perf_counter(), sum(os.times()[:4])
            path = temzoo.export(model, folder)
            seconds = time.perf_counter() - started
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
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "check_seconds": checks[0],
        "bytes": sizes,
    }


def _bytes(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def table(records: dict[str, dict]) -> list[str]:
    """The records as Markdown."""
    lines = [
        "# Exports",
        "",
        "Default configs. The check is the SavedModel's, in a process without Keras: every",
        "signature, batches of 1, 2 and 7, odd sizes.",
        "",
        "| model | export, s | CPU, s | check, s | weights, MB | export, MB | graph, MB | ONNX |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, record in sorted(records.items()):
        sizes = [record["bytes"][key] for key in ("model", "export", "graph", "onnx")]
        shown = " | ".join("none" if size is None else f"{size / 1e6:.1f}" for size in sizes)
        lines.append(
            f"| {name} | {record['seconds']:.0f} | {record['cpu_seconds']:.0f} |"
            f" {record['check_seconds']:.0f} | {shown} |"
        )
    return [*lines, "", measured_on(records.values())]


def main() -> None:
    """Measures the models that are named, or all."""
    import temzoo

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("models", nargs="*", metavar="MODEL")
    names = options.parse_args().models or temzoo.list_models()
    records = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    for name in names:
        records[name] = {**measured(name), **stamp("python -m benchmarks.export")}
        print(f"{name}: {records[name]['seconds']:.0f} s")
        write_json(RECORD, records)
    print("\n".join(table(records)))
    write_lines(TABLE, table(records))


if __name__ == "__main__":
    main()
