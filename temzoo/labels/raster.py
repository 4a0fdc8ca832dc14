"""The former place of ``temzoo.labels.shapes.raster`` and ``windows``, kept for scripts."""

from temzoo.labels.shapes.raster import (
    class_map,
    foreground_classes,
    instance_map,
    instance_masks,
    instance_window,
    instances,
)
from temzoo.labels.shapes.windows import shape_mask, shape_window

__all__ = [
    "class_map",
    "foreground_classes",
    "instance_map",
    "instance_masks",
    "instance_window",
    "instances",
    "shape_mask",
    "shape_window",
]
