"""Class maps against labels: confusion matrices and what is computed of them."""

from __future__ import annotations

import numpy as np

from temzoo.evaluation.bootstrap import ratio


def confusion(
    truth: np.ndarray, predicted: np.ndarray, classes: int, *, ignored: np.ndarray | None = None
) -> np.ndarray:
    """Counts pixels by class: (classes, classes) int64, [true class, predicted class].

    Args:
        truth, predicted: integer class maps of one shape, values 0 to classes - 1.
        classes: number of classes, background included.
        ignored: bool of that shape: pixels that are not counted; None: all are.

    Raises:
        ValueError: different shapes, or a class out of range.
    """
    if truth.shape != predicted.shape:
        raise ValueError(
            "labels and prediction must have one shape. Received: "
            f"{truth.shape} and {predicted.shape}. Use the labels of this very image."
        )
    for name, values in (("truth", truth), ("predicted", predicted)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(
                f"classes must be 0 to {classes - 1}. Received: {name} with values from "
                f"{values.min()} to {values.max()}. Use a model built for {values.max() + 1} "
                "classes, or labels of the model's classes."
            )
    joint = truth.astype(np.int64) * classes + predicted
    joint = joint.ravel() if ignored is None else joint[~ignored]
    return np.bincount(joint, minlength=classes**2).reshape(classes, classes)


def scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of confusion matrices (..., K, K), by the conventions of ``evaluation.evaluate``.

    Returns:
        "iou", "dice", "precision" and "recall": (..., K) per class, background first;
        "pixel_accuracy": (...). NaN where undefined.
    """
    matrix = np.asarray(matrix, np.float64)
    hit = np.diagonal(matrix, axis1=-2, axis2=-1)
    true, found = matrix.sum(axis=-1), matrix.sum(axis=-2)
    return {
        "iou": ratio(hit, true + found - hit),
        "dice": ratio(2 * hit, true + found),
        "precision": ratio(hit, found),
        "recall": ratio(hit, true),
        "pixel_accuracy": ratio(hit.sum(axis=-1), matrix.sum(axis=(-1, -2))),
    }
