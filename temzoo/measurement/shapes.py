"""What is measured of a particle's shape, in physical coordinates, for pixels of any aspect.

A pixel is a rectangle of ``spacing`` (row, col). What that means for each measure:

- **Area, centroid, moments** are those of the union of the pixels' rectangles; their own extent
  counts, so that a needle one pixel wide has a finite aspect ratio.
- **Feret diameters** are the largest and smallest distance between two parallel lines that enclose
  the outline, which is the convex hull of the middles of the pixels' sides. It lies halfway
  between the last pixel inside and the first outside, as in scikit-image's contours at 0.5. The
  hull of the pixels' corners would add 0.4 px on average, that of their centres lack 1 px. Of
  ellipses, largest diameters come out 0.2 to 0.8 px too large, as the largest of many directions
  does in a staircase, smallest ones within 0.5 px.
- **Perimeter** is Crofton's: the number of chords that lines of many directions cut out of the
  particle, by the distance of these lines (Serra, Image Analysis and Mathematical Morphology, 1982;
  Lehmann & Legland, Insight Journal, 2012). Lines run along steps from pixel to pixel, in twelve
  directions of nearly even spacing in nm, whatever the pixels' sides, each with the weight that
  makes straight outlines count the same in all directions. At corners, chords
  that are shorter than a step fall between two pixels. What steps twice as long miss tells how
  many: of polygons all of it, of discs a third; 7/8 of it are taken. Particles less than 4 px thick
  (twice their area by their perimeter) have too few pixels for this: steps to the neighbours alone
  are taken of them, which with square pixels is ``skimage.measure.perimeter_crofton`` within 0.1 %.
  Holes and the parts of the outline that lie on the micrograph's border count.
- **Solidity** is the number of pixels by that of those whose centre lies in the convex hull of the
  particle's pixel centres, which Pick's theorem counts. It is exactly 1 for the pixels of any
  convex shape, and a ratio of numbers, so that the pixels' aspect does not matter.
- **Ratios** are those of ISO 9276-6:2008 and ASTM F1877, of the lengths above; see ``ratios``.

A particle in several pieces is measured as one: its Feret diameters span all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import nnls
from scipy.special import ellipe

from temzoo.measurement.pixel_runs import Runs

Pair = tuple[float, float]
Step = tuple[int, int]
DIRECTIONS, EPSILON = 12, 1e-9
# How far steps go, in pixels: to the neighbours, and beyond them.
REACHES = (math.sqrt(2), math.sqrt(10))
THINNEST_PX, FARTHEST_PX = 4, 64
MISSED = 7 / 8  # discs and squares of 10 px are both within 2 % by it


@dataclass(frozen=True, eq=False)
class Ellipses:
    """Centroids, and the ellipses of equal second moments.

    Attributes:
        centroid: (N, 2) (row, col) in the unit of the spacing; a pixel's centre is at 0.5.
        aspect_ratio: (N,) long by short axis, from 1 on.
        orientation_deg: (N,) of the long axis, clockwise on screen from the horizontal, from 0 to
            below 180; without meaning where the aspect ratio is 1.
    """

    centroid: np.ndarray
    aspect_ratio: np.ndarray
    orientation_deg: np.ndarray


@dataclass(frozen=True, eq=False)
class Hulls:
    """Convex hulls of the pixel centres of N particles, as their E edges.

    Attributes:
        particle: (E,) index, ascending; a particle of one pixel has no edge.
        edges: (E, 2) int64 (rows, columns) from a vertex to the next one around; those of a
            particle in one line of pixels go there and back.
        filled_px: (N,) pixels whose centres lie in the hull or on it.
    """

    particle: np.ndarray
    edges: np.ndarray
    filled_px: np.ndarray


def ellipses(runs: Runs, spacing: Pair) -> Ellipses:
    """Moments of the pixels' rectangles."""
    origin = runs.boxes[:, :2].astype(float)  # near the particle, so that no digit is lost
    row = runs.row - origin[runs.particle, 0]
    low, high = (ends - origin[runs.particle, 1] for ends in (runs.start, runs.stop))
    length, middle = high - low, row + 0.5
    area = runs.area_px
    rows = runs.sums(length * middle) / area
    cols = runs.sums((high**2 - low**2) / 2) / area
    by_row = runs.sums(length * (middle**2 + 1 / 12)) / area - rows**2
    by_col = runs.sums((high**3 - low**3) / 3) / area - cols**2
    mixed = runs.sums(middle * (high**2 - low**2) / 2) / area - rows * cols
    down, along = spacing
    centroid = (origin + np.stack([rows, cols], axis=1)) * spacing
    return Ellipses(centroid, *_axes(by_row * down**2, by_col * along**2, mixed * down * along))


def _axes(by_row: np.ndarray, by_col: np.ndarray, mixed: np.ndarray) -> tuple:
    """Aspect ratio, and degrees of the long axis, of 2 x 2 covariance matrices."""
    middle, half = (by_row + by_col) / 2, np.hypot((by_col - by_row) / 2, mixed)
    angle = np.degrees(np.arctan2(2 * mixed, by_col - by_row)) / 2
    # A breadth below the horizontal would else become 180.
    return np.sqrt((middle + half) / (middle - half)), np.round(angle, 9) % 180


def hulls(runs: Runs) -> Hulls:
    """By deleting, of the ends of all rows at once, those inside the line of their neighbours."""
    line = np.ones(len(runs.row), bool)  # the first run of each row of each particle
    line[1:] = (np.diff(runs.particle) != 0) | (np.diff(runs.row) != 0)
    at = np.flatnonzero(line)
    particle, row = runs.particle[at], runs.row[at]
    first, last = runs.start[at], np.append(runs.stop[at[1:] - 1], runs.stop[-1:]) - 1
    left = np.stack([particle, row, first])[:, _is_extreme(particle, row, first)]
    right = np.stack([particle, row, last])[:, _is_extreme(particle, row, -last)]
    # Down along the left side, then up along the right one.
    side = np.repeat([0, 1], [left.shape[1], right.shape[1]])
    particle, row, col = np.concatenate([left, right], axis=1)
    order = np.lexsort([np.where(side, -row, row), side, particle])
    return _closed(particle[order], row[order], col[order], len(runs))


def _is_extreme(particle: np.ndarray, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """(K,) bool: which points (one a row, sorted) are vertices of the hull's low side.

    A point on or above the line between its neighbours is no vertex, whatever its neighbours are,
    so all such points go at once; that is repeated until none is left.
    """
    kept = np.arange(len(particle))
    while True:
        p, r, c = particle[kept], row[kept], col[kept]
        inner = (p[:-2] == p[2:]).nonzero()[0] + 1
        before, after = inner - 1, inner + 1
        rise = (c[inner] - c[before]) * (r[after] - r[before])
        gone = inner[rise >= (c[after] - c[before]) * (r[inner] - r[before])]
        if not len(gone):
            break
        kept = np.delete(kept, gone)
    extreme = np.zeros(len(particle), bool)
    extreme[kept] = True
    return extreme


def _closed(particle: np.ndarray, row: np.ndarray, col: np.ndarray, count: int) -> Hulls:
    """Edges of polygons from their vertices, of which neighbours may be equal."""
    following = _following(particle)
    points = np.stack([row, col], axis=1)
    edges = points[following] - points
    # From a vertex of the same polygon, so that the products stay small.
    local = points - points[np.searchsorted(particle, particle)]
    doubled = local[:, 0] * edges[:, 1] - local[:, 1] * edges[:, 0]
    rim = np.gcd(np.abs(edges[:, 0]), np.abs(edges[:, 1]))
    area2, on_rim = (np.bincount(particle, part, count) for part in (doubled, rim))
    real = edges.any(axis=1)
    return Hulls(particle[real], edges[real], (np.abs(area2) + on_rim) / 2 + 1)


def _following(particle: np.ndarray) -> np.ndarray:
    """(K,) index of the next element around, of the same particle; particles are sorted."""
    following = np.arange(1, len(particle) + 1)
    last = np.append(particle[1:] != particle[:-1], True)[: len(particle)]
    following[last] = np.searchsorted(particle, particle[last])
    return following


def ferets(hull: Hulls, spacing: Pair) -> tuple[np.ndarray, np.ndarray]:
    """(N,) largest and (N,) smallest Feret diameter, by rotating calipers around all hulls at once.

    The hull of the middles of the pixels' sides is the Minkowski sum of that of their centres and
    a pixel's diamond: the edges of both, sorted by direction.
    """
    count = len(hull.filled_px)
    if not count:
        return np.zeros(0), np.zeros(0)
    diamond = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) / 2
    particle = np.concatenate([hull.particle, np.repeat(np.arange(count), 4)])
    edges = np.concatenate([hull.edges, np.tile(diamond, (count, 1))]) * spacing
    angle = np.arctan2(edges[:, 0], edges[:, 1])
    order = np.lexsort([angle, particle])
    particle, edges, angle = particle[order], edges[order], angle[order]
    vertices = np.cumsum(edges, axis=0) - edges  # where each edge begins, around each particle
    reach = vertices[_opposite(particle, angle)] - vertices[:, None]
    across = np.abs(edges[:, None, 0] * reach[..., 1] - edges[:, None, 1] * reach[..., 0])
    widths = across.max(axis=1) / np.hypot(*edges.T)
    ends = np.maximum(np.hypot(*reach.T), np.hypot(*(reach - edges[:, None]).T)).max(axis=0)
    first = np.searchsorted(particle, np.arange(count))
    return np.maximum.reduceat(ends, first), np.minimum.reduceat(widths, first)


def _opposite(particle: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(E, 5) vertices about the one where the line opposite to each edge lies.

    Edges are sorted by particle and angle; edge i begins at vertex i. Parallel edges, of which
    there may be two on a side, make rounding decide between vertices: all of them are taken.
    """
    turned = np.where(angle > 0, angle - math.pi, angle + math.pi)
    key = particle * (4 * math.pi)
    at = np.searchsorted(key + angle, key + turned)
    first = np.searchsorted(particle, particle)
    size = np.searchsorted(particle, particle, side="right") - first
    around = at[:, None] - first[:, None] + np.arange(-2, 3)
    return first[:, None] + around % size[:, None]


def hull_perimeters(hull: Hulls, spacing: Pair) -> np.ndarray:
    """(N,) of the hull that the Feret diameters are of: that of a Minkowski sum is the sum."""
    length = np.hypot(*(hull.edges * spacing).T)
    return np.bincount(hull.particle, length, len(hull.filled_px)) + 2 * math.hypot(*spacing)


def ratios(
    area: np.ndarray, perimeter: np.ndarray, hull_perimeter: np.ndarray, feret: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Descriptors without a unit, (N,) each, by the names of their columns.

    - ``circularity``, 4 pi A / P²: ISO 9276-6's form factor, the square of its circularity; ASTM
      F1877's form factor.
    - ``feret_aspect_ratio``, F_max / F_min: ISO 9276-6's aspect ratio upside down, from 1 on like
      that of the ellipse.
    - ``elongation``, x_E / x_LG: ISO 9276-6's, breadth by length of the rectangle with this area
      and perimeter, A = x_E x_LG and P = 2 (x_E + x_LG). It follows a bent fibre along its bends.
      1 for a square, and for what is rounder than one, of which there is no such rectangle.
    - ``convexity``, P_hull / P: ISO 9276-6's; below 1 where the outline is dented or rough.
    - ``roundness``, 4 A / (pi F_max²): ASTM F1877's, the square of ISO 9276-6's compactness.
    - ``extent``, A / (F_max F_min): ISO 9276-6's; pi / 4 for a circle.

    They are not clipped: pixels make the circularity of a circle scatter about 1. Largest Feret
    diameters of staircases are too large, so that its roundness comes out too low: 0.90 for a disc
    of 12 px, 0.97 of 50 px.

    Args:
        area, perimeter, hull_perimeter: (N,).
        feret: (N,) largest and (N,) smallest diameter.
    """
    longest, narrowest = feret
    half = perimeter / 4
    spread = np.sqrt(np.maximum(half**2 - area, 0))  # half the difference of x_LG and x_E
    return {
        "circularity": 4 * math.pi * area / perimeter**2,
        "feret_aspect_ratio": longest / narrowest,
        "elongation": (half - spread) / (half + spread),
        "convexity": hull_perimeter / perimeter,
        "roundness": 4 * area / (math.pi * longest**2),
        "extent": area / (longest * narrowest),
    }


def ellipse_likeness(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N,) 4 pi A / P² of the convex hull, by that of an ellipse of the same aspect ratio.

    1 for ellipses, less where the outline has corners: 0.79 for a square, 0.91 for a regular
    hexagon. Dents and roughness, which the hull has not, do not count.

    Args:
        found: (N,) each: circularity, convexity, solidity and aspect_ratio.
    """
    hull = found["circularity"] / (found["solidity"] * found["convexity"] ** 2)
    aspect = found["aspect_ratio"]
    return hull * 4 * aspect * ellipe(1 - aspect**-2.0) ** 2 / math.pi**2


def perimeters(runs: Runs, spacing: Pair) -> np.ndarray:
    """(N,) by Crofton's formula; see this module's head."""
    pixel, coarse = spacing[0] * spacing[1], max(spacing)
    short, long = (directions(spacing, reach) for reach in REACHES)
    chords: dict[Step, np.ndarray] = {}

    def crossed(step: Step) -> np.ndarray:
        """(N,) chords along a step: pixels from which it leads out."""
        if step not in chords:
            chords[step] = runs.area_px - _in_both(runs, *step)
        return chords[step]

    def with_missed(step: Step) -> np.ndarray:
        """Chords, and those at corners that fall between two pixels, by steps twice as long."""
        twice = crossed((2 * step[0], 2 * step[1]))
        return crossed(step) + MISSED * (crossed(step) - twice / 2)

    found = sum(2 * pixel * weight * crossed(step) for step, weight in short.items())
    thick = 2 * pixel * runs.area_px >= THINNEST_PX * coarse * found
    if not thick.any():
        return found
    better = sum(2 * pixel * weight * with_missed(step) for step, weight in long.items())
    return np.where(thick, better, found)


@lru_cache(maxsize=64)
def directions(spacing: Pair, reach: float) -> dict[Step, float]:
    """Steps (rows, columns) between pixels along which chords are counted, and their weights.

    Of the steps up to ``reach`` times the pixel's longer side those nearest to evenly spaced
    directions; weighted by least squares so that a straight outline counts the same whatever its
    direction, as nearly as may be.
    """
    coarse = reach * max(spacing)
    rows, cols = (min(int(coarse / side + EPSILON), FARTHEST_PX) for side in spacing)
    steps = [
        (row, col)
        for row in range(rows + 1)
        for col in range(-cols, cols + 1)
        if math.gcd(row, col) == 1
        and (row, col) > (0, 0)
        and math.hypot(row * spacing[0], col * spacing[1]) <= coarse + EPSILON
    ]
    vectors = np.array(steps) * spacing
    length, angle = np.hypot(*vectors.T), np.arctan2(*vectors.T)
    even = np.arange(DIRECTIONS) * math.pi / DIRECTIONS
    apart = np.abs((angle - even[:, None] + math.pi / 2) % math.pi - math.pi / 2)
    kept = sorted({int(np.lexsort([length, np.round(each, 6)])[0]) for each in apart})
    normals = np.linspace(0, math.pi, 720, endpoint=False)
    seen = np.abs(np.stack([np.cos(normals), np.sin(normals)], axis=1) @ vectors[kept].T)
    weights, _ = nnls(seen, np.ones(len(normals)))
    return {steps[k]: float(weight) for k, weight in zip(kept, weights, strict=True) if weight}


def _in_both(runs: Runs, rows: int, cols: int) -> np.ndarray:
    """(N,) pixels whose neighbour so many rows and columns on belongs too."""
    height, width = runs.shape
    stride = width + 2 * abs(cols)  # a shifted column still lies in its line
    line = (runs.particle * (height + rows) + runs.row) * stride + abs(cols)
    begins, lengths = line + runs.start, runs.stop - runs.start
    before = np.concatenate([[0], np.cumsum(lengths)])

    def filled(position: np.ndarray) -> np.ndarray:
        """Pixels of all lines before a position."""
        at = np.searchsorted(begins, position, side="right") - 1
        known = before[at] + np.minimum(position - begins[at], lengths[at])
        return np.where(at >= 0, known, 0)

    there = line + rows * stride + cols
    return runs.sums(filled(there + runs.stop) - filled(there + runs.start))


def solidity(runs: Runs, hull: Hulls) -> np.ndarray:
    """(N,) from above 0 to 1."""
    return runs.area_px / hull.filled_px
