"""How unsure a model is of a micrograph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from temzoo.core.types import MIN_SCORE, Detection, Prediction
from temzoo.evaluation.object_overlaps import MATCH_IOU, overlaps
from temzoo.inference.options import TileOptions
from temzoo.inference.pixel_network import PixelNetwork
from temzoo.inference.pixels import BLOCK_ROWS
from temzoo.inference.tiles import answer_blocks

MIRRORS = ((), (0,), (1,), (0, 1))  # axes to flip; the first is the micrograph as it is
# Specks and haze on an empty micrograph would otherwise make it the most doubtful of all: so much
# of its area counts as found and certain in the doubt and in the disagreement, or so many objects.
FLOOR_DOUBT, FLOOR_VOTE = 0.01, 0.001
FLOOR_OBJECTS = 1
LEAST_SCORE = 0.05  # of a detector's objects: those it nearly found are what it doubts
HEAT_SIDE = 256  # px; a map is kept of every micrograph until the choice is made
Doubts = tuple[float, float, float, np.ndarray]  # doubt, disagreement, entropy, heat


class _Heat:
    """Mean entropy of cells of an image, added up from blocks of rows of its mirror images."""

    def __init__(self, height: int, width: int) -> None:
        factor = min(HEAT_SIDE / max(height, width), 1)
        shape = [max(round(side * factor), 1) for side in (height, width)]
        self.rows, self.columns = (
            np.arange(side) * cells // side
            for side, cells in zip((height, width), shape, strict=True)
        )
        self.sums = np.zeros(shape)

    def add(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Adds values (N, W) of the image's rows (N,)."""
        starts = np.searchsorted(self.columns, np.arange(self.sums.shape[1]))
        np.add.at(self.sums, self.rows[rows], np.add.reduceat(values, starts, axis=1))

    def mean(self, mirrors: int) -> np.ndarray:
        pixels = np.outer(np.bincount(self.rows), np.bincount(self.columns))
        return (self.sums / (pixels * mirrors)).astype(np.float16)


def doubts_of_pixels(network: PixelNetwork, pixels: np.ndarray, mirrors: Sequence[tuple]) -> Doubts:
    """How unsure a network is of the classes of an image, by its answers to mirror images."""
    heat = _Heat(*pixels.shape[:2])
    answers, doubts = zip(*(_answer(network, pixels, axes, heat) for axes in mirrors), strict=True)
    pairs = itertools.combinations(answers, 2)
    agreement = [_agreement(*pair) for pair in pairs] or [np.nan]
    disagreement = 1 - float(np.mean(agreement))
    entropy = heat.sums.sum() / (pixels.shape[0] * pixels.shape[1] * len(mirrors))
    return float(np.mean(doubts)), disagreement, float(entropy), heat.mean(len(mirrors))


def _answer(
    network: PixelNetwork, pixels: np.ndarray, axes: tuple, heat: _Heat
) -> tuple[np.ndarray, float]:
    """The class of each pixel in a mirror image, mirrored back, and the doubt of them."""
    height, width = pixels.shape[:2]
    classes, errors, union = None, 0.0, FLOOR_DOUBT * height * width
    blocks = answer_blocks(network, np.flip(pixels, axes), TileOptions())
    for top, mirrored in blocks:
        block = np.flip(mirrored, axes)
        # Flipped upside down, the first rows of the answer are the last of the image.
        first = height - top - len(block) if 0 in axes else top
        rows = np.arange(first, first + len(block))
        if classes is None:
            classes = np.empty((height, width), np.uint8 if block.shape[-1] <= 256 else np.int32)
        classes[rows] = block.argmax(axis=-1)
        heat.add(rows, entropy_bits(block))
        errors += float((1 - block.max(axis=-1)).sum(dtype=np.float64))
        missed = np.where(classes[rows] > 0, 1, 1 - block[..., 0])
        union += float(missed.sum(dtype=np.float64))
    return classes, errors / union


def entropy_bits(probabilities: np.ndarray) -> np.ndarray:
    """Entropy along the last axis, in bits; 0 to log2(classes)."""
    p = np.clip(probabilities, 1e-12, 1)
    return -(p * np.log2(p)).sum(axis=-1)


def _agreement(one: np.ndarray, other: np.ndarray) -> float:
    """IoU of two class maps (H, W), all classes together; near 1 where both are empty."""
    same = either = FLOOR_VOTE * one.size
    for top in range(0, len(one), BLOCK_ROWS):
        a, b = one[top : top + BLOCK_ROWS], other[top : top + BLOCK_ROWS]
        same += np.count_nonzero((a == b) & (a > 0))
        either += np.count_nonzero((a > 0) | (b > 0))
    return same / either


def doubts_of_objects(
    find: Callable[..., Prediction], pixels: np.ndarray, mirrors: Sequence[tuple]
) -> Doubts:
    """How unsure a detector is of the objects of an image, by its answers to mirror images.

    ``find`` takes an image and ``min_score``, and gives a prediction with detections.
    """
    shape = pixels.shape[:2]
    answers = [
        [
            _mirrored(one, shape, axes)  # back again
            for one in find(np.flip(pixels, axes), min_score=LEAST_SCORE).detections
        ]
        for axes in mirrors
    ]
    doubts, entropies, heat = [], [0.0], _Heat(*shape)
    drawn = np.zeros(shape, np.float32)
    for objects in answers:
        scores = np.array([one.score for one in objects])
        bits = entropy_bits(np.stack([scores, 1 - scores], axis=-1))
        union = np.where(scores >= MIN_SCORE, 1, scores).sum() + FLOOR_OBJECTS
        doubts.append(np.minimum(scores, 1 - scores).sum() / union)
        entropies += bits.tolist()
        for one, value in zip(objects, bits, strict=True):
            height, width = one.mask.shape
            place = drawn[one.top : one.top + height, one.left : one.left + width]
            place[one.mask] = np.maximum(place[one.mask], value)
    heat.add(np.arange(shape[0]), drawn)
    certain = [[one for one in objects if one.score >= MIN_SCORE] for objects in answers]
    agreement = [_quality(*pair) for pair in itertools.combinations(certain, 2)] or [np.nan]
    disagreement = 1 - float(np.mean(agreement))
    entropy = np.mean(entropies[1:] or entropies)
    return float(np.mean(doubts)), disagreement, float(entropy), heat.mean(1)


def _mirrored(one: Detection, shape: tuple[int, int], axes: tuple) -> Detection:
    height, width = one.mask.shape
    top = shape[0] - one.top - height if 0 in axes else one.top
    left = shape[1] - one.left - width if 1 in axes else one.left
    return replace(one, top=top, left=left, mask=np.flip(one.mask, axes))


def _quality(one: Sequence[Detection], other: Sequence[Detection]) -> float:
    """Panoptic quality of objects against others, all classes together."""
    pairs = overlaps(one, other)
    _, iou = pairs.one_to_one(pairs.mask_iou >= MATCH_IOU)
    return (iou.sum() + FLOOR_OBJECTS) / ((len(one) + len(other)) / 2 + FLOOR_OBJECTS)
