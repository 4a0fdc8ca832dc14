"""What every measurement's record says of itself, and how it is written."""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from temzoo.files import atomic_path

RESULTS = Path(__file__).parent / "results"


def use_encoder_beside(data: Path) -> None:
    """Lets Keras find ImageNet's files in ``keras/`` beside the data, where they are."""
    home = data.parent / "keras"
    if (home / "models").is_dir():
        os.environ.setdefault("KERAS_HOME", str(home))


def stamp(command: str) -> dict[str, Any]:
    """Command, date, commit, versions and hardware."""
    from temzoo.training import commit, hardware, versions

    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(),
    }


def measured_on(records: Iterable[Mapping[str, Any]]) -> str:
    """The line under a table that names the machines and dates."""
    machines = {
        f"{r['hardware']['processor']}, {r['hardware']['cores']} cores, {r['date']}"
        for r in records
    }
    return f"Measured on: {'; '.join(sorted(machines))}."


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Whole or not at all; what is undefined is null."""
    text = json.dumps(_defined(record), indent=1, default=str, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _defined(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _defined(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
