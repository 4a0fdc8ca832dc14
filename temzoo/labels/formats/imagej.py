"""Regions of interest of ImageJ and Fiji: a zip of them for each image, as the ROI Manager saves.

ImageJ's coordinates are those of pixel corners, x before y; shapes hold (row, col). A region has a
name and no class. ``write`` names it ``CLASS-0001``, and ``read`` takes what is before the number;
where ImageJ itself named it, by its place (``0123-0456``), the class is "object". Of a stack the
regions of its first image are read, and those of no certain one.

Files are read and written by ``roifile``, of the extra ``temzoo[imagej]``.

Source: ij.io.RoiDecoder and RoiEncoder, https://github.com/imagej/ImageJ
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from temzoo.core.files import atomic_path
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import OBJECT, OneOfStack, file_of, left_out, size_of_file
from temzoo.labels.formats.geometry import box, ellipse
from temzoo.labels.formats.limits import require_finite
from temzoo.labels.names import ImageFolder, label_paths
from temzoo.labels.shapes import raster
from temzoo.labels.shapes.trace import joined, polygons
from temzoo.labels.shapes.windows import outline, shape_window

BY_PLACE = re.compile(r"\d{4,}(-\d{4,})+")
NUMBER = re.compile(r"[-_ ]?\d+$")
# Of an image's file name, what the ROI Manager or its user may have put around it.
AROUND = re.compile(r"^RoiSet[-_ ]?|[-_ ]?(RoiSet|rois?)$", re.IGNORECASE)
LARGEST_ROI, MOST_ROIS = 16_000_000, 1_000_000  # bytes, regions
AREAS = ("POLYGON", "FREEHAND", "TRACED")
NO_REGIONS = ("TEXT", "IMAGE")
LINES = ("LINE", "POLYLINE", "FREELINE", "ANGLE")
SIDES = ("top", "left", "bottom", "right")
MOVE, LINE, CLOSE = 0.0, 1.0, 4.0  # of java.awt.geom.PathIterator, as composite regions have them


def roifile_module() -> ModuleType:
    """The package that reads and writes regions.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import roifile
    except ImportError:
        raise ImportError(
            "regions of ImageJ need the package roifile. Install it: pip install 'temzoo[imagej]'."
        ) from None
    return roifile


def recognises(path: Path) -> bool:
    """Whether a file is a region of ImageJ, or a zip of nothing else."""
    return bool(_regions(path))


def _regions(path: Path) -> list[str] | None:
    """The names of the regions in a file, which ``write`` may have left without; None: no such."""
    if path.suffix.lower() == ".roi":
        return [path.name]
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return names if all(name.lower().endswith(".roi") for name in names) else None


def read(
    path: str | Path, *, images: str | Path | None = None, said: list[Finding] | None = None
) -> list[LabelledImage]:
    """The regions of an image, or those of a folder, a file for each image.

    Args:
        path: a ``.zip`` or ``.roi``, or a folder of them, named as the images; "RoiSet" or "rois"
            may stand before or behind.
        images: the folder of the images, whose sizes the files do not state; None: they lie
            beside.
        said: takes regions that cannot be read, which are left out; None: the first is raised.

    Raises:
        ImportError: ``roifile`` is not installed.
        ValueError: a file is damaged, a region malformed, or an image is not there.
    """
    path, roifile = Path(path), roifile_module()
    among = [path] if path.is_file() else sorted(path.rglob("*.*"))
    files = [file for file in among if file == path or _regions(file) is not None]
    home = path.parent if path.is_file() else path
    folder = ImageFolder(home if images is None else images)
    labelled = []
    for file in files:
        stem = file.relative_to(home).with_suffix("")
        name = stem.with_name(AROUND.sub("", stem.name) or stem.name).as_posix()
        with left_out(said, str(file)):
            height, width = size_of_file(name, folder)
            image = file_of(name, folder)
            named, stack = image.relative_to(folder.folder).as_posix(), OneOfStack.of(image)
            shapes = list(_shapes(file, roifile, stack, said, named))
            classes = tuple(dict.fromkeys(shape.label for shape in shapes))
            labelled.append(LabelledImage(named, width, height, tuple(shapes), classes))
    return labelled


def _shapes(
    file: Path, roifile: ModuleType, stack: OneOfStack, said: list[Finding] | None, image: str
) -> Iterator[Shape]:
    for number, data in enumerate(_contents(file), start=1):
        with left_out(said, f"{file}, region {number}", image):
            try:
                roi = roifile.ImagejRoi.frombytes(data)
                parts = [part.astype(np.float64) for part in roi.coordinates(multi=True)]
            except Exception as error:  # of whatever kind: the bytes are anybody's
                raise ValueError(
                    f"a region must be as ImageJ saves it. Received: {len(data)} bytes, {error}."
                    " Save it again."
                ) from None
            stack.require(max(roi.position, roi.z_position, roi.t_position))
            yield _shape(roi, parts)


def _contents(file: Path) -> Iterator[bytes]:
    """The bytes of each region; more or larger ones than any image has are refused unread."""
    if file.suffix.lower() == ".roi":
        yield file.read_bytes()
        return
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            largest = max((entry.file_size for entry in entries), default=0)
            if len(entries) > MOST_ROIS or largest > LARGEST_ROI:
                raise ValueError(
                    f"a zip of regions holds at most {MOST_ROIS:,} of {LARGEST_ROI:,} bytes."
                    f" Received: {len(entries):,}, of up to {largest:,} bytes. Save them again."
                )
            for entry in entries:
                yield archive.read(entry)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, NotImplementedError) as error:
        raise ValueError(f"the zip is damaged ({error}). Save the regions again.") from None


def _shape(roi: Any, parts: list[np.ndarray]) -> Shape:
    kind, label = roi.roitype.name, _label(roi.name)
    if roi.subtype.name in NO_REGIONS:
        raise ValueError(
            "a region must be an object. Received: a text or picture, which ImageJ draws over the"
            " image, as beside a scale bar. Delete it from the ROI Manager."
        )
    left, top, width, height = roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top
    if roi.subpixelrect:
        left, top, width, height = roi.xd, roi.yd, roi.widthd, roi.heightd
    if kind == "RECT" and not roi.composite:
        return Shape("box", label, box(left, top, width, height))
    if kind == "OVAL":
        axes = height / 2, width / 2
        return Shape("ellipse", label, ellipse(top + axes[0], left + axes[1], *axes))
    rings = [ring[:, ::-1] for ring in parts if len(ring)]
    for ring in rings:
        require_finite(ring)
    if kind == "POINT" and rings:
        return Shape("points", label, rings[0])
    if kind in LINES and rings:
        return Shape("polyline", label, rings[0])
    if (kind in AREAS or roi.composite) and rings and all(len(ring) > 2 for ring in rings):
        whole, *others = rings
        for ring in others:  # by the even-odd rule holes and further parts
            whole = joined(whole, ring)
        return Shape("polygon", label, whole)
    raise ValueError(
        "a region must be a rectangle, oval, outline, line or points. Received:"
        f" {kind} of {sum(map(len, rings))} points. Draw it again."
    )


def _label(name: str) -> str:
    name = name.removesuffix(".roi").strip()
    return OBJECT if BY_PLACE.fullmatch(name) else NUMBER.sub("", name) or OBJECT


def write(folder: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes ``NAME.zip`` for each image, which ImageJ's ROI Manager opens; outlines are subpixel.

    An upright box whose sides lie between pixels stays a rectangle, likewise an ellipse an oval;
    other shapes with an area become outlines, of masks and of objects of several parts around
    their pixels.

    Returns:
        how many shapes of each kind were left out, since ImageJ has no such kind.

    Raises:
        ImportError: ``roifile`` is not installed.
        ValueError: when an image's name leads out of the folder, or two images get one file.
    """
    images, roifile = list(images), roifile_module()
    not_held: Counter[str] = Counter()
    paths = label_paths(folder, (image.name for image in images), ".zip")
    for path, image in zip(paths, images, strict=True):
        counts: Counter[str] = Counter()
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for shape in raster.one_shape_each(image):
                roi = _roi(shape, image, roifile)
                if roi is None:
                    not_held[shape.kind] += 1
                    continue
                counts[shape.label] += 1
                roi.name = f"{shape.label}-{counts[shape.label]:04d}"
                place = f"{sum(counts.values()):04d}.roi"
                archive.writestr(place, roi.tobytes(), zipfile.ZIP_DEFLATED)
    return dict(not_held)


def _roi(shape: Shape, image: LabelledImage, roifile: ModuleType) -> Any:
    """The region of a shape; None of a kind that ImageJ lacks, and of a mask without a pixel."""
    whole = _whole_box(shape)
    if whole is not None:
        kind = roifile.ROI_TYPE.RECT if shape.kind == "box" else roifile.ROI_TYPE.OVAL
        return roifile.ImagejRoi(roitype=kind, **whole)
    if shape.kind == "mask":
        row, col, pixels = shape_window(shape, image.height, image.width)
        rings = polygons(pixels, tolerance_px=0.0) if pixels.any() else []
        return _of_rings([ring + np.array([row, col]) for ring in rings], roifile)
    if shape.kind in ("polyline", "points"):
        return _of_points(shape.points, {"polyline": "POLYLINE"}.get(shape.kind, "POINT"), roifile)
    return _of_points(outline(shape), "POLYGON", roifile) if shape.has_area else None


def _whole_box(shape: Shape) -> dict[str, int] | None:
    """The sides of an upright box or ellipse that lie between pixels."""
    if shape.kind not in ("box", "ellipse") or shape.rotation:
        return None
    first, second = shape.points
    ends = np.concatenate([first, second])
    if shape.kind == "ellipse":
        ends = np.concatenate([first - second, first + second])
    whole = ends.astype(np.int64)
    fits = np.array_equal(whole, ends) and np.abs(ends).max() < 2**15
    return dict(zip(SIDES, whole.tolist(), strict=True)) if fits else None


def _of_rings(rings: list[np.ndarray], roifile: ModuleType) -> Any:
    """One region of an object: of several pieces a composite one, as ImageJ joins regions."""
    if len(rings) < 2:
        return _of_points(rings[0], "POLYGON", roifile) if rings else None
    path: list[float] = []
    for ring in rings:
        steps = [MOVE] + [LINE] * (len(ring) - 1)
        path += [*np.column_stack([steps, ring[:, ::-1]]).ravel().tolist(), CLOSE]
    corners = np.concatenate(rings)
    ends = [*np.floor(corners.min(axis=0)), *np.ceil(corners.max(axis=0))]
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT,
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
        **dict(zip(SIDES, map(int, ends), strict=True)),
    )


def _of_points(points: np.ndarray, kind: str, roifile: ModuleType) -> Any:
    roi = roifile.ImagejRoi.frompoints(points[:, ::-1].astype(np.float32))
    roi.roitype = roifile.ROI_TYPE[kind]
    return roi
