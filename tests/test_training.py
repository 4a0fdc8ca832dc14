"""Training: it learns, it can be repeated, stopped, resumed and reloaded."""

import csv
import dataclasses
import json
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import temzoo
from temzoo.core.settings import Settings
from temzoo.core.types import Example, LabelledImage, Micrograph, Prediction, Shape
from temzoo.models import layers
from temzoo.tasks import instance_targets, training_data
from temzoo.training import inside_epoch, loop
from temzoo.workflows import training
from temzoo.zoo import cards, pretrained
from temzoo.zoo.task import task_named

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


def unet(filters=4):
    keras.utils.set_random_seed(7)
    return temzoo.get_model("unet", filters=filters, depth=1)


def tiny(**config):
    """Two convolutions, which are traced in a third of a U-Net's time."""
    keras.utils.set_random_seed(7)
    return temzoo.get_model("tiny", **config)


def two_convolutions(*, classes=2, channels=1, dropout=0.0, encoder_trainable=True):
    pixels = keras.Input((None, None, channels))
    x = layers.Normalize(name="normalize")(pixels)
    encoder = keras.layers.Conv2D(8, 3, padding="same", name="encoder")
    encoder.trainable = encoder_trainable
    x = keras.layers.BatchNormalization()(encoder(x))
    x = keras.layers.Dropout(dropout)(keras.ops.relu(x))
    return keras.Model(pixels, layers.class_probabilities(x, classes))


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Runs of single tests leave their pictures out; those of the fixtures are drawn."""
    monkeypatch.setattr(training, "finish", lambda run, model, data: None)


def assert_as_in_peace(whole, resumed):
    """Of (training, model) each: the same history but for its minutes, and the same weights."""
    histories = [
        [{k: v for k, v in row.items() if k != "minutes"} for row in training.history]
        for training, _ in (whole, resumed)
    ]
    assert histories[0] == histories[1]
    for a, b in zip(whole[1].weights, resumed[1].weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


outside_a_graph = pytest.mark.usefixtures("eager_steps")


def fit(folder, model=None, **settings):
    model = model or tiny()
    usual = {} if settings.get("resume") else {**QUICK, "epochs": 3}
    return temzoo.train(model, TRAIN, VAL, out=folder, progress=False, **{**usual, **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that had time to learn, and its model."""
    model = unet()
    folder = tmp_path_factory.mktemp("run")
    run = fit(folder, model, epochs=6, steps_per_epoch=20, batch=4, learning_rate=5e-3)
    return run, model


def test_it_learns(finished):
    run, model = finished
    assert run.score > 0.85
    assert temzoo.evaluate(model, VAL).iou.value == pytest.approx(run.score, abs=1e-4)


def test_the_rate_rises_to_its_peak_and_falls_by_a_cosine_to_zero():
    rate = [loop._Rate(1e-2, 50, warmup=0.2).at(step) for step in range(51)]
    assert rate[10] == pytest.approx(1e-2)
    assert np.diff(rate[:11]) == pytest.approx(1e-2 / 10 * 0.9, rel=0.01)  # a straight line up
    assert rate[30] == pytest.approx(0.5e-2, rel=1e-3)  # half the way down
    assert rate[50] == pytest.approx(0, abs=1e-6)
    assert (np.diff(rate[10:]) < 0).all()


@outside_a_graph
def test_each_step_has_its_rate_also_when_resumed(tmp_path, monkeypatch):
    used = []
    monkeypatch.setattr(
        loop._SetRate,
        "on_train_batch_end",
        lambda self, batch, logs=None: used.append(float(self.model.optimizer.learning_rate)),
    )
    settings = {"epochs": 2, "steps_per_epoch": 3, "warmup": 0.4}
    with monkeypatch.context() as patch:
        stop_at(patch, 1, KilledError())
        with pytest.raises(KilledError):
            fit(tmp_path, **settings)
    fit(tmp_path, resume=True)
    rate = loop._Rate(Settings().learning_rate, 6, warmup=0.4)
    assert used == pytest.approx([rate.at(step) for step in range(6)])


@outside_a_graph
def test_training_shows_how_far_it_is(tmp_path, capsys):
    settings = {**QUICK, "epochs": 1, "steps_per_epoch": 2}
    temzoo.train(tiny(), TRAIN, VAL, out=tmp_path / "run", **settings)
    said = capsys.readouterr().out
    assert "epoch   1/1  loss" in said
    assert "validation:  loss" in said


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


@outside_a_graph
def test_the_card_says_how_far_sizes_and_numbers_are_off(tmp_path, monkeypatch):
    """Each of nine squares is found 12 px wide where 10 px are labelled, and one is missed."""
    monkeypatch.undo()
    corners = [(20 * row + 4, 20 * col + 4) for row in range(3) for col in range(3)]

    def micrograph(name):
        shapes = [
            Shape("box", "particle", np.array([[left, top], [left + 10, top + 10]], float))
            for top, left in corners
        ]
        labels = LabelledImage(name, 64, 64, tuple(shapes), ("particle",))
        pixels = np.zeros((64, 64), np.uint8)
        return Example(labels, partial(Micrograph, pixels, None, name))

    def answer(model, shown):
        instances = np.zeros((64, 64), np.int32)
        for number, (top, left) in enumerate(corners[:-1], start=1):
            instances[top - 1 : top + 11, left - 1 : left + 11] = number
        found = Prediction((instances > 0).astype(np.uint8), instances, name=shown.name)
        return dataclasses.replace(found, nm_per_pixel=(2.0, 2.0))

    monkeypatch.setattr(training, "predict", answer)
    val = [micrograph("a.png"), micrograph("b.png")]
    settings = {**QUICK, "epochs": 1, "progress": False}
    run = temzoo.train(tiny(), TRAIN, val, out=tmp_path / "run", **settings)
    card = pretrained.read_card(run.folder / "best.weights.h5")
    assert card.errors["images"] == 2
    assert card.errors["d50"] == {"mean": pytest.approx(np.log(1.2), abs=1e-3), "sd": 0.0}
    # A free square may lie in fewer places the wider it is (ISO 13322-1).
    assert card.errors["count"]["mean"] == pytest.approx(np.log(8 / 9 * (53 / 51) ** 2), abs=1e-3)
    few = temzoo.train(tiny(), TRAIN, val[:1], out=tmp_path / "few", **settings)
    assert pretrained.read_card(few.folder / "best.weights.h5").errors == {}


@outside_a_graph
def test_one_seed_gives_one_run(tmp_path):
    first, again = (fit(tmp_path / name, epochs=2) for name in ("a", "b"))
    other = fit(tmp_path / "c", epochs=2, seed=1)
    assert [r["loss"] for r in first.history] == [r["loss"] for r in again.history]
    assert [r["loss"] for r in first.history] != [r["loss"] for r in other.history]


class KilledError(Exception):
    """A kill in the middle."""


def stop_at(monkeypatch, epoch, reason):
    original = loop._EndOfEpoch.on_epoch_begin

    def begin(self, number, logs=None):
        if number == epoch:
            raise reason
        original(self, number, logs)

    monkeypatch.setattr(loop._EndOfEpoch, "on_epoch_begin", begin)
    return original


@pytest.mark.parametrize("average", [None, 0.8])
def test_resumed_after_a_kill_it_is_the_run_that_was_never_stopped(tmp_path, monkeypatch, average):
    whole_model, resumed_model = tiny(dropout=0.2), tiny(dropout=0.2)
    whole = fit(tmp_path / "whole", whole_model, epochs=4, average=average)
    with monkeypatch.context() as patch:
        stop_at(patch, 2, KilledError())
        with pytest.raises(KilledError):
            fit(tmp_path / "cut", tiny(dropout=0.2), epochs=4, average=average)
    resumed = fit(tmp_path / "cut", resumed_model, resume=True)
    assert_as_in_peace((whole, whole_model), (resumed, resumed_model))


def stop_in_epoch(monkeypatch, step):
    """The run is killed before a step, counted from its first."""
    original = loop._SetRate.on_train_batch_begin

    def begin(self, batch, logs=None):
        if self.step == step:
            raise KilledError
        original(self, batch, logs)

    monkeypatch.setattr(loop._SetRate, "on_train_batch_begin", begin)


@outside_a_graph
@pytest.mark.parametrize("stopped", [4, 13])  # in the first epoch, and in the third
def test_stopped_inside_an_epoch_it_goes_on_there(tmp_path, monkeypatch, stopped):
    settings = {"steps_per_epoch": 5, "average": 0.8}
    whole_model, resumed_model = tiny(dropout=0.2), tiny(dropout=0.2)
    whole = fit(tmp_path / "whole", whole_model, **settings)
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, stopped)
        with pytest.raises(KilledError):
            fit(tmp_path / "cut", tiny(dropout=0.2), **settings, save_every=1e-9)
    state = tmp_path / "cut" / "state"
    name = f"epoch-{stopped // 5}-step-{stopped % 5}.weights.h5"
    ends = ("", loop.AVERAGE, inside_epoch.SUFFIX)
    assert {p.name for p in state.iterdir()} == {"progress.json", *(name + end for end in ends)}
    data, starts = training_data.LabelledData, []
    stream = data.training
    monkeypatch.setattr(data, "training", lambda *a: starts.append(a[1]) or stream(*a))
    resumed = fit(tmp_path / "cut", resumed_model, resume=True)
    assert starts[0] == stopped * QUICK["batch"]  # no step is done twice
    assert_as_in_peace((whole, whole_model), (resumed, resumed_model))


@outside_a_graph
def test_a_damaged_state_inside_an_epoch_is_named(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 2)
        with pytest.raises(KilledError):
            fit(tmp_path, steps_per_epoch=3, save_every=1e-9)
    (path,) = (tmp_path / "state").glob(f"*{inside_epoch.SUFFIX}")
    np.savez(path, np.zeros(7))
    with pytest.raises(ValueError, match=r"this run inside an epoch\. Received: arrays of"):
        fit(tmp_path, resume=True)
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"inside.npz must hold .* Received: \w+: .*copy it again"):
        fit(tmp_path, resume=True)


class _Weights:
    """What a callback needs of a model, with weights that follow a list."""

    def __init__(self, values):
        self.values, self.now = iter(values), [np.zeros(2, "float32")]

    def step(self):
        self.now = [np.full(2, next(self.values), "float32")]

    def get_weights(self):
        return [w.copy() for w in self.now]

    def set_weights(self, weights):
        self.now = [np.array(w) for w in weights]


def test_the_average_of_weights_is_that_of_the_formula(tmp_path):
    values = [3.0, 1.0, 4.0, 1.0, 5.0]
    settings = SimpleNamespace(average=0.2)
    trainer = SimpleNamespace(
        settings=settings, folder=tmp_path, done=SimpleNamespace(state="", best=0)
    )
    average, model = loop._Average(trainer), _Weights(values)
    average.set_model(model)
    average.on_train_begin()
    expected = 0.0
    for step, value in enumerate(values, start=1):
        model.step()
        average.on_train_batch_end(step)
        kept = min(0.2, step / (step + 10))
        expected = kept * expected + (1 - kept) * value
    with average.shown(model):
        np.testing.assert_allclose(model.now[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(model.now[0], 5.0)


@outside_a_graph
def test_the_averaged_weights_are_judged_and_kept(tmp_path):
    plain, averaged = tiny(), tiny()
    fit(tmp_path / "plain", plain, epochs=1)
    run = fit(tmp_path / "averaged", averaged, epochs=1, average=0.9)
    changed = [
        not np.array_equal(a, b) for a, b in zip(plain.weights, averaged.weights, strict=True)
    ]
    assert any(changed)
    assert temzoo.evaluate(averaged, VAL).iou.value == pytest.approx(run.score, abs=0.02)


@outside_a_graph
def test_a_kill_while_the_state_is_written_loses_one_epoch_only(tmp_path, monkeypatch):
    whole = fit(tmp_path / "whole", epochs=3)
    original = loop.Trainer.save_progress

    def killed(self, state):
        if state.startswith("epoch-2"):
            raise KilledError
        original(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "save_progress", killed)
        with pytest.raises(KilledError):
            fit(tmp_path / "cut", epochs=3)
    resumed = fit(tmp_path / "cut", resume=True)
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in whole.history]
    assert [p.name for p in (tmp_path / "cut" / "state").iterdir()] == ["progress.json"]


@outside_a_graph
def test_a_finished_run_is_not_trained_further_by_resuming(tmp_path):
    first = fit(tmp_path, epochs=8, learning_rate=1e-9, patience=1)
    old = tmp_path / "state" / "epoch-2.weights.h5"
    old.write_bytes(b"of a kill")
    again = fit(tmp_path, resume=True)
    assert len(again.history) == len(first.history) < 8
    assert not old.exists()


def two_phases(folder, **settings):
    model = tiny(encoder_trainable=False)
    changes = {"finetune": {"encoder_trainable": True}, "steps_per_epoch": 2}
    changes |= {"epochs": 2, "finetune_epochs": 2}
    return fit(folder, model, **{**changes, **settings}), model


@outside_a_graph
def test_killed_in_the_second_phase_it_goes_on_there(tmp_path, monkeypatch):
    whole, _ = two_phases(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 3, KilledError())
        with pytest.raises(KilledError):
            two_phases(tmp_path / "cut")
    resumed, _ = two_phases(tmp_path / "cut", resume=True)
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in whole.history]


@outside_a_graph
def test_patience_ends_a_phase_and_the_next_has_its_own(tmp_path):
    run, _ = two_phases(
        tmp_path, epochs=9, learning_rate=1e-9, finetune_rate=1e-9, finetune_epochs=1, patience=1
    )
    card = json.loads((tmp_path / "last.json").read_text())
    assert len(run.history) < 9
    assert card["config"]["encoder_trainable"] is True


@outside_a_graph
def test_a_disk_that_is_too_full_for_the_log_is_an_error_of_the_system(tmp_path, monkeypatch):
    stop_at(
        monkeypatch, 1, tf.errors.ResourceExhaustedError(None, None, "x; No space left on device")
    )
    with pytest.raises(OSError, match=r"No space left on device: '.*run'"):
        fit(tmp_path / "run")


@outside_a_graph
def test_ctrl_c_keeps_the_best_so_far(tmp_path, monkeypatch):
    stop_at(monkeypatch, 2, KeyboardInterrupt())
    model = tiny()
    run = fit(tmp_path, model, epochs=5)
    assert run.interrupted
    assert len(run.history) == 2
    again = temzoo.get_model("tiny", weights=tmp_path)
    x = VAL[0].micrograph.pixels[None, ..., None]
    np.testing.assert_array_equal(again(x), model(x))


@outside_a_graph
def test_patience_stops_early(tmp_path):
    run = fit(tmp_path, epochs=30, learning_rate=1e-9, patience=2)
    assert len(run.history) <= 6


@outside_a_graph
def test_the_second_phase_changes_a_keyword_and_learns_more(tmp_path):
    before = [v.numpy() for v in tiny().get_layer("encoder").variables]
    run, _ = two_phases(tmp_path, epochs=1, finetune_epochs=3)
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4]
    card = json.loads((tmp_path / "last.json").read_text())
    assert card["config"]["encoder_trainable"] is True
    after = temzoo.get_model("tiny", weights=tmp_path / "last.weights.h5")
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
@outside_a_graph
def test_class_weights(tmp_path, weights):
    assert np.isfinite(fit(tmp_path, epochs=1, class_weights=weights).history[0]["loss"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, 'train has no setting "epoch". Did you mean epochs'),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"learning_rate": -1}, "learning_rate must lie between 0 and 1"),
        ({"finetune_epochs": 0}, "finetune_epochs must be at least 1"),
        ({"validate_every": 0}, "validate_every must be at least 1"),
        ({"save_every": 0}, "save_every must be minutes, more than 0. Received: save_every=0"),
        ({"average": 1.0}, "average must lie between 0 and 1, or be None"),
        ({"warmup": 2.0}, r"warmup is a share below 1. Received: .* Use 0.05"),
        ({"class_weights": "balance"}, 'class_weights must be None, "balanced"'),
        ({"class_weights": [1, 2, 3]}, "one factor per class, background first: 2 here"),
        ({"finetune": {"backbone_trainable": True}}, 'has no keyword "backbone_trainable"'),
        ({"finetune": {"dropout": 0.5}}, "keywords that leave the weights' shapes alone"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"augment": "heavy"}, "heavy"),
        ({"augmenter": "imgaugg"}, "no augmentation library .* Did you mean"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, **settings)


def test_data_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Received in both: \['0.png'\]"):
        temzoo.train(tiny(), TRAIN, [*VAL, TRAIN[0]], out=tmp_path)
    with pytest.raises(ValueError, match=r"6 for training, 0 for validation\. temzoo\.split"):
        temzoo.train(tiny(), TRAIN, [], out=tmp_path)
    with pytest.raises(
        ValueError,
        match=r"model needs classes=2. Received: classes=4. Build it with get_model\(…, classes=2",
    ):
        temzoo.train(tiny(classes=4), TRAIN, VAL, out=tmp_path)


def test_a_specimen_on_both_sides_is_refused(tmp_path):
    def of_specimen(examples):
        return [dataclasses.replace(e, group="grid 7") for e in examples]

    with pytest.raises(ValueError, match=r"Received in both: \['grid 7'\]"):
        temzoo.train(tiny(), of_specimen(TRAIN), of_specimen(VAL), out=tmp_path)


@outside_a_graph
def test_what_a_loader_raises_arrives_as_it_was(tmp_path):
    def broken():
        raise OSError("b.tif is truncated. Copy it again.")

    bad = dataclasses.replace(TRAIN[0], load=broken)
    with pytest.raises(OSError, match=r"b.tif is truncated"):
        temzoo.train(tiny(), [bad], VAL, out=tmp_path, progress=False, **QUICK)
    small = dataclasses.replace(TRAIN[0], load=lambda: Micrograph(np.zeros((9, 9), "uint8")))
    with pytest.raises(ValueError, match=r"0.png: labels and image must have one size"):
        temzoo.train(tiny(), [small], VAL, out=tmp_path, progress=False, **QUICK)


def test_a_finished_run_is_not_overwritten(finished):
    run, model = finished
    with pytest.raises(FileExistsError, match="holds a run already"):
        fit(run.folder, model)
    with pytest.raises(ValueError, match="other images or labels for train"):
        temzoo.train(model, TRAIN[:3], VAL, out=run.folder, resume=True)
    with pytest.raises(ValueError, match=r"Received: filters=8, in .*run.json 4"):
        fit(run.folder, unet(filters=8), resume=True)


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
    with pytest.raises(ValueError, match=r"bare.json: model must be text. Received: nothing"):
        temzoo.get_model("unet", weights=bare)
    with pytest.raises(ValueError, match=r"ends in .weights.h5"):
        pretrained.card_path(tmp_path / "bare.h5")


@outside_a_graph
def test_epochs_between_validations_are_neither_judged_nor_chosen(tmp_path):
    run = fit(tmp_path, epochs=3, validate_every=2)
    assert ["val_iou" in row for row in run.history] == [False, True, True]
    assert run.epoch in (2, 3)
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["val_iou"] == ""
    assert float(rows[1]["val_iou"]) == run.history[1]["val_iou"]
    assert json.loads((tmp_path / "last.json").read_text())["scores"].keys() == {"val_iou", "epoch"}


def test_a_crop_follows_the_model_where_that_takes_one_size():
    assert training_data.crop_side(tiny(), None, 256) == 256
    assert training_data.crop_side(tiny(), 96, 256) == 96
    assert training_data.crop_side(detector(), None, 256) == 48
    assert training_data.crop_side(detector(), 48, 256) == 48


CELL = 16


class Spots(keras.Model):
    """A detector of one object a cell: is there one, where is its centre, how large is it.

    A stand-in for a two-stage detector, with the same methods: objects are as the anchors' mean
    size times what is learnt, and their masks ellipses.
    """

    channels = 1

    @property
    def anchor_sizes(self):
        return self.get_layer("anchors").weights[0].numpy()

    def set_anchor_sizes(self, sizes):
        self.get_layer("anchors").weights[0].assign(sizes)

    @property
    def image_size(self):
        return self.input_shape[1]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        truth, found = self._truth(y), tf.cast(y_pred, tf.float32)
        there = truth[..., :1]
        seen = keras.ops.binary_crossentropy(there, found[..., :1], from_logits=True)
        off = tf.abs(found[..., 1:] - truth[..., 1:]) * there
        return (tf.reduce_sum(seen) + tf.reduce_sum(off)) / (tf.reduce_sum(there) + 1.0)

    def _truth(self, y):
        """(B, rows, cols, 5): whether a cell has an object's centre; centre and size in cells."""
        low, high = y["boxes"][..., :2], y["boxes"][..., 2:]
        centre, size = (low + high) / (2 * CELL), (high - low) / CELL
        real = y["classes"] > 0
        where = tf.concat([tf.where(real)[:, :1], tf.cast(centre[real], tf.int64)], axis=1)
        values = tf.concat([tf.ones_like(centre[real][:, :1]), centre[real] % 1, size[real]], 1)
        side = self.image_size // CELL
        canvas = tf.zeros((tf.shape(y["boxes"])[0], side, side, 5))
        return tf.tensor_scatter_nd_max(canvas, where, values)

    def detect(self, pixels, *, statistics=None, min_score=0.05, max_detections=None, **_):
        found = np.asarray(self(pixels, training=False), "float32")
        found = [self._objects(one, min_score)[: max_detections or 50] for one in found]
        most = max(1, *(len(one) for one in found))
        rows = np.stack([np.pad(one, ((0, most - len(one)), (0, 0))) for one in found])
        axis = (np.arange(28) + 0.5) / 14 - 1
        disc = (axis[:, None] ** 2 + axis**2 <= 1).astype("float32")
        return SimpleNamespace(
            boxes=rows[..., 1:],
            classes=np.ones(rows.shape[:2], "int32"),
            scores=rows[..., 0],
            masks=np.broadcast_to(disc, (*rows.shape[:2], 28, 28)),
            counts=np.array([len(one) for one in found]),
        )

    def _objects(self, found, min_score):
        """(N, 5) score and box, by falling score."""
        score = 1 / (1 + np.exp(-found[..., 0]))
        cells = np.argwhere(score >= min_score)
        row, col = cells.T
        centre = (cells + found[row, col, 1:3]) * CELL
        half = np.abs(found[row, col, 3:]) * CELL / 2
        rows = np.concatenate([score[row, col, None], centre - half, centre + half], axis=1)
        return rows[np.argsort(-rows[:, 0], kind="stable")]


@keras.saving.register_keras_serializable("test_training")
class MeanSize(keras.layers.Layer):
    """Multiplies by the mean of a weight of four sizes, in cells; it is set, never trained."""

    def build(self, shape):
        self.sizes = self.add_weight(shape=(4,), initializer="ones", trainable=False, name="sizes")

    def call(self, x):
        return x * keras.ops.cast(keras.ops.mean(self.sizes) / CELL, x.dtype)


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Taken back afterwards, so that other tests list the package's models alone."""
    temzoo.register("spots", task="instance", free=("anchor_sizes", "image_size"))(spots)
    temzoo.register("tiny", task="semantic", free=("encoder_trainable",))(two_convolutions)
    yield
    for name in ("spots", "tiny"):
        del cards.BUILDERS[name], cards._CARDS[name]


def spots(*, classes=2, image_size=48, dropout=0.0, anchor_sizes=None):
    x = pixels = keras.Input((image_size, image_size, 1))
    x = keras.layers.Rescaling(1 / 64, -2, name="normalize")(x)
    for filters in (8, 16, 32, 32):
        x = keras.layers.Conv2D(filters, 3, 2, "same", activation="relu")(x)
    x = keras.layers.Dropout(dropout)(x)
    seen, size = keras.layers.Conv2D(3, 3, 1, "same")(x), keras.layers.Conv2D(2, 1)(x)
    size = MeanSize(name="anchors")(size)
    y = keras.layers.Concatenate(dtype="float32")([seen, size])
    model = Spots(pixels, y)
    model.set_anchor_sizes(anchor_sizes or (10, 20, 40, 80))
    return model


def detector(**config):
    keras.utils.set_random_seed(3)
    return temzoo.get_model("spots", **config)


FIND = {"batch": 4, "steps_per_epoch": 4, "augment": "light", "magnification": (1, 1)}


def find(folder, model=None, **settings):
    model = model or detector()
    usual = {} if settings.get("resume") else {**FIND, "epochs": 3, "crop": None}
    options = {**usual, **settings}
    return temzoo.train(model, TRAIN, VAL, out=folder, progress=False, **options)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A detector's run that had time to learn, and the model."""
    model = detector()
    folder = tmp_path_factory.mktemp("found")
    return find(folder, model, batch=8, steps_per_epoch=60, learning_rate=6e-3), model


def test_a_detector_learns_and_is_chosen_by_the_f1_of_evaluate(found):
    run, model = found
    assert run.score_name == "F1"
    assert run.score >= 0.6
    assert run.score == max(row["val_f1"] for row in run.history)
    evaluated = temzoo.evaluate(model, VAL, bootstrap=1)
    assert evaluated.pooled["instance_f1"].value == pytest.approx(run.score)
    best = run.history[run.epoch - 1]
    assert evaluated.pooled["instance_precision"].value == pytest.approx(best["val_precision"])
    assert evaluated.pooled["instance_recall"].value == pytest.approx(best["val_recall"])


def test_the_run_of_a_detector_is_as_any(found):
    run, model = found
    told = json.loads((run.folder / "run.json").read_text())
    assert told["settings"]["crop"] == 48
    card = json.loads((run.folder / "best.json").read_text())
    assert card["scores"] == {"val_f1": run.score, "epoch": run.epoch}
    assert (run.folder / "validation.png").stat().st_size > 1000
    again = temzoo.get_model("spots", weights=run.folder)
    x = VAL[0].micrograph.pixels[None, ..., None]
    np.testing.assert_array_equal(again(x), model(x))


def test_anchors_are_chosen_from_the_training_objects_and_kept(found):
    run, model = found
    chosen = instance_targets.anchor_sizes(TRAIN, largest=48)
    assert model.anchor_sizes.tolist() == pytest.approx(chosen) != [10, 20, 40, 80]
    trained = temzoo.get_model("spots", weights=run.folder)
    given = detector(anchor_sizes=(5, 6, 7, 8))
    for kept in (trained, given):
        before = kept.anchor_sizes
        task_named("instance").prepare(kept, TRAIN, (0.5, 0.5))
        np.testing.assert_array_equal(kept.anchor_sizes, before)
    assert trained.anchor_sizes.tolist() == pytest.approx(chosen)
    fresh = detector()
    task_named("instance").prepare(fresh, TRAIN, (0.5, 0.5))
    small = instance_targets.anchor_sizes(TRAIN, magnification=(0.5, 0.5))
    assert fresh.anchor_sizes.tolist() == pytest.approx(small) != chosen


def test_a_detector_resumed_is_the_run_that_was_never_stopped(tmp_path, monkeypatch):
    whole_model, resumed_model = detector(dropout=0.2), detector(dropout=0.2)
    settings = {"epochs": 3, "validate_every": 2}
    whole = find(tmp_path / "whole", whole_model, **settings)
    assert ["val_f1" in row for row in whole.history] == [False, True, True]
    with monkeypatch.context() as patch:
        stop_at(patch, 1, KilledError())
        with pytest.raises(KilledError):
            find(tmp_path / "cut", detector(dropout=0.2), **settings)
    resumed = find(tmp_path / "cut", resumed_model, resume=True)
    assert_as_in_peace((whole, whole_model), (resumed, resumed_model))
    chosen = instance_targets.anchor_sizes(TRAIN, largest=48)
    assert resumed_model.anchor_sizes.tolist() == pytest.approx(chosen)


@outside_a_graph
def test_while_nothing_is_found_the_latest_epoch_counts_and_patience_waits(tmp_path):
    run = find(tmp_path, epochs=3, steps_per_epoch=1, learning_rate=1e-9, patience=1)
    assert [row["val_f1"] for row in run.history] == [0, 0, 0]
    assert (run.score, run.epoch) == (0, 3)


def test_a_detector_trains_in_mixed_precision(tmp_path):
    model = detector()
    run = find(tmp_path, model, epochs=1, mixed_precision=True)
    assert np.isfinite(run.history[0]["loss"])
    assert {v.dtype for v in model.weights} == {"float32"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": 64}, r"spots takes images of 48 px, so crop must be 48. Received: crop=64"),
        ({"finetune": {"image_size": 64}}, r"takes images of 64 px.*Received: crop=48"),
        ({"loss": "dice"}, r"are its own. Received: loss='dice'. Leave loss out"),
        ({"class_weights": "balanced"}, r"no class weights. Received: class_weights='balanced'"),
        ({"class_weights": [1, 2]}, r"no class weights. Received: class_weights=\[1, 2\]"),
    ],
)
def test_settings_that_a_detector_cannot_have_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        find(tmp_path, **settings)


def test_a_detector_of_other_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"model needs classes=2. Received: classes=3"):
        find(tmp_path, detector(classes=3))


@pytest.mark.slow
def test_mask_rcnn_resumed_is_the_run_that_was_never_stopped(tmp_path, monkeypatch):
    def model():
        keras.utils.set_random_seed(1)
        small = {"alpha": 0.25, "backbone_weights": None, "backbone_trainable": True}
        return temzoo.get_model("mask_rcnn", image_size=64, **small)

    settings = {"epochs": 2, "batch": 2, "steps_per_epoch": 2}
    whole_model, resumed_model = model(), model()
    whole = find(tmp_path / "whole", whole_model, **settings)
    assert np.isfinite(list(whole.history[-1].values())).all()
    with monkeypatch.context() as patch:
        stop_at(patch, 1, KilledError())
        with pytest.raises(KilledError):
            find(tmp_path / "cut", model(), **settings)
    resumed = find(tmp_path / "cut", resumed_model, resume=True)
    assert_as_in_peace((whole, whole_model), (resumed, resumed_model))


@outside_a_graph
def test_validation_without_the_tasks_score_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(task_named("semantic"), "score", "val_purity")
    with pytest.raises(ValueError, match=r'judged by "val_purity".*validation that gave val_'):
        fit(tmp_path, epochs=1)


def test_a_generative_model_without_a_latent_space_is_refused():
    @temzoo.register("blank", task="generative")
    def blank(*, channels=1):
        pixels = keras.Input((16, 16, channels))
        return keras.Model(pixels, keras.layers.Identity()(pixels))

    try:
        model = temzoo.get_model("blank", compile=False)
        with pytest.raises(ValueError, match=r"has encode, decode and image_size.*blank without"):
            training_data.ImageData.complete(model, Settings(), TRAIN)
    finally:
        cards.BUILDERS.pop("blank")
        cards._CARDS.pop("blank")


def test_a_restorer_without_named_layers_is_refused():
    model = temzoo.get_model("unet", filters=4, depth=1, compile=False)
    message = r'a restorer has layers "normalize".*unet without restored\. Name them so'
    with pytest.raises(ValueError, match=message):
        training_data.PairData.complete(model, Settings(), TRAIN)


def test_labels_without_an_area_teach_nothing_and_it_says_so(tmp_path):
    points = Shape("points", "particle", np.array([[4.0, 4.0]]))
    marked = [
        dataclasses.replace(one, labels=dataclasses.replace(one.labels, shapes=(points,)))
        for one in TRAIN
    ]
    words = "There is nothing to learn masks from: no shape has an area, of 6 points. Draw outlines"
    with pytest.raises(ValueError, match=words):
        training_data.with_classes("unet", {}, marked)
    with pytest.raises(ValueError, match=words):
        temzoo.train(tiny(), marked, VAL, out=tmp_path, **QUICK)


@outside_a_graph
def test_a_function_is_told_how_far_it_is_and_can_end_it(tmp_path, capsys):
    told = []

    def tell(share, text):
        told.append((share, text))
        if len(told) == 6:
            raise KeyboardInterrupt

    run = temzoo.train(tiny(), TRAIN, VAL, out=tmp_path / "r", progress=tell, **QUICK, epochs=3)
    assert run.interrupted
    assert run.epoch == 1
    assert [share for share, _ in told] == pytest.approx([n / 12 for n in range(1, 7)])
    assert told[0][1] == "epoch 1 of 3"
    assert told[-1][1] == f"epoch 2 of 3, iou {run.score:.3f} on validation"
    assert capsys.readouterr().out == ""
