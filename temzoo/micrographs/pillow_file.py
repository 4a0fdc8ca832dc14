"""PNG, JPEG and BMP. None of them holds a calibration: their dots per inch are a print size."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from temzoo.micrographs.orientation import ORIENTATION, turned_size

if TYPE_CHECKING:
    # At work it is imported inside the reader: whoever only lists files does not need it.
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile


@contextmanager
def open_png(path: Path) -> Iterator[PillowImage]:
    """The image of an open PNG."""
    with _opened(path, "Png") as image:
        yield PngImage(image, path)


@contextmanager
def open_jpeg(path: Path) -> Iterator[PillowImage]:
    """The image of an open JPEG."""
    with _opened(path, "Jpeg") as image:
        yield PillowImage(image)


@contextmanager
def open_bmp(path: Path) -> Iterator[PillowImage]:
    """The image of an open BMP."""
    with _opened(path, "Bmp") as image:
        yield PillowImage(image)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[ImageFile]:
    # By class: PIL.Image.open would refuse 16,384 x 16,384 by a limit of its own.
    plugin = importlib.import_module(f"PIL.{name}ImagePlugin")
    with path.open("rb") as file:
        yield getattr(plugin, f"{name}ImageFile")(file)


@dataclass(frozen=True)
class PillowImage:
    """One image whose header is read."""

    image: ImageFile

    def count(self) -> int:
        return 1

    def size(self, frame: int) -> tuple[int, int]:
        return turned_size((self.image.height, self.image.width), self._turn())

    def read(self, frame: int) -> tuple[np.ndarray, None]:
        from PIL import ImageOps

        self.image.load()
        return without_alpha(ImageOps.exif_transpose(self.image)), None

    def _turn(self) -> object:
        return self.image.getexif().get(ORIENTATION)


@dataclass(frozen=True)
class PngImage(PillowImage):
    """PNG has 16 bits per channel too, which Pillow reads in grey only."""

    path: Path

    def read(self, frame: int) -> tuple[np.ndarray, None]:
        self.image.load()
        depth, colour = _header(self.path)
        if depth == 16 and colour != 0:
            return _deep(self.path, colour), None
        return super().read(frame)

    def _turn(self) -> object:
        # Pillow decodes a PNG to look for Exif behind the pixels, where hardly any has it.
        return super()._turn() if "exif" in self.image.info else None


def without_alpha(image: Image) -> np.ndarray:
    """Grey as stored, everything else (palette, alpha, CMYK, YCbCr) as RGB."""
    mode = {"1": "L", "LA": "L", "La": "L"}.get(image.mode, image.mode)
    if mode not in ("L", "I", "I;16", "I;16B", "F"):
        mode = "RGB"
    return np.array(image if image.mode == mode else image.convert(mode))


def _header(path: Path) -> tuple[int, int]:
    """Bits per channel, and colour type: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA."""
    # After signature 8, length and name of IHDR 8, width and height 8 (PNG 3rd ed., 11.2.1).
    with path.open("rb") as file:
        depth, colour = file.read(26)[24:]
    return depth, colour


def _deep(path: Path, colour: int) -> np.ndarray:
    """16 bits per channel with colour or alpha, which Pillow would reduce to 8."""
    import cv2

    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("no 16-bit image inside")
    return pixels[..., 0] if colour == 4 else pixels[..., 2::-1]
