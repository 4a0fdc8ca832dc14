"""A model's metadata and answers from TensorFlow Serving's REST API.

https://www.tensorflow.org/tfx/serving/api_rest, in the column format. Numbers travel as text, so
this is for networks that let nothing else through: gRPC is several times faster.
"""

from __future__ import annotations

import http.client
import json
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import numpy as np

from temzoo.deploy.serving.address import Address
from temzoo.deploy.serving.failures import MALFORMED, TooLarge, failure

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


class OverHttp:
    """Connections to a server that are kept open; threads may share it."""

    def __init__(self, address: Address, timeout_s: float):
        self.address, self.timeout_s = address, timeout_s
        self.idle: deque[http.client.HTTPConnection] = deque()
        weakref.finalize(self, _close_all, self.idle)

    def metadata(self) -> dict[str, Any]:
        """{"model_spec": …, "metadata": {"signature_def": …}}."""
        return self._call("GET", "/metadata")

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """The named outputs of a signature.

        Raises:
            ValueError: one is missing, or is no array; others as ``failures.failure`` has it.
        """
        columns = {name: array.tolist() for name, array in inputs.items()}
        told = self._call("POST", ":predict", {"signature_name": signature, "inputs": columns})
        found = told.get("outputs", {})
        if not isinstance(found, dict):  # a signature's only output comes without its name
            found = {outputs[0]: found}
        missing = [name for name in outputs if name not in found]
        if missing:
            said = f"which gave no {', '.join(missing)}"
            raise failure(self.address, MALFORMED, said)
        try:
            return {name: np.asarray(found[name]) for name in outputs}
        except ValueError as error:  # rows of different lengths
            said = f"which gave no array: {error}"
            raise failure(self.address, MALFORMED, said) from error

    def pin(self, version: int) -> None:
        """From now on this version is asked."""
        self.address = replace(self.address, version=version)

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
        raise failure(
            address,
            CODES.get(status, f"HTTP {status}"),
            said,
            float(wait) if wait.isdecimal() else 0.0,
        )

    def _understood(self, answer: bytes) -> dict[str, Any]:
        try:
            told = json.loads(answer)
        except ValueError:
            told = None
        if not isinstance(told, dict) or not {"metadata", "outputs"} & set(told):
            raise failure(self.address, "UNIMPLEMENTED", answer[:200].decode(errors="replace"))
        return told

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, Any, bytes]:
        """Status, headers and body of one answer."""
        try:
            return self._on_an_open_connection(method, path, body)
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


def _close_all(connections: deque[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def _error_text(answer: bytes) -> str:
    """The server's own words: its JSON's "error", or the start of what it sent."""
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return answer[:300].decode(errors="replace")
