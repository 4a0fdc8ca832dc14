"""What noise does to predictions, as they come and with ``smooth="off"``.

    python -m benchmarks noise --weights particles/emps --data emps
    python -m benchmarks noise --weights particles/emps --data synthetic

Gaussian noise is added to the validation micrographs, so many times as large as the deviation of
their pixels; 0 is the micrographs as they are. "noise" is the median of what
``temzoo.micrographs.noise.noise_of`` finds, in parts of the deviation with the noise.
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.progress import track

import temzoo
from benchmarks.datasets import dataset_of
from temzoo.cli.common import trained
from temzoo.core.types import Example, Micrograph, Prediction
from temzoo.evaluation.evaluate import score_predictions
from temzoo.micrographs import to_grey
from temzoo.micrographs.noise import noise_of
from temzoo.zoo.built import class_names_of

ADDED = (0, 0.3, 0.6, 1.2)
SMOOTH = ("off", "auto")


def noisier(micrograph: Micrograph, added: float, seed: int) -> Micrograph:
    """The micrograph with noise, grey and float32."""
    grey = to_grey(micrograph.pixels).astype(np.float32)
    drawn = np.random.default_rng(seed).standard_normal(grey.shape, np.float32)
    return Micrograph(grey + added * grey.std() * drawn, name=micrograph.name)


def rows(model: Any, examples: Sequence[Example], added: float) -> list[dict[str, Any]]:
    """A row for each way of smoothing."""
    found: dict[str, list] = {smooth: [] for smooth in SMOOTH}
    noise = []
    for seed, example in enumerate(track(examples, f"noise {added}")):
        micrograph = example.micrograph
        if added:
            micrograph = noisier(micrograph, added, seed)
        noise.append(noise_of(micrograph.pixels))
        for smooth, each in found.items():
            each.append(temzoo.predict(model, micrograph, smooth=smooth))
    return [
        {
            "added": added,
            "noise": statistics.median(noise),
            "smooth": smooth,
            "smoothed": sum(one.smoothed_px > 0 for one in each),
            **figures_of(model, examples, each),
        }
        for smooth, each in found.items()
    ]


def figures_of(
    model: Any, examples: Sequence[Example], found: Sequence[Prediction]
) -> dict[str, dict[str, float]]:
    """IoU by image, and F1 and panoptic quality pooled, with their intervals."""
    judged = score_predictions(examples, found, classes=class_names_of(model) or None)
    figures = {"iou": judged.per_image.get("iou")}
    figures |= {name: judged.pooled.get(name) for name in ("instance_f1", "panoptic_quality")}
    return {name: vars(figure) for name, figure in figures.items() if figure}


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    dataset = dataset_of(arguments)
    model = trained(arguments.weights)
    levels = ADDED[::3] if arguments.quick else ADDED
    figures = {"rows": [row for added in levels for row in rows(model, dataset.val, added)]}
    about = f"{arguments.weights} on {dataset.name} with noise"
    told = {"name": f"{arguments.weights.replace('/', '-')}-{dataset.name}", "about": about}
    told |= {"model": arguments.weights, "dataset": dataset.told(), "figures": figures, "seed": 0}
    yield told
