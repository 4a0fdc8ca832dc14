"""What the commands share: the app, options, and how a model is found."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Labels and micrographs in; trained networks, masks and figures out.",
)

Images = Annotated[Path, typer.Option(help="Folder of micrographs.")]
Labels = Annotated[Path, typer.Option(help="CVAT 1.1 XML, COCO or VIA JSON, or a folder of masks.")]
LabelsIfAny = Annotated[
    Path | None,
    typer.Option(help="CVAT 1.1 XML, COCO or VIA JSON, or a folder of masks."),
]
Truth = Annotated[
    Path | None,
    typer.Option(help="Restorers: folder of what the images should become, matched by name."),
]
Pairs = Annotated[
    str | None,
    typer.Option(
        help="Restorers: blind_spot (noisy images alone), given (--truth), grey (colours), same, or"
        " noise made on clean images: low-dose, medium-dose, high-dose, any-dose, stem, camera."
    ),
]
Groups = Annotated[
    Path | None,
    typer.Option(help="CSV of image name and specimen; a split never parts a specimen."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Keyword of the model; repeatable."),
]


def keywords(pairs: list[str] | None) -> dict:
    """``["alpha=0.75", "norm=group"]`` to a dict; values as Python literals, else text."""
    found = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"Give KEY=VALUE, such as alpha=0.5. Received: {pair!r}.")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value
    return found


def load_tensorflow() -> None:
    """Imports it without its greetings, which it writes to file descriptor 2 at any log level."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def trained(weights: str, pairs: list[str] | None = None):
    """The model of a run folder, a weights file, or MODEL/NAME of a shipped set."""
    from temzoo.registry import trained_model

    return trained_model(weights, **keywords(pairs))


def drawn(examples, count: int, seed: int):
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(examples))[:count]
    return [examples[i] for i in sorted(chosen)]


def image_paths(images: list[Path]) -> list[Path]:
    """The image files that are named, and those of the folders that are.

    Raises:
        FileNotFoundError: there are none.
        ValueError: what is made of two of them would be written under one name.
    """
    from temzoo.prediction import file_stem

    paths = [p for image in images for p in (_exports_first(image) if image.is_dir() else [image])]
    if not paths:
        raise FileNotFoundError(f"There are no images in {', '.join(map(str, images))}.")
    first: dict[str, Path] = {}
    for path in paths:
        other = first.setdefault(file_stem(path.name).casefold(), path)
        if other != path:
            raise ValueError(
                "Results are named after the images, so their names must differ. Received:"
                f" {other} and {path}. Take one folder at a time, each with an --out of its own."
            )
    return paths


def _exports_first(folder: Path) -> list[Path]:
    """The images of a folder; a microscope's file gives way to its export beside it."""
    from temzoo.micrographs import MICROSCOPE_SUFFIXES, list_images

    paths = list_images(folder)
    raw = {path for path in paths if path.suffix.lower() in MICROSCOPE_SUFFIXES}
    exported = {path.with_suffix("") for path in paths if path not in raw}
    return [path for path in paths if path not in raw or path.with_suffix("") not in exported]
