"""MRC: one image, or a stack of sections, with the pixel size in ångström.

The format: Cheng et al. 2015, J. Struct. Biol. 192, 146 (MRC2014), and IMOD's additions
(https://bio3d.colorado.edu/imod/doc/mrc_format.txt). Sections are given as they are stored, the
first row on top, as RosettaSciIO and ImageJ show them.

Many programs write neither the word "MAP " nor the stamp of the byte order that MRC2014 asks for.
The size of the image, its mode and the size of the file tell the byte order as surely: read the
other way round, an image is larger than its file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.micrographs.calibration import Scale, nm_of, real_scale
from temzoo.micrographs.source import MicrographError, Stack, say

SUFFIXES = (".mrc", ".mrcs", ".st", ".ali", ".rec", ".map")
HEADER = 1024  # bytes
DTYPES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2", 101: "u1"}  # by mode
HALF_BYTES = 101  # two pixels a byte; SerialEM's frames of counted electrons
STAMPS = {b"\x44\x44": "<", b"\x44\x41": "<", b"\x11\x11": ">"}  # word 54, the first two bytes
# IMOD's, at byte 152; bit 0 of the next word says that bytes are signed.
IMOD_STAMP, IMOD_SIGNED = 1146047817, 1
STACKS_OF_VOLUMES = range(401, 631)  # space groups, word 23
# In the extended header of the first section, where "Pixel size X" and "Pixel size Y" lie, metres.
EXTENDED_BY_FEI, FEI_PIXEL_SIZE = (b"FEI1", b"FEI2"), 156


@dataclass(frozen=True)
class Header:
    """What is used of the 1024 bytes at the beginning.

    Attributes:
        order: "<" or ">", of the bytes of a number.
        shape: (sections, rows, columns).
        intervals, cell: along x, y, z; the cell in ångström.
        axes: which of x, y, z, from 0, runs along columns, rows, sections.
        lowest, highest: grey values as the writer found them.
        extended: bytes of the extended header, which lies between this one and the pixels.
    """

    order: str
    shape: tuple[int, int, int]
    mode: int
    intervals: tuple[int, int, int]
    cell: tuple[float, float, float]
    axes: tuple[int, int, int]
    lowest: float
    highest: float
    space_group: int
    extended: int
    extended_kind: bytes
    imod: tuple[int, int]

    @classmethod
    def of(cls, raw: bytes, order: str) -> Header:
        """The header whose 1024 bytes these are, if they are in this order."""
        columns, rows, sections, mode = struct.unpack_from(f"{order}4i", raw)
        intervals = struct.unpack_from(f"{order}3i", raw, 28)
        cell = struct.unpack_from(f"{order}3f", raw, 40)
        axes = tuple(axis - 1 for axis in struct.unpack_from(f"{order}3i", raw, 64))
        lowest, highest = struct.unpack_from(f"{order}2f", raw, 76)
        group, extended = struct.unpack_from(f"{order}2i", raw, 88)
        imod = struct.unpack_from(f"{order}2i", raw, 152)
        shape, kind = (sections, rows, columns), raw[104:108]
        return cls(
            order, shape, mode, intervals, cell, axes, lowest, highest, group, extended, kind, imod
        )

    @property
    def stored(self) -> tuple[int, int, int]:
        """Sections, rows, and numbers in a row, of which half bytes share one."""
        sections, rows, columns = self.shape
        return sections, rows, -(-columns // 2) if self.mode == HALF_BYTES else columns

    def problem(self, size: int) -> str:
        """Why a file of this size cannot have this header; "" where it can."""
        if self.mode not in DTYPES:
            return f"its mode {self.mode} is none of {', '.join(map(str, DTYPES))}"
        if min(self.shape) < 1 or self.extended < 0:
            return f"it promises {self.shape} sections, rows and columns"
        pixels = math.prod(self.stored) * np.dtype(DTYPES[self.mode]).itemsize
        if HEADER + self.extended + pixels > size:
            return (
                f"it promises {HEADER:,} + {self.extended:,} bytes of headers and {pixels:,} of "
                f"pixels, and has {size:,} in all"
            )
        return ""


def is_mrc(path: Path) -> bool:
    """Whether a file without the word "MAP " can have an MRC header, in either byte order."""
    raw, size = _beginning(path)
    return len(raw) == HEADER and any(
        not header.problem(size) and sorted(header.axes) in ([0, 1, 2], [-1, -1, -1])
        for header in (Header.of(raw, order) for order in "<>")
    )


@contextmanager
def open_mrc(path: Path) -> Iterator[Stack]:
    """The sections of an MRC file, mapped: one that nobody asks for stays on disk."""
    header = _header(path)
    shape: tuple[int, ...] = header.stored if header.shape[0] > 1 else header.stored[1:]
    if header.space_group in STACKS_OF_VOLUMES and header.intervals[2] > 0:
        deep = header.intervals[2]
        raise MicrographError(
            f"{path}: an MRC file must hold one image or one stack. Received: "
            f"shape={(header.shape[0] // deep, deep, *header.shape[1:])}, a stack of volumes. "
            "Save one volume of it."
        )
    dtype = np.dtype(DTYPES[header.mode]).newbyteorder(header.order)
    if header.mode == 0 and not _bytes_are_signed(header, path):
        dtype = np.dtype("u1")
    data: Any = np.memmap(path, dtype, "r", HEADER + header.extended, shape)
    if header.mode == HALF_BYTES:
        data = HalfBytes(data, header.shape[2])
    yield Stack(data, _scale_of_header(header) or _scale_of_fei(header, path))


@dataclass(frozen=True)
class HalfBytes:
    """An array of bytes read as pixels from 0 to 15, of which the left one is the lower half."""

    packed: np.ndarray
    columns: int
    dtype = np.dtype("u1")

    @property
    def ndim(self) -> int:
        return self.packed.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return *self.packed.shape[:-1], self.columns

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, frame: int) -> HalfBytes:
        return HalfBytes(self.packed[frame], self.columns)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        pixels = np.stack([self.packed & 15, self.packed >> 4], axis=-1)
        return pixels.reshape(*self.packed.shape[:-1], -1)[..., : self.columns]


def _beginning(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        return file.read(HEADER), path.stat().st_size


def _header(path: Path) -> Header:
    """The header in the byte order in which it fits the file.

    Raises:
        ValueError: it fits in neither.
    """
    raw, size = _beginning(path)
    if len(raw) < HEADER:
        raise ValueError(f"its header has {HEADER:,} bytes, and it has {len(raw):,} in all")
    stamped = STAMPS.get(raw[212:214])
    orders = "><" if stamped == ">" else "<>"
    headers = [Header.of(raw, order) for order in orders]
    fitting = [header for header in headers if not header.problem(size)]
    if not fitting:
        raise ValueError(headers[0].problem(size))
    if fitting[0].order != stamped:
        name = {"<": "little", ">": "big"}[fitting[0].order]
        say(path, f"{name}-endian, by its size: the stamp is {raw[212:216].hex(' ')}")
    return fitting[0]


def _bytes_are_signed(header: Header, path: Path) -> bool:
    """Of mode 0: -128 to 127, as MRC2014 has it, or 0 to 255, as older programs and IMOD write."""
    stamp, flags = header.imod
    if stamp == IMOD_STAMP:
        signed, why = bool(flags & IMOD_SIGNED), "IMOD's flag"
    elif 127 < header.highest <= 255 and header.lowest >= 0:
        signed, why = False, f"the header's minimum {header.lowest:g} and maximum"
        why += f" {header.highest:g}"
    else:
        signed, why = True, "MRC2014"
    say(path, f"bytes are {'-128 to 127' if signed else '0 to 255'}, by {why}")
    return signed


def _scale_of_header(header: Header) -> Scale | None:
    """From the size of the cell and the intervals along it (words 8 to 13)."""
    # Which of x, y, z runs along rows and along columns: 2 and 1, unless the file was turned.
    axes = (0, 1, 2) if header.axes == (-1, -1, -1) else header.axes  # not set
    along = axes[1], axes[0]
    if not all(k in range(3) and header.intervals[k] > 0 for k in along):
        return None
    row, col = (nm_of("angstrom") * header.cell[k] / header.intervals[k] for k in along)
    return real_scale((row, col))


def _scale_of_fei(header: Header, path: Path) -> Scale | None:
    """From the first section's extended header, metres."""
    if header.extended_kind not in EXTENDED_BY_FEI or header.extended < FEI_PIXEL_SIZE + 16:
        return None
    with path.open("rb") as file:
        file.seek(HEADER + FEI_PIXEL_SIZE)
        col, row = struct.unpack(f"{header.order}2d", file.read(16))
    return real_scale((nm_of("m") * row, nm_of("m") * col))
