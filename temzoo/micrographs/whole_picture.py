"""Whether a PNG or JPEG holds all the rows that its header promises.

Decoders fill what is missing, with zeros (PNG) or grey (JPEG), and say nothing: it would pass for
image. Both checks take little memory, so they also bound what a small file can make a decoder take.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

BLOCK = 2**20  # bytes at a time
# First row, first column, and the steps of both, of the passes of an interlaced PNG (8.1).
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
ADAM7 += [(1, 0, 2, 1)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG by its colour type
FILLS = (127, 128)  # grey that libjpeg puts where data are missing, and its inverse
# Neither grey nor fill, between all the markers at which a decoder may wait.
PROBE = b"".join(64 * b"\x55" + bytes([0xFF, 0xD0 + k]) for k in range(8)) + 64 * b"\x55"
Decoder = Callable[[bytes], np.ndarray]


def require_whole_png(path: Path) -> None:
    """Raises ValueError where the pixels of a PNG are fewer than its header promises."""
    with path.open("rb") as file:
        file.seek(16)  # signature, and length and name of IHDR (PNG 3rd ed., 11.2.1)
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", file.read(13))
        passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
        sizes = [
            (-(-(height - row) // down), -(-(width - col) // along))
            for row, col, down, along in passes
        ]
        bits = depth * CHANNELS.get(colour, 1)
        promised = sum(
            rows * (1 + -(-cols * bits // 8)) for rows, cols in sizes if rows > 0 and cols > 0
        )
        there = sum(_inflated(file, promised))
    if there < promised:
        rows = f"about {height * there // promised} of its {height} rows"
        raise ValueError(f"it promises {promised:,} bytes of pixels and has {there:,}: {rows}")


def _inflated(file: BinaryIO, most: int) -> Iterator[int]:
    """Bytes of pixels in the blocks of a PNG's chunks IDAT; no more of them than needed."""
    file.seek(8)
    inflate, found = zlib.decompressobj(), 0
    while found < most and not inflate.eof and len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        following = file.tell() + length + 4
        while name == b"IDAT" and length > 0 and (raw := file.read(min(length, BLOCK))):
            length -= len(raw)
            while raw and found < most and not inflate.eof:
                found += (size := len(inflate.decompress(raw, BLOCK)))
                yield size
                raw = inflate.unconsumed_tail
        file.seek(following)


def require_whole_jpeg(path: Path, shown: np.ndarray, decode: Decoder) -> None:
    """Raises ValueError where rows of a JPEG are missing at its lower end.

    What is missing comes out in one grey. Bytes put in at the end of the data change that grey;
    behind data that are complete no decoder looks at them.

    Args:
        shown: pixels as ``decode`` gives them of the whole file.
        decode: (H, W) or (H, W, 3) pixels of the bytes of a JPEG.
    """
    if not np.isin(shown[-1, -1], FILLS).all():
        return
    raw = path.read_bytes()
    end = raw.rfind(b"\xff\xd9")
    longer = decode(raw[:end] + PROBE + raw[end:])
    if end >= 0 and not np.array_equal(longer, shown):
        row = int(np.argwhere(longer != shown)[0, 0])
        raise ValueError(f"its data end at row {row} of {len(shown)}, or a little below")


def require_bytes(path: Path, promised: int, per_byte: int) -> None:
    """Raises ValueError where a file is too small for its pixels, however well they compress.

    Args:
        promised: bytes of pixels, as its header says.
        per_byte: how many of them a byte of the file can hold at the most.
    """
    if promised > per_byte * (there := path.stat().st_size):
        raise ValueError(f"it promises {promised:,} bytes of pixels, and has {there:,} in all")
