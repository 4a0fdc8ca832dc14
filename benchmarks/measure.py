"""Is what ``temzoo measure`` says true, and what does it cost?

    python -m benchmarks.measure speed        # 10,000 particles, beside scikit-image
    python -m benchmarks.measure labels       # synthetic micrographs, measured by their labels
    python -m benchmarks.measure synthetic    # … by a U-Net that is trained first, on others
    python -m benchmarks.measure objects      # … by a Mask R-CNN, which parts overlapping ones

Two sets of synthetic micrographs, of seeds that no network saw:

- ``mixed``: spheres, ellipsoids and rods as ``temzoo.synthetic`` makes them. Count and D50 of all
  images together, beside those of the labels.
- ``spheres``: one log-normal population an image, whose median is known exactly: the size that the
  generator draws first. How many of the images' 95 % intervals of D50 hold it, with the correction
  for the border; and how many hold the median of the labels.

``labels`` shows what pixels and the border cost, the others what a network adds. Written to
``results/measure.json``, each command its own part.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import temzoo
from benchmarks.accuracy import DATA
from benchmarks.records import RESULTS, spread, stamp, use_encoder_beside, write_json
from temzoo.core.types import Example, LabelledImage, Micrograph, Prediction
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.labels.shapes.raster import instance_map

OUT = RESULTS / "measure.json"
RUNS = Path("runs")
NM_PER_PIXEL = 0.5
SETS: dict[str, dict[str, Any]] = {
    "mixed": {"size": 512, "n_particles": (20, 40)},
    "spheres": {
        "size": 640,
        "n_particles": 45,
        "diameter_nm": (8.0, 20.0),
        "shares": (1.0, 0.0, 0.0),
        "clustering": 0.0,
    },
}
TUNED_ON = 12  # micrographs of each set, of those that the network learnt from
IMAGES = {"mixed": 30, "spheres": 60}
FIRST_SEED = {"mixed": 10_000, "spheres": 20_000}
SHAPES = (
    *("label", "area", "bbox", "centroid", "equivalent_diameter_area", "perimeter_crofton"),
    *("axis_major_length", "axis_minor_length", "orientation", "intensity_mean"),
)
SLOW_SHAPES = ("feret_diameter_max", "solidity")
SETTINGS = {"magnification": (0.9, 1.1), "augment": "light", "average": 0.998, "seed": 0}


@dataclass(frozen=True)
class Network:
    """What is trained for the measurement.

    Attributes:
        model: registered name; config: its keywords.
        settings: of ``temzoo.train``, beside ``SETTINGS``.
    """

    model: str
    config: Mapping[str, Any]
    settings: Mapping[str, Any]


UNET = Network(
    "unet",
    {"filters": 12},
    {"batch": 8, "crop": 256, "epochs": 30, "steps_per_epoch": 50, "validate_every": 8},
)
DETECTOR = Network(
    "mask_rcnn",
    {"backbone": "mobilenet", "alpha": 0.75, "image_size": 256},
    {"batch": 4, "epochs": 14, "steps_per_epoch": 60, "validate_every": 7},
)


def speed(args: argparse.Namespace) -> dict[str, Any]:
    """10,000 particles of 12 to 26 px in one image of 3,200 px."""
    from skimage.measure import regionprops_table

    pixels, instances = crowd(100)
    prediction = Prediction((instances > 0).astype(np.uint8), instances)
    table = temzoo.measure(prediction, pixels)
    runs = {
        "temzoo.measure": lambda: temzoo.measure(prediction, pixels),
        "regionprops_table without Feret and solidity": lambda: regionprops_table(
            instances, pixels, properties=SHAPES
        ),
        "regionprops_table": lambda: regionprops_table(
            instances, pixels, properties=(*SHAPES, *SLOW_SHAPES)
        ),
    }
    seconds = {}
    for name, run in runs.items():
        repeats = 1 if name == "regionprops_table" else args.repeats
        seconds[name] = spread([cpu_seconds(run) for _ in range(repeats)])
        print(f"{name}: {seconds[name]['median']:.2f} s")
    return {"particles": len(table), "columns": table.shape[1], "cpu_seconds": seconds}


def crowd(side: int) -> tuple[np.ndarray, np.ndarray]:
    """(pixels, instances) of side² ellipses, each in a square of 32 px."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:32, :32] + 0.5
    instances = np.zeros((32 * side, 32 * side), np.int32)
    for number in range(side**2):
        top, left = 32 * (number // side), 32 * (number % side)
        centre, half = rng.uniform(14, 18, 2), rng.uniform(6, 13, 2)
        angle = rng.uniform(0, np.pi)
        down, right = rows - centre[0], cols - centre[1]
        along = right * np.cos(angle) + down * np.sin(angle)
        across = down * np.cos(angle) - right * np.sin(angle)
        inside = (along / half[0]) ** 2 + (across / half[1]) ** 2 <= 1
        instances[top : top + 32, left : left + 32][inside] = number + 1
    return rng.integers(0, 255, instances.shape).astype(np.uint8), instances


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of this process alone: other work on the machine does not count."""
    began = time.process_time()
    work()
    return time.process_time() - began


def labels(args: argparse.Namespace) -> dict[str, Any]:
    """The labels themselves as a prediction: as good as a network can be."""

    def found(micrograph: Micrograph, labelled: LabelledImage) -> Prediction:
        instances = instance_map(labelled)
        return predicted_as((instances > 0).astype(np.uint8), instances, micrograph)

    return {name: judged(name, found, args.images) for name in SETS}


def synthetic(args: argparse.Namespace) -> dict[str, Any]:
    """A small U-Net, trained on synthetic micrographs of other seeds; watershed, tuned on them."""
    model, training = trained(UNET, args)
    tuned = temzoo.tune_instances(model, training_micrographs(TUNED_ON))
    training |= {"watershed": dict(tuned.best)}
    return {"training": training, **predicted(model, args, **tuned.options)}


def objects(args: argparse.Namespace) -> dict[str, Any]:
    """Mask R-CNN on an ImageNet encoder, trained on the same micrographs; as it comes."""
    use_encoder_beside(DATA)
    model, training = trained(DETECTOR, args)
    return {"training": training, **predicted(model, args)}


def predicted(model: Any, args: argparse.Namespace, **options: Any) -> dict[str, Any]:
    def found(micrograph: Micrograph, _: LabelledImage) -> Prediction:
        return temzoo.predict(model, micrograph, **options)

    began = time.process_time()
    record = {name: judged(name, found, args.images) for name in SETS}
    return {"cpu_seconds": time.process_time() - began, **record}


def trained(network: Network, args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The network, from an earlier run of the same settings where there is one."""
    folder = RUNS / f"measure-{network.model}"
    told = folder / "trained.json"
    settings = {**SETTINGS, **network.settings}
    # As a file has them, where a pair is a list.
    about = json.loads(json.dumps({"model": network.model, **network.config, "settings": settings}))
    known = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    if about.items() <= known.items():
        return temzoo.get_model(network.model, weights=folder, compile=False), known
    check, learn = training_micrographs(1), training_micrographs(args.training)[len(SETS) :]
    keras.utils.set_random_seed(settings["seed"])
    model = temzoo.get_model(network.model, **network.config)
    began = time.process_time()
    run = temzoo.train(model, learn, check, out=folder, progress=False, **settings)
    about |= {
        "micrographs": len(learn),
        f"validation {run.score_name}": run.score,
        "cpu_seconds": time.process_time() - began,
    }
    write_json(told, about)
    return temzoo.get_model(network.model, weights=folder, compile=False), about


def training_micrographs(of_each: int) -> list[Example]:
    return [made(name, seed) for seed in range(of_each) for name in SETS]


def made(name: str, seed: int) -> Example:
    micrograph, labelled = synthesize(seed, name=f"{name}-{seed}.tif", **SETS[name])
    return Example(labelled, lambda: micrograph)


def predicted_as(classes: np.ndarray, instances: np.ndarray, micrograph: Micrograph) -> Prediction:
    return Prediction(
        classes,
        instances,
        class_names=("particle",),
        nm_per_pixel=micrograph.nm_per_pixel,
        name=micrograph.name,
    )


def judged(
    name: str, found: Callable[[Micrograph, LabelledImage], Prediction], images: int | None
) -> dict[str, Any]:
    """The figures of one set: what was measured, what is true."""
    tables, true_tables, truths, typical = [], [], [], {}
    for k in range(min(images or IMAGES[name], IMAGES[name])):
        seed = FIRST_SEED[name] + k
        micrograph, labelled = synthesize(seed, name=f"{k}.tif", **SETS[name])
        tables.append(temzoo.measure(found(micrograph, labelled)))
        instances = instance_map(labelled)
        true_tables.append(temzoo.measure(predicted_as(instances > 0, instances, micrograph)))
        truths += [float(shape.attributes["diameter_nm"]) for shape in labelled.shapes]
        if name == "spheres":
            typical[micrograph.name] = median_of_population(seed)
    table, truth = (pd.concat(part, ignore_index=True) for part in (tables, true_tables))
    record = compared(table, truth, np.array(truths))
    if typical:
        record["intervals"] = held(table, truth, typical)
    print(name, json.dumps(record, indent=1))
    return record


def median_of_population(seed: int) -> float:
    """The median diameter that an image draws its spheres about: the first thing it draws."""
    scene = {**SETS["spheres"], "n_particles": 1, "size_spread": 0.0}
    _, labelled = synthesize(seed, **scene)
    return float(labelled.shapes[0].attributes["diameter_nm"])


def compared(table: pd.DataFrame, truth: pd.DataFrame, diameters: np.ndarray) -> dict[str, Any]:
    """Count and sizes beside the truth, all images together."""
    ours, theirs = (temzoo.summarize(t, by=None, border="correct").iloc[0] for t in (table, truth))
    free = temzoo.summarize(table, by=None).iloc[0]
    free_true = temzoo.summarize(truth, by=None).iloc[0]
    record: dict[str, Any] = {
        "particles": {"measured": len(table), "true": len(truth)},
        "d50_nm of all, border corrected": {
            "measured": ours["diameter_d50_nm"],
            "low": ours["diameter_d50_low_nm"],
            "high": ours["diameter_d50_high_nm"],
            "true": float(np.median(diameters)),
        },
        "d50_nm of those free of the border": {
            "measured": free["diameter_d50_nm"],
            "true": free_true["diameter_d50_nm"],
        },
        "density_per_um2": {
            "measured": ours["density_per_um2"],
            "true": theirs["density_per_um2"],
        },
        "coverage": {"measured": ours["coverage"], "true": theirs["coverage"]},
    }
    for row in record.values():
        row["error_percent"] = 100 * (row["measured"] / row["true"] - 1)
    return record


def held(table: pd.DataFrame, truth: pd.DataFrame, typical: Mapping[str, float]) -> dict[str, Any]:
    """How many images' intervals of D50 hold the population's median, and how far off they are."""
    ours, theirs = (temzoo.summarize(t, border="correct") for t in (table, truth))
    ours = ours.merge(theirs, on="image", suffixes=("", "_label"))
    medians = ours["image"].map(typical).to_numpy(float)
    low, high = (ours[f"diameter_d50_{side}_nm"] for side in ("low", "high"))
    error = ours["diameter_d50_nm"] / medians - 1
    return {
        "images": len(ours),
        "level": 0.95,
        "hold the median of the population": int(((low <= medians) & (medians <= high)).sum()),
        "mean error of D50, percent": 100 * float(error.mean()),
        "its scatter, percent": 100 * float(error.std()),
        "mean half width of the interval, percent": 100
        * float(((high - low) / 2 / medians).mean()),
        "error against the labels' D50, percent": 100
        * float((ours["diameter_d50_nm"] / ours["diameter_d50_nm_label"] - 1).mean()),
    }


PARTS = {"speed": speed, "labels": labels, "synthetic": synthetic, "objects": objects}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--training", type=int, default=40, help="micrographs of each set")
    parser.add_argument("--images", type=int, help="judge on fewer images of each set")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    found = PARTS[args.part](args)
    known = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    settings = {k: v for k, v in vars(args).items() if k not in ("out", "part")}
    stamped = stamp(f"python -m benchmarks.measure {args.part}")
    write_json(args.out, {**known, args.part: {**stamped, "settings": settings, **found}})
    print(f"Written to {args.out}.")


if __name__ == "__main__":
    main()
