"""Augmentation: one micrograph and its class map, changed together, by imgaug.

Every operation and its range stands in ``augment_operations``. All randomness of an example comes
from one seed: the same seed gives the same bits, in any thread.

An example is changed in the order of the microscope:

1. Geometry, image and map together. Turning, zooming and shifting are one affine warp, because
   each resampling blurs; quarter turns and flips alone move pixels without resampling. The border
   is filled by reflection in both, so that no black corner is learnt as a feature.
2. Optics and specimen (blur, background), detection (Poisson, Gaussian, dead pixels), and display
   (gamma, contrast, brightness): the image alone, on a scale where 0 and 1 are the 1st and 99th
   percentile of the example, so that an operation means the same for uint8, uint16 and float.

imgaug 0.4 is unmaintained; this is the one file that touches it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

with warnings.catch_warnings():
    # Its sources hold string escapes that Python warns of when it first compiles them.
    warnings.simplefilter("ignore")
    if not hasattr(np, "sctypes"):  # imgaug reads it once, at import; NumPy 2 removed it
        codes = {"float": "Float", "int": "Integer", "uint": "UnsignedInteger"}
        np.sctypes = {k: [np.dtype(c).type for c in np.typecodes[v]] for k, v in codes.items()}
    import imgaug.augmenters as iaa
    import imgaug.parameters as iap
    from imgaug.augmentables.segmaps import SegmentationMapsOnImage

from temzoo.core.hints import did_you_mean
from temzoo.data.augment_operations import EM_INVERT, PRESETS, Op
from temzoo.data.degrade import count_electrons, smooth_field

AFFINE = ("rotate", "zoom", "shift")
GEOMETRY = frozenset({*AFFINE, "quarter_turn", "flip", "elastic"})  # these move the map as well
LEVEL_PERCENTILES = (1.0, 99.0)
ELASTIC_SPACING_PX = 32  # with moves up to 5 px the warp never folds over
MID_GREY = 0.5


@dataclass(frozen=True)
class Augmenter:
    """Draws from its operations and applies them, in the order of ``EM_INVERT``.

    It has no state, so threads may share one.
    """

    ops: tuple[Op, ...]

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
        return _apply(drawn, image, class_map, rng)


def augmenter(preset: str | Sequence[Op] = "em") -> Augmenter:
    """Gives the augmenter of a preset, or of your own operations.

    Args:
        preset: "none", "light", "em", "em_invert" (particles may be dark or bright), or a
            sequence of ``Op``.

    Raises:
        ValueError: there is no such preset or operation.

    Example:
        >>> change = augmenter("em")
        >>> image, class_map = change(image, class_map, seed=7)
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise _unknown("preset", preset, PRESETS)
        return Augmenter(PRESETS[preset])
    for op in preset:
        _named(op.name)
    return Augmenter(tuple(preset))


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
) -> tuple[np.ndarray, np.ndarray]:
    if not drawn:
        return image, class_map
    pixels = image.astype(np.float32).reshape(*image.shape[:2], -1)
    changes = [
        change
        for op in EM_INVERT  # in the order of the table
        if op.name in drawn and op.name not in GEOMETRY
        for change in _PHOTOMETRIC[op.name](float(drawn[op.name][0]), pixels.shape, rng)
    ]
    if changes:  # they are for pixels scaled to 0..1
        black, range_ = _levels(pixels)
        changes = [_pixelwise(lambda p: (p - black) / range_), *changes]
        changes.append(_pixelwise(lambda p: p * range_ + black))
    steps = iaa.Sequential(_geometry(drawn, pixels.shape, rng) + changes, seed=0)
    maps = SegmentationMapsOnImage(class_map.astype(np.int32), pixels.shape)
    pixels, maps = steps(image=pixels, segmentation_maps=maps)
    return _restore(pixels, image), maps.get_arr().astype(class_map.dtype)


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


class _CoarseElastic(iaa.ElasticTransformation):
    """imgaug's elastic warp with displacements drawn on a coarse grid, much faster to make.

    They are float32 as well: the original's float64 maps are refused by today's OpenCV.
    ``alpha`` is the largest move of a grid point, ``sigma`` the grid's spacing, both in pixels.
    """

    def __init__(self, alpha: float, seed: int):
        super().__init__(alpha=alpha, sigma=ELASTIC_SPACING_PX, order=1, mode="reflect", seed=seed)
        self._mode_segmentation_maps = "reflect"

    @classmethod
    def _generate_shift_maps(cls, shape, alpha, sigma, random_state):
        grid = [max(2, math.ceil(side / sigma)) for side in shape]
        moves = random_state.uniform(-alpha, alpha, size=(*grid, 2)).astype(np.float32)
        moves = cv2.resize(moves, shape[::-1], interpolation=cv2.INTER_CUBIC)
        return moves[..., 0], moves[..., 1]


def _geometry(
    drawn: dict[str, np.ndarray], shape: tuple[int, ...], rng: np.random.Generator
) -> list[iaa.Augmenter]:
    turns = int(drawn["quarter_turn"][0]) if "quarter_turn" in drawn else 0
    turned_shape_fits = shape[0] == shape[1] or turns % 2 == 0
    steps = []
    if any(name in drawn for name in AFFINE) or not turned_shape_fits:
        down, right = map(float, drawn.get("shift", (0.0, 0.0)))
        warp = iaa.Affine(
            rotate=float(drawn.get("rotate", (0.0,))[0]) + 90.0 * turns,
            scale=float(drawn.get("zoom", (1.0,))[0]),
            translate_percent={"x": right, "y": down},
            order=1,
            mode="reflect",
            backend="cv2",
            seed=0,
        )
        warp._mode_segmentation_maps = "reflect"  # no public keyword; the default fills with 0
        steps.append(warp)
    elif turns:
        steps.append(iaa.Rot90(turns, keep_size=False, seed=0))
    if "flip" in drawn:
        steps.append(iaa.Fliplr(1.0, seed=0))
    if "elastic" in drawn:
        steps.append(_CoarseElastic(drawn["elastic"][0], seed=int(rng.integers(2**31))))
    return steps


def _pixelwise(change) -> iaa.Augmenter:
    """An imgaug augmenter that changes the image alone by ``change(pixels)``."""
    return iaa.Lambda(
        func_images=lambda images, random_state, parents, hooks: [change(p) for p in images],
        seed=0,
    )


def _blur(sigma_px, shape, rng):
    """imgaug's own choice of kernel ends at 1.3 sigma and so blurs too little; here at 3."""
    side = 2 * math.ceil(3 * sigma_px) + 1
    return [_pixelwise(lambda p: iaa.blur_gaussian_(p, sigma_px, ksize=side))]


def _background(amplitude, shape, rng):
    """Adds a smooth field of zero mean: it lifts dark and bright alike, as thickness does."""
    field = smooth_field(*shape[:2], rng)[..., None] * np.float32(amplitude)
    return [_pixelwise(lambda p: p + field)]


def _poisson(dose, shape, rng):
    """Counts electrons: white receives ``dose`` per pixel, so the variance is signal / dose."""

    def count(pixels):
        usual = np.minimum(np.nan_to_num(pixels), 10)  # NaN, and hot pixels beyond it, stay
        return count_electrons(usual, dose, rng) + (pixels - usual)

    return [_pixelwise(count)]


def _salt_pepper(fraction, shape, rng):
    seed = int(rng.integers(2**31))
    return [iaa.ReplaceElementwise(iap.Binomial(fraction), iap.Choice([0.0, 1.0]), seed=seed)]


def _gamma(exponent, shape, rng):
    """Odd about black, so that values below it stay in order."""
    exponent = np.float32(exponent)
    return [_pixelwise(lambda p: np.copysign(np.abs(p) ** exponent, p))]


def _gaussian(sigma, shape, rng):
    noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)
    return [_pixelwise(lambda p: p + noise)]


def _contrast(factor, shape, rng):
    """imgaug's contrast of float images turns about 0; the shift moves that to mid-grey."""
    return [iaa.LinearContrast(factor, seed=0), iaa.Add(MID_GREY * (1.0 - factor), seed=0)]


def _invert(amount, shape, rng):
    """Exchanges dark and bright within the example's own limits, so that nothing is cut off."""

    def turned(pixels):
        known = pixels[np.isfinite(pixels)]
        return (known.min() + known.max()) - pixels if known.size else pixels

    return [_pixelwise(turned)]


# Each makes steps of a drawn strength, the pixels' shape and a source of randomness.
_PHOTOMETRIC = {
    "blur": _blur,
    "background": _background,
    "poisson": _poisson,
    "gaussian": _gaussian,
    "salt_pepper": _salt_pepper,
    "gamma": _gamma,
    "contrast": _contrast,
    "brightness": lambda offset, shape, rng: [iaa.Add(offset, seed=0)],
    "invert": _invert,
}
