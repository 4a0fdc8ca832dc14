"""Instance segmentation: a box, a class and a mask for every object, also where objects overlap.

Labels are drawn as **layers**, (H, W, L) int32: each object lies in one layer, in which nothing
covers it, and its pixels hold ``number * 256 + class``. Layers are cropped, resized and augmented
just as a class map is; boxes and masks are then taken from what is left of each object, so that
they always fit the pixels.

What is learnt of a crop is ``{"boxes": (G, 4), "classes": (G,), "masks": (G, 56, 56)}``; a mask
fills its tight box, whose edges are pixel edges. What a model says is decoded to ``Detection``s at
the micrograph's resolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import cv2
import keras
import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.measure import label as connected_parts

from temzoo import registry
from temzoo.labels import raster
from temzoo.tasks import endpoints
from temzoo.types import Detection, Example, LabelledImage

SCORE = "val_f1"
SCORE_NAME = "F1"
DATA = "labels"
JUDGE = "instances"
# A few steps of the first epochs have gradients a hundred times the usual: heads that see no
# object for a while, then many.
OPTIMIZER: Mapping[str, Any] = MappingProxyType({"clipnorm": 5.0})

BASE = 256
MASK_SIDE = 56
# What is left of an object at a crop's edge is learnt as an object when it is at least this part
# of it. A thinner rim has no shape of its own, and next to nothing of it tells it from the edges
# of the ground; half would leave particles unlabelled that anybody sees.
VISIBLE = 0.25
LEAST_PX = 4
# Of the finest level's anchors, px, where the objects leave the choice: three of its cells.
NATURAL_ANCHOR = 12.0
# A level's anchors are as large as its base, and sqrt(2) times that.
LARGEST_SCALE = math.sqrt(2)
FAR = 1e6  # px; no two boxes of an image are so far apart
ANCHOR_QUANTILES = (0.05, 0.95)


@dataclass(frozen=True)
class Objects:
    """What a model learns of a micrograph: its objects, as ``pipeline.dataset.Target`` asks.

    Attributes:
        class_names: of the classes 1, 2, …
        padding: what fills a batch up to the crop with most objects.
    """

    class_names: tuple[str, ...]
    padding: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"boxes": -1, "classes": -1, "masks": 0}
    )

    def draw(self, labels: LabelledImage) -> np.ndarray:
        """The (H, W, L) int32 layers of a whole micrograph."""
        return layers(labels, self.class_names)

    def measure(self, drawn: np.ndarray) -> np.ndarray:
        """What ``encode`` asks of the whole micrograph: see ``measure``."""
        return measure(drawn)

    def encode(
        self, drawn: np.ndarray, whole: np.ndarray, magnification: float
    ) -> dict[str, np.ndarray]:
        """Boxes, classes and masks of a crop: see ``encode``."""
        return encode(drawn, whole=whole, magnification=magnification)


def learnable(class_names: tuple[str, ...]) -> Objects:
    """What a model of this task learns of micrographs with these classes."""
    return Objects(tuple(class_names))


def layers(labels: LabelledImage, class_names: Sequence[str]) -> np.ndarray:
    """The objects of an image, in as few layers as keep overlapping ones apart (greedily).

    Args:
        labels: the shapes; those of one group id are one object.
        class_names: of the classes 1, 2, …

    Returns:
        (H, W, L) int32, L at least 1; 0 is background, else ``number * 256 + class``. Number k is
        ``raster.instances(labels)[k - 1]``; one without a pixel in the image is missing.

    Raises:
        ValueError: a label is not among the classes, or there are more than 255 of them.

    Example:
        >>> layers(example.labels, ("particle",)).shape
        (512, 680, 2)
    """
    names = raster.foreground_classes(class_names)
    if len(names) >= BASE:
        raise ValueError(
            f"Instance segmentation tells at most {BASE - 1} classes apart. Received:"
            f" {len(names)} classes. Join some of them in the label file."
        )
    height, width = labels.height, labels.width
    drawn = [np.zeros((height, width), np.int32)]
    for number, one in enumerate(raster.instances(labels, classes=names), start=1):
        row, col, window = raster.instance_window(one, height, width)
        place = slice(row, row + window.shape[0]), slice(col, col + window.shape[1])
        free = next((layer for layer in drawn if not layer[place][window].any()), None)
        if free is None:
            free = np.zeros((height, width), np.int32)
            drawn.append(free)
        free[place][window] = number * BASE + 1 + names.index(one.label)
    return np.stack(drawn, axis=-1)


def measure(drawn: np.ndarray) -> np.ndarray:
    """Area and number of connected parts of each object of a whole micrograph.

    Args:
        drawn: (H, W, L) int32 layers.

    Returns:
        (N + 1, 2) int64; row k has the area of object number k in px, and its parts.
    """
    table = np.zeros((int(drawn.max(initial=0)) // BASE + 1, 2), np.int64)
    for layer in np.moveaxis(drawn, -1, 0):
        _, values, areas = _parts(layer)
        numbers = values // BASE
        np.add.at(table, numbers, np.stack([areas, np.ones_like(areas)], axis=1))
    return table


def encode(
    drawn: np.ndarray,
    *,
    whole: np.ndarray | None = None,
    magnification: float = 1.0,
    visible: float = VISIBLE,
) -> dict[str, np.ndarray]:
    """The objects of a crop, after it was cut, resized and augmented.

    A reflecting border shows an object twice, and a crop's edge may cut a bent one in two: each
    connected part (corners count) that is large enough is an object of its own, and what is too
    small becomes background. An object that had several parts in the micrograph, or whose parts
    are large enough only together, stays one.

    Args:
        drawn: (S, S, L) int32 layers of the crop.
        whole: ``measure`` of the micrograph's layers; None: the crop is all of it.
        magnification: of the crop, against the micrograph.
        visible: part of an object's area in the micrograph, so magnified, that must be left; at
            least ``LEAST_PX`` pixels in any case.

    Returns:
        ``"boxes"``: (G, 4) float32 y1, x1, y2, x2 px, tight: y2 is the last row + 1.
        ``"classes"``: (G,) int32, 1 and up.
        ``"masks"``: (G, 56, 56) uint8, 0 or 1, inside the box.

    Example:
        >>> objects = encode(layers(example.labels, ("particle",))[:256, :256])
    """
    whole = measure(drawn) if whole is None else whole
    least_px = np.maximum(visible * whole[:, 0] * magnification**2, LEAST_PX)
    boxes, classes, masks = [], [], []
    for layer in np.moveaxis(drawn, -1, 0):
        parts, values, areas = _parts(layer)
        objects = _objects(values // BASE, areas, least_px, whole[:, 1] > 1)
        kinds = np.zeros(objects.max(initial=0) + 1, np.int32)
        kinds[objects] = values % BASE
        numbered = np.concatenate([[0], objects])[parts]
        for k, (rows, cols) in enumerate(ndimage.find_objects(numbered), start=1):
            boxes.append((rows.start, cols.start, rows.stop, cols.stop))
            classes.append(kinds[k])
            masks.append(mini_mask(numbered[rows, cols] == k))
    return {
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "classes": np.array(classes, np.int32),
        "masks": np.array(masks, np.uint8).reshape(-1, MASK_SIDE, MASK_SIDE),
    }


def _parts(layer: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(H, W) connected parts numbered from 1, the value of each, the area of each in px."""
    parts = connected_parts(layer, background=0, connectivity=2)
    inside = parts > 0
    inner = parts[inside]
    values = np.zeros(inner.max(initial=0) + 1, np.int32)
    values[inner] = layer[inside]
    return parts, values[1:], np.bincount(inner, minlength=len(values))[1:]


def _objects(
    numbers: np.ndarray, areas: np.ndarray, least_px: np.ndarray, in_parts: np.ndarray
) -> np.ndarray:
    """The object, from 1, that each part of a layer belongs to; 0: too small.

    Args:
        numbers, areas: (P,) of each part, the number it carries and its area, px.
        least_px, in_parts: by number, the least area, and whether the object had several parts
            from the start.
    """
    least_px = least_px[numbers]
    alone = (areas >= least_px) & ~in_parts[numbers]
    divided = np.isin(numbers, numbers[alone])
    first, of_number = np.unique(numbers, return_index=True, return_inverse=True)[1:]
    together = (np.bincount(of_number, areas, minlength=len(first))[of_number] >= least_px) & (
        ~divided
    )
    one = np.where(alone, np.arange(len(numbers)), first[of_number] if len(first) else 0)
    objects = np.zeros(len(numbers), np.int64)
    kept = alone | together
    objects[kept] = np.unique(one[kept], return_inverse=True)[1] + 1
    return objects


def mini_mask(mask: np.ndarray) -> np.ndarray:
    """A mask of any size, (h, w) bool, as (56, 56) uint8 of 0 and 1 over the same box."""
    side = (MASK_SIDE, MASK_SIDE)
    shrinks = mask.shape[0] > MASK_SIDE and mask.shape[1] > MASK_SIDE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    shares = cv2.resize(mask.astype(np.float32), side, interpolation=how)
    return (shares >= 0.5).astype(np.uint8)


def decode(
    boxes: np.ndarray,
    classes: np.ndarray,
    scores: np.ndarray,
    masks: np.ndarray,
    height: int,
    width: int,
    *,
    threshold: float = 0.5,
) -> list[Detection]:
    """What a model says of one image, as objects with masks at its full resolution.

    A pixel belongs to an object when its centre lies in the box and the mask's probability there,
    interpolated between the centres of the mask's cells, reaches the threshold.

    Args:
        boxes: (D, 4) y1, x1, y2, x2 px; they may reach beyond the image.
        classes: (D,) 1 and up.
        scores: (D,).
        masks: (D, M, M) probabilities inside the boxes; M is 28 for Mask R-CNN.
        height, width: of the image, px.
        threshold: of the probability.

    Returns:
        in the order given; objects without a pixel in the image are left out.

    Example:
        >>> found = model.detect(pixels)
        >>> n = found.counts[0]
        >>> decode(found.boxes[0, :n], found.classes[0, :n], found.scores[0, :n],
        ...        found.masks[0, :n], 512, 512)
    """
    found = []
    for box, kind, score, mask in zip(boxes, classes, scores, masks, strict=True):
        pasted = _pasted(box, mask, height, width, threshold)
        if pasted is not None:
            found.append(Detection(*pasted, class_id=int(kind), score=float(score)))
    return found


def _pasted(
    box: np.ndarray, mask: np.ndarray, height: int, width: int, threshold: float
) -> tuple[int, int, np.ndarray] | None:
    """Top, left and tight (h, w) bool mask of a box's probabilities; None without a pixel."""
    top, below, row_share = _samples(box[0], box[2], len(mask), height)
    left, right, col_share = _samples(box[1], box[3], len(mask), width)
    if not (len(below) and len(right)):
        return None
    rows = _between(mask[below], mask[np.minimum(below + 1, len(mask) - 1)], row_share[:, None])
    pixels = _between(rows[:, right], rows[:, np.minimum(right + 1, len(mask) - 1)], col_share)
    pixels = pixels >= threshold
    filled_rows, filled_cols = pixels.any(axis=1).nonzero()[0], pixels.any(axis=0).nonzero()[0]
    if not len(filled_rows):
        return None
    first, last = filled_rows[[0, -1]]
    start, stop = filled_cols[[0, -1]]
    return (
        top + int(first),
        left + int(start),
        pixels[first : last + 1, start : stop + 1].copy(),
    )


def _samples(low: float, high: float, cells: int, length: int) -> tuple[int, Any, Any]:
    """Where the pixels of an axis lie in a box's mask.

    Returns:
        the first pixel whose centre is in [low, high) and in the image; and for it and all that
        follow, the cell whose centre lies before the pixel's and how far it is from there to the
        next cell, 0 to 1. Beyond the outermost cells' centres the mask goes on as it is there.
    """
    low, high = float(low), float(high)
    if not high > low:
        return 0, np.zeros(0, np.int64), np.zeros(0, np.float32)
    first, last = max(0, math.ceil(low - 0.5)), min(length, math.ceil(high - 0.5))
    centres = np.arange(first, last) + 0.5
    position = np.clip((centres - low) * (cells / (high - low)) - 0.5, 0, cells - 1)
    cell = position.astype(np.int64)
    return first, cell, (position - cell).astype(np.float32)


def _between(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + (second - first) * share


def anchor_sizes(
    examples: Iterable[Example],
    *,
    magnification: tuple[float, float] = (1.0, 1.0),
    levels: int = 4,
    largest: float = math.inf,
) -> list[float]:
    """Base sizes of a detector's anchors, finest level first, from the objects to be learnt.

    Sizes are square roots of box areas. Each level serves the base and sqrt(2) times the base, so
    bases that double leave no gap. The ladder reaches from the 5 % quantile of the sizes to the
    95 % quantile; where it would reach further than that, it is moved as near as can be to 12 px
    at the finest level (three of its cells of 4 px): a small object is then found on a fine grid,
    a large one where the network sees all of it. Where doubling does not reach, the steps widen.

    Args:
        examples: the training examples.
        magnification: (low, high) of the crops.
        levels: of the pyramid.
        largest: an object larger than a crop is seen as large as the crop, px.

    Returns:
        ``levels`` sizes in px, each at least twice the one before.

    Raises:
        ValueError: no example has an object.
    """
    sizes = np.array([size for example in examples for size in _sizes_px(example.labels)])
    if not sizes.size:
        raise ValueError(
            "Anchor sizes are chosen from the training objects. Received: labels without one."
            " Check the labels, or build the model with anchor_sizes=(12, 24, 48, 96)."
        )
    seen = np.minimum(np.concatenate([sizes * m for m in magnification]), largest)
    low, high = np.quantile(seen, ANCHOR_QUANTILES)
    low = max(low, 1.0)
    step = max(2.0, (high / LARGEST_SCALE / low) ** (1 / max(1, levels - 1)))
    reach = LARGEST_SCALE * step ** (levels - 1)
    base = min(max(NATURAL_ANCHOR, high / reach), low)
    return [float(base * step**level) for level in range(levels)]


def _sizes_px(labels: LabelledImage) -> list[float]:
    """Square root of the box area of each object, as far as it lies in the image."""
    sizes = []
    edges = np.array([labels.height, labels.width] * 2)
    for one in raster.instances(labels):
        extents = [raster.shape_extent(part) for part in one.shapes]
        extents = np.clip([extent for extent in extents if extent is not None], 0, edges)
        height, width = extents[:, 2:].max(axis=0) - extents[:, :2].min(axis=0)
        if height > 0 and width > 0:
            sizes.append(math.sqrt(height * width))
    return sizes


def prepare(
    model: keras.Model, examples: Sequence[Example], *, magnification: tuple[float, float]
) -> None:
    """Chooses the anchor sizes from the training objects, before the first step.

    Those that the config names stay, and so do those of a model that was trained before: its
    proposals were learnt with them.
    """
    how = registry.built(model)
    if how.config.get("anchor_sizes", ()) is not None or how.class_names:
        return
    sizes = anchor_sizes(
        examples,
        magnification=magnification,
        levels=len(model.anchor_sizes),
        largest=model.image_size,
    )
    model.set_anchor_sizes(sizes)


def classes(model: keras.Model) -> int:
    """Number of classes that a model tells apart, the background included."""
    return registry.built(model).config["classes"]


def depth(class_names: tuple[str, ...]) -> int:
    """Number of classes that a model of these names needs."""
    return len(class_names) + 1


def compile_model(
    model: keras.Model,
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
    loss: None = None,
    class_weights: None = None,
    jit_compile: bool = False,
) -> None:
    """Compiles with AdamW at 1e-3, unless told otherwise; the losses are the model's own.

    Raises:
        ValueError: a loss or class weights are given.
    """
    if loss is not None:
        raise ValueError(
            "The losses of instance segmentation are the model's own. Received:"
            f" loss={loss!r}. Leave loss out."
        )
    if class_weights is not None:
        raise ValueError(_no_weights(class_weights))
    optimizer = optimizer or keras.optimizers.AdamW(1e-3, **OPTIMIZER)
    model.compile(optimizer=optimizer, jit_compile=jit_compile)


def balanced_weights(maps: Iterable[np.ndarray], classes: int) -> list[float]:
    """Refuses: objects are drawn evenly, so that rare classes need no weights of pixels.

    Raises:
        ValueError: always.
    """
    raise ValueError(_no_weights("balanced"))


def _no_weights(received: Any) -> str:
    return (
        "Instance segmentation has no class weights. Received:"
        f" class_weights={received!r}. Leave class_weights (--balance) out."
    )


def serving(model: keras.Model) -> dict[str, endpoints.Endpoint]:
    """What a served model of this task answers: the fields of its ``Detections``."""
    answers = {endpoints.RAW: model.serve, endpoints.NORMALIZED: model.serve_normalized}
    inputs = {endpoints.IMAGES: model.input_shape[1:]}
    return {
        signature: endpoints.Endpoint(partial(_found, answer), inputs, compare=deviations)
        for signature, answer in answers.items()
    }


def _found(answer, images) -> dict:
    """``count`` says how many of the (B, N) boxes, classes, scores and masks are objects."""
    detections = dict(answer(images))
    detections["count"] = detections.pop("counts")
    return detections


def deviations(expected: endpoints.Answers, found: endpoints.Answers) -> dict[str, float]:
    """How far a served model's answers are from what was expected.

    Objects of one score may come in any order; those with the nearest boxes are compared.
    """
    if any(value.shape != found[name].shape for name, value in expected.items()):
        return endpoints.deviations(expected, found)
    batch = range(len(found["count"]))
    order = np.stack([_nearest(expected, found, image) for image in batch])
    ordered = {
        name: value
        if name == "count"
        else np.take_along_axis(value, order.reshape(*order.shape, *[1] * (value.ndim - 2)), 1)
        for name, value in found.items()
    }
    return endpoints.deviations(expected, ordered)


def _nearest(expected: endpoints.Answers, found: endpoints.Answers, image: int) -> np.ndarray:
    """Of each of the N objects of an image its own among those found: (N,), each once."""
    apart = np.abs(expected["boxes"][image][:, None] - found["boxes"][image][None]).max(axis=-1)
    # Boxes are shared by the classes, so two of one place may differ in their class alone.
    other = expected["classes"][image][:, None] != found["classes"][image][None]
    return linear_sum_assignment(apart + other * FAR)[1]
