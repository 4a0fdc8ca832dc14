"""Text that was drawn into an image, read by RapidOCR, and the lengths among it.

RapidOCR runs the networks of PaddleOCR in ONNX Runtime; both are under the Apache-2.0 licence, and
the wheel brings the networks. ``_engine`` is the one place that touches it, when text is read.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np

from temzoo.micrographs.calibration import nm_of
from temzoo.micrographs.source import MicrographError

PIXELS_READ = 450_000  # a crop is enlarged up to so many, or made smaller
LARGEST_FACTOR = 3.0
LEAST_SCORE, SURE = 0.7, 0.95
NUMBER = re.compile(r"\d{1,3}(,000)+|[1-9]\d{0,3}([.,]\d{1,2})?|0[.,]\d{1,2}")
DIGITS = re.compile(r"(?<=\d)[Oo](?=[\dOo]|\s|[nuµm])|(?<=\d[Oo])[Oo](?=\s|[nuµm])")
UNITS = ("nm", "µm", "mm", "pm", "A", "Å")


class MissingTextReaderError(MicrographError):
    """RapidOCR is needed and not installed; the message says how to install it."""


@dataclass(frozen=True)
class Text:
    """One line of text; box is (top, left, bottom, right) in pixels, score 0 to 1."""

    text: str
    score: float
    box: tuple[float, float, float, float]

    @property
    def height(self) -> float:
        return self.box[2] - self.box[0]


@dataclass(frozen=True)
class Length:
    """A text that states a length: "0.5 µm" is (0.5, "µm")."""

    text: Text
    value: float
    unit: str

    @property
    def nm(self) -> float:
        return self.value * (nm_of(self.unit) or 0.0)


@lru_cache(maxsize=1)
def _engine() -> Any:
    try:
        RapidOCR = importlib.import_module("rapidocr_onnxruntime").RapidOCR  # noqa: N806
    except ImportError as error:
        raise MissingTextReaderError(
            "Scale bars are read by RapidOCR, which cannot be imported "
            f"({error}). Run `pip install 'temzoo[scalebar]'`, or give nm_per_pixel by hand."
        ) from error
    size = {"det_limit_type": "max", "det_limit_side_len": 4000.0, "max_side_len": 4000}
    # More threads wait for each other at full load, and answer little sooner.
    return RapidOCR(**size, intra_op_num_threads=1)


def can_read_text() -> bool:
    """Whether RapidOCR is installed, with ``temzoo[scalebar]``."""
    return find_spec("rapidocr_onnxruntime") is not None


def require_text_reader() -> None:
    """Raises MissingTextReaderError where RapidOCR cannot be imported."""
    _engine()


def forget_text_reader() -> None:
    """Gives its memory back, about 90 MB, until text is read again."""
    _engine.cache_clear()


def read_text(grey: np.ndarray, box: tuple[int, int, int, int], factor: float = 1.0) -> list[Text]:
    """The lines of text in a box of an image of 0 to 255, positions in the image's pixels.

    The crop is enlarged for the reader, as far as its size allows; ``factor`` times more or less.
    """
    top, left, bottom, right = box
    crop = grey[top:bottom, left:right]
    zoom = factor * min(LARGEST_FACTOR, (PIXELS_READ / crop.size) ** 0.5)
    found, _ = _engine()(_as_colour(crop, zoom), use_cls=False)
    lines = []
    for corners, text, score in found or ():
        (col0, row0), (col1, row1) = np.min(corners, axis=0), np.max(corners, axis=0)
        place = top + row0 / zoom, left + col0 / zoom, top + row1 / zoom, left + col1 / zoom
        lines.append(Text(str(text), float(score), tuple(map(float, place))))
    return lines


def completed(grey: np.ndarray, texts: Iterable[Text]) -> list[Text]:
    """Numbers alone and units alone, read once more with what stands left and right of them.

    The reader finds lines before it reads them, and overlooks single digits.
    """
    found = []
    for text in texts:
        if not re.fullmatch(rf"{NUMBER.pattern}|[nuµμ]m", text.text.strip()):
            continue
        top, left, bottom, right = text.box
        tall = bottom - top
        rows = max(0, int(top)), min(grey.shape[0], int(np.ceil(bottom)))
        cols = max(0, int(left - 3 * tall)), min(grey.shape[1], int(np.ceil(right + 3 * tall)))
        line = _as_colour(grey[slice(*rows), slice(*cols)], 48 / max(rows[1] - rows[0], 1))
        read, _ = _engine()(line, use_det=False, use_cls=False)
        found += [replace(text, text=words, score=float(score)) for words, score in read or ()]
    return found


def _as_colour(crop: np.ndarray, zoom: float) -> np.ndarray:
    """A crop as the reader takes it, enlarged."""
    size = [max(round(zoom * n), 32) for n in crop.shape[::-1]]
    how = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
    crop = np.clip(cv2.resize(crop, size, interpolation=how), 0, 255).astype(np.uint8)
    return cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR)


def lengths_in(texts: Iterable[Text]) -> list[Length]:
    """The lengths that texts state, also as a number and a unit beside each other."""
    texts = [text for text in texts if text.score >= LEAST_SCORE]
    stated = [length for text in texts if (length := length_of(text))]
    return [*stated, *filter(None, map(length_of, _joined(texts)))]


def _joined(texts: list[Text]) -> Iterator[Text]:
    for one in texts:
        for two in texts:
            if NUMBER.fullmatch(one.text.strip()) and _follows(one, two):
                top, bottom = min(one.box[0], two.box[0]), max(one.box[2], two.box[2])
                box = top, one.box[1], bottom, two.box[3]
                score = min(one.score, two.score)
                yield Text(f"{one.text} {two.text}", score, box)


def _follows(one: Text, two: Text) -> bool:
    """Whether a text stands on the line of another, right after it."""
    gap = two.box[1] - one.box[3]
    apart = abs(one.box[0] + one.box[2] - two.box[0] - two.box[2]) / 2
    return -0.5 * one.height <= gap <= 1.2 * one.height and apart <= 0.35 * one.height


def length_of(text: Text) -> Length | None:
    """The length that a text states; None unless it is a round number and a unit, and no more.

    Of misreadings, those are put right that have one meaning: the letter O between digits is a
    zero, "rn" is m, "A" behind 2, 5 or 10 and more is Å, which the reader does not know ("3A" may
    be a panel). "l", "I" and "S" are not taken for digits, nor is "m" for a unit that lost its
    first letter. "pm" is left to the caller, who knows the pixels.
    """
    plain = text.text.strip().replace("\u03bc", "µ")
    plain = DIGITS.sub("0", plain.replace("rn", "m").replace("rm", "m"))
    match = re.fullmatch(rf"({NUMBER.pattern})\s*([a-zµ]{{2}}|[AÅ])[.,;:|l'_-]?", plain)
    if not match:
        return None
    number, unit = match[1], match.groups()[-1].replace("um", "µm")
    # "nm" is misread as "mm", but not surely.
    if unit not in UNITS or (unit == "mm" and text.score < SURE):
        return None
    digits = number.replace(",000", "000") if ",000" in number else number.replace(",", ".")
    value = float(digits)
    # Bars are of round numbers: "92 nm" may be the end of "592 nm", "11 nm" an edge and "1 nm".
    if not re.match(r"[1-9]\.[05]0*e", f"{value:e}"):
        return None
    if unit == "A" and value < 10 and value not in (2, 5):
        return None
    return Length(text, value, "Å" if unit == "A" else unit)
