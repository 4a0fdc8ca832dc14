"""Training on layers: images and the particles that are labelled in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from temzoo.annotation.prediction_labels import labels_of
from temzoo.core.types import Example, Micrograph, Prediction, Tell
from temzoo.data.splits import split
from temzoo.viewer.layers import LayerData, micrographs_in, plane_count, predictions_in

if TYPE_CHECKING:
    from temzoo.training.train import Run

START = "particles/emps"
# Of weights that know particles already: a few images are few windows, so an epoch has more steps.
USUAL: Mapping[str, Any] = {"batch": 4, "steps_per_epoch": 10}
LEARNT = 0.75  # of a single image; the rest of it is judged by
Pair = tuple[LayerData, LayerData]
Labelled = tuple[str, Micrograph, Prediction]  # with its group


def image_of(labels: LayerData, images: Sequence[LayerData]) -> LayerData:
    """The image layer that a labels layer lies on: the one it was found in, else the one that fits.

    Raises:
        ValueError: none has its size, or several do and none is the one it was found in.
    """
    name, shape = labels[1]["name"], np.shape(labels[0])
    fits = [each for each in images if np.shape(each[0])[: len(shape)] == shape]
    file = (labels[1].get("metadata") or {}).get("file")
    own = [each for each in fits if file and _file(each) == file] or fits
    if len(own) != 1:
        names = ", ".join(repr(each[1]["name"]) for each in own) or "none"
        raise ValueError(
            f"labels {name!r} of shape {shape} must lie on one image layer of that size. Received:"
            f" {names}. Close the other, or predict the labels in their image."
        )
    return own[0]


def _file(layer: LayerData) -> str:
    return (layer[1].get("metadata") or {}).get("file", layer[1]["name"])


def parts_of(pairs: Sequence[Pair]) -> tuple[list[Example], list[Example]]:
    """What to learn from and what to choose the best epoch by.

    Image layers are dealt out whole, a stack being one specimen. Of a single one the upper or left
    three quarters of each plane are learnt from and the rest is judged by, which flatters: it is
    the same specimen.

    Args:
        pairs: each an image layer and the labels layer that lies on it.

    Raises:
        ValueError: there are none, or two of one image; the numbers of planes differ; as
            ``predictions_in``.
    """
    found = [one for image, labels in pairs for one in _labelled(image, labels)]
    if not found:
        raise ValueError(
            "training needs labels layers on their images. Received: none. Select the labels"
            " layers in napari's list of layers."
        )
    names = [micrograph.name for _, micrograph, _ in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"an image is learnt from once. Received: two labels layers, or two images, of"
            f" {twice!r}. Select one, or give the image layers names and files of their own."
        )
    if len({group for group, _, _ in found}) > 1:
        learn, judge = split([_example(*one) for one in found])
        return learn, judge
    learn, judge = zip(*(_cut(one) for one in found), strict=True)
    return [_example(*one) for one in learn], [_example(*one) for one in judge]


def _labelled(image: LayerData, labels: LayerData) -> list[Labelled]:
    if plane_count(image) != plane_count(labels):
        raise ValueError(
            f"labels {labels[1]['name']!r} must have as many planes as their image. Received:"
            f" {plane_count(labels)} for {plane_count(image)}. Label the whole stack."
        )
    pairs = zip(micrographs_in(image), predictions_in(labels), strict=True)
    group = str((image[1].get("metadata") or {}).get("source", image[1]["name"]))
    return [(group, micrograph, prediction) for micrograph, (_, prediction) in pairs]


def _cut(one: Labelled) -> tuple[Labelled, Labelled]:
    """The larger and the smaller part of an image, along its longer side."""
    group, micrograph, prediction = one
    axis = int(micrograph.width > micrograph.height)
    at = round(LEARNT * prediction.instances.shape[axis])
    parts = []
    for kind, places in (("to learn from", slice(at)), ("to judge by", slice(at, None))):
        window = (slice(None),) * axis + (places,)
        name = f"{micrograph.name}, {kind}"
        shown = replace(micrograph, pixels=micrograph.pixels[window], name=name)
        maps = {"classes": prediction.classes[window], "instances": prediction.instances[window]}
        parts.append((f"{group}, {kind}", shown, replace(prediction, name=name, **maps)))
    return parts[0], parts[1]


def _example(group: str, micrograph: Micrograph, prediction: Prediction) -> Example:
    labels = labels_of(replace(prediction, scores=None), shapes="masks", may_be_empty=True)
    return Example(labels, partial(_same, micrograph), group)


def _same(micrograph: Micrograph) -> Micrograph:
    return micrograph


def train_on(
    pairs: Sequence[Pair],
    *,
    out: str | Path,
    start: str = START,
    tell: Tell | None = None,
    **settings: Any,
) -> Run:
    """Trains further on labelled layers, and writes the run folder that ``temzoo train`` writes.

    All that is not labelled counts as background.

    Args:
        pairs: as for ``parts_of``.
        out: the new run folder.
        start: the weights to begin with, a run folder or MODEL/NAME, whose model is trained.
        tell: is told how far it is, after each step; KeyboardInterrupt from it ends the run with
            the best weights so far.
        **settings: of ``temzoo.train``; by default 10 steps of 4 crops an epoch.

    Raises:
        ValueError, FileExistsError: as ``parts_of`` and ``temzoo.train``.
    """
    import keras

    from temzoo.tasks.training_data import with_classes
    from temzoo.workflows.training import train
    from temzoo.zoo.building import get_model
    from temzoo.zoo.pretrained import find_trained

    learn, judge = parts_of(pairs)
    card = find_trained(start).card
    config = with_classes(card.model, {}, [*learn, *judge], card.class_names)
    keras.utils.set_random_seed(settings.get("seed", 0))
    model = get_model(card.model, start=start, **config)
    chosen = {**USUAL, **settings}
    return train(model, learn, judge, out=out, progress=tell or False, **chosen)
