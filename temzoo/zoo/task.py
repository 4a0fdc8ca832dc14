"""What a kind of model is asked: the interface ``Task``, and the tasks by name.

Everything that differs between a network that labels pixels, one that finds objects and one that
makes pictures is asked here and nowhere else. A task is one object; models name it in ``@register``
and know nothing of it. To add a kind, write a subclass in one file and register it:

    class Heights(temzoo.Task):
        name = "heights"
        ...

    temzoo.register_task(Heights())
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temzoo.core.hints import did_you_mean

if TYPE_CHECKING:
    import keras
    import numpy as np

    from temzoo.core.types import Example, Micrograph, Prediction

# The package's own tasks, loaded when first asked for. The last takes any function of pixels.
BUILT_IN = (
    "instance",
    "boxes",
    "distance",
    "restoration",
    "generative",
    "classification",
    "semantic",
)


class Task:
    """A kind of model: what it learns from, how it is judged, and what it answers.

    Methods whose default raises need no override where a kind has no such thing.

    Attributes:
        name: as ``@register(task=…)`` has it.
        examples: what it learns from: "labels" (micrographs with labelled shapes), "pairs" (a
            micrograph and the picture it should become), "images" (single images) or "classes"
            (single images, each of a class).
        background: whether class 0 is the background, which has no name; else it has the first.
        score: of an epoch's logs, by which the best epoch is chosen; higher is better.
        score_name: the score in texts: "IoU".
        judged_by_fit: Keras' validation gives the score; else ``judge`` does.
        losses: names for the setting ``loss``; the first is the default. (): the model's own.
        optimizer: keywords of the optimizer that training uses.
        instances: how predicted objects come about: "regions" of pixels, which may be cut apart
            further, "objects" that are apart already, or None.
        box_shaped: its objects are boxes, without outlines.
        least_score: from which an object counts; None: objects have no score, and all count.
    """

    name = ""
    examples = "labels"
    background = True
    score = ""
    score_name = ""
    judged_by_fit = True
    losses: tuple[str, ...] = ()
    optimizer: Mapping[str, Any] = {}
    instances: str | None = None
    box_shaped = False
    least_score: float | None = None

    # What it learns.

    def training_data(self) -> type:
        """The class of ``tasks.training_data`` that makes examples into streams for ``fit``."""
        raise self._lacks("training_data")

    def target(self, class_names: tuple[str, ...]) -> Any:
        """What is learnt of a labelled micrograph: a ``data.crop_plan.Target``."""
        raise self._lacks("target")

    def classes(self, model: keras.Model) -> int:
        """Number of classes that a model tells apart; a background counts as one."""
        raise self._lacks("classes")

    def prepare(
        self, model: keras.Model, examples: Sequence[Example], magnification: tuple[float, float]
    ) -> None:
        """Tells a new model what it must know of the examples before the first step."""

    def balanced_weights(self, maps: Any, classes: int) -> list[float]:
        """Class weights for ``class_weights="balanced"``, from drawn targets."""
        raise ValueError(self._no_weights("balanced"))

    def compile(
        self,
        model: keras.Model,
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        loss: Any = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        """Compiles a model with the task's loss and metrics.

        XLA is off, because its convolutions on a CPU are slower than oneDNN's.

        Args:
            optimizer: None: AdamW at 1e-3 with the task's own keywords.
            loss: one of ``losses``, a Keras loss, or None for the default.
            class_weights: one factor per class, background first.

        Raises:
            ValueError: an unknown loss, or something that the task does not take.
        """
        import keras  # cards and predictions of other engines do without it

        chosen = self.loss_and_metrics(model, loss, class_weights)
        optimizer = optimizer or keras.optimizers.AdamW(1e-3, **self.optimizer)
        model.compile(optimizer=optimizer, jit_compile=False, **chosen)

    def loss_and_metrics(
        self, model: keras.Model, loss: Any, class_weights: Sequence[float] | None
    ) -> dict[str, Any]:
        """Keywords of ``model.compile``; by default none, for a model with losses of its own."""
        if loss is not None:
            raise ValueError(
                f"The losses of a model of the task {self.name!r} are its own. Received:"
                f" loss={loss!r}. Leave loss out."
            )
        if class_weights is not None:
            raise ValueError(self._no_weights(class_weights))
        return {}

    def _no_weights(self, received: Any) -> str:
        return (
            f"A model of the task {self.name!r} takes no class weights. Received:"
            f" class_weights={received!r}. Leave class_weights (--balance) out."
        )

    def _lacks(self, method: str) -> NotImplementedError:
        return NotImplementedError(
            f'The task "{self.name}" does not say what {method} is. Received: {type(self).__name__}'
            f" without it. Override {method}, as temzoo.Task documents it."
        )

    def bare(self, model: keras.Model) -> keras.Model:
        """The same layers and weights in a model that was never compiled."""
        import keras

        return keras.Model(model.inputs, model.outputs)

    # How it is judged.

    def judge(
        self, model: keras.Model, examples: Sequence[Example], class_names: tuple[str, ...]
    ) -> dict[str, float]:
        """Logs of an epoch from whole validation micrographs; asked unless ``judged_by_fit``."""
        raise self._lacks("judge")

    def picture(
        self,
        path: Path,
        model: Any,
        examples: Sequence[Example],
        class_names: tuple[str, ...],
        *,
        title: str = "",
        **options: Any,
    ) -> Path:
        """Draws what a model makes of examples.

        Args:
            path: of the picture.
            options: what else the picture of this task can show.
        """
        raise self._lacks("picture")

    # What it answers.

    def recognises(self, model: Any) -> bool:
        """Whether an object that is not from ``get_model`` is of this kind, by what it can do."""
        return False

    def class_names(self, model: Any) -> tuple[str, ...]:
        """Names of the classes 1, 2, … of an object that is not from ``get_model``."""
        return ()

    def answer(self, model: Any, micrograph: Micrograph, options: Any) -> Prediction:
        """Classes and objects of a micrograph.

        Args:
            options: ``inference.options.PredictOptions``.

        Raises:
            ValueError: the task finds neither; an option that does not fit.
        """
        raise ValueError(
            f"predict finds classes and objects. Received: {model!r}, of the task"
            f' "{self.name}", which makes pictures. Use temzoo.restore, or its encode and decode.'
        )

    def at_once(self, model: Any) -> int:
        """How many threads may ask ``answer`` of a model at a time."""
        return 1

    def tiled(self, model: Any, options: Any) -> tuple[Any, Any, bool]:
        """Of a model that answers every pixel, what a part of a micrograph is asked by.

        Returns:
            ``inference.tiles.PixelNetwork``; the options, with the task's defaults; and whether the
            network's last channel is a learnt distance.

        Raises:
            ValueError: the task needs a whole micrograph; an option that does not fit.
        """
        raise ValueError(
            "A lazy image is predicted in tiles, by a model that answers every pixel. Received:"
            f' {model!r}, of the task "{self.name}". Give a stack (1, H, W).'
        )

    def scored(self, least: float | None) -> dict[str, Any]:
        """Options of ``predict`` that give objects down to a score, with their scores."""
        return {}

    def restored(self, model: Any, micrograph: Micrograph, options: Any) -> Micrograph:
        """The picture that a micrograph should have been.

        Raises:
            ValueError: the task restores nothing.
        """
        raise ValueError(
            f"restore needs a model of the restoration task. Received: {model!r}, of the task"
            f' "{self.name}". Use temzoo.predict for classes and objects.'
        )

    def doubts(self, model: Any, pixels: np.ndarray, mirrors: Sequence[tuple]) -> Any:
        """How unsure a model is of an image: ``evaluation.uncertainty.Doubts``.

        Raises:
            ValueError: the task has nothing to be unsure of.
        """
        raise ValueError(
            f"label_next asks a model of classes or objects what it doubts. Received: {model!r}, of"
            f' the task "{self.name}", which needs no labels. Use one that temzoo.predict takes.'
        )

    def latent_image_size(self, model: Any) -> int | None:
        """Side of the images that a model encodes to a latent vector, px; None: it has none."""
        return None

    # How it leaves the package.

    def normalizer(self, model: Any) -> Any:
        """The layer that normalises raw pixels by the whole image; None where there is none."""
        return None

    def endpoints(self, model: keras.Model) -> Mapping[str, Any]:
        """What a served model is asked, by signature: ``tasks.endpoints.Endpoint``."""
        raise self._lacks("endpoints")

    def served_facts(self, model: keras.Model) -> dict[str, Any]:
        """What a client must know of tiles: "step" px and "max_detections", or None for each."""
        return {"step": None, "max_detections": None}

    def engine_network(self, model: keras.Model) -> Any:
        """The part of a model that another engine runs: ``tasks.pixel_models.EngineNetwork``.

        Raises:
            ValueError: models of this task are no networks of pixels.
        """
        raise ValueError(
            "accelerate takes models that label or restore pixels, or find boxes. Received:"
            f' {model!r}, of the task "{self.name}". Predict with the model itself.'
        )


_TASKS: dict[str, Task] = {}


def register_task(task: Task) -> Task:
    """Makes a kind of model known by its ``name``.

    Raises:
        ValueError: the name is empty or taken.

    Example:
        >>> temzoo.register_task(Heights())
    """
    of_temzoo = type(task).__module__ == f"temzoo.tasks.{task.name}"
    if not task.name or task.name in _TASKS or (task.name in BUILT_IN and not of_temzoo):
        raise ValueError(
            f"A task has a name of its own. Received: name={task.name!r}; there are"
            f" {', '.join(sorted({*_TASKS, *BUILT_IN}))}."
        )
    _TASKS[task.name] = task
    return task


def task_named(name: str) -> Task:
    """The task of a name, loaded when it is one of the package's own.

    Raises:
        ValueError: no such task; close matches are named.
    """
    if name not in _TASKS and name in BUILT_IN:
        importlib.import_module(f"temzoo.tasks.{name}")
    if name not in _TASKS:
        names = sorted({*_TASKS, *BUILT_IN})
        raise ValueError(
            f'No task is called "{name}".{did_you_mean(name, names)} Tasks: {", ".join(names)}.'
            " Register it with temzoo.register_task before its models are used."
        )
    return _TASKS[name]


def task_recognising(model: Any) -> Task:
    """The task of an object that is not from ``get_model``, by what the object can do."""
    names = [*(name for name in _TASKS if name not in BUILT_IN), *BUILT_IN]
    return next(task for task in map(task_named, names) if task.recognises(model))
