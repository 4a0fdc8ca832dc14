"""Cut particles on disk."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from temzoo.core.files import text_of_spreadsheet
from temzoo.core.types import Example, LabelledImage
from temzoo.core.writers import write_csv, write_png, write_tiff
from temzoo.data.classes import class_folders, tagged
from temzoo.data.examples import groups_of
from temzoo.data.images import unit_range
from temzoo.data.splits import HEADERS
from temzoo.micrographs import image_size, load_micrograph, to_grey
from temzoo.particles.plan import NUMBERS, TEXTS, ParticleSet

TABLE = "particles.csv"
SHEET = "particles.png"
SHEET_COLUMNS, SHEET_ROWS = 10, 10
SHEET_TILE, SHEET_GAP = 96, 4  # pixels


def save(particles: ParticleSet, folder: str | Path) -> Path:
    """Writes particles, their table and a sheet of up to 100 of them; returns the table's path.

    Each particle becomes a TIFF that ImageJ opens with its calibration, in the stored dtype where
    that is uint8, uint16 or float32, else in float32; colour of other dtypes than uint8 becomes
    grey. ``particles.csv`` is written last: a folder without it is unfinished. Other files in the
    folder stay.

    Raises:
        ValueError: there are no particles.
    """
    if not len(particles):
        raise ValueError(
            "there must be particles to be saved. Received: none, "
            f"{particles.n_at_border} left out at the border. Use border='mirror', a smaller "
            "window, or other classes."
        )
    folder = Path(folder)
    path = folder / TABLE
    path.unlink(missing_ok=True)  # it would list files that are being replaced
    for particle in particles:
        image, pixels = particle.image, particle.image.pixels
        if pixels.ndim == 3 and pixels.dtype != np.uint8:
            pixels = to_grey(pixels)
        if pixels.dtype not in (np.uint8, np.uint16):
            pixels = pixels.astype(np.float32)
        write_tiff(folder / image.name, pixels, image.nm_per_pixel)
    _write_sheet(folder / SHEET, [particle.image.pixels for particle in particles])
    table = particles.table
    write_csv(path, table, zip(*table.values(), strict=True), digits=9)
    return path


def load(folder: str | Path) -> tuple[list[Example], dict[str, np.ndarray]]:
    """Reads what ``save`` wrote; the pixels are read later, when asked for.

    Returns:
        examples: one a particle, without shapes; those of one micrograph are of one group, so
            that a split never parts them.
        table: columns by name, (N,) each: float64 where numbers, NaN where empty, else texts. A
            column that somebody added is of numbers when all its cells are.

    Raises:
        FileNotFoundError: there is no table, or a file that it names is missing.
        ValueError: the table is empty, lacks a column, or has a cell that is no number where one
            should be, with file, row and column.
    """
    path = Path(folder) / TABLE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: a folder of particles has a table. Received: no such file. Cut particles "
            "into the folder with `temzoo particles`; an interrupted cut leaves none."
        )
    cells = _read_cells(path)
    examples = _examples(path, cells)
    return examples, {name: _column(path, name, values) for name, values in cells.items()}


def load_classes(
    folder: str | Path, groups: str | Path | Mapping[str, str] | None = None
) -> list[Example]:
    """Single images with a class each, for classifiers; the pixels are read later.

    Args:
        folder: with a table ``particles.csv``, as ``save`` writes it or with the columns ``image``
            (or ``file``), ``class`` and, where several are of one specimen, ``group``; rows
            without a class are left out. Or with a folder of images for each class.
        groups: specimen or publication by the name of the micrograph (of a table that has them)
            or of the image: a mapping, or a CSV file; a split never parts a group. None: what the
            table says, else each image is its own.

    Raises:
        FileNotFoundError: there are no images, or one that the table names is missing.
        ValueError: the table lacks a column or has no class, or an image has no class or group.

    Example:
        >>> train, val = temzoo.split(load_classes("particles"), (0.8, 0.2))
    """
    path = Path(folder) / TABLE
    if not path.is_file():
        return class_folders(folder, groups)
    cells = _read_cells(path, needed=("name", "class"), named=HEADERS)
    places = [place for place, label in enumerate(cells["class"]) if label.strip()]
    if not places:
        raise ValueError(
            f"{path}: a classifier needs images with a class. Received: none in"
            f" {len(cells['class'])} row(s). Fill the column class."
        )
    of = cells.get("group") or cells.get("micrograph") or [""] * len(cells["name"])
    if groups is not None:
        of = groups_of(cells.get("micrograph") or cells["name"], groups)
    examples = _examples(path, {"name": cells["name"], "micrograph": of}, places)
    labels = [cells["class"][place].strip() for place in places]
    return [tagged(one, label) for one, label in zip(examples, labels, strict=True)]


def _examples(
    path: Path, cells: Mapping[str, list[str]], places: Sequence[int] | None = None
) -> list[Example]:
    """An example of each row, or of those at some places."""
    names, micrographs = cells["name"], cells["micrograph"]
    chosen = range(len(names)) if places is None else places
    return [_example(path, place + 2, names[place], micrographs[place]) for place in chosen]


def _write_sheet(path: Path, images: Sequence[np.ndarray]) -> None:
    """Up to 100 of the images, evenly through the set, each stretched by itself."""
    count = min(len(images), SHEET_COLUMNS * SHEET_ROWS)
    chosen = np.linspace(0, len(images) - 1, count).round().astype(int)
    step, lines = SHEET_TILE + SHEET_GAP, -(-count // SHEET_COLUMNS)
    columns = min(count, SHEET_COLUMNS)
    canvas = np.full((lines * step + SHEET_GAP, columns * step + SHEET_GAP, 3), 255, np.uint8)
    for place, index in enumerate(chosen):
        row, col = (at * step + SHEET_GAP for at in divmod(place, columns))
        shades = np.rint(255 * unit_range(images[index])).astype(np.uint8)
        # A small image keeps its pixels to be seen.
        how = cv2.INTER_AREA if len(shades) > SHEET_TILE else cv2.INTER_NEAREST_EXACT
        tile = cv2.resize(shades, (SHEET_TILE, SHEET_TILE), interpolation=how)
        tile = tile.reshape(SHEET_TILE, SHEET_TILE, -1)  # one grey channel, or three
        canvas[row : row + SHEET_TILE, col : col + SHEET_TILE] = tile
    write_png(path, canvas)


def _read_cells(
    path: Path, needed: Sequence[str] = ("name", "micrograph"), named: Collection[str] = ()
) -> dict[str, list[str]]:
    """The table's texts, column by column; ``named``: what the column "name" may be called too."""
    # utf-8-sig: spreadsheets begin their CSV files with a byte-order mark.
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if "name" not in header:
        header = ["name" if name in named else name for name in header]
    missing = [name for name in needed if name not in header]
    if missing or not rows:
        raise ValueError(
            f"{path}: a table of particles has the columns {' and '.join(needed)}, and a row for "
            f"each particle. Received: columns {header}, {len(rows)} row(s). Cut the particles "
            "again."
        )
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(
                f"{path}, row {line}: each row has a cell for each column. Received: {len(row)} "
                f"cells for {len(header)} columns. Correct the row."
            )
    return {name: [text_of_spreadsheet(row[k]) for row in rows] for k, name in enumerate(header)}


def _column(path: Path, name: str, cells: list[str]) -> np.ndarray:
    if name in TEXTS:
        return np.array(cells, object)
    values = np.full(len(cells), np.nan)
    for place, cell in enumerate(cells):
        try:
            values[place] = float(cell) if cell.strip() else np.nan
        except ValueError as error:
            if name not in NUMBERS:
                return np.array(cells, object)
            raise ValueError(
                f"{path}, row {place + 2}, column {name!r}: must be a number. "
                f"Received: {cell!r}. Correct the cell, or leave it empty."
            ) from error
    return values


def _example(path: Path, line: int, name: str, micrograph: str) -> Example:
    # The table may come from outside, so a name must not lead out of its folder.
    if Path(name).name != name or "\\" in name or name in ("", ".."):
        raise ValueError(
            f"{path}, row {line}, column 'name': must be a file beside the table. "
            f"Received: {name!r}. Write its name alone."
        )
    file = path.parent / name
    if not file.is_file():
        raise FileNotFoundError(
            f"{path}, row {line}, column 'name': there is no such file. Received: {name!r}. "
            "Put it back, or remove the row."
        )
    height, width = image_size(file)
    return Example(LabelledImage(name, width, height), partial(load_micrograph, file), micrograph)
