"""What is trained on a GPU: a network, its crops and how they are changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Changes:
    """How crops differ from what was recorded."""

    # least and most, drawn evenly on a logarithmic scale
    magnification: tuple[float, float] = (0.45, 1.4)
    stretch: float = 0.08  # standard deviation of the logarithm of height over width, halved
    # share of crops whose geometry is as recorded, but for quarter turns and mirrors
    recorded: float = 0.2
    negative: float = 0.5  # share whose dark and bright are exchanged
    gamma: float = 0.3  # standard deviation of log gamma
    # standard deviation of slow changes of brightness, of the grey range; half of the crops have
    # none
    shading: float = 0.1
    blur: float = 1.0  # greatest standard deviation, px; half of the crops are not blurred
    # greatest standard deviation, of the grey range; half of the crops have none
    noise: float = 0.06


# Micrographs of one instrument at one magnification: nearly as recorded.
ALIKE = Changes((0.8, 1.25), 0.08, 0.5, 0.0, 0.2, 0.05, 0.5, 0.04)


@dataclass(frozen=True)
class Recipe:
    """A training."""

    about: str  # in words
    data: str  # a named dataset, as ``pack`` wrote it
    model: str  # a registered name
    config: Mapping[str, Any] = field(default_factory=dict)  # its keywords
    crop: int = 256  # side, px
    batch: int = 32  # crops of a step
    rate: float = 2e-3  # peak learning rate
    encoder: float = 0.03  # share of it for a pretrained encoder, 0: frozen
    decay: float = 0.02  # of weights, beside the rate
    steps: int = 10_000  # over which the rate rises and falls
    average: float = 0.999  # of the weights, what is kept of the average at each step
    changes: Changes = field(default_factory=Changes)  # of the crops


WIDE = {"alpha": 0.75, "pyramid": (1, 2, 4), "decoder_filters": (128, 96, 64, 24, 8)}
FINE = {"alpha": 0.75, "pyramid": (0.5, 1), "decoder_filters": (128, 96, 64, 32, 24)}
RECIPES = {
    "emps": Recipe(
        "U-Net on MobileNet 0.75 at three scales, all of it fine-tuned",
        *("emps", "unet_mobilenet", WIDE, 384, 16, 1e-3),
        steps=5000,
    ),
    "emps-unet": Recipe("U-Net, 16 filters, from scratch", "emps", "unet", {"filters": 16}),
    "emps-unet-fast": Recipe(
        "U-Net, 8 filters, three levels, from scratch", "emps", "unet", {"filters": 8, "depth": 3}
    ),
    "super1": Recipe(
        "U-Net on MobileNet 0.75 at two scales, all of it fine-tuned",
        *("super1", "unet_mobilenet", {**FINE, "classes": 3}, 256, 16, 1e-3),
        steps=2000,
        changes=ALIKE,
    ),
}
