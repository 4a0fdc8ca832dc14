import json
import re
from functools import partial

import h5py
import keras
import numpy as np
import pytest

from temzoo.data.synthetic.synthesize import write_dataset
from temzoo.evaluation.baselines import PixelForest
from temzoo.evaluation.bootstrap import Interval
from temzoo.evaluation.results import Evaluation
from temzoo.training import loop
from temzoo.workflows import demo as module
from temzoo.workflows import demo_data, quickstart
from temzoo.workflows.demo import demo, encoder_file, table
from temzoo.zoo import pretrained
from temzoo.zoo.building import get_model


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path, eager_steps):
    """The demo's own path with less work: fewer steps, smaller networks, images and crops."""
    monkeypatch.setattr(module, "STEPS", 2)
    monkeypatch.setattr(module, "SETTINGS", {**module.SETTINGS, "batch": 2, "crop": 64})
    monkeypatch.setattr(demo_data, "LARGE", {"size": 128, "n_particles": 5})
    monkeypatch.setattr(demo_data, "write_dataset", partial(write_dataset, size=128, n_particles=5))
    monkeypatch.setattr(quickstart, "SIZE", (96, 128))
    monkeypatch.setattr(quickstart, "SCENE", {"n_particles": 5})
    monkeypatch.setattr(module, "PixelForest", partial(PixelForest, trees=5, jobs=1))
    monkeypatch.setitem(module.NETWORKS, "unet", {"filters": 4, "depth": 1})
    narrow = {"alpha": 0.25, "decoder_filters": (8, 8, 8, 8, 8), "pyramid": (1,)}
    monkeypatch.setitem(module.NETWORKS, "particles", narrow)
    # No encoder weights but those that a test puts there.
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("HOME", str(tmp_path))
    # Nor shipped ones.
    monkeypatch.setattr(pretrained, "FOLDERS", (tmp_path / "weights",))
    pretrained._index.cache_clear()
    yield
    pretrained._index.cache_clear()


@pytest.fixture
def own_data(tmp_path):
    """Three classes of particles on five micrographs of 96 x 128 px."""
    return write_dataset(
        tmp_path / "mine", n=5, size=(96, 128), labels="kind", n_particles=5, diameter_nm=(6, 14)
    )


def put_encoder(folder) -> None:
    """A MobileNet's random weights, in the layout of the published file."""
    folder.mkdir(parents=True)
    encoder = keras.applications.MobileNet(
        input_shape=(224, 224, 3), alpha=0.25, include_top=False, weights=None
    )
    with h5py.File(folder / module.ENCODER, "w") as file:
        file.attrs["layer_names"] = [layer.name for layer in encoder.layers]
        for layer in encoder.layers:
            group = file.create_group(layer.name)
            names = [str(index) for index in range(len(layer.weights))]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.weights, strict=True):
                group[name] = weight.numpy()


def put_shipped(folder) -> None:
    """A narrow network, shipped complete as if its encoder had been ImageNet's."""
    config = module.NETWORKS["particles"]
    model = get_model("particles", **config, encoder_weights=None)
    name = module.SHIPPED.replace("/", "-")
    path = folder / f"{name}{pretrained.SUFFIX}"
    folder.mkdir()
    pretrained.save_trained(model, path, complete=True)
    config = {"classes": 2, **config, "encoder_weights": "imagenet"}
    card = pretrained.WeightsCard("particles", config, ("particle",))
    pretrained.write_card(path, card)
    (folder / "index.json").write_text(json.dumps({"weights": [module.SHIPPED]}))
    pretrained._index.cache_clear()


def test_synthetic_micrographs_walk_the_whole_path(tmp_path, capsys, monkeypatch):
    put_encoder(tmp_path / "keras" / "models")
    summary = demo(tmp_path / "out", n=4, epochs=1)
    printed = capsys.readouterr().out
    assert list(summary.evaluations) == ["Otsu", "random forest", "unet", "particles"]
    assert all(speed > 0 for speed in summary.images_per_second.values())
    for path in summary.files:
        assert path.exists(), path
        assert str(path) in printed
    names = {path.name for path in summary.files}
    assert {"annotations.xml", "crowded.tif", "iou.png", "crowded_overlay.png"} <= names
    page = (summary.folder / "report.html").read_text()
    assert "Particles in crowded.tif" in page
    assert "Outlines alone" not in page
    assert "4 images, " in printed
    assert "crowded.tif, 128 x 128 px" in printed


def test_shipped_weights_are_judged_as_they_are_and_trained_further(tmp_path, monkeypatch):
    put_shipped(tmp_path / "weights")
    monkeypatch.setattr(module, "FURTHER", {"learning_rate": 1e-2})
    judged = {}

    def judge(methods, parts):
        judged.update(methods)
        return judge_all(methods, parts)

    judge_all = module._judge
    monkeypatch.setattr(module, "_judge", judge)
    summary = demo(tmp_path / "out", n=4, epochs=1)  # without an encoder's file
    first, *_ = (path.relative_to(summary.folder).as_posix() for path in summary.files)
    assert first == "quickstart/micrograph.tif"
    assert summary.folder / "quickstart" / "report.html" in summary.files
    as_shipped, further = f"{module.SHIPPED}, as shipped", f"{module.SHIPPED}, trained further"
    assert list(summary.evaluations)[2:] == ["unet", as_shipped, further]
    shipped = get_model("particles", weights="emps")
    for ours, theirs in zip(judged[as_shipped].weights, shipped.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    decoder, start = judged[further].trainable_weights, shipped.trainable_weights
    assert not all(
        np.array_equal(ours, theirs) for ours, theirs in zip(decoder, start, strict=True)
    )
    run = json.loads((summary.folder / "particles" / "run.json").read_text())
    assert run["settings"]["learning_rate"] == 1e-2
    again = get_model("particles", weights=summary.folder / "particles")
    np.testing.assert_array_equal(again.get_weights()[-1], judged[further].get_weights()[-1])


def test_shipped_weights_serve_any_one_class_and_not_several(tmp_path):
    assert not module._serves(("particle",))
    put_shipped(tmp_path / "weights")
    assert module._serves(("cavity",))
    assert not module._serves(("sphere", "rod"))


def test_own_micrographs_of_three_classes_without_an_encoder(tmp_path, capsys, own_data):
    images, labels = own_data
    out = tmp_path / "out"
    (out / "run-2").mkdir(parents=True)
    summary = demo(out, images=images, labels=labels, epochs=1)
    printed = capsys.readouterr().out
    assert summary.folder == out / "run-3"
    assert "particles is left out: mobilenet_2_5_224_tf_no_top.h5 is not in" in printed
    assert list(summary.evaluations) == ["Otsu", "random forest", "unet"]
    assert summary.evaluations["unet"].classes == ("sphere", "ellipsoid", "rod")
    results = json.loads((summary.folder / "results.json").read_text())
    parts = results["images"]
    told = [name for part in ("train", "choose", "held_out") for name in parts[part]]
    assert sorted(told) == sorted(path.name for path in images.iterdir())
    assert len(parts["train"]) == 3
    iou = results["methods"]["random forest"]["iou"]
    assert len(parts["held_out"]) == 1
    assert iou["low"] is iou["high"] is None  # one image has no interval
    assert iou["value"] == summary.evaluations["random forest"].iou.value


def test_ctrl_c_stops_the_demo_and_not_only_its_training(tmp_path, capsys, monkeypatch):
    def interrupt(self, epoch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop._EndOfEpoch, "on_epoch_begin", interrupt)
    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path / "out", n=4, epochs=1)
    assert "crowded" not in capsys.readouterr().out


def test_a_folder_in_use_is_left_as_it_is(tmp_path):
    (tmp_path / "out").mkdir()
    assert module._fresh_folder(tmp_path / "out") == tmp_path / "out"
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert module._fresh_folder(tmp_path / "out") == tmp_path / "out" / "run-2"
    assert module._fresh_folder(tmp_path / "out") == tmp_path / "out" / "run-3"
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_images_without_labels_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"images and labels belong together. Received: images=x"):
        demo(tmp_path / "out", images="x")
    assert not (tmp_path / "out").exists()


def test_too_few_synthetic_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"n must be at least 4.* Received: n=3. Use 24"):
        demo(tmp_path / "out", n=3)


def test_the_encoder_is_looked_for_in_both_of_keras_folders(tmp_path, monkeypatch):
    assert encoder_file() is None
    at_home = tmp_path / ".keras" / "models" / module.ENCODER
    at_home.parent.mkdir(parents=True)
    at_home.write_bytes(b"")
    assert encoder_file() == at_home
    named = tmp_path / "keras" / "models" / module.ENCODER
    named.parent.mkdir(parents=True)
    named.write_bytes(b"")
    assert encoder_file() == named
    monkeypatch.delenv("KERAS_HOME")
    assert encoder_file() == at_home


def test_table_has_a_line_per_method_with_its_interval():
    figures = {"iou": Interval(0.5, 0.25, 0.75), "instance_f1": Interval(1.0, 0.9, 1.0)}
    row = {"name": "a.tif"}
    evaluation = Evaluation(("particle",), (row, row), np.zeros((2, 2, 2), int), figures, {})
    names = ("Otsu", "particles/emps, trained further")
    lines = table(dict.fromkeys(names, evaluation), dict.fromkeys(names, 12.345)).splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.index("0.500") for line in lines[1:3]] == [lines[0].index("IoU")] * 2
    assert re.split(r"\s{2,}", lines[2]) == [
        "particles/emps, trained further",
        "0.500 [0.250, 0.750]",
        "1.000 [0.900, 1.000]",
        "12.35",
    ]
    assert "2 images that no method has seen" in lines[3]
