"""Micrographs and predictions as one sees them in a notebook: see ``temzoo.core.showing``."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from temzoo.core.types import Micrograph, Prediction
from temzoo.pictures.overlays import (
    outlines,
    overlay,
    shrunk,
    shrunk_labels,
    stretched,
    with_doubtful,
)
from temzoo.pictures.scale_bar import with_scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INLINE_SIDE, FIGURE_SIDE = 480, 1024  # px
GREY = 90  # of a prediction's ground, where there is no micrograph


def picture_of(
    thing: Micrograph | Prediction, side: int, micrograph: Micrograph | None = None
) -> np.ndarray:
    """A picture of a micrograph, or of a prediction over it; with a scale bar where that is known.

    Returns:
        (h, w, 3) uint8, its longest side at most ``side``.

    Raises:
        ValueError: the micrograph is not of the prediction's size.
    """
    if isinstance(thing, Prediction):
        picture = _overlay(thing, micrograph, side)
    else:
        picture = stretched(shrunk(_visible(thing.pixels), side))
    if thing.nm_per_pixel is None:
        return picture
    width = thing.classes.shape[1] if isinstance(thing, Prediction) else thing.width
    return with_scale_bar(picture, width * thing.nm_per_pixel[1] / picture.shape[1])


def overlay_of(found: Prediction, pixels: np.ndarray, side: int) -> np.ndarray:
    """A prediction over pixels.

    A detector's objects, of which boxes are not filled; else instances where there are any, else
    classes of a model whose objects have no scores. Doubtful objects are outlined by broken lines.
    """
    if found.detections is not None:
        filling = {"alpha": 0.0} if found.box_shaped else {}
        picture = outlines(pixels, found.detections, side=side, **filling)
    else:
        instances = bool(found.instances.any()) or found.scores is not None
        shown = shrunk_labels(found.instances if instances else found.classes, side)
        picture = overlay(shrunk(pixels, side), shown, instances=instances)
    return with_doubtful(picture, found.doubtful or (), picture.shape[1] / pixels.shape[1])


def _overlay(found: Prediction, micrograph: Micrograph | None, side: int) -> np.ndarray:
    shape = found.classes.shape
    if micrograph is None:
        return overlay_of(found, np.full(shape, GREY, np.uint8), side)
    if micrograph.pixels.shape[:2] != shape:
        raise ValueError(
            "a prediction is drawn over its own micrograph. Received: one of"
            f" {micrograph.height} x {micrograph.width} px, for a prediction of"
            f" {shape[0]} x {shape[1]} px. Give the one that was predicted."
        )
    return overlay_of(found, _visible(micrograph.pixels), side)


def _visible(pixels: np.ndarray) -> np.ndarray:
    """Of channels that are no colours, the first."""
    return pixels if pixels.ndim == 2 or pixels.shape[2] in (1, 3) else pixels[..., 0]


def png_of(thing: Micrograph | Prediction) -> bytes:
    """A small picture as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture_of(thing, INLINE_SIDE)).save(file, "png")
    return file.getvalue()


def figure_of(
    thing: Micrograph | Prediction,
    micrograph: Micrograph | None = None,
    axes: Axes | None = None,
) -> Figure:
    """The picture in axes of matplotlib, or in a new figure; gives the figure."""
    picture = picture_of(thing, FIGURE_SIDE, micrograph)
    if axes is None:
        from matplotlib.figure import Figure

        height, width = picture.shape[:2]
        figure = Figure(figsize=(6.4, 6.4 * height / width + 0.4), dpi=150, layout="constrained")
        axes = figure.subplots()
    axes.imshow(picture)
    axes.set_axis_off()
    axes.set_title(thing.name, fontsize=10)
    return axes.figure
