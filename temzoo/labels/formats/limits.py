"""What a label file may claim before memory is spent on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from temzoo.labels.shapes.run_lengths import check_runs

# 46341 x 46341 pixels: beyond it, pixel numbers leave int32.
MAX_PIXELS = 2**31
# Half a pixel is lost in float64 long before this.
MAX_COORDINATE = 1e12
# How often a mask's box may exceed its image, along each axis.
MAX_OVERHANG = 4
KINDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


def require_size(width: int, height: int) -> None:
    """Raises ValueError unless an image of this size can exist and be drawn on."""
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise ValueError(
            f"width and height must be at least 1 and span at most {MAX_PIXELS} pixels. "
            f"Received: width={width}, height={height}. Correct the image's size."
        )


def require_mask_fits(shape: Mapping[str, Any], image_width: int, image_height: int) -> None:
    """Raises ValueError for a mask of no pixels, one far larger than its image, or bad runs.

    Args:
        shape: ``kind``, ``points`` and ``runs``; other kinds than a mask always fit.
        image_width, image_height: pixels.
    """
    if shape["kind"] != "mask":
        return
    height, width = np.diff(shape["points"], axis=0)[0].astype(int).tolist()
    if width < 1 or height < 1:
        raise ValueError(
            "a mask must be at least 1 pixel wide and high. "
            f"Received: width={width}, height={height}. Remove it from the file."
        )
    if width > MAX_OVERHANG * image_width or height > MAX_OVERHANG * image_height:
        raise ValueError(
            f"a mask must not exceed {MAX_OVERHANG} times its image. Received: mask "
            f"{width} x {height}, image {image_width} x {image_height} (width x height). "
            "Label the object again, or correct the image's size."
        )
    check_runs(shape["runs"], height, width)


def of_kind(value: Any, key: str, kind: type) -> Any:
    """The value that a JSON file states under a key, where it is of a kind; an int is a float.

    Raises:
        ValueError: it is of another kind, or None, or a number beyond floats.
    """
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or isinstance(value, bool):
        raise ValueError(
            f"{key} must be {KINDS[kind]}. Received: {key}={short(value)}. Correct it."
        )
    try:
        return float(value) if kind is float else value
    except OverflowError:
        raise ValueError(
            f"{key} must be below {MAX_COORDINATE:g}. Received: {key}={short(value)}. Correct it."
        ) from None


def short(value: Any) -> str:
    """A value from outside for a message: its first 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}… ({len(text)} characters)"


def require_finite(points: np.ndarray) -> None:
    """Raises ValueError for NaN, infinite or absurdly large coordinates."""
    # A comparison with NaN is false, so this refuses it too.
    if points.size and not np.abs(points).max() < MAX_COORDINATE:
        bad = points[~(np.abs(points) < MAX_COORDINATE)]
        raise ValueError(
            f"coordinates must be finite and below {MAX_COORDINATE:g}. "
            f"Received: {bad.ravel()[0]}. Correct or remove the shape."
        )
