"""Training on several devices learns what it learns on one.

Devices are parts of one processor, or processes on this machine; no GPU is needed.
"""

import csv
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import temzoo
from temzoo.data.crop_plan import CropPlan
from temzoo.data.dataset import training_stream
from temzoo.data.images import image_stream
from temzoo.data.pairs import PairPlan, pair_stream
from temzoo.data.share import ALL, Share
from temzoo.data.synthetic.synthesize import write_dataset
from temzoo.tasks.pixel_models import require_weights
from temzoo.tasks.semantic import ClassMaps
from temzoo.training import devices, keras_repairs

MODEL = Path(__file__).parent / "several_devices_model.py"
STEPS = ("--epochs", 5, "--steps", 10, "--batch", 4, "--crop", 32, "--learning-rate", 5e-3)
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Five micrographs: three to learn from, two to validate by."""
    return write_dataset(tmp_path_factory.mktemp("data"), n=5, size=128, n_particles=3)


@pytest.fixture(scope="module")
def start(data):
    """Starts a training in a process of its own."""

    def begin(out, *options, model="shared", **environment):
        asked = ["train", model, "--with", MODEL, "--images", data[0], "--labels", data[1]]
        asked += ["--out", out, "--val", 0.4, *options]
        known = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
        command = [sys.executable, "-m", "temzoo", *map(str, asked)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=known, text=True, **pipes)

    return begin


def ended(process) -> tuple[int, list[str]]:
    """Its status, and what temzoo says of an error."""
    _, errors = process.communicate(timeout=300)
    said = [line for line in errors.splitlines() if line.startswith(("temzoo:", "Traceback"))]
    return process.returncode, said


def history(folder) -> dict[str, list[float]]:
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0] if name != "minutes"}


def assert_alike(found, one):
    assert found.keys() == one.keys()
    for name in ("loss", "val_loss", "val_iou"):
        assert found[name] == pytest.approx(one[name], abs=1e-4), name


@pytest.fixture(scope="module")
def one(start, tmp_path_factory):
    """A training on one device, which may not have ended yet, and its folder."""
    out = tmp_path_factory.mktemp("one") / "run"
    return start(out, *STEPS), out


def of_one(one) -> dict[str, list[float]]:
    process, out = one
    if process.returncode is None:
        assert ended(process) == (0, [])
    found = history(out)
    assert found["loss"][-1] < 0.95 * found["loss"][0]
    return found


def test_two_devices_of_a_machine_learn_what_one_does(start, one, tmp_path):
    run = start(tmp_path / "run", *STEPS, "--strategy", "mirrored", CPUS="2")
    assert ended(run) == (0, [])
    assert_alike(history(tmp_path / "run"), of_one(one))
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["devices"] == {"strategy": "MirroredStrategy", "count": 2, "processes": 1}


PARTICLES = ("--set", "encoder_weights=None", "--set", "alpha=0.25", "--epochs", 5, "--steps", 10)
PARTICLES = (*PARTICLES, "--batch", 4, "--crop", 64)


# Enlarging by interpolation is in 32 bits in any case.
@pytest.mark.slow
def test_two_devices_learn_particles_as_one_does_in_64_bits(start, tmp_path):
    asked = (*PARTICLES, "--set", "upsampling=transpose")
    how = {"model": "particles", "FLOAT64": "1"}
    one = start(tmp_path / "one", *asked, **how)
    two = start(tmp_path / "two", *asked, "--strategy", "mirrored", CPUS="2", **how)
    assert [ended(process) for process in (one, two)] == [(0, []), (0, [])]
    assert_alike(history(tmp_path / "two"), history(tmp_path / "one"))


@pytest.mark.slow
def test_two_devices_differ_in_32_bits_as_one_does_from_itself_in_another_order(start, tmp_path):
    """The first step of Adam is as long for a slope of 1e-9, whose sign rounding decides."""
    losses = []
    for way, environment in (("one", {}), ("other", {"REVERSED": "1"}), ("two", {"CPUS": "2"})):
        strategy = ("--strategy", "mirrored") if way == "two" else ()
        run = start(tmp_path / way, *PARTICLES, *strategy, model="particles", **environment)
        assert ended(run) == (0, [])
        losses.append(np.array(history(tmp_path / way)["loss"]))
    one, other, two = losses
    assert abs(other - one).max() > 1e-4
    assert abs(two - one).max() < 4 * abs(other - one).max()


def machines(start, outs, *options, environments=({}, {})):
    """Two processes that train together, as two machines would."""
    ports = []
    for _ in environments:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    for index, environment in enumerate(environments):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        asked = ("--strategy", "multiworker", *options)
        yield start(outs[index], *asked, TF_CONFIG=json.dumps(config), **environment)


LOST = "temzoo: All 2 processes of a run are needed. Received: the loss of one, and this one has"
LOST += " stopped too. Start all of them again with --resume (resume=True): they go on after the"
LOST += " last whole epoch."


@pytest.mark.slow
def test_two_machines_learn_what_one_does_and_go_on_when_one_was_lost(start, one, tmp_path):
    out, unwritten, spare = (tmp_path / name for name in ("run", "unwritten", "spare"))
    spare.mkdir()
    other = {"DIES": "3", "DRAWN": "7"}  # all begin with the weights of the first
    first, second = machines(start, (out, unwritten), *STEPS, environments=({}, other))
    began = time.monotonic()
    assert ended(second)[0] == -signal.SIGKILL
    assert ended(first) == (1, [LOST])
    assert time.monotonic() - began < 240
    assert history(out)["epoch"] == [1, 2]
    assert not unwritten.exists()

    both, environments = (out, out), ({}, {"TMPDIR": str(spare)})
    again = [*machines(start, both, *STEPS, "--resume", environments=environments)]
    assert [ended(process) for process in again] == [(0, []), (0, [])]
    assert_alike(history(out), of_one(one))
    assert not [*spare.glob("temzoo-worker-*")]
    told = json.loads((out / "run.json").read_text())
    assert told["devices"] == {
        "strategy": "CollectiveAllReduceStrategy",
        "count": 2,
        "processes": 2,
    }


@pytest.mark.slow
@pytest.mark.xfail(reason="keras-team/keras#20585: keras_repairs.py can go when this passes")
def test_plain_keras_fails_on_several_machines(start, tmp_path):
    outs, plain = (tmp_path / "run",) * 2, {"PLAIN": "1"}
    both = [*machines(start, outs, *STEPS, environments=(plain, plain))]
    assert [ended(process)[0] for process in both] == [0, 0]


@needs_jax
@pytest.mark.slow
def test_two_devices_under_jax_learn_what_one_does(start, tmp_path):
    jax = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    two = {**jax, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    runs = {"one": start(tmp_path / "one", *STEPS, **jax)}
    runs["two"] = start(tmp_path / "two", *STEPS, "--strategy", "mirrored", **two)
    assert {name: ended(run) for name, run in runs.items()} == {name: (0, []) for name in runs}
    assert_alike(history(tmp_path / "two"), history(tmp_path / "one"))
    told = json.loads((tmp_path / "two" / "run.json").read_text())
    assert told["devices"] == {"strategy": "DataParallel", "count": 2, "processes": 1}


PREDICT = """
import keras, numpy as np, temzoo

def total(model):
    return sum(float(np.abs(weight).sum()) for weight in model.get_weights())

def failing(function, error):
    try:
        function()
    except error as said:
        return str(said)

def fed(model, rows):
    return lambda: model.predict(np.zeros((rows, 16, 16, 1), "float32"), batch_size=2, verbose=0)

two = keras.distribution.DataParallel(devices=keras.distribution.list_devices())
image, model = np.zeros((70, 90), "uint8"), temzoo.get_model("unet", filters=4, depth=1)
before = total(model)
with two.scope():
    temzoo.predict(model, image)
    assert "should evenly divide" in failing(fed(model, 5), Exception)  # at its last batch
assert failing(model.get_weights, TypeError)
temzoo.predict(model, image)
assert total(model) == before

pixels = keras.Input((None, None, 1))
wide = keras.Model(pixels, keras.layers.Conv2D(2, 80)(pixels))
before = total(wide)
assert failing(lambda: temzoo.predict(wide, image), Exception)  # smaller than its kernel
assert total(wide) == before

with two.scope():
    failing(fed(model, 1), Exception)
print(failing(lambda: temzoo.predict(model, image), RuntimeError))
"""


@needs_jax
@pytest.mark.slow
def test_a_failed_prediction_under_jax_leaves_the_weights():
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    jax = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", **two}
    command = [sys.executable, "-c", PREDICT]
    said = subprocess.run(command, env=jax, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-3000:]
    assert "A model is asked with its weights. Received: unet, which lost them" in said.stdout


def test_a_model_without_weights_is_told():
    model = temzoo.get_model("unet", filters=2, depth=1)
    require_weights(model)
    model.variables[0]._value = None  # as Keras leaves it under JAX
    told = "A model is asked with its weights. Received: unet, which lost them when a fit,"
    with pytest.raises(RuntimeError, match=told):
        temzoo.predict(model, np.zeros((32, 32), np.uint8))


def of_processes(make, batch: int, steps: int):
    """What three processes of two devices each see of a stream, put together again."""
    shares = [Share(process, 3, 6) for process in range(3)]
    parts = [[*make(share).take(2 * steps).as_numpy_iterator()] for share in shares]
    for step in range(steps):
        rows = [part[2 * step + half] for part in parts for half in range(2)]
        assert {len(each[0]) for each in rows} == {batch // 6}
        yield tuple(np.concatenate(arrays) for arrays in zip(*rows, strict=True))


def pairs_of(data):
    examples, plan = temzoo.load_dataset(images=data[0], labels=data[1]), PairPlan(16, "same")
    return lambda share: pair_stream(examples, plan, batch=12, start=24, share=share)


def crops_of(data):
    examples = temzoo.load_dataset(images=data[0], labels=data[1])
    how = {"target": ClassMaps(("particle",)), "batch": 12, "start": 24}
    return lambda share: training_stream(examples, CropPlan(16), share=share, **how)


def images_of(data):
    array = np.random.default_rng(0).random((5, 4, 4, 1), np.float32)

    def make(share):
        stream = image_stream(array, batch=12, seed=3, start=24, share=share)
        return stream.map(lambda images: (images,))

    return make


@pytest.mark.parametrize("make", [crops_of, pairs_of, images_of])
def test_processes_together_read_the_batches_of_one(make, data):
    make = make(data)
    whole = make(ALL).take(3).as_numpy_iterator()
    for expected, found in zip(whole, of_processes(make, 12, 3), strict=True):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)


def count_of(count: int) -> devices.Devices:
    found = devices.Devices()
    found.count = count
    return found


def test_processes_begin_with_the_data_and_the_weights_of_the_chief(data):
    examples = temzoo.load_dataset(images=data[0], labels=data[1])
    found = devices.devices_of(tf.distribute.get_strategy())
    found.processes = 2  # and this one is the chief
    model = temzoo.get_model("unet", filters=2, depth=1)
    before = model.get_weights()
    found.begin_alike(model, examples)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    found.agreed = lambda own: {"data": 0.0}
    told = "train on the same images and labels. Received: others than the first process has."
    with pytest.raises(ValueError, match=told):
        found.begin_alike(model, examples)


def test_a_batch_is_shared_equally():
    told = "batch must be a multiple of the 3 devices that share it. Received: batch=8. Use 9."
    with pytest.raises(ValueError, match=re.escape(told)):
        count_of(3).check(None, 8)
    count_of(4).check(None, 8)


def test_minutes_are_for_one_process(tmp_path, monkeypatch):
    several = devices.Devices()
    several.processes = 2
    monkeypatch.setattr("temzoo.training.train.devices_of", lambda strategy: several)
    model = temzoo.get_model("unet", filters=2, depth=1, compile=False)
    with pytest.raises(ValueError, match=r"minutes=1 for 2 processes\. Give epochs"):
        temzoo.train(model, [], [], out=tmp_path / "run", minutes=1)


def test_a_stream_gives_a_device_its_part():
    told = "Received: batches of 8 for batch=8 and 2 devices. Pass share=self.share on"
    with pytest.raises(ValueError, match=told):
        devices.check_rows((tf.TensorSpec((8, 16, 16, 1)), tf.TensorSpec((8,))), 8, 2)
    devices.check_rows((tf.TensorSpec((4, 16, 16, 1)), tf.TensorSpec((4,))), 8, 2)


def test_a_loss_that_temzoo_does_not_share_stays_on_one_device():
    model = temzoo.get_model("vae", image_size=16)
    found = devices.devices_of(tf.distribute.get_strategy())
    found.check(model, 8)
    found.count = 2
    told = r"models whose loss temzoo shares between them. Received: vae, whose loss is its own."
    with pytest.raises(ValueError, match=told):
        found.check(model, 8)


def test_strategies_have_names():
    with pytest.raises(ValueError, match=r"strategy must be one of .*Received: strategy='horovod'"):
        devices.opened("horovod")


def test_several_machines_are_named(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    told = r"needs to know the machines. Received: neither TF_CONFIG nor a job of SLURM"
    with pytest.raises(ValueError, match=told):
        devices.opened("multiworker")
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": []}}')
    told = r'TF_CONFIG must be like .*Received: \{"cluster": \{"worker": \[\]\}\} \(KeyError'
    with pytest.raises(ValueError, match=told):
        devices.opened("multiworker")


def test_machines_are_those_of_a_slurm_job(monkeypatch):
    job = {"PROCID": 2, "STEP_NUM_TASKS": 3, "STEP_NODELIST": "node[1-2]", "JOB_ID": 123_456}
    job["STEP_TASKS_PER_NODE"] = "2,1"
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    found = devices._cluster()
    assert found.cluster_spec().as_dict() == {
        "worker": ["node1:23456", "node1:23457", "node2:23456"]
    }
    assert (found.task_type, found.task_id) == ("worker", 2)


def test_several_machines_are_chosen_before_anything_is_computed(monkeypatch):
    tf.constant(1.0)
    config = {"cluster": {"worker": ["localhost:1", "localhost:2"]}}
    config["task"] = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    told = r"must be made before TensorFlow computes anything. Received: .* Make it first"
    with pytest.raises(RuntimeError, match=told):
        devices.opened("multiworker")


def test_repairs_are_for_the_versions_of_keras_that_were_tried(monkeypatch):
    keras_repairs.check_version()
    monkeypatch.setattr(keras, "__version__", "3.16.0")
    told = r"TensorFlow needs Keras 3.12 to 3.15. Received: Keras 3.16.0."
    with pytest.raises(RuntimeError, match=told):
        devices.devices_of(tf.distribute.get_strategy())
