"""Would averaging several predictions of a micrograph help? One command for a set of weights.

    python -m benchmarks variants unet_mobilenet/emps --set negatives=false
    python -m benchmarks variants runs/emps-pyramid

Every validation micrograph of EMPS is predicted as it is, resized, mirrored, and with dark and
bright exchanged; probabilities are brought back to its own pixels, averaged, and compared with the
labels at 0.5. The figure is the mean over micrographs of the particles' IoU. Chosen by labels, the
best of all for each micrograph bounds what any such choice could give.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from rich.progress import track

import temzoo
from benchmarks.datasets import dataset_of
from temzoo.cli.common import keywords, trained
from temzoo.evaluation.pixels import confusion, scores
from temzoo.labels.shapes.raster import class_map

SCALES = (0.5, 0.7, 1.4)
COMBINED = {
    "mirrored": ("as it is", "mirrored"),
    "0.7 and 1 times": ("as it is", "0.7 times"),
    "0.7 and 1 times, mirrored": ("as it is", "mirrored", "0.7 times"),
    "0.5, 0.7, 1 and 1.4 times": ("as it is", *(f"{s} times" for s in SCALES)),
    "dark and bright": ("as it is", "exchanged"),
}


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """To (height, width), averaged where it becomes smaller."""
    smaller = size[0] < pixels.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(pixels, size[::-1], interpolation=how)


def variants(particles: Callable[..., np.ndarray], pixels: np.ndarray) -> dict[str, np.ndarray]:
    """(H, W) probability of a particle, by what was predicted.

    Args:
        particles: pixels and ``flips`` to that probability.
        pixels: (H, W).
    """
    height, width = pixels.shape
    found = {
        "as it is": particles(pixels),
        "mirrored": particles(pixels, flips=True),
        "exchanged": particles(pixels.max() - pixels),
    }
    for scale in SCALES:
        size = (round(height * scale), round(width * scale))
        seen = particles(resized(pixels.astype("float32"), size))
        found[f"{scale} times"] = resized(seen, (height, width))
    return found


def figures(found: Sequence[Mapping[str, np.ndarray]], truth: Sequence[np.ndarray]) -> dict:
    """Mean IoU of each variant, of their averages, and of the best for each micrograph."""
    table: dict[str, list[float]] = {}
    for maps, mask in zip(found, truth, strict=True):
        for name, probability in maps.items():
            table.setdefault(name, []).append(_iou(probability > 0.5, mask))
        for name, parts in COMBINED.items():
            mean = np.mean([maps[part] for part in parts], axis=0)
            table.setdefault(f"mean of: {name}", []).append(_iou(mean > 0.5, mask))
    best = np.nanmean(np.max(list(table.values()), axis=0))
    return {name: float(np.nanmean(values)) for name, values in table.items()} | {"best": best}


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float(scores(confusion(truth, found, 2))["iou"][1])


def measure(model: Any, examples: Sequence) -> dict[str, float]:
    """Mean IoU by what was predicted."""
    found, truth = [], []
    for example in track(examples, "micrographs"):
        micrograph = example.micrograph

        def particles(pixels, shown=micrograph, **options):
            changed = replace(shown, pixels=pixels, nm_per_pixel=None)
            seen = temzoo.predict(model, changed, instances=None, probabilities=True, **options)
            return 1 - seen.probabilities[..., 0].astype("float32")

        pixels = micrograph.pixels
        grey = pixels if pixels.ndim == 2 else pixels.mean(axis=-1).astype(pixels.dtype)
        found.append(variants(particles, grey))
        truth.append(class_map(example.labels, ("particle",)) == 1)
    return figures(found, truth)


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    dataset, words = dataset_of(arguments), [arguments.weights, *arguments.set]
    yield {
        "name": "-".join(words),
        "about": " ".join(words),
        "model": arguments.weights,
        "config": keywords(arguments.set),
        "dataset": dataset.told(),
        "figures": measure(trained(arguments.weights, arguments.set), dataset.val),
    }
