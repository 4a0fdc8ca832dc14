"""Micrograph → Prediction: ``predict``, for models of any task that finds classes or objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.types import MIN_SCORE, Micrograph, Prediction
from temzoo.inference.class_map import collect
from temzoo.inference.detection import predict_detections
from temzoo.inference.pixels import as_micrograph, checked_pixels, trained_class_names
from temzoo.inference.regions import (
    NECK,
    SEPARATIONS,
    Watershed,
    instance_scores,
    label_instances,
    no_instances,
)
from temzoo.inference.tiles import TILE, answer_blocks
from temzoo.zoo.building import built, task_of


def predict(
    model: Any,
    micrograph: Micrograph | np.ndarray | str | Path,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    flips: bool = False,
    probabilities: bool = False,
    instances: str | Watershed | None = "components",
    min_area_px: int = 0,
    min_score: float | None = None,
    batch_size: int = 1,
    progress: bool = False,
    class_names: Sequence[str] = (),
) -> Prediction:
    """Segments one micrograph of any size, or finds its objects.

    A model with ``detect`` is a detector: ``predict_detections`` takes it, which tells what
    overlap, min_area_px and what follows mean there. Its tiles have its own size and its objects
    need no separation, so tile, flips, probabilities and a watershed are refused.

    Args:
        model: a segmentation model of temzoo; or one that is served (``temzoo.connect``); or any
            callable on raw pixels (B, H, W, C) that returns (B, H, W, K) class probabilities; or
            an object whose ``predict_probabilities`` takes a whole (H, W) or (H, W, C) image to
            (H, W, K).
        micrograph: a path, the raw pixels (H, W) or (H, W, C), or a Micrograph.
        tile: edge of the tiles in pixels, a multiple of the model's coarsest step (32 serves
            all). None: the whole image at once up to 1408 x 1408 pixels, else as few tiles of at
            most that size as cover it, no larger than they need be.
        overlap: least overlap of neighbouring tiles in pixels; None: 12 times the model's coarsest
            step, at most 512 or half the tile that is given. A tile counts from 16 px before the
            middle of the overlap inwards, so half the overlap must reach as far as the model
            looks: 12 steps do for a plain U-Net and for one on MobileNet, but one that sees the
            image reduced 4 times looks farther than 512 px. Less is faster: ``tile_layout`` tells
            how many pixels are computed. Group and instance norm measure each tile by itself, so
            such models never agree.
        flips: average the predictions of the four mirror images (four times the work).
        probabilities: keep the (H, W, K) float32 probabilities, and score the instances by them.
        instances: "components" numbers connected regions of one class (sharing a side);
            "watershed" cuts them further at necks, for particles that touch, and so do
            "auto" and ``Watershed(neck=…, threshold=…)`` with settings of one's own; None: none.
        min_area_px: smaller instances are dropped from the instance map (not the class map).
        min_score: of a detector alone: objects that score less are dropped; None: 0.5.
        batch_size: tiles per step. 1 needs the least memory; a GPU is faster with more.
        progress: show a progress bar.
        class_names: names of the classes 1, 2, …; by default those the weights were trained on.

    Returns:
        Class map, instance map and, when asked for, probabilities. ``scores`` are the mean
        probability of an instance's class over its pixels, None without ``probabilities``.

    Raises:
        ValueError: for an empty image, NaN or infinite pixels, or an option out of range.

    Example:
        >>> prediction = predict(get_model("unet", weights="run/"), "particles.tif")
        >>> prediction.classes.shape, prediction.instances.max()
    """
    _check_options(tile, overlap, instances, batch_size)
    _check_task(model)
    if hasattr(model, "detect"):
        _check_detector_options(tile, flips, probabilities, instances)
        found = predict_detections(
            model,
            micrograph,
            overlap=overlap,
            min_score=MIN_SCORE if min_score is None else min_score,
            min_area_px=min_area_px,
            batch_size=batch_size,
            progress=progress,
            class_names=class_names,
        )
        return found if instances else replace(found, instances=no_instances(found.classes))
    _check_no_min_score(min_score)
    micrograph = as_micrograph(micrograph)
    pixels = checked_pixels(micrograph)
    class_names = tuple(class_names) or trained_class_names(model)
    blocks = answer_blocks(model, pixels, tile, overlap, flips, batch_size, progress)
    threshold = getattr(instances, "threshold", None)
    with closing(blocks):
        found = collect(blocks, pixels.shape[:2], probabilities, threshold, class_names)
    classes, sure, kept = found
    numbered = label_instances(sure, method=instances, min_area_px=min_area_px)
    return Prediction(
        classes=classes,
        instances=numbered,
        probabilities=kept,
        scores=None if kept is None else instance_scores(numbered, classes, kept),
        class_names=class_names,
        nm_per_pixel=micrograph.nm_per_pixel,
        name=micrograph.name,
    )


def _check_task(model: Any) -> None:
    """Refuses models that make pictures; what is not from ``get_model`` is tried."""
    try:
        how = built(model)
    except (TypeError, ValueError):
        if getattr(model, "restores", False):
            raise ValueError(
                f"predict finds classes and objects. Received: {model}, which restores pictures."
                " Use temzoo.restore."
            ) from None
        return
    if task_of(model).DATA != "labels":
        raise ValueError(
            f"predict finds classes and objects, and {how.name} makes pictures. Received: a model"
            f' of the task "{how.task}". Use temzoo.restore, or its encode and decode.'
        )


def _check_options(tile: int | None, overlap: int | None, instances: Any, batch_size: int) -> None:
    if tile is not None and tile < 1:
        raise ValueError(f"tile must be positive. Received: tile={tile}. Use {TILE}.")
    if overlap is not None and not 0 <= overlap < (tile or TILE):
        raise ValueError(
            f"overlap must be at least 0 and less than the tile. Received: overlap={overlap} with "
            f"tile={tile or TILE}. Use {(tile or TILE) // 2}."
        )
    known = isinstance(instances, Watershed) or instances in (*SEPARATIONS, None)
    if not known:
        raise ValueError(
            'instances must be "auto", "components", "watershed" or None. '
            f"Received: instances={instances!r}. Use one of them, or Watershed(neck={NECK})."
        )
    if batch_size < 1:
        raise ValueError(
            f"batch_size must be at least 1. Received: batch_size={batch_size}. Use 1."
        )


def _check_detector_options(
    tile: int | None, flips: bool, probabilities: bool, instances: str | Watershed | None
) -> None:
    refused = {
        "tile": tile if tile is not None else False,
        "flips": flips,
        "probabilities": probabilities,
        "instances": instances if instances not in ("auto", "components", None) else False,
    }
    given = ", ".join(f"{name}={value!r}" for name, value in refused.items() if value is not False)
    if given:
        raise ValueError(
            "a detector has tiles of its own size and finds objects, not probabilities of pixels. "
            f"Received: {given}. Leave them out."
        )


def _check_no_min_score(min_score: float | None) -> None:
    if min_score is not None:
        raise ValueError(
            "min_score is for models that detect objects. Received: "
            f"min_score={min_score} for one that labels pixels. Leave it out, or use "
            "instances=Watershed(threshold=0.7) to keep only sure pixels."
        )
