"""The one schema of all results: what a record says, and the files that hold records.

A record is a dict with every field of ``FIELDS``; what is not known of a result is null.
``results/KIND.json`` holds the list of all records of a kind, ``results/quick-KIND.json`` those of
quick runs, sorted by name. ``python -m benchmarks page`` makes ``results/README.md`` of them.
"""

import contextlib
import datetime
import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from types import NoneType
from typing import Any

from temzoo.core.files import read_json, without_nan, write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DATA = ROOT.parent / "shared" / "data"
OTHERS = (
    *("onnxruntime", "rapidocr-onnxruntime", "openvino", "nncf"),
    *("jax", "jaxlib", "optax", "torch"),
)
FIELDS: dict[str, tuple[type, ...]] = {
    "what": (str,),  # kind of the result: it names the file
    "name": (str,),  # unique within the kind
    "about": (str,),  # in words
    "command": (str,),  # that repeats it
    "quick": (bool,),  # a short run, which stands apart from the full ones on the page
    "model": (str, NoneType),  # registered name, or MODEL/NAME of shipped weights
    "config": (dict, NoneType),  # keywords of the model
    "settings": (dict, NoneType),  # of the measurement, or of the training that is judged
    "training": (dict, NoneType),  # how the model came about: minutes, best epoch …
    "dataset": (dict, NoneType),  # name, split, fingerprint; see ``benchmarks.datasets``
    "seed": (int, NoneType),  # of the training, the drawn data or the resampling
    "repetitions": (int, NoneType),  # most that any timing in the figures has
    "figures": (dict,),  # what was measured; a timing as ``benchmarks.timing.spread`` gives it
    "date": (str,),
    "commit": (str, NoneType),  # of the checkout, "-dirty" where it was changed
    "versions": (dict,),
    "hardware": (dict,),  # processor, cores, system
    "load_before": (int, float, NoneType),  # of the machine, before anything was measured
    "converted": (dict, NoneType),  # of a record of another schema: its file and its command
}
# Objects as connected regions, however small: what the figures on record count.
CONNECTED = {"instances": "components", "min_area_px": 0}
WIDTH = 100  # characters of a line in a file of results
_BEGAN: dict[str, Any] = {}  # by ``begin``


def begin() -> None:
    """Notes the commit and how busy the machine is, before anything is measured.

    Records made afterwards name these: a measurement is a load itself, and writes results.
    """
    _BEGAN.update(commit=_commit(), load_before=round(os.getloadavg()[0], 2))


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
    """Of Python, of what temzoo trains with, and of the others that are installed."""
    from temzoo.training import run_folder

    found = run_folder.versions()
    for package in OTHERS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def result(
    what: str, name: str, *, about: str, command: str, figures: Mapping[str, Any], **told: Any
) -> dict[str, Any]:
    """A record of some of ``FIELDS``, with date, commit, versions and hardware unless told."""
    from temzoo.training.run_folder import hardware

    if not _BEGAN:
        begin()
    fields = {"what": what, "name": name, "about": about, "command": command, "quick": False}
    counts = re.findall(r'"repetitions": (\d+)', json.dumps(figures, default=str))  # of timings
    fields |= {"repetitions": max(map(int, counts), default=1), "figures": dict(figures)}
    fields |= {"date": datetime.date.today().isoformat(), **_BEGAN}
    fields |= {"versions": versions(), "hardware": hardware()}
    return checked({**dict.fromkeys(FIELDS), **fields, **told})


def checked(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record, if it has every field of the schema, each of its type, and no other."""
    apart = record.keys() ^ FIELDS.keys()
    if apart:
        raise ValueError(
            f"A record has the fields of benchmarks.records.FIELDS. Received: {record.get('name')},"
            f" which differs in {', '.join(sorted(apart))}. Put more into settings or figures."
        )
    for field, types in FIELDS.items():
        if not isinstance(record[field], types):
            raise ValueError(
                f"{field} of a record is of type {' or '.join(t.__name__ for t in types)}."
                f" Received: {record[field]!r} in {record['name']}."
            )
    return dict(record)


def scores(found: Any) -> dict[str, Any]:
    """What a record keeps of an evaluation: figures over images, pooled, fates, every image's."""
    from temzoo.evaluation import pixels

    iou = map(float, pixels.scores(found.confusions.sum(axis=0))["iou"])
    return {
        "per_image": {metric: vars(figure) for metric, figure in found.per_image.items()},
        "pooled": {metric: vars(figure) for metric, figure in found.pooled.items()},
        "over_images": {name: vars(one) for name, one in found.objects.over_images.items()},
        "fates": found.objects.fates,
        "pooled_iou_of_classes": dict(zip(("background", *found.classes), iou, strict=True)),
        "images": [dict(row) for row in found.table],
    }


def keep(record: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Writes a record into the file of its kind, in place of the one of its name."""
    record = checked(record)
    path = folder / f"{'quick-' * record['quick']}{record['what']}.json"
    known = read_json(path) if path.is_file() else []
    others = [one for one in known if one["name"] != record["name"]]
    write_json(path, sorted([*others, record], key=lambda one: one["name"]))
    return path


def kept(folder: Path = RESULTS, *, quick: bool | None = None) -> list[dict[str, Any]]:
    """All records, by kind and name; where asked, only the quick or only the full ones."""
    found = [record for path in sorted(folder.glob("[!.]*.json")) for record in read_json(path)]
    return [record for record in found if quick is None or record["quick"] == quick]


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all; what is undefined is null; what fits into a line stands in one."""

    def plain(value: Any) -> Any:  # a number of NumPy as Python's; anything else in words
        return value.item() if hasattr(value, "item") else str(value)

    text = json.dumps(without_nan(content), default=plain, allow_nan=False)
    write_lines(path, [_text(json.loads(text))])


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    write_text(path, "\n".join(lines) + "\n")
    return path


def _text(value: Any, indent: int = 0) -> str:
    line = json.dumps(value)
    if not isinstance(value, dict | list) or len(line) + indent <= WIDTH:
        return line
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_text(each, indent + 1)}" for key, each in value.items()]
    else:
        parts = [_text(each, indent + 1) for each in value]
    first, *_, last = line
    inner = ",".join("\n" + " " * (indent + 1) + part for part in parts)
    return f"{first}{inner}\n{' ' * indent}{last}"
