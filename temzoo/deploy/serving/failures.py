"""What a server's errors mean: try again, send less, or tell the user what to check."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from temzoo.deploy.serving.address import PORTS, Address

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 10.0
# What gRPC and TensorFlow say, with the code of a busy server, of what will never fit.
NEVER_FITS = ("larger than max", "OOM when allocating", "exceeds maximum")
MALFORMED = "DATA_LOSS"  # gRPC's name for an answer that came, and is not one
Answer = TypeVar("Answer")


class TooLarge(Exception):  # noqa: N818 - not an error of the user: the request is split
    """The request, or the answer to it, is larger than the server takes."""


class TryLater(Exception):  # noqa: N818 - not an error of the user: the request is repeated
    """Nothing is wrong with the request.

    Attributes:
        code: "UNAVAILABLE", "RESOURCE_EXHAUSTED" or "DEADLINE_EXCEEDED".
        wait_s: what the server asks to be left alone for, seconds; 0 where it does not say.
    """

    def __init__(self, code: str, said: str, wait_s: float = 0.0):
        super().__init__(said)
        self.code, self.wait_s = code, wait_s


@dataclass(frozen=True)
class Patience:
    """How often a request is repeated after the first try, and the timeout of one try, seconds."""

    retries: int
    timeout_s: float

    def ask(self, address: Address, question: Callable[[], Answer]) -> Answer:
        """What ``question`` returns; it is asked again after each ``TryLater``.

        Raises:
            ConnectionError: the server cannot be reached.
            TimeoutError: it takes too long.
            RuntimeError: it has too much to do.
        """
        for attempt in range(self.retries):
            try:
                return question()
            except TryLater as reason:
                time.sleep(max(reason.wait_s, waiting_time_s(attempt)))
        try:
            return question()
        except TryLater as reason:
            raise self._gave_up(address, reason) from reason

    def _gave_up(self, address: Address, reason: TryLater) -> Exception:
        tries = f"{self.retries + 1} {'try' if self.retries == 0 else 'tries'}"
        kind, remedy = {
            "UNAVAILABLE": (
                ConnectionError,
                f"Check that the server runs, the host, and the port: {_ports()}.",
            ),
            "DEADLINE_EXCEEDED": (
                TimeoutError,
                f"Each try was given {self.timeout_s:g} s: raise timeout_s, or take smaller tiles"
                " (tile=512) or fewer at once (in_flight=1).",
            ),
            "RESOURCE_EXHAUSTED": (
                RuntimeError,
                "It has too much to do: ask for fewer tiles at once (in_flight=1), or later.",
            ),
        }[reason.code]
        return kind(f"{address} gave no answer in {tries}. It said: {reason}. {remedy}")


def waiting_time_s(attempt: int) -> float:
    """Seconds before try number ``attempt + 2``: doubling, with chance in it.

    Chance, so that clients which a server has turned away together do not return together.
    """
    return min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * random.uniform(0.5, 1.0)


def failure(address: Address, code: str, said: str, wait_s: float = 0.0) -> Exception:
    """The exception for an error of a server.

    Args:
        code: gRPC's name of it; HTTP's numbers are translated by who asks.
        said: the server's own words.
    """
    said = " ".join(said.split())[:500] or "nothing"
    if code == "RESOURCE_EXHAUSTED" and any(words in said for words in NEVER_FITS):
        return TooLarge(said)
    if code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"):
        return TryLater(code, said, wait_s)
    if code in ("NOT_FOUND", "UNIMPLEMENTED"):
        return ValueError(
            f'The server has no model "{address.name}"'
            f"{'' if address.version is None else f' of version {address.version}'}, or is not"
            f" TensorFlow Serving. Received: {address}; it said: {said}. Check the name (the"
            f" server's --model_name, or its models.config), that the model is loaded, that no"
            f" newer version has taken its place, and the port: {_ports()}."
        )
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return PermissionError(
            f"The server wants to know who asks, which temzoo cannot tell. Received: {address}; it"
            f" said: {said}. Ask for an address without a login."
        )
    if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"):
        return ValueError(
            f"The server refused the tiles. Received: {address}; it said: {said}. Export the model"
            " anew with temzoo export, of the version that is installed here."
        )
    if code == MALFORMED:
        return ValueError(
            f"A server must answer as its signatures promise. Received: {address}, {said}. Check"
            " that nothing between here and TensorFlow Serving changes answers, and serve what"
            " temzoo export writes."
        )
    return RuntimeError(
        f"The server failed. Received: {address}; it said: {code}: {said}. See the server's log."
    )


def _ports() -> str:
    return f"{PORTS['grpc']} is for grpc://, {PORTS['http']} for http://"
