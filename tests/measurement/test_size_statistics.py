"""Quantiles, fits and their intervals, which hold the truth as often as they say."""

import math

import numpy as np
import pytest
from scipy import stats

from temzoo.core.bootstrap import corrected_interval
from temzoo.measurement.resampling import (
    BY_VOLUME,
    QUANTILES,
    STATISTICS,
    Sample,
    poisson_sum_interval,
    size_statistics,
    weighted_quantiles,
)

SHARES = np.array([0.0, 0.1, 0.5, 0.9, 1.0])


def of(values, weights=None, **options):
    weights = np.ones(len(values)) if weights is None else weights
    settings = {"bootstrap": 400, "level": 0.95, "seed": 0, **options}
    return size_statistics(Sample(np.asarray(values, float), weights), **settings)


def test_quantiles_of_resamples_equal_numpys():
    rng = np.random.default_rng(0)
    values = np.sort(rng.lognormal(3, 0.4, 40))
    counts = np.stack([np.ones(40, int), *rng.multinomial(40, np.full(40, 1 / 40), 5)])
    found = weighted_quantiles(values, np.ones(40), counts, SHARES)
    for row, one in enumerate(counts):
        wanted = np.quantile(np.repeat(values, one), SHARES, method="hazen")
        np.testing.assert_allclose(found[:, row], wanted)


def test_whole_weights_count_as_repetitions():
    rng = np.random.default_rng(1)
    values, weights = np.sort(rng.random(20)), rng.integers(1, 4, 20).astype(float)
    ours = weighted_quantiles(values, weights, np.ones((1, 20), int), SHARES)[:, 0]
    # Copies of a value have their middles within it: both agree where a value holds the share.
    repeated = np.quantile(np.repeat(values, weights.astype(int)), SHARES, method="inverted_cdf")
    gaps = np.diff(values).max()
    assert np.abs(ours - repeated).max() <= gaps
    assert ours[0] == values[0]
    assert ours[-1] == values[-1]


def test_a_resample_of_nothing_has_no_quantile():
    found = weighted_quantiles(np.array([1.0, 2]), np.ones(2), np.array([[0, 0], [0, 3]]), SHARES)
    assert np.isnan(found[:, 0]).all()
    assert (found[:, 1] == 2).all()


def test_the_figures_equal_numpys_and_scipys():
    values = np.random.default_rng(2).lognormal(3, 0.5, 80)
    found = of(values)
    assert found["mean"].value == pytest.approx(values.mean())
    for name, share in QUANTILES.items():
        assert found[name].value == pytest.approx(np.quantile(values, share, method="hazen"))
    shape, _, scale = stats.lognorm.fit(values, floc=0)
    assert found["lognormal_mu"].value == pytest.approx(math.log(scale))
    assert found["lognormal_sigma"].value == pytest.approx(shape * math.sqrt(80 / 79), rel=1e-6)


def test_figures_by_volume_equal_closed_forms():
    """Of 8 spheres of 1 and one of 2 half of the volume is in each."""
    found = of([1.0] * 8 + [2.0])
    assert found["d43"].value == pytest.approx((8 + 16) / (8 + 8))
    assert found["d32"].value == pytest.approx((8 + 8) / (8 + 4))
    assert found["dv10"].value == 1
    assert found["dv90"].value == 2
    weighted = of([1.0, 2.0], np.array([8.0, 1.0]))
    assert weighted["d43"].value == pytest.approx(found["d43"].value)
    assert weighted["d32"].value == pytest.approx(found["d32"].value)
    alone = of([3.0])
    assert {alone[name].value for name in BY_VOLUME} == {3.0}


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5])
def test_figures_by_volume_of_a_log_normal_population_are_hatch_and_choates(sigma):
    """By volume it is log-normal of the same sigma, about exp(3 sigma²) times the median."""
    sizes = 20 * np.exp(sigma * np.random.default_rng(0).standard_normal(200_000))
    found = of(sizes, bootstrap=0)
    assert found["d43"].value == pytest.approx(20 * math.exp(3.5 * sigma**2), rel=0.02)
    assert found["d32"].value == pytest.approx(20 * math.exp(2.5 * sigma**2), rel=0.02)
    for name, share in QUANTILES.items():
        truth = 20 * math.exp(3 * sigma**2 + sigma * stats.norm.ppf(share))
        assert found[name.replace("d", "dv")].value == pytest.approx(truth, rel=0.02)


def test_intervals_by_volume_count_by_the_effective_number_of_particles():
    """Where one particle has nearly all of the volume, the others say nothing of Dv50."""
    values = np.random.default_rng(6).lognormal(3, 0.1, 60)
    found = of(values)
    assert all(math.isfinite(found[name].low) for name in ("dv10", "dv50"))
    assert all(math.isnan(found[name].low) for name in ("d43", "d32", "dv90"))
    one = of([*values, 1e4])
    assert math.isnan(one["dv50"].low)
    assert one["dv50"].value == pytest.approx(1e4)
    assert math.isfinite(one["d50"].low)


def test_one_seed_gives_one_interval_whatever_the_order():
    values = np.random.default_rng(3).lognormal(3, 0.5, 50)
    assert str(of(values)) == str(of(values[::-1]))  # some limits are NaN, equal to nothing
    assert of(values) != of(values, seed=1)


@pytest.mark.parametrize(("n", "sigma"), [(60, 0.25), (100, 0.5)])
def test_intervals_hold_the_truth_as_often_as_they_say(n, sigma):
    """1,000 log-normal samples: 95 % of the intervals hold the population's figure, ± 3 %."""
    rng = np.random.default_rng(n)
    normal = stats.norm.ppf([*QUANTILES.values()])
    figures = [math.exp(sigma**2 / 2), *np.exp(sigma * normal), 0.0, sigma]
    truth = dict(zip(STATISTICS, figures, strict=False))
    held = dict.fromkeys(truth, 0)
    for seed in range(1000):
        found = of(np.exp(sigma * rng.standard_normal(n)), bootstrap=199, seed=seed)
        for name, figure in truth.items():
            held[name] += found[name].low <= figure <= found[name].high
    assert all(920 <= count <= 980 for count in held.values()), held


@pytest.mark.parametrize(("n", "sigma"), [(150, 0.3), (400, 0.4)])
def test_intervals_by_volume_hold_the_truth_as_often_as_they_say(n, sigma):
    rng = np.random.default_rng(n)
    truth = {"dv50": math.exp(3 * sigma**2)}
    truth["dv10"] = truth["dv50"] * math.exp(sigma * stats.norm.ppf(0.1))
    held = dict.fromkeys(truth, 0)
    for seed in range(400):
        found = of(np.exp(sigma * rng.standard_normal(n)), bootstrap=199, seed=seed)
        for name, figure in truth.items():
            held[name] += found[name].low <= figure <= found[name].high
    assert all(356 <= count <= 392 for count in held.values()), held


def test_intervals_of_another_level_hold_at_that_level():
    rng = np.random.default_rng(4)
    held = 0
    for seed in range(300):
        bounds = of(np.exp(0.3 * rng.standard_normal(80)), bootstrap=199, level=0.8, seed=seed)
        held += bounds["d50"].low <= 1 <= bounds["d50"].high
    assert held / 300 == pytest.approx(0.8, abs=0.06)


def test_the_plain_percentiles_are_what_the_corrections_start_from():
    replicates = np.random.default_rng(5).normal(10, 1, 20000)
    found = corrected_interval(10.0, replicates, units=10**9, level=0.95)
    assert (found.low, found.high) == pytest.approx(
        np.quantile(replicates, [0.025, 0.975]), abs=0.05
    )


def test_few_particles_have_figures_without_an_interval():
    found = of(np.arange(1.0, 6))
    assert found["mean"].value == 3
    assert math.isnan(found["mean"].low)
    assert math.isnan(of([7.0])["lognormal_sigma"].value)
    assert all(math.isnan(one.value) for one in of([]).values())


def test_a_quantile_has_an_interval_only_where_the_sample_reaches_beside_it():
    """The smallest of 35 lies above D10 in 2.5 % of all samples: no interval could be right."""
    values = np.random.default_rng(6).lognormal(3, 0.5, 36)
    assert math.isfinite(of(values)["d10"].low)
    few = of(values[:35])
    assert math.isnan(few["d10"].low)
    assert math.isnan(few["d90"].low)
    assert math.isnan(few["lognormal_sigma"].low)
    assert math.isfinite(few["d50"].low)
    assert math.isfinite(few["d10"].value)


def test_groups_are_drawn_as_a_whole():
    """Ten images of equal particles each: their interval is that of ten values, not of 1,000."""
    rng = np.random.default_rng(7)
    sizes = rng.lognormal(3, 0.3, 10)
    values, groups = np.repeat(sizes, 100), np.repeat(np.arange(10), 100)
    options = {"bootstrap": 2000, "level": 0.95, "seed": 0}
    apart = size_statistics(Sample(values, np.ones(1000)), **options)["mean"]
    whole = size_statistics(Sample(values, np.ones(1000), groups, 10), **options)["mean"]
    ten = size_statistics(Sample(sizes, np.ones(10)), **options)["mean"]
    assert whole.high - whole.low == pytest.approx(ten.high - ten.low, rel=0.1)
    assert whole.high - whole.low > 5 * (apart.high - apart.low)


def test_an_image_without_particles_is_drawn_too():
    groups = np.zeros(8, int)  # all in the first of ten images
    found = size_statistics(
        Sample(np.arange(1.0, 9), np.ones(8), groups, 10), bootstrap=50, level=0.95, seed=0
    )
    assert found["mean"].low == found["mean"].high == 4.5


@pytest.mark.parametrize("number", [1, 5, 40])
def test_the_interval_of_a_count_is_garwoods(number):
    found = poisson_sum_interval(np.full(number, 0.5), level=0.95)
    low = stats.chi2.ppf(0.025, 2 * number) / 2
    high = stats.chi2.ppf(0.975, 2 * number + 2) / 2
    assert (found.value, found.low, found.high) == pytest.approx((number / 2, low / 2, high / 2))


def test_what_was_not_seen_has_an_upper_limit():
    assert poisson_sum_interval(np.ones(0), level=0.95, unseen=1.0).high == pytest.approx(
        3.689, abs=1e-3
    )
    assert math.isnan(poisson_sum_interval(np.ones(0), level=0.95).high)


def test_the_interval_of_a_sum_holds_the_truth():
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(1000):
        areas = rng.lognormal(0, 0.8, rng.poisson(50))
        bounds = poisson_sum_interval(areas, level=0.95)
        held += bounds.low <= 50 * math.exp(0.32) <= bounds.high
    assert 930 <= held <= 985
