"""Prediction → particles in nanometres → what can be said of their sizes, and how surely.

    table = temzoo.measure(prediction, micrograph)      one row a particle
    temzoo.summarize(table)                             one row an image, with intervals
    temzoo.plot_sizes(table, "sizes.png")

No file here imports TensorFlow or Keras.
"""

from temzoo.measurement.by_hand import nm_per_pixel_from_scale_bar
from temzoo.measurement.instance_map import load_instance_map
from temzoo.measurement.summary import summarize
from temzoo.measurement.table import measure

__all__ = [
    "load_instance_map",
    "measure",
    "nm_per_pixel_from_scale_bar",
    "summarize",
]
