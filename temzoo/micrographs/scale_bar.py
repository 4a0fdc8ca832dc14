"""The calibration that a picture states by a scale bar drawn into it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from temzoo.micrographs.channels import to_grey
from temzoo.micrographs.drawn_bars import Bar, Box, find_bars
from temzoo.micrographs.drawn_text import (
    Length,
    Text,
    completed,
    lengths_in,
    read_text,
    require_text_reader,
)
from temzoo.micrographs.loading import load_micrograph

LARGEST = 1600  # px; larger images are looked at in smaller copies
AGREE = 0.03
# nm per pixel between which an electron micrograph lies; finer than the first, "pm" was "µm".
FINEST, COARSEST = 0.002, 5e4
ZOOMS = (1.0, 0.6, 1.6)  # of the crops that are read, until one is
NEAR, NEAR_ON_ITS_LINE = 1.2, 3.0  # heights of its text between a bar and its text
SHORTEST = 0.6  # heights of its text; a shorter line is a part of something
MANY = 12  # candidates that a text is looked for beside, the longest ones
FROM_PICTURE = "read from the picture"  # begins what a micrograph says of such a calibration


@dataclass(frozen=True)
class ScaleBar:
    """A scale bar that was read.

    Attributes:
        nm_per_pixel: what is written, by ``length_px``; pixels are taken as square.
        length_px: of the bar: between its edges, where the grey value is half way, or the middles
            of its ticks. Of an outline half counts.
        text: as it was read, "200 nm".
        confidence: how sure the reader is of the text, 0 to 1.
        box: (top, left, bottom, right) of bar and text in pixels, half-open: its rows are top to
            bottom - 1.
    """

    nm_per_pixel: float
    length_px: float
    text: str
    confidence: float
    box: Box


def read_scale_bar(image: np.ndarray | str | Path) -> ScaleBar | None:
    """Reads the scale bar of a picture: its length in pixels, and what is written beside it.

    Bars may be dark or bright, outlined, in a box, with ticks at their ends, broken by their text,
    or the ruler of eleven ticks of Hitachi's microscopes; horizontal, as all are. Units are nm,
    µm (um), mm and Å. No number is given without a bar with both ends in the picture, a round
    number and a unit: where the picture leaves a doubt, or states two scales that differ by more
    than 3 %, the answer is None. "pm" is read as µm where picometres would be finer than any
    microscope samples, 0.002 nm per pixel, and refused elsewhere.

    Images without anything like a bar cost no reading of text. It takes well under a second per
    image of 1,000 px; larger ones are looked at in a smaller copy.

    Args:
        image: (H, W) or (H, W, 3) pixels of any real dtype, or a file for ``load_micrograph``.

    Returns:
        the scale bar, or None where none can be read without doubt.

    Raises:
        MissingTextReaderError: (a ``MicrographError``) RapidOCR is not installed;
            ``pip install 'temzoo[scalebar]'``.
        FileNotFoundError, MicrographError: as ``load_micrograph``, where a path is given.

    Example:
        >>> temzoo.read_scale_bar("figure_2a.png").nm_per_pixel  # doctest: +SKIP
        1.0638297872340425
    """
    require_text_reader()
    pixels = load_micrograph(image).pixels if isinstance(image, str | Path) else np.asarray(image)
    grey, factor = as_8_bit(pixels)
    found = find_scale_bar(grey)
    return found and in_pixels(found, factor, pixels.shape)


def as_8_bit(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """(H, W) float32 of 0 to 255, at most ``LARGEST`` px a side; and how many times smaller."""
    grey: np.ndarray = np.nan_to_num(to_grey(pixels).astype(np.float32))
    factor = max(1.0, max(grey.shape) / LARGEST)
    if factor > 1:
        size = [max(1, round(n / factor)) for n in grey.shape[::-1]]
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    if pixels.dtype != np.uint8:
        low, high = float(grey.min()), float(grey.max())
        grey = (grey - low) * np.float32(255 / max(high - low, 1e-6))
    return grey, factor


def find_scale_bar(grey: np.ndarray) -> ScaleBar | None:
    """The scale bar of an image as ``as_8_bit`` gives it, in its pixels."""
    bars = find_bars(grey)
    longest = sorted(bars, key=lambda bar: -bar.length)[:MANY]
    regions = text_regions(longest, grey.shape)
    seen: list[Text] = []
    for zoom in ZOOMS if bars else ():
        if zoom > 1:  # the slowest look, at what looked like text alone
            regions = boxes_around((text.box for text in seen), 2, grey.shape)
        texts = [text for region in regions for text in read_text(grey, region, zoom)]
        seen += texts
        pairs = pairs_of(bars, lengths_in([*texts, *completed(grey, texts)]))
        if pairs:
            return agreed(pairs)
    return None


def text_regions(bars: Iterable[Bar], shape: tuple[int, ...]) -> list[Box]:
    """Where the text of bars may be; regions that overlap are one."""
    height = shape[0]
    rows, cols = np.clip(0.15 * height, 40, 160), np.clip(0.25 * height, 60, 260)
    return _merged(_grown(bar.box, rows, cols, shape) for bar in bars)


def boxes_around(
    boxes: Iterable[Sequence[float]], heights: float, shape: tuple[int, ...]
) -> list[Box]:
    """Boxes with so many of their heights around them; those that overlap then are one."""
    margins = ((box, heights * (box[2] - box[0])) for box in boxes)
    return _merged(_grown(box, margin, margin, shape) for box, margin in margins)


def _grown(box: Sequence[float], rows: float, cols: float, shape: tuple[int, ...]) -> Box:
    """A box with so many rows and columns around it, inside the image."""
    height, width = shape
    top, left, bottom, right = box
    return (
        max(0, int(top - rows)),
        max(0, int(left - cols)),
        min(height, int(bottom + rows)),
        min(width, int(right + cols)),
    )


def _merged(boxes: Iterable[Box]) -> list[Box]:
    """Boxes of which those that overlap are one."""
    regions: list[Box] = []
    for region in boxes:
        while others := [each for each in regions if overlap(each, region)]:
            regions = [each for each in regions if each not in others]
            region = union(region, *others)
        regions.append(region)
    return regions


def overlap(one: Box, two: Box) -> bool:
    """Whether two boxes share a pixel."""
    return all(one[k] < two[k + 2] and two[k] < one[k + 2] for k in (0, 1))


@dataclass(frozen=True)
class Pair:
    """A bar with a text that may be its own; distance in heights of the text."""

    bar: Bar
    length: Length
    distance: float

    @property
    def nm_per_pixel(self) -> float:
        return self.length.nm / self.bar.length


def pairs_of(bars: Sequence[Bar], lengths: Iterable[Length]) -> list[Pair]:
    """Every bar with every length that is near it and gives a scale that microscopes have."""
    found = []
    for length in lengths:
        sides = {_side(bar, length) for bar in bars if bar.gap is None} - {0}
        for bar in bars:
            distance = _distance(bar, length)
            side = _side(bar, length)
            # Between two lines, a text breaks one bar: a half of it would be half as long.
            if distance is None or not bar.whole or (side and len(sides) > 1):
                continue
            if distance > (NEAR_ON_ITS_LINE if side and length.unit != "mm" else NEAR):
                continue
            pair = Pair(bar, length, distance)
            if length.unit == "pm":  # µm misread, where it cannot be pm; else nobody knows
                if pair.nm_per_pixel >= FINEST:
                    continue
                pair = replace(pair, length=replace(length, unit="µm"))
            long = bar.length >= SHORTEST * length.text.height
            if long and FINEST <= pair.nm_per_pixel <= COARSEST:
                found.append(pair)
    return found


def _side(bar: Bar, length: Length) -> int:
    """-1 or 1 for a bar left or right of its text, on its line and near; else 0."""
    top, left, bottom, right = length.text.box
    near = NEAR_ON_ITS_LINE * (bottom - top)
    if not top < (bar.top + bar.bottom) / 2 < bottom:
        return 0
    return int(0 <= bar.left - right + 2 <= near) - int(0 <= left - bar.right + 2 <= near)


def _distance(bar: Bar, length: Length) -> float | None:
    """In heights of the text; None where the bar is a stroke of its letters."""
    top, left, bottom, right = length.text.box
    tall = bottom - top
    row = (bar.top + bar.bottom) / 2
    if bar.gap is not None:
        inside = bar.gap[0] - tall / 2 <= left and right <= bar.gap[1] + tall / 2
        return 0.0 if inside and top <= row <= bottom else None
    middle = top + 0.18 * tall <= row <= bottom - 0.18 * tall
    if middle and bar.left < right - 3 and left + 3 < bar.right:
        return None
    apart = max(bar.top - bottom, top - bar.bottom, bar.left - right, left - bar.right, 0.0)
    return apart / tall


def agreed(pairs: list[Pair]) -> ScaleBar | None:
    """The nearest pair, unless others state another scale, each nearest to its own."""
    mutual = [
        pair
        for pair in pairs
        if all(
            pair.distance <= other.distance
            for other in pairs
            if other.bar is pair.bar or other.length is pair.length
        )
    ]
    scales = [pair.nm_per_pixel for pair in mutual]
    if max(scales) > (1 + AGREE) * min(scales):
        return None
    best = min(mutual, key=lambda pair: (pair.distance, -pair.length.text.score))
    text = best.length.text
    shown = f"{best.length.value:g} {best.length.unit}"
    length_px, box = float(best.bar.length), union(best.bar.box, text.box)
    return ScaleBar(best.length.nm / length_px, length_px, shown, text.score, box)


def union(*boxes: Sequence[float]) -> Box:
    """The smallest box of whole pixels that holds some boxes."""
    ends = np.array(boxes)
    top, left = np.floor(ends[:, :2].min(axis=0)).astype(int).tolist()
    bottom, right = np.ceil(ends[:, 2:].max(axis=0)).astype(int).tolist()
    return top, left, bottom, right


def in_pixels(found: ScaleBar, factor: float, shape: tuple[int, ...]) -> ScaleBar:
    """What was found in a smaller copy, in the pixels of the image."""
    return replace(
        found,
        nm_per_pixel=found.nm_per_pixel / factor,
        length_px=found.length_px * factor,
        box=box_in_pixels(found.box, factor, shape),
    )


def box_in_pixels(box: Box, factor: float, shape: tuple[int, ...]) -> Box:
    """A box of a smaller copy in the pixels of the image, and inside it."""
    corners = [int(each * factor) for each in box[:2]]
    corners += [int(np.ceil(each * factor)) for each in box[2:]]
    top, left, bottom, right = (min(max(n, 0), shape[k % 2]) for k, n in enumerate(corners))
    return top, left, bottom, right
