"""Predictions on disk: maps that other programs open, and the sidecar that makes them whole again.

``STEM_classes.png`` and ``STEM_instances.tif`` hold the maps, ``STEM.prediction.json``, the
sidecar, what maps cannot hold: names, calibration, scores, overlapping detections as COCO run
lengths, and how all of it was made. It is removed before a map is replaced and written after the
last one, so a sidecar that is there vouches for its maps, whenever a job was killed.

A sidecar may come from anywhere: everything in it is checked before memory is spent on it, and the
maps are found by its own file name, never by a name inside it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from temzoo import __version__
from temzoo.files import atomic_path
from temzoo.labels.coco import decompress
from temzoo.labels.jsonfile import read_json, write_json
from temzoo.labels.limits import require_size
from temzoo.labels.names import safe_name
from temzoo.labels.runs import check_runs
from temzoo.micrographs import image_size, list_images, load_micrograph
from temzoo.prediction import file_stem
from temzoo.pretrained import sha256
from temzoo.types import Detection, Micrograph, Prediction

SUFFIX = ".prediction.json"
FORMAT, VERSION = "temzoo prediction", 1
MAPS = {
    "classes": "_classes.png",
    "instances": "_instances.tif",
    "probabilities": "_probabilities.tif",
}
# What the masks of detections may take together: this many images, or that many pixels.
MOST_MASKS, MOST_MASK_PX = 16, 2**28
# Sides of pixels that a TIFF's fractions of 32 bits state exactly enough; the sidecar states all.
SIDES_IN_TAGS_NM = (1e-6, 1e6)


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
    """

    source: Path | None = None
    model: str = ""
    weights: str = ""
    weights_sha256: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    frame: int = 0
    image: str = ""

    @property
    def is_served(self) -> bool:
        """Whether the weights are a server's."""
        return "://" in self.weights


def save(
    prediction: Prediction,
    folder: str | Path,
    *,
    probabilities: bool = False,
    pictures: Mapping[str, np.ndarray] | None = None,
    origin: Origin | None = None,
) -> dict[str, Path]:
    """Writes a prediction's maps and its sidecar, each file whole or not at all, the sidecar last.

    The class map is an 8-bit PNG of class numbers (16-bit beyond 255 classes), the instance map a
    zlib-compressed 16- or 32-bit TIFF, the probabilities a float32 TIFF with one page per class.
    The TIFFs carry the pixel size as ImageJ writes it, so that Fiji shows nanometres.

    Args:
        prediction: what ``predict`` returned.
        folder: made when absent; the files are named after the micrograph.
        probabilities: also write the probabilities, which the prediction must have.
        pictures: (H, W, 3) uint8, by what they show: ``{"overlay": …}`` becomes STEM_overlay.png.
        origin: how it was made; None: not known.

    Returns:
        The paths by what they hold: "classes", "instances", "sidecar", those of the pictures and,
        when written, "probabilities".

    Raises:
        ValueError: the probabilities are asked for and not there.

    Example:
        >>> paths = save(predict(model, "particles.tif"), "predictions")
        >>> load_prediction(paths["sidecar"]).instances.max()
    """
    if probabilities and prediction.probabilities is None:
        raise ValueError(
            "the prediction must hold probabilities for them to be written. Received: "
            "probabilities=True with prediction.probabilities=None. Predict with "
            "probabilities=True."
        )
    sidecar = sidecar_path(folder, prediction.name)
    sidecar.unlink(missing_ok=True)
    maps = ("classes", "instances", "probabilities") if probabilities else ("classes", "instances")
    paths = {what: _beside(sidecar, what) for what in maps}
    _write_png(paths["classes"], prediction.classes)
    _write_tiff(paths["instances"], _compact(prediction.instances), prediction.nm_per_pixel)
    if probabilities:
        pages = np.moveaxis(prediction.probabilities, -1, 0)
        _write_tiff(paths["probabilities"], pages, prediction.nm_per_pixel)
    for what, picture in (pictures or {}).items():
        paths[what] = _beside(sidecar, what)
        _write_png(paths[what], np.ascontiguousarray(picture[..., ::-1]))
    files = {what: path.name for what, path in paths.items()}
    write_json(sidecar, {**_stated(prediction, files), **_made(origin or Origin())})
    return {**paths, "sidecar": sidecar}


def sidecar_path(folder: str | Path, name: str) -> Path:
    """Where the sidecar of a micrograph of this name lies, or would lie."""
    return Path(folder) / f"{file_stem(name)}{SUFFIX}"


def list_predictions(folder: str | Path) -> list[Path]:
    """The sidecars in a folder, sorted; each stands for one whole prediction.

    Raises:
        NotADirectoryError: ``folder`` is no folder.

    Example:
        >>> [load_prediction(path).name for path in list_predictions("predictions")]
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(
            "predictions must be a folder that `temzoo predict` wrote. Received: "
            f"{str(folder)!r}, which is {'a file' if folder.exists() else 'not there'}."
        )
    # Names with a leading point are those of files that were being written.
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def about(path: str | Path) -> dict[str, Any]:
    """What a sidecar says: how a prediction was made, and of what; checked, but not decoded.

    Args:
        path: of the ``.prediction.json``.

    Returns:
        name, height, width, class_names, nm_per_pixel ([row, col] or None), scores, detections,
        instance_count, covered_share, files (by what they hold), source, source_bytes,
        source_mtime_ns, source_sha256, frame, image (see ``Origin``), model, weights,
        weights_sha256, options, seconds, temzoo, date.

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
        # Sidecars of before stacks were told apart are of single images.
        told = {"frame": 0, "image": "", **told}
    try:
        _check(told)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return told


def load_prediction(path: str | Path, *, probabilities: bool = False) -> Prediction:
    """Reads what ``save`` wrote.

    Args:
        path: of the ``.prediction.json``; its maps lie beside it.
        probabilities: read them too, where they were saved.

    Returns:
        The prediction as it was saved; ``probabilities`` is None unless asked for.

    Raises:
        FileNotFoundError: the sidecar or one of its maps is missing.
        ValueError: a file is damaged, or the maps do not fit the sidecar; the message names it.

    Example:
        >>> load_prediction("predictions/a.prediction.json").instances.max()
        24
    """
    path = Path(path)
    told = about(path)
    shape, names, scores = (told["height"], told["width"]), told["class_names"], told["scores"]
    classes = _read_classes(path, shape, names)
    instances = _read_instances(path, shape, scores)
    return Prediction(
        classes=classes,
        instances=instances,
        probabilities=_read_probabilities(path, told, shape) if probabilities else None,
        scores=None if scores is None else _as_scores(scores),
        detections=_read_detections(path, told, shape),
        class_names=tuple(names),
        nm_per_pixel=None if told["nm_per_pixel"] is None else tuple(told["nm_per_pixel"]),
        name=told["name"],
    )


def is_finished(folder: str | Path, name: str, origin: Origin, *, files: tuple[str, ...]) -> bool:
    """Whether this very prediction lies in a folder: same micrograph, weights and options.

    Args:
        folder, name: see ``save``.
        origin: how it would be made; ``seconds`` do not matter.
        files: what must be there: "classes", "instances", "overlay" …
    """
    sidecar = sidecar_path(folder, name)
    try:
        told = about(sidecar)
    except (OSError, ValueError):
        return False
    there = all(what in told["files"] and _beside(sidecar, what).is_file() for what in files)
    same = (
        told["frame"] == origin.frame
        and told["model"] == origin.model
        and told["weights_sha256"] == origin.weights_sha256
        and told["options"] == json.loads(json.dumps(dict(origin.options)))
    )
    # A server may have exported the same weights with other settings: its address, with the
    # version that answers, must be the same too.
    seen = bool(origin.weights_sha256) and not origin.is_served
    same = same and (seen or told["weights"] == origin.weights)
    return there and same and _same_source(told, origin.source)


def about_whole(sidecar: Path) -> dict[str, Any] | None:
    """What ``about`` gives of a prediction; None where it is damaged, or its maps are missing."""
    try:
        told = about(sidecar)
    except (OSError, ValueError):
        return None
    there = all(_beside(sidecar, what).is_file() for what in ("classes", "instances"))
    return told if there else None


def _same_source(told: Mapping[str, Any], source: Path | None) -> bool:
    """Whether a file is the one of a sidecar; its bytes are read only where its time differs."""
    if source is None or told["source_sha256"] is None:
        return source is None and told["source_sha256"] is None
    try:
        status = source.stat()
        if status.st_size != told["source_bytes"]:
            return False
        same_time = status.st_mtime_ns == told["source_mtime_ns"]
        return same_time or _hash(source, *_stamp(status)) == told["source_sha256"]
    except OSError:
        return False


def sources_in(folder: str | Path) -> dict[str, list[Path]]:
    """The micrographs below a folder by file name, and by the stem that results are named after.

    Raises:
        NotADirectoryError: ``folder`` is no folder.
    """
    found: dict[str, list[Path]] = {}
    for path in list_images(folder):
        for key in {path.name, file_stem(path.name)}:
            found.setdefault(key, []).append(path)
    return found


def source_of(
    told: Mapping[str, Any], images: Mapping[str, Sequence[Path]] | None = None
) -> Path | None:
    """The file of the micrograph that was predicted, where it can be found.

    First what has its full name in ``images``, then the file where it was, then what has its stem
    in ``images``. A sidecar may name any file: where it states size and hash, only a file of that
    size, and of that time or hash, is taken.

    Args:
        told: what a sidecar says, by ``about``; "source_sha256" may be None: nothing is known.
        images: what ``sources_in`` found in the folder where the micrographs lie now.

    Raises:
        ValueError: several files of that name, and no hash to tell which it is.
    """
    images = images or {}
    names = [_last_name(told[key]) for key in ("source", "name") if told[key]]
    found = _of_name(told, images, names, lambda path: path.name)
    source = Path(told["source"] or "")
    if found is None and told["source_sha256"] and source.is_file() and _same_source(told, source):
        return source
    stems = [file_stem(name) for name in names if name]
    return found or _of_name(told, images, stems, lambda path: file_stem(path.name))


def load_source(
    told: Mapping[str, Any], images: Mapping[str, Sequence[Path]] | None = None
) -> tuple[Micrograph | None, str]:
    """The micrograph that was predicted, or why there is none, in a sentence.

    Args:
        told, images: see ``source_of``; of a stack "frame" says which image.

    Raises:
        ValueError: see ``source_of``.
    """
    path = source_of(told, images)
    if path is None:
        return None, "The micrograph is not where it was when it was predicted, or has changed."
    try:
        micrograph = load_micrograph(path, frame=told.get("frame") or 0)
    except (OSError, ValueError) as error:
        # The folders of whoever reads it are nothing for a report.
        why = str(error).replace(str(path), path.name)
        return None, f"The micrograph could not be read: {why}"
    if (micrograph.height, micrograph.width) != (told["height"], told["width"]):
        return None, (
            f"{path.name} is {micrograph.width} × {micrograph.height} px, not"
            f" {told['width']} × {told['height']}: another micrograph than was predicted."
        )
    return micrograph, ""


def _last_name(path: str) -> str:
    """The last part of a path of any system."""
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def _of_name(
    told: Mapping[str, Any],
    images: Mapping[str, Sequence[Path]],
    names: Iterable[str],
    named: Callable[[Path], str],
) -> Path | None:
    """The one file of some names that is the predicted one, as far as that is known."""
    paths = [path for name in dict.fromkeys(names) for path in images.get(name, ())
             if named(path) == name]  # fmt: skip
    if told["source_sha256"] is not None:
        return next((path for path in paths if _same_source(told, path)), None)
    if len(paths) > 1:
        raise ValueError(
            "a micrograph is found by its name, so that the names of images must differ. Received:"
            f" {paths[0]} and {paths[1]} for {told['name']!r}. Give the folder that holds one."
        )
    return paths[0] if paths else None


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=2)
def _hash(path: Path, size: int, mtime_ns: int) -> str:
    """SHA-256 of a file, read once for all frames of a stack, of this size and time."""
    return sha256(path)


def _stem(sidecar: Path) -> str:
    return sidecar.name.removesuffix(SUFFIX)


def _beside(sidecar: Path, what: str) -> Path:
    """The file of a prediction that holds a map, or shows a picture."""
    return sidecar.with_name(_stem(sidecar) + MAPS.get(what, f"_{what}.png"))


def _stated(prediction: Prediction, files: Mapping[str, str]) -> dict[str, Any]:
    """What a sidecar says of the prediction itself."""
    height, width = prediction.classes.shape
    found, scores, scale = prediction.detections, prediction.scores, prediction.nm_per_pixel
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": _written_name(prediction.name),
        "height": height,
        "width": width,
        "class_names": list(prediction.class_names),
        "nm_per_pixel": None if scale is None else [float(side) for side in scale],
        "instance_count": int(prediction.instances.max(initial=0)) if found is None else len(found),
        "covered_share": np.count_nonzero(prediction.classes) / (height * width),
        "files": dict(files),
        "scores": None if scores is None else [_number_or_none(score) for score in scores],
        "detections": None if found is None else [_encoded(one, height, width) for one in found],
    }


def _written_name(name: str) -> str:
    """A name that may be read again: one that leaves its folder loses its folders."""
    try:
        if name:
            safe_name(name)
        return name
    except ValueError:
        last = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        return last if last == file_stem(last) + Path(last).suffix else file_stem(last)


def _number_or_none(score: float) -> float | None:
    """JSON has no NaN, which is the score of an instance without a pixel."""
    return float(score) if math.isfinite(score) else None


def _made(origin: Origin) -> dict[str, Any]:
    """What a sidecar says of how a prediction was made."""
    source = origin.source
    status = None if source is None else source.stat()
    return {
        "source": None if source is None else str(source.absolute()),
        "source_bytes": None if status is None else status.st_size,
        "source_mtime_ns": None if status is None else status.st_mtime_ns,
        "source_sha256": None if status is None else _hash(source, *_stamp(status)),
        "frame": origin.frame,
        "image": _written_name(origin.image),
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


def _is_number(value: Any) -> bool:
    # Whole numbers of JSON have any length.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < 1e300


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list_of(holds: Any) -> Any:
    return lambda value: isinstance(value, list) and all(holds(item) for item in value)


def _is_scale(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(_is_number(v) and v > 0 for v in value)
    )


def _or_null(holds: Any) -> Any:
    return lambda value: value is None or holds(value)


_RULES = {
    "name": ("a text", _is_text),
    "height": ("a whole number", _is_count),
    "width": ("a whole number", _is_count),
    "class_names": ("a list of texts", _is_list_of(_is_text)),
    "nm_per_pixel": ("null or two numbers above 0, [row, col]", _or_null(_is_scale)),
    "instance_count": ("a whole number", _is_count),
    "covered_share": ("a number", _is_number),
    "files": ("an object", lambda value: isinstance(value, dict)),
    "scores": ("null or a list of numbers", _or_null(_is_list_of(_or_null(_is_number)))),
    "detections": ("null or a list", _or_null(lambda value: isinstance(value, list))),
    "source": ("null or a path", _or_null(_is_text)),
    "source_bytes": ("null or a whole number", _or_null(_is_count)),
    "source_mtime_ns": ("null or a whole number", _or_null(_is_count)),
    "source_sha256": ("null or a text", _or_null(_is_text)),
    "frame": ("a whole number", _is_count),
    "image": ("a text", _is_text),
    "model": ("a text", _is_text),
    "weights": ("a text", _is_text),
    "weights_sha256": ("a text", _is_text),
    "options": ("an object", lambda value: isinstance(value, dict)),
    "seconds": ("null or a number", _or_null(_is_number)),
    "temzoo": ("a text", _is_text),
    "date": ("a text", _is_text),
}


def _as_scores(scores: list[float | None]) -> np.ndarray:
    return np.array([np.nan if score is None else score for score in scores], np.float32)


def _read_classes(sidecar: Path, shape: tuple[int, int], names: list[str]) -> np.ndarray:
    pixels = _read_map(sidecar, "classes", shape)
    highest = int(pixels.max(initial=0))
    if names and highest > len(names):
        raise ValueError(
            f"{_beside(sidecar, 'classes')}: its numbers must be of the classes that "
            f"{sidecar.name} names. Received: {highest}, {len(names)} names. Predict again."
        )
    # Beyond 256 classes predict numbers them in int32.
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)


def _read_instances(
    sidecar: Path, shape: tuple[int, int], scores: list[float | None] | None
) -> np.ndarray:
    pixels = _read_map(sidecar, "instances", shape)
    highest, most = int(pixels.max(initial=0)), np.iinfo(np.int32).max
    if highest > (most if scores is None else len(scores)):
        raise ValueError(
            f"{_beside(sidecar, 'instances')}: its numbers must be of the instances that "
            f"{sidecar.name} has scores of. Received: {highest}, "
            f"{'none' if scores is None else len(scores)} scores. Predict again."
        )
    return pixels.astype(np.int32)


def _read_probabilities(
    sidecar: Path, told: Mapping[str, Any], shape: tuple[int, int]
) -> np.ndarray:
    if "probabilities" not in told["files"]:
        raise ValueError(
            f"{sidecar}: probabilities are read where they were saved. Received: a prediction "
            "without. Predict again with --probabilities."
        )
    path = _present(sidecar, "probabilities", shape)
    with tifffile.TiffFile(path) as tiff:
        count, page = len(tiff.pages), tiff.pages.first
        if page.dtype != np.float32 or page.shape != shape or not 1 <= count <= 2**16:
            raise ValueError(
                f"{path}: there must be a page of float32 for each class, of "
                f"{shape[0]} x {shape[1]} px. Received: {count} of {page.dtype}, {page.shape}."
            )
        return np.stack([each.asarray() for each in tiff.pages], axis=-1)


def _read_map(sidecar: Path, what: str, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) whole numbers."""
    path = _present(sidecar, what, shape)
    pixels = load_micrograph(path, max_pixels=shape[0] * shape[1]).pixels
    if pixels.shape != shape or pixels.dtype.kind != "u":
        raise ValueError(
            f"{path}: a map must be one channel of numbers from 0 on. Received: shape "
            f"{pixels.shape}, {pixels.dtype}. Predict again."
        )
    return pixels


def _present(sidecar: Path, what: str, shape: tuple[int, int]) -> Path:
    """The path of a map that is there and, by its header, of the size that the sidecar states."""
    path = _beside(sidecar, what)
    if not path.is_file():
        raise FileNotFoundError(
            f"{sidecar}: its maps must lie beside it. Received: no {path.name}. Copy all files of "
            "a prediction together, or predict again."
        )
    size = image_size(path)
    if size != shape:
        raise ValueError(
            f"{path}: a map must be of the size that {sidecar.name} states. Received: "
            f"{size[0]} x {size[1]} px instead of {shape[0]} x {shape[1]} (height x width). "
            "Predict again."
        )
    return path


def _read_detections(
    sidecar: Path, told: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[Detection, ...] | None:
    entries = told["detections"]
    if entries is None:
        return None
    if told["scores"] is not None and len(told["scores"]) != len(entries):
        raise ValueError(
            f"{sidecar}: there must be as many scores as detections. Received: "
            f"{len(told['scores'])} scores, {len(entries)} detections. Predict again."
        )
    found, left = [], max(MOST_MASKS * shape[0] * shape[1], MOST_MASK_PX)
    for number, entry in enumerate(entries, start=1):
        try:
            detection = _decoded(entry, shape, len(told["class_names"]), left)
        except ValueError as error:
            raise ValueError(f"{sidecar}, detection {number}: {error}") from error
        left -= detection.mask.size
        found.append(detection)
    return tuple(found)


def _decoded(entry: Any, shape: tuple[int, int], classes: int, most_px: int) -> Detection:
    entry = entry if isinstance(entry, dict) else {}
    class_id, score = entry.get("class_id"), entry.get("score")
    mask = entry.get("segmentation")
    mask = mask if isinstance(mask, dict) else {}
    known = _is_count(class_id) and 1 <= class_id <= (classes or 255)
    if not known or not _is_number(score) or mask.get("size") != list(shape):
        raise ValueError(
            "it must have a class_id that is named, a score, and a segmentation of the image's "
            f"size. Received: class_id={class_id!r}, score={score!r}, size={mask.get('size')!r}. "
            "Predict again."
        )
    if not _is_text(mask.get("counts")):
        raise ValueError(f"counts must be a text. Received: counts={str(mask.get('counts'))[:60]}.")
    top, left, pixels = _decoded_mask(decompress(mask["counts"]), shape, most_px)
    return Detection(top, left, pixels, class_id, float(score))


def _decoded_mask(
    runs: np.ndarray, shape: tuple[int, int], most_px: int
) -> tuple[int, int, np.ndarray]:
    """Top, left and (h, w) bool of COCO run lengths, cut to the pixels that are set."""
    height, width = shape
    check_runs(runs, height, width)
    ends = np.cumsum(runs)
    first, last = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
    first, last = first[last > first], last[last > first]
    if first.size == 0:
        raise ValueError("a mask must have a pixel. Received: none. Predict again.")
    left, right = int(first[0]) // height, (int(last[-1]) - 1) // height + 1
    # A run that goes on in the next column has the lowest row of one and the highest of the other.
    across = np.any(first // height != (last - 1) // height)
    top = 0 if across else int((first % height).min())
    bottom = height if across else int(((last - 1) % height).max()) + 1
    if (bottom - top) * (right - left) > most_px:
        raise ValueError(
            f"the masks of all detections must take at most {MOST_MASKS} times their image. "
            "Received: more. Predict again."
        )
    borders = np.concatenate([np.stack([first, last], axis=1).ravel(), [right * height]])
    lengths = np.diff(borders, prepend=left * height)
    ones = np.arange(len(lengths)) % 2 == 1
    columns = np.repeat(ones, lengths).reshape(right - left, height)
    return top, left, np.ascontiguousarray(columns[:, top:bottom].T)


def _compact(instances: np.ndarray) -> np.ndarray:
    """The instance map as uint16 where the numbers fit, else uint32."""
    if instances.max(initial=0) < 2**16:
        return instances.astype(np.uint16)
    # Never negative; a copy would take 4 bytes a pixel more.
    return instances.astype(np.int32, copy=False).view(np.uint32)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    stored = pixels if pixels.dtype == np.uint8 else pixels.astype(np.uint16)
    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), stored):
            raise OSError(
                f"could not write a PNG. Received: path={str(path)!r}, shape={stored.shape}. "
                "Check the free space of the disk."
            )


def _write_tiff(path: Path, pixels: np.ndarray, nm_per_pixel: tuple[float, float] | None) -> None:
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            pixels,
            compression="zlib",
            photometric="minisblack",
            bigtiff=None,
            **_size_tags(nm_per_pixel),
        )


def _size_tags(nm_per_pixel: tuple[float, float] | None) -> dict[str, Any]:
    """Pixels per nm as ImageJ states them; nothing where the tags cannot hold them."""
    smallest, largest = SIDES_IN_TAGS_NM
    if nm_per_pixel is None or not all(smallest <= side <= largest for side in nm_per_pixel):
        return {}
    row, col = nm_per_pixel
    # Without their number: of a stack that states it, ImageJ reads no page but the first.
    described = {"description": "ImageJ=1.11a\nunit=nm\n", "metadata": None}
    return {"resolution": (1 / col, 1 / row), "resolutionunit": "NONE", **described}
