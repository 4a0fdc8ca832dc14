"""Augmentation by imgaug 0.4, which is unmaintained; this is the one file that touches it.

What it moves is resampled twice where an example is turned and warped.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping

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

from temzoo.data.augment_operations import AFFINE, ELASTIC_SPACING_PX, MID_GREY


def move(
    drawn: Mapping[str, np.ndarray],
    pixels: np.ndarray,
    class_map: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Moves an example and its map by what was drawn of ``GEOMETRY``.

    Args:
        drawn: strengths, (2,) each, by operation.
        pixels: (H, W, C) float32.
        class_map: (H, W) or (H, W, K) integers.
    """
    steps = iaa.Sequential(_geometry(drawn, pixels.shape, rng), seed=0)
    maps = SegmentationMapsOnImage(class_map.astype(np.int32), pixels.shape)
    pixels, maps = steps(image=pixels, segmentation_maps=maps)
    return pixels, maps.get_arr().astype(class_map.dtype)


def change(
    name: str, strength: float, shape: tuple[int, ...], rng: np.random.Generator
) -> Callable[[np.ndarray], np.ndarray]:
    """The operation that changes pixels (H, W, C), on a scale of 0 to 1, by a strength."""
    steps = iaa.Sequential(_PHOTOMETRIC[name](strength, rng), seed=0)
    return lambda pixels: steps(image=pixels)


def _geometry(
    drawn: Mapping[str, np.ndarray], shape: tuple[int, ...], rng: np.random.Generator
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


def _blur(sigma_px, rng):
    """imgaug's own choice of kernel ends at 1.3 sigma and so blurs too little; here at 3."""
    side = 2 * math.ceil(3 * sigma_px) + 1

    def blurred(images, random_state, parents, hooks):
        return [iaa.blur_gaussian_(pixels, sigma_px, ksize=side) for pixels in images]

    return [iaa.Lambda(func_images=blurred, seed=0)]


def _salt_pepper(fraction, rng):
    seed = int(rng.integers(2**31))
    return [iaa.ReplaceElementwise(iap.Binomial(fraction), iap.Choice([0.0, 1.0]), seed=seed)]


def _contrast(factor, rng):
    """imgaug's contrast of float images turns about 0; the shift moves that to mid-grey."""
    return [iaa.LinearContrast(factor, seed=0), iaa.Add(MID_GREY * (1.0 - factor), seed=0)]


_PHOTOMETRIC = {
    "blur": _blur,
    "salt_pepper": _salt_pepper,
    "contrast": _contrast,
    "brightness": lambda offset, rng: [iaa.Add(offset, seed=0)],
}
