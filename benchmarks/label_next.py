"""Does what ``temzoo label-next`` ranks by follow the error that a model makes?

    python -m benchmarks.label_next --data ../shared/data/emps   # 2 minutes on one core

The shipped weights ``unet_mobilenet/emps-frozen`` on the validation images of EMPS, whose labels
are known: Spearman's rank correlation of each measure with the true 1 - IoU of an image, and the
mean of that over the 10 images that the measure puts first. These images were not trained on, but
the best epoch was chosen by them, and the measures' definition too: of a dozen these were kept. So
the figures flatter a little.

That a model errs on an image does not prove that its label teaches most; whether a model learns
more from micrographs so chosen than from random ones is not measured here.

The record goes to ``results/label_next.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import RESULTS, stamp, use_encoder_beside, write_json

RECORD = RESULTS / "label_next.json"
MEASURES = ("uncertainty", "doubt", "disagreement", "entropy")
FIRST = 10


def true_errors(data: Path) -> dict[str, Any]:
    """How each measure follows the error that labels show."""
    import temzoo
    from temzoo.data.splits import pick, read_names

    use_encoder_beside(data.parent)
    dataset = temzoo.load_dataset(images=data / "images", labels=data / "annotations.xml")
    examples = pick(dataset, read_names(data / "val.csv"))
    model = temzoo.get_model("unet_mobilenet", weights="emps-frozen", compile=False)
    ranking = temzoo.label_next(model, [each.micrograph for each in examples], count=1)
    found = {one.name: one for one in (*ranking.chosen, *ranking.others)}
    scores = temzoo.evaluate(model, examples, bootstrap=1).table
    error = {row["name"]: 1 - row["iou"] for row in scores}
    return {
        "weights": "unet_mobilenet/emps-frozen",
        "images": len(examples),
        "mean_error": float(np.mean(list(error.values()))),
        "measures": {name: _followed(found, error, name) for name in MEASURES},
    }


def _followed(found: Mapping[str, Any], error: Mapping[str, float], name: str) -> dict[str, float]:
    from scipy.stats import spearmanr

    names = list(found)
    values = np.array([getattr(found[each], name) for each in names])
    errors = np.array([error[each] for each in names])
    first = np.argsort(-values)[:FIRST]
    return {
        "spearman": float(spearmanr(values, errors)[0]),
        f"mean_error_of_first_{FIRST}": float(errors[first].mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/emps"))
    found = true_errors(parser.parse_args().data)
    write_json(RECORD, {**stamp("python -m benchmarks.label_next"), **found})
    print(json.dumps(found, indent=1), f"written: {RECORD}", sep="\n")


if __name__ == "__main__":
    main()
