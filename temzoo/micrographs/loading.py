"""Reads micrographs from files: one image, all frames of a stack, or the size alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from temzoo.core.hints import did_you_mean
from temzoo.core.types import Micrograph
from temzoo.micrographs.calibration import Scale, checked_scale
from temzoo.micrographs.mrc_file import SUFFIXES as MRC_SUFFIXES
from temzoo.micrographs.mrc_file import is_mrc, open_mrc
from temzoo.micrographs.plain_files import open_npy, open_with_pillow
from temzoo.micrographs.rosetta import open_digital_micrograph, open_emd, open_ser
from temzoo.micrographs.source import Images, MicrographError
from temzoo.micrographs.tiff_file import open_tiff

MAX_PIXELS = 2**30
# Written by microscopes; their exports as TIFF or PNG often lie beside them.
MICROSCOPE_SUFFIXES = (".dm3", ".dm4", ".ser", ".emd", *MRC_SUFFIXES)
# Of other programs' files too: in folders they count where they hold an MRC header.
SHARED_SUFFIXES = tuple(suffix for suffix in MRC_SUFFIXES if suffix != ".mrc")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", *MICROSCOPE_SUFFIXES, ".npy")
# Where a signature lies in the file, and what it says.
SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\x89HDF\r\n\x1a\n", "EMD"),
    (0, b"\x93NUMPY", "NumPy array"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"II\x97\x01", "TIA series"),
    (208, b"MAP", "MRC"),  # MRC2014, word 53
)
# Looked for last: by its width alone, an MRC file may begin like these.
SHORT_SIGNATURES = (
    (0, b"\x00\x00\x00\x03", "Digital Micrograph"),
    (0, b"\x00\x00\x00\x04", "Digital Micrograph"),
    (0, b"BM", "BMP"),
)
NAMES = "PNG, JPEG, BMP, TIFF, a NumPy array, MRC, Digital Micrograph, TIA series or EMD"
OPENERS: dict[str, Callable[[Path], AbstractContextManager[Images]]] = {
    "PNG": partial(open_with_pillow, plugin="Png"),
    "JPEG": partial(open_with_pillow, plugin="Jpeg"),
    "BMP": partial(open_with_pillow, plugin="Bmp"),
    "TIFF": open_tiff,
    "NumPy array": open_npy,
    "MRC": open_mrc,
    "Digital Micrograph": open_digital_micrograph,
    "TIA series": open_ser,
    "EMD": open_emd,
}


def load_micrograph(
    path: str | Path,
    *,
    nm_per_pixel: float | Scale | None = None,
    frame: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> Micrograph:
    """Reads one image with its calibration.

    PNG, JPEG, BMP, TIFF, MRC and NumPy arrays (.npy); with RosettaSciIO installed
    (``temzoo[microscopes]``) also Digital Micrograph (dm3, dm4), TIA (ser) and EMD, of Velox or as
    Berkeley defined it. What a file is, its first bytes decide.

    Pixels keep their dtype (uint8, uint16, float32 ...) in native byte order. One-bit and boolean
    images become uint8 with 0 and 255; palettes become RGB; alpha is dropped; one channel is
    squeezed.

    Calibration is read from microscopes' files, axis by axis; from TIFF as ImageJ, Digital
    Micrograph, FEI/Thermo Fisher, Zeiss and TVIPS write it, and from plain resolution tags finer
    than 1,000 nm per pixel. Reciprocal axes, those of diffraction patterns, are none.

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
        MissingReaderError: (a ``MicrographError``) RosettaSciIO is needed and not installed.

    Example:
        >>> load_micrograph("grid3/a.dm3").nm_per_pixel  # doctest: +SKIP
        (0.21, 0.21)
    """
    by_hand = None if nm_per_pixel is None else checked_scale(nm_per_pixel)
    path = Path(path)
    with _opened(path) as images:
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
    _require_file(path)
    return _frames(path, by_hand, max_pixels)


def _frames(path: Path, by_hand: Scale | None, max_pixels: int) -> Iterator[Micrograph]:
    with _opened(path) as images:
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
    path = Path(path)
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
    with _opened(Path(path)) as images:
        return images.count()


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) that ``load_micrograph`` would give, from the file's header alone.

    Images are turned as their Exif says, as annotation tools show them. Errors are those of
    ``count_frames``.
    """
    with _opened(Path(path)) as images:
        height, width = images.size(0)
        return height, width


def list_images(folder: str | Path, *, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """All images below a folder, sorted; hidden ones are skipped.

    Args:
        folder: looked through with its subfolders.
        suffixes: in lower case, with their points; by default what ``load_micrograph`` reads.

    Raises:
        NotADirectoryError: ``folder`` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(
            f"images must be a folder of images. Received: {str(folder)!r}, which is "
            f"{'a file' if folder.exists() else 'not there'}. Give the folder that holds them."
        )
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
        and (path.suffix.lower() not in SHARED_SUFFIXES or _is_listed(path))
    )


def _is_listed(path: Path) -> bool:
    """Whether a file of a suffix that other programs use too is an image."""
    try:
        return format_of(path) == "MRC"
    except (OSError, MicrographError):
        return False


def format_of(path: Path) -> str:
    """The name of the format, a key of ``OPENERS``.

    Raises:
        MicrographError: the file's suffix, or its beginning, is of no format that is read.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise MicrographError(
            f"{path}: the name must end in one of {', '.join(SUFFIXES)}. Received: "
            f"{path.suffix.lower()!r}. Export the image as TIFF or PNG."
        )
    with path.open("rb") as file:
        head = file.read(256)
    if kind := _signed(head, SIGNATURES):
        return kind
    if path.suffix.lower() in MRC_SUFFIXES and is_mrc(path):
        return "MRC"
    if kind := _signed(head, SHORT_SIGNATURES):
        return kind
    raise MicrographError(
        f"{path}: does not begin like {NAMES}. Received: {head[:8]!r} as its first bytes. "
        "It is damaged or of another format; export it once more."
    )


def _signed(head: bytes, signatures: Sequence[tuple[int, bytes, str]]) -> str | None:
    return next((kind for place, sign, kind in signatures if head.startswith(sign, place)), None)


@contextmanager
def _opened(path: Path) -> Iterator[Images]:
    """The images of a file; whatever a decoder raises becomes an error that names it."""
    _require_file(path)
    kind = format_of(path)
    try:
        with OPENERS[kind](path) as images:
            yield images
    except (MicrographError, MemoryError):
        raise
    # Decoders raise anything from SyntaxError to struct.error on bytes that they do not expect.
    except Exception as error:
        raise MicrographError(
            f"{path}: cannot be read as {kind}, it is damaged or incomplete ({error}). "
            "Copy it again from its source, or export it once more."
        ) from error


def _require_file(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise MicrographError(f"{path}: is a folder, not an image. Use list_images on it.")
    place = "" if path.parent.is_dir() else f" (nor is there a folder {path.parent})"
    siblings = [] if place else [other.name for other in path.parent.iterdir()]
    hint = did_you_mean(path.name, siblings)
    raise FileNotFoundError(f"{path}: there is no such file{place}.{hint}")


def _micrograph(
    path: Path, images: Images, frame: int, by_hand: Scale | None, max_pixels: int
) -> Micrograph:
    size = images.size(frame)
    if math.prod(size) > max_pixels:
        raise MicrographError(
            f"{path}: an image must have at most {max_pixels:,} pixels. Received: "
            f"{' x '.join(f'{n:,}' for n in size)} = {math.prod(size):,}. If that is right, pass "
            f"max_pixels={math.prod(size)}."
        )
    pixels, scale = images.read(frame)
    read = f"{format_of(path)} header" if scale else ""
    read = "given by hand" if by_hand else read
    return Micrograph(_usable(pixels, path), by_hand or scale, path.name, read)


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
