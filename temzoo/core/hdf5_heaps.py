"""A check of HDF5 files that may have come from anywhere, before h5py opens them."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

SIGNATURE, HEAP = b"\x89HDF\r\n\x1a\n", b"GCOL"
SIZE_OF_LENGTHS = {0: 14, 1: 14, 2: 10, 3: 10}  # where it lies, by the superblock's version
OBJECT = struct.Struct("<H6xQ")  # index, size
HEAD = OBJECT.size
LEAST_HEAP, MOST_READ = 4096, 2**27  # bytes


def require_sound_heaps(path: Path) -> None:
    """Refuses a file whose heaps of texts are damaged: HDF5 1.14.6 may not come to their end.

    Texts of no fixed length lie in global heaps (File Format Specification 3.0, III.E), object
    after object. Of a large file its first and last 128 MB are looked at, where writers keep what
    is not pixels.

    Raises:
        ValueError: the sizes of a heap's objects do not lead to its end.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        place = SIZE_OF_LENGTHS.get(raw[8] if len(raw) > 8 else 255)
        if raw[:8] != SIGNATURE or place is None or raw[place : place + 1] != b"\x08":
            return
        for begin, end in {(0, MOST_READ), (max(0, len(raw) - MOST_READ), len(raw))}:
            at = raw.find(HEAP, begin, end)
            while at >= 0:
                _require_ends(raw, at)
                at = raw.find(HEAP, at + 1, end)


def _require_ends(raw: mmap.mmap, at: int) -> None:
    """Raises ValueError where the objects of the heap that begins here do not come to its end."""
    head = raw[at : at + 16]
    size = int.from_bytes(head[8:], "little")
    if head[4:8] != b"\1\0\0\0" or not LEAST_HEAP <= size <= len(raw) - at:
        return  # no heap, or one that HDF5 refuses itself
    here, end = at + 16, at + size
    while here + HEAD <= end:
        index, length = OBJECT.unpack(raw[here : here + HEAD])
        # Number 0 is free space, whose size counts its head.
        step = length if index == 0 else HEAD + -(-length // 8) * 8
        if not HEAD <= step <= end - here:
            raise ValueError(f"its heap at byte {at:,} is damaged: an object has no sound size")
        here += step
