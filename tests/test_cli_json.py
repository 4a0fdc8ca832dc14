"""``--json``: what programs read stands alone on the standard output; ``-h`` helps everywhere."""

import json
import math

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.core.files import without_nan
from temzoo.core.types import Prediction
from temzoo.data.synthetic import write_dataset
from temzoo.store import predictions


def asked(*words):
    """The document on the standard output, and what is told beside it."""
    done = CliRunner().invoke(cli.app, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return json.loads(done.stdout), done.stderr


def test_info(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.float32([[1, 0.5], [2, 3]]))
    found, _ = asked("info", tmp_path / "a.tif")
    assert [found[0][key] for key in ("height", "width", "dtype", "frames")] == [2, 2, "float32", 1]
    assert found[0]["nm_per_pixel"] is None
    assert found[0]["lowest"] == 0.5


def test_models():
    found, _ = asked("models", "--task", "semantic")
    assert [card["name"] for card in found] == temzoo.list_models(task="semantic")
    card, _ = asked("models", "unet_mobilenet")
    assert card["config"]["alpha"] == 1.0
    assert card["weights"]["emps"]["scores"]["iou"] == pytest.approx(0.874, abs=1e-3)


@pytest.mark.parametrize("scale", [(0.5, 0.5), None])
def test_measure(tmp_path, scale):
    found = np.zeros((60, 80), np.int32)
    found[10:20, 10:20], found[40:50, 30:40] = 1, 2
    prediction = Prediction((found > 0).astype(np.uint8), found, nm_per_pixel=scale, name="a.tif")
    predictions.save(prediction, tmp_path / "in")
    told, beside = asked("measure", tmp_path / "in", "--out", tmp_path / "out")
    (unit,) = told
    assert unit == ("nm" if scale else "px")
    (row,) = told[unit]["summary"]
    assert (row["image"], row["particles"], row["doubtful"]) == ("a.tif", 2, None)
    side = 10 * (scale[0] if scale else 1)
    assert row[f"diameter_d50_{unit}"] == pytest.approx(2 * side / math.sqrt(math.pi), rel=1e-6)
    assert str(tmp_path / "out" / "particles.csv") in told[unit]["files"]
    assert "particles.csv" in beside


def test_evaluate(tmp_path):
    images, labels = write_dataset(tmp_path, n=4, size=96, n_particles=3)
    (tmp_path / "fit.csv").write_text("synthetic_0000.tif\n")
    words = ("evaluate", "otsu", "--images", images, "--labels", labels)
    told, beside = asked(*words, "--fit-names", tmp_path / "fit.csv")
    assert told["images"] == 3
    assert 0 <= told["per_image"]["iou"]["low"] <= told["per_image"]["iou"]["value"] <= 1
    assert "95% bootstrap intervals" in beside


def test_what_is_undefined_is_null():
    told = {"a": [math.nan, 1.0], "b": (math.inf,), "c": {"d": "NaN"}}
    assert without_nan(told) == {"a": [None, 1.0], "b": [None], "c": {"d": "NaN"}}


def commands(command=None, words=()):
    """Every command that there is, by its words."""
    command = command or typer.main.get_command(cli.app)
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


@pytest.mark.parametrize("words", [w for w in commands() if w != ("benchmark",)], ids=" ".join)
def test_h_is_help(words):
    short, long = (CliRunner().invoke(cli.app, [*words, option]) for option in ("-h", "--help"))
    assert short.exit_code == 0
    assert short.output == long.output
