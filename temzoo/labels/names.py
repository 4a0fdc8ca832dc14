"""Names in label files: of images, matched and checked before they become paths, and of classes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

from temzoo.core.types import LabelledImage
from temzoo.micrographs import MICROSCOPE_SUFFIXES, list_images

_DRIVE = re.compile(r"[A-Za-z]:")


def safe_name(name: str) -> PurePosixPath:
    """An image name as a relative path that stays inside its folder.

    Folders in the name are kept (``lot3/a.png``); backslashes part folders as slashes do, since
    label files are written on Windows too.

    Raises:
        ValueError: when the name is empty, absolute, has a drive letter or a NUL, or climbs out
            with ``..``.
    """
    path = _as_path(name)
    leaves = path.is_absolute() or ".." in path.parts or _DRIVE.match(str(path))
    if leaves or not path.parts or any(ord(letter) < 32 for letter in name):
        raise ValueError(
            "an image name must be a file inside the folder of images, without '..', a leading "
            f"slash, a drive letter or control characters. Received: name={name!r}. "
            "Rename the image in the label file."
        )
    return path


def safe_path(folder: str | Path, name: str) -> Path:
    """The path of an image inside a folder, links followed; whether it exists is not looked at.

    Raises:
        ValueError: when the path would lie outside the folder (see ``safe_name``).
    """
    root = Path(folder).resolve()
    path = (root / safe_name(name)).resolve()
    if not path.is_relative_to(root):
        raise ValueError(
            f"an image must lie inside its folder. Received: name={name!r}, which a link leads to "
            f"{path}, outside {root}. Put the file itself into the folder."
        )
    return path


def label_paths(folder: str | Path, names: Iterable[str], suffix: str) -> list[Path]:
    """Where the label files of images go: their names with another suffix, such as ".png".

    A number behind the last point is no suffix: ``frame.0012`` becomes ``frame.0012.png``.

    Raises:
        ValueError: when a name leads out of the folder, or two images get one file.
    """
    taken: dict[Path, str] = {}
    for name in names:
        path = safe_path(folder, name)
        path = path.with_name(_without_suffix(path) + suffix)
        if path in taken:
            raise ValueError(
                f"each image must get a file of its own. Received: {taken[path]!r} and {name!r}, "
                f"both {path.name!r}. Rename one, or write them to two folders."
            )
        taken[path] = name
    return list(taken)


def name_keys(name: str) -> tuple[str, ...]:
    """What an image may be called, most exact first: fewer folders, with and without suffix.

    Example:
        >>> name_keys("lot3/a.png")
        ('lot3/a.png', 'lot3/a', 'a.png', 'a')
    """
    path = _as_path(name)
    ends = [PurePosixPath(*path.parts[k:]) for k in range(len(path.parts))] or [path]
    return tuple(dict.fromkeys(key for end in ends for key in _with_and_without_suffix(end)))


class NameIndex:
    """Finds full image names by names that may lack folders or the suffix, or have others.

    Example:
        >>> NameIndex(["lot3/a.png", "lot3/b.png"]).find("a")
        'lot3/a.png'
    """

    def __init__(self, names: Iterable[str]):
        self._names = list(dict.fromkeys(names))
        self._by_key: dict[str, list[str]] = {}
        for name in self._names:
            for key in name_keys(name):
                self._by_key.setdefault(key, []).append(name)

    def matches(self, name: str, *, any_folder: bool = False) -> list[str]:
        """All full names that the most exact reading of ``name`` leads to; maybe none.

        ``any_folder``: ``x/a.png`` may be ``y/a.png``, where nothing fits better; else two folders
        that differ are two images.
        """
        whole = _with_and_without_suffix(_as_path(name))
        for key in name_keys(name):
            found = self._by_key.get(key, [])
            if key not in whole and not any_folder:
                found = [full for full in found if key in _with_and_without_suffix(_as_path(full))]
            if found:
                return [full for full in found if _as_path(full) == PurePosixPath(key)] or found
        return []

    def find(self, name: str) -> str:
        """The one full name; raises ValueError where there is none, or there are several."""
        found = self.matches(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(
                f"a name must be one image's. Received: {name!r}, which may be "
                f"{', '.join(found[:3])}. Write it with its folder and suffix."
            )
        close = difflib.get_close_matches(name, self._names, n=3)
        hint = f"Close: {', '.join(close)}." if close else f"Known: {', '.join(self._names[:3])}, …"
        raise ValueError(
            f"every name must be an image's, with or without its suffix. Received: {name!r}. {hint}"
        )


class ImageFolder:
    """The image files of a folder and its subfolders, sorted, hidden ones left out."""

    def __init__(self, folder: str | Path):
        """Lists the files; raises NotADirectoryError when the folder is none."""
        self.folder = Path(folder)
        self.files = list_images(folder)
        names = [path.relative_to(self.folder).as_posix() for path in self.files]
        # A microscope's file often lies beside its export, which is the one to use.
        raw = {name for name in names if name.lower().endswith(MICROSCOPE_SUFFIXES)}
        exports = [name for name in names if name not in raw]
        self._indices = NameIndex(exports), NameIndex(sorted(raw))

    def find(self, name: str) -> list[Path]:
        """The files that a name in the labels may mean: one, none or several.

        By the whole name; else by the longest end of it that a file has, since an export may have
        folders where the images lie flat, or lie in others; each without suffix too, since frames
        of a video have none and masks may have another.

        Raises:
            ValueError: when the name leads out of the folder.
        """
        if safe_path(self.folder, name).is_file():
            return [self.folder / safe_name(name)]
        found = (index.matches(name, any_folder=True) for index in self._indices)
        return [self.folder / full for full in next(filter(None, found), [])]


def _as_path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))


def _without_suffix(path: PurePath) -> str:
    """The last part of a path; a number behind its last point is no suffix (``frame.0012``)."""
    ending = path.suffix[1:]
    return path.name if ending.isdigit() or not ending.isalnum() else path.stem


def _with_and_without_suffix(path: PurePosixPath) -> tuple[str, str]:
    return str(path), str(path.parent / _without_suffix(path))


def class_names(images: Iterable[LabelledImage]) -> list[str]:
    """Label names that images declare, in that order, then those that only their shapes have."""
    images = list(images)
    declared = [name for image in images for name in image.classes]
    used = [shape.label for image in images for shape in image.shapes]
    return list(dict.fromkeys([*declared, *used]))


def with_area(image: LabelledImage) -> LabelledImage:
    """The image with those shapes alone that have an area."""
    return replace(image, shapes=tuple(shape for shape in image.shapes if shape.has_area))
