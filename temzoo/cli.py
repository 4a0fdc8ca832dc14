"""The command line: ``temzoo COMMAND …``; what is heavy is imported by who needs it."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Labels and micrographs in; trained networks, masks and figures out.",
)

labels_app = typer.Typer(no_args_is_help=True, help="Check and convert label files.")
app.add_typer(labels_app, name="labels")
CLASSICAL = ("otsu", "forest")
COLUMNS = ["model", "task", "what", "parameters", "weights", "paper"]

Images = Annotated[Path, typer.Option(help="Folder of micrographs.")]
Labels = Annotated[Path, typer.Option(help="CVAT 1.1 XML, COCO or VIA JSON, or a folder of masks.")]
Groups = Annotated[
    Path | None,
    typer.Option(help="CSV of image name and specimen; a split never parts a specimen."),
]
Neck = Annotated[
    float | None, typer.Option(help="Watershed: cut necks below this part of the width, 0 - 1.")
]
Threshold = Annotated[
    float | None, typer.Option(help="Watershed: only pixels of this probability, 0.5 - 1.")
]
MinArea = Annotated[int, typer.Option(help="Drop smaller instances.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Keyword of the model; repeatable."),
]


def keywords(pairs: list[str] | None) -> dict:
    """``["alpha=0.75", "norm=group"]`` to a dict; values as Python literals, else text."""
    found = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"Give KEY=VALUE, such as alpha=0.5. Received: {pair!r}.")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value
    return found


def _load_tensorflow() -> None:
    """Imports it without its greetings, which it writes to file descriptor 2 at any log level."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="One of `temzoo models`.")],
    images: Images,
    labels: Labels,
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    set_: Set = None,
    groups: Groups = None,
    train_names: Annotated[Path | None, typer.Option(help="CSV of images to train on.")] = None,
    val_names: Annotated[Path | None, typer.Option(help="CSV of images to validate on.")] = None,
    val: Annotated[float, typer.Option(help="Share to validate on, without --val-names.")] = 0.2,
    limit: Annotated[int | None, typer.Option(help="Train on so many images, drawn.")] = None,
    weights: Annotated[str | None, typer.Option(help="Start from: a name, file or run.")] = None,
    epochs: int = 30,
    batch: int = 8,
    crop: Annotated[
        int | None,
        typer.Option(help="Side of a crop, px; by default what the model takes, else 256."),
    ] = None,
    magnification: Annotated[
        tuple[float, float], typer.Option(help="Resize micrographs by a factor in this range.")
    ] = (0.7, 1.0),
    augment: Annotated[str, typer.Option(help="none, light or em.")] = "em",
    learning_rate: float = 1e-3,
    loss: Annotated[
        str | None,
        typer.Option(help="Of models that label pixels: dice_ce, ce, dice, focal or tversky."),
    ] = None,
    balance: Annotated[bool, typer.Option(help="Let rare classes weigh more.")] = False,
    mixed_precision: Annotated[bool, typer.Option(help="Compute in bfloat16.")] = False,
    patience: Annotated[int | None, typer.Option(help="Epochs without gain to stop.")] = None,
    validate_every: Annotated[int, typer.Option(help="Epochs between validations.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Steps an epoch.")] = None,
    finetune: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Second phase with this keyword changed: encoder_trainable=deep, or"
            " backbone_trainable=deep for mask_rcnn.",
        ),
    ] = None,
    finetune_epochs: int = 10,
    finetune_rate: float = 1e-4,
    seed: int = 0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on in --out, with the settings it was started with."),
    ] = False,
):
    """Train a model on labelled micrographs.

    The run folder gets the weights with their card, run.json, history and pictures. Ctrl-C keeps
    the best epoch so far; --resume goes on exactly where a stopped run was.

    Example: temzoo train unet --images micrographs --labels annotations.xml --out runs/first

    A detector takes crops of its image_size: temzoo train mask_rcnn --set image_size=384 --batch 4
    --validate-every 5 --images …
    """
    _load_tensorflow()
    import keras

    import temzoo
    from temzoo.pipeline.examples import class_names

    learn, judge = _two_parts(images, labels, groups, train_names, val_names, val, seed)
    if limit:
        learn = _draw(learn, limit, seed)
    config = keywords(set_)
    if weights is None:
        config.setdefault("classes", len(class_names([*learn, *judge])) + 1)
    keras.utils.set_random_seed(seed)
    network = temzoo.get_model(model, weights=weights, **config)
    run = temzoo.train(
        network,
        learn,
        judge,
        out=out,
        resume=resume,
        epochs=epochs,
        batch=batch,
        crop=crop,
        magnification=magnification,
        augment=augment,
        learning_rate=learning_rate,
        loss=loss,
        class_weights="balanced" if balance else None,
        mixed_precision=mixed_precision,
        patience=patience,
        validate_every=validate_every,
        steps_per_epoch=steps,
        finetune=keywords(finetune) or None,
        finetune_epochs=finetune_epochs,
        finetune_rate=finetune_rate,
        seed=seed,
    )
    if not run.epoch:
        kept = "its weights are the last ones" if run.history else "no weights yet"
        what = "was validated" if run.history else "ended"
        print(f"stopped before an epoch {what}: {kept}, settings in {out / 'run.json'}")
        return
    print(
        f"best validation {run.score_name} {run.score:.4f} in epoch {run.epoch};"
        f" weights, card, history: {out}"
    )


def _two_parts(images, labels, groups, train_names, val_names, val, seed):
    import temzoo
    from temzoo.pipeline.splits import pick, read_names

    examples = temzoo.load_dataset(images=images, labels=labels, groups=groups)
    if val_names is None:
        return temzoo.split(examples, (1 - val, val), seed=seed)
    held = read_names(val_names)
    if train_names is not None:
        return temzoo.split_by_names(examples, read_names(train_names), held)
    judge = pick(examples, held)
    names = {example.name for example in judge}
    return [example for example in examples if example.name not in names], judge


def _draw(examples, count: int, seed: int):
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(examples))[:count]
    return [examples[i] for i in sorted(chosen)]


@app.command()
def evaluate(
    weights: Annotated[
        str, typer.Argument(help="A run folder or weights file; or otsu, forest (see --fit-names).")
    ],
    images: Images,
    labels: Labels,
    set_: Set = None,
    names: Annotated[Path | None, typer.Option(help="CSV of images to score.")] = None,
    fit_names: Annotated[
        Path | None, typer.Option(help="CSV of images that otsu and forest learn from.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Fit on so many images, drawn.")] = None,
    instances: Annotated[str, typer.Option(help="components or watershed.")] = "components",
    neck: Neck = None,
    threshold: Threshold = None,
    min_area_px: MinArea = 0,
    ap: Annotated[
        bool | None,
        typer.Option("--ap/--no-ap", help="COCO's AP too; by default of detectors alone."),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(help="Detectors: objects count from this score on, save for AP; 0.5."),
    ] = None,
    flips: Annotated[
        bool, typer.Option(help="Average over mirror images: 4 times slower.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table, figures and overlays.")
    ] = None,
    seed: int = 0,
):
    """Score a model, or a classical baseline, on labelled micrographs at full resolution.

    Prints IoU, Dice, precision and recall per image and pooled, with 95 % bootstrap intervals over
    images, and instances matched one to one at IoU 0.5 with panoptic quality, and COCO's AP of
    boxes and masks for detectors. Without --names, a run is scored on the images it was validated
    on.

    Example: temzoo evaluate runs/first --images micrographs --labels annotations.xml --out scores
    """
    _load_tensorflow()
    import temzoo
    from temzoo.pipeline.examples import class_names
    from temzoo.report import validation_sheet

    separation = _separation(instances, neck, threshold)
    everything = temzoo.load_dataset(images=images, labels=labels)
    if weights in CLASSICAL:
        learn, examples = _fit_and_score(everything, fit_names, names)
        learn = _draw(learn, limit, seed) if limit else learn
        model = _classical(weights, learn, class_names(everything), seed)
    else:
        model = _trained(weights, set_)
        examples = _to_score(weights, everything, names)
    found = temzoo.evaluate(
        model,
        examples,
        instances=separation,
        min_area_px=min_area_px,
        min_score=min_score,
        ap=ap,
        flips=flips,
        progress=True,
    )
    print(found.summary())
    if out:
        found.to_csv(out / "images.csv")
        found.to_json(out / "figures.json")
        validation_sheet(out / "overlays.png", model, examples, found.classes, min_score=min_score)
        print(
            f"table: {out / 'images.csv'}; figures: {out / 'figures.json'};"
            f" overlays: {out / 'overlays.png'}"
        )


def _fit_and_score(examples, fit_names: Path | None, names: Path | None):
    """Two parts without a common image: what a baseline learns from, and what it is scored on."""
    from temzoo.pipeline.splits import pick, read_names, split_by_names

    if fit_names is None:
        raise ValueError(
            "otsu and forest learn from labelled images, and are scored on others. Name the first"
            " with --fit-names FILE.csv; the rest, or --names, are scored."
        )
    if names is not None:
        return split_by_names(examples, read_names(fit_names), read_names(names))
    learn = pick(examples, read_names(fit_names))
    known = {example.name for example in learn}
    return learn, [example for example in examples if example.name not in known]


def _to_score(weights: str, examples, names: Path | None):
    """The named images; else those that the run validated on; else all."""
    from temzoo.pipeline.splits import pick, read_names

    run = (
        Path(weights) / "run.json" if Path(weights).is_dir() else Path(weights).parent / "run.json"
    )
    data = json.loads(run.read_text(encoding="utf-8"))["data"] if run.is_file() else {}
    learnt = set(data["train"]["names"]) if data else set()
    if names is not None:
        chosen = pick(examples, read_names(names))
    else:
        chosen = [
            e for e in examples if not data or e.name in set(data["val"]["names"])
        ] or examples
        if len(chosen) < len(examples):
            print(f"scoring the {len(chosen)} validation images of the run; --names chooses others")
    seen = sum(example.name in learnt for example in chosen)
    if seen:
        typer.echo(f"temzoo: the model was trained on {seen} of these images", err=True)
    return chosen


def _classical(name: str, examples, classes, seed: int):
    from temzoo.classical import Otsu, PixelForest

    if name == "otsu":
        return Otsu(classes).fit(examples)
    return PixelForest(classes, seed=seed, jobs=-1).fit(examples)


def _trained(weights: str, pairs: list[str] | None = None):
    """The model of a run folder, a weights file, or MODEL/NAME of a shipped set."""
    import temzoo
    from temzoo import pretrained

    model, slash, name = weights.partition("/")
    if slash and name in pretrained.available(model):
        return temzoo.get_model(model, weights=name, compile=False, **keywords(pairs))
    path = Path(weights)
    found = path / pretrained.BEST if path.is_dir() else path
    if not found.is_file():
        raise FileNotFoundError(
            f"Give a run folder, a {pretrained.SUFFIX} file, or MODEL/NAME of `temzoo models`."
            f" Received: {weights}, and {found} is not there."
        )
    name = pretrained.read_card(found).model
    return temzoo.get_model(name, weights=found, compile=False, **keywords(pairs))


@app.command()
def predict(
    weights: Annotated[str, typer.Argument(help="A run folder, a weights file, or MODEL/NAME.")],
    images: Annotated[list[Path], typer.Argument(help="Micrographs, or folders of them.")],
    set_: Set = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("predictions"),
    tile: Annotated[int | None, typer.Option(help="Side of a tile, px; a multiple of 32.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Least overlap of tiles, px.")] = None,
    flips: Annotated[
        bool, typer.Option(help="Average over mirror images: 4 times slower.")
    ] = False,
    probabilities: Annotated[bool, typer.Option(help="Write the probability map too.")] = False,
    instances: Annotated[str, typer.Option(help="components or watershed.")] = "components",
    neck: Neck = None,
    threshold: Threshold = None,
    min_area_px: MinArea = 0,
    min_score: Annotated[
        float | None, typer.Option(help="Detectors: drop objects that score less; 0.5.")
    ] = None,
):
    """Segment micrographs of any size: class map, instance map and overlay of each.

    --set changes what may differ from training: a dense micrograph needs --set max_detections=800
    --set proposals=1500 of a detector.

    A detector finds whole objects: --tile, --flips, --probabilities and a watershed are not for it.

    Example: temzoo predict runs/first micrographs/new --out predictions
    """
    _load_tensorflow()
    import temzoo
    from temzoo.micrographs import list_images
    from temzoo.report import save_prediction

    paths = [p for image in images for p in (list_images(image) if image.is_dir() else [image])]
    if not paths:
        raise FileNotFoundError(f"There are no images in {', '.join(map(str, images))}.")
    separation = _separation(instances, neck, threshold)
    model = _trained(weights, set_)
    for path in paths:
        micrograph = temzoo.load_micrograph(path)
        found = temzoo.predict(
            model,
            micrograph,
            tile=tile,
            overlap=overlap,
            flips=flips,
            probabilities=probabilities,
            instances=separation,
            min_area_px=min_area_px,
            min_score=min_score,
            progress=True,
        )
        written = save_prediction(
            found, out, micrograph=micrograph, probabilities=probabilities, min_score=0.0
        )
        share = (found.classes > 0).mean()
        # The maps alone would miss objects that lie wholly under others.
        count = found.instances.max() if found.detections is None else len(found.detections)
        print(f"{path.name}: {count} instances, {share:.1%} of the area")
        print("".join(f"  {what}: {where}\n" for what, where in written.items()), end="")


@app.command()
def tune_instances(
    weights: Annotated[str, typer.Argument(help="A run folder, a weights file, or MODEL/NAME.")],
    images: Images,
    labels: Labels,
    names: Annotated[Path | None, typer.Option(help="CSV of images to tune on.")] = None,
):
    """Find the watershed that tells touching particles apart best, on labelled micrographs.

    For networks that label pixels. Without --names, a run is tuned on the images it was validated
    on; choose no images that you will report a score on. Prints the best settings by F1 at IoU 0.5
    and what to type to use them.

    Example: temzoo tune-instances runs/first --images micrographs --labels annotations.xml
    """
    _load_tensorflow()
    import temzoo

    examples = _to_score(weights, temzoo.load_dataset(images=images, labels=labels), names)
    tuned = temzoo.tune_instances(_trained(weights), examples)
    ranked = sorted(tuned.table, key=lambda row: -row["f1"])
    print("F1     matched  true   found  neck  threshold  least area, px")
    for row in ranked[:8]:
        threshold = "-" if row["threshold"] is None else f"{row['threshold']:g}"
        print(
            f"{row['f1']:.3f}  {row['matched']:7d}  {row['true']:5d}  {row['predicted']:5d}"
            f"  {row['neck']:4g}  {threshold:>9}  {row['min_area_px']:6d}"
        )
    best = tuned.best
    limit = "" if best["threshold"] is None else f" --threshold {best['threshold']:g}"
    print(
        f"temzoo predict {weights} IMAGES --instances watershed --neck {best['neck']:g}{limit}"
        f" --min-area-px {best['min_area_px']}"
    )


def _separation(instances: str, neck: float | None, threshold: float | None):
    """How instances are told apart: the word, or a watershed with settings of one's own."""
    from temzoo.prediction import NECK, Watershed

    if neck is None and threshold is None:
        return instances
    if instances != "watershed":
        raise ValueError(
            "--neck and --threshold are settings of the watershed. Received: "
            f"--instances {instances}. Add --instances watershed."
        )
    return Watershed(neck=NECK if neck is None else neck, threshold=threshold)


@app.command()
def models(
    task: Annotated[str | None, typer.Option(help="Only those of this task.")] = None,
    name: Annotated[str | None, typer.Argument(help="Show this model's card.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the README's table.")] = False,
):
    """List the models, or show one's card: keywords, defaults, paper, weights."""
    from rich.console import Console

    from temzoo import registry

    if markdown:
        rows = [COLUMNS, ["---"] * len(COLUMNS), *_model_rows(registry, task, code="`")]
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
        return
    table = _card_table(registry.model_card(name)) if name else _model_table(registry, task)
    Console().print(table)


def _model_table(registry, task: str | None):
    from rich.table import Table

    table = Table()
    for column in COLUMNS:
        table.add_column(column, no_wrap=column == "model")
    for row in _model_rows(registry, task):
        table.add_row(*row)
    return table


def _model_rows(registry, task: str | None, code: str = "") -> list[list[str]]:
    rows = []
    for name in registry.list_models(task=task):
        card = registry.model_card(name)
        parameters = f"{card.parameters / 1e6:.1f} M" if card.parameters else ""
        weights = ", ".join(card.weights)
        rows.append(
            [f"{code}{name}{code}", card.task, card.summary, parameters, weights, card.paper]
        )
    return rows


def _card_table(card):
    from rich.table import Table

    table = Table(card.name, card.summary)
    for key in ("task", "paper", "input", "output"):
        table.add_row(key, getattr(card, key))
    table.add_row("parameters", f"{card.parameters:,}" if card.parameters else "")
    for key, default in card.config.items():
        table.add_row(f"--set {key}=", repr(default))
    for name, weights in card.weights.items():
        scores = ", ".join(f"{k} {v}" for k, v in weights.scores.items())
        table.add_row(f"weights {name}", f"{weights.dataset} ({weights.licence}); {scores}")
    return table


@labels_app.command("check")
def labels_check(
    labels: Annotated[Path, typer.Argument(help="CVAT, COCO or VIA file, or a folder of masks.")],
    images: Annotated[Path | None, typer.Option(help="Folder of micrographs.")] = None,
    html: Annotated[Path | None, typer.Option(help="Draw the flagged shapes on a page.")] = None,
):
    """Say what is wrong with a label set; exit status 1 when there are errors.

    Example: temzoo labels check annotations.xml --images micrographs --html check.html
    """
    from temzoo import labels as formats
    from temzoo.labels import check as checks

    entries = formats.read(labels, images=images)
    report = checks.check(entries, image_folder=images)
    print(checks.to_text(report))
    if html:
        from temzoo.labels.check_page import to_html

        to_html(report, entries, html, image_folder=images)
        print(f"drawn: {html}")
    raise typer.Exit(report.exit_status)


@labels_app.command("convert")
def labels_convert(
    source: Annotated[Path, typer.Argument(help="CVAT, COCO or VIA file, or a folder of masks.")],
    target: Annotated[Path, typer.Argument(help="File or folder to write.")],
    to: Annotated[str, typer.Option(help="cvat, coco, yolo or masks.")],
    images: Annotated[Path | None, typer.Option(help="Folder of micrographs, for VIA.")] = None,
):
    """Convert labels between formats.

    Example: temzoo labels convert annotations.xml coco.json --to coco
    """
    from temzoo import labels as formats

    print(formats.convert(source, target, to=to, images=images))


@app.command()
def augment(
    image: Annotated[Path, typer.Argument(help="A micrograph.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("augmentations.png"),
    seed: int = 0,
):
    """Draw what each operation of the augmentation does to a micrograph.

    Example: temzoo augment micrographs/a.tif --out augmentations.png
    """
    import temzoo
    from temzoo.pipeline.augment import sheet as changed
    from temzoo.report import Panel, sheet, stretched

    pixels = temzoo.load_micrograph(image).pixels
    panels = [
        Panel(stretched(picture), f"{title}: {parameters['range']}" if parameters else title)
        for title, picture, parameters in changed(pixels, seed=seed)
    ]
    print(sheet(out, panels, title=image.name))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    images: Annotated[Path | None, typer.Option(help="Your micrographs; else synthetic.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Their labels.")] = None,
    n: Annotated[int, typer.Option(help="Synthetic micrographs to make.")] = 24,
    epochs: Annotated[int, typer.Option(help="Of each network.")] = 8,
    seed: int = 0,
):
    """The whole path in minutes: labels, check, training, scores beside baselines, a prediction."""
    _load_tensorflow()
    from temzoo.demo import demo as run

    run(out, images=images, labels=labels, n=n, epochs=epochs, seed=seed)


def main() -> None:
    """Runs a command; an error that the user can mend is one line, without a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("TEMZOO_TRACEBACK"):
            raise
        typer.echo(f"temzoo: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
