"""Labelled micrographs in larger pixels, for objects that are larger than what a crop shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from temzoo.core.types import Example, LabelledImage, Shape
from temzoo.labels.shapes.raster import Instance, instances
from temzoo.labels.shapes.run_lengths import decode_runs, mask_geometry
from temzoo.micrographs.binning import binned

# Objects are binned for when the largest quarter has more than this share of a crop, as far as the
# smallest quarter stays as large as this, px.
MOST_SHARE, LEAST_PX = 0.5, 24


def binned_examples(examples: Sequence[Example], binning: int) -> list[Example]:
    """The same micrographs and labels, in pixels ``binning`` times as large; read when asked for.

    Where a bin is cut at the edge, what lacks is mirrored.
    """
    if binning == 1:
        return list(examples)
    return [
        replace(
            example,
            labels=binned_labels(example.labels, binning),
            load=lambda load=example.load: binned(load(), binning),
        )
        for example in examples
    ]


def told(binning: int, examples: Sequence[Example], crop: int) -> tuple[str, ...]:
    """What a user should know of a binning, or of one that is lacking; () where all is well."""
    if binning > 1:
        return (
            f"micrographs are seen at {binning} x {binning} binning, here and in predictions, so"
            " that crops show whole objects: --binning 1 (binning=1) takes the pixels",
        )
    better = binning_for(examples, crop)
    if better == 1:
        return ()
    return (
        f"most labelled objects are larger than half a crop of {crop} px: if they are particles,"
        f" --binning {better} (binning={better}) shows them whole",
    )


def binned_labels(labels: LabelledImage, binning: int) -> LabelledImage:
    """The same shapes in pixels ``binning`` times as large."""
    height, width = (math.ceil(side / binning) for side in (labels.height, labels.width))
    shapes = tuple(_binned(shape, binning) for shape in labels.shapes)
    return replace(labels, height=height, width=width, shapes=shapes)


def _binned(shape: Shape, binning: int) -> Shape:
    if shape.kind != "mask":
        return replace(shape, points=shape.points / binning)
    (top, left), (bottom, right) = shape.points.astype(int)
    mask = decode_runs(shape.runs, bottom - top, right - left)
    before = top % binning, left % binning
    after = (-bottom % binning, -right % binning)
    mask = np.pad(mask, tuple(zip(before, after, strict=True))).astype(np.float32)
    size = mask.shape[1] // binning, mask.shape[0] // binning
    held = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) >= 0.5
    points, runs = mask_geometry(held, top // binning, left // binning)
    return replace(shape, points=points, runs=runs)


def binning_for(examples: Sequence[Example], crop: int) -> int:
    """The binning at which crops show most objects whole.

    1 where they do so anyway, where a fourth of the objects would become too small to see, and
    where a micrograph would be smaller than a crop.
    """
    sizes = [_extent(one) for each in examples for one in instances(each.labels)]
    if not sizes:
        return 1
    small, large = np.percentile(sizes, [25, 75])
    room = min(min(each.labels.height, each.labels.width) for each in examples)
    binning = 1
    while (
        large / binning > MOST_SHARE * crop
        and small / binning >= 2 * LEAST_PX
        and room / binning >= 2 * crop
    ):
        binning *= 2
    return binning


def _extent(instance: Instance) -> float:
    """Geometric mean of the sides of an object's box, px."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for shape in instance.shapes:
        points = shape.points
        if shape.kind == "ellipse":
            points = points[0] + np.array([-1, 1])[:, None] * points[1]
        low, high = np.minimum(low, points.min(0)), np.maximum(high, points.max(0))
    return float(np.sqrt(np.prod(high - low)))
