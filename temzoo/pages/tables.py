"""Tables: figures by row, facts by name (of a model too), the particles as data for the script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from temzoo.pages.html import json_block, recorded_command, text
from temzoo.pages.numbers import DASH, column, shown_columns
from temzoo.zoo.cards import ModelCard, model_card, score_texts
from temzoo.zoo.pretrained import WeightsCard, as_json

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 40_000  # particles that the page's table holds: about 6 MB
DIGITS = 6  # of a measure in the page's table and the CSV that it writes


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def html_of(value: Any) -> str:
    return value if isinstance(value, Html) else text(value)


def fact_list(facts: Mapping[str, Any]) -> str:
    """Names and values, those without a value left out."""
    rows = "".join(
        f"<dt>{text(name)}</dt><dd>{html_of(value)}</dd>"
        for name, value in facts.items()
        if value not in (None, "", (), [])
    )
    return f'<dl class="card">{rows}</dl>'


def figure_table(
    head: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    caption: str,
    words: Sequence[int] = (),
    total: Sequence[Any] | None = None,
) -> str:
    """A table that can be sorted by each of its columns; the first names its rows.

    Args:
        head: names of the columns; one that is empty is not sorted by.
        rows: of cells: plain text, ``Html``, or (text, value to sort by).
        caption: for those who do not see it.
        words: the columns that hold words, which stand at the left.
        total: a last row that is not sorted.
    """
    top = "".join(_head_cell(name, k in words or not k) for k, name in enumerate(head))
    lines = "".join(_row(row, words) for row in rows)
    lines += _row(total, words, "total") if total is not None else ""
    return (
        '<div class="wide" role="region" tabindex="0" '
        f'aria-label="{text(caption)}"><table data-sortable>'
        f'<caption class="hidden">{text(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _head_cell(name: str, words: bool) -> str:
    kind = ' class="words"' if words else ""
    if not name:
        return f'<td{kind}><span class="hidden">drawn</span></td>'
    first, _, unit = name.partition("\n")
    below = f"<small>{text(unit)}</small>" if unit else ""
    return f'<th scope="col"{kind}><button type="button">{text(first)}</button>{below}</th>'


def _row(cells: Sequence[Any], words: Sequence[int], kind: str = "") -> str:
    parts = []
    for k, cell in enumerate(cells):
        shown, value = cell if isinstance(cell, tuple) else (cell, None)
        value = "" if isinstance(value, float) and not math.isfinite(value) else value
        sort = "" if value is None else f' data-v="{text(value)}"'
        place = ' class="words"' if k in words else ""
        tag = 'th scope="row"' if k == 0 else "td"
        parts.append(f"<{tag}{place}{sort}>{html_of(shown)}</{tag.split()[0]}>")
    return f"<tr{f' class={kind!r}' if kind else ''}>{''.join(parts)}</tr>"


def name_cell(name: str, plates: Mapping[str, int]) -> Any:
    """A micrograph's name in a table, which turns the viewer to it where it is pictured."""
    if name not in plates:
        return (name, name)
    number = plates[name]
    link = f'<button type="button" class="link" data-plate="{number}">{text(name)}</button>'
    return (Html(link), name)


def particle_block(
    table: pd.DataFrame,
    plates: Mapping[str, int],
    *,
    file: str,
    predictions: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The table of particles, as ``temzoo.measure`` gives it, as data for the page's script.

    Args:
        plates: the number of each pictured micrograph by its name.
        file: name of the CSV that the page offers.
        predictions: of micrographs that can be corrected, what ``correcting.facts_of`` says, by
            name.
    """
    more = [name for name, one in (predictions or {}).items() if "doubtful" in one]
    images = list(dict.fromkeys([*table["image"].tolist(), *more]))
    keys = [str(key) for key in table.columns]
    shown = shown_columns(keys)
    if "class" in keys and table["class"].nunique() > 1:
        shown = ["class", *shown]
    shown = ["particle", *(key for key in shown if table[key].notna().any())]
    shown += [key for key in ("touches_border", "iou_of_label") if key in keys]
    place = {name: k for k, name in enumerate(images)}
    columns = [[plain(v) for v in table[key].tolist()] for key in keys]
    columns[keys.index("image")] = [place[name] for name in table["image"].tolist()]
    content = {
        "keys": keys,
        "shown": shown,
        "names": {"image": ["Micrograph", ""], **{k: _names(k) for k in keys if k != "image"}},
        "images": images,
        "plates": [plates.get(name) for name in images],
        "file": file,
        "rows": [list(row) for row in zip(*columns, strict=True)],
    }
    if predictions:
        content["predictions"] = [predictions.get(name) for name in images]
    return json_block("particles", content)


def _names(key: str) -> list[str]:
    named = column(key)
    return [named.name, named.unit]


def plain(value: Any) -> Any:
    """What JSON can hold: measures to six digits, None where there is no value."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return plain(value.item()) if hasattr(value, "item") else str(value)


def joined(parts: Sequence[Any]) -> str:
    return ", ".join(str(part) for part in parts) or DASH


def model_facts(
    model: str,
    card: WeightsCard | None,
    *,
    weights: str = "",
    sha256: str = "",
) -> str:
    """The model card as HTML; a model that is not registered here is named alone.

    Args:
        card: of the weights, where it is known.
        weights: as they were asked for; sha256: of their file.
    """
    known = _registered(model)
    facts: dict[str, Any] = {
        "Model": _what(model, known),
        "Paper": known.paper if known else "",
        "Parameters": _parameters(known, card) if known else "",
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


def _parameters(known: ModelCard, card: WeightsCard | None) -> str:
    """How many, as they are counted with the builder's defaults; "" of another configuration."""
    config = {} if card is None else card.config
    usual = {k: as_json(v) for k, v in known.config.items() if k not in known.free}
    same = all(as_json(config.get(k, v)) == v for k, v in usual.items())
    return f"{known.parameters:,}" if known.parameters and same else ""


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
