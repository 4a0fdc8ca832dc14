"""A U-Net whose encoder is an ImageNet MobileNet, frozen.

Encoder: Howard et al. 2017, arXiv:1704.04861, as ``keras.applications.MobileNet`` has it. Decoder:
Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28.

Input: (B, H, W, 1 or 3), raw pixels in their stored range, H and W of 16 and more.
Output: (B, H, W, classes) float32, softmax; class 0 is the background.

Skips are taken before each stride: after blocks 1, 3, 5 and 11, at 1/2, 1/4, 1/8 and 1/16; block 13
at 1/32 is the bottom. The stem halves the size at once, so a shallow skip straight from the input
brings the decoder to full resolution. Each skip and each coarser level is reduced to the decoder's
width by a 1 x 1 convolution first, since a 3 x 3 over 1,152 joined channels would cost more than
the whole encoder.

The percentile normalisation to about [-1, 1] is the range that MobileNet was trained with.
"""

from __future__ import annotations

import keras

from temzoo.models import layers, mobilenet
from temzoo.registry import register

STRIDE = 32


@register(
    "unet_mobilenet",
    task="semantic",
    summary="U-Net on a frozen ImageNet MobileNet",
    paper="Howard et al. 2017, arXiv:1704.04861; Ronneberger et al. 2015, "
    "doi:10.1007/978-3-319-24574-4_28",
    input="(B, H, W, 1 or 3) raw pixels, H and W >= 16",
    output="(B, H, W, classes) float32 probabilities",
    parameters=6_070_210,
    ranges={
        "alpha": [0.25, 0.5, 0.75, 1.0],
        "encoder_trainable": [False, "deep"],
        "norm": ["batch", "group"],
        "dropout": (0.0, 0.5),
        "upsampling": ["bilinear", "transpose"],
    },
    free=("encoder_weights", "encoder_trainable"),
    deferred={"encoder_weights": "deferred"},
)
def unet_mobilenet(
    *,
    classes: int = 2,
    channels: int = 1,
    alpha: float = 1.0,
    encoder_weights: str | None = "imagenet",
    encoder_trainable: bool | str = False,
    decoder_filters: tuple[int, ...] = (256, 128, 64, 32, 16),
    norm: str | None = "batch",
    dropout: float = 0.0,
    upsampling: str = "bilinear",
) -> keras.Model:
    """Builds a U-Net on a MobileNet encoder.

    Args:
        classes: background included; 2 means background and one class.
        channels: 1 or 3.
        alpha: the MobileNet's width: 0.25, 0.5, 0.75 or 1.0.
        encoder_weights: "imagenet", the path of a no-top ``.h5`` file of the same width, or None
            (random).
        encoder_trainable: False (feature extraction), True, or "deep" (blocks 7 to 13 only).
        decoder_filters: at 1/16, 1/8, 1/4, 1/2 and full resolution.
        norm: of the decoder: "batch", "group", "instance" or None.
        dropout: fraction dropped at the bottom.
        upsampling: "bilinear" or "transpose".
    """
    layers.check_choices(classes=classes, norm=norm, upsampling=upsampling)
    mobilenet.check_encoder(channels, alpha, encoder_trainable, "encoder")
    _check_widths(decoder_filters)
    pixels = keras.Input((None, None, channels), name="pixels")
    normalized = layers.Normalize(name="normalize")(pixels)
    x = layers.ReflectPad(STRIDE, name="pad")(normalized)
    shallow = layers.conv_norm_relu(x, decoder_filters[-1], norm, "shallow")  # (H, W, 16)
    encoder = mobilenet.build_encoder(channels, alpha, encoder_weights)
    *skips, x = mobilenet.features(encoder, x, encoder_weights, encoder_trainable)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    for level, (filters, skip) in enumerate(
        zip(decoder_filters, [*reversed(skips), shallow], strict=True)
    ):  # (H / 2^(4 - level), …, filters)
        x = layers.upsample(x, filters, upsampling, f"up{level}")
        if skip is not shallow:
            skip = keras.layers.Conv2D(filters, 1, name=f"skip{level}")(skip)
        x = keras.layers.Concatenate(name=f"join{level}")([skip, x])
        x = layers.conv_norm_relu(x, filters, norm, f"up{level}a")
        x = layers.conv_norm_relu(x, filters, norm, f"up{level}b")
    x = layers.class_probabilities(x, classes)
    x = layers.CropBack(STRIDE, dtype="float32", name="probabilities")([x, normalized])
    return keras.Model(pixels, x, name="unet_mobilenet")


def _check_widths(decoder_filters) -> None:
    if len(decoder_filters) != len(mobilenet.SKIP_LAYERS) + 1:
        raise ValueError(
            "decoder_filters gives one width per resolution, from 1/16 to full, five in all."
            f" Received: {decoder_filters}."
        )
