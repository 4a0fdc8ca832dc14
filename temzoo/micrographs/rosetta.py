"""Digital Micrograph (dm3, dm4), TIA (ser, emi) and EMD (Velox, Berkeley), through RosettaSciIO.

RosettaSciIO is under the GPL, so temzoo neither needs nor ships it: ``_reader`` is the one place
that touches it, when such a file is read.
"""

from __future__ import annotations

import importlib
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from temzoo.core.hdf5_heaps import require_sound_heaps
from temzoo.micrographs.calibration import Scale, nm_of, real_scale
from temzoo.micrographs.hdf5_file import named_datasets
from temzoo.micrographs.source import (
    Images,
    MicrographError,
    MissingReaderError,
    OneAfterAnother,
    Stack,
    quietly,
    say,
)

Reader = Callable[..., list[dict[str, Any]]]
MODULES = {"Digital Micrograph": "digitalmicrograph", "TIA series": "tia", "EMD": "emd"}
EMI = ".emi"
UNITS_OF_ENERGY = ("ev", "kev")
BY_PLACE = re.compile(r"dim\d")  # an axis that is named after its place in the array
# A coarser "length" is a reciprocal one: a ser file does not say that it holds a diffraction
# pattern, whose 1e7 per metre would pass for metres.
COARSEST_NM = 1e6
# Of a ser file (C. B. Boothroyd, "ES Vision and TIA file format"): what an element is, the version
# from which offsets have 8 bytes, bytes before an image's pixels, and bytes of a pixel by its type.
SER_SPECTRA = 0x4120
SER_LONG_OFFSETS = 0x0220
SER_IMAGE_HEADER = struct.Struct("<ddIddIHII")
SER_BYTES = {1: 1, 2: 2, 3: 4, 4: 1, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 16}


def _reader(path: Path, kind: str) -> Reader:
    """RosettaSciIO's reader of a format."""
    try:
        with quietly("rsciio"):
            importlib.import_module("rsciio")
            return importlib.import_module(f"rsciio.{MODULES[kind]}").file_reader
    except ImportError as error:
        raise MissingReaderError(
            f"{path}: {kind} files are read by RosettaSciIO, which cannot be imported ({error}). "
            "Run `pip install 'temzoo[microscopes]'`, or export the image as TIFF, which keeps "
            "the calibration."
        ) from error


@contextmanager
def open_digital_micrograph(path: Path) -> Iterator[OneAfterAnother]:
    """The images of a dm3 or dm4 file, on disk until they are read."""
    read = _reader(path, "Digital Micrograph")
    try:
        with quietly("rsciio"):  # dask's transposes change the filters of warnings too
            stacks = _stacks(_signals(read, str(path)), path)
    except AttributeError as error:
        if "'Dimension'" not in str(error):
            raise
        raise MicrographError(
            f"{path}: each axis must have a calibration for RosettaSciIO to read it. Received: an"
            " image without, as Nion Swift writes colours. Export it there as .ndata1 or TIFF."
        ) from error
    yield OneAfterAnother(stacks)


def _signals(read: Reader, file: str | BinaryIO, **options: str) -> list[dict[str, Any]]:
    """What a file holds, its pixels left on disk where that can be."""
    try:
        return read(file, lazy=True, **options)
    except ValueError as error:
        # It cannot of colours of Digital Micrograph, nor of pixels that HDF5 holds in one piece.
        # Both are uncompressed, so what is read is no larger than the file.
        if "RGB" not in str(error) and "chunks" not in str(error):
            raise
        return read(file, **options)


@contextmanager
def open_emd(path: Path) -> Iterator[OneAfterAnother]:
    """The images of an EMD file, of Velox or as Berkeley defined it, on disk until read."""
    import h5py

    read = _reader(path, "EMD")
    require_sound_heaps(path)
    # Given the path, it would keep the file open beyond our use of it, for the sake of lazy=True.
    with path.open("rb") as file:
        with h5py.File(file) as opened:
            velox = "Version" in opened and "Image" in opened.get("Data", ())
        # Spectra stay unread by an option that only Velox's layout has.
        options = {"select_type": "images"} if velox else {}
        try:
            with quietly("rsciio"):
                stacks = _stacks(_signals(read, file, **options), path)
        except OSError as error:
            if "not a supported EMD file" not in str(error):
                raise
            raise MicrographError(
                f"{path}: HDF5 must be laid out as EMD, by Velox or as Berkeley defined it, or its"
                f" dataset named. Received: another layout. It holds {_datasets(path)}."
            ) from error
        except ModuleNotFoundError as error:
            raise MissingReaderError(
                f"{path}: RosettaSciIO reads an EMD file with a spectrum image only where the "
                "package sparse is installed, also for its images. Run `pip install sparse`, or "
                "export the image as TIFF."
            ) from error
        yield OneAfterAnother(stacks)


def _datasets(path: Path) -> str:
    import h5py

    with h5py.File(path) as opened:
        return named_datasets(opened, path)


def series_of(path: Path) -> list[Path]:
    """The ser files of an emi file: TIA writes a.emi without pixels, and a_1.ser, a_2.ser … ."""
    numbered = re.compile(rf"{re.escape(path.stem)}_(\d+)\.ser", re.IGNORECASE)
    found = [
        (match, each) for each in path.parent.iterdir() if (match := numbered.fullmatch(each.name))
    ]
    return [each for _, each in sorted((int(match[1]), each) for match, each in found)]


@contextmanager
def open_ser(path: Path) -> Iterator[Images]:
    """The images of a ser file, or of those of an emi file; only headers are read."""
    read = _reader(path, "TIA series")
    suffix = path.suffix.lower()
    if suffix not in (".ser", EMI):
        raise MicrographError(
            f"{path}: a TIA series must be named .ser for RosettaSciIO to read it. Received: "
            f"{path.suffix!r}. Rename it."
        )
    if suffix == ".ser":
        yield SerImages(path, read, *_ser_header(path))
        return
    series = series_of(path)
    if not series:
        raise MicrographError(
            f"{path}: the images of an emi file are in files beside it, {path.stem}_1.ser and so"
            " on. Received: none of them. Copy them there."
        )
    say(path, f"its images are in {', '.join(each.name for each in series)}")
    yield OneAfterAnother([SerImages(each, read, *_ser_header(each)) for each in series])


@dataclass(frozen=True)
class SerImages(Images):
    """The images of a ser file: RosettaSciIO reads all of them at once, when one is asked for."""

    path: Path
    reader: Reader
    frames: int
    height: int
    width: int

    def count(self) -> int:
        return self.frames

    def size(self, frame: int) -> tuple[int, int]:
        return self.height, self.width

    def read(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        return self._all.read(frame)

    @cached_property
    def _all(self) -> OneAfterAnother:
        with quietly("rsciio"):
            return OneAfterAnother(_stacks(self.reader(str(self.path)), self.path))


def _ser_header(path: Path) -> tuple[int, int, int]:
    """Images in a ser file, and their height and width.

    RosettaSciIO takes memory for what the header promises, so it is compared with the file first.
    """
    with path.open("rb") as file:
        _, _, version, kind, _, _, frames = struct.unpack("<HHHIIII", file.read(22))
        wide = version >= SER_LONG_OFFSETS
        (table,) = struct.unpack("<Q" if wide else "<I", file.read(8 if wide else 4))
        if kind == SER_SPECTRA:
            raise _no_image(path, [f"{frames} spectra"])
        if frames == 0:
            raise ValueError("none of its images was recorded")
        file.seek(table)
        (first,) = struct.unpack("<Q" if wide else "<I", file.read(8 if wide else 4))
        file.seek(first)
        header = SER_IMAGE_HEADER.unpack(file.read(SER_IMAGE_HEADER.size))
    *_, pixel, width, height = header
    promised, there = frames * height * width * SER_BYTES[pixel], path.stat().st_size
    if promised > there:
        raise ValueError(f"it promises {promised:,} bytes of pixels and has {there:,} in all")
    return frames, height, width


def _stacks(signals: Sequence[dict[str, Any]], path: Path) -> list[Stack]:
    """The images among what a file holds; complex ones only where there are no others."""
    found = [(signal["data"], _in_order(signal)) for signal in signals]
    images = [(data, axes) for data, axes in found if _is_image(data, axes)]
    if not images:
        raise _no_image(path, [_described(data, axes) for data, axes in found])
    real = [(data, axes) for data, axes in images if data.dtype.kind != "c"]
    return [
        Stack(data.transpose([axis["place"] for axis in axes]), _scale(axes))
        for data, axes in real or images
    ]


def _no_image(path: Path, found: list[str]) -> MicrographError:
    return MicrographError(
        f"{path}: must hold an image or a stack of images. Received: "
        f"{', '.join(found) or 'no data'}. Export an image of it as TIFF."
    )


def _in_order(signal: dict[str, Any]) -> list[dict[str, Any]]:
    """The axes, each with its place in the array: those of a stack first, then rows, columns.

    Rows and columns are the axes named y and x. Programs that write Berkeley's EMD disagree about
    which comes first. ncempy names axes dim1, dim2 … by their place in the array, of which
    RosettaSciIO gives the last one first. Where the names do not tell, they are the last two.
    """
    axes = [{**axis, "place": place} for place, axis in enumerate(signal["axes"])]
    names = [str(axis.get("name")).lower() for axis in axes]
    if all(map(BY_PLACE.fullmatch, names)):
        axes.sort(key=lambda axis: str(axis["name"]).lower())
    if names.count("y") == names.count("x") == 1:
        axes.sort(key=lambda axis: {"y": 1, "x": 2}.get(str(axis.get("name")).lower(), 0))
    return axes


def _is_image(data: Any, axes: list[dict[str, Any]]) -> bool:
    energy = any(str(axis.get("units")).lower() in UNITS_OF_ENERGY for axis in axes)
    scanned = any(axis.get("navigate") for axis in axes[-2:])
    return data.ndim == len(axes) and len(axes) in (2, 3) and not energy and not scanned


def _described(data: Any, axes: list[dict[str, Any]]) -> str:
    units = ", ".join(str(axis.get("units") or "no unit") for axis in axes)
    return f"an array of shape {tuple(map(int, data.shape))} ({units})"


def _scale(axes: list[dict[str, Any]]) -> Scale | None:
    units = [nm_of(axis.get("units")) for axis in axes[-2:]]
    if None in units:
        return None
    row, col = (float(axis["scale"]) * nm for axis, nm in zip(axes[-2:], units, strict=True))
    return None if max(row, col) > COARSEST_NM else real_scale((row, col))
