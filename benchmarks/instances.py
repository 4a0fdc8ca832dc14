"""Particles told apart: one command for each figure in ``results/instances.md``.

    python -m benchmarks.instances --list
    python -m benchmarks.instances emps-mask-rcnn        # trains, scores, writes results/
    python -m benchmarks.instances emps-watershed        # a U-Net's regions, cut at necks

``emps``: the 73 images of ``val.csv`` at full resolution. ``loops``: dislocation loops, every frame
predicted by a model that was trained without it and the frames beside it. ``dense``: synthetic
training, then one micrograph of 2048 x 2048 px with 1,500 particles that touch and overlap.
``speed``: what a 512 px image costs, by stage.

The data are not part of the repository; ``--data`` names their folder, as for
``benchmarks.accuracy``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import DATA, EXPERIMENTS, Experiment, fitted, load
from benchmarks.records import (
    RESULTS,
    measured_on,
    stamp,
    use_encoder_beside,
    write_json,
    write_lines,
)

SHOWN = ("mask_ap50", "mask_ap", "mask_ap75", "instance_f1", "panoptic_quality", "stardist_ap50")
SIZES = ("mask_ap_small", "mask_ap_medium", "mask_ap_large")
# Small particles come by the hundred in one image; the defaults would leave some out.
MANY = {"proposals": 1500, "max_detections": 600}
MOBILENET = {"backbone": "mobilenet", "alpha": 0.75}
MIN_SCORES = tuple(np.round(np.arange(0.2, 0.95, 0.05), 2).tolist())
DETECTOR = Experiment(
    "Mask R-CNN on MobileNet 0.75, ImageNet, frozen, then its deep blocks fine-tuned",
    "emps",
    "mask_rcnn",
    {**MOBILENET, "image_size": 384},
    {
        "epochs": 15,
        "steps_per_epoch": 120,
        "batch": 4,
        # Up to 512 px of the micrographs, which have 512 and more: no crop is filled by mirroring.
        "magnification": (0.75, 1.5),
        "augment": "light",
        "finetune": {"backbone_trainable": "deep"},
        "finetune_epochs": 6,
        "finetune_rate": 3e-4,
        "validate_every": 5,
        "seed": 0,
    },
)
LOOPS = {
    "mask_rcnn": Experiment(
        "Mask R-CNN on MobileNet 0.75, ImageNet, frozen",
        "loops",
        "mask_rcnn",
        {**MOBILENET, "image_size": 256},
        {
            "epochs": 6,
            "steps_per_epoch": 60,
            "batch": 4,
            "magnification": (1.0, 1.5),
            "validate_every": 2,
            "seed": 0,
        },
    ),
    "unet_mobilenet": Experiment(
        "U-Net on MobileNet 0.75, ImageNet, frozen; watershed, tuned",
        "loops",
        "unet_mobilenet",
        {"alpha": 0.75},
        {"epochs": 8, "steps_per_epoch": 30, "batch": 8, "magnification": (1.0, 1.5), "seed": 0},
    ),
}
FOLDS = 4
DENSE = Experiment(
    "Mask R-CNN on MobileNet 0.75, ImageNet, frozen",
    "dense",
    "mask_rcnn",
    {**MOBILENET, "image_size": 256},
    {
        "epochs": 10,
        "steps_per_epoch": 60,
        "batch": 4,
        "magnification": (0.9, 1.1),
        "validate_every": 2,
        "seed": 0,
    },
)


# The stages of a prediction at the defaults, with 100 objects in the image.
WHOLE = "detect, 100 objects"
SHARES = (
    "normalise",
    "backbone, pyramid, proposal network",
    "800 proposals",
    "boxes and classes of 800",
    "masks of 100 objects",
)


def emps_mask_rcnn(data: Path) -> dict[str, Any]:
    """Trained on 293 images; judged on 73 with up to 600 detections each.

    The score from which a detection counts is chosen on one half of the publications and judged on
    the other; beside it stands the default, 0.5.
    """
    import temzoo
    from temzoo.evaluation.evaluate import score_predictions

    learn, judge = load(DETECTOR, data)
    _, training = fitted("emps-mask-rcnn", DETECTOR, learn, judge, None)
    # Nearly every micrograph fits into one image of this side.
    model = _rebuilt("emps-mask-rcnn", image_size=768, **MANY)
    predictions = {e.name: temzoo.predict(model, e.micrograph, min_score=0.05) for e in judge}
    kept, settings = {}, []
    for tune, test in _halves(judge):
        least = max(MIN_SCORES, key=lambda m: _f1(tune, predictions, m))
        settings.append({"min_score": least})
        kept |= {e.name: _from(predictions[e.name], least) for e in test}
    found = score_predictions(judge, [predictions[e.name] for e in judge])
    tuned = score_predictions(judge, [kept[e.name] for e in judge], ap=False, min_score=0.0)
    record = figures(found, learn, judge)
    record["at score 0.5"] = {name: record["pooled"][name] for name in tuned.pooled}
    record["pooled"] |= {name: vars(figure) for name, figure in tuned.pooled.items()}
    return {"about": DETECTOR.about, "training": training | {"tuned": settings}, **record}


def _rebuilt(run: str, **changes):
    """The best model of a run for images of another size: weights fit any."""
    import temzoo

    return temzoo.get_model("mask_rcnn", weights=Path("runs") / run, compile=False, **changes)


def _halves(judge: Sequence) -> list[tuple[list, list]]:
    """Two folds by publication: what is chosen on one half is judged on the other."""
    groups = sorted({example.group for example in judge})
    chosen = set(np.random.default_rng(0).permutation(groups)[: len(groups) // 2].tolist())
    halves = [[e for e in judge if (e.group in chosen) == side] for side in (True, False)]
    return [(halves[0], halves[1]), (halves[1], halves[0])]


def _f1(examples: Sequence, predictions: Mapping, least: float) -> float:
    from temzoo.evaluation import object_overlaps, objects

    matches = []
    for example in examples:
        true = object_overlaps.true_objects(example.labels, ("particle",))
        found = predictions[example.name].detections
        matches.append(objects.match(true, found, min_score=least, ap=False))
    matched, true, found = (
        sum(getattr(m, part).sum() for m in matches) for part in ("matched", "true", "predicted")
    )
    return 2 * matched / max(true + found, 1)


def _from(prediction, least: float):
    """A prediction without the detections that score less."""
    from temzoo.inference.objects import flattened

    kept = [one for one in prediction.detections if one.score >= least]
    return replace(
        flattened(kept, prediction.classes.shape),
        class_names=prediction.class_names,
        name=prediction.name,
    )


def emps_watershed(data: Path) -> dict[str, Any]:
    """The shipped U-Net; the cutting is tuned on one half of the publications, judged on the other.

    So no image is judged by a setting that was chosen on it or on its publication.
    """
    import temzoo
    from temzoo.evaluation.evaluate import score_predictions

    experiment = EXPERIMENTS["emps-frozen"]
    learn, judge = load(experiment, data)
    model = temzoo.get_model("unet_mobilenet", weights="emps-frozen", compile=False)
    predictions, settings = {}, []
    for tune, test in _halves(judge):
        tuned = temzoo.tune_instances(model, tune)
        settings.append(dict(tuned.best))
        for example in test:
            predictions[example.name] = temzoo.predict(
                model, example.micrograph, probabilities=True, **tuned.options
            )
    found = score_predictions(judge, [predictions[e.name] for e in judge], ap=True)
    return {
        "about": f"{experiment.about}; watershed, tuned",
        "training": {"minutes": None, "tuned": settings},
        **figures(found, learn, judge),
    }


def figures(found, learn: Sequence, judge: Sequence) -> dict[str, Any]:
    from temzoo.training.run_folder import fingerprint

    return {
        "train": {"images": len(learn), "fingerprint": fingerprint(learn)},
        "validation": {"images": len(judge), "fingerprint": fingerprint(judge)},
        "per_image": {metric: vars(figure) for metric, figure in found.per_image.items()},
        "pooled": {metric: vars(figure) for metric, figure in found.pooled.items()},
        "images": [dict(row) for row in found.table],
    }


def loops(data: Path, model_name: str) -> dict[str, Any]:
    """Cross-validated: frames in file order, in four blocks, since neighbours resemble each other.

    In each fold one block is judged; the frames beside it are left out, two others choose the
    epoch and the watershed.
    """
    import temzoo
    from temzoo.evaluation.evaluate import score_predictions

    experiment = LOOPS[model_name]
    examples = temzoo.load_dataset(
        images=data / "loops" / "images", labels=data / "loops" / "coco.json"
    )
    examples.sort(key=lambda e: int(Path(e.name).stem))
    predictions, trainings = {}, []
    for fold, held in enumerate(np.array_split(np.arange(len(examples)), FOLDS)):
        far = [e for i, e in enumerate(examples) if not held[0] - 1 <= i <= held[-1] + 1]
        choose = far[:: len(far) // 2][:2]
        learn = [e for e in far if e not in choose]
        name = f"loops-{model_name}-{fold}"
        model, training = fitted(name, experiment, learn, choose, None)
        options: dict[str, Any] = {"min_score": 0.05}
        if hasattr(model, "detect"):
            model = _rebuilt(name, image_size=512)
        else:
            tuned = temzoo.tune_instances(model, choose)
            training["tuned"] = dict(tuned.best)
            options = {"probabilities": True, **tuned.options}
        trainings.append(training)
        for i in held:
            predictions[i] = temzoo.predict(model, examples[i].micrograph, **options)
    found = score_predictions(examples, [predictions[i] for i in range(len(examples))], ap=True)
    return {
        "about": experiment.about,
        "training": {"minutes": sum(t["minutes"] for t in trainings), "folds": trainings},
        **figures(found, examples, examples),
        "density": density(found),
    }


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
    import temzoo
    from temzoo.core.types import Example
    from temzoo.data.synthetic import synthesize
    from temzoo.evaluation.evaluate import score_predictions

    del data

    def example(seed: int, size: int, count: int) -> Example:
        micrograph, labels = synthesize.crowded(
            seed, size=size, n_particles=count, name=f"crowded-{seed}.tif"
        )
        return Example(labels, lambda: micrograph)

    # From empty fields to somewhat denser ones than the field that is judged.
    rng = np.random.default_rng(0)
    learn = [example(seed, 512, int(rng.integers(10, 110))) for seed in range(100, 130)]
    learn += [example(seed, 512, 0) for seed in range(130, 133)]
    choose = [example(seed, 512, 94) for seed in range(200, 204)]
    field = example(300, 2048, 1500)
    _, training = fitted("dense-mask-rcnn", DENSE, learn, choose, None)
    model = _rebuilt("dense-mask-rcnn", image_size=512)
    start = time.monotonic()
    prediction = temzoo.predict(model, field.micrograph)
    seconds = time.monotonic() - start
    ranked = temzoo.predict(model, field.micrograph, min_score=0.05)
    found = score_predictions([field], [ranked])
    true = found.table[0]["instances_true"]
    return {
        "about": DENSE.about,
        "training": training,
        **figures(found, learn, [field]),
        "seconds": seconds,
        "relative count error": (len(prediction.detections) - true) / true,
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
    raw, normalize = tf.constant(pixels, tf.float32), tf.function(model.normalize)
    stages: dict[str, Callable] = {
        "normalise": lambda: normalize(raw),
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
    command = f"python -m benchmarks.instances {name}"
    return {"name": name, **MEASUREMENTS[name](data), **stamp(command)}


def write_table() -> Path:
    """Regenerates ``results/instances.md`` from the records."""
    paths = {name: RESULTS / f"instances-{name}.json" for name in MEASUREMENTS}
    records = {n: json.loads(p.read_text("utf-8")) for n, p in paths.items() if p.exists()}
    lines = [
        "# Particles told apart",
        "",
        "Written by `python -m benchmarks.instances`; every row's command is beside it. Pooled",
        "over all objects, at full resolution, with the 95 % bootstrap interval over images.",
        "AP50, AP, AP75: COCO's, of masks, up to 600 (EMPS) or 400 objects a tile; F1: matched",
        "one to one at IoU 0.5; PQ: panoptic quality; StarDist: TP / (TP + FP + FN) at IoU 0.5,",
        "which its papers call average precision. The best epoch of a network is chosen on the",
        "EMPS images it is judged on, which flatters it a little; the watershed's settings, and",
        "the score from which a detection counts, are chosen on other publications than they are",
        "judged on.",
        "",
        "| data | model | AP50 | AP | AP75 | F1 | PQ | StarDist | training, min | command |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *[_row(record) for record in records.values() if "pooled" in record],
        "",
    ]
    for record in records.values():
        lines += _size_lines(record) + _density_lines(record) + _speed_lines(record)
    return write_lines(RESULTS / "instances.md", [*lines, measured_on(records.values())])


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


def _size_lines(record) -> list[str]:
    """Where the loss is: by size, and at the default score."""
    if not record["name"].startswith("emps"):
        return []
    sizes = [f"{name.rpartition('_')[2]} {record['pooled'][name]['value']:.3f}" for name in SIZES]
    told = f"mask AP by size (COCO: below 32² px, to 96² px, above): {', '.join(sizes)}"
    if "at score 0.5" in record:
        default = record["at score 0.5"]["instance_f1"]["value"]
        told += f"; F1 at the default score of 0.5: {default:.3f}"
    return [f"`{record['name']}`: {told}.", ""]


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
    times = record["milliseconds"]
    lines = [
        f"`{record['command']}`: {record['about']}; median [least, most]. Share: of the stages of"
        f" `{WHOLE}` with 800 proposals, by their medians. Only objects that are kept go through"
        " the mask head.",
        "",
        "| stage | ms | share |",
        "|---|---|---|",
    ]
    total = sum(times[stage]["median"] for stage in SHARES)
    for stage, time_ in times.items():
        spread = f"[{time_['least']:.0f}, {time_['most']:.0f}]"
        share = f"{time_['median'] / total:.0%}" if stage in SHARES else ""
        lines.append(f"| {stage} | {time_['median']:.0f} {spread} | {share} |")
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
    use_encoder_beside(arguments.data)
    for name in arguments.names:
        record = measure(name, arguments.data)
        write_json(RESULTS / f"instances-{name}.json", record)
        print(json.dumps(record.get("pooled", record), indent=1, default=str))
    print(write_table())


if __name__ == "__main__":
    main()
