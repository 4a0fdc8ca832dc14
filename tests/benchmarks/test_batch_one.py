"""OpenVINO asked for images alone and together: the same answers, and figures turn by turn."""

import numpy as np
import pytest

import temzoo
from benchmarks import batch_one
from temzoo.deploy.engines.network import Network

pytest.importorskip("openvino")
pytest.importorskip("tf2onnx")


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
    monkeypatch.setattr(batch_one.time, "perf_counter", lambda: clock[0])
    rows = batch_one.timed(asked, np.zeros((8, 1)), repetitions=3)
    assert calls == 4 * [*seconds]
    excess = [row["batch_1_over_8"]["median"] for row in rows]
    assert excess == pytest.approx([1.0, 0.5, 0.25])
    assert "batch_8_s" not in rows[2]
    record = {"weights": "unet/emps", "repetitions": 3, "command": "it", "date": "2026-11-28"}
    record["hardware"] = {"processor": "one", "cores": 2}
    told = [{"precision": "bfloat16", "side": 256, **row} for row in rows]
    lines = batch_one.page({**record, "rows": told})
    assert "| 256 | bfloat16 | size fixed | 1,200 | 800 | +50% [+50%, +50%] |" in lines
    assert any(line.endswith("| 1,000 | – | +25% [+25%, +25%] |") for line in lines)
