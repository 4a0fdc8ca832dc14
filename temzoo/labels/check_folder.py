"""Label files compared with the folder of their images."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from temzoo.core.types import LabelledImage
from temzoo.labels.check_report import Finding
from temzoo.labels.names import ImageFolder, safe_name
from temzoo.micrographs import MissingReaderError, image_size


def compared_with_files(
    images: list[LabelledImage],
    folder: str | Path | None,
    sizes: Mapping[str, tuple[int, int]] | None,
) -> tuple[list[Finding], dict[str, tuple[int, int]]]:
    """Findings about names, files and sizes; and the true (height, width) by name."""
    if folder is not None and sizes is not None:
        raise ValueError(
            "image_folder and image_sizes exclude each other. Received: both. "
            "Give the folder when the images are at hand, else the sizes."
        )
    findings = [finding for image in images for finding in _name_findings(image)]
    true_sizes = dict(sizes or {})
    if folder is not None:
        found, true_sizes = _folder_findings(images, ImageFolder(folder))
        findings += found
    for image in images:
        height, width = true_sizes.get(image.name, (image.height, image.width))
        if (height, width) != (image.height, image.width):
            text = (
                f"the labels say {image.height} x {image.width} px (height x width), the image "
                f"has {height} x {width}. Use the image that was labelled, unscaled."
            )
            findings.append(Finding("error", "size-differs-from-file", image.name, None, text))
    return findings, true_sizes


def _name_findings(image: LabelledImage) -> list[Finding]:
    try:
        safe_name(image.name)
    except ValueError as error:
        return [Finding("error", "name-leaves-folder", image.name, None, str(error))]
    return []


def _folder_findings(
    images: list[LabelledImage], folder: ImageFolder
) -> tuple[list[Finding], dict[str, tuple[int, int]]]:
    """What is amiss between labels and files; and the (height, width) that were read, by name."""
    findings, sizes, named = [], {}, set()
    for image in images:
        try:
            paths = folder.find(image.name)
        except ValueError as error:
            if not _name_findings(image):
                text = str(error)
                findings.append(Finding("error", "name-leaves-folder", image.name, None, text))
            continue
        named.update(path.resolve() for path in paths)
        size, finding = _file_size(image.name, paths, folder)
        findings += finding
        if size is not None:
            sizes[image.name] = size
    text = (
        "the image is in the folder, but not in the labels: it will not be used. "
        "Label it, or take it out."
    )
    findings += [
        Finding("warning", "file-without-labels", str(path.relative_to(folder.folder)), None, text)
        for path in folder.files
        if path.resolve() not in named
    ]
    return findings, sizes


def _file_size(
    name: str, paths: list[Path], folder: ImageFolder
) -> tuple[tuple[int, int] | None, list[Finding]]:
    """(height, width) of the file that a name means, or why there is none."""
    if not paths:
        close = difflib.get_close_matches(name, [path.name for path in folder.files], n=2)
        hint = f" There is {' and '.join(map(repr, close))}." if close else ""
        text = f"no such file in {folder.folder}.{hint} Put it there, or remove it from the labels."
        return None, [Finding("error", "labels-without-file", name, None, text)]
    if len(paths) > 1:
        text = f"it may be any of {', '.join(map(str, paths[:3]))}. Name the folder in the labels."
        return None, [Finding("error", "ambiguous-file", name, None, text)]
    try:
        return image_size(paths[0]), []
    except MissingReaderError as error:
        text = f"its size is not compared with the labels ({error})"
        return None, [Finding("info", "size-not-read", name, None, text)]
    except (OSError, ValueError) as error:
        text = f"the image cannot be read ({error}). Export it again."
        return None, [Finding("error", "unreadable-file", name, None, text)]
