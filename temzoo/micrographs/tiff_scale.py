"""The size of a pixel as programs write it into a TIFF.

Each source gives what it states, or None where it states nothing; the first that states something
decides. One that states a unit which is no length (rad, 1/nm) decides too: such an image has no
size in nanometres, and a print resolution is none. "Pixels" and no unit at all state nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temzoo.micrographs.calibration import Scale, nm_of, number_of, real_scale, states_a_unit
from temzoo.micrographs.source import say
from temzoo.micrographs.written_beside import LENGTH, ini_sections

if TYPE_CHECKING:
    import tifffile

PRINT_UNITS_FROM_NM = 1e6
# 1,000 nm per pixel is 25,400 dpi, beyond any printer or scanner: finer means a microscope.
COARSEST_NM_IN_PRINT_UNITS = 1000.0
# Tag 296; 4 and 5 are not in TIFF 6.0, but known to ExifTool and tifffile.
RESOLUTION_UNITS = {2: "inch", 3: "cm", 4: "mm", 5: "um"}
NO_UNIT_ASKED_FOR = (1, 2)  # of tifffile: none, or inches
# Tags of Digital Micrograph's TIFF export: first image axis is x.
DM_UNIT_X, DM_UNIT_Y, DM_SCALE_X, DM_SCALE_Y = 65003, 65004, 65009, 65010
SIS, TESCAN, DESCRIPTION, MAKE = 33560, 50431, 270, 271
OME_SIZES = (("Y", None), ("YUnit", "µm"), ("X", None), ("XUnit", "µm"))
# Of FEI's XML; Titan states X and Y under PixelSize, in metres, Phenom the other two.
FEI_XML, FEI_SIZES = 34683, {"pixelheight": "y", "pixelwidth": "x"}
ZEISS_SCREEN_PX = 1024  # width of the screen that AP_PIXEL_SIZE refers to


@dataclass(frozen=True)
class Stated:
    """What one source states, in nm (None where that is no size of a pixel), and its words."""

    scale: Scale | None
    words: str


def scale_of(tiff: tifffile.TiffFile, page: tifffile.TiffPage, path: Path) -> Scale | None:
    """(row, col) in nm of the first calibration that somebody wrote on purpose."""
    for name, source in SOURCES.items():
        stated = source(tiff, page)
        if stated is None:
            continue
        if stated.scale is None:
            say(path, f"{name}: {stated.words}, which is no size of a pixel")
        else:
            say(path, f"pixel size from {name}{stated.words and f': {stated.words}'}")
        return stated.scale
    return None


def _stated(sizes: tuple[Any, Any], units: tuple[Any, Any], words: str = "") -> Stated | None:
    """What sizes (row, col) in these units say; impossible numbers say nothing."""
    row, col = (nm_of(unit) for unit in units)
    if row is None or col is None:
        named = [str(unit) for unit in units if states_a_unit(unit) and nm_of(unit) is None]
        return Stated(None, f"units of {' and '.join(sorted(set(named)))}") if named else None
    high, wide = map(number_of, sizes)
    if high is None or wide is None:
        return None
    nm = row * high, col * wide
    if scale := real_scale(nm):
        return Stated(scale, words)
    none = not all(math.isfinite(each) and each > 0 for each in nm)
    return None if none else Stated(None, f"{nm[0]:.4g} x {nm[1]:.4g} nm")


def _digital_micrograph(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    tags = page.tags
    sizes = tags.valueof(DM_SCALE_Y), tags.valueof(DM_SCALE_X)
    return _stated(sizes, (tags.valueof(DM_UNIT_Y, ""), tags.valueof(DM_UNIT_X, "")))


def _fei(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    """Of the scan, of its electrons or ions; or as XML, from Titan and Phenom."""
    entries = _entries(tiff.fei_metadata) if tiff.is_fei else {}
    for name in ("Scan", "EScan", "IScan"):
        scan = _entries(entries.get(name))
        if stated := _stated((scan.get("PixelHeight"), scan.get("PixelWidth")), ("m", "m")):
            return stated
    sizes: dict[str, tuple[str | None, str]] = {}
    for parent in _elements(_text(page.tags.valueof(FEI_XML))):
        for child in parent:
            name = FEI_SIZES.get(_name(child), _name(child) if _name(parent) == "pixelsize" else "")
            sizes.setdefault(name, (child.text, child.get("unit", "m")))
    (row, row_unit), (col, col_unit) = (sizes.get(axis, (None, "")) for axis in "yx")
    return _stated((row, col), (row_unit, col_unit))


def _tvips(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    tvips = _entries(tiff.tvips_metadata) if tiff.is_tvips else {}
    return _stated((tvips.get("PixelSizeY"), tvips.get("PixelSizeX")), ("nm", "nm"))


def _zeiss(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    """As name, number and unit; AP_PIXEL_SIZE is the screen's, whatever the size of the image."""
    entries = _entries(tiff.sem_metadata) if tiff.is_sem else {}
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        _, size, unit, *_ = *(entries.get(key) or ()), None, None, None
        if isinstance(size, str) and (length := LENGTH.match(size)):  # 2,5 nm
            size, unit = number_of(length[1]), length[2]
        if not isinstance(size, int | float):
            continue
        if key == "ap_image_pixel_size" or page.imagewidth == ZEISS_SCREEN_PX:
            return _stated((size, size), (unit, unit))
        words = f"AP_PIXEL_SIZE, {size} {unit} on a screen of {ZEISS_SCREEN_PX} px"
        stored = size * ZEISS_SCREEN_PX / page.imagewidth
        return _stated((stored, stored), (unit, unit), words)
    return None


def _sis(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    entries = _entries(page.tags.valueof(SIS))
    return _stated((entries.get("pixelsizey"), entries.get("pixelsizex")), ("m", "m"))


def _tescan(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    main = ini_sections(_text(page.tags.valueof(TESCAN))).get("main", {})
    return _stated((main.get("pixelsizey"), main.get("pixelsizex")), ("m", "m"))


def _ome(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    """PhysicalSizeY and X of all images of an OME-XML, where they agree; µm without a unit."""
    if not tiff.is_ome:
        return None
    found = {
        tuple(element.get(f"PhysicalSize{key}", default) for key, default in OME_SIZES)
        for element in _elements(tiff.ome_metadata)
        if element.tag.endswith("}Pixels") or element.tag == "Pixels"
    }
    if len(found) > 1:
        return Stated(None, f"{len(found)} sizes for its images")
    for row, row_unit, col, col_unit in found:
        return _stated((row, col), (row_unit, col_unit)) if row and col else None
    return None


def _sightx(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    """JEOL's SightX: the resolution is the camera's, to be divided by the magnification."""
    if not str(page.tags.valueof(MAKE, "")).startswith("JEOL"):
        return None
    texts = {
        element.tag: (element.text or "").strip()
        for element in _elements(page.tags.valueof(DESCRIPTION, ""))
    }
    if "EosMode" not in texts or "SelectorValue" not in texts:
        return None
    if texts.get("ModeString") == "DIFF":
        return Stated(None, "a camera length")
    if texts["EosMode"] != "eosTEM" or texts.get("ModeString") != "MAG":
        return None
    camera, unit = _resolution(page), RESOLUTION_UNITS.get(page.tags.valueof(296, 2))
    try:
        sizes = [size / float(texts["SelectorValue"]) for size in camera or ()]
    except (ValueError, ZeroDivisionError):
        return None
    words = f"the camera's pixel by a magnification of {texts['SelectorValue']}"
    return _stated((sizes[0], sizes[1]), (unit, unit), words) if sizes else None


def _imagej(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    if not tiff.is_imagej:
        return None
    entries = _entries(tiff.imagej_metadata)
    unit = entries.get("unit", "")
    return _per_unit(page, (entries.get("yunit", unit), unit))


def _tifffile(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    """The unit beside an array's shape, in JSON; where none was asked for, the tag says inches.

    Nion Swift's export comes to be written so where the unit is µm or Å.
    """
    if page.tags.valueof(296, 2) not in NO_UNIT_ASKED_FOR:
        return None
    unit = str(_json(tiff.pages.first.aspage().shaped_description).get("unit", ""))
    return _per_unit(page, (unit, unit))


def _abtem(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    """The sampling of simulated images, in JSON; abTEM writes x along the rows."""
    told = _json(tiff.pages.first.aspage().description)
    if not str(told.get("data_origin", "")).startswith("abTEM"):
        return None
    row, col = ({}, {}, *map(_entries, _entries(told.get("axes")).values()))[-2:]
    sizes = row.get("sampling"), col.get("sampling")
    return _stated(sizes, (row.get("units"), col.get("units")), "x along the rows")


def _resolution_tags(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Stated | None:
    unit = RESOLUTION_UNITS.get(page.tags.valueof(296, 2), "")
    return _per_unit(page, (unit, unit))


SOURCES: dict[str, Callable[[tifffile.TiffFile, tifffile.TiffPage], Stated | None]] = {
    "Digital Micrograph's tags": _digital_micrograph,
    "FEI's tag": _fei,
    "TVIPS's tag": _tvips,
    "Zeiss's tag": _zeiss,
    "the tag of Olympus SIS": _sis,
    "TESCAN's tag": _tescan,
    "OME-XML": _ome,
    "JEOL SightX": _sightx,
    "ImageJ's description": _imagej,
    "abTEM's description": _abtem,
    "tifffile's description": _tifffile,
    "the resolution tags": _resolution_tags,
}


def _per_unit(page: tifffile.TiffPage, units: tuple[str, str]) -> Stated | None:
    """Pixel size from the resolution tags; of a printer's or scanner's it is none."""
    stated = _stated(_resolution(page) or (None, None), units)
    if stated is None or stated.scale is None:
        return stated
    if max(stated.scale) <= COARSEST_NM_IN_PRINT_UNITS or not any(map(_is_of_print, units)):
        return stated
    return Stated(None, f"{max(stated.scale):,.0f} nm, a print size")


def _is_of_print(unit: str) -> bool:
    return (nm_of(unit) or 0.0) >= PRINT_UNITS_FROM_NM


def _resolution(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """(row, col) units per pixel from the tags 283 and 282, pixels per unit (TIFF 6.0, 8)."""
    resolution = page.tags.valueof(283), page.tags.valueof(282)
    if None in resolution or any(0 in fraction for fraction in resolution):
        return None
    row, col = (below / above for above, below in resolution)
    return row, col


def _entries(value: Any) -> Mapping[str, Any]:
    """What tifffile made of a tag; nothing where it could not."""
    return value if isinstance(value, Mapping) else {}


def _json(text: Any) -> Mapping[str, Any]:
    """What an object of JSON says; nothing where the text is none."""
    try:
        return _entries(json.loads(text or "{}"))
    except (ValueError, RecursionError):
        return {}


def _text(value: Any) -> str:
    """A tag's text; "" where it is none."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _name(element: Any) -> str:
    """An element's name without its namespace, in lower case."""
    return str(element.tag).rpartition("}")[2].lower()


def _elements(text: str) -> Iterator[Any]:
    """The elements of an XML text; none of one that cannot be read."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        yield from fromstring(text.strip(" \r\n\t\x00\x01").encode()).iter()
    except (ParseError, DefusedXmlException, ValueError):
        return
