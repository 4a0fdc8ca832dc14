"""Corrections by hand: particles that are left out, taken in, joined or of another class.

The page of ``temzoo report`` writes them as a small JSON file:

    {"temzoo_corrections": 1, "images": [{"image": "a.png", "instances_sha256": "…",
      "exclude": [3], "merge": [[1, 2]], "relabel": {"5": "rod"},
      "include": {"7": [4, 9, 20, 31]}}]}

The numbers are those of the instance map, or of a detector's objects from 1 on; doubtful objects
have the numbers after these. The hash is of that map, and doubtful objects that are taken in stand
with their boxes, so that corrections of another prediction are refused.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import read_fields
from temzoo.core.hints import did_you_mean, located
from temzoo.core.types import Detection, Prediction
from temzoo.inference.objects import box_of, flattened
from temzoo.store.sidecar import is_box, is_count, is_list_of, is_text
from temzoo.zoo.pretrained import sha256

KEY, VERSION = "temzoo_corrections", 1


@dataclass(frozen=True)
class Corrections:
    """What is corrected in one prediction.

    Attributes:
        image: the micrograph's name.
        instances_sha256: of the prediction's instance map, see ``instances_sha256``.
        exclude: numbers of particles that are none.
        merge: groups of numbers, each of which is one particle.
        relabel: the class of a particle by its number; of merged ones by the lowest of theirs.
        include: doubtful objects that are particles: (top, left, bottom, right) in px, half-open,
            by number. The first of ``Prediction.doubtful`` has the number after the highest of the
            particles.
    """

    image: str
    instances_sha256: str
    exclude: Sequence[int] = ()
    merge: Sequence[Sequence[int]] = ()
    relabel: Mapping[int, str] = field(default_factory=dict)
    include: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def counts(self) -> Counter[str]:
        """Particles "excluded", "taken_in", "merged" (and "into" how many), "relabelled"."""
        merged = sum(map(len, self.merge))
        return Counter(
            excluded=len(self.exclude),
            taken_in=len(self.include),
            merged=merged,
            into=len(self.merge),
            relabelled=len(self.relabel),
        )


@dataclass(frozen=True)
class CorrectionFile:
    """A file of corrections.

    Attributes:
        path: of the file; sha256: of its bytes.
        images: the corrections by the name of the image.
    """

    path: Path
    sha256: str
    images: Mapping[str, Corrections]

    def of(self, prediction: Prediction) -> Prediction:
        """The prediction as the file corrects it; as it is, where the file does not name it."""
        one = self.images.get(prediction.name)
        if one is None:
            return prediction
        with located(f"{self.path}, image {one.image!r}"):
            return corrected(prediction, one)

    def require_among(self, names: Collection[str]) -> None:
        """Raises ValueError where the file corrects an image of which there is no prediction."""
        missing = next((name for name in self.images if name not in names), None)
        if missing is not None:
            raise ValueError(
                f"{self.path}: each image that is corrected must have a prediction. Received:"
                f" {missing!r}, of which there is none.{did_you_mean(missing, names)} Give the"
                " folder that the report was made of."
            )


COUNTS = ("excluded", "taken_in", "merged", "into", "relabelled")


def recorded_counts(records: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How much the corrections that a sidecar records have corrected together."""
    each = (Counter({name: one.get(name, 0) for name in COUNTS}) for one in records)
    return sum(each, Counter())


def counts_text(counts: Mapping[str, int]) -> str:
    """How much was corrected, in words; "" for nothing."""
    parts = [
        f"{counts['excluded']} excluded" if counts["excluded"] else "",
        f"{counts['taken_in']} taken in" if counts["taken_in"] else "",
        f"{counts['merged']} merged into {counts['into']}" if counts["merged"] else "",
        f"{counts['relabelled']} relabelled" if counts["relabelled"] else "",
    ]
    return ", ".join(filter(None, parts))


def instances_sha256(instances: np.ndarray) -> str:
    """The hash by which corrections name a prediction.

    Args:
        instances: (H, W) whole numbers; the hash is of "HxW" and of the numbers row by row, each as
            32 bits with the lowest first, whatever the dtype and the file.
    """
    digest = hashlib.sha256("x".join(map(str, instances.shape)).encode("ascii"))
    digest.update(np.ascontiguousarray(instances, "<i4").data)
    return digest.hexdigest()


def read_corrections(path: str | Path) -> CorrectionFile:
    """Reads what "Save corrections" of a report wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, or of a later release; the message names file and image.

    Example:
        >>> read_corrections("corrections.json").images["a.png"].exclude
        (3,)
    """
    path = Path(path)
    told = read_fields(path, {KEY: int, "images": list})
    if told[KEY] != VERSION:
        raise ValueError(
            f"{path}: {KEY} must be {VERSION}. Received: {told[KEY]}. Read it with the release of"
            " temzoo whose report wrote it."
        )
    found: dict[str, Corrections] = {}
    for number, entry in enumerate(told["images"], start=1):
        with located(f"{path}, image {number}"):
            one = _read(entry)
            if one.image in found:
                raise ValueError(
                    f"an image must be there once. Received: {one.image!r} again. Put both in one."
                )
        found[one.image] = one
    return CorrectionFile(path, sha256(path), found)


def _read(entry: Any) -> Corrections:
    if not isinstance(entry, dict):
        raise ValueError(f"it must be an object. Received: {str(entry)[:60]}. Save it again.")
    told = {"exclude": [], "merge": [], "relabel": {}, "include": {}, **entry}
    for key, (rule, holds) in _RULES.items():
        if key not in told or not holds(told[key]):
            received = f"{key}={str(told[key])[:60]}" if key in told else f"no {key}"
            raise ValueError(f"{key} must be {rule}. Received: {received}. Save it again.")
    return Corrections(
        told["image"],
        told["instances_sha256"],
        tuple(told["exclude"]),
        tuple(map(tuple, told["merge"])),
        {int(number): name for number, name in told["relabel"].items()},
        {int(number): tuple(box) for number, box in told["include"].items()},
    )


def _is_number(value: Any) -> bool:
    return is_count(value) and 0 < value < 2**31


def _by_number(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def each_holds(value: Any) -> bool:
        if not isinstance(value, dict) or not all(map(holds, value.values())):
            return False
        return all(re.fullmatch(r"[1-9][0-9]{0,9}", number) for number in value)

    return each_holds


_RULES = {
    "image": ("a text", is_text),
    "instances_sha256": ("64 hexadecimal digits", lambda v: is_text(v) and len(v) == 64),
    "exclude": ("a list of whole numbers from 1 on", is_list_of(_is_number)),
    "merge": (
        "a list of lists of two numbers or more",
        is_list_of(lambda group: is_list_of(_is_number)(group) and len(group) > 1),
    ),
    "relabel": ("an object of class names by number", _by_number(is_text)),
    "include": ("an object of boxes of four whole numbers by number", _by_number(is_box)),
}


def corrected(prediction: Prediction, corrections: Corrections) -> Prediction:
    """The prediction as somebody corrected it.

    Excluded particles are gone from all maps. Merged ones are one particle with the pixels of all,
    also where these do not touch; its class and score are those of its largest part (of equal ones
    that of the lowest number), unless it is relabelled; of boxes it is the box round all. Doubtful
    objects that are taken in are particles, of their class and score, where no other lies. Then the
    particles are numbered anew, in the order of their lowest numbers; a detector's, which may
    overlap, by falling score. Probabilities stay as the model gave them.

    Args:
        prediction: that was corrected.
        corrections: of that very prediction.

    Returns:
        A new prediction; the same where nothing is corrected.

    Raises:
        ValueError: they are of another prediction, which its instances tell; a number is of no
            particle, or is asked two things; a class is none of the prediction's.

    Example:
        >>> sha256 = instances_sha256(prediction.instances)
        >>> corrected(prediction, Corrections("a.png", sha256, exclude=[3], merge=[[1, 2]]))
    """
    found = instances_sha256(prediction.instances)
    if found != corrections.instances_sha256:
        raise ValueError(
            "corrections are of one very prediction. Received: those of one whose instances have"
            f" the hash {corrections.instances_sha256[:12]}…, for one with {found[:12]}…. Give the"
            " folder that the report was made of, or make a new report and correct that."
        )
    if not any(corrections.counts().values()):
        return prediction
    prediction, doubtful = _with_doubtful(prediction, corrections)
    objects = {k: area for k, area in _areas(prediction).items() if k not in doubtful}
    _check(prediction, corrections, objects)
    groups = _groups(corrections, objects)
    names = prediction.class_names
    kinds = {number: names.index(name) + 1 for number, name in corrections.relabel.items()}
    if prediction.detections is not None:
        return _corrected_detections(prediction, prediction.detections, groups, kinds)
    return _corrected_map(prediction, groups, kinds)


def first_doubtful(prediction: Prediction) -> int:
    """The number of the first doubtful object: the one after the highest of the particles."""
    if prediction.detections is not None:
        return len(prediction.detections) + 1
    return int(prediction.instances.max(initial=0)) + 1


def _with_doubtful(prediction: Prediction, given: Corrections) -> tuple[Prediction, set[int]]:
    """The prediction with doubtful objects as particles, and the numbers of those that are none."""
    first = first_doubtful(prediction)
    known = dict(enumerate(prediction.doubtful or (), start=first))
    for number, box in given.include.items():
        if number not in known or box_of(known[number]) != tuple(box):
            raise ValueError(
                f"object {number} must be a doubtful one of the prediction, in its box. Received:"
                f" {list(box)}, for one of {len(known)} from {first} on. Save the corrections again"
                " from a report of it."
            )
    rest = {number: one for number, one in known.items() if number not in given.include}
    changes: dict[str, Any] = {} if prediction.doubtful is None else {"doubtful": (*rest.values(),)}
    if prediction.detections is not None:
        changes["detections"] = (*prediction.detections, *known.values())
    elif given.include:
        changes |= {"instances": prediction.instances.copy(), "classes": prediction.classes.copy()}
        for number in sorted(given.include):
            top, left, bottom, right = box_of(known[number])
            window = np.s_[top:bottom, left:right]
            own = known[number].mask & (changes["instances"][window] == 0)
            changes["instances"][window][own] = number
            changes["classes"][window][own] = known[number].class_id
        if prediction.scores is not None:
            more = np.array([one.score for one in known.values()], np.float32)
            changes["scores"] = np.concatenate([prediction.scores, more])
    return replace(prediction, **changes), {*rest}


def _areas(prediction: Prediction) -> dict[int, int]:
    """The pixels of each particle, by its number."""
    if prediction.detections is not None:
        masks = (one.mask for one in prediction.detections)
        return {k: int(np.count_nonzero(mask)) for k, mask in enumerate(masks, start=1)}
    counts = np.bincount(prediction.instances.ravel(), minlength=1)
    return {k: int(counts[k]) for k in np.flatnonzero(counts).tolist() if k}


def _check(prediction: Prediction, given: Corrections, known: Collection[int]) -> None:
    """Refuses numbers of no particle, numbers that are asked two things, and unknown classes."""
    merged = [number for group in given.merge for number in group]
    numbers = [*given.exclude, *merged]
    for number in (*numbers, *given.relabel):
        if number not in known:
            raise ValueError(
                f"particle {number} must be one of the prediction. Received: {number}, which is"
                f" none of its {len(known)}. Save the corrections again from a report of it."
            )
    parts = {number for group in given.merge for number in group if number != min(group)}
    twice = [number for number, times in Counter(numbers).items() if times > 1]
    twice += [number for number in given.relabel if number in {*given.exclude, *parts}]
    if twice:
        raise ValueError(
            f"particle {twice[0]} can be excluded or merged once, and relabelled if it stays; a"
            " merged one by the lowest of its numbers. Received: two of these. Leave one out."
        )
    for number, name in given.relabel.items():
        if name not in prediction.class_names:
            raise ValueError(
                f"particle {number} can be of the classes {list(prediction.class_names)}. Received:"
                f" {name!r}.{did_you_mean(name, prediction.class_names)}"
            )


def _groups(given: Corrections, areas: Mapping[int, int]) -> list[list[int]]:
    """The numbers that make each particle which stays, its largest part first."""
    gone = {*given.exclude, *(number for group in given.merge for number in group)}
    groups = [*map(list, given.merge), *([number] for number in areas if number not in gone)]
    return [sorted(group, key=lambda k: (-areas[k], k)) for group in sorted(groups, key=min)]


def _corrected_map(
    prediction: Prediction, groups: Iterable[Sequence[int]], kinds: Mapping[int, int]
) -> Prediction:
    instances, classes, scores = prediction.instances, prediction.classes, prediction.scores
    before = np.zeros(int(instances.max(initial=0)) + 1, classes.dtype)
    before[instances] = classes  # all pixels of a particle are of one class
    numbers, after = np.zeros(len(before), np.int32), np.zeros_like(before)
    largest = [group[0] for group in groups]
    for number, group in enumerate(groups, start=1):
        numbers[group] = number
        after[group] = kinds.get(min(group), before[group[0]])
    return replace(
        prediction,
        instances=numbers[instances],
        classes=np.where(instances > 0, after[instances], classes).astype(classes.dtype),
        scores=None if scores is None else scores[np.array(largest, int) - 1],
    )


def _corrected_detections(
    prediction: Prediction,
    found: Sequence[Detection],
    groups: Iterable[Sequence[int]],
    kinds: Mapping[int, int],
) -> Prediction:
    joined = [
        replace(
            _union([found[number - 1] for number in group], prediction.box_shaped),
            class_id=kinds.get(min(group), found[group[0] - 1].class_id),
        )
        for group in groups
    ]
    drawn = flattened(joined, prediction.instances.shape)
    maps = {name: getattr(drawn, name) for name in ("instances", "classes", "scores", "detections")}
    return replace(prediction, **maps)


def _union(parts: Sequence[Detection], box_shaped: bool) -> Detection:
    """One object with the pixels of all, or the box round them; else it is as the first."""
    if len(parts) == 1:
        return parts[0]
    boxes = np.array([box_of(one) for one in parts])
    top, left = boxes[:, :2].min(axis=0).tolist()
    bottom, right = boxes[:, 2:].max(axis=0).tolist()
    mask = np.full((bottom - top, right - left), box_shaped)
    for one, (row, col, end, stop) in zip(parts, boxes.tolist(), strict=True):
        mask[row - top : end - top, col - left : stop - left] |= one.mask
    return replace(parts[0], top=top, left=left, mask=mask)
