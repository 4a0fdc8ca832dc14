"""A model's metadata and answers from TensorFlow Serving: by gRPC, and by REST.

gRPC: the PredictionService of ``tensorflow_serving/apis/prediction_service.proto``. REST:
https://www.tensorflow.org/tfx/serving/api_rest, in the column format. Its numbers travel as text,
so it is for networks that let nothing else through: gRPC is several times faster.

Threads may share a transport. Both have ``metadata()``, as REST gives it: {"model_spec": …,
"metadata": {"signature_def": …}}, ``predict(signature, inputs, outputs)``, the named outputs of a
signature, and ``close()``. Errors are those of ``failures.failure``; a ValueError where an output
is missing, or is no array. ``address`` says which version is asked.
"""

from __future__ import annotations

import http.client
import json
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from temzoo.deploy.serving.address import Address
from temzoo.deploy.serving.failures import MALFORMED, TooLarge, failure

# Without these, answers above 4 MiB are refused here, and after a failed attempt the channel would
# not try to connect again for up to 2 minutes.
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
PAYLOAD_TOO_LARGE = 413
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


class OverGrpc:
    """One channel to a server."""

    def __init__(self, address: Address, timeout_s: float):
        import grpc
        from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

        self.address, self.timeout_s = address, timeout_s
        self.channel = grpc.insecure_channel(address.place, options=OPTIONS)
        self.stub = PredictionServiceStub(self.channel)

    def metadata(self) -> dict[str, Any]:
        from google.protobuf.json_format import MessageToDict
        from tensorflow_serving.apis import get_model_metadata_pb2 as messages

        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        answer = self._call(self.stub.GetModelMetadata, request)
        signatures = messages.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        spec, listed = (
            MessageToDict(message, preserving_proto_field_name=True)
            for message in (answer.model_spec, signatures)
        )
        return {"model_spec": spec, "metadata": {"signature_def": listed}}

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        import tensorflow as tf
        from tensorflow_serving.apis.predict_pb2 import PredictRequest

        request = PredictRequest(output_filter=outputs)
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._call(self.stub.Predict, request, signature)
        return _arrays(self.address, answer.outputs, outputs, tf.make_ndarray)

    def close(self) -> None:
        self.channel.close()

    def _call(self, method: Any, request: Any, signature: str = "") -> Any:
        import grpc

        request.model_spec.name = self.address.name
        request.model_spec.signature_name = signature
        if self.address.version is not None:
            request.model_spec.version.value = self.address.version
        try:
            return method(request, timeout=self.timeout_s)
        except grpc.RpcError as error:
            raise failure(self.address, error.code().name, error.details() or "") from error


class OverHttp:
    """Connections to a server that are kept open."""

    def __init__(self, address: Address, timeout_s: float):
        self.address, self.timeout_s = address, timeout_s
        self.idle: deque[http.client.HTTPConnection] = deque()
        weakref.finalize(self, _close_all, self.idle)

    def metadata(self) -> dict[str, Any]:
        return self._call("GET", "/metadata")

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        columns = {name: array.tolist() for name, array in inputs.items()}
        told = self._call("POST", ":predict", {"signature_name": signature, "inputs": columns})
        found = told.get("outputs", {})
        if not isinstance(found, dict):  # a signature's only output comes without its name
            found = {outputs[0]: found}
        return _arrays(self.address, found, outputs, np.asarray)

    def close(self) -> None:
        _close_all(self.idle)

    def _call(self, method: str, what: str, body: Any = None) -> dict[str, Any]:
        address = self.address
        version = "" if address.version is None else f"/versions/{address.version}"
        path = f"/v1/models/{quote(address.name, safe='')}{version}{what}"
        text = None if body is None else json.dumps(body).encode()
        status, headers, answer = self._exchange(method, path, text)
        if status == http.HTTPStatus.OK:
            return self._understood(answer)
        said = _error_text(answer)
        if status == PAYLOAD_TOO_LARGE:
            raise TooLarge(said)
        wait = headers.get("Retry-After", "")
        wait_s = float(wait) if wait.isdecimal() else 0.0
        raise failure(address, CODES.get(status, f"HTTP {status}"), said, wait_s)

    def _understood(self, answer: bytes) -> dict[str, Any]:
        try:
            told = json.loads(answer)
        except ValueError:
            told = None
        if not isinstance(told, dict) or not {"metadata", "outputs"} & set(told):
            raise failure(self.address, "UNIMPLEMENTED", answer[:200].decode(errors="replace"))
        return told

    def _exchange(self, *request: Any) -> tuple[int, Any, bytes]:
        """Status, headers and body of one answer."""
        try:
            return self._on_an_open_connection(*request)
        except TimeoutError as error:
            raise failure(self.address, "DEADLINE_EXCEEDED", str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            said = f"{type(error).__name__}: {error}"
            raise failure(self.address, "UNAVAILABLE", said) from error

    def _on_an_open_connection(self, *request: Any) -> tuple[int, Any, bytes]:
        try:
            idle = self.idle.pop()
        except IndexError:
            return self._on(self._connection(), *request)
        try:
            return self._on(idle, *request)
        except ConnectionError:  # closed while idle, which says nothing of the server's health
            return self._on(self._connection(), *request)

    def _connection(self) -> http.client.HTTPConnection:
        secure = self.address.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(self.address.host, self.address.port, timeout=self.timeout_s)

    def _on(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> tuple[int, Any, bytes]:
        try:
            connection.request(method, path, body, HEADERS)
            answer = connection.getresponse()
            received = answer.status, answer.headers, answer.read()
        except BaseException:
            connection.close()
            raise
        self.idle.append(connection)  # one that the server closes is opened anew by http.client
        return received


def _arrays(
    address: Address, found: Mapping[str, Any], outputs: Sequence[str], as_array: Callable
) -> dict[str, np.ndarray]:
    """The named outputs; raises ValueError where one is missing, or is no array."""
    missing = [name for name in outputs if name not in found]
    if missing:  # a message of gRPC would make up an empty one when asked for it
        raise failure(address, MALFORMED, f"which gave no {', '.join(missing)}")
    try:
        return {name: as_array(found[name]) for name in outputs}
    except (TypeError, ValueError) as error:  # rows of different lengths, for instance
        raise failure(address, MALFORMED, f"which gave no array: {error}") from error


def _close_all(connections: deque[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def _error_text(answer: bytes) -> str:
    """The server's own words: its JSON's "error", or the start of what it sent."""
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return answer[:300].decode(errors="replace")
