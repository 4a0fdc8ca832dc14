"""How an image is to be turned when it is shown, the same tag in Exif and in TIFF.

TIFF 6.0, section 8. Annotation tools show the turned image, so labels are drawn on it.
"""

from __future__ import annotations

import numpy as np

ORIENTATION = 274
ROWS_BECOME_COLUMNS = (5, 6, 7, 8)
FLIPPED_ROWS, FLIPPED_COLUMNS = (3, 4, 7, 8), (2, 3, 6, 7)


def turned_size(size: tuple[int, int], turn: object) -> tuple[int, int]:
    """(height, width) of the image as shown."""
    return size[::-1] if turn in ROWS_BECOME_COLUMNS else size


def upright(pixels: np.ndarray, turn: object) -> np.ndarray:
    """The image as shown; a view of what is stored."""
    if turn in ROWS_BECOME_COLUMNS:
        pixels = pixels.swapaxes(0, 1)
    if turn in FLIPPED_ROWS:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if turn in FLIPPED_COLUMNS else pixels
