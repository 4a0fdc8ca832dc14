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

With ``pyramid=(2, 4)`` the same encoder sees the image reduced 2 and 4 times instead. The decoder
starts at 1/128, joins at each resolution what there is, and ends with shallow skips at 1/2 and 1:
objects of 500 px are seen whole, with a third of the encoder's arithmetic, and outlines stay sharp.
(One encoder for all scales: Farabet et al. 2013, doi:10.1109/TPAMI.2012.231.) ``(0.5, 1)`` shows it
the image enlarged twice as well, so that its features reach full resolution: for objects of 10 px.

The percentile normalisation to about [-1, 1] is the range that MobileNet was trained with.

With ``negatives`` the network sees each image and its negative, and answers their mean: the same
for a bright-field and a dark-field picture of one scene, for twice the work. The weights are those
without, learnt best with the augmentation "em_invert".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from temzoo.models import efficientnet_lite, layers, mobilenet
from temzoo.zoo.cards import register

STRIDE = 32  # of the encoder; the network's is as many times as much as its coarsest reduction
REDUCTIONS = (0.5, 1, 2, 4, 8)
ENCODERS = ("mobilenet", "efficientnet_lite0")  # of a body


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
    free=("encoder_weights", "encoder_trainable", "negatives"),
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
    pyramid: tuple[float, ...] = (1,),
    negatives: bool = False,
) -> keras.Model:
    """Builds a U-Net on a MobileNet encoder.

    Args:
        classes: background included; 2 means background and one class.
        channels: 1 or 3.
        alpha: the MobileNet's width: 0.25, 0.5, 0.75 or 1.0.
        encoder_weights: "imagenet", the path of a no-top ``.h5`` file of the same width, or None
            (random).
        encoder_trainable: False (feature extraction), True, or "deep" (blocks 7 to 13 only).
        decoder_filters: at 1/16, 1/8, 1/4, 1/2 and full resolution; what is coarser has the first.
        norm: of the decoder: "batch", "group", "instance" or None.
        dropout: fraction dropped at the bottom.
        upsampling: "bilinear" or "transpose".
        pyramid: how many times the image is reduced before the encoder: 0.5 (enlarged twice), 1, 2,
            4, 8, or several.
        negatives: whether answers for the image and its negative are averaged.
    """
    layers.check_choices(classes=classes)
    body = build_body(
        channels=channels,
        alpha=alpha,
        encoder_weights=encoder_weights,
        encoder_trainable=encoder_trainable,
        decoder_filters=decoder_filters,
        norm=norm,
        dropout=dropout,
        upsampling=upsampling,
        pyramid=pyramid,
        negatives=negatives,
    )
    x = layers.class_probabilities(body.features, classes)
    if negatives:
        x = layers.MeanOfNegative(dtype="float32", name="mean_of_negative")(x)
    x = layers.CropBack(body.stride, dtype="float32", name="probabilities")([x, body.normalized])
    return keras.Model(body.pixels, x, name="unet_mobilenet")


@dataclass(frozen=True)
class Body:
    """A network up to its heads.

    Attributes:
        pixels: its input.
        normalized: the same after the normalisation, of which an answer has the size.
        features: the decoder's, (B, H', W', filters), padded to the coarsest step.
        stride: px, the coarsest step.
    """

    pixels: Any
    normalized: Any
    features: Any
    stride: int


def build_body(
    *,
    channels: int,
    alpha: float,
    encoder_weights: str | None,
    encoder_trainable: bool | str,
    decoder_filters: tuple[int, ...],
    norm: str | None,
    dropout: float,
    upsampling: str,
    pyramid: tuple[float, ...],
    negatives: bool = False,
    encoder: str = "mobilenet",
) -> Body:
    """Encoder and decoder, for what ``unet_mobilenet`` takes."""
    layers.check_choices(norm=norm, upsampling=upsampling, dropout=dropout)
    if encoder not in ENCODERS:
        raise ValueError(f"encoder must be one of {ENCODERS}. Received: encoder={encoder!r}.")
    mobilenet.check_encoder(channels, alpha, encoder_trainable, "encoder")
    _check(decoder_filters, pyramid, negatives)
    stride = int(STRIDE * max(pyramid))
    pixels = keras.Input((None, None, channels), name="pixels")
    normalized = layers.Normalize(name="normalize")(pixels)
    padded = layers.ReflectPad(stride, name="pad")(normalized)
    if negatives:
        padded = layers.WithNegative(name="with_negative")(padded)
    if encoder == "mobilenet":
        network, is_deep = (
            mobilenet.build_encoder(channels, alpha, encoder_weights),
            mobilenet.is_deep,
        )
    else:
        network = efficientnet_lite.build_encoder(channels, encoder_weights)
        is_deep = efficientnet_lite.is_deep
    # The encoder halves an image at once: above twice the least reduction there are no features.
    shown = {1, *pyramid, *_strides_below(int(2 * min(pyramid)))}
    images = {n: _reduced(padded, n) for n in shown}
    seen: dict[int, list] = {}  # what the encoder sees, by stride
    for reduction in sorted(pyramid):
        found = mobilenet.features(
            network, images[reduction], encoder_weights, encoder_trainable, is_deep
        )
        for level, feature in enumerate(found, start=1):
            seen.setdefault(int(reduction * 2**level), []).append(feature)
    x = _joined(seen.pop(stride), "bottom")
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    for level, stride_here in enumerate(_strides_below(stride)):
        filters = decoder_filters[max(0, len(decoder_filters) - stride_here.bit_length())]
        x = layers.upsample(x, filters, upsampling, f"up{level}")
        if stride_here in seen:
            skip = _joined(seen[stride_here], f"seen{level}")
            skip = keras.layers.Conv2D(filters, 1, name=f"skip{level}")(skip)
        else:
            name = "shallow" if stride_here == 1 else f"shallow{stride_here}"
            skip = layers.conv_norm_relu(images[stride_here], filters, norm, name)
        x = keras.layers.Concatenate(name=f"join{level}")([skip, x])
        x = layers.conv_norm_relu(x, filters, norm, f"up{level}a")
        x = layers.conv_norm_relu(x, filters, norm, f"up{level}b")  # (H / stride_here, …, filters)
    return Body(pixels, normalized, x, stride)


def _reduced(x, times: float):
    """The image averaged over times x times pixels: (H, W, C) to (H / times, W / times, C)."""
    if times == 0.5:
        return layers.BilinearUpsample(name="enlarged2")(x)
    return x if times == 1 else keras.layers.AveragePooling2D(times, name=f"reduced{times}")(x)


def _joined(features: list, name: str):
    return features[0] if len(features) == 1 else keras.layers.Concatenate(name=name)(features)


def _strides_below(stride: int) -> list[int]:
    """stride / 2 … 4, 2, 1."""
    return [2**power for power in reversed(range(stride.bit_length() - 1))]


def _check(decoder_filters, pyramid, negatives) -> None:
    if len(decoder_filters) != len(mobilenet.SKIP_LAYERS) + 1:
        raise ValueError(
            "decoder_filters gives one width per resolution, from 1/16 to full, five in all."
            f" Received: {decoder_filters}."
        )
    for filters in decoder_filters:
        layers.check_choices(filters=filters)
    if not pyramid or len(set(pyramid)) < len(pyramid) or not set(pyramid) <= set(REDUCTIONS):
        raise ValueError(
            f"pyramid is one or several of {REDUCTIONS}, each once. Received: pyramid={pyramid}."
            " Use (1,), (1, 2, 4) for objects of hundreds of px too, or (0.5, 1) for small ones."
        )
    if not isinstance(negatives, bool):
        raise ValueError(f"negatives must be True or False. Received: negatives={negatives!r}.")
