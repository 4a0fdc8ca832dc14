"""A folder of micrographs and its label file become examples."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import temzoo.labels
from temzoo.core.hints import located
from temzoo.core.types import IGNORE, Example, LabelledImage, Shape
from temzoo.data.splits import read_groups
from temzoo.labels.names import ImageFolder, NameIndex
from temzoo.labels.renaming import fitting, renamed
from temzoo.labels.shapes.raster import BACKGROUND, foreground_classes
from temzoo.micrographs import image_size, load_micrograph

NAMED_IN_ERRORS = 5


def load_dataset(
    images: str | Path,
    labels: str | Path,
    *,
    groups: str | Path | Mapping[str, str] | None = None,
    nm_per_pixel: float | tuple[float, float] | None = None,
    classes: Sequence[str] | None = None,
    ignore: Collection[str] = (),
    values: str = "auto",
    rename: Mapping[str, str] | None = None,
    merge: Mapping[str, Sequence[str]] | None = None,
    like: Mapping[str, Any] | None = None,
    crop_bar: bool = False,
) -> list[Example]:
    """Reads labels and finds their micrographs; the pixels are read later, when asked for.

    Images that the labels do not name are left out. Images named without a shape are background,
    and count where their file is there. ``temzoo labels check`` reports both.

    Args:
        images: the folder of micrographs. An image is found by the name in the labels; else by
            its last part, and else without its suffix.
        labels: a label file, or a folder of labels or masks (``temzoo.labels.read``).
        groups: image name to specimen or publication, or a CSV file of them (``read_groups``):
            images of one group are never parted by ``split``.
        nm_per_pixel: overrides the files' calibration: one number, or (row, col).
        classes: the label names in use, in the order of the classes 1, 2, …; None: those that
            the labels declare.
        ignore: labels whose shapes are left out. Regions of the label "ignore" need no mention:
            their pixels weigh nothing in loss and scores.
        values: what the pixels of masks mean: "classes", "instances", "binary", or "auto", by
            which it is guessed and logged (``temzoo.labels``).
        rename: new names of classes, by the old ones.
        merge: old names of classes, several, by the new one.
        like: the ``run.json`` of a run: its labels' ``values`` hold where these are masks and
            "auto", and its names of classes where none are given here, as far as they fit.
        crop_bar: what was drawn into the micrographs becomes a region "ignore" on top of shapes:
            info bars, and with ``temzoo[scalebar]`` scale bars and panel letters. Every image is
            read for it, and searched for text, a second or so each.

    Returns:
        one example per image, in the order of the labels.

    Raises:
        FileNotFoundError: images with labels are not in the folder.
        ValueError: an image's size is not what the labels state, its name leaves the folder, two
            entries lead to one file, a label is not among the classes, or an image has no group.

    Example:
        >>> examples = load_dataset(images="emps/images", labels="emps/annotations.xml")
    """
    noted = _noted(like)
    if values == "auto" and noted["values"] != "auto" and temzoo.labels.is_masks(labels):
        values = noted["values"]
    entries = _read(labels, images, values)
    if not rename and not merge:
        rename, merge = fitting(entries, noted["rename"], noted["merge"])
    reading = {"values": values, "rename": dict(rename or {}), "merge": dict(merge or {})}
    entries = renamed(entries, rename, merge)
    labelled = [_chosen(entry, classes, ignore) for entry in entries]
    with located(str(labels)):
        paths = _find_images(labelled, images, labels)
        found = [(entry, path) for entry, path in zip(labelled, paths, strict=True) if path]
        _require_one_entry_each(found)
    for entry, path in found:
        height, width = image_size(path)
        if (height, width) != (entry.height, entry.width):
            raise ValueError(
                f"{labels}: image {entry.name!r} is labelled at {entry.width} x {entry.height} px. "
                f"Received: {path}, {width} x {height} px (width x height). Use the images that "
                "were labelled, or scale the labels."
            )
    group_of = groups_of([entry.name for entry, _ in found], groups)
    examples = [
        Example(
            entry,
            functools.partial(load_micrograph, path, nm_per_pixel=nm_per_pixel),
            group,
            reading=reading,
        )
        for (entry, path), group in zip(found, group_of, strict=True)
    ]
    return [_without_drawn(example) for example in examples] if crop_bar else examples


def _without_drawn(example: Example) -> Example:
    """The example with a region "ignore" over whatever was drawn into its micrograph."""
    from temzoo.micrographs.annotations import annotations_drawn_in  # with OpenCV
    from temzoo.micrographs.drawn_text import can_read_text

    pixels, labels = example.micrograph.pixels, example.labels
    boxes = annotations_drawn_in(pixels, read_text=can_read_text()).boxes
    top = max((shape.z_order for shape in labels.shapes), default=0) + 1
    corners = (np.array([box[:2], box[2:]], np.float64) for box in boxes)
    regions = (Shape("box", IGNORE, each, z_order=top, source="auto") for each in corners)
    return replace(example, labels=replace(labels, shapes=(*labels.shapes, *regions)))


def class_names(examples: Iterable[Example]) -> tuple[str, ...]:
    """The classes 1, 2, … of a data set: labels that stand on a shape with an area.

    Declared labels come first, in the order of declaration, then others in alphabetical order.
    Labels that no area has (lines, points, tags, or none at all), "background" and "ignore" are
    left out.
    """
    examples = list(examples)
    declared = [name for example in examples for name in example.labels.classes]
    drawn = {s.label for example in examples for s in example.labels.shapes if s.has_area}
    ordered = dict.fromkeys([*declared, *sorted(drawn)])
    return tuple(name for name in ordered if name in drawn and name not in (BACKGROUND, IGNORE))


def _read(labels: str | Path, images: str | Path, values: str) -> list[LabelledImage]:
    entries = temzoo.labels.read(labels, images=images, values=values)
    if not entries:
        raise ValueError(
            f"{labels}: labels must name at least one image. Received: none. "
            "Export the task again, with its annotations."
        )
    return entries


def _noted(run: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """How the labels of a run were read, as it says; as usual where it does not."""
    noted = {"values": "auto", "rename": {}, "merge": {}}
    told = (run or {}).get("labels", {})
    kinds_fit = isinstance(told, dict) and all(
        isinstance(told.get(name, value), type(value)) for name, value in noted.items()
    )
    if not kinds_fit:
        raise ValueError(
            f"labels of a run's run.json must say how they were read. Received: {str(told)[:60]}. "
            "It is damaged, or not as temzoo writes it: copy it again."
        )
    return noted | told


def _chosen(
    entry: LabelledImage, classes: Sequence[str] | None, ignore: Collection[str]
) -> LabelledImage:
    if ignore:
        shapes = tuple(shape for shape in entry.shapes if shape.label not in ignore)
        entry = replace(entry, shapes=shapes)
    if classes is None:
        return entry
    names = foreground_classes(classes)
    unknown = sorted({s.label for s in entry.shapes if s.has_area} - {*names, IGNORE})
    if unknown:
        raise ValueError(
            f"every label must be one of the classes. Received: {unknown[0]!r} in image "
            f"{entry.name!r}, classes={list(classes)}. Add it, or pass ignore=[{unknown[0]!r}]."
        )
    return replace(entry, classes=names)


def _find_images(
    labelled: Sequence[LabelledImage], images: str | Path, labels: str | Path
) -> list[Path | None]:
    """The file of each entry; None for one that is missing and has no shapes."""
    folder = ImageFolder(images)
    paths = [_find_image(entry.name, folder) for entry in labelled]
    missing = [e.name for e, path in zip(labelled, paths, strict=True) if not path and e.shapes]
    if missing:
        more = f" and {len(missing) - NAMED_IN_ERRORS} more" * (len(missing) > NAMED_IN_ERRORS)
        raise FileNotFoundError(
            f"{labels}: every image with labels must be in the folder of images. Received: "
            f"{len(missing)} of {len(labelled)} not in {images} (which has {len(folder.files)} "
            f"images): {', '.join(missing[:NAMED_IN_ERRORS])}{more}. Pass the folder that holds "
            "them, or remove them from the labels."
        )
    return paths


def _find_image(name: str, folder: ImageFolder) -> Path | None:
    found = folder.find(name)
    if len(found) > 1:
        files = [path.relative_to(folder.folder).as_posix() for path in found[:NAMED_IN_ERRORS]]
        raise ValueError(
            f"a name must lead to one image. Received: {name!r}, which may be "
            f"{', '.join(files)} in {folder.folder}. Remove or rename the others."
        )
    return found[0] if found else None


def _require_one_entry_each(found: Sequence[tuple[LabelledImage, Path]]) -> None:
    first: dict[Path, str] = {}
    for entry, path in found:
        path = path.resolve()
        if path in first:
            raise ValueError(
                f"every image must be labelled once. Received: {first[path]!r} and "
                f"{entry.name!r}, both the file {path}. Merge the entries, or keep the images in "
                "the folders that the labels name."
            )
        first[path] = entry.name


def groups_of(names: Sequence[str], groups: str | Path | Mapping[str, str] | None) -> list[str]:
    if groups is None:
        return [""] * len(names)
    source = "groups" if isinstance(groups, Mapping) else str(groups)
    by_name = groups if isinstance(groups, Mapping) else read_groups(groups)
    index = NameIndex(by_name)
    found = [index.matches(name) for name in names]
    missing = [name for name, match in zip(names, found, strict=True) if len(match) != 1]
    if missing:
        raise ValueError(
            f"{source}: every image needs one group. Received: {len(missing)} of {len(names)} "
            f"images without, {', '.join(missing[:NAMED_IN_ERRORS])}. Add a line for each."
        )
    return [by_name[match[0]] for match in found]
