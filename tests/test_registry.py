"""The registry: names, cards, errors."""

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import temzoo
from temzoo.zoo import building, built, cards, pretrained


@pytest.fixture
def toy():
    """A model registered by a script, taken out again afterwards."""

    @temzoo.register("toy", task="semantic", summary="one convolution")
    def toy(*, classes: int = 2, channels: int = 1):
        pixels = keras.Input((None, None, channels))
        x = keras.layers.Conv2D(classes, 3, padding="same", activation="softmax")(pixels)
        return keras.Model(pixels, x, name="toy")

    yield toy
    cards.BUILDERS.pop("toy")
    cards._CARDS.pop("toy")


def test_list_models_filters_by_task_and_weights():
    names = temzoo.list_models()
    assert {"unet", "unet_mobilenet"} <= set(names)
    assert names == sorted(names)
    assert set(temzoo.list_models(task="semantic")) <= set(names)
    assert temzoo.list_models(task="nothing") == []
    with_weights = temzoo.list_models(pretrained=True)
    assert sorted([*with_weights, *temzoo.list_models(pretrained=False)]) == names


@pytest.mark.parametrize("name", temzoo.list_models())
def test_card_says_what_the_builder_does(name):
    card = temzoo.model_card(name)
    assert "doi" in card.paper.lower() or "arxiv" in card.paper.lower()
    assert card.input
    assert card.output
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.name = "other"
    with pytest.raises(TypeError):
        card.config["classes"] = 7
    model = temzoo.get_model(name, compile=False, **dict.fromkeys(card.deferred))
    assert model.count_params() == card.parameters
    # What was read from the source is what Python says of the imported function.
    imported = cards._CARDS[name]
    declared = cards._declared()[name]
    assert imported == declared


def test_registering_is_all_a_new_model_needs(toy):
    assert "toy" in temzoo.list_models(task="semantic")
    assert dict(temzoo.model_card("toy").config) == {"classes": 2, "channels": 1}
    model = temzoo.get_model("toy", classes=3)
    rng = np.random.default_rng(0)
    x = rng.random((2, 20, 24, 1), np.float32)
    y = np.eye(3, dtype="uint8")[rng.integers(0, 3, (2, 20, 24))]
    before = model.get_weights()[0]
    history = model.fit(tf.data.Dataset.from_tensors((x, y)), shuffle=False, verbose=0).history
    assert {"loss", "iou"} <= set(history)
    assert not np.array_equal(before, model.get_weights()[0])
    prediction = temzoo.predict(model, x[0, ..., 0], probabilities=True)
    inner = np.s_[1:-1, 1:-1]  # prediction reflects at the border, where the toy pads with zeros
    expected = np.argmax(model(x)[0], axis=-1)
    np.testing.assert_array_equal(prediction.classes[inner], expected[inner])


def test_the_public_names_are_there_and_others_are_refused():
    assert set(temzoo.__all__) <= set(dir(temzoo))
    assert all(getattr(temzoo, name) is not None for name in temzoo.__all__)
    with pytest.raises(AttributeError, match=r"module 'temzoo' has no attribute 'get_modle'"):
        temzoo.get_modle  # noqa: B018


def test_unknown_model_names_close_matches():
    with pytest.raises(ValueError, match=r'No model is called "unett".* Did you mean unet'):
        temzoo.get_model("unett")


def test_unknown_keyword_names_close_matches():
    with pytest.raises(ValueError, match=r'"unet" has no keyword "filter". Did you mean filters'):
        temzoo.get_model("unet", filter=8)


def test_registering_a_name_twice_is_an_error(toy):
    with pytest.raises(ValueError, match=r'registered once. Received: name="toy"'):
        temzoo.register("toy", task="semantic")(toy)


def test_a_name_of_the_package_is_taken_before_its_file_is_imported():
    code = (
        "import temzoo\n"
        "try:\n    temzoo.register('unet', task='semantic')(lambda: None)\n"
        "except ValueError as error:\n    print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "temzoo.models.unet has it already" in out.stdout


def test_a_keyword_of_the_wrong_kind_is_named_with_what_to_correct(toy):
    rule = r"cannot be built like this. Received: .*'few'.* Correct the keyword, or take the card"
    with pytest.raises(ValueError, match=rule):
        temzoo.get_model("toy", classes="few")


def test_a_model_file_needs_literals(tmp_path):
    path = tmp_path / "wild.py"
    path.write_text("@register('wild', task='semantic')\ndef wild(*, classes=1 + f()): ...\n")
    with pytest.raises(ValueError, match=r"wild.py:1: .* must be literals"):
        cards._cards_in(path)


def test_get_model_is_compiled_for_its_task(toy):
    model = temzoo.get_model("toy")
    assert model.optimizer is not None
    assert model.loss.name == "segmentation"
    assert not temzoo.get_model("toy", compile=False).compiled


def test_the_card_of_loaded_weights_is_known_until_they_are_trained(toy, tmp_path):
    path = tmp_path / "mine.weights.h5"
    pretrained.save(temzoo.get_model("toy"), path)
    card = pretrained.WeightsCard("toy", {"classes": 2}, ("particle",), dataset="grids")
    pretrained.write_card(path, card)
    model = temzoo.get_model("toy", weights=path)
    how = built.built(model)
    assert (how.weights.dataset, how.weights.sha256) == ("grids", pretrained.sha256(path))
    assert how.class_names == ("particle",)
    assert built.built(building.rebuild(how)).weights is None
    built.name_classes(model, ("rod",))
    assert built.built(model).weights is None
    assert built.built(temzoo.get_model("toy")).weights is None


def test_a_model_from_elsewhere_is_refused():
    with pytest.raises(ValueError, match=r"needs a model from temzoo.get_model"):
        built.built(keras.Sequential())


@pytest.mark.parametrize(
    ("scores", "texts"),
    [
        ({}, []),
        (
            {"iou": 0.8248, "low": 0.7774, "high": 0.8693, "images": 73},
            ["IoU 0.825 [0.777, 0.869]", "73 images"],
        ),
        (
            {"psnr_db low-dose": 29.03, "psnr_db high-dose": 9.001},
            ["PSNR 29.0 dB (low-dose)", "PSNR 9.00 dB (high-dose)"],
        ),
        ({"r angle_deg": 0.0162}, ["r 0.0162 (angle_deg)"]),
        (
            {"val_iou": 0.5, "boundary_f1": 1.0, "epoch": 12},
            ["IoU 0.500", "boundary f1 1.00", "epoch 12"],
        ),
    ],
)
def test_scores_of_a_card_in_words(scores, texts):
    assert cards.score_texts(scores) == texts


def test_rebuild_changes_keywords(toy):
    model = temzoo.get_model("toy")
    assert building.rebuild(built.built(model), classes=4).output_shape[-1] == 4
    with pytest.raises(ValueError, match='has no keyword "klasses"'):
        building.rebuild(built.built(model), klasses=4)
