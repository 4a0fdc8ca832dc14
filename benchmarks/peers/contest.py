"""Runs the contestants on a job, one after the other, and scores what they wrote, all alike.

Peers have an environment each, temzoo's networks stand beside them. One more is a row of ``PEERS``
and a function in ``scripts/learners.py``, which reads a job by ``replay``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import temzoo
from benchmarks.accuracy import difference
from benchmarks.environments import FOLDER, LONGEST, SCRIPTS, python_of, why_not
from benchmarks.metrics import CONNECTED
from benchmarks.recipes import PYRAMID
from benchmarks.records import ROOT
from benchmarks.timing import last_line
from temzoo.core.types import Prediction
from temzoo.evaluation.evaluate import score_predictions

METRICS = ("iou", "dice", "instance_f1", "mask_ap50")


@dataclass(frozen=True)
class Contestant:
    """One row of the table."""

    about: str  # in words
    learner: str  # in ``scripts/learners.py``
    environment: str  # whose packages it runs with; "" is temzoo's own
    # for the learner; a value that ``main`` knows under a name takes its place
    options: Mapping[str, Any] = field(default_factory=dict)
    # the most that it tells apart, the background included; None: any number
    classes: int | None = None


UNET = {"filters": 16, "depth": 4}
MOBILENET = {"model": "unet_mobilenet", **PYRAMID}
SCRATCH = {"encoder_weights": None, "encoder_trainable": True}
SMP = "segmentation_models.pytorch Unet"
OURS = {
    "temzoo-unet": Contestant(
        "temzoo U-Net, 16 filters, from scratch", "temzoo", "", {"model": "unet", **UNET}
    ),
    "temzoo-mobilenet": Contestant(
        "temzoo U-Net on MobileNet 0.75 at three scales, ImageNet, frozen", "temzoo", "", MOBILENET
    ),
    "temzoo-mobilenet-scratch": Contestant(
        "the same network, all of it from random weights", "temzoo", "", {**MOBILENET, **SCRATCH}
    ),
}
PEERS = {
    "pytorch-unet": Contestant(
        "plain PyTorch U-Net, 16 filters, from scratch", "pytorch", "pytorch", UNET
    ),
    "smp-resnet18": Contestant(
        f"{SMP}, ResNet-18", "smp", "smp", {"encoder_name": "resnet18", "encoder_weights": None}
    ),
    "smp-mobilenet": Contestant(
        f"{SMP}, MobileNetV2",
        *("smp", "smp", {"encoder_name": "mobilenet_v2", "encoder_weights": None}),
    ),
    "atomai": Contestant("AtomAI Segmentor, its Unet", "atomai", "atomai"),
    "stardist": Contestant("StarDist 2D, grid 2", "stardist", "stardist", classes=2),
    "sklearn": Contestant("scikit-learn's forest on scikit-image's features", "sklearn", "sklearn"),
}
ALL = {**OURS, **PEERS}


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
    command = [python, SCRIPTS / "learners.py", contestant.learner, job, folder, json.dumps(given)]
    try:
        last_line(command, **threads_of(told["threads"]))
    except RuntimeError as error:
        return {"left_out": str(error)[-LONGEST:]}
    return {**json.loads((folder / "told.json").read_text(encoding="utf-8")), "options": given}


def threads_of(count: int) -> dict[str, str]:
    """Variables of the environment of a process with so many threads."""
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
    names = tuple(class_names)
    for number, example in enumerate(examples):
        instances, scores, probabilities = (
            folder / f"val-{number:04d}-{kind}.npy"
            for kind in ("instances", "scores", "probabilities")
        )
        if instances.is_file():
            numbers, known = np.load(instances), {"class_names": names, "name": example.name}
            classes = (numbers > 0).astype(np.uint8)
            yield Prediction(classes, numbers, scores=np.load(scores), **known)
        else:
            how = {"probabilities": True, "class_names": names, **CONNECTED}
            yield temzoo.predict(_Written(probabilities), example.micrograph, **how)


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


def figures(found) -> dict[str, Any]:
    """What a record keeps of scores."""
    per_image = {m: vars(found.per_image[m]) for m in METRICS if m in found.per_image}
    pooled = {m: vars(found.pooled[m]) for m in METRICS}
    images = {row["name"]: row["iou"] for row in found.table}
    return {"per_image": per_image, "pooled": pooled, "images": images}


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
    ours = {name: found for name, found in evaluations.items() if name in OURS}
    for name in evaluations.keys() - ours.keys():
        rows[name]["beside"] = {n: paired(e, evaluations[name]) for n, e in ours.items()}
    return rows
