"""Where crops lie, how they are cut, and the interface of what a model learns of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from temzoo.core.types import LabelledImage
from temzoo.data.augment import augmenter

Window = tuple[int, int, int, int]
Encoded = np.ndarray | dict[str, np.ndarray]


class Target(Protocol):
    """What a model learns of a micrograph; each task has its own.

    Labels are drawn once, as whole numbers that lie on the pixels; those are cropped, resized (each
    pixel takes the nearest number) and augmented together with the micrograph, and what is left of
    them in a crop is encoded for the loss.

    Attributes:
        padding: None when the encodings of all crops have one shape; else their first axis, which
            counts objects, differs, and a batch is filled up with the value of each name.
    """

    padding: Mapping[str, int] | None

    def draw(self, labels: LabelledImage) -> np.ndarray:
        """(H, W) or (H, W, K) integers, 0 background; of a whole micrograph."""

    def measure(self, drawn: np.ndarray) -> np.ndarray | None:
        """What ``encode`` must know of the whole micrograph; kept beside the drawing."""

    def encode(
        self, drawn: np.ndarray, whole: np.ndarray | None, magnification: float
    ) -> np.ndarray | dict[str, np.ndarray]:
        """What the loss compares with, from the drawing of a crop at this magnification."""


@dataclass(frozen=True)
class CropPlan:
    """Where training crops come from and what is done to them.

    Attributes:
        size: side of a crop, px.
        magnification: (low, high): crops are drawn from the micrograph resized by a factor in this
            range (uniform in the logarithm), so that (0.5, 1) shows twice the field at half the
            resolution or the stored pixels, and all between.
        augment, augmenter: preset and library of ``data.augment``.
        seed: of order, windows and changes.
    """

    size: int = 256
    magnification: tuple[float, float] = (1.0, 1.0)
    augment: str = "em"
    seed: int = 0
    augmenter: str = "imgaug"

    def __post_init__(self):
        # Refuses an unknown preset now, not in a thread later.
        augmenter(self.augment, self.augmenter)
        low, high = self.magnification
        if self.size < 16:
            raise ValueError(f"A crop has 16 px and more a side. Received: size={self.size}.")
        if not 0 < low <= high:
            raise ValueError(
                f"magnification is (low, high) with 0 < low <= high."
                f" Received: {self.magnification}."
            )


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
