"""Classes of single images against what they are: figures with intervals over groups.

Recall of a class is the share of its images that are found as such, F1 = 2 TP / (2 TP + FP + FN).
``balanced_accuracy`` is the mean of the classes' recalls, ``macro_f1`` of their F1: a rare class
counts as much as a frequent one. A class without an image is in no mean, but for ``macro_f1`` where
it was found all the same: its F1 is 0 then, as in scikit-learn. ``kappa`` is the agreement
beyond what the frequencies of the classes give by chance (Cohen, 1960). Intervals are 95%
percentile bootstrap intervals over groups (micrographs, publications), since particles of one
micrograph are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.bootstrap import held_text
from temzoo.core.files import without_nan, write_json
from temzoo.core.types import Example
from temzoo.core.writers import write_csv
from temzoo.data.classes import class_of
from temzoo.data.images import image_array
from temzoo.evaluation.bootstrap import Interval, interval, nanmean, ratio, resamples
from temzoo.evaluation.pixels import confusion, scores
from temzoo.zoo.built import class_names_of

BATCH = 256  # images that a model is asked of at once


@dataclass(frozen=True)
class Classification:
    """What a classifier scored on images whose classes are known.

    Attributes:
        classes: their names.
        table: one dict per image: "name", "group", "class", "found", and the probability of what
            was found.
        confusion: (K, K) int64 images, [true class, found class].
        groups: number of groups that the intervals are over.
        figures: balanced_accuracy, macro_f1, accuracy, kappa, and recall and F1 of each class.
    """

    classes: tuple[str, ...]
    table: tuple[Mapping[str, Any], ...]
    confusion: np.ndarray
    groups: int
    figures: Mapping[str, Interval]

    def summary(self) -> str:
        """The figures and the confusion matrix as plain text."""
        head = f"{len(self.table)} images, classes: {', '.join(self.classes)}; " + held_text(
            self.groups, f"{self.groups} groups"
        )
        figures = [f"{name:<24}{figure}" for name, figure in self.figures.items()]
        width = max(len(name) for name in (*self.classes, "true \\ found"))
        rows = [
            "  ".join([f"{name:<{width}}", *(f"{n:>{width}}" for n in cells)])
            for name, cells in [
                ("true \\ found", self.classes),
                *zip(self.classes, self.confusion, strict=True),
            ]
        ]
        return "\n".join([head, *figures, "", *rows])

    def to_csv(self, path: str | Path) -> None:
        """Writes the table, one row per image."""
        columns = list(self.table[0])
        write_csv(path, columns, ([row[key] for key in columns] for row in self.table))

    def to_json(self, path: str | Path) -> None:
        """Writes what ``facts`` gives."""
        write_json(path, self.facts(), indent=2)

    def facts(self) -> dict[str, Any]:
        """Figures, intervals and confusion matrix, as JSON has them; undefined: None."""
        content = {
            "images": len(self.table),
            "groups": self.groups,
            "classes": list(self.classes),
            "figures": {name: vars(figure) for name, figure in self.figures.items()},
            "confusion": self.confusion.tolist(),
        }
        return without_nan(content)


def evaluate_classifier(
    model: Any,
    examples: Sequence[Example],
    *,
    classes: Sequence[str] = (),
    bootstrap: int = 1000,
    seed: int = 0,
) -> Classification:
    """Asks a classifier for the classes of images and compares them with what they are.

    Args:
        model: a classifier.
        examples: of ``load_classes``.
        classes: names of the model's classes, in their order; (): those it was trained on.
        bootstrap, seed: resamples of the intervals, and what draws them.

    Raises:
        ValueError: there are no examples, or one has no class that the model knows.

    Example:
        >>> evaluate_classifier(model, load_classes("particles")).figures["balanced_accuracy"]
    """
    names = tuple(classes) or class_names_of(model)
    true = [class_of(example) for example in examples]
    unknown = sorted(set(true) - set(names))
    if not examples or unknown:
        raise ValueError(
            "evaluate_classifier needs images of the model's classes, "
            f"{', '.join(names) or 'which are not named: pass classes'}. Received:"
            f" {len(examples)} images{', of ' * bool(unknown)}{', '.join(unknown[:5])}. Rename the"
            " classes of the images, or leave such images out."
        )
    probabilities = class_probabilities(model, examples)
    truth, found = np.array([names.index(one) for one in true]), probabilities.argmax(axis=1)
    groups = [example.group or example.name for example in examples]
    table = [
        {"name": e.name, "group": e.group, "class": one, "found": names[k], "probability": p}
        for e, one, k, p in zip(examples, true, found, probabilities.max(axis=1), strict=True)
    ]
    of_groups = confusions_of_groups(truth, found, groups, len(names))
    weights = resamples(len(of_groups), bootstrap, seed)
    return Classification(
        classes=names,
        table=tuple(table),
        confusion=of_groups.sum(axis=0),
        groups=len(of_groups),
        figures={name: interval(each) for name, each in _figures(of_groups, weights, names)},
    )


def class_probabilities(model: Any, examples: Sequence[Example]) -> np.ndarray:
    """(N, classes) float32 of a Keras classifier for single images, resized to what it takes."""
    _, size, _, channels = model.input_shape
    array = image_array(examples, size, channels, scale="stored")
    asked = (array[first : first + BATCH] for first in range(0, len(array), BATCH))
    return np.concatenate([np.asarray(model(each, training=False)) for each in asked])


def confusions_of_groups(
    truth: np.ndarray, found: np.ndarray, groups: Sequence[str], classes: int
) -> np.ndarray:
    """(groups, classes, classes) int64 images of each group."""
    place = np.unique(groups, return_inverse=True)[1]
    members = (place == group for group in range(place.max() + 1))
    return np.stack([confusion(truth[one], found[one], classes) for one in members])


def cohens_kappa(confusions: np.ndarray) -> np.ndarray:
    """(…,) of (…, K, K) confusion matrices: (observed - chance) / (1 - chance); NaN without data.

    Chance is the agreement of two raters who call each class as often as these do, blindly (Cohen,
    Educational and Psychological Measurement 20, 37, 1960).
    """
    total = confusions.sum(axis=(-2, -1))
    observed = ratio(np.trace(confusions, axis1=-2, axis2=-1), total)
    chance = ratio((confusions.sum(axis=-1) * confusions.sum(axis=-2)).sum(axis=-1), total**2)
    return ratio(observed - chance, 1 - chance)


def _figures(confusions: np.ndarray, weights: np.ndarray, names: Sequence[str]):
    """Name and (1 + bootstrap,) of each figure: the first is that of the data themselves."""
    sums = (weights @ confusions.reshape(len(confusions), -1)).reshape(-1, *confusions.shape[1:])
    known = scores(sums)
    yield "balanced_accuracy", nanmean(known["recall"])
    yield "macro_f1", nanmean(known["dice"])
    yield "accuracy", known["pixel_accuracy"]
    yield "kappa", cohens_kappa(sums)
    for metric, of in (("recall", "recall"), ("f1", "dice")):
        for index, name in enumerate(names):
            yield f"{metric}_{name}", known[of][..., index]
