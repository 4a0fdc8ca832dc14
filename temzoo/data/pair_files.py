"""Folders of images, pairs of them by name, and movies as examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from temzoo.core.types import Example, LabelledImage, Micrograph
from temzoo.data.examples import groups_of
from temzoo.labels.names import NameIndex
from temzoo.micrographs import MAX_PIXELS, MicrographError, image_size, list_images, load_micrograph

MOVIE_SUFFIXES = (".tif", ".tiff", ".npy")


def load_images(
    folder: str | Path, groups: str | Path | Mapping[str, str] | None = None
) -> list[Example]:
    """The images of a folder and its subfolders, without labels.

    Args:
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
    examples = []
    for (name, path), group in zip(paths.items(), group_of, strict=True):
        height, width = image_size(path)
        labels = LabelledImage(name, width, height)
        examples.append(Example(labels, partial(load_micrograph, path), group))
    return examples


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
    examples, better = load_images(images, groups), _named_files(truths)
    partner = _partners([example.name for example in examples], list(better), images, truths)
    truth_of = [better[partner[example.name]] for example in examples]
    _require_equal_sizes(examples, Path(images), truth_of)
    return [
        replace(example, load_truth=partial(load_micrograph, truth))
        for example, truth in zip(examples, truth_of, strict=True)
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
    if isinstance(movies, str | Path):
        folder = Path(movies).is_dir()
        paths = list_images(movies, suffixes=MOVIE_SUFFIXES) if folder else [Path(movies)]
    else:
        paths = [Path(movie) for movie in movies]
    found = [example for path in paths for example in _frame_pairs(path)]
    if not found:
        raise FileNotFoundError(
            f"movies must name at least one file. Received: movies={movies!r}, without any of "
            f"{', '.join(MOVIE_SUFFIXES)}. Save movies as TIFF with a page per frame."
        )
    return found


def split_in_time(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Parts one movie: its first frames to learn from, the last ``share`` (0 to 1) to validate by.

    A pair of ``load_frames`` that has a frame in each part is in neither.

    Raises:
        ValueError: a part has no pair of frames.
    """
    last = max(example.labels.frame or 0 for example in examples)
    cut = min(round((last + 1) * (1 - share)), last - 1)
    alone = [replace(example, group="") for example in examples]  # one movie is in both parts
    ends = [sorted((e.labels.frame or 0, int(e.name.rsplit(">", 1)[1][:-1]))) for e in alone]
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
        """The frame; raises MicrographError where a value is NaN or infinite."""
        pixels = np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[self.frame])
        if not np.isfinite(pixels).all():
            raise MicrographError(
                f"{self.path}: all values must be finite. Received: NaN or infinite values in frame"
                f" {self.frame}. Replace them, for example by the median of their neighbours."
            )
        native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        return Micrograph(native, None, f"{self.path.name}[{self.frame}]")


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


def _partners(
    names: list[str], others: list[str], images: str | Path, truths: str | Path
) -> dict[str, str]:
    """The truth of each image, when each has one and each is one's."""
    index = NameIndex(others)
    truths_of = {name: index.matches(name) for name in names}
    images_of: dict[str, list[str]] = {other: [] for other in others}
    for name, found in truths_of.items():
        for other in found:
            images_of[other].append(name)
    wrong = [
        *_unmatched("image", "a truth", truths_of),
        *_unmatched("truth", "an image", images_of),
    ]
    if wrong:
        raise ValueError(
            f"every image in {images} must have one truth of the same name in {truths}, and every "
            f"truth one image. Received: {'; '.join(wrong)}. Rename or remove them; suffixes may "
            "differ."
        )
    return {name: found[0] for name, found in truths_of.items()}


def _unmatched(what: str, partner: str, matches: Mapping[str, list[str]]) -> Iterator[str]:
    for name, found in matches.items():
        if len(found) != 1:
            several = f"which may be that of {' or '.join(map(repr, found))}"
            yield f"{what} {name!r} {several if found else f'without {partner}'}"


def _require_equal_sizes(examples: Sequence[Example], folder: Path, truths: Sequence[Path]) -> None:
    wrong = []
    for example, truth in zip(examples, truths, strict=True):
        ours, theirs = (example.labels.height, example.labels.width), image_size(truth)
        if ours != theirs:
            sizes = f"{_written(ours)} px with {truth} of {_written(theirs)} px"
            wrong.append(f"{folder / example.name} of {sizes}")
    if wrong:
        raise ValueError(
            "image and truth must have one size. Received (height x width): "
            f"{'; '.join(wrong)}. Give pictures of the same field, at the same magnification."
        )


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _frame_pairs(path: Path) -> Iterator[Example]:
    frames, (height, width) = _movie_size(path)
    if frames < 2:
        raise MicrographError(
            f"{path}: a movie must have two frames at least. Received: {frames}. Train on single "
            'images by load_images and source="blind_spot".'
        )
    whole = path.suffix.lower() == ".npy"
    loaders: list[Callable[[], Micrograph]] = [
        NpyFrameLoader(path, k) if whole else partial(load_micrograph, path, frame=k)
        for k in range(frames)
    ]
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
        sizes = {(page.shape[0], page.shape[1]) for page in tiff.pages}
        frames = len(tiff.pages)
    if len(sizes) > 1:
        raise MicrographError(
            f"{path}: the frames of a movie must have one size. Received: pages of "
            f"{' and '.join(map(_written, sorted(sizes)))} px. Save the movie alone, without a "
            "preview."
        )
    return frames, size
