"""The info bar of a scanning microscope: a strip with text below the image, or above it.

Found by its pixels alone, without reading: a background of one grey value from edge to edge, which
begins at a straight line, with something written on it.
"""

from __future__ import annotations

import cv2
import numpy as np

from temzoo.micrographs.drawn_bars import Box

# Grey levels of 255 about the background's: a narrow range tells it from an image as dark.
SAME = (10, 3)
INK = 60  # grey levels from the background to what is written on it
LOWEST, HIGHEST = 10, 0.3  # px; of the image's height
WRITTEN = (0.004, 0.45)  # share of ink in the strip
STROKES = 12  # changes between ink and background along the row that has most


def find_info_bar(grey: np.ndarray) -> Box | None:
    """The strip of an image of 0 to 255, (top, left, bottom, right), half-open; or None."""
    height, width = grey.shape
    if height < 4 * LOWEST or width < 4 * LOWEST:
        return None
    for same in SAME:
        if rows := _strip_at_the_bottom(grey, same):
            return height - rows, 0, height, width
        if rows := _strip_at_the_bottom(grey[::-1], same):
            return 0, 0, rows, width
    return None


def _strip_at_the_bottom(grey: np.ndarray, same: int) -> int | None:
    """How many rows it has, or None."""
    height = grey.shape[0]
    last = grey[-max(LOWEST, round(0.03 * height)) :]
    level = int(np.argmax(np.bincount(np.clip(last, 0, 255).astype(np.uint8).ravel())))
    share = np.mean(np.abs(grey - level) <= same, axis=1)  # of background, in each row
    inside = (share >= 0.3).astype(np.uint8)[:, None]
    inside = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, np.ones((7, 1), np.uint8))[:, 0] > 0
    if not inside[-6:].any():
        return None
    end = height - int(np.argmax(inside[::-1]))
    top = end - int(np.argmin(inside[:end][::-1])) if not inside[:end].all() else 0
    if not LOWEST <= end - top <= HIGHEST * height or top < LOWEST:
        return None
    begins = share[top : top + 3].max() >= 0.75 and share[max(top - 10, 0) : top - 1].max() < 0.3
    ink = np.abs(grey[top:end] - level) > INK
    strokes = np.abs(np.diff(ink.astype(np.int8), axis=1)).sum(axis=1).max()
    written = WRITTEN[0] <= ink.mean() <= WRITTEN[1] and strokes >= STROKES
    return height - top if begins and written else None
