"""How far a model's sizes and numbers are off, and intervals that hold for what it found.

An interval by sampling says what other particles of the same kind would give. It knows nothing of a
model that joins, misses or invents particles, or draws them too wide. That error is known from
labelled images from which the model did not learn: the logarithm of found by labelled, its mean and
standard deviation over images. Both parts are added in quadrature on the logarithmic scale, as
independent contributions to an uncertainty are (JCGM 100:2008, 5.1.2); the mean is taken as a part
of the error, not corrected for, since it may be another on other material.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from temzoo.core.bootstrap import Interval

# Fewer say next to nothing of the spread: of two, Student's t of 95 % is 12.7 times it.
LEAST_IMAGES = 5


@dataclass(frozen=True)
class LogError:
    """Mean and standard deviation over images of ln(found / labelled)."""

    mean: float
    sd: float

    @property
    def size(self) -> float:
        """Root of mean square; 0.05 is an error of about 5 %."""
        return math.hypot(self.mean, self.sd)


@dataclass(frozen=True)
class ModelError:
    """The error of a model, of images with at least six free particles.

    Attributes:
        d50: of the median diameter.
        count: of the number per area.
        images: that it was found on.
    """

    d50: LogError
    count: LogError
    images: int

    @classmethod
    def of_card(cls, errors: Mapping[str, Any]) -> ModelError | None:
        """What the card of weights says; None where it says nothing, or that of too few images.

        Raises:
            ValueError: the entry is damaged.
        """
        if not errors:
            return None
        try:
            d50, count = (LogError(**errors[key]) for key in ("d50", "count"))
            known = math.isfinite(d50.size + count.size) and min(d50.sd, count.sd) >= 0
            images = int(errors["images"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(_rule(errors)) from error
        if not known:
            raise ValueError(_rule(errors))
        return cls(d50, count, images) if images >= LEAST_IMAGES else None

    def widened(self, bounds: Interval, error: LogError, *, level: float) -> Interval:
        """A figure above 0 with an interval of both parts; undefined ones stay as they are.

        The model's part is Student's t of ``images`` - 1 times ``error.size``.
        """
        from scipy.special import stdtrit

        value, low, high = bounds.value, bounds.low, bounds.high
        if not (value > 0 and low > 0 and math.isfinite(high)):
            return bounds
        own = float(stdtrit(self.images - 1, (1 + level) / 2)) * error.size
        # A skewed bootstrap may put a limit beyond the figure: the model's part is there alone.
        below, above = (max(math.log(ratio), 0.0) for ratio in (value / low, high / value))
        wider = math.hypot(below, own), math.hypot(above, own)
        return Interval(value, value * math.exp(-wider[0]), value * math.exp(wider[1]))


def worst(errors: Iterable[ModelError | None]) -> ModelError | None:
    """Of several images' models the one with the largest error of D50; None if any is unknown."""
    found = list(errors)
    known = [one for one in found if one is not None]
    return max(known, key=lambda one: one.d50.size) if known and len(known) == len(found) else None


def _rule(errors: Mapping[str, Any]) -> str:
    return (
        "errors of a card are mean and sd (0 or more) of d50 and of count, and the number of"
        f" images. Received: {str(errors)[:80]}. Take the card anew from where the weights lay."
    )
