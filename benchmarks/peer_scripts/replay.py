"""A job as a peer's script sees it: micrographs, the crops to learn from, the time there is.

Every contestant, temzoo too, reads a job through this module, which needs NumPy alone. What lies in
a job's folder is said in ``benchmarks.peers``, which writes it.
"""

import importlib.metadata
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PEAK_RATE = 1e-3
WEIGHT_DECAY = 1e-4
WARMUP = 0.05  # of the budget


class Job:
    """What is learnt and judged.

    Attributes:
        crop: side of a crop, px; batch: crops of a step.
        classes: how many, the background included.
        budget_s: processor seconds for learning, of all threads together.
        crops: (N, 5) int: micrograph, top row, left column, quarter turns, mirrored or not.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.told = json.loads((self.folder / "job.json").read_text(encoding="utf-8"))
        self.crop, self.batch = self.told["crop"], self.told["batch"]
        self.classes, self.threads = self.told["classes"], self.told["threads"]
        self.seed, self.budget_s = self.told["seed"], self.told["budget_s"]
        self.crops = np.load(self.folder / "crops.npy")
        self._arrays: dict[str, np.ndarray] = {}

    def array(self, part: str, number: int, kind: str) -> np.ndarray:
        """(H, W): ``kind`` is "pixels", "classes" or "instances"; kept once read."""
        name = f"{part}-{number:04d}-{kind}.npy"
        if name not in self._arrays:
            self._arrays[name] = np.load(self.folder / name)
        return self._arrays[name]

    def keep(self, part: str, number: int, kind: str, array: np.ndarray) -> None:
        """Gives ``array`` and ``cut`` one more kind of a micrograph, (H, W, …)."""
        self._arrays[f"{part}-{number:04d}-{kind}.npy"] = array

    def prepare(self, part: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Changes all micrographs of a part at once, as by a peer's normalisation."""
        for number in range(self.told[part]):
            self.keep(part, number, "pixels", change(self.array(part, number, "pixels")))

    def cut(self, k: int, kind: str) -> np.ndarray:
        """(crop, crop) of crop number k; after the last the first comes again."""
        number, top, left, turns, mirrored = (int(v) for v in self.crops[k % len(self.crops)])
        whole = self.array("train", number, kind)
        part = whole[top : top + self.crop, left : left + self.crop]
        widths = [(0, self.crop - n) for n in part.shape[:2]] + [(0, 0)] * (part.ndim - 2)
        part = np.rot90(np.pad(part, widths, mode="symmetric"), turns)
        return part[:, ::-1] if mirrored else part

    def batch_of(self, step: int, *kinds: str) -> list[np.ndarray]:
        """(batch, crop, crop) of each kind, for one step."""
        numbers = range(step * self.batch, (step + 1) * self.batch)
        return [np.stack([self.cut(k, kind) for k in numbers]) for kind in kinds]


class Clock:
    """Processor seconds of this process and its children since it was made, and wall time."""

    def __init__(self, budget_s: float):
        self.budget_s, self._cpu, self._wall = budget_s, _used(), time.perf_counter()

    @property
    def cpu_s(self) -> float:
        return _used() - self._cpu

    @property
    def share(self) -> float:
        """Of the budget that is used up."""
        return self.cpu_s / self.budget_s

    def told(self) -> dict[str, float]:
        return {"cpu_s": self.cpu_s, "wall_s": time.perf_counter() - self._wall}


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def rate(share: float) -> float:
    """Learning rate when so much of the budget is used: a short rise, then half a cosine to 0."""
    if share < WARMUP:
        return PEAK_RATE * max(share, 0.01 * WARMUP) / WARMUP
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - WARMUP) / (1 - WARMUP))))


def learn(job: Job, step: Callable[[list[np.ndarray], float], Any], *kinds: str) -> dict[str, Any]:
    """Calls ``step(batch, rate)`` until the budget is used; tells how far that led."""
    clock, steps = Clock(job.budget_s), 0
    while clock.share < 1:
        step(job.batch_of(steps, *kinds), rate(clock.share))
        steps += 1
    return {"steps": steps, "crops": steps * job.batch, **clock.told()}


def stretched(pixels: np.ndarray) -> np.ndarray:
    """(H, W) float32: the 1st percentile of the micrograph at 0, the 99th at 1, cut at -1 and 2."""
    grey = pixels.astype(np.float32)
    low, high = np.percentile(grey, [1, 99])
    return np.clip((grey - low) / (high - low if high > low else 1), -1, 2).astype(np.float32)


def finish(job: Job, out: Path, predict: Callable, packages: Sequence[str], **told: Any) -> None:
    """Writes what ``predict(pixels)`` gives of each judging micrograph, and last ``told.json``."""
    clock = Clock(1.0)
    for number in range(job.told["val"]):
        for kind, array in predict(job.array("val", number, "pixels")).items():
            small = np.float16 if kind == "probabilities" else array.dtype
            np.save(out / f"val-{number:04d}-{kind}.npy", array.astype(small))
    versions = {name: importlib.metadata.version(name) for name in packages}
    told |= {"prediction": clock.told(), "packages": versions, "python": sys.version.split()[0]}
    (out / ".told.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    (out / ".told.json").replace(out / "told.json")


def padded(pixels: np.ndarray, multiple: int) -> np.ndarray:
    """(H, W) mirrored at the bottom and right to whole multiples."""
    widths = [(0, -n % multiple) for n in pixels.shape]
    return np.pad(pixels, widths, mode="symmetric")
