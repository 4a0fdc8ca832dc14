"""The sidecar of a prediction: its name, what it states, and the checks before it is believed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from temzoo import __version__
from temzoo.core.files import file_stem, read_json
from temzoo.core.settings import BINNING, MIN_AREA_PX, SEPARATION, SMOOTH
from temzoo.core.types import Detection, Prediction
from temzoo.labels.formats.limits import require_size
from temzoo.labels.names import safe_name
from temzoo.micrographs.listing import files_of
from temzoo.zoo.pretrained import find_card, sha256

FORMAT, VERSION = "temzoo prediction", 1
SUFFIX = ".prediction.json"
MAPS = {
    "classes": "_classes.png",
    "instances": "_instances.tif",
    "probabilities": "_probabilities.tif",
}


@dataclass(frozen=True)
class Origin:
    """How a prediction was made; with it a job that is started again knows what it has done.

    Attributes:
        source: the micrograph's file; None where there is none.
        model: the registered name.
        weights: a file, run folder or name, or the address of a server with the model's version.
        weights_sha256: of the weights file; "" of a server that does not tell.
        options: those of ``predict``, as JSON can hold them.
        seconds: that the prediction took.
        frame: of a stack, which of its images; 0 of a file with one.
        image: the micrograph's name in label files, with folders where CVAT knows it so; "": as
            the prediction's.
        calibration: where the size of a pixel was read; "": not known.
    """

    source: Path | None = None
    model: str = ""
    weights: str = ""
    weights_sha256: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    frame: int = 0
    image: str = ""
    calibration: str = ""

    @property
    def is_served(self) -> bool:
        """Whether the weights are a server's."""
        return "://" in self.weights


def sidecar_path(folder: str | Path, name: str) -> Path:
    """Where the sidecar of a micrograph of this name lies, or would lie."""
    return Path(folder) / f"{file_stem(name)}{SUFFIX}"


def beside(sidecar: Path, what: str) -> Path:
    """The file of a prediction that holds a map, or shows a picture."""
    stem = sidecar.name.removesuffix(SUFFIX)
    return sidecar.with_name(stem + MAPS.get(what, f"_{what}.png"))


def is_of_prediction(path: Path) -> bool:
    """Whether a file is a map or a picture of a prediction, whose sidecar lies beside it."""
    endings = *MAPS.values(), "_overlay.png"
    stems = (path.name.removesuffix(each) for each in endings if path.name.endswith(each))
    return any(path.with_name(stem + SUFFIX).is_file() for stem in stems)


def last_part(path: str) -> str:
    """The last part of a path of any system."""
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def about(path: str | Path) -> dict[str, Any]:
    """What a sidecar says: how a prediction was made, and of what; checked, but not decoded.

    Args:
        path: of the ``.prediction.json``.

    Returns:
        name, height, width, class_names, nm_per_pixel ([row, col] or None), scores, detections,
        doubtful, left_out, box_shaped, smoothed_px, binning, instance_count, covered_share, files
        (by what they hold), source, source_bytes, source_mtime_ns, source_sha256, frame, image,
        calibration (see ``Origin``), model, weights, weights_sha256, options, seconds, temzoo,
        date; corrections by hand, of each file of them: "file", "sha256", and the counts of
        ``Corrections.counts``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no sidecar, or says what cannot be; the message names the file.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX):
        raise ValueError(
            f"a prediction is read by its sidecar, whose name ends in {SUFFIX}. Received: {path}."
            " list_predictions(folder) finds them."
        )
    told = read_json(path)
    if isinstance(told, dict):
        # Older sidecars are of single images, do not say where a calibration was read, keep no
        # doubtful objects, leave nothing out, are not of boxes, corrected, smoothed or binned.
        older = {"frame": 0, "image": "", "calibration": "", "doubtful": None, "left_out": []}
        older |= {"box_shaped": False, "corrections": [], "smoothed_px": 0.0, "binning": 1}
        told = {**older, **told}
    try:
        _check(told)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return told


def card_errors(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the card of the weights says of errors in number and size, see ``WeightsCard.errors``.

    Empty where the weights are not known, or objects were told apart otherwise than by default, for
    which the errors were found.
    """
    usual = {"instances": SEPARATION, "min_area_px": MIN_AREA_PX, "min_score": None}
    usual |= {"smooth": SMOOTH, "binning": BINNING}
    if any(told["options"].get(name, value) != value for name, value in usual.items()):
        return {}
    card = find_card(told["model"], told["weights"], told["weights_sha256"])
    return card.errors if card else {}


def stamp(source: Path) -> tuple[int, int]:
    """Bytes, and time of the last change in ns, of the file of a micrograph, or of all its files.

    Raises:
        OSError: there is none.
    """
    found = [each.stat() for each in files_of(source)]
    return sum(each.st_size for each in found), max((each.st_mtime_ns for each in found), default=0)


@lru_cache(maxsize=2)
def file_hash(source: Path, size: int, mtime_ns: int) -> str:
    """SHA-256 of a micrograph's file, read once for all its frames, of this size and time.

    Of several files, that of the hashes of all.
    """
    hashes = [sha256(each) for each in files_of(source)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def stated(prediction: Prediction, files: Mapping[str, str]) -> dict[str, Any]:
    """What a sidecar says of the prediction itself."""
    height, width = prediction.classes.shape
    found, scores, scale = prediction.detections, prediction.scores, prediction.nm_per_pixel
    doubtful = prediction.doubtful
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": _written_name(prediction.name),
        "height": height,
        "width": width,
        "class_names": list(prediction.class_names),
        "nm_per_pixel": None if scale is None else [float(side) for side in scale],
        "instance_count": int(prediction.instances.max(initial=0)) if found is None else len(found),
        "covered_share": prediction.covered_share,
        "files": dict(files),
        "scores": None if scores is None else [_number_or_none(score) for score in scores],
        "detections": None if found is None else [_encoded(one, height, width) for one in found],
        "doubtful": None
        if doubtful is None
        else [_encoded(one, height, width) for one in doubtful],
        "left_out": [list(box) for box in prediction.left_out],
        "box_shaped": prediction.box_shaped,
        "smoothed_px": prediction.smoothed_px,
        "binning": prediction.binning,
    }


def _written_name(name: str) -> str:
    """A name that may be read again: one that leaves its folder loses its folders."""
    try:
        if name:
            safe_name(name)
        return name
    except ValueError:
        last = last_part(name)
        return last if last == file_stem(last) + Path(last).suffix else file_stem(last)


def _number_or_none(score: float) -> float | None:
    """JSON has no NaN, which is the score of an instance without a pixel."""
    return float(score) if math.isfinite(score) else None


def made(origin: Origin | Mapping[str, Any]) -> dict[str, Any]:
    """What a sidecar says of how a prediction was made, or repeats of what another one says."""
    if isinstance(origin, Mapping):
        return {name: origin[name] for name in (*made(Origin()), "corrections")}
    source = origin.source
    size, mtime_ns = (None, None) if source is None else stamp(source)
    return {
        "source": None if source is None else str(source.absolute()),
        "source_bytes": size,
        "source_mtime_ns": mtime_ns,
        "source_sha256": None if source is None else file_hash(source, size, mtime_ns),
        "frame": origin.frame,
        "image": _written_name(origin.image),
        "calibration": origin.calibration,
        "model": origin.model,
        "weights": origin.weights,
        "weights_sha256": origin.weights_sha256,
        "options": dict(origin.options),
        "seconds": origin.seconds,
        "temzoo": __version__,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _encoded(found: Detection, height: int, width: int) -> dict[str, Any]:
    """A detection with the COCO run lengths of its mask in the image, which is never drawn."""
    from pycocotools import mask as coco_mask  # only detections need it

    # COCO counts down the columns: a run begins and ends within a column of the mask …
    columns = np.pad(found.mask.T, ((0, 0), (1, 1))).astype(np.int8)
    step = np.diff(columns, axis=1)
    column, begin = np.nonzero(step == 1)
    offset = (found.left + column).astype(np.int64) * height + found.top
    first, last = offset + begin, offset + np.nonzero(step == -1)[1]
    # … and goes on in the next one where the mask is as high as the image.
    apart = first[1:] != last[:-1]
    first, last = first[np.r_[True, apart]], last[np.r_[apart, True]]
    ends = np.concatenate([[0], np.stack([first, last], axis=1).ravel(), [height * width]])
    counts = {"size": [height, width], "counts": np.diff(ends).tolist()}
    text = coco_mask.frPyObjects(counts, height, width)["counts"].decode("ascii")
    return {
        "class_id": int(found.class_id),
        "score": float(found.score),
        "segmentation": {"size": [height, width], "counts": text},
    }


def _check(told: Any) -> None:
    """Raises ValueError unless a sidecar's fields are there and of their kind."""
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ValueError(
            f'the file must be a sidecar of `temzoo predict`, "format": "{FORMAT}". Received: '
            f"{sorted(told)[:8] if isinstance(told, dict) else type(told).__name__}."
        )
    if told.get("version") != VERSION:
        raise ValueError(
            f"version must be {VERSION}. Received: version={told.get('version')!r}. Read it with "
            "the release of temzoo that wrote it, or predict again."
        )
    for key, (rule, holds) in _RULES.items():
        if key not in told or not holds(told[key]):
            received = f"{key}={str(told[key])[:60]!r}" if key in told else f"no {key}"
            raise ValueError(f"{key} must be {rule}. Received: {received}. Predict again.")
    require_size(told["width"], told["height"])
    for name in filter(None, (told["name"], told["image"])):
        safe_name(name)


# Of what kind a value that was read from JSON is.


def is_finite_number(value: Any) -> bool:
    # Whole numbers of JSON have any length.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < 1e300


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_list_of(holds: Any) -> Any:
    return lambda value: isinstance(value, list) and all(holds(item) for item in value)


def is_scale(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(is_finite_number(v) and v > 0 for v in value)
    )


def is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(is_count, value))


def is_correction(value: Any) -> bool:
    texts, counts = ("file", "sha256"), ("excluded", "merged", "into", "relabelled")
    return (
        isinstance(value, dict)
        and all(is_text(value.get(name)) for name in texts)
        and all(is_count(value.get(name)) for name in counts)
        and is_count(value.get("taken_in", 0))
    )


def or_null(holds: Any) -> Any:
    return lambda value: value is None or holds(value)


_RULES = {
    "name": ("a text", is_text),
    "height": ("a whole number", is_count),
    "width": ("a whole number", is_count),
    "class_names": ("a list of texts", is_list_of(is_text)),
    "nm_per_pixel": ("null or two numbers above 0, [row, col]", or_null(is_scale)),
    "instance_count": ("a whole number", is_count),
    "covered_share": ("a number", is_finite_number),
    "files": ("an object", lambda value: isinstance(value, dict)),
    "scores": ("null or a list of numbers", or_null(is_list_of(or_null(is_finite_number)))),
    "detections": ("null or a list", or_null(lambda value: isinstance(value, list))),
    "doubtful": ("null or a list", or_null(lambda value: isinstance(value, list))),
    "box_shaped": ("true or false", lambda value: isinstance(value, bool)),
    "smoothed_px": ("a number", is_finite_number),
    "binning": ("a whole number", is_count),
    "left_out": ("a list of [top, left, bottom, right]", is_list_of(is_box)),
    "source": ("null or a path", or_null(is_text)),
    "source_bytes": ("null or a whole number", or_null(is_count)),
    "source_mtime_ns": ("null or a whole number", or_null(is_count)),
    "source_sha256": ("null or a text", or_null(is_text)),
    "frame": ("a whole number", is_count),
    "image": ("a text", is_text),
    "calibration": ("a text", is_text),
    "model": ("a text", is_text),
    "weights": ("a text", is_text),
    "weights_sha256": ("a text", is_text),
    "options": ("an object", lambda value: isinstance(value, dict)),
    "seconds": ("null or a number", or_null(is_finite_number)),
    "temzoo": ("a text", is_text),
    "date": ("a text", is_text),
    "corrections": ("a list of files with their counts", is_list_of(is_correction)),
}
