"""Training: it learns, it can be repeated, stopped, resumed and reloaded."""

import csv
import dataclasses
import json
from functools import partial

import keras
import numpy as np
import pytest

import temzoo
from temzoo import pretrained, training
from temzoo.types import Example, LabelledImage, Micrograph, Shape

QUICK = {"batch": 2, "crop": 32, "steps_per_epoch": 4, "augment": "light", "magnification": (1, 1)}


def examples(count, start=0):
    """Dark discs on a noisy bright ground."""
    found = []
    for seed in range(start, start + count):
        rng = np.random.default_rng(seed)
        centre, radius = rng.uniform(14, 34, 2), rng.uniform(6, 11)
        shape = Shape("ellipse", "particle", np.array([centre, [radius, radius]]))
        labels = LabelledImage(f"{seed}.png", 48, 48, (shape,), ("particle",))
        mask = temzoo.labels.raster.class_map(labels, ("particle",))
        pixels = (180 - 90 * mask + rng.normal(0, 12, mask.shape)).clip(0, 255).astype("uint8")
        found.append(Example(labels, partial(Micrograph, pixels, None, labels.name)))
    return found


TRAIN, VAL = examples(6), examples(3, start=100)


def tiny(**config):
    keras.utils.set_random_seed(7)
    return temzoo.get_model("unet", filters=4, depth=2, **config)


def fit(folder, model=None, **settings):
    model = model or tiny()
    return temzoo.train(
        model, TRAIN, VAL, out=folder, progress=False, **{**QUICK, "epochs": 3, **settings}
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that had time to learn, and its model."""
    model = tiny()
    folder = tmp_path_factory.mktemp("run")
    run = fit(folder, model, epochs=6, steps_per_epoch=20, batch=4, learning_rate=5e-3)
    return run, model


def test_it_learns(finished):
    run, model = finished
    assert run.score > 0.85
    assert temzoo.evaluate(model, VAL).iou.value == pytest.approx(run.score, abs=1e-4)


def test_the_run_folder_tells_all(finished):
    run, _ = finished
    kept = {path.name for path in run.folder.iterdir()}
    assert kept == {
        *("best.weights.h5", "best.json", "last.weights.h5", "last.json", "run.json"),
        *("history.csv", "history.png", "validation.png", "tensorboard", "state"),
    }
    told = json.loads((run.folder / "run.json").read_text())
    assert told["config"]["filters"] == 4
    assert told["settings"]["learning_rate"] == 5e-3
    assert told["data"]["train"]["images"] == 6
    assert {"python", "tensorflow", "keras", "temzoo"} <= {*told["versions"], "temzoo"}
    with open(run.folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert max(float(row["val_iou"]) for row in rows) == run.score
    assert list((run.folder / "tensorboard").rglob("events*"))


def test_reloaded_it_is_the_same_model(finished):
    run, model = finished
    again = temzoo.get_model("unet", weights=run.folder)
    x = VAL[0].micrograph.pixels[None, ..., None]
    np.testing.assert_array_equal(again(x), model(x))
    assert temzoo.predict(again, VAL[0].micrograph).class_names == ("particle",)


def test_weights_of_another_config_name_the_keyword(finished):
    run, _ = finished
    with pytest.raises(ValueError, match=r"trained with filters=4. Received: filters=8"):
        temzoo.get_model("unet", weights=run.folder, filters=8)
    with pytest.raises(ValueError, match=r'are of "unet". Received: name="unet_mobilenet"'):
        temzoo.get_model("unet_mobilenet", weights=run.folder)


def test_a_flipped_byte_is_noticed(finished, tmp_path):
    run, _ = finished
    path = tmp_path / "x.weights.h5"
    data = bytearray((run.folder / pretrained.BEST).read_bytes())
    data[-50] ^= 1
    path.write_bytes(data)
    (tmp_path / "x.json").write_text((run.folder / "best.json").read_text())
    with pytest.raises(ValueError, match=r"sha256 must be"):
        temzoo.get_model("unet", weights=path)


def test_one_seed_gives_one_run(tmp_path):
    first, again = (fit(tmp_path / name, epochs=2) for name in ("a", "b"))
    other = fit(tmp_path / "c", epochs=2, seed=1)
    assert [r["loss"] for r in first.history] == [r["loss"] for r in again.history]
    assert [r["loss"] for r in first.history] != [r["loss"] for r in other.history]


class KilledError(Exception):
    """A kill in the middle."""


def stop_at(monkeypatch, epoch, reason):
    original = training._EndOfEpoch.on_epoch_begin

    def begin(self, number, logs=None):
        if number == epoch:
            raise reason
        original(self, number, logs)

    monkeypatch.setattr(training._EndOfEpoch, "on_epoch_begin", begin)
    return original


def test_resumed_after_a_kill_it_is_the_run_that_was_never_stopped(tmp_path, monkeypatch):
    whole_model, resumed_model = tiny(dropout=0.2), tiny(dropout=0.2)
    whole = fit(tmp_path / "whole", whole_model, epochs=4)
    with monkeypatch.context() as patch:
        stop_at(patch, 2, KilledError())
        with pytest.raises(KilledError):
            fit(tmp_path / "cut", tiny(dropout=0.2), epochs=4)
    resumed = fit(tmp_path / "cut", resumed_model, resume=True)
    for a, b in zip(whole.history, resumed.history, strict=True):
        same = {k: v for k, v in a.items() if k != "minutes"}
        assert same == {k: v for k, v in b.items() if k != "minutes"}
    for a, b in zip(whole_model.weights, resumed_model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_kill_while_the_state_is_written_loses_one_epoch_only(tmp_path, monkeypatch):
    whole = fit(tmp_path / "whole", epochs=3)
    original = training._Trainer.save_progress

    def killed(self, state):
        if state.startswith("epoch-2"):
            raise KilledError
        original(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(training._Trainer, "save_progress", killed)
        with pytest.raises(KilledError):
            fit(tmp_path / "cut", epochs=3)
    resumed = fit(tmp_path / "cut", resume=True)
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in whole.history]
    assert [p.name for p in (tmp_path / "cut" / "state").iterdir()] == ["progress.json"]


def test_a_finished_run_is_not_trained_further_by_resuming(tmp_path):
    first = fit(tmp_path, epochs=8, learning_rate=1e-9, patience=1)
    again = fit(tmp_path, resume=True)
    assert len(again.history) == len(first.history) < 8


def two_phases(folder, **settings):
    keras.utils.set_random_seed(7)
    model = temzoo.get_model(
        "unet_mobilenet", alpha=0.25, encoder_weights=None, decoder_filters=(8, 8, 8, 8, 8)
    )
    changes = {"finetune": {"encoder_trainable": True}, "steps_per_epoch": 2}
    return fit(folder, model, **{**changes, "epochs": 2, "finetune_epochs": 2, **settings}), model


def test_killed_in_the_second_phase_it_goes_on_there(tmp_path, monkeypatch):
    whole, _ = two_phases(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 3, KilledError())
        with pytest.raises(KilledError):
            two_phases(tmp_path / "cut")
    resumed, _ = two_phases(tmp_path / "cut", resume=True)
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in whole.history]


def test_patience_ends_a_phase_and_the_next_has_its_own(tmp_path):
    run, _ = two_phases(
        tmp_path, epochs=9, learning_rate=1e-9, finetune_rate=1e-9, finetune_epochs=1, patience=1
    )
    card = json.loads((tmp_path / "last.json").read_text())
    assert len(run.history) < 9
    assert card["config"]["encoder_trainable"] is True


def test_ctrl_c_keeps_the_best_so_far(tmp_path, monkeypatch):
    stop_at(monkeypatch, 2, KeyboardInterrupt())
    model = tiny()
    run = fit(tmp_path, model, epochs=5)
    assert run.interrupted
    assert len(run.history) == 2
    again = temzoo.get_model("unet", weights=tmp_path)
    x = VAL[0].micrograph.pixels[None, ..., None]
    np.testing.assert_array_equal(again(x), model(x))


def test_patience_stops_early(tmp_path):
    run = fit(tmp_path, epochs=30, learning_rate=1e-9, patience=2)
    assert len(run.history) <= 6


def test_the_second_phase_changes_a_keyword_and_learns_more(tmp_path):
    keras.utils.set_random_seed(7)
    before = [
        v.numpy()
        for v in temzoo.get_model(
            "unet_mobilenet", alpha=0.25, encoder_weights=None, decoder_filters=(8, 8, 8, 8, 8)
        )
        .get_layer("encoder")
        .variables
    ]
    run, _ = two_phases(tmp_path, epochs=1, finetune_epochs=3)
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4]
    card = json.loads((tmp_path / "last.json").read_text())
    assert card["config"]["encoder_trainable"] is True
    after = temzoo.get_model("unet_mobilenet", weights=tmp_path / "last.weights.h5")
    changed = [
        not np.array_equal(a, b.numpy())
        for a, b in zip(before, after.get_layer("encoder").variables, strict=True)
    ]
    assert any(changed)


def test_mixed_precision_trains_and_leaves_float32_weights(tmp_path):
    model = tiny()
    run = fit(tmp_path, model, epochs=1, mixed_precision=True)
    assert np.isfinite(run.score)
    assert {v.dtype for v in model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("weights", ["balanced", [0.5, 2.0]])
def test_class_weights(tmp_path, weights):
    assert np.isfinite(fit(tmp_path, epochs=1, class_weights=weights).history[0]["loss"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, 'train has no setting "epoch". Did you mean epochs'),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"learning_rate": -1}, "learning_rate must lie between 0 and 1"),
        ({"finetune_epochs": 0}, "finetune_epochs must be at least 1"),
        ({"warmup": 2.0}, "warmup is a share below 1"),
        ({"class_weights": "balance"}, 'class_weights must be None, "balanced"'),
        ({"class_weights": [1, 2, 3]}, "one factor per class, background first: 2 here"),
        ({"finetune": {"encoder_trainable": True}}, 'has no keyword "encoder_trainable"'),
        ({"finetune": {"filters": 8}}, "keywords that leave the weights' shapes alone"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"augment": "heavy"}, "heavy"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, **settings)


def test_data_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Received in both: \['0.png'\]"):
        temzoo.train(tiny(), TRAIN, [*VAL, TRAIN[0]], out=tmp_path)
    with pytest.raises(ValueError, match="6 for training, 0 for validation"):
        temzoo.train(tiny(), TRAIN, [], out=tmp_path)
    with pytest.raises(ValueError, match=r"model needs classes=2. Received: classes=4"):
        temzoo.train(tiny(classes=4), TRAIN, VAL, out=tmp_path)


def test_a_specimen_on_both_sides_is_refused(tmp_path):
    def of_specimen(examples):
        return [dataclasses.replace(e, group="grid 7") for e in examples]

    with pytest.raises(ValueError, match=r"Received in both: \['grid 7'\]"):
        temzoo.train(tiny(), of_specimen(TRAIN), of_specimen(VAL), out=tmp_path)


def test_what_a_loader_raises_arrives_as_it_was(tmp_path):
    def broken():
        raise OSError("b.tif is truncated. Copy it again.")

    bad = dataclasses.replace(TRAIN[0], load=broken)
    with pytest.raises(OSError, match=r"b.tif is truncated"):
        temzoo.train(tiny(), [bad], VAL, out=tmp_path, progress=False, **QUICK)
    small = dataclasses.replace(TRAIN[0], load=lambda: Micrograph(np.zeros((9, 9), "uint8")))
    with pytest.raises(ValueError, match=r"0.png: labels and image must have one size"):
        temzoo.train(tiny(), [small], VAL, out=tmp_path, progress=False, **QUICK)


def test_an_unknown_label_is_named(finished, tmp_path):
    _, model = finished
    other = dataclasses.replace(TRAIN[0].labels.shapes[0], label="dust")
    labels = dataclasses.replace(TRAIN[0].labels, shapes=(other,), classes=())
    with pytest.raises(ValueError, match="dust"):
        temzoo.train(model, [dataclasses.replace(TRAIN[0], labels=labels)], VAL, out=tmp_path)


def test_a_finished_run_is_not_overwritten(finished):
    run, model = finished
    with pytest.raises(FileExistsError, match="holds a run already"):
        fit(run.folder, model)
    with pytest.raises(ValueError, match="other images or labels for train"):
        temzoo.train(model, TRAIN[:3], VAL, out=run.folder, resume=True)
    with pytest.raises(ValueError, match=r"Received: filters=8, in .*run.json 4"):
        fit(run.folder, temzoo.get_model("unet", filters=8, depth=2), resume=True)


def test_there_must_be_something_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run to resume in"):
        fit(tmp_path, resume=True)


def test_what_is_no_weights_file_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"weights must be the name of a shipped set"):
        temzoo.get_model("unet", weights="no-such")
    bare = tmp_path / "bare.weights.h5"
    bare.write_bytes(b"")
    with pytest.raises(ValueError, match="has no card"):
        temzoo.get_model("unet", weights=bare)
    (tmp_path / "bare.json").write_text('{"modell": 1}')
    with pytest.raises(ValueError, match="is not a weights card"):
        temzoo.get_model("unet", weights=bare)
    with pytest.raises(ValueError, match=r"ends in .weights.h5"):
        pretrained.card_path(tmp_path / "bare.h5")
