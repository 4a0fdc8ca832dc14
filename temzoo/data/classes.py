"""Single images that have a class each: a "tag" of their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from temzoo.core.types import Example, Shape
from temzoo.data.pair_files import load_images

TAG = "tag"


def tagged(example: Example, label: str) -> Example:
    """The example as an image of a class."""
    tag = Shape(TAG, label, np.zeros((0, 2)))
    return replace(example, labels=replace(example.labels, shapes=(tag,)))


def class_of(example: Example) -> str:
    """The class of an image.

    Raises:
        ValueError: it has none, or several.
    """
    found = [shape.label for shape in example.labels.shapes if shape.kind == TAG]
    if len(found) != 1:
        raise ValueError(
            f"{example.name}: an image to classify has one class. Received: {len(found)} of them."
            " Load the images with temzoo.load_classes."
        )
    return found[0]


def image_classes(examples: Iterable[Example]) -> tuple[str, ...]:
    """The classes of images, in alphabetical order."""
    return tuple(sorted({class_of(example) for example in examples}))


def class_folders(
    folder: str | Path, groups: str | Path | Mapping[str, str] | None = None
) -> list[Example]:
    """The images of a folder that has a folder for each class.

    Args:
        groups: image name to specimen, micrograph or publication, or a CSV file of them.

    Raises:
        FileNotFoundError: there is no image in the folder.
        ValueError: an image lies in no folder of a class, or has no group.
    """
    examples = load_images(folder, groups)
    loose = [example.name for example in examples if "/" not in example.name]
    if loose:
        raise ValueError(
            f"{folder} must hold a folder for each class, or a table particles.csv with their"
            f" classes. Received: {len(loose)} images outside of one, {', '.join(loose[:3])}."
            " Put each into the folder of its class, or cut particles with `temzoo particles`."
        )
    return [tagged(example, example.name.split("/")[0]) for example in examples]


def one_hot(examples: Sequence[Example], names: Sequence[str]) -> np.ndarray:
    """(N, classes) float32: 1 for the class of each image."""
    places = [names.index(class_of(example)) for example in examples]
    return np.eye(len(names), dtype=np.float32)[places]
