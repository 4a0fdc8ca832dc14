"""The MobileNet encoder that several models share: built for grey too, loaded, frozen.

Howard et al. 2017, arXiv:1704.04861, as ``keras.applications.MobileNet`` has it, without its top.

Grey input: the stem's kernels are summed over their three input channels. A convolution is linear,
so this equals replicating the grey image three times, at a third of the stem's arithmetic.

Batch norms of an ImageNet encoder stay in inference mode, also while it is fine-tuned, because a
few micrographs a batch are too few to measure them by.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import keras

from temzoo.models import layers
from temzoo.zoo.building import InitialWeightsError

IsDeep = Callable[[str], bool]  # of the name of a layer
SKIP_LAYERS = ("conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu")
BOTTOM_LAYER = "conv_pw_13_relu"
# Blocks 7 to 13 hold nine tenths of the parameters; what lies before sees edges and textures.
DEEP_BLOCKS = tuple(range(7, 14))
ALPHAS = {0.25: "2_5", 0.50: "5_0", 0.75: "7_5", 1.0: "1_0"}
TRAINABLE = (False, True, "deep")
# Initial weights of a model into which a complete weights file will be loaded.
DEFERRED = "deferred"


def check_encoder(channels: int, alpha: float, trainable: bool | str, part: str) -> None:
    """Raises ValueError for what no MobileNet has; ``part`` begins the keyword's name."""
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3: the stem is MobileNet's. Received: {channels}.")
    if alpha not in ALPHAS:
        raise ValueError(f"alpha must be one of {sorted(ALPHAS)}. Received: alpha={alpha}.")
    if trainable not in TRAINABLE:
        raise ValueError(
            f'{part}_trainable must be False, True or "deep". Received: {trainable!r}.'
        )


def build_encoder(
    channels: int, alpha: float, weights: str | None, *, part: str = "encoder"
) -> keras.Model:
    """MobileNet without its top: (B, H, W, channels) to four skips and the bottom.

    Args:
        channels: 1 or 3.
        alpha: width.
        weights: "imagenet", the path of a no-top file, None or ``DEFERRED`` (random).
        part: its name, and what the keyword for its weights begins with in error texts.
    """
    colour = mobilenet(3, alpha)
    if weights not in (None, DEFERRED):
        load_imagenet(colour, alpha, weights, part=part)
    base = colour if channels == 3 else mobilenet(1, alpha)
    if base is not colour:
        stem, *rest = colour.get_weights()
        base.set_weights([stem.sum(axis=2, keepdims=True), *rest])
    outputs = [base.get_layer(name).output for name in (*SKIP_LAYERS, BOTTOM_LAYER)]
    return keras.Model(base.input, outputs, name=part)


def mobilenet(channels: int, alpha: float) -> keras.Model:
    """MobileNet without its top, random: (B, H, W, channels) to (B, H/32, W/32, 1024 alpha)."""
    with warnings.catch_warnings():
        # Any size is meant here; the advice to take a square input concerns its classifier.
        warnings.filterwarnings("ignore", message=".*input_shape.*")
        return keras.applications.MobileNet(
            input_shape=(None, None, channels), alpha=alpha, include_top=False, weights=None
        )


def imagenet_file(alpha: float) -> str:
    """The name of the published weights file for this width, without top."""
    return f"mobilenet_{ALPHAS[alpha]}_224_tf_no_top.h5"


def load_imagenet(
    base: keras.Model, alpha: float, weights: str | os.PathLike, *, part: str = "encoder"
) -> None:
    """Loads encoder weights into a three-channel MobileNet.

    Raises:
        FileNotFoundError: the file is neither there nor to be had from the network.
        ValueError: the file is of another width or network.
    """
    if weights != "imagenet":
        path = Path(weights)
        if not path.is_file():
            raise FileNotFoundError(
                f'{part}_weights must be "imagenet", None or the path of a file. Received: {path},'
                " which is not there."
            )
    else:
        path = _fetch(imagenet_file(alpha), part)
    try:
        base.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"{path} does not fit a MobileNet of alpha={alpha} without top. Check alpha, or pass"
            f" another file as {part}_weights. Keras says: {error}"
        ) from error


def _fetch(name: str, part: str) -> Path:
    origin = f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/{name}"
    try:
        return Path(keras.utils.get_file(name, origin, cache_subdir="models"))
    except Exception:  # get_file raises a bare Exception when the network fails
        folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
        rest, own = f"Put the file of {origin} into {folder}, or", f"{part}_weights"
        raise InitialWeightsError(
            f"ImageNet's {name} is not in {folder} and could not be downloaded",
            python=f"{rest} pass {own}=PATH, or {own}=None, {part}_trainable=True",
            shell=f"{rest} type --set {own}=PATH, or --set {own}=None --set {part}_trainable=True",
        ) from None


def is_deep(layer: str) -> bool:
    """Whether a layer of this name is of the deep blocks."""
    deep = tuple(f"_{block}" for block in DEEP_BLOCKS)
    return layer.removesuffix("_bn").removesuffix("_relu").endswith(deep)


def freeze(encoder: keras.Model, trainable: bool | str, is_deep: IsDeep = is_deep) -> None:
    """Sets which of the encoder's blocks learn: none, all, or the deep ones."""
    encoder.trainable = trainable is not False
    if trainable == "deep":
        for layer in encoder.layers:
            layer.trainable = is_deep(layer.name)


def features(
    encoder: keras.Model,
    x,
    weights: str | None,
    trainable: bool | str,
    is_deep: IsDeep = is_deep,
) -> list:
    """The encoder's outputs for x, with the blocks frozen that are not to learn.

    One that starts random and is trained measures its batch statistics; any other keeps them.
    """
    freeze(encoder, trainable, is_deep)
    learns_statistics = weights is None and trainable is not False
    if learns_statistics:
        for layer in encoder.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = layers.BATCH_NORM_MOMENTUM
    return encoder(x, training=None if learns_statistics else False)
