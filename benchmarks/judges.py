"""Judges of models that do not segment: restorers by PSNR, VAEs by what their numbers know.

Restorers: counted electrons of three doses are drawn for each image, the same for every model; the
published images are the truth. Beside the restored image stands the noisy one, with the mean gain
over it.

VAEs: the pictures are ``particle_images`` of a seed that trains nothing, as large as the model
takes: their diameter, aspect ratio and angle are known. Reconstruction error (mean
squared, per pixel), divergence from the prior (nats), active units, mutual information gap, and the
greatest |r| of any latent number with each factor; of all but the units and the gap with 95 %
bootstrap intervals over pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import denoise
from benchmarks.datasets import Dataset, generated
from benchmarks.denoise_baselines import DOSES, score
from benchmarks.latent import HELD_OUT, HELD_OUT_SEED, PERIODS
from benchmarks.records import result
from benchmarks.timing import spread
from temzoo import latent
from temzoo.data.synthetic.particle_images import particle_images
from temzoo.evaluation.bootstrap import mean_interval
from temzoo.latent.codes import encode_images, kl_per_dimension, reconstruction_error
from temzoo.latent.information import strongest
from temzoo.zoo import built

QUICK_PICTURES = 300
BOOTSTRAP = 200


def task_of(model: Any) -> str | None:
    """Of a model of the zoo; None of whatever else predict takes."""
    try:
        return built.built(model).task
    except ValueError:
        return None


def record_of(name: str, model: Any, dataset: Dataset, part: str, **told: Any) -> dict[str, Any]:
    """The record of a restorer or a VAE."""
    told["settings"]["parameters"] = model.count_params()
    return JUDGES[task_of(model)](name, model, dataset, part, **told)


def _restorer_record(name: str, model: Any, dataset: Dataset, part: str, **told: Any):
    figures = {"doses": restored(model, dataset.part(part))}
    where = {"model": name, "dataset": dataset.told(part)}
    return result("restoration", f"{dataset.name}-{name}", figures=figures, **where, **told)


def _generative_record(name: str, model: Any, dataset: Dataset, part: str, **told: Any):
    count = QUICK_PICTURES if told["quick"] else HELD_OUT
    images, _ = pictures(model, count)
    about = f"drawn particles, {count} of {model.image_size} px"
    told["dataset"] = generated(about, images, seed=HELD_OUT_SEED)
    return result("vae", name, model=name, figures=known(model, count), **told)


JUDGES = {"restoration": _restorer_record, "generative": _generative_record}


def restored(model: Any, examples) -> dict[str, Any]:
    """By dose: PSNR (dB) and SSIM with intervals over images, and the gain over the noisy image."""
    grey = [replace(example, load=denoise.GreyLoader(example)) for example in examples]
    found = {}
    for dose in DOSES:
        scores, seconds = denoise.restored_scores(model, grey, dose)
        noisy = [score(true.pixels, poor.pixels) for true, poor in denoise.scored(grey, dose)]
        gain = np.subtract([one.psnr for one in scores], [one.psnr for one in noisy])
        found[dose] = {
            "psnr_db": vars(mean_interval([one.psnr for one in scores])),
            "ssim": vars(mean_interval([one.ssim for one in scores])),
            "noisy_psnr_db": vars(mean_interval([one.psnr for one in noisy])),
            "gain_db": vars(mean_interval(gain)),
            "seconds_per_image": spread(seconds),
            "images": [tuple(one) for one in scores],
        }
    return found


def pictures(model: Any, count: int) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """(count, S, S, 1) float32 that the model was not trained on, and what each shows.

    Raises:
        ValueError: the model takes colour.
    """
    if model.channels != 1:
        raise ValueError(
            "A VAE is judged on drawn grey particles. Received: one of"
            f" {model.channels} channels. Judge it on pictures of its own by `temzoo latent`."
        )
    drawn, factors = particle_images(count, size=model.image_size, seed=HELD_OUT_SEED)
    return drawn[..., None], factors


def known(model: Any, count: int = HELD_OUT) -> dict[str, Any]:
    """The figures of ``temzoo.latent.compare``, with intervals where an image has a share in them.

    Returns:
        by figure {"value", "low", "high"}; "active_units", "mig", "mig_shuffled", "latent_dim" as
        they are.
    """
    images, factors = pictures(model, count)
    (figures,) = latent.compare({"": model}, images, factors, periods=PERIODS)
    encoded = encode_images(model, images)
    errors = reconstruction_error(model, images, encoded=encoded).per_image

    def correlation(name: str) -> Callable[[np.ndarray], float]:
        def of(chosen: np.ndarray) -> float:
            true = {name: factors[name][chosen]}
            table = latent.correlations(encoded.means[chosen], true, periods=PERIODS)
            return strongest(table, name, PERIODS)

        return of

    def kl(chosen: np.ndarray) -> float:
        means, logs = encoded.means[chosen], encoded.log_variances[chosen]
        return float(kl_per_dimension(means, logs).sum())

    found = {
        "reconstruction_error": interval(lambda chosen: errors[chosen].mean(), count),
        "kl": interval(kl, count),
    }
    found |= {f"r {name}": interval(correlation(name), count) for name in factors}
    plain = ("active_units", "mig", "mig_shuffled", "latent_dim")
    return found | {key: figures[key] for key in plain} | {"pictures": count}


def interval(figure: Callable[[np.ndarray], float], count: int) -> dict[str, float]:
    """A figure of all of ``count`` pictures, with percentiles of it over resampled ones.

    For figures that are no means over pictures, which ``mean_interval`` is for.
    """
    rng = np.random.default_rng(0)
    again = [figure(rng.integers(0, count, count)) for _ in range(BOOTSTRAP)]
    low, high = np.percentile(again, [2.5, 97.5])
    return {"value": float(figure(np.arange(count))), "low": float(low), "high": float(high)}
