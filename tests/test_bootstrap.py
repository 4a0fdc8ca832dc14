"""Intervals of few images: how often they hold the truth, and that it is said."""

import numpy as np
import pytest

from temzoo.core.bootstrap import HELD, held_text
from temzoo.evaluation.bootstrap import mean_interval


@pytest.mark.parametrize("images", [2, 3, 5, 9])
def test_intervals_of_few_images_hold_the_mean_as_often_as_is_said(images):
    rng, held = np.random.default_rng(images), []
    for seed in range(400):
        for values, mean in ((rng.normal(size=images), 0.0), (rng.beta(6, 1.5, images), 0.8)):
            found = mean_interval(values, bootstrap=200, seed=seed)
            held.append(found.low <= mean <= found.high)
    assert np.mean(held) == pytest.approx(HELD[images], abs=0.05)


def test_a_summary_says_what_an_interval_of_few_is_worth():
    many = "95% bootstrap intervals over images"
    assert held_text(1, "images") == held_text(10, "images") == many
    assert held_text(4, "images") == f"{many} (of 4, they hold the true mean 79% of the time)"
