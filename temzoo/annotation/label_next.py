"""Which micrographs to label next: those of which a trained model is least sure, unlike each other.

A model's doubt of a micrograph is measured in two ways, both made relative to what it finds there,
so that a micrograph full of particles is not preferred for its many edges alone:

- ``doubt``: what share of it the model itself expects to be wrong. Of pixels, the sum of 1 - p of
  the likeliest class over the expected union of found and missed pixels: an expected 1 - IoU (least
  confidence of Settles 2009, Active Learning Literature Survey, Wisconsin TR 1648, so weighed). Of
  a detector's objects, the same with scores for probabilities.
- ``disagreement`` of the answers to the four mirror images, which should be one and the same: 1 -
  the mean IoU of their pairs. It is the vote of a committee (Seung et al. 1992,
  doi:10.1145/130385.130417) whose members are made by mirroring, for there is only one model. Of a
  detector's objects, 1 - the panoptic quality of one answer against another.

On 73 micrographs whose labels were known, their mean followed the true error by a rank correlation
of 0.88, the mean entropy of a pixel by 0.38; the ten that either put first were about equally wrong
(``benchmarks/label_next.py``). The entropy is reported all the same, and drawn.

The most doubtful micrographs are often frames of one specimen, so that one teaches what the next
would. They are therefore chosen one by one, each by its doubt and by its distance from those chosen
before and from those labelled already: the greedy k-centre rule of Sener & Savarese 2018
(arXiv:1708.00489), on grey values and texture as ``evaluation/unlike_images.py`` measures them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from temzoo.core.files import atomic_path
from temzoo.core.normalization import Normalization
from temzoo.core.types import Micrograph
from temzoo.core.writers import write_csv
from temzoo.evaluation.evaluate import tracked
from temzoo.evaluation.uncertainty import MIRRORS
from temzoo.evaluation.unlike_images import Image, features
from temzoo.inference.pixels import as_micrograph, checked_pixels
from temzoo.pictures.overlays import stretched
from temzoo.pictures.sheets import Panel, sheet
from temzoo.zoo.built import task_of

DIVERSITY = 0.3
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


def label_next(
    model: Any,
    images: Iterable[Image],
    *,
    count: int = 10,
    diversity: float = DIVERSITY,
    labelled: Iterable[Image] = (),
    flips: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Ranking:
    """Chooses the micrographs whose labels would teach a model most.

    One micrograph is held at a time, in tiles where it is large; beside it 4 bytes a pixel. Those
    that cannot be read are left out and told of in ``Ranking.failed``.

    Args:
        model: whatever ``temzoo.predict`` takes: it labels pixels or detects objects.
        images: unlabelled micrographs: paths, arrays or Micrographs.
        diversity: 0: the most uncertain ones, however alike; 1: those that differ most from each
            other, whatever the model says of them.
        labelled: micrographs that have labels already; the chosen ones shall differ from them too.
        flips: measure the disagreement of mirror images. Without it four times faster, by the
            doubt alone.
        seed: what decides between equals.

    Raises:
        ValueError: there are no images, or none can be read; an option out of range; a model that
            makes pictures.

    Example:
        >>> ranking = label_next(get_model("unet", weights="runs/first"), Path("new").glob("*.tif"))
        >>> [candidate.name for candidate in ranking.chosen]
    """
    images = list(images)
    if not images:
        raise ValueError(
            "label_next needs at least one unlabelled image. Received: none. Name some."
        )
    if count < 1:
        raise ValueError(f"count must be at least 1. Received: count={count}.")
    if not 0 <= diversity <= 1:
        raise ValueError(
            "diversity must be from 0 to 1. Received: "
            f"diversity={diversity}. Use {DIVERSITY}, or 0 for the most uncertain ones."
        )
    task = task_of(model)
    candidates, points = [], []
    failed: list[Failure] = []
    for name, image, micrograph in _read(tracked(images, progress, "images"), failed):
        found = task.doubts(model, micrograph.pixels, MIRRORS if flips else MIRRORS[:1])
        candidates.append(Candidate(image, name, *found))
        points.append(appearance(micrograph))
    if not candidates:
        raise ValueError(
            "label_next needs at least one image that can be read. Received: "
            f"{len(failed)}, of which none can. The first: {failed[0].reason}"
        )
    known = [appearance(micrograph) for _, _, micrograph in _read(labelled, failed)]
    order, novelties = chosen_in_turn(
        [one.uncertainty for one in candidates],
        np.array(points),
        count,
        diversity=diversity,
        known=np.array(known) if known else None,
        seed=seed,
    )
    chosen = (
        replace(candidates[k], rank=rank, novelty=novelty)
        for rank, (k, novelty) in enumerate(zip(order, novelties, strict=True), start=1)
    )
    others = [one for k, one in enumerate(candidates) if k not in set(order)]
    others.sort(key=lambda one: -one.uncertainty)
    return Ranking(tuple(chosen), tuple(others), tuple(failed))


def _read(
    images: Iterable[Image], failed: list[Failure]
) -> Iterator[tuple[str, Image, Micrograph]]:
    """Yields (name, image, micrograph) of those that can be read; the others join ``failed``."""
    for number, image in enumerate(images, start=1):
        name = str(image) if isinstance(image, str | Path) else getattr(image, "name", "")
        name = name or f"image {number}"
        try:
            micrograph = as_micrograph(image)
            checked_pixels(micrograph)
        except (OSError, ValueError) as error:
            failed.append(Failure(name, str(error)))
        else:
            yield name, image, micrograph


def appearance(image: Image) -> np.ndarray:
    """Grey values and texture of a micrograph, of any model and calibration, (F,) float64.

    The mean of ``unlike_images.features`` over windows; gain and offset of the camera do not
    change it.
    """
    return features(Normalization(), image).mean(axis=0)


def chosen_in_turn(
    uncertainty: Sequence[float],
    points: np.ndarray,
    count: int,
    *,
    diversity: float = DIVERSITY,
    known: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[list[int], list[float]]:
    """Chooses one after the other what is uncertain and far from what is there already.

    Each time the largest (1 - diversity) * rank of uncertainty + diversity * novelty, both 0 to 1.

    Args:
        uncertainty: (N,) of the candidates.
        points: (N, F) what they look like; each column is divided by its standard deviation.
        count: how many to choose; at most N are.
        diversity: 0 to 1.
        known: (M, F) what is there already; None: nothing.
        seed: what decides between equals.

    Returns:
        the indices of the chosen; and of each its novelty: its distance from the nearest that was
        there, by the largest such distance then; NaN where nothing was there.
    """
    known = points[:0] if known is None else known
    spread = np.concatenate([points, known]).std(axis=0)
    spread[spread == 0] = 1
    points, known = points / spread, known / spread
    # From 0 (least) to 1 (greatest); equal values share the mean of their ranks.
    ranks = (rankdata(uncertainty) - 1) / max(len(uncertainty) - 1, 1)
    shuffled = np.random.default_rng(seed).permutation(len(ranks))
    nearest = cdist(points, known).min(axis=1, initial=np.inf)
    free = np.ones(len(ranks), bool)
    order, novelties = [], []
    for _ in range(min(count, len(ranks))):
        novelty = _novelty(nearest, free)
        value = (1 - diversity) * ranks + diversity * np.nan_to_num(novelty)
        value[~free] = -1
        best = int(np.lexsort((shuffled, -np.round(value, 12)))[0])
        order.append(best)
        novelties.append(float(novelty[best]))
        free[best] = False
        nearest = np.minimum(nearest, cdist(points, points[[best]])[:, 0])
    return order, novelties


def _novelty(nearest: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Distances as parts of the largest of those still free; NaN where nothing is there."""
    largest = nearest[free].max()
    if np.isinf(largest):
        return np.full(len(nearest), np.nan)
    return nearest / largest if largest > 0 else np.zeros(len(nearest))


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
