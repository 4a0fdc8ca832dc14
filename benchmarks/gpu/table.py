"""``results/gpu.md``, of ``gpu-speed.json`` and of what trainings left, ``gpu-train-*.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.records import RESULTS, write_lines

NAME = "gpu.md"
TRAINED = "gpu-train-"
HEAD = """# On a GPU

Written by `python -m benchmarks.gpu table`. The U-Nets are pure Keras 3, so they train and
predict under its JAX backend, without TensorFlow. `[least, most]` of the repetitions stand beside
their median.
"""
TRAININGS = """
## Trainings

Crops are cut and changed on the GPU; compiling comes first. The IoU on the way, at quarters of the
steps, is of tiles that are normalised one by one, to see a training by; the weights' cards have
that of `temzoo.evaluate`.

| recipe | what | steps, of so many crops | compiling, s | learning, s | IoU of tiles | command |
|---|---|---|---|---|---|---|"""


def write_table(folder: Path = RESULTS) -> Path:
    """Regenerates the page; a part whose records are missing is left out."""
    lines = [HEAD]
    speed = folder / "gpu-speed.json"
    if speed.is_file():
        lines += _speeds(json.loads(speed.read_text(encoding="utf-8")))
    trained = sorted(folder.glob(f"{TRAINED}*.json"))
    if trained:
        records = [json.loads(path.read_text(encoding="utf-8")) for path in trained]
        lines += [TRAININGS, *map(_training, trained, records), ""]
        notes = [
            f"`{_name(p)}`: {r['note']}"
            for p, r in zip(trained, records, strict=True)
            if "note" in r
        ]
        lines += [*notes, "", *sorted({_measured(record) for record in records})]
    return write_lines(folder / NAME, lines)


def _speeds(record: Mapping[str, Any]) -> Iterator[str]:
    yield f"""## Speed

{record["about"]}, pixels normalised and on the device, every call waited for. Ratios are to
PyTorch eager of the same precision, turn by turn; difference: the greatest of a probability from
PyTorch eager's. JAX compiles whole steps and searches for the fastest kernels; "PyTorch compiled"
is the network alone, single images were not compiled, and cuDNN did not search. More: the head of
`benchmarks/gpu/speed.py`.
"""
    yield "| what | precision | batch | library | images/s | ratio | difference |"
    yield "|---|---|---|---|---|---|---|"
    for row in record["rows"]:
        apart = row["difference"]
        cells = (
            *(str(row[key]) for key in ("what", "precision", "batch", "engine")),
            _spread(row["images_per_s"], 0),
            _spread(row["ratio"], 2),
            "–" if apart is None else f"{apart:.1e}",
        )
        yield f"| {' | '.join(cells)} |"
    yield f"\nBy `{record['command']}`. {_measured(record)}"


def _spread(figure: Mapping[str, float], digits: int) -> str:
    middle, least, most = (f"{figure[key]:.{digits}f}" for key in ("median", "least", "most"))
    return f"{middle} [{least}, {most}]"


def _measured(record: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    where = record["device"]
    return f"Measured on: {where['name']}, {where['cores']} cores, {record['date']}; {packages}."


def _training(path: Path, record: Mapping[str, Any]) -> str:
    recipe = record["recipe"]
    cells = (
        _name(path),
        recipe["about"],
        f"{record['steps']:,}, of {recipe['batch']} of {recipe['crop']} px",
        f"{record['compiling_s']:.0f}",
        f"{record['seconds']:.0f}",
        ", ".join(f"{row['iou']:.3f}" for row in record["history"]),
        f"`{record['command']}`",
    )
    return f"| {' | '.join(cells)} |"


def _name(path: Path) -> str:
    return path.stem.removeprefix(TRAINED)
