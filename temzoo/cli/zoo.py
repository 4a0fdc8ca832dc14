"""``temzoo models``, ``labels``, ``augment`` and ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import app, load_tensorflow

labels_app = typer.Typer(no_args_is_help=True, help="Check and convert label files.")
app.add_typer(labels_app, name="labels")
COLUMNS = ["model", "task", "what", "parameters", "weights", "paper"]


@app.command()
def models(
    task: Annotated[str | None, typer.Option(help="Only those of this task.")] = None,
    name: Annotated[str | None, typer.Argument(help="Show this model's card.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the README's table.")] = False,
):
    """List the models, or show one's card: keywords, defaults, paper, weights."""
    from rich.console import Console

    from temzoo import registry

    if markdown:
        rows = [COLUMNS, ["---"] * len(COLUMNS), *_model_rows(registry, task, code="`")]
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
        return
    table = _card_table(registry.model_card(name)) if name else _model_table(registry, task)
    Console().print(table)


def _model_table(registry, task: str | None):
    from rich.table import Table

    table = Table()
    for column in COLUMNS:
        table.add_column(column, no_wrap=column == "model")
    for row in _model_rows(registry, task):
        table.add_row(*row)
    return table


def _model_rows(registry, task: str | None, code: str = "") -> list[list[str]]:
    rows = []
    for name in registry.list_models(task=task):
        card = registry.model_card(name)
        parameters = f"{card.parameters / 1e6:.1f} M" if card.parameters else ""
        weights = ", ".join(card.weights)
        rows.append(
            [f"{code}{name}{code}", card.task, card.summary, parameters, weights, card.paper]
        )
    return rows


def _card_table(card):
    from rich.table import Table

    table = Table(card.name, card.summary)
    for key in ("task", "paper", "input", "output"):
        table.add_row(key, getattr(card, key))
    table.add_row("parameters", f"{card.parameters:,}" if card.parameters else "")
    for key, default in card.config.items():
        searched = f"  (temzoo tune: {card.ranges[key]})" if key in card.ranges else ""
        table.add_row(f"--set {key}=", f"{default!r}{searched}")
    for name, weights in card.weights.items():
        scores = ", ".join(f"{k} {v}" for k, v in weights.scores.items())
        table.add_row(f"weights {name}", f"{weights.dataset} ({weights.licence}); {scores}")
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
    from temzoo.labels import check as checks

    entries = formats.read(labels, images=images)
    report = checks.check(entries, image_folder=images)
    print(checks.to_text(report))
    if html:
        from temzoo.labels.check_page import to_html

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
    from temzoo.pipeline.augment import sheet as changed
    from temzoo.report import Panel, sheet, stretched

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
    from temzoo.demo import demo as run

    run(out, images=images, labels=labels, n=n, epochs=epochs, seed=seed)
