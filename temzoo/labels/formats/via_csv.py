"""VGG Image Annotator, versions 1 and 2: its CSV, a region a line.

Shapes and attributes stand as JSON in their cells; the rest is as in ``via``.

Source: https://www.robots.ox.ac.uk/~vgg/software/via/ (via 2.0, its CSV export)
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from temzoo.core.files import text_lines, write_text
from temzoo.core.types import LabelledImage
from temzoo.labels.check_report import Finding
from temzoo.labels.formats import via
from temzoo.labels.formats.entries import entry_of, left_out
from temzoo.labels.formats.limits import short

COLUMNS = (
    "filename",
    "file_size",
    "file_attributes",
    "region_count",
    "region_id",
    "region_shape_attributes",
    "region_attributes",
)
HEADER = ",".join(COLUMNS)
MAX_CELL = 2**24  # characters; a polygon of 100,000 vertices has two million


def begins(line: bytes) -> bool:
    """Whether a file that begins so is a CSV of VIA; version 1 puts a # before it."""
    return line.removeprefix(b"#").replace(b'"', b"").strip() == HEADER.encode()


def read(
    path: str | Path, *, images: str | Path | None = None, said: list[Finding] | None = None
) -> list[LabelledImage]:
    """All images of a CSV of VIA, in file order; what a region is, ``via.parse`` says.

    Args:
        images: the folder of the images; their sizes are read from their headers.
        said: takes lines and regions that cannot be read, which are left out; None: the first is
            raised.

    Raises:
        ValueError: when a line or region is malformed, ``images`` is missing or an image not there.
    """
    document: dict[str, dict[str, Any]] = {}
    for number, cells in _rows(Path(path)):
        with left_out(said, f"{path}, line {number}"):
            if len(cells) != len(COLUMNS):
                raise ValueError(
                    f"a line must have {len(COLUMNS)} cells. Received: {len(cells)}. Export again."
                )
            name, size, _, _, _, shape, attributes = cells
            region = {"shape_attributes": _object(shape, COLUMNS[5])}
            region["region_attributes"] = _object(attributes, COLUMNS[6])
            entry = document.setdefault(f"{name}{size}", {"filename": name, "regions": []})
            if region["shape_attributes"]:  # else the image has no region
                entry["regions"].append(region)
    return via.parse(document, Path(path), images=images, said=said) if document else []


def write(path: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes a CSV of VIA 2, as ``via.write`` does JSON; returns the same."""
    document, not_held = via.document_of(images)
    with io.StringIO(newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for entry in document.values():
            regions = entry["regions"]
            for number, region in enumerate(regions or [{}]):
                parts = (region.get(key, {}) for key in ("shape_attributes", "region_attributes"))
                head = (entry["filename"], entry["size"], "{}", len(regions), number)
                table.writerow([*head, *map(json.dumps, parts)])
        write_text(path, file.getvalue())
    return not_held


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines below the header, by the number of their last one."""
    table = csv.reader(line + "\n" for line in text_lines(path))
    before = csv.field_size_limit(MAX_CELL)
    try:
        next(table, None)
        yield from ((table.line_num, cells) for cells in table if cells)
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {table.line_num}: the file must be CSV. Received: {error}. Export it "
            "again."
        ) from error
    finally:
        csv.field_size_limit(before)


def _object(cell: str, column: str) -> dict[str, Any]:
    try:
        return dict(entry_of(json.loads(cell)))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{column} must be an object in JSON. Received: {short(cell)}. Export it again."
        ) from error
