"""What a check of labels finds, and the same in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LEVELS = ("error", "warning", "info")
LINES_EACH = 10


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


def to_text(report: Report, *, every: bool = False) -> str:
    """A report in words: figures, classes, and what was found.

    Args:
        every: each finding on a line; else the first ten of each kind of error, and one line for
            each kind of warning and info, with the first of them.
    """
    lines = [
        counts_text(report),
        *_size_lines(report.sizes),
        "kinds: " + (", ".join(f"{kind} {n}" for kind, n in report.kinds.items()) or "none"),
        *_class_lines(report.classes),
    ]
    level_before, hidden = "", 0
    for (level, code), group in by_kind(report.findings).items():
        lines += [""] * (level != level_before or level == LEVELS[0] or every)
        level_before = level
        if level != LEVELS[0] and not every:
            lines.append(f"{level}: {in_short(code, group)}")
            hidden += len(group) - 1
            continue
        shown = group if every else group[:LINES_EACH]
        lines += [f"{level}: {code} ({len(group)})", *(f"  {_line(one)}" for one in shown)]
        if len(group) > len(shown):
            lines.append(f"  … and {len(group) - len(shown)} more")
            hidden += len(group) - len(shown)
    counts = Counter(finding.level for finding in report.findings)
    rest = f"; --all lists the {hidden} that are not shown" if hidden else ""
    lines += ["", ", ".join(f"{level}s: {counts[level]}" for level in LEVELS) + rest]
    return "\n".join(_printable(line) for line in lines)


def counts_text(report: Report) -> str:
    """How much there is; the objects too where groups or errors make them fewer than shapes."""
    objects = sum(summary.objects for summary in report.classes)
    made = f" that make {objects} objects" if objects != report.shapes else ""
    pairs = f"{report.touching_pairs} touching pairs"
    return f"{report.images} images, {report.shapes} shapes{made}, {pairs}"


def by_kind(findings: Iterable[Finding]) -> dict[tuple[str, str], list[Finding]]:
    """Findings by their level and code."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.level, finding.code), []).append(finding)
    return kinds


def in_short(code: str, group: Sequence[Finding]) -> str:
    """A kind of findings on one line: how many they are, and the first."""
    several = f" ({len(group)}), such as" if len(group) > 1 else ""
    return f"{code}{several}: {_line(group[0])}"


def _line(finding: Finding) -> str:
    shape = "" if finding.shape_index is None else f", shape {finding.shape_index}"
    return f"{finding.image}{shape}: {finding.text}" if finding.image else finding.text


def _size_lines(sizes: Mapping[tuple[int, int], int]) -> list[str]:
    shown = [f"{h} x {w} ({n})" for (h, w), n in list(sizes.items())[:LINES_EACH]]
    more = f", … and {len(sizes) - LINES_EACH} more" if len(sizes) > LINES_EACH else ""
    return [f"height x width in px (images): {', '.join(shown)}{more}"] if shown else []


def _class_lines(classes: Sequence[ClassSummary]) -> list[str]:
    rows = [("class", "objects", "images", "area px: min, median, max", "diameter px")]
    rows += [
        (
            summary.label,
            str(summary.objects),
            str(summary.images),
            in_figures(summary.area_px),
            in_figures(summary.diameter_px),
        )
        for summary in classes
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    return ["", *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)]


def _printable(line: str) -> str:
    """Names come from outside: control characters must not reach a terminal."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


def in_figures(values: Sequence[float] | None) -> str:
    """Sizes in four figures, a dash where there are none."""
    if values is None:
        return "–"
    return ", ".join(f"{value:.0f}" if value >= 1000 else f"{value:.4g}" for value in values)
