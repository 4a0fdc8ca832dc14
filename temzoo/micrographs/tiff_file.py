"""TIFF: its pages, their pixels as grey or colours; ``tiff_scale`` has the size of a pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from temzoo.micrographs.calibration import Scale
from temzoo.micrographs.plain_files import (
    ORIENTATION,
    ROWS_BECOME_COLUMNS,
    turned_size,
    upright,
)
from temzoo.micrographs.source import MicrographError, say
from temzoo.micrographs.tiff_scale import SIS, scale_of
from temzoo.micrographs.whole_picture import require_bytes

if TYPE_CHECKING:
    import tifffile

# Tags that say what a page is besides an image of its own: a smaller copy (bit 0) or a
# transparency mask (bit 2) of another, the old tag a smaller copy (TIFF 6.0, section 8).
NEW_SUBFILE_TYPE, SUBFILE_TYPE, COPY_OR_MASK, OLD_COPY = 254, 255, 0b101, 2
JPEG = 7
# Bytes of pixels that a byte can hold at the most: of none, LZW, JPEG, deflate (twice), PackBits.
PER_BYTE = {1: 1, 5: 3_000, JPEG: 1_536, 8: 1_040, 32946: 1_040, 32773: 64}
PHOTOMETRIC, INK_SET = 262, 332
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)


@contextmanager
def open_tiff(path: Path) -> Iterator[TiffImages]:
    """The pages of an open TIFF."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        yield TiffImages(tiff, path)


@dataclass(frozen=True)
class TiffImages:
    """Pages: each is an image, with its own size.

    ImageJ writes a stack beyond 4 GB as one page, whose pixels the other frames follow.
    """

    tiff: tifffile.TiffFile
    path: Path

    def count(self) -> int:
        return len(self._images) if self._stacked is None else self._stacked

    @cached_property
    def _images(self) -> range | list[int]:
        """Which pages are images: no smaller copies, no masks, and no previews of Olympus SIS."""
        pages = self.tiff.pages
        if len(pages) == 1 or self.tiff.is_uniform:
            return range(len(pages))
        tags = [page.aspage().tags for page in pages]
        own = [k for k, each in enumerate(tags) if SIS in each] or [
            k
            for k, each in enumerate(tags)
            if not each.valueof(NEW_SUBFILE_TYPE, 0) & COPY_OR_MASK
            and each.valueof(SUBFILE_TYPE) != OLD_COPY
        ]
        if own and len(own) < len(tags):
            say(
                self.path,
                f"{len(tags) - len(own)} of its {len(tags)} pages are copies, previews or masks",
            )
        return own or range(len(pages))

    @cached_property
    def _stacked(self) -> int | None:
        """Frames behind the only page of ImageJ's large stacks; None: pages are frames."""
        if not self.tiff.is_imagej or len(self.tiff.pages) > 1:
            return None
        frames = int((self.tiff.imagej_metadata or {}).get("images", 1))
        if frames < 2:
            return None
        page = self.tiff.pages.first
        room = (self.tiff.filehandle.size - page.dataoffsets[0]) // page.nbytes
        # One image may keep the description of a stack that it was cut from.
        return frames if room > 1 else None

    def size(self, frame: int) -> tuple[int, int]:
        page = self._page(frame)
        turn = page.tags.valueof(ORIENTATION)
        return turned_size((page.imagelength, page.imagewidth), turn)

    def read(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        page = self._page(frame)
        kind = page.photometric if PHOTOMETRIC in page.tags else BLACK_IS_ZERO
        if kind not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE):
            return _converted(page, self.path, self._images[frame]), self._scale(page)
        pixels = self._samples(page, frame)
        if kind == PALETTE:
            pixels = (page.colormap[:, pixels] >> 8).astype(np.uint8).transpose(1, 2, 0)
        if kind == WHITE_IS_ZERO and pixels.dtype.kind in "bu":
            pixels = ~pixels
        return pixels, self._scale(page)

    def stored(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        page = self._page(frame)
        return self._samples(page, frame), self._scale(page)

    def _scale(self, page: tifffile.TiffPage) -> Scale | None:
        scale = scale_of(self.tiff, page, self.path)
        turned = page.tags.valueof(ORIENTATION) in ROWS_BECOME_COLUMNS
        return scale[::-1] if scale and turned else scale

    def _samples(self, page: tifffile.TiffPage, frame: int) -> np.ndarray:
        """(H, W) or (H, W, channels) as stored, without alpha, turned as its orientation says."""
        _require_whole(page, self.path)
        try:
            pixels = page.asarray() if self._stacked is None else _behind(self.tiff, page, frame)
        except ValueError as error:
            # For LZW, JPEG and fax compression tifffile needs a package that we do without.
            if "imagecodecs" not in str(error):
                raise
            pixels = _compressed(page, self.path, self._images[frame])
        else:
            pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
            pixels = upright(pixels, page.tags.valueof(ORIENTATION))
        own = page.samplesperpixel - len(page.extrasamples)
        return pixels[..., :own] if pixels.ndim == 3 else pixels

    def _page(self, frame: int) -> tifffile.TiffPage:
        return self.tiff.pages[self._images[frame] if self._stacked is None else 0].aspage()


def _require_whole(page: tifffile.TiffPage, path: Path) -> None:
    """Raises ValueError where strips or tiles are missing, or the file cannot hold them.

    A writer that was interrupted leaves out strips, or leaves them at 0 bytes; tifffile fills them
    with zeros, which would pass for image.
    """
    needed = math.prod(page.chunked)
    missing = sum(count == 0 for count in page.databytecounts)
    missing += max(0, needed - len(page.databytecounts))
    if missing:
        raise ValueError(f"{missing} of {needed} strips or tiles are missing")
    if page.compression in PER_BYTE:
        bits = int(np.max(page.bitspersample)) * page.samplesperpixel
        row = -(-page.imagewidth * bits // 8)
        require_bytes(path, page.imagelength * row, PER_BYTE[page.compression])


def _behind(tiff: tifffile.TiffFile, page: tifffile.TiffPage, frame: int) -> np.ndarray:
    """One frame of a stack that has one page."""
    if page.compression != 1 or not page.is_contiguous:
        raise ValueError("it is a compressed stack of one page: save its frames one by one")
    offset, size = page.dataoffsets[0] + frame * page.nbytes, tiff.filehandle.size
    if offset + page.nbytes > size:
        raise ValueError(f"frame {frame} ends at byte {offset + page.nbytes:,} of {size:,}")
    tiff.filehandle.seek(offset)
    dtype = page.dtype.newbyteorder(tiff.byteorder)
    return tiff.filehandle.read_array(dtype, page.size).reshape(page.shape)


def _compressed(page: tifffile.TiffPage, path: Path, frame: int) -> np.ndarray:
    """Stored samples, decoded by others; both turn the image as its orientation says."""
    # OpenCV multiplies 8-bit colours with their alpha; Pillow reads no 16-bit colours.
    if np.max(page.bitspersample) <= 8:
        pixels = _by_pillow(path, frame)
        if page.photometric == WHITE_IS_ZERO and pixels.dtype.kind in "bu":
            pixels = ~pixels  # Pillow shows it
        spread = page.photometric != PALETTE and pixels.dtype == np.uint8
        # Pillow spreads grey of fewer bits over 8.
        return pixels >> (8 - int(np.max(page.bitspersample))) if spread else pixels
    import cv2

    done, pages = cv2.imreadmulti(str(path), start=frame, count=1, flags=cv2.IMREAD_UNCHANGED)
    if not done:
        raise ValueError("its compression is not supported: save it uncompressed")
    return pages[0] if pages[0].ndim == 2 else pages[0][..., 2::-1]


def _converted(page: tifffile.TiffPage, path: Path, frame: int) -> np.ndarray:
    """CMYK, YCbCr or CIE L*a*b* of 8 bits as (H, W, 3) RGB."""
    _require_whole(page, path)
    # Pillow reads subsampled colours where JPEG holds them, and would misread them elsewhere.
    known = page.photometric in (5, 6, 8) and page.tags.valueof(INK_SET, 1) == 1
    subsampled = page.is_subsampled and page.compression != JPEG
    if not known or subsampled or np.max(page.bitspersample) > 8:
        raise MicrographError(
            f"{path}: colours must be grey, RGB or a palette, or CMYK, YCbCr or L*a*b* of 8 bits. "
            f"Received: {getattr(page.photometric, 'name', page.photometric)} of "
            f"{np.max(page.bitspersample)} bits. Save it as RGB or as grey."
        )
    return _by_pillow(path, frame, "RGB")


def _by_pillow(path: Path, frame: int, mode: str | None = None) -> np.ndarray:
    from PIL.TiffImagePlugin import TiffImageFile

    with TiffImageFile(path) as image:
        image.seek(frame)
        return np.array(image.convert(mode) if mode else image)
