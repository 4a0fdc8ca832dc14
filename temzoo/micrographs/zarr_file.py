"""OME-Zarr, versions 0.4 (Zarr 2) and 0.5 (Zarr 3), and HyperSpy's zspy: an image by frames.

The format: https://ngff.openmicroscopy.org/0.5. An image is a folder; ``multiscales`` in its
metadata name its axes, their units, the array of each level, the finest first, and the scale of its
pixels. In a zspy, "Experiments" holds signals: an array "data", and a group "axis-0" … for each of
its axes (https://hyperspy.org/rosettasciio, "ZSpy"); the two of the image do not navigate.
A chunk that is not stored counts as the array's fill value: writers leave out empty ones.
"""

from __future__ import annotations

import importlib
import itertools
import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.micrographs.calibration import Scale, scale_of_axes
from temzoo.micrographs.source import Images, MicrographError, MissingReaderError, quietly, say
from temzoo.micrographs.whole_picture import BLOCK, require_inflates_to

SUFFIX = ".zarr"
ZSPY = ".zspy"
SUFFIXES = (SUFFIX, ZSPY)
SIGNALS = "Experiments"  # group of a zspy
METADATA = ("zarr.json", ".zgroup", ".zarray")  # of Zarr 3, and of a group and an array of Zarr 2
OLDEST_AXES = "tczyx"  # before 0.3, which named none
MOST_NAMED, DEEPEST = 8, 3
LARGEST_CHUNK = 2**31  # bytes, as Blosc's
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any((path / name).is_file() for name in METADATA)


@contextmanager
def open_zarr(path: Path) -> Iterator[ZarrImages]:
    """The images of an OME-Zarr, on disk until they are read."""
    try:
        zarr = importlib.import_module("zarr")
    except ImportError as error:
        raise MissingReaderError(
            f"{path}: OME-Zarr is read by zarr, which cannot be imported ({error}). Run `pip"
            " install 'temzoo[zarr]'`, or export the image as TIFF."
        ) from error
    with quietly("zarr"):
        group = zarr.open(str(path), mode="r")
        is_group = isinstance(group, zarr.Group)
        signals = group[SIGNALS] if is_group and SIGNALS in group else None
        images = _signal(path, signals) if signals is not None else _finest(path, group, is_group)
    yield images


def _finest(path: Path, group: Any, is_group: bool) -> ZarrImages:
    """The images of the finest level of an OME-Zarr."""
    images = attributes_of(group).get("multiscales") if is_group else None
    if not isinstance(images, list) or not images or not isinstance(images[0], dict):
        raise MicrographError(
            f"{path}: must be an image of OME-Zarr, with multiscales. Received: a Zarr"
            f" {'group' if is_group else 'array'} without. "
            f"{_named(group, path) or 'Export the image as TIFF.'}"
        )
    array = group[images[0]["datasets"][0]["path"]]
    if not hasattr(array, "chunks"):
        raise ValueError("its level 0 is no array")
    if len(images) > 1:
        say(path, f"the first of its {len(images)} multiscales")
    return _images(path, array, images[0])


def attributes_of(group: Any) -> dict[str, Any]:
    """What OME says of a group, of either version."""
    told = dict(group.attrs)
    return told["ome"] if isinstance(told.get("ome"), dict) else told


def _named(group: Any, path: Path) -> str:
    """The images inside a plate or a collection, as they are to be named; in words."""
    found, groups = [], [(group, path, 0)]
    while groups and len(found) < MOST_NAMED:
        place, where, depth = groups.pop(0)
        if depth and "multiscales" in attributes_of(place):
            found.append(str(where))
        elif depth < DEEPEST and hasattr(place, "groups"):
            groups += [(each, where / name, depth + 1) for name, each in sorted(place.groups())]
    return f"Name one of its images: {', '.join(found)}." if found else ""


@dataclass(frozen=True)
class ZarrImages(Images):
    """Frames are counted over all axes but y and x, in the order of the file, the last one fastest.

    Attributes:
        rows, columns: which axes of the array they are.
    """

    path: Path
    array: Any
    names: tuple[str, ...]
    rows: int
    columns: int
    scale: Scale | None

    def count(self) -> int:
        return math.prod(self._others.values())

    def size(self, frame: int) -> tuple[int, ...]:
        return int(self.array.shape[self.rows]), int(self.array.shape[self.columns])

    def read(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        index = np.unravel_index(frame, tuple(self._others.values()) or (1,))
        place: list[Any] = [slice(None)] * self.array.ndim
        for axis, at in zip(self._others, index, strict=False):
            place[axis] = int(at)
        self._check_chunks(place)
        with quietly("zarr"):
            pixels = np.asarray(self.array[tuple(place)])
        return (pixels if self.rows < self.columns else pixels.T), self.scale

    @property
    def _others(self) -> dict[int, int]:
        """The axes that frames are counted over, and their lengths."""
        return {
            axis: int(n)
            for axis, n in enumerate(self.array.shape)
            if axis not in (self.rows, self.columns)
        }

    def _check_chunks(self, place: list[Any]) -> None:
        """Says how many chunks of a frame are not stored; none may hold more than it promises."""
        array = self.array
        shape = tuple(getattr(array, "shards", None) or array.chunks)
        promised = math.prod(shape) * array.dtype.itemsize
        if promised > LARGEST_CHUNK:
            raise ValueError(f"a chunk of {promised:,} bytes is too large")
        inner = math.prod(array.chunks) * array.dtype.itemsize
        missing = count = 0
        for at in itertools.product(
            *(
                range(-(-int(n) // chunk)) if isinstance(where, slice) else [where // chunk]
                for n, chunk, where in zip(array.shape, shape, place, strict=True)
            )
        ):
            file = self.path / array.path / array.metadata.encode_chunk_key(at)
            count += 1
            if not file.is_file():
                missing += 1
            elif file.stat().st_size > 2 * promised + BLOCK:
                raise ValueError(f"a chunk has {file.stat().st_size:,} bytes for {promised:,}")
            elif shape == tuple(array.chunks):
                _require_bounded(file.read_bytes(), inner, array)
        if missing:
            what = f"{missing} of {count} chunks of a frame are not stored"
            say(self.path, f"{what}: its pixels there are {array.fill_value}")


def _signal(path: Path, signals: Any) -> ZarrImages:
    """The images of the first signal of a zspy."""
    (name, signal), *others = sorted(signals.groups())
    if others:
        say(path, f"its first signal, {name}, of {len(others) + 1}")
    array = signal["data"]
    axes = [dict(signal[f"axis-{axis}"].attrs) for axis in range(array.ndim)]
    image = [axis for axis, told in enumerate(axes) if not told["navigate"]]
    if len(image) != 2 or array.dtype.kind not in "buif":
        raise MicrographError(
            f"{path}: a signal must be of images. Received: {array.dtype} of shape {array.shape}"
            f" with {len(image)} axes of the signal. Make it a Signal2D in HyperSpy."
        )
    names = tuple(str(told.get("name")) for told in axes)
    scale, why = scale_of_axes(
        [(axes[axis].get("scale"), axes[axis].get("units")) for axis in image]
    )
    if why:
        say(path, f"its scale: {why}, which is no size of a pixel")
    return ZarrImages(path, array, names, *image, scale)


def _images(path: Path, array: Any, told: dict[str, Any]) -> ZarrImages:
    axes = told.get("axes") or list(OLDEST_AXES[-array.ndim :])
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]
    names = tuple(str(axis.get("name")).lower() for axis in axes)
    if len(names) != array.ndim or names.count("y") != 1 or names.count("x") != 1:
        raise MicrographError(
            f"{path}: an image must have the axes y and x, and as many as its array. Received: axes"
            f" {', '.join(names)} and an array of shape {array.shape}. Export it once more."
        )
    rows, columns = names.index("y"), names.index("x")
    sizes = sizes_of(told, array.ndim)
    stated = [(sizes[axis], axes[axis].get("unit")) for axis in (rows, columns)]
    scale, why = scale_of_axes(stated)
    others = [
        f"{name} ({n})" for name, n in zip(names, array.shape, strict=True) if name not in "yx"
    ]
    levels = len(told["datasets"])
    say(path, f"level 0 of {levels}, {array.path or 'the array'}, of shape {tuple(array.shape)}")
    if others:
        say(path, f"its images are counted over {', '.join(others)}")
    if why:
        say(path, f"its scale: {why}, which is no size of a pixel")
    return ZarrImages(path, array, names, rows, columns, scale)


def sizes_of(told: dict[str, Any], dimensions: int) -> Sequence[Any]:
    """The size of a pixel along each axis, in its unit: the scale of level 0, and of all levels."""
    sizes: np.ndarray | None = None
    for place in (told["datasets"][0], told):
        for each in place.get("coordinateTransformations") or ():
            if each.get("type") != "scale":
                continue
            scale = np.asarray(each.get("scale"), np.float64)
            if scale.shape != (dimensions,):
                raise ValueError(f"its scale has {scale.size} numbers for {dimensions} axes")
            sizes = scale if sizes is None else sizes * scale
    return [None] * dimensions if sizes is None else sizes.tolist()


def _require_bounded(raw: bytes, promised: int, array: Any) -> None:
    """Raises ValueError where a chunk holds more bytes than its array promises.

    Decoders take memory for what a chunk says, or holds.
    """
    for codec in array.compressors:
        kind = type(codec).__name__.lower().removesuffix("codec")
        if kind in ("gzip", "zlib"):
            require_inflates_to(raw, promised)
            return
        if kind == "blosc":
            (there,) = struct.unpack_from("<I", raw, 4)
        elif kind == "lz4":
            (there,) = struct.unpack_from("<I", raw)
        elif kind == "zstd":
            there = _zstd_size(raw, promised)
        else:
            raise ValueError(f"its compressor {kind} is not read: save it with zstd, or blosc")
        if there > promised + BLOCK:
            raise ValueError(f"a chunk holds {there:,} bytes and promises {promised:,}")


def _zstd_size(raw: bytes, promised: int) -> int:
    """Bytes in a frame of Zstandard (RFC 8878, 3.1.1.1); decoded where it does not say so."""
    if raw[:4] != ZSTD_MAGIC:
        raise ValueError("a chunk does not begin like Zstandard")
    flags = raw[4]
    width = (1, 2, 4, 8)[flags >> 6] if flags >> 6 or flags & 0b100000 else 0
    if not width:
        numcodecs = importlib.import_module("numcodecs")
        numcodecs.Zstd().decode(raw, out=np.empty(promised, np.uint8))
        return promised
    begin = 5 + (not flags & 0b100000) + (0, 1, 2, 4)[flags & 0b11]
    size = int.from_bytes(raw[begin : begin + width], "little")
    return size + 256 if width == 2 else size
