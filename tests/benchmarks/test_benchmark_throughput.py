"""Throughput by engine, batch and size, at sizes of seconds; no time is judged."""

import json

import keras
import pytest

from benchmarks import throughput, timing
from benchmarks.commands import asked as parsed
from benchmarks.timing import in_child

CONFIG = {"filters": 4, "depth": 1}
TINY = throughput.Plan({"unet": CONFIG}, (32,), (1, 2), seconds=0.0)


@pytest.fixture
def absent_engine():
    @throughput.engine("absent", "int8")
    def absent(model, shape):
        raise ImportError("absent needs: pip install absent")

    yield
    del throughput.ENGINES["absent", "int8"]


@pytest.fixture
def no_children(monkeypatch):
    """A process of its own takes seconds to import TensorFlow; two tests have one."""
    asked = []

    def in_child(function, *words):
        asked.append((function, *words))
        if function.endswith("child_cells"):
            return throughput.child_cells(*json.loads(json.dumps(words)))
        return 5_000_000

    monkeypatch.setattr(throughput, "in_child", in_child)
    return asked


def test_every_engine_has_a_row_at_every_size(no_children, absent_engine, monkeypatch, measured):
    keras.utils.set_random_seed(0)
    monkeypatch.setattr(throughput, "QUICK", TINY)
    (speed,) = measured("throughput", "--quick")
    cells = speed["figures"]["cells"]
    assert [(c["engine"], c["batch"]) for c in cells] == [
        (name, batch) for batch in (1, 2) for name, _ in throughput.ENGINES
    ]
    absent = [c for c in cells if "left_out" in c]
    assert {c["left_out"] for c in absent} == {"absent needs: pip install absent"}
    for cell in (c for c in cells if "left_out" not in c):
        assert cell["images_per_s"]["repetitions"] == timing.LEAST
        exact = cell["precision"] == "float32"
        assert cell["difference_to_reference"] < (1e-5 if exact else 0.2)
        assert cell["peak_bytes"] == 5_000_000


def test_batches_that_prediction_never_makes_are_left_out(no_children, monkeypatch):
    monkeypatch.setattr(throughput, "MOST_PIXELS", 32**2)
    figures = throughput.speed_of("unet", CONFIG, TINY)["figures"]
    assert {c["batch"] for c in figures["cells"]} == {1}


def test_the_memory_of_an_engine_is_that_of_a_process_of_its_own():
    asked = ("unet", CONFIG, "tensorflow", "float32", 1, 64)
    assert in_child("benchmarks.throughput:child_peak", *asked) > 100 * 10**6


def test_the_plan_follows_the_command_line():
    plan = throughput.plan_of(parsed(["throughput", "--models", "unet", "mask_rcnn"]))
    assert plan.models == {"unet": {}, "mask_rcnn": {}}
    assert plan.sides == throughput.FULL.sides
