"""Lines as bands: polylines get an area, so that a network can learn them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from temzoo.core.types import LINE_KINDS, LabelledImage, Shape
from temzoo.labels.shapes.run_lengths import encode_runs
from temzoo.labels.shapes.windows import shape_window


def as_bands(images: Iterable[LabelledImage], line_width: float) -> list[LabelledImage]:
    """Labels whose polylines are masks: all pixels within half a width of the line.

    Args:
        line_width: of the bands, px; about that of the dark line in the micrograph.

    Returns:
        The same labels; a line that has no pixel in its image is left out.

    Raises:
        ValueError: the width is not above 0.

    Example:
        >>> as_bands(temzoo.labels.read("annotations.xml"), 10.0)
    """
    banded = []
    for image in images:
        shapes = [_band(shape, image, line_width) for shape in image.shapes]
        banded.append(replace(image, shapes=tuple(filter(None, shapes))))
    return banded


def _band(shape: Shape, image: LabelledImage, line_width: float) -> Shape | None:
    if shape.kind not in LINE_KINDS:
        return shape
    top, left, pixels = shape_window(shape, image.height, image.width, line_width=line_width)
    if not pixels.any():
        return None
    corners = np.array([[top, left], [top + pixels.shape[0], left + pixels.shape[1]]], float)
    return replace(shape, kind="mask", points=corners, runs=encode_runs(pixels))
