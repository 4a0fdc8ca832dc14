"""The images of a folder: which file a name in the labels means."""

from __future__ import annotations

from pathlib import Path

from temzoo.labels.names import NameIndex, safe_name, safe_path
from temzoo.micrographs import MICROSCOPE_SUFFIXES, list_images


class ImageFolder:
    """The image files of a folder and its subfolders, hidden ones left out.

    Attributes:
        folder: as given.
        files: sorted.
    """

    def __init__(self, folder: str | Path):
        """Lists the files.

        Raises:
            NotADirectoryError: when the folder is none.
        """
        self.folder = Path(folder)
        self.files = list_images(folder)
        names = [path.relative_to(self.folder).as_posix() for path in self.files]
        # A microscope's file often lies beside its export, which is the one to use.
        raw = [name.lower().endswith(MICROSCOPE_SUFFIXES) for name in names]
        self._indices = [
            NameIndex(name for name, is_raw in zip(names, raw, strict=True) if is_raw is wanted)
            for wanted in (False, True)
        ]

    def find(self, name: str) -> list[Path]:
        """The files that a name in the labels may mean: one, none or several.

        By the whole name; else by the longest end of it that a file has, since an export may have
        folders where the images lie flat, or lie in others; each without suffix too, since frames
        of a video have none and masks may have another.

        Raises:
            ValueError: when the name leads out of the folder.

        Example:
            >>> ImageFolder("images").find("lot3/a.png")
            [PosixPath('images/lot3/a.png')]
        """
        if safe_path(self.folder, name).is_file():
            return [self.folder / safe_name(name)]
        found = (index.matches(name, any_folder=True) for index in self._indices)
        return [self.folder / full for full in next(filter(None, found), [])]
