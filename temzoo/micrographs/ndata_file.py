"""Nion Swift's .ndata1: a ZIP of ``data.npy`` and ``metadata.json``.

As Nion Swift 16 exports it (nion.swift.model.ImportExportManager): the metadata have
``spatial_calibrations``, one {scale, units} a dimension, and say which dimensions are a sequence, a
collection and a datum, in this order. Colours are stored blue, green, red (nion.data.Image).
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.micrographs.calibration import Scale, scale_of_axes
from temzoo.micrographs.source import Images, MicrographError, say
from temzoo.micrographs.whole_picture import DEFLATED, require_bytes

DATA, METADATA = "data.npy", "metadata.json"
MOST_METADATA = 2**24  # bytes; a session's have some kB
COLOURS = (3, 4)


@contextmanager
def open_ndata(path: Path) -> Iterator[NionImages]:
    """The images of an .ndata1 file; its pixels are read one image at a time."""
    with zipfile.ZipFile(path) as archive:
        missing = {DATA, METADATA} - set(archive.namelist())
        if missing:
            raise ValueError(f"it has no {' and no '.join(sorted(missing))} in it")
        with archive.open(METADATA) as file:
            told = json.loads(file.read(MOST_METADATA))
        if not isinstance(told, dict):
            raise ValueError(f"its {METADATA} is no object")
        yield _images(path, archive, told)


@dataclass(frozen=True)
class NionImages(Images):
    """The first dimension counts the frames where there is one before rows and columns.

    Attributes:
        shape: (frames, rows, columns), and the colours where there are any.
        begin: of the pixels, in ``data.npy``.
        columns_first: the array lies in Fortran's order, and is read as a whole.
    """

    archive: zipfile.ZipFile
    shape: tuple[int, ...]
    dtype: np.dtype
    begin: int
    columns_first: bool
    stored_shape: tuple[int, ...]
    scale: Scale | None

    def count(self) -> int:
        return self.shape[0]

    def size(self, frame: int) -> tuple[int, ...]:
        return self.shape[1:3]

    def read(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        one = self.shape[1:]
        if self.columns_first:
            everything = self._values(0, math.prod(self.shape))
            pixels = everything.reshape(self.stored_shape, order="F").reshape(self.shape)[frame]
        else:
            pixels = self._values(frame * math.prod(one), math.prod(one)).reshape(one)
        return (pixels if pixels.ndim == 2 else pixels[..., 2::-1]), self.scale

    def _values(self, first: int, count: int) -> np.ndarray:
        size = self.dtype.itemsize
        with self.archive.open(DATA) as file:
            file.seek(self.begin + first * size)
            return np.frombuffer(file.read(count * size), self.dtype, count)


def _images(path: Path, archive: zipfile.ZipFile, told: dict[str, Any]) -> NionImages:
    shape, columns_first, dtype, begin = _header(archive)
    if dtype.hasobject:
        raise ValueError("its array holds Python objects, which are not read")
    promised, entry = math.prod(shape) * dtype.itemsize, archive.getinfo(DATA)
    if begin + promised > entry.file_size:
        there = entry.file_size - begin
        raise ValueError(f"it promises {promised:,} bytes of pixels and has {there:,}")
    require_bytes(path, promised, 1 if entry.compress_type == zipfile.ZIP_STORED else DEFLATED)
    coloured = dtype == np.uint8 and len(shape) > 2 and shape[-1] in COLOURS
    dimensions = shape[:-1] if coloured else shape
    if not _is_stack(dimensions, told):
        raise MicrographError(
            f"{path}: must hold an image or a stack of images. Received: an array of shape {shape},"
            f" {_described(told)}. Export an image of it as TIFF."
        )
    frames = dimensions[0] if len(dimensions) == 3 else 1
    images = (frames, *dimensions[-2:], *(shape[-1:] if coloured else ()))
    scale = _scale(path, told, len(dimensions))
    return NionImages(archive, images, dtype, begin, columns_first, shape, scale)


def _header(archive: zipfile.ZipFile) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, order and dtype of the array, and where its pixels begin; no pickle is ever read."""
    with archive.open(DATA) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            read = np.lib.format.read_array_header_1_0
        elif version == (2, 0):
            read = np.lib.format.read_array_header_2_0
        else:
            raise ValueError(f"its array is of version {version}")
        shape, columns_first, dtype = read(file)
        return tuple(map(int, shape)), columns_first, dtype, file.tell()


def _is_stack(dimensions: tuple[int, ...], told: dict[str, Any]) -> bool:
    """Whether the last two dimensions are an image's, with at most one before them.

    Three or four dimensions of which the metadata say nothing are a collection of 2, of spectra or
    of diffraction patterns: so Nion Swift takes them.
    """
    sequence = int(bool(told.get("is_sequence")))
    others = len(dimensions) - sequence
    collection = told.get("collection_dimension_count", 2 if others in (3, 4) else 0)
    datum = told.get("datum_dimension_count", others - collection)
    if sequence + collection + datum != len(dimensions):
        raise ValueError(
            f"its metadata tell of {sequence + collection + datum} dimensions, its array has"
            f" {len(dimensions)}"
        )
    # Spectra are a line each; a map of one number a place is an image.
    return len(dimensions) in (2, 3) and datum == 2


def _described(told: dict[str, Any]) -> str:
    keys = ("is_sequence", "collection_dimension_count", "datum_dimension_count")
    return ", ".join(f"{key} {told[key]}" for key in keys if key in told) or "of no said kind"


def _scale(path: Path, told: dict[str, Any], dimensions: int) -> Scale | None:
    axes = told.get("spatial_calibrations")
    if not isinstance(axes, list) or len(axes) != dimensions:
        if axes is not None:
            say(path, f"its spatial_calibrations are not one a dimension of {dimensions}")
        return None
    row, col = (axis if isinstance(axis, dict) else {} for axis in axes[-2:])
    scale, how = scale_of_axes([(axis.get("scale"), axis.get("units")) for axis in (row, col)])
    if how:
        say(path, f"spatial_calibrations: {how}, which is no size of a pixel")
    return scale
