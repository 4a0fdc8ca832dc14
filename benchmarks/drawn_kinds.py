"""Drawn particles whose kind is known: masks of discs, rods, polygons, lobed blobs and clusters.

They are drawn by their outlines' equations, and share nothing with the measures that judge them. A
pixel belongs to a particle when its centre does. Each lies at a random place off the grid, at a
random angle, and has the area of a circle of the wanted diameter:

- **sphere**: ellipses of up to 1.15:1;
- **rod**: capsules, bars and ellipses of 2:1 to 6:1;
- **faceted**: polygons of three to six sides whose corners lie on a circle, evenly or moved by up
  to a sixth of their distance;
- **irregular**: a circle whose radius swings three to six times around by 25 to 40 %, and a little
  at other frequencies;
- **aggregate**: two to six discs, the smallest of at least 0.7 of the largest, each joined to one
  before it at 0.9 to 1 of the sum of their radii.
"""

import math
from collections.abc import Callable

import numpy as np

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]


def rod(rng: np.random.Generator) -> Inside:
    aspect = rng.uniform(2, 6)
    kind = rng.choice(["capsule", "bar", "ellipse"])
    if kind == "ellipse":
        return _ellipse(aspect)
    if kind == "bar":
        return lambda x, y: (np.abs(x) <= 1) & (np.abs(y) <= 1 / aspect)
    radius = 1 / aspect  # of a capsule's ends
    return lambda x, y: np.hypot(np.maximum(np.abs(x) - (1 - radius), 0), y) <= radius


def polygon(rng: np.random.Generator) -> Inside:
    sides = int(rng.integers(3, 7))
    step = 2 * math.pi / sides
    moved = rng.uniform(-step / 6, step / 6, sides) * rng.integers(0, 2)
    angles = np.arange(sides) * step + moved
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    edges = [*zip(*corners.T, *np.roll(corners, -1, axis=0).T, strict=True)]
    return lambda x, y: np.all(
        [(bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0 for ax, ay, bx, by in edges], axis=0
    )


def blob(rng: np.random.Generator) -> Inside:
    main = int(rng.integers(3, 7))
    waves = [(main, rng.uniform(0.25, 0.4), rng.uniform(0, 2 * math.pi))]
    waves += [(k, rng.uniform(0, 0.08), rng.uniform(0, 2 * math.pi)) for k in range(2, 8)]

    def inside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        angle = np.arctan2(y, x)
        radius = 1 + sum(size * np.cos(k * angle + shift) for k, size, shift in waves)
        return np.hypot(x, y) <= 0.6 * radius

    return inside


def cluster(rng: np.random.Generator) -> Inside:
    discs = [(0.0, 0.0, 1.0)]
    for _ in range(int(rng.integers(1, 6))):
        x, y, radius = discs[rng.integers(len(discs))]
        own, angle = rng.uniform(0.7, 1), rng.uniform(0, 2 * math.pi)
        apart = (radius + own) * rng.uniform(0.9, 1)
        discs.append((x + apart * math.cos(angle), y + apart * math.sin(angle), own))
    return lambda x, y: np.any([(x - a) ** 2 + (y - b) ** 2 <= r**2 for a, b, r in discs], axis=0)


KINDS: dict[str, Callable[[np.random.Generator], Inside]] = {
    "sphere": lambda rng: _ellipse(rng.uniform(1, 1.15)),
    "rod": rod,
    "faceted": polygon,
    "irregular": blob,
    "aggregate": cluster,
}


def drawn(kind: str, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) bool: a particle with the area of a circle of this diameter, with a margin around."""
    inside = KINDS[kind](rng)
    reach, points = (12, 480) if kind == "aggregate" else (2, 240)  # six discs reach no farther
    grid, step = np.linspace(-reach, reach, points, retstep=True)
    area = inside(grid[None], grid[:, None]).sum() * step**2
    scale = math.sqrt(math.pi / 4 * diameter_px**2 / area)
    half = math.ceil(reach * scale)
    turn, off = rng.uniform(0, 2 * math.pi), rng.random(2)
    rows = (np.arange(-half, half)[:, None] + off[0]) / scale
    cols = (np.arange(-half, half)[None] + off[1]) / scale
    across, along = math.cos(turn), math.sin(turn)
    mask = inside(across * cols + along * rows, across * rows - along * cols)
    used = np.argwhere(mask)
    (top, left), (bottom, right) = used.min(axis=0), used.max(axis=0) + 1
    return np.pad(mask[top:bottom, left:right], 2)


def _ellipse(aspect: float) -> Inside:
    return lambda x, y: x**2 + (y * aspect) ** 2 <= 1
