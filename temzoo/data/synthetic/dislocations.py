"""Dislocation lines and loops: where they run, and how dark a bright-field image shows them.

A dislocation bends the lattice planes beside it, which scatters electrons out of the bright-field
image: a dark band, a third to a fifth of the extinction distance wide (Williams & Carter,
Transmission Electron Microscopy, 2nd ed. 2009, chapter 27). It is drawn as a Gaussian profile of
absorption, without the dynamical theory that gives its fine structure. Two of its features are:

- *loops*: the contrast goes with the displacement's part along the diffraction vector g. It is
  radial about a small loop, so that two dark lobes face each other and are parted by a line of no
  contrast across g (Ashby & Brown, Philosophical Magazine 8, 1083, 1963). All loops of an image
  have one g.
- *lines* that cross a foil inclined are seen dotted, as their contrast oscillates with depth.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from temzoo.data.synthetic.scene import Body, Scene, draw
from temzoo.labels.shapes.windows import vertex_count

SIGMA_PER_WIDTH = 1 / (2 * math.sqrt(2 * math.log(2)))  # of a Gaussian, by its width at half height
REACH = 4  # sigmas from its middle to which a band is drawn
STEP_NM = 4.0  # between the vertices of a line
BEND = 0.015  # standard deviation of the change of direction from step to step, radians
LASTING = 0.9  # share of a bend that goes on in the next step
NO_CONTRAST = 0.25  # of a loop's full darkness, on the line across g
DOTS = 0.3  # relative amplitude of the oscillation along a line


@dataclass(frozen=True, eq=False)
class Line:
    """One dislocation line, in pixels of the image.

    Attributes:
        points: (N, 2) vertices, (row, col), inside the image: what is labelled.
        drawn: (M, 2) the same, and straight away from the image where it leaves it.
        width: of its dark band at half maximum.
        darkness: of its core.
    """

    points: np.ndarray
    drawn: np.ndarray
    width: float
    darkness: float


def random_lines(rng: np.random.Generator, scene: Scene, shape: tuple[int, int]) -> list[Line]:
    """Lines that begin anywhere, bend gently, and may cross each other."""
    return [_random_line(rng, scene, shape) for _ in range(round(draw(rng, scene.n_lines)))]


def absorption_of(
    rng: np.random.Generator,
    scene: Scene,
    canvas: tuple[int, int],
    *,
    bodies: list[Body],
    lines: list[Line],
    margin: int,
) -> np.ndarray:
    """(H, W) float32 exponent of the electrons that dislocations take from the image."""
    absorption = np.zeros(canvas, np.float32)
    loops = [body for body in bodies if body.kind == "loop"]
    across = rng.uniform(0, math.pi) if loops else 0.0
    for loop in loops:
        points, facing = _ring(loop, across)
        strength = draw(rng, scene.line_darkness) * (NO_CONTRAST + (1 - NO_CONTRAST) * facing)
        width = draw(rng, scene.line_width_nm) / scene.nm_per_pixel
        _add_band(absorption, points + margin, strength, width)
    for line in lines:
        steps = np.hypot(*np.diff(line.drawn, axis=0).T)
        period = 4 * line.width
        phase = np.r_[0, np.cumsum(steps)] * (2 * math.pi / period) + rng.uniform(0, 2 * math.pi)
        strength = line.darkness * (1 + DOTS * np.cos(phase)) / (1 + DOTS)
        _add_band(absorption, line.drawn + margin, strength, line.width)
    return absorption


def _random_line(rng: np.random.Generator, scene: Scene, shape: tuple[int, int]) -> Line:
    """Grown to both sides of a random point."""
    step = STEP_NM / scene.nm_per_pixel
    length_px = draw(rng, scene.line_length_nm) / scene.nm_per_pixel
    seed, heading = rng.uniform((0, 0), shape), rng.uniform(0, 2 * math.pi)
    half = max(1, round(length_px / step / 2))
    beyond = 2.0 * sum(shape)  # so that the drawn part leaves any margin
    sides = []
    for direction in (heading, heading + math.pi):
        bends = rng.normal(0, BEND, half)
        for place in range(1, half):
            bends[place] += LASTING * bends[place - 1]
        sides.append(_grown(seed, direction + np.cumsum(bends), step, shape, beyond))
    (back, back_drawn), (forth, forth_drawn) = sides
    width = draw(rng, scene.line_width_nm) / scene.nm_per_pixel
    return Line(
        np.concatenate([back[:0:-1], forth]),
        np.concatenate([back_drawn[:0:-1], forth_drawn]),
        width,
        draw(rng, scene.line_darkness),
    )


def _grown(
    seed: np.ndarray, headings: np.ndarray, step: float, shape: tuple[int, int], beyond: float
) -> tuple[np.ndarray, np.ndarray]:
    """One side of a line: what of it lies inside the image; and so, or on beyond the border."""
    moves = step * np.stack([np.sin(headings), np.cos(headings)], axis=1)
    course = np.concatenate([seed[None], seed + np.cumsum(moves, axis=0)])
    outside = np.flatnonzero(((course < 0) | (course > shape)).any(axis=1))
    if not len(outside):
        return course, course
    last, first_out = course[outside[0] - 1], course[outside[0]]
    move = first_out - last
    # The part of the move until it meets the border that it crosses first.
    limits = np.where(move < 0, 0.0, np.array(shape, float))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(move == 0, np.inf, (limits - last) / move)
    end = np.clip(last + shares.min() * move, 0, shape)
    inside = np.concatenate([course[: outside[0]], end[None]])
    # Straight away from the border: no label would tell of what came back, or ran along it.
    axis = int(shares.argmin())
    away = end.copy()
    away[axis] += math.copysign(beyond, move[axis])
    return inside, np.concatenate([inside, away[None]])


def _ring(loop: Body, across: float) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) closed outline of a loop, and (N,) how far each point's radius faces along g."""
    turn = np.linspace(0, 2 * math.pi, vertex_count(loop.semi_long) + 1)
    along, side = loop.semi_long * np.cos(turn), loop.semi_short * np.sin(turn)
    rows = along * math.sin(loop.angle) + side * math.cos(loop.angle)
    cols = along * math.cos(loop.angle) - side * math.sin(loop.angle)
    facing = np.abs(np.cos(np.arctan2(rows, cols) - across))
    return np.stack([rows + loop.row, cols + loop.col], axis=1), facing


def _add_band(canvas: np.ndarray, points: np.ndarray, strength: np.ndarray, width: float) -> None:
    """Adds a Gaussian band about a polyline; where two of its pieces meet, the darker counts."""
    sigma = width * SIGMA_PER_WIDTH
    reach = REACH * sigma
    own = np.zeros_like(canvas)
    for (start, end), (one, other) in zip(
        itertools.pairwise(points), itertools.pairwise(strength), strict=True
    ):
        low = np.floor(np.minimum(start, end) - reach).clip((0, 0), canvas.shape).astype(int)
        high = np.ceil(np.maximum(start, end) + reach).clip((0, 0), canvas.shape).astype(int)
        window = slice(low[0], high[0]), slice(low[1], high[1])
        rows, cols = np.ogrid[window]
        down, right = rows + 0.5 - start[0], cols + 0.5 - start[1]
        move = end - start
        share = np.clip((down * move[0] + right * move[1]) / max(move @ move, 1e-12), 0, 1)
        squared = (down - share * move[0]) ** 2 + (right - share * move[1]) ** 2
        dark = (one + (other - one) * share) * np.exp(squared / (-2 * sigma**2))
        own[window] = np.maximum(own[window], dark)
    canvas += own
