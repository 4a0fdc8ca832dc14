"""``temzoo.summarize`` and ``plot_sizes``: number and sizes, with the border allowed for."""

import math

import cv2
import numpy as np
import pandas as pd
import pytest

import temzoo
from temzoo.core.types import Prediction
from temzoo.measurement.summary import sized
from temzoo.pictures.size_distribution import bin_edges

SIDE = 300  # px of a frame


def scattered(seed, *, number=60, name="a.tif", nm_per_pixel=None, spread=0.4, typical=14.0):
    """A Poisson number of discs with centres anywhere, also beyond the frame; they may overlap.

    Returns the table, and the expected number in the frame.
    """
    rng = np.random.default_rng(seed)
    beyond = 3.0 * typical
    share = ((SIDE + 2 * beyond) / SIDE) ** 2
    masks = []
    for _ in range(rng.poisson(number * share)):
        centre = rng.uniform(-beyond, SIDE + beyond, 2)
        mask = disc(centre, typical / 2 * math.exp(spread * rng.standard_normal()))
        if mask is not None:
            masks.append(mask)
    empty = np.zeros((SIDE, SIDE), np.int32)
    prediction = Prediction(
        empty, empty, detections=tuple(masks), nm_per_pixel=nm_per_pixel, name=name
    )
    return temzoo.measure(prediction)


def disc(centre, radius):
    """What the frame shows of a disc; None where that is nothing."""
    top, left = (max(0, math.floor(c - radius)) for c in centre)
    bottom, right = (min(SIDE, math.ceil(c + radius)) for c in centre)
    if top >= bottom or left >= right:
        return None
    rows, cols = np.mgrid[top:bottom, left:right] + 0.5
    mask = (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= radius**2
    return temzoo.Detection(top, left, mask, 1, 1.0) if mask.any() else None


@pytest.fixture(scope="module")
def tables():
    return [scattered(seed, name=f"{seed}.tif") for seed in range(100)]


@pytest.fixture(scope="module")
def everything(tables):
    return pd.concat(tables, ignore_index=True)


def test_the_density_is_that_of_the_centres_whatever_the_border_cuts(everything):
    row = temzoo.summarize(everything, by=None).iloc[0]
    assert row["images"] == 100
    assert row["particles"] == len(everything)
    assert row["touching_border"] == everything["touches_border"].sum() > 1000
    assert row["density_per_px2"] == pytest.approx(60 / SIDE**2, rel=0.02)
    assert row["density_per_px2_low"] < 60 / SIDE**2 < row["density_per_px2_high"]
    # Counting all that is seen, or all that is free, is wrong by more than that.
    assert len(everything) / 100 > 60 * 1.04
    assert row["sized"] / 100 < 60 * 0.96


def test_the_coverage_is_the_mean_area_times_the_density(everything):
    row = temzoo.summarize(everything, by=None).iloc[0]
    truth = 60 / SIDE**2 * math.pi * 7**2 * math.exp(2 * 0.4**2)
    assert row["coverage"] == pytest.approx(truth, rel=0.03)
    assert row["coverage_low"] < truth < row["coverage_high"]


@pytest.mark.parametrize("over", ["particles", "images"])
@pytest.mark.parametrize("number", [1, 2, 30, 90])
def test_a_coverage_and_its_limits_are_shares(number, over):
    """Bars that leave little of an image free, up to nearly nothing."""
    instances = np.zeros((100, 100), np.int32)
    for k in range(number):
        instances[100 * k // number : 100 * (k + 1) // number, 1:99] = k + 1
    names = [f"{k}.tif" for k in range(8)]
    table = pd.concat(
        [temzoo.measure(Prediction(instances, instances, name=name)) for name in names]
    )
    row = temzoo.summarize(table, by=None, over=over).iloc[0]
    assert row["coverage"] == pytest.approx(0.98)
    assert 0 < row["coverage_low"] <= 0.98 <= row["coverage_high"] <= 1
    if over == "particles":
        alone = temzoo.summarize(table.iloc[:number]).iloc[0]
        assert 0 < alone["coverage_low"] < 0.98 < alone["coverage_high"] <= 1


def test_overlaps_that_count_twice_cover_no_more_than_everything():
    mask = np.ones((10, 10), bool)
    empty = np.zeros((10, 10), np.int32)
    twice = (temzoo.Detection(0, 0, mask, 1, 1.0),) * 2
    row = temzoo.summarize(temzoo.measure(Prediction(empty, empty, detections=twice))).iloc[0]
    assert row["coverage"] == row["coverage_high"] == 1
    assert row["coverage_low"] < 1


def test_particles_below_the_smallest_diameter_are_counted_as_too_small_alone(tables):
    table = tables[0]
    least = table["diameter_px"].median()
    limited = table.assign(min_diameter_px=least)
    kept = table[table["diameter_px"] >= least]
    found, wanted = temzoo.summarize(limited), temzoo.summarize(kept)
    assert found["too_small"].tolist() == [len(table) - len(kept)]
    assert found["min_diameter_px"].tolist() == [least]
    same = [name for name in found if name not in ("too_small", "min_diameter_px")]
    pd.testing.assert_frame_equal(found[same], wanted[same])
    assert sized(limited)[0].min() >= least
    # Tables of before there was a limit have none.
    older = temzoo.summarize(table.drop(columns="min_diameter_px"))
    pd.testing.assert_frame_equal(older, temzoo.summarize(table))


def test_an_image_of_small_ones_alone_counts_by_its_area(tables):
    least = {"0.tif": 0.0, "1.tif": 1e3}
    table = pd.concat(tables[:2])
    table = table.assign(min_diameter_px=table["image"].map(least))
    pooled, alone = temzoo.summarize(table, by=None), temzoo.summarize(tables[0])
    assert pooled["too_small"].iloc[0] == len(tables[1])
    assert pooled["density_per_px2"].iloc[0] == pytest.approx(alone["density_per_px2"].iloc[0] / 2)
    empty = temzoo.summarize(table).iloc[1]
    assert (empty["particles"], empty["sized"], empty["coverage"]) == (0, 0, 0)


def test_leaving_out_the_border_favours_small_ones_and_the_correction_mends_it(everything):
    truth = 14 * math.exp(0.4**2 / 2)
    means = {
        border: temzoo.summarize(everything, by=None, border=border).iloc[0]["diameter_mean_px"]
        for border in ("exclude", "correct", "include")
    }
    assert means["correct"] == pytest.approx(truth, rel=0.007)
    assert means["exclude"] < 0.99 * truth
    assert means["include"] != means["exclude"]
    row = temzoo.summarize(everything, by=None, border="correct").iloc[0]
    assert row["geometric_mean_px"] == pytest.approx(14, rel=0.01)
    assert row["geometric_sd"] == pytest.approx(math.exp(0.4), rel=0.02)


def test_intervals_of_density_and_corrected_median_hold_the_truth(tables):
    held = {"density": 0, "median": 0}
    for table in tables:
        row = temzoo.summarize(table, border="correct", bootstrap=199).iloc[0]
        held["density"] += row["density_per_px2_low"] < 60 / SIDE**2 < row["density_per_px2_high"]
        held["median"] += row["diameter_d50_low_px"] < 14 < row["diameter_d50_high_px"]
    assert min(held.values()) >= 0.9 * len(tables), held


def test_free_particles_weigh_by_the_room_they_had():
    """In 10 x 10 px, a square of 3 px has 6 x 6 free places of 8 x 8 where it lies inside."""
    instances = np.zeros((10, 10), np.int32)
    instances[4:7, 2:5] = 1
    table = temzoo.measure(Prediction(instances, instances))
    _, weights = sized(table, border="correct")
    assert weights == pytest.approx([100 / 36])
    scaled = temzoo.measure(Prediction(instances, instances), nm_per_pixel=(0.2, 3))
    assert sized(scaled, border="correct")[1] == pytest.approx([100 / 36])


def test_a_row_an_image_and_one_for_all(tables):
    table = pd.concat(tables[:3], ignore_index=True)
    each, pooled = temzoo.summarize(table), temzoo.summarize(table, by=None)
    assert each["image"].tolist() == ["0.tif", "1.tif", "2.tif"]
    assert pooled["image"].tolist() == pooled["class"].tolist() == ["all"]
    for name in ("particles", "sized", "images", "touching_border"):
        assert each[name].sum() == pooled[name].iloc[0]
    assert each["density_per_px2"].mean() == pytest.approx(pooled["density_per_px2"].iloc[0])
    assert each["coverage"].mean() == pytest.approx(pooled["coverage"].iloc[0])
    alone = temzoo.summarize(tables[1])
    pd.testing.assert_frame_equal(alone, each.iloc[[1]].reset_index(drop=True))


def test_classes_are_summarised_apart(tables):
    table = tables[0].copy()
    table.loc[:9, "class"] = "rod"
    by_class = temzoo.summarize(table, by="class")
    assert by_class["class"].tolist() == ["1", "rod"]
    assert by_class["particles"].tolist() == [len(table) - 10, 10]
    both = temzoo.summarize(table, by=["image", "class"])
    assert both["image"].tolist() == ["0.tif", "0.tif"]
    assert by_class["density_per_px2"].sum() == pytest.approx(
        temzoo.summarize(table)["density_per_px2"].iloc[0]
    )


def test_nanometres_are_counted_per_square_micrometre():
    row = temzoo.summarize(scattered(0, nm_per_pixel=(0.5, 0.5)), by=None).iloc[0]
    pixels = temzoo.summarize(scattered(0), by=None).iloc[0]
    assert row["density_per_um2"] == pytest.approx(pixels["density_per_px2"] * 4e6)
    assert row["diameter_d50_nm"] == pytest.approx(pixels["diameter_d50_px"] / 2)
    assert row["lognormal_mu"] == pytest.approx(pixels["lognormal_mu"] - math.log(2))
    assert row["coverage"] == pytest.approx(pixels["coverage"])


def test_other_lengths_can_be_the_size(tables):
    row = temzoo.summarize(tables[0], of="feret_max").iloc[0]
    free = tables[0].query("not touches_border")["feret_max_px"]
    assert row["feret_max_mean_px"] == pytest.approx(free.mean())
    with pytest.raises(ValueError, match=r"of must be a length .*of='feret'"):
        temzoo.summarize(tables[0], of="feret")


def test_images_in_which_nothing_was_found_count_by_their_area(tables):
    frames = {"0.tif": (SIDE, SIDE), "empty.tif": (SIDE, SIDE)}
    each = temzoo.summarize(tables[0], frames=frames)
    assert each["image"].tolist() == ["0.tif", "empty.tif"]
    empty = each.iloc[1]
    assert (empty["particles"], empty["density_per_px2"], empty["coverage"]) == (0, 0, 0)
    assert empty["density_per_px2_high"] == pytest.approx(3.689 / SIDE**2, rel=1e-3)
    assert math.isnan(empty["diameter_d50_px"])
    both = temzoo.summarize(tables[0], by=None, frames=frames).iloc[0]
    assert both["density_per_px2"] == pytest.approx(each["density_per_px2"].iloc[0] / 2)


def test_an_empty_table_gives_the_columns_of_a_full_one(tables):
    nothing = tables[0].iloc[:0]
    assert list(temzoo.summarize(nothing)) == list(temzoo.summarize(tables[0]))
    assert len(temzoo.summarize(nothing)) == 0
    [row] = temzoo.summarize(nothing, by=None).to_dict("records")
    assert (row["particles"], row["images"]) == (0, 0)


def test_images_that_differ_widen_the_interval_where_they_are_drawn():
    """Twelve images of two sizes each its own: single particles know nothing of that."""
    table = pd.concat(
        [scattered(k, name=str(k), spread=0.1, typical=10 + 6 * (k % 2)) for k in range(12)],
        ignore_index=True,
    )
    widths = {}
    for over in ("particles", "images"):
        row = temzoo.summarize(table, by=None, over=over).iloc[0]
        widths[over] = row["diameter_mean_high_px"] - row["diameter_mean_low_px"]
        assert row["diameter_mean_low_px"] < 13.5 < row["diameter_mean_high_px"] + 1
        assert row["coverage_low"] < row["coverage"] < row["coverage_high"]
        assert row["density_per_px2_low"] < row["density_per_px2"] < row["density_per_px2_high"]
    assert widths["images"] > 3 * widths["particles"]


def test_no_resamples_give_figures_without_intervals(tables):
    row = temzoo.summarize(tables[0], bootstrap=0).iloc[0]
    assert row["diameter_d50_px"] > 0
    assert math.isnan(row["diameter_d50_low_px"])


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("by", "name", '"image", "class", both, or None'),
        ("border", "skip", '"exclude", "correct" or "include"'),
        ("over", "image", '"particles" or "images"'),
        ("bootstrap", -1, "0 or more"),
        ("level", 95, "between 0 and 1"),
    ],
)
def test_options_that_are_none_are_refused(tables, option, value, rule):
    with pytest.raises(ValueError, match=f"{option} must be {rule}.* Received: {option}="):
        temzoo.summarize(tables[0], **{option: value})


def test_a_table_of_both_units_or_none_is_refused(tables):
    mixed = pd.concat([tables[0], scattered(1, nm_per_pixel=(1, 1))])
    with pytest.raises(ValueError, match=r"in nm or in px. Received: both .* Calibrate all"):
        temzoo.summarize(mixed)
    with pytest.raises(ValueError, match=r"Received: neither .* Pass what temzoo\.measure"):
        temzoo.summarize(pd.DataFrame({"image": ["a"]}))


def test_two_images_of_one_name_are_refused(tables):
    twice = pd.concat([tables[0], tables[0].head(3)])
    with pytest.raises(ValueError, match=r"two of number 1 in '0\.tif'.* Rename one"):
        temzoo.summarize(twice)


@pytest.mark.parametrize(
    ("border", "of"),
    [("exclude", "diameter"), ("correct", "feret_max"), ("include", "feret_min")],
)
def test_the_plot_is_drawn_whole(tmp_path, tables, border, of):
    how = {"border": border, "of": of, "title": "a.tif"}
    path = temzoo.plot_sizes(tables[0], tmp_path / "sizes.png", **how)
    picture = cv2.imread(str(path))
    assert picture.shape == (840, 1280, 3)
    # Blue bars (BGR) stand on a white ground.
    assert (np.abs(picture.astype(int) - (233, 180, 86)).max(axis=2) < 12).mean() > 0.03
    assert (picture == 255).all(axis=2).mean() > 0.5
    assert [p.name for p in tmp_path.iterdir()] == ["sizes.png"]


def test_the_plot_says_the_interval_of_the_summary(tmp_path, tables):
    images = [
        tables[0].assign(image=f"{k}", diameter_px=lambda t, k=k: t["diameter_px"] + k)
        for k in range(7)
    ]
    table, how = pd.concat(images), {"frames": {f"{k}": (100.0, 100.0) for k in range(9)}}
    for over in ("particles", "images"):
        row = temzoo.summarize(table, by=None, over=over, **how).iloc[0]
        limits = [row[f"diameter_d50_{side}_px"] for side in ("low", "high")]
        drawn = temzoo.plot_sizes(table, tmp_path / "a.svg", over=over, **how).read_text()
        assert "95%: {:.3g} to {:.3g} px".format(*limits) in drawn
        assert "in 9 images" in drawn


@pytest.mark.parametrize("sizes", [[12.0], [12.0] * 9, [1.0, 2.0], [0.4, 900.0, 901.0]])
def test_few_or_equal_sizes_are_plotted_too(tmp_path, sizes):
    instances = np.zeros((50, 60), np.int32)
    table = temzoo.measure(Prediction(instances, instances))
    one = dict.fromkeys(table, 1.0) | {"image": "a", "class": "particle", "particle": 1}
    fixed = {**one, "touches_border": False, "min_diameter_px": 0.0}
    rows = [fixed | {"particle": k, "diameter_px": size} for k, size in enumerate(sizes)]
    assert temzoo.plot_sizes(pd.DataFrame(rows), tmp_path / "a.png").stat().st_size > 5000


def test_bars_hold_all_sizes_between_round_numbers():
    for values in ([12.0], [3.0, 3.0], np.random.default_rng(0).lognormal(3, 0.5, 500)):
        edges = bin_edges(np.asarray(values))
        assert edges[0] <= min(values)
        assert max(values) < edges[-1] * (1 + 1e-12)
        assert len(edges) <= 70
        step = (edges[1] - edges[0]) / 10 ** math.floor(math.log10(edges[1] - edges[0]) + 1e-9)
        assert min(abs(step - one) for one in (1, 2, 5, 10)) < 1e-6


def test_a_plot_of_nothing_is_refused(tmp_path, tables):
    cut = tables[0].query("touches_border")
    with pytest.raises(ValueError, match=r'needs particles that count.*border="include"'):
        temzoo.plot_sizes(cut, tmp_path / "sizes.png")
    assert not list(tmp_path.iterdir())


def test_a_class_that_an_image_has_none_of_is_a_row_of_zero():
    ball, rod = (scattered(seed, name=name) for seed, name in ((1, "a.tif"), (2, "b.tif")))
    table = pd.concat([ball.assign(**{"class": "ball"}), rod.assign(**{"class": "rod"})])
    frames = dict.fromkeys(("a.tif", "b.tif", "empty.tif"), (SIDE, SIDE))
    found = temzoo.summarize(table, by=["image", "class"], frames=frames, bootstrap=0)
    counts = found.set_index(["image", "class"])["particles"].to_dict()
    assert counts == {
        ("a.tif", "ball"): len(ball),
        ("a.tif", "rod"): 0,
        ("b.tif", "ball"): 0,
        ("b.tif", "rod"): len(rod),
        ("empty.tif", "ball"): 0,
        ("empty.tif", "rod"): 0,
    }
    nothing = found[found["particles"] == 0]
    assert nothing["density_per_px2"].eq(0).all()
    assert nothing["diameter_d50_px"].isna().all()
