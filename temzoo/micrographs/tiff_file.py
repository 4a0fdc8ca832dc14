"""TIFF, with what ImageJ, Digital Micrograph, FEI/Thermo Fisher, Zeiss and TVIPS write into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from temzoo.micrographs.calibration import Scale, nm_of, real_scale
from temzoo.micrographs.plain_files import (
    ORIENTATION,
    ROWS_BECOME_COLUMNS,
    turned_size,
    upright,
    without_alpha,
)

if TYPE_CHECKING:
    import tifffile

PRINT_UNITS_FROM_NM = 1e6
# 1,000 nm per pixel is 25,400 dpi, beyond any printer or scanner: finer means a microscope.
COARSEST_NM_IN_PRINT_UNITS = 1000.0
# Tags of Digital Micrograph's TIFF export: first image axis is x.
DM_UNIT_X, DM_UNIT_Y, DM_SCALE_X, DM_SCALE_Y = 65003, 65004, 65009, 65010


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
        return len(self.tiff.pages) if self._stacked is None else self._stacked

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
        # A writer that was interrupted leaves strips of 0 bytes; tifffile fills them with zeros,
        # which would pass for image.
        missing = sum(count == 0 for count in page.databytecounts)
        if missing or not page.databytecounts:
            raise ValueError(f"{missing} of {len(page.databytecounts)} strips or tiles are missing")
        scale = _scale(self.tiff, page)
        turned = page.tags.valueof(ORIENTATION) in ROWS_BECOME_COLUMNS
        return self._pixels(page, frame), scale[::-1] if scale and turned else scale

    def _pixels(self, page: tifffile.TiffPage, frame: int) -> np.ndarray:
        if self._stacked is not None:
            return _behind(self.tiff, page, frame)
        try:
            return _shown(page.asarray(), page)
        except ValueError as error:
            # For LZW, JPEG and fax compression tifffile needs a package that we do without.
            if "imagecodecs" not in str(error):
                raise
            return _compressed(page, self.path, frame)

    def _page(self, frame: int) -> tifffile.TiffPage:
        return self.tiff.pages[frame if self._stacked is None else 0].aspage()


def _behind(tiff: tifffile.TiffFile, page: tifffile.TiffPage, frame: int) -> np.ndarray:
    """One frame of a stack that has one page."""
    if page.compression != 1 or not page.is_contiguous:
        raise ValueError("it is a compressed stack of one page: save its frames one by one")
    offset, size = page.dataoffsets[0] + frame * page.nbytes, tiff.filehandle.size
    if offset + page.nbytes > size:
        raise ValueError(f"frame {frame} ends at byte {offset + page.nbytes:,} of {size:,}")
    tiff.filehandle.seek(offset)
    dtype = page.dtype.newbyteorder(tiff.byteorder)
    pixels = tiff.filehandle.read_array(dtype, page.size).reshape(page.shape)
    return _shown(pixels, page)


def _shown(pixels: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Stored samples of a page as grey or colours, turned as its orientation says."""
    from tifffile import PHOTOMETRIC

    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    if page.extrasamples:
        pixels = pixels[..., : -len(page.extrasamples)]
    if page.photometric == PHOTOMETRIC.PALETTE:
        pixels = (page.colormap[:, pixels] >> 8).astype(np.uint8).transpose(1, 2, 0)
    if page.photometric == PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
        pixels = ~pixels
    return upright(pixels, page.tags.valueof(ORIENTATION))


def _compressed(page: tifffile.TiffPage, path: Path, frame: int) -> np.ndarray:
    # OpenCV multiplies 8-bit colours with their alpha; Pillow reads no 16-bit colours. Both turn
    # the image as its orientation says.
    if page.bitspersample <= 8:
        from PIL.TiffImagePlugin import TiffImageFile

        with TiffImageFile(path) as image:
            image.seek(frame)
            return without_alpha(image)
    import cv2

    done, pages = cv2.imreadmulti(str(path), start=frame, count=1, flags=cv2.IMREAD_UNCHANGED)
    if not done:
        raise ValueError("its compression is not supported: save it uncompressed")
    return pages[0] if pages[0].ndim == 2 else pages[0][..., 2::-1]


def _scale(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Scale | None:
    """(row, col) in nm of the first calibration that somebody wrote on purpose."""
    return next(filter(None, map(real_scale, _scales(tiff, page))), None)


def _scales(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Iterator[Scale | None]:
    yield _scale_dm(page)
    yield _scale_vendor(tiff)
    if tiff.is_imagej:
        yield _scale_per_unit(page, (tiff.imagej_metadata or {}).get("unit"))
    yield _scale_per_unit(page, {2: "inch", 3: "cm"}.get(page.tags.valueof(296, 2)))


def _scale_dm(page: tifffile.TiffPage) -> Scale | None:
    tags = page.tags
    nm_row, nm_col = nm_of(tags.valueof(DM_UNIT_Y)), nm_of(tags.valueof(DM_UNIT_X))
    row, col = tags.valueof(DM_SCALE_Y), tags.valueof(DM_SCALE_X)
    if None in (nm_row, nm_col, row, col):
        return None
    return row * nm_row, col * nm_col


def _scale_vendor(tiff: tifffile.TiffFile) -> Scale | None:
    if tiff.is_fei:
        scan = tiff.fei_metadata.get("Scan") or tiff.fei_metadata.get("EScan") or {}
        sides = scan.get("PixelHeight"), scan.get("PixelWidth")
        numbers = all(isinstance(side, (int, float)) for side in sides)
        return tuple(side * nm_of("m") for side in sides) if numbers else None
    if tiff.is_tvips:
        tvips = tiff.tvips_metadata
        return tvips.get("PixelSizeY", 0.0), tvips.get("PixelSizeX", 0.0)
    return _scale_zeiss(tiff.sem_metadata) if tiff.is_sem else None


def _scale_zeiss(metadata: dict) -> Scale | None:
    entry = metadata.get("ap_image_pixel_size") or metadata.get("ap_pixel_size")
    if not entry or len(entry) < 3 or nm_of(entry[2]) is None:
        return None
    return entry[1] * nm_of(entry[2]), entry[1] * nm_of(entry[2])


def _scale_per_unit(page: tifffile.TiffPage, unit: str | None) -> Scale | None:
    """Pixel size from the tags 282 and 283, pixels per unit (TIFF 6.0, section 8)."""
    nm = nm_of(unit)
    resolution = page.tags.valueof(283), page.tags.valueof(282)
    if nm is None or None in resolution or any(0 in fraction for fraction in resolution):
        return None
    row, col = (nm * below / above for above, below in resolution)
    if nm >= PRINT_UNITS_FROM_NM and max(row, col) > COARSEST_NM_IN_PRINT_UNITS:
        return None
    return row, col
