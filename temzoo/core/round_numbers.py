"""Numbers that read well on an axis or a scale bar: 1, 2 or 5 times a power of ten."""

from __future__ import annotations

import math
from collections.abc import Sequence

NEARLY = 1e-9  # relative; 0.30000000000000004 counts as 0.3


def round_up(value: float) -> float:
    """The least of 1, 2 or 5 times a power of ten not below ``value`` > 0, as 20 for 18.6."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(f for f in (1, 2, 5, 10) if f * power >= value * (1 - NEARLY)) * power


def round_down(value: float, factors: Sequence[float] = (1, 2, 5)) -> float:
    """The greatest of ``factors`` times a power of ten not above ``value`` > 0, as 100 for 120."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(f for f in reversed(factors) if f * power <= value * (1 + NEARLY)) * power
