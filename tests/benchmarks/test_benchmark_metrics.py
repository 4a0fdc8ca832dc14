"""Boundary F1, errors of the size distribution: beside independent ones."""

import math

import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.spatial import cKDTree
from skimage.segmentation import find_boundaries

from benchmarks import metrics

RNG = np.random.default_rng(0)


def blobs(seed: int, shape=(60, 80)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 5)
    return (noise > np.quantile(noise, 0.6)).astype(np.uint8)


def by_points(truth, predicted, reach) -> float:
    """Boundary F1 by nearest neighbours among points instead of distance maps."""
    true, found = (np.argwhere(find_boundaries(m, mode="inner")) for m in (truth, predicted))
    precision = np.mean(cKDTree(true).query(found)[0] <= reach)
    recall = np.mean(cKDTree(found).query(true)[0] <= reach)
    return stats.hmean([precision, recall])


@pytest.mark.parametrize("reach", [1.0, 2.0, 3.5])
def test_boundary_f1_is_that_of_nearest_boundary_points(reach):
    for seed in range(3):
        truth, predicted = blobs(seed), blobs(seed + 10)
        mean, (each,) = metrics.boundary_f1(truth, predicted, 2, px=reach)
        assert mean == each == pytest.approx(by_points(truth, predicted, reach))


def test_the_boundary_is_the_inner_one_and_the_edge_of_the_image_is_none():
    mask = blobs(3) > 0
    assert np.array_equal(metrics.boundary(mask), find_boundaries(mask, mode="inner"))
    assert not metrics.boundary(np.ones((8, 8), bool)).any()


def test_a_shift_within_the_tolerance_costs_nothing_and_one_beyond_all():
    truth = np.zeros((100, 100), np.uint8)
    truth[:, 20:] = 1
    assert metrics.tolerance_px(truth.shape) == pytest.approx(0.0075 * math.hypot(100, 100))
    assert metrics.boundary_f1(truth, np.roll(truth, 1, axis=1), 2, px=1.0)[0] < 1  # it wraps
    moved = {shift: np.zeros_like(truth) for shift in (1, 2)}
    for shift, image in moved.items():
        image[:, 20 + shift :] = 1
    assert metrics.boundary_f1(truth, moved[1], 2)[0] == 1.0
    assert metrics.boundary_f1(truth, moved[2], 2)[0] == 0.0


def test_boundary_f1_of_absent_classes():
    empty, one = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    one[3:6, 3:6] = 1
    assert math.isnan(metrics.boundary_f1(empty, empty, 2)[0])
    assert metrics.boundary_f1(one, empty, 2)[0] == metrics.boundary_f1(empty, one, 2)[0] == 0
    mean, each = metrics.boundary_f1(one, one, 3)
    assert mean == 1.0
    assert each[0] == 1.0
    assert math.isnan(each[1])


def test_ks_statistic_is_scipys():
    for _ in range(5):
        true, found = RNG.normal(10, 2, 40).round(1), RNG.normal(11, 3, 55).round(1)
        expected = stats.ks_2samp(true, found).statistic
        assert metrics.ks_statistic(true, found) == pytest.approx(expected)


def test_size_errors_where_a_side_is_empty():
    some, none = np.array([3.0, 4.0]), np.zeros(0)
    assert metrics.ks_statistic(some, none) == metrics.ks_statistic(none, some) == 1.0
    assert math.isnan(metrics.ks_statistic(none, none))
    assert math.isnan(metrics.d50_error(some, none))
    assert metrics.d50_error(some, 1.1 * some) == pytest.approx(0.1)


def test_diameters_are_those_of_circles():
    np.testing.assert_allclose(metrics.diameters(math.pi * np.array([1.0, 4.0])), [2.0, 4.0])


def test_the_error_of_shares_is_their_total_variation():
    true, found = np.array([[2, 2], [1, 0], [0, 0]]), np.array([[1, 3], [0, 5], [1, 1]])
    np.testing.assert_allclose(metrics.class_share_error(true, found), [0.25, 1, math.nan])


def test_pooled_sizes_are_those_of_the_images_as_often_as_they_are_drawn():
    true = [RNG.uniform(5, 9, 8), RNG.uniform(5, 20, 3), np.zeros(0)]
    found = [RNG.uniform(5, 9, 6), RNG.uniform(4, 18, 5), RNG.uniform(4, 5, 2)]
    pooled = metrics.pooled_sizes(true, found, np.array([[1, 1, 1], [0, 2, 1]]))
    second = [np.concatenate([part[1], part[1], part[2]]) for part in (true, found)]
    first = [np.concatenate(part) for part in (true, found)]
    for row, (t, f) in enumerate((first, second)):
        assert pooled["d50_error"][row] == pytest.approx(np.median(f) / np.median(t) - 1)
        assert pooled["ks_statistic"][row] == pytest.approx(stats.ks_2samp(t, f).statistic)
