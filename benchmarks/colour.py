"""Does the autoencoder colour grey images, and does it tell those that it should not colour?

    python -m benchmarks.colour phases        # drawn micrographs whose colours are known
    python -m benchmarks.colour photographs   # the colour photographs that scikit-image brings

``phases``: four phases with a texture of their own, each of one colour. A pixel's luma is its grey
value, and the phases' grey values overlap, so a grey value alone does not tell its colour.
``photographs``: two trainings, one in the left half of each (judged on the right half), one on some
of them (judged on the others, of which it has seen nothing alike).

The errors, over all images judged: RMSE of R, G and B (0 to 255) and CIEDE2000 (a just noticeable
difference is about 1), of the model and of three that do not look: each image's own true mean
colour everywhere; the grey value plus the image's own true mean chroma (mean of colour - grey); the
grey image as it is. ``phases`` also tells how often the check of likeness fires.

The records go to ``results/colour_phases.json`` and ``colour_photographs.json``, with a table in
``colour.md`` and a picture beside each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import RESULTS, measured_on, stamp, write_json, write_lines
from temzoo.core.types import Example, LabelledImage, Micrograph
from temzoo.micrographs import to_grey

BT601 = np.array([0.299, 0.587, 0.114])
# Directions of the phases' colours: yellow, green, blue, red; those of luma are taken off.
HUES = np.array([[1, 1, -1], [-1, 1, -0.5], [-0.5, -0.5, 1], [1, -1, -0.2]], float)
STRENGTH = 55.0  # largest change of a channel by the colour
SIDE = 256
CONFIG = {"outputs": "colorize", "filters": 16, "depth": 3}
SETTINGS = {"batch": 8, "crop": 128, "pairs": "grey", "learning_rate": 2e-3, "seed": 0}
EPOCHS = {"phases": 25, "halves": 25, "others": 25}
# Of scikit-image's data: photographs (and photographs through lenses) that need no download.
PHOTOGRAPHS = (
    "astronaut",
    "chelsea",
    "coffee",
    "rocket",
    "retina",
    "hubble_deep_field",
    "immunohistochemistry",
    "stereo_motorcycle",
)
CHOOSE_BY = ("rocket",)
HELD_OUT = ("chelsea", "coffee", "stereo_motorcycle")
LARGEST = 640
LIKE_SEEDS = range(5000, 5060)  # not looked at when the features of likeness were chosen
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def phases(seed: int, *, side: int = SIDE) -> np.ndarray:
    """A drawn micrograph of up to four phases in the colours of ``HUES``: (side, side, 3) uint8.

    The phases are smooth, grainy, lamellar and pitted; each image draws their mean levels from the
    same range, and the directions and periods of the lamellae.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng([seed, 40])
    fields = [gaussian_filter(rng.normal(size=(side, side)), 22) for _ in HUES]
    phase = np.argmax(fields, axis=0)
    levels = rng.uniform(95, 160, len(HUES))
    textures = np.stack([draw(side, rng) for draw in (_smooth, _grainy, _lamellar, _pitted)])
    grey = levels[phase] + np.take_along_axis(textures, phase[None], axis=0)[0]
    grey = np.clip(grey + rng.normal(0, 2, grey.shape), STRENGTH + 1, 254 - STRENGTH)
    return np.rint(grey[..., None] + chroma()[phase]).astype(np.uint8)


def chroma() -> np.ndarray:
    """(phases, 3) what a phase's colour adds to grey: without luma, at most ``STRENGTH``."""
    free = HUES - (HUES @ BT601)[:, None]
    return STRENGTH * free / np.abs(free).max(axis=1, keepdims=True)


def _smooth(side: int, rng: np.random.Generator) -> np.ndarray:
    return np.zeros((side, side))


def _grainy(side: int, rng: np.random.Generator) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    grain = gaussian_filter(rng.normal(size=(side, side)), 1.2)
    return 14 * grain / grain.std()


def _lamellar(side: int, rng: np.random.Generator) -> np.ndarray:
    rows, cols = np.mgrid[:side, :side]
    angle, period = rng.uniform(0, np.pi), rng.uniform(7, 12)
    return 18 * np.sin(2 * np.pi * (rows * np.cos(angle) + cols * np.sin(angle)) / period)


def _pitted(side: int, rng: np.random.Generator) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    spots = gaussian_filter((rng.random((side, side)) < 0.008).astype(float), 2.0)
    return -32 * np.clip(spots / 0.04, 0, 1)


def photograph(name: str) -> np.ndarray:
    """(H, W, 3) uint8 from scikit-image, at most about ``LARGEST`` px a side."""
    import cv2
    from skimage import data

    found = getattr(data, name)()
    pixels = found[0] if isinstance(found, tuple) else found  # a stereo pair: the left one
    factor = min(1.0, LARGEST / max(pixels.shape[:2]))
    if factor == 1:
        return pixels
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def strip(name: str, first: float, last: float) -> np.ndarray:
    """A photograph from one share of its width to another."""
    pixels = photograph(name)
    return pixels[:, round(first * pixels.shape[1]) : round(last * pixels.shape[1])]


def example(name: str, draw: Callable[[], np.ndarray]) -> Example:
    """A colour image without labels, drawn or read when asked for."""
    height, width = draw().shape[:2]
    return Example(LabelledImage(name, width, height), partial(_micrograph, name, draw))


def _micrograph(name: str, draw: Callable[[], np.ndarray]) -> Micrograph:
    return Micrograph(draw(), name=name)


def sets(name: str) -> tuple[list[Example], list[Example], list[Example]]:
    """(to learn from, to choose the best epoch by, to judge by) of a training."""
    if name == "phases":
        numbers = (range(40), range(1000, 1006), range(2000, 2030))
        return tuple([example(f"phases-{n}", partial(phases, n)) for n in part] for part in numbers)
    if name == "halves":
        return tuple(
            [example(f"{n} {first}-{last}", partial(strip, n, first, last)) for n in PHOTOGRAPHS]
            for first, last in ((0, 0.4), (0.4, 0.5), (0.5, 1))
        )
    known = [each for each in PHOTOGRAPHS if each not in (*CHOOSE_BY, *HELD_OUT)]
    return tuple(
        [example(each, partial(photograph, each)) for each in part]
        for part in (known, CHOOSE_BY, HELD_OUT)
    )


def trained(name: str, learn: Sequence[Example], choose: Sequence[Example]):
    """The model and the minutes of its training."""
    import keras

    import temzoo

    keras.utils.set_random_seed(0)
    model = temzoo.get_model("autoencoder", **CONFIG)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        settings = {**SETTINGS, "epochs": EPOCHS[name]}
        temzoo.train(model, learn, choose, out=Path(folder) / "run", **settings)
    return model, (time.monotonic() - start) / 60


def coloured(model, grey: np.ndarray) -> np.ndarray:
    """(H, W, 3) float64 in [0, 255] of a grey image (H, W)."""
    import temzoo

    return np.clip(temzoo.restore(model, grey).pixels.astype(np.float64), 0, 255)


def guesses(truth: np.ndarray, model=None) -> dict[str, np.ndarray]:
    """What the model, and what each of those that do not look, makes of an image's grey."""
    grey = to_grey(truth)
    plain = np.repeat(grey[..., None].astype(np.float64), 3, axis=2)
    mean = truth.reshape(-1, 3).mean(axis=0)
    found = {
        "mean colour": np.broadcast_to(mean, truth.shape),
        "grey + mean chroma": np.clip(plain + (mean - grey.mean()), 0, 255),
        "grey": plain,
    }
    return found if model is None else {"model": coloured(model, grey), **found}


def errors(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Mean squared error of the channels, and mean CIEDE2000 over the pixels."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    lab = [rgb2lab(np.asarray(image, np.float64) / 255) for image in (truth, found)]
    squared = np.mean((np.asarray(truth, np.float64) - found) ** 2)
    return {"mse": float(squared), "ciede2000": float(deltaE_ciede2000(*lab).mean())}


def judged(model, examples: Sequence[Example]) -> dict[str, Any]:
    """Errors over all images (root of the mean of their squares), and of each image."""
    of_images = {}
    for each in examples:
        truth = each.micrograph.pixels
        of_images[each.name] = {
            who: errors(truth, found) for who, found in guesses(truth, model).items()
        }
    who = next(iter(of_images.values()))
    overall = {
        name: {
            "rmse": statistics.fmean(image[name]["mse"] for image in of_images.values()) ** 0.5,
            "ciede2000": statistics.fmean(i[name]["ciede2000"] for i in of_images.values()),
        }
        for name in who
    }
    below = [
        all(image["model"]["mse"] < image[name]["mse"] for name in image if name != "model")
        for image in of_images.values()
    ]
    return {"overall": overall, "of_images": of_images, "images_below_all": sum(below)}


def noise(seed: int) -> np.ndarray:
    """White noise, (SIDE, SIDE) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)


def unlike_sets(data: Path) -> dict[str, list[np.ndarray]]:
    """Images, (H, W) each, that look unlike the drawn phases."""
    from temzoo.micrographs import list_images, load_micrograph

    found = {
        "photographs": [to_grey(photograph(name)) for name in PHOTOGRAPHS],
        "white noise": [noise(seed) for seed in range(8)],
    }
    if (data / "emps" / "images").is_dir():
        paths = list_images(data / "emps" / "images")[:30]
        found["EMPS micrographs"] = [to_grey(load_micrograph(path).pixels) for path in paths]
    return found


def likeness_of(model, learn: Sequence[Example], data: Path) -> dict[str, Any]:
    """How often the check fires, on held-out images of each kind; and their distances."""
    from temzoo.evaluation.unlike_images import Likeness

    start = time.monotonic()
    likeness = Likeness.fit(model, [to_grey(each.micrograph.pixels) for each in learn])
    seconds = time.monotonic() - start
    kinds = {"held-out phases": [to_grey(phases(seed)) for seed in LIKE_SEEDS]}
    record: dict[str, Any] = {"margin": likeness.margin, "seconds_to_fit": seconds, "kinds": {}}
    for kind, images in {**kinds, **unlike_sets(data)}.items():
        distances = [likeness.distance(model, image) for image in images]
        record["kinds"][kind] = {
            "images": len(images),
            "fired": sum(distance > likeness.margin for distance in distances),
            "least": min(distances),
            "median": statistics.median(distances),
            "largest": max(distances),
        }
    return record


def draw(path: Path, model, examples: Sequence[Example]) -> None:
    """Rows of grey, truth and the model's colours."""
    import cv2

    from temzoo.core.files import atomic_path

    rows = []
    for each in examples:
        truth = each.micrograph.pixels
        grey = to_grey(truth)
        parts = [np.repeat(grey[..., None], 3, axis=2), truth, np.rint(coloured(model, grey))]
        height, width = 200, round(200 * truth.shape[1] / truth.shape[0])
        small = [cv2.resize(np.uint8(part), (width, height)) for part in parts]
        rows.append(np.hstack(small))
    widest = max(row.shape[1] for row in rows)
    rows = [np.pad(r, [(0, 6), (0, widest - r.shape[1]), (0, 0)]) for r in rows]
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), np.vstack(rows)[..., ::-1])


def measure(name: str, data: Path) -> dict[str, Any]:
    """Trains, judges and gives the record."""
    record: dict[str, Any] = {"name": name, "config": CONFIG, "settings": SETTINGS, "trainings": {}}
    for training in ("phases",) if name == "phases" else ("halves", "others"):
        learn, choose, judge = sets(training)
        model, minutes = trained(training, learn, choose)
        draw(RESULTS / f"colour_{training}.png", model, judge[:4])
        record["trainings"][training] = {
            "epochs": EPOCHS[training],
            "minutes": minutes,
            "images": {"learn": len(learn), "judge": len(judge)},
            **judged(model, judge),
        }
        if training == "phases":
            record["likeness"] = likeness_of(model, learn, data)
    return record | stamp(f"python -m benchmarks.colour {name}")


def write_table() -> Path:
    """Regenerates ``results/colour.md`` from the records."""
    paths = sorted(RESULTS.glob("colour_*.json"))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    lines = [
        "# Colouring grey images",
        "",
        "Written by `python -m benchmarks.colour`, whose head tells what is compared. Errors on",
        "images, or halves of them, that were not trained on; `below` counts the images whose RMSE",
        "is below that of all three that do not look.",
        "",
        "| judged on | training, min | who | RMSE | CIEDE2000 | below |",
        "|---|---|---|---|---|---|",
    ]
    for record in records:
        for training, found in record["trainings"].items():
            lines += _rows(training, found)
    lines.append("")
    for record in records:
        lines += _likeness_lines(record.get("likeness"))
    return write_lines(RESULTS / "colour.md", [*lines, measured_on(records)])


def _rows(training: str, found: Mapping[str, Any]) -> list[str]:
    rows = []
    judged_on = {"phases": "phases", "halves": "right halves of photographs"}
    for who, figures in found["overall"].items():
        first = who == "model"
        images = found["images"]["judge"]
        cells = [
            f"{judged_on.get(training, 'other photographs')}, {images} images" if first else "",
            f"{found['minutes']:.1f}" if first else "",
            who,
            f"{figures['rmse']:.2f}",
            f"{figures['ciede2000']:.2f}",
            f"{found['images_below_all']} of {images}" if first else "",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _likeness_lines(likeness: Mapping[str, Any] | None) -> list[str]:
    if likeness is None:
        return []
    lines = [
        "How often the check of likeness says that an image is unlike the drawn phases trained on:",
        f"beyond {likeness['margin']:g} times the largest distance of theirs.",
        "",
        "| images | fired | least distance | median | largest |",
        "|---|---|---|---|---|",
    ]
    for kind, found in likeness["kinds"].items():
        distances = [f"{found[key]:.2f}" for key in ("least", "median", "largest")]
        fired = f"{found['fired']} of {found['images']}"
        lines.append(f"| {' | '.join((kind, fired, *distances))} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.colour", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="+", choices=("phases", "photographs"))
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the data ({DATA})")
    arguments = parser.parse_args()
    for name in arguments.names:
        record = measure(name, arguments.data)
        write_json(RESULTS / f"colour_{name}.json", record)
        for training, found in record["trainings"].items():
            print(training, json.dumps(found["overall"], indent=1))
        print(json.dumps(record.get("likeness"), indent=1))
    print(write_table())


if __name__ == "__main__":
    main()
