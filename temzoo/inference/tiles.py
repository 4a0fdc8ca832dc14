"""Micrograph → tiles → network → blended answer, in bounded memory whatever the image's size.

A model reflects an image up to a multiple of its coarsest step before it pools. The same is done
here to the whole micrograph, and tiles are cut from that at multiples of the step, so that a tile
is pooled exactly as the whole image would be. Where tiles overlap, their probabilities are blended
by weights that sum to one at each pixel and vanish near a tile's own edge, where it lacks context.
Only one row of tiles is held as probabilities at a time; what remains of it is the class map. A
tile is cut and normalised, and the one before it checked and blended, while one is in the network.

Normalisation statistics come from the whole micrograph, never from a tile, so a tiled prediction
equals that of the whole image wherever a tile sees the context that the model uses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from temzoo.inference.concurrent import in_order, progress_bar
from temzoo.inference.pixels import channels_view, statistics_of

TILE = 1408  # pixels; the longest edge of a tile where an image is too large to be taken whole
WHOLE = TILE**2  # pixels; up to this area an image is one tile, unless a tile size is given
REACH = 12  # an overlap is so many times the model's coarsest step, unless it is given
MOST_OVERLAP = 512  # pixels; of an overlap that is not given
STEP = 32  # pixels; the coarsest step taken for a model that does not state its own
RAMP = 32  # pixels over which a tile fades into the next
Network = Callable[[np.ndarray], np.ndarray]  # raw (B, h, w, C) → (B, h, w, K) float32


@dataclass(frozen=True)
class PixelNetwork:
    """A model that answers every pixel of an image.

    Attributes:
        on: of a micrograph (H, W, C), the function of its raw tiles, (B, h, w, C) to (B, h, w, K)
            float32.
        channels: that it takes; None: any.
        step: px; tiles are cut at multiples of it.
        in_flight: tiles that are taken up at once; 1 for a function that is called from its own
            thread alone.
        whole: takes a whole image, (H, W) or (H, W, C) to (H, W, K), in place of tiles.
        name: of the model, in messages.
    """

    on: Callable[[np.ndarray], Network]
    channels: int | None = None
    step: int = STEP
    in_flight: int = 1
    whole: Callable[[np.ndarray], np.ndarray] | None = None
    name: str = ""


def on_tiles(
    normalize: Any, channels: np.ndarray, answer: Callable[..., np.ndarray], *, restores: bool
) -> Network:
    """What lies behind a normalisation, as a function of raw tiles (B, h, w, C) of one micrograph.

    Args:
        normalize: the layer; its statistics are those of the whole micrograph. None: there is none.
        channels: (H, W, C), the micrograph.
        answer: takes normalised tiles, float32, and the raw ones, of the micrograph's own type.
        restores: answers are pictures in normalised units, which go back to the raw range.
    """
    if normalize is None:
        return lambda batch: answer(batch.astype(np.float32), batch)
    shift, scale = statistics_of(normalize, channels)

    def network(batch: np.ndarray) -> np.ndarray:
        found = answer(normalize.apply(batch, shift, scale), batch)
        return normalize.invert(found, shift, scale) if restores else found

    return network


def answer_blocks(
    network: PixelNetwork, pixels: np.ndarray, options: Any
) -> Generator[tuple[int, np.ndarray], None, None]:
    """A network's answer, in tiles and blended: finished rows from top to bottom.

    Args:
        pixels: (H, W) or (H, W, C).
        options: ``inference.options.TileOptions``.

    Yields:
        (first row, (rows, W, K) float32): probabilities, or a restorer's pixels in the range of
        ``pixels``.
    """
    if network.whole is not None:
        answer = np.asarray(network.whole(pixels), np.float32)
        yield 0, _checked_answer(answer[None], (1, *pixels.shape[:2], 1), network.name)[0]
        return
    channels = channels_view(pixels, network.channels)
    rows, columns = tile_layout(
        network.step, channels.shape[:2], tile=options.tile, overlap=options.overlap
    )
    ask = asked_of(network, channels, options)
    count = len(rows.starts) * len(columns.starts)
    batches = _batches(channels, rows, columns, options.batch_size)
    in_flight = network.in_flight if count > options.batch_size else 1
    with progress_bar(count, options.progress) as advance:
        answers = in_order(ask, batches, in_flight=in_flight)
        yield from _stitched(_tiles(answers, advance), rows, columns)


def asked_of(network: PixelNetwork, channels: np.ndarray, options: Any) -> Network:
    """The network as a function of a micrograph's raw tiles, whose answers are checked."""
    ask = network.on(channels)
    if options.flips:
        ask = _mirrored(ask)
    return lambda batch: _checked_answer(ask(batch), batch.shape, network.name)


def tile_layout(
    step: int, shape: tuple[int, int], *, tile: int | None = None, overlap: int | None = None
) -> tuple[Tiles, Tiles]:
    """The tiles that ``predict`` would cover an image (H, W) with: down it, and across it.

    Example:
        >>> rows, columns = tile_layout(32, (4096, 4096))
        >>> len(rows.starts) * len(columns.starts), rows.size * columns.size
    """
    if overlap is None:
        overlap = min(REACH * step, (tile or 2 * MOST_OVERLAP) // 2)
    fit = tile is None and shape[0] * shape[1] > WHOLE
    edges = [_fitting_edge(length, overlap, step) if fit else tile for length in shape]
    rows, columns = (
        Tiles.along(length, edge, overlap, step) for length, edge in zip(shape, edges, strict=True)
    )
    return rows, columns


def _fitting_edge(length: int, overlap: int, step: int) -> int:
    """The least edge of tiles that cover a length in as few as tiles of ``TILE`` do.

    Tiles of ``TILE`` itself would seldom fill a length evenly: the last would repeat much of its
    neighbour. All lengths are multiples of the step.
    """
    padded, overlap = length + -length % step, overlap + -overlap % step
    most = max(TILE - TILE % step, overlap + step)
    count = max(-(-(padded - overlap) // (most - overlap)), 1)
    edge = -(-(padded + (count - 1) * overlap) // count)
    return edge + -edge % step


def _mirrored(network: Network) -> Network:
    """The mean of a network's answers to the four mirror images, mirrored back."""

    def mean(batch: np.ndarray) -> np.ndarray:
        total = network(batch)
        for axes in ((1,), (2,), (1, 2)):
            total = total + np.flip(network(np.flip(batch, axes)), axes)
        return total / 4

    return mean


@dataclass(frozen=True)
class Tiles:
    """The tiles along one axis of an image.

    Attributes:
        length: pixels of the image along this axis.
        before: pixels reflected before the first one, to complete the model's coarsest step.
        size: pixels of each tile.
        starts: first pixel of each tile, counted from the start of the reflected border.
        weights: (tiles, size) float32; at each pixel those of all tiles over it sum to 1.
    """

    length: int
    before: int
    size: int
    starts: tuple[int, ...]
    weights: np.ndarray

    @classmethod
    def along(cls, length: int, tile: int | None, overlap: int | None, step: int) -> Tiles:
        padded = length + -length % step
        before = (padded - length) // 2
        if tile is not None and tile % step:
            lower = max(tile // step, 1) * step
            raise ValueError(
                f"tile must be a multiple of {step} for this model. Received: tile={tile}. "
                f"Use {lower} or {lower + step}."
            )
        if tile is None or tile >= padded:
            return cls(length, before, padded, (0,), np.ones((1, padded), np.float32))
        stride = tile - (tile // 2 if overlap is None else overlap)
        stride -= stride % step if stride >= step else 0
        starts = (*range(0, padded - tile, stride), padded - tile)
        return cls(length, before, tile, starts, _blend_weights(starts, tile))

    @property
    def end(self) -> int:
        return self.starts[-1] + self.size

    @cached_property
    def counted(self) -> list[slice]:
        """Of each tile the part that has weight, counted from the tile's own start."""
        inside = [np.flatnonzero(weights) for weights in self.weights]
        return [slice(int(each[0]), int(each[-1]) + 1) for each in inside]

    def pixels(self, start: int) -> np.ndarray:
        """(size,) indices into the image of the tile at ``start``, reflected at its ends."""
        period = max(2 * (self.length - 1), 1)
        offset = np.arange(start - self.before, start - self.before + self.size) % period
        return (self.length - 1) - np.abs((self.length - 1) - offset)


def _blend_weights(starts: Sequence[int], size: int) -> np.ndarray:
    """(tiles, size) float32 weights that sum to 1 at each pixel.

    Across an overlap one tile fades out as the next fades in, along sin² over the middle 32 pixels
    (an eighth of an overlap below 256); what lies nearer to a tile's own edge, where it lacks
    context, has weight 0.
    """
    weights = np.ones((len(starts), size))
    for index, (first, second) in enumerate(itertools.pairwise(starts)):
        shared = first + size - second
        if shared > 0:
            position = (np.arange(shared) + 0.5) / shared
            width = min(RAMP / shared, 1 / 8)
            ramp = np.sin(np.pi / 2 * np.clip((position - 0.5) / width + 0.5, 0, 1)) ** 2
            weights[index, size - shared :] *= 1 - ramp
            weights[index + 1, :shared] *= ramp
    total = np.zeros(starts[-1] + size)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + size] += weight
    for start, weight in zip(starts, weights, strict=True):
        weight /= total[start : start + size]
    return weights.astype(np.float32)


def _stitched(
    tiles: Iterator[np.ndarray], rows: Tiles, columns: Tiles
) -> Iterator[tuple[int, np.ndarray]]:
    """Blends row after row of tiles and yields each pixel row once no later tile adds to it."""
    tops = [top + part.start for top, part in zip(rows.starts, rows.counted, strict=True)]
    inside = slice(columns.before, columns.before + columns.length)
    left_over = None
    for top, end, part, weights in zip(
        tops, (*tops[1:], rows.end), rows.counted, rows.weights, strict=True
    ):
        strip = _blended(itertools.islice(tiles, len(columns.starts)), columns, part)
        weights = weights[part]
        fading = weights != 1  # most rows have weight 1
        strip[fading] *= weights[fading, None, None]
        if left_over is not None:
            strip[: len(left_over)] += left_over
        first = max(rows.before - top, 0)
        last = min(end, rows.before + rows.length) - top
        if last > first:
            yield top + first - rows.before, strip[first:last, inside]
        left_over = strip[end - top :].copy()


def _batches(
    channels: np.ndarray, rows: Tiles, columns: Tiles, batch_size: int
) -> Iterator[np.ndarray]:
    """The raw tiles, row by row from left to right, (B, h, w, C); no batch spans two rows."""
    for top in rows.starts:
        lines = rows.pixels(top)
        for index in range(0, len(columns.starts), batch_size):
            starts = columns.starts[index : index + batch_size]
            yield np.stack([_cut(channels, lines, columns.pixels(start)) for start in starts])


def _cut(channels: np.ndarray, lines: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The pixels of these lines and places; a view where none of them is reflected."""
    top, left = lines.min(), places.min()
    part = channels[top : lines.max() + 1, left : places.max() + 1]
    whole = part.shape[:2] == (len(lines), len(places))
    if whole and lines[0] <= lines[-1] and places[0] <= places[-1]:
        return part
    return part.take(lines - top, axis=0).take(places - left, axis=1)


def _tiles(answers: Iterator[np.ndarray], advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    """The answers to single tiles, each (h, w, K)."""
    for answer in answers:
        advance(len(answer))
        yield from answer


def _blended(tiles: Iterator[np.ndarray], columns: Tiles, lines: slice) -> np.ndarray:
    """These lines of one row of tiles, weighted and added up: (h, padded width, K) float32."""
    strip = None
    covered = 0
    for start, part, weights, tile in zip(
        columns.starts, columns.counted, columns.weights, tiles, strict=True
    ):
        count = tile.shape[-1]
        if strip is None:
            strip = np.empty((lines.stop - lines.start, columns.end * count), np.float32)
        # Classes are no axis of their own here: NumPy is slow along one that is so short.
        shown = tile[lines, part].reshape(len(strip), -1)
        weights = np.repeat(weights[part], count)
        first, last = ((start + end) * count for end in (part.start, part.stop))
        both = max(covered - first, 0)  # over these the tile before is seen too
        strip[:, first : first + both] += shown[:, :both] * weights[:both]
        np.multiply(shown[:, both:], weights[both:], out=strip[:, first + both : last])
        covered = last
    return strip.reshape(len(strip), columns.end, -1)


def _checked_answer(answer: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if answer.ndim != 4 or answer.shape[:3] != shape[:3]:
        raise ValueError(
            "a segmentation model must return (B, H, W, classes) for pixels (B, H, W, C). "
            f"Received: {answer.shape} for {shape}. Use a model of the semantic task."
        )
    # The likeliest of classes that are NaN is the background: a broken model would find nothing.
    strange = answer.size - np.count_nonzero(np.isfinite(answer))
    if strange:
        raise ValueError(
            f"a model's answer must be finite. Received: {strange} NaN or infinite values of"
            f" {answer.size} from {name}, for pixels that are finite. Its weights are"
            " damaged or its training diverged: take earlier weights, or train with a lower"
            " learning rate."
        )
    return answer
