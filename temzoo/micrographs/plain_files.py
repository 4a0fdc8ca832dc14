"""PNG, JPEG, BMP and .npy: no calibration, for their dots per inch are a print size."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from temzoo.micrographs.source import Images, MicrographError
from temzoo.micrographs.whole_picture import require_bytes, require_whole_jpeg, require_whole_png

if TYPE_CHECKING:
    # At work it is imported inside the reader: whoever only lists files does not need it.
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile


# How an image is to be turned when it is shown: a tag of Exif and of TIFF (TIFF 6.0, section 8).
# Annotation tools show the turned image, so labels are drawn on it.
ORIENTATION = 274
ROWS_BECOME_COLUMNS = (5, 6, 7, 8)
# A JPEG's block of 8 x 8 px takes a bit at the least; a BMP's run of 255 px takes 2 bytes.
PIXELS_PER_BYTE = 8 * 64
NPY_HEADER = 256  # bytes of an .npy file, within which its dtype is stated
FLIPPED_ROWS, FLIPPED_COLUMNS = (3, 4, 7, 8), (2, 3, 6, 7)


@contextmanager
def open_with_pillow(path: Path, plugin: str) -> Iterator[PillowImage]:
    """The image of an open PNG, JPEG or BMP; ``plugin`` is "Png", "Jpeg" or "Bmp"."""
    # By class: PIL.Image.open would refuse 16,384 x 16,384 by a limit of its own.
    module = importlib.import_module(f"PIL.{plugin}ImagePlugin")
    with path.open("rb") as file:
        image = getattr(module, f"{plugin}ImageFile")(file)
        yield KINDS[plugin](image, path)


@contextmanager
def open_npy(path: Path) -> Iterator[NumpyImage]:
    """The image of an array file."""
    if holds_objects(path):
        raise MicrographError(
            f"{path}: a NumPy file must hold an array of numbers. Received: one of Python objects, "
            "as Cellpose's _seg.npy, which can run any program when it is read. Save the image or "
            "the masks in it as TIFF or PNG."
        )
    # Mapped, so that a header which promises more than the file holds costs no memory.
    yield NumpyImage(np.load(path, mmap_mode="r", allow_pickle=False))


def holds_objects(path: Path) -> bool:
    """Whether a NumPy file holds Python objects, by its header alone."""
    with path.open("rb") as file:
        return b"'|O'" in file.read(NPY_HEADER)


@dataclass(frozen=True)
class NumpyImage(Images):
    """One array, still on disk."""

    mapped: np.ndarray

    def size(self, frame: int) -> tuple[int, ...]:
        return self.mapped.shape[:2]

    def read(self, frame: int) -> tuple[np.ndarray, None]:
        return np.array(self.mapped), None


@dataclass(frozen=True)
class PillowImage(Images):
    """One image whose header is read: a BMP, or the base of the others."""

    image: ImageFile
    path: Path

    def size(self, frame: int) -> tuple[int, int]:
        return turned_size((self.image.height, self.image.width), self._turn())

    def read(self, frame: int) -> tuple[np.ndarray, None]:
        from PIL import ImageOps

        self._load()
        return without_alpha(ImageOps.exif_transpose(self.image)), None

    def stored(self, frame: int) -> tuple[np.ndarray, None]:
        from PIL import ImageOps

        self._load()
        return np.array(ImageOps.exif_transpose(self.image)), None

    def _load(self) -> None:
        """Decodes the pixels. Decoders take the memory that a header promises, so it is checked."""
        require_bytes(self.path, self.image.width * self.image.height, PIXELS_PER_BYTE)
        self.image.load()

    def _turn(self) -> object:
        return self.image.getexif().get(ORIENTATION)


class JpegImage(PillowImage):
    """Missing rows come out grey, which is looked for."""

    def _load(self) -> None:
        super()._load()
        require_whole_jpeg(self.path, np.asarray(self.image), self._decoded)

    def _decoded(self, raw: bytes) -> np.ndarray:
        return np.asarray(type(self.image)(io.BytesIO(raw)))


class PngImage(PillowImage):
    """PNG has 16 bits per channel too, which Pillow reads in grey only."""

    def read(self, frame: int) -> tuple[np.ndarray, None]:
        self._load()
        # Bits per channel, and colour type: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA.
        # After signature 8, length and name of IHDR 8, width and height 8 (PNG 3rd ed., 11.2.1).
        with self.path.open("rb") as file:
            depth, colour = file.read(26)[24:]
        if depth == 16 and colour != 0:
            return _deep(self.path, colour), None
        return super().read(frame)

    def _load(self) -> None:
        require_whole_png(self.path)
        self.image.load()

    def _turn(self) -> object:
        # Pillow decodes a PNG to look for Exif behind the pixels, where hardly any has it.
        return super()._turn() if "exif" in self.image.info else None


KINDS = {"Png": PngImage, "Jpeg": JpegImage, "Bmp": PillowImage}


def without_alpha(image: Image) -> np.ndarray:
    """Grey as stored, everything else (palette, alpha, CMYK, YCbCr) as RGB."""
    mode = {"1": "L", "LA": "L", "La": "L"}.get(image.mode, image.mode)
    if mode not in ("L", "I", "I;16", "I;16B", "F"):
        mode = "RGB"
    return np.array(image if image.mode == mode else image.convert(mode))


def _deep(path: Path, colour: int) -> np.ndarray:
    """16 bits per channel with colour or alpha, which Pillow would reduce to 8."""
    import cv2

    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("no 16-bit image inside")
    return pixels[..., 0] if colour == 4 else pixels[..., 2::-1]


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
