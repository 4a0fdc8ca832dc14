"""Entries of a label file that cannot be read: each is named, and the rest of the file is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from temzoo.core.files import read_json
from temzoo.core.types import LabelledImage
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.limits import require_size, short
from temzoo.labels.names import ImageFolder
from temzoo.micrographs import count_frames, image_size

OBJECT = "object"  # the class of what has none
LEFT_OUT = "entry-left-out"


@contextmanager
def left_out(said: list[Finding] | None, place: str, image: str = "") -> Iterator[None]:
    """Runs what reads one entry; where that raises ValueError, the entry is left out.

    Args:
        said: takes the error, as a finding; None: it is raised, after the place.
        place: of the entry in the file, in words.
        image: whose entry it is, where that is known.
    """
    try:
        yield
    except ValueError as error:
        if said is None:  # of a part of an entry it states the place already
            text = str(error) if str(error).startswith(place) else f"{place}: {error}"
            raise ValueError(text) from error
        text = f"{place} was left out: {error}"
        said.append(Finding("error", LEFT_OUT, image, None, text))


def each_file(
    folder: str | Path,
    pattern: str,
    recognises: Callable[[Any], bool],
    parse: Callable[..., list[LabelledImage]],
    *,
    images: str | Path | None,
    said: list[Finding] | None,
) -> list[LabelledImage]:
    """The images of the JSON files of a format in a folder and its subfolders.

    Args:
        pattern: of the files' names.
        recognises: whether decoded JSON is of the format.
        parse: gives the images of a file from what it holds, its path, ``images``, ``said``, and
            ``place``, its folder in the data set.
        images: the folder of the images.
        said: as for ``left_out``.
    """
    labelled = []
    for path in sorted(Path(folder).rglob(pattern)):
        with left_out(said, str(path)):
            document, place = read_json(path), path.parent.relative_to(folder)
            if recognises(document):
                labelled += parse(document, path, images=images, said=said, place=place)
    return labelled


def entry_of(value: Any) -> Mapping[str, Any]:
    """An entry of a JSON file; raises ValueError where it is no object."""
    if not isinstance(value, dict):
        raise ValueError(f"an entry must be an object. Received: {short(value)}. Remove it.")
    return value


def newest(
    labellings: Sequence[Mapping[str, Any]],
    when: Sequence[Any],
    said: list[Finding] | None,
    name: str,
) -> Mapping[str, Any] | None:
    """Of what several people labelled in one image, what was changed last; None of nothing.

    Args:
        when: the time of each, as text of one form; None where it is not stated.
        said: is told how many there are.
    """
    if not labellings:
        return None
    if len(labellings) > 1 and said is not None:
        text = f"{len(labellings)} labellings of this image; the one that was changed last is used."
        said.append(Finding("warning", "several-labellings", name, None, text))
    times = [str(time or "") for time in when]
    return labellings[max(range(len(labellings)), key=lambda k: (times[k], k))]


def finished(
    labelled: Sequence[LabelledImage], unlabelled: int, said: list[Finding] | None = None
) -> list[LabelledImage]:
    """The images with the classes of all their shapes; how many nobody has labelled is said."""
    if unlabelled and said is not None:
        text = f"{unlabelled} images that nobody has labelled were left out."
        said.append(Finding("info", "unlabelled-images", "", None, text))
    classes = tuple(dict.fromkeys(shape.label for image in labelled for shape in image.shapes))
    return [replace(image, classes=classes) for image in labelled]


def size_of_file(name: str, folder: ImageFolder | None) -> tuple[int, int]:
    """(height, width) of an image whose labels do not state it, from the file's header.

    Raises:
        ValueError: as ``file_of`` does, when no folder is given, or the file cannot be read.
    """
    if folder is None:
        raise ValueError(
            f"the labels state no size of image {name!r}, so the image is needed. Received: "
            "images=None. Pass the folder of the images as images=… (--images)."
        )
    path = file_of(name, folder)
    try:
        height, width = image_size(path)
        require_size(width, height)
    except OSError as error:
        raise ValueError(f"{path}: {error}") from error
    return height, width


@dataclass
class OneOfStack:
    """Which image of a stack the shapes of a file are of; labels are those of one image.

    Attributes:
        number: of the image, from 1 on; 0: that of the first shape which states one.
    """

    number: int = 0

    @classmethod
    def of(cls, path: Path) -> OneOfStack:
        """Of a stack the first image, which is the one that is read beside its labels."""
        return cls(int(count_frames(path) > 1))

    def require(self, number: int) -> None:
        """Raises ValueError for a shape of another image; 0: it lies in all of them."""
        self.number = self.number or number
        if number not in (0, self.number):
            raise ValueError(
                f"shapes must be of one image, here image {self.number} of the stack. Received: one"
                f" of image {number}. Save the images one by one, each with its own shapes."
            )


def file_of(name: str, folder: ImageFolder) -> Path:
    """The one file that a name in the labels means.

    Raises:
        ValueError: when it leads to none of the folder's files, to several or out of it.
    """
    paths = folder.find(name)
    if len(paths) != 1:
        which = "may be several files of" if paths else "is not in"
        raise ValueError(
            f"each image must be in the folder of images. Received: name={name!r}, which {which} "
            f"{folder.folder}. Pass the folder that has it as images=… (--images)."
        )
    return paths[0]
