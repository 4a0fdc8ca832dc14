"""The page as a whole: head, key figures, sections; one file that fetches nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from temzoo.pages.html import data_uri, text, with_code
from temzoo.pages.numbers import slug

HERE = Path(__file__).parent
SCRIPTS = ("correct.js", "report.js")


@dataclass(frozen=True)
class KeyFigure:
    """One of the figures below the title; ``aside`` is a line below, such as its interval."""

    name: str
    value: str
    unit: str = ""
    aside: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: its heading, plain text.
        body: HTML.
        note: a line below the heading, plain text.
        key: its id; by default made of the name.
    """

    name: str
    body: str
    note: str = ""
    key: str = ""

    @property
    def anchor(self) -> str:
        return self.key or slug(self.name)


def page(
    title: str,
    *,
    kind: str,
    lede: str,
    figures: Sequence[KeyFigure] = (),
    notices: Sequence[str] = (),
    sections: Sequence[Section] = (),
    data: str = "",
    made: str = "",
    runs_script: bool = True,
) -> str:
    """A page that holds everything it shows.

    Its script is named by its hash in a content security policy that lets nothing else run and
    nothing be fetched. All arguments but a section's body and ``data`` are plain text.

    Args:
        title: heading and name of the page.
        kind: what it is, above the title.
        lede: a sentence below the title.
        figures: the first to be read.
        notices: what a reader must know of how far the figures hold.
        sections: in reading order.
        data: blocks of data for the script, HTML.
        made: a line at the foot.
        runs_script: False: a page to be read, on which no script may run at all.
    """
    style = (HERE / "report.css").read_text(encoding="utf-8")
    script = "".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS * runs_script)
    theme = '<button type="button" id="theme">Light or dark</button>' if script else ""
    said = '<div id="said" class="hidden" role="status" aria-live="polite"></div>' if script else ""
    foot = f"<footer>{text(made)}</footer>" if made else ""
    links = "".join(f'<li><a href="#{s.anchor}">{text(s.name)}</a></li>' for s in sections)
    warnings = "".join(f'<p class="notice" role="note">{with_code(line)}</p>' for line in notices)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="temzoo">
<meta http-equiv="Content-Security-Policy" content="{policy(script)}">
<style>{style}</style></head><body><div class="page">
<a class="skip" href="#content">Skip to the content</a>
<header class="masthead"><div class="topline"><p>{text(kind)}</p>
{theme}</div>
<h1>{text(title)}</h1><p class="lede">{text(lede)}</p>
{_key_figures(figures)}{warnings}
<nav aria-label="Sections"><ul>{links}</ul></nav></header>
<main id="content">
{"".join(_section(section) for section in sections)}
</main>
{foot}
{said}</div>
{data}
{f"<script>{script}</script>" if script else ""}
</body></html>
"""


def policy(script: str) -> str:
    """A content security policy: this script alone, or none, runs, and nothing is fetched."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    allowed = f"script-src 'sha256-{digest}'; " if script else ""
    return (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"{allowed}base-uri 'none'; form-action 'none'"
    )


def png_figure(path: Path, caption: str) -> str:
    """A PNG, held by the page itself, above its caption, which is plain text."""
    data = path.read_bytes()
    width = int.from_bytes(data[16:20], "big")  # as its head says (ISO/IEC 15948, 11.2.2)
    picture = sheet(data_uri(data, "image/png"), caption, width)
    return f"<figure>{picture}<figcaption>{text(caption)}</figcaption></figure>"


def sheet(uri: str, name: str, width: int) -> str:
    """A picture with text in it, drawn ``width`` px wide.

    In a narrow window it scrolls sideways in its place, so that the text can still be read.
    """
    drawn = f'style="--drawn: {width}px" src="{uri}"'
    return f'<div class="wide"><img alt="{text(name)}" class="sheet" {drawn}></div>'


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain text whose first column names its rows; ``head`` may be empty."""
    top = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{text(name)}</th>'
        + "".join(f"<td>{text(value)}</td>" for value in values)
        + "</tr>"
        for name, *values in rows
    )
    head_row = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div class="wide"><table>{head_row}<tbody>{lines}</tbody></table></div>'


def _section(section: Section) -> str:
    note = f'<p class="note">{text(section.note)}</p>' if section.note else ""
    key = section.anchor
    return (
        f'<section id="{key}" aria-labelledby="{key}-heading">'
        f'<h2 id="{key}-heading">{text(section.name)}</h2>{note}{section.body}</section>\n'
    )


def _key_figures(figures: Sequence[KeyFigure]) -> str:
    if not figures:
        return ""
    cells = "".join(
        f'<div><dt>{text(one.name)}</dt><dd class="value">{text(one.value)}'
        f"{f' <small>{text(one.unit)}</small>' if one.unit else ''}</dd>"
        f'<dd class="aside">{text(one.aside)}</dd></div>'
        for one in figures
    )
    return f'<dl class="keys">{cells}</dl>'
