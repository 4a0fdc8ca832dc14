"""Augmentation by OpenCV: what ``augment_imgaug`` does, in one resampling, without imgaug.

Where each pixel of an example comes from is worked out first, for all of the geometry together;
then image and map are taken from there, once. Beyond the border both are reflected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from temzoo.data.augment_operations import AFFINE, ELASTIC_SPACING_PX, MID_GREY

MOST_CHANNELS = 4  # that OpenCV moves in one call


def move(
    drawn: Mapping[str, np.ndarray],
    pixels: np.ndarray,
    class_map: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Moves an example and its map, as ``augment_imgaug.move``."""
    shape = pixels.shape[:2]
    turns = int(drawn["quarter_turn"][0]) if "quarter_turn" in drawn else 0
    fits = shape[0] == shape[1] or turns % 2 == 0
    if fits and "elastic" not in drawn and not any(name in drawn for name in AFFINE):
        flip = "flip" in drawn
        return _turned(pixels, turns, flip), _turned(class_map, turns, flip)
    affine = _affine(drawn, turns, shape)
    if "elastic" not in drawn:
        return _warped(pixels, class_map, cv2.warpAffine, affine, shape[::-1])
    cols, rows = _moves(float(drawn["elastic"][0]), shape, rng)
    affine = affine.astype(np.float32)
    places = [a * cols + b * rows + c for a, b, c in affine]
    return _warped(pixels, class_map, cv2.remap, *places)


def change(
    name: str, strength: float, shape: tuple[int, ...], rng: np.random.Generator
) -> Callable[[np.ndarray], np.ndarray]:
    """The operation that changes pixels (H, W, C), on a scale of 0 to 1, by a strength."""
    strength = np.float32(strength)
    if name == "blur":
        side = 2 * math.ceil(3 * strength) + 1
        return lambda p: cv2.GaussianBlur(p, (side, side), float(strength)).reshape(p.shape)
    if name == "salt_pepper":
        hit, white = rng.random(shape) < strength, rng.integers(2, size=shape)
        return lambda p: np.where(hit, white.astype(p.dtype), p)
    if name == "contrast":
        return lambda p: (p - np.float32(MID_GREY)) * strength + np.float32(MID_GREY)
    return lambda p: p + strength  # brightness


def _turned(array: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    array = np.rot90(array, -turns)
    return np.ascontiguousarray(array[:, ::-1] if flip else array)


def _affine(drawn: Mapping[str, np.ndarray], turns: int, shape: tuple[int, int]) -> np.ndarray:
    """(2, 3): from the (col, row) of a result to where it comes from.

    The example was enlarged and turned clockwise about its middle, shifted, and mirrored.
    """
    height, width = shape
    down, right = drawn.get("shift", (0.0, 0.0))
    angle = math.radians(float(drawn.get("rotate", (0.0,))[0]) + 90.0 * turns)
    zoom = float(drawn.get("zoom", (1.0,))[0])
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    turn = np.array([[cos, sin], [-sin, cos]])
    affine = np.column_stack(
        [turn, middle - turn @ (middle + np.array([right * width, down * height]))]
    )
    if "flip" in drawn:
        affine = affine @ [[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]]
    return affine


def _moves(
    most_px: float, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The columns and rows of pixels that a grid of random moves displaces smoothly."""
    grid = [max(2, math.ceil(side / ELASTIC_SPACING_PX)) for side in shape]
    moves = rng.uniform(-most_px, most_px, size=(*grid, 2)).astype(np.float32)
    moves = cv2.resize(moves, shape[::-1], interpolation=cv2.INTER_CUBIC)
    cols, rows = np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32)
    return cols + moves[..., 1], rows[:, None] + moves[..., 0]


def _warped(
    pixels: np.ndarray, class_map: np.ndarray, warp: Callable[..., np.ndarray], *places: Any
) -> tuple[np.ndarray, np.ndarray]:
    """An example taken from elsewhere: pixels between neighbours, the map from the nearest."""
    remap = warp is cv2.remap
    how, back = ("interpolation", 0) if remap else ("flags", cv2.WARP_INVERSE_MAP)

    def taken(array: np.ndarray, flags: int) -> np.ndarray:
        return warp(
            np.ascontiguousarray(array), *places, **{how: flags}, borderMode=cv2.BORDER_REFLECT_101
        )

    images = _few(pixels)
    # OpenCV moves no int32; a map of few objects fits uint16, and float64 holds any number of them.
    few = class_map.max(initial=0) <= np.iinfo(np.uint16).max
    drawable = class_map.astype(np.uint16 if few else np.float64)
    maps = _few(drawable.reshape(*class_map.shape[:2], -1))
    moved = [taken(part, cv2.INTER_LINEAR | back) for part in images]
    drawn = [taken(part, cv2.INTER_NEAREST | back) for part in maps]
    return np.dstack(moved), np.dstack(drawn).reshape(class_map.shape).astype(class_map.dtype)


def _few(array: np.ndarray) -> list[np.ndarray]:
    """The channels (H, W, C), as many at a time as OpenCV moves in one call."""
    return np.split(array, range(MOST_CHANNELS, array.shape[2], MOST_CHANNELS), axis=2)
