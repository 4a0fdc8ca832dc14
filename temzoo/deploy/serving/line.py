"""Sends requests to one model: several at once, repeated or split where that helps."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from temzoo.deploy.serving.address import Address
from temzoo.deploy.serving.failures import MALFORMED, Patience, TooLarge, failure
from temzoo.deploy.serving.transports import OverGrpc, OverHttp

REQUEST_BYTES = 2**28  # of the images in one request; gRPC cannot carry 2 GiB


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of one signature: name -> shape, -1 for any length; () where unknown."""

    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]


class Line:
    """The way to one model; threads may share it.

    Attributes:
        wire: what carries a request.
        in_flight: requests at once, at most.
        signatures: by name, once ``learn`` has asked for them.
    """

    def __init__(self, wire: OverGrpc | OverHttp, patience: Patience, in_flight: int):
        self.wire, self.patience, self.in_flight = wire, patience, in_flight
        self.signatures: dict[str, Signature] = {}
        self._free = threading.BoundedSemaphore(in_flight)
        self._most = sys.maxsize  # images in a request; falls when the server finds one too large

    @property
    def address(self) -> Address:
        return self.wire.address

    def learn(self) -> None:
        """Asks for the signatures, and stays with the version that answered.

        Raises:
            ValueError: no such model, or no metadata; ConnectionError, TimeoutError, RuntimeError:
                no answer.
        """
        told = self._patiently(self.wire.metadata)
        try:
            version = int(told.get("model_spec", {}).get("version") or 0)
            listed = told["metadata"]["signature_def"]["signature_def"]
            self.signatures = {
                name: Signature(_shapes(each.get("inputs", {})), _shapes(each.get("outputs", {})))
                for name, each in listed.items()
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            said = f"whose metadata lacks or misstates {error}"
            raise failure(self.address, MALFORMED, said) from error
        if version:
            self.wire.address = replace(self.address, version=version)

    def ask(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """The named outputs of a signature for a batch, in as few requests as the server takes.

        Args:
            inputs: one array by its name, the first axis is the batch.

        Raises:
            ValueError: a single image is too large, or not each gets an answer; else as ``learn``.
        """
        ((name, rest),) = inputs.items()
        parts = []
        while len(rest):
            limit = min(self._most, max(1, REQUEST_BYTES // rest[0].nbytes))
            batch = rest[:limit]
            try:
                answer = self._request(signature, {name: batch}, outputs)
            except TooLarge as error:
                if len(batch) == 1:
                    raise _too_large(self.address, batch, error) from error
                self._most = len(batch) // 2
            else:
                _check_batch(self.address, answer, len(batch))
                parts.append(answer)
                rest = rest[limit:]
        return {key: np.concatenate([part[key] for part in parts]) for key in outputs}

    def close(self) -> None:
        """Closes the connections."""
        self.wire.close()

    def _request(self, *question: Any) -> dict[str, np.ndarray]:
        return self._patiently(lambda: self.wire.predict(*question))

    def _patiently(self, question: Callable[[], Any]) -> Any:
        def one_try() -> Any:
            with self._free:  # but not while waiting for the next try
                return question()

        return self.patience.ask(self.address, one_try)


def _too_large(address: Address, batch: np.ndarray, error: Exception) -> ValueError:
    size = " x ".join(map(str, batch.shape[1:3]))
    return ValueError(
        f"One tile of {size} px is more than the server takes. Received: {address}; it said:"
        f" {error}. Take smaller tiles: tile=512, or --tile 512."
    )


def _check_batch(address: Address, answer: Mapping[str, np.ndarray], count: int) -> None:
    """Raises ValueError unless there is an answer to each image."""
    for name, array in answer.items():
        if array.shape[:1] != (count,):
            said = f'which gave "{name}" of shape {array.shape} for {count} images'
            raise failure(address, MALFORMED, said)


def _shapes(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """name -> shape, of a signature's inputs or outputs as JSON has them."""
    return {
        name: tuple(int(dim.get("size", 0)) for dim in tensor["tensor_shape"].get("dim", ()))
        for name, tensor in tensors.items()
    }
