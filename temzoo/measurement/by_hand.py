"""Nanometres per pixel that somebody gives by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from temzoo.core.showing import scale_text
from temzoo.micrographs import Scale

SHOWN = 3  # images that a notice names


def nm_per_pixel_from_scale_bar(start: Scale, end: Scale, length_nm: float) -> float:
    """The size of a pixel, from the two ends of a scale bar; pixels are taken as square.

    Args:
        start, end: (row, col) of the bar's ends in pixels, anywhere across its thickness. From its
            first edge to its last: a bar that covers columns 100 to 299 ends at 100 and 300.
        length_nm: what is written beside it.

    Raises:
        ValueError: the ends are one point, or a number is not finite, or the length not above 0.

    Example:
        >>> nm_per_pixel_from_scale_bar((980, 100), (980, 300), 50)
        0.25
    """
    numbers = np.array([*start, *end, length_nm], float)
    length_px = math.dist(start, end)
    if not np.isfinite(numbers).all() or length_px == 0 or length_nm <= 0:
        raise ValueError(
            "a scale bar has two ends (row, col) that differ, and a length above 0 nm. Received: "
            f"start={tuple(start)}, end={tuple(end)}, length_nm={length_nm}. Read both ends off in "
            "an image program."
        )
    return length_nm / length_px


@dataclass(frozen=True)
class ByHand:
    """A calibration that somebody gives for several images, some of which may state their own.

    Attributes:
        scale: (row, col) in nm; None: none was given.
        override: it is taken in place of an image's own; else only where an image states none.
    """

    scale: Scale | None = None
    override: bool = False

    def of(self, own: Scale | None) -> Scale | None:
        """The calibration of an image that states ``own``."""
        return self.scale if self.scale and (self.override or own is None) else own

    def notice(self, own: Mapping[str, Scale | None]) -> str:
        """What became of it, in sentences, by what each image states; "" where none was given."""
        if self.scale is None:
            return ""
        stated = {name: scale for name, scale in own.items() if scale is not None}
        taken = len(own) if self.override else len(own) - len(stated)
        said = f"The size of a pixel was given by hand for {taken} of {len(own)} images:"
        said += f" {scale_text(self.scale)}."
        others = [name for name, scale in stated.items() if not _same(scale, self.scale)]
        if not others:
            return said
        shown = ", ".join(f"{name} {scale_text(stated[name])}" for name in others[:SHOWN])
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        kept = "which was not used" if self.override else (
            "which was kept; --override-calibration takes the given one for all"
        )  # fmt: skip
        return f"{said} Another is stated by {shown}{more}, {kept}."


def _same(one: Scale, other: Scale) -> bool:
    """Whether two calibrations differ by rounding alone."""
    return all(math.isclose(*pair, rel_tol=1e-6) for pair in zip(one, other, strict=True))
