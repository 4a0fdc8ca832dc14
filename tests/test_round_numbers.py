"""Round numbers above and below a value."""

import numpy as np
import pytest

from temzoo.core.round_numbers import round_down, round_up


@pytest.mark.parametrize(
    ("value", "below", "above"),
    [
        (120, 100, 200),
        (0.7, 0.5, 1),
        (50, 50, 50),
        (1e6, 1e6, 1e6),
        (2.0, 2, 2),
        (0.1 + 0.2, 0.2, 0.5),
    ],
)
def test_the_nearest_round_numbers(value, below, above):
    assert round_down(value) == pytest.approx(below)
    assert round_up(value) == pytest.approx(above)


def test_they_enclose_the_value_and_are_within_their_factors():
    for value in np.geomspace(1e-7, 1e7, 1000):
        assert round_down(value) <= value * (1 + 1e-8)
        assert value * (1 - 1e-8) <= round_up(value) <= 2.51 * round_down(value)


def test_factors_of_ones_own():
    assert round_down(26, (1, 2, 2.5, 5)) == 25
