"""temzoo's U-Net in PyTorch, and the loss that networks learn by.

The same layers, widths and order, so that weights carry over. (B, 1, H, W) normalised pixels to (B,
classes, H, W) logits; H and W are multiples of 2^depth.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

EPSILON = 1e-3  # of Keras' batch normalisation
MOMENTUM = 0.1  # the new share; 0.9 of the old one, as in temzoo
PARTS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def double_conv(channels: int, filters: int) -> nn.Sequential:
    parts = []
    for before in (channels, filters):
        parts += [
            nn.Conv2d(before, filters, 3, padding=1, bias=False),
            nn.BatchNorm2d(filters, EPSILON, MOMENTUM),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*parts)


class UNet(nn.Module):
    """U-Net: ``filters`` at full resolution, doubled at each of ``depth`` halvings."""

    def __init__(self, classes: int = 2, channels: int = 1, filters: int = 32, depth: int = 4):
        super().__init__()
        widths = [filters * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            double_conv(before, after)
            for before, after in zip([channels, *widths], widths, strict=False)
        )
        rising = list(reversed(widths))
        self.reduce = nn.ModuleList(nn.Conv2d(below, here, 1) for below, here in pairwise(rising))
        self.up = nn.ModuleList(double_conv(2 * here, here) for here in rising[1:])
        self.pool = nn.MaxPool2d(2)
        self.larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.logits = nn.Conv2d(filters, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for reduce, block in zip(self.reduce, self.up, strict=True):
            x = block(torch.cat([skips.pop(), self.larger(reduce(x))], dim=1))
        return self.logits(x)


def load_keras(network: UNet, arrays: dict) -> None:
    """Takes the weights of temzoo's U-Net: {"down0a_conv/kernel": array …}."""
    depth = len(network.up)
    names = [*(f"down{level}" for level in range(depth)), "bottom"]
    blocks = dict(zip(names, network.down, strict=True))
    levels = list(reversed(range(depth)))
    blocks |= {f"up{level}": block for level, block in zip(levels, network.up, strict=True)}
    with torch.no_grad():
        for name, block in blocks.items():
            for half, conv, norm in (("a", block[0], block[1]), ("b", block[3], block[4])):
                _convolution(conv, arrays, f"{name}{half}_conv")
                _norm(norm, arrays, f"{name}{half}_bn")
        for level, conv in zip(levels, network.reduce, strict=True):
            _convolution(conv, arrays, f"up{level}_reduce")
        _convolution(network.logits, arrays, "logits")


def _convolution(conv: nn.Conv2d, arrays: dict, name: str) -> None:
    conv.weight.copy_(torch.from_numpy(arrays[f"{name}/kernel"].transpose(3, 2, 0, 1).copy()))
    if conv.bias is not None:
        conv.bias.copy_(torch.from_numpy(arrays[f"{name}/bias"]))


def _norm(norm: nn.BatchNorm2d, arrays: dict, name: str) -> None:
    for ours, keras in PARTS.items():
        getattr(norm, ours).copy_(torch.from_numpy(arrays[f"{name}/{keras}"]))


def loss_of(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and 1 - soft Dice over the batch, mean of the foreground classes."""
    truth = functional.one_hot(classes, logits.shape[1]).permute(0, 3, 1, 2)[:, 1:].float()
    found = logits.softmax(dim=1)[:, 1:]
    over = (0, 2, 3)
    hit, total = (truth * found).sum(over), truth.sum(over) + found.sum(over)
    dice = ((hit + 1) / (0.5 * total + 1)).mean()
    return functional.cross_entropy(logits, classes) + 1 - dice


def ensure_torchvision() -> None:
    """Imports torchvision; to be called before the import of what needs it.

    PyPI has torchvision compiled for PyTorch with CUDA alone; beside the processor's PyTorch its
    library does not load, and its Python part stops at two operators that it asks for by name. The
    networks here use neither, so naming them is enough.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", schema)
        import torchvision  # noqa: F401
