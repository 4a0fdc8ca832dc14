"""Labels, start, pipeline, precision at sizes of seconds; no time is judged."""

import json
import sys

import numpy as np
import pytest

from benchmarks import labels, measure, pipeline, precision, startup, timing
from benchmarks.page import shown
from benchmarks.timing import last_line, spread
from temzoo import get_model
from temzoo.labels.formats import cvat
from temzoo.labels.shapes.raster import instance_map


def test_runs_take_turns():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = timing.in_turns(runs)
    assert order == [*"aabb", *"ab" * timing.LEAST]
    assert {len(each) for each in seconds.values()} == {timing.LEAST}


def test_a_slow_call_is_warm_at_once(monkeypatch):
    monkeypatch.setattr(timing, "WARM_S", 0.0)
    order = []
    timing.in_turns({"a": lambda: order.append("a")})
    assert len(order) == 1 + timing.LEAST


def test_timing_is_that_of_the_repetitions():
    found = timing.rates([0.5, 1.0, 2.0, 4.0, 1.0], 8)
    assert found == {"median": 8.0, "least": 2.0, "most": 16.0, "repetitions": 5}
    assert timing.ratio([2.0, 2.0], [1.0, 4.0])["median"] == 1.25


def test_exports_are_the_same_each_time_and_hold_what_they_say(tmp_path):
    size = labels.Size(images=2, polygons_each=3, tracks=200, repetitions=1)
    for name, images, shapes in (("images", 2, 6), ("video", 20, 2000)):
        folder = tmp_path / name
        folder.mkdir()
        labels.write_export(folder / "a.xml", name, size)
        found = cvat.read(folder / "a.xml")
        assert [len(found), sum(len(image.shapes) for image in found)] == [images, shapes]
        assert len(list((folder / "images").iterdir())) == images
        assert "".join(labels.EXPORTS[name](size)) == "".join(labels.EXPORTS[name](size))
        corners = np.concatenate([s.points for image in found for s in image.shapes])
        assert corners.min() >= 0
        assert corners.max() <= labels.SIDE
        assert instance_map(found[0]).max() > 0


def test_who_takes_minutes_over_an_export_does_so_once(tmp_path, monkeypatch):
    asked = []

    def read(who, seconds):
        asked.append(who)
        return {"read_s": seconds, "draw_s": 1.0, "peak": 5, "shapes": 3}

    monkeypatch.setattr(labels, "why_not", lambda name: None)
    monkeypatch.setattr(labels, "in_child", lambda *_: read("temzoo", 2.0))
    monkeypatch.setattr(labels, "last_line", lambda *_, **e: json.dumps(read("datumaro", 90.0)))
    size = labels.Size(images=1, polygons_each=3, tracks=200, repetitions=3)
    figures = labels.measure("images", size, tmp_path)["figures"]
    assert asked == ["temzoo", "datumaro", "temzoo", "temzoo"]
    assert figures["temzoo"]["read_s"]["repetitions"] == 3
    assert figures["datumaro"]["read_s"]["repetitions"] == 1
    assert figures["ratio"]["read_s"] == spread([45.0])


def test_labels_are_read_and_drawn_in_a_process_of_its_own(monkeypatch, measured):
    monkeypatch.setattr(labels, "QUICK", labels.Size(1, 5, 100, 1))
    monkeypatch.setattr(labels, "why_not", lambda name: "not set up")
    images, video = measured("labels", "--quick")
    assert images["figures"]["temzoo"]["shapes"] == 5
    assert video["figures"]["temzoo"]["shapes"] == 1000
    assert images["figures"]["datumaro"]["left_out"] == "not set up"
    assert [images["about"], video["about"]] == [
        "5 polygons on 1 images",
        "100 tracks on 10 frames",
    ]
    assert shown(images)[2].startswith("| 5 polygons on 1 images | temzoo | ")


def test_start_is_timed_in_fresh_processes(tmp_path):
    mark = tmp_path / "marks"
    found = startup.measure({"mark": ["-c", f"open({str(mark)!r}, 'a').write('x')"]}, 2)
    assert mark.read_text() == "xxx"  # one to warm up
    took = found["mark"]
    assert [figure["repetitions"] for figure in took.values()] == [2, 2, 2]
    assert 0 < took["user_s"]["median"] < took["s"]["most"] * 4
    assert 4e6 < took["memory"]["median"] < 2e8  # its own, not that of who started it
    with pytest.raises(RuntimeError, match=r"must run to its end\. Received: status 3"):
        startup.once(["-c", "raise SystemExit(3)"], tmp_path)
    with pytest.raises(RuntimeError, match=r"must run to its end. Received:\n.*broken"):
        last_line([sys.executable, "-c", "raise SystemExit('broken')"])


def test_the_first_prediction_is_one():
    namespace = {}
    exec(startup.FIRST.replace("temzoo.predict", "found = temzoo.predict"), namespace)
    assert namespace["found"].classes.shape == (512, 512)


def test_waiting_is_the_share_of_the_time_in_which_there_is_no_batch(monkeypatch):
    """A step takes 3 s and its batch 1 s to come: by a clock that only these move."""
    clock = [0.0]

    class Model:
        def train_on_batch(self, *batch):
            clock[0] += 3.0

    def batches():
        while True:
            clock[0] += 1.0
            yield ()

    def seconds_of(call):
        began = clock[0]
        call()
        return clock[0] - began

    monkeypatch.setattr(pipeline.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(pipeline, "seconds_of", seconds_of)
    monkeypatch.setattr(pipeline, "get_model", lambda name, **config: Model())
    monkeypatch.setattr(pipeline, "stream", lambda examples, plan: batches())
    monkeypatch.setattr(pipeline, "class_names", lambda examples: ("particle",))
    free, fed, waiting = pipeline.appetite("unet", [], pipeline.Plan(steps=2, repetitions=3))
    assert waiting == pytest.approx(0.25)
    assert fed["median"] == pytest.approx(8 / 4)
    assert free["median"] == pytest.approx(8 / 3)


def test_the_pipeline_is_measured_beside_a_plain_loop(monkeypatch, measured):
    monkeypatch.setattr(pipeline, "QUICK", pipeline.Plan((), 1, 4, 1, 32, 2, 1, 256))
    (record,) = measured("pipeline", "--quick")
    assert set(record["figures"]["images_per_s"]) == {
        *("pipeline", "pipeline, by OpenCV", "plain imgaug loop")
    }
    assert record["settings"]["crops"] == 4
    assert shown(record)[2].startswith("| pipeline |")


def test_particles_are_measured_beside_scikit_image(monkeypatch, measured):
    crowd = measure.crowd
    monkeypatch.setattr(measure, "crowd", lambda side: crowd(3))
    (record,) = measured("measure", "--quick")
    assert record["about"].startswith("9 particles; of temzoo.measure ")
    assert record["figures"]["temzoo.measure"]["repetitions"] == 3
    assert record["figures"]["regionprops_table / temzoo.measure"]["median"] > 0


def test_labels_are_measured_as_what_was_drawn(monkeypatch, measured):
    monkeypatch.setattr(measure, "IMAGES", {"mixed": 3, "spheres": 3})
    (record,) = measured("measure", "labels")
    spheres = record["figures"]["spheres"]
    assert spheres["particles"]["measured"] == spheres["particles"]["true"]
    assert abs(spheres["d50_nm of all, border corrected"]["error_percent"]) < 10
    assert spheres["intervals"]["images"] == 3
    assert shown(record)[-1].startswith("| the labels | 0 | ")


def test_tiling_costs_seconds_outside_the_network_and_pixels_computed_twice():
    model = get_model("unet", filters=2, depth=1, compile=False)
    found = precision.tiling(model, 128, 64)
    assert found["tiles"] == 9  # from 0, 40 and 64 px on
    assert found["pixels_per_pixel"] == pytest.approx((3 * 64 / 128) ** 2)
    whole = precision.tiling(model, 64)
    assert whole["tiles"] == whole["pixels_per_pixel"] == 1


def test_what_tiling_costs_is_taken_turn_by_turn(monkeypatch):
    turns = {"network": [1.0, 2.0, 4.0], "tiled": [1.5, 2.5, 6.0]}
    monkeypatch.setattr(
        precision, "in_turns", lambda runs, **_: {name: turns[name] for name in runs}
    )
    found = precision.tiling(get_model("unet", filters=2, depth=1, compile=False), 64)
    assert found["overhead"] == spread([0.5, 0.25, 0.5])


def test_engines_and_precisions_stand_beside_their_iou(monkeypatch, measured, drawn):
    small = get_model("unet", filters=2, depth=1, compile=False)
    monkeypatch.setattr(precision, "trained", lambda weights: small)
    monkeypatch.setattr(precision, "MAKERS", [("tensorflow", "float32")])
    monkeypatch.setattr(precision, "dataset_of", lambda arguments: drawn)
    (record,) = measured("precision", "--weights", "tiny", "--quick")
    keras, other = record["figures"]["rows"]
    assert (keras["ratio_to_keras"]["median"], keras["pixels_that_differ"]) == (1.0, 0.0)
    assert other["iou_change"]["value"] == pytest.approx(0, abs=1e-3)
    assert shown(record)[2].startswith("| tiny | keras | float32 |")
