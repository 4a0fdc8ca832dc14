"""U-Net: Ronneberger, Fischer and Brox, MICCAI 2015, doi 10.1007/978-3-319-24574-4_28.

Input: (B, H, W, channels), raw pixels in their stored range, H and W of 16 and more.
Output: (B, H, W, classes) float32, softmax; class 0 is the background.

Where it differs from the paper: same instead of valid padding, so that the output has the input's
size; batch normalisation; 32 instead of 64 filters at full resolution, enough for the few textures
of a micrograph and four times faster; bilinear upsampling, which leaves no checkerboard. Percentile
normalisation per image (``layers.Normalize``) and reflecting pad and crop are part of the graph.
"""

from __future__ import annotations

import keras

from temzoo.models import layers
from temzoo.zoo.cards import register


def _double_conv(x, filters, norm, name):
    x = layers.conv_norm_relu(x, filters, norm, f"{name}a")
    return layers.conv_norm_relu(x, filters, norm, f"{name}b")


@register(
    "unet",
    task="semantic",
    summary="U-Net from scratch",
    paper="Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28",
    input="(B, H, W, channels) raw pixels, H and W >= 16",
    output="(B, H, W, classes) float32 probabilities",
    parameters=7_246_146,
    ranges={
        "filters": [8, 16, 32],
        "depth": [3, 4],
        "norm": ["batch", "group"],
        "dropout": (0.0, 0.5),
        "upsampling": ["bilinear", "transpose"],
    },
)
def unet(
    *,
    classes: int = 2,
    channels: int = 1,
    filters: int = 32,
    depth: int = 4,
    norm: str | None = "batch",
    dropout: float = 0.0,
    upsampling: str = "bilinear",
) -> keras.Model:
    """Builds a U-Net.

    Args:
        classes: background included; 2 means background and one class.
        channels: of the input.
        filters: at full resolution; doubled at each of ``depth`` halvings.
        depth: number of halvings.
        norm: "batch", "group", "instance" or None.
        dropout: fraction dropped at the bottleneck.
        upsampling: "bilinear" or "transpose" (2 x 2 transposed convolution, as in the paper).
    """
    layers.check_choices(
        classes=classes,
        channels=channels,
        filters=filters,
        depth=depth,
        norm=norm,
        dropout=dropout,
        upsampling=upsampling,
    )
    pixels = keras.Input((None, None, channels), name="pixels")
    normalized = layers.Normalize(name="normalize")(pixels)
    x = layers.ReflectPad(2**depth, name="pad")(normalized)
    skips = []
    for level in range(depth):  # (H / 2^level, W / 2^level, filters * 2^level)
        x = _double_conv(x, filters * 2**level, norm, f"down{level}")
        skips.append(x)
        x = keras.layers.MaxPooling2D(name=f"pool{level}")(x)
    x = _double_conv(x, filters * 2**depth, norm, "bottom")
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    for level in reversed(range(depth)):
        x = layers.upsample(x, filters * 2**level, upsampling, f"up{level}")
        x = keras.layers.Concatenate(name=f"join{level}")([skips[level], x])
        x = _double_conv(x, filters * 2**level, norm, f"up{level}")
    x = layers.class_probabilities(x, classes)
    x = layers.CropBack(2**depth, dtype="float32", name="probabilities")([x, normalized])
    return keras.Model(pixels, x, name="unet")
