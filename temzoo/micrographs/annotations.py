"""What was drawn into a picture after the exposure: scale bar, info bar, panel letters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from temzoo.micrographs.drawn_bars import Box
from temzoo.micrographs.drawn_text import Text, require_text_reader
from temzoo.micrographs.drawn_text import read_text as read_text_in
from temzoo.micrographs.info_bar import find_info_bar
from temzoo.micrographs.loading import load_micrograph
from temzoo.micrographs.scale_bar import (
    ScaleBar,
    as_8_bit,
    box_in_pixels,
    boxes_around,
    find_scale_bar,
    in_pixels,
    overlap,
)

CORNER = (0.2, 0.3)  # of the image's height and width
# "a", "(a)", "A)", "b2", "IV", "d'"; a lone O is a round particle.
LETTER = re.compile(r"[(\[]?([A-NP-Za-np-z]\d?|[IVX]{2,4})['’]?[)\]]?")
SURE = 0.6
GLYPH = (0.02, 0.16)  # heights of a letter, of the image's
AROUND = 1.5  # heights of a letter around it, in which it is read
BLACK, WHITE = 12, 243
MARGIN = 2  # px around what was found, for the blur of its edges
FLAT, LABEL = 12, 40  # grey levels of a label's ground; px that it may reach beyond its text


@dataclass(frozen=True)
class Annotations:
    """Boxes are (top, left, bottom, right) in pixels, half-open.

    Attributes:
        scale_bar: that was read, or None.
        info_bar: the strip below the image or above it, or None.
        letters: panel letters in the corners.
        boxes: all of them; a bar or letter that stands on a label, with the label.
    """

    scale_bar: ScaleBar | None = None
    info_bar: Box | None = None
    letters: tuple[Box, ...] = ()
    boxes: tuple[Box, ...] = ()

    def mask(self, shape: tuple[int, ...]) -> np.ndarray:
        """(H, W) bool of an image of this shape: True where something was drawn."""
        drawn = np.zeros(shape[:2], bool)
        for top, left, bottom, right in self.boxes:
            drawn[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
        return drawn


def annotations_drawn_in(image: np.ndarray | str | Path, *, read_text: bool = True) -> Annotations:
    """Finds scale bar, info bar and panel letters of a picture.

    Args:
        image: (H, W) or (H, W, 3) pixels of any real dtype, or a file for ``load_micrograph``.
        read_text: False: the info bar alone, which is found by its pixels; needs no extra.

    Raises:
        MissingTextReaderError: (a ``MicrographError``) text is to be read and RapidOCR is not
            installed; ``pip install 'temzoo[scalebar]'``.
        FileNotFoundError, MicrographError: as ``load_micrograph``, where a path is given.

    Example:
        >>> drawn = annotations_drawn_in("figure_2a.png")  # doctest: +SKIP
        >>> drawn.mask((512, 640)).mean()  # doctest: +SKIP
        0.08
    """
    pixels = load_micrograph(image).pixels if isinstance(image, str | Path) else np.asarray(image)
    if read_text:
        require_text_reader()
    grey, factor = as_8_bit(pixels)
    info_bar = find_info_bar(grey)
    scale_bar = find_scale_bar(grey) if read_text else None
    letters = _letters(grey, info_bar, scale_bar) if read_text else []
    boxes = [with_label(grey, box) for box in (*letters, *([scale_bar.box] if scale_bar else []))]
    boxes += [info_bar] if info_bar else []
    shape = pixels.shape
    return Annotations(
        scale_bar and in_pixels(scale_bar, factor, shape),
        info_bar and box_in_pixels(info_bar, factor, shape),
        tuple(box_in_pixels(box, factor, shape) for box in letters),
        tuple(box_in_pixels(box, factor, shape) for box in boxes),
    )


def _letters(grey: np.ndarray, info_bar: Box | None, scale_bar: ScaleBar | None) -> list[Box]:
    """Panel letters: text of one or two letters in a corner, in which a flat glyph stands.

    Text is read around such glyphs alone, and not again where the scale bar's was.
    """
    top, bottom = 0, grey.shape[0]
    if info_bar is not None:
        top, bottom = (top, info_bar[0]) if info_bar[0] else (info_bar[2], bottom)
    tall, wide = (round(share * n) for share, n in zip(CORNER, grey.shape, strict=True))
    if min(tall, wide) < 16:
        return []
    found = []
    for first_row in (top, bottom - tall):
        for first_col in (0, grey.shape[1] - wide):
            corner = (first_row, first_col, first_row + tall, first_col + wide)
            glyphs = _glyphs(grey, corner)
            if scale_bar is not None:
                glyphs = [glyph for glyph in glyphs if not overlap(glyph, scale_bar.box)]
            for region in boxes_around(glyphs, AROUND, grey.shape):
                texts = read_text_in(grey, region)
                found += [box for text in texts if (box := _letter(text, glyphs))]
    return found


def _glyphs(grey: np.ndarray, corner: Box) -> list[Box]:
    """Black or white spots in a corner that are as high as a letter."""
    top, left, bottom, right = corner
    crop = grey[top:bottom, left:right]
    low, high = GLYPH[0] * grey.shape[0], GLYPH[1] * grey.shape[0]
    found = []
    for spots in (crop <= BLACK, crop >= WHITE):
        _, _, boxes, _ = cv2.connectedComponentsWithStats(spots.astype(np.uint8))
        for col, row, wide, tall, area in boxes[1:].tolist():
            if low <= tall <= high and wide <= 2 * tall and area >= 0.1 * wide * tall:
                found.append((top + row, left + col, top + row + tall, left + col + wide))
    return found


def _letter(text: Text, glyphs: list[Box]) -> Box | None:
    """The box of the letter and its glyphs, if the text is one and has a glyph; else None."""
    if text.score < SURE or not LETTER.fullmatch(text.text.strip().replace(" ", "")):
        return None
    top, left, bottom, right = text.box
    inside = [
        glyph
        for glyph in glyphs
        if top - 3 <= glyph[0] and glyph[2] <= bottom + 3
        and left - 3 <= glyph[1] and glyph[3] <= right + 3
        and glyph[2] - glyph[0] >= 0.3 * (bottom - top)
    ]  # fmt: skip
    return (int(top), int(left), int(np.ceil(bottom)), int(np.ceil(right))) if inside else None


def with_label(grey: np.ndarray, box: Box) -> Box:
    """The box, with the label of one grey value on which it stands, where it stands on one."""
    height, width = grey.shape
    top, left = max(box[0] - MARGIN, 0), max(box[1] - MARGIN, 0)
    bottom, right = min(box[2] + MARGIN, height), min(box[3] + MARGIN, width)
    frame = np.concatenate(
        [grey[[top, bottom - 1], left:right].ravel(), grey[top:bottom, [left, right - 1]].ravel()]
    )
    level = float(np.median(frame))
    if np.mean(np.abs(frame - level) <= FLAT) < 0.8:
        return top, left, bottom, right
    rows = np.mean(np.abs(grey[:, left:right] - level) <= FLAT, axis=1) >= 0.7
    cols = np.mean(np.abs(grey[top:bottom] - level) <= FLAT, axis=0) >= 0.7
    up, down = _reach(rows[:top][::-1]), _reach(rows[bottom:])
    before, after = _reach(cols[:left][::-1]), _reach(cols[right:])
    if max(up, down, before, after) >= LABEL:  # no edge near: it is the ground of the image
        return top, left, bottom, right
    return top - up, left - before, bottom + down, right + after


def _reach(same: np.ndarray) -> int:
    """How far a label goes on, px."""
    return len(same) if same.all() else int(np.argmin(same))
