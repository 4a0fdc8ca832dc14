"""Particles told apart: one command for each figure in ``results/instances.md``.

    python -m benchmarks.instances --list
    python -m benchmarks.instances emps-mask-rcnn        # trains, scores, writes results/
    python -m benchmarks.instances emps-watershed        # a U-Net's regions, cut at necks

``emps``: the 73 images of ``val.csv`` at full resolution. ``loops``: dislocation loops, every frame
predicted by a model that was trained without it and its neighbours. ``dense``: synthetic training,
then one micrograph of 2048 x 2048 px with 1,500 particles that touch and overlap. ``speed``: what a
512 px image costs, by stage.

The data are not part of the repository; ``--data`` names their folder, as for
``benchmarks.accuracy``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import DATA, EXPERIMENTS, RESULTS, Experiment, fitted, load
from temzoo.files import atomic_path

SHOWN = ("mask_ap50", "mask_ap", "mask_ap75", "instance_f1", "panoptic_quality", "stardist_ap50")
# Small particles come by the hundred in one image; the defaults would leave some out.
MANY = {"proposals": 1500, "max_detections": 600}
DETECTOR = Experiment(
    "Mask R-CNN on MobileNet 0.75, ImageNet, then its deep blocks fine-tuned",
    "emps",
    "mask_rcnn",
    {"image_size": 384, "backbone": "mobilenet", "alpha": 0.75},
    {
        "epochs": 24,
        "batch": 4,
        "magnification": (0.5, 1.0),
        "learning_rate": 1e-3,
        "finetune": {"backbone_trainable": "deep"},
        "finetune_epochs": 12,
        "finetune_rate": 4e-4,
        "validate_every": 4,
        "seed": 0,
    },
)
LOOPS = {
    "mask_rcnn": Experiment(
        "Mask R-CNN on MobileNet 0.75, ImageNet, frozen",
        "loops",
        "mask_rcnn",
        {"image_size": 256, "backbone": "mobilenet", "alpha": 0.75},
        {
            "epochs": 12,
            "batch": 4,
            "steps_per_epoch": 40,
            "magnification": (1.0, 1.5),
            "validate_every": 3,
            "seed": 0,
        },
    ),
    "unet_mobilenet": Experiment(
        "U-Net on MobileNet 0.75, ImageNet, frozen; watershed",
        "loops",
        "unet_mobilenet",
        {"alpha": 0.75},
        {"epochs": 8, "batch": 8, "steps_per_epoch": 30, "magnification": (1.0, 1.5), "seed": 0},
    ),
}
FOLDS = 4
DENSE = Experiment(
    "Mask R-CNN on MobileNet 0.75, ImageNet, frozen",
    "synthetic",
    "mask_rcnn",
    {"image_size": 256, "backbone": "mobilenet", "alpha": 0.75},
    {
        "epochs": 10,
        "batch": 4,
        "steps_per_epoch": 60,
        "magnification": (0.9, 1.1),
        "validate_every": 2,
        "seed": 0,
    },
)


def emps_mask_rcnn(data: Path) -> dict[str, Any]:
    """Trained on 293 images; judged on 73 with up to 600 detections each."""
    import temzoo

    learn, judge = load(DETECTOR, data)
    _, training = fitted("emps-mask-rcnn", DETECTOR, learn, judge, None)
    model = temzoo.get_model(
        "mask_rcnn", weights=Path("runs/emps-mask-rcnn"), compile=False, image_size=512, **MANY
    )
    found = temzoo.evaluate(model, judge, progress=True)
    return {"about": DETECTOR.about, "training": training, **figures(found, learn, judge)}


def emps_watershed(data: Path) -> dict[str, Any]:
    """The shipped U-Net; the cutting is tuned on one half of the publications, judged on the other.

    So no image is judged by a setting that was chosen on it or on its publication.
    """
    import temzoo
    from temzoo.evaluation import score_predictions

    experiment = EXPERIMENTS["emps-frozen"]
    learn, judge = load(experiment, data)
    model = temzoo.get_model("unet_mobilenet", weights="emps-frozen", compile=False)
    groups = sorted({example.group for example in judge})
    chosen = set(np.random.default_rng(0).permutation(groups)[: len(groups) // 2].tolist())
    halves = [[e for e in judge if (e.group in chosen) == side] for side in (True, False)]
    predictions, settings = {}, []
    for tune, test in (halves, halves[::-1]):
        tuned = temzoo.tune_instances(model, tune)
        settings.append(dict(tuned.best))
        for example in test:
            predictions[example.name] = temzoo.predict(
                model, example.micrograph, probabilities=True, **tuned.options
            )
    found = score_predictions(judge, [predictions[e.name] for e in judge], ap=True)
    everything = dict(temzoo.tune_instances(model, judge).best)
    return {
        "about": f"{experiment.about}; watershed, tuned",
        "training": {"minutes": None, "settings": settings, "setting of all": everything},
        **figures(found, learn, judge),
    }


def figures(found, learn: Sequence, judge: Sequence) -> dict[str, Any]:
    from temzoo.training import fingerprint

    return {
        "train": {"images": len(learn), "fingerprint": fingerprint(learn)},
        "validation": {"images": len(judge), "fingerprint": fingerprint(judge)},
        "per_image": {metric: vars(figure) for metric, figure in found.per_image.items()},
        "pooled": {metric: vars(figure) for metric, figure in found.pooled.items()},
        "images": [dict(row) for row in found.table],
    }


def loops(data: Path, model_name: str) -> dict[str, Any]:
    """Cross-validated: frames in file order, in four blocks, since neighbours resemble each other.

    In each fold one block is judged; the last frames of the rest choose the epoch.
    """
    import keras

    import temzoo
    from temzoo.evaluation import score_predictions

    experiment = LOOPS[model_name]
    examples = temzoo.load_dataset(
        images=data / "loops" / "images", labels=data / "loops" / "coco.json"
    )
    examples.sort(key=lambda e: int(Path(e.name).stem))
    predictions, minutes, settings = {}, 0.0, []
    for fold, held in enumerate(np.array_split(np.arange(len(examples)), FOLDS)):
        rest = [e for i, e in enumerate(examples) if i not in set(held.tolist())]
        learn, choose = rest[:-2], rest[-2:]
        folder = Path("runs") / f"loops-{model_name}-{fold}"
        keras.utils.set_random_seed(0)
        model = temzoo.get_model(model_name, **experiment.config)
        run = _trained(model, learn, choose, folder, experiment)
        minutes += run.history[-1]["minutes"]
        options: dict[str, Any] = {"min_score": 0.05}
        if not hasattr(model, "detect"):
            tuned = temzoo.tune_instances(model, rest)
            settings.append(dict(tuned.best))
            options = {"probabilities": True, **tuned.options}
        for i in held:
            predictions[i] = temzoo.predict(model, examples[i].micrograph, **options)
    found = score_predictions(examples, [predictions[i] for i in range(len(examples))], ap=True)
    return {
        "about": experiment.about,
        "training": {"minutes": minutes, "settings": settings},
        **figures(found, examples, examples),
        "density": density(found),
    }


def _trained(model, learn, choose, folder: Path, experiment: Experiment):
    """A run from its start, or from where it was stopped."""
    import temzoo

    stopped = (folder / "state" / "progress.json").exists()
    return temzoo.train(model, learn, choose, out=folder, resume=stopped, **experiment.settings)


def density(found) -> dict[str, float]:
    """Counts per area: the area cancels, as all frames have one size."""
    true = np.array([row["instances_true"] for row in found.table])
    error = np.array([row["count_error"] for row in found.table])
    return {
        "error of all frames together": float(error.sum() / true.sum()),
        "mean over frames of |error|": float(np.mean(np.abs(error) / true)),
        "accuracy, 1 - mean |error|": float(1 - np.mean(np.abs(error) / true)),
    }


def dense(data: Path) -> dict[str, Any]:
    """1,500 particles in one field, in tiles, after training on other synthetic fields."""
    import keras

    import temzoo
    from temzoo import synthetic
    from temzoo.types import Example

    del data

    def example(seed: int, size: int, count: int) -> Example:
        micrograph, labels = synthetic.crowded(
            seed, size=size, n_particles=count, name=f"crowded-{seed}.tif"
        )
        return Example(labels, lambda: micrograph)

    # From empty fields to somewhat denser ones than the field that is judged.
    rng = np.random.default_rng(0)
    learn = [example(seed, 512, int(rng.integers(10, 110))) for seed in range(100, 130)]
    learn += [example(seed, 512, 0) for seed in range(130, 133)]
    choose = [example(seed, 512, 94) for seed in range(200, 204)]
    field = example(300, 2048, 1500)
    keras.utils.set_random_seed(0)
    model = temzoo.get_model("mask_rcnn", **DENSE.config)
    run = _trained(model, learn, choose, Path("runs/dense-mask-rcnn"), DENSE)
    start = time.monotonic()
    temzoo.predict(model, field.micrograph)
    seconds = time.monotonic() - start
    found = temzoo.evaluate(model, [field])
    row = found.table[0]
    return {
        "about": DENSE.about,
        "training": {"minutes": run.history[-1]["minutes"]},
        **figures(found, learn, [field]),
        "seconds": seconds,
        "relative count error": row["count_error"] / row["instances_true"],
    }


def speed(data: Path, repeats: int = 9) -> dict[str, Any]:
    """A 512 px image at batch 1, by stage; the masks' cost by how many objects are in the image."""
    import tensorflow as tf

    import temzoo

    del data
    model = temzoo.get_model("mask_rcnn", backbone_weights=None, compile=False)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 512, 512, 1), np.uint8)
    image = model.normalize(tf.constant(pixels, tf.float32))
    network = tf.function(lambda x: model.network(x, training=False))
    outputs = network(image)
    anchors = model.anchors.generate()
    stages: dict[str, Callable] = {
        "normalise": tf.function(lambda: model.normalize(tf.cast(pixels, tf.float32))),
        "backbone, pyramid, proposal network": lambda: network(image),
    }
    for count in (200, 800, 1500):
        propose = tf.function(
            lambda count=count: model.propose(outputs, anchors, count=count, least=0.0)
        )
        regions = propose()
        stages[f"{count} proposals"] = propose
        stages[f"boxes and classes of {count}"] = tf.function(
            lambda regions=regions: model._refine(outputs, regions)
        )
    for count in (20, 100, 400):
        stages[f"masks of {count} objects"] = _mask_stage(model, outputs, regions[:, :count])
    for count in (20, 100, 400):
        # An untrained model finds something everywhere, so every slot is taken.
        stages[f"detect, {count} objects"] = lambda count=count: model.detect(
            pixels, min_score=0.0, max_detections=count
        )
    return {
        "about": "512 x 512 px, batch 1, untrained",
        "milliseconds": {name: _milliseconds(stage, repeats) for name, stage in stages.items()},
    }


def _mask_stage(model, outputs, regions) -> Callable:
    import tensorflow as tf

    classes = tf.ones(tf.shape(regions)[:2], tf.int32)
    rows = tf.where(classes > 0)
    return tf.function(lambda: model._masks(outputs, regions, classes, rows, training=False))


def _milliseconds(stage: Callable, repeats: int) -> dict[str, float]:
    stage()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        stage()
        times.append(1000 * (time.perf_counter() - start))
    return {"median": statistics.median(times), "least": min(times), "most": max(times)}


MEASUREMENTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "emps-mask-rcnn": emps_mask_rcnn,
    "emps-watershed": emps_watershed,
    "loops-mask-rcnn": lambda data: loops(data, "mask_rcnn"),
    "loops-watershed": lambda data: loops(data, "unet_mobilenet"),
    "dense": dense,
    "speed": speed,
}


def measure(name: str, data: Path) -> dict[str, Any]:
    """Runs one measurement and gives its record."""
    from temzoo.training import commit, hardware, versions

    return {
        "name": name,
        **MEASUREMENTS[name](data),
        "command": f"python -m benchmarks.instances {name}",
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(),
    }


def write_table() -> Path:
    """Regenerates ``results/instances.md`` from the records."""
    paths = {name: RESULTS / f"instances-{name}.json" for name in MEASUREMENTS}
    records = {n: json.loads(p.read_text("utf-8")) for n, p in paths.items() if p.exists()}
    lines = [
        "# Particles told apart",
        "",
        "Written by `python -m benchmarks.instances`; every row's command is beside it. Pooled",
        "over all objects, at full resolution, with the 95 % bootstrap interval over images.",
        "AP50, AP, AP75: COCO's, of masks, up to 600 objects an image; F1: matched one to one at",
        "IoU 0.5; PQ: panoptic quality; StarDist: TP / (TP + FP + FN) at IoU 0.5, which StarDist's",
        "papers call average precision. The best epoch of a network is chosen on the EMPS images",
        "it is judged on, which flatters it a little; the watershed's settings never are.",
        "",
        "| data | model | AP50 | AP | AP75 | F1 | PQ | StarDist | training, min | command |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *[_row(record) for record in records.values() if "pooled" in record],
        "",
    ]
    for record in records.values():
        lines += _density_lines(record) + _speed_lines(record)
    where = {
        f"{r['hardware']['processor']}, {r['hardware']['cores']} cores, {r['date']}"
        for r in records.values()
    }
    lines.append(f"Measured on: {'; '.join(sorted(where))}.")
    path = RESULTS / "instances.md"
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _row(record) -> str:
    pooled, minutes = record["pooled"], record["training"]["minutes"]
    figures = [pooled[metric] for metric in SHOWN]
    cells = [record["name"].split("-")[0], record["about"]]
    for number, figure in enumerate(figures):
        text = f"{figure['value']:.3f}"
        if number in (0, 3) and record["validation"]["images"] > 1:
            text += f" [{figure['low']:.3f}, {figure['high']:.3f}]"
        cells.append(text)
    cells += ["shipped" if minutes is None else f"{minutes:.0f}", f"`{record['command']}`"]
    return f"| {' | '.join(cells)} |"


def _density_lines(record) -> list[str]:
    if "density" in record:
        told = ", ".join(f"{key} {value:.1%}" for key, value in record["density"].items())
        return [
            f"`{record['name']}`, areal density, cross-validated by frame: {told}. The data's"
            " publisher reports an accuracy of the density of 83.6 % (creme, 316L), on another"
            " split.",
            "",
        ]
    if "relative count error" in record:
        return [
            f"`{record['name']}`: count error {record['relative count error']:+.1%} of"
            f" {record['images'][0]['instances_true']} particles, in {record['seconds']:.0f} s.",
            "",
        ]
    return []


def _speed_lines(record) -> list[str]:
    if "milliseconds" not in record:
        return []
    lines = [f"`{record['command']}`: {record['about']}; median [least, most].", ""]
    lines += ["| stage | ms |", "|---|---|"]
    for stage, time_ in record["milliseconds"].items():
        spread = f"[{time_['least']:.0f}, {time_['most']:.0f}]"
        lines.append(f"| {stage} | {time_['median']:.0f} {spread} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instances", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="measurements, see --list")
    parser.add_argument("--list", action="store_true", help="list the measurements")
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the data ({DATA})")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(MEASUREMENTS))
        return
    for name in arguments.names:
        if name not in MEASUREMENTS:
            parser.error(f"no measurement is called {name!r}; --list shows them")
    if (arguments.data.parent / "keras" / "models").is_dir():
        os.environ.setdefault("KERAS_HOME", str(arguments.data.parent / "keras"))
    for name in arguments.names:
        record = measure(name, arguments.data)
        path = RESULTS / f"instances-{name}.json"
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(record, indent=1, default=str) + "\n", "utf-8")
        print(json.dumps(record.get("pooled", record), indent=1, default=str))
    print(write_table())


if __name__ == "__main__":
    main()
