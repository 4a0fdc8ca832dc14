"""The README of a model that is given away: what it is, its scores, its licence, how to use it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from temzoo.zoo.cards import model_card, score_texts
from temzoo.zoo.pretrained import WeightsCard, available

SITE = "temzoo, a Keras 3 model zoo for electron microscopy"
TEXT = """\
# {title}

{summary}, of {site}.

| | |
| --- | --- |
| architecture | `{model}` ({task}) |
| takes | {takes} |
| gives | {gives} |
| classes | {classes} |
| licence | {licence} |
| paper | {paper} |

## Validation

{scores}

To validate it on micrographs of your own, label some and run
`temzoo evaluate RUN --images FOLDER --labels FILE`.

## Training

Trained on: {dataset}. {made}

## Use

{use}
"""
UNKNOWN = "not stated"


def readme(card: WeightsCard, title: str, use: str) -> str:
    """The text, in Markdown.

    Args:
        card: of the weights; what it does not say is "not stated".
        title: of the page.
        use: how to load the model and ask it.
    """
    about = model_card(card.model)
    scores = "; ".join(score_texts(card.scores))
    made = f"Made by `{card.command}`{f', {card.date}' if card.date else ''}."
    return TEXT.format(
        title=title,
        summary=f"{about.summary[:1].upper()}{about.summary[1:]}" or about.name,
        site=SITE,
        model=about.name,
        task=about.task,
        takes=about.input or UNKNOWN,
        gives=about.output or UNKNOWN,
        classes=", ".join(("background", *card.class_names)) if card.class_names else UNKNOWN,
        licence=card.licence or UNKNOWN,
        paper=about.paper or UNKNOWN,
        scores=f"On validation images: {scores}." if scores else "No scores yet.",
        dataset=card.dataset or UNKNOWN,
        made=made if card.command else "",
        use=use,
    )


def public_card(card: WeightsCard) -> WeightsCard:
    """The same without paths, which tell of a machine: their last parts alone.

    In a data set's text, which may hold DOIs, and in the command, those are absolute paths.
    """
    dataset = card.dataset
    return replace(
        card,
        config={key: public(value) for key, value in card.config.items()},
        dataset=Path(dataset).name if os.path.isabs(dataset) else dataset,
        command=" ".join(Path(w).name if os.path.isabs(w) else w for w in card.command.split(" ")),
    )


def public(value: Any) -> Any:
    """A keyword's value; of a path its last part alone."""
    return Path(value).name if isinstance(value, str | Path) and os.sep in str(value) else value


def is_shipped(card: WeightsCard) -> bool:
    """Whether these weights come with temzoo."""
    return bool(card.sha256) and any(
        card.sha256 == each.sha256 for each in available(card.model).values()
    )
