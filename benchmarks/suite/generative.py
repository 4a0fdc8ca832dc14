"""What a VAE's latent numbers know of pictures whose content is known; ``temzoo.latent``'s figures.

The pictures are ``particle_images`` of a seed that trains nothing, as large as the
model takes: their diameter, aspect ratio and angle are known. Reconstruction error (mean squared,
per pixel), divergence from the prior (nats), active units, mutual information gap, and the greatest
|r| of any latent number with each factor; of all but the units and the gap with 95 % bootstrap
intervals over pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

SEED = 2  # of the pictures; ``benchmarks.ship`` and ``benchmarks.latent_space`` train on seed 1
PICTURES, QUICK_PICTURES = 3000, 300
BOOTSTRAP = 200


def is_generative(model: Any) -> bool:
    """Whether it is a model of the zoo that has a latent space to draw from."""
    from temzoo.zoo import built

    try:
        return built.built(model).task == "generative"
    except ValueError:  # whatever else predict takes
        return False


def pictures(model: Any, count: int) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """(count, S, S, 1) float32 that the model was not trained on, and what each shows.

    Raises:
        ValueError: the model takes colour.
    """
    from temzoo.data.synthetic.particle_images import particle_images

    if model.channels != 1:
        raise ValueError(
            "A VAE is judged on drawn grey particles. Received: one of"
            f" {model.channels} channels. Judge it on pictures of its own by `temzoo latent`."
        )
    drawn, factors = particle_images(count, size=model.image_size, seed=SEED)
    return drawn[..., None], factors


def judge(model: Any, count: int = PICTURES) -> dict[str, Any]:
    """The figures of ``temzoo.latent.compare``, with intervals where an image has a share in them.

    Returns:
        by figure {"value", "low", "high"}; "active_units", "mig", "mig_shuffled", "latent_dim" as
        they are.
    """
    from benchmarks.latent_space import PERIODS
    from temzoo import latent
    from temzoo.latent.codes import encode_images, reconstruction_error
    from temzoo.latent.information import strongest

    images, factors = pictures(model, count)
    (figures,) = latent.compare({"": model}, images, factors, periods=PERIODS)
    encoded = encode_images(model, images)
    errors = reconstruction_error(model, images, encoded=encoded).per_image

    def correlation(name: str) -> Callable[[np.ndarray], float]:
        def of(chosen: np.ndarray) -> float:
            known = {name: factors[name][chosen]}
            table = latent.correlations(encoded.means[chosen], known, periods=PERIODS)
            return strongest(table, name, PERIODS)

        return of

    found = {
        "reconstruction_error": interval(lambda chosen: errors[chosen].mean(), count),
        "kl": interval(lambda chosen: _kl(encoded, chosen), count),
    }
    found |= {f"r {name}": interval(correlation(name), count) for name in factors}
    plain = ("active_units", "mig", "mig_shuffled", "latent_dim")
    return found | {key: figures[key] for key in plain} | {"pictures": count}


def _kl(encoded: Any, chosen: np.ndarray) -> float:
    from temzoo.latent.codes import kl_per_dimension

    means, logs = encoded.means[chosen], encoded.log_variances[chosen]
    return float(kl_per_dimension(means, logs).sum())


def interval(figure: Callable[[np.ndarray], float], count: int) -> dict[str, float]:
    """A figure of all of ``count`` pictures, with percentiles of it over resampled ones."""
    rng = np.random.default_rng(0)
    again = [figure(rng.integers(0, count, count)) for _ in range(BOOTSTRAP)]
    low, high = np.percentile(again, [2.5, 97.5])
    return {"value": float(figure(np.arange(count))), "low": float(low), "high": float(high)}
