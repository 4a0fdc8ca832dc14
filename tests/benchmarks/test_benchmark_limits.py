"""What is promised of memory: small versions here; ``-m slow`` measures at full size."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from benchmarks import __main__ as suite
from benchmarks import cvat_exports, limits
from benchmarks.limits import LIMITS, measure
from benchmarks.page import shown
from benchmarks.records import kept
from benchmarks.timing import in_child
from temzoo.labels.formats import cvat

MB = 10**6


@pytest.mark.parametrize("layout", ["points", "video"])
def test_reading_takes_little_more_than_the_coordinates(layout):
    # Two float64 a point and some objects a shape are all that a reader has to hold: of a document
    # read whole, the text and its elements would come on top, 10 MB and several times that.
    found = measure(f"read-{layout}", megabytes=10)
    assert found["file"] > 10 * MB
    assert found["points"] > 500_000
    held = 16 * found["points"] + 1000 * found["shapes"]
    assert found["peak"] - found["baseline"] < held + 6 * MB


def test_attributes_cost_what_they_say_and_not_what_their_elements_do():
    found = measure("read-shapes", megabytes=10)
    assert found["shapes"] > 10_000
    assert found["peak"] - found["baseline"] < 5 * found["file"]  # 1 GB of 200 MB


def test_what_is_not_read_takes_no_memory(tmp_path):
    path = tmp_path / "annotations.xml"
    unused = (
        "<!-- nobody reads this -->"
        '<dump size="9"><owner><username>someone</username></owner><note>text</note></dump>\n'
    )
    with path.open("w") as out:
        out.write("<annotations><meta>" + unused * 50_000 + "</meta>")
        out.write(unused * 50_000)
        out.write('<image name="a.png" width="8" height="9"></image></annotations>')
    assert path.stat().st_size > 10 * MB
    tracemalloc.start()
    try:
        (image,) = cvat.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (image.name, image.shapes) == ("a.png", ())
    assert peak < 1 * MB


def test_prediction_never_holds_the_whole_probability_map():
    side = 4096
    found = measure("predict-classes8", side=side)
    assert found["instances"] > 10_000
    assert 0.3 < found["foreground"] < 0.4
    assert found["used"] < 8 * 4 * side**2  # classes x float32 x pixels


def test_prediction_grows_by_the_two_maps_with_the_image():
    # 1 byte a pixel for the classes, 4 for the instances; the probabilities would be 8 more.
    small, large = (measure("predict-identity", side=side) for side in (2048, 4096))
    grown = large["used"] - small["used"]
    assert grown < 7 * (large["input"] - small["input"])


def test_a_lazy_prediction_takes_the_same_memory_for_any_image():
    child = "benchmarks.limits:child_predicts_lazily"
    small, large = (in_child(child, side)["used"] for side in (2048, 6144))
    assert large < small + 60 * MB  # 33 million pixels more


def test_network_works_on_tiles():
    # One layer's activations of the whole image would be 8 filters x float32 x pixels = 134 MB,
    # and the network holds those of several layers at once.
    # What the two threads of a prediction hold at once varies; other loads only add to it.
    tries = (measure("predict-unet8", side=2048) for _ in range(3))
    found = next((one for one in tries if one["used"] < 450 * MB), None)
    assert found is not None
    assert found["baseline"] > 300 * MB  # TensorFlow was there


def test_a_large_parent_does_not_hide_a_small_child():
    ballast = np.ones(60_000_000)
    found = measure("predict-identity", side=256)
    assert found["peak"] < ballast.nbytes
    assert found["input"] == 256**2
    assert 0 < found["baseline"] < found["peak"]


def test_a_child_that_fails_is_an_error_with_its_words():
    with pytest.raises(RuntimeError, match=r"(?s)child_reads.* must run to its end.*no\.xml"):
        in_child("benchmarks.limits:child_reads", "no.xml")


def test_a_broken_bound_is_the_exit_status(tmp_path, monkeypatch):
    used = {"read-points": 0.9e9, "read-boxes": 1.1e9}
    figures = {"peak": 3e9, "baseline": 1e9, "input": 0, "bound": 1e9, "seconds": 1}
    figures |= {"file": 2e8, "shapes": 7, "points": 9}
    monkeypatch.setattr(limits, "measure", lambda name: {**figures, "used": used[name]})
    words = ["limits", "--out", str(tmp_path)]
    assert suite.main([*words, "read-points"]) == 0
    with pytest.raises(SystemExit, match="Received: read-boxes beyond it"):
        suite.main([*words, "read-boxes", "read-points"])
    rows = {r["name"]: shown(r)[-1] for r in kept(tmp_path)}
    assert rows["read-points"].endswith("| 200 | 7 | 9 | 3.00 | 1.00 | 0 | 0.900 | 1.00 |")
    assert rows["read-boxes"].endswith("| 1.10 | 1.00 |")


def test_a_network_is_asked_at_every_side(monkeypatch, measured):
    told = {"peak": 5_000_000, "baseline": 1_000_000, "input": 500_000, "used": 3_500_000}
    monkeypatch.setattr(limits, "in_child", lambda name, asked, side: told | {"side": side})
    (record,) = measured("limits", "sides")
    assert [row["side"] for row in record["figures"]["sides"]] == [*limits.SIDES]
    assert [record["what"], record["command"]] == ["memory", "python -m benchmarks limits sides"]
    assert shown(record)[-1].endswith("| 16,384 | 0.00350 | 0.00500 | 0.00100 | 0.000500 |")


@pytest.mark.parametrize("layout", limits.LAYOUTS)
def test_generated_labels_are_whole_files_of_their_size(tmp_path, layout):
    path = tmp_path / "annotations.xml"
    cvat_exports.write(path, limits.LAYOUTS[layout](), 500_000)
    assert 500_000 < path.stat().st_size < 3 * MB
    assert {shape.label for image in cvat.read(path) for shape in image.shapes} == {"particle"}


def test_importing_temzoo_takes_under_a_fifth_of_a_second():
    # Processor time, the least of three: what else runs does not count, nor a cold disk.
    code = (
        "import time; start = time.process_time()\n"
        "import temzoo\nprint(time.process_time() - start)"
    )
    times = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert min(float(run.stdout) for run in times) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITS)
def test_limit_holds_at_full_size(name):
    found = measure(name)
    assert found["used"] <= found["bound"]
    if "labels" in LIMITS[name][1]:
        assert found["file"] >= 200 * MB
        assert found["points"] >= MB
    elif "lazy" not in LIMITS[name][1]:
        assert found["input"] == 16384**2
