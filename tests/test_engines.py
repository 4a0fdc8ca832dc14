"""Engines and precisions: the same answers, or nearly; and ``auto`` takes none that differs."""

import functools
import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.cli import predicting
from temzoo.core.types import Example
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.deploy.engines import choice, makers, runtime
from temzoo.deploy.engines.makers import MAKERS
from temzoo.deploy.engines.network import Network
from temzoo.labels.shapes.raster import class_map
from temzoo.tasks import pixel_models
from temzoo.zoo import built, pretrained

# Dark particles on an even film: what a small network learns in seconds.
SCENE = {
    "n_particles": 5,
    "diameter_nm": (8.0, 16.0),
    "free_path_nm": 30.0,
    "texture_rms": 0.01,
    "grain_nm": 0.0,
    "defocus_nm": 50.0,
    "dose_e_per_px": 1000.0,
}
FLOATS = [key for key in MAKERS if key[1] == "float32"]
HALVES = [key for key in MAKERS if key[1] == "bfloat16"]
WHOLES = [key for key in MAKERS if key[1] == "int8"]


def example(seed, size=96):
    micrograph, labels = synthesize(seed, size=size, **SCENE)
    return Example(labels, lambda: micrograph)


EXAMPLES = [example(seed) for seed in range(12)]
JUDGES = [example(seed) for seed in range(100, 103)]


@pytest.fixture(scope="module")
def model():
    """A small U-Net that has learnt to find the particles of drawn micrographs."""
    keras.utils.set_random_seed(3)
    net = temzoo.get_model("unet", filters=8, depth=1)
    net.optimizer.learning_rate = 0.005
    pixels = np.stack([one.micrograph.pixels for one in EXAMPLES])[..., None].astype(np.float32)
    truth = np.stack([class_map(one.labels, ["particle"]) for one in EXAMPLES])
    net.fit(pixels, np.eye(2, dtype=np.float32)[truth], batch_size=4, epochs=12, verbose=0)
    return net


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """What is remembered is remembered here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fast(model):
    """Engines of the trained model, each made once."""

    def made(engine, precision):
        if (engine, precision) not in MADE:
            MADE[engine, precision] = temzoo.accelerate(
                model, engine, precision, examples=EXAMPLES, threads=1
            )
        return MADE[engine, precision]

    return made


MADE = {}


def scene(size, seed=7):
    return synthesize(seed, size=size, **SCENE)[0]


def probabilities(model, micrograph, **options):
    return temzoo.predict(model, micrograph, probabilities=True, **options).probabilities


def test_the_model_has_learnt_something(model):
    assert temzoo.evaluate(model, JUDGES, instances=None, bootstrap=1).iou.value > 0.7


@pytest.mark.parametrize("key", FLOATS, ids="-".join)
def test_float32_answers_as_keras_at_odd_sizes_and_in_tiles(key, model, fast):
    for size, options in (((97, 131), {}), ((150, 99), {"tile": 64, "overlap": 32})):
        expected = probabilities(model, scene(size), **options)
        found = probabilities(fast(*key), scene(size), **options)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("key", FLOATS, ids="-".join)
def test_threads_may_share_an_engine(fast, key):
    model = fast(*key)
    micrographs = [judge.micrograph for judge in JUDGES]
    expected = [temzoo.predict(model, one).classes for one in micrographs]
    with ThreadPoolExecutor(built.task_of(model).at_once(model)) as pool:
        found = pool.map(lambda one: temzoo.predict(model, one).classes, micrographs * 4)
        for got, wanted in zip(found, expected * 4, strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.fixture(scope="module")
def boxes():
    """A YOLO of two classes that knows nothing: its scores are chance, and many boxes overlap."""
    keras.utils.set_random_seed(1)
    how = {"alpha": 0.25, "backbone_weights": None, "features": 16, "image_size": 96}
    model = temzoo.get_model("yolo", classes=3, max_detections=30, **how, compile=False)
    for variable in model.network.variables:
        if variable.path.endswith("gamma"):  # else all scores would be alike
            variable.assign(2 * variable)
    return model


@pytest.mark.parametrize("key", FLOATS, ids="-".join)
def test_a_detector_of_boxes_finds_the_same_in_an_engine(key, boxes):
    fast = temzoo.accelerate(boxes, *key, threads=1)
    pixels = scene((96, 96)).pixels[None, ..., None].astype(np.float32)
    pixels = np.concatenate([pixels, pixels[:, ::-1] ** 1.5])
    for how in ({"min_score": 0.005}, {"min_score": 0.0102, "statistics": (90.0, 0.02)}):
        expected, found = boxes.detect(pixels, **how), fast.detect(pixels, **how)
        assert found.counts.tolist() == expected.counts.tolist()
        for field, apart in (("boxes", 1e-2), ("scores", 1e-5), ("classes", 0)):
            np.testing.assert_allclose(getattr(found, field), getattr(expected, field), atol=apart)
    assert expected.counts.any()
    ours, theirs = (temzoo.predict(one, scene((130, 99)), min_score=0.01) for one in (fast, boxes))
    np.testing.assert_array_equal(ours.instances, theirs.instances)
    assert ours.box_shaped


def test_a_detector_that_cannot_say_all_boxes_has_no_engine(boxes):
    class Other:
        def detect(self, pixels):
            raise NotImplementedError

    with pytest.raises(ValueError, match=r'or find boxes\. Received: .*of the task "boxes"'):
        built.task_of(boxes).engine_network(Other())


def openvino_has_bfloat16() -> bool:
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize("key", HALVES, ids="-".join)
def test_bfloat16_answers_nearly_so(key, model, fast):
    expected = probabilities(model, scene((97, 131)))
    found = probabilities(fast(*key), scene((97, 131)))
    apart = np.abs(found - expected)
    assert np.quantile(apart, 0.995) < 2e-2
    assert apart.max() < 5e-2  # at outlines, where this network's answer is steepest
    # It is another precision, unless OpenVINO finds no such instructions in this processor.
    assert apart.max() > 1e-6 or (key[0] == "openvino" and not openvino_has_bfloat16())
    assert (found.argmax(-1) == expected.argmax(-1)).mean() > 0.995


@pytest.mark.parametrize("key", WHOLES, ids="-".join)
def test_int8_finds_the_same_classes(key, model, fast):
    agreed = []
    for seed in (7, 8):
        micrograph = scene((161, 97), seed)
        expected = probabilities(model, micrograph)
        found = probabilities(fast(*key), micrograph)
        agreed.append((found.argmax(-1) == expected.argmax(-1)).mean())
        assert np.abs(found - expected).max() > 1e-3  # it is no float32
    assert min(agreed) > 0.98


def test_raw_images_are_each_normalised_by_themselves(model, fast):
    pixels = np.stack([scene(64).pixels, 3.0 * scene(64, seed=8).pixels])[..., None]
    expected = model.predict_on_batch(pixels.astype(np.float32))
    np.testing.assert_allclose(fast("tensorflow", "float32")(pixels), expected, atol=1e-4)


def test_it_stands_for_the_model(model, fast):
    ours = fast("tensorflow", "float32")
    assert repr(ours) == "<AcceleratedModel unet: tensorflow, float32>"
    assert (ours.tile_step, ours.input_shape, ours.restores) == (2, (None, None, None, 1), False)
    found = temzoo.evaluate(ours, JUDGES, instances=None, bootstrap=1).iou.value
    expected = temzoo.evaluate(model, JUDGES, instances=None, bootstrap=1).iou.value
    assert found == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match="restore needs a model of the restoration task"):
        temzoo.restore(ours, scene(64))


def test_weights_are_those_of_the_moment(model):
    ours = temzoo.accelerate(model, "tensorflow", "float32")
    before, kept = ours(JUDGES[0].micrograph.pixels[None, ..., None]), model.get_weights()
    model.set_weights([0 * weight for weight in kept])
    try:
        after = ours(JUDGES[0].micrograph.pixels[None, ..., None])
    finally:
        model.set_weights(kept)
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("key", FLOATS, ids="-".join)
def test_a_restorer_restores_in_its_own_range(key):
    keras.utils.set_random_seed(0)
    net = temzoo.get_model("autoencoder", filters=4, depth=1, compile=False)
    rng = np.random.default_rng(0)
    net.set_weights([w + rng.normal(0, 0.1, w.shape) for w in net.get_weights()])
    micrograph = scene((70, 91))
    ours = temzoo.accelerate(net, *key, threads=1)
    assert ours.restores
    expected = temzoo.restore(net, micrograph, tile=32, overlap=16).pixels
    found = temzoo.restore(ours, micrograph, tile=32, overlap=16).pixels
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.ptp(micrograph.pixels))
    with pytest.raises(ValueError, match=r"predict finds classes and objects. Received: <Acc"):
        temzoo.predict(ours, micrograph)
    images = micrograph.pixels[None, ..., None]
    np.testing.assert_allclose(ours(images), net.predict_on_batch(images), rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("openvinno",), "engine must be auto or one of tensorflow, onnxruntime, openvino. Rec.*"
         "Did you mean openvino"),
        (("tensorflow", "int8"), "precision of tensorflow must be one of float32, bfloat16. Rec"),
        (("auto", "int4"), "precision of auto must be one of float32, bfloat16, int8. Received"),
        (("openvino", "int8"), "int8 is calibrated on micrographs. Received: none."),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        temzoo.accelerate(model, *arguments)


def test_threads_and_examples_are_checked(model):
    with pytest.raises(ValueError, match=r"threads must be at least 1. Received: threads=0."):
        temzoo.accelerate(model, threads=0)
    with pytest.raises(ValueError, match=r"examples are what a network is calibrated on. Rec"):
        temzoo.accelerate(model, "openvino", "int8", examples=[])


def test_a_vae_is_refused():
    vae = temzoo.get_model("vae", image_size=12, hidden=8, compile=False)
    with pytest.raises(ValueError, match=r'that label or restore pixels.*name=vae.*"generative"'):
        temzoo.accelerate(vae)


def test_models_that_label_and_restore_no_pixels_are_refused(monkeypatch):
    net = temzoo.get_model("unet", filters=2, depth=1, compile=False)
    monkeypatch.setattr("temzoo.tasks.pixel_models.normalized_alone", lambda model: None)
    with pytest.raises(ValueError, match=r"takes normalised pixels alone. Received: unet, which"):
        temzoo.accelerate(net)


@pytest.mark.parametrize(
    ("key", "absent", "command"),
    [
        (("openvino", "float32"), "openvino", r"temzoo\[openvino\]"),
        (("onnxruntime", "float32"), "onnxruntime", r"temzoo\[onnx\]"),
        (("openvino", "int8"), "nncf", r"temzoo\[openvino\]"),
    ],
)
def test_a_missing_extra_is_named_with_its_command(model, monkeypatch, key, absent, command):
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == absent else there(name)
    )
    with pytest.raises(ImportError, match=f"Received: no {absent}.*pip install '{command}'"):
        temzoo.accelerate(model, *key, examples=EXAMPLES)
    assert key not in choice.candidates(Network(model, EXAMPLES), None)


def test_calibration_crops_are_normalised_by_their_micrograph(model):
    pixels = np.arange(300 * 400, dtype=np.float32).reshape(300, 400)
    network = Network(model, [pixels] * 40)
    assert len(network.crops) == 32
    assert {crop.shape for crop in network.crops} == {(1, 256, 256, 1)}
    layer = pixel_models.layer_named(model, "normalize")
    whole = layer.apply(pixels[..., None], *layer.statistics(pixels[..., None]))
    row, col = np.argwhere(np.isclose(whole[..., 0], network.crops[0][0, 0, 0, 0]))[0]
    expected = whole[row : row + 256, col : col + 256]
    np.testing.assert_allclose(network.crops[0][0], expected, atol=1e-5)
    assert Network(model, [pixels] * 40).crops_sha256 == network.crops_sha256
    assert Network(model, [pixels[::-1]] * 40).crops_sha256 != network.crops_sha256


@pytest.fixture
def two_engines(monkeypatch):
    """TensorFlow, and an engine that answers at once; ``shift`` says how wrong it is."""

    def prepare(shift, precision="bfloat16"):
        def made(network, threads):
            cheat = {}

            def run(pixels):
                key = pixels.tobytes()
                if key not in cheat:
                    answer = network.core.predict_on_batch(pixels)
                    cheat[key] = answer + np.float32(shift) * np.array([-1, 1], np.float32)
                return cheat[key]

            return run

        monkeypatch.setattr(choice, "has_bfloat16", lambda: True)
        for key in set(MAKERS) - {choice.SAFE}:
            monkeypatch.delitem(MAKERS, key)
        monkeypatch.setitem(MAKERS, ("quick", precision), makers.Maker(made))

    return prepare


def test_auto_takes_the_fastest_that_answers_as_well(model, two_engines, cache):
    two_engines(0.0)
    found = temzoo.accelerate(model, examples=JUDGES, threads=1)
    assert (found.engine, found.precision) == ("quick", "bfloat16")
    rows = {row.engine: row for row in found.found}
    assert rows["quick"].loss == pytest.approx(0.0, abs=1e-3)
    assert rows["quick"].seconds < rows["tensorflow"].seconds
    assert rows["tensorflow"].iou is None  # the faster one held, so it was not asked
    (path,) = (cache / "temzoo" / "engines").iterdir()
    assert len(json.loads(path.read_text())["rows"]) == 2


def test_auto_refuses_an_engine_that_costs_iou(model, two_engines):
    two_engines(0.45)
    found = temzoo.accelerate(model, examples=JUDGES, threads=1)
    assert (found.engine, found.precision) == choice.SAFE
    rows = {row.engine: row for row in found.found}
    assert rows["quick"].loss > choice.WITHIN
    assert rows["quick"].seconds < rows["tensorflow"].seconds


def test_auto_judges_once_and_remembers(model, two_engines, cache, monkeypatch):
    two_engines(0.0)
    temzoo.accelerate(model, examples=JUDGES, threads=1)
    monkeypatch.setattr(choice, "measured", None)  # calling it would fail
    for examples in (JUDGES, None):
        found = temzoo.accelerate(model, examples=examples, threads=1)
        assert (found.engine, found.precision) == ("quick", "bfloat16")
    assert choice.recalled(cache / "nothing.json") == []
    network = Network(model)
    assert choice.memory(network, 1) != choice.memory(network, 2)
    monkeypatch.setattr(choice, "processor", lambda: "another")
    assert not choice.memory(network, 1).exists()


def test_other_weights_are_judged_anew(model):
    kept = model.get_weights()
    before = Network(model).sha256
    model.set_weights([w + 1e-6 for w in kept])
    try:
        assert Network(model).sha256 != before
    finally:
        model.set_weights(kept)
    assert Network(model).sha256 == before


def test_auto_without_examples_stays_in_float32(model, two_engines):
    two_engines(0.0)
    found = temzoo.accelerate(model, threads=1)
    assert (found.engine, found.precision) == choice.SAFE
    named = temzoo.accelerate(model, "auto", "bfloat16", threads=1)
    assert (named.engine, named.precision) == ("quick", "bfloat16")


@pytest.mark.parametrize(
    ("change", "config", "engine"),
    [
        (0.0015, {}, "quick"),
        (-0.0015, {}, "quick"),
        (0.0025, {}, "tensorflow"),
        (0.0, {"filters": 9}, "tensorflow"),
    ],
)
def test_auto_without_examples_believes_the_card_of_the_weights(
    model, two_engines, monkeypatch, change, config, engine
):
    two_engines(0.0)
    how = built.built(model)
    card = pretrained.WeightsCard(
        "unet", {**how.config, **config}, precisions={"quick bfloat16": change, "gone int4": 0.0}
    )
    monkeypatch.setattr(built, "built", lambda _: replace(how, weights=card))
    assert temzoo.accelerate(model, threads=1).engine == engine


def test_auto_without_examples_refuses_a_float32_that_differs(model, two_engines):
    two_engines(0.01, precision="float32")
    assert temzoo.accelerate(model, threads=1).engine == "tensorflow"


def test_auto_goes_on_where_an_engine_fails(model, two_engines, monkeypatch):
    two_engines(0.0)

    def breaks(network, threads):
        raise RuntimeError("no such operation")

    monkeypatch.setitem(MAKERS, ("broken", "float32"), makers.Maker(breaks))
    found = temzoo.accelerate(model, examples=JUDGES, threads=1)
    assert found.engine == "quick"
    assert {row.failure for row in found.found} == {"", "no such operation"}
    assert found.told.splitlines() == [
        "engine: quick, " + found.precision,
        "broken, float32 failed: no such operation",
    ]


def test_what_cannot_be_remembered_is_measured_again(model, two_engines, tmp_path, monkeypatch):
    two_engines(0.0)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert temzoo.accelerate(model, examples=JUDGES, threads=1).engine == "quick"


def test_the_fastest_that_holds():
    row = choice.Row("a", "float32", 1.0, 0.0)
    slow = replace(row, engine="b", seconds=2.0)
    assert choice.fastest([slow, row]) == ("a", "float32")
    assert choice.fastest([slow, replace(row, loss=0.01)]) == ("b", "float32")
    assert choice.fastest([slow, replace(row, loss=float("nan"))]) == ("b", "float32")
    assert choice.fastest([slow, replace(row, precision="int8")]) == ("b", "float32")
    assert choice.fastest([slow, replace(row, precision="int8", loss=0.001)]) == ("a", "int8")
    assert choice.fastest([replace(row, failure="broken")]) == choice.SAFE
    assert choice.fastest([]) == choice.SAFE


def test_bfloat16_is_known_by_the_processor(monkeypatch):
    for flags, has in (("avx2 avx512_bf16", True), ("amx_bf16", True), ("avx2 avx512f", False)):
        monkeypatch.setattr(runtime, "processor", lambda flags=flags: flags)
        assert runtime.has_bfloat16() is has
    assert runtime.cores() >= 1


def test_nothing_reports_its_use_over_the_network():
    """NNCF would write an identity of the machine's user, and send what it was asked."""
    code = (
        "import sys; from temzoo.deploy.engines import makers\n"
        "makers._nncf(); import openvino\n"
        "from nncf.telemetry.wrapper import telemetry\n"
        "print(type(telemetry).__name__, 'openvino_telemetry' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split()[-2:] == ["MagicMock", "False"]  # NNCF 2.14 says more


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    path = folder / pretrained.BEST
    pretrained.save(model, path)
    config = dict(built.built(model).config)
    pretrained.write_card(path, pretrained.WeightsCard("unet", config, class_names=("particle",)))
    return folder


@pytest.fixture
def command(run, tmp_path, monkeypatch):
    """``temzoo predict`` of one micrograph, which gives its words and its sidecar."""
    image = tmp_path / "a.tif"
    temzoo.synthetic.write_tiff(image, scene(96))
    monkeypatch.setattr(predicting, "trained", functools.cache(predicting.trained))

    def predict(*words, status=0):
        words = [str(w) for w in ("predict", run, image, "--out", tmp_path / "out", *words)]
        result = CliRunner().invoke(cli.app, words)
        assert result.exit_code == status, result.output + repr(result.exception)
        sidecar = tmp_path / "out" / "a.prediction.json"
        told = json.loads(sidecar.read_text()) if sidecar.is_file() else None
        return str(result.exception) if status else result.output, told

    return predict


def test_the_command_line_takes_an_engine_and_notices_another(command):
    said, told = command("--precision", "bfloat16")
    assert "engine: tensorflow, bfloat16" in said
    assert told["options"]["engine"] == "tensorflow"
    assert told["options"]["precision"] == "bfloat16"
    assert "skipping 1 finished" in command("--precision", "bfloat16")[0]
    said, told = command()
    assert "skipping" not in said
    assert "engine" not in told["options"]


def test_the_command_line_refuses_what_does_not_go_together(command, tmp_path):
    assert "engine must be auto or one of" in command("--engine", "xla", status=1)[0]
    assert "precision of tensorflow must" in command("--precision", "int8", status=1)[0]
    words = ("predict", "--server", "grpc://here/unet", tmp_path / "a.tif", "--engine", "auto")
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert "a server computes as it was told to. Received: --engine auto" in str(result.exception)


def test_check_passes_what_there_is():
    from temzoo.deploy.engines.accelerated import check

    for key in MAKERS:
        check(*key)
    check("auto", None)
