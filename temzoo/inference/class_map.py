"""Probabilities → class map, block of rows by block of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from temzoo.inference.pixels import BLOCK_ROWS

FEW_CLASSES = 16  # up to here classes are compared one by one


def collect(
    blocks: Iterator[tuple[int, np.ndarray]],
    shape: tuple[int, int],
    keep: bool,
    threshold: float | None,
    class_names: Sequence[str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """From finished blocks of rows: class map, the same where it is sure, kept probabilities."""
    classes = sure = kept = None
    for top, block in blocks:
        if classes is None:
            count = block.shape[-1]
            _check_class_names(class_names, count)
            classes = np.empty(shape, np.uint8 if count <= 256 else np.int32)
            kept = np.empty((*shape, count), np.float32) if keep else None
            sure = classes if threshold is None else np.empty_like(classes)
        rows = slice(top, top + len(block))
        likeliest(block, out=classes[rows])
        if threshold is not None:
            sure[rows] = sure_classes(classes[rows], block, threshold)
        if keep:
            kept[rows] = block
    return classes, sure, kept


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


def _check_class_names(class_names: Sequence[str], count: int) -> None:
    if class_names and len(class_names) != count - 1:
        raise ValueError(
            "class_names must name each class but the background. Received: class_names="
            f"{tuple(class_names)} for a model of {count} classes. Pass {count - 1} names."
        )
