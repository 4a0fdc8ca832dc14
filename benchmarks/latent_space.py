"""What the latent numbers of a VAE know, on pictures whose content is known.

    python -m benchmarks.latent_space digits       # scikit-learn's digits, some minutes
    python -m benchmarks.latent_space particles    # particles at any angle, some 20 minutes
    python -m benchmarks.latent_space compare      # four models on particles, some 5 minutes

Digits: a quarter is held out; the nearest neighbour in the latent means names the digit. A model of
two dimensions draws the plane at normal quantiles, and a support vector machine that learnt the
real digits says which are there. Particles: the largest correlation of any latent mean with the
angle (of its double angle, as they look the same upside down) and with the diameter, on held-out
pictures, for the plain VAE and the rotation-invariant one. Compare: autoencoder, VAE, beta-VAE and
rotation-invariant VAE by every figure of ``temzoo.latent.compare``.

The records go to ``results/latent_digits.json``, ``results/latent_particles.json`` and
``results/latent_compare.json``, and ``results/latent.md`` is written of those that are there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import RESULTS, measured_on, stamp, write_json, write_lines

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
COMPARED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "autoencoder": ("autoencoder", {"skips": False, "filters": 16}),
    "VAE": ("vae", MODELS["plain"]),
    "β-VAE, β = 4": ("vae", {**MODELS["plain"], "beta": 4.0}),
    "rotation-invariant VAE": ("vae", MODELS["rotation-invariant"]),
}
COMPARE_EPOCHS, COMPARE_COUNT = 30, 1500
PERIODS = {"angle_deg": 180}  # an ellipse looks the same upside down


def digits(seeds: tuple[int, ...]) -> dict[str, Any]:
    """Nearest neighbours in eight dimensions, and which digits the plane of two shows."""
    from temzoo.workflows import lecture

    data = lecture.digits()
    seen, held = data.train, data.held_out
    names, truth = data.train_digits, data.held_out_digits
    record: dict[str, Any] = {
        "task": "scikit-learn digits at 16 px, a quarter held out",
        "pictures": {"training": len(seen), "held_out": len(held)},
        "nearest_neighbour_of_pixels": _nearest(_flat(seen), names, _flat(held), truth),
        "nearest_neighbour_of_8_principal_components": _of_components(seen, names, held, truth),
        "models": [_digit_model(seed, seen, held, names, truth) for seed in seeds],
    }
    record["planes"] = [_plane(seed, seen, names) for seed in seeds]
    return record


def _flat(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(len(pictures), -1)


def _nearest(known: np.ndarray, names: np.ndarray, asked: np.ndarray, truth: np.ndarray) -> float:
    from temzoo import latent

    return latent.nearest_neighbour_accuracy(known, names, asked, truth)


def _of_components(seen, names, held, truth) -> float:
    from sklearn.decomposition import PCA

    components = PCA(DIGITS["latent_dim"], random_state=0).fit(_flat(seen))
    return _nearest(
        components.transform(_flat(seen)), names, components.transform(_flat(held)), truth
    )


def trained(
    config: Mapping[str, Any], pictures: np.ndarray, *, epochs: int, seed: int, name: str = "vae"
):
    """A model with everything else at its default, and the seconds of its training."""
    import keras

    import temzoo

    keras.utils.set_random_seed(seed)
    model = temzoo.get_model(name, **config)
    start = time.monotonic()
    model.fit(pictures, pictures, epochs=epochs, verbose=0)
    return model, time.monotonic() - start


def _digit_model(seed: int, seen, held, names, truth) -> dict[str, Any]:
    model, seconds = trained(DIGITS, seen, epochs=DIGIT_EPOCHS[0], seed=seed)
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
    from temzoo import latent

    return int(latent.active_units(means).sum())


def _bound(model, pictures: np.ndarray) -> dict[str, float]:
    return {k: float(v) for k, v in model.evaluate(pictures, verbose=0, return_dict=True).items()}


def _plane(seed: int, seen: np.ndarray, names: np.ndarray) -> dict[str, Any]:
    """Which digits a machine sees in the decoded plane, and how often."""
    import scipy.stats
    from sklearn.svm import SVC

    model, seconds = trained(PLANE, seen, epochs=sum(DIGIT_EPOCHS), seed=seed)
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
    from temzoo.data.synthetic.particle_images import particle_images

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
    from temzoo import latent
    from temzoo.latent.information import strongest

    config = {**PARTICLES, **MODELS[name]}
    model, seconds = trained(config, seen, epochs=PARTICLE_EPOCHS, seed=seed)
    encoded = latent.encode_images(model, held)
    table = latent.correlations(encoded.means, factors, periods=PERIODS)
    record = {
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
        record["angle_error_deg"] = angle_error_deg(found, true)
    return record


def angle_error_deg(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """How far inferred angles, radians, lie from the true ones, which are equal modulo 180 degrees.

    The model's upright is its own choice, so the mean difference is taken off.
    """
    difference = np.exp(2j * (found - true))
    error = np.abs(np.rad2deg(np.angle(difference / difference.mean())) / 2)
    return {"median": float(np.median(error)), "within_15": float((error < 15).mean())}


def compare(seeds: tuple[int, ...]) -> dict[str, Any]:
    """Four models by every figure there is, of the first seed."""
    from temzoo import latent
    from temzoo.data.synthetic.particle_images import particle_images

    seed, size = seeds[0], PARTICLES["image_size"]
    seen, _ = particle_images(COMPARE_COUNT, size=size, seed=1)
    held, factors = particle_images(COMPARE_COUNT, size=size, seed=2)
    records = []
    for name, (registered, special) in COMPARED.items():
        config = {**PARTICLES, **special}
        model, seconds = trained(
            config, seen[..., None], epochs=COMPARE_EPOCHS, seed=seed, name=registered
        )
        (figures,) = latent.compare({name: model}, held, factors, periods=PERIODS)
        records.append({"figures": figures, "config": config, "seconds": seconds})
        print(latent.comparison_table([figures]), f"{seconds:.0f} s", sep="\n", flush=True)
    return {
        "task": "synthetic.particle_images, seed 1; held out: seed 2",
        "pictures": {"training": COMPARE_COUNT, "held_out": COMPARE_COUNT},
        "epochs": COMPARE_EPOCHS,
        "seed": seed,
        "models": records,
    }


MEASUREMENTS = {"digits": digits, "particles": particles, "compare": compare}


def write_table(folder: Path = RESULTS) -> Path:
    """Regenerates ``latent.md`` from the records that are there."""
    sections = {"digits": _digit_lines, "particles": _particle_lines, "compare": _compare_lines}
    records, lines = [], ["# What a latent space knows", "", *ABOUT]
    for name, section in sections.items():
        path = folder / f"latent_{name}.json"
        if path.is_file():
            records.append(json.loads(path.read_text(encoding="utf-8")))
            lines += ["", *section(records[-1])]
    return write_lines(folder / "latent.md", [*lines, "", measured_on(records)])


ABOUT = (
    "Written by `python -m benchmarks.latent_space digits particles compare`. All figures are of",
    "pictures that no model was trained on. Seconds are wall time of the training, on machines",
    "that may have had other work.",
)


def _digit_lines(record: Mapping[str, Any]) -> list[str]:
    shown = [sum(p["shows_every_digit"] for p in record["planes"]), len(record["planes"])]
    epochs = list(record["models"][0]["nearest_neighbour_after_epochs"])
    lines = [
        "## Handwritten digits: does the nearest neighbour in the latent know the digit?",
        "",
        f"scikit-learn's digits at 16 px, {record['pictures']['training']} to train on,"
        f" {record['pictures']['held_out']} held out; VAE of {DIGITS['latent_dim']} dimensions. The"
        f" nearest neighbour of the pixels themselves: {record['nearest_neighbour_of_pixels']:.3f};"
        f" of as many principal components:"
        f" {record['nearest_neighbour_of_8_principal_components']:.3f}. A support vector machine"
        f" finds every digit in the decoded plane of a VAE of two dimensions with"
        f" {shown[0]} of {shown[1]} seeds.",
        "",
        f"| seed | {' | '.join(f'accuracy after {n} epochs' for n in epochs)} | active units |"
        " ELBO, nats | training, s |",
        "|" + "---:|" * (len(epochs) + 4),
    ]
    for model in record["models"]:
        scores = " | ".join(f"{model['nearest_neighbour_after_epochs'][n]:.3f}" for n in epochs)
        lines.append(
            f"| {model['seed']} | {scores} | {model['active_units']} |"
            f" {model['held_out']['elbo']:.1f} | {model['seconds']:.0f} |"
        )
    return lines


def _particle_lines(record: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Particles at any angle: what do the latent numbers know?",
        "",
        f"{_particles_of(record)}. |r|: the greatest of any dimension; of the angle, with the"
        " cosine or sine of its double. Angle error: median, of the angle that the"
        " rotation-invariant model keeps apart.",
        "",
        "| model | seed | \\|r\\| diameter | \\|r\\| aspect ratio | \\|r\\| angle | angle"
        " error, ° | active units | training, s |",
        "|---|" + "---:|" * 7,
    ]
    for model in record["models"]:
        error = model.get("angle_error_deg")
        lines.append(
            f"| {model['model']} | {model['seed']} | {model['r_diameter']:.3f} |"
            f" {model['r_aspect_ratio']:.3f} | {model['r_angle']:.3f} |"
            f" {'–' if error is None else format(error['median'], '.1f')} |"
            f" {model['active_units']} | {model['seconds']:.0f} |"
        )
    return lines


def _compare_lines(record: Mapping[str, Any]) -> list[str]:
    from temzoo.latent import comparison_table

    rows = [
        {**model["figures"], "training, s": round(model["seconds"])} for model in record["models"]
    ]
    return [
        "## Autoencoder, VAE, β-VAE and rotation-invariant VAE",
        "",
        f"{_particles_of(record)}, seed {record['seed']}. Reconstruction error: mean squared, per"
        " pixel. KL: nats per image, of the code (not the pose). MIG: mutual information gap of"
        " diameter, aspect ratio and angle, beside what chance gives; a model that leaves the angle"
        " out scores 0 for it. r: the greatest |r| of any dimension. The scale of an autoencoder's"
        " code is free, so its units are always active.",
        "",
        comparison_table(rows),
    ]


def _particles_of(record: Mapping[str, Any]) -> str:
    return (
        f"`synthetic.particle_images`, {PARTICLES['image_size']} px,"
        f" {record['pictures']['training']} to train on, {record['pictures']['held_out']} held out,"
        f" {PARTICLES['latent_dim']} latent dimensions, {record['epochs']} epochs"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latent_space", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="+", choices=MEASUREMENTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="of the trainings")
    arguments = parser.parse_args()
    for name in arguments.names:
        command = f"python -m benchmarks.latent_space {name}"
        if tuple(arguments.seeds) != SEEDS:
            command += f" --seeds {' '.join(map(str, arguments.seeds))}"
        record = MEASUREMENTS[name](tuple(arguments.seeds)) | stamp(command)
        path = RESULTS / f"latent_{name}.json"
        write_json(path, record)
        print(json.dumps(record, indent=1), path, sep="\n")
    print(write_table())


if __name__ == "__main__":
    main()
