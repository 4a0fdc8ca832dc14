"""Units of length, as microscopes and image programs write them, in nanometres."""

from __future__ import annotations

import numpy as np

UNITS = {
    1e-3: "pm",
    0.1: "a å angstrom ångström",
    1.0: "nm nanometer nanometre",
    1e3: "um µm micron micrometer micrometre",
    1e6: "mm millimeter",
    1e7: "cm",
    2.54e7: "in inch",
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
    text = str(unit).strip().strip("\x00").replace("\\u00B5", "µ").replace("\u03bc", "µ")
    # Berkeley's EMD writes n_m or [n_m].
    return text.replace("\\u00C5", "å").replace("_", "").strip("[]").lower()


def real_scale(pair: Scale | None) -> Scale | None:
    """(row, col) in nm where both can be the size of a pixel, else None."""
    if pair is None or not all(FINEST_NM <= nm <= COARSEST_NM for nm in pair):
        return None
    return float(pair[0]), float(pair[1])


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
