"""``temzoo measure --lines`` and ``--thickness-nm``: the files, what is said, what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from temzoo import cli
from temzoo.core.types import Prediction
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.labels.shapes.raster import class_map, instance_map
from temzoo.measurement.lines import lines_of_labels, summarize_lines
from temzoo.store import predictions

RUNNER = CliRunner()


def run(*arguments):
    return RUNNER.invoke(cli.app, ["measure", *map(str, arguments)])


def call(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


@pytest.fixture(scope="module")
def foils(tmp_path_factory):
    """Two predictions of lines and bubbles that are right, and the labels of the lines."""
    folder, labels = tmp_path_factory.mktemp("foils"), []
    for seed in (0, 1):
        _, one = synthesize(
            seed, scene="bubbles", nm_per_pixel=0.5, size=240, n_particles=12, n_lines=2,
            name=f"{seed}.tif",
        )  # fmt: skip
        labels.append(one)
        classes = class_map(one, one.classes, line_width=7.0).astype(np.uint8)
        bands = class_map(one, one.classes, ignore=["cavity"], line_width=7.0) > 0
        instances = instance_map(one)
        instances[bands] = instances.max() + 1
        found = Prediction(classes, instances, class_names=one.classes, name=one.name)
        predictions.save(found, folder / "found")
    return folder / "found", labels


SCALE = ("--nm-per-pixel", 0.5)


def test_lines_and_volumes_are_written_beside_the_rest(foils, tmp_path):
    folder, labels = foils
    said = call(folder, *SCALE, "--lines", "line", "--thickness-nm", 100, "--out", tmp_path / "a")
    lines = pd.read_csv(tmp_path / "a/lines.csv")
    assert lines["image"].tolist() == ["0.tif", "1.tif", "all"]
    own = [one for each in labels for one in lines_of_labels(each, nm_per_pixel=0.5)]
    true = summarize_lines(own, thickness_nm=100)
    name = "length_per_volume_per_m2"
    assert lines[name].to_numpy() == pytest.approx(true[name].to_numpy(), rel=0.06)
    volumes = pd.read_csv(tmp_path / "a/volumes.csv")
    assert volumes["class"].tolist() == ["all"] * 3  # of bubbles alone
    assert volumes["swelling"].iloc[-1] > 0
    assert "line: " in said
    assert "for random directions" in said
    assert "swelling" in said
    assert "volumes.csv" in said
    assert (tmp_path / "a/particles.csv").is_file()


def test_what_is_not_asked_for_is_not_left_from_before(foils, tmp_path):
    folder, _ = foils
    call(folder, *SCALE, "--lines", "line", "--thickness-nm", 100, "--out", tmp_path)
    call(folder, "--lines", "line", "--out", tmp_path)
    assert "length_per_area_per_px" in pd.read_csv(tmp_path / "lines.csv")
    assert not (tmp_path / "volumes.csv").exists()
    call(folder, *SCALE, "--out", tmp_path)
    assert not (tmp_path / "lines.csv").exists()


def test_json_holds_both(foils, tmp_path):
    folder, _ = foils
    result = run(
        folder, *SCALE, "--lines", "line", "--thickness-nm", 90, "--json", "--out", tmp_path
    )
    told = json.loads(result.stdout)
    assert set(told) == {"nm", "lines", "volumes"}
    assert told["volumes"][-1]["thickness_nm"] == 90
    assert told["lines"][-1]["image"] == "all"


def test_a_class_that_is_not_there_and_volumes_in_pixels_are_refused(foils, tmp_path):
    folder, _ = foils
    result = run(folder, "--lines", "lines", "--out", tmp_path / "b")
    assert "classes must be among those of the prediction. Received: 'lines'" in str(
        result.exception
    )
    result = run(folder, "--thickness-nm", 90, "--out", tmp_path / "b")
    assert "figures by volume need calibrated images. Received: thickness_nm=90" in str(
        result.exception
    )
    result = run(folder, *SCALE, "--thickness-nm", -1, "--out", tmp_path / "b")
    assert "thickness_nm must be a length above 0. Received" in str(result.exception)
    assert not (tmp_path / "b/particles.csv").exists()
