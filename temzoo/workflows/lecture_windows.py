"""The particles that the lecture on classifiers learns from: outlines of three kinds.

A particle is cut in a window that grows with it, so that its size tells nothing, and 6 px wider on
all sides than what a network sees, so that this can be shifted on the micrograph itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from temzoo.core.types import Example
from temzoo.data.synthetic.particle_images import particle_images
from temzoo.labels.shapes.raster import instance_map
from temzoo.measurement.pixel_runs import Runs, runs_of_map
from temzoo.measurement.shapes import ellipses, hulls
from temzoo.micrographs import as_channels
from temzoo.particles.cutting import cut

KINDS = ("elongated", "irregular", "round")
SIZE, MARGIN = 32, 6  # px: what a network sees, and how far it can be shifted
WINDOW_PER_FERET = 1.6
LEAST_AREA_PX = 150  # smaller ones have too few pixels to tell their kind
DRAWN = 3000
DOSE_E_PER_PX = 4000.0


@dataclass(frozen=True, eq=False)
class Windows:
    """Particles of known kind.

    Attributes:
        pixels: (N, 44, 44, 1) float32, raw values.
        kinds: (N,) place in ``KINDS``.
        images: (N,) names of the micrographs, of which each counts about the same in training.
        groups: (N,) what must not be parted: publications, else micrographs.
    """

    pixels: np.ndarray
    kinds: np.ndarray
    images: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.kinds)

    def picked(self, keep: np.ndarray) -> Windows:
        """Those alone that an index or a mask names."""
        return Windows(self.pixels[keep], self.kinds[keep], self.images[keep], self.groups[keep])

    def seen(self, down: int = 0, along: int = 0) -> np.ndarray:
        """(N, 32, 32, 1): the middle, or what lies some px, 6 at most, beside it."""
        top, left = MARGIN + down, MARGIN + along
        return self.pixels[:, top : top + SIZE, left : left + SIZE]

    def weights(self) -> np.ndarray:
        """(N,) of mean 1: all kinds count alike, and of n particles of a micrograph each 1/sqrt n.

        A micrograph of hundreds of particles would else be what is learnt.
        """
        _, place, counts = np.unique(self.images, return_inverse=True, return_counts=True)
        weights = 1 / np.sqrt(counts[place])
        of_kind = np.bincount(self.kinds, weights, len(KINDS))
        weights = weights / of_kind[self.kinds]
        return (weights / weights.mean()).astype(np.float32)


def labelled_windows(examples: Sequence[Example]) -> Windows:
    """The particles of labelled micrographs, by the kind of their labelled outline.

    Particles under 150 px, at the border or of no clear kind are left out.

    Raises:
        ValueError: fewer than three kinds are left.
    """
    found = [_of_micrograph(example) for example in examples]
    parts = [np.concatenate(column) for column in zip(*found, strict=True)]
    windows = Windows(*parts)
    missing = [kind for k, kind in enumerate(KINDS) if not (windows.kinds == k).any()]
    if missing:
        raise ValueError(
            f"the lecture needs particles that are {', '.join(KINDS)}. Received: {len(windows)}"
            f" particles of {len(examples)} micrographs, of which none is {' or '.join(missing)}."
            " Leave out --images and --labels, and particles are drawn."
        )
    return windows


def _of_micrograph(example: Example) -> tuple[np.ndarray, ...]:
    numbered = instance_map(example.labels)
    runs = runs_of_map(numbered)
    kinds = np.full(int(numbered.max(initial=0)), "", object)
    kinds[runs.numbers - 1] = outline_kinds(runs, numbered)
    wider = (SIZE + 2 * MARGIN) / SIZE
    wanted = [kind for kind in KINDS if kind in kinds]
    options = {"window_feret": WINDOW_PER_FERET * wider, "size": SIZE + 2 * MARGIN}
    cut_out = cut(example.micrograph, numbered, labels=list(kinds), classes=wanted, **options)
    pixels = [as_channels(one.image.pixels, 1).astype(np.float32) for one in cut_out]
    names = np.full(len(pixels), example.name, object)
    groups = np.full(len(pixels), example.group or example.name, object)
    pixels = np.reshape(pixels, (-1, SIZE + 2 * MARGIN, SIZE + 2 * MARGIN, 1)).astype(np.float32)
    return pixels, np.array([KINDS.index(one.label) for one in cut_out], int), names, groups


def outline_kinds(runs: Runs, instances: np.ndarray) -> list[str]:
    """The kind of each particle of a map, or "" between the kinds and below 150 px.

    Round: an aspect ratio below 1.15, and an overlap of over 0.93 with the ellipse of equal second
    moments; elongated: above 1.8, and a solidity of over 0.88; irregular: below 1.5, and an
    overlap below 0.90. They are outlines of projections, and say nothing of the third dimension.
    """
    aspect = ellipses(runs, (1.0, 1.0)).aspect_ratio
    solidity = runs.area_px / hulls(runs).filled_px
    kinds = []
    for k, (number, box) in enumerate(zip(runs.numbers, runs.boxes, strict=True)):
        if runs.area_px[k] < LEAST_AREA_PX:
            kinds.append("")
        elif aspect[k] > 1.8:
            kinds.append("elongated" if solidity[k] > 0.88 else "")
        else:
            top, left, bottom, right = box
            overlap = _ellipse_overlap(instances[top:bottom, left:right] == number)
            irregular = "irregular" if aspect[k] < 1.5 and overlap < 0.90 else ""
            kinds.append("round" if aspect[k] < 1.15 and overlap > 0.93 else irregular)
    return kinds


def _ellipse_overlap(mask: np.ndarray) -> float:
    """IoU of a mask with the ellipse of its centroid and second moments."""
    spread = 1 + max(mask.shape) // 4  # the ellipse may reach out of the box
    mask = np.pad(mask, spread)
    places = np.argwhere(mask)
    inverse = np.linalg.inv(np.cov(places.T, bias=True) + np.eye(2) / 12)
    away = np.moveaxis(np.indices(mask.shape), 0, -1) - places.mean(axis=0)
    ellipse = np.einsum("...i,ij,...j->...", away, inverse, away) <= 4
    return float((mask & ellipse).sum() / (mask | ellipse).sum())


def drawn_windows(n: int = DRAWN, seed: int = 0) -> Windows:
    """Drawn particles, as many of each kind: discs, ellipsoids, and lopsided ones.

    Each is its own micrograph. A lopsided one has a small sphere on its end.
    """
    side, each = SIZE + 2 * MARGIN, n // len(KINDS)
    options = {"size": side, "dose_e_per_px": DOSE_E_PER_PX, "diameter_px": (10.0, 14.0)}
    ways = {
        "elongated": {"aspect_ratio": (1.5, 2.2)},
        "irregular": {"aspect_ratio": (1.0, 1.3), "lopsided": True},
        "round": {"aspect_ratio": (1.0, 1.1)},
    }
    pixels = [
        particle_images(each, seed=len(KINDS) * seed + k, **ways[kind], **options)[0]
        for k, kind in enumerate(KINDS)
    ]
    names = np.array([f"{kind}{k}" for kind in KINDS for k in range(each)], object)
    kinds = np.repeat(np.arange(len(KINDS)), each)
    return Windows(np.concatenate(pixels)[..., None], kinds, names, names)
