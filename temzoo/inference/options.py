"""What a prediction can be asked for; ``predict`` and ``restore`` tell what each option means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from temzoo.core.settings import BINNING, MIN_AREA_PX, SEPARATION, SMOOTH, check_binning
from temzoo.core.types import Tell
from temzoo.inference.regions import NECK, SEPARATIONS, Watershed
from temzoo.inference.tiles import TILE

SMOOTHINGS = (SMOOTH, "off")
MOST_SMOOTH = 32  # px


@dataclass(frozen=True, kw_only=True)
class TileOptions:
    """How a micrograph is covered with tiles."""

    tile: int | None = None
    overlap: int | None = None
    flips: bool = False
    batch_size: int = 1
    progress: bool | Tell = False

    def __post_init__(self) -> None:
        if self.tile is not None and self.tile < 1:
            raise ValueError(f"tile must be positive. Received: tile={self.tile}. Use {TILE}.")
        longest = self.tile or TILE
        if self.overlap is not None and not 0 <= self.overlap < longest:
            raise ValueError(
                "overlap must be at least 0 and less than the tile. Received:"
                f" overlap={self.overlap} with tile={longest}. Use {longest // 2}."
            )
        if self.batch_size < 1:
            raise ValueError(
                f"batch_size must be at least 1. Received: batch_size={self.batch_size}. Use 1."
            )


@dataclass(frozen=True, kw_only=True)
class PredictOptions(TileOptions):
    """What is predicted of a micrograph, and which instances are kept."""

    probabilities: bool = False
    instances: str | Watershed | None = SEPARATION
    min_area_px: int = MIN_AREA_PX
    min_score: float | None = None
    smooth: str | float = SMOOTH
    binning: str | int = BINNING
    class_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.instances, Watershed) and self.instances not in (*SEPARATIONS, None):
            raise ValueError(
                'instances must be "auto", "fused", "components", "watershed" or None. Received:'
                f" instances={self.instances!r}. Use one of them, or Watershed(neck={NECK})."
            )

        if self.smooth not in SMOOTHINGS and not (
            isinstance(self.smooth, Real) and 0 < self.smooth <= MOST_SMOOTH
        ):
            raise ValueError(
                f'smooth must be "auto", "off" or px above 0, at most {MOST_SMOOTH}. Received:'
                f" smooth={self.smooth!r}. Use 1.5."
            )
        check_binning(self.binning)

    @property
    def threshold(self) -> float | None:
        """Of the watershed that was asked for: how sure a pixel must be."""
        return self.instances.threshold if isinstance(self.instances, Watershed) else None
