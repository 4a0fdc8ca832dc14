"""``temzoo benchmark``: the suite of the repository, which is not part of what pip installs."""

from __future__ import annotations

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
            help="accuracy, throughput, precision, training, pipeline, labels, measure, startup,"
            " peers, all, page.",
        ),
    ] = None,
):
    """Measure accuracy, speed, memory: `temzoo benchmark all --quick` needs no data.

    The same as `python -m benchmarks` in a checkout of the repository; `temzoo benchmark COMMAND
    --help` tells what a command takes.

    Example: temzoo benchmark accuracy --weights runs/first --data synthetic
    """
    run = suite(ROOT)
    raise typer.Exit(run([*(words or ["--help"]), *context.args]))


def suite(root: Path):
    """The suite's ``main``, from the checkout that temzoo was imported from.

    Raises:
        FileNotFoundError: temzoo was installed without the repository.
    """
    if not (root / "benchmarks" / "__main__.py").is_file():
        raise FileNotFoundError(
            "temzoo benchmark runs in a checkout of the repository: the suite is not installed"
            f" with the package. Received: no benchmarks/ in {root}. Clone the repository, go into"
            " it, run `pip install -e .` and then `python -m benchmarks all --quick`."
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    from benchmarks.__main__ import main

    return main
