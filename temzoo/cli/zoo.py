"""``temzoo models``, ``labels``, ``augment`` and ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import With, app, load_tensorflow
from temzoo.zoo.cards import list_models, model_card, score_texts

labels_app = typer.Typer(no_args_is_help=True, help="Check and convert label files.")
app.add_typer(labels_app, name="labels")
COLUMNS = ["model", "task", "what", "parameters", "weights", "paper"]
WIDE = 100  # columns of a terminal from which scores stay in one line
LEAST_WIDTH = 16  # of what a model is
PAPER = COLUMNS.index("paper")


@app.command()
def models(
    task: Annotated[str | None, typer.Option(help="Only those of this task.")] = None,
    name: Annotated[str | None, typer.Argument(help="Show this model's card.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the README's table.")] = False,
    with_: With = None,
):
    """List the models with what their shipped weights score, or show one's card.

    The card has its keywords, defaults and paper, and of each set of weights what it was trained
    on, under which licence, and all scores.

    Example: temzoo models unet_mobilenet
    """
    from rich.console import Console

    if markdown:
        rows = [COLUMNS, ["---"] * len(COLUMNS), *_model_rows(task, "`", "<br>")]
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
        return
    console = Console()
    wide = console.width >= WIDE
    console.print(_card_table(name) if name else _model_table(task, wide))


def _model_table(task: str | None, wide: bool):
    """Without papers, which a card names, to leave room for scores."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 1, 0), pad_edge=False)
    whole = ("model", "task", "weights") if wide else ("model", "task")
    for column in COLUMNS[:PAPER]:
        least = LEAST_WIDTH if column == "what" else None
        table.add_column(column, no_wrap=column in whole, min_width=least)
    for row in _model_rows(task):
        table.add_row(*row[:PAPER])
    return table


def _model_rows(task: str | None, code: str = "", between: str = "\n") -> list[list[str]]:
    """The cells of ``COLUMNS``; ``code`` quotes names, and ``between`` parts sets of weights."""
    rows = []
    for name in list_models(task=task):
        card = model_card(name)
        parameters = f"{card.parameters / 1e6:.1f} M" if card.parameters else ""
        weights = between.join(_headlines(card, code))
        rows.append(
            [f"{code}{name}{code}", card.task, card.summary, parameters, weights, card.paper]
        )
    return rows


def _headlines(card, code: str) -> list[str]:
    """Each shipped set with the first of its scores; names are as wide as the longest, unquoted."""
    width = 0 if code else max(map(len, card.weights), default=0)
    return [
        " ".join([f"{name:<{width}}", *score_texts(weights.scores)[:1]])
        for name, weights in card.weights.items()
    ]


def _card_table(name: str):
    from rich.table import Table
    from rich.text import Text

    card = model_card(name)
    table = Table(card.name, card.summary)
    for key in ("task", "paper", "input", "output"):
        table.add_row(key, Text(getattr(card, key)))
    table.add_row("parameters", f"{card.parameters:,}" if card.parameters else "")
    for key, default in card.config.items():
        searched = f"  (temzoo tune: {card.ranges[key]})" if key in card.ranges else ""
        table.add_row(f"--set {key}=", Text(f"{default!r}{searched}"))
    for weights, shipped in card.weights.items():
        scores = ", ".join(score_texts(shipped.scores))
        about = f"{scores}\n{shipped.dataset} ({shipped.licence})\n{shipped.command}"
        table.add_row(f"weights {weights}", Text(about))
    return table


@labels_app.command("check")
def labels_check(
    labels: Annotated[Path, typer.Argument(help="CVAT, COCO or VIA file, or a folder of masks.")],
    images: Annotated[Path | None, typer.Option(help="Folder of micrographs.")] = None,
    html: Annotated[Path | None, typer.Option(help="Draw the flagged shapes on a page.")] = None,
):
    """Say what is wrong with a label set; exit status 1 when there are errors.

    Example: temzoo labels check annotations.xml --images micrographs --html check.html
    """
    from temzoo import labels as formats
    from temzoo.labels.check import check
    from temzoo.labels.check_report import to_text

    entries = formats.read(labels, images=images)
    report = check(entries, image_folder=images)
    print(to_text(report))
    if html:
        from temzoo.pages.label_check import to_html

        to_html(report, entries, html, image_folder=images)
        print(f"drawn: {html}")
    raise typer.Exit(report.exit_status)


@labels_app.command("convert")
def labels_convert(
    source: Annotated[Path, typer.Argument(help="CVAT, COCO or VIA file, or a folder of masks.")],
    target: Annotated[Path, typer.Argument(help="File or folder to write.")],
    to: Annotated[str, typer.Option(help="cvat, coco, yolo or masks.")],
    images: Annotated[Path | None, typer.Option(help="Folder of micrographs, for VIA.")] = None,
):
    """Convert labels between formats.

    Example: temzoo labels convert annotations.xml coco.json --to coco
    """
    from temzoo import labels as formats

    print(formats.convert(source, target, to=to, images=images))


@app.command()
def augment(
    image: Annotated[Path, typer.Argument(help="A micrograph.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("augmentations.png"),
    seed: int = 0,
):
    """Draw what each operation of the augmentation does to a micrograph.

    Example: temzoo augment micrographs/a.tif --out augmentations.png
    """
    import temzoo
    from temzoo.data.augment import sheet as changed
    from temzoo.pictures.overlays import stretched
    from temzoo.pictures.sheets import Panel, sheet

    pixels = temzoo.load_micrograph(image).pixels
    panels = [
        Panel(stretched(picture), f"{title}: {parameters['range']}" if parameters else title)
        for title, picture, parameters in changed(pixels, seed=seed)
    ]
    print(sheet(out, panels, title=image.name))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    images: Annotated[Path | None, typer.Option(help="Your micrographs; else synthetic.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Their labels.")] = None,
    n: Annotated[int, typer.Option(help="Synthetic micrographs to make.")] = 24,
    epochs: Annotated[int, typer.Option(help="Of each network.")] = 8,
    seed: int = 0,
):
    """The whole path in minutes: labels, check, training, scores beside baselines, a prediction."""
    load_tensorflow()
    from temzoo.workflows.demo import demo as run

    run(out, images=images, labels=labels, n=n, epochs=epochs, seed=seed)
