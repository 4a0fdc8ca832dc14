"""Classes of labels under other names, or several under one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from temzoo.core.hints import did_you_mean
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.names import class_names


def renamed(
    images: Iterable[LabelledImage],
    rename: Mapping[str, str] | None = None,
    merge: Mapping[str, Sequence[str]] | None = None,
) -> list[LabelledImage]:
    """Labels with other names of classes.

    Args:
        rename: the new name by the old one; no two classes become one.
        merge: the old names by the new one, which may be among them.

    Raises:
        ValueError: a name is none of the labels', is given twice, or a new name is taken by
            another class.

    Example:
        >>> renamed(images, {"particle": "nanoparticle"}, {"defect": ["void", "loop"]})
    """
    images, rename, merge = list(images), dict(rename or {}), dict(merge or {})
    pairs = [*rename.items(), *((old, new) for new, olds in merge.items() for old in olds)]
    if not pairs:
        return images
    new_name = dict(pairs)
    known = class_names(images)
    _check([old for old, _ in pairs], known)
    after = [name for name in known if name not in new_name] + list(rename.values()) + list(merge)
    taken = next((name for name in after if after.count(name) > 1), None)
    if taken is not None:
        raise ValueError(
            f"classes must keep names of their own. Received: two that would be {taken!r}. Use "
            f"merge={{{taken!r}: [...]}} with all of their names (--merge A,B={taken})."
        )
    return [_image(image, new_name) for image in images]


def fitting(
    images: Iterable[LabelledImage],
    rename: Mapping[str, str],
    merge: Mapping[str, Sequence[str]],
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Of new names that were for other labels, those whose classes these labels have.

    Example:
        >>> fitting(images, {"particle": "nanoparticle", "dirt": "carbon"}, {})
        ({'particle': 'nanoparticle'}, {})
    """
    known = class_names(images)

    def free(name: str) -> bool:
        return name not in known or name in rename

    kept = {old: new for old, new in rename.items() if old in known and free(new)}
    merged = {
        new: [name for name in known if name in (*olds, new)]
        for new, olds in merge.items()
        if any(name in known for name in olds)
    }
    return kept, merged


def parsed(
    rename: Iterable[str] | None, merge: Iterable[str] | None
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """What ``renamed`` takes, of texts such as "a=b" and "a,b=c".

    Raises:
        ValueError: a text is not of this form.
    """
    renames, merges = {}, {}
    for text in rename or ():
        old, new = _sides(text, "--rename", "OLD=NEW")
        renames[old] = new
    for text in merge or ():
        old, new = _sides(text, "--merge", "A,B=NEW")
        merges[new] = [name.strip() for name in old.split(",")]
    return renames, merges


def _sides(text: str, option: str, form: str) -> tuple[str, str]:
    old, equals, new = text.rpartition("=")
    if not (equals and old.strip() and new.strip()):
        raise ValueError(f"{option} must be {form}. Received: {text!r}.")
    return old.strip(), new.strip()


def _check(olds: list[str], known: Sequence[str]) -> None:
    for old in olds:
        if old not in known:
            raise ValueError(
                f"only classes of the labels can be renamed. Received: {old!r}, known "
                f"{list(known)[:10]}.{did_you_mean(old, known, repr)} Correct the name."
            )
        if olds.count(old) > 1:
            raise ValueError(f"a class gets one new name. Received: {old!r} twice. Leave one out.")


def _image(image: LabelledImage, new_name: Mapping[str, str]) -> LabelledImage:
    classes = tuple(dict.fromkeys(new_name.get(name, name) for name in image.classes))
    # Parts of one object share label and group: objects of two labels must not become one.
    groups: dict[tuple[str, int], tuple[str, int]] = {}
    free = 1 + max((shape.group_id for shape in image.shapes), default=0)
    shapes: list[Shape] = []
    for shape in image.shapes:
        label = new_name.get(shape.label, shape.label)
        if shape.group_id > 0 and (shape.label, shape.group_id) not in groups:
            number = shape.group_id
            if (label, number) in groups.values():
                number, free = free, free + 1
            groups[shape.label, shape.group_id] = label, number
        number = groups.get((shape.label, shape.group_id), (label, shape.group_id))[1]
        shapes.append(replace(shape, label=label, group_id=number))
    return replace(image, shapes=tuple(shapes), classes=classes)
