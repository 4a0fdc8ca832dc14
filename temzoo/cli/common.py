"""What the commands share: the app, options, and how a model is found."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from temzoo.cli.help import Group
from temzoo.zoo.cards import check_keywords, model_card
from temzoo.zoo.plugins import load_file
from temzoo.zoo.tensorflow import load_tensorflow as load_tensorflow

if TYPE_CHECKING:
    from temzoo.measurement.by_hand import ByHand

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Weights = Annotated[str, typer.Argument(help="A run folder, a weights file, or MODEL/NAME.")]
OF_HDF5 = "Of HDF5 a dataset: FILE.h5::/entry/data/data."
Micrographs = Annotated[
    list[Path], typer.Argument(help=f"Micrographs, or folders of them. {OF_HDF5}")
]
Images = Annotated[Path, typer.Option(help="Folder of micrographs.")]
LABELS = (
    "A label file or folder of CVAT, COCO, Datumaro, Label Studio, Labelbox, LabelMe, Roboflow, VIA"
    " or YOLO, or a folder of masks."
)
Labels = Annotated[Path, typer.Option(help=LABELS)]
Values = Annotated[
    str,
    typer.Option(help="What pixels of masks mean: classes, instances, binary, or auto: a guess."),
]
Rename = Annotated[
    list[str] | None,
    typer.Option(metavar="OLD=NEW", help="Give a class of the labels another name; repeatable."),
]
Merge = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B=NEW", help="Make several classes of the labels one; repeatable."),
]
LabelsIfAny = Annotated[Path | None, typer.Option(help=LABELS)]
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
NmPerPixel = Annotated[
    str | None,
    typer.Option(
        metavar="NM",
        help="Calibration of images that state none: one number, or ROW,COL of a pixel: 0.5,0.6.",
    ),
]
ScaleBar = Annotated[
    str | None,
    typer.Option(
        metavar="ENDS=LENGTH",
        help="Or the two ends of the bar, each row, col in px, and its length in nm:"
        " 980,100,980,300=50.",
    ),
]
OverrideCalibration = Annotated[
    bool,
    typer.Option(
        "--override-calibration", help="Take that in place of what images state themselves, too."
    ),
]
CropBar = Annotated[
    bool,
    typer.Option(
        help="Leave out info bar, scale bar and panel letters; the last two need the extra"
        " scalebar."
    ),
]
IgnoreBox = Annotated[
    list[str] | None,
    typer.Option(
        metavar="BOX",
        help="Leave out this box too, in px: TOP,LEFT,BOTTOM,RIGHT. Repeatable.",
    ),
]
Tile = Annotated[int | None, typer.Option(help="Side of a tile, px; a multiple of 32.")]
Overlap = Annotated[int | None, typer.Option(help="Least overlap of tiles, px.")]
Flips = Annotated[bool, typer.Option(help="Average over mirror images: 4 times slower.")]
Seed = Annotated[int, typer.Option(help="Of what is drawn at random: the same again, or other.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Keyword of the model; repeatable."),
]

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs, and nothing else to stdout.")
]


@contextmanager
def json_alone(asked: bool) -> Iterator[None]:
    """What is printed inside goes to the error stream, where JSON is asked for."""
    if not asked:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def print_json(content: Any) -> None:
    """Prints JSON; what is not finite is null."""
    from temzoo.core.files import without_nan

    print(json.dumps(without_nan(content), indent=2, ensure_ascii=False, allow_nan=False))


def _run_files(paths: list[Path] | None) -> list[Path] | None:
    for path in paths or []:
        load_file(path)
    return paths


With = Annotated[
    list[Path] | None,
    typer.Option(
        "--with",
        metavar="FILE.py",
        help="Run this first: it registers models or tasks of your own; repeatable.",
        callback=_run_files,
        is_eager=True,
    ),
]


def keywords(pairs: list[str] | None) -> dict:
    """``["alpha=0.75", "norm=group"]`` to a dict; Python literals, true or false, else text."""
    found = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"Give KEY=VALUE, such as alpha=0.5. Received: {pair!r}.")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = {"true": True, "false": False}.get(value.lower(), value)
    return found


def keywords_of(model: str, pairs: list[str] | None) -> dict:
    """``keywords`` of a registered model; others are refused before TensorFlow is loaded."""
    found = keywords(pairs)
    check_keywords(model_card(model), found)
    return found


def trained(weights: str, pairs: list[str] | None = None):
    """The model of a run folder, a weights file, or MODEL/NAME of a shipped set."""
    from temzoo.zoo.building import trained_model

    return trained_model(weights, **keywords(pairs))


def drawn(examples, count: int, seed: int):
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(examples))[:count]
    return [examples[i] for i in sorted(chosen)]


def calibration(nm_per_pixel: str | None, scale_bar: str | None, *, override: bool) -> ByHand:
    """The size of a pixel that the options state, and for which images.

    Raises:
        ValueError: an option is not of its form; there are two, or none to override with.
    """
    from temzoo.measurement.by_hand import ByHand

    scale = _stated_scale(nm_per_pixel, scale_bar)
    if override and scale is None:
        raise ValueError(
            "--override-calibration takes a calibration that is given in place of the images' own."
            " Received: none. Give --nm-per-pixel or --scale-bar, or leave it out."
        )
    return ByHand(scale, override)


def _stated_scale(nm_per_pixel: str | None, scale_bar: str | None) -> tuple[float, float] | None:
    """(row, col) in nm; None where there is neither."""
    from temzoo.measurement.by_hand import nm_per_pixel_from_scale_bar
    from temzoo.micrographs import checked_scale

    if nm_per_pixel is not None and scale_bar is not None:
        raise ValueError(
            "a calibration is given once. Received: --nm-per-pixel and --scale-bar. Leave one out."
        )
    if nm_per_pixel is not None:
        numbers = _numbers_of(nm_per_pixel, (1, 2), "--nm-per-pixel", "0.5, or ROW,COL: 0.5,0.6")
        return checked_scale(numbers[0] if len(numbers) == 1 else tuple(numbers))
    if scale_bar is None:
        return None
    ends, _, length = scale_bar.partition("=")
    how = "ROW,COL,ROW,COL=LENGTH_NM, such as 980,100,980,300=50"
    row, col, other_row, other_col = _numbers_of(ends, (4,), "--scale-bar", how)
    [length_nm] = _numbers_of(length.strip().removesuffix("nm"), (1,), "--scale-bar", how)
    return checked_scale(nm_per_pixel_from_scale_bar((row, col), (other_row, other_col), length_nm))


def refuse_idle(given: Mapping[str, bool], use: str) -> None:
    """Refuses options that would change nothing.

    Args:
        given: whether it was given, by option.
        use: what they are for, which is not asked for.
    """
    idle = [option for option, is_given in given.items() if is_given]
    if idle:
        raise ValueError(
            f"{idle[0]} is for {use}. Received: {' and '.join(idle)} without. Leave it out."
        )


def _numbers_of(text: str, counts: tuple[int, ...], option: str, how: str) -> list[float]:
    """The numbers of a text, with commas between them."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise ValueError(f"{option} must be {how}. Received: {text!r}.")
    return numbers
