"""``temzoo benchmark``: the suite of the repository, which is not part of what pip installs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import app

ROOT = Path(__file__).resolve().parents[2]


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
)
def benchmark(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND [OPTIONS]",
            help="As `python -m benchmarks --help` lists them: accuracy, recipe, all, …",
        ),
    ] = None,
):
    """Measure accuracy, speed, memory: `temzoo benchmark all --quick` needs no data.

    The same as `python -m benchmarks` in a checkout of the repository; `temzoo benchmark COMMAND
    --help` tells what a command takes.

    Example: temzoo benchmark accuracy --weights runs/first --data synthetic
    """
    raise typer.Exit(run_suite(ROOT, [*(words or ["--help"]), *context.args]))


def run_suite(root: Path, words: list[str]) -> int:
    """Runs the suite of the checkout that temzoo was imported from; returns its exit status.

    Raises:
        FileNotFoundError: temzoo was installed without the repository.
    """
    if not (root / "benchmarks" / "__main__.py").is_file():
        raise FileNotFoundError(
            "temzoo benchmark runs in a checkout of the repository: the suite is not installed"
            f" with the package. Received: no benchmarks/ in {root}. Clone the repository, go into"
            " it, run `pip install -e .` and then `python -m benchmarks all --quick`."
        )
    places = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(command, env=environment, check=False).returncode
