"""What is shown of data in a prompt and a notebook: few lines, a picture, no walls of numbers."""

import base64
import io
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import temzoo
from temzoo.core.bootstrap import Interval
from temzoo.core.types import Detection, Example, LabelledImage, Micrograph, Prediction, Shape
from temzoo.evaluation.results import Evaluation
from temzoo.pictures.showing import picture_of

PIXELS = np.random.default_rng(0).integers(0, 4000, (300, 600), np.uint16)


@pytest.fixture
def micrograph():
    return Micrograph(PIXELS, (0.5, 0.5), "a<b>.tif", "TIFF header")


@pytest.fixture
def prediction():
    found = np.zeros(PIXELS.shape, np.int32)
    found[50:100, 50:120], found[200:250, 300:400] = 1, 2
    classes = (found > 0).astype(np.uint8)
    doubtful = (Detection(10, 10, np.ones((20, 20), bool), 1, 0.3),)
    names = {"class_names": ("particle",), "name": "a<b>.tif"}
    return Prediction(
        classes, found, nm_per_pixel=(0.5, 0.5), doubtful=doubtful, probabilities=classes, **names
    )


def run():
    from temzoo.training.train import Run

    return Run(Path("runs/first"), 0.8765, 3, ({"loss": 1.0},) * 4, score_name="IoU")


def evaluation():
    figures = {"iou": Interval(0.5, 0.25, 0.75), "dice": Interval(0.6, 0.5, 0.7)}
    return Evaluation(("particle",), ({"name": "a"},) * 2, np.zeros((2, 2, 2), int), figures, {})


def test_a_micrograph_is_told_in_few_lines(micrograph):
    assert repr(micrograph).splitlines() == [
        "Micrograph a<b>.tif",
        "  size: 300 x 600 px (height x width), uint16",
        "  pixel: 0.5 nm",
        "  calibration: TIFF header",
    ]
    assert "not calibrated" in repr(Micrograph(PIXELS))
    assert "channels: 3" in repr(Micrograph(PIXELS.reshape(100, 600, 3)))


def test_what_does_not_count_covers_nothing(prediction):
    classes = prediction.classes.copy()
    classes[10:30, 10:30] = 1  # the doubtful one
    of_all = replace(prediction, classes=classes)
    assert of_all.covered_share == prediction.covered_share == pytest.approx(8500 / 180_000)
    assert replace(of_all, doubtful=None).covered_share == pytest.approx(8900 / 180_000)


def test_a_prediction_is_told_in_few_lines(prediction):
    assert repr(prediction).splitlines() == [
        "Prediction of a<b>.tif",
        "  size: 300 x 600 px (height x width)",
        "  pixel: 0.5 nm",
        "  found: 2 objects, 1 doubtful; 4.7% of the field is covered",
        "  classes: particle",
        "  maps: probabilities",
    ]
    assert "found: 1 object, 1 doubtful" in repr(
        replace(prediction, detections=prediction.doubtful)
    )


def test_runs_evaluations_and_cards_are_told_in_few_lines():
    told = repr(run())
    assert told == "Run in runs/first\n  epochs: 4\n  best on validation: IoU 0.8765 in epoch 3"
    assert "none was judged" in repr(replace(run(), epoch=0))
    assert "stopped: by Ctrl-C" in repr(replace(run(), interrupted=True))
    assert "iou: 0.500 [0.250, 0.750]" in repr(evaluation())
    card = repr(temzoo.model_card("unet"))
    assert "weights: emps IoU" in card
    assert len(card.splitlines()) <= 6


def test_labels_are_told_without_their_points():
    shape = Shape("polygon", "rod", np.random.default_rng(0).random((500, 2)))
    labels = LabelledImage("a.tif", 60, 30, (shape,) * 40 + (replace(shape, label="disc"),))
    assert "0." not in repr(shape).replace("rotation=0.0", "")
    assert "shapes: 40 rod, 1 disc" in repr(labels)
    example = Example(labels, lambda: Micrograph(PIXELS), group="s1")
    assert repr(example).splitlines()[0] == "Example a.tif"
    assert "mask" not in repr(Detection(1, 2, np.ones((9, 9), bool), 1, 0.5))


@pytest.mark.parametrize("what", ["micrograph", "prediction"])
def test_a_notebook_shows_a_moderate_picture_and_escapes_names(request, what):
    page = request.getfixturevalue(what)._repr_html_()
    assert "a&lt;b&gt;.tif" in page
    assert "<b>.tif" not in page
    png = base64.b64decode(re.search(r"base64,([^\"]+)", page)[1])
    assert Image.open(io.BytesIO(png)).size == (480, 240)


@pytest.mark.parametrize("thing", [run(), evaluation(), temzoo.model_card("unet")], ids=repr)
def test_a_notebook_shows_figures_as_a_table(thing):
    page = thing._repr_html_()
    assert "<img" not in page
    assert page.count("<tr>") == len(repr(thing).splitlines()) - 1


def test_figures_have_a_scale_bar_where_the_size_of_a_pixel_is_known(micrograph, prediction):
    for thing in (micrograph, prediction):
        (axis,) = thing.plot().axes
        assert axis.get_title() == "a<b>.tif"
        with_bar, bare = (
            picture_of(one, 600) for one in (thing, replace(thing, nm_per_pixel=None))
        )
        assert (with_bar != bare)[240:, :200].any()
        np.testing.assert_array_equal(with_bar[:200], bare[:200])
    drawn = prediction.plot(micrograph).axes[0].images[0].get_array()
    assert len(np.unique(drawn[:40, 200:])) > 100  # the micrograph's own grain


def test_what_is_known_is_drawn_into_axes_of_ones_own(micrograph, prediction):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert micrograph.plot(left) is figure
    assert prediction.plot(micrograph, axes=right) is figure
    assert [len(axis.images) for axis in figure.axes] == [1, 1]


def test_a_micrograph_of_another_size_is_refused(prediction):
    with pytest.raises(ValueError, match=r"its own micrograph. Received: one of 3 x 4 px"):
        prediction.plot(Micrograph(np.zeros((3, 4))))


def test_of_channels_that_are_no_colours_the_first_is_drawn():
    thing = Micrograph(np.stack([PIXELS, PIXELS * 0, PIXELS, PIXELS], axis=-1))
    np.testing.assert_array_equal(picture_of(thing, 600), picture_of(Micrograph(PIXELS), 600))


def test_equality_and_pickling_are_a_dataclass_s(micrograph, prediction):
    assert micrograph != replace(micrograph)
    labels = LabelledImage("a.tif", 4, 3)
    assert labels == replace(labels)
    assert hash(labels) == hash(replace(labels))
    for thing in (micrograph, prediction, labels, run()):
        assert repr(pickle.loads(pickle.dumps(thing))) == repr(thing)


@pytest.mark.parametrize("name", ["temzoo", *(f"temzoo.{name}" for name in temzoo._MODULES)])
def test_public_names_complete_by_tab(name):
    module = temzoo if name == "temzoo" else getattr(temzoo, name.partition(".")[2])
    assert set(getattr(module, "__all__", ())) <= set(dir(module))
    if name == "temzoo":
        assert "importlib" not in dir(module)


def test_what_was_left_out_is_no_field_to_cover():
    classes = np.zeros((10, 10), np.uint8)
    classes[:2] = 1
    found = Prediction(classes, classes.astype(np.int32), left_out=((8, 0, 10, 10),))
    assert found.covered_share == pytest.approx(0.25)
