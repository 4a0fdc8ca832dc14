"""Does the autoencoder colour grey images, and does it tell those that it should not colour?

    python -m benchmarks colour phases        # drawn micrographs whose colours are known
    python -m benchmarks colour photographs   # the colour photographs that scikit-image brings

``phases``: four phases with a texture of their own, each of one colour. A pixel's luma is its grey
value, and the phases' grey values overlap, so a grey value alone does not tell its colour.
``photographs``: trained on some of them, judged on the others, of which it has seen nothing alike.

The errors, over all images judged: RMSE of R, G and B (0 to 255) and CIEDE2000 (a just noticeable
difference is about 1), of the model and of three that do not look: each image's own true mean
colour everywhere; the grey value plus the image's own true mean chroma (mean of colour - grey); the
grey image as it is. ``phases`` also tells how often the check of likeness fires.
"""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter
from skimage import data as skimage_data
from skimage.color import deltaE_ciede2000, rgb2lab

import temzoo
from benchmarks.datasets import Arguments, Dataset
from benchmarks.recipes import Recipe, fitted_once
from temzoo.core.types import Example, LabelledImage, Micrograph
from temzoo.evaluation.unlike_images import Likeness
from temzoo.micrographs import list_images, load_micrograph, to_grey

BT601 = np.array([0.299, 0.587, 0.114])
# Directions of the phases' colours: yellow, green, blue, red; those of luma are taken off.
HUES = np.array([[1, 1, -1], [-1, 1, -0.5], [-0.5, -0.5, 1], [1, -1, -0.2]], float)
STRENGTH = 55.0  # largest change of a channel by the colour
SIDE = 256
CONFIG = {"outputs": "colorize", "filters": 16, "depth": 3}
SETTINGS = {"batch": 8, "crop": 128, "pairs": "grey", "learning_rate": 2e-3, "epochs": 25}
# Of scikit-image's data: photographs (and photographs through lenses) that need no download.
PHOTOGRAPHS = (
    *("astronaut", "chelsea", "coffee", "rocket", "retina"),
    *("hubble_deep_field", "immunohistochemistry", "stereo_motorcycle"),
)
CHOOSE_BY = ("rocket",)
HELD_OUT = ("chelsea", "coffee", "stereo_motorcycle")
LARGEST = 640
LIKE_SEEDS = range(5000, 5060)  # not looked at when the features of likeness were chosen


def phases(seed: int, *, side: int = SIDE) -> np.ndarray:
    """A drawn micrograph of up to four phases in the colours of ``HUES``: (side, side, 3) uint8.

    The phases are smooth, grainy, lamellar and pitted; each image draws their mean levels from the
    same range, and the directions and periods of the lamellae.
    """
    rng = np.random.default_rng([seed, 40])
    fields = [gaussian_filter(rng.normal(size=(side, side)), 22) for _ in HUES]
    phase = np.argmax(fields, axis=0)
    levels = rng.uniform(95, 160, len(HUES))
    rows, cols = np.mgrid[:side, :side]
    grain = gaussian_filter(rng.normal(size=(side, side)), 1.2)
    angle, period = rng.uniform(0, np.pi), rng.uniform(7, 12)
    lamellae = np.sin(2 * np.pi * (rows * np.cos(angle) + cols * np.sin(angle)) / period)
    spots = gaussian_filter((rng.random((side, side)) < 0.008).astype(float), 2.0)
    pits = -32 * np.clip(spots / 0.04, 0, 1)
    textures = np.stack([np.zeros_like(phase), 14 * grain / grain.std(), 18 * lamellae, pits])
    grey = levels[phase] + np.take_along_axis(textures, phase[None], axis=0)[0]
    grey = np.clip(grey + rng.normal(0, 2, grey.shape), STRENGTH + 1, 254 - STRENGTH)
    return np.rint(grey[..., None] + chroma()[phase]).astype(np.uint8)


def chroma() -> np.ndarray:
    """(phases, 3) what a phase's colour adds to grey: without luma, at most ``STRENGTH``."""
    free = HUES - (HUES @ BT601)[:, None]
    return STRENGTH * free / np.abs(free).max(axis=1, keepdims=True)


def photograph(name: str) -> np.ndarray:
    """(H, W, 3) uint8 from scikit-image, at most about ``LARGEST`` px a side."""
    found = getattr(skimage_data, name)()
    pixels = found[0] if isinstance(found, tuple) else found  # a stereo pair: the left one
    factor = min(1.0, LARGEST / max(pixels.shape[:2]))
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def example(name: str, draw: Callable[[], np.ndarray]) -> Example:
    """A colour image without labels, drawn or read when asked for."""
    height, width = draw().shape[:2]
    return Example(LabelledImage(name, width, height), lambda: Micrograph(draw(), name=name))


def sets(name: str) -> tuple[list[Example], list[Example], list[Example]]:
    """(to learn from, to choose the best epoch by, to judge by) of a training."""
    if name == "phases":
        parts = (range(40), range(1000, 1006), range(2000, 2030))
        return tuple([example(f"phases-{n}", partial(phases, n)) for n in part] for part in parts)
    known = [each for each in PHOTOGRAPHS if each not in (*CHOOSE_BY, *HELD_OUT)]
    parts = (known, CHOOSE_BY, HELD_OUT)
    return tuple([example(each, partial(photograph, each)) for each in part] for part in parts)


def guesses(truth: np.ndarray, model=None) -> dict[str, np.ndarray]:
    """What the model, and what each of those that do not look, makes of an image's grey."""
    grey = to_grey(truth)
    plain = np.repeat(grey[..., None].astype(np.float64), 3, axis=2)
    mean = truth.reshape(-1, 3).mean(axis=0)
    tinted = np.clip(plain + (mean - grey.mean()), 0, 255)
    flat = np.broadcast_to(mean, truth.shape)
    found = {"mean colour": flat, "grey + mean chroma": tinted, "grey": plain}
    if model is None:
        return found
    return {"model": np.clip(temzoo.restore(model, grey).pixels.astype(float), 0, 255), **found}


def errors(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Mean squared error of the channels, and mean CIEDE2000 over the pixels."""
    lab = [rgb2lab(np.asarray(image, np.float64) / 255) for image in (truth, found)]
    squared = np.mean((np.asarray(truth, np.float64) - found) ** 2)
    return {"mse": float(squared), "ciede2000": float(deltaE_ciede2000(*lab).mean())}


def judged(model, examples: Sequence[Example]) -> dict[str, Any]:
    """Errors over all images (root of the mean of their squares), and of each image."""
    truths = {each.name: each.micrograph.pixels for each in examples}
    of_images = {
        name: {who: errors(truth, found) for who, found in guesses(truth, model).items()}
        for name, truth in truths.items()
    }
    overall = {}
    for who in next(iter(of_images.values())):
        each = zip(*(image[who].values() for image in of_images.values()), strict=True)
        mse, ciede2000 = map(statistics.fmean, each)
        overall[who] = {"rmse": mse**0.5, "ciede2000": ciede2000}
    return {"overall": overall, "of_images": of_images}


def unlike_sets(data: Path) -> dict[str, list[np.ndarray]]:
    """Images, (H, W) each, that look unlike the drawn phases."""
    noise = [np.random.default_rng(n).integers(0, 256, (SIDE, SIDE)) for n in range(8)]
    found = {"photographs": [to_grey(photograph(name)) for name in PHOTOGRAPHS]}
    found["white noise"] = [each.astype(np.uint8) for each in noise]
    if (data / "emps" / "images").is_dir():
        paths = list_images(data / "emps" / "images")[:30]
        found["EMPS micrographs"] = [to_grey(load_micrograph(path).pixels) for path in paths]
    return found


def likeness_of(model, learn: Sequence[Example], data: Path) -> dict[str, Any]:
    """How often the check fires, on held-out images of each kind; and their distances."""
    likeness = Likeness.fit(model, [to_grey(each.micrograph.pixels) for each in learn])
    kinds = {"held-out phases": [to_grey(phases(seed)) for seed in LIKE_SEEDS]}
    found = {}
    for kind, images in {**kinds, **unlike_sets(data)}.items():
        distances = [likeness.distance(model, image) for image in images]
        fired = sum(distance > likeness.margin for distance in distances)
        found[kind] = {"images": len(images), "fired": fired, "least": min(distances)}
        found[kind] |= {"median": statistics.median(distances), "largest": max(distances)}
    return {"margin": likeness.margin, "kinds": found}


def measure(name: str, arguments: Arguments) -> dict[str, Any]:
    learn, choose, judge = sets(name)
    recipe = Recipe(f"colouring of {name}", name, "autoencoder", CONFIG, SETTINGS)
    model, training = fitted_once(recipe, learn, choose)
    figures: dict[str, Any] = {"judged": judged(model, judge)}
    if name == "phases":
        figures["likeness"] = likeness_of(model, learn, arguments.data_folder)
    dataset = Dataset(name, learn, judge, "benchmarks.colour.sets").told()
    told = {"training": training, "dataset": dataset, "figures": figures, "seed": 0}
    return recipe.told() | told


MEASUREMENTS = {name: partial(measure, name) for name in ("phases", "photographs")}
