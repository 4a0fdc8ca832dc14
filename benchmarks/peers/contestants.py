"""Who takes part: peers, each in an environment of its own, and temzoo's networks beside them.

One more is a row here and a script in ``scripts/`` that reads a job by ``replay`` and writes what
its micrographs are predicted to be; ``replay.predict_all`` says in which form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.recipes import PYRAMID

TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Contestant:
    """One row of the table."""

    about: str  # in words
    script: str  # in ``scripts/``
    environment: str  # whose packages it runs with; "" is temzoo's own
    # for the script; a value that ``main`` knows under a name takes its place
    options: Mapping[str, Any] = field(default_factory=dict)
    # the most that it tells apart, the background included; None: any number
    classes: int | None = None


# What pip installs into each environment. Of PyTorch the processor's own wheel serves best:
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu spares 3 GB of CUDA libraries.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "pytorch": (TORCH, "numpy"),
    "smp": (TORCH, "segmentation-models-pytorch==0.6.0"),
    "atomai": (TORCH, "atomai==0.8.1", "six"),  # its mendeleev asks for six without saying so
    "stardist": ("stardist==0.9.2", "tensorflow>=2.19,<2.22"),
    "sklearn": ("scikit-image>=0.26,<0.27", "scikit-learn>=1.9,<2"),
}
UNET = {"filters": 16, "depth": 4}
OURS = {
    "temzoo-unet": Contestant(
        "temzoo U-Net, 16 filters, from scratch", "run_temzoo", "", {"model": "unet", **UNET}
    ),
    "temzoo-mobilenet": Contestant(
        "temzoo U-Net on MobileNet 0.75 at three scales, ImageNet, frozen",
        "run_temzoo",
        "",
        {"model": "unet_mobilenet", **PYRAMID},
    ),
    "temzoo-mobilenet-scratch": Contestant(
        "the same network, all of it from random weights",
        "run_temzoo",
        "",
        {"model": "unet_mobilenet", **PYRAMID, "encoder_weights": None, "encoder_trainable": True},
    ),
}
PEERS = {
    "pytorch-unet": Contestant(
        "plain PyTorch U-Net, 16 filters, from scratch", "run_torch", "pytorch", UNET
    ),
    "smp-resnet18": Contestant(
        "segmentation_models.pytorch Unet, ResNet-18",
        "run_torch",
        "smp",
        {"encoder_name": "resnet18", "encoder_weights": None},
    ),
    "smp-mobilenet": Contestant(
        "segmentation_models.pytorch Unet, MobileNetV2",
        "run_torch",
        "smp",
        {"encoder_name": "mobilenet_v2", "encoder_weights": None},
    ),
    "atomai": Contestant("AtomAI Segmentor, its Unet", "run_atomai", "atomai"),
    "stardist": Contestant("StarDist 2D, grid 2", "run_stardist", "stardist", classes=2),
    "sklearn": Contestant(
        "scikit-learn's forest on scikit-image's features", "run_sklearn", "sklearn"
    ),
}
ALL = {**OURS, **PEERS}
