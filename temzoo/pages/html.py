"""Text, bytes and data as an HTML file carries them within itself, safely.

A report is sent on, and whose folders its files lie in is no part of it: what a page says of files
are their own names, and the name of the last folder.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from temzoo.store import sidecar

WORDS = ("--title",)  # options whose value is no path


def text(plain: Any) -> str:
    """Plain text for an HTML page, between tags or inside a quoted attribute."""
    # Surrogates, which file names may carry, are no valid UTF-8; NUL is no valid HTML.
    return escape(str(plain).replace("\0", "�").encode("utf-8", "replace").decode("utf-8"))


def with_code(plain: str) -> str:
    """The same of a message, whose commands stand in backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text(plain))


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as an address that holds them; ``kind`` is their media type, such as "image/png"."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def image_element(uri: str, width: int, height: int) -> str:
    """A picture of an SVG, stretched to a size."""
    return f'<image href="{uri}" width="{width}" height="{height}" preserveAspectRatio="none"/>'


def json_block(name: str, content: Any) -> str:
    """A block of data that a page's script reads by its id; no text in it can end the block."""
    # ASCII alone: a lone surrogate of a file's name stays an escape and the page valid UTF-8.
    data = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="{text(name)}">{data}</script>'


def last_part(path: str) -> str:
    """The last part of a path of any system; the address of a server stays as it is."""
    return path if "://" in path else sidecar.last_part(path)


def folder_name(path: str) -> str:
    """The name of the folder that a file lies in; empty where its path has none."""
    parts = [part for part in path.replace("\\", "/").split("/") if part]
    return parts[-2] if len(parts) > 1 else ""


def command_text(arguments: Sequence[str]) -> str:
    """A command line as it would be typed, with the names of its files alone."""
    shown, before = [], ""
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if before in WORDS or (equals and option in WORDS):
            shown.append(argument)
        elif equals and option.startswith("--"):
            shown.append(f"{option}={last_part(value)}")
        else:
            shown.append(last_part(argument) or argument)
        before = argument
    return shlex.join(shown)


def recorded_command(command: str) -> str:
    """The same of a command that a run or a card has written down."""
    try:
        arguments = shlex.split(command)
    except ValueError:  # not of a shell; with an open quote there is no telling what a path is
        return last_part(command)
    shown = command_text(arguments)
    return command if shown == shlex.join(arguments) else shown


def without_folders(told: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, the paths among their values by their names."""
    return {
        name: last_part(value) if isinstance(value, str) and value.strip("/\\") else value
        for name, value in told.items()
    }
