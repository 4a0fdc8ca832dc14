"""``grpc://host:port/NAME`` and ``http://host:port/NAME``, taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

PORTS = {"grpc": 8500, "http": 8501, "https": 443}  # TensorFlow Serving's own, and the web's


@dataclass(frozen=True)
class Address:
    """Where a model is served.

    Attributes:
        scheme: "grpc", "http" or "https".
        host, port: of the server; an IPv6 host without its brackets.
        name: of the model, as the server knows it.
        version: the one that is asked for; None: the server's newest.
    """

    scheme: str
    host: str
    port: int
    name: str
    version: int | None = None

    @property
    def place(self) -> str:
        """``host:port``, with brackets around an IPv6 host."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        version = "" if self.version is None else f"/{self.version}"
        return f"{self.scheme}://{self.place}/{self.name}{version}"


def parse(url: str, name: str | None = None) -> Address:
    """The address that a URL gives.

    Args:
        url: ``grpc://host[:port][/NAME[/VERSION]]``, or the same with http or https.
        name: of the model, where the URL does not say it.

    Raises:
        ValueError: another scheme, no host, no name or two, or more than a name and a version.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    names = [unquote(part) for part in parts.path.split("/") if part]
    if parts.scheme not in PORTS or not parts.hostname or port == -1 or _has_more(parts, names):
        raise ValueError(
            "A served model's address is grpc://HOST:PORT/NAME or http://HOST:PORT/NAME, a /VERSION"
            f" may follow. Received: {url!r}. TensorFlow Serving's ports are {PORTS['grpc']} for"
            f" grpc:// and {PORTS['http']} for http://."
        )
    stated, *versions = names or [None]
    if (stated is None) == (name is None):
        raise ValueError(
            "A server holds several models, so one is named, once. Received: "
            f"url={url!r}, name={name!r}. Give {parts.scheme}://{parts.netloc}/NAME."
        )
    version = int(versions[0]) if versions else None
    return Address(
        parts.scheme, parts.hostname, port or PORTS[parts.scheme], stated or name, version
    )


def _has_more(parts: SplitResult, names: list[str]) -> bool:
    """Whether a URL says what an address has no place for, such as ``:predict`` or a user."""
    known = len(names) < 2 or (len(names) == 2 and names[1].isdecimal())
    method = any(":" in name for name in names)
    return not known or method or bool(parts.query or parts.fragment or "@" in parts.netloc)
