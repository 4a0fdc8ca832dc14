"""Reads micrographs from files: one image, all frames of a stack, or the size alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from temzoo.core.types import Micrograph
from temzoo.micrographs.calibration import Scale, checked_scale
from temzoo.micrographs.hdf5_file import name_of
from temzoo.micrographs.opening import format_of, opened, require_file
from temzoo.micrographs.source import Images, MicrographError
from temzoo.micrographs.written_beside import scale_beside

MAX_PIXELS = 2**30
# Of scanning microscopes, which write a text file beside them.
PICTURES = ("PNG", "JPEG", "BMP", "TIFF")


def load_micrograph(
    path: str | Path,
    *,
    nm_per_pixel: float | Scale | None = None,
    frame: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> Micrograph:
    """Reads one image with its calibration.

    PNG, JPEG, BMP, TIFF, MRC, NumPy arrays (.npy), Nion Swift (ndata1), and a dataset of an HDF5 or
    NeXus file, named as "a.h5::/entry/data/data", HyperSpy's hspy; with RosettaSciIO installed
    (``temzoo[microscopes]``) also Digital Micrograph (dm3, dm4), TIA (ser; an emi stands for its
    ser) and EMD, of Velox or as Berkeley defined it; with zarr (``temzoo[zarr]``) folders of
    OME-Zarr or HyperSpy's zspy. What a file is, its first bytes decide.

    Pixels keep their dtype (uint8, uint16, float32 ...) in native byte order. One-bit and boolean
    images become uint8 with 0 and 255; palettes become RGB; alpha is dropped; one channel is
    squeezed.

    Calibration is read from microscopes' files, axis by axis; from TIFF as ``tiff_scale.SOURCES``
    lists it, plain resolution tags finer than 1,000 nm per pixel included; and from the text file
    that JEOL, Hitachi and TESCAN write beside a picture. Reciprocal axes, those of diffraction
    patterns, are none. The logger ``temzoo.micrographs`` tells how a file was read (level INFO).

    Args:
        nm_per_pixel: overrides the file's calibration: one number, or (row, col).
        frame: page of a TIFF, section of an MRC file, image of a stack, from 0. Where a
            microscope's file holds several images or stacks, they are counted one after the other
            in the order of the file; spectra are not counted, complex images only where there are
            no real ones.
        max_pixels: larger images are refused before they are read into memory.

    Raises:
        FileNotFoundError: there is no such file; names close matches in its folder.
        MicrographError: (a ``ValueError``) the format is not supported, the file is damaged, has
            too many pixels, no such frame, no image but spectra, complex or non-finite values.
        MissingReaderError: (a ``MicrographError``) RosettaSciIO or zarr is needed, not installed.

    Example:
        >>> load_micrograph("grid3/a.dm3").nm_per_pixel  # doctest: +SKIP
        (0.21, 0.21)
    """
    by_hand = None if nm_per_pixel is None else checked_scale(nm_per_pixel)
    path = Path(path)
    with opened(path) as images:
        count = images.count()
        if not 0 <= frame < count:
            raise MicrographError(
                f"{path}: frame must be between 0 and {count - 1}, the file has {count} "
                f"frame(s). Received: frame={frame}."
            )
        return _micrograph(path, images, frame, by_hand, max_pixels)


def iter_frames(
    path: str | Path,
    *,
    nm_per_pixel: float | Scale | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Micrograph]:
    """The frames of a stack in order, one in memory at a time; the file is opened once.

    RosettaSciIO reads a ser file as a whole, so of that all frames are in memory.

    Args:
        path, nm_per_pixel, max_pixels: as for ``load_micrograph``.

    Returns:
        an iterator over micrographs: the pixels of ``load_micrograph(path, frame=k)``. Where there
        are several, k is in the name, "stack_07.mrc", so that their results can lie side by side.

    Raises:
        FileNotFoundError, MicrographError: as ``load_micrograph``, the first when it is called,
            the second when the frame is reached that cannot be read.

    Example:
        >>> for micrograph in iter_frames("tilt_series.mrc"):  # doctest: +SKIP
        ...     print(micrograph.name, micrograph.pixels.mean())
    """
    by_hand = None if nm_per_pixel is None else checked_scale(nm_per_pixel)
    path = Path(path)
    require_file(path)
    return _frames(path, by_hand, max_pixels)


def _frames(path: Path, by_hand: Scale | None, max_pixels: int) -> Iterator[Micrograph]:
    with opened(path) as images:
        count = images.count()
        for frame in range(count):
            name = frame_name(path, frame, count)
            yield replace(_micrograph(path, images, frame, by_hand, max_pixels), name=name)


def frame_name(path: str | Path, frame: int, count: int) -> str:
    """The file name that a frame of a stack would have alone; a single image keeps its own.

    Example:
        >>> frame_name("series/stack.mrc", 7, 61)
        'stack_07.mrc'
    """
    path = Path(name_of(path))
    digits = len(str(count - 1))
    return path.name if count == 1 else f"{path.stem}_{frame:0{digits}}{path.suffix}"


def count_frames(path: str | Path) -> int:
    """How many frames ``load_micrograph`` can read of a file; no pixels are read.

    Raises:
        FileNotFoundError, MicrographError: as ``load_micrograph``.

    Example:
        >>> count_frames("tilt_series.mrc")  # doctest: +SKIP
        61
    """
    with opened(Path(path)) as images:
        return images.count()


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) that ``load_micrograph`` would give, from the file's header alone.

    Images are turned as their Exif says, as annotation tools show them. Errors are those of
    ``count_frames``.
    """
    with opened(Path(path)) as images:
        height, width = images.size(0)
        return height, width


def _micrograph(
    path: Path, images: Images, frame: int, by_hand: Scale | None, max_pixels: int
) -> Micrograph:
    _require_at_most(max_pixels, images.size(frame), path)
    pixels, scale = images.read(frame)
    scale, read = _calibration(path, scale, by_hand, images.size(frame))
    return Micrograph(_usable(pixels, path), scale, name_of(path), read)


def _require_at_most(max_pixels: int, size: tuple[int, ...], path: Path) -> None:
    if math.prod(size) > max_pixels:
        raise MicrographError(
            f"{path}: an image must have at most {max_pixels:,} pixels. Received: "
            f"{' x '.join(f'{n:,}' for n in size)} = {math.prod(size):,}. If that is right, pass "
            f"max_pixels={math.prod(size)}."
        )


def _calibration(
    path: Path, scale: Scale | None, by_hand: Scale | None, size: tuple[int, ...]
) -> tuple[Scale | None, str]:
    """The size of a pixel, and where it was read."""
    if by_hand:
        return by_hand, "given by hand"
    kind = format_of(path)
    if scale is None and kind in PICTURES:
        scale, beside = scale_beside(path, size)
        return scale, f"{beside} beside it" if beside else ""
    return scale, f"{kind} header" if scale else ""


def load_numbers(path: str | Path) -> Micrograph:
    """Reads a label image: the numbers that are stored, not what a program would show of them.

    A palette's indices stay indices, and WhiteIsZero, as ImageJ writes an inverting LUT, inverts
    nothing. Images of one bit have 0 and 1. Fractions are refused, whole numbers in floating point
    become int32.

    Returns:
        (H, W) integers from 0 on, turned as the file's orientation says, with the calibration.

    Raises:
        FileNotFoundError, MicrographError: as ``load_micrograph``; a stack, a JPEG, colours,
            fractions, and numbers below 0 or from 2**31 on.

    Example:
        >>> load_numbers("labels.tif").pixels.max()  # doctest: +SKIP
        57
    """
    path = Path(path)
    with opened(path) as images:
        size, count = images.size(0), images.count()
        received = "a JPEG, which blurs them" if format_of(path) == "JPEG" else ""
        received = f"a stack of {count} images" if count > 1 else received
        if received:
            raise MicrographError(
                f"{path}: a label image must be one plane of numbers. Received: {received}. Save "
                "each plane as a TIFF or PNG of its own."
            )
        _require_at_most(MAX_PIXELS, size, path)
        pixels, scale = images.stored(0)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    pixels = pixels.astype(np.uint8) if pixels.dtype.kind == "b" else pixels
    if not _is_numbered(pixels):
        values = f" from {pixels.min()} to {pixels.max()}" if pixels.size else ""
        raise MicrographError(
            f"{path}: a label image must have one channel of whole numbers from 0 on. Received: "
            f"shape {pixels.shape}, {pixels.dtype}{values}. Save the class or object numbers, not "
            "their colours."
        )
    dtype = np.int32 if pixels.dtype.kind == "f" else pixels.dtype.newbyteorder("=")
    scale, read = _calibration(path, scale, None, size)
    return Micrograph(np.ascontiguousarray(pixels, dtype=dtype), scale, name_of(path), read)


def _is_numbered(pixels: np.ndarray) -> bool:
    if pixels.ndim != 2 or pixels.size == 0 or pixels.dtype.kind not in "uif":
        return False
    whole = pixels.dtype.kind != "f" or bool((pixels == np.rint(pixels)).all())
    return whole and bool(pixels.min() >= 0 and pixels.max() < 2**31)


def _usable(pixels: np.ndarray, path: Path) -> np.ndarray:
    """The pixels as the package wants them: (H, W) or (H, W, 3), real, finite, native."""
    if pixels.dtype.kind not in "buif":
        raise MicrographError(
            f"{path}: pixels must be real numbers. Received: dtype={pixels.dtype}. "
            "Save the magnitude or the phase as its own image."
        )
    if pixels.shape[2:] == (4,):
        pixels = pixels[..., :3]
    if pixels.shape[2:] == (1,):
        pixels = pixels[..., 0]
    if pixels.size == 0 or pixels.ndim < 2 or pixels.shape[2:] not in ((), (3,)):
        raise MicrographError(
            f"{path}: an image must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not empty. "
            f"Received: shape={pixels.shape}. Save one image of it."
        )
    finite = np.isfinite(pixels) if pixels.dtype.kind == "f" else np.True_
    if not finite.all():
        row, col = np.argwhere(~finite)[0][:2]
        raise MicrographError(
            f"{path}: all values must be finite. Received: {finite.size - finite.sum()} NaN or "
            f"infinite values of {finite.size}, the first at row {row}, column {col}. "
            "Replace them, for example by the median of their neighbours."
        )
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
