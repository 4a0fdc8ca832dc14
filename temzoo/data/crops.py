"""Sliding windows over a micrograph: crops that carry its calibration and its shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.labels.shapes.windows import shape_extent, shape_window

Window = tuple[int, int, int, int]


def windows(height: int, width: int, *, window: int, stride: int | None = None) -> list[Window]:
    """Places windows so that every pixel lies in at least one and none reaches outside.

    The last window of a row or column is moved back until it ends with the image. An image smaller
    than the window, along either axis, gives windows of the image's own size along that axis.

    Args:
        height, width: of the image, in pixels.
        window: side of the square window, in pixels.
        stride: step between windows, 1 to ``window``; None: ``window``, without overlap.

    Returns:
        (row, col, height, width) each, row by row.

    Raises:
        ValueError: the window is below 1 pixel, or the stride would skip pixels.

    Example:
        >>> windows(10, 4, window=4)
        [(0, 0, 4, 4), (4, 0, 4, 4), (6, 0, 4, 4)]
    """
    stride = window if stride is None else stride
    if window < 1:
        raise ValueError(
            f"window must be at least 1 pixel. Received: window={window}. Use 256, for example."
        )
    if not 1 <= stride <= window:
        raise ValueError(
            "stride must be from 1 to the window, or pixels between windows would be skipped. "
            f"Received: stride={stride}, window={window}. Use {window} or {max(1, window // 2)}."
        )
    return [
        (row, col, min(window, height), min(window, width))
        for row in _starts(height, window, stride)
        for col in _starts(width, window, stride)
    ]


def _starts(side: int, window: int, stride: int) -> list[int]:
    last = max(0, side - window)
    return [min(step * stride, last) for step in range(math.ceil(last / stride) + 1)]


def crop_examples(
    examples: Sequence[Example],
    *,
    window: int,
    stride: int | None = None,
    keep_fraction: float = 1.0,
    seed: int = 0,
) -> list[Example]:
    """Cuts each example into windows; the pixels are read when a crop is asked for.

    Args:
        examples: of any sizes.
        window, stride: as for ``windows``.
        keep_fraction: share of the windows without labels that is kept, over all examples
            together; windows with labels are all kept.
        seed: of the choice among them.

    Returns:
        one example per kept window, in order, named ``"img.png[0:256,128:384]"`` (rows, columns).
        Its group is the parent's, or the parent's name, so that a split never parts the crops of
        one image.

    Raises:
        ValueError: keep_fraction is outside 0 to 1, or ``windows`` refuses window or stride.

    Example:
        >>> crops = crop_examples(examples, window=256, stride=192, keep_fraction=0.2)
    """
    if not 0 <= keep_fraction <= 1:
        raise ValueError(
            "keep_fraction is the share of windows without labels that is kept, from 0 to 1. "
            f"Received: keep_fraction={keep_fraction}. Use 1.0 to keep all."
        )
    crops = [crop for example in examples for crop in _crops(example, window, stride)]
    empty = [index for index, crop in enumerate(crops) if not _has_place(crop.labels.shapes)]
    count_dropped = len(empty) - round(keep_fraction * len(empty))
    dropped = set(np.random.default_rng(seed).permutation(empty)[:count_dropped].tolist())
    return [crop for index, crop in enumerate(crops) if index not in dropped]


def _crops(example: Example, window: int, stride: int | None) -> list[Example]:
    labels = example.labels
    extents = [shape_extent(shape) for shape in labels.shapes]
    return [
        _crop(example, extents, place)
        for place in windows(labels.height, labels.width, window=window, stride=stride)
    ]


def _crop(
    example: Example, extents: list[tuple[float, float, float, float] | None], place: Window
) -> Example:
    row, col, height, width = place
    name = f"{example.name}[{row}:{row + height},{col}:{col + width}]"
    labels = replace(
        example.labels,
        name=name,
        width=width,
        height=height,
        shapes=_shapes_inside(example.labels, extents, place),
    )
    load = CropLoader(example.load, row, col, height, width, name)
    return Example(labels, load, group=example.group or example.name)


def _shapes_inside(
    labels: LabelledImage,
    extents: list[tuple[float, float, float, float] | None],
    place: Window,
) -> tuple[Shape, ...]:
    row, col, height, width = place
    kept = []
    for shape, extent in zip(labels.shapes, extents, strict=True):
        if extent is None:  # a tag has no place: it is said of the whole image
            kept.append(shape)
            continue
        top, left, bottom, right = (
            extent[0] - row,
            extent[1] - col,
            extent[2] - row,
            extent[3] - col,
        )
        if top > height or left > width or bottom < 0 or right < 0:
            continue
        moved = shifted(shape, -row, -col)
        whole = top >= 0 and left >= 0 and bottom <= height and right <= width
        if whole or not shape.has_area or shape_window(moved, height, width)[2].any():
            kept.append(moved)
    return tuple(kept)


def shifted(shape: Shape, rows: float, cols: float) -> Shape:
    """The same shape, ``rows`` further down and ``cols`` further right; sizes stay.

    Example:
        >>> shifted(Shape("box", "particle", np.array([[1.0, 1.0], [3.0, 4.0]])), 10, 0).points
        array([[11.,  1.],
               [13.,  4.]])
    """
    points = shape.points.astype(np.float64)  # a copy
    moving = points[:1] if shape.kind == "ellipse" else points  # its second row is the semi-axes
    moving += (rows, cols)
    return replace(shape, points=points)


def _has_place(shapes: tuple[Shape, ...]) -> bool:
    return any(len(shape.points) for shape in shapes)


@dataclass(frozen=True)
class CropLoader:
    """Reads a micrograph and cuts one window out of it; picklable when ``load`` is.

    Attributes:
        load: reads the whole micrograph.
        row, col, height, width: the window, in pixels.
        name: of the crop.
    """

    load: Callable[[], Micrograph] = field(repr=False)
    row: int
    col: int
    height: int
    width: int
    name: str

    def __call__(self) -> Micrograph:
        """The crop, with the calibration of the whole.

        Raises:
            ValueError: the window is not inside the micrograph.
        """
        whole = self.load()
        bottom, right = self.row + self.height, self.col + self.width
        if bottom > whole.height or right > whole.width:
            raise ValueError(
                f"a crop must lie inside its micrograph. Received: {self.name!r} of a micrograph "
                f"of {whole.height} x {whole.width} px. Its labels state another size: correct "
                "the width and height in the label file."
            )
        # A copy, so that a crop kept in memory does not keep the whole image there.
        pixels = whole.pixels[self.row : bottom, self.col : right].copy()
        return Micrograph(pixels, whole.nm_per_pixel, self.name)
