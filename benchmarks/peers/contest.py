"""Runs the contestants on a job, one after the other, and scores what they wrote, all alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import temzoo
from benchmarks.accuracy import difference
from benchmarks.metrics import CONNECTED
from benchmarks.peers.contestants import ALL, OURS, Contestant
from benchmarks.peers.environments import FOLDER, LONGEST, SCRIPTS, python_of, why_not
from benchmarks.records import ROOT
from benchmarks.timing import last_line
from temzoo.core.types import Prediction
from temzoo.evaluation.evaluate import score_predictions

METRICS = ("iou", "dice", "instance_f1", "mask_ap50")


def run(
    contestant: Contestant,
    job: Path,
    folder: Path,
    *,
    environments: Path = FOLDER,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Lets one contestant learn and predict, into an empty folder.

    Args:
        options: in place of the contestant's own of the same names.

    Returns:
        what the script told, or ``{"left_out": why}``.
    """
    told = json.loads((job / "job.json").read_text(encoding="utf-8"))
    if contestant.classes is not None and told["classes"] > contestant.classes:
        return {"left_out": f"tells one class apart; the data have {told['classes'] - 1}"}
    reason = why_not(contestant.environment, environments)
    if reason is not None:
        return {"left_out": reason}
    given = {k: (options or {}).get(k, v) for k, v in contestant.options.items()}
    shutil.rmtree(folder, ignore_errors=True)
    python = python_of(contestant.environment, environments)
    script = SCRIPTS / f"{contestant.script}.py"
    try:
        last_line([python, script, job, folder, json.dumps(given)], **threads_of(told["threads"]))
    except RuntimeError as error:
        return {"left_out": str(error)[-LONGEST:]}
    return {**json.loads((folder / "told.json").read_text(encoding="utf-8")), "options": given}


def threads_of(count: int) -> dict[str, str]:
    """Variables of the environment of a script with so many threads."""
    names = ("OMP", "MKL", "OPENBLAS")
    return {
        **{f"{name}_NUM_THREADS": str(count) for name in names},
        "TF_NUM_INTRAOP_THREADS": str(count),
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(ROOT),
    }


def predictions(folder: Path, examples: Sequence, class_names: Sequence[str]) -> Iterator[Any]:
    """What a contestant wrote, as temzoo's predictions, in the order of the examples."""
    for number, example in enumerate(examples):
        yield _prediction(folder / f"val-{number:04d}", example, class_names)


def _prediction(path: Path, example, class_names: Sequence[str]):
    instances = path.with_name(f"{path.name}-instances.npy")
    if instances.is_file():
        numbers = np.load(instances)
        return Prediction(
            classes=(numbers > 0).astype(np.uint8),
            instances=numbers,
            scores=np.load(path.with_name(f"{path.name}-scores.npy")),
            class_names=tuple(class_names),
            name=example.name,
        )
    written = _Written(path.with_name(f"{path.name}-probabilities.npy"))
    names = tuple(class_names)
    return temzoo.predict(
        written, example.micrograph, probabilities=True, class_names=names, **CONNECTED
    )


class _Written:
    """Probabilities in a file, as ``temzoo.predict`` takes a model of whole images."""

    def __init__(self, path: Path):
        self.path = path

    def predict_probabilities(self, pixels: np.ndarray) -> np.ndarray:
        found = np.load(self.path).astype(np.float32)
        if found.shape[:2] != pixels.shape[:2]:
            raise ValueError(
                "A written map has its micrograph's size. Received:"
                f" {found.shape[:2]} for {pixels.shape[:2]}, {self.path}. Correct its script."
            )
        return found


def score(folder: Path, examples: Sequence, class_names: Sequence[str]):
    """``temzoo.evaluation`` on what a contestant wrote."""
    found = predictions(folder, examples, class_names)
    return score_predictions(examples, found, classes=class_names, ap=True)


def figures(evaluation) -> dict[str, Any]:
    """What a record keeps of scores."""
    return {
        "per_image": {
            m: vars(evaluation.per_image[m]) for m in METRICS if m in evaluation.per_image
        },
        "pooled": {m: vars(evaluation.pooled[m]) for m in METRICS},
        "images": {row["name"]: row["iou"] for row in evaluation.table},
    }


def paired(ours, theirs) -> dict[str, Any]:
    """Differences of ours to theirs over the same images, and whether that is better."""
    return {m: difference(ours, theirs, m) for m in ("iou", "dice", "instance_f1")}


def contest(
    names: Sequence[str], job: Path, out: Path, examples: Sequence, **place: Any
) -> dict[str, Any]:
    """All of ``names`` on one job: what each told and scored, and ours beside each peer."""
    told = json.loads((job / "job.json").read_text(encoding="utf-8"))
    evaluations, rows = {}, {}
    for name in sorted(names, key=list(ALL).index):
        row = run(ALL[name], job, out / name, **place)
        if "left_out" not in row:
            evaluations[name] = score(out / name, examples, told["class_names"])
            row |= figures(evaluations[name])
        rows[name] = {"about": ALL[name].about, **row}
        print(f"{name}: {row.get('left_out', 'done')}", flush=True)
    for name, row in rows.items():
        if name in evaluations and name not in OURS:
            ours = {n: e for n, e in evaluations.items() if n in OURS}
            row["beside"] = {n: paired(e, evaluations[name]) for n, e in ours.items()}
    return rows
