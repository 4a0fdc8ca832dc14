"""Neighbours in pictures of instances never share a colour."""

import time

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from temzoo.core.types import Detection
from temzoo.pictures.colours import CLASS_COLOURS
from temzoo.pictures.neighbours import (
    colour_numbers,
    neighbours,
    neighbours_of_objects,
    palette,
)
from temzoo.pictures.overlays import overlay


def cells(number, side, *, seed=0):
    """Every pixel belongs to the nearest of some points: areas that all touch."""
    rng = np.random.default_rng(seed)
    seeds = np.ones((side, side), bool)
    points = rng.choice(side**2, number, replace=False)
    seeds.flat[points] = False
    numbers = np.zeros((side, side), np.int32)
    numbers.flat[points] = rng.permutation(number) + 1
    rows, cols = distance_transform_edt(seeds, return_distances=False, return_indices=True)
    return numbers[rows, cols]


def touching(labels):
    """(2, P) numbers of all pixels that share a side, slowly sure."""
    pairs = {
        (int(a), int(b))
        for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1]))
        for a, b in zip(one.ravel(), other.ravel(), strict=True)
        if a != b and a and b
    }
    return np.array(sorted(pairs)).T


@pytest.mark.parametrize("seed", range(5))
def test_cells_that_touch_never_share_a_colour(seed):
    labels = cells(60, 200, seed=seed)
    numbers = colour_numbers(neighbours(labels), 60)
    one, other = touching(labels)
    assert (numbers[one] != numbers[other]).all()
    assert (palette(numbers[one]) != palette(numbers[other])).any(axis=1).all()
    assert set(numbers[1:]) <= set(range(len(CLASS_COLOURS)))
    picture = overlay(np.full(labels.shape, 9, np.uint8), labels, instances=True, alpha=1.0)
    for a, b in zip(one, other, strict=True):
        assert (picture[labels == a][0] != picture[labels == b][0]).any()


def test_a_gap_of_some_pixels_parts_no_neighbours():
    labels = np.zeros((20, 60), int)
    labels[5:15, 5:20], labels[5:15, 23:40], labels[5:15, 55:] = 1, 2, 3
    assert neighbours(labels).T.tolist() == [[1, 2]]
    assert neighbours(labels.T).T.tolist() == [[1, 2]]
    assert neighbours(np.zeros((4, 5), int)).shape == (2, 0)


def test_objects_that_overlap_are_neighbours_also_where_one_is_hidden():
    large, small = np.ones((30, 30), bool), np.ones((4, 4), bool)
    far = Detection(50, 50, small, 1, 1.0)
    found = [Detection(12, 12, small, 1, 1.0), Detection(0, 0, large, 1, 1.0), far]
    assert neighbours_of_objects(found, (60, 60)).T.tolist() == [[1, 2]]
    assert neighbours_of_objects([], (60, 60)).shape == (2, 0)


def test_more_neighbours_than_colours_have_tints_of_their_own():
    every = np.array([(a, b) for a in range(1, 19) for b in range(1, a)]).T
    numbers = colour_numbers(every, 18)[1:]
    assert len(set(numbers)) == len(np.unique(palette(numbers), axis=0)) == 18


def test_ten_thousand_objects_take_seconds():
    labels = cells(10_000, 1500)
    began = time.process_time()
    numbers = colour_numbers(neighbours(labels), 10_000)
    assert time.process_time() - began < 10
    one, other = touching(labels)
    assert (numbers[one] != numbers[other]).all()
    assert numbers.max() < len(CLASS_COLOURS)
