import math

import pytest

from temzoo.core.round_numbers import round_down, round_up
from temzoo.pages.numbers import (
    column,
    counted,
    figure,
    interval,
    metric_name,
    percent,
    shown_columns,
    slug,
)
from temzoo.pages.tables import model_facts
from temzoo.zoo.pretrained import WeightsCard


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.0, "0"),
        (7, "7"),
        (0.01234, "0.0123"),
        (0.99999, "1.000"),
        (34.56, "34.6"),
        (456.7, "457"),
        (9999.4, "9999"),
        (12345.6, "12\u2009346"),
        (-3.14159, "-3.14"),
        (1.234e-9, "1.23e-09"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
    ],
)
def test_figures_have_three_digits_that_count(value, shown):
    assert figure(value) == shown


def test_an_interval_that_is_not_known_is_left_out():
    assert interval(1.0, 2.5) == "[1.00,\u00a02.50]"
    assert interval(math.nan, 2.5) == interval(None, None) == ""


def test_columns_know_their_unit_and_name():
    assert (column("area_nm2").name, column("area_nm2").unit) == ("Area", "nm²")
    assert (column("diameter_px").name, column("diameter_px").unit) == ("Diameter", "px")
    assert (column("orientation_deg").name, column("orientation_deg").unit) == ("Orientation", "°")
    assert (column("mean_intensity").name, column("mean_intensity").unit) == ("Mean intensity", "")


def test_the_shown_columns_come_in_the_page_s_order_and_only_where_they_are():
    assert shown_columns(["area_nm2", "solidity", "diameter_nm"]) == ["diameter_nm", "area_nm2"]


def test_round_numbers():
    assert round_up(93 / 5) == 20
    assert round_up(1.0 / 5) == pytest.approx(0.2)
    widths = [round_down(v, (1, 2, 2.5, 5)) for v in (2.3, 0.49, 1.0, 26)]
    assert widths == [2, pytest.approx(0.25), 1, 25]


def test_words():
    assert counted(1, "particle") == "1 particle"
    assert counted(1200, "particle") == "1200 particles"
    assert percent(0.1234) == "12.3 %"
    assert metric_name("val_iou") == "IoU"
    assert metric_name("instance_f1") == "Instance F1"
    assert slug("How it was made") == "how-it-was-made"
    assert slug("…") == "part"


def test_parameters_are_told_of_the_configuration_that_they_were_counted_of():
    for config, told in (({}, True), ({"classes": 2}, True), ({"encoder": "other"}, False)):
        assert ("Parameters" in model_facts("particles", WeightsCard("particles", config))) is told
