"""Runs on micrographs whose objects are larger than crops learn and predict from binned ones."""

import json

import numpy as np
import pytest
from skimage.draw import disk
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.core.settings import Settings
from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.data.binning import binned_examples, binned_labels, binning_for, told
from temzoo.labels.shapes.raster import instance_map
from temzoo.labels.shapes.run_lengths import mask_geometry
from temzoo.zoo.built import Limits, limits_of, task_of

RUNNER = CliRunner()


def square(top: float, left: float, side: float) -> Shape:
    corners = [[0, 0], [0, side], [side, side], [side, 0]]
    return Shape("polygon", "particle", np.add(corners, (top, left)))


def labelled(*shapes: Shape, side: int = 2048, name: str = "one.png") -> Example:
    image = LabelledImage(name, side, side, shapes)
    pixels = np.where(instance_map(image) > 0, 60, 200).astype(np.uint8)
    return Example(image, lambda: Micrograph(pixels, name=name))


def test_shapes_of_every_kind_are_where_the_binned_pixels_are():
    mask = np.zeros((64, 64), bool)
    mask[disk((30.5, 25.5), 17)] = True
    points, runs = mask_geometry(mask)
    shapes = (
        Shape("mask", "particle", points, runs=runs),
        Shape("ellipse", "particle", np.array([[48.0, 50.0], [6.0, 10.0]]), rotation=30),
        square(4, 40, 20),
    )
    large = LabelledImage("one.png", 64, 62, shapes)
    small = binned_labels(large, 4)
    assert (small.height, small.width) == (16, 16)
    whole, binned = instance_map(large), instance_map(small)
    for number in (1, 2, 3):
        area, less = (whole == number).sum(), (binned == number).sum()
        assert 16 * less == pytest.approx(area, rel=0.06)
        middles = [np.argwhere(m == number).mean(0) + 0.5 for m in (whole, binned)]
        assert middles[1] * 4 == pytest.approx(middles[0], abs=0.6)


def test_examples_are_read_when_they_are_asked_for():
    read = []
    example = Example(LabelledImage("one.png", 10, 10), lambda: read.append(1))
    (binned,) = binned_examples([example], 2)
    assert read == []
    assert (binned.labels.height, binned.labels.width) == (5, 5)
    assert binned_examples([example], 1) == [example]


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((60, 80), 1),  # crops of 256 px show them
        ((200, 250), 2),
        ((400, 500), 4),
        ((40, 40, 500, 500), 1),  # the small ones would be lost
        ((900, 900), 8),
        ((), 1),
    ],
)
def test_crops_show_most_objects_whole(sides, expected):
    shapes = [square(10, 10, side) for side in sides]
    assert binning_for([labelled(*shapes)], 256) == expected


def test_a_binned_micrograph_is_no_smaller_than_a_crop():
    assert binning_for([labelled(square(10, 10, 900), side=1024)], 256) == 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run at 2 x 2 binning, of two steps."""
    folder = tmp_path_factory.mktemp("runs") / "binned"
    examples = [labelled(square(20, 20 + n, 28), side=128, name=f"{n}.png") for n in range(4)]
    model = temzoo.get_model("unet", filters=2, depth=1)
    how = {"epochs": 1, "steps_per_epoch": 2, "batch": 2, "crop": 32, "progress": False}
    temzoo.train(model, examples[:3], examples[3:], out=folder, binning=2, **how)
    return folder, model, examples


def test_a_run_predicts_at_the_binning_it_was_trained_at(run):
    folder, trained, examples = run
    assert json.loads((folder / "run.json").read_text())["settings"]["binning"] == 2
    loaded = temzoo.get_model("unet", weights=folder)
    pixels = examples[3].micrograph.pixels
    for model in (trained, loaded):
        assert limits_of(model) == Limits(binning=2)
        found = temzoo.predict(model, pixels)
        assert found.binning == 2
        assert found.classes.shape == (128, 128)
        assert temzoo.predict(model, pixels, binning=1).binning == 1
    assert (folder / "validation.png").exists()
    assert temzoo.evaluate(loaded, examples[3:]).iou.value >= 0
    array = pytest.importorskip("dask.array")
    with pytest.raises(ValueError, match=r"pixels as they are. Received: binning=2.*binning=1"):
        temzoo.predict(loaded, array.from_array(pixels))


def test_training_is_of_pixels_unless_it_is_told_otherwise(run, tmp_path, capsys):
    _, _, examples = run
    how = {"epochs": 1, "steps_per_epoch": 1, "batch": 1, "crop": 32}
    model = temzoo.get_model("unet", filters=2, depth=1)
    temzoo.train(model, examples[:3], examples[3:], out=tmp_path / "pixels", **how)
    assert limits_of(model).binning == 1
    assert "larger than half a crop of 32 px" not in capsys.readouterr().out  # 28 px: too small
    temzoo.train(model, examples[:3], examples[3:], out=tmp_path / "binned", binning=2, **how)
    assert "seen at 2 x 2 binning, here and in predictions" in capsys.readouterr().out


def test_a_run_from_before_goes_on_with_the_pixels(run, tmp_path):
    _, _, examples = run
    how = {"epochs": 2, "steps_per_epoch": 1, "batch": 1, "crop": 32, "progress": False}
    model = temzoo.get_model("unet", filters=2, depth=1)
    folder = tmp_path / "run"
    parts = examples[:3], examples[3:]
    temzoo.train(model, *parts, out=folder, **how)
    told = json.loads((folder / "run.json").read_text())
    del told["settings"]["binning"]
    (folder / "run.json").write_text(json.dumps(told))
    again = temzoo.train(model, *parts, out=folder, resume=True, progress=False)
    assert len(again.history) == 2
    assert limits_of(model).binning == 1


def test_objects_larger_than_half_a_crop_are_told_of():
    examples = [labelled(square(20, 20, 400))]
    assert told(1, [labelled(square(20, 20, 100))], 256) == ()
    (advice,) = told(1, examples, 256)
    assert advice.startswith("most labelled objects are larger than half a crop of 256 px")
    assert "--binning 4 (binning=4) shows them whole" in advice
    (done,) = told(4, examples, 256)
    assert "at 4 x 4 binning" in done


def test_models_that_find_objects_choose_by_themselves():
    model = temzoo.get_model("particles", encoder_weights=None, alpha=0.25, pyramid=(1,))
    data = task_of(model).training_data()
    examples = [labelled(square(20, 20, 400))]
    settings = data.complete(model, Settings(), examples)
    assert (settings.crop, settings.binning) == (256, 4)
    pixels = temzoo.get_model("unet", filters=2, depth=1)
    assert data.complete(pixels, Settings(), examples).binning == 1


def test_other_binnings_are_refused(run):
    _, model, examples = run
    with pytest.raises(ValueError, match='binning must be "auto" or a whole number from 1 to 64'):
        temzoo.train(model, examples, examples, out="nowhere", binning=0)
    refused = RUNNER.invoke(cli.app, ["train", "unet", "--images", ".", "--binning", "few"])
    assert refused.exit_code != 0
