"""A served model gives what the model itself gives, over gRPC and REST, from a server with faults.

The servers speak TensorFlow Serving's two protocols and answer by the signatures of a SavedModel.
"""

import base64
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import cv2
import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.deploy.serving import ServedDetector, connect, failures, line, transports
from temzoo.deploy.serving.address import parse
from temzoo.tasks.endpoints import NORMALIZED
from temzoo.zoo.built import Limits, limits_of, task_of

CLASSES = ("particle", "film")
VERSION = 7
STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
TOO_LARGE = "Received message larger than max (8388608 vs. 4194304)"


class ServerError(Exception):
    """An error that the server answers with: gRPC's name of the code, and its words."""

    def __init__(self, code, said="made for a test"):
        super().__init__(said)
        self.code, self.said = code, said


class Servable:
    """A SavedModel as TensorFlow Serving holds it, and what it is asked.

    Attributes:
        faults: answered with, one by one, before anything else.
        delay_s: that each answer takes.
        limit: images in a request, at most.
        spoil: what it makes of its right answers, by name.
        calls: (signature, version, images) of each request for an answer.
        busiest: requests at once, at most, that were seen.
        together: so many first requests are answered only once all of them are here.
    """

    def __init__(self, folder, name="model"):
        self.name, self.loaded = name, tf.saved_model.load(str(folder))
        proto = SavedModel.FromString((Path(folder) / "saved_model.pb").read_bytes())
        kept = {k: v for k, v in proto.meta_graphs[0].signature_def.items() if k[0] != "_"}
        self.signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=kept)
        self.lock, self.at_once = threading.Condition(), 0
        self.reset()

    def reset(self):
        """As new, once those are answered that an earlier test did not wait for."""
        with self.lock:
            self.lock.wait_for(lambda: self.at_once == 0, timeout=60)
        self.faults, self.delay_s, self.limit = [], 0.0, None
        self.spoil = dict
        self.calls, self.busiest = [], 0
        self.together = threading.Barrier(1)

    def find(self, name, version):
        if name != self.name or version not in (None, VERSION):
            raise ServerError(
                "NOT_FOUND", f"Servable not found for request: Specific({name}, {version})"
            )

    def answer(self, name, version, signature, inputs):
        self.find(name, version)
        with self.lock:
            self.at_once += 1
            self.busiest = max(self.busiest, self.at_once)
            self.calls.append((signature, version, len(next(iter(inputs.values())))))
            fault = self.faults.pop(0) if self.faults else None
            early = len(self.calls) <= self.together.parties
        try:
            if early:
                self.together.wait(60)
            time.sleep(self.delay_s)
            if fault:
                raise fault
            return self.spoil(self._run(signature, inputs))
        finally:
            with self.lock:
                self.at_once -= 1
                self.lock.notify_all()

    def _run(self, signature, inputs):
        if signature not in self.signatures.signature_def:
            raise ServerError(
                "FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.'
            )
        if self.limit and len(next(iter(inputs.values()))) > self.limit:
            raise ServerError("RESOURCE_EXHAUSTED", TOO_LARGE)
        outputs = self.loaded.signatures[signature](**inputs)
        return {name: value.numpy() for name, value in outputs.items()}


class GrpcService(PredictionServiceServicer):
    def __init__(self, servable):
        self.servable = servable

    def GetModelMetadata(self, request, context):  # noqa: N802 - the protocol's name
        assert list(request.metadata_field) == ["signature_def"]
        with self._as_status(context):
            self.servable.find(*self._spec(request))
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.model_spec.name, answer.model_spec.version.value = self.servable.name, VERSION
        answer.metadata["signature_def"].Pack(self.servable.signatures)
        return answer

    def Predict(self, request, context):  # noqa: N802 - the protocol's name
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        signature = request.model_spec.signature_name
        with self._as_status(context):
            found = self.servable.answer(*self._spec(request), signature, inputs)
        answer = predict_pb2.PredictResponse()
        for name in set(request.output_filter or found) & set(found):
            tensor = answer.outputs[name]
            if found[name].dtype != np.float32:
                tensor.CopyFrom(tf.make_tensor_proto(found[name]))
                continue
            # The server's own way: a field of floats instead of the bytes of an array.
            tensor.dtype = tf.float32.as_datatype_enum
            tensor.tensor_shape.CopyFrom(tf.TensorShape(found[name].shape).as_proto())
            tensor.float_val.extend(found[name].ravel())
        return answer

    def _spec(self, request):
        spec = request.model_spec
        return spec.name, spec.version.value if spec.HasField("version") else None

    def _as_status(self, context):
        class Aborting:
            def __enter__(self):
                pass

            def __exit__(self, kind, error, trace):
                if isinstance(error, ServerError):
                    context.abort(grpc.StatusCode[error.code], error.said)

        return Aborting()


class RestHandler(http.server.BaseHTTPRequestHandler):
    """``/v1/models/NAME[/versions/N]`` with ``/metadata`` and ``:predict``."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections += 1

    def do_GET(self):
        path = self.path.removesuffix("/metadata")
        assert path != self.path
        self._answer(lambda: self._metadata(*self._spec(path)))

    def do_POST(self):
        path = self.path.removesuffix(":predict")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(lambda: self._predict(*self._spec(path), body))

    def log_message(self, *words):
        pass

    def _spec(self, path):
        _, v1, models, name, *rest = path.split("/")
        assert (v1, models) == ("v1", "models")
        assert rest[:1] in ([], ["versions"])
        return name, int(rest[1]) if rest else None

    def _metadata(self, name, version):
        self.server.servable.find(name, version)
        told = MessageToDict(
            self.server.servable.signatures,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        spec = {"name": name, "signature_name": "", "version": str(VERSION)}
        return {"model_spec": spec, "metadata": {"signature_def": told}}

    def _predict(self, name, version, body):
        signature = body["signature_name"]
        inputs = {k: tf.constant(v, tf.float32) for k, v in body["inputs"].items()}
        found = self.server.servable.answer(name, version, signature, inputs)
        columns = {key: self._column(key, value) for key, value in found.items()}
        return {"outputs": columns if len(columns) != 1 else next(iter(columns.values()))}

    def _column(self, name, array):
        if array.dtype != object:
            return array.tolist()
        if name.endswith("_bytes"):
            return [{"b64": base64.b64encode(each).decode()} for each in array]
        return [each.decode() for each in array]

    def _answer(self, ask):
        status, headers = 200, {}
        try:
            told = ask()
        except ServerError as fault:
            status, told = STATUSES[fault.code], {"error": fault.said}
            if fault.said == TOO_LARGE:
                status = 413
            if fault.said == "wait":
                headers["Retry-After"] = "1"
        body = json.dumps(told).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class HttpServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    connections = 0

    def __init__(self, handler, servable=None):
        super().__init__(("127.0.0.1", 0), handler)
        self.servable = servable
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Served:
    """One servable behind both protocols, on ports of this machine alone."""

    def __init__(self, servable):
        self.servable = servable
        self.grpc = grpc.server(
            futures.ThreadPoolExecutor(16),
            options=[("grpc.max_receive_message_length", -1)],
        )
        add_PredictionServiceServicer_to_server(GrpcService(servable), self.grpc)
        self.grpc_port = self.grpc.add_insecure_port("127.0.0.1:0")
        self.grpc.start()
        self.rest = HttpServer(RestHandler, servable)

    def url(self, scheme, name=None):
        port = self.grpc_port if scheme == "grpc" else self.rest.server_address[1]
        return f"{scheme}://127.0.0.1:{port}/{name or self.servable.name}"

    def stop(self):
        self.grpc.stop(None).wait()
        self.rest.stop()


def write_saved_model(folder, functions, tracked=()):
    """functions: signature -> (function, {input: TensorSpec})."""
    module = tf.Module()
    module.tracked = list(tracked)
    signatures = {}
    for name, (function, specs) in functions.items():
        named = {k: tf.TensorSpec(s.shape, s.dtype, k) for k, s in specs.items()}
        asked = tf.function(function, autograph=False)  # as temzoo's own export
        signatures[name] = asked.get_concrete_function(**named)
    tf.saved_model.save(module, str(folder), signatures=signatures)


def describing(card):
    text = json.dumps(card)

    def describe(unused):
        return {"card": tf.fill(tf.shape(unused)[:1], text)}

    return {"describe": (describe, {"unused": tf.TensorSpec((None,), tf.float32)})}


def answering(endpoint):
    def answer(images):
        return dict(endpoint.answer(images))

    shape = (None, *endpoint.inputs["images"])
    return answer, {"images": tf.TensorSpec(shape, tf.float32)}


def card_of(model, **more):
    settings = task_of(model).normalizer(model).get_config()
    return {
        "model": model.name,
        "normalize": {key: settings[key] for key in ("low", "high", "limit", "grid")},
        "step": next((each.multiple for each in model.layers if hasattr(each, "multiple")), None),
        **more,
    }


def serve(model, folder, card):
    functions = {NORMALIZED: answering(task_of(model).endpoints(model)[NORMALIZED])}
    if card is not None:
        functions |= describing(card)
    write_saved_model(folder, functions, model.variables)
    return Served(Servable(folder))


def balance(model, said):
    """No class is likelier than another on the whole, by the logarithms of what was said."""
    model.get_layer("logits").bias.assign(-said.mean(axis=(0, 1, 2)))


@pytest.fixture(scope="module")
def unet():
    """Untrained, but with its classes in balance, so that each is found somewhere."""
    keras.utils.set_random_seed(1)
    model = temzoo.get_model("unet", classes=3, filters=4, depth=2, compile=False)
    balance(model, np.log(model(micrograph(1, 96, 96)[..., None]).numpy()))
    return model


@pytest.fixture(scope="module")
def unet_server(unet, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unet")
    card = card_of(unet, class_names=list(CLASSES), channels=1, noise=5.0, side=4096)
    served = serve(unet, folder, card)
    yield served
    served.stop()


@pytest.fixture
def server(unet_server):
    unet_server.servable.reset()
    return unet_server


@pytest.fixture(params=["grpc", "http"])
def scheme(request):
    return request.param


@pytest.fixture
def served(server, scheme):
    with connect(server.url(scheme), in_flight=3) as model:
        server.servable.calls.clear()
        yield model


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(failures, "FIRST_WAIT_S", 0.01)


def micrograph(*shape, dtype=np.uint8, seed=0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    ground = 80 + 60 * np.sin(x / 17) * np.cos(y / 11) + 0.2 * x
    noise = np.random.default_rng(seed).normal(0, 20, shape)
    pixels = ground.reshape(*ground.shape, *[1] * (len(shape) - 2)) + noise
    return np.clip(pixels * (1 if dtype == np.uint8 else 200), 0, np.iinfo(dtype).max).astype(dtype)


def check_same(served, local, tolerance=1e-5):
    np.testing.assert_allclose(served.probabilities, local.probabilities, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(served.classes, local.classes)
    np.testing.assert_array_equal(served.instances, local.instances)


@pytest.mark.parametrize(
    ("shape", "dtype", "options"),
    [
        ((97, 163), np.uint8, {}),
        ((151, 203), np.uint16, {"tile": 64, "overlap": 24}),
        ((133, 90, 3), np.uint8, {"tile": 64, "batch_size": 3, "instances": "watershed"}),
    ],
)
def test_a_served_prediction_equals_the_local_one(unet, served, shape, dtype, options):
    pixels = micrograph(*shape, dtype=dtype)
    expected = temzoo.predict(unet, pixels, probabilities=True, class_names=CLASSES, **options)
    found = temzoo.predict(served, pixels, probabilities=True, **options)
    check_same(found, expected)
    assert found.class_names == CLASSES
    assert len(np.unique(expected.classes)) > 1


def test_mirror_images_are_averaged_as_locally(unet, served):
    options = {"tile": 64, "flips": True, "probabilities": True}
    pixels = micrograph(70, 101)
    check_same(temzoo.predict(served, pixels, **options), temzoo.predict(unet, pixels, **options))


def test_messages_beyond_the_4_mib_of_grpc_by_default_pass(unet, server):
    pixels = micrograph(600, 700)
    with connect(server.url("grpc")) as served:
        found = temzoo.predict(served, pixels, probabilities=True)
    assert found.probabilities.nbytes > 4 * 2**20
    check_same(found, temzoo.predict(unet, pixels, probabilities=True))


def test_the_model_tells_of_itself(server, served, scheme):
    assert served.class_names == CLASSES
    assert limits_of(served) == Limits(noise=5, side=4096)
    assert (served.input_shape, served.output_shape) == (
        (None, None, None, 1),
        (None, None, None, 3),
    )
    assert served.tile_step == 4
    assert served.normalize.limit == 3.0
    assert str(served.address) == f"{server.url(scheme)}/{VERSION}"
    assert repr(served) == f"<ServedModel {served.address}>"


def test_tiles_of_one_micrograph_are_answered_by_one_version(server, served):
    temzoo.predict(served, micrograph(100, 128), tile=64)
    assert server.servable.calls == [(NORMALIZED, VERSION, 1)] * 9


def test_a_version_that_is_gone_is_said(server, scheme):
    with pytest.raises(ValueError, match=r'no model "model" of version 8.* newer version has'):
        connect(f"{server.url(scheme)}/8")


@pytest.fixture(scope="module")
def bare_server(unet, tmp_path_factory):
    served = serve(unet, tmp_path_factory.mktemp("bare"), None)
    yield served
    served.stop()


def test_without_a_card_classes_are_numbered_and_the_rest_is_the_default(unet, bare_server, scheme):
    pixels = micrograph(96, 128)
    options = {"tile": 64, "overlap": 32, "probabilities": True}
    with connect(bare_server.url(scheme)) as served:
        found = temzoo.predict(served, pixels, **options)
        assert (served.class_names, served.card, served.tile_step) == ((), {}, None)
    check_same(found, temzoo.predict(unet, pixels, **options))
    assert found.class_names == ()


def served_functions(folder, functions):
    write_saved_model(folder, functions)
    return Served(Servable(folder))


IMAGES = {"images": tf.TensorSpec((None, None, None, 1), tf.float32)}


def test_a_model_without_normalisation_gets_raw_pixels(tmp_path, scheme):
    def brightness(images):
        return {"probabilities": tf.concat([1 - images / 255, images / 255], axis=-1)}

    functions = {"serving_default": (brightness, IMAGES)} | describing({"normalize": None})
    server = served_functions(tmp_path, functions)
    pixels = micrograph(70, 81)
    with connect(server.url(scheme)) as served:
        found = temzoo.predict(served, pixels, tile=64, probabilities=True)
    server.stop()
    np.testing.assert_allclose(found.probabilities[..., 1], pixels / 255, atol=1e-6)


@pytest.fixture(scope="module")
def parting():
    """A network that learns distances, untrained, so that many objects are found and parted."""
    keras.utils.set_random_seed(3)
    filters = {"decoder_filters": (8, 8, 8, 8, 8), "alpha": 0.25, "pyramid": (1,)}
    model = temzoo.get_model("particles", encoder_weights=None, compile=False, **filters)
    balance(model, np.log(model(micrograph(1, 96, 96)[..., None]).numpy()[..., :2]))
    return model


@pytest.fixture(scope="module")
def parting_server(parting, tmp_path_factory):
    card = card_of(parting, class_names=["particle"], channels=1)
    served = serve(parting, tmp_path_factory.mktemp("parting"), card)
    yield served
    served.stop()


def test_a_served_network_of_distances_parts_objects_as_the_local_one(
    parting, parting_server, scheme
):
    pixels, options = micrograph(97, 163), {"probabilities": True, "min_score": 0.0, "tile": 64}
    expected = temzoo.predict(parting, pixels, **options)
    with connect(parting_server.url(scheme)) as served:
        found = temzoo.predict(served, pixels, **options)
        assert served.output_shape[-1] == 3
    check_same(found, expected)
    np.testing.assert_array_equal(found.distance, expected.distance)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert expected.instances.max() > 1


@pytest.fixture(scope="module")
def restorer():
    keras.utils.set_random_seed(2)
    model = temzoo.get_model("autoencoder", filters=4, depth=2, compile=False)
    for weight in model.trainable_variables:  # untrained, it would return its input
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.02, seed=5))
    return model


@pytest.fixture(scope="module")
def restorer_server(restorer, tmp_path_factory):
    served = serve(restorer, tmp_path_factory.mktemp("restorer"), card_of(restorer))
    yield served
    served.stop()


def test_a_served_restorer_restores_as_the_local_one(restorer, restorer_server, scheme):
    pixels = micrograph(101, 150, dtype=np.uint16)
    expected = temzoo.restore(restorer, pixels, tile=64).pixels
    with connect(restorer_server.url(scheme)) as served:
        found = temzoo.restore(served, pixels, tile=64).pixels
        with pytest.raises(ValueError, match=r"predict finds classes.*which makes pictures"):
            temzoo.predict(served, pixels)
    assert np.abs(expected - pixels).max() > 10
    # Pixels near 0 are differences of large numbers: float32 knows them to 1e-7 of the range.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7 * np.ptp(expected))


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(0)
    return temzoo.get_model(
        "mask_rcnn",
        image_size=64,
        alpha=0.25,
        features=8,
        backbone_weights=None,
        proposals=60,
        max_detections=12,
        compile=False,
    )


@pytest.fixture(scope="module")
def detector_server(detector, tmp_path_factory):
    card = {
        "normalize": {"low": 1.0, "high": 99.0, "limit": 3.0, "grid": 256},
        "class_names": ["particle"],
        "channels": 1,
        "image_size": 64,
        "max_detections": 12,
    }
    served = serve(detector, tmp_path_factory.mktemp("detector"), card)
    yield served
    served.stop()


@pytest.mark.filterwarnings("ignore:a tile holds more objects")
@pytest.mark.parametrize("min_score", [0.05, 0.5])
def test_a_served_detector_finds_what_the_local_one_finds(
    detector, detector_server, scheme, min_score
):
    pixels = micrograph(60, 200)
    options = {"min_score": min_score, "batch_size": 2}
    expected = temzoo.predict(detector, pixels, **options)
    with connect(detector_server.url(scheme), in_flight=2) as served:
        found = temzoo.predict(served, pixels, **options)
    assert len(found.detections) == len(expected.detections) > 3
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(found.instances, expected.instances)
    assert found.class_names == ("particle",)


@pytest.mark.filterwarnings("ignore:a tile holds more objects")
def test_a_served_detector_of_boxes_finds_boxes(tmp_path):
    config = {"image_size": 64, "alpha": 0.25, "features": 8, "backbone_weights": None}
    model = temzoo.get_model("yolo", max_detections=12, compile=False, **config)
    for level in (1, 2, 3):  # so that it finds something untrained
        model.network.get_layer(f"yolo_v8_head_{level}_class_3_conv").bias.assign([0.0])
    card = {"normalize": {"low": 1.0, "high": 99.0, "limit": 3.0, "grid": 256}, "channels": 1}
    served = serve(model, tmp_path, card)
    try:
        with connect(served.url("grpc")) as asked:
            found = temzoo.predict(asked, micrograph(64, 64), min_score=0.05)
    finally:
        served.stop()
    assert found.box_shaped
    assert len(found.boxes) > 3


def test_a_served_detector_normalises_images_by_themselves_without_statistics(
    detector, detector_server, scheme
):
    images = micrograph(2, 64, 64)[..., None].astype(np.float32)
    images[1] *= 30
    expected = detector.detect(images)
    with connect(detector_server.url(scheme)) as served:
        assert isinstance(served, ServedDetector)
        found = served.detect(images)
        assert found.masks.shape == expected.masks.shape
        np.testing.assert_array_equal(found.counts, expected.counts)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
        assert served.detect(images, max_detections=2).counts.tolist() == [2, 2]
        certain = served.detect(images, min_score=0.5).counts
        assert certain.tolist() == (expected.scores >= 0.5).sum(axis=1).tolist()
        with pytest.raises(ValueError, match=r"max_detections=13.*finds 12"):
            served.detect(images, max_detections=13)


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"])
def test_a_server_that_is_away_for_a_while_is_asked_again(unet, server, served, code):
    server.servable.faults = [ServerError(code) for _ in range(4)]
    pixels = micrograph(97, 90)
    found = temzoo.predict(served, pixels, tile=64, probabilities=True)
    check_same(found, temzoo.predict(unet, pixels, tile=64, probabilities=True))
    assert len(server.servable.calls) == 4 + 6


def test_waits_double_up_to_a_limit_and_differ(monkeypatch):
    monkeypatch.setattr(failures, "FIRST_WAIT_S", 0.2)
    waits = [[failures.waiting_time_s(attempt) for _ in range(3000)] for attempt in (0, 1, 3, 20)]
    assert [round(max(each), 1) for each in waits] == [0.2, 0.4, 1.6, 10.0]
    assert [round(min(each), 1) for each in waits] == [0.1, 0.2, 0.8, 5.0]


def test_a_server_is_left_alone_as_long_as_it_asks(server):
    with connect(server.url("http")) as served:
        server.servable.faults = [ServerError("UNAVAILABLE", "wait")]
        before = time.monotonic()
        temzoo.predict(served, micrograph(32, 32))
        assert time.monotonic() - before > 0.95


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (
            "UNAVAILABLE",
            ConnectionError,
            r"no answer in 3 tries.*made for a test.*8500 is for grpc",
        ),
        ("RESOURCE_EXHAUSTED", RuntimeError, r"no answer in 3 tries.*\(in_flight=1\), or later"),
        ("INTERNAL", RuntimeError, r"The server failed.*made for a test.*server's log"),
        ("INVALID_ARGUMENT", ValueError, r"refused the tiles.*Export the model anew"),
        ("PERMISSION_DENIED", PermissionError, "wants to know who asks"),
    ],
)
def test_a_server_that_does_not_recover_is_told_of(server, scheme, code, kind, text):
    with connect(server.url(scheme), retries=2, in_flight=1) as served:
        server.servable.faults = [ServerError(code) for _ in range(3)]
        with pytest.raises(kind, match=text):
            temzoo.predict(served, micrograph(32, 32))


def test_a_slow_server_is_told_of(server, scheme):
    with connect(server.url(scheme), retries=1, timeout_s=1) as served:
        server.servable.delay_s = 1.5
        with pytest.raises(TimeoutError, match=r"no answer in 2 tries.*given 1 s: raise timeout"):
            temzoo.predict(served, micrograph(32, 32))


def test_one_slow_answer_is_asked_for_again(unet, server, scheme):
    pixels = micrograph(40, 40)
    with connect(server.url(scheme), timeout_s=5) as served:
        server.servable.faults = [ServerError("DEADLINE_EXCEEDED")]
        found = temzoo.predict(served, pixels, probabilities=True)
    check_same(found, temzoo.predict(unet, pixels, probabilities=True))


@pytest.mark.parametrize("in_flight", [1, 3])
def test_so_many_requests_are_in_flight_and_the_order_stays(unet, server, scheme, in_flight):
    pixels = micrograph(64, 300)
    with connect(server.url(scheme), in_flight=in_flight) as served:
        server.servable.calls.clear()
        server.servable.together = threading.Barrier(in_flight)
        found = temzoo.predict(served, pixels, tile=64, probabilities=True)
        busiest, connections = server.servable.busiest, len(getattr(served.line.wire, "idle", ()))
    assert busiest == in_flight
    assert connections <= in_flight
    check_same(found, temzoo.predict(unet, pixels, tile=64, probabilities=True))


def test_threads_that_share_a_model_share_its_limit(server, scheme):
    with connect(server.url(scheme), in_flight=2) as served:
        server.servable.calls.clear()
        server.servable.together = threading.Barrier(2)
        with futures.ThreadPoolExecutor(4) as pool:
            list(
                pool.map(lambda seed: temzoo.predict(served, micrograph(64, 130), tile=64), "abcd")
            )
    assert server.servable.busiest == 2


def test_what_is_too_large_for_the_server_is_split_once(unet, server, served):
    server.servable.limit = 2
    pixels = micrograph(64, 600)
    options = {"tile": 64, "overlap": 0, "batch_size": 5, "probabilities": True}
    served.line.in_flight = served.in_flight = 1
    found = temzoo.predict(served, pixels, **options)
    check_same(found, temzoo.predict(unet, pixels, **options))
    assert [call[2] for call in server.servable.calls] == [5, 2, 2, 1, 2, 2, 1]


def test_a_request_stays_below_what_the_protocol_carries(unet, server, served, monkeypatch):
    monkeypatch.setattr(line, "REQUEST_BYTES", 3 * 64 * 64 * 4)
    temzoo.predict(served, micrograph(64, 256), tile=64, overlap=0, batch_size=4)
    assert [call[2] for call in server.servable.calls] == [3, 1]


def test_a_single_tile_that_is_too_large_is_refused_with_a_smaller_one(server, served):
    server.servable.faults = [ServerError("RESOURCE_EXHAUSTED", TOO_LARGE)]
    with pytest.raises(ValueError, match=r"One tile of 40 x 52 px is more.*--tile 512"):
        temzoo.predict(served, micrograph(40, 52))


def test_a_graphics_card_without_memory_is_given_less_instead_of_the_same_again():
    address = parse("grpc://a/b")
    said = "OOM when allocating tensor with shape[8,1024,1024,64]"
    assert isinstance(failures.failure(address, "RESOURCE_EXHAUSTED", said), failures.TooLarge)


def only(change):
    """Changes the only answer."""
    return lambda found: {name: change(value) for name, value in found.items()}


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda found: {}, "which gave no probabilities"),
        (only(lambda a: np.concatenate([a, a])), r"of shape \(2, 32, 32, 3\) for 1 images"),
        (only(lambda a: a[..., :2]), "gave 2 values a pixel and has promised 3"),
        (only(lambda a: a[:, 0]), r"of shape \(1, 32, 3\), not 4 axes of numbers"),
        (only(lambda a: np.array([b"no"], object)), r"of shape \(1,\), not 4 axes of numbers"),
    ],
)
def test_an_answer_that_is_not_what_was_promised_is_told_of(server, served, spoil, text):
    server.servable.spoil = spoil
    with pytest.raises(ValueError, match=rf"must answer as its signatures.*/7, .*{text}. Check"):
        temzoo.predict(served, micrograph(32, 32))


def test_an_answer_of_nan_is_not_taken_for_nothing_there(server, served):
    server.servable.spoil = only(lambda a: a * np.float32(np.nan))
    with pytest.raises(
        ValueError, match=r"must be finite. Received: 3072 NaN .*://.*/model/7, for"
    ):
        temzoo.predict(served, micrograph(32, 32))


def test_classes_promised_by_their_names_alone_are_counted(server, scheme):
    with connect(server.url(scheme)) as served:
        served.output_shape = (None, None, None, None)
        server.servable.spoil = only(lambda a: a[..., :2])
        with pytest.raises(ValueError, match="gave 2 values a pixel and has promised 3"):
            temzoo.predict(served, micrograph(32, 32))


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("scores", lambda a: np.full_like(a, np.nan), "NaN or infinite scores: its weights are"),
        ("boxes", lambda a: a[:, 1:], "so many objects: {'boxes': 11, 'classes': 12"),
        ("count", lambda a: a.reshape(-1, 1), '"count" as .*, not 1 axes of numbers'),
    ],
)
def test_objects_that_are_none_are_told_of(detector_server, scheme, name, change, text):
    detector_server.servable.reset()
    detector_server.servable.spoil = lambda found: {
        key: change(value) if key == name else value for key, value in found.items()
    }
    with (
        connect(detector_server.url(scheme)) as served,
        pytest.raises(ValueError, match=f"must answer as its signatures promise.*{text}"),
    ):
        served.detect(np.zeros((1, 64, 64, 1), np.uint8))
    detector_server.servable.reset()


class Telling(http.server.BaseHTTPRequestHandler):
    """Answers whatever it is asked by ``server.servable``."""

    def do_GET(self):
        body = json.dumps(self.server.servable).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *words):
        pass


@pytest.fixture
def telling():
    servers = []

    def url(told):
        servers.append(HttpServer(Telling, told))
        return f"http://127.0.0.1:{servers[-1].server_address[1]}/unet"

    yield url
    for server in servers:
        server.stop()


def signature_of(**inputs):
    return {"signature_def": {"signature_def": {"serving": {"inputs": inputs}}}}


@pytest.mark.parametrize(
    "told",
    [
        {"metadata": {}},
        {"outputs": 3},
        {"metadata": {"signature_def": {"signature_def": [1]}}},
        {"metadata": signature_of(images={"dtype": "DT_FLOAT"})},
        {"metadata": signature_of(images={"tensor_shape": {"dim": [{"size": "many"}]}})},
        {"metadata": signature_of(), "model_spec": {"version": "newest"}},
    ],
)
def test_metadata_that_is_none_is_told_of(telling, told):
    with pytest.raises(ValueError, match=r"whose metadata lacks or misstates .*what temzoo export"):
        connect(telling(told))


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"metadata": {}}, "gave no a, b"),
        ({"outputs": [[1.0]]}, "gave no b"),
        ({"outputs": {"a": [[1], [1, 2]], "b": [1]}}, "gave no array: .*inhomogeneous"),
    ],
)
def test_a_rest_answer_that_holds_no_arrays_is_told_of(telling, told, text):
    wire = transports.OverHttp(parse(telling(told)), 5)
    with pytest.raises(ValueError, match=f"must answer as its signatures promise.*{text}"):
        wire.predict("serving", {"images": np.zeros(1)}, ["a", "b"])
    wire.close()


class Empty(PredictionServiceServicer):
    """Answers without content, or with a tensor that has no type."""

    def GetModelMetadata(self, request, context):  # noqa: N802 - the protocol's name
        return get_model_metadata_pb2.GetModelMetadataResponse()

    def Predict(self, request, context):  # noqa: N802 - the protocol's name
        answer = predict_pb2.PredictResponse()
        answer.outputs["a"].tensor_shape.dim.add(size=3)
        return answer


def test_grpc_answers_that_hold_nothing_are_told_of():
    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_PredictionServiceServicer_to_server(Empty(), server)
    url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}/unet"
    server.start()
    with pytest.raises(ValueError, match="whose metadata lacks or misstates 'signature_def'"):
        connect(url)
    wire = transports.OverGrpc(parse(url), 5)
    for names, text in ((["a"], "gave no array"), (["a", "b"], "gave no b")):
        with pytest.raises(ValueError, match=f"must answer as its signatures promise.*{text}"):
            wire.predict("serving", {"images": np.zeros(1)}, names)
    wire.close()
    server.stop(None).wait()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_a_server_that_is_down_is_told_of(scheme):
    url = f"{scheme}://127.0.0.1:{free_port()}/unet"
    with pytest.raises(ConnectionError, match=r"gave no answer in 2 tries.*Check that the server"):
        connect(url, retries=1)
    with pytest.raises(ConnectionError, match="no answer in 1 try"):
        connect(url, retries=0)


def test_an_unknown_model_is_told_of(server, scheme):
    with pytest.raises(ValueError, match=r'no model "umet".*--model_name.*8500 is for grpc'):
        connect(server.url(scheme, "umet"))


def test_the_port_of_the_other_protocol_is_told_of(server):
    grpc_port, rest_port = (parse(server.url(s)).port for s in ("grpc", "http"))
    for url in (f"grpc://127.0.0.1:{rest_port}/model", f"http://127.0.0.1:{grpc_port}/model"):
        with pytest.raises(ConnectionError, match=r"8500 is for grpc://, 8501 for http://"):
            connect(url, retries=1)


def test_another_web_server_is_told_of():
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Hello</html>")

        def log_message(self, *words):
            pass

    server = HttpServer(Page)
    with pytest.raises(ValueError, match=r"or is not TensorFlow Serving.*<html>Hello"):
        connect(f"http://127.0.0.1:{server.server_address[1]}/unet")
    server.stop()


def test_another_grpc_service_is_told_of():
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with pytest.raises(ValueError, match="or is not TensorFlow Serving"):
        connect(f"grpc://127.0.0.1:{port}/unet")
    server.stop(None).wait()


def double(images):
    return {"output_0": 2 * images}


def as_probabilities(images):
    return {"probabilities": tf.concat([images, 1 - images], -1)}


FREE = {"images": tf.TensorSpec((None, None, None, None), tf.float32)}
BOXES = {"images": tf.TensorSpec((None, None, None, 1), tf.float32)}


@pytest.mark.parametrize(
    ("functions", "text"),
    [
        ({"serving_default": (double, IMAGES)}, r'"serving_normalized" from images.*serving_def'),
        ({NORMALIZED: (double, IMAGES)}, "to one of probabilities, restored, boxes"),
        ({NORMALIZED: (as_probabilities, FREE)}, "must say how many channels"),
        (
            {NORMALIZED: (lambda images: {"boxes": images}, BOXES)},
            "detector must say the size of its tiles",
        ),
        ({NORMALIZED: (as_probabilities, IMAGES)} | describing([1]), "must give a JSON object"),
        (
            {
                NORMALIZED: (as_probabilities, IMAGES),
                "describe": (
                    lambda unused: {"card": unused},
                    {"unused": tf.TensorSpec((None,), tf.float32)},
                ),
            },
            r"must give a JSON object. Received: '0.0'",
        ),
    ],
)
def test_another_signature_is_told_of(tmp_path, scheme, functions, text):
    server = served_functions(tmp_path, functions)
    with pytest.raises(ValueError, match=text):
        connect(server.url(scheme))
    server.stop()


def test_a_connection_is_kept_and_opened_anew_after_the_server_closed_it(server):
    before = server.rest.connections
    with connect(server.url("http"), in_flight=1, retries=0) as served:
        temzoo.predict(served, micrograph(99, 99), tile=64)
        assert server.rest.connections == before + 1
        served.line.wire.idle[0].sock.shutdown(socket.SHUT_RDWR)
        temzoo.predict(served, micrograph(32, 32))
        assert server.rest.connections == before + 2


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("grpc://host:9000/unet", None, ("grpc", "host", 9000, "unet", None)),
        ("http://host/unet/3", None, ("http", "host", 8501, "unet", 3)),
        ("https://host", "unet", ("https", "host", 443, "unet", None)),
        ("grpc://[::1]/my%20net/", None, ("grpc", "::1", 8500, "my net", None)),
    ],
)
def test_addresses_are_taken_apart(url, name, expected):
    address = parse(url, name)
    found = (address.scheme, address.host, address.port, address.name, address.version)
    assert found == expected


def test_an_address_is_written_as_it_is_given():
    for url in ("grpc://[::1]:8500/unet", "http://host:8501/unet/3"):
        assert str(parse(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/unet",
        "host:8500/unet",
        "grpc:///unet",
        "grpc://host:port/unet",
        "http://host:99999/unet",
        "http://host/v1/models/unet:predict",
        "http://host/unet:predict",
        "http://me@host/unet",
        "http://host/unet?version=3",
    ],
)
def test_an_address_of_another_form_is_refused(url):
    with pytest.raises(ValueError, match=r"address is grpc://HOST:PORT/NAME or .*ports are 8500"):
        parse(url)


@pytest.mark.parametrize(("url", "name"), [("grpc://host", None), ("grpc://host/a", "b")])
def test_a_model_is_named_once(url, name):
    with pytest.raises(ValueError, match=r"one is named, once.*Give grpc://host/NAME"):
        connect(url, name=name)


@pytest.mark.parametrize("option", [{"timeout_s": 0}, {"retries": -1}, {"in_flight": 0}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match="timeout_s must be positive, retries at least 0"):
        connect("grpc://host/unet", **option)


def test_the_command_line_predicts_by_a_server(unet, server, scheme, tmp_path):
    pixels = micrograph(70, 100)
    cv2.imwrite(str(tmp_path / "grid.png"), pixels)
    words = ["predict", tmp_path / "grid.png", "--server", server.url(scheme), "--out", tmp_path]
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + repr(result.exception)
    found = cv2.imread(str(tmp_path / "grid_classes.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found, temzoo.predict(unet, pixels).classes)


def test_the_module_needs_neither_tensorflow_nor_keras_nor_grpc_to_be_imported():
    heavy = "{'tensorflow', 'keras', 'grpc'}"
    code = f"import sys, temzoo.deploy.serving; print({heavy} & set(sys.modules))"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == "set()"
