"""Augmentation: one micrograph and its class map, changed together, by imgaug or OpenCV.

Every operation and its range stands in ``augment_operations``. All randomness of an example comes
from one seed: the same seed gives the same bits, in any thread.

An example is changed in the order of the microscope:

1. Geometry, image and map together. Turning, zooming and shifting are one affine warp, because
   each resampling blurs; quarter turns and flips alone move pixels without resampling. The border
   is filled by reflection in both, so that no black corner is learnt as a feature.
2. Optics and specimen (blur, background), detection (Poisson, Gaussian, dead pixels), and display
   (gamma, contrast, brightness): the image alone, on a scale where 0 and 1 are the 1st and 99th
   percentile of the example, so that an operation means the same for uint8, uint16 and float.

The table is carried out by a library: ``augment_imgaug`` or ``augment_opencv``, which have the
same two functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from temzoo.core.hints import did_you_mean
from temzoo.data import augment_opencv
from temzoo.data.augment_operations import EM_INVERT, GEOMETRY, PRESETS, Op
from temzoo.data.degrade import count_electrons, smooth_field

LEVEL_PERCENTILES = (1.0, 99.0)


def _imgaug() -> ModuleType:
    from temzoo.data import augment_imgaug  # a second of time, which OpenCV's users save

    return augment_imgaug


# What carries the operations out: modules with the functions ``move`` and ``change``.
LIBRARIES: dict[str, Callable[[], ModuleType]] = {
    "imgaug": _imgaug,
    "opencv": lambda: augment_opencv,
}


@dataclass(frozen=True)
class Augmenter:
    """Draws from its operations and applies them, in the order of ``EM_INVERT``.

    It has no state, so threads may share one.
    """

    ops: tuple[Op, ...]
    library: str = "imgaug"

    def __call__(
        self, image: np.ndarray, class_map: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gives the changed image and map, both in the shape and dtype that they came in.

        Args:
            image: (H, W) or (H, W, C), uint8, uint16, any other integer, or float.
            class_map: (H, W) integers >= 0, or (H, W, K) for several maps (classes, instances).
            seed: any integer; the same seed gives the same result, bit by bit.

        Raises:
            ValueError: image and map differ in size.
        """
        if image.ndim not in (2, 3) or image.shape[:2] != class_map.shape[:2]:
            raise ValueError(
                "image and class_map must be (H, W[, C]) of one height and width. "
                f"Received: image {image.shape}, class_map {class_map.shape}. "
                "Rasterise the labels at the image's size."
            )
        rng = np.random.default_rng(int(seed) & (2**64 - 1))
        drawn = {op.name: _draw(op, rng) for op in self.ops if rng.random() < op.probability}
        return _apply(drawn, image, class_map, rng, self.library)


def augmenter(preset: str | Sequence[Op] = "em", library: str = "imgaug") -> Augmenter:
    """Gives the augmenter of a preset, or of your own operations.

    Args:
        preset: "none", "light", "em", "em_invert" (particles may be dark or bright), or a
            sequence of ``Op``.
        library: what moves and changes pixels: "imgaug"; or "opencv", which does the same, moves
            an example once for all of its geometry, and is faster.

    Raises:
        ValueError: there is no such preset, operation or library.

    Example:
        >>> change = augmenter("em")
        >>> image, class_map = change(image, class_map, seed=7)
    """
    if library not in LIBRARIES:
        raise _unknown("library", library, LIBRARIES)
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise _unknown("preset", preset, PRESETS)
        return Augmenter(PRESETS[preset], library)
    for op in preset:
        _named(op.name)
    return Augmenter(tuple(preset), library)


def apply_one(
    op: str | Op, image: np.ndarray, class_map: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Applies one operation for certain, its strength drawn from its range.

    Args:
        op: a name in ``EM_INVERT``, or an ``Op`` with a range of your own.
        image, class_map, seed: as for ``Augmenter``, with its errors.
    """
    op = _named(op) if isinstance(op, str) else op
    return augmenter([replace(op, probability=1.0)])(image, class_map, seed)


def sheet(image: np.ndarray, *, seed: int = 0) -> list[tuple[str, np.ndarray, dict[str, str]]]:
    """What each operation of ``EM_INVERT`` does to an image: it, then one result for each.

    Returns:
        (title, image, parameters) each; parameters are texts: range, probability, reason.
    """
    empty = np.zeros(image.shape[:2], np.int32)
    rows = [("original", image, {})]
    for op in EM_INVERT:
        parameters = {
            "range": f"{op.low:g} to {op.high:g} {op.unit}",
            "probability": f"{op.probability:g}",
            "why": op.why,
        }
        rows.append((op.name.replace("_", " "), apply_one(op, image, empty, seed)[0], parameters))
    return rows


def _unknown(what: str, name: str, known: Iterable[str]) -> ValueError:
    hint = did_you_mean(name, known) or f" Known: {', '.join(known)}."
    return ValueError(f"There is no augmentation {what} of this name. Received: {name!r}.{hint}")


def _named(name: str) -> Op:
    known = {op.name: op for op in EM_INVERT}
    if name not in known:
        raise _unknown("operation", name, known)
    return known[name]


def _draw(op: Op, rng: np.random.Generator) -> np.ndarray:
    """Two strengths, (2,) float64; an operation without axes uses the first."""
    if op.spacing == "whole":
        return rng.integers(op.low, op.high, size=2, endpoint=True).astype(float)
    if op.spacing == "log":
        return np.exp(rng.uniform(math.log(op.low), math.log(op.high), size=2))
    return rng.uniform(op.low, op.high, size=2)


def _apply(
    drawn: dict[str, np.ndarray],
    image: np.ndarray,
    class_map: np.ndarray,
    rng: np.random.Generator,
    library: str,
) -> tuple[np.ndarray, np.ndarray]:
    if not drawn:
        return image, class_map
    does = LIBRARIES[library]()
    pixels = image.astype(np.float32).reshape(*image.shape[:2], -1)
    changes = [
        _OWN[op.name](float(drawn[op.name][0]), pixels.shape, rng)
        if op.name in _OWN
        else does.change(op.name, float(drawn[op.name][0]), pixels.shape, rng)
        for op in EM_INVERT  # in the order of the table
        if op.name in drawn and op.name not in GEOMETRY
    ]
    # They are for pixels scaled to 0..1.
    black, range_ = _levels(pixels) if changes else (0, 1)
    pixels, class_map = does.move(drawn, pixels, class_map, rng)
    if changes:
        pixels = (pixels - black) / range_
        for change in changes:
            pixels = change(pixels)
        pixels = pixels * range_ + black
    return _restore(pixels, image), class_map


def _levels(pixels: np.ndarray) -> tuple[np.float32, np.float32]:
    """Black level and range of an example, robust to hot pixels; (H, W, C) -> two numbers."""
    step = max(1, min(pixels.shape[:2]) // 64)
    sample = pixels[::step, ::step]
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, LEVEL_PERCENTILES) if sample.size else (0, 1)
    return np.float32(low), np.float32(high - low if high > low else 1.0)


def _restore(pixels: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The stored dtype and shape again; integers are rounded and held within their limits."""
    pixels = pixels.reshape(like.shape)
    if like.dtype.kind in "iu":
        limits = np.iinfo(like.dtype)
        pixels = np.clip(np.rint(pixels), limits.min, limits.max)
    return pixels.astype(like.dtype)


Change = Callable[[np.ndarray], np.ndarray]  # of pixels (H, W, C) float32


def _background(amplitude, shape, rng):
    """Adds a smooth field of zero mean: it lifts dark and bright alike, as thickness does."""
    field = smooth_field(*shape[:2], rng)[..., None] * np.float32(amplitude)
    return lambda p: p + field


def _poisson(dose, shape, rng):
    """Counts electrons: white receives ``dose`` per pixel, so the variance is signal / dose."""

    def count(pixels):
        usual = np.minimum(np.nan_to_num(pixels), 10)  # NaN, and hot pixels beyond it, stay
        return count_electrons(usual, dose, rng) + (pixels - usual)

    return count


def _gamma(exponent, shape, rng):
    """Odd about black, so that values below it stay in order."""
    exponent = np.float32(exponent)
    return lambda p: np.copysign(np.abs(p) ** exponent, p)


def _gaussian(sigma, shape, rng):
    noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)
    return lambda p: p + noise


def _invert(amount, shape, rng):
    """Exchanges dark and bright within the example's own limits, so that nothing is cut off."""

    def turned(pixels):
        known = pixels[np.isfinite(pixels)]
        return (known.min() + known.max()) - pixels if known.size else pixels

    return turned


# What no library has as it is needed. Each makes a change of a drawn strength, the pixels' shape
# and a source of randomness; the other operations are a library's.
_OWN: dict[str, Callable[[float, tuple[int, ...], np.random.Generator], Change]] = {
    "background": _background,
    "poisson": _poisson,
    "gaussian": _gaussian,
    "gamma": _gamma,
    "invert": _invert,
}
