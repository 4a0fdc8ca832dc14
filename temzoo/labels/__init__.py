"""Label files of any supported format, read, written and converted; no TensorFlow in it.

A file's format is told by what it is, not by its name. Modules are loaded when first used.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from temzoo.core.files import in_place, read_json
from temzoo.core.hints import require_choice
from temzoo.core.types import IGNORE, LabelledImage
from temzoo.labels.check_report import Finding, by_kind, in_short

FORMATS = (
    *("cvat", "coco", "yolo", "yolo-seg", "labelme", "via", "via3", "via-csv", "datumaro"),
    *("labelstudio", "labelbox", "segmask", "masks", "imagej", "qupath", "cellpose"),
)
FOLDER_FORMATS = (
    *("yolo", "yolo-seg", "labelme", "segmask", "masks"),
    *("imagej", "qupath", "cellpose"),
)
# The module that writes a format, and how, where it is not the one of its name.
WRITERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "cvat": ("cvat_writing", {}),
    "yolo-seg": ("yolo", {"kind": "outlines"}),
    "via-csv": ("via_csv", {}),
}
JSON_FORMATS = (
    *("coco", "datumaro", "labelstudio", "labelbox"),
    *("via", "via3", "labelme", "qupath", "segment_anything"),
)
FILE_EACH = ("labelme", "napari", "qupath", "segment_anything")  # with a file for each image
LINE_FORMATS = ("labelbox", "via_csv", "napari")  # told by their first line
# Of files that are looked for in folders.
SUFFIXES = (".xml", ".json", ".geojson", ".ndjson", ".jsonl", ".csv")
MASKS = (".png", ".tif", ".tiff")
SUPPORTED = (
    "CVAT 1.1 XML, COCO instances JSON, Datumaro, Label Studio, VIA, LabelMe or Segment Anything "
    "JSON, VIA CSV, Labelbox NDJSON, QuPath GeoJSON, CSV of napari's shapes, a zip of ImageJ "
    "regions, Cellpose's _seg.npy, or a folder of PNG/TIFF masks, of YOLO, LabelMe, napari, "
    "QuPath, ImageJ, Cellpose or Segment Anything files, or of CVAT's Segmentation mask 1.1"
)
__all__ = ["convert", "is_masks", "not_areas", "nothing_to_learn", "read", "summary", "write"]


def read(
    path: str | Path,
    *,
    images: str | Path | None = None,
    values: str = "auto",
    said: list[Finding] | None = None,
) -> list[LabelledImage]:
    """All images of a label file or folder of masks.

    Args:
        path: CVAT XML; JSON of COCO, Datumaro, Label Studio or VIA; NDJSON of Labelbox; CSV of
            VIA or napari; a file of LabelMe, GeoJSON or Segment Anything, an ImageJ ``.zip`` or
            ``.roi``, a ``_seg.npy`` of Cellpose, or a folder of them; a folder of YOLO text files
            or the ``data.yaml`` of one, a folder of PNG/TIFF masks, or CVAT's Segmentation mask
            1.1, unpacked. A folder that holds a label file, as an unpacked export does, is read as
            that file; one of several parts, as Roboflow's or Datumaro's, as all of them.
        images: the folder of the images; a file that states no image sizes, as VIA's, needs it.
        values: what the pixels of masks mean: "classes", "instances" or "binary"; "auto": see
            ``formats.masks.read``.
        said: takes how the file was read, where it can be read in several ways, and what had to
            be left out; None: the log "temzoo.labels" does.

    Returns:
        one per image, in file order.

    Raises:
        FileNotFoundError: when there is nothing at ``path``.
        ValueError: when the format is none of these, or the content is malformed.

    Example:
        >>> images = read("annotations.xml")
        >>> print(summary(images))
        2 images, 5 shapes: 4 polygon, 1 box
    """
    path, found = Path(path), []
    if not path.exists():
        raise FileNotFoundError(
            f"there must be a label file or folder. Received: {path}. Correct the path."
        )
    kind, source = _source(path, found)
    if values != "auto" and kind != "masks":
        raise ValueError(
            f"values says what the pixels of masks mean. Received: values={values!r} for {source}, "
            "which is no folder of masks. Leave it out."
        )
    if kind == "masks":
        labelled = _read_masks(source, values, found)
    elif kind == "segmask":
        labelled = _format("segmask").read(source, said=found)
    elif kind in (*FILE_EACH, "parts", "yolo_reading", "imagej", "cellpose"):
        labelled = _format(kind).read(source, images=images, said=found)
    else:
        labelled = _without_own_boxes(_read_file(source, images, found), found)
    if said is None:
        _log(path, found)
    else:
        said += found
    return labelled


def write(
    path: str | Path, images: Iterable[LabelledImage], *, to: str, kind: str | None = None
) -> dict[str, int]:
    """Writes labels as a format.

    Args:
        path: a file for "cvat", "coco", "via", "via3", "via-csv", "datumaro", "labelstudio" and
            "labelbox", else a folder.
        to: "cvat", "coco", "yolo" (boxes), "yolo-seg" (outlines), "labelme", "via" (version 2),
            "via3", "via-csv", "datumaro", "labelstudio", "labelbox", "segmask" (CVAT's
            Segmentation mask 1.1), "masks", "imagej" (regions, a zip for each image), "qupath"
            (GeoJSON) or "cellpose" (``_seg.npy``).
        kind: of masks: "classes" (None) or "instances", the numbers that pixels have.

    Returns:
        how many shapes of each kind the format could not hold, and were left out.

    Raises:
        ValueError: when the format is unknown or cannot hold a name or label, or a kind is given
            for another format than masks.

    Example:
        >>> left_out = write("coco.json", images, to="coco")
    """
    return _writer(to, kind)(path, images)


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str,
    kind: str | None = None,
    images: str | Path | None = None,
    values: str = "auto",
    rename: Mapping[str, str] | None = None,
    merge: Mapping[str, Sequence[str]] | None = None,
    line_width: float | None = None,
) -> str:
    """Reads labels of any supported format and writes them as another.

    Args:
        source: what ``read`` takes.
        target, to, kind: what ``write`` takes.
        images, values: as for ``read``.
        rename, merge: as for ``renaming.renamed``.
        line_width: polylines become bands of this width in px; None: they stay lines.

    Returns:
        what was read, what was left out and what the format loses, in words.

    Example:
        >>> print(convert("annotations.xml", "coco.json", to="coco"))
        2 images, 5 shapes: 4 polygon, 1 polyline; without area: 1 polyline
        left out, since coco cannot hold them: 1 polyline
    """
    writer = _writer(to, kind)
    with in_place(target if to in FOLDER_FORMATS else Path(target).parent):
        labelled = read(source, images=images, values=values)
        labelled = _part("renaming").renamed(labelled, rename, merge)
        if line_width is not None:
            labelled = _part("bands").as_bands(labelled, line_width)
        left_out = writer(target, labelled)
    lines = [summary(labelled)]
    lines += [f"left out, since {to} cannot hold them: {_counted(left_out)}"] if left_out else []
    lost = _part("losses").losses(labelled, to, kind or "classes")
    return "\n".join([*lines, *(f"lost: {one}" for one in lost)])


def summary(images: Iterable[LabelledImage]) -> str:
    """How many images and shapes of each kind there are, and which have no area, in words.

    Example:
        >>> summary([LabelledImage("a.png", 640, 480)])
        '1 image, 0 shapes'
    """
    images = list(images)
    kinds = Counter(shape.kind for image in images for shape in image.shapes)
    number = kinds.total()
    words = f"{len(images)} image{'s' * (len(images) != 1)}, {number} shape{'s' * (number != 1)}"
    words += f": {_counted(kinds)}" if kinds else ""
    flat = not_areas(images)
    return f"{words}; without area: {_counted(flat)}" if flat else words


def not_areas(images: Iterable[LabelledImage]) -> dict[str, int]:
    """How many shapes of each kind without an area there are (polyline, points, tag, …).

    Example:
        >>> not_areas([LabelledImage("a.png", 640, 480)])
        {}
    """
    shapes = (shape for image in images for shape in image.shapes)
    return dict(Counter(shape.kind for shape in shapes if not shape.has_area))


def nothing_to_learn(images: Iterable[LabelledImage]) -> str | None:
    """Why no mask can be learnt from labels, in words; None where one can.

    Example:
        >>> nothing_to_learn([LabelledImage("a.png", 640, 480)])
        'there is nothing to learn masks from: no shape has an area, of 0. Draw outlines.'
    """
    images = list(images)
    shapes = [shape for image in images for shape in image.shapes]
    if any(shape.has_area and shape.label != IGNORE for shape in shapes):
        return None
    held = _counted(not_areas(images)) or "0"
    return f"there is nothing to learn masks from: no shape has an area, of {held}. Draw outlines."


def _counted(kinds: dict[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in kinds.items())


def is_masks(path: str | Path) -> bool:
    """Whether ``read`` would take a path for a folder of masks."""
    return Path(path).is_dir() and _source(Path(path), [])[0] == "masks"


def _source(path: Path, said: list[Finding]) -> tuple[str, Path]:
    """What there is at a path, "file" or the module that reads the folder, and where it lies."""
    yolo = _format("yolo_reading")
    if path.name in yolo.DATA_FILES:
        return "yolo_reading", path.parent
    if path.is_file():
        kinds = {"imagej": _is_imagej, "cellpose": _format("cellpose").recognises}
        return next((kind for kind, told in kinds.items() if told(path)), "file"), path
    near = _candidates(path, "*", "annotations/*")
    found = [(file, name) for file in near if (name := _name_of(file)) is not None]
    for each in FILE_EACH:
        if found and all(name == each for _, name in found):
            return each, path
    if len(found) > 1 and all(name == "datumaro" for _, name in found):
        return "parts", path
    if len(found) > 1:
        raise ValueError(
            f"{path}: a folder of labels must hold one label file, or masks alone. Received: "
            f"{', '.join(str(file.relative_to(path)) for file, _ in found[:5])}. Name the one to "
            "read."
        )
    if found:
        text = f"{path} holds the label file {found[0][0].name}, which was read."
        said.append(Finding("info", "label-file", "", None, text))
        return "file", found[0][0]
    if _format("segmask").recognises(path):
        return "segmask", path
    if _is_imagej(path):
        return "imagej", path
    if _format("cellpose").recognises(path):
        return "cellpose", path
    if _format("parts").is_roboflow(path):
        return "parts", path
    deeper = {_name_of(p) for p in _candidates(path, "**/*")} & {*FILE_EACH}
    if len(deeper) == 1 and not any(p.suffix.lower() in MASKS for p in path.glob("*")):
        return deeper.pop(), path
    return ("yolo_reading" if yolo.recognises(path) else "masks"), path


def _is_imagej(path: Path) -> bool:
    """Whether a file, or one of a folder, holds regions of ImageJ."""
    known = (".zip", ".roi")
    files = [path] if path.is_file() else path.rglob("*")
    return any(p.suffix.lower() in known and _format("imagej").recognises(p) for p in files)


def _candidates(folder: Path, *patterns: str) -> list[Path]:
    """Files of a folder that may be label files."""
    paths = sorted(p for pattern in patterns for p in folder.glob(pattern))
    return [p for p in paths if p.suffix.lower() in SUFFIXES and p.is_file()]


def _name_of(path: Path) -> str | None:
    """The format of a label file, by its content; None where it is none."""
    start = _start(path)
    if path.suffix.lower() == ".xml":
        return "cvat" if b"<annotations" in start else None
    if (name := _name_by_line(start)) is not None or start[:1] not in b"{[":
        return name
    try:
        document = read_json(path)
    except ValueError:
        return None
    return next((name for name in JSON_FORMATS if _format(name).recognises(document)), None)


def _read_masks(folder: Path, values: str, said: list[Finding]) -> list[LabelledImage]:
    try:
        return _format("masks").read(folder, values=values, said=said)
    except (FileNotFoundError, ValueError):
        if (refusal := _format("other_programs").refusal_in(folder)) is not None:
            raise refusal from None
        raise


def _read_file(path: Path, images: str | Path | None, said: list[Finding]) -> list[LabelledImage]:
    start = _start(path)
    if (refusal := _format("other_programs").refusal(path, start)) is not None:
        raise refusal
    if start[:1] == b"<":
        return _format("cvat").read(path, said=said)
    if (name := _name_by_line(start)) is not None:
        return _format(name).read(path, images=images, said=said)
    if start[:1] in (b"{", b"["):
        return _read_json(path, images, said)
    raise _unsupported(path, f"a file that begins with {start[:12]!r}")


def _start(path: Path) -> bytes:
    """How a file begins, without a byte-order mark and spaces."""
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()


def _name_by_line(start: bytes) -> str | None:
    """The format that the first line of a file is of; None where that does not tell."""
    line = start.splitlines()[0] if start else b""
    return next((name for name in LINE_FORMATS if _format(name).begins(line)), None)


def _without_own_boxes(images: list[LabelledImage], said: list[Finding]) -> list[LabelledImage]:
    done = []
    for image in images:
        image, number = _part("shapes.groups").without_own_boxes(image)
        if number:
            text = (
                f"{number} boxes bound the outline that they are grouped with, and were left out: "
                "each would fill its object. Where one is a part of the object, ungroup it."
            )
            said.append(Finding("warning", "box-of-its-outline", image.name, None, text))
        done.append(image)
    return done


def _log(path: Path, found: list[Finding]) -> None:
    """How a file was read, to those who did not ask for findings."""
    log = logging.getLogger(__name__)
    for (level, code), group in by_kind(found).items():
        how = logging.INFO if level == "info" else logging.WARNING
        more = "; `temzoo labels check` lists them" if len(group) > 1 else ""
        log.log(how, "%s: %s%s", path, in_short(code, group), more)


def _read_json(path: Path, images: str | Path | None, said: list[Finding]) -> list[LabelledImage]:
    document = read_json(path)
    for name in JSON_FORMATS:
        if _format(name).recognises(document):
            return _format(name).parse(document, path, images=images, said=said)
    if (refusal := _format("other_programs").refusal(path, b"", document)) is not None:
        raise refusal
    keys = sorted(document)[:8] if isinstance(document, dict) else "a list"
    raise _unsupported(path, f"JSON with {keys}")


def _unsupported(path: Path, received: str) -> ValueError:
    return ValueError(
        f"{path}: labels must be {SUPPORTED}. Received: {received}. "
        "Unpack it when it is a zip, or export the labels as one of these."
    )


def _writer(to: str, kind: str | None = None) -> Callable[..., dict[str, int]]:
    require_choice("to", to, FORMATS)
    if kind is not None and to != "masks":
        raise ValueError(
            f"kind says what the pixels of masks are. Received: kind={kind!r} for {to!r}. Leave it "
            "out."
        )
    module, options = WRITERS.get(to, (to, {}))
    write = _format(module).write
    return partial(write, **options, **({} if kind is None else {"kind": kind}))


def _format(name: str) -> Any:
    return _part(f"formats.{name}")


def _part(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")


def __getattr__(name: str) -> Any:
    for part in ("", ".formats", ".shapes"):
        package = importlib.import_module(f"{__name__}{part}")
        if name in {module.name for module in pkgutil.iter_modules(package.__path__)}:
            return importlib.import_module(f"{package.__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
