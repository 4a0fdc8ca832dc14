"""YOLO text files: one line ``class x y w h`` for each object, and the names of the classes.

Source: https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from temzoo.core.files import atomic_path
from temzoo.core.types import LabelledImage
from temzoo.labels import encode, not_areas
from temzoo.labels.names import class_names, label_paths, with_area

CLASS_FILE = "classes.txt"


def write(
    folder: str | Path, images: Iterable[LabelledImage], *, classes: Sequence[str] | None = None
) -> dict[str, int]:
    """Writes a text file for each image, also for one without objects, and ``classes.txt``.

    Args:
        classes: label names, the first is class 0; None: those declared, then those used.

    Returns:
        how many shapes of each kind were left out, since they have no area.

    Raises:
        ValueError: when a label is not among the classes, an image's name leads out of the folder,
            or two images get one file.
    """
    images = list(images)
    drawn = [with_area(image) for image in images]
    names = class_names(drawn) if classes is None else list(classes)
    paths = label_paths(folder, (image.name for image in drawn), ".txt")
    texts = {path: _lines(image, names) for path, image in zip(paths, drawn, strict=True)}
    class_file = Path(folder).resolve() / CLASS_FILE
    if class_file in texts:
        raise ValueError(
            f"{CLASS_FILE} must be free for the names of the classes. Received: an image whose "
            "file has that name. Rename the image."
        )
    texts[class_file] = "".join(f"{name}\n" for name in names)
    for path, text in texts.items():
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return not_areas(images)


def _lines(image: LabelledImage, names: Sequence[str]) -> str:
    rows = encode.yolo(image, names)
    return "".join(
        f"{int(number)} {x:.7f} {y:.7f} {w:.7f} {h:.7f}\n" for number, x, y, w, h in rows.tolist()
    )
