import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from scipy.integrate import trapezoid

from temzoo.pages.charts import Frame, Sizes, bins_of, history_chart, size_chart, whisker

SIZES = np.exp(np.random.default_rng(0).normal(3.0, 0.4, 500))


def drawn(html: str) -> list[ET.Element]:
    """The wide and the narrow drawing, which must be well-formed."""
    root = ET.fromstring(f"<r>{html}</r>")
    return list(root.iter("svg"))


def bars(svg: ET.Element) -> list[tuple[float, float, float, float]]:
    """left, right, bottom, top of each bar."""
    group = next(g for g in svg.iter("g") if g.get("class") == "bars")
    pattern = r"M([\d.-]+) ([\d.-]+)V([\d.-]+)H([\d.-]+)"
    found = []
    for path in group:
        left, bottom, top, right = map(float, re.match(pattern, path.get("d")).groups())
        found.append((left, right, bottom, top))
    return found


def sizes(**more) -> Sizes:
    quantiles = dict(zip(("D10", "D50", "D90"), np.quantile(SIZES, (0.1, 0.5, 0.9)), strict=True))
    return Sizes(SIZES, "nm", quantiles, **more)


def test_bins_hold_every_value_at_round_edges():
    edges = bins_of(SIZES)
    assert edges[0] <= SIZES.min()
    assert edges[-1] >= SIZES.max()
    assert np.histogram(SIZES, edges)[0].sum() == len(SIZES)
    assert np.allclose(edges / (edges[1] - edges[0]) % 1 % 1, 0)
    assert 8 <= len(edges) - 1 <= 120


@pytest.mark.parametrize("values", [[5.0] * 7, [1.0, 1e6, 1e6 + 1], [0.001, 0.002, 0.003], [3.0]])
def test_odd_samples_have_a_bounded_number_of_bins(values):
    edges = bins_of(np.array(values))
    assert 1 <= len(edges) - 1 <= 121
    assert np.histogram(values, edges)[0].sum() == len(values)


def test_the_area_of_the_bars_is_the_number_of_particles():
    counts = np.histogram(SIZES, bins_of(SIZES))[0]
    for svg in drawn(size_chart(sizes())):
        heights = np.array([bottom - top for _, _, bottom, top in bars(svg)])
        assert heights / heights.max() == pytest.approx(counts / counts.max(), abs=0.01)


def test_the_fit_has_the_area_of_the_bars():
    svg, _ = drawn(size_chart(sizes(fit=(3.0, 0.4))))
    line = next(p for p in svg.iter("path") if p.get("class") == "fit").get("d")
    points = np.array(re.findall(r"([\d.-]+) ([\d.-]+)", line), float)
    ground = bars(svg)[0][2]
    under = trapezoid(ground - points[:, 1], points[:, 0])
    whole = sum((right - left + 1) * (bottom - top) for left, right, bottom, top in bars(svg))
    assert under == pytest.approx(whole, rel=0.03)


def test_the_chart_names_its_quantiles_and_its_band():
    svg, narrow = drawn(size_chart(sizes(d50=(19.0, 21.0))))
    words = "".join(svg.itertext())
    for name in ("D10", "D50", "D90", "nm"):
        assert name in words
    assert len([r for r in svg.iter("rect") if r.get("class") == "band"]) == 1
    assert "500 particles" in svg.get("aria-label")
    assert float(narrow.get("width")) < 360


def test_a_band_that_is_wider_than_the_chart_ends_with_it():
    for svg in drawn(size_chart(sizes(d50=(0.001, 1e4)))):
        (band,) = [r for r in svg.iter("rect") if r.get("class") == "band"]
        left, width = float(band.get("x")), float(band.get("width"))
        assert left >= 0
        assert left + width <= float(svg.get("width"))


def test_names_of_quantiles_do_not_lie_on_each_other():
    close = Sizes(SIZES, "nm", {"D10": 20.0, "D50": 20.5, "D90": 21.0})
    for svg in drawn(size_chart(close)):
        strong = [t for t in svg.iter("text") if t.get("class") == "strong"]
        assert len({t.get("y") for t in strong}) == 3


def test_a_history_marks_the_epoch_that_was_kept_and_leaves_gaps_out():
    val = [0.2, math.nan, 0.6, 0.5]
    svg, _ = drawn(history_chart("iou", [1, 2, 3, 4], [0.1, 0.3, 0.5, 0.7], val, 3))
    (dot,) = svg.iter("circle")
    line = next(p for p in svg.iter("path") if p.get("class") == "main").get("d")
    points = re.findall(r"([\d.-]+) ([\d.-]+)", line)
    assert len(points) == 3
    assert (dot.get("cx"), dot.get("cy")) == points[1]
    assert "weights kept: epoch 3, 0.600" in "".join(svg.itertext())


@pytest.mark.parametrize("best", [0, 9])
def test_a_history_of_one_constant_epoch_is_drawn(best):
    svg, _ = drawn(history_chart("loss", [1], [0.0], [], best))
    assert not list(svg.iter("circle"))


def test_a_whisker_lies_where_its_numbers_are():
    (svg,) = drawn(whisker(0.5, 0.25, 1.0, width=112))
    (dot,) = svg.iter("circle")
    assert float(dot.get("cx")) == 56
    assert any(p.get("d") == "M31.0 8H106.0" for p in svg.iter("path"))
    assert whisker(math.nan, 0, 1) == ""


def test_a_frame_puts_the_ends_of_the_data_at_its_margins():
    frame = Frame(100, 80, (0, 10), (0, 5), left=20, right=10, top=5, bottom=15)
    assert (frame.at_x(0), frame.at_x(10)) == (20, 90)
    assert (frame.at_y(0), frame.at_y(5)) == (65, 5)
