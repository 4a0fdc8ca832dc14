"""How far a model is off in D50 and number on labelled micrographs: what its card says of errors.

Those images count that have at least six free particles (the border touches none of them) both
labelled and found. An image's error is ln(found / labelled), of the D50 and of the number per area
of its free particles, as ``temzoo.summarize`` gives them for the prediction and for the labels.
``measurement.model_error`` widens intervals by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from temzoo.core.types import Example, Prediction
from temzoo.labels.shapes.raster import instance_map
from temzoo.measurement.resampling import LEAST
from temzoo.measurement.summary import summarize
from temzoo.measurement.table import measure

FIGURES = {"d50": "diameter_d50{}_px", "count": "density_per_px2{}"}
Row = dict[str, Any]


def row_of(example: Example, prediction: Prediction) -> Row:
    """What is labelled and found in an image, in pixels, with the limits by sampling."""
    instances = instance_map(example.labels)
    labelled = Prediction((instances > 0).astype(np.uint8), instances, name=example.name)
    row: Row = {"name": example.name, "group": example.group}
    for part, of in (("labelled", labelled), ("found", prediction)):
        table = measure(replace(of, nm_per_pixel=None)).assign(image=example.name)
        frame = tuple(map(float, of.instances.shape))
        summary = summarize(table, by=None, frames={example.name: frame}).iloc[0]
        row[f"{part}_free"] = int(summary["sized"])
        for name, column in FIGURES.items():
            for limit in ("", "_low", "_high"):
                row[f"{part}_{name}{limit}"] = float(summary[column.format(limit)])
    return row


def countable(rows: Sequence[Row]) -> list[Row]:
    """Those with enough free particles for an interval."""
    return [row for row in rows if min(row["labelled_free"], row["found_free"]) >= LEAST]


def errors_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Of two images and more, as a card holds them; {} of fewer."""
    if len(rows) < 2:
        return {}
    logs = {
        name: np.log([row[f"found_{name}"] / row[f"labelled_{name}"] for row in rows])
        for name in FIGURES
    }
    errors = {
        name: {"mean": round(float(log.mean()), 4), "sd": round(float(log.std(ddof=1)), 4)}
        for name, log in logs.items()
    }
    return {**errors, "images": len(rows)}
