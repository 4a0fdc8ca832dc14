"""A prediction on disk with an overlay picture beside it."""

from __future__ import annotations

from pathlib import Path

from temzoo.core.types import Micrograph, Prediction
from temzoo.pictures.overlays import (
    MAX_SIDE,
    outlines,
    overlay,
    shrunk,
    shrunk_labels,
    with_doubtful,
)
from temzoo.pictures.scale_bar import with_scale_bar
from temzoo.store import predictions, sidecar


def save_prediction(
    prediction: Prediction,
    folder: str | Path,
    *,
    micrograph: Micrograph,
    probabilities: bool = False,
    origin: sidecar.Origin | None = None,
) -> dict[str, Path]:
    """Writes what ``predictions.save`` does, and beside it an overlay picture ("overlay").

    The overlay shows a detector's objects; else instances where there are any, else classes of a
    model whose objects have no scores. Doubtful objects are outlined by broken lines. It is shrunk
    to 2048 pixels, and has a scale bar where the size of a pixel is known.
    """
    if prediction.detections is not None:
        picture = outlines(micrograph.pixels, prediction.detections)
    else:
        instances = bool(prediction.instances.any()) or prediction.scores is not None
        shown = shrunk_labels(prediction.instances if instances else prediction.classes, MAX_SIDE)
        picture = overlay(shrunk(micrograph.pixels, MAX_SIDE), shown, instances=instances)
    picture = with_doubtful(picture, prediction.doubtful or (), picture.shape[1] / micrograph.width)
    if prediction.nm_per_pixel is not None:
        across = micrograph.width * prediction.nm_per_pixel[1]
        picture = with_scale_bar(picture, across / picture.shape[1])
    return predictions.save(
        prediction,
        folder,
        probabilities=probabilities,
        pictures={"overlay": picture},
        origin=origin,
    )
