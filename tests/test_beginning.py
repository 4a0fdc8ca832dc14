"""Training that begins from weights, with one's own names and number of classes."""

import json
from functools import partial

import keras
import numpy as np
import pytest

import temzoo
from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.tasks.semantic import balanced_weights
from temzoo.tasks.semantic_graph import SegmentationLoss
from temzoo.tasks.training_data import fitted_names, with_classes
from temzoo.workflows import training

QUICK = {"batch": 1, "crop": 32, "steps_per_epoch": 1, "epochs": 1, "augment": "none"}


@pytest.fixture(autouse=True)
def quick(monkeypatch, eager_steps):
    monkeypatch.setattr(training, "finish", lambda run, model, data: None)


def examples(*names, start=0):
    """Images with a dark disc of each name's class."""
    shapes = [
        Shape("ellipse", name, np.array([[12, 12 + 20 * place], [6, 6]]))
        for place, name in enumerate(names)
    ]
    labels = LabelledImage(f"{start}.png", 48, 48, tuple(shapes), ())
    pixels = np.random.default_rng(start).integers(90, 110, (48, 48)).astype("uint8")
    return [Example(labels, partial(Micrograph, pixels, None, labels.name))]


def test_one_class_of_another_name_is_trained_further_and_scored(tmp_path, capsys):
    model = temzoo.get_model("unet", start="emps-fast")
    train, val = examples("gold"), examples("gold", start=1)
    assert temzoo.evaluate(model, val, bootstrap=1).classes == ("gold",)
    temzoo.train(model, train, val, out=tmp_path, **QUICK)
    said = capsys.readouterr().out
    assert "unet-emps-fast.weights.h5: 78 of 78 arrays taken over; new: nothing\n" in said
    assert "class names of the labels in place of the weights': particle is now gold\n" in said
    assert json.loads((tmp_path / "best.json").read_text())["class_names"] == ["gold"]
    assert len(json.loads((tmp_path / "run.json").read_text())["notes"]) == 2
    temzoo.train(model, train, val, out=tmp_path, resume=True, progress=False)
    other = temzoo.get_model("unet", start="emps")
    with pytest.raises(ValueError, match=r"resumed with the (model|weights) it was started with"):
        temzoo.train(other, train, val, out=tmp_path, resume=True, progress=False)


def test_the_number_of_classes_is_that_of_the_labels_or_of_weights_that_know_them_all():
    assert with_classes("unet", {}, examples("a", "b"), ("particle",)) == {"classes": 3}
    assert with_classes("unet", {}, examples("b"), ("a", "b")) == {"classes": 3}
    assert with_classes("unet", {}, examples("c"), ("a", "b")) == {"classes": 2}


@pytest.mark.parametrize(
    ("known", "labelled", "fitted"),
    [
        ((), ("a", "b"), ("a", "b")),
        (("a",), ("b",), ("b",)),
        (("a", "b"), ("b", "c"), ("c", "b")),
        (("b", "a"), ("a", "b"), ("b", "a")),
        (("a", "b"), ("b",), ("a", "b")),
        (("a",), ("b", "c"), ("b", "c")),
    ],
)
def test_names_keep_their_places(known, labelled, fitted):
    assert fitted_names(known, labelled) == fitted


@pytest.mark.parametrize("weights", [None, "balanced"])
def test_a_class_without_a_training_image_is_named(tmp_path, capsys, weights):
    model = temzoo.get_model("unet", filters=2, depth=1, classes=3)
    train, val = examples("a"), examples("a", "b", start=1)
    temzoo.train(model, train, val, out=tmp_path, class_weights=weights, **QUICK)
    assert "no training image has b: nothing is learnt of it\n" in capsys.readouterr().out


def test_an_absent_class_weighs_nothing():
    taught = np.repeat([0, 1], [900, 100])
    three, two = balanced_weights([taught], 3), balanced_weights([taught], 2)
    assert three == pytest.approx([*two, 0])
    rng = np.random.default_rng(0)
    found = keras.ops.softmax(rng.normal(size=(1, 8, 8, 3)).astype("float32"))
    truth = np.eye(3, dtype="float32")[rng.integers(0, 2, (1, 8, 8))]
    loss = SegmentationLoss("dice", three)(truth, found)
    hit = float((truth * found)[..., 1].numpy().sum())
    both = float(truth[..., 1].sum() + found[..., 1].numpy().sum())
    assert float(loss) == pytest.approx(1 - (hit + 1) / (both / 2 + 1), abs=1e-5)
    nothing = SegmentationLoss("dice", balanced_weights([np.zeros(9, int)], 3))
    assert np.isfinite(float(nothing(truth, found)))


def test_the_command_says_what_it_begins_from(tmp_path, capsys):
    from PIL import Image

    from temzoo.cli import app

    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    mask = np.zeros((48, 48), "uint8")
    mask[5:20, 5:20], mask[30:40, 30:40] = 1, 2
    for number in range(2):
        Image.fromarray(mask * 40 + 90).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    words = ["train", "unet", "--weights", "emps-fast", "--epochs", "1", "--steps", "1"]
    words += ["--images", tmp_path / "images", "--labels", tmp_path / "masks", "--val", "0.5"]
    words += ["--crop", "32", "--batch", "1", "--out", tmp_path / "run"]
    app([str(word) for word in words], standalone_mode=False)
    assert "76 of 78 arrays taken over; new: logits\n" in capsys.readouterr().out
    again = [str(word) for word in [*words, "--resume", "--learning-rate", "0.001"]]
    app(again, standalone_mode=False)
    again[again.index("--epochs") + 1] = "30"  # the default, and not what the run had
    with pytest.raises(ValueError, match=r"Received: epochs=30, in .*run\.json 1\. Leave epochs"):
        app(again, standalone_mode=False)


def test_a_model_is_loaded_or_begun():
    with pytest.raises(ValueError, match=r"loaded or begun.*Leave one out"):
        temzoo.get_model("unet", weights="emps", start="emps")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"filters": 512, "depth": 8}, "filters double at each of depth levels, to 8192"),
        ({"filters": 10**9}, "filters must be finite: numbers up to 1,000,000"),
        ({"filters": 2000}, "filters must be a whole number from 1 to 1024"),
        ({"depth": 60}, "depth must be a whole number from 1 to 8"),
        ({"dropout": float("nan")}, "dropout must be "),
    ],
)
def test_sizes_that_no_network_has_are_refused_before_it_is_built(config, message):
    with pytest.raises(ValueError, match=message):
        temzoo.get_model("unet", **config)
