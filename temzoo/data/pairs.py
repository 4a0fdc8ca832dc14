"""Pairs for restoring: a poor picture, and the one that a network should make of it, to tf.data.

Where the better picture comes from, by ``PairPlan.source``:

- two folders, or frames of a movie ("given"). Two noisy exposures of one field teach as well as a
  clean image does, since the mean of what the noise may be is the clean image: Noise2Noise,
  Lehtinen et al. 2018, arXiv:1803.04189;
- the image itself, made poorer (``degrade.py``), made grey ("grey"), or as it is ("same");
- nothing but the noisy image ("blind_spot"): a pixel is replaced by a neighbour and guessed from
  what is around it. Noise that is independent from pixel to pixel cannot be guessed, so the guess
  is the clean image: Noise2Void, Krull et al. 2019, arXiv:1811.10980.

As in ``dataset.py``, element k of a stream is a function of the seed and k alone. Crops keep the
stored pixels: resizing them would change their noise.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from temzoo.core.hints import did_you_mean
from temzoo.core.offset import offset_of
from temzoo.core.types import Example, Micrograph
from temzoo.data.dataset import crop_list, validation_areas
from temzoo.data.degrade import NAMED, Degradation, black_and_white, degradation, degrade
from temzoo.data.images import ahead
from temzoo.data.preparation import THREADS, Cached, crop, filled, or_new, tensors, visit
from temzoo.data.share import ALL, Share
from temzoo.micrographs import as_channels

SOURCES = ("given", "grey", "same", "blind_spot")
# What validation draws is kept apart from what training draws.
VALIDATION = 2
# One pixel of 8 x 8 is blind: 64 of 64 x 64, the number of Krull et al.
BLIND_CELL_PX = 8
BLIND_REACH_PX = 2  # a neighbour comes from the 5 x 5 about the pixel


@dataclass(frozen=True)
class PairPlan:
    """Where training pairs come from and what is done to them.

    Attributes:
        size: side of a crop, px.
        source: "given" (the truth of each example), "grey" (the colours of its grey), "same" (the
            image itself), "blind_spot", the name of a degradation, or a Degradation.
        seed: of order, windows, turns and noise.
        flips: turns and mirrors both by one of the eight symmetries of the square, before noise is
            made. Without where the given images' own noise has a direction, as that of a scan.
        magnification: of crops, which keep their pixels.
    """

    size: int = 128
    source: str | Degradation = "given"
    seed: int = 0
    flips: bool = True
    magnification: ClassVar[tuple[float, float]] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if isinstance(self.source, Mapping):  # as a run's settings store a Degradation
            values = {k: tuple(v) if isinstance(v, list) else v for k, v in self.source.items()}
            object.__setattr__(self, "source", Degradation(**values))
        if self.size < 16:
            raise ValueError(f"A crop has 16 px and more a side. Received: size={self.size}.")
        names = [*SOURCES, *NAMED]
        if not isinstance(self.source, Degradation) and self.source not in names:
            raise ValueError(
                "source must be a Degradation or the name of a source of pairs. Received: "
                f"source={self.source!r}.{did_you_mean(self.source, names)} Names: "
                f"{', '.join(names)}."
            )

    @property
    def degrades(self) -> bool:
        """Whether the poor picture is made of the better one by noise."""
        return self.source not in SOURCES


@dataclass(frozen=True)
class DegradedLoader:
    """Reads an image and makes it poorer, each time by the same noise."""

    load: Callable[[], Micrograph] = field(repr=False)
    how: str | Degradation
    seed: Sequence[int]

    def __call__(self) -> Micrograph:
        clean = self.load()
        pixels = clean.pixels
        if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]  # grey, stored as colour: an electron is counted once
        return replace(clean, pixels=degrade(pixels, self.how, self.seed))


def degraded(
    examples: Sequence[Example], how: str | Degradation, *, seed: int = 0
) -> list[Example]:
    """Examples as if they had been recorded with noise once; the clean image is their truth.

    For measuring what is learnt from noisy images alone, or from two exposures: a plan whose
    source is a degradation draws noise anew for each crop, which no microscope gives. The noise
    follows from the seed and the image's name.
    """
    how = degradation(how)  # refuses an unknown name now, not in a thread later
    return [
        replace(
            example,
            load=DegradedLoader(example.load, how, (seed, _number_of(example.name))),
            load_truth=example.load,
        )
        for example in examples
    ]


def _number_of(name: str) -> int:
    """Of an image: the same in each process, unlike ``hash``."""
    return zlib.crc32(name.encode())


def default_source(examples: Sequence[Example], out_channels: int) -> str:
    """Where pairs come from when nobody says: from truths, from colour, or from noise alone."""
    if any(example.load_truth for example in examples):
        return "given"
    return "grey" if out_channels == 3 else "blind_spot"


def crops_per_epoch(examples: Sequence[Example], plan: PairPlan) -> int:
    """Windows that cover every image once."""
    return len(crop_list(examples, plan))


def pair_stream(
    examples: Sequence[Example],
    plan: PairPlan,
    *,
    channels: int = 1,
    out_channels: int = 1,
    batch: int = 8,
    start: int = 0,
    share: Share = ALL,
    failures: list[Exception] | None = None,
) -> tf.data.Dataset:
    """An endless stream of batches of crops, each with what should be made of it.

    Args:
        channels, out_channels: of the poor picture and of the better one: 1 or 3.
        batch, start, share, failures: as for ``dataset.training_stream``.

    Returns:
        Batches of (x, y), (B, S, S, channels) and (B, S, S, out_channels) float32 in the stored
        range; of a blind spot (x, y, weight), (B, S, S) float32, 1 where y counts and 0 elsewhere.

    Raises:
        ValueError: there are no examples, or they do not suit the plan's source.
    """
    decoded = _Decoded(examples, plan, channels, out_channels, failures=or_new(failures))
    crops = crop_list(examples, plan)

    def prepare(k):
        (index, *centre), rng = visit(crops, plan.seed, int(k))
        whole = decoded[index]
        (poor, better), _ = crop(whole[:2], centre, plan, rng)
        if plan.flips:
            symmetry = int(rng.integers(8))
            poor, better = (turned(array, symmetry) for array in (poor, better))
        return _made(plan, whole.levels, poor, better, int(rng.integers(2**63)))

    load = decoded.tensors(prepare, (plan.size, plan.size))
    stream = share.numbers(start, batch)
    stream = stream.map(load, num_parallel_calls=THREADS, deterministic=True)
    return ahead(stream.batch(share.rows(batch), drop_remainder=True), 2)


def pair_validation(
    examples: Sequence[Example],
    plan: PairPlan,
    *,
    channels: int = 1,
    out_channels: int = 1,
    side: int | None = None,
    failures: list[Exception] | None = None,
) -> tf.data.Dataset:
    """Whole images in order, one a batch, each in its own size: (1, H, W, …).

    Large ones come in windows, and all in windows of ``side`` px for a network of one size, as
    ``dataset.validation_set`` tells. Noise and blind spots are drawn by the image's name and the
    window alone, so that every epoch, and every model whatever its seed, is judged by the same
    pixels. Errors are those of ``pair_stream``.
    """
    decoded = _Decoded(examples, plan, channels, out_channels, failures=or_new(failures))

    def prepare(area):
        index, row, col, height, width = (int(number) for number in area)
        part = (slice(row, row + height), slice(col, col + width))
        whole = decoded[index]
        poor, better = (filled(array[part], side or 0) for array in whole[:2])
        seed = [VALIDATION, _number_of(examples[index].name), row, col]
        return _made(plan, whole.levels, poor, better, seed)

    stream = tf.data.Dataset.from_tensor_slices(validation_areas(examples, side))
    return ahead(stream.map(decoded.tensors(prepare, (side, side))).batch(1), 1)


def pair_of(
    example: Example, plan: PairPlan, *, channels: int = 1, out_channels: int = 1
) -> tuple[np.ndarray, np.ndarray | None]:
    """A whole image and what should be made of it, as validation makes them.

    (H, W, channels) and (H, W, out_channels) float32 in the stored range; the second is None of a
    "blind_spot", which leaves the image as it is and knows no better one. Errors are those of
    ``pair_stream``.
    """
    poor, better, levels = _Decoded([example], plan, channels, out_channels)[0]
    if plan.source == "blind_spot":
        return poor.astype(np.float32), None
    poor, better = _made(plan, levels, poor, better, [VALIDATION, _number_of(example.name), 0, 0])
    return poor, better


def turned(array: np.ndarray, symmetry: int) -> np.ndarray:
    """A square array, (S, S, …), in one of its eight positions, 0 the one that it is in."""
    array = np.rot90(array, symmetry % 4)
    return array[:, ::-1] if symmetry >= 4 else array


class _Whole(NamedTuple):
    """An image and what should be made of it, (H, W, C) each; and its black and white."""

    poor: np.ndarray
    better: np.ndarray
    levels: tuple[float, float] | None

    @property
    def nbytes(self) -> int:
        return self.poor.nbytes + (0 if self.better is self.poor else self.better.nbytes)


@dataclass
class _Decoded(Cached):
    """Images and what should be made of them, once it is sure that they suit the plan."""

    plan: PairPlan
    channels: int
    out_channels: int

    def __post_init__(self) -> None:
        if not self.examples:
            raise ValueError(
                "There is nothing to learn from: 0 examples. Check the folder of images."
            )
        source, channels, out_channels = self.plan.source, self.channels, self.out_channels
        without = [example.name for example in self.examples if example.load_truth is None]
        if source == "given" and without:
            raise ValueError(
                'source="given" needs the truth of every example. Received: '
                f"{len(without)} of {len(self.examples)} without, {', '.join(without[:5])}. Load "
                'them by load_pairs or load_frames, or use source="blind_spot" or a degradation.'
            )
        if source == "grey" and out_channels != 3:
            raise ValueError(
                'source="grey" makes colours of grey, which needs out_channels=3. Received: '
                f"out_channels={out_channels}. Take a model that gives 3 channels."
            )
        if source == "blind_spot" and channels != out_channels:
            raise ValueError(
                'source="blind_spot" makes of an image itself, so channels must be out_channels. '
                f"Received: channels={channels}, out_channels={out_channels}. Take one number."
            )

    def decode(self, example: Example) -> _Whole:
        pixels = example.micrograph.pixels
        truth = example.load_truth().pixels if self.plan.source == "given" else pixels
        if truth.shape[:2] != pixels.shape[:2]:
            raise ValueError(
                f"{example.name}: image and truth must have one size. Received: image of "
                f"{pixels.shape[:2]}, truth of {truth.shape[:2]} (rows, columns). Give pictures of "
                "the same field."
            )
        if self.plan.source == "grey" and truth.shape[2:] != (3,):
            raise ValueError(
                f'{example.name}: an image must have colours to learn them by source="grey". '
                f"Received: shape={truth.shape}. Leave grey images out."
            )
        if offset := offset_of(pixels):
            truth, pixels = ((each - offset).astype(np.float32) for each in (truth, pixels))
        poor = as_channels(pixels, self.channels)
        same = truth is pixels and self.channels == self.out_channels
        better = poor if same else as_channels(truth, self.out_channels)
        return _Whole(poor, better, black_and_white(poor) if self.plan.degrades else None)

    def tensors(self, prepare: Callable, size: tuple[int | None, int | None]) -> Callable:
        """``prepare`` in TensorFlow's terms, for images of a size."""
        shapes = [(*size, self.channels), (*size, self.out_channels)]
        shapes += [size] * (self.plan.source == "blind_spot")
        return lambda key: tuple(tensors(prepare, key, shapes, [np.float32] * len(shapes)))


def _made(
    plan: PairPlan,
    levels: tuple[float, float] | None,
    poor: np.ndarray,
    better: np.ndarray,
    seed: int | Sequence[int],
) -> list[np.ndarray]:
    """[x, y], or [x, y, weight], float32, of a part of an image."""
    if plan.degrades:
        poor = degrade(poor, plan.source, seed, levels=levels)
    weight = []
    if plan.source == "blind_spot":
        poor, *weight = blind_spots(poor, seed)
    return [np.ascontiguousarray(array, np.float32) for array in (poor, better, *weight)]


def blind_spots(pixels: np.ndarray, seed: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Replaces one pixel of each 8 x 8 of (H, W, C) pixels by one of its neighbours.

    Returns:
        (H, W, C) pixels, in which each such pixel has the value of another one of the 5 x 5 about
        it, as far as that lies in the image; and (H, W) float32 weights, 1 there and 0 elsewhere.
    """
    rng, size = np.random.default_rng(seed), pixels.shape[:2]
    corners = np.mgrid[tuple(slice(0, n, BLIND_CELL_PX) for n in size)].reshape(2, -1)
    places = corners + rng.integers(BLIND_CELL_PX, size=corners.shape)
    # Of a cell that the border cuts, as often as the pixel is there.
    places = places[:, (places < np.array(size)[:, None]).all(axis=0)]
    first = np.maximum(places - BLIND_REACH_PX, 0)
    last = np.minimum(places + BLIND_REACH_PX, np.array(size)[:, None] - 1)
    rows, cols = last - first + 1
    own = (places[0] - first[0]) * cols + places[1] - first[1]
    drawn = rng.integers(rows * cols - 1)
    drawn += drawn >= own  # all but the pixel itself
    hidden, weight = pixels.copy(), np.zeros(size, np.float32)
    hidden[tuple(places)] = pixels[tuple(first + np.stack([drawn // cols, drawn % cols]))]
    weight[tuple(places)] = 1
    return hidden, weight
