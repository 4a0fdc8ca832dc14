"""What noise and large frames do to predictions, and what smoothing and binning win back.

    python -m benchmarks noise --weights particles/emps --data emps
    python -m benchmarks noise --weights particles/emps --data synthetic
    python -m benchmarks large --weights particles/emps
    python -m benchmarks large --weights mask_rcnn/emps --every 5

``noise``: Gaussian noise is added to the validation micrographs, so many times as large as the
deviation of their pixels; 0 is the micrographs as they are. They are predicted as they come and
with ``smooth="off"``. "noise" is the median of what ``temzoo.micrographs.noise.noise_of`` finds, in
parts of the deviation with the noise.

``large``: the validation micrographs, enlarged by cubic interpolation, show the same particles in
more pixels and without finer detail, as an oversampling camera does, with noise of 0.05 deviations
for each factor. They are predicted as they come and with ``binning=1``. What is found is scored at
the labels' own size, by the pixels in the middle.
"""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
from rich.progress import track

import temzoo
from benchmarks.datasets import Arguments, dataset_of
from benchmarks.timing import timed
from temzoo.cli.common import trained
from temzoo.cli.predicting import usual_model
from temzoo.core.types import Example, Micrograph, Prediction
from temzoo.evaluation.evaluate import score_predictions
from temzoo.micrographs import to_grey
from temzoo.micrographs.noise import noise_of
from temzoo.zoo.built import class_names_of

ADDED, SMOOTH = (0, 0.3, 0.6, 1.2), ("off", "auto")
FACTORS, BINNINGS = (1, 2, 4), (1, "auto")
NOISE = 0.05  # for each factor: means of as many pixels have this again
Row = dict[str, Any]


def noisier(micrograph: Micrograph, added: float, seed: int) -> Micrograph:
    """The micrograph with noise, grey and float32."""
    grey = to_grey(micrograph.pixels).astype(np.float32)
    drawn = np.random.default_rng(seed).standard_normal(grey.shape, np.float32)
    return Micrograph(grey + added * grey.std() * drawn, name=micrograph.name)


def of_noise(model: Any, examples: Sequence[Example], added: float) -> list[Row]:
    """A row for each way of smoothing."""
    found: dict[str, list] = {smooth: [] for smooth in SMOOTH}
    noise = []
    for seed, example in enumerate(track(examples, f"noise {added}")):
        micrograph = noisier(example.micrograph, added, seed) if added else example.micrograph
        noise.append(noise_of(micrograph.pixels))
        for smooth, each in found.items():
            each.append(temzoo.predict(model, micrograph, smooth=smooth))
    return [
        {
            **{"added": added, "noise": statistics.median(noise), "smooth": smooth},
            "smoothed": sum(one.smoothed_px > 0 for one in each),
            **figures_of(model, examples, each),
        }
        for smooth, each in found.items()
    ]


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
    maps = {"classes": found.classes[middle, middle], "instances": found.instances[middle, middle]}
    gone = dict.fromkeys(("scores", "doubtful", "detections", "nm_per_pixel"))
    return replace(found, **maps, **gone)


def of_size(model: Any, examples: Sequence[Example], factor: int) -> list[Row]:
    """A row for each way of binning."""
    found: dict[Any, list] = {binning: [] for binning in BINNINGS}
    for seed, example in enumerate(track(examples, f"{factor} x {factor}")):
        micrograph = enlarged(example.micrograph, factor, seed)
        for binning, each in found.items():
            prediction, s = timed(partial(temzoo.predict, model, micrograph, binning=binning))
            each.append((taken_back(prediction, factor), s))
    rows = []
    for binning, each in found.items():
        predictions, seconds = zip(*each, strict=True)
        seen = sorted(Counter(one.binning for one in predictions).items())
        row = {"factor": factor, "binning": str(binning)}
        row |= {"seen": ", ".join(f"{count} at {n}" for n, count in seen)}
        row |= {"seconds": statistics.median(seconds)}
        rows.append(row | figures_of(model, examples, predictions))
    return rows


def figures_of(model: Any, examples: Sequence[Example], found: Sequence[Prediction]) -> Row:
    """IoU by image, and F1 and panoptic quality pooled, with their intervals."""
    judged = score_predictions(examples, found, classes=class_names_of(model) or None)
    figures = {"iou": judged.per_image.get("iou")}
    figures |= {name: judged.pooled.get(name) for name in ("instance_f1", "panoptic_quality")}
    return {name: vars(figure) for name, figure in figures.items() if figure}


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    dataset, weights = dataset_of(arguments), arguments.weights
    if arguments.command == "noise":
        model, shown, rows, about = trained(weights), dataset.val, of_noise, " with noise"
        levels = ADDED[::3] if arguments.quick else ADDED
    else:
        model, rows, about = usual_model(weights, None), of_size, ", enlarged"
        levels, shown = FACTORS[: 2 if arguments.quick else None], dataset.val[:: arguments.every]
    figures = {"rows": [row for level in levels for row in rows(model, shown, level)]}
    told = {"name": f"{weights.replace('/', '-')}-{dataset.name}", "model": weights, "seed": 0}
    told |= {"about": f"{weights} on {dataset.name}{about}", "dataset": dataset.told()}
    yield told | {"figures": figures, "settings": {"micrographs": len(shown)}}
