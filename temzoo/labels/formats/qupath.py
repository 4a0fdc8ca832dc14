"""GeoJSON as QuPath exports and imports it: a file for each image, an annotation for each object.

Positions are x, y in pixels, and pixel (0, 0) covers 0 to 1. A class is QuPath's classification.
Holes are rings of their own, here joined to the outline by slits of no width. Of a stack the
annotations of its first plane are read.

Source: https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html and
RFC 7946
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import write_json
from temzoo.core.types import NO_ATTRIBUTES, LabelledImage, Shape
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import (
    OBJECT,
    OneOfStack,
    each_file,
    entry_of,
    file_of,
    left_out,
    size_of_file,
)
from temzoo.labels.formats.geometry import vertices
from temzoo.labels.formats.limits import of_kind, short
from temzoo.labels.names import ImageFolder, label_paths
from temzoo.labels.shapes import raster
from temzoo.labels.shapes.trace import joined, rings
from temzoo.labels.shapes.windows import outline, shape_window

SUFFIX = ".geojson"
KINDS = {"LineString": "polyline", "MultiPoint": "points"}


def recognises(document: Any) -> bool:
    """Whether decoded JSON is GeoJSON: a collection, a list of features, or one."""
    if isinstance(document, list):
        return bool(document) and all(_is_feature(one) for one in document)
    return _is_feature(document) or (
        isinstance(document, dict)
        and document.get("type") == "FeatureCollection"
        and isinstance(document.get("features"), list)
    )


def _is_feature(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("type") == "Feature"


def read(
    folder: str | Path, *, images: str | Path | None = None, said: list[Finding] | None = None
) -> list[LabelledImage]:
    """The images of a folder of GeoJSON files, those in its subfolders too; see ``parse``."""
    return each_file(folder, "*json", recognises, parse, images=images or folder, said=said)


def parse(
    document: Any,
    path: Path,
    *,
    images: str | Path | None = None,
    said: list[Finding] | None = None,
    place: Path = Path(),
) -> list[LabelledImage]:
    """The one image of a file that is decoded already; it has the file's name.

    Args:
        images: the folder of the images, whose sizes the files do not state; None: they lie
            beside.
        place: the folder of the file in the data set.
        said: takes annotations that cannot be read, which are left out; None: the first is raised.

    Raises:
        ValueError: an annotation is malformed, or the image is not there.
    """
    folder = ImageFolder(path.parent if images is None else images)
    stem = (place / path.stem).as_posix()
    height, width = size_of_file(stem, folder)
    image = file_of(stem, folder)
    name, stack = image.relative_to(folder.folder).as_posix(), OneOfStack.of(image)
    features = document if isinstance(document, list) else document.get("features", [document])
    shapes: list[Shape] = []
    for number, entry in enumerate(features, start=1):
        with left_out(said, f"{path}, feature {number}", name):
            geometry = entry_of(entry_of(entry).get("geometry"))
            stack.require(_plane(geometry))
            shapes += _shapes(entry, geometry, len(features) + number)
    classes = tuple(dict.fromkeys(shape.label for shape in shapes))
    return [LabelledImage(name, width, height, tuple(shapes), classes)]


def _plane(geometry: Mapping[str, Any]) -> int:
    """Which image of a stack it is of, from 1 on."""
    plane = entry_of(geometry.get("plane") or {})
    return 1 + max(of_kind(plane.get(axis, 0), f"plane.{axis}", int) for axis in "zt")


def _label(found: Any) -> str:
    """The name of a class; of one within another, as QuPath shows it: "grain: twinned"."""
    if isinstance(found, dict):
        names = found.get("names")
        found = found.get("name") if names is None else of_kind(names, "classification.names", list)
    parts = found if isinstance(found, list) else [found]
    return ": ".join(of_kind(part, "classification.name", str) for part in parts)


def _shapes(entry: Mapping[str, Any], geometry: Mapping[str, Any], group: int) -> list[Shape]:
    facts = entry.get("properties")
    found = facts.get("classification") if isinstance(facts, dict) else None
    label = _label(found) if found else OBJECT
    kind, stated = geometry.get("type"), geometry.get("coordinates")
    if kind in KINDS:
        return [Shape(KINDS[kind], label, vertices(stated, "coordinates"))]
    if kind == "Point":
        return [Shape("points", label, vertices([stated], "coordinates"))]
    parts = {"Polygon": [stated], "MultiPolygon": stated}.get(kind)
    if not isinstance(parts, list) or not all(isinstance(part, list) and part for part in parts):
        raise ValueError(
            "a geometry must be a Polygon, MultiPolygon, LineString or Point with coordinates."
            f" Received: type={short(kind)}. Export it again."
        )
    group_id = group if len(parts) > 1 else 0
    return [Shape("polygon", label, _outline(part), group_id=group_id) for part in parts]


def _outline(stated: list[Any]) -> np.ndarray:
    """One polygon of the outer ring and its holes; the last point of a ring is its first."""
    whole, *holes = (vertices(ring, "coordinates", least=4)[:-1] for ring in stated)
    for hole in holes:
        whole = joined(whole, hole)
    return whole


def write(folder: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes ``NAME.geojson`` for each image: drag it onto the image in QuPath.

    Masks, and objects of several parts, become outlines around their pixels; the attributes of a
    shape go into "metadata".

    Returns:
        how many shapes of each kind were left out, since GeoJSON has no such kind.

    Raises:
        ValueError: when an image's name leads out of the folder, or two images get one file.
    """
    images = list(images)
    not_held: Counter[str] = Counter()
    paths = label_paths(folder, (image.name for image in images), SUFFIX)
    for path, image in zip(paths, images, strict=True):
        features = []
        for shape in raster.one_shape_each(image):
            geometry = _geometry(shape, image)
            not_held.update([shape.kind] if geometry is None else [])
            features += [] if geometry is None else [_feature(shape, geometry)]
        write_json(path, {"type": "FeatureCollection", "features": features})
    return dict(not_held)


def _feature(shape: Shape, geometry: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"objectType": "annotation"}
    facts["classification"] = {"name": shape.label}
    if shape.attributes is not NO_ATTRIBUTES:
        facts["metadata"] = dict(shape.attributes)
    return {"type": "Feature", "geometry": geometry, "properties": facts}


def _geometry(shape: Shape, image: LabelledImage) -> dict[str, Any] | None:
    if shape.kind == "polyline":
        return {"type": "LineString", "coordinates": shape.points[:, ::-1].tolist()}
    if shape.kind == "points":
        return {"type": "MultiPoint", "coordinates": shape.points[:, ::-1].tolist()}
    if shape.kind == "mask":
        row, col, pixels = shape_window(shape, image.height, image.width)
        parts = [[ring + np.array([row, col]) for ring in part] for part in rings(pixels)]
    else:
        parts = [[np.concatenate([o := outline(shape), o[:1]])]] if shape.has_area else []
    stated = [[ring[:, ::-1].tolist() for ring in part] for part in parts]
    if len(stated) == 1:
        return {"type": "Polygon", "coordinates": stated[0]}
    return {"type": "MultiPolygon", "coordinates": stated} if stated else None
