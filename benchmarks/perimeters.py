"""Perimeters of shapes whose perimeter is known, beside those of scikit-image and ImageJ.

Each shape is drawn at several angles and, at each, at several places off the grid. The figure of an
angle is the mean error of its places, since a digital shape of 10 px stands for many; the two ends
over all angles are kept.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ellipe
from skimage import measure

from temzoo.measurement.pixel_runs import runs_of_map
from temzoo.measurement.shapes import perimeters

PLACES, ANGLES = 24, range(0, 180, 15)
SIDES = {"1:1": (1.0, 1.0), "1:2": (1.0, 0.5), "1:4": (1.0, 0.25)}  # of a pixel, row and column
# Length and breadth in the pixel's longer side.
SHAPES = {
    "disc": ("ellipse", (1, 1), (10, 20, 80)),
    "square, upright": ("rectangle", (1, 1), (10, 20, 80)),
    "square, turned": ("rectangle", (1, 1), (10, 20, 80)),
    "ellipse 4:1": ("ellipse", (4, 1), (10, 20)),
}
Mask, Sides = np.ndarray, tuple[float, float]


def of_scikit_image(measured: Callable[[Mask], float]) -> Callable[[Mask, Sides], float]:
    """One of its functions, which are of square pixels."""
    return lambda mask, sides: float(measured(mask)) if sides == (1, 1) else math.nan


def imagej(mask: Mask, sides: Sides) -> float:
    """As ImageJ 1.54 measures a traced particle: the pixels' outline, its steps cut off.

    Each corner of the outline is cut by what the diagonal of a pixel is shorter than its two sides;
    of corners that follow each other after one pixel every other one.
    """
    turns = _turns(mask)
    sides_px = np.abs(turns - np.roll(turns, 1, axis=0))  # that end at each turn
    corner, cut = False, 0
    for length in sides_px.sum(axis=1):
        corner = length > 1 or not corner
        cut += corner
    down, along = sides
    lost = cut * (down + along - math.hypot(down, along))
    return float((sides_px * sides).sum() - lost)


def _turns(mask: Mask) -> np.ndarray:
    """(K, 2) corners of the outline of a mask in one piece without holes, clockwise."""
    inside = np.pad(mask, 1)
    at, along = np.argwhere(inside)[0], np.array([0, 1])
    begin, turns = tuple(at), []
    while not turns or tuple(at) != begin:
        at = at + along
        right = np.array([along[1], -along[0]])
        if inside[tuple(at + (along - right - 1) // 2)]:
            along = -right
        elif not inside[tuple(at + (along + right - 1) // 2)]:
            along = right
        else:
            continue
        turns.append(at)
    return np.array(turns)


METHODS: dict[str, Callable[[Mask, Sides], float]] = {
    "temzoo": lambda mask, sides: perimeters(runs_of_map(mask.astype(np.int32)), sides)[0],
    "scikit-image, perimeter_crofton": of_scikit_image(measure.perimeter_crofton),
    "scikit-image, perimeter": of_scikit_image(measure.perimeter),
    "ImageJ": imagej,
}


def figures(places: int = PLACES) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Errors in % by pixel, shape with its size in px, and method: least and most of all angles."""
    return {
        pixel: {
            f"{name}, {size} px": _errors(name, size, sides, places)
            for name, (_, _, sizes) in SHAPES.items()
            for size in sizes
        }
        for pixel, sides in SIDES.items()
    }


def _errors(name: str, size: int, sides: Sides, places: int) -> dict[str, dict[str, float]]:
    kind, (long, short), _ = SHAPES[name]
    long, short = long * size, short * size
    true = 2 * long * ellipe(1 - (short / long) ** 2) if kind == "ellipse" else 2 * (long + short)
    angles = [0] if name in ("disc", "square, upright") else [*ANGLES]
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {method: [] for method in METHODS}
    for angle in angles:
        masks = [drawn(kind, (long, short), angle, sides, rng.random(2)) for _ in range(places)]
        for method, measured in METHODS.items():
            mean = np.mean([measured(mask, sides) for mask in masks])
            found[method].append(float(100 * (mean / true - 1)))
    return {method: {"least": min(each), "most": max(each)} for method, each in found.items()}


def drawn(kind: str, lengths: tuple[int, int], angle: float, sides: Sides, off: np.ndarray) -> Mask:
    """The pixels whose centre lies in an ellipse or a rectangle."""
    field = 1.5 * max(lengths) + 4
    rows, cols = (
        (np.arange(math.ceil(field / side)) + shift) * side - field / 2
        for side, shift in zip(sides, off, strict=True)
    )
    turn = math.radians(angle)
    along = cols * math.cos(turn) + rows[:, None] * math.sin(turn)
    across = rows[:, None] * math.cos(turn) - cols * math.sin(turn)
    half_long, half_short = lengths[0] / 2, lengths[1] / 2
    if kind == "ellipse":
        return (along / half_long) ** 2 + (across / half_short) ** 2 <= 1
    return (np.abs(along) < half_long) & (np.abs(across) < half_short)
