"""Images that differ by more than chance are told of, those alike seldom."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kruskal

from temzoo.measurement.between_images import _of_sizes, differing, told
from temzoo.measurement.counted import Counted
from temzoo.measurement.summary import summarize


def images(count, particles, *, sizes=0.0, numbers=0.0, seed=0):
    """Log-normal sizes; deviations of the images' logarithms of size and number."""
    rng, parts = np.random.default_rng(seed), []
    for k in range(count):
        n = rng.poisson(particles * np.exp(rng.normal(0, numbers)))
        size = np.exp(rng.normal(3 + rng.normal(0, sizes), 0.25, n)).round(1)
        parts.append(pd.DataFrame({"image": f"{k}", "size": size}))
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(large=True, free=True, weight=1.1)
    return Counted(table, {f"{k}": (100.0, 100.0) for k in range(count)}, "nm", "diameter")


def found(**how):
    drawn = [images(8, 30, seed=seed, **how) for seed in range(40)]
    names = [differing(one, one.fields) for one in drawn]
    return [sum(what in each for each in names) for what in ("size", "number")]


def test_images_alike_differ_seldom_and_others_often():
    assert max(found()) <= 3
    size, number = found(sizes=0.15)
    assert (size > 35, number <= 3) == (True, True)
    size, number = found(numbers=0.4)
    assert (size <= 3, number > 30) == (True, True)


def test_the_chance_is_that_of_scipy():
    one = images(4, 20, sizes=0.1)
    parts = [part["size"] for _, part in one.columns.groupby("image")]
    assert _of_sizes(one, "exclude") == pytest.approx(kruskal(*parts).pvalue)


def test_one_image_and_few_or_equal_particles_do_not_differ():
    for one in (images(1, 50), images(3, 1)):
        assert differing(one, one.fields) == ()
    equal = images(3, 20)
    equal = equal.replaced(size=equal.columns["size"] * 0 + 5)
    assert differing(equal, equal.fields) == ()


def test_the_remedy_is_one_that_can_be_had():
    assert told((), 9) == ""
    assert "differ in size and number by more" in told(("size", "number"), 9)
    assert told(("size",), 9).endswith("too narrow; draw whole images, with --over images.")
    assert "take 6 images and draw them whole" in told(("size",), 3)


def test_where_images_differ_intervals_by_particles_hold_too_seldom():
    held = {"particles": [], "images": []}
    for seed in range(60):
        one = images(10, 40, sizes=0.1, numbers=0.3, seed=seed)
        columns = one.columns.assign(particle=range(len(one.columns)), covered=1.0, least=0.0)
        known = Counted(columns.assign(**{"class": "p"}), one.fields, one.unit, one.of)
        for over, each in held.items():
            row = summarize(known, by=None, over=over, bootstrap=200).iloc[0]
            each.append(row["diameter_d50_low_nm"] < np.exp(3) < row["diameter_d50_high_nm"])
    assert np.mean(held["particles"]) < 0.75
    assert np.mean(held["images"]) > 0.88
