"""Training under Keras' JAX backend: what travels, the crops, a run, the page."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import temzoo
from benchmarks import __main__ as suite
from benchmarks.datasets import synthetic
from benchmarks.gpu.packed import LOSSLESS, of_8_bits, pack, unpack
from benchmarks.gpu.recipes import RECIPES
from benchmarks.page import shown
from benchmarks.records import checked, kept
from temzoo.labels.shapes.raster import class_map
from temzoo.training.run_folder import fingerprint
from temzoo.zoo import built, cards

ROOT = Path(__file__).resolve().parents[2]
SIZE = 96

needs_jax = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("jax", "optax"))),
    reason="needs the extra gpu: pip install 'temzoo[gpu]'",
)


@pytest.fixture(scope="module")
def dataset():
    return synthetic(train=2, val=1, size=SIZE)


@pytest.fixture(scope="module")
def packed(dataset, tmp_path_factory):
    return pack(dataset, tmp_path_factory.mktemp("packed"))


def under_jax(code: str, *words) -> dict:
    """The last line that a script prints, run under the JAX backend in a process of its own."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", code, *map(str, words)]
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_micrographs_and_labels_travel_unchanged(dataset, packed):
    read = unpack(packed)
    assert read.class_names == ("particle",)
    assert read.quality == LOSSLESS
    assert read.fingerprint == fingerprint(dataset.part("all"))
    assert [len(read.parts[part]) for part in ("train", "val")] == [2, 1]
    for example, (pixels, classes) in zip(dataset.train, read.parts["train"], strict=True):
        np.testing.assert_array_equal(pixels, example.micrograph.pixels)
        np.testing.assert_array_equal(classes, class_map(example.labels, ("particle",)))


def test_more_than_8_bits_are_refused():
    with pytest.raises(ValueError, match=r"has 8 bits. Received: a.tif, uint16. Convert it first"):
        of_8_bits(np.full((4, 4), 900, np.uint16), "a.tif")


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(ValueError, match=r"needs KERAS_BACKEND=jax. Received: torch. Unset it."):
        suite.main(["gpu-train", "emps-unet"])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_what_there_is(name):
    recipe = RECIPES[name]
    assert cards.model_card(recipe.model).task == "semantic"
    assert set(recipe.config) <= set(cards.model_card(recipe.model).config)


CROPS = """
import json, sys
from dataclasses import replace
from pathlib import Path
import jax, numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from benchmarks.gpu import packed, scenes
from benchmarks.gpu.recipes import Changes

images = packed.unpack(Path(sys.argv[1])).parts["val"]
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
    "agree": agree,
    "slope": float(np.median(np.hypot(rows, cols))),
    "blurred": blurred[6:9, 7].tolist(),
    "changed": changed.shape,
    "finite": bool(np.isfinite(changed).all()),
    "one class a pixel": bool((hot.sum(axis=-1) == 1).all()),
}))
"""


@needs_jax
def test_crops_are_what_was_recorded_with_its_labels_or_turned_and_resized(packed):
    told = under_jax(CROPS, packed)
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
from benchmarks.gpu import learning, packed
from benchmarks.gpu.recipes import RECIPES
from benchmarks.page import shown
from benchmarks.records import checked, kept

learning.CHUNK, learning.TILE = 5, 96
recipe = replace(
    RECIPES["emps-unet"], config={"filters": 4, "depth": 1}, crop=32, batch=4, rate=2e-2
)
data, folder = packed.unpack(Path(sys.argv[1])), Path(sys.argv[2])
done = learning.train(
    recipe, data, learning.Plan(40, until=0.75, bfloat16=False), say=lambda line: None,
    save=lambda trained: learning.write(
        trained, recipe, data.class_names, folder, seed=0, name="tiny", command="it", training={}
    ),
)
pixels = data.parts["val"][0][0][None, :, :, None].astype("float32")
np.save(folder / "answer.npy", np.asarray(done.model(pixels, training=False)))
print(json.dumps(done.history))
"""


@needs_jax
def test_a_run_learns_and_answers_the_same_under_tensorflow(packed, tmp_path):
    history = under_jax(TRAINING, packed, tmp_path)
    assert [*history[0]] == ["steps", "loss", "iou", "seconds"]
    assert [row["steps"] for row in history] == [10, 20, 30]  # of 40
    assert history[-1]["loss"] < history[0]["loss"]
    told = json.loads((tmp_path / "run.json").read_text())
    assert checked(told)["figures"]["steps"] == history[-1]["steps"]
    assert told["figures"]["history"] == history
    assert any(line.startswith("| tiny | U-Net, 16 filters") for line in shown(told))
    model = temzoo.get_model("unet", weights=tmp_path, compile=False)
    assert built.built(model).class_names == ("particle",)
    pixels = unpack(packed).parts["val"][0][0][None, :, :, None].astype("float32")
    # The file holds float16.
    np.testing.assert_allclose(model(pixels), np.load(tmp_path / "answer.npy"), atol=5e-3)


SHIPPED = """
import json, sys
import jax, keras, numpy as np
from benchmarks.gpu import learning
import temzoo

pixels = np.load(sys.argv[1])
shipped = temzoo.get_model("unet", weights="emps-fast", compile=False)
kinds = (shipped.trainable_variables, shipped.non_trainable_variables)
parts = [[variable.value for variable in kind] for kind in kinds]
answer = jax.jit(lambda x: shipped.stateless_call(*parts, x, training=False)[0])(pixels)
np.save(sys.argv[2], np.asarray(answer))
apart = []
for layer in (keras.layers.DepthwiseConv2D(3, padding="same"), keras.layers.DepthwiseConv2D(3, 2)):
    apart.append(layer(pixels) - learning._depthwise(layer, keras.ops.convert_to_tensor(pixels)))
inner, outer = keras.Input((3,)), keras.Input((3,))
encoder = keras.Model(inner, keras.layers.Dense(4)(inner), name="encoder")
model = keras.Model(outer, keras.layers.Dense(2)(encoder(outer)))
gentle = [id(v) in learning.encoder_of(model) for v in model.trainable_variables]
print(json.dumps({
    "apart": max(float(np.abs(each).max()) for each in apart),
    "gentle": gentle,
}))
"""


@needs_jax
def test_shipped_weights_answer_under_jax_as_under_tensorflow(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (1, 65, 70, 1)).astype("float32")
    np.save(tmp_path / "pixels.npy", pixels)
    told = under_jax(SHIPPED, tmp_path / "pixels.npy", tmp_path / "answer.npy")
    assert told["apart"] < 1e-3  # of pixels up to 255
    assert told["gentle"] == [True, True, False, False]  # kernels and offsets
    model = temzoo.get_model("unet", weights="emps-fast", compile=False)
    np.testing.assert_allclose(model(pixels), np.load(tmp_path / "answer.npy"), atol=1e-4)


IOU = """
import json
import numpy as np
from benchmarks.gpu.learning import _tiles, ious_of, mean_iou, rate

found, true = np.array([[1, 1, 0, 0]]), np.array([[1, 0, 0, 2]])
nan = float("nan")
wide = np.arange(600 * 1100).reshape(600, 1100) % 251
covered = np.zeros(wide.shape)
for (top, left), cut in _tiles(wide):
    covered[top : top + cut.shape[0], left : left + cut.shape[1]] += 1
print(json.dumps({
    "ious": ious_of(found, true, 3),
    "mean": mean_iou(np.array([[1.0, 0.5, nan], [1.0, 0.3, 0.1], [1.0, nan, nan]])),
    "one class": mean_iou(np.array([[1.0, 0.25], [1.0, nan], [1.0, 0.75]])),
    "covered": [covered.min(), len(_tiles(wide))],
    "rates": [float(rate(share)) for share in (0.0, 0.05, 0.525, 1.0)],
}))
"""


@needs_jax
def test_scores_tiles_and_rates():
    told = under_jax(IOU)
    assert told["ious"] == pytest.approx([1 / 3, 1 / 2, 0])
    # The image without foreground in labels and answer does not count.
    assert told["mean"] == pytest.approx({"iou": 0.35, "iou_1": 0.4, "iou_2": 0.1})
    assert told["one class"] == pytest.approx({"iou": 0.5})
    assert told["covered"] == [1, 6]
    assert told["rates"] == pytest.approx([0.01, 1, 0.5, 0], abs=1e-6)


SPEED = """
import json, sys
from types import SimpleNamespace
from benchmarks.gpu import speed

taken = {speed.REFERENCE: [0.2, 0.4], "temzoo, JAX": [0.1, 0.1], speed.SCAN: [1.0, 1.0]}
rows = speed.rows_of(8, taken, {"temzoo, JAX": 0.5})
sys.modules["torch"] = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True))
try:
    speed.child_rows("training", "float32", 8, speed.SMALL, 0.0)
except ValueError as error:
    refusal = str(error)
print(json.dumps({"refusal": refusal} | {row["engine"]: row for row in rows}))
"""


@needs_jax
def test_a_scan_counts_as_its_steps_and_ratios_are_by_turns():
    rows = under_jax(SPEED)
    assert rows["temzoo, JAX"]["images_per_s"]["median"] == pytest.approx(80)
    assert rows["temzoo, JAX"]["ratio"]["median"] == pytest.approx(3)  # 2 and 4
    assert rows["temzoo, JAX"]["difference"] == 0.5
    assert "must compute on one device. Received: cpu and gpu. Install" in rows["refusal"]
    assert rows["temzoo, JAX, scan of 10"]["images_per_s"]["median"] == pytest.approx(80)


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
from pathlib import Path
from benchmarks import __main__ as suite
from benchmarks.gpu import learning, recipes, speed

tiny = recipes.Recipe("tiny", "synthetic", "unet", {"filters": 2, "depth": 1}, 32, 2, steps=5)
learning.RECIPES["tiny"] = tiny
learning.CHUNK, learning.TILE = 5, 96
speed.in_child = lambda *asked: [
    {"what": "training", "precision": "float32", "batch": 2, "engine": "temzoo, JAX",
     "images_per_s": {"median": 2.0, "least": 1.0, "most": 3.0}, "difference": None,
     "ratio": {"median": 1.5, "least": 1.0, "most": 2.0}}]
out = ["--out", sys.argv[2]]
words = ["gpu-train", "tiny", "--packed", sys.argv[1], "--run", sys.argv[2] + "/run"]
assert suite.main([*words, *out]) == 0
assert suite.main(["gpu-speed", *out]) == 0
print(json.dumps(sorted(path.name for path in Path(sys.argv[2]).iterdir())))
"""


@needs_jax
def test_trainings_and_speeds_are_kept_without_a_page(packed, tmp_path):
    assert under_jax(TRAIN_AND_SPEED, packed.parent, tmp_path) == [
        "gpu-speed.json",
        "gpu-train.json",
        "run",
    ]
    training, speeds = kept(tmp_path)[-1], kept(tmp_path)[0]
    assert training["command"].startswith("python -m benchmarks gpu-train tiny --packed")
    assert training["versions"]["jax"]
    row = "| training | float32 | 2 | temzoo, JAX | 2.00 [1.00, 3.00] | 1.50 [1.00, 2.00] |"
    assert row in shown(speeds)


@pytest.mark.slow
@needs_jax
def test_train_evaluate_and_predict_run_under_jax(tmp_path):
    told = under_jax(TRAIN, tmp_path / "run")
    assert 0 <= told["iou"] <= 1
    assert told["classes"] == [96, 96]
    again = temzoo.get_model("unet", weights=tmp_path / "run", compile=False)
    assert built.built(again).class_names == ("particle",)
