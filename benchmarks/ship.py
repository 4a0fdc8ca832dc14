"""Makes a set of shipped weights of a finished run.

    python -m benchmarks ship unet_mobilenet/emps --run runs/emps-pyramid
    python -m benchmarks ship particles/emps-mobilenet \\
        --run runs/emps-particles runs/emps-particles-longer
    python -m benchmarks ship vae/particles                 # trains, two minutes
    python -m benchmarks ship vae/particles --seed 1        # again: how much is chance?
    python -m benchmarks ship unet_mobilenet/emps --precisions   # of the record of `precision`
    python -m benchmarks ship particles/emps --errors            # of the record of `sizes`

writes the weights of a run, or the mean of those of several that began with one another (Wortsman
et al. 2022, arXiv:2203.05482), to ``weights/MODEL-NAME.weights.h5`` (float16) with its card, enters
it into ``weights/index.json``, and scores it after loading, so that the card states what is
shipped.
weights/README.md lists the sets, and the command that trains each.
"""

import datetime
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import temzoo
from benchmarks import boxes, denoise, latent
from benchmarks.datasets import Arguments, open_dataset
from benchmarks.records import CONNECTED, RESULTS, ROOT, keep, kept, write_lines
from temzoo.core.files import read_json
from temzoo.zoo import built, pretrained

WEIGHTS = ROOT / "weights"
ENTRIES = {"precision": "precisions", "sizes": "errors"}  # of a card, by the record they are of
EMPS = ("EMPS, Yildirim and Cole 2021, doi:10.1021/acs.jcim.0c01455, training part", "MIT")
SUPER1 = ("NASA pretrained-microscopy-models, Super1, training part", "MIT")
# Figures on a card of outlines and of boxes, by the names of an evaluation's.
OUTLINES = {"pixel_iou": "pixel_iou", "ap50": "mask_ap50", "ap": "mask_ap", "f1": "instance_f1"}
OUTLINES |= {"pq": "panoptic_quality"}
BOXES = {"box_ap50": "box_ap50", "box_ap": "box_ap", "f1": "instance_f1"}
BOXES |= {"count_error": "median_count_error"}
SUPPORTED = ("temzoo.data.synthetic.supported.supported_catalyst, seeds 0 to 299", "MIT")
CLEAN = {"noise": 0.4}  # published pictures have less
PUBLISHED = {**CLEAN, "side": 512}
DRAWN = ("temzoo.data.synthetic.particle_images.particle_images, seed 1", "MIT")


@dataclass(frozen=True)
class Set:
    """A set of weights that is shipped."""

    command: str  # what trains it, of ``python -m benchmarks``
    scores: Callable[[Any, Path], dict[str, float]]  # of the loaded model, with the folder of data
    source: tuple[str, str] = EMPS  # the data that it learns from, and their licence
    complete: bool = True  # frozen layers are in the file too, so that no other file is needed
    # makes the run, of a folder and a seed, where no command leaves one
    train: Callable[..., None] | None = None
    # keywords of the model that differ from those it was trained with
    config: Mapping[str, Any] = field(default_factory=dict)
    # of the card, what the weights know: "noise", see `benchmarks noise`; "side", see `large`
    knows: Mapping[str, Any] = field(default_factory=dict)


def psnr(model, data: Path) -> dict[str, float]:
    """At each dose, on the validation images."""
    judge = open_dataset("emps", data=data).val
    found = {f"psnr_db {d}": round(v, 2) for d, v in denoise.judged(model, judge).items()}
    return {**found, "images": len(judge)}


def objects(
    model, data: Path, score: str, names=OUTLINES, dataset="emps", digits=4, **how: Any
) -> dict[str, float]:
    """Of the validation images of a dataset; ``score`` comes first and has the interval."""
    judge = open_dataset(dataset, data=data).val
    found = temzoo.evaluate(model, judge, **how)
    known = {**found.pooled, **found.objects.over_images, "pixel_iou": found.per_image.get("iou")}
    main, figures = known[names[score]], dict.fromkeys((score, *names))
    figures |= {key: known[name].value for key, name in names.items()}
    figures |= {"low": main.low, "high": main.high}
    return {**{key: round(v, digits) for key, v in figures.items()}, "images": len(judge)}


def iou_of(name: str) -> Callable[[Any, Path], dict[str, float]]:
    """Mean over the validation images of a dataset, with its interval."""
    how = {"names": {"iou": "pixel_iou"}, "digits": 5, "instances": None}
    return partial(objects, score="iou", dataset=name, **how)


def factors(model, data: Path) -> dict[str, float]:
    """The greatest correlation of any latent mean with what was drawn, on other particles."""
    found = latent.known(model)
    names = ("diameter_px", "aspect_ratio", "angle_deg")
    return {f"r {name}": round(found[f"r {name}"]["value"], 4) for name in names}


def drawn_particles(folder: Path, seed: int = 0) -> None:
    """A rotation-invariant VAE of drawn particles, as a run that has no history."""
    config = {**latent.PARTICLES, **latent.INVARIANT, "beta": 4.0}
    seen, *_ = latent.drawn(latent.COUNT)
    model, _ = latent.trained(config, seen, epochs=latent.EPOCHS, seed=seed)
    pretrained.save(model, folder / pretrained.BEST)
    card = pretrained.WeightsCard(model="vae", config=dict(built.built(model).config))
    pretrained.write_card(folder / pretrained.BEST, card)


OF_OBJECTS = partial(objects, score="f1")
SETS = {
    "unet_mobilenet/emps": Set(
        "recipe emps-pyramid", iou_of("emps"), config={"negatives": True}, knows=CLEAN
    ),
    "unet_mobilenet/emps-frozen": Set("recipe emps-frozen", iou_of("emps"), complete=False),
    "unet_mobilenet/super1": Set("recipe super1", iou_of("super1"), SUPER1),
    "unet/emps": Set("gpu-train emps-unet --steps 7280 --until 0.75", iou_of("emps")),
    "unet/emps-fast": Set("gpu-train emps-unet-fast --steps 10260", iou_of("emps")),
    "particles/emps": Set("recipe emps-particles-lite", OF_OBJECTS, knows=PUBLISHED),
    "particles/emps-mobilenet": Set(
        "recipe emps-particles emps-particles-longer", OF_OBJECTS, knows=PUBLISHED
    ),
    "particles/supported": Set(
        "recipe supported-particles",
        partial(OF_OBJECTS, dataset="supported"),
        SUPPORTED,
        knows={"side": 512},  # noise is drawn there
    ),
    "mask_rcnn/emps": Set(
        "instances emps-mask-rcnn", partial(objects, score="ap50", **CONNECTED), knows=PUBLISHED
    ),
    "yolo/emps": Set(
        "boxes train",
        partial(objects, score="box_ap50", names=BOXES),
        config=boxes.WHOLE,
        knows=CLEAN,
    ),
    "autoencoder/emps-denoise": Set("denoise supervised", psnr, complete=False),
    "vae/particles": Set("ship vae/particles", factors, DRAWN, train=drawn_particles),
}


def path_of(name: str) -> Path:
    return WEIGHTS / f"{name.replace('/', '-')}{pretrained.SUFFIX}"


def ship(name: str, runs: Sequence[Path], data: Path) -> Path:
    """Writes file, card and index entry, keeps a record that the run brings; the file's path."""
    what, path = SETS[name], path_of(name)
    model_name = name.partition("/")[0]
    models = [temzoo.get_model(model_name, weights=r, compile=False, **what.config) for r in runs]
    run, model = runs[-1], models[-1]
    if len(models) > 1:
        each = zip(*(one.get_weights() for one in models), strict=True)
        model.set_weights([np.mean(values, axis=0) for values in each])
    pretrained.save_trained(model, path, complete=what.complete)
    trained = pretrained.read_card(run / pretrained.BEST)
    told = {"dataset": what.source[0], "licence": what.source[1], "scores": {}}
    told |= {"command": f"python -m benchmarks {what.command}", "partial": not what.complete}
    told |= {"date": datetime.date.today().isoformat()}
    card = replace(trained, config={**trained.config, **what.config}, **told, **what.knows)
    pretrained.write_card(path, card)
    again = temzoo.get_model(model_name, weights=path, compile=False)
    pretrained.write_card(path, replace(card, scores=what.scores(again, data)))
    if what.command.startswith("gpu-train"):
        keep(read_json(run / "run.json"))
    index = WEIGHTS / "index.json"
    known = read_json(index)["weights"] if index.exists() else []
    write_lines(index, [json.dumps({"weights": sorted({*known, name})}, indent=1)])
    return path


def vouch(name: str, what: str, folder: Path = RESULTS) -> Path:
    """Enters what `precision` or `sizes` found into the card of a set; its path."""
    found = [r for r in kept(folder, quick=False) if (r["what"], r["model"]) == (what, name)]
    if not found:
        raise ValueError(
            f"{folder} has no record of {name}. Received: --{ENTRIES[what]}. First run"
            f" `python -m benchmarks {what} --weights {name} --data DATA`."
        )
    figures, path = found[-1]["figures"], path_of(name)
    if what == "sizes":
        entry = figures["errors"]
    else:
        rows = [row for row in figures["rows"] if row["precision"] != "float32"]
        changes = [round(row["iou_change"]["value"], 5) for row in rows]
        names = [f"{row['engine']} {row['precision']}" for row in rows]
        entry = dict(zip(names, changes, strict=True))
    pretrained.write_card(path, replace(pretrained.read_card(path), **{ENTRIES[what]: entry}))
    return path


def main(arguments: Arguments) -> None:
    name, data = arguments.name, arguments.data_folder
    if name not in SETS:
        raise ValueError(f"A set is one of {', '.join(SETS)}. Received: {name}.")
    train = SETS[name].train
    for what, entry in ENTRIES.items():
        if getattr(arguments, entry):
            path = vouch(name, what, arguments.out)
            print(path, getattr(pretrained.read_card(path), entry))
            return
    if (train is None) == (arguments.run is None):
        raise ValueError(
            "--run names the finished run of a set that another command trains. Received:"
            f" {name}, --run {arguments.run}. weights/README.md has the commands."
        )
    if arguments.seed is not None and train is None:
        raise ValueError(
            f"--seed trains again what this command trains. Received: {name}. Others:"
            f" `python -m benchmarks {SETS[name].command} --seed {arguments.seed}`."
        )
    with tempfile.TemporaryDirectory() as scratch:
        if train:
            train(Path(scratch), arguments.seed or 0)
        if arguments.seed is not None:
            model = temzoo.get_model(name.partition("/")[0], weights=scratch, compile=False)
            print(name, SETS[name].scores(model, data))
            return
        path = ship(name, arguments.run or [Path(scratch)], data)
    print(path, pretrained.read_card(path).scores)
