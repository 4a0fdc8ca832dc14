"""``temzoo train`` and ``temzoo tune``."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli import common
from temzoo.cli.common import app, drawn, keywords, keywords_of, load_tensorflow
from temzoo.cli.config import Config, is_stated, write
from temzoo.cli.scoring import number_or_word
from temzoo.core.files import read_json
from temzoo.core.settings import Settings
from temzoo.zoo.cards import model_card
from temzoo.zoo.task import task_named

USUAL = Settings()
OTHER_NAMES = {"balance": "class_weights", "steps": "steps_per_epoch"}  # of options
LABELS_RULES = {  # by what a task learns from
    "labels": "needs --labels",
    "classes": "learns from particles with a class: cut them with `temzoo particles --labels …`,"
    " and leave --labels out here",
}
TrainNames = Annotated[Path | None, typer.Option(help="CSV of images to train on.")]
ValNames = Annotated[Path | None, typer.Option(help="CSV of images to validate on.")]
Val = Annotated[float, typer.Option(help="Share to validate on, without --val-names.")]


@app.command()
def train(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="One of `temzoo models`.")],
    images: common.Images,
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    labels: common.LabelsIfAny = None,
    values: common.Values = "auto",
    rename: common.Rename = None,
    merge: common.Merge = None,
    crop_bar: Annotated[
        bool,
        typer.Option(
            "--crop-bar",
            help="Info bars, scale bars and panel letters weigh nothing; the last two need"
            " the extra scalebar. Every image is searched first, a second or so each.",
        ),
    ] = False,
    truth: common.Truth = None,
    pairs: common.Pairs = None,
    set_: common.Set = None,
    with_: common.With = None,
    groups: common.Groups = None,
    train_names: TrainNames = None,
    val_names: ValNames = None,
    val: Val = 0.2,
    limit: Annotated[
        int | None, typer.Option(help="Train on so many images, drawn at random.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Start from these: a name in the model's card, a file or a run."),
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Passes over the training micrographs, in crops.")
    ] = USUAL.epochs,
    batch: Annotated[
        int, typer.Option(help="Crops in a step; fewer take less memory.")
    ] = USUAL.batch,
    crop: Annotated[
        int | None,
        typer.Option(
            help="Side of a crop, px; by default what the model takes, else 256, or 128 of pairs."
        ),
    ] = None,
    magnification: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="LOW HIGH", help="Resize micrographs by a factor in this range: 0.5 1.0."
        ),
    ] = USUAL.magnification,
    binning: Annotated[
        str,
        typer.Option(
            metavar="auto|N",
            help="Learn and predict from means of N x N px; auto: of models that find objects, as"
            " many as crops need to show them whole.",
        ),
    ] = str(USUAL.binning),
    augment: Annotated[
        str, typer.Option(help="none, light, em, or em_invert (particles may be dark or bright).")
    ] = USUAL.augment,
    augmenter: Annotated[
        str, typer.Option(help="Library that augments: imgaug, or opencv (faster).")
    ] = USUAL.augmenter,
    learning_rate: Annotated[
        float, typer.Option(help="Highest rate of AdamW; it falls to zero by a cosine.")
    ] = USUAL.learning_rate,
    warmup: Annotated[
        float, typer.Option(help="Share of the steps in which the rate rises.")
    ] = USUAL.warmup,
    loss: Annotated[
        str | None,
        typer.Option(
            help="Of models that label pixels: dice_ce, ce, dice, focal or tversky; of restorers:"
            " mse, mae, charbonnier or psnr; of classifiers: smooth_ce or ce."
        ),
    ] = None,
    balance: Annotated[bool, typer.Option(help="Let rare classes weigh more.")] = False,
    mixed_precision: Annotated[
        bool, typer.Option(help="Compute in bfloat16.")
    ] = USUAL.mixed_precision,
    average: Annotated[
        float | None,
        typer.Option(help="Judge and keep the mean of the weights over past steps: 0.998."),
    ] = USUAL.average,
    patience: Annotated[int | None, typer.Option(help="Epochs without gain to stop.")] = None,
    validate_every: Annotated[
        int, typer.Option(help="Epochs between validations.")
    ] = USUAL.validate_every,
    steps: Annotated[int | None, typer.Option(help="Steps an epoch.")] = None,
    finetune: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Second phase with this keyword changed: encoder_trainable=deep, or"
            " backbone_trainable=deep for mask_rcnn.",
        ),
    ] = None,
    finetune_epochs: Annotated[
        int, typer.Option(help="Of the second phase.")
    ] = USUAL.finetune_epochs,
    finetune_rate: Annotated[
        float, typer.Option(help="Learning rate of the second phase.")
    ] = USUAL.finetune_rate,
    save_every: Annotated[
        float, typer.Option(help="Minutes inside an epoch after which the state is kept.")
    ] = USUAL.save_every,
    seed: common.Seed = USUAL.seed,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Devices to train on: mirrored, all GPUs of this machine; multiworker, those of"
            " the machines of TF_CONFIG or of a job of SLURM. One device by default."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="End with the first epoch after so many; --resume goes on."),
    ] = None,
    config: Config = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on in --out, with the settings it was started with."),
    ] = False,
):
    """Train a model on your micrographs.

    Models that find classes or objects learn from --labels. The autoencoder learns from pairs: from
    --images and --truth, two folders matched by name; or from clean images and noise that is made,
    --pairs medium-dose; or, when nothing is said, from noisy images alone. The VAE takes single
    images, as `temzoo particles` cuts them; classifiers (mlp, dcnn, alexnet, mobilenet) take the
    same with the classes in their table, or a folder of images for each class.

    The run folder gets the weights with their card, run.json, history and pictures. Ctrl-C keeps
    the best epoch so far; --resume goes on exactly where a stopped run was. run.toml repeats the
    run: temzoo train --config runs/first/run.toml --out runs/second --seed 1

    Example: temzoo train unet --images micrographs --labels annotations.xml --out runs/first

    A detector takes crops of its image_size: temzoo train mask_rcnn --set image_size=384 --batch 4
    --validate-every 5 --images …
    """
    given, config = dict(locals()), keywords_of(model, set_)
    load_tensorflow()
    import keras

    import temzoo
    from temzoo.tasks.training_data import with_classes
    from temzoo.workflows.training import opened
    from temzoo.zoo.building import find_start

    devices = opened(strategy)  # before TensorFlow computes anything
    how = {"values": values, "names": (rename, merge), "crop_bar": crop_bar}
    examples = load_examples(model, images, labels, groups, truth, pairs, **how)
    learn, judge = two_parts(examples, train_names, val_names, val, seed)
    if limit:
        learn = drawn(learn, limit, seed)
    known = find_start(model, weights).card.class_names if weights else ()
    built_with = with_classes(model, config, [*learn, *judge], known)
    keras.utils.set_random_seed(seed)
    network = temzoo.get_model(model, start=weights, **built_with)
    given |= {"class_weights": "balanced" if balance else None, "steps_per_epoch": steps}
    given |= {"binning": number_or_word(binning, int)}
    given |= {"finetune": keywords(finetune) or None}
    stated = {OTHER_NAMES.get(name, name) for name in given if is_stated(context, name)}
    how = {"resume": resume, "strategy": devices, "minutes": minutes}
    how |= {"on_begin": partial(write, context)}
    print(f"{len(learn)} images to learn from, {len(judge)} to choose the best epoch by")
    ends = time.monotonic() + 60 * (minutes or float("inf"))
    run = temzoo.train(network, learn, judge, out=out, **how, **chosen(given, stated))
    if not run.epoch:
        kept = "its weights are the last ones" if run.history else "no weights yet"
        what = "was validated" if run.history else "ended"
        print(f"stopped before an epoch {what}: {kept}, settings in {out / 'run.json'}")
        return
    print(
        f"best validation {run.score_name} {run.score:.4f} in epoch {run.epoch};"
        f" weights, card, history: {out}"
    )
    if run.interrupted or time.monotonic() >= ends:
        print(_how_far(out, len(run.history)), end="")
    if (out / "validation.png").is_file():
        print(f"the validation images, with what is found and missed: {out / 'validation.png'}")
    if labels is not None:
        print(f"next: temzoo evaluate {out} --images {images} --labels {labels}")


def _how_far(folder: Path, done: int) -> str:
    """A line on a run that did not come to its end, and how it goes on."""
    told = read_json(folder / "run.json")["settings"]
    epochs = told["epochs"] + (told["finetune_epochs"] if told["finetune"] else 0)
    if done >= epochs:
        return ""
    return f"stopped after {done} of {epochs} epochs; the same command with --resume goes on\n"


def chosen(given: dict, stated: set[str] = frozenset()) -> dict:
    """The settings that were stated or differ from ``train``'s own: each kind of data has few."""
    known = vars(USUAL)
    differ = {name for name in known if name in given and given[name] != known[name]}
    return {name: given[name] for name in known if name in differ | stated}


def load_examples(
    model: str,
    images: Path,
    labels=None,
    groups=None,
    truth=None,
    pairs=None,
    *,
    values="auto",
    names=(None, None),
    crop_bar=False,
):
    """Examples of the kind that the model's task learns from."""
    import temzoo
    from temzoo.data.pair_files import load_frames, load_images, load_pairs
    from temzoo.labels.renaming import parsed
    from temzoo.particles import store

    if truth is not None and pairs not in (None, "given"):
        raise ValueError(
            f"--truth is what the images should become, and --pairs {pairs} makes it of them."
            f" Received both: --truth {truth}. Leave one out."
        )
    kind = task_named(model_card(model).task).examples
    if (labels is not None) != (kind == "labels"):
        said = f"--labels {labels}" if labels else "none"
        rule = LABELS_RULES.get(kind, "learns without labels: leave them out")
        raise ValueError(f"{model} {rule}. Received: {said}.")
    if truth is not None and kind != "pairs":
        raise ValueError(
            f"--truth is for models that restore. Received: {truth} for {model}. Leave it out."
        )
    if crop_bar and kind != "labels":
        raise ValueError(
            f"--crop-bar is for models that learn from labels. Received: {model}. Leave it out."
        )
    if kind == "classes":
        return store.load_classes(images, groups)
    if kind == "labels":
        rename, merge = parsed(*names)
        how = {"values": values, "rename": rename, "merge": merge, "crop_bar": crop_bar}
        return temzoo.load_dataset(images=images, labels=labels, groups=groups, **how)
    if truth is not None:
        return load_pairs(images, truth, groups)
    cut, movies = (images / store.TABLE).is_file(), _are_movies(images, kind)
    if groups is not None and (cut or movies):
        what = "particles are grouped by their micrographs" if cut else "a movie is a group"
        raise ValueError(f"{what}. Received: --groups {groups}. Leave it out.")
    if cut:
        return store.load(images)[0]
    return load_frames(images) if movies else load_images(images, groups)


def _are_movies(images: Path, kind: str) -> bool:
    """Whether a file, or every file of a folder, has several frames."""
    from temzoo.data.pair_files import frames_in
    from temzoo.micrographs import list_images

    if kind != "pairs":
        return False
    paths = [images] if images.is_file() else list_images(images)
    frames = {path: frames_in(path) for path in paths}
    several = [path.name for path, count in frames.items() if count > 1]
    if several and len(several) < len(frames):
        raise ValueError(
            f"{images} must hold movies or single images. Received: {several[0]} and"
            f" {len(several) - 1} more with several frames, {len(frames) - len(several)} with one."
            " Put them into folders of their own."
        )
    return bool(several)


def two_parts(examples, train_names, val_names, val: float, seed: int):
    """What to learn from and what to choose by: as named, or split by specimen."""
    import temzoo
    from temzoo.data.pair_files import split_in_time
    from temzoo.data.splits import pick, read_names

    if val_names is None:
        one_movie = len({e.group for e in examples}) == 1 and examples[0].labels.frame is not None
        if one_movie and examples[0].load_truth is not None:
            return split_in_time(examples, val)
        return temzoo.split(examples, (1 - val, val), seed=seed)
    held = read_names(val_names)
    if train_names is not None:
        return temzoo.split_by_names(examples, read_names(train_names), held)
    judge = pick(examples, held)
    names = {example.name for example in judge}
    return [example for example in examples if example.name not in names], judge


@app.command()
def tune(
    model: Annotated[str, typer.Argument(help="One of `temzoo models`.")],
    images: common.Images,
    out: Annotated[Path, typer.Option(help="Folder of the search to write.")],
    labels: common.LabelsIfAny = None,
    values: common.Values = "auto",
    rename: common.Rename = None,
    merge: common.Merge = None,
    truth: common.Truth = None,
    pairs: common.Pairs = None,
    set_: common.Set = None,
    groups: common.Groups = None,
    train_names: TrainNames = None,
    val_names: ValNames = None,
    val: Val = 0.2,
    with_: common.With = None,
    strategy: Annotated[str, typer.Option(help="random, grid or bayesian.")] = "random",
    trials: Annotated[int | None, typer.Option(help="Trials in all; 10 by default.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Begin no trial that would end later.")
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=RANGE",
            help="filters=[8,16,32], learning_rate=(1e-4,1e-2,'log'), or dropout=None to leave it"
            " as it is; repeatable.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Of each trial.")] = USUAL.epochs,
    crop: Annotated[int | None, typer.Option(help="Side of a crop, px.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps an epoch.")] = None,
    final_epochs: Annotated[
        int | None, typer.Option(help="Train the best anew, for so many epochs.")
    ] = None,
    seed: common.Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in --out.")] = False,
):
    """Search for the keywords and training settings that score best on validation images.

    What is searched is in the model's card (temzoo models MODEL) and the loss, batch and learning
    rate. The default is always the first trial, so that the table shows what the search gained.
    The folder gets trials.csv, search.png, and in best/ a run as `temzoo train` writes it.

    Example: temzoo tune unet --images micrographs --labels annotations.xml --out searches/unet
    --minutes 60 --epochs 5
    """
    config = keywords_of(model, set_)
    load_tensorflow()
    import temzoo

    examples = load_examples(
        model, images, labels, groups, truth, pairs, values=values, names=(rename, merge)
    )
    learn, judge = two_parts(examples, train_names, val_names, val, seed)
    settings = {"epochs": epochs, "crop": crop, "steps_per_epoch": steps, "pairs": pairs}
    found = temzoo.tune(
        model,
        learn,
        judge,
        out=out,
        strategy=strategy,
        trials=trials,
        minutes=minutes,
        search=keywords(search),
        config=config,
        seed=seed,
        resume=resume,
        final={"epochs": final_epochs} if final_epochs else None,
        **chosen(settings),
    )
    print(f"{found.summary()}\ntable, plot, best run: {out}")
