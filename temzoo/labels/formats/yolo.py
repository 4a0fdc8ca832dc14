"""YOLO text files: a line for each object, and the names of the classes.

A box is ``class x y w h``, an outline ``class x1 y1 x2 y2 …``, all as shares of the image's size.

Source: https://docs.ultralytics.com/datasets/detect/, https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from temzoo.core.files import write_text
from temzoo.core.hints import require_choice
from temzoo.core.types import IGNORE, LabelledImage
from temzoo.labels import encode, not_areas
from temzoo.labels.names import class_names, label_paths, with_area
from temzoo.labels.shapes import raster, trace, windows

CLASS_FILE = "classes.txt"
DATA_FILE = "data.yaml"
DATA = """# Add train: and val:, the folders of the images.
names: {names}
"""


def write(
    folder: str | Path,
    images: Iterable[LabelledImage],
    *,
    kind: str = "boxes",
    classes: Sequence[str] | None = None,
) -> dict[str, int]:
    """Writes a text file for each image, also for one without objects, and the names of classes.

    These stand in ``classes.txt``, and in a ``data.yaml`` that lacks the folders of the images. An
    outline is one polygon: holes and further parts of an object are joined to it by slits of no
    width; of masks, and of what leaves the image, it is traced around the pixels.

    Args:
        kind: "boxes" or "outlines".
        classes: label names, the first is class 0; None: those declared, then those used.

    Returns:
        how many shapes of each kind were left out, since they have no area.

    Raises:
        ValueError: when a label is not among the classes, an image's name leads out of the folder,
            or two images get one file.
    """
    images = list(images)
    drawn = [with_area(image) for image in images]
    require_choice("kind", kind, LINES)
    known = class_names(drawn) if classes is None else classes
    names = [name for name in known if name != IGNORE]
    paths = label_paths(folder, (image.name for image in drawn), ".txt")
    texts = {path: LINES[kind](image, names) for path, image in zip(paths, drawn, strict=True)}
    class_file = Path(folder).resolve() / CLASS_FILE
    if class_file in texts:
        raise ValueError(
            f"{CLASS_FILE} must be free for the names of the classes. Received: an image whose "
            "file has that name. Rename the image."
        )
    texts[class_file] = "".join(f"{name}\n" for name in names)
    texts[class_file.with_name(DATA_FILE)] = DATA.format(names=json.dumps(names))
    for path, text in texts.items():
        write_text(path, text)
    return not_areas(images)


def _boxes(image: LabelledImage, names: Sequence[str]) -> str:
    rows = encode.yolo(image, names)
    return "".join(
        f"{int(number)} {x:.7f} {y:.7f} {w:.7f} {h:.7f}\n" for number, x, y, w, h in rows.tolist()
    )


def _outlines(image: LabelledImage, names: Sequence[str]) -> str:
    lines = []
    for instance in raster.instances(image, classes=names):
        points = _outline(instance, image.height, image.width)
        if points is not None:
            shares = points[:, ::-1] / (image.width, image.height)
            text = " ".join(f"{share:.7f}" for share in shares.ravel().tolist())
            lines.append(f"{names.index(instance.label)} {text}\n")
    return "".join(lines)


def _outline(instance: raster.Instance, height: int, width: int) -> np.ndarray | None:
    """(N, 2) (row, col) of one polygon within the image; None of an object without a pixel."""
    row, col, window = raster.instance_window(instance, height, width)
    if not window.any():
        return None
    rings = [windows.outline(part) for part in instance.shapes if part.kind != "mask"]
    limits = np.array([height, width])
    whole = len(rings) == len(instance.shapes) and not _overlap(instance, window, height, width)
    if not whole or any((ring < 0).any() or (ring > limits).any() for ring in rings):
        rings = [ring + np.array([row, col]) for ring in trace.polygons(window)]
    points, *others = rings
    for ring in others:
        points = trace.joined(points, ring)
    return points


def _overlap(instance: raster.Instance, union: np.ndarray, height: int, width: int) -> bool:
    """Whether parts share pixels, which the even-odd rule would take for holes."""
    parts = (windows.shape_window(part, height, width)[2] for part in instance.shapes)
    return sum(np.count_nonzero(part) for part in parts) > np.count_nonzero(union)


LINES = {"boxes": _boxes, "outlines": _outlines}
