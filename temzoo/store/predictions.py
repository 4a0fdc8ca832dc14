"""Predictions on disk: maps that other programs open, and a sidecar with all else.

``STEM_classes.png`` and ``STEM_instances.tif`` hold the maps, ``STEM.prediction.json``, the
sidecar, what maps cannot hold: names, calibration, scores, overlapping detections as COCO run
lengths, and how all of it was made. It is removed before a map is replaced and written after the
last one, so a sidecar that is there vouches for its maps, whenever a job was killed.

A sidecar may come from anywhere: everything in it is checked before memory is spent on it, and the
maps are found by its own file name, never by a name inside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import write_json
from temzoo.core.types import Prediction
from temzoo.core.writers import write_png, write_tiff
from temzoo.micrographs.written_beside import written_since
from temzoo.store import maps
from temzoo.store.sidecar import (
    SUFFIX,
    Origin,
    about,
    beside,
    file_hash,
    made,
    sidecar_path,
    stamp,
    stated,
)


def save(
    prediction: Prediction,
    folder: str | Path,
    *,
    probabilities: bool = False,
    pictures: Mapping[str, np.ndarray] | None = None,
    origin: Origin | Mapping[str, Any] | None = None,
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
        origin: how it was made; or what ``about`` says of that; None: not known.

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
    kinds = ("classes", "instances", "probabilities") if probabilities else ("classes", "instances")
    paths = {what: beside(sidecar, what) for what in kinds}
    write_png(paths["classes"], prediction.classes)
    scale = prediction.nm_per_pixel
    write_tiff(paths["instances"], maps.compact(prediction.instances), scale, compressed=True)
    if probabilities and prediction.probabilities is not None:
        pages = np.moveaxis(prediction.probabilities, -1, 0)
        write_tiff(paths["probabilities"], pages, scale, compressed=True)
    for what, picture in (pictures or {}).items():
        paths[what] = beside(sidecar, what)
        write_png(paths[what], picture)
    files = {what: path.name for what, path in paths.items()}
    write_json(
        sidecar,
        {**stated(prediction, files), **made(origin or Origin(calibration=prediction.calibration))},
    )
    return {**paths, "sidecar": sidecar}


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
    classes = maps.read_classes(path, shape, names)
    instances = maps.read_instances(path, shape, scores)
    return Prediction(
        classes=classes,
        instances=instances,
        probabilities=maps.read_probabilities(path, told, shape) if probabilities else None,
        scores=None
        if scores is None
        else np.array([np.nan if s is None else s for s in scores], np.float32),
        detections=maps.read_detections(path, told, shape),
        class_names=tuple(names),
        nm_per_pixel=None if told["nm_per_pixel"] is None else tuple(told["nm_per_pixel"]),
        name=told["name"],
        doubtful=maps.read_doubtful(path, told, shape),
        box_shaped=told["box_shaped"],
        calibration=told["calibration"],
        smoothed_px=float(told["smoothed_px"]),
        binning=told["binning"],
        left_out=tuple((top, left, bottom, right) for top, left, bottom, right in told["left_out"]),
    )


def is_finished(folder: str | Path, name: str, origin: Origin, *, files: tuple[str, ...]) -> bool:
    """Whether this very prediction lies in a folder: same micrograph, weights and options.

    Where a text beside the micrograph, which may state its scale, was written since, it is not.

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
    there = all(what in told["files"] and beside(sidecar, what).is_file() for what in files)
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
    if not (there and same and same_source(told, origin.source)):
        return False
    return origin.source is None or not written_since(origin.source, sidecar.stat().st_mtime_ns)


def about_whole(sidecar: Path) -> dict[str, Any] | None:
    """What ``about`` gives of a prediction; None where it is damaged, or its maps are missing."""
    try:
        told = about(sidecar)
    except (OSError, ValueError):
        return None
    there = all(beside(sidecar, what).is_file() for what in ("classes", "instances"))
    return told if there else None


def same_source(told: Mapping[str, Any], source: Path | None) -> bool:
    """Whether a file is the one of a sidecar; its bytes are read only where its time differs."""
    if source is None or told["source_sha256"] is None:
        return source is None and told["source_sha256"] is None
    try:
        size, mtime_ns = stamp(source)
        if size != told["source_bytes"]:
            return False
        same_time = mtime_ns == told["source_mtime_ns"]
        return same_time or file_hash(source, size, mtime_ns) == told["source_sha256"]
    except OSError:
        return False
