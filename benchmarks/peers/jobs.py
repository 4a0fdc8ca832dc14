"""A dataset as a folder that needs no temzoo to read, and the crops that everybody learns from.

In a job's folder: ``job.json`` (sizes, seed, budget); ``train-0000-pixels.npy`` (H, W) grey in
the stored range, ``-classes.npy`` (H, W) uint8, ``-instances.npy`` (H, W) int32;
``val-0000-pixels.npy`` alone, for what judges has no labels here; and ``crops.npy``, (N, 5) int32:
micrograph, top row, left column, quarter turns and whether mirrored then. The crops are those of
temzoo's training stream at stored resolution, in its order; turns and mirrors take the place of its
augmentation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import Dataset
from benchmarks.records import write_json
from temzoo.data.crop_plan import CropPlan
from temzoo.data.dataset import crop_list
from temzoo.data.examples import class_names
from temzoo.data.preparation import crop, visit
from temzoo.labels.shapes.raster import class_map, instance_map
from temzoo.micrographs import as_channels

CROPS = 40_000  # more than anybody learns from in an hour on two cores


def crop_numbers(examples: Sequence, *, size: int, seed: int, count: int = CROPS) -> np.ndarray:
    """(count, 5) int32: where the first crops of temzoo's training stream lie, and their turns."""
    plan = CropPlan(size, seed=seed)
    listed = crop_list(examples, plan)
    places = [_places(example.labels.height, example.labels.width) for example in examples]
    found = np.empty((count, 5), np.int32)
    for k in range(count):
        (index, *centre), generator = visit(listed, seed, k)
        (rows, columns), _ = crop(places[index], centre, plan, generator)
        found[k] = (index, rows[0, 0], columns[0, 0], *generator.integers([4, 2]))
    return found


def _places(height: int, width: int) -> list[np.ndarray]:
    """The row and the column of each pixel; they take no memory."""
    rows, columns = (np.arange(n, dtype=np.int32) for n in (height, width))
    return list(np.broadcast_arrays(rows[:, None], columns[None]))


def write_job(
    folder: Path,
    dataset: Dataset,
    *,
    minutes: float,
    crop: int = 256,
    batch: int = 8,
    threads: int = 2,
    seed: int = 0,
    count: int = CROPS,
) -> dict[str, Any]:
    """Writes a job; one of the same content that is there stays.

    Args:
        folder: of the job.
        dataset: its two parts.
        minutes: for learning, of ``threads`` cores.
        crop: side, px; batch: crops of a step.
        threads: that each contestant may use.
        seed: of the crops and of networks' first weights.
        count: of crops; after the last the first comes again.

    Returns:
        what ``job.json`` says.
    """
    names = class_names([*dataset.train, *dataset.val])
    told = {
        "dataset": dataset.told(),
        **{"class_names": list(names), "classes": len(names) + 1},
        **{"train": len(dataset.train), "val": len(dataset.val)},
        **{"crop": crop, "batch": batch, "threads": threads, "seed": seed},
        **{"minutes": minutes, "budget_s": 60 * minutes * threads},
    }
    told, there = json.loads(json.dumps(told)), folder / "job.json"
    if there.is_file() and json.loads(there.read_text(encoding="utf-8")) == told:
        return told
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.npy"), there):
        old.unlink(missing_ok=True)
    for part in ("train", "val"):
        for number, example in enumerate(dataset.part(part)):
            _write_example(folder / f"{part}-{number:04d}", example, names, labels=part == "train")
    np.save(folder / "crops.npy", crop_numbers(dataset.train, size=crop, seed=seed, count=count))
    write_json(there, told)
    return told


def _write_example(path: Path, example, names: Sequence[str], *, labels: bool) -> None:
    kinds = {"pixels": as_channels(example.micrograph.pixels, 1)[..., 0]}
    if labels:
        kinds["classes"] = class_map(example.labels, names).astype(np.uint8)
        kinds["instances"] = instance_map(example.labels).astype(np.int32)
    for kind, array in kinds.items():
        np.save(path.with_name(f"{path.name}-{kind}.npy"), array)
