"""TensorFlow Serving's API on Ray Serve, over the folders that ``temzoo export`` writes.

Of each model of ``models.config`` the newest versions that load are held, as many as the file says
(TensorFlow Serving's own default is one); a request without a version gets the newest. gRPC:
``Predict``, ``GetModelMetadata`` and ``GetModelStatus``. HTTP: ``/v1/models/NAME[/versions/N]``,
with ``/metadata`` and, in the column format, ``:predict``.
"""

import asyncio
import base64
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Ray Serve's proxies import TensorFlow for its messages; after 5 s they would be killed.
os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "120")

import grpc
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.json_format import MessageToDict
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from temzoo.deploy.exporting import assets
from temzoo.deploy.exporting.deployment import CONFIG, MOUNTED
from temzoo.deploy.exporting.versions import versions

SERVICES = (
    "tensorflow_serving.apis.prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server",
    "tensorflow_serving.apis.model_service_pb2_grpc.add_ModelServiceServicer_to_server",
)
POLL_S = 0.5
PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata|:predict)?")
HTTP = {"NOT_FOUND": 404, "INVALID_ARGUMENT": 400}


class Refused(Exception):  # noqa: N818 - an answer
    """Answered with gRPC's code of this name."""

    def __init__(self, code: str, said: object):
        super().__init__(str(said))
        self.code = code


@dataclass(frozen=True)
class Version:
    """A SavedModel that loaded, and answered its warm-up requests."""

    number: int
    model: Any
    described: get_model_metadata_pb2.SignatureDefMap

    @classmethod
    def load(cls, folder: Path) -> "Version":
        loaded = tf.saved_model.load(str(folder))
        (graph,) = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs
        described = get_model_metadata_pb2.SignatureDefMap(signature_def=graph.signature_def)
        version = cls(int(folder.name), loaded, described)
        for request in assets.warmup_requests(folder / assets.FOLDER / assets.WARMUP):
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            version.answer(request.model_spec.signature_name, inputs)
        return version

    def answer(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """The outputs of a signature, by name; numbers come as what the signature takes."""
        function = self.model.signatures.get(signature or "serving_default")
        if function is None:
            raise Refused("INVALID_ARGUMENT", f'Serving signature key "{signature}" not found.')
        specs = function.structured_input_signature[1]
        try:
            tensors = {name: tf.constant(inputs[name], each.dtype) for name, each in specs.items()}
            return {name: value.numpy() for name, value in function(**tensors).items()}
        except (KeyError, TypeError, ValueError, tf.errors.OpError) as error:
            raise Refused("INVALID_ARGUMENT", error) from error


class Servable:
    """A model's versions: those that are held, newest first, and those that did not load."""

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep
        self.held: dict[int, Version] = {}
        self.failed: dict[int, str] = {}

    def refresh(self) -> None:
        """Loads what is new, and lets go of what is too old, once the new can be asked."""
        held: dict[int, Version] = {}
        for number in reversed(versions(self.folder)):
            if len(held) < self.keep and number not in self.failed:
                found = self.held.get(number) or self._load(number)
                held |= {number: found} if found else {}
        self.held = held

    def _load(self, number: int) -> Version | None:
        try:
            return Version.load(self.folder / str(number))
        except Exception as error:  # whatever it is, the version is not served
            self.failed[number] = f"{type(error).__name__}: {error}"
            return None


@serve.deployment(num_replicas=1, max_ongoing_requests=16)
class TensorFlowServing:
    """All models of a folder, behind both protocols."""

    def __init__(self, served: str):
        config = ModelServerConfig()
        text_format.Parse((Path(served) / CONFIG).read_text(encoding="utf-8"), config)
        self.servables = {
            each.name: Servable(
                Path(served) / Path(each.base_path).relative_to(MOUNTED),
                each.model_version_policy.latest.num_versions or 1,
            )
            for each in config.model_config_list.config
        }
        self._refresh()
        threading.Thread(target=self._watch, daemon=True).start()

    def _refresh(self) -> None:
        for servable in self.servables.values():
            servable.refresh()

    def _watch(self) -> None:
        while True:
            time.sleep(POLL_S)
            self._refresh()

    def find(self, spec: model_pb2.ModelSpec) -> Version:
        held = self.servables[spec.name].held if spec.name in self.servables else {}
        version = spec.version.value if spec.HasField("version") else next(iter(held), None)
        if version not in held:
            said = f"Servable not found for request: Specific({spec.name}, {version})"
            raise Refused("NOT_FOUND", said)
        return held[version]

    async def Predict(self, request, grpc_context):  # noqa: N802 - the protocol's name
        return await in_a_thread(self.predict, request, grpc_context)

    async def GetModelMetadata(self, request, grpc_context):  # noqa: N802
        return await in_a_thread(self.metadata, request, grpc_context)

    async def GetModelStatus(self, request, grpc_context):  # noqa: N802
        return await in_a_thread(self.status, request, grpc_context)

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        found = self.find(request.model_spec)
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        told = found.answer(request.model_spec.signature_name, inputs)
        answer = predict_pb2.PredictResponse(model_spec=request.model_spec)
        answer.model_spec.version.value = found.number
        for name in request.output_filter or told:
            if name not in told:
                raise Refused("INVALID_ARGUMENT", f"output tensor alias not found: {name}")
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(told[name]))
        return answer

    def metadata(self, request: Any) -> get_model_metadata_pb2.GetModelMetadataResponse:
        found = self.find(request.model_spec)
        answer = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=request.model_spec)
        answer.model_spec.version.value = found.number
        answer.metadata["signature_def"].Pack(found.described)
        return answer

    def status(self, request: Any) -> get_model_status_pb2.GetModelStatusResponse:
        servable = self.servables.get(request.model_spec.name)
        if servable is None:
            raise Refused("NOT_FOUND", f"Could not find any versions of {request.model_spec.name}")
        answer = get_model_status_pb2.GetModelStatusResponse()
        state = get_model_status_pb2.ModelVersionStatus
        for number in servable.held:
            good = answer.model_version_status.add(version=number, state=state.AVAILABLE)
            good.status.SetInParent()
        for number, said in servable.failed.items():
            failed = answer.model_version_status.add(version=number, state=state.END)
            failed.status.error_code, failed.status.error_message = 2, said[:500]  # UNKNOWN
        return answer

    async def __call__(self, request: Request) -> JSONResponse:
        """An answer over HTTP."""
        body = await request.json() if request.method == "POST" else None
        try:
            return JSONResponse(await asyncio.to_thread(self.over_http, request.url.path, body))
        except Refused as error:
            return JSONResponse({"error": str(error)}, HTTP[error.code])

    def over_http(self, path: str, body: dict | None) -> dict:
        matched = PATH.fullmatch(path)
        if matched is None or (matched[3] == ":predict") != (body is not None):
            raise Refused("INVALID_ARGUMENT", f"Malformed request: {path}")
        spec = model_pb2.ModelSpec(name=matched[1])
        if matched[2]:
            spec.version.value = int(matched[2])
        if body is not None:
            return self.predict_json(spec, body)
        if matched[3] is None:
            return as_json(self.status(get_model_status_pb2.GetModelStatusRequest(model_spec=spec)))
        found = self.find(spec)
        told = {"name": spec.name, "signature_name": "", "version": str(found.number)}
        return {"model_spec": told, "metadata": {"signature_def": as_json(found.described)}}

    def predict_json(self, spec: model_pb2.ModelSpec, body: dict) -> dict:
        inputs = {name: without_base64(value) for name, value in body["inputs"].items()}
        told = self.find(spec).answer(body.get("signature_name", ""), inputs)
        columns = {name: column(name, array) for name, array in told.items()}
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}


async def in_a_thread(method, request, context):
    """What a method answers, or its refusal as a status of gRPC."""
    try:
        return await asyncio.to_thread(method, request)
    except Refused as error:
        context.set_code(grpc.StatusCode[error.code])
        context.set_details(str(error))
        raise RuntimeError(str(error)) from None


def as_json(message) -> dict:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def without_base64(value: Any) -> Any:
    """JSON's {"b64": …} as bytes, also within lists."""
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [without_base64(each) for each in value]
    return value


def column(name: str, array: Any) -> list:
    """An output as JSON has it; text is base64 where its name ends so."""
    if array.dtype != object:
        return array.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(each).decode()} for each in array]
    return [each.decode() for each in array]


def start(served: Path, http_port: int, grpc_port: int) -> None:
    """Serves a folder of exported models from the Ray that this process is connected to."""
    serve.start(
        http_options={"host": "127.0.0.1", "port": http_port},
        grpc_options={"port": grpc_port, "grpc_servicer_functions": list(SERVICES)},
    )
    serve.run(TensorFlowServing.bind(str(served)), name="temzoo")
