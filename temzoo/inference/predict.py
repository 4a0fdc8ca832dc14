"""Micrograph → Prediction, for models of any task that finds classes or objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.settings import BINNING, MIN_AREA_PX, SEPARATION, SMOOTH
from temzoo.core.types import Detection, Micrograph, Prediction, Tell
from temzoo.inference.binning import at_binning, best_binned, enlarged
from temzoo.inference.confidence import confidences, likeliest_share
from temzoo.inference.fused import fuse
from temzoo.inference.left_out import Box, leave_out
from temzoo.inference.options import PredictOptions
from temzoo.inference.pixels import BLOCK_ROWS, as_micrograph, checked_pixels, is_lazy
from temzoo.inference.regions import (
    FULL,
    Watershed,
    doubtful_objects,
    instance_scores,
    keep_sure,
    label_instances,
)
from temzoo.inference.signals import is_signal, predict_signal
from temzoo.inference.tiles import PixelNetwork, answer_blocks
from temzoo.micrographs.drawn import Drawn
from temzoo.micrographs.noise import smoothed, smoothing_for
from temzoo.zoo import pretrained
from temzoo.zoo.building import kept_model
from temzoo.zoo.built import limits_of, task_of

FEW_CLASSES = 16  # up to here classes are compared one by one


def predict(
    model: Any,
    micrograph: Micrograph | np.ndarray | str | Path | None = None,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    flips: bool = False,
    probabilities: bool = False,
    instances: str | Watershed | None = SEPARATION,
    min_area_px: int = MIN_AREA_PX,
    min_score: float | None = None,
    smooth: str | float = SMOOTH,
    binning: str | int = BINNING,
    batch_size: int = 1,
    progress: bool | Tell = False,
    class_names: Sequence[str] = (),
) -> Prediction:
    """Segments one micrograph of any size, or finds its objects.

    A detector has tiles of its own size and finds objects that need no separation: tile, flips,
    probabilities and a watershed are refused for it, and ``tasks.instance.predict_detections``
    tells what overlap, min_area_px and what follows mean there.

    Args:
        model: a segmentation model of temzoo; or one that is served (``temzoo.connect``); or any
            callable on raw pixels (B, H, W, C) that returns (B, H, W, K) class probabilities; or
            an object whose ``predict_probabilities`` takes a whole (H, W) or (H, W, C) image to
            (H, W, K). Left out, the micrograph alone is passed: the shipped weights
            ``particles/emps`` find particles in it, and stay in memory for the next one.
        micrograph: a path: as ``temzoo predict`` does, the scale bar drawn into the picture
            calibrates it where its file states nothing and ``temzoo[scalebar]`` is installed, and
            info bar, scale bar and panel letters are left out. Or the raw pixels (H, W) or
            (H, W, C), or a Micrograph, such as ``load_micrograph(path)``, in which nothing is read
            or left out; or an array of dask
            or zarr (``temzoo[zarr]``), (H, W) or a stack (N, H, W), of which comes what
            ``inference.lazy.predict_lazily`` gives: a dask array of the instances, or, with
            ``instances=None``, of the classes, computed part by part when it is asked for; or a
            signal of HyperSpy, or the dictionary of one as RosettaSciIO has it, calibrated by its
            axes: of an image, or of a stack along one navigation axis, of which comes a list of
            predictions. ``temzoo.signal_of`` makes a signal of them.
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
        instances: "auto" and "watershed" cut connected regions of one class at their necks, for
            particles that touch, and ``Watershed(neck=…, threshold=…)`` does so with settings of
            one's own; the necks are those of the learnt distance where a model has one.
            "components" numbers the regions as they are; "fused", of a model of one class that has
            learnt distances, also asks the detector ``mask_rcnn/emps`` where regions are several
            objects: more work, and the best counts. None: none.
        min_area_px: smaller instances are dropped from the instance map (not the class map).
        min_score: of models whose objects have scores: those that score less are no instances, and
            the likelier ones of them are ``doubtful``; None: 0.4, 0.7 of a detector and
            0.3 of one of boxes.
        smooth: "auto": the model sees a micrograph that is noisier than its weights bear
            (``WeightsCard.noise``; of those that do not tell it, as of runs of one's own, none)
            behind a Gaussian of 1 px plus as many as its noise is, at most 2.5
            (``micrographs.noise``); a number: behind a Gaussian of this standard deviation in px;
            "off": as it is. ``smoothed_px`` says what was done. Lazy arrays are not smoothed.
        binning: "auto": the model sees a micrograph that is larger than those its weights know
            (``WeightsCard.side``, as of smooth) binned 2 x 2, 4 x 4 …, as it is surest of what it
            finds; and a run of one's own sees it binned as it was trained; a number: binned so; 1:
            as it is. Class map, instances and probabilities are of the micrograph's own pixels in
            any case, and ``Prediction.binning`` says what was done. Lazy arrays are not binned.
        batch_size: tiles per step. 1 needs the least memory; a GPU is faster with more.
        progress: show a progress bar; or a function that is told the share that is done, 0 to 1,
            and a few words, after each tile. What it raises ends the prediction.
        class_names: names of the classes 1, 2, …; by default those the weights were trained on.

    Returns:
        Class map, instance map and, when asked for, probabilities. ``scores`` are a detector's own;
        of a model that learns distances ("particles") how likely each object is real; else the mean
        probability of an instance's class over its pixels, where ``probabilities`` were asked for,
        or None.

    Raises:
        ValueError: for an empty image, NaN or infinite pixels, or an option out of range.

    Example:
        >>> prediction = predict("particles.tif")
        >>> prediction.classes.shape, prediction.instances.max()
        >>> prediction = predict(get_model("unet", weights="runs/first"), "particles.tif")
    """
    given = dict(locals())
    if micrograph is None:
        model, micrograph = kept_model(pretrained.GENERAL), model
    options = PredictOptions(**{one.name: given[one.name] for one in fields(PredictOptions)})
    if is_lazy(micrograph):
        from temzoo.inference.lazy import predict_lazily  # which collects as is done here

        return predict_lazily(model, micrograph, options)
    answer = partial(_answer, model)
    if is_signal(micrograph):
        return predict_signal(answer, micrograph, options)
    image = as_micrograph(micrograph)
    boxes: tuple[Box, ...] = ()
    if isinstance(micrograph, str | Path):
        image, boxes = Drawn().of(image)
    found = leave_out(answer(image, options), boxes)
    return replace(found, calibration=image.calibration)


def _answer(model: Any, micrograph: Micrograph, options: PredictOptions) -> Prediction:
    """What a model says of a micrograph, which is binned first where it is too large for it."""
    ask, limits = partial(_answer_smoothed, model), limits_of(model)
    binning = limits.binning if options.binning == BINNING else int(options.binning)
    if limits.side and options.binning == BINNING:
        return best_binned(ask, micrograph, options, limits.side)
    found = at_binning(ask, micrograph, options, binning)
    return enlarged(found, micrograph.pixels.shape[:2])


def _answer_smoothed(model: Any, micrograph: Micrograph, options: PredictOptions) -> Prediction:
    """What a model says of a micrograph, which is smoothed first where its noise asks for it."""
    sigma, borne = 0.0, None
    if isinstance(options.smooth, Real):
        sigma = float(options.smooth)
    elif options.smooth == SMOOTH:
        borne = limits_of(model).noise
    if borne is not None:
        sigma = smoothing_for(checked_pixels(micrograph), borne)
    if sigma:
        pixels = smoothed(checked_pixels(micrograph), sigma)
        micrograph = replace(micrograph, pixels=pixels)
    found = task_of(model).answer(model, micrograph, options)
    return replace(found, smoothed_px=sigma)


def segment(
    network: PixelNetwork,
    micrograph: Micrograph,
    options: PredictOptions,
    class_names: tuple[str, ...],
    *,
    distance: bool = False,
    detections: Sequence[Detection] = (),
) -> Prediction:
    """Class map and instances of a micrograph, from a network that gives class probabilities.

    Args:
        distance: whether the network's last channel is a learnt distance to the outline.
        detections: of a detector, to be fused with the instances of such a network.

    Raises:
        ValueError: fused instances of another network were asked for.
    """
    if options.instances == "fused" and not distance:
        raise ValueError(
            'instances="fused" needs a model that has learnt distances, such as particles/emps.'
            ' Received: a model of pixels alone. Use instances="watershed".'
        )
    pixels = checked_pixels(micrograph)
    blocks = answer_blocks(network, pixels, options)
    with closing(blocks):
        found = collect(blocks, pixels.shape[:2], options, class_names, distance=distance)
    numbered = label_instances(
        found.sure,
        method=options.instances,
        min_area_px=options.min_area_px,
        distance=found.distance,
    )
    scores = None
    doubtful: tuple[Detection, ...] | None = () if distance else None
    if found.own is not None and found.distance is not None:
        scores = confidences(numbered, found.own, found.distance)
        if options.instances == "fused":
            scores = fuse(numbered, scores, found.distance, detections)
    elif found.probabilities is not None:
        scores = instance_scores(numbered, found.classes, found.probabilities)
    if options.min_score is not None and scores is not None and len(scores):
        doubtful = doubtful_objects(numbered, found.classes, scores, options.min_score)
        scores = keep_sure(numbered, scores, options.min_score)
    return Prediction(
        classes=found.classes,
        instances=numbered,
        probabilities=found.probabilities,
        scores=scores,
        distance=found.distance if options.probabilities else None,
        doubtful=doubtful,
        class_names=class_names,
        nm_per_pixel=micrograph.nm_per_pixel,
        name=micrograph.name,
    )


@dataclass
class Answer:
    """A network's answer for a whole micrograph.

    Attributes:
        classes: (H, W) likeliest class.
        sure: the same, with the background where the threshold says so; ``classes`` without one.
        probabilities: (H, W, classes) float32 where they are kept.
        distance: (H, W) uint8, ``FULL`` times the learnt distance.
        own: (H, W) uint8, ``FULL`` times the probability of the likeliest class.
    """

    classes: np.ndarray
    sure: np.ndarray
    probabilities: np.ndarray | None
    distance: np.ndarray | None
    own: np.ndarray | None


def collect(
    blocks: Iterator[tuple[int, np.ndarray]],
    shape: tuple[int, int],
    options: PredictOptions,
    class_names: Sequence[str],
    *,
    distance: bool = False,
) -> Answer:
    """From finished blocks of rows: what is kept of a network's answer."""
    found: Any = None
    for top, block in blocks:
        count = block.shape[-1] - distance
        if found is None:
            if class_names and len(class_names) != count - 1:
                raise ValueError(
                    "class_names must name each class but the background. Received: class_names="
                    f"{tuple(class_names)} for a model of {count} classes. Pass {count - 1} names."
                )
            classes = np.empty(shape, np.uint8 if count <= 256 else np.int32)
            found = Answer(
                classes,
                sure=classes if options.threshold is None else np.empty_like(classes),
                probabilities=np.empty((*shape, count), np.float32)
                if options.probabilities
                else None,
                distance=np.empty(shape, np.uint8) if distance else None,
                own=np.empty(shape, np.uint8) if distance else None,
            )
        rows = slice(top, top + len(block))
        if distance:
            found.distance[rows] = np.rint(np.clip(block[..., -1], 0, 1) * FULL)
            block = block[..., :-1]
            found.own[rows] = likeliest_share(block)
        likeliest(block, out=found.classes[rows])
        if options.threshold is not None:
            found.sure[rows] = sure_classes(found.classes[rows], block, options.threshold)
        if options.probabilities:
            found.probabilities[rows] = block
    return found


def likeliest(probabilities: np.ndarray, *, out: np.ndarray) -> None:
    """``probabilities.argmax(axis=-1)``, of few classes many times as fast.

    Args:
        probabilities: (H, W, K), without NaN.
        out: (H, W) of whole numbers; written.
    """
    count = probabilities.shape[-1]
    if count > FEW_CLASSES:
        out[...] = probabilities.argmax(axis=-1)
        return
    if count == 2:
        np.greater(probabilities[..., 1], probabilities[..., 0], out=out)
        return
    for top in range(0, len(out), BLOCK_ROWS):
        block, found = probabilities[top : top + BLOCK_ROWS], out[top : top + BLOCK_ROWS]
        best, *others = np.ascontiguousarray(np.moveaxis(block, -1, 0))
        found[...] = 0
        for number, other in enumerate(others, start=1):
            # Numbers rise, so the last class that exceeds all before it is the greatest number.
            np.maximum(found, (other > best) * found.dtype.type(number), out=found)
            best = np.maximum(best, other)


def sure_classes(
    classes: np.ndarray, probabilities: np.ndarray, threshold: float | None
) -> np.ndarray:
    """The class map without the pixels that a ``Watershed`` of this threshold leaves out."""
    if threshold is None:
        return classes
    return np.where(probabilities[..., 0] <= 1 - threshold, classes, 0)
