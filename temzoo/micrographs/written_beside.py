"""Text files that scanning microscopes write beside an image, with the size of its pixels.

JEOL: NAME.txt with lines such as ``$$SM_MICRON_BAR 100`` (px) and ``$$SM_MICRON_MARKER 500nm``.
Hitachi: NAME.txt, an INI file with ``PixelSize`` in nm under ``[SemImageFile]``. TESCAN: NAME.hdr
or NAME-tif.hdr, an INI file with ``PixelSizeX`` and ``PixelSizeY`` in m under ``[MAIN]``.
"""

from __future__ import annotations

import re
from pathlib import Path

from temzoo.micrographs.calibration import Scale, nm_of, number_of, real_scale
from temzoo.micrographs.source import say

MOST_BYTES = 2**20  # such a file has a few kB
LENGTH = re.compile(r"\s*([\d.,]+)\s*([^\d\s]+)\s*$")
SIZE = re.compile(r"\s*(\d+)\s*[x ]\s*(\d+)\s*$")


def scale_beside(path: Path, size: tuple[int, ...]) -> tuple[Scale | None, str]:
    """(row, col) in nm of what lies beside an image of (height, width), and its file's name.

    What states another width than the image has is passed over, for it is not known which is meant.
    """
    for beside in _candidates(path):
        text = _text(beside)
        found, width = _jeol(text) or _hitachi(text) or _tescan(text) or (None, None)
        scale = real_scale(found)
        if scale and width not in (None, size[1]):
            say(path, f"{beside.name} is of an image {width} px wide, so it is passed over")
        elif scale:
            return scale, beside.name
    return None, ""


def written_since(path: Path, moment_ns: int) -> bool:
    """Whether such a text was written after a time, in ns, at which the image was read."""
    return any(text.stat().st_mtime_ns > moment_ns for text in _candidates(path))


def _candidates(path: Path) -> list[Path]:
    stem, kind = path.stem, path.suffix[1:]
    names = [f"{stem}.txt", f"{stem}.TXT", f"{stem}.hdr", f"{stem}-{kind}.hdr"]
    return [path.with_name(name) for name in names if path.with_name(name).is_file()]


def _text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES)
    return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1", "replace")


def ini_sections(text: str) -> dict[str, dict[str, str]]:
    """The values of an INI text by section and key, both in lower case; odd lines are skipped."""
    sections: dict[str, dict[str, str]] = {}
    values: dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip().strip("\x00")
        if line.startswith("[") and line.endswith("]"):
            values = sections.setdefault(line[1:-1].lower(), {})
        elif "=" in line:
            key, _, value = line.partition("=")
            values.setdefault(key.strip().lower(), value.strip())
    return sections


Found = tuple[tuple[float, float] | None, int | None]


def _jeol(text: str) -> Found | None:
    """The length of the bar by its pixels."""
    lines = dict(line.split(None, 1) for line in text.splitlines() if len(line.split(None, 1)) == 2)
    bar, marker = lines.get("$$SM_MICRON_BAR"), lines.get("$$SM_MICRON_MARKER")
    length = LENGTH.match(marker or "")
    if bar is None or length is None or nm_of(length[2]) is None:
        return None
    nm = _number(length[1]) * (nm_of(length[2]) or 0.0) / (_number(bar) or float("nan"))
    return (nm, nm), _width(lines.get("$CM_FULL_SIZE"))


def _hitachi(text: str) -> Found | None:
    values = ini_sections(text).get("semimagefile", {})
    nm = _number(values.get("pixelsize"))
    return ((nm, nm), _width(values.get("datasize"))) if nm else None


def _tescan(text: str) -> Found | None:
    values = ini_sections(text).get("main", {})
    row, col = (_number(values.get(f"pixelsize{axis}")) for axis in "yx")
    metre = nm_of("m") or 0.0
    return ((row * metre, col * metre), None) if row and col else None


def _number(text: str | None) -> float:
    """The number that a text is; 0 for none."""
    return number_of(text) or 0.0


def _width(text: str | None) -> int | None:
    size = SIZE.match(text or "")
    return int(size[1]) if size else None
