"""What a run folder tells of a run: data, versions, hardware, history."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import read_fields, write_json
from temzoo.core.settings import Settings
from temzoo.core.types import Example
from temzoo.core.writers import write_csv
from temzoo.zoo import built
from temzoo.zoo.pretrained import as_json, is_plain

RUN = "run.json"
# What a resumed run reads of it.
RUN_FIELDS = {
    "model": str,
    "config": dict,
    "settings": dict,
    "command": str,
    "data.train.fingerprint": str,
    "data.val.fingerprint": str,
}
PACKAGES = (
    "temzoo",
    "tensorflow",
    "keras",
    "keras-tuner",
    "numpy",
    "opencv-python",
    "imgaug",
    "scikit-image",
)


def write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    columns = dict.fromkeys(name for row in history for name in row)
    # Epochs without validation lack its columns.
    write_csv(path, columns, ([row.get(name) for name in columns] for row in history))


def fingerprint(examples: Sequence[Example]) -> str:
    """A hash of the names, sizes and shapes of labelled images, in their order; not of pixels."""
    digest = hashlib.sha256()
    for example in examples:
        labels = example.labels
        digest.update(f"{labels.name} {labels.width} {labels.height}\n".encode())
        for shape in labels.shapes:
            tags = (shape.kind, shape.label, shape.rotation, shape.z_order, shape.group_id)
            digest.update(repr(tags).encode())
            digest.update(np.ascontiguousarray(shape.points, np.float64).tobytes())
            if shape.runs is not None:
                digest.update(np.ascontiguousarray(shape.runs, np.int64).tobytes())
    return digest.hexdigest()[:16]


def hardware() -> dict[str, Any]:
    """Processor, cores and system of this machine."""
    processor = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        processor = models[0] if models else processor
    return {"processor": processor, "cores": os.cpu_count(), "system": platform.platform()}


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(ImportError):
            found[package] = version(package)
    return found


def commit() -> str | None:
    """The commit of the checkout that temzoo runs from, "-dirty" when it was changed; else None."""
    where = Path(__file__).parents[2]
    if not (where / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "-C", str(where), "describe", "--always", "--dirty", "--exclude=*"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


def session() -> dict[str, Any]:
    """What was typed, when, with which versions, on which machine."""
    return {
        "command": shlex.join(sys.argv),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": versions(),
        "commit": commit(),
        "hardware": hardware(),
    }


def write_run(folder: Path, model, settings: Settings, names, notes, parts, devices) -> None:
    how = built.built(model)
    data = {
        part: {
            "images": len(examples),
            "shapes": sum(len(e.labels.shapes) for e in examples),
            "fingerprint": fingerprint(examples),
            "names": [e.name for e in examples],
        }
        for part, examples in parts.items()
    }
    run = {
        "model": how.name,
        "config": dict(how.config),
        "class_names": names,
        "notes": notes,
        "settings": asdict(settings),
        "objects": [name for name, value in asdict(settings).items() if not is_plain(value)],
        "data": data,
        "labels": next((dict(e.reading) for e in parts["train"] if e.reading), {}),
        "devices": devices,
        "seed": settings.seed,
        **session(),
    }
    write_json(folder / RUN, as_json(run), indent=2)


def read_run(folder: Path) -> dict[str, Any]:
    """What ``write_run`` wrote; raises ValueError, which names the field, where it is damaged."""
    return read_fields(folder / RUN, RUN_FIELDS, optional={"objects": list, "notes": list})
