"""Whether a PNG or JPEG holds all the rows that its header promises.

Decoders fill what is missing, with zeros (PNG) or grey (JPEG), and say nothing: it would pass for
image. Both checks take little memory, so they also bound what a small file can make a decoder take.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

BLOCK = 2**20  # bytes at a time
DEFLATED = 1_040  # bytes that one of deflate can hold at the most, and a little
SPARE = 2**28  # bytes beyond what is promised, up to which it is not looked at what a block holds
# First row, first column, and the steps of both, of the passes of an interlaced PNG (8.1).
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
ADAM7 += [(1, 0, 2, 1)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG by its colour type
# Neither grey nor fill, between all the markers at which a decoder may wait. Of 1,536 files cut 1
# to 40 bytes short, 0x55 left 33 as they were, for its codes mean next to nothing; 0xDD none.
PROBE = b"".join(64 * b"\xdd" + bytes([0xFF, 0xD0 + k]) for k in range(8)) + 64 * b"\xdd"
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

    What is missing comes out in one grey, but for the block in which the data end. Bytes put in at
    the end of the data change both; behind data that are complete no decoder looks at them.

    Args:
        shown: pixels as ``decode`` gives them of the whole file.
        decode: (H, W) or (H, W, 3) pixels of the bytes of a JPEG.
    """
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


def require_inflates_to(raw: bytes, promised: int) -> None:
    """Raises ValueError where a block of deflate holds far more bytes than are promised.

    Decoders take memory for what it holds. It is inflated in small parts, where it is so long that
    it may hold too much.
    """
    if len(raw) * DEFLATED <= promised + SPARE:
        return
    inflate, found = zlib.decompressobj(wbits=47), 0  # of zlib or of gzip
    while raw and not inflate.eof:
        found += len(inflate.decompress(raw, BLOCK))
        _require_at_most(found, promised)
        raw = inflate.unconsumed_tail


def require_unpacks_to(raw: bytes, promised: int) -> None:
    """The same for PackBits (TIFF 6.0, section 9)."""
    place = found = 0
    while place < len(raw):
        head = raw[place]
        found += head + 1 if head < 128 else (257 - head) % 129  # copied, or repeated; 128: neither
        place += head + 2 if head < 128 else 2 - (head == 128)
        _require_at_most(found, promised)


def require_lzma_to(raw: bytes, promised: int) -> None:
    """The same for LZMA, whose header also says how large a dictionary it takes."""
    decoder, found = lzma.LZMADecompressor(memlimit=SPARE), 0
    part = decoder.decompress(raw, BLOCK)
    while part and not decoder.eof:
        found += len(part)
        _require_at_most(found, promised)
        part = decoder.decompress(b"", BLOCK)


def _require_at_most(found: int, promised: int) -> None:
    if found > promised + BLOCK:
        raise ValueError(f"a part of it promises {promised:,} bytes of pixels and has more")
