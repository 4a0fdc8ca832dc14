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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from temzoo.labels.names import NameIndex
from temzoo.micrographs import (
    MAX_PIXELS,
    MicrographError,
    as_channels,
    image_size,
    list_images,
    load_micrograph,
)
from temzoo.pipeline.dataset import (
    THREADS,
    Cached,
    crop,
    crop_list,
    filled,
    or_new,
    validation_areas,
    visit,
)
from temzoo.pipeline.degrade import NAMED, Degradation, black_and_white, degradation, degrade
from temzoo.pipeline.examples import groups_of
from temzoo.registry import did_you_mean
from temzoo.types import Example, LabelledImage, Micrograph

SOURCES = ("given", "grey", "same", "blind_spot")
MOVIE_SUFFIXES = (".tif", ".tiff", ".npy")
# One pixel of 8 x 8 is blind: 64 of 64 x 64, the number of Krull et al.
BLIND_CELL_PX = 8
BLIND_REACH_PX = 2  # a neighbour comes from the 5 x 5 about the pixel
# What validation draws is kept apart from what training draws.
VALIDATION = 2


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


def load_images(
    folder: str | Path, groups: str | Path | Mapping[str, str] | None = None
) -> list[Example]:
    """The images of a folder and its subfolders, without labels.

    Args:
        folder: of images.
        groups: as for ``load_dataset``.

    Returns:
        one example per image, named by its path inside the folder; pixels are read later.

    Raises:
        FileNotFoundError: there is no image in the folder.
        ValueError: an image is damaged, or has no group.

    Example:
        >>> examples = load_images("session_3/tif")
    """
    paths = _named_files(folder)
    group_of = groups_of(list(paths), groups)
    return [
        Example(_unlabelled(name, path), partial(load_micrograph, path), group)
        for (name, path), group in zip(paths.items(), group_of, strict=True)
    ]


def load_pairs(
    images: str | Path,
    truths: str | Path,
    groups: str | Path | Mapping[str, str] | None = None,
) -> list[Example]:
    """Two folders, matched by name: poor images, and the better ones of the same fields.

    Suffixes may differ, and one folder may be flat where the other is not.

    Args:
        images: the folder of poor images.
        truths: the folder of better ones, in the same units: a network learns their values.
        groups: of the images, as for ``load_dataset``.

    Returns:
        one example per pair, with ``load_truth``, in the order of the images.

    Raises:
        FileNotFoundError: a folder has no images.
        ValueError: an image or a truth has no partner, or several, or its partner has another
            size. All of them are named.

    Example:
        >>> examples = load_pairs("short_exposure", "long_exposure")
    """
    poor, better = _named_files(images), _named_files(truths)
    partner = _partners(list(poor), list(better), images, truths)
    _require_equal_sizes({poor[name]: better[other] for name, other in partner.items()})
    group_of = groups_of(list(poor), groups)
    return [
        Example(
            _unlabelled(name, path),
            partial(load_micrograph, path),
            group,
            partial(load_micrograph, better[partner[name]]),
        )
        for (name, path), group in zip(poor.items(), group_of, strict=True)
    ]


def load_frames(movies: str | Path | Sequence[str | Path]) -> list[Example]:
    """Frames of movies, each with the one behind it and the one before: Noise2Noise.

    The specimen must hold still from one frame to the next: align drifting movies first.

    Args:
        movies: one file, several, or a folder of them: TIFF with a page per frame, or ``.npy`` of
            shape (frames, H, W).

    Returns:
        two examples for each two consecutive frames, the earlier as the truth of the later and
        the other way round; the movie's path is the group, so that a split never parts it.

    Raises:
        FileNotFoundError: no such file, or a folder without movies.
        MicrographError: (a ``ValueError``) a file has one frame only, or frames of several sizes,
            or cannot be read.

    Example:
        >>> examples = load_frames("movies/")
    """
    found = [example for path in _movie_files(movies) for example in _frame_pairs(path)]
    if not found:
        raise FileNotFoundError(
            f"movies must name at least one file. Received: movies={movies!r}, without any of "
            f"{', '.join(MOVIE_SUFFIXES)}. Save movies as TIFF with a page per frame."
        )
    return found


def split_in_time(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Parts one movie: its first frames to learn from, the last to validate by.

    Args:
        examples: of one movie, from ``load_frames``.
        share: of the frames that are kept for validation, 0 to 1.

    Returns:
        (training, validation) examples; a pair that has a frame in each part is in neither.

    Raises:
        ValueError: a part has no pair of frames.
    """
    last = max(example.labels.frame for example in examples)
    cut = min(round((last + 1) * (1 - share)), last - 1)
    alone = [replace(example, group="") for example in examples]  # one movie is in both parts
    ends = [sorted((e.labels.frame, int(e.name.rsplit(">", 1)[1][:-1]))) for e in alone]
    learn = [e for e, (_, late) in zip(alone, ends, strict=True) if late < cut]
    judge = [e for e, (early, _) in zip(alone, ends, strict=True) if early >= cut]
    if not learn or not judge:
        raise ValueError(
            "a movie must have four frames at least, two to learn from and two to validate by."
            f" Received: {last + 1} frames, a share of {share} for validation."
        )
    return learn, judge


def frames_in(path: str | Path) -> int:
    """Number of frames of an image file; 1 of what cannot be a movie.

    Raises:
        MicrographError: a damaged file.
    """
    return _movie_size(Path(path))[0] if Path(path).suffix.lower() in MOVIE_SUFFIXES else 1


@dataclass(frozen=True)
class NpyFrameLoader:
    """Reads one frame of a ``.npy`` movie; the rest of it stays on disk."""

    path: Path
    frame: int

    def __call__(self) -> Micrograph:
        """The frame.

        Raises:
            MicrographError: a value is NaN or infinite.
        """
        pixels = np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[self.frame])
        if not np.isfinite(pixels).all():
            raise MicrographError(
                f"{self.path}: all values must be finite. Received: NaN or infinite values in frame"
                f" {self.frame}. Replace them, for example by the median of their neighbours."
            )
        native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        return Micrograph(native, None, f"{self.path.name}[{self.frame}]")


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
    source is a degradation draws noise anew for each crop, which no microscope gives.

    Args:
        examples: clean ones.
        how: a name in ``degrade.NAMED``, or a Degradation.
        seed: of the noise, with the image's name.
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
    failures: list[Exception] | None = None,
) -> tf.data.Dataset:
    """An endless stream of batches of crops, each with what should be made of it.

    Args:
        examples: what to learn from.
        plan: size, source and seed of the crops.
        channels, out_channels: of the poor picture and of the better one: 1 or 3.
        batch: crops in a batch.
        start: crops that an earlier part of the run has used already.
        failures: takes what loading an example raised, which TensorFlow wraps beyond recognition.

    Returns:
        Batches of (x, y), (B, S, S, channels) and (B, S, S, out_channels) float32 in the stored
        range; of a blind spot (x, y, weight), (B, S, S) float32, 1 where y counts and 0 elsewhere.

    Raises:
        ValueError: there are no examples, or they do not suit the plan's source.
    """
    decoded = _decoded(examples, plan, channels, out_channels, failures)
    crops = crop_list(examples, plan)

    def prepare(k):
        (index, *centre), rng = visit(crops, plan.seed, int(k))
        whole = decoded[index]
        (poor, better), _ = crop(whole[:2], centre, plan, rng)
        if plan.flips:
            symmetry = int(rng.integers(8))
            poor, better = (turned(array, symmetry) for array in (poor, better))
        return _made(plan, whole, poor, better, int(rng.integers(2**63)))

    stream = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
    tensors = _tensors(prepare, plan, (plan.size, plan.size), channels, out_channels)
    stream = stream.map(tensors, num_parallel_calls=THREADS, deterministic=True)
    return stream.batch(batch, drop_remainder=True).prefetch(2)


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
    pixels.

    Raises:
        ValueError: there are no examples, or they do not suit the plan's source.
    """
    decoded = _decoded(examples, plan, channels, out_channels, failures)

    def prepare(area):
        index, row, col, height, width = (int(number) for number in area)
        part = (slice(row, row + height), slice(col, col + width))
        whole = decoded[index]
        poor, better = (filled(array[part], side or 0) for array in whole[:2])
        seed = [VALIDATION, _number_of(examples[index].name), row, col]
        return _made(plan, whole, poor, better, seed)

    stream = tf.data.Dataset.from_tensor_slices(validation_areas(examples, side))
    stream = stream.map(_tensors(prepare, plan, (side, side), channels, out_channels))
    return stream.batch(1).prefetch(1)


def pair_of(
    example: Example, plan: PairPlan, *, channels: int = 1, out_channels: int = 1
) -> tuple[np.ndarray, np.ndarray | None]:
    """A whole image and what should be made of it, as validation makes them.

    Returns:
        (H, W, channels) and (H, W, out_channels) float32 in the stored range; the second is None
        of a "blind_spot", which leaves the image as it is and knows no better one.

    Raises:
        ValueError: the example does not suit the plan's source.
    """
    whole = _decoded([example], plan, channels, out_channels, None)[0]
    if plan.source == "blind_spot":
        return whole.poor.astype(np.float32), None
    poor, better = _made(plan, whole, *whole[:2], [VALIDATION, _number_of(example.name), 0, 0])
    return poor, better


def turned(array: np.ndarray, symmetry: int) -> np.ndarray:
    """A square array, (S, S, …), in one of its eight positions, 0 the one that it is in."""
    array = np.rot90(array, symmetry % 4)
    return array[:, ::-1] if symmetry >= 4 else array


def blind_spots(pixels: np.ndarray, seed: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Replaces one pixel of each 8 x 8 by one of its neighbours.

    Args:
        pixels: (H, W, C).
        seed: whole numbers from 0 on.

    Returns:
        (H, W, C) pixels, in which each such pixel has the value of another one of the 5 x 5 about
        it, as far as that lies in the image; and (H, W) float32 weights, 1 there and 0 elsewhere.
    """
    rng = np.random.default_rng(seed)
    places = _stratified(pixels.shape[:2], rng)
    neighbours = _neighbours(places, pixels.shape[:2], rng)
    hidden = pixels.copy()
    hidden[tuple(places)] = pixels[tuple(neighbours)]
    weight = np.zeros(pixels.shape[:2], np.float32)
    weight[tuple(places)] = 1
    return hidden, weight


def _stratified(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(2, N) rows and columns, one in each cell; of a cut cell, as often as it is there."""
    corners = np.mgrid[tuple(slice(0, n, BLIND_CELL_PX) for n in size)].reshape(2, -1)
    places = corners + rng.integers(BLIND_CELL_PX, size=corners.shape)
    return places[:, (places < np.array(size)[:, None]).all(axis=0)]


def _neighbours(places: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(2, N) one other pixel each from the 5 x 5 about a place, cut at the border."""
    first = np.maximum(places - BLIND_REACH_PX, 0)
    last = np.minimum(places + BLIND_REACH_PX, np.array(size)[:, None] - 1)
    rows, cols = last - first + 1
    own = (places[0] - first[0]) * cols + places[1] - first[1]
    drawn = rng.integers(rows * cols - 1)
    drawn += drawn >= own  # all but the pixel itself
    return first + np.stack([drawn // cols, drawn % cols])


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
    """Images and what should be made of them."""

    plan: PairPlan
    channels: int
    out_channels: int

    def decode(self, example: Example) -> _Whole:
        pixels = example.micrograph.pixels
        truth = example.load_truth().pixels if self.plan.source == "given" else pixels
        _require_pair(example.name, pixels, truth, self.plan)
        poor = as_channels(pixels, self.channels)
        same = truth is pixels and self.channels == self.out_channels
        better = poor if same else as_channels(truth, self.out_channels)
        return _Whole(poor, better, black_and_white(poor) if self.plan.degrades else None)


def _require_pair(name: str, pixels: np.ndarray, truth: np.ndarray, plan: PairPlan) -> None:
    if truth.shape[:2] != pixels.shape[:2]:
        raise ValueError(
            f"{name}: image and truth must have one size. Received: image of {pixels.shape[:2]}, "
            f"truth of {truth.shape[:2]} (rows, columns). Give pictures of the same field."
        )
    if plan.source == "grey" and (truth.ndim == 2 or truth.shape[2] != 3):
        raise ValueError(
            f'{name}: an image must have colours to learn them by source="grey". Received: '
            f"shape={truth.shape}. Leave grey images out."
        )


def _decoded(
    examples: Sequence[Example],
    plan: PairPlan,
    channels: int,
    out_channels: int,
    failures: list[Exception] | None,
) -> _Decoded:
    """What both streams read from, once it is sure that the examples suit the plan."""
    if not examples:
        raise ValueError("There is nothing to learn from: 0 examples. Check the folder of images.")
    if plan.source == "given":
        _require_truths(examples)
    if plan.source == "grey" and out_channels != 3:
        raise ValueError(
            'source="grey" makes colours of grey, which needs out_channels=3. Received: '
            f"out_channels={out_channels}. Take a model that gives 3 channels."
        )
    if plan.source == "blind_spot" and channels != out_channels:
        raise ValueError(
            'source="blind_spot" makes of an image itself, so channels must be out_channels. '
            f"Received: channels={channels}, out_channels={out_channels}. Take one number."
        )
    return _Decoded(examples, plan, channels, out_channels, failures=or_new(failures))


def _require_truths(examples: Sequence[Example]) -> None:
    without = [example.name for example in examples if example.load_truth is None]
    if without:
        raise ValueError(
            'source="given" needs the truth of every example. Received: '
            f"{len(without)} of {len(examples)} without, {', '.join(without[:5])}. Load them by "
            'load_pairs or load_frames, or use source="blind_spot" or a degradation.'
        )


def _made(
    plan: PairPlan,
    whole: _Whole,
    poor: np.ndarray,
    better: np.ndarray,
    seed: int | Sequence[int],
) -> list[np.ndarray]:
    """[x, y], or [x, y, weight], float32, of a part of an image."""
    if plan.degrades:
        poor = degrade(poor, plan.source, seed, levels=whole.levels)
    weight = []
    if plan.source == "blind_spot":
        poor, spots = blind_spots(poor, seed)
        weight = [spots]
    return [np.ascontiguousarray(array, np.float32) for array in (poor, better, *weight)]


def _tensors(
    prepare: Callable[[np.ndarray], list[np.ndarray]],
    plan: PairPlan,
    size: tuple[int | None, int | None],
    channels: int,
    out_channels: int,
) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """``prepare`` in TensorFlow's terms."""
    shapes = [(*size, channels), (*size, out_channels)]
    shapes += [size] * (plan.source == "blind_spot")

    def load(key):
        parts = tf.numpy_function(prepare, [key], [tf.float32] * len(shapes))
        return tuple(
            tf.ensure_shape(part, shape) for part, shape in zip(parts, shapes, strict=True)
        )

    return load


def _named_files(folder: str | Path) -> dict[str, Path]:
    """The images of a folder by their paths inside it."""
    folder = Path(folder)
    paths = {path.relative_to(folder).as_posix(): path for path in list_images(folder)}
    if not paths:
        raise FileNotFoundError(
            f"{folder}: a folder of images must have one at least. Received: none. Give the "
            "folder that holds them, as TIFF, PNG, JPEG, BMP or .npy."
        )
    return paths


def _unlabelled(name: str, path: Path) -> LabelledImage:
    height, width = image_size(path)
    return LabelledImage(name, width, height)


def _partners(
    names: list[str], others: list[str], images: str | Path, truths: str | Path
) -> dict[str, str]:
    """The truth of each image, when each has one and each is one's."""
    index = NameIndex(others)
    matches = {name: index.matches(name) for name in names}
    wrong = [
        f"image {name!r} {_several(found) if found else 'without a truth'}"
        for name, found in matches.items()
        if len(found) != 1
    ]
    images_of: dict[str, list[str]] = {other: [] for other in others}
    for name, found in matches.items():
        for other in found:
            images_of[other].append(name)
    wrong += [
        f"truth {other!r} {_several(found) if found else 'without an image'}"
        for other, found in images_of.items()
        if len(found) != 1
    ]
    if wrong:
        raise ValueError(
            f"every image in {images} must have one truth of the same name in {truths}, and every "
            f"truth one image. Received: {'; '.join(wrong)}. Rename or remove them; suffixes may "
            "differ."
        )
    return {name: found[0] for name, found in matches.items()}


def _several(names: list[str]) -> str:
    return f"which may be that of {' or '.join(map(repr, names))}"


def _require_equal_sizes(pairs: Mapping[Path, Path]) -> None:
    wrong = []
    for poor, better in pairs.items():
        ours, theirs = image_size(poor), image_size(better)
        if ours != theirs:
            wrong.append(f"{poor} of {_written(ours)} px with {better} of {_written(theirs)} px")
    if wrong:
        raise ValueError(
            "image and truth must have one size. Received (height x width): "
            f"{'; '.join(wrong)}. Give pictures of the same field, at the same magnification."
        )


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _movie_files(movies: str | Path | Sequence[str | Path]) -> list[Path]:
    if not isinstance(movies, str | Path):
        return [Path(movie) for movie in movies]
    if Path(movies).is_dir():
        return list_images(movies, suffixes=MOVIE_SUFFIXES)
    return [Path(movies)]


def _frame_pairs(path: Path) -> Iterator[Example]:
    frames, (height, width) = _movie_size(path)
    if frames < 2:
        raise MicrographError(
            f"{path}: a movie must have two frames at least. Received: {frames}. Train on single "
            'images by load_images and source="blind_spot".'
        )
    if path.suffix.lower() == ".npy":
        loaders = [NpyFrameLoader(path, frame) for frame in range(frames)]
    else:
        loaders = [partial(load_micrograph, path, frame=frame) for frame in range(frames)]
    for early in range(frames - 1):
        for one, other in ((early, early + 1), (early + 1, early)):
            labels = LabelledImage(f"{path.name}[{one}>{other}]", width, height, frame=one)
            yield Example(labels, loaders[one], str(path), loaders[other])


def _movie_size(path: Path) -> tuple[int, tuple[int, int]]:
    """Number of frames, and (height, width), from the headers alone."""
    if path.suffix.lower() not in MOVIE_SUFFIXES:
        raise MicrographError(
            f"{path}: a movie's name must end in one of {', '.join(MOVIE_SUFFIXES)}. Received: "
            f"{path.suffix!r}. Save it as TIFF with a page per frame."
        )
    size = image_size(path)  # names a missing or damaged file
    try:
        return _npy_size(path) if path.suffix.lower() == ".npy" else _tiff_size(path, size)
    except MicrographError:
        raise
    except Exception as error:  # the file is something else than its name says
        raise MicrographError(
            f"{path}: cannot be read as a movie ({error}). Save it as TIFF with a page per frame."
        ) from error


def _npy_size(path: Path) -> tuple[int, tuple[int, int]]:
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    if mapped.ndim == 2 or mapped.shape[2:] in ((1,), (3,), (4,)):
        return 1, mapped.shape[:2]  # an image, with its channels last
    if mapped.ndim != 3 or mapped.dtype.kind not in "uif" or not mapped[0].size:
        raise MicrographError(
            f"{path}: a movie must be real numbers of shape (frames, H, W). Received: shape="
            f"{mapped.shape}, dtype={mapped.dtype}. Save one grey channel of it."
        )
    if mapped[0].size > MAX_PIXELS:
        raise MicrographError(
            f"{path}: a frame must have at most {MAX_PIXELS:,} pixels. Received: shape="
            f"{mapped.shape}. Cut it into smaller fields."
        )
    return len(mapped), mapped.shape[1:]


def _tiff_size(path: Path, size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    import tifffile  # not paid for by those who have no movies

    with tifffile.TiffFile(path) as tiff:
        sizes = {(page.imagelength, page.imagewidth) for page in tiff.pages}
        frames = len(tiff.pages)
    if len(sizes) > 1:
        raise MicrographError(
            f"{path}: the frames of a movie must have one size. Received: pages of "
            f"{' and '.join(map(_written, sorted(sizes)))} px. Save the movie alone, without a "
            "preview."
        )
    return frames, size
