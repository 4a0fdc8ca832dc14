"""A prediction on disk with an overlay picture beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from temzoo.core.types import Micrograph, Prediction
from temzoo.micrographs.scale_bar import FROM_PICTURE
from temzoo.pictures.overlays import MAX_SIDE
from temzoo.pictures.scale_bar import with_scale_bar
from temzoo.pictures.showing import overlay_of
from temzoo.store import predictions, sidecar


def save_prediction(
    prediction: Prediction,
    folder: str | Path,
    *,
    micrograph: Micrograph,
    probabilities: bool = False,
    origin: sidecar.Origin | Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Writes what ``predictions.save`` does, and beside it an overlay picture ("overlay").

    The overlay shows a detector's objects; else instances where there are any, else classes of a
    model whose objects have no scores. Doubtful objects are outlined by broken lines. It is shrunk
    to 2048 pixels, and has a scale bar where the size of a pixel is known, unless that was read off
    a bar that the picture shows.
    """
    picture = overlay_of(prediction, micrograph.pixels, MAX_SIDE)
    has_bar = (micrograph.calibration or "").startswith(FROM_PICTURE)
    if prediction.nm_per_pixel is not None and not has_bar:
        across = micrograph.width * prediction.nm_per_pixel[1]
        picture = with_scale_bar(picture, across / picture.shape[1])
    return predictions.save(
        prediction,
        folder,
        probabilities=probabilities,
        pictures={"overlay": picture},
        origin=origin,
    )
