"""Other packages on the same data: same split, same crops, same minutes, same metric code.

    python -m benchmarks peers --setup                     # an environment for each, by pip
    python -m benchmarks peers --data emps --minutes 5     # trains and judges all of them
    python -m benchmarks peers --speed                     # one U-Net in every engine

A contestant learns for so many minutes of processor time on each of ``--threads`` cores, from one
list of crops at stored resolution with their quarter turns and mirrors; nobody sees the labels that
judge. Then it predicts whole micrographs at full resolution, and ``temzoo.evaluation`` scores what
it wrote; ``--work`` holds it, and a contestant that was finished there is not run again. Objects of
probabilities are told apart as by ``temzoo predict``, whoever gave them. With ``--seeds N`` the two
that are first in IoU learn N times. Half an hour each is too long for one sitting: ``--add`` goes
on with the record on file, and each row says when and on which processor it learnt. Of the U-Net in
every engine: ``benchmarks.beside_torch``.

A job is a dataset as a folder that needs no temzoo to read: ``job.json`` (sizes, seed, budget);
``train-0000-pixels.npy`` (H, W) grey in the stored range, ``-classes.npy`` (H, W) uint8,
``-instances.npy`` (H, W) int32; ``val-0000-pixels.npy`` alone, for what judges has no labels here;
and ``crops.npy``, (N, 5) int32: micrograph, top row, left column, quarter turns and whether
mirrored then. The crops are those of temzoo's training stream at stored resolution, in its order;
turns and mirrors take the place of its augmentation. One more contestant is a row of ``PEERS`` and
a function in ``peer_scripts/learners.py``.
"""

import argparse
import datetime
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import temzoo
from benchmarks import beside_torch, environments
from benchmarks.accuracy import OBJECTS, comparison, scored
from benchmarks.datasets import Dataset, dataset_of, synthetic
from benchmarks.environments import LONGEST, SCRIPTS, python_of, why_not
from benchmarks.recipes import PYRAMID
from benchmarks.records import kept, scores, write_json
from benchmarks.timing import last_line, spread, threads_of
from temzoo.core.files import read_json
from temzoo.core.types import Prediction
from temzoo.data.crop_plan import CropPlan
from temzoo.data.dataset import crop_list
from temzoo.data.examples import class_names
from temzoo.data.preparation import crop, visit
from temzoo.labels.shapes.raster import class_map, instance_map
from temzoo.micrographs import as_channels
from temzoo.training.run_folder import hardware

CROPS = 40_000  # more than anybody learns from in an hour on two cores


@dataclass(frozen=True)
class Contestant:
    """One row of the table."""

    about: str  # in words
    learner: str  # in ``learners.py``
    environment: str  # whose packages it runs with; "" is temzoo's own
    options: Mapping[str, Any] = field(default_factory=dict)  # for the learner
    # the most that it tells apart, the background included; None: any number
    classes: int | None = None


CROP = 256  # px
BACKBONE = {"backbone": "mobilenet", "alpha": 0.75, "backbone_trainable": "deep"}
LITE = {"encoder_name": "tu-tf_efficientnet_lite0", "encoder_weights": "lite-wheel"}
UNET = {"filters": 16, "depth": 4}
MOBILENET = {"model": "unet_mobilenet", **PYRAMID}
SCRATCH = {"encoder_weights": None, "encoder_trainable": True}
RESNET, MOBILENET2 = (
    {"encoder_name": name, "encoder_weights": None} for name in ("resnet18", "mobilenet_v2")
)
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
    "temzoo-particles": Contestant(
        "temzoo particles on EfficientNet-Lite0, ImageNet, frozen",
        *("temzoo", "", {"model": "particles", "encoder": "efficientnet_lite0"}),
    ),
    "temzoo-mask-rcnn": Contestant(
        "temzoo Mask R-CNN on MobileNet 0.75, ImageNet, deep blocks learn",
        *("temzoo", "", {"model": "mask_rcnn", "image_size": CROP, **BACKBONE}),
    ),
}
PEERS = {
    "pytorch-unet": Contestant(
        "plain PyTorch U-Net, 16 filters, from scratch", "pytorch", "pytorch", UNET
    ),
    "smp-resnet18": Contestant(f"{SMP}, ResNet-18", "smp", "smp", RESNET),
    "smp-mobilenet": Contestant(f"{SMP}, MobileNetV2", "smp", "smp", MOBILENET2),
    "smp-lite": Contestant(f"{SMP}, EfficientNet-Lite0, ImageNet", "smp", "smp", LITE),
    "atomai": Contestant("AtomAI Segmentor, its Unet", "atomai", "atomai"),
    "stardist": Contestant("StarDist 2D, grid 2", "stardist", "stardist", classes=2),
    "sklearn": Contestant("scikit-learn's forest on scikit-image's features", "sklearn", "sklearn"),
}
ALL = {**OURS, **PEERS}


def crop_numbers(examples: Sequence, *, size: int, seed: int, count: int) -> np.ndarray:
    """(count, 5) int32: where the first crops of temzoo's training stream lie, and their turns."""
    plan = CropPlan(size, seed=seed)
    listed = crop_list(examples, plan)
    # Row and column of each pixel; they take no memory.
    sides = [(example.labels.height, example.labels.width) for example in examples]
    places = [[*np.broadcast_arrays(*np.ogrid[:height, :width])] for height, width in sides]
    found = np.empty((count, 5), np.int32)
    for k in range(count):
        (index, *centre), generator = visit(listed, seed, k)
        (rows, columns), _ = crop(places[index], centre, plan, generator)
        found[k] = (index, rows[0, 0], columns[0, 0], *generator.integers([4, 2]))
    return found


def write_job(
    folder: Path, dataset: Dataset, *, minutes: float, count: int | None = None, **settings: int
) -> dict[str, Any]:
    """Writes a job and gives what ``job.json`` says; one of the same content that is there stays.

    Args:
        minutes: for learning, of each thread.
        count: of crops; after the last the first comes again. None: ``CROPS``.
        **settings: crop (side, px), batch (crops of a step), threads, seed.
    """
    names = class_names(dataset.part("all"))
    told = {"dataset": dataset.told(), "class_names": list(names), "classes": len(names) + 1}
    told |= {"train": len(dataset.train), "val": len(dataset.val), **settings}
    told |= {"minutes": minutes, "budget_s": 60 * minutes * settings["threads"]}
    told, there = json.loads(json.dumps(told)), folder / "job.json"
    if there.is_file() and json.loads(there.read_text(encoding="utf-8")) == told:
        return told
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.npy"), there):
        old.unlink(missing_ok=True)
    for part in ("train", "val"):
        for number, example in enumerate(dataset.part(part)):
            kinds = {"pixels": as_channels(example.micrograph.pixels, 1)[..., 0]}
            if part == "train":
                kinds["classes"] = class_map(example.labels, names).astype(np.uint8)
                kinds["instances"] = instance_map(example.labels).astype(np.int32)
            for kind, array in kinds.items():
                np.save(folder / f"{part}-{number:04d}-{kind}.npy", array)
    where = {"size": settings["crop"], "seed": settings["seed"], "count": count or CROPS}
    np.save(folder / "crops.npy", crop_numbers(dataset.train, **where))
    write_json(there, told)
    return told


def run(contestant: Contestant, job: Path, folder: Path) -> dict[str, Any]:
    """Lets one contestant learn and predict into an empty folder: what it told, or why not."""
    told = json.loads((job / "job.json").read_text(encoding="utf-8"))
    if contestant.classes is not None and told["classes"] > contestant.classes:
        return {"left_out": f"tells one class apart; the data have {told['classes'] - 1}"}
    reason = why_not(contestant.environment)
    if reason is not None:
        return {"left_out": reason}
    given, kept = dict(contestant.options), folder / "asked.json"
    asked = json.loads(json.dumps({"job": told, "options": given}))
    if not ((folder / "told.json").is_file() and kept.is_file() and read_json(kept) == asked):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(kept, asked)
        script = [python_of(contestant.environment), SCRIPTS / "learners.py", contestant.learner]
        try:
            last_line([*script, job, folder, json.dumps(given)], **threads_of(told["threads"]))
        except RuntimeError as error:
            return {"left_out": str(error)[-LONGEST:]}
    return {**read_json(folder / "told.json"), "options": given}


def predictions(folder: Path, examples: Sequence, names: Sequence[str]) -> Iterator[Any]:
    """What a contestant wrote, as temzoo's predictions, in the order of the examples."""
    known = {"class_names": tuple(names)}
    for number, example in enumerate(examples):
        instances, ranks, probabilities = (
            folder / f"val-{number:04d}-{kind}.npy"
            for kind in ("instances", "scores", "probabilities")
        )
        if instances.is_file():
            numbers = np.load(instances)
            known |= {"scores": np.load(ranks), "name": example.name}
            path = folder / f"val-{number:04d}-classes.npy"
            classes = np.load(path) if path.is_file() else (numbers > 0).astype(np.uint8)
            yield Prediction(classes, numbers, **known)
        else:
            how = {"probabilities": True, **known, **OBJECTS}
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


def score(folder: Path, examples: Sequence, names: Sequence[str]):
    """``benchmarks.accuracy`` on what a contestant wrote."""
    return scored(examples, predictions(folder, examples, names), tuple(names))


def contest(name: str, job: Path, out: Path, examples: Sequence) -> dict[str, Any]:
    """One contestant on a job: what it told and scored, where and when."""
    told = json.loads((job / "job.json").read_text(encoding="utf-8"))
    row = run(ALL[name], job, out / name)
    if "left_out" not in row:
        row |= {"processor": hardware()["processor"], "date": datetime.date.today().isoformat()}
        row |= scores(score(out / name, examples, told["class_names"]))
    print(f"{name}: {row.get('left_out', 'done')}", flush=True)
    return {"about": ALL[name].about, **row}


def side_by_side(rows: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows in the order of ``ALL``, each peer's with ours beside it."""
    rows = {name: rows[name] for name in ALL if name in rows}
    found = {
        name: SimpleNamespace(table=row["images"], per_image=row["per_image"])
        for name, row in rows.items()
        if "images" in row
    }
    for name in found.keys() - OURS.keys():
        rows[name]["beside"] = {n: comparison(found[n], found[name]) for n in OURS if n in found}
    return rows


def on_file(asked: Mapping[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """The rows of a record that is there already; none without one.

    Raises:
        ValueError: it is of another job, such as other micrographs.
    """
    for record in kept(folder):
        if (record["what"], record["name"]) == ("peers", asked["name"]):
            job = json.loads(json.dumps(asked))
            if any(record[key] != job[key] for key in ("dataset", "settings")):
                raise ValueError(
                    f"--add goes on with a record of the same job. Received: {record['name']} in"
                    f" {folder}, of other data or settings. Leave --add out to begin it anew."
                )
            return record["figures"]["contestants"]
    return {}


def of_contest(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What a record says of a contest; with ``--add`` after every training."""
    dataset = synthetic(train=6, val=3, size=256) if arguments.quick else dataset_of(arguments)
    minutes = 1 / 3 if arguments.quick else arguments.minutes
    work = arguments.work.resolve() / f"{'quick-' * arguments.quick}{dataset.name}"
    settings = {"crop": CROP, "batch": 8, "threads": arguments.threads}

    def job_of(seed: int) -> dict[str, Any]:
        job = work / f"seed-{seed}" / "job"
        return write_job(job, dataset, minutes=minutes, seed=seed, **settings)

    def learnt(name: str, seed: int) -> dict[str, Any]:
        place = work / f"seed-{seed}"
        return contest(name, place / "job", place, dataset.val)

    told, about = job_of(0), f"{minutes:.3g} minutes on {arguments.threads} cores, {dataset.name}"
    found = {"name": f"{dataset.name}-{minutes:.3g}-min", "about": about, "seed": 0}
    found |= {"dataset": told.pop("dataset"), "settings": told | OBJECTS}
    rows = on_file(found, arguments.out) if arguments.add else {}

    def record() -> dict[str, Any]:
        contestants = side_by_side(rows)
        command = arguments.again(names=[*contestants] if arguments.names else None, add=False)
        return {**found, "command": command, "figures": {"contestants": contestants}}

    for name in arguments.names or ALL:
        if "images" not in rows.get(name, {}):
            rows[name] = learnt(name, 0)
            if arguments.add:
                yield record()
    judged = [name for name, row in rows.items() if "images" in row]
    first = sorted(judged, key=lambda name: -rows[name]["per_image"]["iou"]["value"])[:2]
    for seed in range(1, arguments.seeds):
        job_of(seed)
        for name in first:
            again = rows[name].setdefault("again", {})
            row = learnt(name, seed) if str(seed) not in again else {}
            if "per_image" in row:
                again[str(seed)] = row["per_image"]
                every = [rows[name]["per_image"], *again.values()]
                rows[name]["seeds"] = {
                    metric: spread([one[metric]["value"] for one in every])
                    for metric in ("iou", "instance_f1")
                }
                if arguments.add:
                    yield record()
    yield record()


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if arguments.setup is None:
        if arguments.speed:
            yield beside_torch.on_processor(arguments)
        else:
            yield from of_contest(arguments)
        return
    found = environments.set_up(arguments.setup)
    print(*(f"{name}: {state}" for name, state in found.items()), sep="\n", flush=True)
    failed = [name for name, state in found.items() if state != "ready"]
    if failed:
        raise SystemExit(f"Environments are made by pip. Received: no {', '.join(failed)}.")
