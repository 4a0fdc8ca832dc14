"""Training under Keras' JAX backend: what travels, the crops, a run, the page."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import temzoo
from benchmarks import __main__ as suite
from benchmarks.datasets import synthetic
from benchmarks.page import shown
from benchmarks.records import checked, kept
from temzoo.zoo import built

ROOT = Path(__file__).resolve().parents[2]

needs_jax = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("jax", "optax"))),
    reason="needs the extra gpu: pip install 'temzoo[gpu]'",
)


# Runs one script a line, each in a namespace of its own. XLA would compile one program for every
# shape of the initial weights, which costs more than all that is tested here: NumPy draws them.
SERVER = """
import contextlib, io, json, sys, traceback
import keras, numpy as np

def drawn(self, shape, dtype=None, **_):
    fan_in = np.prod(shape[:-1])
    return np.random.default_rng(0).normal(0, np.sqrt(2 / fan_in), shape).astype(dtype)

keras.initializers.VarianceScaling.__call__ = drawn
for line in sys.stdin:
    code, sys.argv = json.loads(line)
    error, said = None, io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            exec(code, {})
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps([said.getvalue(), error]), flush=True)
"""


@pytest.fixture(scope="module")
def under_jax(tmp_path_factory):
    """Gives the last line that a script prints, run under the JAX backend.

    One other process runs all scripts, since its imports take seconds. It compiles quickly, not
    for speed.
    """
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    errors = tmp_path_factory.mktemp("jax") / "stderr"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", SERVER],
            **{"cwd": ROOT, "env": environment, "text": True},
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr},
        ) as process,
    ):

        def run(code: str, *words) -> Any:
            process.stdin.write(json.dumps([code, ["-c", *map(str, words)]]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, errors.read_text()[-3000:]
            said, error = json.loads(answer)
            assert error is None, error[-3000:]
            return json.loads(said.splitlines()[-1])

        yield run
        process.stdin.close()  # it ends


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(ValueError, match=r"needs KERAS_BACKEND=jax. Received: torch. Unset it."):
        suite.module_of("gpu-train")


CROPS = """
import json, sys
from dataclasses import replace
from pathlib import Path
import jax, numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from benchmarks import gpu_scenes as scenes
from benchmarks import gpu_train
from benchmarks.datasets import synthetic
from benchmarks.gpu_scenes import Changes

images = gpu_train.drawn(synthetic(train=2, val=1, size=96), ("particle",))["val"]
assert "tensorflow" not in sys.modules
try:
    gpu_train.of_8_bits(np.full((4, 4), 900, np.uint16), "a.tif")
except ValueError as error:
    refusal = str(error)
side = 32
plain = Changes(recorded=1.0, negative=0.0, gamma=0.0, shading=0.0, blur=0.0, noise=0.0)
def cut(seed, images, changes):
    drawn = jax.jit(lambda key: scenes.batch_of(key, scenes.store(images), side, 6, 2, changes))
    return map(np.asarray, drawn(jax.random.key(seed)))
x, hot = cut(0, images, plain)
windows, labels = (sliding_window_view(image, (side, side)) for image in images[0])
found = 0
for pixels, classes in zip(x[..., 0], hot.argmax(axis=-1)):
    for turn in range(8):
        turned = [np.rot90(each, turn)[:, :: 1 - 2 * (turn // 4)] for each in (pixels, classes)]
        at = np.argwhere(np.abs(windows - turned[0]).max(axis=(2, 3)) < 0.5)
        found += any(np.array_equal(labels[tuple(place)], turned[1]) for place in at)
        if len(at):
            break
turned = replace(plain, recorded=0.0)
drawn = [(255 * classes, classes) for _, classes in images]
y, share = cut(2, drawn, turned)
agree = float(((y[..., 0] > 127.5) == (share[..., 1] > 0)).mean())
ramp = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
reduced = replace(turned, magnification=(0.8, 0.8), stretch=0.0)
slope, _ = cut(3, [(ramp, ramp // 255)], reduced)
rows, cols = np.gradient(slope[..., 0], axis=(1, 2))
blurred = np.asarray(scenes._blurred(jax.numpy.eye(15)[7][:, None] * jax.numpy.eye(15)[7], 1.0))
changed, hot = cut(1, images, Changes())
print(json.dumps({
    "found": found,
    "refusal": refusal,
    "agree": agree,
    "slope": float(np.median(np.hypot(rows, cols))),
    "blurred": blurred[6:9, 7].tolist(),
    "changed": changed.shape,
    "finite": bool(np.isfinite(changed).all()),
    "one class a pixel": bool((hot.sum(axis=-1) == 1).all()),
}))
"""


@needs_jax
def test_crops_are_what_was_recorded_with_its_labels_or_turned_and_resized(under_jax):
    told = under_jax(CROPS)
    assert "8 bits train. Received: a.tif, uint16. Convert it" in told.pop("refusal")
    assert told.pop("agree") > 0.999  # turned and resized, labels stay on their pixels
    assert told.pop("slope") == pytest.approx(1 / 0.8, rel=1e-3)
    side = np.exp(-0.5) * (middle := told["blurred"][1])
    np.testing.assert_allclose(told.pop("blurred"), [side, middle, side], rtol=1e-4)
    assert told == {
        "found": 6,
        "changed": [6, 32, 32, 1],
        "finite": True,
        "one class a pixel": True,
    }


TRAINING = """
import json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from benchmarks import gpu_train
from benchmarks.datasets import synthetic
from benchmarks.recipes import RECIPES

gpu_train.CHUNK, gpu_train.TILE = 5, 96
recipe = replace(RECIPES["emps-unet"], config={"filters": 4, "depth": 1})
names, folder = ("particle",), Path(sys.argv[1])
images = gpu_train.drawn(synthetic(train=2, val=1, size=96), names)
plan = gpu_train.Plan(40, until=0.75, bfloat16=False, crop=32, batch=4, rate=2e-2)
told = {"seed": 0, "name": "tiny", "command": "it", "training": {}}
done = gpu_train.train(
    recipe, images, 2, plan, lambda trained: gpu_train.write(trained, recipe, names, folder, **told)
)
pixels = images["val"][0][0][None, :, :, None].astype("float32")
np.save(folder / "answer.npy", np.asarray(done.model(pixels, training=False)))
print(json.dumps(done.history))
"""


@needs_jax
def test_a_run_learns_and_answers_the_same_under_tensorflow(tmp_path, under_jax):
    history = under_jax(TRAINING, tmp_path)
    assert [*history[0]] == ["steps", "loss", "iou", "seconds"]
    assert [row["steps"] for row in history] == [10, 20, 30]  # of 40
    assert history[-1]["loss"] < history[0]["loss"]
    told = json.loads((tmp_path / "run.json").read_text())
    assert checked(told)["figures"]["steps"] == history[-1]["steps"]
    assert told["figures"]["history"] == history
    assert any(line.startswith("| tiny | U-Net, 16 filters") for line in shown(told))
    model = temzoo.get_model("unet", weights=tmp_path, compile=False)
    assert built.built(model).class_names == ("particle",)
    pixels = synthetic(train=0, val=1, size=96).val[0].micrograph.pixels
    answer = model(pixels[None, :, :, None].astype("float32"))
    np.testing.assert_allclose(answer, np.load(tmp_path / "answer.npy"), atol=5e-3)  # float16


SHIPPED = """
import json, sys
import jax, numpy as np
import temzoo

pixels = np.load(sys.argv[1])
shipped = temzoo.get_model("unet", weights="emps-fast", compile=False)
kinds = (shipped.trainable_variables, shipped.non_trainable_variables)
parts = [[variable.value for variable in kind] for kind in kinds]
answer = jax.jit(lambda x: shipped.stateless_call(*parts, x, training=False)[0])(pixels)
np.save(sys.argv[2], np.asarray(answer))
print(json.dumps({}))
"""


@needs_jax
def test_shipped_weights_answer_under_jax_as_under_tensorflow(tmp_path, under_jax):
    pixels = np.random.default_rng(0).integers(0, 255, (1, 65, 70, 1)).astype("float32")
    np.save(tmp_path / "pixels.npy", pixels)
    under_jax(SHIPPED, tmp_path / "pixels.npy", tmp_path / "answer.npy")
    model = temzoo.get_model("unet", weights="emps-fast", compile=False)
    np.testing.assert_allclose(model(pixels), np.load(tmp_path / "answer.npy"), atol=1e-4)


IOU = """
import json, sys
from types import SimpleNamespace
import numpy as np
from benchmarks import beside_torch
from benchmarks.gpu_train import Plan, iou_of_tiles, rate_of

class Truth:
    output_shape = (None, None, None, 2)
    def predict(self, x, **how):
        return np.concatenate([x < 100, x >= 100], axis=-1).astype(np.float32)

wide = (np.arange(600 * 1100).reshape(600, 1100) % 251).astype(np.uint8)
right, half = (wide >= 100).astype(np.uint8), (wide >= 50).astype(np.uint8)
none = np.zeros((8, 8), np.uint8)
sys.modules["torch"] = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True))
try:
    beside_torch.child_on_device("training", "float32", 8, beside_torch.SMALL, 0.0)
except ValueError as error:
    refusal = str(error)
print(json.dumps({
    "iou": iou_of_tiles(Truth(), [(wide, right), (wide, half), (none, none)]),
    "expected": (1 + right.sum() / half.sum()) / 2,
    "rates": [float(rate_of(Plan(1000, rate=1.0))(step)) for step in (0, 50, 525, 1000)],
    "refusal": refusal,
}))
"""


@needs_jax
def test_scores_tiles_and_rates(under_jax):
    told = under_jax(IOU)
    # The image without foreground in labels and answer does not count.
    assert told["iou"] == pytest.approx(told["expected"])
    assert told["rates"] == pytest.approx([0.01, 1, 0.5, 0], abs=1e-6)
    assert "must compute on one device. Received: cpu and gpu. Install" in told["refusal"]


TRAIN = """
import json, sys
import temzoo
from benchmarks import __main__ as suite
from benchmarks.datasets import synthetic

data = synthetic(train=2, val=1, size=96)
model = temzoo.get_model("unet", filters=4, depth=2)
temzoo.train(model, data.train, data.val, out=sys.argv[1], epochs=2, steps_per_epoch=2, crop=64)
found = temzoo.evaluate(model, data.val).iou.value
shape = temzoo.predict(model, data.val[0].micrograph).classes.shape
print(json.dumps({"iou": found, "classes": shape}))
"""


TRAIN_AND_SPEED = """
import json, sys
from functools import partial
from pathlib import Path
from benchmarks import __main__ as suite
from benchmarks import beside_torch, datasets, gpu_train, recipes

tiny = recipes.Recipe("tiny", "synthetic", "unet", {"filters": 2, "depth": 1})
gpu_train.RECIPES["emps-unet"] = tiny
gpu_train.open_dataset = lambda *asked, **how: datasets.synthetic(train=2, val=1, size=96)
gpu_train.CHUNK, gpu_train.TILE = 5, 96
gpu_train.Plan = partial(gpu_train.Plan, crop=32, batch=2)
beside_torch.in_child = lambda *asked: [
    {"what": "training", "precision": "float32", "batch": 2, "engine": "temzoo, JAX",
     "images_per_s": {"median": 2.0, "least": 1.0, "most": 3.0}, "difference": None,
     "ratio": {"median": 1.5, "least": 1.0, "most": 2.0}}]
out = ["--out", sys.argv[1]]
words = ["gpu-train", "emps-unet", "--steps", "5", "--run", sys.argv[1] + "/run"]
assert suite.main([*words, *out]) == 0
assert suite.main(["gpu-speed", *out]) == 0
print(json.dumps(sorted(path.name for path in Path(sys.argv[1]).iterdir())))
"""


@needs_jax
def test_trainings_and_speeds_are_kept_without_a_page(tmp_path, under_jax):
    assert under_jax(TRAIN_AND_SPEED, tmp_path) == [
        "gpu-speed.json",
        "gpu-train.json",
        "run",
    ]
    training, speeds = kept(tmp_path)[-1], kept(tmp_path)[0]
    assert training["command"].startswith("python -m benchmarks gpu-train emps-unet --steps 5")
    assert training["versions"]["jax"]
    row = "| training | float32 | 2 | temzoo, JAX | 2.00 [1.00, 3.00] | 1.50 [1.00, 2.00] |"
    assert row in shown(speeds)


@pytest.mark.slow
@needs_jax
def test_train_evaluate_and_predict_run_under_jax(tmp_path, under_jax):
    told = under_jax(TRAIN, tmp_path / "run")
    assert 0 <= told["iou"] <= 1
    assert told["classes"] == [96, 96]
    again = temzoo.get_model("unet", weights=tmp_path / "run", compile=False)
    assert built.built(again).class_names == ("particle",)
