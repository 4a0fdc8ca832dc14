"""The command line: ``temzoo COMMAND …``. What is heavy is imported inside the command that needs it."""

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
Labels = Annotated[
    Path, typer.Option(help="CVAT 1.1 XML, COCO or VIA JSON, or a folder of masks.")
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


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="One of `temzoo models`.")],
    images: Images,
    labels: Labels,
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    set_: Set = None,
    groups: Groups = None,
    train_names: Annotated[Path | None, typer.Option(help="CSV of images to train on.")] = None,
    val_names: Annotated[Path | None, typer.Option(help="CSV of images to validate on.")] = None,
    val: Annotated[float, typer.Option(help="Share to validate on, without --val-names.")] = 0.2,
    limit: Annotated[int | None, typer.Option(help="Train on so many images, drawn.")] = None,
    weights: Annotated[str | None, typer.Option(help="Start from: a name, file or run.")] = None,
    epochs: int = 30,
    batch: int = 8,
    crop: Annotated[int, typer.Option(help="Side of a crop, px.")] = 256,
    magnification: Annotated[
        tuple[float, float], typer.Option(help="Resize micrographs by a factor in this range.")
    ] = (0.7, 1.0),
    augment: Annotated[str, typer.Option(help="none, light or em.")] = "em",
    learning_rate: float = 1e-3,
    loss: Annotated[str, typer.Option(help="dice_ce, ce, dice, focal or tversky.")] = "dice_ce",
    balance: Annotated[bool, typer.Option(help="Let rare classes weigh more.")] = False,
    mixed_precision: Annotated[bool, typer.Option(help="Compute in bfloat16.")] = False,
    patience: Annotated[int | None, typer.Option(help="Epochs without gain to stop.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps an epoch.")] = None,
    finetune: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Second phase with this keyword changed: encoder_trainable=deep.",
        ),
    ] = None,
    finetune_epochs: int = 10,
    finetune_rate: float = 1e-4,
    seed: int = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in --out.")] = False,
):
    """Train a model on labelled micrographs.

    The run folder gets the weights with their card, run.json, history and pictures. Ctrl-C keeps
    the best epoch so far; --resume goes on exactly where a stopped run was.

    Example: temzoo train unet --images micrographs --labels annotations.xml --out runs/first
    """
    import temzoo
    from temzoo.pipeline.examples import class_names

    learn, judge = _two_parts(images, labels, groups, train_names, val_names, val, seed)
    if limit:
        learn = _draw(learn, limit, seed)
    config = keywords(set_)
    if weights is None:
        config.setdefault("classes", len(class_names([*learn, *judge])) + 1)
    network = temzoo.get_model(model, weights=weights, **config)
    run = temzoo.train(
        network,
        learn,
        judge,
        out=out,
        resume=resume,
        epochs=epochs,
        batch=batch,
        crop=crop,
        magnification=magnification,
        augment=augment,
        learning_rate=learning_rate,
        loss=loss,
        class_weights="balanced" if balance else None,
        mixed_precision=mixed_precision,
        patience=patience,
        steps_per_epoch=steps,
        finetune=keywords(finetune) or None,
        finetune_epochs=finetune_epochs,
        finetune_rate=finetune_rate,
        seed=seed,
    )
    print(f"best validation IoU {run.score:.4f} in epoch {run.epoch}; weights, card, history: {out}")


def _two_parts(images, labels, groups, train_names, val_names, val, seed):
    import temzoo
    from temzoo.pipeline.splits import read_names

    examples = temzoo.load_dataset(images=images, labels=labels, groups=groups)
    if val_names is None:
        return temzoo.split(examples, (1 - val, val), seed=seed)
    held = read_names(val_names)
    if train_names is not None:
        return temzoo.split_by_names(examples, read_names(train_names), held)
    stems = {Path(name).stem for name in held}
    rest = [e.name for e in examples if Path(e.name).stem not in stems]
    return temzoo.split_by_names(examples, rest, held)


def _draw(examples, count: int, seed: int):
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(examples))[:count]
    return [examples[i] for i in sorted(chosen)]


def main() -> None:
    """Runs a command; an error that the user can mend is one line, without a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("TEMZOO_TRACEBACK"):
            raise
        typer.echo(f"temzoo: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
