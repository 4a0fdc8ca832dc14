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

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks import denoise
from benchmarks.datasets import Dataset, generated
from benchmarks.denoise_baselines import DOSES, score
from benchmarks.latent import HELD_OUT, HELD_OUT_SEED, PERIODS
from temzoo import latent
from temzoo.core.bootstrap import percentile_interval
from temzoo.data.synthetic.particle_images import particle_images
from temzoo.evaluation.bootstrap import mean_interval
from temzoo.latent.codes import encode_images, kl_per_dimension, reconstruction_error
from temzoo.latent.information import strongest
from temzoo.zoo.built import built_or_none

QUICK_PICTURES = 300
BOOTSTRAP = 200


def task_of(model: Any) -> str | None:
    """Of a model of the zoo; None of whatever else predict takes."""
    how = built_or_none(model)
    return how and how.task


def told_of(name: str, model: Any, dataset: Dataset, arguments: argparse.Namespace):
    """What a record says of a restorer or a VAE."""
    return {"model": name, **JUDGES[task_of(model)](name, model, dataset, arguments)}


def _restorer(name: str, model: Any, dataset: Dataset, arguments) -> dict[str, Any]:
    figures = {"doses": restored(model, dataset.part(arguments.part))}
    told = {"what": "restoration", "name": f"{dataset.name}-{name}", "figures": figures}
    return told | {"dataset": dataset.told(arguments.part)}


def _generative(name: str, model: Any, dataset: Dataset, arguments) -> dict[str, Any]:
    count = QUICK_PICTURES if arguments.quick else HELD_OUT
    images, _ = pictures(model, count)
    about = f"drawn particles, {count} of {model.image_size} px"
    drawn = generated(about, images, seed=HELD_OUT_SEED)
    return {"what": "vae", "name": name, "figures": known(model, count), "dataset": drawn}


JUDGES = {"restoration": _restorer, "generative": _generative}


def restored(model: Any, examples) -> dict[str, Any]:
    """By dose: PSNR (dB) and SSIM with intervals over images, and the gain over the noisy image."""
    grey = [replace(example, load=partial(denoise.grey, example)) for example in examples]
    found = {}
    for dose in DOSES:
        scores, _ = denoise.restored_scores(model, grey, dose)
        noisy = [score(true.pixels, poor.pixels) for true, poor in denoise.scored(grey, dose)]
        figures = {
            "psnr_db": [one.psnr for one in scores],
            "ssim": [one.ssim for one in scores],
            "noisy_psnr_db": [one.psnr for one in noisy],
            "gain_db": [one.psnr - poor.psnr for one, poor in zip(scores, noisy, strict=True)],
        }
        found[dose] = {name: vars(mean_interval(values)) for name, values in figures.items()}
        found[dose]["images"] = [tuple(one) for one in scores]
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

    def correlation(chosen: np.ndarray, name: str) -> float:
        true = {name: factors[name][chosen]}
        table = latent.correlations(encoded.means[chosen], true, periods=PERIODS)
        return strongest(table, name, PERIODS)

    def kl(chosen: np.ndarray) -> float:
        means, logs = encoded.means[chosen], encoded.log_variances[chosen]
        return float(kl_per_dimension(means, logs).sum())

    found = {
        "reconstruction_error": interval(lambda chosen: errors[chosen].mean(), count),
        "kl": interval(kl, count),
    }
    for name in factors:
        found[f"r {name}"] = interval(lambda chosen, name=name: correlation(chosen, name), count)
    plain = ("active_units", "mig", "mig_shuffled", "latent_dim")
    return found | {key: figures[key] for key in plain} | {"pictures": count}


def interval(figure: Callable[[np.ndarray], float], count: int) -> dict[str, float]:
    """A figure of all of ``count`` pictures, with percentiles of it over resampled ones.

    For figures that are no means over pictures, which ``mean_interval`` is for.
    """
    rng = np.random.default_rng(0)
    again = [figure(rng.integers(0, count, count)) for _ in range(BOOTSTRAP)]
    return vars(percentile_interval(np.array([figure(np.arange(count)), *again])))
