"""Trains and scores on real micrographs: one command for each figure in ``results/``.

    python -m benchmarks.accuracy --list
    python -m benchmarks.accuracy emps-frozen            # trains, scores, writes results/
    python -m benchmarks.accuracy emps-frozen --run DIR  # scores a finished run, in this process
    python -m benchmarks.accuracy emps-unet-fast --seed 1  # again: how much is chance?

The data are not part of the repository; ``--data`` names the folder that holds ``emps/`` and
``super1/`` (see README.md beside the results). ImageNet weights are found where Keras keeps them,
or in ``keras/`` beside the data.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.records import (
    RESULTS,
    measured_on,
    stamp,
    use_encoder_beside,
    write_json,
    write_lines,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
EMPS = {"batch": 8, "crop": 256, "magnification": (0.5, 1.0), "seed": 0}
# Crops show most of a micrograph, since the objects of many fill a third of it; particles are dark
# in some micrographs and bright in others, and from 4 px to 500 px large.
WIDE = {
    "batch": 4,
    "crop": 384,
    "magnification": (0.45, 1.4),
    "augment": "em_invert",
    "steps_per_epoch": 150,
    "validate_every": 2,
    "average": 0.998,
    "seed": 0,
}
SMALL = {
    **EMPS,
    "augment": "em_invert",
    "average": 0.998,
    "validate_every": 4,
    "mixed_precision": True,
}
PYRAMID = {"alpha": 0.75, "pyramid": (1, 2, 4), "decoder_filters": (128, 96, 64, 24, 8)}
FEW = {**EMPS, "epochs": 5, "steps_per_epoch": 60}
BASELINES = {"otsu": "Otsu", "forest": "PixelForest"}  # of temzoo.classical


@dataclass(frozen=True)
class Experiment:
    """One figure: what is trained on what.

    Attributes:
        about: in words.
        data: "emps" or "super1".
        model: a registered name, or "otsu" or "forest".
        config: the model's keywords.
        settings: of ``temzoo.train``.
        images: train on so many images, drawn with the seed; None: all.
    """

    about: str
    data: str
    model: str
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    images: int | None = None


SCRATCH = {"alpha": 0.75, "encoder_weights": None, "encoder_trainable": True}
EXPERIMENTS = {
    "emps-frozen": Experiment(
        "U-Net on MobileNet 0.75, ImageNet, frozen",
        "emps",
        "unet_mobilenet",
        {"alpha": 0.75},
        {**EMPS, "epochs": 18},
    ),
    "emps-pyramid": Experiment(
        "U-Net on MobileNet 0.75 at three scales, ImageNet, frozen (fine-tuning it lowers this)",
        "emps",
        "unet_mobilenet",
        PYRAMID,
        {
            **WIDE,
            "epochs": 24,
            "finetune": {"encoder_trainable": "deep"},
            "finetune_epochs": 6,
            "finetune_rate": 1e-4,
        },
    ),
    "emps-scratch-encoder": Experiment(
        "the network of emps-frozen, all of it from random weights, 4 epochs",
        "emps",
        "unet_mobilenet",
        SCRATCH,
        {**EMPS, "epochs": 4},
    ),
    "emps-unet": Experiment(
        "U-Net, 16 filters, from scratch",
        "emps",
        "unet",
        {"filters": 16},
        {**EMPS, "epochs": 5},
    ),
    "emps-unet-fast": Experiment(
        "U-Net, 8 filters, three levels, from scratch",
        "emps",
        "unet",
        {"filters": 8, "depth": 3},
        {**SMALL, "epochs": 12, "steps_per_epoch": 150},
    ),
    "emps-forest": Experiment("random forest on pixels", "emps", "forest"),
    "emps-otsu": Experiment("Otsu's threshold", "emps", "otsu"),
    "emps10-frozen": Experiment(
        "U-Net on MobileNet 0.75, ImageNet, frozen",
        "emps",
        "unet_mobilenet",
        {"alpha": 0.75},
        FEW,
        images=10,
    ),
    "emps10-unet": Experiment(
        "U-Net, 16 filters, from scratch", "emps", "unet", {"filters": 16}, FEW, images=10
    ),
    "emps10-forest": Experiment("random forest on pixels", "emps", "forest", images=10),
    "emps10-otsu": Experiment("Otsu's threshold", "emps", "otsu", images=10),
    "super1-frozen": Experiment(
        "U-Net on MobileNet 0.75, frozen, then its deep blocks fine-tuned",
        "super1",
        "unet_mobilenet",
        {"alpha": 0.75, "classes": 3},
        {
            "epochs": 5,
            "steps_per_epoch": 30,
            "finetune": {"encoder_trainable": "deep"},
            "finetune_epochs": 2,
            "finetune_rate": 2e-4,
        },
    ),
    "super1": Experiment(
        "U-Net on MobileNet 0.75 at two scales, ImageNet, frozen (fine-tuning it lowers this)",
        "super1",
        "unet_mobilenet",
        {
            "alpha": 0.75,
            "classes": 3,
            "pyramid": (0.5, 1),
            "decoder_filters": (128, 96, 64, 32, 24),
        },
        {
            "epochs": 16,
            "steps_per_epoch": 40,
            "batch": 4,
            "crop": 256,
            "magnification": (0.9, 1.1),
            "average": 0.995,
            "validate_every": 4,
            "finetune": {"encoder_trainable": "deep"},
            "finetune_epochs": 8,
            "finetune_rate": 3e-5,
        },
    ),
}


def load(experiment: Experiment, data: Path):
    """(training, validation) examples of an experiment."""
    import numpy as np

    import temzoo
    from temzoo.data.splits import read_names

    folder = data / experiment.data
    if experiment.data == "super1":
        learn, judge = (
            temzoo.load_dataset(images=folder / part / "images", labels=folder / part / "labels")
            for part in ("train", "val")
        )
    else:
        examples = temzoo.load_dataset(
            images=folder / "images",
            labels=folder / "annotations.xml",
            groups=folder / "groups.csv",
        )
        names = (read_names(folder / "train.csv"), read_names(folder / "val.csv"))
        learn, judge = temzoo.split_by_names(examples, *names)
    if experiment.images:
        chosen = np.random.default_rng(0).permutation(len(learn))[: experiment.images]
        learn = [learn[i] for i in sorted(chosen)]
    return learn, judge


def fitted(name: str, experiment: Experiment, learn, judge, run: Path | None):
    """The model, trained or fitted or loaded, and what is known of its training."""
    import keras

    import temzoo
    from temzoo.data.examples import class_names
    from temzoo.evaluation import baselines

    start = time.monotonic()
    if experiment.model in BASELINES:
        kind = getattr(baselines, BASELINES[experiment.model])
        model = kind(class_names([*learn, *judge])).fit(learn)
        return model, {"minutes": (time.monotonic() - start) / 60}
    folder = run or Path("runs") / name
    if not _finished(name, experiment, folder, learn):
        if run is not None:
            raise ValueError(
                f"--run names a finished run of {name}. Received: {run}. Leave it out."
            )
        keras.utils.set_random_seed(experiment.settings.get("seed", 0))
        model = temzoo.get_model(experiment.model, **experiment.config)
        stopped = (folder / "state" / "progress.json").exists()
        done = temzoo.train(model, learn, judge, out=folder, resume=stopped, **experiment.settings)
        if done.interrupted:
            raise SystemExit(f"{name} was stopped; run it again to go on.")
    told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    progress = json.loads((folder / "state" / "progress.json").read_text(encoding="utf-8"))
    training = {key: told[key] for key in ("command", "date", "commit", "settings")}
    training |= {"minutes": progress["minutes"], "best_epoch": progress["best_epoch"]}
    return temzoo.get_model(experiment.model, weights=folder, compile=False), training


def _finished(name: str, experiment: Experiment, folder: Path, learn: Sequence) -> bool:
    """Whether the folder holds this experiment, whole; another's is not filed under its name."""
    from temzoo.training.run_folder import fingerprint

    if not (folder / "state" / "progress.json").exists():
        return False
    told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    plain = json.loads(json.dumps({"config": experiment.config, "settings": experiment.settings}))
    for part, wanted in plain.items():
        for key, value in wanted.items():
            if told[part].get(key) != value:
                raise ValueError(
                    f'"{name}" has {key}={value!r}. Received: {folder}, trained with'
                    f" {key}={told[part].get(key)!r}. Name another --run, or move it away."
                )
    seen, given = told["data"]["train"]["fingerprint"], fingerprint(learn)
    if seen != given:
        raise ValueError(
            f'"{name}" learns from data of fingerprint {given}. Received: {folder}, trained on'
            f" {seen}. Move it away."
        )
    progress = json.loads((folder / "state" / "progress.json").read_text(encoding="utf-8"))
    return progress.get("phase", 0) > bool(told["settings"]["finetune"])


def measure(name: str, data: Path, run: Path | None) -> dict[str, Any]:
    """Runs an experiment and gives its record."""
    import temzoo
    from temzoo.evaluation.pixels import scores
    from temzoo.training.run_folder import fingerprint

    experiment = EXPERIMENTS[name]
    learn, judge = load(experiment, data)
    model, training = fitted(name, experiment, learn, judge, run)
    found = temzoo.evaluate(model, judge, progress=True)
    with_background = scores(found.confusions.sum(axis=0))["iou"]
    return {
        "name": name,
        "about": experiment.about,
        "data": experiment.data,
        "train": {"images": len(learn), "fingerprint": fingerprint(learn)},
        "validation": {"images": len(judge), "fingerprint": fingerprint(judge)},
        "config": dict(experiment.config),
        "training": training,
        "per_image": {metric: vars(figure) for metric, figure in found.per_image.items()},
        "pooled": {metric: vars(figure) for metric, figure in found.pooled.items()},
        "pooled_iou_with_background": [round(float(v), 5) for v in with_background],
        "joint_iou": round(joint_iou(found.confusions.sum(axis=0)), 5),
        "iou_of_images": {row["name"]: row["iou"] for row in found.table},
        "seconds_per_image": seconds_per_image(model, judge),
        **stamp(f"python -m benchmarks.accuracy {name}"),
    }


def joint_iou(confusion) -> float:
    """IoU with the pixels of all classes, the background too, in one numerator and denominator.

    The IoU of segmentation_models.pytorch on one-hot masks, by which NASA's
    pretrained-microscopy-models are trained and chosen. Classes count by their area: with pixel
    accuracy a, it is a / (2 - a).
    """
    right = confusion.trace()
    return float(right / (2 * confusion.sum() - right))


def seconds_per_image(model, examples, repeats: int = 5) -> dict[str, float]:
    """Median, least and most time to predict the first validation image at full resolution."""
    import temzoo

    micrograph = examples[0].micrograph
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        temzoo.predict(model, micrograph, instances=None)
        times.append(time.perf_counter() - start)
    warm = times[1:]
    return {"median": statistics.median(warm), "least": min(warm), "most": max(warm)}


def seeded(name: str, seed: int) -> str:
    """Enters an experiment with another seed; gives its name."""
    experiment = EXPERIMENTS[name]
    if experiment.model in BASELINES:
        raise ValueError(f"{name} has no seed that decides. Leave --seed out.")
    other = f"{name}-seed{seed}"
    EXPERIMENTS[other] = replace(experiment, settings={**experiment.settings, "seed": seed})
    return other


def _records(pattern: str) -> list[dict[str, Any]]:
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(pattern))]
    order = list(EXPERIMENTS)
    return sorted(records, key=lambda r: order.index(r["name"].partition("-seed")[0]))


def write_table() -> Path:
    """Regenerates ``results/accuracy.md`` from the records."""
    records = _records("accuracy-*.json")
    lines = [
        "# Accuracy on held-out micrographs",
        "",
        "Written by `python -m benchmarks.accuracy`; every row's command is beside it. Full",
        "resolution. IoU: mean over images of the foreground classes' IoU, with the 95 % bootstrap",
        "interval over images. F1: instances (connected components) matched one to one at IoU 0.5.",
        "The best epoch of a network is chosen on the same validation images, which flatters it a",
        "little. Minutes are wall time, on machines that may have had other work. On 293 images",
        "the networks from scratch had fewer steps than the frozen one (the JSON files have the",
        "settings), and were still improving when they ended.",
        "",
        "| data, training images | model | IoU | pooled IoU | instance F1 | training, min |"
        " s per image | command |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(record) for record in records]
    again = _records("seeds-*.json")
    lines += ["", *_super1(records), *_again(again, records), measured_on([*records, *again])]
    return write_lines(RESULTS / "accuracy.md", lines)


def _row(record: Mapping[str, Any]) -> str:
    def shown(part: str, metric: str) -> str:
        figure = record[part].get(metric)
        return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"

    cells = (
        f"{record['data']}, {record['train']['images']}",
        record["about"],
        shown("per_image", "iou"),
        f"{record['pooled']['iou']['value']:.3f}",
        f"{record['pooled']['instance_f1']['value']:.3f}",
        f"{record['training']['minutes']:.1f}",
        f"{record['seconds_per_image']['median']:.2f}",
        f"`{record['command']}`",
    )
    return f"| {' | '.join(cells)} |"


_JOINT = (
    "",
    "The code that NASA published with these data judges by the IoU of all classes counted",
    "together, in which large classes weigh more; its 0.942 (a ResNet50, on the test images) is",
    "probably that.",
)


def _again(again, records) -> list[str]:
    """What another seed gave, beside the interval of the first."""
    if not again:
        return []
    first = {record["name"]: record["per_image"]["iou"] for record in records}
    lines = [
        "## Trained again with another seed",
        "",
        "The interval is over images; a seed decides initial weights, order, crops and changes.",
        "",
        "| experiment | IoU | with another seed | inside the interval | command |",
        "|---|---|---|---|---|",
    ]
    for record in again:
        old = first.get(record["name"].partition("-seed")[0])
        if old is None:  # its first training was scored elsewhere
            continue
        new = record["per_image"]["iou"]["value"]
        inside = "yes" if old["low"] <= new <= old["high"] else "no"
        told = f"{old['value']:.3f} [{old['low']:.3f}, {old['high']:.3f}]"
        lines.append(
            f"| {record['about']} | {told} | {new:.3f} | {inside} | `{record['command']}` |"
        )
    return [*lines, ""]


def _joint(record) -> str:
    """Records of before that figure was taken lack it."""
    joint = record.get("joint_iou")
    return f"; of all classes counted together {joint:.3f}" if joint else ""


def _super1(records) -> list[str]:
    lines = []
    for record in records:
        if record["data"] == "super1":
            each = record["pooled_iou_with_background"]
            lines.append(
                f"`{record['name']}`: IoU of matrix, secondary, tertiary"
                f" {', '.join(f'{v:.3f}' for v in each)}; mean of the three"
                f" {sum(each) / len(each):.3f}, pooled over {record['validation']['images']}"
                f" validation images{_joint(record)}."
            )
    return [*lines, *_JOINT, ""] if lines else []


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments, see --list")
    parser.add_argument("--list", action="store_true", help="list the experiments")
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the data ({DATA})")
    parser.add_argument("--run", type=Path, help="score this finished run instead of training")
    parser.add_argument("--seed", type=int, help="train again with this seed, beside the figure")
    arguments = parser.parse_args()
    if arguments.list:
        for name, experiment in EXPERIMENTS.items():
            print(
                f"{name:22} {experiment.data:7} {experiment.images or 'all':>4}  {experiment.about}"
            )
        return
    for name in arguments.names:
        if name not in EXPERIMENTS:
            parser.error(f"no experiment is called {name!r}; --list shows them")
    use_encoder_beside(arguments.data)
    for name in arguments.names:
        kind, command = "accuracy", f"python -m benchmarks.accuracy {name}"
        if arguments.seed is not None:
            kind, command = "seeds", f"{command} --seed {arguments.seed}"
            name = seeded(name, arguments.seed)
        record = {**measure(name, arguments.data, arguments.run), "command": command}
        write_json(RESULTS / f"{kind}-{name}.json", record)
        figure = record["per_image"]["iou"]
        print(f"{name}: IoU {figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]")
    print(write_table())


if __name__ == "__main__":
    main()
