"""What every measurement's record says of itself, and how it is written."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from temzoo.core.files import atomic_path

RESULTS = Path(__file__).parent / "results"
SUITE = "suite"  # folder of the suite's records in that of the results
ENGINES = ("onnxruntime", "openvino", "nncf")
ROOT = Path(__file__).resolve().parents[1]
_BEGAN: dict[str, Any] = {}  # by ``measuring``
_WORDS: list[str] = []  # by ``measuring``


def use_encoder_beside(data: Path) -> None:
    """Lets Keras find ImageNet's files in ``keras/`` beside the data, where they are."""
    home = data.parent / "keras"
    if (home / "models").is_dir():
        os.environ.setdefault("KERAS_HOME", str(home))


@contextlib.contextmanager
def measuring(words: Sequence[str] = ()) -> Iterator[None]:
    """Notes how busy the machine is, and the commit, before anything is measured.

    Records made within name these: a measurement is a load itself, and writes results.

    Args:
        words: of the command line, that every record's command needs to repeat it, such as
            those that name data of the user's own.
    """
    _BEGAN.update(_now())
    _WORDS[:] = words
    try:
        yield
    finally:
        _BEGAN.clear()
        _WORDS.clear()


def _now() -> dict[str, Any]:
    return {"commit": _commit(), "load_before": round(os.getloadavg()[0], 2)}


def _commit() -> str | None:
    """The checkout's commit, "-dirty" where anything but results was changed."""
    from temzoo.training.run_folder import commit

    found = commit()
    if found is None or not found.endswith("-dirty"):
        return found
    aside = f":(exclude){RESULTS.relative_to(ROOT)}"
    command = ["git", "-C", str(ROOT), "diff", "--quiet", "HEAD", "--", ".", aside]
    changed = subprocess.run(command, capture_output=True, check=False).returncode
    return found if changed else found.removesuffix("-dirty")


def versions() -> dict[str, str]:
    """Of Python, of what temzoo trains with, and of the engines that are installed."""
    from temzoo.training import run_folder

    found = run_folder.versions()
    for package in ENGINES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def stamp(command: str) -> dict[str, Any]:
    """Command, date, commit, versions and hardware."""
    from temzoo.training.run_folder import commit, hardware

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


def result(
    what: str,
    name: str,
    *,
    about: str,
    command: str,
    figures: Mapping[str, Any],
    quick: bool = False,
    dataset: Mapping[str, Any] | None = None,
    seed: int | None = None,
    repetitions: int | None = None,
    **told: Any,
) -> dict[str, Any]:
    """A record of the suite.

    Args:
        what: the subcommand.
        name: of this result, unique within ``what``.
        about: in words.
        command: that repeats it; what ``measuring`` was given is added.
        figures: what was measured; each timing as ``spread`` gives it.
        quick: of a short run, which stands beside the full ones on the page, never among them.
        dataset: ``Dataset.told()``, or ``benchmarks.datasets.generated``.
        seed: of the training, of the data that were drawn, or of the resampling.
        repetitions: of the whole; None: the most that any timing in ``figures`` has, else 1.
        **told: model, settings …
    """
    return {
        "what": what,
        "name": name,
        "about": about,
        "quick": quick,
        "dataset": None if dataset is None else dict(dataset),
        "seed": seed,
        "repetitions": repetitions or max(_repetitions(figures), default=1),
        **told,
        "figures": dict(figures),
        **stamp(f"{command} {shlex.join(_WORDS)}".strip()),
        **(_BEGAN or _now()),
    }


def _repetitions(figures: Any) -> Iterator[int]:
    """Of every timing in some figures."""
    if isinstance(figures, Mapping):
        if "repetitions" in figures:
            yield figures["repetitions"]
        figures = list(figures.values())
    if isinstance(figures, list | tuple):
        for each in figures:
            yield from _repetitions(each)


def keep(record: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Writes a record of the suite into ``folder/suite``; one of the same name is replaced."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", f"{record['what']}-{record['name']}").strip("-")
    path = folder / SUITE / f"{'quick-' * bool(record['quick'])}{slug}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record)
    return path


def kept(folder: Path = RESULTS, *, quick: bool | None = None) -> list[dict[str, Any]]:
    """The suite's records, by file name; where asked, only the quick or only the full ones."""
    found = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((folder / SUITE).glob("*.json"))
    ]
    return [record for record in found if quick is None or record["quick"] == quick]


def tell(doing: str) -> None:
    """A line about what is being measured, for those who wait for it."""
    print(f"   {doing} …", file=sys.stderr, flush=True)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most of some repetitions, and how many they were."""
    return {
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
        "repetitions": len(values),
    }


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
