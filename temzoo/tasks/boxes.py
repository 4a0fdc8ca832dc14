"""Boxes: a box, a class and a score for every object, without its outline.

Labels of any shape with an area teach their extents. Of a crop is learnt ``{"boxes": (G, 4),
"classes": (G,)}``: see ``tasks.instance``, whose tiles and scores these are too. What is found is a
``Prediction`` whose objects fill their boxes, and says so (``box_shaped``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from temzoo.tasks.instance import Instance, Objects
from temzoo.tasks.pixel_models import EngineNetwork
from temzoo.zoo.task import register_task

if TYPE_CHECKING:
    import keras

# From which a box counts: the F1 of EMPS's validation images hardly changes from here to 0.4, and
# the error of the count is least.
SURE = 0.3


class Boxes(Instance):
    """Models whose method ``detect`` finds boxes in squares of their ``image_size``."""

    name = "boxes"
    box_shaped = True
    optimizer = MappingProxyType({"clipnorm": 10.0})
    least_score = SURE

    def target(self, class_names: tuple[str, ...]) -> BoxTargets:
        return BoxTargets(tuple(class_names))

    def engine_network(self, model: keras.Model) -> EngineNetwork:
        """All boxes with their scores, not yet suppressed, of a model that has ``every_box``."""
        if not hasattr(model, "every_box"):
            return super().engine_network(model)
        limit = model.max_detections
        return EngineNetwork(model.every_box, model.normalize, max_detections=limit)


@dataclass(frozen=True)
class BoxTargets(Objects):
    """What a model learns of a micrograph: the boxes of its objects and their classes."""

    padding: ClassVar[Mapping[str, int]] = MappingProxyType({"boxes": -1, "classes": -1})

    def encode(
        self, drawn: np.ndarray, whole: np.ndarray, magnification: float
    ) -> dict[str, np.ndarray]:
        learnt = super().encode(drawn, whole, magnification)
        return {name: learnt[name] for name in self.padding}


register_task(Boxes())
