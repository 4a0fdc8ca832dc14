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

Grey input: the stem's kernels are summed over their three input channels. A convolution is linear,
so this equals replicating the grey image three times, at a third of the stem's arithmetic.

The percentile normalisation to about [-1, 1] is the range that MobileNet was trained with. Batch
norms of an ImageNet encoder stay in inference mode, also while it is fine-tuned, because a few
micrographs a batch are too few to measure them by.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import keras

from temzoo.models import layers
from temzoo.registry import register

STRIDE = 32
SKIP_LAYERS = ("conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu")
BOTTOM_LAYER = "conv_pw_13_relu"
# Blocks 7 to 13 hold nine tenths of the parameters; what lies before sees edges and textures.
DEEP_BLOCKS = tuple(range(7, 14))
ALPHAS = {0.25: "2_5", 0.50: "5_0", 0.75: "7_5", 1.0: "1_0"}
TRAINABLE = (False, True, "deep")
# encoder_weights of a model into which a complete weights file will be loaded.
DEFERRED = "deferred"


@register(
    "unet_mobilenet",
    task="semantic",
    summary="U-Net on a frozen ImageNet MobileNet",
    paper="Howard et al. 2017, arXiv:1704.04861; Ronneberger et al. 2015, "
    "doi:10.1007/978-3-319-24574-4_28",
    input="(B, H, W, 1 or 3) raw pixels, H and W >= 16",
    output="(B, H, W, classes) float32 probabilities",
    parameters=6_070_210,
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
    _check_encoder(channels, alpha, encoder_trainable, decoder_filters)
    pixels = keras.Input((None, None, channels), name="pixels")
    normalized = layers.Normalize(name="normalize")(pixels)
    x = layers.ReflectPad(STRIDE, name="pad")(normalized)
    shallow = layers.conv_norm_relu(x, decoder_filters[-1], norm, "shallow")  # (H, W, 16)
    encoder = build_encoder(channels, alpha, encoder_weights)
    freeze(encoder, encoder_trainable)
    learns_statistics = encoder_weights is None and encoder_trainable is not False
    if learns_statistics:
        for layer in encoder.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = layers.BATCH_NORM_MOMENTUM
    *skips, x = encoder(x, training=None if learns_statistics else False)
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
    x = layers.CropBack(STRIDE, dtype="float32", name="probabilities")([x, pixels])
    return keras.Model(pixels, x, name="unet_mobilenet")


def _check_encoder(channels, alpha, encoder_trainable, decoder_filters) -> None:
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3: the stem is MobileNet's. Received: {channels}.")
    if alpha not in ALPHAS:
        raise ValueError(f"alpha must be one of {sorted(ALPHAS)}. Received: alpha={alpha}.")
    if encoder_trainable not in TRAINABLE:
        raise ValueError(
            f'encoder_trainable must be False, True or "deep". Received: {encoder_trainable!r}.'
        )
    if len(decoder_filters) != len(SKIP_LAYERS) + 1:
        raise ValueError(
            "decoder_filters gives one width per resolution, from 1/16 to full, five in all."
            f" Received: {decoder_filters}."
        )


def build_encoder(channels: int, alpha: float, weights: str | None) -> keras.Model:
    """MobileNet without its top: (B, H, W, channels) to four skips and the bottom."""
    colour = _mobilenet(3, alpha)
    if weights not in (None, DEFERRED):
        load_imagenet(colour, alpha, weights)
    base = colour if channels == 3 else _mobilenet(1, alpha)
    if base is not colour:
        stem, *rest = colour.get_weights()
        base.set_weights([stem.sum(axis=2, keepdims=True), *rest])
    outputs = [base.get_layer(name).output for name in (*SKIP_LAYERS, BOTTOM_LAYER)]
    return keras.Model(base.input, outputs, name="encoder")


def _mobilenet(channels: int, alpha: float) -> keras.Model:
    with warnings.catch_warnings():
        # Any size is meant here; the advice to take a square input concerns its classifier.
        warnings.filterwarnings("ignore", message=".*input_shape.*")
        return keras.applications.MobileNet(
            input_shape=(None, None, channels), alpha=alpha, include_top=False, weights=None
        )


def imagenet_file(alpha: float) -> str:
    """The name of the published weights file for this width, without top."""
    return f"mobilenet_{ALPHAS[alpha]}_224_tf_no_top.h5"


def load_imagenet(base: keras.Model, alpha: float, weights: str | os.PathLike) -> None:
    """Loads encoder weights into a three-channel MobileNet.

    Raises:
        FileNotFoundError: the file is neither there nor to be had from the network.
        ValueError: the file is of another width or network.
    """
    if weights != "imagenet":
        path = Path(weights)
        if not path.is_file():
            raise FileNotFoundError(
                f'encoder_weights must be "imagenet", None or the path of a file. Received: {path},'
                " which is not there."
            )
    else:
        path = _fetch(imagenet_file(alpha))
    try:
        base.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"{path} does not fit a MobileNet of alpha={alpha} without top. Check alpha, or pass"
            f" another file as encoder_weights. Keras says: {error}"
        ) from error


def _fetch(name: str) -> Path:
    origin = f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/{name}"
    try:
        return Path(keras.utils.get_file(name, origin, cache_subdir="models"))
    except Exception as error:  # get_file raises a bare Exception when the network fails
        folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
        raise FileNotFoundError(
            f"The ImageNet weights {name} could not be downloaded from {origin}. Keras looks for"
            f" them in {folder} (set KERAS_HOME to move it): put the file there, or pass its path"
            " as encoder_weights=…, or train without it by encoder_weights=None,"
            " encoder_trainable=True."
        ) from error


def freeze(encoder: keras.Model, trainable: bool | str) -> None:
    """Sets which of the encoder's blocks learn: none, all, or the deep ones."""
    encoder.trainable = trainable is not False
    if trainable == "deep":
        deep = tuple(f"_{block}" for block in DEEP_BLOCKS)
        for layer in encoder.layers:
            layer.trainable = layer.name.removesuffix("_bn").removesuffix("_relu").endswith(deep)
