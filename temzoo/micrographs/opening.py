"""What a file is, by how it begins, and its images; each format's library is imported only then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from temzoo.core.hints import did_you_mean
from temzoo.micrographs.hdf5_file import HSPY, MARK, open_hdf5, open_hspy, parted
from temzoo.micrographs.hdf5_file import SUFFIXES as HDF5_SUFFIXES
from temzoo.micrographs.mrc_file import SUFFIXES as MRC_SUFFIXES
from temzoo.micrographs.mrc_file import is_mrc, open_mrc
from temzoo.micrographs.ndata_file import open_ndata
from temzoo.micrographs.plain_files import open_npy, open_with_pillow
from temzoo.micrographs.rosetta import EMI, open_digital_micrograph, open_emd, open_ser
from temzoo.micrographs.source import Images, MicrographError
from temzoo.micrographs.tiff_file import EER, open_tiff, refusal_of_eer
from temzoo.micrographs.zarr_file import SUFFIXES as ZARR_SUFFIXES
from temzoo.micrographs.zarr_file import ZSPY, is_zarr, open_zarr

# Written by microscopes; their exports as TIFF or PNG often lie beside them.
MICROSCOPE_SUFFIXES = (".dm3", ".dm4", ".ser", ".emi", ".emd", ".ndata1", *MRC_SUFFIXES)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", *MICROSCOPE_SUFFIXES)
SUFFIXES += (".npy", HSPY, *ZARR_SUFFIXES)
# Where a signature lies in the file, and what it says.
SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\x89HDF\r\n\x1a\n", "EMD"),
    (0, b"PK\x03\x04", "Nion Swift"),
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
NAMES = (
    "PNG, JPEG, BMP, TIFF, a NumPy array, MRC, Digital Micrograph, TIA series, EMD, HDF5 or Nion"
    " Swift"
)
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
    "HDF5": open_hdf5,
    "Nion Swift": open_ndata,
    "OME-Zarr": open_zarr,
    "HyperSpy": open_zarr,
    "HyperSpy's HDF5": open_hspy,
}


def format_of(path: Path) -> str:
    """The name of the format, a key of ``OPENERS``.

    Raises:
        MicrographError: the file's suffix, or its beginning, is of no format that is read.
    """
    file, inside = parted(path)
    suffix = file.suffix.lower()
    if suffix == EER:
        raise refusal_of_eer(path)
    if file.is_dir():
        return "HyperSpy" if suffix == ZSPY else "OME-Zarr"
    if suffix == ZSPY and file.exists():
        raise MicrographError(
            f"{path}: a zspy is read where it is a folder. Received: a file. Unpack it, if it is a"
            " ZIP archive, into a folder whose name ends in .zspy."
        )
    if suffix not in (*SUFFIXES, *HDF5_SUFFIXES):
        raise MicrographError(
            f"{path}: the name must end in one of {', '.join((*SUFFIXES, *HDF5_SUFFIXES))}. "
            f"Received: {suffix!r}. Export the image as TIFF or PNG."
        )
    with file.open("rb") as stream:
        head = stream.read(256)
    kind = _signed(head, SIGNATURES)
    if kind == "EMD" and (inside or suffix in HDF5_SUFFIXES):
        kind = "HDF5"
    if kind == "EMD" and suffix == HSPY:
        kind = "HyperSpy's HDF5"
    if inside and kind != "HDF5":
        raise MicrographError(
            f"{path}: only a dataset of HDF5 is named behind {MARK}. Received: a file that is"
            f" {kind or 'none'}. Name the file alone."
        )
    if kind:
        return kind
    if suffix == EMI:
        return "TIA series"
    if suffix in MRC_SUFFIXES and is_mrc(file):
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
def opened(path: Path) -> Iterator[Images]:
    """The images of a file; whatever a decoder raises becomes an error that names it."""
    require_file(path)
    kind = format_of(path)
    try:
        with OPENERS[kind](path) as images:
            yield images
    except MicrographError:
        raise
    except MemoryError as error:
        raise MicrographError(
            f"{path}: must fit in memory. Received: {str(error) or 'more than there is'}. Close"
            " other programs, or cut the image into parts."
        ) from error
    # Decoders raise anything from SyntaxError to struct.error on bytes that they do not expect.
    except Exception as error:
        raise MicrographError(
            f"{path}: cannot be read as {kind}, it is damaged or incomplete ({error}). "
            "Copy it again from its source, or export it once more."
        ) from error


def require_file(path: Path) -> None:
    """Raises FileNotFoundError, with close names, or MicrographError for a folder of images."""
    path, _ = parted(path)
    if path.is_file() or (path.is_dir() and is_zarr(path)):
        return
    if path.is_dir():
        raise MicrographError(f"{path}: is a folder, not an image. Use list_images on it.")
    place = "" if path.parent.is_dir() else f" (nor is there a folder {path.parent})"
    siblings = [] if place else [other.name for other in path.parent.iterdir()]
    hint = did_you_mean(path.name, siblings)
    raise FileNotFoundError(f"{path}: there is no such file{place}.{hint}")
