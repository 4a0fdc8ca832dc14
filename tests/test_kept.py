"""Converted networks are kept, answer as the model does, and are made anew when they do not fit."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import temzoo
from temzoo.cli import app
from temzoo.deploy.engines import choice, kept
from temzoo.deploy.engines.model import AcceleratedModel
from temzoo.zoo import pretrained
from temzoo.zoo.building import trained_model

pytest.importorskip("openvino")
SMALL = {"filters": 4, "depth": 2}
ENGINE = ("openvino", "float32")


@pytest.fixture(autouse=True)
def on(monkeypatch, tmp_path):
    monkeypatch.delenv(kept.SWITCH)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> pretrained.Weights:
    """A small network's weights, as a training leaves them."""
    path = tmp_path_factory.mktemp("run") / "small.weights.h5"
    pretrained.save(temzoo.get_model("unet", compile=False, **SMALL), path)
    card = pretrained.WeightsCard("unet", SMALL, ("grain",), sha256=pretrained.sha256(path))
    pretrained.write_card(path, card)
    return pretrained.Weights(path, card)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (90, 75), np.uint8)


def model_of(weights, config=None, engine=ENGINE, build=None):
    config = config or {}
    built = []

    def usual():
        built.append(True)
        return trained_model(weights.path, **config)

    found = kept.kept_or_built(weights, config, *engine, build or usual)
    return found, bool(built)


@pytest.mark.parametrize("engine", [ENGINE, ("onnxruntime", "float32")])
def test_the_second_time_nothing_is_built_and_the_answer_is_the_model_s(weights, pixels, engine):
    pytest.importorskip(engine[0])
    first, built = model_of(weights, engine=engine)
    again, built_again = model_of(weights, engine=engine)
    assert (built, built_again) == (True, False)
    assert isinstance(again, AcceleratedModel)
    assert again.class_names == ("grain",)
    expected = temzoo.predict(trained_model(weights.path), pixels, probabilities=True)
    for model in (first, again):
        found = temzoo.predict(model, pixels, probabilities=True)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)
        assert found.class_names == expected.class_names


def test_what_is_known_of_a_model_is_kept(weights):
    first, _ = model_of(weights)
    again, _ = model_of(weights)
    for name in ("name", "input_shape", "output_shape", "tile_step", "restores", "class_names"):
        assert getattr(first, name) == getattr(again, name), name


def test_another_config_engine_code_or_file_is_another_network(weights, monkeypatch):
    def key(weights=weights, config=(), engine=ENGINE):
        return kept._key(weights, dict(config), *engine)

    keys = [key(), key(config={"norm": "group"}), key(engine=("openvino", "bfloat16"))]
    keys.append(key(replace(weights, card=replace(weights.card, class_names=("rod",)))))
    monkeypatch.setattr(kept, "processor", lambda: "another")
    keys.append(key())
    monkeypatch.setattr(kept, "CODE", ("models",))
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_a_network_goes_on_where_its_file_is_cleared_away_meanwhile(weights, pixels):
    before, _ = model_of(weights)
    again, _ = model_of(weights)
    (entry,) = kept.entries()
    assert len(entry.path.read_bytes().split(b"\n", 1)[0] + b"\n") % kept.ALIGNED == 0
    assert kept.clear() == 1
    expected, found = (temzoo.predict(model, pixels) for model in (before, again))
    np.testing.assert_array_equal(found.instances, expected.instances)


def test_a_damaged_file_is_made_anew(weights):
    model_of(weights)
    (entry,) = kept.entries()
    whole = entry.path.read_bytes()
    for damaged in (whole[:-100], whole[:-1] + bytes([whole[-1] ^ 1]), b"", b"{}\n", b"\xff"):
        entry.path.write_bytes(damaged)
        _, built = model_of(weights)
        assert built
        assert kept.opened(entry.path) is not None


def test_a_model_that_the_engine_cannot_run_stays_itself(weights):
    detector = object()
    found, _ = model_of(weights, build=lambda: detector)
    assert found is detector
    assert not kept.entries()


def test_the_least_used_go_first_and_all_go_on_request(weights, monkeypatch):
    model_of(weights)
    (first,) = kept.entries()
    os.utime(first.path, (1, 1))
    monkeypatch.setattr(kept, "MOST_BYTES", first.size + 10)
    model_of(weights, engine=("openvino", "bfloat16"))
    (left,) = kept.entries()
    assert left.precision == "bfloat16"
    listed = CliRunner().invoke(app, ["cache"]).output
    assert "openvino bfloat16" in listed
    assert str(weights.path) in listed
    assert "1 networks removed" in CliRunner().invoke(app, ["cache", "--clear"]).output
    assert not kept.entries()


def test_a_full_disk_keeps_nothing_and_loses_nothing(weights, pixels, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "atomic_path", full)
    found, _ = model_of(weights)
    assert temzoo.predict(found, pixels).classes.shape == pixels.shape
    assert not kept.entries()


@pytest.mark.parametrize(
    ("name", "value"), [(kept.SWITCH, "off"), ("KERAS_BACKEND", "jax"), ("KERAS_BACKEND", "torch")]
)
def test_tensorflow_serves_where_nothing_is_to_be_kept(monkeypatch, name, value):
    monkeypatch.setattr(kept.Path, "exists", lambda path: False)  # no GPU
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert kept.usual_engine() == "openvino"
    monkeypatch.setenv(name, value)
    assert kept.usual_engine() is None


def test_an_onnx_runtime_that_came_with_the_scale_bars_is_no_engine(monkeypatch):
    there = {"onnxruntime"}
    monkeypatch.setattr(kept.importlib.util, "find_spec", lambda name: name in there or None)
    assert kept.usual_engine() is None
    there.add("tf2onnx")
    assert kept.usual_engine() == "onnxruntime"


def choose(weights, folder):
    """Keeps a choice of ``auto``, as one that it made from what lies in a file; gives the file."""
    model, _ = model_of(weights)
    model.memory = folder / "engines.json"
    model.memory.write_text("{}")
    kept.keep_choice(weights, {}, None, model)
    return model.memory


def test_what_auto_chose_holds_until_it_measures_again(weights, tmp_path, monkeypatch):
    assert kept.chosen(weights, {}, None) is None
    memory = choose(weights, tmp_path)
    assert kept.chosen(weights, {}, None) == ENGINE
    assert kept.chosen(weights, {}, "bfloat16") is None
    assert kept.chosen(weights, {"norm": "group"}, None) is None
    memory.write_text('{"rows": []}')
    assert kept.chosen(weights, {}, None) is None
    memory.unlink()
    assert kept.chosen(weights, {}, None) is None
    choose(weights, tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv(kept.SWITCH, "off")
        assert kept.chosen(weights, {}, None) is None
    kept.clear()
    assert kept.chosen(weights, {}, None) is None


def test_auto_measures_and_builds_once(weights, pixels, monkeypatch):
    monkeypatch.setattr(choice, "fastest", lambda rows, any_precision: ENGINE)
    built = []

    def usual():
        built.append(True)
        return trained_model(weights.path)

    first = kept.accelerated(weights, {}, "auto", None, usual)
    assert first.found
    again = kept.accelerated(weights, {}, "auto", None, usual)
    assert (len(built), again.engine, again.precision, again.found) == (1, *ENGINE, ())
    expected = temzoo.predict(first, pixels)
    assert np.array_equal(temzoo.predict(again, pixels).classes, expected.classes)


def test_auto_chooses_anew_where_an_engine_failed(weights, tmp_path):
    model, _ = model_of(weights)
    model.memory, model.found = tmp_path / "a", (SimpleNamespace(failure="no memory"),)
    model.memory.write_text("{}")
    kept.keep_choice(weights, {}, None, model)
    assert kept.chosen(weights, {}, None) is None


def test_an_engine_that_was_named_keeps_nothing_either_where_nothing_is_to_be_kept(
    weights, monkeypatch
):
    monkeypatch.setenv(kept.SWITCH, "off")
    found, _ = model_of(weights)
    assert isinstance(found, AcceleratedModel)
    assert not kept.entries()


# Where a conversion warns and that is an error, nothing is kept.
@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("", []),
        ("", ["--engine", "auto"]),
        pytest.param("yolo/emps", [], marks=pytest.mark.slow),
    ],
)
def test_with_a_kept_network_predict_imports_neither_tensorflow_nor_keras(
    weights, tmp_path, name, more
):
    weights = pretrained.find_trained(name) if name else weights
    image = tmp_path / "one.tif"
    import tifffile

    tifffile.imwrite(image, np.random.default_rng(0).integers(0, 255, (80, 80), np.uint8))
    choose(weights, tmp_path)
    code = (
        "import sys; from temzoo.cli import main; from contextlib import suppress\n"
        f"sys.argv = ['temzoo', 'predict', {str(weights.path)!r}, {str(image)!r},"
        f" '--out', {str(tmp_path / 'out')!r}, *{more}]\n"
        "with suppress(SystemExit): main()\n"
        "print({'tensorflow', 'keras', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert (tmp_path / "out" / "one_classes.png").is_file()
