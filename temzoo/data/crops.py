"""Sliding windows over a micrograph."""

from __future__ import annotations

import math

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
