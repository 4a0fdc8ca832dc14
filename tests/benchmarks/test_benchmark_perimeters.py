"""Perimeters beside others': the methods themselves, and that ours are within 2 %."""

import math

import numpy as np
import pytest

from benchmarks import perimeters


@pytest.mark.parametrize("sides", [(1.0, 1.0), (1.0, 0.25)])
def test_imagej_cuts_the_four_corners_of_a_square(sides):
    square = np.ones((10, 12), bool)
    around = 2 * (10 * sides[0] + 12 * sides[1])
    lost = 4 * (sum(sides) - math.hypot(*sides))
    assert perimeters.imagej(square, sides) == pytest.approx(around - lost)


@pytest.mark.parametrize(("side", "corners"), [(1, 2), (2, 4)])
def test_imagej_cuts_corners_that_are_not_adjacent(side, corners):
    # The two examples of its source, getTracedPerimeter.
    expected = 4 * side - corners * (2 - math.sqrt(2))
    assert perimeters.imagej(np.ones((side, side), bool), (1, 1)) == pytest.approx(expected)


def test_ours_are_within_2_percent_at_every_angle_and_pixel():
    found = perimeters.figures(places=8)
    assert found.keys() == {"1:1", "1:2", "1:4"}
    worst = {
        (pixel, shape): max(map(abs, errors["temzoo"].values()))
        for pixel, shapes in found.items()
        for shape, errors in shapes.items()
    }
    assert max(worst.values()) < 2.1  # the mean of eight places scatters
    upright = found["1:1"]["square, upright, 80 px"]
    assert upright["scikit-image, perimeter_crofton"]["most"] < -5
