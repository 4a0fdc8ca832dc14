"""Denoising of real micrographs with simulated dose noise: networks beside classical filters.

    python -m benchmarks.denoise supervised     # trains on clean images with noise, scores
    python -m benchmarks.denoise blind-spot     # Noise2Void: trains on noisy images alone, scores
    python -m benchmarks.denoise filters        # Gaussian and non-local means
    python -m benchmarks.denoise bm3d --bm3d-python ENVIRONMENT/bin/python
    python -m benchmarks.denoise segmentation   # IoU of a U-Net on noisy, denoised, clean images
    python -m benchmarks.denoise all            # what has no record yet, then the table

EMPS: 293 training images, the 73 of ``val.csv`` are scored at full size. Electrons arrive at
random, 4, 16 and 64 per white pixel (``temzoo.data.degrade``), drawn for each image from its
name, so that every method gets the same noise. Restored pixels are cut to 0 … 255 and compared
with the published images by PSNR and SSIM with a data range of 255.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import denoise_baselines
from benchmarks.accuracy import DATA, EXPERIMENTS, load
from benchmarks.denoise_baselines import DOSES
from benchmarks.records import (
    RESULTS,
    measured_on,
    stamp,
    use_encoder_beside,
    write_json,
    write_lines,
)
from temzoo.core.types import Example, Micrograph

# First numbers of the seeds of noise: of what is scored, of what blind spots learn from, and of
# what the classical filters are tuned on.
SCORED, LEARNT, TUNED = 1, 2, 3
CLASSICAL = ("filters", "bm3d")
NETWORKS = ("supervised", "blind-spot")
CONFIG = {"filters": 24}
SETTINGS = {
    "batch": 8,
    "crop": 128,
    "epochs": 20,
    "steps_per_epoch": 700,
    "validate_every": 2,
    "mixed_precision": True,
    "seed": 0,
}
OF_ONE = {
    "supervised": {"pairs": "any-dose", "loss": "psnr"},
    "blind-spot": {"pairs": "blind_spot", "loss": "mse"},
}
ROWS = {
    "supervised": {False: "supervised", True: "supervised-flips"},
    "blind-spot": {False: "blind-spot"},
}
NAMES = {
    "noisy": "nothing",
    "gaussian": "Gaussian filter, tuned",
    "nlm": "non-local means, tuned",
    "bm3d": "BM3D with Anscombe's transformation",
    "blind-spot": "autoencoder, Noise2Void: noisy images alone",
    "supervised": "autoencoder, clean images and noise",
    "supervised-flips": "the same, mean over mirror images",
}
SEGMENTER = ("unet_mobilenet", "emps-frozen")


@dataclass(frozen=True)
class GreyLoader:
    """Reads a micrograph that was published in three equal channels as one."""

    example: Example

    def __call__(self) -> Micrograph:
        from temzoo.micrographs import to_grey

        stored = self.example.micrograph
        return replace(stored, pixels=to_grey(stored.pixels))


def clean(data: Path) -> tuple[list[Example], list[Example]]:
    """The (training, validation) micrographs of EMPS, grey."""
    parts = load(EXPERIMENTS["emps-frozen"], data)
    return tuple([replace(e, load=GreyLoader(e)) for e in part] for part in parts)


def noisy_once(examples) -> list[Example]:
    """Each with one noise of its own, at one of the three doses in turn."""
    from temzoo.data.pairs import degraded

    doses = list(DOSES)
    parts = [degraded(examples[n :: len(doses)], dose, seed=LEARNT) for n, dose in enumerate(doses)]
    return [example for part in parts for example in part]


def scored(judge, dose: str) -> Iterator[tuple[Micrograph, Micrograph]]:
    """(clean, noisy) of each validation image; the same noise for every method."""
    from temzoo.data.pairs import degraded

    for example in degraded(judge, dose, seed=SCORED):
        yield example.load_truth(), example.micrograph


def trained(name: str, learn, judge, folder: Path):
    """The network of a run in ``folder``, trained or resumed where it is not finished."""
    import keras

    import temzoo

    if name == "blind-spot":
        learn, judge = noisy_once(learn), noisy_once(judge)
    keras.utils.set_random_seed(0)
    model = temzoo.get_model("autoencoder", **CONFIG)
    progress = folder / "state" / "progress.json"
    if not progress.exists() or not json.loads(progress.read_text("utf-8"))["phase"]:
        resume = progress.exists()
        settings = {**SETTINGS, **OF_ONE[name]}
        run = temzoo.train(model, learn, judge, out=folder, resume=resume, **settings)
        if run.interrupted:
            raise SystemExit(f"{name} was stopped; run it again to go on.")
    return temzoo.get_model("autoencoder", weights=folder)


def measure_network(name: str, learn, judge, folder: Path) -> dict[str, Any]:
    """Trains and scores a network; the supervised one averaged over mirror images too."""
    model = trained(name, learn, judge, folder)
    doses = {}
    for dose in DOSES:
        doses[dose] = {}
        for flips, row in ROWS[name].items():
            doses[dose][row] = _summary(*restored_scores(model, judge, dose, flips=flips))
    return {"doses": doses, "training": _training(folder)}


def restored_scores(model, judge, dose: str, *, flips: bool = False):
    """(scores, seconds) of the restored validation images, one each."""
    import temzoo

    found, seconds = [], []
    for true, poor in scored(judge, dose):
        start = time.perf_counter()
        restored = temzoo.restore(model, poor, flips=flips).pixels
        seconds.append(time.perf_counter() - start)
        found.append(denoise_baselines.score(true.pixels, restored))
    return found, seconds


def _training(folder: Path) -> dict[str, Any]:
    told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    progress = json.loads((folder / "state" / "progress.json").read_text(encoding="utf-8"))
    training = {key: told[key] for key in ("command", "date", "commit", "settings", "config")}
    return training | {"minutes": progress["minutes"], "best_epoch": progress["best_epoch"]}


def _summary(found, seconds) -> dict[str, Any]:
    return {
        "psnr_db": statistics.fmean(one.psnr for one in found),
        "ssim": statistics.fmean(one.ssim for one in found),
        "of_images": [tuple(one) for one in found],
        "seconds": statistics.median(seconds),
    }


def measure_classical(name: str, learn, judge, bm3d_python: Path | None) -> dict[str, Any]:
    """Tunes the filters, or BM3D's profile, on crops of training images and scores them."""
    from temzoo.data.degrade import degrade

    crops = denoise_baselines.crops([example.micrograph.pixels for example in learn])
    doses = {}
    for dose, electrons in DOSES.items():
        poor = [degrade(crop, dose, [TUNED, n]) for n, crop in enumerate(crops)]
        true, seen = zip(*scored(judge, dose), strict=True)
        parts = (crops, poor), ([one.pixels for one in true], [one.pixels for one in seen])
        if name == "bm3d":
            doses[dose] = denoise_baselines.matched(*parts, dose=electrons, python=bm3d_python)
        else:
            doses[dose] = denoise_baselines.filtered(*parts, dose=electrons)
    return {"doses": doses}


def measure_segmentation(learn, judge, runs: Path) -> dict[str, Any]:
    """IoU of the shipped U-Net on noisy, denoised and clean validation images."""
    import temzoo
    from temzoo.data.pairs import degraded
    from temzoo.evaluation.bootstrap import mean_interval

    segmenter = temzoo.get_model(SEGMENTER[0], weights=SEGMENTER[1])
    restorers = {n: trained(n, learn, judge, runs / f"denoise-{n}") for n in NETWORKS}

    def iou(examples) -> dict[str, Any]:
        found = temzoo.evaluate(segmenter, examples, instances=None, progress=True)
        return {**vars(found.iou), "of_images": [row["iou"] for row in found.table]}

    doses = {}
    for dose in DOSES:
        poor = degraded(judge, dose, seed=SCORED)
        doses[dose] = {"noisy": iou(poor)}
        for name, model in restorers.items():
            doses[dose][name] = iou([replace(e, load=RestoredLoader(e, model)) for e in poor])
            gain = np.subtract(doses[dose][name]["of_images"], doses[dose]["noisy"]["of_images"])
            doses[dose][name]["gain"] = vars(mean_interval(gain))
    return {"clean": iou(judge), "doses": doses, "weights": "/".join(SEGMENTER)}


@dataclass(frozen=True)
class RestoredLoader:
    """Reads a micrograph and denoises it."""

    example: Example
    model: Any

    def __call__(self) -> Micrograph:
        import temzoo

        return temzoo.restore(self.model, self.example.micrograph)


def write_table() -> Path:
    """Regenerates ``results/denoise.md`` from the records."""
    names = (*CLASSICAL, *NETWORKS, "segmentation")
    paths = {name: RESULTS / f"denoise-{name}.json" for name in names}
    records = {n: json.loads(p.read_text("utf-8")) for n, p in paths.items() if p.exists()}
    found: dict[str, dict[str, Any]] = {dose: {} for dose in DOSES}
    for name, record in records.items():
        if name != "segmentation":
            for dose in DOSES:
                found[dose] |= {k: v for k, v in record["doses"][dose].items() if v}
    lines = [
        "# Denoising of real micrographs",
        "",
        "Written by `python -m benchmarks.denoise all`. The 73 validation micrographs of EMPS at",
        "full size, with simulated dose noise of 4 (low), 16 (medium) and 64 (high) electrons per",
        "white pixel, the same noise for every method. PSNR in dB and SSIM, data range 255, mean",
        "over images. Filters are tuned on training images, at each dose; networks do not know the",
        "dose. A network's best epoch is chosen on the same micrographs, with other noise, which",
        "flatters it a little. The published images have noise of their own, which no method can",
        "bring back.",
        "",
        f"| method | {' | '.join(f'{dose}: PSNR, SSIM' for dose in DOSES)} | s per image"
        " | training, min |",
        "|---|" + "---|" * (len(DOSES) + 2),
    ]
    lines += [_row(name, found, records) for name in NAMES if name in found["low-dose"]]
    lines += ["", *_differences(found), ""]
    if "segmentation" in records:
        lines += [*_segmentation(records["segmentation"]), ""]
    lines += [measured_on(records.values())]
    return write_lines(RESULTS / "denoise.md", lines)


def _row(name: str, found, records) -> str:
    cells = [f"{found[d][name]['psnr_db']:.2f}, {found[d][name]['ssim']:.3f}" for d in DOSES]
    training = records.get(name, {}).get("training")
    minutes = f"{training['minutes']:.0f}" if training else ""
    seconds = found["medium-dose"][name]["seconds"]
    cells += [f"{seconds:.2f}" if seconds else "", minutes]
    return f"| {NAMES[name]} | {' | '.join(cells)} |"


def _differences(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Gains of the networks over the filters on the same images."""
    from temzoo.evaluation.bootstrap import mean_interval

    lines = ["Mean gain in dB on the same images, with its 95 % bootstrap interval:", ""]
    for name, other in (
        ("supervised", "nlm"),
        ("supervised", "bm3d"),
        ("supervised-flips", "nlm"),
        ("supervised-flips", "bm3d"),
        ("blind-spot", "nlm"),
        ("blind-spot", "supervised"),
    ):
        if not {name, other} <= {*found["low-dose"]}:
            continue
        gains = []
        for dose in DOSES:
            ours, theirs = (np.array(found[dose][n]["of_images"])[:, 0] for n in (name, other))
            gain = mean_interval(ours - theirs)
            gains.append(f"{dose} {gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]")
        lines.append(f"- {NAMES[name]}, beside {NAMES[other]}: {', '.join(gains)}")
    return lines


def _segmentation(record: Mapping[str, Any]) -> list[str]:
    doses = record["doses"]
    names = list(doses["low-dose"])
    lines = [
        f"IoU of `{record['weights']}` on the same images, {record['clean']['value']:.3f} on the",
        "clean ones (it was trained on clean ones):",
        "",
        f"| images | {' | '.join(doses)} |",
        "|---|" + "---|" * len(doses),
    ]
    for name in names:
        said = "noisy" if name == "noisy" else f"denoised: {NAMES[name]}"
        cells = (
            f"{d[name]['value']:.3f} [{d[name]['low']:.3f}, {d[name]['high']:.3f}]"
            for d in doses.values()
        )
        lines.append(f"| {said} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.denoise", description=__doc__)
    names = (*CLASSICAL, *NETWORKS, "segmentation")
    parser.add_argument("names", nargs="+", choices=(*names, "all", "table"))
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the data ({DATA})")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--bm3d-python", type=Path, help="Python of an environment with bm3d")
    arguments = parser.parse_args()
    use_encoder_beside(arguments.data)
    learn, judge = clean(arguments.data)
    asked = names if "all" in arguments.names else arguments.names
    for name in asked:
        path = RESULTS / f"denoise-{name}.json"
        if name == "table" or ("all" in arguments.names and path.exists()):
            continue
        if name == "bm3d" and arguments.bm3d_python is None:
            print("bm3d is left out: --bm3d-python names a Python that has it.")
            continue
        if name in CLASSICAL:
            record = measure_classical(name, learn, judge, arguments.bm3d_python)
        elif name == "segmentation":
            record = measure_segmentation(learn, judge, arguments.runs)
        else:
            record = measure_network(name, learn, judge, arguments.runs / f"denoise-{name}")
        python = " --bm3d-python ENVIRONMENT/bin/python" * (name == "bm3d")
        write_json(path, {**record, **stamp(f"python -m benchmarks.denoise {name}{python}")})
    print(write_table())


if __name__ == "__main__":
    main()
