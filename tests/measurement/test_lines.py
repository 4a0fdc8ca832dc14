"""Lengths of lines: of drawn ones that are known, and what becomes a density."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from temzoo.core.types import LabelledImage, Prediction, Shape
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.inference.left_out import leave_out
from temzoo.labels.shapes import raster
from temzoo.measurement.lines import (
    lines_of_labels,
    lines_of_prediction,
    skeleton_lengths,
    summarize_lines,
)


def drawn(*points, size=(220, 220), width=5.0):
    """A mask of one polyline, and its label."""
    shape = Shape("polyline", "line", np.array(points, float))
    labels = LabelledImage("a.tif", size[1], size[0], (shape,), ("line",))
    return raster.class_map(labels, ["line"], line_width=width) > 0, labels


def predicted(mask, nm_per_pixel=(0.5, 0.5), name="a.tif"):
    return Prediction(
        mask.astype(np.uint8),
        mask.astype(np.int32),
        class_names=("line",),
        nm_per_pixel=nm_per_pixel,
        name=name,
    )


@pytest.mark.parametrize("width", [3.0, 7.0])
def test_length_of_lines_in_random_directions_is_within_two_percent(width):
    rng = np.random.default_rng(0)
    errors = []
    for angle in rng.uniform(0, math.pi, 25):
        centre, way = rng.uniform(105, 115, 2), np.array([math.sin(angle), math.cos(angle)])
        mask, _ = drawn(centre - 100 * way, centre + 100 * way, width=width)
        (length,) = skeleton_lengths(mask)
        errors.append(length / 200 - 1)
    assert math.sqrt(np.mean(np.square(errors))) < 0.0125
    assert abs(np.mean(errors)) < 0.006
    assert np.abs(errors).max() < 0.025


def test_bands_near_45_degrees_keep_their_length():
    for degrees in np.arange(44.0, 46.1, 0.25):
        angle = math.radians(degrees)
        way = np.array([math.sin(angle), math.cos(angle)])
        mask, _ = drawn(110.3 - 75 * way, 110.3 + 75 * way, width=3.0)
        assert skeleton_lengths(mask).sum() == pytest.approx(150, rel=0.03)


def test_a_rough_outline_adds_branches():
    rng, errors = np.random.default_rng(0), []
    down, right = np.mgrid[:120, :220] + 0.5
    for width in (6, 10, 14) * 10:
        rough = gaussian_filter1d(rng.normal(size=(2, 220)), 2, axis=1)
        upper, lower = rough / rough.std(axis=1, keepdims=True)  # of 1 px
        beyond = np.maximum(abs(right - 110) - 75, 0)  # a length of 150 px with round ends
        mask = np.hypot(beyond, down - 60) <= width / 2 + np.where(down > 60, lower, upper)
        errors.append(skeleton_lengths(mask).sum() / 150 - 1)
    assert 0.03 < np.mean(errors) < 0.1


def test_length_of_a_circle_is_its_circumference():
    turn = np.linspace(0, 2 * math.pi, 200)
    mask, _ = drawn(*(np.stack([np.sin(turn), np.cos(turn)], 1) * 80 + 110))
    assert skeleton_lengths(mask).sum() == pytest.approx(2 * math.pi * 80, rel=0.015)


def test_a_line_that_meets_the_border_is_as_long_as_its_part_inside():
    mask, labels = drawn((-50, 100), (270, 140), width=7.0)
    (lines,) = lines_of_labels(labels)
    true = math.hypot(320, 40) * 220 / 320
    assert lines.lengths.tolist() == pytest.approx([true])
    assert skeleton_lengths(mask).sum() == pytest.approx(true, rel=0.02)


def test_length_with_pixels_that_are_not_square():
    for angle in np.deg2rad([0, 20, 45, 70, 90]):
        way = np.array([math.sin(angle), math.cos(angle)])
        centre, spacing = np.array([55.0, 110.0]), np.array([1.0, 0.5])
        ends = [centre + sign * 50 * way / spacing for sign in (-1, 1)]
        mask, labels = drawn(*ends, size=(110, 220), width=6.0)
        assert skeleton_lengths(mask, spacing=(1.0, 0.5)).sum() == pytest.approx(100, rel=0.06)
        (lines,) = lines_of_labels(labels, nm_per_pixel=(1.0, 0.5))
        assert lines.lengths.sum() == pytest.approx(100)


def test_pieces_are_apart_and_nothing_has_no_length():
    mask = np.zeros((60, 60), bool)
    assert skeleton_lengths(mask).tolist() == []
    mask[10:13, 10:50] = mask[40:43, 10:30] = True
    assert sorted(np.round(skeleton_lengths(mask), -1)) == [20, 40]
    assert skeleton_lengths(np.ones((9, 9), bool)).shape == (0,)  # a dot has no length either


def test_density_of_a_drawn_foil_is_that_of_its_labels():
    found, true = [], []
    for seed in range(4):
        _, labels = synthesize(seed, scene="lines", size=320, n_lines=3, name=f"{seed}.tif")
        mask = raster.class_map(labels, ["line"], line_width=9.0) > 0
        found += lines_of_prediction(predicted(mask, name=labels.name), classes=["line"])
        true += lines_of_labels(labels, nm_per_pixel=0.5)
    row, truth = (summarize_lines(lines, thickness_nm=100).iloc[-1] for lines in (found, true))
    assert row["area_um2"] == pytest.approx(4 * 0.16**2)
    for name in ("length_per_area_per_um", "length_per_volume_per_m2"):
        assert row[name] == pytest.approx(truth[name], rel=0.03)
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    stated = sum(float(s.attributes["length_nm"]) for s in labels.shapes)
    assert true[-1].lengths.sum() == pytest.approx(stated, abs=0.01)


def test_the_area_of_images_without_lines_counts_too():
    foils = [labelled("a", "line", "loop"), labelled("b", "loop"), labelled("c")]
    lines = [one for each in foils for one in lines_of_labels(each)]
    table = summarize_lines(lines).set_index(["image", "class"])
    assert len(table) == 8
    assert table.loc["all"]["images"].tolist() == [3, 3]
    assert table.loc[("all", "line"), "length_per_area_per_px"] == pytest.approx(80 / 3e4)
    assert table.loc[("all", "loop"), "length_per_area_per_px"] == pytest.approx(160 / 3e4)
    assert table.loc[("c", "line"), "length_px"] == 0
    empty = summarize_lines(lines_of_labels(labelled("c"))).iloc[0]
    assert (empty["pieces"], empty["area_px2"]) == (0, 1e4)


def test_whole_images_are_drawn_where_they_are_asked_for():
    lines = [one for k in range(6) for one in lines_of_labels(labelled(f"{k}", *["line"] * k))]
    names = [f"length_per_area_per_px{end}" for end in ("", "_low", "_high")]
    pieces, images = (summarize_lines(lines, over=one).iloc[-1] for one in ("pieces", "images"))
    assert pieces[names[0]] == images[names[0]] == pytest.approx(15 * 80 / 6e4)
    assert images[names[1]] != pieces[names[1]]
    assert images[names[1]] < images[names[0]] < images[names[2]]
    few = summarize_lines(lines[:5], over="images").iloc[-1]
    assert math.isnan(few[names[2]])
    with pytest.raises(ValueError, match=r'"pieces" or "images"\. Received: over=\'lines\''):
        summarize_lines(lines, over="lines")


def labelled(name, *kinds):
    """100 px squared, with a line of 80 px of each kind."""
    shapes = (
        Shape("polyline", kind, np.array([[10.0, 10 + 9 * k], [90.0, 10 + 9 * k]]))
        for k, kind in enumerate(kinds)
    )
    return LabelledImage(name, 100, 100, tuple(shapes))


def test_figures_are_length_by_area_and_thickness():
    mask, _ = drawn((110, 10), (110, 210))
    (lines,) = lines_of_prediction(predicted(mask), classes=["line"])
    table = summarize_lines([lines], thickness_nm=50)
    length_nm, area_nm2 = lines.lengths.sum(), 110.0**2
    row = table.iloc[0]
    assert len(table) == 1
    assert row["length_um"] == pytest.approx(length_nm / 1e3)
    assert row["length_per_area_per_um"] == pytest.approx(length_nm / area_nm2 * 1e3)
    per_m2 = length_nm / area_nm2 / 50 * 1e18
    assert row["length_per_volume_per_m2"] == pytest.approx(per_m2)
    assert row["random_length_per_volume_per_m2"] == pytest.approx(per_m2 * 4 / math.pi)
    plain = summarize_lines([lines], level=0.5)
    assert not [name for name in plain if "volume" in name]
    (stated,) = lines_of_prediction(predicted(mask, None), classes=["line"], nm_per_pixel=0.5)
    np.testing.assert_allclose(stated.lengths, lines.lengths)


def test_random_directions_are_seen_at_a_quarter_of_pi():
    ways = np.random.default_rng(0).normal(size=(200_000, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    assert np.hypot(*ways[:, :2].T).mean() == pytest.approx(math.pi / 4, rel=2e-3)


def test_what_is_left_out_has_neither_length_nor_area():
    mask, _ = drawn((110, 10), (110, 210))
    whole = predicted(mask, nm_per_pixel=None)
    (part,) = lines_of_prediction(leave_out(whole, [(0, 110, 220, 220)]), classes=["line"])
    (all_,) = lines_of_prediction(whole, classes=["line"])
    assert part.area == 220 * 110
    assert all_.area == 220 * 220
    assert part.lengths.sum() == pytest.approx(all_.lengths.sum() / 2, rel=0.04)
    assert summarize_lines([part])["length_per_area_per_px"][0] == pytest.approx(
        part.lengths.sum() / part.area
    )


def test_lines_refuse_what_has_no_answer():
    mask, labels = drawn((110, 10), (110, 210))
    with pytest.raises(ValueError, match=r"classes must be among those of the prediction\. Rec"):
        lines_of_prediction(predicted(mask), classes=["lines"])
    with pytest.raises(
        ValueError, match=r"along their pixels\. Received: a prediction of boxes, 'a"
    ):
        lines_of_prediction(replace(predicted(mask), box_shaped=True), classes=["line"])
    in_nm, in_px = lines_of_prediction(predicted(mask), classes=["line"]), lines_of_labels(labels)
    with pytest.raises(ValueError, match=r"in nm or in px\. Received: both; 'a\.tif' has no cal"):
        summarize_lines([*in_nm, *in_px])
    with pytest.raises(ValueError, match=r"name of its own\. Received: two of name 'a\.tif'"):
        summarize_lines([*in_nm, *in_nm])
    with pytest.raises(ValueError, match=r"figures by volume need calibrated images\. Received"):
        summarize_lines(in_px, thickness_nm=100)
    for wrong in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"thickness_nm must be a length above 0\. Received"):
            summarize_lines(in_nm, thickness_nm=wrong)
