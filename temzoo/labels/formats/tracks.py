"""Shapes between the keyframes of a video's track.

Boxes, ellipses, points and polylines move linearly, rotations the short way round. Polygons whose
vertices correspond one to one move vertex by vertex; others are matched by arc length first: both
contours are cut at the vertices of both, after the cyclic shift at which they lie closest. Masks,
and shapes that have nothing in common, stay as they are until the next keyframe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from temzoo.core.types import Shape
from temzoo.labels.shapes.windows import signed_area

# Samples along a contour when the best shift is looked for: a thousandth of its length.
CONTOUR_SAMPLES = 1024


@dataclass(frozen=True)
class Keyframe:
    """A shape of a track as the file states it.

    ``outside``: the object is not there, from this frame until the next keyframe.
    """

    frame: int
    shape: Shape
    outside: bool = False


def interpolate(keyframes: Sequence[Keyframe], frames: range) -> Iterator[tuple[int, Shape]]:
    """Yields frame number and shape, for the frames of a track where the object is there.

    Args:
        keyframes: in any order; of two at one frame, the later counts.
        frames: the frames of the video, in steps of at least 1. The track runs on to its end.
    """
    knots = sorted({key.frame: key for key in keyframes}.values(), key=lambda key: key.frame)
    for here, there in zip(knots, [*knots[1:], None], strict=False):
        if here.outside:
            continue
        late = max(0, -((frames.start - here.frame) // frames.step))  # steps until it is there
        stop = frames.stop if there is None else min(there.frame, frames.stop)
        span = range(frames.start + late * frames.step, stop, frames.step)
        between = None  # matching costs more than all else, and exports may state every frame
        for frame in span:
            weight = 0.0 if there is None else (frame - here.frame) / (there.frame - here.frame)
            if weight and between is None:
                between = _between(here.shape, there.shape)
            yield frame, between(weight) if weight else here.shape


def _between(here: Shape, there: Shape) -> Callable[[float], Shape]:
    """The shape at a weight in [0, 1), from one keyframe to the next."""
    pair = _matched(here, there)
    if pair is None:
        return lambda weight: here
    start, end = pair
    turn = (there.rotation - here.rotation + 180) % 360 - 180

    def at(weight: float) -> Shape:
        points = start + weight * (end - start)
        rotation = (here.rotation + weight * turn) % 360 if turn else here.rotation
        return dataclasses.replace(here, points=points, rotation=rotation)

    return at


def _matched(here: Shape, there: Shape) -> tuple[np.ndarray, np.ndarray] | None:
    """Points of both that belong together, (N, 2) each; None where nothing does."""
    a, b = here.points, there.points
    if here.kind != there.kind or here.kind == "mask" or not len(a) or not len(b):
        return None
    if here.kind == "polygon" and min(len(a), len(b)) >= 3:
        return match_contours(a, b)
    if len(a) == len(b):
        return a, b
    if here.kind != "polyline" or min(len(a), len(b)) < 2:
        return None
    along_a, along_b = _positions(a, closed=False), _positions(b, closed=False)
    cuts = np.unique(np.concatenate([along_a, along_b]))
    return _sample(a, along_a, cuts), _sample(b, along_b, cuts)


def match_contours(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of two closed contours that belong together, (K, 2) each, from the same start.

    Both have three vertices or more and are closed implicitly; ``b`` is turned round where it runs
    the other way. K is that of equally many vertices, at most the sum of both otherwise; neither
    contour changes its course.
    """
    if signed_area(a) * signed_area(b) < 0:
        b = b[::-1]
    if len(a) == len(b):
        return a, np.roll(b, -_best_shift(a, b), axis=0)
    along_a, along_b = _positions(a, closed=True), _positions(b, closed=True)
    even = np.arange(CONTOUR_SAMPLES) / CONTOUR_SAMPLES
    shift = _best_shift(_sample(a, along_a, even), _sample(b, along_b, even)) / CONTOUR_SAMPLES
    cuts = np.unique(np.concatenate([along_a[:-1], (along_b[:-1] - shift) % 1.0]))
    return _sample(a, along_a, cuts), _sample(b, along_b, (cuts + shift) % 1.0)


def _best_shift(a: np.ndarray, b: np.ndarray) -> int:
    """The shift s for which the squared distances of a[i] and b[i + s] sum to the least."""
    # Only the product a[i] b[i + s] depends on s, and its centroids' part does not.
    one, other = (np.fft.fft(points - points.mean(axis=0), axis=0) for points in (a, b))
    likeness = np.fft.ifft(np.conj(one) * other, axis=0).real.sum(axis=1)
    # Rounding parts equal shifts (a square's); the smallest is the labeller's own start.
    return int(np.flatnonzero(likeness >= likeness.max() - 1e-9 * np.abs(likeness).max())[0])


def _positions(points: np.ndarray, *, closed: bool) -> np.ndarray:
    """Arc length to each vertex as a fraction of the whole; closed: once more for the first."""
    course = np.vstack([points, points[:1]]) if closed else points
    lengths = np.hypot(*np.diff(course, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    return along / along[-1] if along[-1] else np.linspace(0.0, 1.0, len(course))


def _sample(points: np.ndarray, along: np.ndarray, where: np.ndarray) -> np.ndarray:
    course = np.vstack([points, points[:1]]) if len(along) > len(points) else points
    return np.stack([np.interp(where, along, course[:, axis]) for axis in (0, 1)], axis=1)
