"""PNG, TIFF and CSV files, written whole or not at all, in the place of one that is there."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import atomic_path, spreadsheet_text

# Sides of pixels that a TIFF's fractions of 32 bits state exactly enough.
SIDES_IN_TAGS_NM = (1e-6, 1e6)


def write_png(path: str | Path, pixels: np.ndarray) -> None:
    """Writes a picture, or a map of numbers.

    Args:
        pixels: (H, W) or (H, W, 3) red, green, blue; uint8, or whole numbers that fit 16 bits.

    Raises:
        OSError: the file could not be written.
    """
    import cv2

    stored = pixels if pixels.dtype == np.uint8 else pixels.astype(np.uint16)
    if stored.ndim == 3:  # OpenCV has blue first
        stored = np.ascontiguousarray(stored[..., ::-1])
    done, coded = cv2.imencode(".png", stored)
    if not done:
        raise OSError(
            f"could not make a PNG. Received: path={str(path)!r}, shape={stored.shape}. A side of"
            " it must be 1 to 1,000,000 px."
        )
    # cv2.imwrite would say nothing of a disk that is full.
    with atomic_path(path) as temporary:
        temporary.write_bytes(coded)


def write_tiff(
    path: str | Path,
    pixels: np.ndarray,
    nm_per_pixel: tuple[float, float] | None = None,
    *,
    compressed: bool = False,
) -> None:
    """Writes a TIFF that ImageJ opens with its calibration.

    ImageJ shows float64 in 32 bits; the file has all digits.

    Args:
        pixels: (H, W) or (H, W, 3) uint8, uint16, int16, float32 or float64; compressed, (H, W)
            or pages (N, H, W), of uint32 too.
        nm_per_pixel: (row, col); None, or too small or large for the tags: none is stated.
        compressed: by zlib, for maps.
    """
    import tifffile

    plain = compressed or pixels.dtype == np.float64  # no such type in ImageJ's own TIFF
    how: dict[str, Any] = {"imagej": True}
    if plain:
        how = {"photometric": "minisblack", "bigtiff": None}
        how |= {"compression": "zlib"} if compressed else {}
    smallest, largest = SIDES_IN_TAGS_NM
    if nm_per_pixel and all(smallest <= side <= largest for side in nm_per_pixel):
        row, col = nm_per_pixel
        how["resolution"] = (_rational(1 / col), _rational(1 / row))
        # Without their number: of a stack that states it, ImageJ reads no page but the first.
        described = {"description": "ImageJ=1.11a\nunit=nm\n", "metadata": None}
        described["resolutionunit"] = "NONE"
        how |= described if plain else {"metadata": {"unit": "nm"}}
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, pixels, **how)


def _rational(number: float) -> tuple[int, int]:
    """The nearest fraction of two numbers of 32 bits; tifffile before 2026 is up to 1e-4 off."""
    most = 2**32 - 1
    return Fraction(number).limit_denominator(min(most, int(most / number))).as_integer_ratio()


def write_csv(
    path: str | Path,
    columns: Iterable[str],
    rows: Iterable[Iterable[Any]],
    *,
    digits: int | None = None,
) -> None:
    """Writes a table; no text in it is a formula to a spreadsheet, and NaN is an empty cell.

    Args:
        digits: significant ones of floats; None: all.
    """

    def cell(value: Any) -> Any:
        if isinstance(value, str):
            return spreadsheet_text(value)
        if not isinstance(value, float):
            return value
        if math.isnan(value):
            return ""
        return value if digits is None else f"{value:.{digits}g}"

    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows([cell(value) for value in row] for row in rows)
