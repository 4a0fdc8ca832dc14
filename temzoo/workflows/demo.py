"""The demo: labels checked, networks trained and compared with baselines, in minutes.

What ``temzoo demo`` and ``make demo`` run: on synthetic micrographs, or on a user's own. Three
parts of the images are kept apart: one trains, one chooses the best epoch, one is held out for the
figures. Of the two networks one starts from random weights, the other from shipped ones where they
serve: it is judged as it is shipped, and trained further.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from temzoo.core.files import without_nan, write_json
from temzoo.evaluation.baselines import MOST_CLASSES, Otsu, PixelForest
from temzoo.evaluation.evaluate import evaluate
from temzoo.evaluation.pixels import confusion, scores
from temzoo.evaluation.results import Evaluation
from temzoo.inference.predict import predict
from temzoo.labels.shapes.raster import class_map
from temzoo.models.mobilenet import imagenet_file
from temzoo.pages import write_report
from temzoo.pictures import plots
from temzoo.store.sidecar import Origin
from temzoo.store.with_overlay import save_prediction
from temzoo.tasks import validation_sheet
from temzoo.training import run_folder
from temzoo.workflows.demo_data import (
    Files,
    Parts,
    own_micrographs,
    print_files,
    synthetic_micrographs,
    timed,
)
from temzoo.workflows.predict_folder import LazyModel
from temzoo.workflows.quickstart import quickstart
from temzoo.workflows.training import train
from temzoo.zoo import pretrained
from temzoo.zoo.building import get_model, trained_model
from temzoo.zoo.cards import model_card

IMAGES = 24
# 200 steps of 2 crops: some two minutes a network on two cores.
EPOCHS, STEPS = 8, 25
# As large as the micrographs: training then normalises by the same pixels as prediction does, which
# matters where a gradient of the film makes a crop unlike the whole.
SETTINGS = {
    "batch": 2,
    "crop": 512,
    "magnification": (1.0, 1.0),
    "augment": "em",
    "learning_rate": 3e-3,
    "warmup": 0.1,
}
NETWORKS = {"unet": {"filters": 16}, "particles": {"alpha": 0.25}}
ENCODER = imagenet_file(NETWORKS["particles"]["alpha"])
# Particles of all kinds: the network named starts from these weights in place of its encoder's. A
# third of the rate that suits random weights, so that they are not lost in the first steps.
SHIPPED = "particles/emps"
FURTHER = {"learning_rate": 1e-3}
AS_SHIPPED = f"{SHIPPED}, as shipped"


@dataclass(frozen=True)
class Summary:
    """What the demo found and where it lies.

    Attributes:
        folder: of everything written.
        evaluations: on the held-out images, by method.
        images_per_second: of prediction, by method.
        files: path to what it is, in a few words.
        minutes: that it all took.
    """

    folder: Path
    evaluations: Mapping[str, Evaluation]
    images_per_second: Mapping[str, float]
    files: Mapping[Path, str]
    minutes: float


def demo(
    out: str | Path = "demo",
    *,
    images: str | Path | None = None,
    labels: str | Path | None = None,
    n: int = IMAGES,
    epochs: int = EPOCHS,
    seed: int = 0,
) -> Summary:
    """Labels to figures and pictures, on synthetic micrographs or on your own.

    Args:
        out: folder to write. One that holds anything is left as it is, and ``out/run-2``, then
            ``out/run-3`` …, is written instead.
        images, labels: your micrographs and their labels, as for ``load_dataset``; None:
            synthetic ones.
        n: how many synthetic micrographs.
        epochs: of each network, of 25 steps of 2 crops.
        seed: of images, split, weights and crops.

    Raises:
        ValueError: only one of images and labels; too few images for three parts; no area labelled.
    """
    began = time.monotonic()
    _check_arguments(images, labels, n)
    files = Files(_fresh_folder(Path(out)))
    print(f"Writing to {files.folder}")
    if images:
        parts = own_micrographs(images, labels, seed)
        _look(files, parts.large_file)
    else:
        _look(files)
        parts = synthetic_micrographs(files, n, seed)
    print(
        f"\n{len(parts.train)} images train, {len(parts.choose)} choose the best epoch,"
        f" {len(parts.held_out)} are held out. Classes: {', '.join(parts.classes)}."
    )
    methods, notes = _methods(parts, files, epochs, seed)
    evaluations, speeds = _judge(methods, parts)
    print("\n" + table(evaluations, speeds))
    print("\n".join(notes))
    _draw(files, methods, evaluations, parts)
    minutes = (time.monotonic() - began) / 60
    summary = Summary(files.folder, evaluations, speeds, files.named, minutes)
    _write_results(summary, parts, files)
    print(f"\nWritten in {summary.minutes:.1f} minutes:")
    print_files(summary.files)
    return summary


def table(evaluations: Mapping[str, Evaluation], speeds: Mapping[str, float]) -> str:
    """The methods side by side: IoU, F1 of instances, images per second."""
    width = max(map(len, ["held-out images", *evaluations])) + 3
    lines = [f"{'held-out images':<{width}}{'IoU':<24}{'instance F1':<24}images/s"]
    for name, evaluation in evaluations.items():
        f1 = evaluation.per_image["instance_f1"]
        lines.append(f"{name:<{width}}{evaluation.iou!s:<24}{f1!s:<24}{speeds[name]:.2f}")
    count = len(next(iter(evaluations.values())).table)
    lines.append(f"(mean over {count} images that no method has seen, with its 95 % interval)")
    return "\n".join(lines)


def encoder_file() -> Path | None:
    """The ImageNet encoder's weights where Keras would look for them; never downloaded."""
    homes = [Path.home() / ".keras"]
    if os.environ.get("KERAS_HOME"):
        homes.insert(0, Path(os.environ["KERAS_HOME"]))
    paths = [home / "models" / ENCODER for home in homes]
    return next((path for path in paths if path.is_file()), None)


def _check_arguments(images: str | Path | None, labels: str | Path | None, n: int) -> None:
    if (images is None) != (labels is None):
        raise ValueError(
            "images and labels belong together. Received: "
            f"images={images}, labels={labels}. Give both, or neither for synthetic micrographs."
        )
    if n < 4:
        raise ValueError(f"n must be at least 4, for three parts. Received: n={n}. Use {IMAGES}.")


def _look(files: Files, image: Path | None = None) -> None:
    """What ``temzoo quickstart`` writes, where its weights are installed: a picture in seconds."""
    if not _serves(("particle",)):
        return
    with timed("first, what the shipped weights find in one micrograph"):
        seen = quickstart(LazyModel.of_weights(SHIPPED), files.folder / "quickstart", image)
        print(seen.summary())
    files.named |= seen.files


def _fresh_folder(out: Path) -> Path:
    """``out`` where it is new or empty, else the first free ``out/run-2``, ``out/run-3`` …"""
    folder = out
    if out.exists() and any(out.iterdir()):
        numbered = (out / f"run-{number}" for number in itertools.count(2))
        folder = next(path for path in numbered if not path.exists())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _methods(
    parts: Parts, files: Files, epochs: int, seed: int
) -> tuple[dict[str, Any], list[str]]:
    """The fitted and trained methods by name, and what has to be said of those left out."""
    methods, notes = {}, []
    if len(parts.classes) < MOST_CLASSES:
        methods["Otsu"] = Otsu(parts.classes).fit(parts.train)
    else:
        notes.append(f"Otsu is left out: it takes {MOST_CLASSES - 1} classes at most.")
    with timed("random forest"):
        methods["random forest"] = PixelForest(parts.classes, seed=seed).fit(parts.train)
    for name in NETWORKS:
        if name == SHIPPED.partition("/")[0] and _serves(parts.classes):
            methods |= _trained_further(name, parts, files, epochs, seed)
        elif _needs_encoder(name) and encoder_file() is None:
            notes.append(
                f"{name} is left out: {ENCODER} is not in $KERAS_HOME/models or ~/.keras/models;"
                f" get it by: python -c \"import temzoo; temzoo.get_model('{name}', alpha=0.25)\""
            )
        else:
            with timed(name):
                keras.utils.set_random_seed(seed)
                file = {"encoder_weights": str(encoder_file())} if _needs_encoder(name) else {}
                classes = len(parts.classes) + 1
                methods[name] = get_model(name, classes=classes, **NETWORKS[name], **file)
                _train(methods[name], name, parts, files, epochs, seed)
    return methods, notes


def _serves(classes: Sequence[str]) -> bool:
    """Whether the shipped weights are installed, and tell as many classes apart."""
    name, _, weights = SHIPPED.partition("/")
    card = pretrained.available(name).get(weights)
    return card is not None and card.config["classes"] == len(classes) + 1


def _trained_further(
    name: str, parts: Parts, files: Files, epochs: int, seed: int
) -> dict[str, Any]:
    """The shipped network as it is, and another that is trained on the demo's own images."""
    further = f"{SHIPPED}, trained further"
    with timed(further):
        shipped = trained_model(SHIPPED)
        model = trained_model(SHIPPED)
        _train(model, name, parts, files, epochs, seed, **FURTHER)
    return {AS_SHIPPED: shipped, further: model}


def _train(
    model: Any, name: str, parts: Parts, files: Files, epochs: int, seed: int, **changes: Any
) -> None:
    """Trains into the folder ``name``; afterwards the model holds the weights of the best epoch."""
    run = train(
        model,
        parts.train,
        parts.choose,
        out=files.folder / name,
        epochs=epochs,
        steps_per_epoch=STEPS,
        seed=seed,
        **{**SETTINGS, **changes},
    )
    if run.interrupted:
        raise KeyboardInterrupt
    files.add(run.folder / "best.weights.h5", f'get_model("{name}", weights="{run.folder}")')
    files.add(run.folder / "history.png", "loss and IoU over the epochs")
    files.add(run.folder / "validation.png", "the images that chose the epoch, with its mistakes")


def _needs_encoder(name: str) -> bool:
    return "encoder_weights" in model_card(name).config


def _judge(
    methods: Mapping[str, Any], parts: Parts
) -> tuple[dict[str, Evaluation], dict[str, float]]:
    evaluations, speeds = {}, {}
    with timed("evaluation on the held-out images"):
        for name, method in methods.items():
            evaluations[name] = evaluate(method, parts.held_out, classes=parts.classes)
            # Of prediction alone: the images are decoded and the networks warm.
            micrographs = [example.micrograph for example in parts.held_out[:3]]
            began = time.perf_counter()
            for micrograph in micrographs:
                predict(method, micrograph, instances=None)
            speeds[name] = len(micrographs) / (time.perf_counter() - began)
    return evaluations, speeds


def _draw(
    files: Files,
    methods: Mapping[str, Any],
    evaluations: Mapping[str, Evaluation],
    parts: Parts,
) -> None:
    folder = files.folder
    path = plots.plot_iou(evaluations, folder / "iou.png")
    files.add(path, "IoU of each held-out image, method beside method")
    networks = [name for name in methods if name.partition("/")[0] in NETWORKS]
    best = max(networks, key=lambda name: evaluations[name].iou.value)
    path = folder / f"{best.partition('/')[0]}_held_out.png"
    validation_sheet.validation_sheet(
        path, methods[best], parts.held_out, parts.classes, title=best
    )
    files.add(path, "the held-out images with right, false and missed pixels")
    _predict_large(files, best, methods[best], parts)


def _predict_large(files: Files, name: str, method: Any, parts: Parts) -> None:
    micrograph = parts.large.micrograph
    with timed(f"{name} on {micrograph.name}, {micrograph.width} x {micrograph.height} px"):
        found = predict(method, micrograph, class_names=parts.classes)
    truth = class_map(parts.large.labels, parts.classes)
    iou = scores(confusion(truth, found.classes, len(parts.classes) + 1))["iou"][1:]
    there = iou[np.isfinite(iou)]  # of the classes that are labelled or found in it
    score = f"IoU {there.mean():.3f}" if len(there) else "nothing is labelled in it"
    print(f"{score}; {found.instances.max()} objects found")
    model = name.partition("/")[0]
    weights = SHIPPED if name == AS_SHIPPED else str(files.folder / model)
    origin = Origin(parts.large_file, model, weights, calibration=micrograph.calibration)
    folder = files.folder / "prediction"
    paths = save_prediction(found, folder, micrograph=micrograph, origin=origin)
    files.add(paths["overlay"], f"{micrograph.name} with what {name} found, object by object")
    files.add(paths["classes"], "its class of each pixel")
    files.add(paths["instances"], "its objects, numbered; opens in Fiji with its scale")
    report = write_report(folder, out=files.folder / "report.html")
    files.add(report, "the same with sizes, as one page: open it in a browser")


def _write_results(summary: Summary, parts: Parts, files: Files) -> None:
    path = files.add(files.folder / "results.json", "the figures above, versions, hardware")
    results = {
        "methods": {
            name: {
                "iou": asdict(evaluation.iou),
                "instance_f1": asdict(evaluation.per_image["instance_f1"]),
                "images_per_second": summary.images_per_second[name],
            }
            for name, evaluation in summary.evaluations.items()
        },
        "images": {
            part: [example.name for example in getattr(parts, part)]
            for part in ("train", "choose", "held_out")
        },
        "classes": parts.classes,
        "minutes": summary.minutes,
        "versions": run_folder.versions(),
        "hardware": run_folder.hardware(),
    }
    write_json(path, without_nan(results), indent=2)
