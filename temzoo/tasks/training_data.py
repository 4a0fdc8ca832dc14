"""What a run learns from: examples as the streams that ``fit`` takes.

``Task.training_data`` names one of these: micrographs with labelled shapes, pairs of a micrograph
and the picture that it should become, or single images as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from temzoo.core.hints import require_choice
from temzoo.core.settings import BINNING, Settings
from temzoo.core.types import Example
from temzoo.data import classes, images, pairs
from temzoo.data.augment_operations import PRESETS
from temzoo.data.binning import binned_examples, binning_for, told
from temzoo.data.crop_plan import CropPlan
from temzoo.data.dataset import crop_list, training_stream, validation_set
from temzoo.data.examples import class_names as names_in
from temzoo.data.share import ALL, Share
from temzoo.evaluation.classification import class_probabilities
from temzoo.evaluation.unlike_images import Likeness
from temzoo.labels import nothing_to_learn
from temzoo.tasks.classification import calibrate
from temzoo.tasks.pixel_models import NORMALIZE, RESTORED
from temzoo.zoo import pretrained
from temzoo.zoo.built import built, task_of
from temzoo.zoo.cards import model_card
from temzoo.zoo.task import Task, task_named

LIKENESS = "likeness.npz"
# Training images, or specimens, that likeness is fitted on: fewer do not tell what is usual.
LEAST_ALIKE, MOST_ALIKE = 8, 100
INVERTING = "em_invert"  # the preset that exchanges dark and bright
ALONE = (
    "every image counts as a specimen of its own: where several are of one micrograph, name these"
    " with --groups (groups=), else the score is too good"
)


class TrainingData:
    """The data of one run.

    Attributes:
        OWN: settings of ``train`` that this kind of data alone takes.
        names: of the classes 1, 2, …; () where there are none.
        crops: that show the training micrographs once.
        notes: lines on what a user may not expect of these data.
        share: of each batch, that ``training`` reads, where several devices share it.
    """

    OWN: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    binning = 1
    share: Share = ALL
    crops: int

    @staticmethod
    def classes_in(examples: Sequence[Example]) -> tuple[str, ...]:
        """Names of the classes that examples teach; raises ValueError where there are none."""
        _require_areas(examples)
        return names_in(examples)

    @staticmethod
    def complete(model: keras.Model, settings: Settings, train: Sequence[Example]) -> Settings:
        """The settings with what the model and the examples decide filled in."""

    def prepare(self, model: keras.Model) -> None:
        """Tells a new model what it must know of the examples before the first step."""

    def class_weights(self, asked: Any) -> list[float] | None:
        """What ``Task.compile`` takes for the setting ``class_weights``."""
        return None

    def read_share(self, process: int, processes: int, *, devices: int) -> None:
        """Makes ``training`` read what this process, from 0, has of each batch: see ``Share``."""
        self.share = Share(process, processes, devices)

    def training(self, start: int, failures: list[Exception]) -> tf.data.Dataset:
        """Endless batches, after ``start`` crops that were seen before."""

    def validation(self, failures: list[Exception]) -> tf.data.Dataset:
        """All of the validation examples, once."""

    def finish(self, model: keras.Model, folder: Path) -> None:
        """Writes what the model should know of its training examples beside its weights."""

    def picture(self, model: keras.Model, path: Path, title: str) -> Path:
        """Draws what the model makes of the validation examples."""


class LabelledData(TrainingData):
    """Micrographs with labelled shapes: crops to learn from, whole micrographs to judge by."""

    OWN = ("crop", "magnification", "binning", "augment", "augmenter", "class_weights")
    CROP = 256

    def __init__(self, model: keras.Model, settings: Settings, train, val):
        self.settings, self.binning = settings, settings.binning
        self.train, self.val = (binned_examples(part, self.binning) for part in (train, val))
        self.shown = val
        _require_areas(train)
        self.task = task_of(model)
        self.names = _class_names(model, self.task, names_in([*train, *val]))
        self.notes = (
            *_notes(built(model).class_names, self.names, names_in(train)),
            *told(self.binning, train, settings.crop),
        )
        self.side, self.channels = model.input_shape[1], model.input_shape[-1]
        how = settings.crop, tuple(settings.magnification), settings.augment, settings.seed
        self.plan = CropPlan(*how, settings.augmenter)
        self.crops = len(crop_list(self.train, self.plan))

    @staticmethod
    def complete(model, settings, train):
        crop, binning = crop_side(model, settings.crop, LabelledData.CROP), settings.binning
        if binning == BINNING:
            binning = 1 if task_of(model).least_score is None else binning_for(train, crop)
        return replace(settings, crop=crop, binning=binning)

    def prepare(self, model):
        self.task.prepare(model, self.train, self.plan.magnification)

    def class_weights(self, asked):
        if not isinstance(asked, str):
            return asked
        maps = (self._target().draw(e.labels) for e in self.train)
        return self.task.balanced_weights(maps, len(self.names) + 1)

    def training(self, start, failures):
        how = {"batch": self.settings.batch, "start": start, "share": self.share}
        return training_stream(self.train, self.plan, **how, **self._options(failures))

    def validation(self, failures):
        return validation_set(self.val, side=self.side, **self._options(failures))

    def picture(self, model, path, title):
        return self.task.picture(path, model, self.shown, self.names, title=title)

    def _target(self):
        return self.task.target(self.names)

    def _options(self, failures):
        return {"target": self._target(), "channels": self.channels, "failures": failures}


class PairData(TrainingData):
    """Micrographs and the pictures they should become; or micrographs from which pairs are made."""

    OWN = ("crop", "pairs")
    CROP = 128

    def __init__(self, model: keras.Model, settings: Settings, train, val):
        self.settings, self.train, self.val = settings, train, val
        self.channels = {
            "channels": model.input_shape[-1],
            "out_channels": model.output_shape[-1],
        }
        self.side = model.input_shape[1]
        self.plan = pairs.PairPlan(settings.crop, settings.pairs, settings.seed)
        self.crops = pairs.crops_per_epoch(train, self.plan)

    @staticmethod
    def complete(model, settings, train):
        _require_layers(model, (NORMALIZE, RESTORED))
        source = settings.pairs or pairs.default_source(train, model.output_shape[-1])
        return replace(settings, crop=crop_side(model, settings.crop, PairData.CROP), pairs=source)

    def training(self, start, failures):
        how = {"batch": self.settings.batch, "start": start, "share": self.share}
        return pairs.pair_stream(self.train, self.plan, **how, **self.channels, failures=failures)

    def validation(self, failures):
        options = {**self.channels, "side": self.side, "failures": failures}
        return pairs.pair_validation(self.val, self.plan, **options)

    def picture(self, model, path, title):
        task = task_of(model)
        return task.picture(path, model, self.val, (), source=self.plan.source, title=title)

    def finish(self, model, folder):
        """What the training images look like to the model, so that unlike ones are noticed."""
        shown = self.train[:: math.ceil(len(self.train) / MOST_ALIKE)]
        groups = [example.group or example.name for example in shown]
        if len(set(groups)) < LEAST_ALIKE:
            return
        poor = (pairs.pair_of(e, self.plan, **self.channels)[0] for e in shown)
        Likeness.fit(model, poor, groups=groups).save(folder / LIKENESS)


class ImageData(TrainingData):
    """Single images of the model's size, such as cut particles; all in memory."""

    SCALE = "image"

    def __init__(self, model: keras.Model, settings: Settings, train, val):
        self.settings = settings
        _, size, _, channels = model.input_shape
        self.train, self.val = (
            images.image_array(part, size, channels, scale=self.SCALE) for part in (train, val)
        )
        self.crops = len(self.train)

    @staticmethod
    def complete(model, settings, train):
        missing = [n for n in ("encode", "decode", "image_size") if not hasattr(model, n)]
        if missing:
            raise ValueError(
                "a generative model has encode, decode and image_size. Received:"
                f" {built(model).name} without {', '.join(missing)}."
            )
        return replace(settings, crop=crop_side(model, None, 0))

    def training(self, start, failures):
        how = {"batch": self.settings.batch, "seed": self.settings.seed}
        return images.image_stream(self.train, start=start, share=self.share, **how)

    def validation(self, failures):
        return images.image_validation(self.val, batch=self.settings.batch)

    def picture(self, model, path, title):
        return task_of(model).picture(path, model, self.val, (), title=title)


class ClassData(ImageData):
    """Single images of a class each, in their stored range."""

    OWN = ("augment", "class_weights")
    SCALE = images.STORED

    def __init__(self, model: keras.Model, settings: Settings, train, val):
        require_choice("augment", settings.augment, tuple(PRESETS))
        super().__init__(model, settings, train, val)
        self.task, self.examples = task_of(model), val
        self.names = _class_names(model, self.task, classes.image_classes([*train, *val]))
        self.notes = tuple(
            _notes(built(model).class_names, self.names, classes.image_classes(train))
        )
        if not any(example.group for example in (*train, *val)):
            self.notes += (ALONE,)
        self.truths = [classes.one_hot(part, self.names) for part in (train, val)]

    @staticmethod
    def classes_in(examples):
        return classes.image_classes(examples)

    @staticmethod
    def complete(model, settings, train):
        return replace(settings, crop=crop_side(model, None, 0))

    def class_weights(self, asked):
        if not isinstance(asked, str):
            return asked
        return self.task.balanced_weights([self.truths[0].argmax(axis=1)], len(self.names))

    def training(self, start, failures):
        chosen = self.settings
        how = {"augment": chosen.augment != "none", "invert": chosen.augment == INVERTING}
        how |= {"batch": chosen.batch, "seed": chosen.seed, "start": start, "share": self.share}
        return images.image_stream(self.train, truth=self.truths[0], **how)

    def validation(self, failures):
        return images.image_validation(self.val, self.settings.batch, self.truths[1])

    def finish(self, model, folder):
        """The best weights again, so that their probabilities are right on validation images."""
        calibrate(model, class_probabilities(model, self.examples), self.truths[1])
        path = folder / pretrained.BEST
        pretrained.save_with_card(model, path, pretrained.read_card(path))

    def picture(self, model, path, title):
        return self.task.picture(path, model, self.examples, self.names, title=title)


def _require_layers(model: keras.Model, names: Sequence[str]) -> None:
    """Raises ValueError where a restorer has not the layers that tiles are restored between."""
    missing = [name for name in names if name not in {layer.name for layer in model.layers}]
    if missing:
        raise ValueError(
            f'a restorer has layers "{NORMALIZE}", on its raw input, and "{RESTORED}", its last in'
            f" normalised units. Received: {built(model).name} without"
            f" {' and '.join(missing)}. Name them so."
        )


def check_own(task: Task, given: Mapping[str, Any]) -> None:
    """Raises ValueError for a setting that only models of other data take."""
    own = task.training_data().OWN
    of_others = {name for data in (LabelledData, PairData, ClassData) for name in data.OWN} - {*own}
    for name in given:
        if name in of_others:
            raise ValueError(
                f"{name} is not for a model of this task. Received: {name}={given[name]!r}. Leave"
                f" it out; of the settings for one kind of data, this takes"
                f" {', '.join(own) or 'none'}."
            )


def with_classes(
    name: str, config: Mapping[str, Any], examples: Sequence[Example], known: Sequence[str] = ()
) -> dict[str, Any]:
    """A model's keywords, with as many ``classes`` as the labels have where none are set.

    Args:
        known: class names of weights that it begins from, which stay where they hold all labels.
    """
    card = model_card(name)
    if "classes" not in card.config:
        return dict(config)
    task = task_named(card.task)
    names = task.training_data().classes_in(examples)
    names = tuple(known) if set(names) <= set(known) else names
    return {"classes": len(names) + task.background, **config}


def _require_areas(examples: Sequence[Example]) -> None:
    """Raises ValueError where labels have no shape that a mask can be learnt from."""
    missing = nothing_to_learn(example.labels for example in examples)
    if missing is not None:
        raise ValueError(f"{missing[0].upper()}{missing[1:]}")


def check_examples(train: Sequence[Example], val: Sequence[Example]) -> None:
    """Raises ValueError when a part is empty, or a micrograph or specimen is in both."""
    if not train or not val:
        raise ValueError(
            f"Training needs micrographs to learn from and others to choose by. Received:"
            f" {len(train)} for training, {len(val)} for validation. temzoo.split parts a data set"
            " into both."
        )
    both = sorted({e.group or e.name for e in train} & {e.group or e.name for e in val})
    if both:
        raise ValueError(
            "A micrograph, or specimen, is either for training or for validation. Received in both:"
            f" {both[:5]}. Use temzoo.split."
        )


def crop_side(model: keras.Model, asked: int | None, usual: int) -> int:
    """The side of the crops: what the model takes, where it takes one size only."""
    taken = model.input_shape[1]
    if taken and asked not in (None, taken):
        raise ValueError(
            f"{built(model).name} takes images of {taken} px, so crop must be {taken}."
            f" Received: crop={asked}. Leave crop out, or build the model with that image_size."
        )
    return asked or taken or usual


def _class_names(model: keras.Model, task: Task, labelled: Sequence[str]) -> tuple[str, ...]:
    """The class names, after checking that labels and model fit."""
    known = built(model).class_names
    names = fitted_names(known, labelled)
    needed, given = len(names) + task.background, task.classes(model)
    if needed != given:
        beside = " beside the background" if task.background else ""
        raise ValueError(
            f"The labels have {len(names)} classes ({', '.join(names)}){beside}, so"
            f" the model needs classes={needed}. Received: classes={given}. Build it with"
            f" get_model(…, classes={needed}), also beside start=…, whose other layers stay."
        )
    return names


def _notes(known: Sequence[str], names: Sequence[str], taught: Sequence[str]) -> Iterator[str]:
    """Lines on classes whose name is new to the weights, and on those that nothing is taught of."""
    renamed = [f"{a} is now {b}" for a, b in zip(known, names, strict=False) if a != b]
    if renamed:
        yield f"class names of the labels in place of the weights': {', '.join(renamed)}"
    absent = [name for name in names if name not in taught]
    if absent:
        yield f"no training image has {', '.join(absent)}: nothing is learnt of it"


def fitted_names(known: Sequence[str], labelled: Sequence[str]) -> tuple[str, ...]:
    """The names of a model's classes once it learns from labels.

    Args:
        known: that its weights have; () where there are none.
        labelled: of the labels. Where they are as many, those that are unknown take the places of
            the names that no label has.

    Example:
        >>> fitted_names(("particle",), ("gold",)), fitted_names(("a", "b"), ("b",))
        (('gold',), ('a', 'b'))
    """
    if set(labelled) <= set(known):
        return tuple(known)
    if len(labelled) != len(known):
        return tuple(labelled)
    others = (name for name in labelled if name not in known)
    return tuple(name if name in labelled else next(others) for name in known)
