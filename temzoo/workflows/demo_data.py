"""The micrographs of the demo, drawn or a user's own, in three parts; and a list of its files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import temzoo.labels
from temzoo.core.types import Example
from temzoo.data.examples import class_names, load_dataset
from temzoo.data.splits import split
from temzoo.data.synthetic.synthesize import crowded, write_dataset, write_tiff
from temzoo.labels.check import check
from temzoo.labels.check_report import Finding, to_text
from temzoo.micrographs import load_micrograph

SHARES = (0.6, 0.15, 0.25)  # to train on, to choose the epoch by, held out
# Of a user's many images these suffice for a first look, and keep to the minutes promised.
MOST_CHOOSING, MOST_HELD_OUT = 6, 12
LARGE = {"size": 2048, "n_particles": 1500}
LARGE_SEED = 10**6  # far from the images' own numbers


@dataclass(frozen=True)
class Parts:
    """The examples of each part, the micrograph to be predicted whole, and its file if known."""

    train: list[Example]
    choose: list[Example]
    held_out: list[Example]
    large: Example
    large_file: Path | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return class_names([*self.train, *self.choose, *self.held_out])


@dataclass
class Files:
    """What was written, in order."""

    folder: Path
    named: dict[Path, str] = field(default_factory=dict)

    def add(self, path: Path, meaning: str) -> Path:
        self.named[path] = meaning
        return path


def synthetic_micrographs(files: Files, n: int, seed: int) -> Parts:
    """Writes micrographs with their labels, and a large crowded one for the prediction."""
    with timed(f"{n} synthetic micrographs of 512 x 512 px"):
        images, labels = write_dataset(files.folder / "data", n=n, seed=seed)
        micrograph, labelled = crowded((seed, LARGE_SEED), name="crowded.tif", **LARGE)
        large = files.folder / "data" / labelled.name
        write_tiff(large, micrograph)
    files.add(images, f"{n} synthetic micrographs, calibrated TIFF")
    files.add(labels, "their labels, CVAT 1.1")
    size = f"{labelled.width} x {labelled.height} px"
    files.add(large, f"a synthetic micrograph of {size}, for the prediction")
    parts = split(_checked(images, labels), SHARES, seed=seed)
    return Parts(*parts, Example(labelled, partial(load_micrograph, large)), large)


def own_micrographs(images: str | Path, labels: str | Path, seed: int) -> Parts:
    """A user's micrographs; the largest of those held out is predicted whole."""
    learn, choose, held_out = split(_checked(images, labels), SHARES, seed=seed)
    largest = max(held_out, key=lambda e: e.labels.width * e.labels.height)
    file = Path(images) / largest.name
    large = largest, file if file.is_file() else None
    return Parts(learn, choose[:MOST_CHOOSING], held_out[:MOST_HELD_OUT], *large)


def _checked(images: str | Path, labels: str | Path) -> list[Example]:
    """Prints what is wrong with the labels, and loads them."""
    said: list[Finding] = []
    entries = temzoo.labels.read(labels, images=images, said=said)
    found = check(entries, image_folder=images, said=said)
    print(f"\nCheck of {labels}, as `temzoo labels check` has it\n{to_text(found)}")
    if found.exit_status:
        print("The demo goes on; mend the errors before you trust its figures.")
    return load_dataset(images, labels)


def print_files(files: Mapping[Path, str]) -> None:
    """Prints each path with what it is."""
    width = max(len(str(path)) for path in files)
    for path, meaning in files.items():
        print(f"  {path!s:<{width}}  {meaning}")


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Prints what is being done, and afterwards the seconds that it took."""
    began = time.monotonic()
    print(f"\n{what} …", flush=True)
    yield
    print(f"{what}: {time.monotonic() - began:.0f} s", flush=True)
