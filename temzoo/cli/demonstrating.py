"""``temzoo quickstart``, ``demo``, ``lecture``, and ``benchmark``, which pip does not install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import Groups, LabelsIfAny, Seed, app, load_tensorflow
from temzoo.cli.learning import TrainNames, ValNames, two_parts
from temzoo.core.hints import require_choice

ROOT = Path(__file__).resolve().parents[2]


@app.command()
def quickstart(
    image: Annotated[
        Path | None,
        typer.Argument(help="A micrograph of yours; else one is drawn.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("quickstart"),
):
    """See a result: one micrograph, its particles found by the shipped weights, their sizes.

    Writes the overlay, the table of particles, the plot of sizes, and report.html, a page that
    shows all of it. Nothing is downloaded, and nothing needed but temzoo.

    Example: temzoo quickstart --out quickstart

    Example: temzoo quickstart mine.tif --out mine
    """
    from temzoo.cli.predicting import chosen_model
    from temzoo.workflows.quickstart import quickstart as run
    from temzoo.zoo import pretrained

    print(run(chosen_model(pretrained.GENERAL, None, None), out, image).summary())


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    images: Annotated[Path | None, typer.Option(help="Your micrographs; else synthetic.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Their labels.")] = None,
    n: Annotated[int, typer.Option(help="Synthetic micrographs to make.")] = 24,
    epochs: Annotated[int, typer.Option(help="Of each network.")] = 8,
    seed: Seed = 0,
):
    """The whole path in minutes: labels, check, training, scores beside baselines, a prediction."""
    load_tensorflow()
    from temzoo.workflows.demo import demo as run

    run(out, images=images, labels=labels, n=n, epochs=epochs, seed=seed)


@app.command()
def lecture(
    subject: Annotated[str, typer.Argument(help="latent, or dcnn.")] = "latent",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("lecture"),
    epochs: Annotated[int, typer.Option(help="latent: of each of the two models.")] = 100,
    seed: Seed = 0,
    images: Annotated[
        Path | None, typer.Option(help="dcnn: your micrographs; else particles are drawn.")
    ] = None,
    labels: LabelsIfAny = None,
    groups: Groups = None,
    train_names: TrainNames = None,
    val_names: ValNames = None,
    seeds: Annotated[int, typer.Option(help="dcnn: trainings of each network.")] = 5,
    steps: Annotated[int, typer.Option(help="dcnn: of each training.")] = 900,
):
    """For the lecture hall: a page of pictures and figures that explains itself.

    latent: an autoencoder and a VAE on handwritten digits, in about two minutes: the latent plane
    of both decoded, the digits in it, digit 7 reconstructed and turned into another, samples.

    dcnn: convolutional networks beside multilayer perceptrons on particles: parameters,
    overfitting, shifts and neighbours, measured; a convolution by hand.

    Writes lecture.html, a page that holds and explains all of it, and the pictures as PNG.

    Example: temzoo lecture --out lecture

    Example: temzoo lecture dcnn --out lecture --seeds 2
    """
    load_tensorflow()
    require_choice("subject", subject, ("latent", "dcnn"))
    if subject == "latent":
        from temzoo.workflows.lecture_latent import lecture as run

        run(out, epochs=epochs, seed=seed)
        return
    from temzoo.workflows.lecture_dcnn import lecture_dcnn

    parts = None
    if images is not None:
        import temzoo

        examples = temzoo.load_dataset(images=images, labels=labels, groups=groups)
        parts = two_parts(examples, train_names, val_names, 0.2, seed)
    lecture_dcnn(out, examples=parts, seeds=seeds, steps=steps)


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
