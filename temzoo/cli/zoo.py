"""``temzoo models``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from temzoo.cli.common import AsJson, With, app, print_json
from temzoo.core.files import without_nan
from temzoo.zoo.cards import ModelCard, list_models, model_card, score_texts
from temzoo.zoo.pretrained import as_json as as_plain

COLUMNS = ["model", "task", "what", "parameters", "weights", "paper"]
WIDE = 100  # columns of a terminal from which scores stay in one line
LEAST_WIDTH = 16  # of what a model is
PAPER = COLUMNS.index("paper")


@app.command()
def models(
    task: Annotated[str | None, typer.Option(help="Only those of this task.")] = None,
    name: Annotated[str | None, typer.Argument(help="Show this model's card.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the README's table.")] = False,
    as_json: AsJson = False,
    with_: With = None,
):
    """List the models with what their shipped weights score, or show one's card.

    The card has its keywords, defaults and paper, and of each set of weights what it was trained
    on, under which licence, and all scores.

    Example: temzoo models unet_mobilenet
    """
    from rich.console import Console

    if as_json:
        cards = [_card_facts(model_card(one)) for one in ([name] if name else list_models(task))]
        print_json(cards[0] if name else cards)
        return
    if markdown:
        rows = [COLUMNS, ["---"] * len(COLUMNS), *_model_rows(task, "`", "<br>")]
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
        return
    console = Console()
    wide = console.width >= WIDE
    console.print(_card_table(name) if name else _model_table(task, wide))


def _card_facts(card: ModelCard) -> dict[str, Any]:
    """All of a card, as JSON has it."""
    weights = {name: vars(shipped) for name, shipped in card.weights.items()}
    return as_plain(without_nan({**vars(card), "weights": weights}))


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
        millions = (card.parameters or 0) / 1e6
        parameters = f"{millions:.{1 if millions >= 0.1 else 2}f} M" if millions else ""
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


@app.command()
def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove them; they are made anew.")
    ] = False,
):
    """List the converted networks that `temzoo predict` keeps, so that it starts fast.

    They are made of weights at the first prediction, where an extra with an engine is installed
    (openvino or onnx), and take 1 GB at most: the least used go first. With
    TEMZOO_NETWORKS=off in the environment none is made or used.

    Example: temzoo cache --clear
    """
    from datetime import datetime

    from temzoo.deploy.engines import kept

    if clear:
        print(f"{kept.clear()} networks removed from {kept.folder()}")
        return
    found = kept.entries()
    for entry in found:
        used = datetime.fromtimestamp(entry.used).isoformat(" ", "minutes")
        how = f"{entry.engine} {entry.precision}"
        print(f"{entry.size / 1e6:6.1f} MB  {used}  {how:<20}  {entry.weights}")
    print(f"{len(found)} networks, {sum(e.size for e in found) / 1e6:.1f} MB, in {kept.folder()}")
