"""What the latent numbers of a VAE know, on pictures whose content is known.

    python -m benchmarks latent digits       # scikit-learn's digits, some minutes
    python -m benchmarks latent compare      # four models on particles, some 5 minutes

Digits: a quarter is held out; the nearest neighbour in the latent means names the digit. Compare:
autoencoder, VAE, beta-VAE and rotation-invariant VAE by every figure of ``temzoo.latent.compare``,
of the angle by its double, as particles look the same upside down.

``accuracy`` judges VAEs on ``particle_images`` of a seed that trains nothing, as large as the model
takes: reconstruction error (mean squared, per pixel), divergence from the prior (nats), active
units, mutual information gap, and the greatest |r| of any latent number with each factor; of all
but the units and the gap with 95 % bootstrap intervals over pictures.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

import temzoo
from benchmarks.datasets import Arguments, generated
from benchmarks.timing import seconds_of
from temzoo import latent
from temzoo.core.bootstrap import percentile_interval
from temzoo.data.synthetic.particle_images import particle_images
from temzoo.latent import nearest_neighbour_accuracy
from temzoo.latent.codes import encode_images, kl_per_dimension, reconstruction_error
from temzoo.latent.information import strongest
from temzoo.workflows import lecture_latent as lecture

DIGITS = {"latent_dim": 8, "image_size": 16}
DIGIT_EPOCHS = 60
PARTICLES = {"latent_dim": 4, "image_size": 32}
EPOCHS = 30  # on particles
COUNT, HELD_OUT, COMPARE_COUNT = 3000, 3000, 1500
SEEN_SEED, HELD_OUT_SEED = 1, 2  # of the particles
DRAWN = f"synthetic.particle_images, seed {SEEN_SEED}; held out: seed {HELD_OUT_SEED}"
QUICK_PICTURES, BOOTSTRAP = 300, 200  # of what ``accuracy`` judges
PLAIN = {"likelihood": "gaussian"}
INVARIANT = {**PLAIN, "rotation_invariant": True}
COMPARED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "autoencoder": ("autoencoder", {"skips": False, "filters": 16}),
    "VAE": ("vae", PLAIN),
    "β-VAE, β = 4": ("vae", {**PLAIN, "beta": 4.0}),
    "rotation-invariant VAE": ("vae", INVARIANT),
}
PERIODS = {"angle_deg": 180}  # an ellipse looks the same upside down


def trained(config: Mapping, pictures, *, epochs: int, seed: int, name="vae") -> tuple[Any, float]:
    """A model with everything else at its default, and the seconds of its training."""
    keras.utils.set_random_seed(seed)
    model = temzoo.get_model(name, **config)
    return model, seconds_of(lambda: model.fit(pictures, pictures, epochs=epochs, verbose=0))


def drawn(count: int) -> tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]:
    """Particles to learn from, (count, S, S, 1), others that judge, and what those show."""
    size = PARTICLES["image_size"]
    seen, _ = particle_images(count, size=size, seed=SEEN_SEED)
    held, factors = particle_images(count, size=size, seed=HELD_OUT_SEED)
    return seen[..., None], held[..., None], factors


def digits(arguments: Arguments) -> dict[str, Any]:
    """Nearest neighbours in eight dimensions."""
    data, models = lecture.digits(), []
    for seed in arguments.seeds:
        model, seconds = trained(DIGITS, data.train, epochs=DIGIT_EPOCHS, seed=seed)
        known, means = (np.asarray(model.encode(part)[0]) for part in (data.train, data.held_out))
        right = nearest_neighbour_accuracy(known, data.train_digits, means, data.held_out_digits)
        bound = model.evaluate(data.held_out, verbose=0, return_dict=True)
        told = {"seed": seed, "nearest_neighbour_after_epochs": {DIGIT_EPOCHS: right}}
        told |= {"seconds": seconds, "active_units": int(latent.active_units(means).sum())}
        models.append(told | {"held_out": {key: float(each) for key, each in bound.items()}})
    about = "scikit-learn digits at 16 px, a quarter held out"
    return _told("digits", arguments.seeds, models, data.held_out, about)


def compare(arguments: Arguments) -> dict[str, Any]:
    """Four models by every figure there is, of the first seed."""
    seen, held, factors = drawn(COMPARE_COUNT)
    models, seed = [], arguments.seeds[0]
    for name, (registered, special) in COMPARED.items():
        config = {**PARTICLES, **special}
        model, seconds = trained(config, seen, epochs=EPOCHS, seed=seed, name=registered)
        (figures,) = latent.compare({name: model}, held[..., 0], factors, periods=PERIODS)
        models.append({"figures": figures, "config": config, "seconds": seconds})
        print(latent.comparison_table([figures]), f"{seconds:.0f} s", sep="\n", flush=True)
    return _told("compare", arguments.seeds, models, held, DRAWN)


def _told(name: str, seeds: Sequence[int], models: list, pictures: np.ndarray, about: str):
    told = {"about": f"what latent numbers know: {name}", "seed": seeds[0]}
    dataset = generated(about, pictures, seed=HELD_OUT_SEED) | {"images": len(pictures)}
    return told | {"figures": {"models": models}, "dataset": dataset}


def told_of(name: str, model: Any, arguments: Arguments) -> dict[str, Any]:
    """What a record says of a VAE among the weights that ``accuracy`` judges."""
    count = QUICK_PICTURES if arguments.quick else HELD_OUT
    about = f"drawn particles, {count} of {model.image_size} px"
    about = generated(about, pictures(model, count)[0], seed=HELD_OUT_SEED)
    return {"what": "vae", "name": name, "figures": known(model, count), "dataset": about}


def pictures(model: Any, count: int) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """(count, S, S, 1) float32 that the model was not trained on, and what each shows."""
    if model.channels != 1:
        raise ValueError(
            "A VAE is judged on drawn grey particles. Received: one of"
            f" {model.channels} channels. Judge it on pictures of its own by `temzoo latent`."
        )
    drawn, factors = particle_images(count, size=model.image_size, seed=HELD_OUT_SEED)
    return drawn[..., None], factors


def known(model: Any, count: int = HELD_OUT) -> dict[str, Any]:
    """What ``temzoo.latent.compare`` says, with intervals where an image has a share in it."""
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

    resampled = {"reconstruction_error": lambda chosen: errors[chosen].mean(), "kl": kl}
    resampled |= {f"r {name}": partial(correlation, name=name) for name in factors}
    rng = np.random.default_rng(0)
    drawn = [np.arange(count), *rng.integers(0, count, (BOOTSTRAP, count))]  # all come first
    found = {
        name: vars(percentile_interval(np.array([figure(chosen) for chosen in drawn])))
        for name, figure in resampled.items()
    }
    plain = ("active_units", "mig", "mig_shuffled", "latent_dim")
    return found | {key: figures[key] for key in plain} | {"pictures": count}


MEASUREMENTS = {"digits": digits, "compare": compare}
