"""What the page needs so that a reader corrects predictions by hand: see ``store.corrections``."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from temzoo.core.types import Prediction
from temzoo.evaluation.object_overlaps import overlaps
from temzoo.inference.objects import box_of
from temzoo.measurement.table import measure
from temzoo.pages.html import text
from temzoo.pages.tables import plain
from temzoo.store.corrections import first_doubtful, instances_sha256

KEYS = 9  # classes that have a key of their own


def facts_of(prediction: Prediction) -> dict[str, Any]:
    """What the page must know of a prediction beside its table of particles.

    Returns:
        "sha256" of the instance map; "classes", their names; "doubtful": of each object that is not
        counted its number, box, class, area, diameter and whether it touches the border; of a
        detector "shared": [number, number, area] of the objects that overlap. Lengths are in
        "unit": nm where it is calibrated, else px.
    """
    facts: dict[str, Any] = {
        "sha256": instances_sha256(prediction.instances),
        "classes": list(prediction.class_names),
        "unit": "px" if prediction.nm_per_pixel is None else "nm",
    }
    doubtful = prediction.doubtful or ()
    if doubtful:
        facts["doubtful"] = _doubtful(prediction, facts["unit"])
    if prediction.detections is not None:
        found = [replace(one, class_id=1) for one in (*prediction.detections, *doubtful)]
        pairs, pixel = overlaps(found, found), math.prod(prediction.nm_per_pixel or (1.0, 1.0))
        both = (pairs.true < pairs.found) & (pairs.shared_px > 0)
        areas = pairs.shared_px[both] * pixel
        facts["shared"] = [
            [one + 1, other + 1, float(f"{area:.9g}")]
            for one, other, area in zip(
                pairs.true[both].tolist(), pairs.found[both].tolist(), areas.tolist(), strict=True
            )
        ]
    return facts


def _doubtful(prediction: Prediction, unit: str) -> list[list[Any]]:
    """As ``facts_of`` says; measured as particles are."""
    objects = prediction.doubtful or ()
    scores = np.array([one.score for one in objects], np.float32)
    table = measure(replace(prediction, detections=objects, scores=scores, doubtful=None))
    keys = ("class", f"area_{unit}2", f"diameter_{unit}", "touches_border")
    columns = ([plain(value) for value in table[key].tolist()] for key in keys)
    boxes = [list(box_of(one)) for one in objects]
    numbers = count(first_doubtful(prediction))
    return [list(row) for row in zip(numbers, boxes, *columns, strict=False)]


def tools_html(
    class_names: Sequence[str], folder: str, *, of_all: bool = True, doubtful: bool = False
) -> str:
    """The tools that the button "Correct" shows.

    Args:
        class_names: of the classes 1, 2, …; one alone cannot be changed.
        folder: name of the folder of predictions, for the commands that take the saved file.
        of_all: whether the page's table holds all particles.
        doubtful: whether there are objects that are not counted.
    """
    kinds = "".join(
        f'<button type="button" data-kind="{text(name)}" title="Make the chosen particles'
        f' {text(name)}{f" ({k})" if k <= KEYS else ""}">{text(name)}'
        f"{f' <kbd>{k}</kbd>' if k <= KEYS else ''}</button>"
        for k, name in enumerate(class_names, start=1)
    )
    relabel = f'<span class="joined" role="group" aria-label="Class">{kinds}</span>'
    part = "" if of_all else " The figures are of the particles in the page's table."
    if doubtful:
        part += " Doubtful objects, drawn dotted, count once they are taken in."
    folder = text(shlex.quote(folder))
    return f"""<div id="correcting" role="group" aria-label="Corrections by hand" hidden>
<div class="tools">
<button type="button" id="several" aria-pressed="false" title="Each click adds, as with Shift">
Choose several</button>
{_tool("exclude", "Exclude", "Leave the chosen particles out, or take them in", "x")}
{_tool("next", "Next doubtful", "Choose the next doubtful object", "d") if doubtful else ""}
{_tool("merge", "Merge", "Make the chosen particles one", "m")}
{relabel if len(class_names) > 1 else ""}
{_tool("undo", "Undo", "Undo the last correction, also with Ctrl+Z", "u")}
{_tool("redo", "Redo", "Do again what was undone, also with Ctrl+Y", "r")}
{_tool("save", "Save corrections", "Download corrections.json; nothing leaves this machine", "")}
</div>
<div class="wide"><table><caption class="hidden">Number and size, predicted and corrected</caption>
<thead></thead><tbody></tbody></table></div>
<p class="help" id="corrected"></p>
<p class="help">Click particles or their rows; <kbd>Shift</kbd> or <kbd>Ctrl</kbd> adds. Measures in
the table stay as predicted.{part} Save, then measure, or write corrected predictions:</p>
<pre><code>temzoo measure {folder} --corrections corrections.json
temzoo apply-corrections {folder} corrections.json --out corrected</code></pre></div>"""


def _tool(does: str, name: str, title: str, key: str) -> str:
    shown = f" <kbd>{key}</kbd>" if key else ""
    told = f' aria-keyshortcuts="{key}"' if key else ""
    return (
        f'<button type="button" data-do="{does}" title="{title}{f" ({key})" if key else ""}"{told}>'
        f"{name}{shown}</button>"
    )
