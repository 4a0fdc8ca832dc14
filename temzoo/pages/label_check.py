"""The findings of a label check as one HTML file that draws the flagged shapes.

The file holds everything it shows, runs no script and fetches nothing: the images are in it,
scaled down, and the outlines lie over them as SVG. All text from label files is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from temzoo.core.files import write_text
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.check_report import Finding, Report, counts_text, in_figures
from temzoo.labels.names import ImageFolder
from temzoo.labels.shapes.run_lengths import decode_runs
from temzoo.pages.html import data_uri, image_element
from temzoo.pages.html import text as safe
from temzoo.pages.numbers import counted
from temzoo.pages.page import Section, page, plain_table
from temzoo.pages.plates import jpeg

# Vermilion, orange and sky blue of Okabe and Ito's palette, told apart by colour-blind readers;
# the dashes tell them apart in grey print.
STROKES = {
    "error": ("#d55e00", "none"),
    "warning": ("#e69f00", "7 3"),
    "info": ("#56b4e9", "2 3"),
}
LONGEST_SIDE_PX, MOST_BYTES = 900, 300_000
MOST_PICTURES = 60


def to_html(
    report: Report,
    images: Iterable[LabelledImage],
    path: str | Path,
    *,
    image_folder: str | Path | None = None,
) -> None:
    """Writes a report as one HTML file, with the flagged shapes drawn over their images.

    Images with errors come first; at most 60 are drawn, the findings of the others are listed.

    Args:
        report: what ``check`` returned.
        images: the labels that were checked.
        path: of the HTML file, written whole or not at all.
        image_folder: where the images lie; without it, or where one cannot be read, the outlines
            lie on grey.
    """
    folder = None if image_folder is None else ImageFolder(image_folder)
    by_name = {image.name: image for image in reversed(list(images))}
    groups: dict[str, list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault(finding.image, []).append(finding)
    of_the_set = _list(groups.pop("", []))
    flagged = [name for name, found in groups.items() if _drawable(by_name.get(name), found)]
    drawn = set(flagged[:MOST_PICTURES])
    parts = []
    for name, findings in groups.items():
        picture = _picture(by_name[name], findings, folder) if name in drawn else ""
        parts.append(f"<section><h3>{safe(name)}</h3>{picture}{_list(findings)}</section>")
    key = f"<p>Outlines: {' '.join(_key(level) for level in STROKES)}</p>"
    head = ["class", "objects", "images", "area px: min, median, max", "equivalent diameter px"]
    rows = [
        (one.label, one.objects, one.images, in_figures(one.area_px), in_figures(one.diameter_px))
        for one in report.classes
    ]
    sections = [Section("Classes", plain_table(head, rows))]
    sections += [Section("The whole set", of_the_set)] if of_the_set else []
    left = len(flagged) - len(drawn)
    note = (
        f"The first {MOST_PICTURES} images with flagged shapes are drawn. {left} more are listed"
        " below them without a picture."
    )
    body = f'<div class="checked">{key}{"".join(parts)}</div>'
    sections += [Section("Images", body, note=note if left else "")] if parts else []
    shown = page(
        "Label check", kind="Labels", lede=_lede(report), sections=sections, runs_script=False
    )
    write_text(path, shown)


def _lede(report: Report) -> str:
    counts = {level: sum(f.level == level for f in report.findings) for level in STROKES}
    found = ", ".join(counted(n, level) for level, n in counts.items())
    return f"{counts_text(report)}. Findings: {found}."


def _key(level: str) -> str:
    colour, dashes = STROKES[level]
    return (
        '<svg class="key" viewBox="0 0 44 12">'
        f'<path class="line" d="M2 6H42" stroke="{colour}" stroke-dasharray="{dashes}"/>'
        f"</svg> {level}"
    )


def _list(findings: Sequence[Finding]) -> str:
    items = []
    for number, finding in enumerate(findings, start=1):
        shape = "" if finding.shape_index is None else f" shape {finding.shape_index}:"
        items.append(
            f'<li value="{number}"><b class="{finding.level}">{finding.level} {finding.code}</b>'
            f"{shape} {safe(finding.text)}</li>"
        )
    return f"<ol>{''.join(items)}</ol>" if items else ""


def _drawable(image: LabelledImage | None, findings: Sequence[Finding]) -> bool:
    flagged = any(finding.shape_index is not None for finding in findings)
    return flagged and image is not None and image.width > 0 and image.height > 0


def _picture(image: LabelledImage, findings: Sequence[Finding], folder: ImageFolder | None) -> str:
    width, height = image.width, image.height
    pixels = None if folder is None else _embedded(folder, image.name)
    background = "" if pixels is None else image_element(pixels, width, height)
    marks = [_mark(image, number, finding) for number, finding in enumerate(findings, start=1)]
    # Small images are not blown up to the page's width beyond four times.
    return (
        f'<svg viewBox="0 0 {width} {height}" style="max-width:{4 * width}px" role="img" '
        f'aria-label="flagged shapes">{background}{"".join(marks)}</svg>'
    )


def _embedded(folder: ImageFolder, name: str) -> str | None:
    """An image, scaled down and stretched, as a data URI; None when it cannot be read."""
    try:
        paths = folder.find(name)
        data = np.frombuffer(paths[0].read_bytes() if len(paths) == 1 else b"", dtype=np.uint8)
    except (ValueError, OSError):
        return None
    pixels = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        return None
    shown = jpeg(np.nan_to_num(pixels[..., ::-1]), most_bytes=MOST_BYTES, side=LONGEST_SIDE_PX)
    return data_uri(shown, "image/jpeg")


def _mark(image: LabelledImage, number: int, finding: Finding) -> str:
    """A finding's outline, and its number in the list beside it."""
    if finding.shape_index is None or finding.shape_index >= len(image.shapes):
        return ""
    shape = image.shapes[finding.shape_index]
    colour, dashes = STROKES[finding.level]
    if not (len(shape.points) and np.isfinite(shape.points).all()):
        return ""
    outline = _outline(shape)
    # At an ellipse's centre; else at the topmost point, which lies on the outline.
    row, col = shape.points[0 if shape.kind == "ellipse" else shape.points[:, 0].argmin()]
    size = max(image.width, image.height) / 50
    if finding.place is not None:
        row, col = finding.place
        outline = f'<circle cx="{col:.2f}" cy="{row:.2f}" r="{size:.2f}"'
    row = min(max(row, 1.4 * size), image.height)
    col = min(max(col, 0), image.width - 2 * size)
    return (
        f'<g font-size="{size:.2f}">{outline} class="halo"/>{outline} class="line" '
        f'stroke="{colour}" stroke-dasharray="{dashes}"/><text x="{col:.2f}" y="{row:.2f}" '
        f'stroke-width="{size / 6:.2f}" fill="{colour}">{number}</text></g>'
    )


def _outline(shape: Shape) -> str:
    """The opening of an SVG element that outlines a shape, without its end."""
    if shape.kind == "ellipse":
        (row, col), (row_axis, col_axis) = shape.points
        turn = f"rotate({shape.rotation:.3f} {col:.2f} {row:.2f})"
        return (
            f'<ellipse cx="{col:.2f}" cy="{row:.2f}" rx="{max(col_axis, 0):.2f}" '
            f'ry="{max(row_axis, 0):.2f}" transform="{turn}"'
        )
    if shape.kind == "box":
        row, col = shape.points.mean(axis=0)
        top, left, bottom, right = *shape.points.min(axis=0), *shape.points.max(axis=0)
        return (
            f'<rect x="{left:.2f}" y="{top:.2f}" width="{right - left:.2f}" '
            f'height="{bottom - top:.2f}" transform="rotate({shape.rotation:.3f} '
            f'{col:.2f} {row:.2f})"'
        )
    end = "Z" if shape.kind in ("polygon", "mask") else ""
    contours = _mask_contours(shape) if shape.kind == "mask" else [shape.points]
    lines = ["L".join(f"{c:.2f} {r:.2f}" for r, c in points) for points in contours]
    return f'<path d="{" ".join(f"M{line}{end}" for line in lines)}"'


def _mask_contours(shape: Shape) -> list[np.ndarray]:
    """(N, 2) positions along the border pixels' centres of a mask, one array per part or hole."""
    height, width = np.diff(shape.points, axis=0)[0].astype(int).tolist()
    try:
        mask = decode_runs(shape.runs, height, width)
    except ValueError:
        return [shape.points]
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [contour[:, 0, ::-1] + shape.points[0] + 0.5 for contour in found] or [shape.points]
