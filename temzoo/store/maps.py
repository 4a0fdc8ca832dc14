"""Maps of a prediction as files: classes, instances, probabilities, detections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from temzoo.core.types import Detection
from temzoo.labels.formats.geometry import decompress
from temzoo.labels.shapes.run_lengths import check_runs
from temzoo.micrographs import image_size, load_micrograph
from temzoo.store.sidecar import beside, is_count, is_finite_number, is_text

# What the masks of detections may take together: this many images, or that many pixels.
MOST_MASKS, MOST_MASK_PX = 16, 2**28


def read_classes(sidecar: Path, shape: tuple[int, int], names: list[str]) -> np.ndarray:
    pixels = _read_map(sidecar, "classes", shape)
    highest = int(pixels.max(initial=0))
    if names and highest > len(names):
        raise ValueError(
            f"{beside(sidecar, 'classes')}: its numbers must be of the classes that "
            f"{sidecar.name} names. Received: {highest}, {len(names)} names. Predict again."
        )
    # Beyond 256 classes predict numbers them in int32.
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)


def read_instances(
    sidecar: Path, shape: tuple[int, int], scores: list[float | None] | None
) -> np.ndarray:
    pixels = _read_map(sidecar, "instances", shape)
    highest, most = int(pixels.max(initial=0)), np.iinfo(np.int32).max
    if highest > (most if scores is None else len(scores)):
        raise ValueError(
            f"{beside(sidecar, 'instances')}: its numbers must be of the instances that "
            f"{sidecar.name} has scores of. Received: {highest}, "
            f"{'none' if scores is None else len(scores)} scores. Predict again."
        )
    return pixels.astype(np.int32)


def read_probabilities(
    sidecar: Path, told: Mapping[str, Any], shape: tuple[int, int]
) -> np.ndarray:
    if "probabilities" not in told["files"]:
        raise ValueError(
            f"{sidecar}: probabilities are read where they were saved. Received: a prediction "
            "without. Predict again with --probabilities."
        )
    path = _present(sidecar, "probabilities", shape)
    with _whole(path), tifffile.TiffFile(path) as tiff:
        count, page = len(tiff.pages), tiff.pages.first
        if page.dtype != np.float32 or page.shape != shape or not 1 <= count <= 2**16:
            raise ValueError(
                f"{path}: there must be a page of float32 for each class, of "
                f"{shape[0]} x {shape[1]} px. Received: {count} of {page.dtype}, {page.shape}."
            )
        return np.stack([each.asarray() for each in tiff.pages], axis=-1)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turns what a decoder raises on damaged bytes into a ValueError that names the file."""
    try:
        yield
    except Exception as error:
        if str(path) in str(error):
            raise
        raise ValueError(
            f"{path}: the map is damaged or incomplete. Received: {type(error).__name__}: {error}."
            " Copy it again, or predict again."
        ) from error


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
    path = beside(sidecar, what)
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


def read_detections(
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
    return _all_decoded(sidecar, told, "detection", entries, shape)


def read_doubtful(
    sidecar: Path, told: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[Detection, ...] | None:
    entries = told["doubtful"]
    return None if entries is None else _all_decoded(sidecar, told, "doubtful", entries, shape)


def _all_decoded(
    sidecar: Path, told: Mapping[str, Any], what: str, entries: list, shape: tuple[int, int]
) -> tuple[Detection, ...]:
    found, left = [], max(MOST_MASKS * shape[0] * shape[1], MOST_MASK_PX)
    for number, entry in enumerate(entries, start=1):
        try:
            detection = _decoded(entry, shape, len(told["class_names"]), left)
        except ValueError as error:
            raise ValueError(f"{sidecar}, {what} {number}: {error}") from error
        left -= detection.mask.size
        found.append(detection)
    return tuple(found)


def _decoded(entry: Any, shape: tuple[int, int], classes: int, most_px: int) -> Detection:
    entry = entry if isinstance(entry, dict) else {}
    class_id, score = entry.get("class_id"), entry.get("score")
    mask = entry.get("segmentation")
    mask = mask if isinstance(mask, dict) else {}
    known = is_count(class_id) and 1 <= class_id <= (classes or 255)
    if not known or not is_finite_number(score) or mask.get("size") != list(shape):
        raise ValueError(
            "it must have a class_id that is named, a score, and a segmentation of the image's "
            f"size. Received: class_id={class_id!r}, score={score!r}, size={mask.get('size')!r}. "
            "Predict again."
        )
    if not is_text(mask.get("counts")):
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


def compact(instances: np.ndarray) -> np.ndarray:
    """The instance map as uint16 where the numbers fit, else uint32."""
    if instances.max(initial=0) < 2**16:
        return instances.astype(np.uint16)
    # Never negative; a copy would take 4 bytes a pixel more.
    return instances.astype(np.int32, copy=False).view(np.uint32)
