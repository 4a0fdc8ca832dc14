"""Exporting: whole or not at all, refused where it would mislead, and a folder that serves."""

import base64
import errno
import http.server
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from exporting_models import build, stir

import temzoo
from temzoo.cli.exporting import app
from temzoo.deploy.exporting import (
    ExportError,
    assets,
    loader,
    other_formats,
    scenes,
    verify,
    versions,
)
from temzoo.deploy.exporting.image_files import pixels_of
from temzoo.tasks.endpoints import Endpoint
from temzoo.zoo import building, built, cards

CONFIG = {"filters": 2, "depth": 1}


@pytest.fixture(autouse=True)
def one_question(monkeypatch):
    """Each signature is asked once beside the golden image; ``served`` was asked all there is."""
    asked = scenes.questions
    usual = ((2, 33, 45),)
    monkeypatch.setattr(scenes, "questions", lambda given, tried=usual: asked(given, tried))


@pytest.fixture(scope="module")
def unet():
    return build("unet", {**CONFIG, "classes": 3})


@pytest.fixture(scope="module")
def served(unet, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    temzoo.export(unet, folder, name="particles")
    return folder


class Wrong(keras.layers.Layer):
    """Answers otherwise in a graph."""

    def call(self, x):
        return x if tf.executing_eagerly() else x * 0.99


class InPython(keras.layers.Layer):
    """Calls NumPy."""

    def call(self, x):
        y = tf.numpy_function(lambda pixels: pixels * np.float32(0.5), [x], tf.float32)
        return tf.ensure_shape(y, x.shape)


class Suppressing(keras.layers.Layer):
    """Has an operation of detectors in it."""

    def call(self, x):
        scores = tf.reshape(x, (tf.shape(x)[0], -1, 1))
        boxes = tf.repeat(scores[..., None], 4, axis=-1)
        best = tf.image.combined_non_max_suppression(boxes, scores, 1, 1).nmsed_scores
        return x + 0 * best[:, None, None]


@pytest.fixture
def toy(monkeypatch):
    """Registers a model of one layer and one convolution, and forgets it again."""
    monkeypatch.setattr(cards, "BUILDERS", dict(cards.BUILDERS))
    monkeypatch.setattr(building, "BUILDERS", cards.BUILDERS)
    monkeypatch.setattr(cards, "_CARDS", dict(cards._CARDS))

    def model(layer=None, channels=1, norm=False):
        @temzoo.register("toy", task="semantic", summary="one convolution")
        def build(*, classes=2):
            x = pixels = keras.Input((None, None, channels))
            if layer is not None:
                x = layer()(x)
            x = keras.layers.Conv2D(classes, 3, padding="same", activation="softmax")(x)
            return keras.Model(pixels, x)

        built = temzoo.get_model("toy", compile=False)
        stir(built)
        return built

    return model


def left(folder):
    return [p for p in folder.rglob("*") if p.is_file()]


def test_a_toy_model_exports_with_no_other_edit(toy, tmp_path):
    path = temzoo.export(toy(channels=5), tmp_path)
    assert path == tmp_path / "toy" / "1"
    names = set(tf.saved_model.load(path).signatures)
    assert names == {"serving_default", "serving_uint8", "serving_uint16", "describe"}


def test_a_model_that_answers_otherwise_is_refused_and_nothing_is_left(toy, tmp_path):
    with pytest.raises(
        ExportError, match=r"must answer as the model does, within 0.0001. Received: .*serving_"
    ):
        temzoo.export(toy(Wrong), tmp_path)
    assert left(tmp_path) == []


def test_python_in_the_graph_is_refused(toy, tmp_path):
    with pytest.raises(ExportError, match=r"PyFunc|without Keras"):
        temzoo.export(toy(InPython), tmp_path)
    assert left(tmp_path) == []


def test_operations_that_a_server_lacks_are_named():
    from temzoo.deploy.exporting.verify import check_operations

    with pytest.raises(ExportError, match=r"none in Python. Received: Mine, PyFunc. Write"):
        check_operations({"Add", "Mine", "PyFunc"}, {"Add", "PyFunc"})


def test_pixels_that_are_not_finite_are_refused(served):
    ask = tf.saved_model.load(served / "particles" / "1").signatures["serving_default"]
    images = np.zeros((1, 8, 8, 1), np.float32)
    images[0, 2, 2] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="images must be finite"):
        ask(images=tf.constant(images))


def test_normalised_tiles_give_what_predict_gives(unet, served):
    pixels = np.random.default_rng(0).integers(0, 4000, (45, 61), np.uint16)
    expected = temzoo.predict(unet, pixels, probabilities=True, instances=None)
    layer = unet.get_layer("normalize")
    normal = layer.apply(pixels[..., None], *layer.statistics(pixels[..., None]))
    ask = tf.saved_model.load(served / "particles" / "1").signatures["serving_normalized"]
    found = ask(images=tf.constant(normal[None]))
    np.testing.assert_allclose(found["probabilities"][0], expected.probabilities, atol=1e-5)
    assert (found["class_map"][0].numpy() == expected.classes).mean() > 0.999


def test_describe_gives_the_card_as_often_as_it_is_asked(served):
    ask = tf.saved_model.load(served / "particles" / "1").signatures["describe"]
    cards = ask(unused=tf.zeros(2))["card"].numpy()
    stored = json.loads((served / "particles/1/assets.extra/temzoo.json").read_text())
    assert [json.loads(card) for card in cards] == [
        {k: v for k, v in stored.items() if k != "golden"}
    ] * 2
    assert stored["step"] == 2
    assert stored["normalize"] == {"low": 1.0, "high": 99.0, "limit": 3.0, "grid": 256}


def test_paths_in_a_config_do_not_leave_the_machine():
    from temzoo.deploy.exporting.readme import public

    assert public("/home/somebody/encoder.h5") == "encoder.h5"
    assert public("imagenet") == "imagenet"


@pytest.mark.parametrize(
    ("dataset", "told"),
    [("grids of May, doi:10.1021/acs", "grids of May, doi:10.1021/acs"), ("/home/me/may", "may")],
)
def test_the_card_tells_which_weights_these_are_until_they_are_trained(tmp_path, dataset, told):
    from temzoo.deploy.exporting.assets import _weights as card_of_weights
    from temzoo.deploy.exporting.assets import card
    from temzoo.deploy.exporting.saved_model import signatures
    from temzoo.zoo import pretrained

    assert card_of_weights(temzoo.get_model("unet", **CONFIG)) is None
    path = tmp_path / "mine.weights.h5"
    pretrained.save(temzoo.get_model("unet", compile=False, **CONFIG), path)
    about = {
        "dataset": dataset,
        "licence": "CC BY 4.0",
        "scores": {"iou": 0.8},
        "date": "2026-01-01",
    }
    weights = pretrained.WeightsCard("unet", CONFIG, command="train --out /home/me", **about)
    pretrained.write_card(path, weights)
    model = temzoo.get_model("unet", weights=path)
    found = card(model, signatures(model), "mine", 1)["weights"]
    assert found == {**about, "dataset": told, "sha256": pretrained.sha256(path)}
    model.run_eagerly = True
    model.train_on_batch(np.zeros((1, 8, 8, 1)), np.eye(2)[np.zeros((1, 8, 8), int)])
    assert card_of_weights(model) is None


def png(height, width):
    return cv2.imencode(".png", np.full((height, width), 7, np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("files", "shape", "message"),
    [
        ([png(8, 8), png(8, 9)], (None, None, 1), "shape"),
        ([png(8, 9)], (8, 8, 1), "this model takes images of 8 x 8 pixels"),
        ([b"no image"], (None, None, 1), "Unknown image file format"),
        ([b""], (None, None, 1), "Unknown image file format|empty"),
    ],
)
def test_files_that_do_not_fit_are_refused(files, shape, message):
    ask = tf.function(lambda files: pixels_of(files, shape))
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ask(tf.constant(files))


def test_a_version_is_never_replaced(unet, served):
    before = left(served)
    with pytest.raises(FileExistsError, match=r"Received: version=1, and .* Use version=2"):
        temzoo.export(unet, served, 1, name="particles")
    assert left(served) == before


@pytest.mark.parametrize("name", ["", "1", "a/b", "..", "ü", "a b"])
def test_names_that_cannot_be_served_are_refused(unet, tmp_path, name):
    with pytest.raises(ValueError, match="A served model's name is letters"):
        temzoo.export(unet, tmp_path, name=name)


@pytest.mark.parametrize("version", [0, -1, 1.5, "1", True, 2**63])
def test_versions_that_are_no_numbers_are_refused(unet, tmp_path, version):
    with pytest.raises(ValueError, match="version must be a whole number from 1 on"):
        temzoo.export(unet, tmp_path, version)


def test_a_model_of_unknown_origin_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"needs a model from temzoo\.get_model"):
        temzoo.export(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), tmp_path)


# The module by its file, without the package, which would import TensorFlow.
KILLED = """
import importlib.util, pathlib, sys, time
spec = importlib.util.spec_from_file_location("versions", sys.argv[1])
versions = importlib.util.module_from_spec(spec)
spec.loader.exec_module(versions)
with versions.staged(pathlib.Path(sys.argv[2]), 1) as folder:
    (folder / "saved_model.pb").write_bytes(b"a graph")
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_killed_export_leaves_no_version_and_the_next_one_succeeds(toy, tmp_path):
    """Killed where ``staged`` makes a version: all is written there, and nothing checked."""
    command = [sys.executable, "-c", KILLED, versions.__file__, str(tmp_path / "particles")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "written\n"
        (staged,) = (tmp_path / "particles").iterdir()
        versions.remove_leftovers(tmp_path / "particles")  # another export, meanwhile
        assert staged.is_dir()
        os.kill(process.pid, signal.SIGKILL)
    assert staged.name.startswith(".")
    assert (staged / "saved_model.pb").is_file()
    assert versions.versions(tmp_path / "particles") == []
    temzoo.export(toy(), tmp_path, name="particles")
    assert [each.name for each in (tmp_path / "particles").iterdir()] == ["1"]


def test_until_all_is_checked_an_export_is_hidden(toy, tmp_path, monkeypatch):
    """So that a kill at any time before leaves nothing that a server would load."""
    seen = []
    check = verify.check_saved_model

    def look(folder, questions):
        (staged,) = (tmp_path / "particles").iterdir()
        assert staged.name.startswith(".")
        assert (staged / "saved_model.pb").is_file()
        assert versions.versions(tmp_path / "particles") == []
        assert not (tmp_path / "models.config").exists()
        seen.append(folder)
        check(folder, questions)

    monkeypatch.setattr(verify, "check_saved_model", look)
    assert temzoo.export(toy(), tmp_path, name="particles").name == "1"
    assert len(seen) == 1


def test_a_config_that_was_there_is_added_to_and_one_that_is_complete_stays(served, tmp_path):
    from temzoo.deploy.exporting import deployment

    path = tmp_path / "models.config"
    other = 'model_config_list { config { name: "theirs" base_path: "/else" } }'
    path.write_text(other)
    mixed = deployment._config(path, ["particles"])
    assert 'name: "theirs"' in mixed
    assert 'base_path: "/models/particles"' in mixed
    # One held version, the server's own default, would end predictions when the next is loaded.
    assert mixed.count("num_versions: 2") == 1
    path.write_text(f"# by hand\n{mixed}")
    assert deployment._config(path, ["particles"]) == f"# by hand\n{mixed}"
    path.write_text("model_config_list [")
    with pytest.raises(ValueError, match=r"must be a models.config of TensorFlow Serving"):
        deployment._config(path, ["particles"])


def test_the_files_beside_the_models_say_how_to_serve_them(served):
    guide = (served / "SERVING.md").read_text()
    assert "docker run" in guide
    assert "serving_bytes" in guide
    assert "{" not in guide.split("```sh")[2]
    assert (served / "batching.config").read_text().count("value:") == 4


class Rest(http.server.BaseHTTPRequestHandler):
    """TensorFlow Serving's REST, as far as the example client uses it."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/models/particles:predict"
        files = [base64.b64decode(one["b64"]) for one in body["inputs"]["image_bytes"]]
        ask = self.server.signatures[body["signature_name"]]
        found = ask(image_bytes=tf.constant(files))
        told = json.dumps({"outputs": {k: v.numpy().tolist() for k, v in found.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *words):
        pass


@pytest.fixture
def servers(served):
    """Both protocols, answered by the SavedModel: scheme -> URL."""
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    loaded = tf.saved_model.load(served / "particles" / "1")

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802 - the protocol's name
            assert request.model_spec.name == "particles"
            ask = loaded.signatures[request.model_spec.signature_name]
            inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
            answer = predict_pb2.PredictResponse()
            for name, value in ask(**inputs).items():
                answer.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
            return answer

    by_grpc = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), by_grpc)
    port = by_grpc.add_insecure_port("127.0.0.1:0")
    by_grpc.start()
    by_rest = http.server.HTTPServer(("127.0.0.1", 0), Rest)
    by_rest.signatures = loaded.signatures
    thread = threading.Thread(target=by_rest.serve_forever, args=(0.02,))
    thread.start()
    yield {
        "grpc": f"grpc://127.0.0.1:{port}/particles",
        "http": f"http://127.0.0.1:{by_rest.server_address[1]}/particles",
    }
    by_grpc.stop(None).wait()
    by_rest.shutdown()
    thread.join()
    by_rest.server_close()


def ask_by_client(folder, url, extra):
    return subprocess.run(
        [
            *(sys.executable, "-P", folder / "temzoo_client.py", url, extra / "golden.png"),
            *("--check", extra / "golden.npz"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_the_example_client_gets_the_golden_answers(served, servers, scheme):
    done = ask_by_client(served, servers[scheme], served / "particles/1/assets.extra")
    assert done.returncode == 0, done.stderr
    assert "class_map" in done.stdout
    assert "furthest from golden" in done.stdout


def test_the_example_client_notices_other_answers(served, servers, tmp_path):
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "golden.png").write_bytes(png(40, 52))
    with np.load(served / "particles/1/assets.extra/golden.npz") as golden:
        cut = {name: golden[name][:, :40, :52] for name in golden.files}
    np.savez(extra / "golden.npz", **cut)
    assert ask_by_client(served, servers["http"], extra).returncode == 1


@pytest.mark.skipif(
    not os.environ.get("TEMZOO_TFS_URL"),
    reason="needs TensorFlow Serving: TEMZOO_TFS_URL=grpc://host:8500/NAME, and what it serves in"
    " TEMZOO_TFS_EXPORT=DIR/NAME/VERSION",
)
def test_a_real_server_gives_the_golden_answers():
    version = Path(os.environ["TEMZOO_TFS_EXPORT"])
    done = ask_by_client(version.parents[1], os.environ["TEMZOO_TFS_URL"], version / "assets.extra")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_loader_needs_neither_keras_nor_tensorflows_python(served, tmp_path):
    plan = {"model": str(served / "particles" / "1"), "questions": []}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    np.savez(tmp_path / "arrays.npz")
    code = (
        "import runpy, sys\n"
        f"runpy.run_path({loader.__file__!r}, run_name='__main__')\n"
        "print(sorted({'tensorflow', 'keras', 'temzoo'} & set(sys.modules)))"
    )
    paths = [str(tmp_path / name) for name in ("plan.json", "arrays.npz", "answers.npz")]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
    assert time.monotonic() - started < 60
    with np.load(tmp_path / "answers.npz") as answers:
        assert answers["operations"].size > 10_000


def test_a_loader_that_fails_is_an_export_error(tmp_path):
    from temzoo.deploy.exporting.verify import ask

    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(ExportError, match="must load and answer in a process without Keras"):
        ask(tmp_path, [], [])


@pytest.mark.parametrize("side", ["feeds", "fetches"])
def test_the_loader_names_an_operation_that_is_not_there(served, side):
    from temzoo.deploy.exporting import saved_model, scenes
    from temzoo.deploy.exporting.verify import ask

    folder = served / "particles" / "1"
    inputs, outputs = saved_model.tensors(saved_model.graph_of(folder), "serving_default")
    images = np.zeros((1, 8, 8, 1), np.float32)
    question = scenes.Question("serving_default", None, {"images": images}, dict.fromkeys(outputs))
    names = inputs if side == "feeds" else outputs
    names = dict.fromkeys(names, "elsewhere:0")
    pair = (names, outputs) if side == "feeds" else (inputs, names)
    with pytest.raises(
        ExportError, match=r"Received: RuntimeError: .*/1 has no operation elsewhere"
    ):
        ask(folder, [question], [pair])


def test_a_flipped_weight_is_noticed(unet, tmp_path, monkeypatch):
    """Between writing and checking, as a bad disk does."""
    from temzoo.deploy.exporting import saved_model

    write = saved_model.write

    def damaged(signatures, folder):
        write(signatures, folder)
        data = folder / "variables" / "variables.data-00000-of-00001"
        content = bytearray(data.read_bytes())
        content[200] ^= 0x40
        data.write_bytes(content)

    monkeypatch.setattr(saved_model, "write", damaged)
    with pytest.raises(ExportError, match="Received"):
        temzoo.export(unet, tmp_path)
    assert left(tmp_path) == []


def test_a_full_disk_leaves_nothing(unet, tmp_path, monkeypatch):
    from temzoo.deploy.exporting import saved_model

    def full(signatures, folder):
        (folder / "saved_model.pb").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, "a.index: No space left on device\nat")

    monkeypatch.setattr(saved_model, "write", full)
    with pytest.raises(ExportError, match=r"No space left on device\. Nothing is left in .*unet"):
        temzoo.export(unet, tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("most", [1_000, 20_000, 50_000])
def test_files_that_cannot_grow_are_one_line_and_leave_nothing(unet, tmp_path, most):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        with pytest.raises(ExportError, match=r"File too large.*Nothing is left in .*unet") as told:
            temzoo.export(unet, tmp_path / "served")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_end_leaves_nothing(unet, tmp_path, monkeypatch):
    def full(folder, told, golden):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(assets, "write", full)
    with pytest.raises(ExportError, match=r"No space left on device\. Nothing is left in .*unet"):
        temzoo.export(unet, tmp_path)
    assert left(tmp_path) == []
    monkeypatch.setattr(assets, "write", lambda *_: (_ for _ in ()).throw(PermissionError("no")))
    with pytest.raises(PermissionError):
        temzoo.export(unet, tmp_path)


@pytest.mark.parametrize("made_anew", [False, True])  # as TensorFlow does
def test_an_export_whose_folder_was_taken_away_is_refused(tmp_path, made_anew):
    def write():
        with versions.staged(tmp_path / "home", 1) as folder:
            (tmp_path / "home").rename(tmp_path / "elsewhere")
            if made_anew:
                folder.mkdir(parents=True)

    with pytest.raises(
        FileNotFoundError, match=r"must stay where it is written\. .*home, which was"
    ):
        write()
    assert not (tmp_path / "home" / "1").exists()


def test_onnx_and_openvino_go_with_a_version(unet, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    openvino = pytest.importorskip("openvino")
    path = temzoo.export(unet, tmp_path, openvino=True, onnx=True)
    assert (path / "openvino" / "model.bin").is_file()
    session = onnxruntime.InferenceSession(path / "onnx" / "model.onnx")
    images = np.random.default_rng(4).uniform(0, 900, (2, 21, 34, 1)).astype(np.float32)
    (probabilities,) = session.run(["probabilities"], {"images": images})
    np.testing.assert_allclose(probabilities, unet(images), atol=1e-4)
    model, guide = path / "openvino" / "model.xml", (tmp_path / "SERVING.md").read_text()
    assert 'compile_model("unet/1/openvino/model.xml", "CPU", {"INFERENCE_PRECISION_HINT"' in guide
    hints = {"INFERENCE_PRECISION_HINT": "f32"}  # as SERVING.md says
    network = openvino.Core().compile_model(model, "CPU", hints)
    np.testing.assert_allclose(network([images])["probabilities"], unet(images), atol=1e-4)
    for bad in (np.nan, np.inf, -np.inf):
        images[1, 3, 4] = bad
        classes, found = session.run(["class_map", "probabilities"], {"images": images})
        there = network([images])
        for each, map_ in ((found, classes), (there["probabilities"], there["class_map"])):
            assert np.isnan(each[1]).all()
            assert not map_[1].any()
            np.testing.assert_allclose(each[0], probabilities[0], atol=1e-4)


def test_a_file_that_answers_a_pixel_of_nan_as_any_is_refused(monkeypatch):
    zeros = {"images": np.zeros((2, 8, 8, 1), np.float32)}
    expected = {"answer": zeros["images"]}
    question = scenes.Question("serving_default", Endpoint(dict, {}), zeros, expected)
    asked = []

    def ask(path, questions, names):
        asked.extend(questions)
        return [each.expected for each in questions], set()

    monkeypatch.setattr(verify, "ask", ask)
    with pytest.raises(ExportError, match=r"The ONNX file must answer NaN.*others in answer"):
        verify.check_file(Path("a.onnx"), "ONNX file", [question])
    assert [np.isnan(each.inputs["images"]).sum() for each in asked] == [0, 1]


def test_a_model_that_suppresses_by_class_has_no_onnx_file(toy, tmp_path):
    """Refused before anything is written, as every detector is; the contract asks those."""
    model = toy(Suppressing)
    with pytest.raises(ExportError, match=r"CombinedNonMaxSuppression: .* Serve its SavedModel"):
        temzoo.export(model, tmp_path, onnx=True)
    assert left(tmp_path) == []


def test_an_operation_that_onnx_lacks_is_named(tmp_path):
    pytest.importorskip("tf2onnx")
    given = tf.TensorSpec((None, None, None, 1), tf.float32, name="images")
    asked = tf.function(lambda images: {"answer": tf.math.lgamma(images)}, input_signature=[given])
    signature = SimpleNamespace(function=asked, inputs={"images": given})
    rule = "ONNX must have all operations of a model. Received: Lgamma, .* Serve the SavedModel"
    with pytest.raises(ExportError, match=rule):
        other_formats.write_onnx(signature, tmp_path / "a.onnx")
    assert left(tmp_path) == []


def test_a_missing_extra_says_what_to_install(unet, tmp_path, monkeypatch):
    monkeypatch.setattr(other_formats, "EXTRAS", {"onnx": ("not_there",)})
    with pytest.raises(ImportError, match=r"no not_there. Install .* pip install 'temzoo\[onnx\]'"):
        temzoo.export(unet, tmp_path, onnx=True)


def test_the_command_exports_the_next_version(unet, served, tmp_path, capsys):
    from temzoo.zoo import pretrained

    weights = tmp_path / "mine.weights.h5"
    pretrained.save(unet, weights)
    how = built.built(unet)
    pretrained.write_card(weights, pretrained.WeightsCard(how.name, dict(how.config)))
    shutil.copytree(served / "particles", tmp_path / "out" / "mine")
    app(["export", str(weights), str(tmp_path / "out"), "--name", "mine"], standalone_mode=False)
    told = capsys.readouterr().out
    assert f"{tmp_path}/out/mine/2: " in told
    assert "SERVING.md" in told


def test_without_tensorflows_library_the_check_says_so(monkeypatch):
    monkeypatch.setattr(
        "temzoo.deploy.exporting.loader.importlib.util.find_spec", lambda name: None
    )
    with pytest.raises(FileNotFoundError, match=r"C library was not found.*Install tensorflow"):
        loader.library()
