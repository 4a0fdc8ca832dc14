"""Makes a set of shipped weights of a finished run.

    python -m benchmarks.ship --list
    python -m benchmarks.ship unet_mobilenet/emps --run runs/emps-pyramid
    python -m benchmarks.ship vae/particles                 # trains, two minutes
    python -m benchmarks.ship vae/particles --seed 1        # again: how much is chance?
    python -m benchmarks.ship unet_mobilenet/emps --precisions RECORD   # of benchmarks precision

writes ``weights/MODEL-NAME.weights.h5`` (float16) with its card, enters it into
``weights/index.json``, and scores it after loading, so that the card states what is shipped.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import accuracy, denoise, instances, latent_space
from benchmarks.records import RESULTS, use_encoder_beside
from temzoo.core.files import atomic_path
from temzoo.zoo import built, pretrained

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
EMPS = ("EMPS, Yildirim and Cole 2021, doi:10.1021/acs.jcim.0c01455, training part", "MIT")
SUPER1 = ("NASA pretrained-microscopy-models, Super1, training part", "MIT")
DRAWN = ("temzoo.data.synthetic.particle_images.particle_images, seed 1", "MIT")


@dataclass(frozen=True)
class Set:
    """A set of weights that is shipped.

    Attributes:
        command: what trains it.
        source: the data that it learns from, and their licence.
        scores: of the loaded model, with the folder of data.
        complete: frozen layers are in the file too, so that no other file is needed.
        train: makes the run, of a folder and a seed, where no command leaves a run folder.
        config: keywords of the model that differ from those it was trained with.
        record: file among the results that the run's ``run.json`` is copied to, if it is kept.
    """

    command: str
    source: tuple[str, str]
    scores: Callable[[Any, Path], dict[str, float]]
    complete: bool = True
    train: Callable[..., None] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    record: str = ""


def iou_of(experiment: str) -> Callable[[Any, Path], dict[str, float]]:
    """Mean over the validation images, with its interval."""

    def scores(model, data):
        import temzoo

        _, judge = accuracy.load(accuracy.EXPERIMENTS[experiment], data)
        iou = temzoo.evaluate(model, judge, instances=None).iou
        figures = {"iou": round(iou.value, 5), "low": round(iou.low, 5), "high": round(iou.high, 5)}
        return {**figures, "images": len(judge)}

    return scores


def psnr(model, data: Path) -> dict[str, float]:
    """At each dose, on the validation images."""
    _, judge = denoise.clean(data)
    found = {dose: denoise.restored_scores(model, judge, dose)[0] for dose in denoise.DOSES}
    means = {
        f"psnr_db {dose}": round(statistics.fmean(one.psnr for one in scores), 2)
        for dose, scores in found.items()
    }
    return {**means, "images": len(judge)}


def objects(model, data: Path) -> dict[str, float]:
    """Pooled over the validation images, as a user predicts them: defaults, tiles of the model."""
    import temzoo

    _, judge = accuracy.load(instances.DETECTOR, data)
    pooled = temzoo.evaluate(model, judge).pooled
    names = {"ap50": "mask_ap50", "ap": "mask_ap", "f1": "instance_f1"}
    figures = {short: round(pooled[name].value, 4) for short, name in names.items()}
    bounds = {"low": pooled["mask_ap50"].low, "high": pooled["mask_ap50"].high}
    return {**figures, **{k: round(v, 4) for k, v in bounds.items()}, "images": len(judge)}


def factors(model, data: Path) -> dict[str, float]:
    """The greatest correlation of any latent mean with what was drawn, on other particles."""
    from temzoo import latent
    from temzoo.data.synthetic.particle_images import particle_images
    from temzoo.latent.information import strongest

    held, drawn = particle_images(
        latent_space.HELD_OUT, size=latent_space.PARTICLES["image_size"], seed=2
    )
    encoded = latent.encode_images(model, held[..., None])
    table = latent.correlations(encoded.means, drawn, periods=latent_space.PERIODS)
    names = ("diameter_px", "aspect_ratio", "angle_deg")
    return {f"r {name}": round(strongest(table, name, latent_space.PERIODS), 4) for name in names}


def drawn_particles(folder: Path, seed: int = 0) -> None:
    """A rotation-invariant VAE of drawn particles, as a run that has no history."""
    from temzoo.data.synthetic.particle_images import particle_images

    config = {**latent_space.PARTICLES, **latent_space.MODELS["rotation-invariant"], "beta": 4.0}
    seen, _ = particle_images(latent_space.COUNT, size=config["image_size"], seed=1)
    model, _ = latent_space.trained(
        config, seen[..., None], epochs=latent_space.PARTICLE_EPOCHS, seed=seed
    )
    pretrained.save(model, folder / pretrained.BEST)
    how = built.built(model)
    card = pretrained.WeightsCard(model=how.name, config=dict(how.config))
    pretrained.write_card(folder / pretrained.BEST, card)


def _accuracy(experiment: str, source=EMPS, complete: bool = True, **config: Any) -> Set:
    command = f"python -m benchmarks.accuracy {experiment}"
    return Set(command, source, iou_of(experiment), complete, config=config)


def _gpu(recipe: str, more: str = "") -> Set:
    """Trained by ``benchmarks.gpu`` and scored as the experiment of the same name is."""
    command = f"python -m benchmarks.gpu train {recipe}{more}"
    return Set(command, EMPS, iou_of(recipe), record=f"gpu-train-{recipe}.json")


SETS = {
    "unet_mobilenet/emps": _accuracy("emps-pyramid", negatives=True),
    "unet_mobilenet/emps-frozen": _accuracy("emps-frozen", complete=False),
    "unet_mobilenet/super1": _accuracy("super1", SUPER1),
    "unet/emps": _gpu("emps-unet", " --steps 7280 --until 0.75"),
    "unet/emps-fast": _gpu("emps-unet-fast", " --steps 10260"),
    "mask_rcnn/emps": Set("python -m benchmarks.instances emps-mask-rcnn", EMPS, objects),
    "autoencoder/emps-denoise": Set("python -m benchmarks.denoise supervised", EMPS, psnr, False),
    "vae/particles": Set(
        "python -m benchmarks.ship vae/particles", DRAWN, factors, train=drawn_particles
    ),
}


def ship(name: str, run: Path, data: Path) -> Path:
    """Writes file, card and index entry; returns the file's path."""
    import temzoo

    what = SETS[name]
    model_name, _, short = name.partition("/")
    path = WEIGHTS / f"{model_name}-{short}{pretrained.SUFFIX}"
    model = temzoo.get_model(model_name, weights=run, compile=False, **what.config)
    pretrained.save_trained(model, path, complete=what.complete)
    dataset, licence = what.source
    trained = pretrained.read_card(run / pretrained.BEST)
    card = replace(
        trained,
        config={**trained.config, **what.config},
        dataset=dataset,
        licence=licence,
        command=what.command,
        date=datetime.date.today().isoformat(),
        partial=not what.complete,
        scores={},
    )
    pretrained.write_card(path, card)
    again = temzoo.get_model(model_name, weights=path, compile=False)
    pretrained.write_card(path, replace(card, scores=what.scores(again, data)))
    if what.record:
        shutil.copy(run / "run.json", RESULTS / what.record)
    _enter(name)
    return path


def again(name: str, seed: int, data: Path) -> dict[str, float]:
    """Trains a set of these once more with another seed, ships nothing, and gives its scores."""
    import temzoo

    with tempfile.TemporaryDirectory() as folder:
        SETS[name].train(Path(folder), seed)
        model = temzoo.get_model(name.partition("/")[0], weights=folder, compile=False)
        return SETS[name].scores(model, data)


def vouch(name: str, record: Path) -> Path:
    """Enters what ``python -m benchmarks precision`` found into the card of a set; its path.

    Raises:
        ValueError: the record is of other weights, or of some of the images.
    """
    told = json.loads(record.read_text(encoding="utf-8"))
    if told["what"] != "precision" or told["model"] != name or "--limit" in told["command"]:
        raise ValueError(
            f"{record} is not what `python -m benchmarks precision --weights {name}` writes."
            f" Received: that of `{told['command']}`."
        )
    path = WEIGHTS / f"{name.replace('/', '-')}{pretrained.SUFFIX}"
    changes = {
        f"{row['engine']} {row['precision']}": round(row["iou_change"]["value"], 5)
        for row in told["figures"]["rows"]
        if row["precision"] != "float32"
    }
    pretrained.write_card(path, replace(pretrained.read_card(path), precisions=changes))
    return path


def _enter(name: str) -> None:
    index = WEIGHTS / "index.json"
    names = (
        set(json.loads(index.read_text(encoding="utf-8"))["weights"]) if index.exists() else set()
    )
    with atomic_path(index) as temporary:
        content = {"weights": sorted(names | {name})}
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ship", description=__doc__)
    parser.add_argument("name", choices=[*SETS], nargs="?", help="MODEL/NAME")
    parser.add_argument("--list", action="store_true", help="what there is, and what trains it")
    parser.add_argument("--run", type=Path, help="the folder of its finished run")
    parser.add_argument("--seed", type=int, help="train again with this seed and ship nothing")
    parser.add_argument("--precisions", type=Path, help="a record of precision: into the card")
    parser.add_argument("--data", type=Path, default=accuracy.DATA)
    arguments = parser.parse_args()
    if arguments.list or arguments.name is None:
        print("\n".join(f"{name:28} {what.command}" for name, what in SETS.items()))
        return
    if arguments.precisions:
        path = vouch(arguments.name, arguments.precisions)
        print(path, pretrained.read_card(path).precisions)
        return
    use_encoder_beside(arguments.data)
    train = SETS[arguments.name].train
    if (train is None) == (arguments.run is None):
        parser.error("--run names the finished run of a set that another command trains.")
    if arguments.seed is not None:
        if train is None:
            parser.error("--seed trains again what this command trains; others have --seed too.")
        print(arguments.name, again(arguments.name, arguments.seed, arguments.data))
        return
    with tempfile.TemporaryDirectory() as scratch:
        run = arguments.run or Path(scratch)
        if train:
            train(run)
        path = ship(arguments.name, run, arguments.data)
    print(path, pretrained.read_card(path).scores)


if __name__ == "__main__":
    main()
