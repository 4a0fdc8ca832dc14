"""Runs the contestants on a job, one after the other, and scores what they wrote, all alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import temzoo
from benchmarks.accuracy import difference
from benchmarks.peers.contestants import ALL, OURS, Contestant
from benchmarks.peers.environments import FOLDER, LAST_LINES, SCRIPTS, python_of, why_not
from benchmarks.peers.jobs import fingerprint
from benchmarks.records import ROOT
from temzoo.evaluation import score_predictions
from temzoo.types import Prediction

# Scripts that others import, and the part of temzoo that a temzoo contestant's result hangs on:
# a change of those makes what was finished before void, any other commit does not.
SHARED = ("replay.py", "torch_networks.py")
NETWORKS = ("models/*.py", "tasks/*.py", "prediction.py", "inputs.py", "registry.py")
METRICS = ("iou", "dice", "instance_f1", "mask_ap50")


def run(
    name: str,
    contestant: Contestant,
    job: Path,
    out: Path,
    *,
    environments: Path = FOLDER,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Lets one contestant learn and predict; what an earlier run of the same finished is kept.

    Args:
        name: of the folder in ``out`` that it writes into.
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
    given, mark = _asked(contestant, told, environments, options)
    folder = out / name
    finished = _finished(folder, mark)
    if finished is None:
        shutil.rmtree(folder, ignore_errors=True)
        python = python_of(contestant.environment, environments)
        script = SCRIPTS / f"{contestant.script}.py"
        finished = _start([python, script, job, folder, json.dumps(given)], told["threads"])
        if "left_out" not in finished:
            finished = json.loads((folder / "told.json").read_text(encoding="utf-8"))
            (folder / "mark").write_text(mark, encoding="utf-8")
    return finished | {"options": given}


def finished_before(
    name: str,
    job: Path,
    out: Path,
    *,
    environments: Path = FOLDER,
    options: Mapping[str, Any] | None = None,
) -> bool:
    """Whether ``run`` of the same would find all done."""
    told = json.loads((job / "job.json").read_text(encoding="utf-8"))
    if why_not(ALL[name].environment, environments) is not None:
        return False
    return _finished(out / name, _asked(ALL[name], told, environments, options)[1]) is not None


def _asked(contestant: Contestant, told: Mapping[str, Any], environments: Path, options):
    """The options that a script gets, and the mark of a result of just these."""
    given = {k: (options or {}).get(k, v) for k, v in contestant.options.items()}
    return given, fingerprint(told, given, _state(contestant, environments))


def _state(contestant: Contestant, environments: Path) -> list[str]:
    """What a result depends on beside the job: what runs, and the packages or temzoo's networks."""
    code = [SCRIPTS / f"{contestant.script}.py", *(SCRIPTS / name for name in SHARED)]
    if contestant.environment:
        code.append(environments / contestant.environment / "ready.json")
    else:
        code += [path for part in NETWORKS for path in sorted((ROOT / "temzoo").glob(part))]
    return [path.read_text(encoding="utf-8") for path in code if path.is_file()]


def _finished(folder: Path, mark: str) -> dict[str, Any] | None:
    path = folder / "told.json"
    same = (folder / "mark").is_file() and (folder / "mark").read_text("utf-8") == mark
    return json.loads(path.read_text(encoding="utf-8")) if same and path.is_file() else None


def _start(command: Sequence[Any], threads: int) -> dict[str, Any]:
    """Runs a script with so many threads; ``left_out`` when it fails, with its last lines."""
    began = time.perf_counter()
    ran = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        env=environment_of(threads),
        check=False,
    )
    if ran.returncode:
        lines = (ran.stdout + ran.stderr).strip().splitlines()[-LAST_LINES:]
        return {"left_out": f"it failed with status {ran.returncode}: " + "\n".join(lines)}
    return {"process_s": time.perf_counter() - began}


def environment_of(threads: int) -> dict[str, str]:
    """The environment's variables for a script with so many threads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        **os.environ,
        **{name: str(threads) for name in (*names, "TF_NUM_INTRAOP_THREADS")},
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
    return temzoo.predict(
        written, example.micrograph, probabilities=True, class_names=tuple(class_names)
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
    names: Sequence[str],
    job: Path,
    out: Path,
    examples: Sequence,
    *,
    environments: Path = FOLDER,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """All of ``names`` on one job: what each told and scored, and ours beside each peer.

    Those not named stand in the result too where an earlier run finished them for this very job.
    """
    told = json.loads((job / "job.json").read_text(encoding="utf-8"))
    place = {"environments": environments, "options": options}
    kept = [n for n in ALL if n not in names and finished_before(n, job, out, **place)]
    evaluations, rows = {}, {}
    for name in sorted([*names, *kept], key=list(ALL).index):
        one = ALL[name]
        row = run(name, one, job, out, **place)
        if "left_out" not in row:
            evaluations[name] = score(out / name, examples, told["class_names"])
            row |= figures(evaluations[name])
        rows[name] = {"about": one.about, **row}
        print(f"{name}: {_shown(rows[name])}", flush=True)
    for name, row in rows.items():
        if name in evaluations and name not in OURS:
            ours = {n: e for n, e in evaluations.items() if n in OURS}
            row["beside"] = {n: paired(e, evaluations[name]) for n, e in ours.items()}
    return rows


def _shown(row: Mapping[str, Any]) -> str:
    if "left_out" in row:
        return f"left out, {row['left_out']}"
    iou = row["per_image"]["iou"]
    return (
        f"IoU {iou['value']:.3f} [{iou['low']:.3f}, {iou['high']:.3f}] after"
        f" {row['learning']['steps']} steps, {row['learning']['cpu_s'] / 60:.1f} min of processor"
    )
