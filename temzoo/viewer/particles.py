"""Particles of a micrograph's layer: found, measured, corrected, and as labels to be written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from temzoo.annotation.prediction_labels import labels_of
from temzoo.core.types import LabelledImage, Tell
from temzoo.inference.left_out import leave_out
from temzoo.inference.predict import predict
from temzoo.measurement.model_error import ModelError
from temzoo.measurement.summary import summarize
from temzoo.measurement.table import frame_of, measure
from temzoo.micrographs.drawn import Drawn
from temzoo.viewer.layers import (
    LayerData,
    labels_layer,
    micrographs_in,
    plane_count,
    predictions_in,
)
from temzoo.zoo import pretrained
from temzoo.zoo.cards import list_models, model_card
from temzoo.zoo.task import task_named

# Columns that are the same for all particles of an image are not shown with each.
OF_IMAGE = ("frame_height_", "frame_width_", "field_share", "nm_per_pixel_", "min_diameter_")
# Seen first, where napari shows the features of a particle.
FIRST = ("index", "class", "morphology", "diameter_", "feret_m", "area_", "feret_aspect", "score")


def weights_to_choose() -> list[str]:
    """The shipped weights that find particles with their outlines, as MODEL/NAME."""
    names = []
    for card in map(model_card, list_models(pretrained=True)):
        task = task_named(card.task)
        if task.instances and not task.box_shaped:
            names += [f"{card.name}/{name}" for name in card.weights]
    return names


def found_in(
    image: LayerData, model: Any, *, weights: str = "", tell: Tell | None = None
) -> LayerData:
    """The labels layer, measured, of what a model finds in each plane of an image layer.

    Its ``metadata`` hold the "summary" in words, and the "weights". Info bars are left out, as
    ``temzoo predict`` does.

    Args:
        weights: that the model holds, a run folder or MODEL/NAME: the error that their card states
            widens the intervals.
        tell: is told how far it is, after each tile; what it raises ends the prediction.

    Raises:
        ValueError: as ``temzoo.predict`` and ``labels_layer``.
    """
    found, count = [], plane_count(image)
    for place, micrograph in enumerate(micrographs_in(image)):
        micrograph, boxes = Drawn(scale_bar="off").of(micrograph)
        progress = _of_plane(tell, place, count) if tell else False
        found.append(leave_out(predict(model, micrograph, progress=progress), boxes))
    errors = dict(pretrained.find_trained(weights).card.errors) if weights else {}
    data, attributes, kind = labels = labels_layer(image, found, errors=errors, weights=weights)
    told = measured(labels, image)
    attributes |= {"features": told.features}
    attributes["metadata"] |= {"summary": told.text}
    return data, attributes, kind


def _of_plane(tell: Tell, place: int, count: int) -> Tell:
    where = f"image {place + 1} of {count}, " if count > 1 else ""
    return lambda share, text: tell((place + share) / count, where + text)


@dataclass(frozen=True)
class Measured:
    """What was measured of a labels layer.

    Attributes:
        features: a row a particle, what ``temzoo.measure`` gives of it, with its number in "index"
            and, of a stack, its plane in "frame".
        text: number, density and median diameter of all planes, with 95 % intervals.
    """

    features: pd.DataFrame
    text: str


def measured(labels: LayerData, image: LayerData | None = None) -> Measured:
    """Measures the particles of a labels layer, in nm where its units are lengths, else in px.

    Args:
        image: the layer that they lie on, for their intensities.

    Raises:
        ValueError: an image of another size; as ``predictions_in``.
    """
    count = plane_count(labels)
    micrographs = micrographs_in(image) if image else [None] * count
    if image and plane_count(image) != count:
        raise ValueError(
            f"particles and image must have as many planes. Received: {count} and"
            f" {plane_count(image)}. Choose the image that they were found in."
        )
    tables, features, frames = [], [], {}
    parts = zip(predictions_in(labels), micrographs, strict=True)
    for frame, ((numbers, prediction), micrograph) in enumerate(parts):
        table = measure(prediction, micrograph)
        frames[prediction.name] = frame_of(prediction)
        tables.append(table)
        row = table.drop(columns=["image", "particle"]).assign(index=numbers)
        features.append(row.assign(frame=frame) if count > 1 else row)
    errors = ModelError.of_card((labels[1].get("metadata") or {}).get("errors") or {})
    whole = pd.concat(tables, ignore_index=True)
    summary = summarize(whole, by=None, frames=frames, model=errors)
    return Measured(_ordered(pd.concat(features, ignore_index=True)), summary_text(summary))


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    first = [name for start in FIRST for name in table if name.startswith(start)]
    own = [name for name in table if not name.startswith(OF_IMAGE)]
    return table[list(dict.fromkeys([*first, *own]))]


def summary_text(summary: pd.DataFrame) -> str:
    """The most asked for figures of one row of ``temzoo.summarize``, a line each.

    Example:
        >>> print(summary_text(summarize(measure(predict("a.tif")), by=None)))
        57 particles, 6 at the border
        D50 23.1 nm (21.4 to 25.0)
        310 per µm² (234 to 402)
        coverage 0.141
        95 % intervals of sampling alone
    """
    row = summary.iloc[0]
    unit, area = ("nm", "um2") if "diameter_d50_nm" in summary else ("px", "px2")
    shown = {"um2": "µm²", "px2": "px²"}[area]
    lines = [f"{row['particles']} particles, {row['touching_border']} at the border"]
    names = f"diameter_d50_{unit}", f"diameter_d50_low_{unit}", f"diameter_d50_high_{unit}"
    lines.append(f"D50 {_interval(*row[[*names]], unit=f' {unit}')}")
    names = f"density_per_{area}", f"density_per_{area}_low", f"density_per_{area}_high"
    lines.append(_interval(*row[[*names]], unit=f" per {shown}"))
    lines.append(f"coverage {row['coverage']:.3f}")
    known = not math.isnan(row["model_d50_error"])
    lines.append(f"95 % intervals of sampling {'and model' if known else 'alone'}")
    return "\n".join(lines)


def _interval(value: float, low: float, high: float, *, unit: str) -> str:
    if math.isnan(value):
        return f"not known, in{unit}"
    return f"{value:.4g}{unit}" + ("" if math.isnan(low) else f" ({low:.4g} to {high:.4g})")


def numbers_of(text: str) -> list[int]:
    """The numbers of particles that a user wrote: "3, 17 18".

    Raises:
        ValueError: there is none, or anything else.
    """
    parts = re.split(r"[\s,;]+", text.strip(" ,;\n"))
    if not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(
            f"particles are named by their numbers, such as 3, 17. Received: {text!r}. Shift-click"
            " them in the picture, or write their numbers."
        )
    return list(dict.fromkeys(map(int, parts)))


def pixels_of(labels: LayerData, numbers: Iterable[int]) -> tuple[np.ndarray, ...]:
    """The indices of the pixels of some particles, for each axis (P,).

    Raises:
        ValueError: the layer has no particle of such a number.
    """
    data = np.asarray(labels[0])
    chosen = np.isin(data, [*numbers])
    missing = sorted({*numbers} - set(np.unique(data[chosen]).tolist()))
    if missing:
        raise ValueError(
            f"particles must be in the layer. Received: {', '.join(map(str, missing))}, not in"
            f" {labels[1]['name']!r}. Point at one: napari shows its number below."
        )
    return np.nonzero(chosen)


def named(labels: LayerData, numbers: Iterable[int], kind: str) -> tuple[pd.DataFrame, tuple]:
    """Features and names of classes of a labels layer, some of whose particles are of a class.

    Raises:
        ValueError: the class has no name.
    """
    kind = kind.strip()
    if not kind:
        raise ValueError("a class must have a name. Received: ''. Write one, such as particle.")
    attributes = labels[1]
    given = attributes.get("features")
    table = given if given is not None and "index" in given else pd.DataFrame({"index": []})
    table = table.set_index("index")
    table = table.reindex(table.index.union([*numbers]).astype(np.int64))
    kinds = table["class"] if "class" in table else pd.Series("", index=table.index)
    table = table.assign(**{"class": kinds.astype(object).fillna("")})
    table.loc[[*numbers], "class"] = kind
    known = (attributes.get("metadata") or {}).get("class_names", ())
    return table.reset_index(), tuple(dict.fromkeys([*known, kind]))


def labelled_images(layers: Iterable[LayerData]) -> list[LabelledImage]:
    """The particles of labels layers as shapes, an image for each plane; as CVAT takes them.

    Raises:
        ValueError: there is no layer, or two are of one image; as ``predictions_in``.
    """
    images: dict[str, LabelledImage] = {}
    for layer in layers:
        for _, prediction in predictions_in(layer):
            if prediction.name in images:
                raise ValueError(
                    "an image has its labels in one layer. Received: two of"
                    f" {prediction.name!r}. Select one of them."
                )
            images[prediction.name] = labels_of(prediction, may_be_empty=True)
    if not images:
        raise ValueError(
            "particles are written of labels layers. Received: none. Select the layers in napari's"
            " list of layers."
        )
    return [*images.values()]
