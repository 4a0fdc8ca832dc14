"""YOLO text files, read: boxes and outlines, in any of the usual layouts of folders.

A line of five numbers is a box, one of seven and more an outline; ``yolo`` has the sources. Where
``data.yaml`` has ``kpt_shape``, keypoints stand behind a box, and are left out. The sizes of the
images are read from the images, which may lie in the same folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import text_lines
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import file_of, left_out, size_of_file
from temzoo.labels.formats.limits import short
from temzoo.labels.names import ImageFolder

DATA_FILES = ("data.yaml", "data.yml")
# Where the names of the classes stand, one a line, by label programs.
NAME_FILES = ("classes.txt", "obj.names", "classes.names")
LARGEST_YAML = 1_000_000  # bytes
# How far a number may lie outside 0 to 1: rounding, and objects drawn over the border.
OVERSHOOT = 0.05


def recognises(folder: Path) -> bool:
    """Whether a folder has a YOLO data file, or a text file that begins as a line of YOLO does."""
    if any((folder / name).is_file() for name in (*DATA_FILES, "obj.names")):
        return True
    return any(_is_label_file(path) for path in _text_files(folder))


def read(
    folder: str | Path,
    *,
    images: str | Path | None = None,
    said: list[Finding] | None = None,
) -> list[LabelledImage]:
    """The images of a folder of YOLO labels, those in its subfolders too.

    Args:
        folder: of the text files, or the data set's, with ``data.yaml``.
        images: the folder of the images; None: they lie in ``folder``.
        said: takes how lines were read, and those that cannot be, which are left out; None: the
            first of these is raised.

    Returns:
        one per text file, in the order of their names, named as the image is within its folder.

    Raises:
        ValueError: when a line or a file is malformed or an image is not found; the message names
            the file and the line.
    """
    folder = Path(folder)
    data = _data_file(folder)
    names, keypoints = _class_names(folder, data), _keypoints(data)
    files = ImageFolder(folder if images is None else images)
    labelled, kinds = [], Counter[str]()
    for path in _text_files(folder):
        place = path.relative_to(folder).as_posix()
        lines = text_lines(path)
        if any(line.strip() for line in lines) and not _is_label_file(path):
            continue  # a list of images, or notes
        shapes = None
        with left_out(said, f"{folder}, {place}"):
            stem = place.removesuffix(".txt")
            image = file_of(stem, files)
            height, width = size_of_file(stem, files)
            shapes = []
        if shapes is None:
            continue
        name = image.relative_to(files.folder).as_posix()
        for number, line in enumerate(lines, start=1):
            if line.strip():
                with left_out(said, f"{folder}, {place}, line {number}", name):
                    words = line.split()
                    words = words[:5] if len(words) == 5 + keypoints else words
                    shapes.append(_shape(words, names, height, width))
        kinds.update(shape.kind for shape in shapes)
        labelled.append(LabelledImage(name, width, height, tuple(shapes), tuple(names.values())))
    if said is not None:
        how = f"5 numbers and {keypoints} of keypoints" if keypoints else "5 numbers"
        text = f"{kinds['box']} boxes (lines of {how}) and {kinds['polygon']} outlines."
        said.append(Finding("info", "yolo-lines", "", None, text))
    if not any(names.values()):
        used = dict.fromkeys(sorted({s.label for i in labelled for s in i.shapes}, key=int))
        labelled = [
            LabelledImage(i.name, i.width, i.height, i.shapes, tuple(used)) for i in labelled
        ]
    return labelled


def _text_files(folder: Path) -> list[Path]:
    hidden = (path for path in sorted(folder.rglob("*.txt")) if not path.name.startswith("."))
    return [path for path in hidden if path.is_file() and path.name not in NAME_FILES]


def _is_label_file(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4096).split(b"\n")
    first = next((line.split() for line in start if line.strip()), [])
    try:
        numbers = [float(word) for word in first]
    except ValueError:
        return False
    return len(numbers) >= 5 and numbers[0].is_integer()


def _data_file(folder: Path) -> tuple[Path, Any] | None:
    """The data file and what it says, where there is one."""
    found = next((folder / name for name in DATA_FILES if (folder / name).is_file()), None)
    return found and (found, _yaml(found))


def _keypoints(data: tuple[Path, Any] | None) -> int:
    """How many numbers of keypoints stand behind those of a box."""
    shape = data[1].get("kpt_shape") if data and isinstance(data[1], dict) else None
    if shape is None:
        return 0
    whole = isinstance(shape, list) and all(type(one) is int and one > 0 for one in shape)
    if not whole or len(shape) != 2:
        raise ValueError(
            f"{data and data[0]}: 'kpt_shape' must be the number of keypoints and of numbers of"
            f" each. Received: {short(shape)}. Write kpt_shape: [2, 3]."
        )
    return int(shape[0] * shape[1])


def _class_names(folder: Path, data: tuple[Path, Any] | None) -> dict[int, str]:
    """By number; empty where the folder does not say."""
    if data:
        return _names(*data)
    for name in NAME_FILES:
        if (folder / name).is_file():
            lines = [line.strip() for line in text_lines(folder / name)]
            return dict(enumerate(line for line in lines if line))
    return {}


def _yaml(path: Path) -> Any:
    import yaml  # not paid for by the other formats

    if path.stat().st_size > LARGEST_YAML:
        raise ValueError(f"{path}: it must be below {LARGEST_YAML} bytes. Is it a data.yaml?")
    try:
        return yaml.safe_load("\n".join(text_lines(path)))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: it must be YAML. Received: {short(str(error))}.") from error


def _names(path: Path, document: Any) -> dict[int, str]:
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(number, int) for number in names):
        raise ValueError(
            f"{path}: 'names' must list the classes, or number them. Received: {short(names)}. "
            "Write names: [particle]."
        )
    return {number: str(name) for number, name in sorted(names.items())}


def _shape(words: Sequence[str], names: dict[int, str], height: int, width: int) -> Shape:
    try:
        number, *shares = (float(word) for word in words)
    except ValueError:
        raise ValueError(
            f"a line must be numbers alone. Received: {short(' '.join(words))}. Correct it."
        ) from None
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise ValueError(
            "a line must be a class, then x y w h of a box or x y of three vertices and more. "
            f"Received: {len(words)} numbers. Leave out confidences and keypoints."
        )
    points = np.array(shares, np.float64)
    if not (np.abs(points - 0.5) <= 0.5 + OVERSHOOT).all():
        raise ValueError(
            "numbers must be shares of the image's width and height, 0 to 1. Received: "
            f"{short(' '.join(words))}. Divide pixels by the image's size."
        )
    if number < 0 or not number.is_integer() or (names and number not in names):
        raise ValueError(
            f"a class must be a whole number{f', one of the {len(names)} named' * bool(names)}. "
            f"Received: {words[0]}. Correct it, or add its name."
        )
    label = names.get(int(number), str(int(number)))
    points = points.reshape(-1, 2)[:, ::-1] * (height, width)
    if len(points) > 2:
        return Shape("polygon", label, np.ascontiguousarray(points), source="file")
    centre, size = points
    return Shape("box", label, np.stack([centre - size / 2, centre + size / 2]), source="file")
