"""What the latent numbers of a VAE know, on pictures whose content is known.

    python -m benchmarks latent digits       # scikit-learn's digits, some minutes
    python -m benchmarks latent particles    # particles at any angle, some 20 minutes
    python -m benchmarks latent compare      # four models on particles, some 5 minutes

Digits: a quarter is held out; the nearest neighbour in the latent means names the digit. A model of
two dimensions draws the plane at normal quantiles, and a support vector machine that learnt the
real digits says which are there. Particles: the largest correlation of any latent mean with the
angle (of its double angle, as they look the same upside down) and with the diameter, on held-out
pictures, for the plain VAE and the rotation-invariant one. Compare: autoencoder, VAE, beta-VAE and
rotation-invariant VAE by every figure of ``temzoo.latent.compare``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import scipy.stats
from sklearn.decomposition import PCA
from sklearn.svm import SVC

import temzoo
from benchmarks.datasets import generated
from benchmarks.records import result
from benchmarks.timing import seconds_of
from temzoo import latent
from temzoo.data.synthetic.particle_images import particle_images
from temzoo.latent import nearest_neighbour_accuracy
from temzoo.latent.information import strongest
from temzoo.workflows import lecture

SEEDS = (0, 1, 2)
DIGITS = {"latent_dim": 8, "image_size": 16}
PLANE = {"latent_dim": 2, "image_size": 16}
DIGIT_EPOCHS = (20, 20, 20)
GRID = 20  # pictures a side, of the plane
PARTICLES = {"latent_dim": 4, "image_size": 32}
EPOCHS = 30  # on particles
COUNT, HELD_OUT, COMPARE_COUNT = 3000, 3000, 1500
SEEN_SEED, HELD_OUT_SEED = 1, 2  # of the particles
MODELS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"likelihood": "gaussian"},
    "rotation-invariant": {"likelihood": "gaussian", "rotation_invariant": True},
    "rotation-invariant, Bernoulli": {"rotation_invariant": True},
}
COMPARED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "autoencoder": ("autoencoder", {"skips": False, "filters": 16}),
    "VAE": ("vae", MODELS["plain"]),
    "β-VAE, β = 4": ("vae", {**MODELS["plain"], "beta": 4.0}),
    "rotation-invariant VAE": ("vae", MODELS["rotation-invariant"]),
}
PERIODS = {"angle_deg": 180}  # an ellipse looks the same upside down


def trained(
    config: Mapping[str, Any], pictures: np.ndarray, *, epochs: int, seed: int, name: str = "vae"
) -> tuple[Any, float]:
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


def digits(seeds: Sequence[int]) -> dict[str, Any]:
    """Nearest neighbours in eight dimensions, and which digits the plane of two shows."""
    data = lecture.digits()
    names, truth = data.train_digits, data.held_out_digits
    seen, held = _flat(data.train), _flat(data.held_out)
    components = PCA(DIGITS["latent_dim"], random_state=0).fit(seen)
    parts = [components.transform(part) for part in (seen, held)]
    return {
        "pictures": {"training": len(seen), "held_out": len(held)},
        "nearest_neighbour_of_pixels": nearest_neighbour_accuracy(seen, names, held, truth),
        "nearest_neighbour_of_8_principal_components": nearest_neighbour_accuracy(
            parts[0], names, parts[1], truth
        ),
        "models": [_digit_model(seed, data) for seed in seeds],
        "planes": [_plane(seed, data) for seed in seeds],
    }


def _flat(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(len(pictures), -1)


def _digit_model(seed: int, data) -> dict[str, Any]:
    first, *more = DIGIT_EPOCHS
    model, seconds = trained(DIGITS, data.train, epochs=first, seed=seed)
    scores, done = {}, first
    for epochs in (*more, 0):
        means = [_means(model, part) for part in (data.train, data.held_out)]
        scores[done] = nearest_neighbour_accuracy(
            means[0], data.train_digits, means[1], data.held_out_digits
        )
        if epochs:
            seconds += seconds_of(lambda n=epochs: model.fit(data.train, epochs=n, verbose=0))
        done += epochs
    return {
        "seed": seed,
        "nearest_neighbour_after_epochs": scores,
        "active_units": _active(_means(model, data.held_out)),
        "held_out": _bound(model, data.held_out),
        "seconds": seconds,
    }


def _means(model, pictures: np.ndarray) -> np.ndarray:
    return np.asarray(model.encode(pictures)[0])


def _active(means: np.ndarray) -> int:
    return int(latent.active_units(means).sum())


def _bound(model, pictures: np.ndarray) -> dict[str, float]:
    return {k: float(v) for k, v in model.evaluate(pictures, verbose=0, return_dict=True).items()}


def _plane(seed: int, data) -> dict[str, Any]:
    """Which digits a machine sees in the decoded plane, and how often."""
    model, seconds = trained(PLANE, data.train, epochs=sum(DIGIT_EPOCHS), seed=seed)
    line = scipy.stats.norm.ppf((np.arange(GRID) + 0.5) / GRID)
    plane = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    pictures = np.asarray(model.decode(plane.astype("float32")))
    machine = SVC(gamma="scale").fit(_flat(data.train), data.train_digits)
    counts = np.bincount(machine.predict(_flat(pictures)), minlength=10)
    return {
        "seed": seed,
        "pictures_of_each_digit": counts.tolist(),
        "shows_every_digit": bool(counts.min() > 0),
        "seconds": seconds,
    }


def particles(seeds: Sequence[int]) -> dict[str, Any]:
    """What the latent numbers of the models know of angle, diameter and aspect ratio."""
    seen, held, factors = drawn(COUNT)
    models = [_particle_model(n, s, seen, held, factors) for n in MODELS for s in seeds]
    return {"pictures": {"training": COUNT, "held_out": COUNT}, "epochs": EPOCHS, "models": models}


def _particle_model(name: str, seed: int, seen, held, factors) -> dict[str, Any]:
    config = {**PARTICLES, **MODELS[name]}
    model, seconds = trained(config, seen, epochs=EPOCHS, seed=seed)
    encoded = latent.encode_images(model, held)
    table = latent.correlations(encoded.means, factors, periods=PERIODS)
    told = {
        "model": name,
        "seed": seed,
        "config": config,
        "r_angle": strongest(table, "angle_deg", PERIODS),
        "r_diameter": strongest(table, "diameter_px", PERIODS),
        "r_aspect_ratio": strongest(table, "aspect_ratio", PERIODS),
        "active_units": _active(encoded.means),
        "held_out": _bound(model, held),
        "seconds": seconds,
    }
    if encoded.poses is not None:
        found, true = encoded.poses[:, 0], np.deg2rad(factors["angle_deg"])
        told["angle_error_deg"] = angle_error_deg(found, true)
    return told


def angle_error_deg(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """How far inferred angles, radians, lie from the true ones, which are equal modulo 180 degrees.

    The model's upright is its own choice, so the mean difference is taken off.
    """
    difference = np.exp(2j * (found - true))
    error = np.abs(np.rad2deg(np.angle(difference / difference.mean())) / 2)
    return {"median": float(np.median(error)), "within_15": float((error < 15).mean())}


def compare(seeds: Sequence[int]) -> dict[str, Any]:
    """Four models by every figure there is, of the first seed."""
    seen, held, factors = drawn(COMPARE_COUNT)
    models = []
    for name, (registered, special) in COMPARED.items():
        config = {**PARTICLES, **special}
        model, seconds = trained(config, seen, epochs=EPOCHS, seed=seeds[0], name=registered)
        (figures,) = latent.compare({name: model}, held[..., 0], factors, periods=PERIODS)
        models.append({"figures": figures, "config": config, "seconds": seconds})
        print(latent.comparison_table([figures]), f"{seconds:.0f} s", sep="\n", flush=True)
    pictures = {"training": COMPARE_COUNT, "held_out": COMPARE_COUNT}
    return {"pictures": pictures, "epochs": EPOCHS, "seed": seeds[0], "models": models}


MEASUREMENTS = {"digits": digits, "particles": particles, "compare": compare}
DATA = {
    "digits": "scikit-learn digits at 16 px, a quarter held out",
    "particles": "synthetic.particle_images, seed 1; held out: seed 2",
    "compare": "synthetic.particle_images, seed 1; held out: seed 2",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", choices=MEASUREMENTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="of the trainings")


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for name in arguments.names:
        figures = MEASUREMENTS[name](tuple(arguments.seeds))
        pictures = lecture.digits().held_out if name == "digits" else drawn(COMPARE_COUNT)[1]
        yield result(
            "latent",
            name,
            about=f"what latent numbers know: {name}",
            command=arguments.again(names=[name]),
            dataset=generated(DATA[name], pictures, seed=HELD_OUT_SEED),
            seed=arguments.seeds[0],
            figures=figures,
        )
