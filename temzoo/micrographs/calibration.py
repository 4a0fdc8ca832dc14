"""Units of length, as microscopes and image programs write them, in nanometres."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

UNITS = {
    1e-3: "pm picometer picometre",
    0.1: "a å angstrom ångström",
    1.0: "nm nanometer nanometre",
    1e3: "um μm micron micrometer micrometre",
    1e6: "mm millimeter millimetre",
    1e7: "cm centimeter centimetre",
    2.54e7: "in inch inches",
    1e9: "m meter metre",
}
NM_PER_UNIT = {unit: nm for nm, units in UNITS.items() for unit in units.split()}
Scale = tuple[float, float]
# What stands for a unit where there is none.
NO_UNITS = frozenset({"", "none", "null", "undefined", "<undefined>", "pixel", "px"})
# A metre, and a millionth of an atom: no microscope has such pixels.
COARSEST_NM, FINEST_NM = 1e9, 1e-9


def nm_of(unit: object) -> float | None:
    """Nanometres of a length's unit; None for pixels, reciprocal lengths and the unknown."""
    text = _plain(unit)
    return NM_PER_UNIT.get(text, NM_PER_UNIT.get(text.removesuffix("s")))


def states_a_unit(unit: object) -> bool:
    """Whether it is a unit of something, be it no length; pixels are none."""
    return unit is not None and not {_plain(unit), _plain(unit).removesuffix("s")} & NO_UNITS


def _plain(unit: object) -> str:
    # Java's and Python's way to write what is not ASCII: \u00B5, \xb5.
    text = re.sub(r"\\(?:u(\w{4})|x(\w{2}))", _unescaped, str(unit).strip().strip("\x00"))
    # Makes one of the micro sign and the Greek mu, and of ångström's sign and the letter.
    text = unicodedata.normalize("NFKC", text)
    # Berkeley's EMD writes n_m or [n_m].
    text = text.replace("_", "").strip("[]").lower()
    return re.sub(r"\s*(/|per)\s*(px|pixel)$", "", text)


def _unescaped(match: re.Match[str]) -> str:
    try:
        return chr(int(match[1] or match[2], 16))
    except ValueError:
        return match[0]


def number_of(text: object) -> float | None:
    """A number, also with a decimal comma, as programs write it where that is the custom."""
    try:
        return float(text.replace(",", ".") if isinstance(text, str) else text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def real_scale(pair: Scale | None) -> Scale | None:
    """(row, col) in nm where both can be the size of a pixel, else None."""
    if pair is None or not all(FINEST_NM <= nm <= COARSEST_NM for nm in pair):
        return None
    return float(pair[0]), float(pair[1])


def scale_of_axes(axes: Sequence[tuple[object, object]]) -> tuple[Scale | None, str]:
    """The size of a pixel from (size, unit) of rows and of columns, and why it is none.

    Where nothing is stated, "pixels" included, there is nothing to say either.
    """
    units = [unit for _, unit in axes]
    nm = [nm_of(unit) for unit in units]
    if None in nm:
        named = {str(unit)[:40] for unit in units if states_a_unit(unit) and nm_of(unit) is None}
        return None, f"units of {' and '.join(sorted(named))}" if named else ""
    try:
        row, col = (float(size) * each for (size, _), each in zip(axes, nm, strict=True))
    except (TypeError, ValueError):
        return None, ""
    scale = real_scale((row, col))
    return scale, "" if scale else f"{row:.4g} x {col:.4g} nm"


def checked_scale(nm_per_pixel: float | Scale) -> Scale:
    """(row, col) in nm of what a caller gave.

    Raises:
        ValueError: it is neither one number nor two, or none that a pixel can have.
    """
    values = np.asarray(nm_per_pixel, dtype=np.float64)
    if values.shape not in ((), (2,)) or not np.all(np.isfinite(values) & (values > 0)):
        raise ValueError(
            "nm_per_pixel must be one number or a pair (row, col), finite and greater than 0. "
            f"Received: nm_per_pixel={nm_per_pixel!r}. Read it off the microscope, or take it from"
            " a scale bar: temzoo.measurement.nm_per_pixel_from_scale_bar."
        )
    if not np.all((values >= FINEST_NM) & (values <= COARSEST_NM)):
        raise ValueError(
            f"nm_per_pixel must be from {FINEST_NM:g} to {COARSEST_NM:g}, a metre. "
            f"Received: nm_per_pixel={nm_per_pixel!r}. Give it in nanometres."
        )
    row, col = np.broadcast_to(values, 2)
    return float(row), float(col)
