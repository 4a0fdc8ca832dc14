"""The run lengths of Label Studio's brushes: bits, as numbers from 0 to 255, of an RGBA picture.

First stand the number of samples in 32 bits, the bits of a sample less one in 5, and four widths
of lengths, each less one, in 4. Blocks follow: a bit that says whether one sample is repeated, two
that choose a width, the length less one in that width, and the sample, or the samples. Of each
pixel alone the fourth sample counts, which is above 0 in the brush.

Source: https://labelstud.io/tags/brushlabels, and files that Label Studio 1 writes
"""

from __future__ import annotations

from typing import Any

import numpy as np

from temzoo.labels.formats.limits import short

CHANNELS = 4  # red, green, blue and alpha
SAMPLE_BITS, WIDTHS = 8, (3, 4, 8, 16)


def brush_runs(stated: Any, height: int, width: int) -> np.ndarray:
    """Run lengths, (R,) int64, row-major, zeros first, of the pixels of a brush.

    Raises:
        ValueError: it is no list of bytes, ends within a block, or is not of height x width.
    """
    bits, at = _bits(stated), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        if at > len(bits):
            raise ValueError(
                f"rle must be whole. Received: {len(bits) // 8} bytes, which end within a block. "
                "Draw the brush again, or remove it."
            )
        return int(bits[at - count : at], 2)

    total, sample = take(32), take(5) + 1
    if total != height * width * CHANNELS:
        raise ValueError(
            "rle must have four samples a pixel. "
            f"Received: {total} samples, image {width} x {height}. Draw the brush again."
        )
    widths = [take(4) + 1 for _ in range(4)]
    ends, values, done = [], [], 0  # of stretches of equal samples
    while done < total:
        repeated = take(1)
        length = take(widths[take(2)]) + 1
        for part in (length,) if repeated else (1,) * min(length, total - done):
            done = min(done + part, total)
            values.append(take(sample) > 0)
            ends.append(done)
    # A pixel's fourth sample lies in the first stretch that ends behind it.
    return _merged(np.array(values), np.array(ends, np.int64) // CHANNELS)


def brush_bytes(runs: np.ndarray) -> list[int]:
    """What Label Studio reads, of row-major run lengths, zeros first."""
    longest = 2 ** WIDTHS[3] // CHANNELS
    bits = [format(int(runs.sum()) * CHANNELS, "032b"), format(SAMPLE_BITS - 1, "05b")]
    bits += [format(width - 1, "04b") for width in WIDTHS]
    for place, run in enumerate(runs.tolist()):
        sample = format(255 * (place % 2), "08b")
        for start in range(0, run, longest):
            length = min(longest, run - start) * CHANNELS
            choice = next(k for k, width in enumerate(WIDTHS) if length <= 2**width)
            bits.append(f"1{choice:02b}{length - 1:0{WIDTHS[choice]}b}{sample}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[k : k + 8], 2) for k in range(0, len(text), 8)]


def _bits(stated: Any) -> str:
    whole = isinstance(stated, list) and all(type(one) is int and 0 <= one < 256 for one in stated)
    if not whole:
        raise ValueError(
            f"rle must be a list of numbers from 0 to 255. Received: rle={short(stated)}. Draw the "
            "brush again, or remove it."
        )
    return "".join(format(one, "08b") for one in stated)


def _merged(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Run lengths of stretches, each with a value and an end; some of them empty."""
    lengths = np.diff(ends, prepend=0)
    values, lengths = values[lengths > 0], lengths[lengths > 0]
    first = np.flatnonzero(np.diff(values, prepend=not values[0]))
    runs = np.add.reduceat(lengths, first)
    return np.concatenate([np.zeros(1, np.int64), runs]) if values[0] else runs
