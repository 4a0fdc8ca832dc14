"""Splits: which examples train and which judge, without one specimen on both sides."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from temzoo.core.files import text_lines
from temzoo.core.types import Example
from temzoo.labels.names import NameIndex

HEADERS = frozenset({"name", "image", "image_name", "file", "filename", "img"})


def split(
    examples: Sequence[Example], fractions: Sequence[float] = (0.8, 0.2), *, seed: int = 0
) -> tuple[list[Example], ...]:
    """Splits by group, each part with its share of the images and of every class.

    Groups (``Example.group``, or the name where it is empty) stay whole. They are dealt out one by
    one, those with the largest share of any class first, each to the part that it brings closest
    to its share of images and of shapes per label (least chi-squared).

    Args:
        examples: at least one group per part.
        fractions: share of each part; they sum to 1.
        seed: of the order among equals; the same seed gives the same split.

    Returns:
        one list per fraction, none empty, each in the order of ``examples``.

    Raises:
        ValueError: fractions do not sum to 1, or there are fewer groups than parts.

    Example:
        >>> train, val = split(examples, (0.8, 0.2), seed=1)
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if len(shares) < 2 or not (shares > 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(
            "fractions must be two or more numbers above 0 that sum to 1. "
            f"Received: fractions={tuple(fractions)}. Use (0.8, 0.2)."
        )
    group_of = [example.group or example.name for example in examples]
    groups = list(dict.fromkeys(group_of))
    if len(groups) < len(shares):
        raise ValueError(
            "every part needs at least one group of its own. Received: "
            f"{len(examples)} examples in {len(groups)} group(s) for {len(shares)} parts. "
            "Add images, or give groups that tell the specimens apart."
        )
    parts = _deal(_content(examples, group_of, groups), shares, seed)
    part_of = dict(zip(groups, parts, strict=True))
    return tuple(
        [e for e, group in zip(examples, group_of, strict=True) if part_of[group] == part]
        for part in range(len(shares))
    )


def _content(examples: Sequence[Example], group_of: list[str], groups: list[str]) -> np.ndarray:
    """Share of all images, and of all shapes of each label, that a group holds: (G, 1 + labels).

    The labels together weigh as much as the images.
    """
    labels = sorted({shape.label for example in examples for shape in example.labels.shapes})
    row = {group: index for index, group in enumerate(groups)}
    column = {label: 1 + index for index, label in enumerate(labels)}
    counts = np.zeros((len(groups), 1 + len(labels)))
    for example, group in zip(examples, group_of, strict=True):
        counts[row[group], 0] += 1
        for shape in example.labels.shapes:
            counts[row[group], column[shape.label]] += 1
    return counts / counts.sum(axis=0)


def _deal(content: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """The part of each group, (G,) int."""
    weights = np.full(content.shape[1], 1.0 / max(1, content.shape[1] - 1))
    weights[0] = 1.0
    shuffled = np.random.default_rng(seed).permutation(len(content))
    order = shuffled[np.argsort(-content[shuffled].max(axis=1), kind="stable")]
    part_of = np.full(len(content), -1)
    filled = np.zeros((len(shares), content.shape[1]))
    for position, group in enumerate(order):
        # (filled + content - share)^2 / share, less what it was before
        excess = 2 * (filled - shares[:, None]) + content[group]
        cost = (weights * content[group] * excess / shares[:, None]).sum(axis=1)
        empty = ~np.isin(np.arange(len(shares)), part_of)
        if len(order) - position <= empty.sum():  # the last groups go where none is yet
            cost[~empty] = np.inf
        part_of[group] = np.argmin(cost)
        filled[part_of[group]] += content[group]
    return part_of


def split_by_names(
    examples: Sequence[Example], train_names: Iterable[str], val_names: Iterable[str]
) -> tuple[list[Example], list[Example]]:
    """Splits by two lists of image names; examples on neither list are left out.

    Args:
        examples: with distinct names.
        train_names, val_names: with or without folder and suffix.

    Returns:
        the two parts, in the order of ``examples``.

    Raises:
        ValueError: a name is no example's, is several examples', or is on both lists; a specimen
            (``Example.group``) has images on both; a list is empty.

    Example:
        >>> train, val = split_by_names(examples, read_names("train.csv"), read_names("val.csv"))
    """
    train, val = pick(examples, train_names), pick(examples, val_names)
    require_apart(train, val)
    if not train or not val:
        raise ValueError(
            "both lists must name at least one image. "
            f"Received: {len(train)} for training, {len(val)} for validation. Add names to the"
            " empty one."
        )
    return train, val


def require_apart(train: Sequence[Example], val: Sequence[Example]) -> None:
    """Raises ValueError where an image, or a specimen (``Example.group``), is in both parts."""
    if both := sorted({e.name for e in train} & {e.name for e in val}):
        raise ValueError(
            "no image may be on both lists, it would judge what it taught. Received: "
            f"{len(both)} on both, {', '.join(both[:3])}. Remove them from one list."
        )
    image_of = {e.group: e.name for e in train if e.group}
    for judge in val:
        if judge.group in image_of:
            raise ValueError(
                "no specimen may be on both sides, it would judge what it taught. Received: "
                f"{judge.group!r}, with {image_of[judge.group]} to learn from and {judge.name} to"
                " judge by. Put all its images on one side."
            )


def pick(examples: Sequence[Example], names: Iterable[str]) -> list[Example]:
    """The examples of a list of image names, in their own order.

    Names may lack folder and suffix; naming one twice picks it once.

    Raises:
        ValueError: a name is no example's, or several examples'.
    """
    index = NameIndex(example.name for example in examples)
    chosen = {index.find(name) for name in names}
    return [example for example in examples if example.name in chosen]


def read_names(path: str | Path) -> list[str]:
    """The first column of a CSV file; a heading such as ``name`` and empty lines are skipped.

    Raises:
        ValueError: the file names nothing.
    """
    names = [row[0].strip() for _, row in _rows(path)]
    if not names:
        raise ValueError(
            f"{path}: a list of images must name at least one. Received: none. Write a name a line."
        )
    return names


def read_groups(path: str | Path) -> dict[str, str]:
    """Name to group, from the first two columns of a CSV file.

    Raises:
        ValueError: a line lacks its group, or an image has two.

    Example:
        >>> read_groups("groups.csv")["f78844f8ce"]
        '10.1016.j.chemosphere.2019.06.008'
    """
    groups: dict[str, str] = {}
    for line, row in _rows(path):
        if len(row) < 2 or not row[1].strip():
            raise ValueError(
                f"{path}, line {line}: each line must be an image's name, a comma and its group. "
                f"Received: {','.join(row)!r}. Add the group."
            )
        name, group = row[0].strip(), row[1].strip()
        if groups.setdefault(name, group) != group:
            raise ValueError(
                f"{path}, line {line}: an image has one group. Received: {name!r} in "
                f"{groups[name]!r} and in {group!r}. Remove one line."
            )
    return groups


def _rows(path: str | Path) -> list[tuple[int, list[str]]]:
    reader = csv.reader(f"{line}\n" for line in text_lines(path))
    rows = [(reader.line_num, row) for row in reader if row and row[0].strip()]
    if rows and rows[0][1][0].strip().lower() in HEADERS:
        del rows[0]
    return rows
