"""Defaults, stated once: how a model is trained, and how objects are told apart.

``temzoo.train`` and its run folder call the first settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

SEPARATION = "auto"  # of instances, in predictions and scores
SMOOTH = "auto"  # of noisy micrographs, before they are predicted
BINNING = "auto"  # of large micrographs, before they are predicted
MOST_BINNING = 64
MIN_AREA_PX = 10  # smaller instances are dropped
COUNTS = (
    "epochs",
    "batch",
    "patience",
    "validate_every",
    "steps_per_epoch",
    "finetune_epochs",
)


def check_binning(binning: Any) -> None:
    """Raises ValueError for what no micrograph can be binned by."""
    if binning != BINNING and not (isinstance(binning, int) and 1 <= binning <= MOST_BINNING):
        raise ValueError(
            f'binning must be "auto" or a whole number from 1 to {MOST_BINNING}. Received:'
            f" binning={binning!r}. Use 2, or 1 to see single pixels."
        )


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        epochs: passes over windows that cover the training micrographs once.
        batch: crops in a step.
        crop: side of a crop, px; None: the side that the model takes; where it takes any, 256 for
            labels and 128 for pairs.
        magnification: of labels: (low, high) factors by which micrographs are resized before
            cropping.
        binning: of labels: learn from, and predict from, means of N x N pixels; "auto": as many as
            crops need to show most of the labelled objects, of models that find objects; of others
            1.
        augment: of labels: preset of ``data.augment``: "none", "light", "em", or "em_invert",
            which exchanges dark and bright too: for particles that may be either. Of single images
            with a class: "none", or quarter turns and mirrors, with "em_invert" negatives too.
        augmenter: the library that carries it out, "imgaug", or "opencv", which is faster.
        pairs: of restorers: what is learnt from what, a source of ``data.pairs.PairPlan``.
            None: "grey" for a model that colours, "given" where examples have a truth, else
            "blind_spot" (Noise2Void), which needs noisy micrographs alone.
        learning_rate: of AdamW, reached after ``warmup`` and left by a cosine to zero.
        warmup: share of the steps.
        loss: one of the task's losses; None: the task's own choice.
        class_weights: of labels and classes: None, "balanced" (rare classes weigh more), or one
            factor per class, a background first; region losses weigh the foreground classes by
            theirs.
        mixed_precision: compute in bfloat16, keep the weights in float32.
        average: of the weights over past steps, which is judged and kept: how much of it stays at
            each step, such as 0.998 (Polyak and Juditsky 1992, doi:10.1137/0330046); None: the
            weights as they are. It calms validation scores that jump from epoch to epoch.
        patience: epochs without a better validation score before a phase ends; None: never.
        validate_every: epochs from one validation to the next; the last of a phase has one always.
        steps_per_epoch: None: as many as the windows need.
        finetune: keywords of the model that a second phase changes, such as
            ``{"encoder_trainable": "deep"}``; None: one phase.
        finetune_epochs, finetune_rate: of the second phase.
        save_every: minutes inside an epoch after which the state is written, so that a killed run
            goes on from there; it is written at the end of an epoch in any case.
        seed: of order, crops, changes and dropout; the initial weights are the model's own
            (``keras.utils.set_random_seed`` before ``get_model``).
    """

    epochs: int = 30
    batch: int = 8
    crop: int | None = None
    magnification: tuple[float, float] = (0.7, 1.0)
    binning: str | int = BINNING
    augment: str = "em"
    augmenter: str = "imgaug"
    pairs: str | Any | None = None
    learning_rate: float = 1e-3
    warmup: float = 0.05
    loss: str | None = None
    class_weights: str | Sequence[float] | None = None
    mixed_precision: bool = False
    average: float | None = None
    patience: int | None = None
    validate_every: int = 1
    steps_per_epoch: int | None = None
    finetune: Mapping[str, Any] | None = None
    finetune_epochs: int = 10
    finetune_rate: float = 1e-4
    save_every: float = 10.0
    seed: int = 0

    def __post_init__(self):
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be at least 1. Received: {name}={value!r}.")
        for name in ("learning_rate", "finetune_rate"):
            if not _is_share(getattr(self, name)):
                raise ValueError(
                    f"{name} must lie between 0 and 1. Received: {name}={getattr(self, name)!r}."
                )
        check_binning(self.binning)
        if not isinstance(self.save_every, Real) or not self.save_every > 0:
            raise ValueError(
                "save_every must be minutes, more than 0. Received: save_every="
                f"{self.save_every!r}. Use 10."
            )
        if self.average is not None and not _is_share(self.average):
            raise ValueError(
                "average must lie between 0 and 1, or be None. Received:"
                f" average={self.average!r}. Use 0.998."
            )
        if self.warmup != 0 and not _is_share(self.warmup):
            raise ValueError(
                f"warmup is a share below 1. Received: warmup={self.warmup!r}. Use 0.05."
            )
        if isinstance(self.class_weights, str) and self.class_weights != "balanced":
            raise ValueError(
                'class_weights must be None, "balanced" or one factor per class.'
                f" Received: class_weights={self.class_weights!r}."
            )


def _is_share(value: Any) -> bool:
    """Whether a value is a number between 0 and 1."""
    return isinstance(value, Real) and 0 < value < 1
