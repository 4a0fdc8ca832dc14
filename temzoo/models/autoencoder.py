"""Convolutional autoencoder: encoder, latent, decoder; with skips a U-Net-like restorer.

Autoencoder: Hinton and Salakhutdinov 2006, doi 10.1126/science.1127647. Skips: Ronneberger et al.
2015, doi 10.1007/978-3-319-24574-4_28; learning the noise instead of the picture: Zhang et al.
2017 (DnCNN), doi 10.1109/TIP.2017.2662206.

Input: (B, H, W, 1), raw pixels in their stored range, H and W of 16 and more.
Output: (B, H, W, 1) restored, or (B, H, W, 3) coloured, float32, in the input's range.

Where it differs from a U-Net, and why: full resolution has one convolution going in and one coming
out, as that is where the time goes; skips are added instead of joined, which halves the decoder's
work; strided convolutions instead of maxima, which noise would bias; and no normalisation but the
image's own, because the grey levels are the answer here. The convolutions see values clipped at
three half-ranges; what they find is added to the values as they are, so that sparse bright features
keep their height. The last convolution starts at 0: before training, a restorer with ``residual``
returns its input.
"""

from __future__ import annotations

import keras

from temzoo.models import layers
from temzoo.models.layers import conv_relu
from temzoo.zoo.cards import register

OUTPUTS = {"denoise": 1, "colorize": 3}  # channels that come out
LATENT_DIM = 16  # without skips: at depth 3, 16 numbers for 8 x 8 pixels


@keras.saving.register_keras_serializable("temzoo")
class Autoencoder(keras.Model):
    """A functional model whose latent vector, where it has one, can be read and decoded.

    Attributes:
        latent_dim: length of the latent vector; None where the model has none.
        image_size: side of the images in px; None: any.
    """

    @property
    def latent_dim(self) -> int | None:
        return self.get_layer("decoder").input_shape[-1] if self.image_size else None

    @property
    def image_size(self) -> int | None:
        return self.input_shape[1]

    def encode(self, pixels):
        """The latent vectors of images.

        Args:
            pixels: (B, S, S, 1) raw.

        Returns:
            (z,), z (B, latent_dim) float32.

        Raises:
            ValueError: the model has no latent vector.
        """
        self._check_has_vector("encode")
        pixels = keras.ops.convert_to_tensor(pixels, "float32")
        normal = self.get_layer("normalize")(pixels)
        padded = self.get_layer("pad")(self.get_layer("clip")(normal))
        return (self.get_layer("encoder")(padded),)

    def decode(self, latent):
        """The pictures of latent vectors.

        Args:
            latent: (B, latent_dim).

        Returns:
            (B, S, S, C) float32: 0 at an image's 1st percentile and 1 at its 99th.

        Raises:
            ValueError: the model has no latent vector.
        """
        self._check_has_vector("decode")
        latent = keras.ops.convert_to_tensor(latent, "float32")
        padded = self.get_layer("decoder")(latent)
        original = keras.ops.zeros((1, self.image_size, self.image_size, 1))
        return (self.get_layer("restored")([padded, original]) + 1.0) / 2.0

    def _check_has_vector(self, verb: str) -> None:
        if self.image_size is None:
            raise ValueError(
                f"{verb} needs an autoencoder with a latent vector. Received: a model of images of"
                " any size, whose latent is a map. Build it with skips=False and image_size=32."
            )


@register(
    "autoencoder",
    task="restoration",
    summary="denoises or colours; without skips, the autoencoder with a latent to look at",
    paper="Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647",
    input="(B, H, W, 1) raw pixels, H and W >= 16",
    output="(B, H, W, 1) restored or (B, H, W, 3) coloured pixels, float32, in the input's range",
    parameters=1_959_265,
    ranges={
        "filters": [16, 32, 48],
        "depth": [2, 3, 4],
        "upsampling": ["bilinear", "transpose"],
    },
)
def autoencoder(
    *,
    outputs: str = "denoise",
    image_size: int | None = None,
    skips: bool = True,
    latent_dim: int | None = None,
    filters: int = 32,
    depth: int = 3,
    residual: bool | None = None,
    upsampling: str = "bilinear",
) -> Autoencoder:
    """Builds an autoencoder.

    Args:
        outputs: "denoise", 1 channel, or "colorize", 3 channels (RGB); the input is grey.
        image_size: side of the images in px, without skips only: the latent is then a vector, to
            be had by ``encode`` and ``decode``. None: any size, and the latent is a map.
        skips: carry detail past the latent, which restores best.
        latent_dim: length of the latent vector, or channels of the map at the coarsest level.
            None: ``filters * 2**depth`` with skips, else 16.
        filters: at full resolution; doubled at each of ``depth`` halvings.
        depth: number of halvings.
        residual: learn what to add to the (normalised) input. None: as ``skips``, because without
            skips it would carry the picture past the latent.
        upsampling: "bilinear" or "transpose" (2 x 2 transposed convolution).

    Raises:
        ValueError: a choice that is not offered, or choices that contradict each other.
    """
    if latent_dim is None:
        latent_dim = filters * 2**depth if skips else LATENT_DIM
    residual = skips if residual is None else residual
    layers.check_choices(filters=filters, depth=depth, latent_dim=latent_dim, upsampling=upsampling)
    _check(outputs, image_size, skips, residual)
    pixels = keras.Input((image_size, image_size, 1), name="pixels")
    normal = layers.Normalize(limit=None, name="normalize")(pixels)
    x = layers.Clip(name="clip")(normal)
    x = layers.ReflectPad(2**depth, name="pad")(x)
    if image_size is None:
        x = _network(x, OUTPUTS[outputs], skips, latent_dim, filters, depth, upsampling, residual)
    else:
        x = _through_a_vector(x, OUTPUTS[outputs], latent_dim, filters, depth, upsampling)
    name = "change" if residual else "restored"
    x = layers.CropBack(2**depth, dtype="float32", name=name)([x, normal])
    if residual:  # grey is added to all three colours
        x = keras.layers.Add(dtype="float32", name="restored")([normal, x])
    x = layers.Denormalize(name="restored_pixels")([x, pixels])
    return Autoencoder(pixels, x, name="autoencoder")


def _check(outputs: str, image_size: int | None, skips: bool, residual: bool) -> None:
    if outputs not in OUTPUTS:
        choices = ", ".join(repr(name) for name in OUTPUTS)
        raise ValueError(f"outputs must be one of {choices}. Received: outputs={outputs!r}.")
    if residual and not skips:
        raise ValueError(
            "residual needs skips: it would carry the picture past the latent. Received:"
            " residual=True, skips=False. Leave residual out."
        )
    if image_size is None:
        return
    layers.check_choices(image_size=image_size)
    if skips:
        raise ValueError(
            "image_size is for an autoencoder with a latent vector; with skips any size is taken."
            f" Received: image_size={image_size}, skips=True. Add skips=False, or leave image_size"
            " out."
        )


def _encode(x, filters, depth):
    """Features of levels 0 to ``depth``: (H / 2^level, W / 2^level, filters * 2^level)."""
    features = [conv_relu(x, filters, "down0")]
    for level in range(1, depth + 1):
        x = conv_relu(features[-1], filters * 2**level, f"down{level}_halve", size=2, strides=2)
        features.append(conv_relu(x, filters * 2**level, f"down{level}"))
    return features


def _decode(x, skips, channels, filters, depth, upsampling, start):
    """From the coarsest level to (H, W, channels); ``skips`` are the encoder's, finest first."""
    for level in reversed(range(depth)):
        x = layers.upsample(x, filters * 2**level, upsampling, f"up{level}")
        if skips:
            x = keras.layers.Add(name=f"join{level}")([skips[level], x])
        x = conv_relu(x, filters * 2**level, f"up{level}a")
        if level:  # at full resolution the convolution to the output is the second one
            x = conv_relu(x, filters * 2**level, f"up{level}b")
    return keras.layers.Conv2D(
        channels, 3, padding="same", kernel_initializer=start, dtype="float32", name="output"
    )(x)


def _network(x, channels, skips, latent_dim, filters, depth, upsampling, residual):
    """Encoder and decoder around a latent map (H / 2^depth, W / 2^depth, latent_dim)."""
    features = _encode(x, filters, depth)
    if skips:
        x = conv_relu(features[-1], latent_dim, "latent")
    else:  # its numbers may have either sign
        x = keras.layers.Conv2D(latent_dim, 1, name="latent")(features[-1])
        x = conv_relu(x, filters * 2**depth, "unfold")
    start = "zeros" if residual else "glorot_uniform"
    return _decode(x, features if skips else None, channels, filters, depth, upsampling, start)


def _through_a_vector(x, channels, latent_dim, filters, depth, upsampling):
    """Encoder and decoder as models of their own, around a vector (latent_dim,)."""
    inner = keras.Input(x.shape[1:], name="normalised")
    coarse = _encode(inner, filters, depth)[-1]
    z = keras.layers.Flatten(name="flatten")(coarse)
    z = keras.layers.Dense(latent_dim, dtype="float32", name="latent")(z)
    encoder = keras.Model(inner, z, name="encoder")

    latent = keras.Input((latent_dim,), name="z")
    shape = coarse.shape[1:]
    unfold = {"activation": "relu", "kernel_initializer": "he_normal", "name": "unfold"}
    y = keras.layers.Dense(shape[0] * shape[1] * shape[2], **unfold)(latent)
    y = keras.layers.Reshape(shape, name="fold")(y)
    y = _decode(y, None, channels, filters, depth, upsampling, "glorot_uniform")
    decoder = keras.Model(latent, y, name="decoder")
    return decoder(encoder(x))
