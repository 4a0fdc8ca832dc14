"""What the latent numbers of a VAE know, on pictures whose content is known.

    python -m benchmarks.latent_space digits       # scikit-learn's digits, some minutes
    python -m benchmarks.latent_space particles    # particles at any angle, some 20 minutes

Digits: a quarter is held out; the nearest neighbour in the latent means names the digit. A model of
two dimensions draws the plane at normal quantiles, and a support vector machine that learnt the
real digits says which are there. Particles: the largest correlation of any latent mean with the
angle (of its double angle, as they look the same upside down) and with the diameter, on held-out
pictures, for the plain VAE and the rotation-invariant one.

The records go to ``results/latent_digits.json`` and ``results/latent_particles.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.records import RESULTS, stamp, write_json

SEEDS = (0, 1, 2)
DIGITS = {"latent_dim": 8, "image_size": 16}
PLANE = {"latent_dim": 2, "image_size": 16}
DIGIT_EPOCHS = (20, 20, 20)
GRID = 20  # pictures a side, of the plane
PARTICLES = {"latent_dim": 4, "image_size": 32}
PARTICLE_EPOCHS = 30
COUNT, HELD_OUT = 3000, 3000
MODELS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"likelihood": "gaussian"},
    "rotation-invariant": {"likelihood": "gaussian", "rotation_invariant": True},
    "rotation-invariant, Bernoulli": {"rotation_invariant": True},
}


def digits(seeds: tuple[int, ...]) -> dict[str, Any]:
    """Nearest neighbours in eight dimensions, and which digits the plane of two shows."""
    seen, held, names, truth = _digit_split()
    record: dict[str, Any] = {
        "task": "scikit-learn digits at 16 px, a quarter held out",
        "pictures": {"training": len(seen), "held_out": len(held)},
        "nearest_neighbour_of_pixels": _nearest(_flat(seen), names, _flat(held), truth),
        "nearest_neighbour_of_8_principal_components": _of_components(seen, names, held, truth),
        "models": [_digit_model(seed, seen, held, names, truth) for seed in seeds],
    }
    record["planes"] = [_plane(seed, seen, names) for seed in seeds]
    return record


def _digit_split():
    """Training and held-out pictures (N, 16, 16, 1) in [0, 1], and their digits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    larger = np.kron(data.images / 16, np.ones((1, 2, 2))).astype("float32")[..., None]
    return train_test_split(
        larger, data.target, test_size=0.25, random_state=0, stratify=data.target
    )


def _flat(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(len(pictures), -1)


def _nearest(known: np.ndarray, names: np.ndarray, asked: np.ndarray, truth: np.ndarray) -> float:
    """Share of the asked whose nearest known neighbour has their name."""
    from sklearn.neighbors import KNeighborsClassifier

    return float(KNeighborsClassifier(1).fit(known, names).score(asked, truth))


def _of_components(seen, names, held, truth) -> float:
    from sklearn.decomposition import PCA

    components = PCA(DIGITS["latent_dim"], random_state=0).fit(_flat(seen))
    return _nearest(
        components.transform(_flat(seen)), names, components.transform(_flat(held)), truth
    )


def _trained(config: Mapping[str, Any], pictures: np.ndarray, *, epochs: int, seed: int):
    """A model with everything else at its default, and the seconds of its training."""
    import keras

    import temzoo

    keras.utils.set_random_seed(seed)
    model = temzoo.get_model("vae", **config)
    start = time.monotonic()
    model.fit(pictures, epochs=epochs, verbose=0)
    return model, time.monotonic() - start


def _digit_model(seed: int, seen, held, names, truth) -> dict[str, Any]:
    model, seconds = _trained(DIGITS, seen, epochs=DIGIT_EPOCHS[0], seed=seed)
    scores, done = {}, DIGIT_EPOCHS[0]
    for more in (*DIGIT_EPOCHS[1:], 0):
        scores[done] = _nearest(_means(model, seen), names, _means(model, held), truth)
        start = time.monotonic()
        if more:
            model.fit(seen, epochs=more, verbose=0)
        seconds, done = seconds + time.monotonic() - start, done + more
    return {
        "seed": seed,
        "config": DIGITS,
        "nearest_neighbour_after_epochs": scores,
        "active_units": _active(_means(model, held)),
        "held_out": _bound(model, held),
        "seconds": seconds,
    }


def _means(model, pictures: np.ndarray) -> np.ndarray:
    return np.asarray(model.encode(pictures)[0])


def _active(means: np.ndarray) -> int:
    """Latent numbers whose mean varies by more than 0.01 (Burda et al. 2016, arXiv:1509.00519)."""
    return int((means.var(axis=0) > 0.01).sum())


def _bound(model, pictures: np.ndarray) -> dict[str, float]:
    return {k: float(v) for k, v in model.evaluate(pictures, verbose=0, return_dict=True).items()}


def _plane(seed: int, seen: np.ndarray, names: np.ndarray) -> dict[str, Any]:
    """Which digits a machine sees in the decoded plane, and how often."""
    import scipy.stats
    from sklearn.svm import SVC

    model, seconds = _trained(PLANE, seen, epochs=sum(DIGIT_EPOCHS), seed=seed)
    line = scipy.stats.norm.ppf((np.arange(GRID) + 0.5) / GRID)
    plane = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    pictures = np.asarray(model.decode(plane.astype("float32")))
    found = SVC(gamma="scale").fit(_flat(seen), names).predict(_flat(pictures))
    counts = np.bincount(found, minlength=10)
    return {
        "seed": seed,
        "config": PLANE,
        "pictures_of_each_digit": counts.tolist(),
        "shows_every_digit": bool(counts.min() > 0),
        "seconds": seconds,
    }


def particles(seeds: tuple[int, ...]) -> dict[str, Any]:
    """What the latent numbers of the models know of angle, diameter and aspect ratio."""
    from temzoo.synthetic import particle_images

    seen, _ = particle_images(COUNT, size=PARTICLES["image_size"], seed=1)
    held, factors = particle_images(HELD_OUT, size=PARTICLES["image_size"], seed=2)
    return {
        "task": "synthetic.particle_images, seed 1; held out: seed 2",
        "pictures": {"training": COUNT, "held_out": HELD_OUT},
        "epochs": PARTICLE_EPOCHS,
        "models": [
            _particle_model(name, seed, seen[..., None], held[..., None], factors)
            for name in MODELS
            for seed in seeds
        ],
    }


def _particle_model(name: str, seed: int, seen, held, factors) -> dict[str, Any]:
    config = {**PARTICLES, **MODELS[name]}
    model, seconds = _trained(config, seen, epochs=PARTICLE_EPOCHS, seed=seed)
    means, _, *pose = (np.asarray(each) for each in model.encode(held))
    double = 2 * np.deg2rad(factors["angle_deg"])
    record = {
        "model": name,
        "seed": seed,
        "config": config,
        "r_angle": max(largest_r(means, np.cos(double)), largest_r(means, np.sin(double))),
        "r_diameter": largest_r(means, factors["diameter_px"]),
        "r_aspect_ratio": largest_r(means, factors["aspect_ratio"]),
        "active_units": _active(means),
        "held_out": _bound(model, held),
        "seconds": seconds,
    }
    if pose:
        record["angle_error_deg"] = angle_error_deg(pose[0][:, 0], np.deg2rad(factors["angle_deg"]))
    return record


def largest_r(means: np.ndarray, factor: np.ndarray) -> float:
    """Largest |Pearson r| of any latent mean, (N, D), with a factor, (N,)."""
    return float(max(abs(np.corrcoef(mean, factor)[0, 1]) for mean in means.T))


def angle_error_deg(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """How far inferred angles, radians, lie from the true ones, which are equal modulo 180 degrees.

    The model's upright is its own choice, so the mean difference is taken off.
    """
    difference = np.exp(2j * (found - true))
    error = np.abs(np.rad2deg(np.angle(difference / difference.mean())) / 2)
    return {"median": float(np.median(error)), "within_15": float((error < 15).mean())}


MEASUREMENTS = {"digits": digits, "particles": particles}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latent_space", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="+", choices=MEASUREMENTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="of the trainings")
    arguments = parser.parse_args()
    for name in arguments.names:
        command = f"python -m benchmarks.latent_space {name}"
        record = MEASUREMENTS[name](tuple(arguments.seeds)) | stamp(command)
        path = RESULTS / f"latent_{name}.json"
        write_json(path, record)
        print(json.dumps(record, indent=1), path, sep="\n")


if __name__ == "__main__":
    main()
