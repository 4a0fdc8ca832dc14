"""Does what ``temzoo label-next`` ranks by follow the error that a model makes?

    python -m benchmarks label-next   # 2 minutes on one core

The shipped weights ``unet_mobilenet/emps-frozen`` on the validation images of EMPS, whose labels
are known: Spearman's rank correlation of each measure with the true 1 - IoU of an image, and the
mean of that over the 10 images that the measure puts first. These images were not trained on, but
the best epoch was chosen by them, and the measures' definition too: of a dozen these were kept. So
the figures flatter a little.

That a model errs on an image does not prove that its label teaches most; whether a model learns
more from micrographs so chosen than from random ones is not measured here.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import temzoo
from benchmarks.datasets import Arguments, dataset_of
from temzoo.cli.common import trained

MEASURES = ("uncertainty", "doubt", "disagreement", "entropy")
FIRST = 10


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    """How each measure follows the error that labels show."""
    dataset, weights = dataset_of(arguments), arguments.weights
    model, examples = trained(weights), dataset.val
    ranking = temzoo.label_next(model, [each.micrograph for each in examples], count=1)
    found = {one.name: one for one in (*ranking.chosen, *ranking.others)}
    scores = temzoo.evaluate(model, examples, bootstrap=1, instances=None).table
    error = {row["name"]: 1 - row["iou"] for row in scores}
    errors, measures = np.array([error[each] for each in found]), {}
    for name in MEASURES:
        values = np.array([getattr(one, name) for one in found.values()])
        measures[name] = {"spearman": float(spearmanr(values, errors)[0])}
        first = errors[np.argsort(-values)[:FIRST]]
        measures[name][f"mean_error_of_first_{FIRST}"] = float(first.mean())
    told = {"name": f"{dataset.name}-{weights}", "model": weights, "dataset": dataset.told()}
    told |= {"about": f"{weights} on {len(examples)} images of {dataset.name}"}
    figures = {"images": len(examples), "mean_error": float(errors.mean()), "measures": measures}
    yield told | {"figures": figures}
