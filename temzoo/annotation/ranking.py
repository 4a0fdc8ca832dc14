"""Micrographs ranked by what is gained by labelling them, as a table and a sheet of thumbnails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from temzoo.core.files import atomic_path
from temzoo.core.writers import write_csv
from temzoo.evaluation.unlike_images import Image
from temzoo.inference.pixels import as_micrograph
from temzoo.pictures.overlays import stretched
from temzoo.pictures.sheets import Panel, sheet

TABLE, SHEET = "label_next.csv", "label_next.png"
COLUMNS = ("rank", "image", "uncertainty", "doubt", "disagreement", "entropy", "novelty")
# Of the heat: from clear through orange to white, so that it shows on any grey.
HEAT_COLOURS = np.array([[230, 120, 0], [255, 160, 0], [255, 225, 60], [255, 255, 235]], np.float32)
HEAT_OPACITY = 0.85
HEAT_STEPS = (0.25, 0.5, 1.0)  # of the legend
LONGEST_NAME = 40  # letters above a picture
THUMBNAIL = 512  # px, longest side of a picture in the sheet


@dataclass(frozen=True, eq=False)
class Candidate:
    """One micrograph that could be labelled.

    Attributes:
        image: as it was given.
        name: its path or name.
        doubt, disagreement: 0 (sure) to 1, see the module's first lines; disagreement is NaN
            without flips.
        entropy: mean of a pixel, or of a detected object, in bits.
        heat: (h, w) float16, entropy of the micrograph's parts; it may be smaller than it.
        rank: 1 is to be labelled first; None: not chosen.
        novelty: when it was chosen, its distance from those labelled or chosen before, as a part
            of the largest then; NaN where nothing came before, or it was not chosen.
    """

    image: Image
    name: str
    doubt: float
    disagreement: float
    entropy: float
    heat: np.ndarray
    rank: int | None = None
    novelty: float = float("nan")

    @property
    def uncertainty(self) -> float:
        """The mean of doubt and disagreement; doubt alone where the other was not measured."""
        if np.isnan(self.disagreement):
            return self.doubt
        return (self.doubt + self.disagreement) / 2


@dataclass(frozen=True)
class Failure:
    """A micrograph that could not be read: its path or name, and the reader's reason."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Ranking:
    """What ``label_next`` found.

    Attributes:
        chosen: what to label, in this order.
        others: the rest, by falling uncertainty.
        failed: what could not be read, and so has no place in the order.
    """

    chosen: tuple[Candidate, ...]
    others: tuple[Candidate, ...] = ()
    failed: tuple[Failure, ...] = ()

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Writes ``label_next.csv``, all candidates, and ``label_next.png``, a sheet of the chosen.

        In the table, what was not chosen has no rank, and what could not be read no numbers. Both
        files are written, or none.

        Returns:
            The paths by what they hold: "table" and "sheet".
        """
        paths = {"table": Path(folder) / TABLE, "sheet": Path(folder) / SHEET}
        numbers = COLUMNS[2:]
        rows = [
            [one.rank or "", one.name, *(getattr(one, name) for name in numbers)]
            for one in (*self.chosen, *self.others)
        ]
        rows += [["", one.name, *[""] * len(numbers)] for one in self.failed]
        with atomic_path(paths["sheet"]) as picture:
            _draw(picture, self.chosen)
            write_csv(paths["table"], COLUMNS, rows, digits=6)
        return paths


def _draw(path: Path, chosen: Sequence[Candidate]) -> None:
    """The chosen micrographs in order, where the model is unsure of them in glowing colours."""
    most = max(float(np.quantile(one.heat, 0.999)) for one in chosen) or 1.0
    grey = np.full(3, 128, np.float32)
    lit = {f"{step * most:.2g} bit": _lit(grey, np.array(step)).tolist() for step in HEAT_STEPS}
    sheet(
        path,
        [Panel(_glowing(one, most), _title(one)) for one in chosen],
        columns=5 if len(chosen) > 8 else 4,
        legend={name: tuple(colour) for name, colour in lit.items()},
        title="Label next: where the model is unsure (entropy of a pixel)",
    )


def _title(one: Candidate) -> str:
    name = Path(one.name).name
    if len(name) > LONGEST_NAME:  # its ends tell files of one series apart
        name = f"{name[: LONGEST_NAME // 2]}…{name[1 - LONGEST_NAME // 2 :]}"
    return f"{one.rank}.  {name}\nuncertainty {one.uncertainty:.2f}"


def _glowing(one: Candidate, most: float) -> np.ndarray:
    """A micrograph of at most ``THUMBNAIL`` px, lit by its heat, of which ``most`` is full."""
    pixels = as_micrograph(one.image).pixels
    factor = min(THUMBNAIL / max(pixels.shape[:2]), 1)
    height, width = (max(round(side * factor), 1) for side in pixels.shape[:2])
    picture = cv2.resize(stretched(pixels), (width, height), interpolation=cv2.INTER_AREA)
    heat = cv2.resize(one.heat.astype(np.float32), (width, height)) / np.float32(most)
    return _lit(picture.astype(np.float32), np.clip(heat, 0, 1))


def _lit(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Colours (…, 3) with those of the heat (…), 0 to 1, laid over them: uint8."""
    stops = np.linspace(0, 1, len(HEAT_COLOURS))
    colours = np.stack([np.interp(heat, stops, part) for part in HEAT_COLOURS.T], axis=-1)
    # Of the root: what is a little unsure shall be seen too.
    opacity = HEAT_OPACITY * np.sqrt(heat)[..., None]
    return np.rint(picture * (1 - opacity) + colours * opacity).astype(np.uint8)
