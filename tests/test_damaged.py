"""Runs, cards and weights that are damaged or forged: one line names the file and the place."""

import json
from functools import partial

import h5py
import keras
import numpy as np
import pytest

import temzoo
from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.training import loop
from temzoo.workflows import training
from temzoo.zoo import pretrained

pytestmark = pytest.mark.usefixtures("eager_file")
SETTINGS = {"batch": 1, "crop": 16, "steps_per_epoch": 1, "augment": "none"}
CONFIG = {"filters": 2, "depth": 1}


def examples(seed):
    shape = Shape("ellipse", "particle", np.array([[8, 8], [5, 4]]))
    labels = LabelledImage(f"{seed}.png", 16, 16, (shape,), ("particle",))
    pixels = np.random.default_rng(seed).integers(0, 99, (16, 16)).astype("uint8")
    return [Example(labels, partial(Micrograph, pixels, None, labels.name))]


def unet():
    return temzoo.get_model("unet", **CONFIG)


def train(folder, **settings):
    return temzoo.train(unet(), examples(0), examples(1), out=folder, progress=False, **settings)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr(training, "finish", lambda run, model, data: None)


def stop_after_one_epoch(folder, **settings):
    begin = loop._EndOfEpoch.on_epoch_begin

    def interrupted(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        begin(self, epoch, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "finish", lambda run, model, data: None)
        patch.setattr(loop._EndOfEpoch, "on_epoch_begin", interrupted)
        train(folder, **SETTINGS, **settings)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The files of a run that was stopped after its first epoch of three."""
    folder = tmp_path_factory.mktemp("run")
    stop_after_one_epoch(folder, epochs=3, average=0.9)
    return folder


@pytest.fixture
def run(stopped, tmp_path):
    for path in stopped.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(stopped)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path


def change(path, **fields):
    told = json.loads(path.read_text())
    for name, value in fields.items():
        if value is ...:
            del told[name]
        else:
            told[name] = value
    path.write_text(json.dumps(told))


FORGED = {"state": "../best.weights.h5"}
PROGRESS = [
    *({"history": value} for value in (..., None, {}, "text", [1], [{}], [{"epoch": "one"}])),
    *({"epoch": value} for value in (..., None, "1", 1.5, True, 7, -1)),
    *({"phase": value} for value in (..., "0", 9, -1)),
    *({"state": value} for value in (..., None, 3, "no-such", *FORGED.values())),
    *({"best": value} for value in (..., None, "high", [])),
    *({"best_epoch": 2}, {"minutes": None}, {"phase_start": 2}, {"surplus": 1}),
]
RUN = [
    *({"model": value} for value in (..., None, 1, "no-such")),
    *({"config": value} for value in (..., None, [], {"filters": "many"})),
    *({"settings": value} for value in (..., None, [], {"epochs": "three"}, {"epoch": 3})),
    *({"settings": value} for value in ({"batch": 1e9}, {"average": "x"}, {"warmup": None})),
    *({"data": value} for value in (..., None, [], {"train": 1}, {"train": {}, "val": {}})),
    *({"command": 1}, {"objects": "loss"}, {"notes": 3}),
]


@pytest.mark.parametrize("fields", PROGRESS, ids=str)
def test_damaged_progress_is_named(run, fields):
    change(run / "state/progress.json", **fields)
    with pytest.raises(ValueError, match=r"progress\.json: ") as raised:
        train(run, resume=True)
    assert "\n" not in str(raised.value)
    assert (run / "best.weights.h5").is_file()  # a forged state is not cleared away


@pytest.mark.parametrize("fields", RUN, ids=str)
def test_a_damaged_run_is_named(run, fields):
    change(run / "run.json", **fields)
    with pytest.raises(ValueError, match=r"run\.json\b") as raised:
        train(run, resume=True)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "null", '"text"', "3", "{", "\udcff\udcfe", "[" * 9999])
@pytest.mark.parametrize("name", ["run.json", "state/progress.json"])
def test_what_is_no_object_is_named(run, name, text):
    (run / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=rf"{name}: ") as raised:
        train(run, resume=True)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "zip"])
@pytest.mark.parametrize("name", ["epoch-1.weights.h5", "epoch-1.weights.h5.npz"])
def test_a_damaged_state_is_named(run, name, damage):
    path = run / "state" / name
    whole = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"empty": b"", "cut": whole[:600], "zip": b"PK\3\4" + b"0" * 99}[damage])
    with pytest.raises(ValueError, match=rf"state/{name} must hold") as raised:
        train(run, resume=True)
    assert "\n" not in str(raised.value)


def test_other_settings_are_refused_and_the_same_ones_are_not(run):
    with pytest.raises(ValueError, match=r"Received: epochs=4, in .*run\.json 3\. Leave epochs"):
        train(run, resume=True, epochs=4)
    with pytest.raises(ValueError, match=r'no setting "epoch"'):
        train(run, resume=True, epoch=3)
    assert len(train(run, resume=True, epochs=3, **SETTINGS).history) == 3


def test_a_loss_of_ones_own_is_passed_again(tmp_path):
    loss, weights = keras.losses.CategoricalCrossentropy(), np.array([1.0, 2.0])
    stop_after_one_epoch(tmp_path, epochs=2, loss=loss)
    with pytest.raises(ValueError, match=r"run\.json cannot hold the loss.*Pass the same again"):
        train(tmp_path, resume=True)
    assert len(train(tmp_path, resume=True, loss=loss).history) == 2
    stop_after_one_epoch(tmp_path / "arrays", epochs=2, class_weights=weights)
    assert len(train(tmp_path / "arrays", resume=True, class_weights=weights).history) == 2


CARDS = [
    *({"config": value} for value in (None, [], "text", {"depth": 60}, {"filters": 9999999999})),
    *({"config": value} for value in ({"dropout": float("nan")}, {"dropout": "x"}, {"fitlers": 1})),
    *({"config": {"filters": value}} for value in ("many", None, [2], {"a": 1}, 0, -1, 1.5)),
    *({"config": value} for value in ({"classes": 1e400}, {"norm": {}}, {"depth": 8})),
    *({"model": value} for value in (..., None, 1, [], "no-such")),
    *({"class_names": value} for value in (None, "particle", {}, [1], [None])),
    *({"scores": []}, {"partial": "no"}, {"partial": 1}, {"sha256": None}, {"sha256": "0" * 64}),
    *({"surplus": 1}, {"errors": []}, {"precisions": 0}, {"date": 3}, {"licence": {}}),
]


@pytest.mark.parametrize("fields", CARDS, ids=str)
def test_a_damaged_card_is_named(run, fields):
    fields = {"config": {**fields["config"]}} if isinstance(fields.get("config"), dict) else fields
    if isinstance(fields.get("config"), dict):
        fields["config"] = {**CONFIG, "filters": 1024, **fields["config"]}
    change(run / "best.json", **fields)
    with pytest.raises(ValueError, match=r"best\.(json|weights\.h5)\b") as raised:
        temzoo.zoo.building.trained_model(run)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "null", '"text"', "3", "{", "\udcff\udcfe"])
def test_a_card_that_is_no_object_is_named(run, text):
    (run / "best.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"best\.json: ") as raised:
        temzoo.get_model("unet", weights=run)
    assert len(str(raised.value).splitlines()) == 1


def _group(file, name):
    del file[name]
    file.create_group(name)


def _array(file, name, value):
    del file[name]
    file[name] = value


def _elsewhere(file, name, link):
    del file[name]
    file[name] = link


def _external(file, name):
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, "f4", external=[("secret.bin", 0, 10**6)])


def _virtual(file, name):
    layout = h5py.VirtualLayout(file[name].shape, "f4")
    layout[...] = h5py.VirtualSource("secret.h5", "a", shape=file[name].shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def _bomb(file, name):
    del file[name]
    file.create_dataset(name, (10**12,), "f4", chunks=(10**6,), compression="gzip")


DAMAGES = {
    "group": _group,
    "text": partial(_array, value="text"),
    "texts": partial(_array, value=np.array([b"a", b"b"])),
    "shape": partial(_array, value=np.zeros((3, 3), "f4")),
    "scalar": partial(_array, value=1.0),
    "records": partial(_array, value=np.zeros(2, [("a", "f4")])),
    "missing": lambda file, name: file.__delitem__(name),
    "external link": partial(_elsewhere, link=h5py.ExternalLink("secret.h5", "/a")),
    "soft link": partial(_elsewhere, link=h5py.SoftLink("/elsewhere")),
    "external storage": _external,
    "virtual": _virtual,
    "bomb": _bomb,
}


@pytest.fixture(scope="module")
def model():
    return unet()


@pytest.mark.parametrize("damage", [*DAMAGES, "empty", "cut", "no hdf5"])
@pytest.mark.parametrize("by_name", [True, False], ids=["by name", "of Keras"])
def test_damaged_weights_behind_a_right_hash_are_named(model, tmp_path, by_name, damage):
    path = tmp_path / pretrained.BEST
    (pretrained.save_trained if by_name else pretrained.save)(model, path)
    if damage in DAMAGES:
        arrays = []
        with h5py.File(path, "r+") as file:
            file.visititems(lambda n, o: arrays.append(n) if isinstance(o, h5py.Dataset) else None)
            DAMAGES[damage](file, max(arrays, key=lambda n: file[n].size))
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": whole[:3000], "no hdf5": b"PK\3\4"}[damage])
    pretrained.write_card(path, pretrained.WeightsCard("unet", CONFIG, ("particle",)))
    for ask in ({"weights": path}, {"start": path}):
        with pytest.raises(ValueError, match=r"best\.weights\.h5 must ") as raised:
            temzoo.get_model("unet", **ask)
        assert "\n" not in str(raised.value)
