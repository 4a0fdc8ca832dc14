"""What a check of labels finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

LEVELS = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: "error", "warning" or "info".
        code: the kind of finding, in a few words with hyphens.
        image: name of the image as the label file states it; "" for the whole set.
        shape_index: index in ``LabelledImage.shapes``; None where it is not about one shape.
        text: what was found and what to do.
        place: (row, col) to look at, where no shape shows it.
    """

    level: str
    code: str
    image: str
    shape_index: int | None
    text: str
    place: tuple[float, float] | None = None


@dataclass(frozen=True)
class ClassSummary:
    """What the labels hold of one class.

    Attributes:
        label: the class's name.
        shapes: of any kind.
        objects: with an area; shapes of one group id count once.
        images: in which a shape of it stands.
        area_px: smallest, median and largest object, within its image; None without objects.
    """

    label: str
    shapes: int
    objects: int
    images: int
    area_px: tuple[float, float, float] | None

    @property
    def diameter_px(self) -> tuple[float, float, float] | None:
        """Equivalent circular diameters of ``area_px``."""
        if self.area_px is None:
            return None
        return tuple(math.sqrt(4 * area / math.pi) for area in self.area_px)


@dataclass(frozen=True)
class Report:
    """The findings of ``check`` and the figures of the label set.

    Attributes:
        findings: errors first, then warnings, then infos; by code, in file order.
        images, shapes: how many were looked at.
        kinds: shapes by kind.
        classes: declared classes first, then others by name.
        sizes: images by (height, width), the most frequent first.
        touching_pairs: pairs of objects that overlap or share a pixel's edge.
    """

    findings: tuple[Finding, ...]
    images: int
    shapes: int
    kinds: Mapping[str, int]
    classes: tuple[ClassSummary, ...]
    sizes: Mapping[tuple[int, int], int]
    touching_pairs: int

    @property
    def exit_status(self) -> int:
        """1 when there are errors, else 0."""
        return int(any(finding.level == "error" for finding in self.findings))
