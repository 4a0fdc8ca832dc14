"""What is known of a model and its weights, as lists of facts."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from temzoo.pages.html import text
from temzoo.pages.paths import recorded_command
from temzoo.pages.tables import Html, fact_list, joined
from temzoo.zoo import pretrained
from temzoo.zoo.cards import ModelCard, model_card, score_texts
from temzoo.zoo.pretrained import WeightsCard


def find_card(model: str, weights: str, sha256: str) -> WeightsCard | None:
    """The card of the weights that a prediction was made with: shipped ones, or a file's.

    Args:
        model: its registered name.
        weights: a name, a file or a run folder; it may be gone.
        sha256: of the weights file; a card of another hash is not taken.
    """
    cards = [*pretrained.available(model).values()]
    path = Path(weights)
    path = path / pretrained.BEST if path.is_dir() else path
    if path.is_file() and path.name.endswith(pretrained.SUFFIX):
        # It serves no reader of the report that somebody's card is broken.
        with contextlib.suppress(OSError, ValueError):
            cards.append(pretrained.read_card(path))
    return next((card for card in cards if sha256 and card.sha256 == sha256), None)


def model_facts(
    model: str,
    card: WeightsCard | None,
    *,
    weights: str = "",
    sha256: str = "",
) -> str:
    """The model card as HTML.

    Args:
        model: the registered name; one that is not registered here is named alone.
        card: of the weights, where it is known.
        weights: as they were asked for; sha256: of their file.
    """
    known = _registered(model)
    facts: dict[str, Any] = {
        "Model": _what(model, known),
        "Paper": known.paper if known else "",
        "Parameters": f"{known.parameters:,}" if known and known.parameters else "",
        "Weights": weights,
        "SHA-256": Html(f'<code class="mono">{text(sha256)}</code>') if sha256 else "",
    }
    if card is not None:
        facts |= {
            "Classes": joined(card.class_names) if card.class_names else "",
            "Trained on": card.dataset,
            "Licence": card.licence,
            "Scores": ", ".join(score_texts(card.scores)),
            "Trained by": Html(f'<code class="mono">{text(recorded_command(card.command))}</code>')
            if card.command
            else "",
            "Trained": card.date,
            "Configuration": config_text(card.config),
        }
    return fact_list(facts)


def _registered(model: str) -> ModelCard | None:
    try:
        return model_card(model)
    except ValueError:
        return None


def _what(model: str, known: ModelCard | None) -> str:
    return f"{model}: {known.summary}" if known and known.summary else model


def config_text(config: Mapping[str, Any]) -> str:
    """Keywords with their values, as they would be typed."""
    return ", ".join(f"{name}={value!r}" for name, value in config.items())
