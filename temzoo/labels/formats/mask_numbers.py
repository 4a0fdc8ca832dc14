"""What the numbers in label images mean: classes, objects, or one thing and the rest.

Names decide where there are some. Without, it is told by how the numbers lie in the images: an
object is in one piece, a class in many. Grey levels, which are neither, are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage import measure

from temzoo.core.types import IGNORE
from temzoo.labels.check_report import Finding
from temzoo.labels.shapes.raster import BACKGROUND

# More numbers than this are those of objects.
MOST_CLASSES = 32
# The usual number for pixels that nobody has judged, beside classes that are numbered from 1 on.
VOID = 255
# Of the numbers of an image, so many are in one piece where they are those of objects.
IN_ONE_PIECE = 0.5
# Few numbers of 8 bits are taken for objects only where nearly all are in one piece, and there are
# as many in an image as classes seldom are.
SURELY_IN_ONE_PIECE, OBJECTS_IN_AN_IMAGE = 0.9, 5
# An object of the size of a pixel or two is a grey level of noise.
NOISE_PX = 2
# What is black and white but for grey rims has more levels than classes are coded with, and most of
# its pixels are black or white; nearly all, where the levels are so few that they may be classes.
LEAST_GREY, MOST_AT_ENDS, FEW_BETWEEN = 6, 0.5, 0.8
OTHERWISE = "If they mean something else, say so: --values classes, instances or binary."


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numbers that stand in one label image, 0 left out.

    Attributes:
        path: of the file.
        values, parts, areas: (N,) each number, in how many connected parts (corners count), and on
            how many pixels.
        ground: on how many pixels 0 stands.
        bits: of a pixel.
        at_ends: the share of all pixels that are 0 or the largest number.
    """

    path: Path
    values: np.ndarray
    parts: np.ndarray
    areas: np.ndarray
    ground: int
    bits: int
    at_ends: float

    @classmethod
    def of(cls, path: Path, pixels: np.ndarray) -> Numbers:
        """Of (H, W) whole numbers or bool."""
        pieces = measure.label(pixels, background=0, connectivity=2)
        inside = pieces > 0
        owner = np.zeros(int(pieces.max(initial=0)) + 1, pixels.dtype)
        owner[pieces[inside]] = pixels[inside]
        values, areas = np.unique(pixels[inside], return_counts=True)
        parts = np.bincount(np.searchsorted(values, owner[1:]), minlength=len(values))
        ground = int(np.count_nonzero(~inside))
        ends = ground + (areas[-1] if len(areas) else 0)
        bits = pixels.dtype.itemsize * 8
        at_ends = ends / max(1, pixels.size)
        return cls(path, values.astype(np.int64), parts, areas, ground, bits, at_ends)

    @property
    def in_one_piece(self) -> float:
        """The share of the numbers that are; 1 without any."""
        return float(np.mean(self.parts == 1)) if len(self.parts) else 1.0

    @property
    def rims(self) -> bool:
        """Whether grey rims lie between black and white, as anti-aliasing and JPEG make them."""
        white, few = 2**self.bits - 1, len(self.values) <= MOST_CLASSES
        if len(self.values) < LEAST_GREY or self.in_one_piece >= IN_ONE_PIECE:
            return False
        spread = np.median(self.values) > MOST_CLASSES and self.values[-1] == white
        return self.at_ends >= FEW_BETWEEN and bool(spread) if few else self.at_ends >= MOST_AT_ENDS

    @property
    def scattered(self) -> bool:
        """Whether they are many grey levels, as in a micrograph, rather than numbers."""
        if len(self.values) <= MOST_CLASSES:
            return False
        return self.in_one_piece < IN_ONE_PIECE or bool(np.median(self.areas) <= NOISE_PX)


@dataclass(frozen=True)
class Meaning:
    """What the numbers of a folder of label images stand for.

    Attributes:
        values: "classes", "instances" or "binary".
        names: the class by its number; of other meanings that of number 1 alone. A class named
            ``IGNORE`` is none: its pixels are not judged. Nor is one named ``BACKGROUND``.
        least: binary: from which number on a pixel is an object's.
        void: the number of pixels that are not judged; None: there is none.
    """

    values: str
    names: dict[int, str]
    least: int = 1
    void: int | None = None


def meaning_of(
    folder: Path,
    images: Sequence[Numbers],
    values: str,
    names: Sequence[str] | None,
    said: list[Finding],
) -> Meaning:
    """The meaning that is stated, named or guessed; which of these is said in words.

    Args:
        images: of all files.
        values: "auto", or what the numbers mean.
        names: of the classes; None: there are none.
        said: takes the words.

    Raises:
        ValueError: the names do not fit the numbers, or a file has grey levels.
    """
    numbers = sorted({int(value) for image in images for value in image.values})
    void = _void(numbers, names) if values != "binary" else None
    if void:
        numbers.remove(void)
    if values == "auto":
        _refuse_grey(images)
        values, why, level = _guess(folder, images, numbers, names)
        values = "classes" if void and values == "binary" else values
    else:
        why, level = "as stated", "info"
    named = {1: names[0] if names else "1"}
    if values == "classes":
        named = _by_number(folder, numbers, names)
        said += _ground_among(images, named)
    least = _least(images) if values == "binary" else 1
    how = {"classes": "numbers of classes", "instances": "numbers of objects", "binary": "objects"}
    text = f"{len(images)} label images, read as {how[values]}: {why}."
    text += f" From {least} on a pixel is an object's." if least > 1 else ""
    said.append(Finding(level, "mask-values", "", None, f"{text} {OTHERWISE}"))
    if void:
        text = (
            f"pixels of {void} weigh nothing in loss and scores, like the label {IGNORE!r}. Where "
            f"{void} is a class, name it in classes.txt."
        )
        said.append(Finding("info", "ignored-pixels", "", None, text))
    return Meaning(values, named, least, void)


def _ground_among(images: Sequence[Numbers], named: dict[int, str]) -> list[Finding]:
    """A finding where no pixel is 0, as of ilastik, which numbers the ground as well."""
    if not named or any(image.ground for image in images) or BACKGROUND in named.values():
        return []
    areas = {
        number: sum(int(image.areas[image.values == number].sum()) for image in images)
        for number in named
    }
    number = max(areas, key=lambda each: areas[each])
    share = areas[number] / max(1, sum(areas.values()))
    text = (
        f"no pixel is 0, the background, and {number} stands on {share:.0%} of them. If it is the"
        f" background, as in ilastik's Simple Segmentation, call it {BACKGROUND!r} in classes.txt."
    )
    return [Finding("warning", "no-background", "", None, text)]


def _void(numbers: list[int], names: Sequence[str] | None) -> int | None:
    others = [number for number in numbers if number != VOID]
    named = names is not None and len(names) in (len(numbers), VOID)
    beside = bool(others) and max(others) <= MOST_CLASSES and len(others) < len(numbers)
    return VOID if beside and not named else None


def _guess(
    folder: Path, images: Sequence[Numbers], numbers: list[int], names: Sequence[str] | None
) -> tuple[str, str, str]:
    """The meaning, why, and the level of the finding that says so."""
    bits = max(image.bits for image in images)
    several = max(len(image.values) for image in images)
    shares = np.concatenate([image.parts == 1 for image in images])
    share = float(shares.mean()) if len(shares) else 1.0
    pieces = f"{share:.0%} of the numbers are in one piece"
    if names and len(names) > 1:
        return "classes", f"there are {len(names)} names of classes", "info"
    if len(numbers) <= 1 and set(numbers) <= {1, VOID, 2**bits - 1}:
        return "binary", f"there is 0 and {numbers[0] if numbers else 'nothing'} alone", "info"
    if names:
        if share < (IN_ONE_PIECE if bits >= 16 else SURELY_IN_ONE_PIECE):
            _by_number(folder, numbers, names)  # raises: there are more numbers than names
        return "instances", f"there is one name, {names[0]!r}, and {pieces}", "info"
    if bits >= 16:
        if len(numbers) <= MOST_CLASSES and share < IN_ONE_PIECE and max(numbers) <= VOID:
            return "classes", f"{len(numbers)} numbers, and only {pieces}", "warning"
        return "instances", f"of {bits} bits, and {pieces}", "info"
    if len(numbers) > MOST_CLASSES:
        return "instances", f"{len(numbers)} numbers, and {pieces}", "info"
    if share >= SURELY_IN_ONE_PIECE and several >= OBJECTS_IN_AN_IMAGE:
        return "instances", f"up to {several} numbers in an image, and {pieces}", "warning"
    return "classes", f"{len(numbers)} numbers of 8 bits", "info"


def _refuse_grey(images: Sequence[Numbers]) -> None:
    for image in images:
        if image.rims:
            what = "grey rims between black and white: it was anti-aliased, or saved as JPEG"
            remedy = "Pass --values binary, which parts them at half the largest value"
        elif image.scattered:
            what = f"{len(image.values)} grey levels that lie scattered, as in a micrograph"
            remedy = "Pass the folder of the masks or the label file; or --values instances"
        else:
            continue
        raise ValueError(
            f"{image.path}: a label image must have numbers of classes or of objects. Received: "
            f"{what}. {remedy}."
        )


def _least(images: Sequence[Numbers]) -> int:
    """From which number on a pixel is an object's: 1; of grey rims, from half the largest on."""
    return max(((int(i.values[-1]) + 1) // 2 for i in images if i.rims), default=1)


def _by_number(folder: Path, numbers: list[int], names: Sequence[str] | None) -> dict[int, str]:
    """The class's name by its number."""
    if names is None:
        return {number: str(number) for number in numbers}
    if not numbers or (min(numbers) >= 1 and max(numbers) <= len(names)):
        return dict(enumerate(names, start=1))
    if len(numbers) == len(names):
        return dict(zip(numbers, names, strict=True))
    raise ValueError(
        f"{folder}: there must be a name for each class number. Received: numbers "
        f"{numbers[:10]}, classes={list(names)}. Pass {len(numbers)} names; or --values instances, "
        "where they are numbers of objects."
    )
