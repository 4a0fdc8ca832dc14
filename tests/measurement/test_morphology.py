"""Shape descriptors against closed forms, SciPy and scikit-image; rules on drawn particles."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import ConvexHull
from skimage import draw
from skimage.measure import regionprops_table
from test_measured_shapes import SPACINGS, blobs, drawn, outline_points

import temzoo
from benchmarks import drawn_kinds
from temzoo.core.types import Prediction
from temzoo.measurement.morphology import KINDS, THRESHOLDS, morphology
from temzoo.measurement.necks import neck_depths
from temzoo.measurement.pixel_runs import runs_of_map
from temzoo.measurement.shapes import hull_perimeters, hulls


def measured(mask, **options):
    """The only row of a mask's table."""
    instances = np.pad(np.asarray(mask, np.int32), 1)
    [row] = temzoo.measure(Prediction((instances > 0).astype(np.uint8), instances), **options).iloc
    return row


def discs(*places, shape=(90, 150), spacing=(1.0, 1.0)):
    """The union of discs (row, col, radius), in the unit of the spacing."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    rows, cols = (rows + 0.5) * spacing[0], (cols + 0.5) * spacing[1]
    return np.any([np.hypot(rows - r, cols - c) <= size for r, c, size in places], axis=0)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_perimeters_of_hulls_equal_scipys(spacing):
    numbered = blobs()
    runs = runs_of_map(numbered)
    found = hull_perimeters(hulls(runs), spacing)
    for at in range(0, len(runs), 9):
        points = outline_points(numbered == runs.numbers[at], spacing)
        assert found[at] == pytest.approx(ConvexHull(points).area)  # of a plane: its perimeter


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.0)])
def test_a_disc_has_the_descriptors_of_a_circle(spacing):
    row = measured(drawn("ellipse", 60, 60, 0, spacing), nm_per_pixel=spacing)
    for name in ("circularity", "feret_aspect_ratio", "convexity", "ellipse_likeness"):
        assert row[name] == pytest.approx(1, abs=0.03), name
    assert row["roundness"] == pytest.approx(1, abs=0.04)
    assert row["extent"] == pytest.approx(math.pi / 4, abs=0.02)
    assert row["elongation"] == 1  # rounder than any rectangle
    assert row["neck_depth"] == 0


@pytest.mark.parametrize("angle", [0, 25, 45])
def test_a_rectangle_has_the_descriptors_of_one(angle):
    row = measured(drawn("rectangle", 72, 18, angle))
    diagonal = math.hypot(72, 18)
    assert row["elongation"] == pytest.approx(0.25, abs=0.015)
    assert row["feret_aspect_ratio"] == pytest.approx(diagonal / 18, rel=0.05)
    assert row["roundness"] == pytest.approx(4 * 72 * 18 / (math.pi * diagonal**2), rel=0.03)
    assert row["extent"] == pytest.approx(72 / diagonal, rel=0.06)
    assert row["convexity"] == pytest.approx(1, abs=0.02)


def test_a_bent_bar_is_as_elongated_as_a_straight_one_and_not_convex():
    mask = np.zeros((60, 60), bool)
    mask[:12] = mask[:, :12] = True  # an L, 12 wide and 108 long along its middle
    row = measured(mask)
    area, perimeter, hull = 60**2 - 48**2, 4 * 60, 48 * math.sqrt(2) + 2 * 60 + 2 * 12
    spread = math.sqrt((perimeter / 4) ** 2 - area)
    elongation = (perimeter / 4 - spread) / (perimeter / 4 + spread)
    assert row["elongation"] == pytest.approx(elongation, rel=0.05)
    assert row["convexity"] == pytest.approx(hull / perimeter, rel=0.02)


def test_roundness_and_extent_follow_scikit_images_feret():
    numbered = np.pad(blobs(1), 1)
    table = temzoo.measure(Prediction((numbered > 0).astype(np.uint8), numbered))
    known = regionprops_table(numbered, properties=("area", "feret_diameter_max"))
    large = known["area"] > 300
    assert large.sum() > 3
    expected = 4 * known["area"] / (math.pi * known["feret_diameter_max"] ** 2)
    np.testing.assert_allclose(table["roundness"][large], expected[large], rtol=0.03)


@pytest.mark.parametrize("aspect", [1, 1.4, 2, 4])
def test_ellipses_are_like_ellipses_whatever_their_aspect(aspect):
    row = measured(drawn("ellipse", 24 * aspect, 24, 20, side=24 * aspect + 10))
    assert row["ellipse_likeness"] == pytest.approx(1, abs=0.04)


def test_corners_make_a_hull_unlike_an_ellipse_and_dents_do_not():
    square = measured(drawn("rectangle", 50, 50, 30))
    assert square["ellipse_likeness"] == pytest.approx(math.pi / 4, abs=0.03)
    dented = drawn("ellipse", 60, 60, 0)
    dented[:30, 44:47] = False  # a slit, which leaves the hull as it was
    row = measured(dented)
    assert row["circularity"] < 0.75
    assert row["ellipse_likeness"] > 0.95


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.0)])
def test_a_neck_is_as_deep_as_it_parts_two_discs(spacing):
    def depth(apart):
        shape = (round(60 / spacing[0]), 150)
        mask = discs((30, 40, 25), (30, 40 + apart, 25), shape=shape, spacing=spacing)
        return neck_depths(runs_of_map(mask.astype(np.int32)), spacing, np.ones(1, bool))[0]

    for apart in (44, 35):
        half = math.sqrt(25**2 - (apart / 2) ** 2)  # of the neck
        assert depth(apart) == pytest.approx(1 - half / 25, abs=0.09)
    assert depth(0) == 0


def test_necks_are_looked_for_only_where_they_may_be():
    assert math.isnan(measured(discs((9, 9, 6), shape=(20, 20)))["neck_depth"])
    runs = runs_of_map(discs((30, 40, 25), (30, 85, 25)).astype(np.int32))
    assert neck_depths(runs, (1.0, 1.0), np.zeros(1, bool))[0] == 0


ROW = {"diameter_px": 40.0, "neck_depth": 0.0, "aspect_ratio": 1.0, "solidity": 0.99}
ROW |= {"ellipse_likeness": 0.99, "touches_border": False}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "sphere"),
        ({"aspect_ratio": 1.39}, "sphere"),
        ({"aspect_ratio": 1.45}, "unsure"),
        ({"aspect_ratio": 1.62}, "rod"),
        ({"aspect_ratio": 2.5, "solidity": 0.91}, "irregular"),
        ({"aspect_ratio": 3.5, "solidity": 0.85}, "rod"),
        ({"aspect_ratio": 3.1, "solidity": 0.85}, "unsure"),
        ({"aspect_ratio": 1.5, "solidity": 0.85}, "irregular"),
        ({"solidity": 0.925}, "unsure"),
        ({"ellipse_likeness": 0.93}, "faceted"),
        ({"ellipse_likeness": 0.94}, "unsure"),
        ({"neck_depth": 0.3, "solidity": 0.9, "aspect_ratio": 2.0}, "aggregate"),
        ({"neck_depth": 0.12, "solidity": 0.9}, "unsure"),
        ({"diameter_px": 19.9}, "unsure"),
        ({"diameter_px": 19.9, "neck_depth": math.nan}, "unsure"),
        ({"touches_border": True}, "unsure"),
    ],
)
def test_the_rules_and_their_margins(changes, kind):
    assert morphology(pd.DataFrame([ROW | changes])).tolist() == [kind]


def test_the_least_size_is_in_pixels_where_lengths_are_in_nm():
    row = {key: value for key, value in ROW.items() if key != "diameter_px"}
    scale = {"nm_per_pixel_row": 0.25, "nm_per_pixel_col": 1.0}
    table = pd.DataFrame([row | scale | {"diameter_nm": nm} for nm in (9.9, 10.1)])
    assert morphology(table).tolist() == ["unsure", "sphere"]


def test_a_table_without_the_columns_of_the_rules_is_refused():
    with pytest.raises(ValueError, match=r"without solidity\. Measure the predictions again"):
        morphology(pd.DataFrame([ROW]).drop(columns="solidity"))


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_particles_are_of_the_kind_that_was_drawn(kind):
    rng = np.random.default_rng(3)
    masks = [drawn_kinds.drawn(kind, d, rng) for d in np.geomspace(20.5, 60, 12)]
    found = [measured(mask)["morphology"] for mask in masks]
    assert set(found) <= {kind, "unsure"}
    assert found.count(kind) >= 9


def test_the_columns_stand_in_the_table_of_calibrated_and_empty_predictions_alike():
    empty = Prediction(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.int32))
    table = temzoo.measure(empty, nm_per_pixel=0.5)
    assert table["morphology"].dtype == "str"
    assert {one.column for one in THRESHOLDS.values()} <= {*table.columns, "diameter_px"}


def test_a_neck_between_discs_of_another_number_of_the_map_is_found():
    mask = discs((30, 40, 25), (30, 85, 25)).astype(np.int32) * 7
    mask[80:88, 140:148] = 3
    disc = draw.disk((70, 110), 12, shape=mask.shape)
    mask[disc] = 9
    table = temzoo.measure(Prediction((mask > 0).astype(np.uint8), mask))
    kinds = dict(zip(table["particle"], table["morphology"], strict=True))
    assert kinds == {3: "unsure", 7: "aggregate", 9: "sphere"}


def test_the_documentation_has_all_thresholds():
    page = Path(__file__).parents[2] / "docs/how-to/kinds-of-particles.md"
    text = page.read_text(encoding="utf-8")
    for one in THRESHOLDS.values():
        cells = (one.meaning, f"`{one.column}`", f"{one.value:g}", f"{one.margin:g}", one.origin)
        assert f"| {' | '.join(cells)} |" in text
