"""Exports with a label file for each part of a data set, such as train and val.

Roboflow's COCO has a folder for each part, with images named ``name_png.rf.HASH.jpg`` and their
labels; Datumaro has a file for each part in ``annotations``, and the images in ``images/PART``.

Source: https://roboflow.com/formats/coco-json; ``datumaro.py`` for the other
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from temzoo.core.files import read_json
from temzoo.core.types import LabelledImage
from temzoo.labels.check_report import Finding
from temzoo.labels.formats import coco, datumaro
from temzoo.labels.formats.entries import left_out

ROBOFLOW, DATUMARO = ("*/_annotations.coco.json",), ("*.json", "annotations/*.json")


def is_roboflow(folder: Path) -> bool:
    return bool(_files(folder, ROBOFLOW))


def read(
    folder: str | Path, *, images: str | Path | None = None, said: list[Finding] | None = None
) -> list[LabelledImage]:
    """The images of all parts; ``subset`` and the first folder of their names are the part's.

    Args:
        images: the folder of the images, for those whose sizes the files do not state.
        said: takes files and entries that cannot be read, which are left out; None: the first is
            raised.

    Raises:
        ValueError: as ``coco.parse`` and ``datumaro.parse`` do.
    """
    folder, labelled = Path(folder), []
    of_roboflow = is_roboflow(folder)
    kind = coco if of_roboflow else datumaro
    for path in _files(folder, ROBOFLOW if of_roboflow else DATUMARO):
        part = path.parent.name if of_roboflow else path.stem
        with left_out(said, str(path)):
            document = read_json(path)
            if not of_roboflow and not datumaro.recognises(document):
                continue  # a file of something else
            for one in kind.parse(document, path, images=images, said=said):
                name = one.name if one.name.startswith(f"{part}/") else f"{part}/{one.name}"
                labelled.append(replace(one, name=name, subset=part))
    return labelled


def _files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(p for pattern in patterns for p in folder.glob(pattern) if p.is_file())
