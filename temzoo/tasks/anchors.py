"""Anchor sizes of a detector, from the objects that it is to learn."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from temzoo.core.types import Example, LabelledImage
from temzoo.labels.shapes import raster, windows

# Of the finest level's anchors, px, where the objects leave the choice: three of its cells.
NATURAL_ANCHOR = 12.0
# A level's anchors are as large as its base, and sqrt(2) times that.
LARGEST_SCALE = math.sqrt(2)
ANCHOR_QUANTILES = (0.05, 0.95)


def anchor_sizes(
    examples: Iterable[Example],
    *,
    magnification: tuple[float, float] = (1.0, 1.0),
    levels: int = 4,
    largest: float = math.inf,
) -> list[float]:
    """Base sizes of a detector's anchors, finest level first, from the objects to be learnt.

    Sizes are square roots of box areas. Each level serves the base and sqrt(2) times the base, so
    bases that double leave no gap. The ladder reaches from the 5 % quantile of the sizes to the
    95 % quantile; where it would reach further than that, it is moved as near as can be to 12 px
    at the finest level (three of its cells of 4 px): a small object is then found on a fine grid,
    a large one where the network sees all of it. Where doubling does not reach, the steps widen.

    Args:
        examples: the training examples.
        magnification: (low, high) of the crops.
        levels: of the pyramid.
        largest: an object larger than a crop is seen as large as the crop, px.

    Returns:
        ``levels`` sizes in px, each at least twice the one before.

    Raises:
        ValueError: no example has an object.
    """
    sizes = np.array([size for example in examples for size in _sizes_px(example.labels)])
    if not sizes.size:
        raise ValueError(
            "Anchor sizes are chosen from the training objects. Received: labels without one."
            " Check the labels, or build the model with anchor_sizes=(12, 24, 48, 96)."
        )
    seen = np.minimum(np.concatenate([sizes * m for m in magnification]), largest)
    low, high = np.quantile(seen, ANCHOR_QUANTILES)
    low = max(low, 1.0)
    step = max(2.0, (high / LARGEST_SCALE / low) ** (1 / max(1, levels - 1)))
    reach = LARGEST_SCALE * step ** (levels - 1)
    base = min(max(NATURAL_ANCHOR, high / reach), low)
    return [float(base * step**level) for level in range(levels)]


def _sizes_px(labels: LabelledImage) -> list[float]:
    """Square root of the box area of each object, as far as it lies in the image."""
    sizes = []
    edges = np.array([labels.height, labels.width] * 2)
    for one in raster.instances(labels):
        extents = [windows.shape_extent(part) for part in one.shapes]
        extents = np.clip([extent for extent in extents if extent is not None], 0, edges)
        height, width = extents[:, 2:].max(axis=0) - extents[:, :2].min(axis=0)
        if height > 0 and width > 0:
            sizes.append(math.sqrt(height * width))
    return sizes
