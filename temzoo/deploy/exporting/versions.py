"""Writes an export to DIR/NAME/VERSION, whole or not at all.

TensorFlow Serving watches DIR/NAME and loads a folder as soon as it has a number for a name. So a
version is made beside it under a hidden name, which a server ignores, and takes its number when it
has been checked. What a killed export leaves is removed by the next one.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from temzoo.core.files import lock

PREFIX = ".exporting-"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def check_name(name: str) -> None:
    """Raises ValueError for a name that is no folder's, or that a URL would not carry."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            "A served model's name is letters, digits, '_', '.' and '-', and starts with a letter."
            f' Received: name={name!r}. Use "particles", for instance.'
        )


def check_version(version: int) -> None:
    """Raises ValueError for what TensorFlow Serving does not take for a version."""
    if not isinstance(version, int) or isinstance(version, bool) or not 0 < version < 2**63:
        raise ValueError(
            f"version must be a whole number from 1 on. Received: version={version!r}. Use 1."
        )


def versions(home: Path) -> list[int]:
    """The versions in DIR/NAME, rising."""
    if not home.is_dir():
        return []
    return sorted(int(each.name) for each in home.iterdir() if each.name.isdecimal())


def next_free(home: Path) -> int:
    """The number after the highest version in DIR/NAME."""
    return max(versions(home), default=0) + 1


def check_free(home: Path, version: int) -> None:
    """Raises FileExistsError, with the next free number, for a version that is there."""
    if version in versions(home):
        raise FileExistsError(
            "A version that was exported is not replaced, as a server may hold it. Received:"
            f" version={version}, and {home / str(version)} exists. Use version={next_free(home)}."
        )


@contextmanager
def staged(home: Path, version: int) -> Iterator[Path]:
    """Gives a hidden folder in ``home``, which becomes ``home/VERSION`` when the block ends well.

    Raises:
        FileExistsError: the version is there already, or somebody else was faster.
        FileNotFoundError: the folder was moved or removed meanwhile.
    """
    check_free(home, version)
    made = [folder for folder in (home, home.parent) if not folder.exists()]
    home.mkdir(parents=True, exist_ok=True)
    remove_leftovers(home)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{version}-", dir=home))
    held = lock(folder)  # gone with the process, however it ends
    try:
        yield folder
        _require_in_place(folder, held)
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)
        check_free(home, version)
        os.rename(folder, home / str(version))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)
        for folder in made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _require_in_place(folder: Path, held: int | None) -> None:
    """Refuses a folder that TensorFlow made anew, with a part of the files."""
    there = folder.is_dir()
    if not there or held is None or not os.path.samestat(os.stat(folder), os.fstat(held)):
        raise FileNotFoundError(
            f"An export must stay where it is written. Received: {folder.parent}, which was moved"
            " or removed meanwhile. Put it back, and export again."
        )


def remove_leftovers(home: Path) -> None:
    """Removes the hidden folders of exports that were killed; those under way stay."""
    for folder in home.glob(f"{PREFIX}*"):
        held = lock(folder)
        if held is not None:
            shutil.rmtree(folder)
            os.close(held)
