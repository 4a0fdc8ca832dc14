"""A file of a microscope, or of an image program, becomes a ``Micrograph``.

The calibration comes from what a microscope or ImageJ wrote into the file. The dots per inch of a
PNG, JPEG or TIFF are a print size and never taken for one.
"""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from temzoo.types import Micrograph

if TYPE_CHECKING:
    # At work they are imported inside the readers: whoever only lists files needs neither.
    import tifffile
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".npy")
NOT_YET = {
    ".dm3": "Digital Micrograph 3",
    ".dm4": "Digital Micrograph 4",
    ".ser": "TIA series",
    ".emd": "EMD/Velox",
    ".mrc": "MRC",
}
MAX_PIXELS = 2**30

# A file is read by how it begins: exports are often named .png and are something else.
SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"\x93NUMPY", "NumPy array"),
)
# How the image is to be turned when it is shown, the same tag in Exif and in TIFF (TIFF 6.0,
# section 8). Annotation tools show the turned image, so labels are drawn on it.
ORIENTATION = 274
ROWS_BECOME_COLUMNS = (5, 6, 7, 8)
FLIPPED_ROWS, FLIPPED_COLUMNS = (3, 4, 7, 8), (2, 3, 6, 7)

NM_PER_UNIT = {
    "pm": 1e-3,
    "a": 0.1,
    "å": 0.1,
    "angstrom": 0.1,
    "ångström": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "um": 1e3,
    "µm": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "cm": 1e7,
    "in": 2.54e7,
    "inch": 2.54e7,
    "m": 1e9,
}
PRINT_UNITS_FROM_NM = 1e6
# 1,000 nm per pixel is 25,400 dpi, beyond any printer or scanner: finer means a microscope.
COARSEST_NM_IN_PRINT_UNITS = 1000.0

# Tags of Digital Micrograph's TIFF export: first image axis is x.
DM_UNIT_X, DM_UNIT_Y, DM_SCALE_X, DM_SCALE_Y = 65003, 65004, 65009, 65010

BT601 = (0.299, 0.587, 0.114)

Scale = tuple[float, float]


class MicrographError(ValueError):
    """A file that is no usable micrograph; the message names it and says what to do."""


@dataclass(frozen=True)
class _Request:
    """What the caller asked for, checked against a file's header before its pixels are read."""

    path: Path
    frame: int
    max_pixels: int

    def check(self, height: int, width: int, frames: int = 1) -> None:
        if not 0 <= self.frame < frames:
            raise MicrographError(
                f"{self.path}: frame must be between 0 and {frames - 1}, the file has {frames} "
                f"frame(s). Received: frame={self.frame}."
            )
        if height * width > self.max_pixels:
            raise MicrographError(
                f"{self.path}: an image must have at most {self.max_pixels:,} pixels. Received: "
                f"{height:,} x {width:,} = {height * width:,}. If that is right, pass "
                f"max_pixels={height * width}."
            )


def load_micrograph(
    path: str | Path,
    *,
    nm_per_pixel: float | Scale | None = None,
    frame: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> Micrograph:
    """Reads one image with its calibration: PNG, JPEG, BMP, TIFF or a NumPy array (.npy).

    Pixels keep their dtype (uint8, uint16, float32 ...) in native byte order. One-bit and boolean
    images become uint8 with 0 and 255; palettes become RGB; alpha is dropped; one channel is
    squeezed.

    Calibration is read from TIFF as ImageJ, Digital Micrograph, FEI/Thermo Fisher, Zeiss and
    TVIPS write it, and from plain resolution tags finer than 1,000 nm per pixel.

    Args:
        path: the file.
        nm_per_pixel: overrides the file's calibration: one number, or (row, col).
        frame: page of a multi-page TIFF, from 0.
        max_pixels: larger images are refused before they are read into memory.

    Raises:
        FileNotFoundError: there is no such file; names close matches in its folder.
        MicrographError: (a ``ValueError``) the format is not supported, the file is damaged, has
            too many pixels, no such frame, complex or non-finite values.

    Example:
        >>> load_micrograph("grid3/a.tif").nm_per_pixel  # doctest: +SKIP
        (0.21, 0.21)
    """
    path = Path(path)
    by_hand = None if nm_per_pixel is None else _checked_scale(nm_per_pixel)
    _require_file(path)
    kind = _format_of(path)
    with _naming(path, kind):
        pixels, scale = _READERS[kind](_Request(path, frame, max_pixels))
    return Micrograph(_usable(pixels, path), by_hand or scale, path.name)


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) that ``load_micrograph`` would give, from the file's header alone.

    Images are turned as their Exif says, as annotation tools show them.

    Raises:
        FileNotFoundError: there is no such file; names close matches in its folder.
        MicrographError: (a ``ValueError``) the format is not supported, or the header is damaged.

    Example:
        >>> image_size("grid3/a.tif")  # doctest: +SKIP
        (2048, 2048)
    """
    path = Path(path)
    _require_file(path)
    kind = _format_of(path)
    with _naming(path, kind):
        return _size_from_header(path, kind)


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
    )


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """One channel of an image, in its dtype.

    Colour becomes luma, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded in integer dtypes.
    Three equal channels give exactly one of them.

    Args:
        pixels: (H, W), (H, W, 1) or (H, W, 3).

    Returns:
        (H, W) in the dtype of ``pixels``; a view where nothing needs computing.
    """
    _require_image(pixels)
    if pixels.ndim == 2:
        return pixels
    red, green, blue = (pixels[..., channel % pixels.shape[2]] for channel in range(3))
    if pixels.shape[2] == 1 or (np.array_equal(red, green) and np.array_equal(red, blue)):
        return red
    luma = sum(
        weight * band.astype(np.float64)
        for weight, band in zip(BT601, (red, green, blue), strict=True)
    )
    if np.issubdtype(pixels.dtype, np.integer):
        np.rint(luma, out=luma)
    return luma.astype(pixels.dtype)


def as_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """The image with as many channels as a model takes: grey is replicated, colour becomes luma.

    Args:
        pixels: (H, W), (H, W, 1) or (H, W, 3).
        channels: 1 or 3.

    Returns:
        (H, W, channels) in the dtype of ``pixels``.
    """
    if channels not in (1, 3):
        raise ValueError(
            f"channels must be 1 (grey) or 3 (colour). Received: channels={channels}. "
            "Build the model with channels=1 for micrographs."
        )
    _require_image(pixels)
    if channels == 3 and pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    return np.repeat(to_grey(pixels)[..., np.newaxis], channels, axis=2)


def _require_image(pixels: np.ndarray) -> None:
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
        raise ValueError(
            "pixels must be (H, W), (H, W, 1) or (H, W, 3). "
            f"Received: shape={pixels.shape}. Take one plane, or the three colours, of it."
        )


def _checked_scale(nm_per_pixel: float | Scale) -> Scale:
    values = np.asarray(nm_per_pixel, dtype=np.float64)
    if values.shape not in ((), (2,)) or not np.all(np.isfinite(values) & (values > 0)):
        raise ValueError(
            "nm_per_pixel must be one number or a pair (row, col), finite and greater than 0. "
            f"Received: nm_per_pixel={nm_per_pixel!r}."
        )
    row, col = np.broadcast_to(values, 2)
    return float(row), float(col)


def _require_file(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise MicrographError(f"{path}: is a folder, not an image. Use list_images on it.")
    siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=3)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    place = "" if path.parent.is_dir() else f" (nor is there a folder {path.parent})"
    raise FileNotFoundError(f"{path}: there is no such file{place}.{hint}")


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in NOT_YET:
        raise MicrographError(
            f"{path}: {NOT_YET[suffix]} files are not read by this release, also not with "
            "RosettaSciIO (`pip install rosettasciio`) installed; a later one will. "
            "Export the image as TIFF, which keeps the calibration."
        )
    if suffix not in SUFFIXES:
        raise MicrographError(
            f"{path}: the name must end in one of {', '.join(SUFFIXES)}. Received: {suffix!r}. "
            "Export the image as TIFF or PNG."
        )
    with path.open("rb") as file:
        head = file.read(8)
    for signature, kind in SIGNATURES:
        if head.startswith(signature):
            return kind
    raise MicrographError(
        f"{path}: does not begin like PNG, JPEG, BMP, TIFF or a NumPy array. Received: "
        f"{head!r} as its first bytes. It is damaged or of another format; export it once more."
    )


@contextmanager
def _naming(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever a decoder raises into an error that names the file."""
    try:
        yield
    except (MicrographError, MemoryError):
        raise
    # Decoders raise anything from SyntaxError to struct.error on bytes that they do not expect.
    except Exception as error:
        raise MicrographError(
            f"{path}: cannot be read as {kind}, it is damaged or incomplete ({error}). "
            "Copy it again from its source, or export it once more."
        ) from error


def _usable(pixels: np.ndarray, path: Path) -> np.ndarray:
    """The pixels as the package wants them: (H, W) or (H, W, 3), real, finite, native."""
    if pixels.dtype.kind not in "buif":
        raise MicrographError(
            f"{path}: pixels must be real numbers. Received: dtype={pixels.dtype}. "
            "Save the magnitude or the phase as its own image."
        )
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = pixels[..., :3]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.size == 0 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise MicrographError(
            f"{path}: an image must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not empty. "
            f"Received: shape={pixels.shape}. Save one image of it."
        )
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    _require_finite(pixels, path)
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def _require_finite(pixels: np.ndarray, path: Path) -> None:
    if pixels.dtype.kind != "f":
        return
    finite = np.isfinite(pixels)
    if not finite.all():
        row, col = np.argwhere(~finite)[0][:2]
        raise MicrographError(
            f"{path}: all values must be finite. Received: {finite.size - finite.sum()} NaN or "
            f"infinite values of {finite.size}, the first at row {row}, column {col}. "
            "Replace them, for example by the median of their neighbours."
        )


def _size_from_header(path: Path, kind: str) -> tuple[int, int]:
    if kind == "TIFF":
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            turn = page.tags.valueof(ORIENTATION)
            return _turned_size((page.imagelength, page.imagewidth), turn)
    if kind == "NumPy array":
        height, width = np.load(path, mmap_mode="r", allow_pickle=False).shape[:2]
        return height, width
    with path.open("rb") as file:
        image = _open_pillow(file, kind)
        # Pillow decodes a PNG to look for Exif behind the pixels, where hardly any has it.
        has_exif = kind != "PNG" or "exif" in image.info
        turn = image.getexif().get(ORIENTATION) if has_exif else None
        return _turned_size((image.height, image.width), turn)


def _turned_size(size: tuple[int, int], turn: object) -> tuple[int, int]:
    return size[::-1] if turn in ROWS_BECOME_COLUMNS else size


def _open_pillow(file: BinaryIO, kind: str) -> ImageFile:
    """A PNG, JPEG or BMP whose header is read."""
    # By class: PIL.Image.open would refuse 16,384 x 16,384 by a limit of its own.
    name = kind.capitalize()
    plugin = importlib.import_module(f"PIL.{name}ImagePlugin")
    return getattr(plugin, f"{name}ImageFile")(file)


def _read_pillow(request: _Request, kind: str) -> tuple[np.ndarray, None]:
    from PIL import ImageOps

    with request.path.open("rb") as file:
        image = _open_pillow(file, kind)
        request.check(image.height, image.width)
        image.load()
        depth, colour = _png_header(request.path) if kind == "PNG" else (8, 0)
        if depth == 16 and colour != 0:
            return _read_deep_png(request.path, colour), None
        image = ImageOps.exif_transpose(image)
        return _without_alpha(image), None


def _without_alpha(image: Image) -> np.ndarray:
    """Grey as stored, everything else (palette, alpha, CMYK, YCbCr) as RGB."""
    mode = {"1": "L", "LA": "L", "La": "L"}.get(image.mode, image.mode)
    if mode not in ("L", "I", "I;16", "I;16B", "F"):
        mode = "RGB"
    return np.array(image if image.mode == mode else image.convert(mode))


def _png_header(path: Path) -> tuple[int, int]:
    """Bits per channel, and colour type: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA."""
    # After signature 8, length and name of IHDR 8, width and height 8 (PNG 3rd ed., 11.2.1).
    with path.open("rb") as file:
        depth, colour = file.read(26)[24:]
    return depth, colour


def _read_deep_png(path: Path, colour: int) -> np.ndarray:
    """16 bits per channel with colour or alpha, which Pillow would reduce to 8."""
    import cv2

    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("no 16-bit image inside")
    return pixels[..., 0] if colour == 4 else pixels[..., 2::-1]


def _read_npy(request: _Request) -> tuple[np.ndarray, None]:
    # Mapped, so that a header which promises more than the file holds costs no memory.
    mapped = np.load(request.path, mmap_mode="r", allow_pickle=False)
    if mapped.ndim >= 2:
        request.check(*mapped.shape[:2])
    return np.array(mapped), None


def _read_tiff(request: _Request) -> tuple[np.ndarray, Scale | None]:
    import tifffile

    with tifffile.TiffFile(request.path) as tiff:
        first = tiff.pages.first
        request.check(first.imagelength, first.imagewidth, len(tiff.pages))
        page = tiff.pages[request.frame].aspage()
        request.check(page.imagelength, page.imagewidth, len(tiff.pages))
        _require_complete(page)
        scale = _tiff_scale(tiff, page)
        turned = page.tags.valueof(ORIENTATION) in ROWS_BECOME_COLUMNS
        return _tiff_pixels(page, request), scale[::-1] if scale and turned else scale


def _require_complete(page: tifffile.TiffPage) -> None:
    # A writer that was interrupted leaves strips of 0 bytes; tifffile fills them with zeros,
    # which would pass for image.
    missing = sum(count == 0 for count in page.databytecounts)
    if missing or not page.databytecounts:
        raise ValueError(f"{missing} of {len(page.databytecounts)} strips or tiles are missing")


def _tiff_pixels(page: tifffile.TiffPage, request: _Request) -> np.ndarray:
    from tifffile import PHOTOMETRIC

    try:
        pixels = page.asarray()
    except ValueError as error:
        # For LZW, JPEG and fax compression tifffile needs a package that we do without.
        if "imagecodecs" not in str(error):
            raise
        return _compressed_tiff_pixels(page, request)
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    if page.extrasamples:
        pixels = pixels[..., : -len(page.extrasamples)]
    if page.photometric == PHOTOMETRIC.PALETTE:
        pixels = (page.colormap[:, pixels] >> 8).astype(np.uint8).transpose(1, 2, 0)
    if page.photometric == PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
        pixels = ~pixels
    return _upright(pixels, page.tags.valueof(ORIENTATION))


def _upright(pixels: np.ndarray, turn: object) -> np.ndarray:
    if turn in ROWS_BECOME_COLUMNS:
        pixels = pixels.swapaxes(0, 1)
    if turn in FLIPPED_ROWS:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if turn in FLIPPED_COLUMNS else pixels


def _compressed_tiff_pixels(page: tifffile.TiffPage, request: _Request) -> np.ndarray:
    # OpenCV multiplies 8-bit colours with their alpha; Pillow reads no 16-bit colours. Both turn
    # the image as its orientation says.
    if page.bitspersample <= 8:
        from PIL.TiffImagePlugin import TiffImageFile

        with TiffImageFile(request.path) as image:
            image.seek(request.frame)
            return _without_alpha(image)
    import cv2

    done, pages = cv2.imreadmulti(
        str(request.path), start=request.frame, count=1, flags=cv2.IMREAD_UNCHANGED
    )
    if not done:
        raise ValueError("its compression is not supported: save it uncompressed")
    return pages[0] if pages[0].ndim == 2 else pages[0][..., 2::-1]


def _tiff_scale(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Scale | None:
    """(row, col) in nm of the first calibration that somebody wrote on purpose."""
    for read in (_scale_dm, _scale_vendor, _scale_imagej, _scale_resolution):
        pair = read(tiff, page)
        if pair is not None and all(math.isfinite(nm) and nm > 0 for nm in pair):
            return float(pair[0]), float(pair[1])
    return None


def _nm(unit: object) -> float | None:
    """Nanometres of a length's unit; None for pixels, reciprocal lengths and the unknown."""
    text = str(unit).strip().strip("\x00").replace("\\u00B5", "µ").replace("\u03bc", "µ")
    text = text.replace("\\u00C5", "å").lower()
    return NM_PER_UNIT.get(text, NM_PER_UNIT.get(text.removesuffix("s")))


def _scale_dm(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Scale | None:
    tags = page.tags
    nm_row, nm_col = _nm(tags.valueof(DM_UNIT_Y)), _nm(tags.valueof(DM_UNIT_X))
    row, col = tags.valueof(DM_SCALE_Y), tags.valueof(DM_SCALE_X)
    if None in (nm_row, nm_col, row, col):
        return None
    return row * nm_row, col * nm_col


def _scale_vendor(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Scale | None:
    if tiff.is_fei:
        scan = tiff.fei_metadata.get("Scan") or tiff.fei_metadata.get("EScan") or {}
        return _metres(scan.get("PixelHeight"), scan.get("PixelWidth"))
    if tiff.is_tvips:
        tvips = tiff.tvips_metadata
        return tvips.get("PixelSizeY", 0.0), tvips.get("PixelSizeX", 0.0)
    if tiff.is_sem:
        return _scale_zeiss(tiff.sem_metadata)
    return None


def _metres(row: object, col: object) -> Scale | None:
    if not isinstance(row, (int, float)) or not isinstance(col, (int, float)):
        return None
    return row * 1e9, col * 1e9


def _scale_zeiss(metadata: dict) -> Scale | None:
    entry = metadata.get("ap_image_pixel_size") or metadata.get("ap_pixel_size")
    if not entry or len(entry) < 3 or _nm(entry[2]) is None:
        return None
    return entry[1] * _nm(entry[2]), entry[1] * _nm(entry[2])


def _scale_imagej(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Scale | None:
    if not tiff.is_imagej:
        return None
    return _scale_per_unit(page, _nm((tiff.imagej_metadata or {}).get("unit")))


def _scale_resolution(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Scale | None:
    units = {2: "inch", 3: "cm"}
    return _scale_per_unit(page, _nm(units.get(page.tags.valueof(296, 2))))


def _scale_per_unit(page: tifffile.TiffPage, nm: float | None) -> Scale | None:
    """Pixel size from the tags 282 and 283, pixels per unit (TIFF 6.0, section 8)."""
    resolution = page.tags.valueof(283), page.tags.valueof(282)
    if nm is None or None in resolution or any(0 in fraction for fraction in resolution):
        return None
    row, col = (nm * below / above for above, below in resolution)
    if nm >= PRINT_UNITS_FROM_NM and max(row, col) > COARSEST_NM_IN_PRINT_UNITS:
        return None
    return row, col


_READERS: dict[str, Callable[[_Request], tuple[np.ndarray, Scale | None]]] = {
    "PNG": lambda request: _read_pillow(request, "PNG"),
    "JPEG": lambda request: _read_pillow(request, "JPEG"),
    "BMP": lambda request: _read_pillow(request, "BMP"),
    "TIFF": _read_tiff,
    "NumPy array": _read_npy,
}
