"""A prediction on disk with an overlay picture beside it."""

from __future__ import annotations

from pathlib import Path

from temzoo.core.types import MIN_SCORE, Micrograph, Prediction
from temzoo.pictures.overlays import MAX_SIDE, outlines, overlay, shrunk, shrunk_labels
from temzoo.pictures.scale_bar import with_scale_bar
from temzoo.store import predictions, sidecar


def save_prediction(
    prediction: Prediction,
    folder: str | Path,
    *,
    micrograph: Micrograph,
    probabilities: bool = False,
    min_score: float = MIN_SCORE,
    origin: sidecar.Origin | None = None,
) -> dict[str, Path]:
    """Writes what ``predictions.save`` does, and beside it an overlay picture ("overlay").

    The overlay shows a detector's objects from ``min_score`` on; else instances where there are
    any, else classes. It is shrunk to 2048 pixels, and has a scale bar where the size of a pixel is
    known.
    """
    if prediction.detections is not None:
        kept = [one for one in prediction.detections if one.score >= min_score]
        picture = outlines(micrograph.pixels, kept)
    else:
        instances = bool(prediction.instances.any())
        shown = shrunk_labels(prediction.instances if instances else prediction.classes, MAX_SIDE)
        picture = overlay(shrunk(micrograph.pixels, MAX_SIDE), shown, instances=instances)
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
