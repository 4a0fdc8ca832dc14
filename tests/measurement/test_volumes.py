"""Particles by the volume of a foil: closed forms, drawn bubbles, and what has no answer."""

import math

import numpy as np
import pandas as pd
import pytest

import temzoo
from temzoo.core.types import Prediction
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.labels.shapes.raster import instance_map
from temzoo.measurement import measure
from temzoo.measurement.model_error import LogError, ModelError
from temzoo.measurement.table import frame_of
from temzoo.measurement.volumes import per_volume


def bubbles(seed, name, **scene):
    """A prediction that is right, and its labels."""
    _, labels = synthesize(seed, scene="bubbles", size=320, name=name, **scene)
    instances = instance_map(labels)
    classes = (instances > 0).astype(np.uint8)
    names = ("cavity",)
    return Prediction(
        classes, instances, class_names=names, nm_per_pixel=(0.25, 0.25), name=name
    ), labels


def test_swelling_of_drawn_bubbles_is_that_of_their_spheres():
    predictions, volume, number = [], 0.0, 0
    for seed in range(6):
        prediction, labels = bubbles(seed, f"{seed}.tif", n_particles=40, diameter_nm=(4, 8))
        predictions.append(prediction)
        diameters = [float(shape.attributes["diameter_nm"]) for shape in labels.shapes]
        volume += sum(math.pi / 6 * d**3 for d in diameters)
        number += len(diameters)
    table = per_volume(
        pd.concat([measure(each) for each in predictions]),
        frames={each.name: frame_of(each) for each in predictions},
        thickness_nm=100,
    )
    assert table["image"].tolist() == [*(f"{seed}.tif" for seed in range(6)), "all"]
    row, foil_nm3 = table.iloc[-1], 6 * 80.0**2 * 100
    # Objects are drawn where their centres lie inside: no border effect but of chance.
    assert row["number_per_m3"] == pytest.approx(number / foil_nm3 * 1e27, rel=0.05)
    assert row["volume_fraction"] == pytest.approx(volume / foil_nm3, rel=0.06)
    assert row["swelling"] == pytest.approx(row["volume_fraction"] / (1 - row["volume_fraction"]))
    for name in ("number_per_m3", "volume_fraction", "swelling"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert row["larger_than_foil"] == 0


def test_one_disk_gives_the_closed_form():
    rows, cols = np.mgrid[:100, :100] + 0.5
    mask = np.hypot(rows - 50, cols - 50) < 20
    prediction = Prediction(
        mask.astype(np.uint8), mask.astype(np.int32), class_names=("p",), nm_per_pixel=(2.0, 2.0)
    )
    table = measure(prediction)
    row = per_volume(table, thickness_nm=50).iloc[0]
    free_nm2 = (2 * (100 - 40 - 1)) ** 2.0
    assert row["number_per_m3"] == pytest.approx(1e27 / (free_nm2 * 50))
    sphere = math.pi / 6 * table["diameter_nm"][0] ** 3
    assert row["volume_fraction"] == pytest.approx(sphere / (free_nm2 * 50))
    assert row["larger_than_foil"] == 1
    assert (row["images"], row["particles"], row["thickness_nm"]) == (1, 1, 50)
    thin = per_volume(table, thickness_nm=1).iloc[0]
    assert math.isnan(thin["swelling"])  # more bubble than foil


def test_classes_stand_apart_and_lines_are_no_particles():
    classes = np.zeros((60, 60), np.uint8)
    classes[5:15, 5:15], classes[30:40, 30:40], classes[50:52, 5:50] = 1, 2, 3
    instances = classes.astype(np.int32)
    prediction = Prediction(
        classes, instances, class_names=("a", "b", "line"), nm_per_pixel=(1.0, 1.0)
    )
    table = per_volume(measure(prediction), thickness_nm=20, without=("line",))
    assert table["class"].tolist() == ["a", "b"]
    assert table["particles"].tolist() == [1, 1]


def test_the_error_of_a_model_widens_the_interval_of_the_number():
    prediction, _ = bubbles(0, "a.tif", n_particles=20)
    table = measure(prediction)
    model = ModelError(LogError(0.0, 0.1), LogError(0.1, 0.2), images=20)
    alone, both = (
        per_volume(table, thickness_nm=100, model=each).iloc[0] for each in (None, model)
    )
    assert both["number_per_m3"] == alone["number_per_m3"]
    assert both["number_per_m3_low"] < alone["number_per_m3_low"]
    assert both["number_per_m3_high"] > alone["number_per_m3_high"]
    assert both["swelling_high"] == alone["swelling_high"]


def test_boxes_have_a_number_and_no_volume():
    prediction, _ = bubbles(0, "a.tif", n_particles=20)
    table = measure(prediction)
    boxes = table.assign(diameter_nm=math.nan, area_nm2=math.nan)
    row = per_volume(boxes, thickness_nm=100).iloc[0]
    assert row["number_per_m3"] == per_volume(table, thickness_nm=100)["number_per_m3"][0]
    assert math.isnan(row["volume_fraction"])
    assert math.isnan(row["swelling"])


def test_an_empty_foil_has_an_upper_limit():
    empty = np.zeros((50, 50), np.int32)
    prediction = Prediction(empty.astype(np.uint8), empty, nm_per_pixel=(1.0, 1.0), name="a.tif")
    frames = {"a.tif": frame_of(prediction)}
    row = per_volume(measure(prediction), frames=frames, thickness_nm=100).iloc[0]
    assert row["number_per_m3"] == 0
    assert row["number_per_m3_high"] == pytest.approx(-math.log(0.025) / (50 * 50 * 100) * 1e27)


def test_what_has_no_volume_is_refused():
    prediction, _ = bubbles(0, "a.tif", n_particles=5)
    with pytest.raises(ValueError, match=r"thickness_nm must be a length above 0\. Received"):
        per_volume(measure(prediction), thickness_nm=0)
    in_px = Prediction(prediction.classes, prediction.instances, class_names=("cavity",))
    with pytest.raises(ValueError, match=r"need calibrated images\. Received: thickness_nm=90 for"):
        per_volume(measure(in_px), thickness_nm=90)


def test_whole_images_are_drawn_where_they_are_asked_for():
    found = [bubbles(seed, f"{seed}.tif", n_particles=3 + 5 * seed)[0] for seed in range(6)]
    table = pd.concat([measure(each) for each in found])
    how = {"frames": {each.name: frame_of(each) for each in found}, "thickness_nm": 100}
    alone, images = (per_volume(table, over=one, **how) for one in ("particles", "images"))
    for name in ("number_per_m3", "volume_fraction", "swelling"):
        one, other = alone.iloc[-1], images.iloc[-1]
        assert one[name] == pytest.approx(other[name])
        assert other[f"{name}_low"] < other[name] < other[f"{name}_high"]
        assert other[f"{name}_high"] > one[f"{name}_high"]
        assert math.isnan(images[f"{name}_high"][0])  # of one image
    known = temzoo.summarize(table, by=None, over="images", frames=how["frames"]).iloc[0]
    assert images.iloc[-1]["number_per_m3_low"] == pytest.approx(
        known["density_per_um2_low"] * 1e-6 / 100 * 1e27
    )
    with pytest.raises(ValueError, match=r'"particles" or "images"\. Received: over=\'foils\''):
        per_volume(table, over="foils", **how)
