"""Denoising of real micrographs with simulated dose noise: networks beside classical filters.

    python -m benchmarks denoise supervised     # trains on clean images with noise, scores
    python -m benchmarks denoise blind-spot     # Noise2Void: trains on noisy images alone, scores
    python -m benchmarks denoise filters        # Gaussian and non-local means
    python -m benchmarks denoise bm3d           # after `python -m benchmarks peers --setup bm3d`
    python -m benchmarks denoise all

EMPS: 293 training images, the 73 of ``val.csv`` are scored at full size. Electrons arrive at
random, 4, 16 and 64 per white pixel (``temzoo.data.degrade``), drawn for each image from its
name, so that every method gets the same noise. Restored pixels are cut to 0 … 255 and compared
with the published images by PSNR and SSIM with a data range of 255. Filters: the head of
``benchmarks.denoise_baselines``.
"""

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import temzoo
from benchmarks import denoise_baselines
from benchmarks.datasets import Arguments, Dataset, open_dataset
from benchmarks.denoise_baselines import DOSES, score, summary
from benchmarks.environments import why_not
from benchmarks.recipes import Recipe, fitted
from benchmarks.timing import timed
from temzoo.core.types import Example, Micrograph
from temzoo.data.degrade import degrade
from temzoo.data.pairs import degraded
from temzoo.micrographs import to_grey

# First numbers of the seeds of noise: of what is scored, of what blind spots learn from, and of
# what the classical filters are tuned on.
SCORED, LEARNT, TUNED = 1, 2, 3
SETTINGS = {"batch": 8, "crop": 128, "epochs": 20, "steps_per_epoch": 700, "validate_every": 2}
SETTINGS |= {"mixed_precision": True, "seed": 0}
NETWORKS = {
    "supervised": {"pairs": "any-dose", "loss": "psnr"},
    "blind-spot": {"pairs": "blind_spot", "loss": "mse"},
}
RECIPES = {
    name: Recipe(name, "emps", "autoencoder", {"filters": 24}, {**SETTINGS, **of_one})
    for name, of_one in NETWORKS.items()
}


def grey(examples: Sequence[Example]) -> list[Example]:
    """Those of micrographs that were published in three equal channels, as one."""

    def load(example: Example) -> Micrograph:
        return replace(example.micrograph, pixels=to_grey(example.micrograph.pixels))

    return [replace(example, load=partial(load, example)) for example in examples]


def clean(data: Path) -> Dataset:
    """The micrographs of EMPS, grey."""
    found = open_dataset("emps", data=data)
    return replace(found, train=grey(found.train), val=grey(found.val))


def noisy_once(examples: Sequence[Example]) -> list[Example]:
    """Each with one noise of its own, at one of the three doses in turn."""
    doses = list(DOSES)
    parts = [degraded(examples[n :: len(doses)], dose, seed=LEARNT) for n, dose in enumerate(doses)]
    return [example for part in parts for example in part]


def scored(judge: Sequence[Example], dose: str) -> Iterator[tuple[Micrograph, Micrograph]]:
    """(clean, noisy) of each validation image; the same noise for every method."""
    return ((one.load_truth(), one.micrograph) for one in degraded(judge, dose, seed=SCORED))


def of_network(name: str, dataset: Dataset) -> dict[str, Any]:
    """Trains and scores a network; the supervised one averaged over mirror images too."""
    learn, judge = dataset.train, dataset.val
    if name == "blind-spot":
        learn, judge = noisy_once(learn), noisy_once(judge)
    model, training = fitted(f"denoise-{name}", RECIPES[name], learn, judge)
    rows = {name: False} | ({f"{name}-flips": True} if name == "supervised" else {})
    doses = {
        dose: {
            row: summary(*restored_scores(model, dataset.val, dose, flips=flips))
            for row, flips in rows.items()
        }
        for dose in DOSES
    }
    return RECIPES[name].told() | {"figures": {"doses": doses}, "training": training}


def restored_scores(model, judge: Sequence[Example], dose: str, *, flips=False) -> list[tuple]:
    """(scores, seconds) of the restored validation images."""
    found = []
    for true, poor in scored(judge, dose):
        restored, took = timed(partial(temzoo.restore, model, poor, flips=flips))
        found.append((score(true.pixels, restored.pixels), took))
    return [*zip(*found, strict=True)]


def judged(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Mean PSNR of restored images, in dB, by dose."""
    scores = {dose: restored_scores(model, grey(examples), dose)[0] for dose in DOSES}
    return {dose: statistics.fmean(one.psnr for one in each) for dose, each in scores.items()}


def classical(measured: Callable[..., dict[str, Any]], dataset: Dataset) -> dict[str, Any]:
    """Tunes the filters, or BM3D's profile, on crops of training images and scores them."""
    crops = denoise_baselines.crops([example.micrograph.pixels for example in dataset.train])
    doses = {}
    for dose, electrons in DOSES.items():
        poor = [degrade(crop, dose, [TUNED, n]) for n, crop in enumerate(crops)]
        true, seen = zip(*scored(dataset.val, dose), strict=True)
        judge = ([one.pixels for one in true], [one.pixels for one in seen])
        doses[dose] = measured((crops, poor), judge, dose=electrons)
    return {"figures": {"doses": doses}}


def bm3d(dataset: Dataset) -> dict[str, Any] | None:
    """The same of BM3D, where its environment is."""
    reason = why_not("bm3d")
    if reason is not None:
        print(f"bm3d is left out: {reason}", file=sys.stderr)
        return None
    return classical(denoise_baselines.matched, dataset)


METHODS: dict[str, Callable[[Dataset], dict[str, Any] | None]] = {
    "filters": partial(classical, denoise_baselines.filtered),
    **{name: partial(of_network, name) for name in NETWORKS},
    "bm3d": bm3d,
}


def measure(name: str, arguments: Arguments) -> dict[str, Any] | None:
    dataset = clean(arguments.data_folder)
    told, about = METHODS[name](dataset), f"{name} on EMPS with dose noise"
    return told and told | {"about": about, "seed": 0, "dataset": dataset.told()}


MEASUREMENTS = {name: partial(measure, name) for name in METHODS}
