"""``temzoo.measure``: the table, its units, and what a prediction can hold."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

import temzoo
from temzoo.annotation.prediction_labels import labels_of
from temzoo.core.types import Detection, Micrograph, Prediction
from temzoo.data.synthetic.synthesize import write_tiff
from temzoo.measurement import load_instance_map, nm_per_pixel_from_scale_bar

LENGTHS = (
    *("diameter", "feret_max", "feret_min", "perimeter", "centroid_row", "centroid_col"),
    *("nearest_neighbour", "box_height", "box_width", "frame_height", "frame_width"),
)


def two_particles(**changes):
    """A disc of class 1 that is free, and a bar of class 2 at the right border."""
    rows, cols = np.mgrid[:60, :80] + 0.5
    instances = np.zeros((60, 80), np.int32)
    instances[(rows - 30) ** 2 + (cols - 25) ** 2 <= 12**2] = 2
    instances[10:14, 70:80] = 5  # numbers may have gaps
    classes = np.select([instances == 2, instances == 5], [1, 2]).astype(np.uint8)
    values = {"class_names": ("particle", "rod"), "name": "a.tif", **changes}
    return Prediction(classes, instances, **values)


def test_the_columns_begin_as_promised_and_name_their_units():
    table = temzoo.measure(two_particles())
    assert list(table.columns[:6]) == [
        *("image", "particle", "class", "score"),
        *("area_px2", "diameter_px"),
    ]
    assert not [name for name in table if "_nm" in name]
    calibrated = temzoo.measure(two_particles(nm_per_pixel=(0.5, 0.5)))
    assert not [name for name in calibrated if "_px" in name]
    assert {f"{name}_nm" for name in LENGTHS} <= set(calibrated)


def test_a_row_says_what_the_particle_is():
    table = temzoo.measure(two_particles())
    assert table["image"].tolist() == ["a.tif", "a.tif"]
    assert table["particle"].tolist() == [2, 5]
    assert table["class"].tolist() == ["particle", "rod"]
    assert table["score"].isna().all()
    assert table["touches_border"].tolist() == [False, True]
    disc, bar = table.iloc[0], table.iloc[1]
    assert disc["diameter_px"] == pytest.approx(24, rel=0.01)
    assert disc["circularity"] == pytest.approx(1, abs=0.03)
    assert (bar["area_px2"], bar["orientation_deg"]) == (40, 0)
    assert bar["aspect_ratio"] == pytest.approx(2.5)
    longest = math.hypot(3, 10)  # between the middles of pixels' sides
    assert bar[["feret_max_px", "feret_min_px"]].tolist() == pytest.approx([longest, 4])
    assert bar["feret_aspect_ratio"] == pytest.approx(longest / 4)
    assert bar[["box_height_px", "box_width_px"]].tolist() == [4, 10]
    assert (bar["centroid_row_px"], bar["centroid_col_px"]) == (12, 75)
    apart = math.dist((30, 25), (12, 75))
    assert table["nearest_neighbour_px"].tolist() == pytest.approx([apart, apart], abs=0.1)


def test_nanometres_are_pixels_times_their_size():
    pixels = temzoo.measure(two_particles())
    scaled = temzoo.measure(two_particles(), nm_per_pixel=0.25)
    for name in LENGTHS:
        assert scaled[f"{name}_nm"].tolist() == pytest.approx((pixels[f"{name}_px"] / 4).tolist())
    assert scaled["area_nm2"].tolist() == (pixels["area_px2"] / 16).tolist()
    for name in ("circularity", "aspect_ratio", "solidity", "orientation_deg"):
        assert scaled[name].tolist() == pytest.approx(pixels[name].tolist())


def test_pixels_that_are_not_square_give_the_same_particle():
    """One disc, drawn with half as many rows: all but the rounding stays."""
    square = temzoo.measure(two_particles(), nm_per_pixel=1.0).iloc[0]
    prediction = two_particles()
    halved = Prediction(prediction.classes[::2], prediction.instances[::2], nm_per_pixel=(2, 1))
    squeezed = temzoo.measure(halved).iloc[0]
    for name in ("area_nm2", "diameter_nm", "perimeter_nm", "circularity", "aspect_ratio"):
        assert squeezed[name] == pytest.approx(square[name], rel=0.05), name
    for name in ("feret_max_nm", "feret_min_nm", "centroid_row_nm", "centroid_col_nm"):
        assert squeezed[name] == pytest.approx(square[name], abs=1.5), name
    assert (squeezed["frame_height_nm"], squeezed["nm_per_pixel_row"]) == (60, 2)


def test_the_calibration_by_hand_comes_first_then_the_predictions_then_the_micrographs():
    micrograph = Micrograph(np.zeros((60, 80)), (3.0, 3.0))
    known = two_particles(nm_per_pixel=(2.0, 2.0))
    for prediction, given, wanted in (
        (known, 1.0, 1.0),
        (known, None, 2.0),
        (two_particles(), None, 3.0),
    ):
        table = temzoo.measure(prediction, micrograph, nm_per_pixel=given)
        assert table["nm_per_pixel_row"].tolist() == [wanted] * 2


def test_intensities_are_means_over_the_particles_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 60000, (60, 80)).astype(np.uint16)
    prediction = two_particles()
    wanted = [pixels[prediction.instances == number].mean() for number in (2, 5)]
    write_tiff(tmp_path / "a.tif", Micrograph(pixels))
    for source in (Micrograph(pixels), pixels, tmp_path / "a.tif", str(tmp_path / "a.tif")):
        measured = temzoo.measure(prediction, source)["mean_intensity"]
        assert measured.tolist() == pytest.approx(wanted)
    assert temzoo.measure(prediction)["mean_intensity"].isna().all()


def test_the_last_pixel_of_an_image_counts():
    instances = np.zeros((4, 5), np.int32)
    instances[3, 3:] = 1
    pixels = np.arange(20, dtype=np.float32).reshape(4, 5)
    measured = temzoo.measure(Prediction(instances > 0, instances), pixels)
    assert measured["mean_intensity"].tolist() == [18.5]


def test_detections_are_measured_by_their_own_masks():
    """Two overlapping squares: the map shows 48 pixels of the lower one, its mask has 64."""
    square = np.ones((8, 8), bool)
    detections = (Detection(10, 10, square, 1, 0.9), Detection(14, 14, square, 2, 0.6))
    instances = np.zeros((40, 40), np.int32)
    instances[14:22, 14:22], instances[10:18, 10:18] = 2, 1
    pixels = np.random.default_rng(1).random((40, 40))
    prediction = Prediction(
        (instances > 0).astype(np.uint8),
        instances,
        detections=detections,
        class_names=("particle", "rod"),
    )
    table = temzoo.measure(prediction, pixels)
    assert table["area_px2"].tolist() == [64, 64]
    assert table["class"].tolist() == ["particle", "rod"]
    assert table["score"].tolist() == [0.9, 0.6]
    wanted = [pixels[10:18, 10:18].mean(), pixels[14:22, 14:22].mean()]
    assert table["mean_intensity"].tolist() == pytest.approx(wanted)


def test_scores_belong_to_their_instances():
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32)
    table = temzoo.measure(two_particles(scores=scores))
    assert table["score"].tolist() == pytest.approx([0.2, 0.5])


def test_an_empty_prediction_has_the_columns_and_dtypes_of_a_full_one():
    full = two_particles(nm_per_pixel=(1.0, 1.0))
    nothing = np.zeros((60, 80), np.int32)
    empties = (
        Prediction(nothing, nothing, nm_per_pixel=(1.0, 1.0)),
        Prediction(nothing, nothing, detections=(), nm_per_pixel=(1.0, 1.0)),
        # What predict gives for instances=None takes no memory.
        Prediction(nothing, np.broadcast_to(np.int32(0), (60, 80)), nm_per_pixel=(1.0, 1.0)),
    )
    pixels = np.ones((60, 80), np.uint8)
    wanted = temzoo.measure(full, pixels).dtypes
    for prediction in empties:
        table = temzoo.measure(prediction, pixels)
        assert len(table) == 0
        pd.testing.assert_series_equal(table.dtypes, wanted)
    assert wanted["touches_border"] == np.dtype(bool)
    assert wanted["particle"] == np.int64


def test_a_single_particle_has_no_neighbour():
    table = temzoo.measure(two_particles(), classes=["particle"])
    assert table["particle"].tolist() == [2]
    assert table["nearest_neighbour_px"].isna().all()


def test_small_particles_are_left_out_where_asked_for():
    assert temzoo.measure(two_particles(), min_area_px=41)["particle"].tolist() == [2]
    assert len(temzoo.measure(two_particles(), min_area_px=40)) == 2


def test_a_class_without_a_name_is_numbered():
    table = temzoo.measure(two_particles(class_names=()))
    assert table["class"].tolist() == ["1", "2"]
    assert len(temzoo.measure(two_particles(class_names=()), classes=["2"])) == 1


def test_a_known_class_that_is_absent_gives_an_empty_table():
    names = ("particle", "rod", "cavity")
    assert len(temzoo.measure(two_particles(class_names=names), classes=["cavity"])) == 0


def test_unknown_classes_are_refused_with_those_that_are_near():
    with pytest.raises(ValueError, match=r"those of the prediction.*'particel'.*'particle'"):
        temzoo.measure(two_particles(), classes=["particel"])
    with pytest.raises(ValueError, match=r"a sequence of names.*Use \['rod'\]"):
        temzoo.measure(two_particles(), classes="rod")


def test_another_micrograph_is_refused():
    with pytest.raises(ValueError, match=r"of its size.*\(60, 81\).*of \(60, 80\)"):
        temzoo.measure(two_particles(), np.zeros((60, 81)))


@pytest.mark.parametrize("given", [0, -1, math.nan, (1, 2, 3), (1, math.inf), "wide"])
def test_a_calibration_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match=r"one number or a pair|could not convert"):
        temzoo.measure(two_particles(), nm_per_pixel=given)


def test_a_scale_bar_gives_nanometres_per_pixel():
    assert nm_per_pixel_from_scale_bar((980, 100), (980, 300), 50) == 0.25
    assert nm_per_pixel_from_scale_bar((0, 0), (30, 40), 100) == 2


@pytest.mark.parametrize(
    ("start", "end", "length"),
    [((1, 1), (1, 1), 5), ((0, 0), (0, 9), 0), ((0, math.nan), (0, 9), 5)],
)
def test_a_scale_bar_without_length_is_refused(start, end, length):
    with pytest.raises(ValueError, match=r"two ends .* that differ, and a length above 0"):
        nm_per_pixel_from_scale_bar(start, end, length)


def test_a_label_image_of_another_program_is_measured(tmp_path):
    instances = two_particles().instances.astype(np.uint16)
    write_tiff(tmp_path / "labels.tif", Micrograph(instances, (0.5, 0.5)))
    prediction = load_instance_map(tmp_path / "labels.tif")
    table = temzoo.measure(prediction)
    assert table["image"].tolist() == ["labels.tif"] * 2
    assert table["class"].tolist() == ["particle"] * 2
    assert table["area_nm2"].tolist() == [(instances == 2).sum() / 4, 10]


def test_the_regions_of_a_mask_are_told_apart(tmp_path):
    mask = np.where(two_particles().instances > 0, 255, 0).astype(np.uint8)
    write_tiff(tmp_path / "mask.tif", Micrograph(mask))
    assert len(temzoo.measure(load_instance_map(tmp_path / "mask.tif"))) == 2


@pytest.mark.parametrize(
    "pixels",
    [np.full((8, 8, 3), 1, np.uint8), np.full((8, 8), 0.5, np.float32), np.full((8, 8), -1.0)],
)
def test_what_is_no_map_of_particles_is_refused(tmp_path, pixels):
    np.save(tmp_path / "a.npy", pixels)
    with pytest.raises(ValueError, match="one channel of whole numbers from 0 on"):
        load_instance_map(tmp_path / "a.npy")


def test_a_micrograph_in_place_of_a_map_is_refused(tmp_path):
    micrograph, _ = temzoo.synthetic.synthesize(0, size=64, n_particles=2)
    np.save(tmp_path / "a.npy", micrograph.pixels)
    with pytest.raises(ValueError, match=r"share its number.*temzoo predict .*a\.npy"):
        load_instance_map(tmp_path / "a.npy")


def test_the_map_of_classes_of_a_prediction_is_refused(tmp_path):
    place = tmp_path / "a.b_classes.png"
    cv2.imwrite(str(place), np.eye(9, dtype=np.uint8))
    with pytest.raises(ValueError, match=r"Measure a\.b\.prediction\.json or a\.b_instances\.tif"):
        load_instance_map(place)


def test_classes_without_a_name_are_called_by_their_number_as_labels_are():
    unnamed = replace(two_particles(), class_names=())
    labels = {shape.label for shape in labels_of(unnamed).shapes}
    assert set(temzoo.measure(unnamed)["class"]) == {"1", "2"} == labels


def test_a_smallest_diameter_is_kept_with_the_particles():
    """The disc has 24 px, the bar 2 sqrt(40 / pi) = 7.14 px."""
    for options, least, unit in (
        ({"min_diameter_px": 8}, 8, "px"),
        ({"min_diameter_nm": 4, "nm_per_pixel": 0.5}, 4, "nm"),
        ({"min_diameter_px": 8, "nm_per_pixel": (0.5, 2)}, 8, "nm"),
        ({"min_diameter_px": 8, "min_diameter_nm": 1, "nm_per_pixel": 0.5}, 4, "nm"),
    ):
        table = temzoo.measure(two_particles(), **options)
        assert table["particle"].tolist() == [2, 5]  # both stay
        assert table[f"min_diameter_{unit}"].tolist() == [least, least]
        assert table[f"nearest_neighbour_{unit}"].isna().all()  # one alone counts
        assert temzoo.summarize(table)["too_small"].tolist() == [1]
    plain = temzoo.measure(two_particles())
    assert temzoo.summarize(plain)["too_small"].tolist() == [0]


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_smallest_diameter_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=f"min_diameter_px must be a length.*={value}. Use 0"):
        temzoo.measure(two_particles(), min_diameter_px=value)


def test_a_smallest_diameter_in_nanometres_needs_a_calibration():
    with pytest.raises(ValueError, match=r"a calibrated micrograph.*=5 for 'a.tif', which has no"):
        temzoo.measure(two_particles(), min_diameter_nm=5)
