"""Loops counted as dark blobs: the count of drawn ones, and settings that were chosen elsewhere."""

import numpy as np
import pytest

from benchmarks.blobs import LEAST, SIGMAS_PX, blob_counts, cross_validated, density


def test_dark_blobs_of_their_scale_are_counted():
    rows, cols = np.mgrid[:300, :300]
    grey = np.full((300, 300), 200.0)
    for row, col in ((60, 60), (60, 220), (200, 120), (240, 240)):
        grey -= 80 * np.exp(((rows - row) ** 2 + (cols - col) ** 2) / (-2 * 10.0**2))
    counts = blob_counts(grey).reshape(len(SIGMAS_PX), len(LEAST))
    assert counts[SIGMAS_PX.index(10), LEAST.index(20)] == 4
    assert (np.diff(counts, axis=1) <= 0).all()  # a higher threshold finds no more


def test_a_block_is_judged_by_what_is_best_far_from_it():
    true = np.full(8, 10)
    counts = np.tile(np.array([[10], [12]]), (1, 8))
    counts[0, 5:] = 20  # the first setting is right where it was not chosen
    found = cross_validated(counts, true, np.array_split(np.arange(8), 2))
    assert found.tolist() == [12] * 4 + [10, 20, 20, 20]


def test_density_is_told_by_its_errors():
    told = density(np.array([10, 20]), np.array([12, 18]))
    assert told["error of all frames together"] == 0
    assert told["accuracy, 1 - mean |error|"] == pytest.approx(0.85)
