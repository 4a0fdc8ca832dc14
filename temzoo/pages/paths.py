"""Paths as a page may show them: a report is sent on, and whose folders they were is no part of it.

What a page says of files are their own names, and the name of the last folder.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

WORDS = ("--title",)  # options whose value is no path


def last_part(path: str) -> str:
    """The last part of a path of any system; the address of a server stays as it is.

    Example:
        >>> last_part("/home/anna/runs/first"), last_part("grpc://gpu:8500/unet")
        ('first', 'grpc://gpu:8500/unet')
    """
    if "://" in path:
        return path
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def folder_name(path: str) -> str:
    """The name of the folder that a file lies in; empty where its path has none."""
    parts = [part for part in path.replace("\\", "/").split("/") if part]
    return parts[-2] if len(parts) > 1 else ""


def command_text(arguments: Sequence[str]) -> str:
    """A command line as it would be typed, with the names of its files alone.

    Example:
        >>> command_text(["/usr/bin/temzoo", "report", "/home/anna/day 1", "--out=/tmp/a.html"])
        "temzoo report 'day 1' --out=a.html"
    """
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
