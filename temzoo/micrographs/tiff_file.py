"""TIFF: its pages, their pixels as grey or colours; ``tiff_scale`` has the size of a pixel."""

from __future__ import annotations

import math
import struct
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
from temzoo.micrographs.whole_picture import (
    DEFLATED,
    SPARE,
    require_bytes,
    require_inflates_to,
    require_lzma_to,
    require_unpacks_to,
)

if TYPE_CHECKING:
    import tifffile

# Tags that say what a page is besides an image of its own: a smaller copy (bit 0) or a
# transparency mask (bit 2) of another, the old tag a smaller copy (TIFF 6.0, section 8).
NEW_SUBFILE_TYPE, SUBFILE_TYPE, COPY_OR_MASK, OLD_COPY = 254, 255, 0b101, 2
JPEG, LZMA = 7, 34925
# Bytes of pixels that a byte can hold at the most: of none, LZW, JPEG, deflate (twice), PackBits,
# LZMA.
PER_BYTE = {1: 1, 5: 3_000, JPEG: 1_536, 8: DEFLATED, 32946: DEFLATED, 32773: 64, LZMA: 10_000}
# tifffile takes memory for what a strip of these holds; OpenCV and Pillow do not.
UNPACKED = {8: require_inflates_to, 32946: require_inflates_to, 32773: require_unpacks_to}
UNPACKED[LZMA] = require_lzma_to
EER, EER_COMPRESSIONS = ".eer", range(65000, 65003)
FAX = (2, 3, 4)
# What OpenCV reads where tifffile alone does not, of more than 8 bits; it spreads 10 to 14 over 16.
OPENCV_DTYPES, OPENCV_BITS = ("u2", "i2", "i4", "f4", "f8"), (10, 12, 14, 16, 32, 64)
PHOTOMETRIC, INK_SET = 262, 332
NARROW = 4  # px, or channels
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)


@contextmanager
def open_tiff(path: Path) -> Iterator[TiffImages]:
    """The pages of an open TIFF."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        if tiff.pages.first.compression in EER_COMPRESSIONS:
            raise refusal_of_eer(path)
        _require_wide(tiff, path)
        yield TiffImages(tiff, path)


def _require_wide(tiff: tifffile.TiffFile, path: Path) -> None:
    """Raises MicrographError where each row of an image became a page.

    tifffile writes (H, W, 1) so as OME or without metadata, and colours so as ImageJ's.
    """
    page = tiff.pages.first
    if page.imagewidth <= NARROW and (count := len(tiff.pages)) > NARROW:
        raise MicrographError(
            f"{path}: pages must be images. Received: {count} of {page.imagelength} x"
            f" {page.imagewidth} px, the rows of one image. Save it as (H, W), or colours with"
            ' photometric="rgb".'
        )


def refusal_of_eer(path: Path) -> MicrographError:
    """Of Thermo Fisher's movies of single electrons, which are no image before they are summed."""
    return MicrographError(
        f"{path}: must be an image. Received: EER, the single electrons of a movie. Sum them to an"
        " MRC or TIFF first, as IMOD's alignframes or MotionCor do."
    )


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
        if len(pages) == 1:
            return range(1)
        tags = list(_marks(self.tiff))
        own = [k for k, each in enumerate(tags) if SIS in each] or [
            k
            for k, each in enumerate(tags)
            if not each.get(NEW_SUBFILE_TYPE, 0) & COPY_OR_MASK
            and each.get(SUBFILE_TYPE) != OLD_COPY
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
        if kind == WHITE_IS_ZERO:
            pixels = _inverted(pixels, int(np.max(page.bitspersample)))
            say(self.path, "white is zero in it, so its grey values are turned round")
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
        except (ValueError, NotImplementedError, ImportError) as error:
            # For LZW, JPEG and fax compression, and for 2 to 15 bits, tifffile needs a package that
            # we do without.
            if isinstance(error, ValueError) and "imagecodecs" not in str(error):
                raise
            pixels = _compressed(page, self.path, self._images[frame])
        else:
            if page.axes == "SYX":  # as tifffile writes (3, H, W), a stack of three images too
                how = "its first 3 planes are" if len(pixels) > 3 else "its planes are"
                say(self.path, f"{how} read as red, green and blue, as it says")
                pixels = np.moveaxis(pixels, 0, -1)
            pixels = upright(pixels, page.tags.valueof(ORIENTATION))
        own = page.samplesperpixel - len(page.extrasamples)
        return pixels[..., :own] if pixels.ndim == 3 else pixels

    def _page(self, frame: int) -> tifffile.TiffPage:
        return self.tiff.pages[self._images[frame] if self._stacked is None else 0].aspage()


def _marks(tiff: tifffile.TiffFile) -> Iterator[dict[int, int]]:
    """Tags of each page that tell what it is, with the numbers that are stored in them.

    Read from the directories themselves (TIFF 6.0, section 2): tifffile takes 0.2 ms for a page,
    and stacks have thousands.
    """
    kind, file, place = tiff.tiff, tiff.filehandle, tiff.pages.first.offset
    for _ in range(len(tiff.pages)):
        file.seek(place)
        (count,) = struct.unpack(kind.tagnoformat, file.read(kind.tagnosize))
        raw = file.read(count * kind.tagsize + kind.offsetsize)
        found = {}
        for begin in range(0, count * kind.tagsize, kind.tagsize):
            code, form = struct.unpack_from(kind.tagformat1, raw, begin)
            if code in (NEW_SUBFILE_TYPE, SUBFILE_TYPE, SIS):
                size = {3: "H", 4: "I"}.get(form, "B")
                at = begin + kind.tagsize - kind.tagoffsetthreshold
                (found[code],) = struct.unpack_from(f"{kind.byteorder}{size}", raw, at)
        yield found
        (place,) = struct.unpack_from(kind.offsetformat, raw, count * kind.tagsize)


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
    if check := UNPACKED.get(page.compression):
        promised = math.prod(page.chunks) * (page.dtype or np.dtype("u1")).itemsize
        file = page.parent.filehandle
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            # As many as are looked at; tifffile would take memory for what a strip holds.
            if count * PER_BYTE[page.compression] > promised + SPARE:
                file.seek(offset)
                check(file.read(count), promised)


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


def _inverted(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Grey values the other way round, within their bits; fractions, which have none, negated."""
    if pixels.dtype.kind == "u":
        return pixels.dtype.type(2**bits - 1) - pixels
    return -pixels if pixels.dtype.kind == "f" else ~pixels


def _compressed(page: tifffile.TiffPage, path: Path, frame: int) -> np.ndarray:
    """Stored samples, decoded by others; both turn the image as its orientation says."""
    bits, dtype = int(np.max(page.bitspersample)), page.dtype or np.dtype(np.uint8)
    if page.compression not in (*PER_BYTE, *FAX):
        raise _unread(page, path)
    # OpenCV multiplies 8-bit colours with their alpha; Pillow reads no 16-bit colours.
    if bits in (1, 2, 4, 8) or (dtype == np.uint32 and page.samplesperpixel == 1):
        try:
            pixels = _by_pillow(path, frame)
        except SyntaxError as error:  # Pillow's, for a kind of pixels that it does not know
            raise _unread(page, path) from error
        if page.photometric == WHITE_IS_ZERO and pixels.dtype.kind in "bu":
            pixels = ~pixels  # Pillow shows it
        spread = page.photometric != PALETTE and pixels.dtype == np.uint8
        # Pillow spreads grey of fewer bits over 8, and knows 8 bits without and 32 with a sign.
        pixels = pixels >> (8 - bits) if spread else pixels
        return pixels.view(dtype) if pixels.dtype.itemsize == dtype.itemsize else pixels
    if dtype.newbyteorder("=") not in OPENCV_DTYPES or bits not in OPENCV_BITS:
        raise _unread(page, path)
    import cv2

    done, pages = cv2.imreadmulti(str(path), start=frame, count=1, flags=cv2.IMREAD_UNCHANGED)
    if not done:
        raise ValueError("its pixels cannot be decoded")
    pixels = pages[0] if pages[0].ndim == 2 else pages[0][..., 2::-1]
    spread = bits < 16 and not (pixels % 2 ** (16 - bits)).any()
    return pixels >> (16 - bits) if spread else pixels


def _unread(page: tifffile.TiffPage, path: Path) -> MicrographError:
    name = getattr(page.compression, "name", page.compression)
    return MicrographError(
        f"{path}: pixels must be uncompressed, or compressed by LZW, deflate, PackBits or JPEG, of"
        f" a usual number of bits. Received: {name} of {np.max(page.bitspersample)} bits. Run `pip"
        " install imagecodecs`, with which they are read, or save it uncompressed."
    )


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
