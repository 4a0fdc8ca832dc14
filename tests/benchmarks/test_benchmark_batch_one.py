"""OpenVINO asked for images alone and together: the same answers, and figures turn by turn."""

import numpy as np
import pytest

import temzoo
from benchmarks.page import shown
from benchmarks.records import result
from temzoo.deploy.engines.network import Network

pytest.importorskip("openvino")
pytest.importorskip("tf2onnx")

from benchmarks import batch_one, timing


def test_every_way_is_asked_for_every_image_of_a_batch():
    model = temzoo.get_model("unet", filters=2, depth=1, compile=False)
    channels = model.input_shape[-1]
    asked = batch_one.ways(Network(model).onnx, "float32", (1, 32, 32, channels), threads=2)
    assert {way: set(sizes) for way, sizes in asked.items()} == {
        batch_one.FREE: {1, 8},
        batch_one.FIXED: {1, 8},
        batch_one.STREAMS: {1},
    }
    pixels = np.zeros((batch_one.BATCH, 32, 32, channels), np.float32)
    rows = batch_one.timed(asked, pixels, repetitions=2)
    assert [row["way"] for row in rows] == [*asked]
    for row in rows:
        assert row["batch_1_s"]["repetitions"] == row["batch_1_over_8"]["repetitions"] == 2


def test_the_excess_is_that_of_a_turn(monkeypatch):
    calls = []
    seconds = {(batch_one.FREE, 1): 2.0, (batch_one.FREE, 8): 1.0}
    seconds |= {(batch_one.FIXED, 1): 1.2, (batch_one.FIXED, 8): 0.8, (batch_one.STREAMS, 1): 1.0}
    clock = [0.0]

    def ask(key):
        def spend(pixels):
            calls.append(key)
            clock[0] += seconds[key] * len(pixels)

        return spend

    asked = {}
    for way, size in seconds:
        asked.setdefault(way, {})[size] = ask((way, size))

    def seconds_of(call, *_):
        began = clock[0]
        call()
        return clock[0] - began

    monkeypatch.setattr(timing, "seconds_of", seconds_of)
    rows = batch_one.timed(asked, np.zeros((8, 1)), repetitions=3)
    assert calls == 4 * [*seconds]
    excess = [row["batch_1_over_8"]["median"] for row in rows]
    assert excess == pytest.approx([1.0, 0.5, 0.25])
    assert "batch_8_s" not in rows[2]
    told = [{"precision": "bfloat16", "side": 256, **row} for row in rows]
    about = {"about": "", "command": "it", "model": "unet/emps"}
    lines = shown(result("batch-one", "unet/emps", figures={"rows": told}, **about))
    row = "| size fixed | 1,200 [1,200, 1,200] | 800 [800, 800] | +50% [+50%, +50%] |"
    assert f"| unet/emps | 256 | bfloat16 {row}" in lines


def test_a_network_is_measured_at_every_precision_and_side(monkeypatch, measured):
    small = temzoo.get_model("unet", filters=2, depth=1, compile=False)
    monkeypatch.setattr(batch_one, "trained", lambda weights: small)
    (record,) = measured("batch-one", "--sides", "32", "--repetitions", "1")
    cases = {(row["precision"], row["side"], row["way"]) for row in record["figures"]["rows"]}
    assert len(cases) == 6
    assert record["command"] == "python -m benchmarks batch-one --sides 32 --repetitions 1"
