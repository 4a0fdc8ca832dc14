"""What large frames do to predictions, as they come and with ``binning=1``.

    python -m benchmarks large --weights particles/emps
    python -m benchmarks large --weights mask_rcnn/emps --every 5

The validation micrographs, enlarged by cubic interpolation, show the same particles in more pixels
and without finer detail, as an oversampling camera does, with noise of 0.05 deviations for each
factor. What is found is scored at the labels' own size, by the pixels in the middle.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from rich.progress import track

import temzoo
from benchmarks.datasets import dataset_of
from benchmarks.noise import figures_of, noisier
from temzoo.cli.predicting import usual_model
from temzoo.core.types import Example, Micrograph, Prediction
from temzoo.micrographs import to_grey

FACTORS = (1, 2, 4)
NOISE = 0.05  # for each factor: means of as many pixels have this again
BINNINGS = (1, "auto")


def enlarged(micrograph: Micrograph, factor: int, seed: int) -> Micrograph:
    """The micrograph in so many times so many pixels, with noise, float32; of 1: as it is."""
    if factor == 1:
        return micrograph
    grey = to_grey(micrograph.pixels).astype(np.float32)
    size = grey.shape[1] * factor, grey.shape[0] * factor
    finer = replace(micrograph, pixels=cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC))
    return noisier(finer, NOISE * factor, seed)


def taken_back(found: Prediction, factor: int) -> Prediction:
    """What was found, by every so manieth pixel."""
    middle = slice(factor // 2, None, factor)
    return replace(
        found,
        classes=found.classes[middle, middle],
        instances=found.instances[middle, middle],
        scores=None,
        doubtful=None,
        detections=None,
        nm_per_pixel=None,
    )


def rows(model: Any, examples: Sequence[Example], factor: int) -> list[dict[str, Any]]:
    """A row for each way of binning."""
    found: dict[Any, list] = {binning: [] for binning in BINNINGS}
    seconds: dict[Any, list] = {binning: [] for binning in BINNINGS}
    seen: dict[Any, Counter] = {binning: Counter() for binning in BINNINGS}
    for seed, example in enumerate(track(examples, f"{factor} x {factor}")):
        micrograph = enlarged(example.micrograph, factor, seed)
        for binning in BINNINGS:
            began = time.perf_counter()
            prediction = temzoo.predict(model, micrograph, binning=binning)
            seconds[binning].append(time.perf_counter() - began)
            seen[binning][prediction.binning] += 1
            found[binning].append(taken_back(prediction, factor))
    return [
        {
            "factor": factor,
            "binning": str(binning),
            "seen": ", ".join(f"{count} at {n}" for n, count in sorted(seen[binning].items())),
            "seconds": statistics.median(seconds[binning]),
            **figures_of(model, examples, found[binning]),
        }
        for binning in BINNINGS
    ]


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    dataset = dataset_of(arguments)
    model = usual_model(arguments.weights, None)
    factors = FACTORS[:2] if arguments.quick else FACTORS
    shown = dataset.val[:: arguments.every]
    figures = {"rows": [row for factor in factors for row in rows(model, shown, factor)]}
    about = f"{arguments.weights} on {dataset.name}, enlarged"
    told = {"name": f"{arguments.weights.replace('/', '-')}-{dataset.name}", "about": about}
    told |= {"model": arguments.weights, "dataset": dataset.told(), "figures": figures, "seed": 0}
    told |= {"settings": {"micrographs": len(shown)}}
    yield told
