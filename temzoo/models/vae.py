"""VAE: a picture as a few numbers, from which it can be drawn again, and near ones drawn alike.

Kingma and Welling 2014, arXiv:1312.6114; ``beta``: Higgins et al. 2017, ICLR. Trained by
maximising the evidence lower bound (ELBO), in nats per image:
log p(x | z) - KL(q(z | x) || N(0, 1)), with one sample z of q by the reparameterisation.

Input: (B, S, S, channels) in [0, 1], S fixed by ``image_size``. ``encode``: mean and log-variance
of q, (B, latent_dim) each. ``decode``: (B, S, S, channels) in [0, 1].

``rotation_invariant=True`` takes where a thing lies out of z. The decoder draws a picture point by
point from z and the coordinates, turned by the angle and shifted (spatial-VAE: Bepler et al. 2019,
arXiv:1909.11663; rVAE: Ziatdinov et al. 2021, Science Advances 7, eabd5084). An encoder that must
say the angle of the whole circle gets stuck, so it is shown the picture turned to ``copies`` angles
and says of each how upright it looks, z, and what is left of angle and shift (after TARGET-VAE,
Nasiri and Bepler 2022, arXiv:2210.12918). Copies of a turned picture are the same copies in another
order, so z does not change with the angle.

Where we differ from TARGET-VAE: plain convolutions on turned copies; shifts by regression, as
particles are cut out centred; and no Gumbel softmax, the sum over the copies is exact. What that
costs is saved by drawing a random part of the pixels in each training step.

``vae_networks`` has the networks, ``vae_model`` the model and what a training step does,
``vae_rotation`` the rotation-invariant one; here they are put together.
"""

from __future__ import annotations

from temzoo.models import layers
from temzoo.models.vae_model import VAE
from temzoo.models.vae_networks import ARCHITECTURES, LEAST_SIZE, LIKELIHOODS
from temzoo.models.vae_rotation import RotationInvariantVAE
from temzoo.zoo.cards import register


@register(
    "vae",
    task="generative",
    summary="variational autoencoder, plain or invariant to rotation",
    paper="Kingma and Welling 2014, arXiv:1312.6114",
    input="(B, image_size, image_size, channels) in [0, 1]",
    output="encode: mean, log-variance (and pose); decode: pictures in [0, 1]",
    parameters=335_074,
    ranges={
        "latent_dim": (2, 16),
        "beta": (0.25, 4.0, "log"),
        "warmup": [0, 250, 1000],
        "architecture": ["conv", "dense"],
        "filters": [8, 16, 32],
        "depth": [2, 3],
        "hidden": [64, 128, 256],
    },
)
def vae(
    *,
    latent_dim: int = 8,
    image_size: int = 32,
    channels: int = 1,
    beta: float = 1.0,
    warmup: int = 250,
    likelihood: str = "bernoulli",
    sigma: float | None = None,
    architecture: str = "conv",
    filters: int = 16,
    depth: int = 3,
    hidden: int = 128,
    rotation_invariant: bool = False,
    copies: int = 8,
) -> VAE:
    """Builds a VAE.

    Args:
        latent_dim: length of z.
        image_size: side of the pictures, px.
        channels: of the pictures.
        beta: weight of the KL divergence of z; above 1, fewer numbers of z are used.
        warmup: steps in which that weight rises from 0, so that z is of use before it costs.
        likelihood: "bernoulli": cross-entropy of pixels in [0, 1]; "gaussian": of one standard
            deviation for all pixels, which suits noisy grey pictures better.
        sigma: that standard deviation; None: learnt.
        architecture: "conv" or "dense".
        filters: of the first convolution; doubled with each halving.
        depth: number of halvings, or of the dense layers.
        hidden: width of the dense layers, half of which the decoder of a rotation-invariant model
            has.
        rotation_invariant: z knows nothing of angle and shift, which ``encode`` gives apart.
        copies: turned pictures that such a model's encoder sees; a multiple of 4, so that turns by
            90 degrees are exact.

    Raises:
        ValueError: a keyword out of its range.
    """
    config = dict(locals())
    _check(config)
    return (RotationInvariantVAE if rotation_invariant else VAE)(config)


def _check(config: dict) -> None:
    layers.check_choices(**{k: config[k] for k in ("channels", "filters", "depth")})
    for keyword, offered in (("likelihood", LIKELIHOODS), ("architecture", ARCHITECTURES)):
        if config[keyword] not in offered:
            choices = ", ".join(repr(name) for name in offered)
            raise ValueError(
                f"{keyword} must be one of {choices}. Received: {keyword}={config[keyword]!r}."
            )
    least = {"latent_dim": 1, "image_size": LEAST_SIZE, "warmup": 0, "hidden": 2}
    for keyword, low in least.items():
        if not isinstance(config[keyword], int) or config[keyword] < low:
            raise ValueError(
                f"{keyword} must be a whole number from {low} on. Received:"
                f" {keyword}={config[keyword]!r}."
            )
    layers.check_choices(**{keyword: config[keyword] for keyword in least if keyword != "warmup"})
    if not config["beta"] >= 0:
        raise ValueError(f"beta must be 0 or more. Received: beta={config['beta']!r}.")
    sigma, likelihood = config["sigma"], config["likelihood"]
    if sigma is not None and likelihood != "gaussian":
        raise ValueError(
            f'sigma is that of likelihood="gaussian". Received: sigma={sigma!r} with'
            f" likelihood={likelihood!r}. Leave it out."
        )
    if sigma is not None and not sigma > 0:
        raise ValueError(f"sigma must be greater than 0. Received: sigma={sigma!r}.")
    if not isinstance(config["copies"], int) or config["copies"] < 4 or config["copies"] % 4:
        raise ValueError(f"copies must be a multiple of 4. Received: copies={config['copies']!r}.")
