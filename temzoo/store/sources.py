"""The micrograph that a prediction was made from, found again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from temzoo.core.files import file_stem
from temzoo.core.types import Micrograph
from temzoo.micrographs import list_images, load_micrograph
from temzoo.micrographs.listing import is_file_of_image
from temzoo.store.predictions import same_source
from temzoo.store.sidecar import last_part


def sources_in(folder: str | Path) -> dict[str, list[Path]]:
    """The micrographs below a folder by file name, and by the stem that results are named after.

    Raises:
        NotADirectoryError: ``folder`` is no folder.
    """
    found: dict[str, list[Path]] = {}
    for path in list_images(folder):
        for key in {path.name, file_stem(path.name)}:
            found.setdefault(key, []).append(path)
    return found


def source_of(
    told: Mapping[str, Any], images: Mapping[str, Sequence[Path]] | None = None
) -> Path | None:
    """The file of the micrograph that was predicted, where it can be found.

    First what has its full name in ``images``, then the file where it was, then what has its stem
    in ``images``. A sidecar may name any file: where it states size and hash, only a file of that
    size, and of that time or hash, is taken.

    Args:
        told: what a sidecar says, by ``about``; "source_sha256" may be None: nothing is known.
        images: what ``sources_in`` found in the folder where the micrographs lie now.

    Raises:
        ValueError: several files of that name, and no hash to tell which it is.
    """
    images = images or {}
    names = [last_part(told[key]) for key in ("source", "name") if told[key]]
    found = _of_name(told, images, names, lambda path: path.name)
    source = Path(told["source"] or "")
    if (
        found is None
        and told["source_sha256"]
        and is_file_of_image(source)
        and same_source(told, source)
    ):
        return source
    stems = [file_stem(name) for name in names if name]
    return found or _of_name(told, images, stems, lambda path: file_stem(path.name))


def load_source(
    told: Mapping[str, Any], images: Mapping[str, Sequence[Path]] | None = None
) -> tuple[Micrograph | None, str]:
    """The micrograph that was predicted (of a stack its "frame"), or why there is none.

    The arguments, and what raises, are those of ``source_of``.
    """
    path = source_of(told, images)
    if path is None:
        return None, "The micrograph is not where it was when it was predicted, or has changed."
    try:
        micrograph = load_micrograph(path, frame=told.get("frame") or 0)
    except (OSError, ValueError) as error:
        # The folders of whoever reads it are nothing for a report.
        why = str(error).replace(str(path), path.name)
        return None, f"The micrograph could not be read: {why}"
    if (micrograph.height, micrograph.width) != (told["height"], told["width"]):
        return None, (
            f"{path.name} is {micrograph.width} × {micrograph.height} px, not"
            f" {told['width']} × {told['height']}: another micrograph than was predicted."
        )
    return micrograph, ""


def _of_name(
    told: Mapping[str, Any],
    images: Mapping[str, Sequence[Path]],
    names: Iterable[str],
    named: Callable[[Path], str],
) -> Path | None:
    """The one file of some names that is the predicted one, as far as that is known."""
    paths = [path for name in dict.fromkeys(names) for path in images.get(name, ())
             if named(path) == name]  # fmt: skip
    if told["source_sha256"] is not None:
        return next((path for path in paths if same_source(told, path)), None)
    if len(paths) > 1:
        raise ValueError(
            "a micrograph is found by its name, so that the names of images must differ. Received:"
            f" {paths[0]} and {paths[1]} for {told['name']!r}. Give the folder that holds one."
        )
    return paths[0] if paths else None
