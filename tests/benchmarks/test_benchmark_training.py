"""Speed of training: the step that is timed is that of ``temzoo.train``; ratios by hand."""

import keras
import pytest

import temzoo
from benchmarks import timing
from benchmarks import training as speed
from benchmarks.page import shown
from benchmarks.recipes import Recipe

TINY = {"filters": 4, "depth": 1}
UNET = Recipe("tiny", "any", "unet", TINY, {"crop": 32, "batch": 2})
MOBILENET = Recipe(
    "tiny mobilenet",
    "any",
    "unet_mobilenet",
    {"alpha": 0.25, "decoder_filters": (4, 4, 4, 4, 4), "pyramid": (1, 2)},
    {"crop": 64, "batch": 2},
)
VARIANTS = speed.variants(MOBILENET)
TRAINING = Recipe(
    "tiny", "any", "unet", TINY, {"crop": 32, "batch": 2, "epochs": 1, "steps_per_epoch": 2}
)


@pytest.mark.usefixtures("eager_steps")
@pytest.mark.parametrize("precision", speed.PRECISIONS)
def test_the_step_is_that_of_train(drawn, precision, tmp_path):
    keras.utils.set_random_seed(3)
    twin, batch = speed.trained_by_train(UNET, TINY, precision, drawn)
    policies = {layer.dtype_policy.name for layer in twin.layers if layer.weights}
    assert policies == {precision, "float32"}  # logits are float32 always
    loss = float(twin.train_on_batch(*batch)[0])
    keras.utils.set_random_seed(3)
    run = temzoo.train(
        temzoo.get_model("unet", **TINY),
        drawn.train,
        drawn.val,
        out=tmp_path / "run",
        crop=32,
        batch=2,
        epochs=1,
        steps_per_epoch=1,
        mixed_precision=precision != "float32",
        progress=False,
    )
    assert run.history[0]["loss"] == pytest.approx(loss, rel=1e-5)


def test_what_is_frozen_does_not_learn():
    learnt = {}
    for name, config in VARIANTS.items():
        model = temzoo.get_model(MOBILENET.model, compile=False, **config)
        encoder = model.get_layer("encoder")
        learnt[name] = len(encoder.trainable_variables)
        statistics = [v for v in encoder.non_trainable_variables if "moving" in v.name]
        assert statistics
    assert learnt["frozen"] == 0
    assert 0 < learnt["deep blocks"] < learnt["all of it"]


def test_ratios_are_taken_turn_by_turn():
    seconds = {
        ("frozen", "float32"): [2.0, 4.0, 2.0],
        ("frozen", "mixed_bfloat16"): [1.0, 4.0, 0.5],
        ("all of it", "float32"): [6.0, 8.0, 8.0],
        ("all of it", "mixed_bfloat16"): [3.0, 4.0, 4.0],
    }
    figures = speed.step_figures(seconds)
    frozen, whole = figures["steps"]
    assert [frozen["variant"], whole["variant"]] == ["frozen", "all of it"]
    assert frozen["step_s"]["float32"] == {
        "median": 2.0,
        "least": 2.0,
        "most": 4.0,
        "repetitions": 3,
    }
    ratio = frozen["float32_over_bfloat16"]
    assert [ratio["least"], ratio["median"], ratio["most"]] == [1.0, 2.0, 4.0]


def test_a_network_without_an_encoder_has_one_row():
    seconds = {("", "float32"): [3.0], ("", "mixed_bfloat16"): [2.0]}
    figures = speed.step_figures(seconds)
    assert figures["steps"][0]["float32_over_bfloat16"]["median"] == 1.5


def test_steps_and_scores_have_records_that_the_page_shows(drawn, monkeypatch, measured):
    monkeypatch.setattr(speed, "synthetic", lambda **size: drawn)
    monkeypatch.setattr(speed, "dataset_of", lambda arguments: drawn)
    monkeypatch.setattr(speed, "QUICK", speed.Plan((UNET,), 0.0, 96, TRAINING))
    steps, scores = measured("training", "--quick")
    assert steps["figures"]["steps"][0]["step_s"]["float32"]["repetitions"] == timing.LEAST
    assert steps["command"] == "python -m benchmarks training --only steps --quick"
    trainings, changes = scores["figures"]["trainings"], scores["figures"]["iou_change"]
    assert list(trainings) == ["float32, imgaug", "mixed_bfloat16", "opencv", "seed 1"]
    for name, change in changes.items():
        apart = trainings[name]["iou"]["value"] - trainings["float32, imgaug"]["iou"]["value"]
        assert change["value"] == pytest.approx(apart, abs=1e-9)
        assert change["low"] <= change["value"] <= change["high"]
    losses = [trainings[name]["loss"][0] for name in trainings]
    assert 0 < abs(losses[1] - losses[0]) < 0.02  # other arithmetic, the same crops and weights
    assert abs(losses[3] - losses[0]) > abs(losses[1] - losses[0])
    assert f"| {steps['about']} | " in "".join(shown(steps))
    assert f"| {scores['about']} | mixed_bfloat16 | " in "".join(shown(scores))
