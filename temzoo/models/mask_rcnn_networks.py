"""Networks of Mask R-CNN: backbone, pyramid, heads, anchors."""

from __future__ import annotations

import keras
import tensorflow as tf

from temzoo.models import mobilenet
from temzoo.models.layers import conv_relu

STRIDES = (4, 8, 16, 32)  # of P2..P5
RATIOS = (0.5, 1.0, 2.0)  # width / height of an anchor
SCALES = (1.0, 2**0.5)
SHAPES = len(RATIOS) * len(SCALES)
BOX_BINS, MASK_BINS, MASK_SIZE = 7, 14, 28
BACKBONES = ("mobilenet", "mobilenet_v3", "resnet18")
BATCH_NORM_MOMENTUM = 0.95  # keras-cv's 0.999 needs thousands of steps to follow


def build_backbone(kind: str, pixels, alpha, weights, trainable) -> list:
    """Feature maps at 1/4, 1/8, 1/16 and 1/32 of normalised pixels."""
    if kind == "mobilenet":
        encoder = mobilenet.build_encoder(pixels.shape[-1], alpha, weights, part="backbone")
        return mobilenet.features(encoder, pixels, weights, trainable)[1:]
    import keras_cv  # 0.9 s, which nobody else pays for

    shape = tuple(pixels.shape[1:])
    if kind == "resnet18":
        base = keras_cv.models.ResNetBackbone(
            stackwise_filters=[64, 128, 256, 512],
            stackwise_blocks=[2, 2, 2, 2],
            stackwise_strides=[1, 2, 2, 2],
            block_type="basic_block",
            include_rescaling=False,
            input_shape=shape,
        )
    else:  # the small one of Howard et al. 2019, arXiv:1905.02244
        base = keras_cv.models.MobileNetV3Backbone(
            stackwise_expansion=[1, 72 / 16, 88 / 24, 4, 6, 6, 3, 3, 6, 6, 6],
            stackwise_filters=[16, 24, 24, 40, 40, 40, 48, 48, 96, 96, 96],
            stackwise_kernel_size=[3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5],
            stackwise_stride=[2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1],
            stackwise_se_ratio=[0.25, None, None, *[0.25] * 8],
            stackwise_activation=[*["relu"] * 3, *["hard_swish"] * 8],
            include_rescaling=False,
            input_shape=shape,
        )
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    names = base.pyramid_level_inputs
    outputs = [base.get_layer(names[f"P{level}"]).output for level in (2, 3, 4, 5)]
    return keras.Model(base.input, outputs, name="backbone")(pixels)


def build_network(shape, width: int, kind: str, backbone: dict) -> keras.Model:
    """Normalised pixels to the pyramid and the proposal network's raw answers.

    Output: {"features": [P2..P5], each (B, S / stride, S / stride, width), "objectness": (B, A)
    logits, "deltas": (B, A, 4)}, with A = 6 anchors per cell of all levels.
    """
    pixels = keras.Input(shape, name="pixels")
    maps = build_backbone(kind, pixels, **backbone)
    pyramid = build_pyramid(maps, width)
    hidden = keras.layers.Conv2D(width, 3, padding="same", activation="relu", name="rpn_conv")
    small = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.01)}
    outputs = {
        "objectness": keras.layers.Conv2D(
            SHAPES, 1, dtype="float32", name="rpn_objectness", **small
        ),
        "deltas": keras.layers.Conv2D(4 * SHAPES, 1, dtype="float32", name="rpn_deltas", **small),
    }
    seen = [hidden(level) for level in pyramid]
    answers = {}
    for name, conv in outputs.items():
        depth = (4,) if name == "deltas" else ()
        rows = [keras.layers.Reshape((-1, *depth), dtype="float32")(conv(x)) for x in seen]
        answers[name] = keras.layers.Concatenate(axis=1, dtype="float32", name=name)(rows)
    return keras.Model(pixels, {"features": pyramid, **answers}, name="network")


def build_pyramid(maps, width: int) -> list:
    """Feature pyramid: each level is its own map plus the coarser level, doubled in size."""
    levels, coarser = [], None
    for number, x in reversed(list(enumerate(maps, start=2))):
        x = keras.layers.Conv2D(width, 1, use_bias=False, name=f"lateral{number}")(x)
        x = keras.layers.GroupNormalization(8, name=f"lateral{number}_gn")(x)
        if coarser is not None:
            doubled = keras.layers.UpSampling2D(2, name=f"up{number}")(coarser)
            x = keras.layers.Add(name=f"join{number}")([x, doubled])
        coarser = x
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"p{number}")(x)
        x = keras.layers.GroupNormalization(8, name=f"p{number}_gn")(x)
        levels.append(keras.layers.ReLU(name=f"p{number}_relu")(x))
    return levels[::-1]


def build_box_head(width: int, classes: int) -> keras.Model:
    """(N, 7, 7, width) to {"classes": (N, classes) logits, background first, "deltas": (N, 4)}."""
    regions = keras.Input((BOX_BINS, BOX_BINS, width), name="regions", dtype="float32")
    x = keras.layers.Flatten(name="box_flat")(regions)
    for number in (1, 2):
        x = keras.layers.Dense(
            256, activation="relu", kernel_initializer="he_normal", name=f"box_fc{number}"
        )(x)
    small = keras.initializers.RandomNormal(stddev=0.01)
    logits = keras.layers.Dense(
        classes, kernel_initializer=small, dtype="float32", name="box_classes"
    )(x)
    small = keras.initializers.RandomNormal(stddev=0.001)
    deltas = keras.layers.Dense(4, kernel_initializer=small, dtype="float32", name="box_deltas")(x)
    return keras.Model(regions, {"classes": logits, "deltas": deltas}, name="box_head")


def build_mask_head(width: int, classes: int) -> keras.Model:
    """(N, 14, 14, width) to (N, 28, 28, classes - 1) logits, one mask for each foreground class."""
    regions = keras.Input((MASK_BINS, MASK_BINS, width), name="regions", dtype="float32")
    x = regions
    for number in (1, 2, 3, 4):
        x = conv_relu(x, width, f"mask_conv{number}")
    x = keras.layers.Conv2DTranspose(
        width, 2, strides=2, activation="relu", kernel_initializer="he_normal", name="mask_up"
    )(x)
    x = keras.layers.Conv2D(classes - 1, 1, dtype="float32", name="mask_logits")(x)
    return keras.Model(regions, x, name="mask_head")


@keras.saving.register_keras_serializable("temzoo")
class Anchors(keras.layers.Layer):
    """The anchors of an image, (A, 4): level by level, row by row, six in a cell.

    Their sizes are a weight that is set, not trained, so that it is saved with the others.
    """

    def __init__(self, image_size: int, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.image_size = image_size
        self.sizes = self.add_weight(
            shape=(len(STRIDES),), initializer="ones", trainable=False, name="sizes"
        )
        self.built = True

    def generate(self):
        import keras_cv

        generator = keras_cv.layers.AnchorGenerator(
            "yxyx",
            sizes=tf.unstack(tf.convert_to_tensor(self.sizes)),
            scales=list(SCALES),
            aspect_ratios=list(RATIOS),
            strides=list(STRIDES),
            dtype="float32",
        )
        levels = generator(image_shape=(self.image_size, self.image_size, 1))
        return tf.concat(list(levels.values()), axis=0)

    def get_config(self):
        return {**super().get_config(), "image_size": self.image_size}
