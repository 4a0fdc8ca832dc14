"""Throughput, memory, labels, start and input pipeline, at sizes of seconds; no time is judged."""

import argparse
import json
import sys

import numpy as np
import pytest

from benchmarks import measure, pipeline
from benchmarks.records import spread
from benchmarks.suite import (
    engines,
    input_pipeline,
    labels,
    measurement,
    precision,
    startup,
    throughput,
)
from temzoo import get_model
from temzoo.labels.formats import cvat
from temzoo.labels.shapes.raster import instance_map

SMALL = {"unet": {"filters": 4, "depth": 1}}
TINY = throughput.Plan(SMALL, SMALL, (32,), (1, 2), seconds=0.0, peak_side=64)


@pytest.fixture
def absent_engine():
    @engines.engine("absent", "int8")
    def absent(model, shape):
        raise ImportError("absent needs: pip install absent")

    yield
    del engines.ENGINES["absent", "int8"]


@pytest.fixture
def no_children(monkeypatch):
    """A process of its own takes seconds to import TensorFlow; two tests have one."""
    asked = []
    told = {"peak": 5_000_000, "baseline": 1_000_000, "input": 500_000}

    def in_child(what):
        asked.append(what)
        return throughput._child(json.loads(json.dumps(what))) if "shape" in what else told

    monkeypatch.setattr(throughput, "in_child", in_child)
    return asked


def test_every_engine_has_a_row_at_every_size(no_children, absent_engine):
    speed, memory = throughput.measure(throughput.replace(TINY, memory_sides=(64, 128)), quick=True)
    cells = speed["figures"]["cells"]
    assert [(c["engine"], c["batch"]) for c in cells] == [
        (name, batch) for batch in (1, 2) for name, _ in engines.ENGINES
    ]
    absent = [c for c in cells if "left_out" in c]
    assert {c["left_out"] for c in absent} == {"absent needs: pip install absent"}
    for cell in (c for c in cells if "left_out" not in c):
        assert cell["images_per_s"]["repetitions"] == throughput.LEAST
        assert cell["latency_s"]["least"] <= cell["latency_s"]["p95"] <= cell["latency_s"]["most"]
        exact = cell["precision"] == "float32"
        assert cell["difference_to_reference"] < (1e-5 if exact else 0.2)
        rate = cell["gflop"] / cell["latency_s"]["median"]
        peak = cell["matrix_peak_gflop_per_s"]["median"]
        assert cell["peak_share"] == pytest.approx(rate / peak)
        assert cell["peak_bytes"] == 5_000_000
    assert [row["used"] for row in memory["figures"]["sides"]] == [3_500_000] * 2
    assert {"model": "unet", "config": {"filters": 4, "depth": 1}, "side": 64} in no_children
    assert json.dumps([speed, memory])


def test_batches_that_prediction_never_makes_are_left_out(no_children, monkeypatch):
    monkeypatch.setattr(throughput, "MOST_PIXELS", 32**2)
    speed, *_ = throughput.measure(throughput.replace(TINY, memory_sides=()))
    assert {c["batch"] for c in speed["figures"]["cells"]} == {1}


def test_records_of_other_sizes_replace_no_others():
    usual = throughput.FULL
    speed, memory = ("sides", "batches"), ("memory_sides",)
    assert throughput._named("unet", usual, False, *speed) == "unet"
    fewer = throughput.replace(usual, sides=(256, 512), memory_sides=())
    assert throughput._named("unet", fewer, False, *speed) == "unet-256-512"
    few = throughput.replace(usual, memory_sides=(512,))
    assert throughput._named("unet", few, False, *memory) == "unet-512"
    alone = throughput.replace(usual, batches=(1,))
    assert throughput._named("unet", alone, False, *speed) == "unet-1"
    assert throughput._named("unet", alone, False, *memory) == "unet"


def test_engines_take_turns():
    order = []
    runs = {name: lambda pixels, name=name: order.append(name) for name in "ab"}
    seconds = throughput.in_turns(runs, np.zeros(1), budget=0.0)
    assert order == [*"aabb", *"ab" * throughput.LEAST]
    assert {len(each) for each in seconds.values()} == {throughput.LEAST}


def test_timing_is_that_of_the_repetitions():
    found = throughput.timing([0.5, 1.0, 2.0, 4.0, 1.0], batch=8)
    assert found["images_per_s"]["median"] == 8.0
    assert found["images_per_s"]["least"] == 2.0
    assert found["images_per_s"]["most"] == 16.0
    assert found["latency_s"]["p95"] == pytest.approx(np.percentile([0.5, 1, 2, 4, 1], 95))
    assert throughput._ratio([2.0, 2.0], [1.0, 4.0])["median"] == 1.25


def test_the_cells_of_a_size_come_from_a_process_of_its_own():
    only = throughput.replace(TINY, engines=[("tensorflow", "float32")])
    (cell,) = throughput._cells_in_child("unet", SMALL["unet"], (2, 32, 32, 1), only)
    assert {"engine": "tensorflow", "batch": 2, "side": 32}.items() <= cell.items()
    assert cell["ratio_to_reference"]["median"] == 1.0


def test_memory_is_that_of_a_process_of_its_own():
    asked = {"model": "unet", "config": {"filters": 4, "depth": 1}}
    cell = {"engine": "tensorflow", "precision": "float32", "batch": 1, "side": 64}
    assert throughput.in_child(asked | cell)["peak"] > 100 * 10**6
    with pytest.raises(RuntimeError, match=r"must run to its end. Received:\n"):
        throughput.in_child({})


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


def test_a_slow_call_is_warm_at_once(monkeypatch):
    monkeypatch.setattr(throughput, "WARM_S", 0.0)
    order = []
    throughput.in_turns({"a": lambda pixels: order.append("a")}, np.zeros(1), budget=0.0)
    assert len(order) == 1 + throughput.LEAST


def test_who_takes_minutes_over_an_export_does_so_once(tmp_path, monkeypatch):
    seconds = {"temzoo": 2.0, "datumaro": 90.0}
    asked = []

    def run(command):
        who = "datumaro" if "-c" in command else "temzoo"
        asked.append(who)
        return {"read_s": seconds[who], "draw_s": 1.0, "peak": 5, "shapes": 3}

    monkeypatch.setattr(labels, "_run", run)
    size = labels.Size(images=1, polygons_each=3, tracks=200, repetitions=3)
    record = labels._measured("images", size, "python", "", tmp_path / "images", quick=True)
    assert asked == ["temzoo", "datumaro", "temzoo", "temzoo"]
    figures = record["figures"]
    assert figures["temzoo"]["read_s"]["repetitions"] == 3
    assert figures["datumaro"]["read_s"]["repetitions"] == 1
    assert figures["ratio"]["read_s"] == {
        "median": 45.0,
        "least": 45.0,
        "most": 45.0,
        "repetitions": 1,
    }


def test_labels_are_read_and_drawn_in_a_process_of_its_own():
    size = labels.Size(images=1, polygons_each=5, tracks=100, repetitions=2)
    images, video = labels.measure(size, datumaro=None, quick=True)
    assert images["figures"]["temzoo"]["shapes"] == 5
    assert video["figures"]["temzoo"]["shapes"] == 1000
    assert images["figures"]["temzoo"]["read_s"]["repetitions"] == 2
    assert "not asked for" in images["figures"]["datumaro"]["left_out"]
    assert images["about"] == "5 polygons on 1 images"
    assert video["about"] == "100 tracks on 10 frames"


def test_ratios_are_taken_turn_by_turn():
    slow = [{"read_s": 2.0, "draw_s": 1.0, "peak": 4}, {"read_s": 6.0, "draw_s": 1.0, "peak": 4}]
    fast = [{"read_s": 1.0, "draw_s": 1.0, "peak": 2}, {"read_s": 2.0, "draw_s": 0.5, "peak": 2}]
    found = labels._ratios(slow, fast)
    assert found["read_s"]["median"] == 2.5
    assert found["peak"]["median"] == 2


def test_an_environment_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(labels.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="datumaro is not installed here"):
        labels.environment(tmp_path / "environment")


def test_a_reader_that_fails_is_no_figure():
    with pytest.raises(RuntimeError, match=r"must read and draw the export. Received:\n.*broken"):
        labels._run([sys.executable, "-c", "raise SystemExit('broken')"])


def test_start_is_timed_in_fresh_processes(tmp_path):
    mark = tmp_path / "marks"
    code = f"open({str(mark)!r}, 'a').write('x')"
    record = startup.measure(2, commands={"mark": ["-c", code]})
    assert mark.read_text() == "xxx"
    assert record["figures"]["mark"]["repetitions"] == 2
    with pytest.raises(RuntimeError, match=r"must run to its end. Received:"):
        startup._seconds(["-c", "1 / 0"])


def test_the_first_prediction_is_one():
    namespace = {}
    exec(startup.FIRST.replace("temzoo.predict", "found = temzoo.predict"), namespace)
    assert namespace["found"].classes.shape == (512, 512)


def test_steps_wait_for_batches_and_are_longer_beside_the_pipeline():
    rates = {
        "u: training, from memory": {"median": 20.0},
        "u: training, from the pipeline": {"median": 19.0, "waiting": 0.001},
        "pipeline": {"median": 100.0},
    }
    found = input_pipeline.shares(rates, ["u", "v"])
    assert found == {"waiting": {"u": 0.001}, "longer": {"u": pytest.approx(0.05)}}


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

    monkeypatch.setattr(pipeline.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(pipeline, "get_model", lambda name, **config: Model())
    monkeypatch.setattr(pipeline, "stream", lambda examples, args: batches())
    told = argparse.Namespace(steps=2, batch=8, repeats=3)
    rates = pipeline.appetite("unet", [], told)
    fed = rates["unet: training, from the pipeline"]
    assert fed["waiting"] == pytest.approx(0.25)
    assert fed["median"] == pytest.approx(8 / 4)
    assert rates["unet: training, from memory"]["median"] == pytest.approx(8 / 3)


def test_the_pipeline_is_measured_by_its_own_benchmark():
    tiny = {"repeats": 1, "crops": 4, "size": 32, "batch": 2, "micrographs": 1, "side": 256}
    record = input_pipeline.measure(quick=True, appetite=False, **tiny)
    assert set(record["figures"]["images_per_s"]) == {"pipeline", "plain imgaug loop"}
    assert record["figures"]["waiting"] == {}
    assert record["settings"]["crops"] == 4


def test_particles_are_measured_by_their_own_benchmark(monkeypatch):
    crowd = measure.crowd
    monkeypatch.setattr(measure, "crowd", lambda side: crowd(3))
    record = measurement.measure(2, quick=True)
    assert record["about"].startswith("9 particles; of temzoo.measure ")
    assert record["figures"]["temzoo.measure"]["repetitions"] == 2
    assert record["figures"]["regionprops_table / temzoo.measure"]["median"] > 0


def test_a_ratio_of_spreads_has_the_widest_ends():
    slow = {"median": 6.0, "least": 4.0, "most": 9.0, "repetitions": 5}
    fast = {"median": 2.0, "least": 1.0, "most": 4.0, "repetitions": 3}
    found = measurement.ratio(slow, fast)
    assert found == {"median": 3.0, "least": 1.0, "most": 9.0, "repetitions": 3}


def test_tiling_costs_seconds_outside_the_network_and_pixels_computed_twice():
    model = get_model("unet", filters=2, depth=1, compile=False)
    found = precision.tiling(model, 128, 64)
    assert found["tiles"] == 9  # from 0, 40 and 64 px on
    assert found["pixels_per_pixel"] == pytest.approx((3 * 64 / 128) ** 2)
    whole = precision.tiling(model, 64)
    assert whole["tiles"] == whole["pixels_per_pixel"] == 1


def test_what_tiling_costs_is_taken_turn_by_turn(monkeypatch):
    seconds = iter([1.0, 1.5, 2.0, 2.5, 4.0, 6.0])  # the network alone, then in tiles
    monkeypatch.setattr(precision, "_seconds", lambda *_: next(seconds))
    found = precision.tiling(get_model("unet", filters=2, depth=1, compile=False), 64)
    # Three turns, which together took long enough.
    assert found["overhead"] == spread([0.5, 0.25, 0.5])


def test_the_plan_follows_the_command_line():
    parser = argparse.ArgumentParser()
    throughput.add_arguments(parser)
    words = ["--models", "unet", "mask_rcnn", "--sides", "64", "--memory-sides"]
    arguments = parser.parse_args(words)
    arguments.quick = False
    plan = throughput.plan_of(arguments)
    assert plan.models == {"unet": {}, "mask_rcnn": {}}
    assert plan.memory_models == {"unet": {"filters": 8}, "mask_rcnn": {}}
    assert plan.sides == (64,)
    assert plan.batches == throughput.FULL.batches
    assert plan.memory_sides == ()
