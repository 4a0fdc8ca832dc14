"""A CVAT auto-annotation function: any weights of temzoo label a task, for people to correct.

    pip install 'temzoo[cvat]'
    cvat-cli --server-host https://app.cvat.ai task auto-annotate 137 \\
        --function-module temzoo.annotation.cvat_function -p weights=str:runs/first

The weights' class names must be those of the task's labels; ``-p labels=str:…`` names them as the
task does. ``cvat-cli function create-native`` and ``run-agent`` take the same parameters and offer
the function to everybody on the server.

Source: https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from temzoo.annotation.prediction_labels import SHAPES, labels_of
from temzoo.core.hints import require_choice
from temzoo.core.settings import MIN_AREA_PX, SEPARATION
from temzoo.core.types import Micrograph, Prediction, Shape
from temzoo.inference.predict import predict
from temzoo.inference.regions import Watershed
from temzoo.labels.shapes.run_lengths import decode_runs
from temzoo.labels.shapes.trace import TOLERANCE_PX, polygons
from temzoo.zoo.building import trained_model
from temzoo.zoo.built import class_names_of, task_of

if TYPE_CHECKING:
    import keras
    import PIL.Image
    from cvat_sdk import models
    from cvat_sdk.auto_annotation import DetectionFunctionContext, DetectionFunctionSpec

DEEP_MODES = ("L", "I", "F", "RGB")  # of Pillow, beside I;16 and its kin: taken as they are
TRIAL_SIDE = 64  # px


def create(
    weights: str,
    *,
    shapes: str = SHAPES[0],
    labels: str = "",
    tolerance_px: float = TOLERANCE_PX,
    instances: str = SEPARATION,
    neck: float | None = None,
    threshold: float | None = None,
    min_area_px: int = MIN_AREA_PX,
    flips: bool = False,
    **config: Any,
) -> Function:
    """The function of some weights; ``cvat-cli`` calls it with each ``-p NAME=TYPE:VALUE``.

    Args:
        weights: a run folder, a weights file, or MODEL/NAME of a shipped set.
        shapes: "polygons", or "masks" for the very pixels. ``--conv-mask-to-poly`` asks for
            polygons whatever is said here.
        labels: the task's labels for the model's classes, in their order, parted by commas; "": the
            class names of the weights.
        tolerance_px: how far a polygon may leave the outline of its pixels.
        instances: "components" or "watershed", of models that label pixels; "auto": watershed, or a
            detector's own objects. All as ``temzoo predict`` has it.
        neck, threshold: of a watershed, as ``temzoo tune-instances`` prints them.
        min_area_px: smaller objects are left out.
        flips: average over mirror images, of models that label pixels: four times slower.
        **config: keywords of the model that may differ from training, as max_detections.

    Raises:
        ImportError: without cvat-sdk.
        ValueError: weights of a model that makes pictures; an option that does not fit.
        FileNotFoundError: no such weights.

    Example:
        >>> function = create("unet_mobilenet/emps", shapes="masks")
        >>> [label.name for label in function.spec.labels]
        ['particle']
    """
    _sdk()
    require_choice("shapes", shapes, SHAPES)
    model = trained_model(weights, **config)
    names = tuple(name.strip() for name in labels.split(",") if name.strip())
    names = names or class_names_of(model)
    cut: str | Watershed = instances
    if neck is not None or threshold is not None:
        cut = Watershed(neck, threshold)
    options = {"instances": cut, "flips": flips, "min_area_px": min_area_px}
    # What cannot work is said before the images of a task are fetched.
    blank = np.zeros((TRIAL_SIDE, TRIAL_SIDE), np.uint8)
    predict(model, blank, class_names=names, **options)
    _check_names(names, class_names_of(model))
    return Function(model, names, shapes, tolerance_px, options)


@dataclass(frozen=True, eq=False)
class Function:
    """A model as ``cvat_sdk.auto_annotation.DetectionFunction``.

    Attributes:
        model: of classes or objects.
        names: of the labels of the classes 1, 2, …
        shapes, tolerance_px: as for ``create``.
        options: of ``temzoo.predict``.
    """

    model: keras.Model
    names: tuple[str, ...]
    shapes: str = SHAPES[0]
    tolerance_px: float = TOLERANCE_PX
    options: dict[str, Any] = field(default_factory=dict)
    # Of the parts of one object; a number is used once, whatever the frame.
    _groups: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    @property
    def spec(self) -> DetectionFunctionSpec:
        """The labels, with class numbers as their ids."""
        sdk = _sdk()
        kind = self.shapes.removesuffix("s")
        labels = [sdk.label_spec(name, k, type=kind) for k, name in enumerate(self.names, 1)]
        return sdk.DetectionFunctionSpec(labels=labels)

    def detect(
        self, context: DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[models.LabeledShapeRequest]:
        """The objects of one image.

        A model that labels pixels has confidence too: the mean probability of an object's class
        over its pixels.
        """
        micrograph = Micrograph(pixels_of(image), name=context.frame_name)
        found = self._found(micrograph, context.conf_threshold)
        if not found.detections and not found.instances.any():
            return []
        shapes = SHAPES[0] if context.conv_mask_to_poly else self.shapes
        drawn = labels_of(found, shapes=shapes, error_px=self.tolerance_px).shapes
        groups: dict[int, int] = defaultdict(lambda: next(self._groups))
        requests = []
        for number, shape in enumerate(drawn, start=1):
            parts = self._outlined(shape) if shapes == SHAPES[0] else [shape]
            alone = len(parts) == 1 and not shape.group_id
            group = {} if alone else {"group": groups[shape.group_id or -number]}
            requests += [self._request(part, **group) for part in parts]
        return requests

    def _found(self, micrograph: Micrograph, least: float | None) -> Prediction:
        scored = task_of(self.model).scored(least)
        found = predict(self.model, micrograph, class_names=self.names, **scored, **self.options)
        if least is None or found.detections is not None:
            return found
        kept = np.concatenate([[0], np.where(found.scores >= least, 1, 0)]).astype(np.int32)
        return replace(found, instances=found.instances * kept[found.instances])

    def _outlined(self, shape: Shape) -> list[Shape]:
        """Polygons alone: what has holes is a mask so far, and a slit leads into each hole."""
        if shape.kind == "polygon":
            return [shape]
        (top, left), (bottom, right) = shape.points.astype(int).tolist()
        mask = decode_runs(shape.runs, bottom - top, right - left)
        parts = polygons(mask, tolerance_px=self.tolerance_px)
        return [Shape("polygon", shape.label, part + np.array([top, left])) for part in parts]

    def _request(self, shape: Shape, **group: int) -> models.LabeledShapeRequest:
        sdk, label = _sdk(), self.names.index(shape.label) + 1
        if shape.kind == "mask":
            # Run lengths and box as CVAT's masks have them: x, y of the first and last pixel.
            (top, left), (bottom, right) = shape.points.astype(int).tolist()
            runs = [*shape.runs.tolist(), left, top, right - 1, bottom - 1]
            return sdk.mask(label, runs, **group)
        return sdk.polygon(label, shape.points[:, ::-1].ravel().tolist(), **group)


def pixels_of(image: PIL.Image.Image) -> np.ndarray:
    """The pixels of a Pillow image with their depth: (H, W) or (H, W, 3), of native byte order.

    Transparency is left out; palettes and other colours become RGB.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("1", "LA", "La"):
        image = image.convert("L")
    elif image.mode not in DEEP_MODES:
        image = image.convert("RGB")
    return np.asarray(image)


def _sdk() -> Any:
    try:
        import cvat_sdk.auto_annotation as sdk
    except ImportError as error:
        raise ImportError(
            "the CVAT function needs cvat-sdk, which is not installed. Received: "
            f"{error}. Run: pip install 'temzoo[cvat]'"
        ) from error
    return sdk


def _check_names(names: tuple[str, ...], trained: tuple[str, ...]) -> None:
    if not names:
        raise ValueError(
            "these weights do not name their classes, which CVAT matches by name. Received: "
            "labels=''. Say -p labels=str:NAME,NAME."
        )
    if trained and len(names) != len(trained):
        raise ValueError(
            f"labels must name each class of the model. Received: labels={','.join(names)!r} for "
            f"the classes {', '.join(trained)}. Name {len(trained)}, in this order."
        )
    if len(set(names)) < len(names):
        raise ValueError(
            f"labels must differ from each other. Received: labels={','.join(names)!r}. "
            "Name each once."
        )
