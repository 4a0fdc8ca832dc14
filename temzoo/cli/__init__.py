"""The command line: ``temzoo COMMAND …``; what is heavy is imported by who needs it."""

from __future__ import annotations

import os

import typer

from temzoo.cli import (  # noqa: F401 - they add their commands to the app
    benchmarking,
    exporting,
    labelling,
    learning,
    measuring,
    pictures,
    predicting,
    reporting,
    scoring,
    zoo,
)
from temzoo.cli.common import app, keywords

__all__ = ["app", "keywords", "main"]


def main() -> None:
    """Runs a command; an error that the user can mend is one line, without a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except (ValueError, OSError, RuntimeError, ImportError) as error:  # an extra may be missing
        if os.environ.get("TEMZOO_TRACEBACK"):
            raise
        typer.echo(f"temzoo: {error}", err=True)
        raise SystemExit(1) from None
