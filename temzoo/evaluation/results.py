"""What an evaluation gives: figures with intervals, per image and pooled, and comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.bootstrap import held_text
from temzoo.core.files import without_nan, write_json
from temzoo.core.showing import Told
from temzoo.core.writers import write_csv
from temzoo.evaluation.bootstrap import Interval, interval, resamples, weighted_mean
from temzoo.evaluation.fates import ObjectErrors

TOLD = ("iou", "dice", "instance_f1")  # means over images that are shown in few lines


@dataclass(frozen=True, repr=False)
class Evaluation(Told):
    """What a model scored on labelled images.

    Attributes:
        classes: names of the classes 1, 2, …
        table: one dict per image: "name", metrics, counts of pixels and instances.
        confusions: (N, K, K) int64 pixels of each image, [true class, predicted class].
        per_image: mean over images of each metric of the table, by its name.
        pooled: the metrics over all images taken together; AP by size is here alone, since few
            single images have objects of each size.
        objects: errors of count and sizes over images, and the fates of objects; empty without
            instances.
    """

    classes: tuple[str, ...]
    table: tuple[Mapping[str, Any], ...]
    confusions: np.ndarray
    per_image: Mapping[str, Interval]
    pooled: Mapping[str, Interval]
    objects: ObjectErrors = field(default_factory=ObjectErrors)

    @property
    def iou(self) -> Interval:
        """Mean over images of the foreground IoU: the figure by which models are compared.

        Raises:
            ValueError: the model finds boxes, which are not compared pixel by pixel.
        """
        if "iou" not in self.per_image:
            raise ValueError(
                "the IoU of pixels is that of a model of outlines. Received: an evaluation of"
                f' boxes. Use pooled["box_ap50"], or one of {", ".join(self.pooled)}.'
            )
        return self.per_image["iou"]

    def _told(self) -> tuple[str, Mapping[str, Any]]:
        shown = {name: self.per_image[name] for name in TOLD if name in self.per_image}
        more = {"more": ".summary() has all figures, .table a row an image"}
        classes = ", ".join(self.classes)
        return f"Evaluation on {len(self.table)} images, classes: {classes}", shown | more

    def summary(self) -> str:
        """The figures as a plain-text table."""
        lines = [
            f"{len(self.table)} images, classes: {', '.join(self.classes)}; "
            + held_text(len(self.table), "images"),
            f"{'':<24}{'per image':<30}{'pooled'}",
        ]
        for metric in self.per_image | self.pooled:
            mean, pooled = self.per_image.get(metric, ""), self.pooled.get(metric, "")
            lines.append(f"{metric:<24}{mean!s:<30}{pooled!s}".rstrip())
        lines += [f"{name:<24}{figure}" for name, figure in self.objects.over_images.items()]
        for side, counts in self.objects.fates.items():
            every = sum(counts.values())
            parts = (f"{n} {fate} ({n / max(every, 1):.1%})" for fate, n in counts.items())
            lines.append(f"{f'{side}_objects':<24}{every}: {', '.join(parts)}")
        return "\n".join(lines)

    def to_csv(self, path: str | Path) -> None:
        """Writes the table, one row per image; undefined metrics are empty cells."""
        columns = list(self.table[0])
        write_csv(path, columns, ([row[key] for key in columns] for row in self.table))

    def to_json(self, path: str | Path) -> None:
        """Writes what ``facts`` gives."""
        write_json(path, self.facts(), indent=2)

    def facts(self) -> dict[str, Any]:
        """Figures, intervals, table and confusion matrices, as JSON has them; undefined: None."""
        content = {
            "images": len(self.table),
            "classes": list(self.classes),
            "per_image": {metric: vars(figure) for metric, figure in self.per_image.items()},
            "pooled": {metric: vars(figure) for metric, figure in self.pooled.items()},
            "over_images": {name: vars(one) for name, one in self.objects.over_images.items()},
            "fates": {side: dict(counts) for side, counts in self.objects.fates.items()},
            "confusion": self.confusions.sum(axis=0).tolist(),
            "table": [dict(row) for row in self.table],
        }
        return without_nan(content)


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images, image by image.

    Attributes:
        metric: what is compared.
        names: of the images where both are defined.
        first, second: (N,) the metric of each image.
        difference: mean of first minus second, with its interval over images.
    """

    metric: str
    names: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    difference: Interval

    @property
    def wins(self) -> float:
        """Fraction of the images where the first is better; ties count half."""
        return float(np.mean((self.first > self.second) + 0.5 * (self.first == self.second)))


def compare(
    first: Evaluation,
    second: Evaluation,
    *,
    metric: str = "iou",
    bootstrap: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compares two models by their paired differences over the same images.

    Pairing removes what is common to both, the difficulty of an image, so that the interval is
    narrower than those of the two means suggest.

    Raises:
        ValueError: the evaluations are of different images, or lack the metric, or have no image
            where it is defined for both.
    """
    names = [row["name"] for row in first.table]
    if names != [row["name"] for row in second.table]:
        raise ValueError(
            "compare needs two evaluations of the same images in the same order. Received: "
            f"{len(first.table)} and {len(second.table)} images with different names. "
            "Evaluate both models on one list of examples."
        )
    for evaluation in (first, second):
        if metric not in evaluation.per_image:
            raise ValueError(
                f"metric must be one of {', '.join(evaluation.per_image)}. "
                f"Received: metric={metric!r}. Use one of them."
            )
    a, b = (np.array([row[metric] for row in e.table], float) for e in (first, second))
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        raise ValueError(
            f"compare needs an image where both have the metric. Received: metric={metric!r}, "
            "undefined everywhere for one of them. Compare another metric."
        )
    differences = weighted_mean((a - b)[both], resamples(int(both.sum()), bootstrap, seed))
    kept = tuple(name for name, keep in zip(names, both, strict=True) if keep)
    found = interval(differences)
    if len(kept) > 1 and not differences.any():  # the same, image by image
        found = Interval(0.0, 0.0, 0.0)
    return Comparison(metric, kept, a[both], b[both], found)
