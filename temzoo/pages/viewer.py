"""The part of the page where micrographs are looked at, beside the table of their particles."""

from __future__ import annotations

from collections.abc import Sequence

from temzoo.pages.html import text

LAYERS = (
    ("outline", "Outlines", True),
    ("fill", "Fill", False),
    ("numbers-on", "Numbers", False),
    ("bar-on", "Scale", True),
)
TRUTH = ("truth-on", "Labels", True)
DOUBTFUL = ("doubtful-on", "Doubtful", True)


def viewer_html(
    plates: Sequence[str],
    names: Sequence[str],
    *,
    class_names: Sequence[str] = (),
    kinds: Sequence[str] = (),
    truth: bool = False,
    doubtful: bool = False,
    table: bool = True,
    pictured: int | None = None,
    corrections: str = "",
) -> str:
    """Micrographs, one at a time, with what turns, toggles and zooms them.

    Args:
        plates: HTML of each, from ``plate_html``.
        class_names: of the classes 1, 2, …, for the key.
        kinds: of outlines, for the key in place of classes, where particles are coloured by them.
        truth: whether labels are drawn too; doubtful: whether there are objects that do not count;
            table: whether there are particles to list.
        pictured: micrographs that the table has rows of; None: those that are shown.
        corrections: HTML of the tools for corrections by hand; "": there are none.
    """
    layers = (*LAYERS, *[TRUTH] * truth, *[DOUBTFUL] * doubtful)
    style = " ".join(["viewer", *(key for key, _, on in layers if on and key != "outline")])
    style += "" if table else " alone"
    many = pictured is not None and pictured > 1
    side = _side(many, corrections) if table else ""
    return f"""<div class="{style}">{_strip(names)}
<div class="bench">{_tools(layers, len(plates))}
{"".join(plates)}
{_legend(class_names, kinds, truth=truth, doubtful=doubtful, table=table)}
<p class="help" id="viewer-help">Click the micrograph, then the wheel zooms and dragging moves it;
pinch on a touch screen. <span class="keys-help">Keys: <kbd>+</kbd> <kbd>−</kbd> zoom, arrows move,
<kbd>0</kbd> shows all, <kbd>Esc</kbd> leaves.</span></p>
</div>{side}</div>
<noscript><p class="notice">Zooming, toggling and the table of particles need scripts, which are
turned off here.</p></noscript>"""


def _tools(layers: Sequence[tuple[str, str, bool]], count: int) -> str:
    toggles = "".join(
        f'<button type="button" data-layer="{key}" aria-pressed="{str(on).lower()}">{name}</button>'
        for key, name, on in layers
    )
    turn = (
        '<span class="joined" role="group" aria-label="Micrograph">'
        '<button type="button" id="previous" aria-label="Previous micrograph">‹</button>'
        '<button type="button" id="next" aria-label="Next micrograph">›</button></span>'
    )
    return (
        '<div class="tools"><span class="joined" role="group" aria-label="Overlays">'
        f"{toggles}</span>"
        '<span class="joined" role="group" aria-label="Zoom">'
        '<button type="button" id="zoom-in" aria-label="Zoom in">+</button>'
        '<button type="button" id="zoom-out" aria-label="Zoom out">−</button>'
        '<button type="button" id="zoom-all">Fit</button></span>'
        f"{turn if count > 1 else ''}</div>"
    )


def _strip(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    buttons = "".join(
        f'<button type="button" data-plate="{k}" aria-label="{text(name)}" title="{text(name)}">'
        "<canvas></canvas></button>"
        for k, name in enumerate(names, start=1)
    )
    return f'<div class="strip" role="group" aria-label="Choose a micrograph">{buttons}</div>'


def _legend(
    class_names: Sequence[str],
    kinds: Sequence[str],
    *,
    truth: bool,
    doubtful: bool,
    table: bool,
) -> str:
    def line(name: str, colour: str, dashes: str = "") -> str:
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        return (
            '<li><svg viewBox="0 0 26 8" aria-hidden="true">'
            f'<path d="M1 4h24" stroke="var(--{colour})"{dashed}/></svg>{text(name)}</li>'
        )

    items = [line(kind, f"kind-{kind}") for kind in kinds] or [
        line(name, f"class-{k % 6 + 1}") for k, name in enumerate(class_names or ("particle",))
    ]
    if table:
        items.append(line("touches the border", "kind-unsure" if kinds else "class-1", "5 3.5"))
    if truth:
        items.append(line("as labelled", "true", "6 4"))
    if doubtful:
        items.append(line("doubtful, not counted", "quiet", "1.5 3"))
    return f'<ul class="legend">{"".join(items)}</ul>'


def _side(many: bool, corrections: str) -> str:
    which = (
        '<label class="hidden" for="which">Particles of</label><select id="which">'
        '<option value="one">This micrograph</option><option value="all">All micrographs</option>'
        "</select>"
        if many
        else ""
    )
    correct = (
        '<button type="button" id="correct" aria-pressed="false" aria-controls="correcting"'
        ' title="Exclude, merge or relabel particles by hand">Correct</button>'
    )
    return f"""<div class="side"><div class="tools">{which}<span class="gap"></span>
{correct if corrections else ""}
<button type="button" id="csv">Download CSV</button></div>{corrections}
<div class="catalogue" role="region" aria-label="Particles"><table>
<caption class="hidden">Particles; arrow keys choose a row, Enter zooms to it</caption>
<thead><tr></tr></thead><tbody></tbody></table>
<p><button type="button" id="more" hidden>Show more</button></p></div>
<p class="count"><span id="listed"></span></p></div>"""
