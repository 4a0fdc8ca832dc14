"""How far weights are off in D50 and number, and how often their intervals hold what is labelled.

    python -m benchmarks sizes --weights particles/emps --data emps
    python -m benchmarks ship particles/emps --errors   # enters the errors into the card

Validation images are predicted with the defaults of ``temzoo predict``. Those count that have at
least six free particles (the border touches none of them) both labelled and found. An image's error
is ln(found / labelled), of the D50 and of the number per area of its free particles, both as
``temzoo.summarize`` gives them for the prediction and for the labels.

The coverage is the share of images whose 95 % interval, of the prediction, holds the figure of the
labels: of the interval by sampling, and of the one that holds the model's error too. The latter is
cross-validated: the error is that on images of other publications.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.progress import track

import temzoo
from benchmarks.datasets import dataset_of
from temzoo.cli.common import trained
from temzoo.core.bootstrap import Interval
from temzoo.core.types import Example, Prediction
from temzoo.labels.shapes.raster import instance_map
from temzoo.measurement.model_error import ModelError
from temzoo.measurement.resampling import LEAST

FIGURES = {"d50": "diameter_d50{}_px", "count": "density_per_px2{}"}
Row = dict[str, Any]


def row_of(example: Example, prediction: Prediction) -> Row:
    """What is labelled and found in an image, in pixels, with the limits by sampling."""
    instances = instance_map(example.labels)
    labelled = Prediction((instances > 0).astype(np.uint8), instances, name=example.name)
    row: Row = {"name": example.name, "group": example.group}
    for part, of in (("labelled", labelled), ("found", prediction)):
        table = temzoo.measure(of, nm_per_pixel=None).assign(image=example.name)
        frame = tuple(map(float, of.instances.shape))
        summary = temzoo.summarize(table, by=None, frames={example.name: frame}).iloc[0]
        row[f"{part}_free"] = int(summary["sized"])
        for name, column in FIGURES.items():
            for limit in ("", "_low", "_high"):
                row[f"{part}_{name}{limit}"] = float(summary[column.format(limit)])
    return row


def countable(rows: Sequence[Row]) -> list[Row]:
    """Those with enough free particles for an interval."""
    return [row for row in rows if min(row["labelled_free"], row["found_free"]) >= LEAST]


def errors_of(rows: Sequence[Row]) -> dict[str, Any]:
    """As a card holds them."""
    logs = {
        name: np.log([row[f"found_{name}"] / row[f"labelled_{name}"] for row in rows])
        for name in FIGURES
    }
    errors = {
        name: {"mean": round(float(log.mean()), 4), "sd": round(float(log.std(ddof=1)), 4)}
        for name, log in logs.items()
    }
    return {**errors, "images": len(rows)}


def coverage(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Shares of images whose interval holds the labels' figure, by figure; groups left out."""
    held: dict[str, dict[str, list[bool]]] = {
        name: {"sampling": [], "sampling and model": []} for name in FIGURES
    }
    for row in rows:
        others = [other for other in rows if other["group"] != row["group"]]
        model = ModelError.of_card(errors_of(others))
        for name, columns in held.items():
            value, low, high = (row[f"found_{name}{limit}"] for limit in ("", "_low", "_high"))
            bounds = Interval(value, low, high)
            wide = model.widened(bounds, getattr(model, name), level=0.95)
            for kind, one in (("sampling", bounds), ("sampling and model", wide)):
                columns[kind].append(one.low <= row[f"labelled_{name}"] <= one.high)
    return {
        name: {kind: float(np.mean(each)) for kind, each in columns.items()}
        for name, columns in held.items()
    }


def figures(rows: Sequence[Row]) -> Mapping[str, Any]:
    """Errors and coverage of all images of a dataset."""
    known = countable(rows)
    return {
        "errors": errors_of(known),
        "coverage": coverage(known),
        "images": len(rows),
        "labelled with six free particles": sum(r["labelled_free"] >= LEAST for r in rows),
        "groups": len({row["group"] for row in known}),
        "rows": list(rows),
    }


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    dataset = dataset_of(arguments)
    for weights in arguments.weights:
        model = trained(weights)
        rows = [row_of(e, temzoo.predict(model, e.micrograph)) for e in track(dataset.val, weights)]
        told = {"name": f"{dataset.name}-{weights}", "model": weights, "dataset": dataset.told()}
        about = f"D50 and number found by {weights} beside the labels of {dataset.name}"
        told |= {"about": about, "seed": 0, "command": arguments.again(weights=[weights])}
        yield told | {"figures": figures(rows)}
