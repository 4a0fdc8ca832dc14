"""Run lengths: both ways, and what is refused."""

import numpy as np
import pytest

from temzoo.labels.shapes.run_lengths import check_runs, decode_runs, encode_runs, mask_geometry


@pytest.mark.parametrize(
    ("mask", "runs"),
    [
        ([[0, 0, 0]], [3]),
        ([[1, 1, 1]], [0, 3]),
        ([[0, 1], [1, 0]], [1, 2, 1]),
        ([[1, 0], [0, 1]], [0, 1, 2, 1]),
        (np.zeros((0, 3)), []),
    ],
)
def test_runs_are_row_major_and_zeros_come_first(mask, runs):
    mask = np.array(mask, dtype=bool)
    assert encode_runs(mask).tolist() == runs
    assert encode_runs(mask).dtype == np.int64
    assert np.array_equal(decode_runs(encode_runs(mask), *mask.shape), mask)


@pytest.mark.parametrize("seed", range(20))
def test_random_masks_come_back(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 40, 2)) < rng.random()
    assert np.array_equal(decode_runs(encode_runs(mask), *mask.shape), mask)


def test_zero_runs_in_the_middle_are_decoded():
    assert decode_runs([1, 0, 2, 1], 2, 2).tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([1, 2], r"must sum to height x width. Received: sum=3, height=2, width=2 \(4 pixels\)"),
        ([-1, 5], "must not be negative. Received: -1"),
        ([2**62, 2**62, 2**62, 2**62, 4], "must sum to height x width"),
    ],
)
def test_wrong_runs_are_refused(runs, message):
    with pytest.raises(ValueError, match=message):
        decode_runs(np.array(runs), 2, 2)
    with pytest.raises(ValueError, match=message):
        check_runs(np.array(runs), 2, 2)


def test_mask_geometry_crops_to_the_pixels():
    mask = np.zeros((6, 7), dtype=bool)
    mask[2:4, 3:6] = True
    mask[2, 4] = False
    points, runs = mask_geometry(mask, row=10, col=20)
    assert points.tolist() == [[12, 23], [14, 26]]
    assert runs.tolist() == [0, 1, 1, 4]


def test_mask_geometry_of_nothing_is_one_empty_pixel():
    points, runs = mask_geometry(np.zeros((3, 3), dtype=bool), row=1, col=2)
    assert points.tolist() == [[1, 2], [2, 3]]
    assert runs.tolist() == [1]
