"""Dislocation loops counted without a network: dark blobs at one scale.

What a trained network has to beat. The scale and the least response are chosen on other frames than
those that are judged, by the figure that judges: the mean over frames of the relative error.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max

import temzoo
from benchmarks.datasets import Dataset
from temzoo.core.types import Example

SIGMAS_PX = (8, 10, 12, 14, 16, 18, 20, 24)
LEAST = tuple(range(8, 50))  # grey values; a blob's response is sigma² times its Laplacian
FOLDS = 4


def loops_blobs(arguments: argparse.Namespace) -> dict[str, Any]:
    """Areal density of loops by the Laplacian of a Gaussian, cross-validated as networks are.

    ``density``: four blocks of frames, the frames beside a block left out. ``one frame held out``:
    each frame judged alone, those beside it left out. ``chosen on all frames``: not
    cross-validated.
    """
    examples = frames(arguments.data_folder / "loops")
    true = np.array([len(e.labels.shapes) for e in examples])
    counts = np.stack([blob_counts(e.micrograph.pixels) for e in examples], axis=1)
    blocks = np.array_split(np.arange(len(true)), FOLDS)
    alone = np.arange(len(true))[:, None]
    figures = {
        "density": density(true, cross_validated(counts, true, blocks)),
        "one frame held out": density(true, cross_validated(counts, true, alone)),
        "chosen on all frames": density(true, counts[_best(counts, true)]),
    }
    dataset = Dataset("loops", examples, examples, f"{FOLDS} blocks of frames, each judged once")
    about = "dark blobs at one scale; scale and threshold tuned"
    told = {"about": about, "model": None, "config": None, "seed": None}
    settings = {"sigmas_px": list(SIGMAS_PX), "least": [LEAST[0], LEAST[-1]]}
    return told | {"settings": settings, "dataset": dataset.told(), "figures": figures}


def frames(folder: Path) -> list[Example]:
    """The labelled frames of loops, in their order."""
    examples = temzoo.load_dataset(images=folder / "images", labels=folder / "coco.json")
    return sorted(examples, key=lambda example: int(Path(example.name).stem))


def blob_counts(pixels: np.ndarray) -> np.ndarray:
    """(settings,) number of dark blobs of one channel, by scale and then by least response."""
    grey, counts = pixels.astype(np.float32), []
    for sigma in SIGMAS_PX:
        response = sigma**2 * ndimage.gaussian_laplace(grey, sigma)
        peaks = peak_local_max(response, min_distance=sigma, exclude_border=False)
        heights = np.sort(response[tuple(peaks.T)])
        counts += (len(heights) - np.searchsorted(heights, LEAST)).tolist()
    return np.array(counts)


def cross_validated(counts: np.ndarray, true: np.ndarray, blocks: Any) -> np.ndarray:
    """(frames,) counts by settings that were chosen without the block and the frames beside it."""
    found = np.zeros(len(true), int)
    for held in blocks:
        near = range(held[0] - 1, held[-1] + 2)
        far = [frame for frame in range(len(true)) if frame not in near]
        found[held] = counts[_best(counts[:, far], true[far])][held]
    return found


def _best(counts: np.ndarray, true: np.ndarray) -> int:
    return int((np.abs(counts - true) / true).mean(axis=1).argmin())


def density(true: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Counts per area: the area cancels, as all frames have one size."""
    error = found - true
    mean = float(np.mean(np.abs(error) / true))
    told = {"error of all frames together": float(error.sum() / true.sum())}
    return told | {"mean over frames of |error|": mean, "accuracy, 1 - mean |error|": 1 - mean}
