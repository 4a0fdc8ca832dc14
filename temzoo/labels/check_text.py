"""A check of labels in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from temzoo.labels.findings import LEVELS, ClassSummary, Finding, Report

LINES_EACH = 10


def to_text(report: Report) -> str:
    """A report to be read in a terminal: figures, classes, findings by kind.

    Of each kind of finding the first ten are written out, the others counted.

    Example:
        >>> print(to_text(report))
        2 images, 31 shapes, 4 touching pairs
        …
    """
    lines = [
        f"{report.images} images, {report.shapes} shapes, {report.touching_pairs} touching pairs",
        *_size_lines(report.sizes),
        "kinds: " + (", ".join(f"{kind} {n}" for kind, n in report.kinds.items()) or "none"),
        *_class_lines(report.classes),
    ]
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault((finding.level, finding.code), []).append(finding)
    for (level, code), group in groups.items():
        lines += ["", f"{level}: {code} ({len(group)})"]
        lines += [f"  {_where(finding)}{finding.text}" for finding in group[:LINES_EACH]]
        if len(group) > LINES_EACH:
            lines.append(f"  … and {len(group) - LINES_EACH} more")
    counts = Counter(finding.level for finding in report.findings)
    lines += ["", ", ".join(f"{level}s: {counts[level]}" for level in LEVELS)]
    return "\n".join(_printable(line) for line in lines)


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


def _where(finding: Finding) -> str:
    shape = "" if finding.shape_index is None else f", shape {finding.shape_index}"
    return f"{finding.image}{shape}: " if finding.image else ""


def _printable(line: str) -> str:
    """Names come from outside: control characters must not reach a terminal."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


def in_figures(values: Sequence[float] | None) -> str:
    """Sizes in four figures, a dash where there are none.

    Example:
        >>> in_figures((8, 34.9274, 266_604))
        '8, 34.93, 266604'
    """
    if values is None:
        return "–"
    return ", ".join(f"{value:.0f}" if value >= 1000 else f"{value:.4g}" for value in values)
