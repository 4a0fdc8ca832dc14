"""Intervals that hold a model's own error beside sampling."""

import math

import numpy as np
import pytest
from scipy import stats

import temzoo
from temzoo.core.bootstrap import Interval
from temzoo.core.types import Prediction
from temzoo.measurement.model_error import LogError, ModelError, worst

CARD = {"d50": {"mean": 0.03, "sd": 0.04}, "count": {"mean": -0.1, "sd": 0.2}, "images": 29}
MODEL = ModelError.of_card(CARD)


def squares(number, *, side=12, scale=1.0, name="a.tif"):
    """Free squares of about ``side`` px in a row."""
    instances = np.zeros((60, 60 * number), np.int32)
    for k in range(number):
        edge = round(scale * (side + k % 5))
        instances[10 : 10 + edge, 60 * k + 10 : 60 * k + 10 + edge] = k + 1
    return temzoo.measure(Prediction(instances, instances, name=name))


def test_a_card_says_what_the_error_is():
    assert MODEL.d50.size == pytest.approx(0.05)
    assert MODEL.count.size == pytest.approx(math.hypot(0.1, 0.2))
    assert ModelError.of_card({}) is None
    assert ModelError.of_card(CARD | {"images": 4}) is None
    assert ModelError.of_card(CARD | {"images": 5}).images == 5


@pytest.mark.parametrize(
    "change",
    [
        {"d50": None},
        {"d50": {"mean": 0.1}},
        {"count": {"mean": 0.1, "sd": -0.1}},
        {"count": {"mean": float("nan"), "sd": 0.1}},
        {"count": {"mean": "much", "sd": 0.1}},
        {"images": "many"},
    ],
)
def test_a_damaged_card_is_refused(change):
    with pytest.raises(ValueError, match=r"errors of a card are mean and sd .* Received: "):
        ModelError.of_card(CARD | change)


def test_both_parts_are_added_in_quadrature_on_the_log_scale():
    bounds = Interval(20.0, 20 * math.exp(-0.1), 20 * math.exp(0.2))
    found = MODEL.widened(bounds, MODEL.d50, level=0.9)
    own = stats.t.ppf(0.95, 28) * 0.05
    assert found.value == 20
    assert math.log(found.low / 20) == pytest.approx(-math.hypot(0.1, own))
    assert math.log(found.high / 20) == pytest.approx(math.hypot(0.2, own))
    beyond = MODEL.widened(Interval(20.0, 20.5, 22.0), MODEL.d50, level=0.9)
    assert math.log(beyond.low / 20) == pytest.approx(-own)


@pytest.mark.parametrize("bounds", [(0.0, 0.0, 5.0), (3.0, math.nan, math.nan)])
def test_what_has_no_interval_stays_without(bounds):
    found = MODEL.widened(Interval(*bounds), MODEL.d50, level=0.95)
    np.testing.assert_array_equal([found.value, found.low, found.high], bounds)


def test_of_several_models_the_worst_counts_and_an_unknown_one_leaves_none():
    other = ModelError(LogError(0.2, 0.0), LogError(0, 0), 5)
    assert worst([MODEL, other, MODEL]) is other
    assert worst([MODEL, None]) is None
    assert worst([]) is None


def test_a_summary_shows_both_parts():
    table = squares(12)
    plain, wide = (temzoo.summarize(table, model=model).iloc[0] for model in (None, MODEL))
    for name, unit, error in (
        ("diameter_d50", "_px", MODEL.d50),
        ("density_per_px2", "", MODEL.count),
    ):
        value = plain[f"{name}{unit}"]
        assert wide[f"{name}{unit}"] == value
        limits = [plain[f"{name}_{side}{unit}"] for side in ("low", "high")]
        assert [wide[f"{name}_sampling_{side}{unit}"] for side in ("low", "high")] == limits
        assert [plain[f"{name}_sampling_{side}{unit}"] for side in ("low", "high")] == limits
        expected = MODEL.widened(Interval(value, *limits), error, level=0.95)
        assert wide[f"{name}_low{unit}"] == expected.low < limits[0]
        assert wide[f"{name}_high{unit}"] == expected.high > limits[1]
    assert (wide["model_d50_error"], wide["model_count_error"]) == (
        MODEL.d50.size,
        MODEL.count.size,
    )
    assert math.isnan(plain["model_d50_error"])
    same = [name for name in plain.index if "d50" not in name and "density" not in name]
    assert plain[same[:-1]].equals(wide[same[:-1]])
    # Of another length the model's error is not known.
    feret = temzoo.summarize(table, of="feret_max", model=MODEL).iloc[0]
    assert feret["feret_max_d50_low_px"] == feret["feret_max_d50_sampling_low_px"]


def test_intervals_hold_the_labels_where_a_model_is_off_as_its_card_says():
    """Each image is off by a factor of its own, which sampling knows nothing of."""
    held = {"sampling": 0, "both": 0}
    rng = np.random.default_rng(0)
    sd = 0.15
    model = ModelError(LogError(0.0, sd), LogError(0.0, 0.1), 60)
    for _ in range(60):
        truth = np.median(squares(25)["diameter_px"])
        row = temzoo.summarize(
            squares(25, scale=math.exp(sd * rng.standard_normal())), model=model, bootstrap=199
        ).iloc[0]
        for kind, part in (("sampling", "_sampling"), ("both", "")):
            low, high = (row[f"diameter_d50{part}_{side}_px"] for side in ("low", "high"))
            held[kind] += low <= truth <= high
    assert held["both"] >= 0.9 * 60, held
    assert held["sampling"] <= 0.8 * 60, held
