"""The EfficientNet-Lite0 encoder: features of an ImageNet network that is newer than MobileNet.

Tan and Le 2019, arXiv:1905.11946, in the variant for processors of the TensorFlow authors (Liu
2020, https://blog.tensorflow.org/2020/03): no squeeze and excitation, ReLU6 instead of swish, stem
and head of the same width at every size. Without its top.

Input: (B, H, W, 1 or 3) in about [-1, 1], H and W multiples of 32. Grey: the stem's kernels are
summed over their three input channels, as ``models.mobilenet`` does.
Output: the widened features before each stride at 1/2, 1/4, 1/8 and 1/16 (96, 144, 240 and 672
channels), and the last block at 1/32 (320).
"""

from __future__ import annotations

from pathlib import Path

import keras

from temzoo.models import efficientnet_lite_weights, layers
from temzoo.models.mobilenet import DEFERRED

EPSILON = 1e-3  # of the batch norms, as trained
STEM = 32
# Widening, filters, repeats, stride and kernel of each group of blocks (arXiv:1905.11946, table 1).
GROUPS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def is_deep(layer: str) -> bool:
    """Whether a layer of this name is of groups 5 to 7, at 1/16 and 1/32."""
    return layer.startswith(("block5", "block6", "block7"))


def build_encoder(channels: int, weights: str | None, *, part: str = "encoder") -> keras.Model:
    """EfficientNet-Lite0 without its top: (B, H, W, channels) to four skips and the bottom.

    Args:
        channels: 1 or 3.
        weights: "imagenet", the path of a ``.pth`` file like the one of
            ``models.efficientnet_lite_weights``, None or ``DEFERRED`` (random).
        part: its name.

    Raises:
        InitialWeightsError: ImageNet's are not installed.
        ValueError: the file is of another network.
    """
    base = efficientnet_lite0(channels, name=part)
    if weights in (None, DEFERRED):
        return base
    path = efficientnet_lite_weights.imagenet_path() if weights == "imagenet" else Path(weights)
    colour = base if channels == 3 else efficientnet_lite0(3)
    efficientnet_lite_weights.load_torch(colour, path)
    if base is not colour:
        stem, *rest = colour.get_weights()
        base.set_weights([stem.sum(axis=2, keepdims=True), *rest])
    return base


def efficientnet_lite0(channels: int, *, name: str = "efficientnet_lite0") -> keras.Model:
    """EfficientNet-Lite0 without its top, random: (B, H, W, channels) to skips and bottom."""
    image = keras.Input((None, None, channels))
    x = keras.layers.Conv2D(STEM, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(
        image
    )
    x = _norm(x, "stem", activated=True)  # (H/2, W/2, 32)
    skips = []
    for group, (widening, filters, repeats, stride, kernel) in enumerate(GROUPS, start=1):
        for repeat in range(repeats):
            strides = stride if repeat == 0 else 1
            name_here = f"block{group}{'abcd'[repeat]}"
            wide, x = _block(x, widening, filters, strides, kernel, name_here)
            if strides == 2:
                skips.append(wide)
    return keras.Model(image, [*skips, x], name=name)


def _block(x, widening: int, filters: int, strides: int, kernel: int, name: str):
    """Inverted residual: widened, filtered by channel, narrowed; (widened, answer)."""
    before, wide = x, x
    if widening > 1:
        wide = keras.layers.Conv2D(
            x.shape[-1] * widening, 1, use_bias=False, name=f"{name}_expand_conv"
        )(x)
        wide = _norm(wide, f"{name}_expand", activated=True)
    x = keras.layers.DepthwiseConv2D(
        kernel, strides=strides, padding="same", use_bias=False, name=f"{name}_dwconv"
    )(wide)
    x = _norm(x, name, activated=True)
    x = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _norm(x, f"{name}_project", activated=False)
    if strides == 1 and before.shape[-1] == filters:
        x = keras.layers.Add(name=f"{name}_add")([before, x])
    return wide, x


def _norm(x, name: str, *, activated: bool):
    x = keras.layers.BatchNormalization(
        epsilon=EPSILON, momentum=layers.BATCH_NORM_MOMENTUM, name=f"{name}_bn"
    )(x)
    return keras.layers.ReLU(6, name=f"{name}_relu6")(x) if activated else x
