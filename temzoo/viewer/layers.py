"""Layers of napari as micrographs and predictions, and back.

A layer is (data, attributes, kind), as napari's ``Layer.as_layer_data_tuple`` gives it and its
``Layer.create`` takes it. Its data are an image (H, W), or a stack (N, H, W); of colours with
(…, 3) behind. Each object of a labels layer has a number of its own, also through a stack, and the
column "index" of its features says whose a row is.

What else temzoo has to know is in the layer's ``metadata``: ``file`` (the micrograph's name),
``calibration`` (where the size of a pixel was read), and of labels ``class_names``, ``left_out``
(boxes of each plane in which nothing was looked for) and ``errors`` (of the weights' card).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from temzoo.core.types import Micrograph, Prediction
from temzoo.micrographs import Scale, frame_name
from temzoo.micrographs.calibration import scale_of_axes

LayerData = tuple[Any, dict[str, Any], str]
# Where a layer lies: labels lie where their image does.
PLACE = ("scale", "units", "translate", "rotate", "shear", "affine")
PARTICLE = "particle"  # the class of labels that nobody named


def place_of(nm_per_pixel: Scale | None, *, stack: bool = False) -> dict[str, Any]:
    """The attributes ``scale`` and ``units``: nanometres, or pixels where they are not known."""
    scale, unit = nm_per_pixel or (1.0, 1.0), "nm" if nm_per_pixel else "pixel"
    first = ((1.0,), ("pixel",)) if stack else ((), ())
    return {"scale": (*first[0], *scale), "units": (*first[1], unit, unit)}


def nm_per_pixel_of(attributes: Mapping[str, Any]) -> Scale | None:
    """(row, col) in nm of a layer whose units are lengths; None of pixels, also of scaled ones."""
    scale, units = attributes.get("scale"), attributes.get("units")
    if scale is None or units is None:
        return None
    units = (units, units) if isinstance(units, str) else tuple(units)
    found, _ = scale_of_axes([*zip(scale, map(str, units), strict=False)][-2:])
    return found


def image_layer(micrograph: Micrograph, **metadata: Any) -> LayerData:
    """The image layer of one micrograph."""
    told = {"file": micrograph.name, "calibration": micrograph.calibration or "none found"}
    attributes = {
        "name": micrograph.name,
        "rgb": micrograph.channels > 1,
        "metadata": told | metadata,
        **place_of(micrograph.nm_per_pixel),
    }
    return micrograph.pixels, attributes, "image"


def micrographs_in(image: LayerData) -> Iterator[Micrograph]:
    """The micrographs of an image layer, one for each plane, read when they are asked for.

    Raises:
        ValueError: the layer has more axes than a stack.
    """
    _, attributes, _ = image
    colour, calibration = bool(attributes.get("rgb")), _told(image).get("calibration", "")
    planes = _planes(image, colour)
    for name, plane in zip(_names(image, len(planes)), planes, strict=True):
        pixels = np.asarray(plane)
        pixels = pixels[..., :3] if colour else pixels
        yield Micrograph(pixels, nm_per_pixel_of(attributes), name, calibration)


def plane_count(layer: LayerData) -> int:
    """How many images a layer holds, more than 1 of a stack."""
    return len(_planes(layer, bool(layer[1].get("rgb"))))


def labels_layer(image: LayerData, predictions: Sequence[Prediction], **metadata: Any) -> LayerData:
    """The labels layer of what was found in the planes of an image layer.

    Objects of a detector that overlap are cut to what is seen of them.

    Args:
        metadata: of the layer, beside what the predictions say themselves.

    Raises:
        ValueError: the objects are boxes.
    """
    boxes = next((each.name for each in predictions if each.box_shaped), None)
    if boxes is not None:
        raise ValueError(
            f"a labels layer holds outlines. Received: boxes, found in {boxes!r}. Use weights that"
            " find outlines, such as particles/emps."
        )
    data, offset, tables = [], 0, []
    for prediction in predictions:
        instances = prediction.instances
        data.append(np.where(instances > 0, instances + offset, 0).astype(np.int32))
        table = _objects(prediction)
        tables.append(table.assign(index=table["index"] + offset))
        offset += int(instances.max(initial=0))
    told = {
        "file": _told(image).get("file", image[1]["name"]),
        "class_names": tuple(predictions[0].class_names),
        "left_out": tuple(each.left_out for each in predictions),
    }
    attributes = {
        "name": f"{image[1]['name']} particles",
        "features": pd.concat(tables, ignore_index=True),
        "metadata": told | metadata,
        **{name: image[1][name] for name in PLACE if name in image[1]},
    }
    stacked = image[0].ndim - bool(image[1].get("rgb")) > 2
    return np.stack(data) if stacked else data[0], attributes, "labels"


def _objects(prediction: Prediction) -> pd.DataFrame:
    """The number, class, score and confidence of each object that is seen."""
    numbers, first = np.unique(prediction.instances, return_index=True)
    numbers, first = numbers[numbers > 0], first[numbers > 0]
    names = {1 + place: name for place, name in enumerate(prediction.class_names)}
    kinds = prediction.classes.flat[first].tolist()
    unknown = np.full(len(numbers), np.nan)
    scores = unknown if prediction.scores is None else prediction.scores[numbers - 1].astype(float)
    sure = prediction.doubtful is not None and prediction.detections is None
    columns = {"index": numbers, "class": [names.get(kind, str(kind)) for kind in kinds]}
    return pd.DataFrame(columns | {"score": scores, "confidence": scores if sure else unknown})


def predictions_in(labels: LayerData) -> Iterator[tuple[np.ndarray, Prediction]]:
    """What a labels layer holds, for each plane: its numbers, and a prediction of them.

    Yields:
        (N,) the numbers of the layer, ascending, and a prediction whose instances 1..N they are.

    Raises:
        ValueError: the layer has more axes than a stack; a number has no class, of several.
    """
    _, attributes, _ = labels
    told, planes = _told(labels), _planes(labels, False)
    known = _Known.of(attributes, told)
    left_out = told.get("left_out") or ((),) * len(planes)
    for name, plane, boxes in zip(_names(labels, len(planes)), planes, left_out, strict=True):
        numbers, places = np.unique(np.asarray(plane), return_inverse=True)
        objects = numbers != 0
        order = np.cumsum(objects) * objects
        found = numbers[objects]
        kinds = np.array([0, *(known.class_id(number, name) for number in found.tolist())])
        instances = order[places].reshape(plane.shape).astype(np.int32)
        yield (
            found,
            Prediction(
                classes=kinds[instances].astype(np.int32),
                instances=instances,
                scores=known.scores(found),
                class_names=known.names,
                nm_per_pixel=nm_per_pixel_of(attributes),
                name=name,
                doubtful=() if known.calibrated else None,
                left_out=tuple(tuple(box) for box in boxes),
            ),
        )


class _Known:
    """What the features of a labels layer say of its numbers.

    Attributes:
        names: of the classes 1, 2, …
        calibrated: the scores are probabilities.
    """

    def __init__(self, table: pd.DataFrame, names: Sequence[str]):
        self._kinds = table["class"].to_dict() if "class" in table else {}
        self._scores = table["score"].to_dict() if "score" in table else {}
        used = [kind for kind in self._kinds.values() if isinstance(kind, str) and kind]
        self.names = tuple(dict.fromkeys([*names, *used])) or (PARTICLE,)
        self.calibrated = "confidence" in table and bool(table["confidence"].notna().any())

    @classmethod
    def of(cls, attributes: Mapping[str, Any], told: Mapping[str, Any]) -> _Known:
        table = attributes.get("features")
        table = pd.DataFrame() if table is None or "index" not in table else table
        return cls(table.set_index("index") if len(table) else table, told.get("class_names", ()))

    def class_id(self, number: int, image: str) -> int:
        kind = self._kinds.get(number)
        if isinstance(kind, str) and kind:
            return self.names.index(kind) + 1
        if len(self.names) == 1:
            return 1
        raise ValueError(
            f"a particle must be of a class, one of {', '.join(self.names)}. Received: number"
            f" {number} of {image!r} without any. Write its number and class under Correct, and"
            " press Set class."
        )

    def scores(self, numbers: np.ndarray) -> np.ndarray | None:
        """(N,) scores, NaN of what a hand has drawn; None where nothing has any."""
        found = np.array([self._scores.get(number, np.nan) for number in numbers.tolist()], float)
        return found if np.isfinite(found).any() else None


def _told(layer: LayerData) -> Mapping[str, Any]:
    return layer[1].get("metadata") or {}


def _names(layer: LayerData, count: int) -> list[str]:
    """The file name of each plane, as it would have it alone."""
    file = _told(layer).get("file") or layer[1]["name"]
    return [file] if count == 1 else [frame_name(file, place, count) for place in range(count)]


def _planes(layer: LayerData, colour: bool) -> Sequence[Any]:
    """The images of a layer, one or those of a stack."""
    data, attributes, kind = layer
    data = data[0] if attributes.get("multiscale") else data
    axes = data.ndim - colour
    if axes not in (2, 3):
        raise ValueError(
            f"a layer must be an image (rows, columns) or a stack of them. Received: {kind} layer"
            f" {attributes['name']!r} of shape {tuple(data.shape)}. Take one stack of it, by Layers"
            " > Split Stack."
        )
    return data if axes == 3 else [data]
