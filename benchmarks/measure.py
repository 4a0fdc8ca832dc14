"""Is what ``temzoo measure`` says true, and what does it cost?

    python -m benchmarks measure              # 10,000 particles, beside scikit-image
    python -m benchmarks measure labels       # synthetic micrographs, measured by their labels
    python -m benchmarks measure synthetic    # … by a U-Net that is trained first, on others
    python -m benchmarks measure objects      # … by a Mask R-CNN, which parts overlapping ones
    python -m benchmarks measure perimeters   # of discs, squares and ellipses, beside others

Speed: seconds of the processor, since other work on the machine does not count there, in turns.
Truth: two sets of synthetic micrographs, of seeds that no network saw:

- ``mixed``: spheres, ellipsoids and rods as ``temzoo.synthetic`` makes them. Count and D50 of all
  images together, beside those of the labels.
- ``spheres``: one log-normal population an image, whose median is known exactly: the size that the
  generator draws first. How many of the images' 95 % intervals of D50 hold it, with the correction
  for the border.

Perimeters are compared with closed forms; ``benchmarks.perimeters`` says how.

``labels`` shows what pixels and the border cost, the others what a network adds.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from skimage import draw
from skimage.measure import regionprops_table

import temzoo
from benchmarks import perimeters
from benchmarks.datasets import Arguments, generated, in_memory
from benchmarks.recipes import Recipe, fitted
from benchmarks.records import CONNECTED
from benchmarks.timing import in_turns, ratio, spread
from temzoo.core.types import Example, LabelledImage, Micrograph, Prediction
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.labels.shapes.raster import instance_map
from temzoo.zoo.built import task_of

SPHERES = {"diameter_nm": (8.0, 20.0), "shares": (1.0, 0.0, 0.0), "clustering": 0.0}
SETS: dict[str, dict[str, Any]] = {
    "mixed": {"size": 512, "n_particles": (20, 40)},
    "spheres": {"size": 640, "n_particles": 45, **SPHERES},
}
TRAINING, TUNED_ON = 40, 12  # micrographs of each set that a network learns from; of those
IMAGES = {"mixed": 30, "spheres": 60}
FIRST_SEED = {"mixed": 10_000, "spheres": 20_000}
SHAPES = (
    *("label", "area", "bbox", "centroid", "equivalent_diameter_area", "perimeter_crofton"),
    *("axis_major_length", "axis_minor_length", "orientation", "intensity_mean"),
)
SETTINGS = {"magnification": (0.9, 1.1), "augment": "light", "average": 0.998, "seed": 0}
SETTINGS |= {"validate_every": 8}
NETWORKS = {
    "synthetic": Recipe(
        "a U-Net, watershed",
        *("drawn", "unet", {"filters": 12}),
        {**SETTINGS, "batch": 8, "crop": 256, "epochs": 30, "steps_per_epoch": 50},
    ),
    "objects": Recipe(
        "Mask R-CNN",
        *("drawn", "mask_rcnn", {"backbone": "mobilenet", "alpha": 0.75, "image_size": 256}),
        {**SETTINGS, "batch": 4, "epochs": 14, "steps_per_epoch": 60, "validate_every": 7},
    ),
}
OURS, SLOW = "temzoo.measure", "regionprops_table"


def speed(arguments: Arguments) -> dict[str, Any]:
    """10,000 particles of 12 to 26 px in one image of 3,200 px; where it is quick, 900."""
    pixels, instances = crowd(30 if arguments.quick else 100)
    prediction = Prediction((instances > 0).astype(np.uint8), instances)
    table = temzoo.measure(prediction, pixels)
    theirs = partial(regionprops_table, instances, pixels)
    runs = {
        OURS: partial(temzoo.measure, prediction, pixels),
        f"{SLOW} without Feret and solidity": partial(theirs, properties=SHAPES),
        SLOW: partial(theirs, properties=(*SHAPES, "feret_diameter_max", "solidity")),
    }
    taken = in_turns(runs, clock=time.process_time)
    ratios = {f"{n} / {OURS}": ratio(s, taken[OURS]) for n, s in taken.items() if n != OURS}
    about = f"{len(table):,} particles; of temzoo.measure {table.shape[1]} columns"
    dataset = generated("drawn ellipses (benchmarks.measure.crowd)", *crowd(4))
    told = {"name": "particles", "about": about, "dataset": dataset, "seed": 0}
    return told | {"figures": {name: spread(each) for name, each in taken.items()} | ratios}


def crowd(side: int) -> tuple[np.ndarray, np.ndarray]:
    """(pixels, instances) of side² ellipses, each in a square of 32 px."""
    rng = np.random.default_rng(0)
    instances = np.zeros((32 * side, 32 * side), np.int32)
    for number in range(side**2):
        top, left = 32 * (number // side), 32 * (number % side)
        centre, half = rng.uniform(14, 18, 2), rng.uniform(6, 13, 2)
        inside = draw.ellipse(*centre, *half, shape=(32, 32), rotation=rng.uniform(0, np.pi))
        instances[top : top + 32, left : left + 32][inside] = number + 1
    return rng.integers(0, 255, instances.shape).astype(np.uint8), instances


def of_perimeters(arguments: Arguments) -> dict[str, Any]:
    """Errors in %, the least and the most of all angles; with few places where it is quick."""
    found = perimeters.figures(4 if arguments.quick else perimeters.PLACES)
    return {"about": "shapes of known perimeter", "seed": 0, "figures": found}


def network(name: str, arguments: Arguments) -> dict[str, Any]:
    """A network, trained on synthetic micrographs of other seeds; a U-Net's watershed is tuned."""
    recipe = NETWORKS[name]
    learn = training_micrographs(TRAINING)[len(SETS) :]
    model, training = fitted(f"measure-{recipe.model}", recipe, learn, training_micrographs(1))
    options: dict[str, Any] = dict(CONNECTED)
    if task_of(model).instances == "regions":
        tuned = temzoo.tune_instances(model, training_micrographs(TUNED_ON))
        training["watershed"], options = dict(tuned.best), tuned.options

    def found(micrograph: Micrograph, _: LabelledImage) -> Prediction:
        return temzoo.predict(model, micrograph, **options)

    return recipe.told() | {"training": training, **of_sets(found)}


def training_micrographs(of_each: int) -> list[Example]:
    return [
        in_memory(*synthesize(seed, name=f"{name}-{seed}.tif", **SETS[name]))
        for seed in range(of_each)
        for name in SETS
    ]


def as_prediction(micrograph: Micrograph, labelled: LabelledImage) -> Prediction:
    instances = instance_map(labelled)
    told = {"nm_per_pixel": micrograph.nm_per_pixel, "name": micrograph.name}
    return Prediction((instances > 0).astype(np.uint8), instances, **told)


def of_sets(found: Callable) -> dict[str, Any]:
    """Figures of both sets, and what they are of."""
    drawn = synthesize(FIRST_SEED["mixed"], **SETS["mixed"])[0].pixels
    dataset = generated("synthetic micrographs, mixed and spheres", drawn)
    figures = {name: judged(name, found) for name in SETS}
    return {"seed": 0, "dataset": dataset, "figures": figures}


def judged(name: str, found: Callable) -> dict[str, Any]:
    """The figures of one set: what ``found(micrograph, labels)`` measured, what is true."""
    tables, labelled_particles, truths, typical = [], 0, [], {}
    for k in range(IMAGES[name]):
        seed = FIRST_SEED[name] + k
        micrograph, labelled = synthesize(seed, name=f"{k}.tif", **SETS[name])
        tables.append(temzoo.measure(found(micrograph, labelled)))
        labelled_particles += np.count_nonzero(np.unique(instance_map(labelled)))
        truths += [float(shape.attributes["diameter_nm"]) for shape in labelled.shapes]
        if name == "spheres":  # the median that it draws them about: the first thing that it draws
            _, alone = synthesize(seed, **SETS[name] | {"n_particles": 1, "size_spread": 0.0})
            typical[micrograph.name] = float(alone.shapes[0].attributes["diameter_nm"])
    table = pd.concat(tables, ignore_index=True)
    figures = compared(table, labelled_particles, truths)
    return figures | ({"intervals": held(table, typical)} if typical else {})


def compared(table: pd.DataFrame, particles: int, diameters: Sequence[float]) -> dict[str, Any]:
    """Count and sizes beside the truth, all images together."""
    ours = temzoo.summarize(table, by=None, border="correct").iloc[0]
    d50 = "d50_nm of all, border corrected"
    pairs = {
        "particles": (len(table), particles),
        d50: (ours["diameter_d50_nm"], float(np.median(diameters))),
    }
    found = {
        name: {"measured": a, "true": b, "error_percent": 100 * (a / b - 1)}
        for name, (a, b) in pairs.items()
    }
    found[d50] |= {side: ours[f"diameter_d50_{side}_nm"] for side in ("low", "high")}
    return found


def held(table: pd.DataFrame, typical: Mapping[str, float]) -> dict[str, Any]:
    """How many images' intervals of D50 hold the population's median."""
    ours = temzoo.summarize(table, border="correct")
    medians = ours["image"].map(typical).to_numpy(float)
    low, high = (ours[f"diameter_d50_{side}_nm"] for side in ("low", "high"))
    inside = int(((low <= medians) & (medians <= high)).sum())
    return {"images": len(ours), "level": 0.95, "hold the median of the population": inside}


MEASUREMENTS = {
    "speed": speed,
    # Themselves as a prediction: as good as a network can be.
    "labels": lambda _: {"about": "the labels", **of_sets(as_prediction)},
    **{name: partial(network, name) for name in NETWORKS},
    "perimeters": of_perimeters,
}
