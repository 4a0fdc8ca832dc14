"""The command line: ``temzoo COMMAND …``; what is heavy is imported by who needs it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from temzoo import __version__
from temzoo.cli import (  # noqa: F401 - they add their commands to the app
    correcting,
    demonstrating,
    exporting,
    labelling,
    learning,
    measuring,
    particles,
    predicting,
    restoring,
    scoring,
    telling,
    zoo,
)
from temzoo.cli.common import app, keywords
from temzoo.cli.help import Command
from temzoo.core.files import NO_SPACE

__all__ = ["app", "keywords", "main"]
# The commands in the order of use, by the heading that `temzoo --help` has for them.
PANELS = {
    "Begin": ("quickstart",),
    "Files": ("info",),
    "Labels": ("labels", "augment", "label-next"),
    "Train": ("models", "train", "tune"),
    "Score": ("evaluate", "tune-instances"),
    "Predict": ("predict", "restore", "cache"),
    "Measure": ("measure", "report", "apply-corrections"),
    "Single particles": ("particles", "classify", "latent"),
    "Serve": ("export",),
    "See it at work": ("demo", "lecture", "benchmark"),
}


def _in_order_of_use() -> None:
    known = {_name(command): command for command in app.registered_commands}
    known |= {group.name: group for group in app.registered_groups}
    for panel, names in PANELS.items():
        for name in names:
            known[name].rich_help_panel = panel
    order = [name for names in PANELS.values() for name in names]
    app.registered_commands.sort(key=lambda command: order.index(_name(command)))
    for commands in (app, *(group.typer_instance for group in app.registered_groups)):
        for command in commands.registered_commands:
            command.cls = Command


def _name(command: typer.models.CommandInfo) -> str:
    return command.name or command.callback.__name__.replace("_", "-")


_in_order_of_use()


def _show_version(asked: bool) -> None:
    if asked:
        print(f"temzoo {__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Labels and micrographs in; trained networks, masks and figures out."""


class _Terminal(logging.Handler):
    """Shows what the package has to say beside its results."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(f"temzoo: {record.getMessage()}", err=True)


@contextmanager
def _log_shown() -> Iterator[None]:
    log, of_files = logging.getLogger("temzoo"), logging.getLogger("temzoo.micrographs")
    terminal, before = _Terminal(), (log.level, of_files.level)
    log.addHandler(terminal)
    log.setLevel(logging.INFO)
    log.propagate = False
    # How each file was read would be a line for each; `temzoo info` tells it.
    of_files.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.removeHandler(terminal)
        log.propagate = True
        for each, level in zip((log, of_files), before, strict=True):
            each.setLevel(level)


def _tell_once() -> None:
    """From here on HDF5 is silent on a full disk when its handles are collected.

    Python cannot raise there; Cython hands it to both hooks. ``main`` tells of such errors itself.
    """

    def unless_known(hook: Callable) -> Callable:
        def told(*what):
            error = what[1] if len(what) == 3 else what[0].exc_value
            if not (isinstance(error, OSError | RuntimeError) and NO_SPACE in str(error)):
                hook(*what)

        return told

    sys.excepthook, sys.unraisablehook = map(unless_known, (sys.excepthook, sys.unraisablehook))


def main() -> None:
    """Runs a command; an error that the user can mend is one line, without a traceback."""
    try:
        with _log_shown():
            app(prog_name="temzoo")
    except (ValueError, OSError, RuntimeError, ImportError) as error:  # an extra may be missing
        if os.environ.get("TEMZOO_TRACEBACK"):
            raise
        _tell_once()
        typer.echo(f"temzoo: {getattr(error, 'in_shell', error)}", err=True)
        raise SystemExit(1) from None
