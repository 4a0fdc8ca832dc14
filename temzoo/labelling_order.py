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
(arXiv:1708.00489), on grey values and texture as ``likeness.py`` measures them.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from temzoo.detection import predict_detections
from temzoo.files import atomic_path, spreadsheet_text
from temzoo.inputs import BLOCK_ROWS, as_micrograph, checked_pixels
from temzoo.instance_scores import MATCH_IOU, one_to_one, overlaps
from temzoo.likeness import NORMALIZE, Image, features
from temzoo.prediction import answer_blocks
from temzoo.registry import built, task_of
from temzoo.report import Panel, sheet, stretched
from temzoo.types import MIN_SCORE, Detection, Micrograph

MIRRORS = ((), (0,), (1,), (0, 1))  # axes to flip; the first is the micrograph as it is
# Specks and haze on an empty micrograph would otherwise make it the most doubtful of all: so much
# of its area counts as found and certain in the doubt and in the disagreement, or so many objects.
FLOOR_DOUBT, FLOOR_VOTE = 0.01, 0.001
FLOOR_OBJECTS = 1
LEAST_SCORE = 0.05  # of a detector's objects: those it nearly found are what it doubts
DIVERSITY = 0.3
HEAT_SIDE = 256  # px; a map is kept of every micrograph until the choice is made
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
    """A micrograph that could not be read.

    Attributes:
        name: its path or name.
        reason: in the words of the reader.
    """

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
        with atomic_path(paths["table"]) as table, atomic_path(paths["sheet"]) as picture:
            _write_table(table, (*self.chosen, *self.others), self.failed)
            _draw(picture, self.chosen)
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
        count: how many to choose.
        diversity: 0: the most uncertain ones, however alike; 1: those that differ most from each
            other, whatever the model says of them.
        labelled: micrographs that have labels already; the chosen ones shall differ from them too.
        flips: measure the disagreement of mirror images. Without it four times faster, by the
            doubt alone.
        seed: what decides between equals.
        progress: show a progress bar.

    Raises:
        ValueError: there are no images, or none can be read; an option out of range; a model that
            makes pictures.

    Example:
        >>> ranking = label_next(get_model("unet", weights="runs/first"), Path("new").glob("*.tif"))
        >>> [candidate.name for candidate in ranking.chosen]
    """
    images = list(images)
    _check(model, images, count, diversity)
    candidates, points, failed = [], [], []
    for name, image, micrograph in _read(_tracked(images, progress), failed):
        found = _doubts(model, micrograph.pixels, flips)
        candidates.append(Candidate(image, name, *found))
        points.append(appearance(micrograph))
    _check_any(candidates, failed)
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
    others = (one for k, one in enumerate(candidates) if k not in set(order))
    others = sorted(others, key=lambda one: -one.uncertainty)
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


def _check_any(candidates: Sequence[Candidate], failed: Sequence[Failure]) -> None:
    if not candidates:
        raise ValueError(
            "label_next needs at least one image that can be read. Received: "
            f"{len(failed)}, of which none can. The first: {failed[0].reason}"
        )


def _check(model: Any, images: Sequence[Image], count: int, diversity: float) -> None:
    if not images:
        raise ValueError("label_next needs at least one unlabelled image. Received: none.")
    if count < 1:
        raise ValueError(f"count must be at least 1. Received: count={count}.")
    if not 0 <= diversity <= 1:
        raise ValueError(
            "diversity must be from 0 to 1. Received: "
            f"diversity={diversity}. Use {DIVERSITY}, or 0 for the most uncertain ones."
        )
    try:
        how = built(model)
    except (TypeError, ValueError):
        return  # not from get_model: tried
    if task_of(model).DATA != "labels":
        raise ValueError(
            "label_next asks a model of classes or objects what it doubts. Received: "
            f'{how.name}, of the task "{how.task}", which needs no labels. Use a model that '
            "temzoo.predict takes."
        )


def _tracked(images: Sequence[Image], shown: bool) -> Iterator[Image]:
    if not shown:
        yield from images
        return
    from rich.progress import track  # not paid for by those who want no bar

    yield from track(images, description="images")


Doubts = tuple[float, float, float, np.ndarray]  # doubt, disagreement, entropy, heat


def _doubts(model: Any, pixels: np.ndarray, flips: bool) -> Doubts:
    mirrors = MIRRORS if flips else MIRRORS[:1]
    measure = _doubts_of_objects if hasattr(model, "detect") else _doubts_of_pixels
    return measure(model, pixels, mirrors)


class _Heat:
    """Mean entropy of cells of an image, added up from blocks of rows of its mirror images."""

    def __init__(self, height: int, width: int) -> None:
        factor = min(HEAT_SIDE / max(height, width), 1)
        shape = [max(round(side * factor), 1) for side in (height, width)]
        self.rows, self.columns = (
            np.arange(side) * cells // side
            for side, cells in zip((height, width), shape, strict=True)
        )
        self.sums = np.zeros(shape)

    def add(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Adds values (N, W) of the image's rows (N,)."""
        starts = np.searchsorted(self.columns, np.arange(self.sums.shape[1]))
        np.add.at(self.sums, self.rows[rows], np.add.reduceat(values, starts, axis=1))

    def mean(self, mirrors: int) -> np.ndarray:
        pixels = np.outer(np.bincount(self.rows), np.bincount(self.columns))
        return (self.sums / (pixels * mirrors)).astype(np.float16)


@dataclass(frozen=True, eq=False)
class _Answer:
    """A model's answer to one mirror image: class of each pixel, mirrored back, and its doubt."""

    classes: np.ndarray
    doubt: float


def _doubts_of_pixels(model: Any, pixels: np.ndarray, mirrors: Sequence[tuple]) -> Doubts:
    heat = _Heat(*pixels.shape[:2])
    answers = [_answer(model, pixels, axes, heat) for axes in mirrors]
    pairs = itertools.combinations([answer.classes for answer in answers], 2)
    agreement = [_agreement(*pair) for pair in pairs]
    disagreement = 1 - float(np.mean(agreement)) if agreement else float("nan")
    entropy = heat.sums.sum() / (pixels.shape[0] * pixels.shape[1] * len(mirrors))
    doubt = float(np.mean([answer.doubt for answer in answers]))
    return doubt, disagreement, float(entropy), heat.mean(len(mirrors))


def _answer(model: Any, pixels: np.ndarray, axes: tuple, heat: _Heat) -> _Answer:
    height, width = pixels.shape[:2]
    classes, errors, union = None, 0.0, FLOOR_DOUBT * height * width
    blocks = answer_blocks(model, np.flip(pixels, axes), None, None, False, 1, False)
    for top, mirrored in blocks:
        block = np.flip(mirrored, axes)
        # Flipped upside down, the first rows of the answer are the last of the image.
        first = height - top - len(block) if 0 in axes else top
        rows = np.arange(first, first + len(block))
        if classes is None:
            classes = np.empty((height, width), np.uint8 if block.shape[-1] <= 256 else np.int32)
        classes[rows] = block.argmax(axis=-1)
        heat.add(rows, entropy_bits(block))
        errors += float((1 - block.max(axis=-1)).sum(dtype=np.float64))
        missed = np.where(classes[rows] > 0, 1, 1 - block[..., 0])
        union += float(missed.sum(dtype=np.float64))
    return _Answer(classes, errors / union)


def entropy_bits(probabilities: np.ndarray) -> np.ndarray:
    """Entropy along the last axis, in bits; 0 to log2(classes).

    Example:
        >>> float(entropy_bits(np.array([0.5, 0.5])))
        1.0
    """
    p = np.clip(probabilities, 1e-12, 1)
    return -(p * np.log2(p)).sum(axis=-1)


def _agreement(one: np.ndarray, other: np.ndarray) -> float:
    """IoU of two class maps (H, W), all classes together; near 1 where both are empty."""
    same = either = FLOOR_VOTE * one.size
    for top in range(0, len(one), BLOCK_ROWS):
        a, b = one[top : top + BLOCK_ROWS], other[top : top + BLOCK_ROWS]
        same += np.count_nonzero((a == b) & (a > 0))
        either += np.count_nonzero((a > 0) | (b > 0))
    return same / either


def _doubts_of_objects(model: Any, pixels: np.ndarray, mirrors: Sequence[tuple]) -> Doubts:
    shape = pixels.shape[:2]
    answers = [_objects(model, pixels, axes) for axes in mirrors]
    doubts, entropies, heat = [], [0.0], _Heat(*shape)
    drawn = np.zeros(shape, np.float32)
    for objects in answers:
        scores = np.array([one.score for one in objects])
        bits = entropy_bits(np.stack([scores, 1 - scores], axis=-1))
        union = np.where(scores >= MIN_SCORE, 1, scores).sum() + FLOOR_OBJECTS
        doubts.append(np.minimum(scores, 1 - scores).sum() / union)
        entropies += bits.tolist()
        for one, value in zip(objects, bits, strict=True):
            height, width = one.mask.shape
            place = drawn[one.top : one.top + height, one.left : one.left + width]
            place[one.mask] = np.maximum(place[one.mask], value)
    heat.add(np.arange(shape[0]), drawn)
    certain = [[one for one in objects if one.score >= MIN_SCORE] for objects in answers]
    agreement = [_quality(*pair) for pair in itertools.combinations(certain, 2)]
    disagreement = 1 - float(np.mean(agreement)) if agreement else float("nan")
    entropy = np.mean(entropies[1:] or entropies)
    return float(np.mean(doubts)), disagreement, float(entropy), heat.mean(1)


def _objects(model: Any, pixels: np.ndarray, axes: tuple) -> list[Detection]:
    """What a detector finds in a mirror image, mirrored back."""
    found = predict_detections(model, np.flip(pixels, axes), min_score=LEAST_SCORE).detections
    return [_mirrored(one, pixels.shape[:2], axes) for one in found]


def _mirrored(one: Detection, shape: tuple[int, int], axes: tuple) -> Detection:
    height, width = one.mask.shape
    top = shape[0] - one.top - height if 0 in axes else one.top
    left = shape[1] - one.left - width if 1 in axes else one.left
    return replace(one, top=top, left=left, mask=np.flip(one.mask, axes))


def _quality(one: Sequence[Detection], other: Sequence[Detection]) -> float:
    """Panoptic quality of objects against others, all classes together."""
    pairs = overlaps(one, other)
    good = pairs.mask_iou >= MATCH_IOU
    _, iou = one_to_one(pairs.true[good], pairs.found[good], pairs.mask_iou[good])
    return (iou.sum() + FLOOR_OBJECTS) / ((len(one) + len(other)) / 2 + FLOOR_OBJECTS)


def appearance(image: Image) -> np.ndarray:
    """Grey values and texture of a micrograph, of any model and calibration.

    Returns:
        (F,) float64, the mean of ``likeness.features`` over windows; gain and offset of the camera
        do not change it.
    """
    from temzoo.models.layers import Normalize  # imports Keras, which other models do without

    lens = SimpleNamespace(layers=(Normalize(name=NORMALIZE),))
    return features(lens, image).mean(axis=0)


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
        order: indices of the chosen.
        novelty: of each, its distance from the nearest that was there, by the largest such
            distance then; NaN where nothing was there.

    Example:
        >>> chosen_in_turn([0.9, 0.8, 0.1], np.array([[0.0], [0.1], [5.0]]), 2, diversity=0.6)[0]
        [0, 2]
    """
    points, known = _standardised(points, known)
    ranks = _ranks(np.asarray(uncertainty, np.float64))
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


def _standardised(points: np.ndarray, known: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    if known is None or not len(known):
        known = np.zeros((0, points.shape[1]))
    spread = np.concatenate([points, known]).std(axis=0)
    spread[spread == 0] = 1
    return points / spread, known / spread


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 0 (least) to 1 (greatest); equal values share the mean of their ranks."""
    return (rankdata(values) - 1) / max(len(values) - 1, 1)


def _novelty(nearest: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Distances as parts of the largest of those still free; NaN where nothing is there."""
    largest = nearest[free].max()
    if np.isinf(largest):
        return np.full(len(nearest), np.nan)
    return nearest / largest if largest > 0 else np.zeros(len(nearest))


def _write_table(
    path: Path, candidates: Sequence[Candidate], failed: Sequence[Failure] = ()
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for one in candidates:
            numbers = (getattr(one, name) for name in COLUMNS[2:])
            cells = ("" if np.isnan(number) else f"{number:.6g}" for number in numbers)
            rows.writerow([one.rank or "", spreadsheet_text(one.name), *cells])
        for one in failed:
            rows.writerow(["", spreadsheet_text(one.name), *[""] * len(COLUMNS[2:])])


def _draw(path: Path, chosen: Sequence[Candidate]) -> None:
    """The chosen micrographs in order, where the model is unsure of them in glowing colours."""
    most = max(float(np.quantile(one.heat, 0.999)) for one in chosen) or 1.0
    grey = np.full(3, 128, np.float32)
    sheet(
        path,
        [Panel(_glowing(one, most), _title(one)) for one in chosen],
        columns=5 if len(chosen) > 8 else 4,
        legend={
            f"{step * most:.2g} bit": tuple(_lit(grey, np.array(step)).tolist())
            for step in HEAT_STEPS
        },
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
