"""The pixels of a window: neighbours become background, and it may be resized."""

from __future__ import annotations

import cv2
import numpy as np

from temzoo.core.types import Micrograph
from temzoo.particles.fields import Field, Object, inside_frame, paint
from temzoo.particles.plan import Frame, Pair

HALO = 3  # pixels; how far the rim of defocus around an object is taken to reach
LEAST_BACKGROUND = 64  # pixels; fewer do not show its noise


def without_neighbours(
    micrograph: Micrograph, source: Field, inside: Frame, *, keep: Object | None
) -> np.ndarray:
    """The pixels of a frame with background in place of all objects but one, or of all."""
    top, left, bottom, right = inside
    pixels = micrograph.pixels[top:bottom, left:right]
    others = source.covered(inside, but=keep)
    own = np.zeros_like(others)
    if keep is not None:
        paint(own, inside[:2], keep)
    # A neighbour's halo goes with it, except where it would take the particle's own.
    hidden = (others | (_widened(others) & ~_widened(own))) & ~own
    if not hidden.any():
        return pixels
    pixels = pixels.copy()
    pixels[hidden] = _background_at(hidden, micrograph, source, inside)
    return pixels


def _background_at(
    hidden: np.ndarray, micrograph: Micrograph, source: Field, inside: Frame
) -> np.ndarray:
    """Background for the M hidden pixels of a frame: copied from beside them, as whole as can be.

    Each copy is shifted as one piece, so that the noise keeps its grain. The shift that brings
    most of what is still missing comes first; what no shift brings is drawn at random.
    """
    frame, free = _free_around(source, inside)
    found = micrograph.pixels[frame[0] : frame[2], frame[1] : frame[3]][free]
    places = np.argwhere(hidden) + np.array(inside[:2])
    values = np.random.default_rng(len(places)).choice(found, len(places))
    # By up to the size of the window each way, in quarters of it, the shortest first.
    quarters = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 2, indexing="ij"), -1).reshape(-1, 2)
    order = np.argsort((quarters**2).sum(axis=1), kind="stable")[1:]
    shifts = np.rint(quarters[order] * np.array(hidden.shape) / 4).astype(int)
    # Which shift brings which hidden pixel to a free one, (shifts, M); none is beyond the frame.
    height, width = hidden.shape
    around = np.pad(free, [(height, height), (width, width)])
    starts = shifts + np.array(inside[:2]) - np.array(frame[:2]) + np.array(hidden.shape)
    usable = np.stack([around[r : r + height, c : c + width][hidden] for r, c in starts])
    for _ in shifts:
        best = int(usable.sum(axis=1).argmax())
        brought = usable[best].copy()
        if not brought.any():
            break
        rows, cols = (places[brought] + shifts[best]).T
        values[brought] = micrograph.pixels[rows, cols]
        usable[:, brought] = False
    return values


def _free_around(source: Field, inside: Frame) -> tuple[Frame, np.ndarray]:
    """A frame around another, three times its size or as large as it takes, and where it is free.

    Free is what lies in no object and in no halo.
    """
    whole, frame = (0, 0, *source.shape), inside
    while True:
        top, left, bottom, right = frame
        down, along = bottom - top, right - left
        frame = inside_frame((top - down, left - along, bottom + down, right + along), source.shape)
        free = ~_widened(source.covered(frame))
        if np.count_nonzero(free) >= LEAST_BACKGROUND or (frame == whole and free.any()):
            return frame, free
        if frame == whole:
            raise ValueError(
                f"{source.name or 'micrograph'}: mask_out needs background. Received: an image "
                f"that objects and {HALO} px around them cover wholly. Use mask_out=False."
            )


def _widened(mask: np.ndarray) -> np.ndarray:
    """The mask and all pixels up to the width of a halo around it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * HALO + 1, 2 * HALO + 1))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0


def resample(pixels: np.ndarray, starts: Pair, sides: Pair, size: int) -> np.ndarray:
    """A window that may start and end inside pixels, in another number of them.

    Args:
        pixels: (h, w) or (h, w, C), any real dtype; the window lies inside, by half a pixel at
            least where it is enlarged.
        starts: (row, col) of its corner, in continuous coordinates.
        sides: rows and columns that it spans.

    Returns:
        (size, size) or (size, size, C) in the dtype of ``pixels``: along each axis the mean over
        a new pixel's extent where that is a pixel or more, else linear interpolation.
    """
    down, along = (
        _weights(length, start, side, size)
        for length, start, side in zip(pixels.shape, starts, sides, strict=False)
    )
    rows = np.tensordot(down, pixels.astype(np.float64), 1)
    values = np.moveaxis(np.tensordot(along, rows, (1, 1)), 0, 1)
    return (np.rint(values) if pixels.dtype.kind in "biu" else values).astype(pixels.dtype)


def _weights(length: int, start: float, side: float, size: int) -> np.ndarray:
    """(size, length) shares of the old pixels in each new one; each row sums to 1."""
    step, old = side / size, np.arange(length)
    first = start + step * np.arange(size)[:, None]
    if step >= 1:
        shares = np.minimum(first + step, old + 1) - np.maximum(first, old)
    else:
        shares = 1 - np.abs(first + step / 2 - (old + 0.5))
    shares = np.maximum(shares, 0)
    return shares / shares.sum(axis=1, keepdims=True)
