"""YOLO text files: one line ``class x y w h`` for each object, and the names of the classes.

Source: https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from temzoo.core.files import atomic_path
from temzoo.core.types import LabelledImage
from temzoo.labels import encode
from temzoo.labels.names import class_names, label_paths

CLASS_FILE = "classes.txt"


def write(
    folder: str | Path, images: Iterable[LabelledImage], *, classes: Sequence[str] | None = None
) -> dict[str, int]:
    """Writes a text file for each image, also for one without objects, and ``classes.txt``.

    Args:
        folder: where to write; it is made when absent.
        images: the labels.
        classes: label names, the first is class 0; None: those declared, then those used.

    Returns:
        how many shapes of each kind were left out, since they have no area.

    Raises:
        ValueError: when a label is not among the classes, an image's name leads out of the folder,
            or two images get one file.

    Example:
        >>> left_out = write("labels/", images)
    """
    folder = Path(folder)
    drawn = [_with_area(image) for image in images]
    left_out = Counter(kind for _, kinds in drawn for kind in kinds)
    names = class_names(image for image, _ in drawn) if classes is None else list(classes)
    paths = label_paths(folder, (image.name for image, _ in drawn), ".txt")
    texts = {path: _lines(image, names) for path, (image, _) in zip(paths, drawn, strict=True)}
    class_file = folder.resolve() / CLASS_FILE
    if class_file in texts:
        raise ValueError(
            f"{CLASS_FILE} must be free for the names of the classes. Received: an image whose "
            "file has that name. Rename the image."
        )
    texts[class_file] = "".join(f"{name}\n" for name in names)
    for path, text in texts.items():
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return dict(left_out)


def _with_area(image: LabelledImage) -> tuple[LabelledImage, list[str]]:
    """The image with the shapes that have an area, and the kinds of the others."""
    shapes = tuple(shape for shape in image.shapes if shape.has_area)
    others = [shape.kind for shape in image.shapes if not shape.has_area]
    return replace(image, shapes=shapes), others


def _lines(image: LabelledImage, names: Sequence[str]) -> str:
    rows = encode.yolo(image, names)
    return "".join(
        f"{int(number)} {x:.7f} {y:.7f} {w:.7f} {h:.7f}\n" for number, x, y, w, h in rows.tolist()
    )
