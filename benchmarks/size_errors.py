"""How far weights are off in D50 and number, and how often their intervals hold what is labelled.

    python -m benchmarks sizes --weights particles/emps --data emps
    python -m benchmarks ship particles/emps --errors   # enters the errors into the card

Validation images are predicted with the defaults of ``temzoo predict``. Which of them count, and
what the error of one is: ``temzoo.workflows.size_errors``.

The coverage is the share of images whose 95 % interval, of the prediction, holds the figure of the
labels: of the interval by sampling, and of the one that holds the model's error too. The latter is
cross-validated: the error is that on images of other publications.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.progress import track

import temzoo
from benchmarks.datasets import Arguments, dataset_of
from temzoo.cli.common import trained
from temzoo.core.bootstrap import Interval
from temzoo.measurement.model_error import ModelError
from temzoo.measurement.resampling import LEAST
from temzoo.workflows.size_errors import FIGURES, Row, countable, errors_of, row_of


def coverage(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Shares of images whose interval holds the labels' figure, by figure; groups left out."""
    held = []
    for row in rows:
        others = [other for other in rows if other["group"] != row["group"]]
        model = ModelError.of_card(errors_of(others))
        for name in FIGURES:
            bounds = Interval(*(row[f"found_{name}{limit}"] for limit in ("", "_low", "_high")))
            wide = model.widened(bounds, getattr(model, name), level=0.95)
            true = row[f"labelled_{name}"]
            held.append((name, *(one.low <= true <= one.high for one in (bounds, wide))))
    table = pd.DataFrame(held, columns=["figure", "sampling", "sampling and model"])
    return table.groupby("figure", sort=False).mean().to_dict("index")


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


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    dataset = dataset_of(arguments)
    for weights in arguments.weights:
        model = trained(weights)
        rows = [row_of(e, temzoo.predict(model, e.micrograph)) for e in track(dataset.val, weights)]
        told = {"name": f"{dataset.name}-{weights}", "model": weights, "dataset": dataset.told()}
        about = f"D50 and number found by {weights} beside the labels of {dataset.name}"
        told |= {"about": about, "seed": 0, "command": arguments.again(weights=[weights])}
        yield told | {"figures": figures(rows)}
