"""Prediction → particles in nanometres → what can be said of their sizes, and how surely.

    table = temzoo.measure(prediction, micrograph)      one row a particle
    temzoo.summarize(table)                             one row an image, with intervals
    temzoo.plot_sizes(table, "sizes.png")

No file here imports TensorFlow or Keras; pandas, which takes half a second, comes with the first
use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from temzoo.measurement.by_hand import nm_per_pixel_from_scale_bar
from temzoo.measurement.instance_map import load_instance_map
from temzoo.measurement.model_error import ModelError

if TYPE_CHECKING:
    from temzoo.measurement.summary import summarize
    from temzoo.measurement.table import measure

__all__ = [
    "ModelError",
    "load_instance_map",
    "measure",
    "nm_per_pixel_from_scale_bar",
    "summarize",
]


def __getattr__(name: str):
    if name == "measure":
        from temzoo.measurement.table import measure

        return measure
    if name == "summarize":
        from temzoo.measurement.summary import summarize

        return summarize
    raise AttributeError(f"module 'temzoo.measurement' has no attribute '{name}'")


def __dir__():
    return sorted({*globals(), *__all__})
