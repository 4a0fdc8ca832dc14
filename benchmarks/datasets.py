"""Labelled micrographs by name or path, parted into what trains and what judges.

A dataset is named ("emps", "super1", "synthetic", "supported"), or given by the path of a folder in
one of the layouts below, which is told by what lies in it:

- EMPS as published: ``images/``, ``segmaps/`` or ``annotations.xml``, ``train.csv``; with
  ``val.csv`` the judges are named, without it a fifth of the training names judges. ``test.csv``
  is not looked at. ``groups.csv`` tells the publications apart.
- NASA's pretrained-microscopy-models (Super1 …): ``train/images`` and ``train/labels``, or
  ``train`` and ``train_annot``, and the same for ``val``.
- A CVAT, COCO or VIA export: a folder of images and one ``.xml`` or ``.json``, anywhere in the
  folder; a fifth of the images, by specimen where ``groups.csv`` names them, judges.

One more named dataset is a function under ``@dataset("NAME")``, here or in a file of your own
(``benchmarks.own`` shows one); the name then stands wherever ``--data`` does.
"""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import temzoo
from benchmarks.own import registering
from benchmarks.records import DATA
from temzoo.core.types import Example, LabelledImage, Micrograph
from temzoo.data.splits import pick, read_names
from temzoo.data.synthetic.scene import Scene
from temzoo.data.synthetic.supported import supported_catalyst
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.training.run_folder import fingerprint

SHARES = (0.8, 0.2)
SEED = 0  # of every split that no file names
PARTS = ("val", "train", "all")
# What is drawn: 24 micrographs train and 12 judge; the quick ones are smaller and fewer.
SYNTHETIC = {"train": 24, "val": 12, "size": 512}
QUICK = {"train": 8, "val": 6, "size": 256}
SUPPORTED = {"train": 300, "val": 40}
VAL_SEED = 1000  # first number of the seeds of what judges


@dataclass(frozen=True)
class Dataset:
    """Labelled micrographs in two parts."""

    name: str  # for records and tables
    train: Sequence[Example]  # train, val: what trains; what judges
    val: Sequence[Example]
    split: str  # how they were parted, in words

    def part(self, name: str) -> list[Example]:
        """The images of "val", "train" or "all"."""
        if name not in PARTS:
            raise ValueError(f"A part is one of {', '.join(PARTS)}. Received: {name!r}.")
        return [*(self.train if name != "val" else ()), *(self.val if name != "train" else ())]

    def drawn(self, count: int, seed: int = SEED) -> "Dataset":
        """The same with so many training images, drawn; a smaller draw is within a larger one."""
        if not 1 <= count <= len(self.train):
            raise ValueError(
                f"{self.name} has {len(self.train)} training images. Received: {count}. Take fewer."
            )
        order = np.random.default_rng(seed).permutation(len(self.train))[:count]
        return replace(self, train=[self.train[i] for i in sorted(order)])

    def told(self, part: str = "val") -> dict[str, Any]:
        """What a record says of it."""
        judged = self.part(part)
        told = {"name": self.name, "split": self.split, "part": part, "images": len(judged)}
        told |= {"fingerprint": fingerprint(judged), "train_images": len(self.train)}
        return told | {"train_fingerprint": fingerprint(self.train)}


Arguments = argparse.Namespace  # a parsed command line; see ``benchmarks.commands``
Opener = Callable[[Path], Dataset]
DATASETS: dict[str, Opener] = {}
dataset = registering(DATASETS)  # what opens a named dataset, given the folder that holds the data


def dataset_of(arguments: Arguments) -> Dataset:
    """The dataset that a command line names by ``--data``."""
    where = {"data": arguments.data_folder.resolve(), "quick": arguments.quick}
    return open_dataset(arguments.data, **where)


def open_dataset(source: str | Path, *, data: Path = DATA, quick: bool = False) -> Dataset:
    """The dataset of a name, which lies in ``data``, or of a folder.

    Quick: fewer and smaller synthetic micrographs; others are what they are.

    Raises:
        ValueError: no such name, and no folder of a known layout.
        FileNotFoundError: a named dataset is not in ``data``.
    """
    if str(source) == "synthetic":
        return synthetic(**(QUICK if quick else SYNTHETIC))
    if str(source) in DATASETS:
        return DATASETS[str(source)](data)
    folder = Path(source)
    if not folder.is_dir():
        names = ", ".join(["synthetic", *DATASETS])
        raise ValueError(f"A dataset is one of {names}, or a folder. Received: {source}.")
    return from_folder(folder)


def from_folder(folder: Path) -> Dataset:
    """The dataset in a folder, whose layout is one of those that this module's head lists."""
    for opener in (_emps, _parts, _export):
        if found := opener(folder):
            return found
    raise ValueError(
        "A dataset's folder has images/ with train.csv, train/ and val/ with labels of their own,"
        f" or images and one .xml or .json. Received: {folder}. Name the folder that has them."
    )


def _named(name: str, data: Path) -> Dataset:
    if not (data / name).is_dir():
        raise FileNotFoundError(
            f"{data / name} must hold the dataset. Received: no such folder. Name the folder of the"
            " data by --data-folder, or a dataset's own by --data."
        )
    return from_folder(data / name)


@dataset("supported")
def supported(_: Path) -> Dataset:
    """Particles on supports, drawn by ``temzoo.data.synthetic.supported``; no file is needed."""
    drawn = [
        [in_memory(*supported_catalyst(first + n, name=f"{first + n}.tif")) for n in range(count)]
        for first, count in ((0, SUPPORTED["train"]), (VAL_SEED, SUPPORTED["val"]))
    ]
    split = f"seeds from 0 on train, from {VAL_SEED} on judge; 512 px"
    return Dataset("supported", *drawn, split)


DATASETS |= {name: partial(_named, name) for name in ("emps", "super1")}


def generated(name: str, *content: Any, seed: int = SEED) -> dict[str, Any]:
    """What a record says of data that were made for it and from which nothing is learnt.

    The content is the data or some of them, arrays or bytes, for the fingerprint.
    """
    digest = hashlib.sha256()
    for part in content:
        digest.update(part if isinstance(part, bytes) else part.tobytes())
    split = "none: nothing is learnt"
    return {"name": name, "split": split, "fingerprint": digest.hexdigest()[:16], "seed": seed}


def synthetic(*, train: int, val: int, size: int) -> Dataset:
    """Micrographs drawn by ``temzoo.synthetic``; no file is needed."""
    learn = [in_memory(*_synthesized(seed, size)) for seed in range(train)]
    judge = [in_memory(*_synthesized(VAL_SEED + seed, size)) for seed in range(val)]
    split = f"seeds 0 to {train - 1} train, {VAL_SEED} to {VAL_SEED + val - 1} judge; {size} px"
    return Dataset("synthetic", learn, judge, split)


@cache
def _synthesized(seed: int, size: int) -> tuple[Micrograph, LabelledImage]:
    # As many particles to an area at any size.
    most = max(4, round(32 * (size / 512) ** 2))
    scene = Scene(n_particles=(max(2, most // 2), most))
    return synthesize(seed, size=size, scene=scene, name=f"synthetic-{seed}.tif")


def in_memory(micrograph: Micrograph, labels: LabelledImage) -> Example:
    """A labelled micrograph that no file holds."""
    return Example(labels, lambda: micrograph)


def _emps(folder: Path) -> Dataset | None:
    if not (folder / "images").is_dir() or not (folder / "train.csv").is_file():
        return None
    images, labels = folder / "images", folder / "annotations.xml"
    labels = labels if labels.is_file() else folder / "segmaps"
    examples = temzoo.load_dataset(images=images, labels=labels, groups=_groups(folder))
    names = read_names(folder / "train.csv")
    if (folder / "val.csv").is_file():
        parts = temzoo.split_by_names(examples, names, read_names(folder / "val.csv"))
        return Dataset(folder.name, *parts, "train.csv, val.csv")
    parts = temzoo.split(pick(examples, names), SHARES, seed=SEED)
    return Dataset(folder.name, *parts, f"a fifth of train.csv, seed {SEED}")


def _parts(folder: Path) -> Dataset | None:
    for images, labels in (("{}/images", "{}/labels"), ("{}", "{}_annot")):
        pairs = [[folder / name.format(p) for name in (images, labels)] for p in ("train", "val")]
        if all(each.is_dir() for pair in pairs for each in pair):
            parts = [temzoo.load_dataset(images=i, labels=m) for i, m in pairs]
            return Dataset(folder.name, *parts, "folders train and val")
    return None


def _export(folder: Path) -> Dataset | None:
    files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in (".xml", ".json")]
    if len(files) != 1:
        return None
    images = folder / "images" if (folder / "images").is_dir() else folder
    examples = temzoo.load_dataset(images=images, labels=files[0], groups=_groups(folder))
    parts = temzoo.split(examples, SHARES, seed=SEED)
    return Dataset(folder.name, *parts, f"a fifth by specimen, seed {SEED}")


def _groups(folder: Path) -> Path | None:
    groups = folder / "groups.csv"
    return groups if groups.is_file() else None
