"""Says when images look unlike those that a model was trained on.

A network colours, or restores, anything; what it says of images unlike its training images is made
up. So the images are compared by grey values and texture: in windows of 128 px, normalised as the
model normalises the image, the quantiles of the grey values, and of the window's part at each of
five octaves how strong it is, how peaked, and how patchy. Windows of one size make it independent
of the image's size, and normalisation of gain, offset and bit depth.

These are taken from pixels and not from the model's activations. The encoder of a network that
learnt on few kinds of texture keeps what it needs to tell those apart and drops the rest: means and
deviations of its activations, at all resolutions, told photographs from drawn phases worse, with 17
times as many numbers (``benchmarks/colour.py`` has the images).

The distance is Mahalanobis' (as Lee et al. 2018, arXiv:1807.03888, with one class) under a
covariance shrunk by Ledoit & Wolf (2004, doi:10.1016/S0047-259X(03)00096-4); of an image, the root
mean square of its windows'. Its unit is the largest distance of as many windows of a training
image, measured when that image was left out of the fit (in tenths, where there are many): a small
image, of one window, must not look stranger than a large one, whose windows average.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from temzoo.core.files import atomic_path
from temzoo.core.types import Micrograph
from temzoo.inference.pixels import as_micrograph, channels_view, checked_pixels
from temzoo.zoo.built import task_of

WINDOW = 128
WINDOWS = 8
FOLDS = 10
LEAST_IMAGES = 3
# Like images that were not trained on lie a little beyond the farthest that were.
MARGIN = 1.2
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# A window less its Gaussian of the first is the finest octave, and so on.
SIGMAS_PX = (0.7, 1.4, 2.8, 5.6, 11.2)
CELLS = 4  # a side: deviations in 4 x 4 cells of a window tell how patchy it is
# In normalised grey values, of which black and white are 2 apart: what is weaker is as good as 0.
FAINT = 0.01
FEATURES = (
    *(f"quantile {q:g}" for q in QUANTILES),
    *(f"{what} {s:g} px" for s in SIGMAS_PX for what in ("strength", "peak", "patchiness")),
    "strength of the rest",
)
VERSION = 1
ARRAYS = {  # name -> the axes of its shape: f features, k numbers of windows, n images
    "centre": "f",
    "spread": "f",
    "precision": "ff",
    "limits": "k",
    "training": "n",
    "margin": "",
}
Image = Micrograph | np.ndarray | str | Path


@dataclass(frozen=True, eq=False)
class Likeness:
    """What training images look like, from ``Likeness.fit``.

    Attributes:
        centre, spread: (F,) mean and standard deviation of each of ``FEATURES`` over the training
            windows.
        precision: (F, F) inverse of the shrunk covariance of the features so standardised.
        limits: (WINDOWS,) largest distance of 1, 2, … windows of a training image when it was left
            out; the unit of the distance of an image of so many.
        training: (N,) distance of each training image when it was left out, in that unit.
        margin: images farther than this are unlike.
    """

    centre: np.ndarray
    spread: np.ndarray
    precision: np.ndarray
    limits: np.ndarray
    training: np.ndarray
    margin: float = MARGIN

    @classmethod
    def fit(
        cls,
        model: Any,
        images: Iterable[Image],
        *,
        groups: Sequence[str] | None = None,
        margin: float = MARGIN,
    ) -> Likeness:
        """Learns what a model's training images look like.

        Args:
            model: a Keras model with a layer named "normalize", by which grey values are compared.
            images: those it was trained on; read one at a time.
            groups: of each image, so that images of one specimen are left out together; None: each
                image is its own.
            margin: how far beyond the farthest training image an image still counts as like.

        Raises:
            ValueError: fewer than three images or groups; a margin below 1; a model without the
                layer.

        Example:
            >>> likeness = Likeness.fit(model, [example.micrograph for example in train])
            >>> likeness.warning(model, "b.tif")
        """
        if not margin >= 1:
            raise ValueError(f"margin is 1 or more. Received: margin={margin!r}. Leave it out.")
        windows = [_seen_by(model, image) for image in images]
        names = list(range(len(windows))) if groups is None else list(groups)
        if len(names) != len(windows):
            raise ValueError(
                "groups names the group of every image. Received:"
                f" {len(names)} groups for {len(windows)} images. Give one for each, or none."
            )
        if len(set(names)) < LEAST_IMAGES:
            raise ValueError(
                f"likeness needs {LEAST_IMAGES} training images of different groups, or more."
                f" Received: {len(windows)} images in {len(set(names))} groups. Add images."
            )
        squares = _left_out(windows, np.unique(names, return_inverse=True)[1])
        limits = np.array([_largest(squares, count) for count in range(1, WINDOWS + 1)])
        own = [np.sqrt(each.mean()) / limits[len(each) - 1] for each in squares]
        whole = _gaussian(np.concatenate(windows))
        return cls(*whole, limits=limits, training=np.array(own), margin=float(margin))

    def distance(self, model: Any, image: Image) -> float:
        """How far an image lies from the training images; 1 is the farthest of theirs."""
        squares = _squares((self.centre, self.spread, self.precision), _seen_by(model, image))
        return float(np.sqrt(squares.mean()) / self.limits[len(squares) - 1])

    def unlike(self, model: Any, image: Image) -> bool:
        """Whether an image lies beyond the training images and the margin."""
        return self.distance(model, image) > self.margin

    def warning(self, model: Any, image: Image, *, what: str = "colours") -> str | None:
        """What to tell of an image that is unlike the training images; None of one that is like.

        Args:
            what: not to be trusted: "colours", or what else the model makes.
        """
        micrograph = as_micrograph(image)
        distance = self.distance(model, micrograph)
        if distance <= self.margin:
            return None
        return (
            f"{micrograph.name or 'the image'} looks unlike the training images (distance"
            f" {distance:.1f} times the largest of theirs): do not trust its {what}"
        )

    def save(self, path: str | Path) -> None:
        """Writes an ``.npz`` of plain arrays, whole or not at all."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, version=VERSION, names=np.array(FEATURES), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Likeness:
        """Reads what ``save`` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such a file; an array is missing, misshapen or not finite.
        """
        try:
            # Opened here, as np.load leaves a file open that turns out to be no archive.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (ValueError, TypeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise _unreadable(path, str(error)) from error
        _check_arrays(path, arrays)
        return cls(**{k: arrays[k] if axes else float(arrays[k]) for k, axes in ARRAYS.items()})


def features(normalize: Any, image: Image, channels: int | None = None) -> np.ndarray:
    """``FEATURES`` of an image, (windows, F) float64, in up to ``WINDOWS`` windows of a fixed seed.

    As many windows as fit beside each other, at most; an image smaller than one is mirrored.

    Args:
        normalize: the layer by which grey values are compared.
        channels: that it is taken with; None: its own.
    """
    pixels = channels_view(checked_pixels(as_micrograph(image)), channels)
    shift, scale = normalize.statistics(pixels)
    windows = (
        normalize.apply(pixels[top : top + WINDOW, left : left + WINDOW], shift, scale).mean(axis=2)
        for top, left in _corners(*pixels.shape[:2])
    )
    # What is missing at the ends of a window is its mirror image.
    whole = (
        np.pad(window, [(0, WINDOW - size) for size in window.shape], mode="symmetric")
        for window in windows
    )
    return np.stack([_texture(window.astype(np.float64)) for window in whole])


def _seen_by(model: Any, image: Image) -> np.ndarray:
    """``features`` of an image as a model normalises it."""
    layer = task_of(model).normalizer(model)
    if layer is None:
        raise ValueError(
            'likeness needs a Keras model with a layer named "normalize". Received:'
            f" {model!r}. Use one that takes raw pixels, such as the autoencoder."
        )
    return features(layer, image, model.input_shape[-1])


def _corners(height: int, width: int) -> list[tuple[int, int]]:
    """Top left corners of windows."""
    rng = np.random.default_rng(0)
    count = int(np.clip(height * width // WINDOW**2, 1, WINDOWS))
    free = [max(size - WINDOW, 0) + 1 for size in (height, width)]
    return [(int(top), int(left)) for top, left in rng.integers(0, free, size=(count, 2))]


def _texture(window: np.ndarray) -> np.ndarray:
    """(F,) of a window, (WINDOW, WINDOW)."""
    found = list(np.quantile(window, QUANTILES))
    finer = window
    for sigma in SIGMAS_PX:
        coarser = gaussian_filter(window, sigma)
        octave, finer = finer - coarser, coarser
        deviation = octave.std() + FAINT
        side = WINDOW // CELLS
        cells = octave.reshape(CELLS, side, CELLS, side).std(axis=(1, 3))
        found += [
            np.log(deviation),
            np.log((np.abs(octave).mean() + FAINT) / deviation),
            np.log(cells + FAINT).std(),
        ]
    return np.array([*found, np.log(finer.std() + FAINT)])


def _gaussian(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(centre, spread, precision) of ``Likeness``, from features (windows, F)."""
    from sklearn.covariance import LedoitWolf

    centre = windows.mean(axis=0)
    spread = np.maximum(windows.std(axis=0), FAINT)  # of images that are all the same
    fitted = LedoitWolf(assume_centered=True).fit((windows - centre) / spread)
    return centre, spread, fitted.precision_


def _squares(fitted: tuple[np.ndarray, np.ndarray, np.ndarray], windows: np.ndarray) -> np.ndarray:
    """(windows,) squares of the windows' Mahalanobis distances."""
    centre, spread, precision = fitted
    standard = (windows - centre) / spread
    return np.einsum("wf,fg,wg->w", standard, precision, standard)


def _left_out(windows: Sequence[np.ndarray], owner: np.ndarray) -> list[np.ndarray]:
    """Of each image's windows, ``_squares`` by a fit without its group; in tenths of the groups."""
    order = np.random.default_rng(0).permutation(owner.max() + 1)
    fold = order[owner] % min(FOLDS, owner.max() + 1)
    found = [np.empty(0)] * len(windows)
    for out in np.unique(fold):
        others = [each for each, f in zip(windows, fold, strict=True) if f != out]
        fitted = _gaussian(np.concatenate(others))
        for index in np.flatnonzero(fold == out):
            found[index] = _squares(fitted, windows[index])
    return found


def _largest(squares: Sequence[np.ndarray], count: int) -> float:
    """Largest distance of ``count`` windows of an image, or of all where it has fewer."""
    means = [
        np.convolve(each, np.ones(n := min(count, len(each))) / n, "valid").max()
        for each in squares
    ]
    return max(float(np.sqrt(max(means))), FAINT)  # of images that are all the same


def _check_arrays(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    missing = sorted({*ARRAYS, "names", "version"} - set(arrays))
    if missing:
        raise _unreadable(path, f"no {', '.join(missing)}")
    if arrays["version"].tolist() != VERSION or arrays["names"].tolist() != list(FEATURES):
        raise _unreadable(path, f"version {arrays['version']}, or other features")
    sizes = {"f": len(FEATURES), "k": WINDOWS, "n": arrays["training"].size}
    for name, axes in ARRAYS.items():
        wanted, array = tuple(sizes[axis] for axis in axes), arrays[name]
        if array.shape != wanted or array.dtype.kind != "f" or not np.isfinite(array).all():
            what = f"{name} is {array.dtype} {array.shape}, not finite floats {wanted}"
            raise _unreadable(path, what)
        if name in ("spread", "limits") and not (array > 0).all():
            raise _unreadable(path, f"{name} is not above 0 throughout")


def _unreadable(path: str | Path, what: str) -> ValueError:
    return ValueError(
        f"{path} must be a file of Likeness.save. Received: {what}."
        " Fit it anew with Likeness.fit and save it."
    )
