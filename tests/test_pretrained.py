"""Shipped weights: what was trained alone, with its card; hashes; what is missing."""

import dataclasses
import json
import os

import keras
import numpy as np
import pytest

import temzoo
from temzoo.models import mobilenet as module
from temzoo.zoo import cards, pretrained
from temzoo.zoo.built import built


def build(encoder, **config):
    fixed = {"alpha": 0.25, "decoder_filters": (8, 8, 8, 8, 8), "encoder_weights": str(encoder)}
    return temzoo.get_model("unet_mobilenet", compile=False, **fixed, **config)


@pytest.fixture
def encoder(tmp_path):
    path = tmp_path / "encoder.weights.h5"
    module.mobilenet(3, 0.25).save_weights(path)
    return path


def test_what_was_trained_is_enough_with_the_initial_encoder(encoder, tmp_path):
    model = build(encoder)
    path = tmp_path / "decoder.weights.h5"
    pretrained.save_trained(model, path)
    config = {"alpha": 0.25, "decoder_filters": [8] * 5, "encoder_weights": str(encoder)}
    card = pretrained.WeightsCard("unet_mobilenet", config, ("particle",), partial=True)
    pretrained.write_card(path, card)
    assert path.stat().st_size < 0.5 * encoder.stat().st_size
    again = temzoo.get_model("unet_mobilenet", weights=path)
    x = np.random.default_rng(0).integers(0, 255, (1, 40, 50, 1)).astype("uint8")
    np.testing.assert_allclose(again(x), model(x), atol=2e-3)
    for ours, theirs in zip(
        again.get_layer("encoder").weights, model.get_layer("encoder").weights, strict=True
    ):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_a_complete_file_needs_no_other(encoder, tmp_path):
    model = build(encoder, encoder_trainable="deep")
    path = tmp_path / "all.weights.h5"
    pretrained.save_trained(model, path, complete=True)
    config = {"alpha": 0.25, "decoder_filters": [8] * 5, "encoder_weights": "imagenet"}
    pretrained.write_card(path, pretrained.WeightsCard("unet_mobilenet", config, ("particle",)))
    encoder.unlink()
    x = np.random.default_rng(0).integers(0, 255, (1, 40, 50, 1)).astype("uint8")
    again = temzoo.get_model("unet_mobilenet", weights=path)
    np.testing.assert_allclose(again(x), model(x), atol=2e-3)


def test_a_partial_file_must_hold_all_that_is_not_frozen(encoder, tmp_path):
    path = tmp_path / "decoder.weights.h5"
    pretrained.save_trained(build(encoder), path)
    with pytest.raises(ValueError, match="none for conv1/kernel, of a layer that is not"):
        pretrained.load_trained(build(encoder, encoder_trainable=True), path)


@pytest.mark.parametrize("killed_at", ["w.weights.h5", "w.json"])
def test_a_kill_between_weights_and_card_leaves_a_pair(tmp_path, monkeypatch, killed_at):
    model, path = temzoo.get_model("unet", filters=2, depth=1), tmp_path / "w.weights.h5"
    card = pretrained.WeightsCard("unet", {"filters": 2, "depth": 1}, date="first")
    pretrained.save_with_card(model, path, card)
    assert (pretrained.read_card(path).date, "former" in card_of(path)) == ("first", False)
    model.weights[0].assign_add(1 + model.weights[0])
    put_in_place, seen = os.replace, []

    def killed(source, target):
        seen.append(target.name)
        if target.name == killed_at and path.name in seen:
            raise KeyboardInterrupt
        put_in_place(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrained.save_with_card(model, path, dataclasses.replace(card, date="second"))
    assert "former" in card_of(path)
    pretrained.find_trained(path).check()
    assert pretrained.read_card(path).date == ("first" if killed_at == path.name else "second")
    pretrained.save_with_card(model, path, dataclasses.replace(card, date="third"))
    assert (pretrained.read_card(path).date, "former" in card_of(path)) == ("third", False)


def card_of(path):
    return json.loads(pretrained.card_path(path).read_text())


SHIPPED = json.loads((pretrained.folder() / "index.json").read_text())["weights"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_index_names_files_that_are_whole(name):
    model, short = name.split("/")
    card = temzoo.model_card(model).weights[short]
    found = pretrained.find(model, short)
    assert pretrained.sha256(found.path) == card.sha256
    assert found.path.stat().st_size < 12e6
    assert card.dataset
    assert card.licence
    assert card.command
    scores = card.scores
    if "low" in scores:  # of the first
        middle = next(iter(scores.values()))
        assert 0 < scores["low"] <= middle <= scores["high"] <= 1
    elif "r diameter_px" in scores:  # of codes that know the size and not the angle
        assert scores["r diameter_px"] > 0.8 > 0.2 > scores["r angle_deg"]
    else:
        assert all(20 < value < 60 for key, value in scores.items() if "psnr_db" in key)
        assert any("psnr_db" in key for key in scores)


@pytest.mark.shared
def test_shipped_weights_segment_a_real_micrograph(shared, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(shared / "keras"))
    monkeypatch.setattr(keras.utils, "get_file", lambda name, *_, **__: _local(shared, name))
    data = shared / "data/emps"
    examples = temzoo.load_dataset(images=data / "images", labels=data / "annotations.xml")
    example = next(e for e in examples if e.name == "60feb7de8f.png")
    for name in temzoo.list_models(task="semantic", pretrained=True):
        for weights, card in temzoo.model_card(name).weights.items():
            if "emps" in weights:
                model = temzoo.get_model(name, weights=weights)
                # One image differs from the mean over all; weights gone wrong give next to nothing.
                assert temzoo.evaluate(model, [example]).iou.value > card.scores["iou"] / 2


def _local(shared, name):
    return str(shared / "keras/models" / name)


def test_a_weights_file_is_known_by_its_ending(tmp_path):
    told = r"A weights file ends in \.weights\.h5\. Received: .*a\.h5"
    with pytest.raises(ValueError, match=told):
        pretrained.card_path(tmp_path / "a.h5")


def test_another_models_weights_begin_what_they_share():
    model = temzoo.get_model("particles", start="unet_mobilenet/super1", encoder_weights=None)
    donor = temzoo.get_model("unet_mobilenet", weights="super1", compile=False)
    theirs = {v.path: v.numpy() for v in donor.weights}
    own = [v.path for v in model.weights if v.path.startswith("distance")]
    for variable in model.weights:
        if variable.path not in own:
            np.testing.assert_array_equal(variable.numpy(), theirs[variable.path])
    told = built(model)
    count = len(model.weights)
    assert f"{count - len(own)} of {count} arrays taken over; new: distance_conv" in told.begun
    assert (told.config["classes"], told.class_names) == (3, ("1", "2"))
    assert told.weights is None
    assert model.optimizer is not None


def test_another_number_of_classes_has_a_last_layer_of_its_own():
    model = temzoo.get_model("unet", start="emps-fast", classes=4)
    donor = temzoo.get_model("unet", weights="emps-fast", compile=False)
    *ours, kernel, bias = model.weights
    assert {kernel.path, bias.path} == {"logits/kernel", "logits/bias"}
    for mine, theirs in zip(ours, donor.weights, strict=False):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    assert "taken over; new: logits" in built(model).begun
    assert built(model).class_names == ()


def test_a_run_begins_a_model_whose_layers_have_no_names(tmp_path):
    def own(*, classes=2):
        pixels = keras.Input((None, None, 1))
        x = keras.layers.Conv2D(3, 3)(pixels)
        return keras.Model(pixels, keras.layers.Conv2D(classes, 1, activation="softmax")(x))

    temzoo.register("nameless", task="semantic")(own)
    try:
        donor, path = temzoo.get_model("nameless"), tmp_path / pretrained.BEST
        pretrained.save(donor, path)
        pretrained.write_card(path, pretrained.WeightsCard("nameless", {"classes": 2}, ("a",)))
        model = temzoo.get_model("nameless", start=tmp_path, classes=3)
    finally:
        del cards.BUILDERS["nameless"], cards._CARDS["nameless"]
    np.testing.assert_array_equal(model.weights[0].numpy(), donor.weights[0].numpy())
    assert "2 of 4 arrays taken over" in built(model).begun


def test_weights_that_share_nothing_begin_no_model():
    with pytest.raises(ValueError, match="must share layers with the model that it begins"):
        temzoo.get_model("mlp", start="autoencoder/emps-denoise", image_size=8)


def test_a_model_is_loaded_or_begun():
    told = "Received: weights='emps' and start='emps-fast'"
    with pytest.raises(ValueError, match=told):
        temzoo.get_model("unet", weights="emps", start="emps-fast")
