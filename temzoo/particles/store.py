"""Cut particles on disk."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from temzoo.core.files import text_of_spreadsheet
from temzoo.core.types import Example, LabelledImage
from temzoo.core.writers import write_csv, write_png, write_tiff
from temzoo.data.images import unit_range
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
    examples = [
        _example(path, line, name, micrograph)
        for line, (name, micrograph) in enumerate(
            zip(cells["name"], cells["micrograph"], strict=True), start=2
        )
    ]
    return examples, {name: _column(path, name, values) for name, values in cells.items()}


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


def _read_cells(path: Path) -> dict[str, list[str]]:
    """The table's texts, column by column."""
    # utf-8-sig: spreadsheets begin their CSV files with a byte-order mark.
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    missing = [name for name in ("name", "micrograph") if name not in header]
    if missing or not rows:
        raise ValueError(
            f"{path}: a table of particles has the columns name and micrograph, and a row for each "
            f"particle. Received: columns {header}, {len(rows)} row(s). Cut the particles again."
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
