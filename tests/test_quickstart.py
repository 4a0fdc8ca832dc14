"""The shortest way to a result: what it writes and says, of a drawn micrograph and of one's own."""

import json
import re
import subprocess
import sys
from statistics import median

import numpy as np
import pandas as pd
import pytest

from temzoo.cli import app
from temzoo.core.types import Micrograph
from temzoo.data.synthetic import write_tiff


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where the shipped network is kept, converted once for all the tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def call(cache, monkeypatch, capsys):
    """Runs the command without Keras' downloads and without a network; returns what it says."""
    monkeypatch.delenv("TEMZOO_NETWORKS")
    for name in ("XDG_CACHE_HOME", "KERAS_HOME"):
        monkeypatch.setenv(name, str(cache))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    def called(*words, command="quickstart"):
        app([command, *map(str, words)], standalone_mode=False)
        return capsys.readouterr().out.splitlines()

    return called


@pytest.fixture
def own(tmp_path):
    """A micrograph without a calibration: a bright film and three dark discs."""
    rows, cols = np.mgrid[:256, :256]
    pixels = np.random.default_rng(0).normal(190, 8, (256, 256))
    for row, col in ((60, 60), (120, 200), (200, 90)):
        pixels[(rows - row) ** 2 + (cols - col) ** 2 < 400] -= 120
    (tmp_path / "mine").mkdir()
    write_tiff(tmp_path / "mine" / "mine.tif", Micrograph(pixels.astype(np.uint8)))
    return tmp_path / "mine" / "mine.tif"


def test_a_drawn_micrograph_is_found_measured_and_shown(call, tmp_path):
    said = call("--out", tmp_path / "out")
    count, sizes, doubtful, *files, rest, more = said[-14:]
    found, drawn = map(int, re.fullmatch(r"particles found: (\d+); drawn: (\d+)", count).groups())
    assert drawn == 60
    assert abs(found - 59) <= 1  # engines differ by single pixels
    told = r"D50: (.+) nm, 95 % interval (.+) to (.+) nm; drawn: 21.6 nm"
    d50, low, high = map(float, re.fullmatch(told, sizes).groups())
    assert low < 21.6 < d50 < high
    assert doubtful == "doubtful: 1, dashed in the overlays; they are in no count and no size"
    assert rest == "what else lies there, temzoo measure and temzoo report read"
    assert more == "next, with one of yours: temzoo quickstart mine.tif --out mine"
    assert "skipping" not in "".join(call("--out", tmp_path / "out"))
    for line in files:
        assert (tmp_path / "out" / line.split()[0]).stat().st_size > 200
    table = pd.read_csv(tmp_path / "out" / "particles.csv")
    assert len(table) == found
    free = table.loc[~table["touches_border"], "diameter_nm"]
    assert median(free) == pytest.approx(d50, abs=0.051)


def test_predict_says_what_doubtful_is_and_what_comes_next(call, tmp_path):
    call("--out", tmp_path / "out")
    drawn = tmp_path / "out" / "micrograph.tif"
    *_, doubtful, more = call(drawn, "--out", tmp_path / "p", command="predict")
    assert doubtful == "doubtful: 1, dashed in the overlays; they are in no count and no size"
    assert more == f"next: temzoo measure {tmp_path / 'p'}; temzoo report {tmp_path / 'p'}"
    told = json.loads((tmp_path / "p" / "micrograph.prediction.json").read_text())
    measured = pd.read_csv(tmp_path / "out" / "summary.csv")["coverage"].item()
    assert told["covered_share"] == pytest.approx(measured, abs=1e-6)


def test_one_of_ones_own_is_measured_in_pixels_where_it_states_no_calibration(call, own, tmp_path):
    count, sizes, more, *files, _ = call(own, "--out", tmp_path / "out")[-12:]
    assert count == "particles found: 3"
    assert sizes.startswith("D50: ")
    assert " px" in sizes
    assert more.startswith(f"in nm: temzoo measure {tmp_path / 'out'} --nm-per-pixel 0.5, or")
    assert str(tmp_path / "out" / "report.html") in files[-1]
    assert "mine.tif" in (tmp_path / "out" / "report.html").read_text()


def test_where_nothing_is_found_there_is_a_page_and_no_plot(call, own, tmp_path):
    write_tiff(own, Micrograph(np.full((96, 96), 190, np.uint8)))
    count, sizes, *files, _ = call(own, "--out", tmp_path / "out")[-9:]
    assert (count, sizes) == ("particles found: 0", "D50: too few particles to tell")
    assert not (tmp_path / "out" / "sizes.png").exists()
    assert "open it in a browser" in files[-1]


def test_a_folder_is_refused(own, tmp_path):
    with pytest.raises(ValueError, match=r"one micrograph is a quick start. Received: the folder"):
        app(["quickstart", str(own.parent), "--out", str(tmp_path / "out")], standalone_mode=False)
    assert not (tmp_path / "out").exists()


def test_nothing_in_it_but_the_network_needs_tensorflow():
    code = (
        "import sys, temzoo.workflows.quickstart, temzoo.cli.predicting, temzoo.deploy.engines.kept"
        "\nassert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
