"""Classifiers of single particles: a multilayer perceptron, a small DCNN, AlexNet, and MobileNet.

Input: (B, image_size, image_size, channels), raw pixels in their stored range; each image is
normalised by its own percentiles. Output: (B, classes) float32, softmax; there is no background.

``mlp``: Rumelhart, Hinton and Williams 1986, doi:10.1038/323533a0, here with ReLU. Every pixel has
weights of its own, so a shift of a few pixels is another picture to it.

``dcnn``: 3 x 3 convolutions, batch norm, ReLU, and the mean over all positions (Lin et al. 2013,
arXiv:1312.4400), which does not care where a thing lies. Max-pooling halves the size between two
levels, so a shift by less than the product of these strides still changes the answer;
``strides=False`` has dilated convolutions in their place, which change little with any shift.

``alexnet``: Krizhevsky, Sutskever and Hinton 2012, doi:10.1145/3065386: five convolutions, pooling
of 3 px every 2, three dense layers, dropout of 0.5. Where we differ: the stem is 5 x 5 without
stride below 64 px and 7 x 7 with stride 2 below 128 px; convolutions pad with zeros; one group in
place of one for each of two GPUs; no local response normalisation, from which VGG gained nothing
(Simonyan and Zisserman 2014, arXiv:1409.1556); He's initial weights. By default it has a quarter of
the filters and dense layers of 256; the paper's network is ``image_size=224, channels=3,
classes=1000, filters=(96, 256, 384, 384, 256), hidden=(4096, 4096)``.

``mobilenet``: Howard et al. 2017, arXiv:1704.04861, with ImageNet's weights, frozen, mean-pooled,
and one dense layer that learns. It sees images below 96 px doubled in size until they have that.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from temzoo.models import layers
from temzoo.models import mobilenet as encoders
from temzoo.zoo.cards import register

ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid")
ALEXNET_LEAST = 16  # px; three poolings leave one
# Image size from which, and kernel and stride of AlexNet's stem there.
STEMS = ((128, 11, 4), (64, 7, 2), (0, 5, 1))
MOBILENET_LEAST = 96  # px; the last of its maps then has 3 x 3 positions


@register(
    "mlp",
    task="classification",
    summary="multilayer perceptron",
    paper="Rumelhart et al. 1986, doi:10.1038/323533a0",
    input="(B, image_size, image_size, channels) raw pixels",
    output="(B, classes) float32 probabilities",
    parameters=295_554,
    ranges={
        "hidden": [[16], [64], [256, 128], [512, 128]],
        "activation": ["relu", "gelu", "tanh"],
        "dropout": (0.0, 0.5),
    },
    free=("dropout",),
)
def mlp(
    *,
    classes: int = 2,
    image_size: int = 32,
    channels: int = 1,
    hidden: tuple[int, ...] = (256, 128),
    activation: str = "relu",
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a multilayer perceptron.

    Args:
        classes: that it tells apart.
        image_size: side of the images, px.
        channels: of the images.
        hidden: width of each hidden layer; (): logistic regression.
        activation: "relu", "gelu", "tanh" or "sigmoid".
        dropout: fraction dropped after each hidden layer.
    """
    pixels, x = _input(classes, image_size, channels, least=1)
    _check_each("hidden", hidden)
    layers.check_choices(dropout=dropout)
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(map(repr, ACTIVATIONS))}. Received:"
            f" activation={activation!r}."
        )
    x = keras.layers.Flatten(name="flatten")(x)
    x = _dense(x, hidden, activation, dropout)
    return _output(pixels, x, classes, "mlp")


@register(
    "dcnn",
    task="classification",
    summary="small convolutional network, mean-pooled",
    paper="Lin et al. 2013, arXiv:1312.4400",
    input="(B, image_size, image_size, channels) raw pixels",
    output="(B, classes) float32 probabilities",
    parameters=24_874,
    ranges={
        "filters": [[8, 16, 32], [8, 16, 32, 64], [16, 32, 64, 128]],
        "strides": [True, False],
        "dropout": (0.0, 0.5),
    },
    free=("dropout",),
)
def dcnn(
    *,
    classes: int = 2,
    image_size: int = 32,
    channels: int = 1,
    filters: tuple[int, ...] = (8, 16, 32, 64),
    strides: bool = True,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a small convolutional network.

    Args:
        classes: that it tells apart.
        image_size: side of the images, px; at least 2 for each halving.
        channels: of the images.
        filters: of each level.
        strides: halve the size between levels; False: dilate the convolutions instead.
        dropout: fraction of the pooled features that is dropped.
    """
    _check_each("filters", filters)
    if not filters:
        raise ValueError("filters gives one width per level, one at least. Received: ().")
    pixels, x = _input(classes, image_size, channels, least=2 ** (len(filters) - 1))
    layers.check_choices(dropout=dropout)
    for level, width in enumerate(filters):
        if strides and level:
            x = keras.layers.MaxPooling2D(2, name=f"pool{level}")(x)
        dilation = 1 if strides else 2**level
        x = layers.conv_norm_relu(x, width, "batch", f"level{level}", dilation=dilation)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)  # (filters of the last level,)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return _output(pixels, x, classes, "dcnn")


@register(
    "alexnet",
    task="classification",
    summary="AlexNet, a quarter as wide",
    paper="Krizhevsky et al. 2012, doi:10.1145/3065386",
    input="(B, image_size, image_size, channels) raw pixels",
    output="(B, classes) float32 probabilities",
    parameters=446_898,
    ranges={
        "filters": [[12, 32, 48, 48, 32], [24, 64, 96, 96, 64], [48, 128, 192, 192, 128]],
        "hidden": [[128, 128], [256, 256], [1024, 1024]],
        "dropout": (0.0, 0.7),
    },
    free=("dropout",),
)
def alexnet(
    *,
    classes: int = 2,
    image_size: int = 32,
    channels: int = 1,
    filters: tuple[int, ...] = (24, 64, 96, 96, 64),
    hidden: tuple[int, ...] = (256, 256),
    dropout: float = 0.5,
) -> keras.Model:
    """Builds an AlexNet; it learns best at a rate of 5e-4.

    Args:
        classes: that it tells apart.
        image_size: side of the images, px, from 16.
        channels: of the images.
        filters: of the five convolutions.
        hidden: width of the first two dense layers; the third has the classes.
        dropout: fraction dropped after each of them.
    """
    _check_each("filters", filters)
    _check_each("hidden", hidden)
    layers.check_choices(dropout=dropout)
    if (len(filters), len(hidden)) != (5, 2):
        raise ValueError(
            "alexnet has five convolutions and two dense layers before the last. Received:"
            f" filters={tuple(filters)}, hidden={tuple(hidden)}."
        )
    pixels, x = _input(classes, image_size, channels, least=ALEXNET_LEAST)
    size, strides = next(stem[1:] for stem in STEMS if image_size >= stem[0])
    first, second, *others = filters
    x = layers.conv_relu(x, first, "conv1", size=size, strides=strides)  # 32 px: (32, 32, 24)
    x = _overlapping_pool(x, "pool1")  # (15, 15, 24)
    x = layers.conv_relu(x, second, "conv2", size=5)
    x = _overlapping_pool(x, "pool2")  # (7, 7, 64)
    for number, width in enumerate(others, start=3):
        x = layers.conv_relu(x, width, f"conv{number}")
    x = _overlapping_pool(x, "pool5")  # (3, 3, 64)
    x = keras.layers.Flatten(name="flatten")(x)
    x = _dense(x, hidden, "relu", dropout)
    return _output(pixels, x, classes, "alexnet")


@register(
    "mobilenet",
    task="classification",
    summary="head on a frozen ImageNet MobileNet",
    paper="Howard et al. 2017, arXiv:1704.04861",
    input="(B, image_size, image_size, 1 or 3) raw pixels",
    output="(B, classes) float32 probabilities",
    parameters=1_834_082,
    ranges={
        "alpha": [0.25, 0.5, 0.75, 1.0],
        "encoder_trainable": [False, "deep"],
        "dropout": (0.0, 0.5),
    },
    free=("encoder_weights", "encoder_trainable", "dropout"),
    deferred={"encoder_weights": "deferred"},
)
def mobilenet(
    *,
    classes: int = 2,
    image_size: int = 32,
    channels: int = 1,
    alpha: float = 0.75,
    encoder_weights: str | None = "imagenet",
    encoder_trainable: bool | str = False,
    dropout: float = 0.2,
) -> keras.Model:
    """Builds a classifier on a MobileNet encoder.

    Args:
        classes: that it tells apart.
        image_size: side of the images, px.
        channels: 1 or 3.
        alpha: the MobileNet's width: 0.25, 0.5, 0.75 or 1.0.
        encoder_weights: "imagenet", the path of a no-top ``.h5`` file of the same width, or None
            (random).
        encoder_trainable: False (feature extraction), True, or "deep" (blocks 7 to 13 only).
        dropout: fraction of the pooled features that is dropped.
    """
    encoders.check_encoder(channels, alpha, encoder_trainable, "encoder")
    layers.check_choices(dropout=dropout)
    pixels, x = _input(classes, image_size, channels, least=1)
    while x.shape[1] < MOBILENET_LEAST:
        x = layers.BilinearUpsample(name=f"enlarged{x.shape[1] * 2}")(x)
    encoder = encoders.build_encoder(channels, alpha, encoder_weights)
    x = encoders.features(encoder, x, encoder_weights, encoder_trainable)[-1]
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)  # (1024 alpha,)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return _output(pixels, x, classes, "mobilenet")


def _input(classes: int, image_size: int, channels: int, *, least: int):
    """Raw pixels and the same normalised, after checking what they are to be."""
    if not isinstance(classes, int) or classes < 2:
        raise ValueError(
            "a classifier tells at least 2 classes apart; there is no background. Received:"
            f" classes={classes!r}."
        )
    layers.check_choices(classes=classes, channels=channels, image_size=image_size)
    if image_size < least:
        raise ValueError(
            f"image_size must be at least {least} px for this network. Received:"
            f" image_size={image_size}."
        )
    pixels = keras.Input((image_size, image_size, channels), name="pixels")
    return pixels, layers.Normalize(name="normalize")(pixels)


def _check_each(keyword: str, widths: Sequence[int]) -> None:
    if not isinstance(widths, list | tuple):
        raise ValueError(
            f"{keyword} must give one width per layer, such as (64, 32). Received: {widths!r}."
        )
    for width in widths:
        layers.check_choices(**{keyword: width})


def _dense(x, hidden: Sequence[int], activation: str, dropout: float):
    """Dense layers, each with dropout behind it."""
    for number, width in enumerate(hidden, start=1):
        x = keras.layers.Dense(width, activation=activation, name=f"dense{number}")(x)
        x = keras.layers.Dropout(dropout, name=f"dropout{number}")(x)
    return x


def _overlapping_pool(x, name: str):
    return keras.layers.MaxPooling2D(3, strides=2, name=name)(x)


def _output(pixels, x, classes: int, name: str) -> keras.Model:
    """Dense layer and softmax in float32, also under mixed precision."""
    x = keras.layers.Dense(classes, dtype="float32", name="logits")(x)
    x = keras.layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(pixels, x, name=name)
