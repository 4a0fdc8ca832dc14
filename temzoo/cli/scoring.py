"""``temzoo evaluate`` and ``tune-instances``: models that find classes or objects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from temzoo.cli import common
from temzoo.cli.common import app, drawn, load_tensorflow, trained
from temzoo.core.files import read_fields
from temzoo.core.settings import MIN_AREA_PX, SEPARATION

CLASSICAL = ("otsu", "forest")
Neck = Annotated[
    float | None, typer.Option(help="Watershed: cut necks below this part of the width, 0 - 1.")
]
Threshold = Annotated[
    float | None, typer.Option(help="Watershed: only pixels of this probability, 0.5 - 1.")
]
MinArea = Annotated[int, typer.Option(help="Drop smaller instances.")]
Smooth = Annotated[
    str,
    typer.Option(
        metavar="auto|off|PX",
        help="Smooth by a Gaussian of so many px first; auto: micrographs noisier than the weights"
        " bear.",
    ),
]
Binning = Annotated[
    str,
    typer.Option(
        metavar="auto|N",
        help="See means of N x N px; auto: of micrographs larger than the weights know, where more"
        " is found so.",
    ),
]


@app.command()
def evaluate(
    weights: Annotated[
        str, typer.Argument(help="A run folder or weights file; or otsu, forest (see --fit-names).")
    ],
    images: common.Images,
    labels: common.LabelsIfAny = None,
    values: common.Values = "auto",
    rename: common.Rename = None,
    merge: common.Merge = None,
    groups: common.Groups = None,
    set_: common.Set = None,
    with_: common.With = None,
    names: Annotated[Path | None, typer.Option(help="CSV of images to score.")] = None,
    fit_names: Annotated[
        Path | None, typer.Option(help="CSV of images that otsu and forest learn from.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Fit on so many images, drawn at random.")
    ] = None,
    instances: Annotated[
        str, typer.Option(help="auto, components or watershed, as temzoo predict.")
    ] = SEPARATION,
    neck: Neck = None,
    threshold: Threshold = None,
    min_area_px: MinArea = MIN_AREA_PX,
    ap: Annotated[
        bool | None,
        typer.Option("--ap/--no-ap", help="COCO's AP too; by default where objects have scores."),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(help="Objects count from this score on, save for AP; the model's own."),
    ] = None,
    flips: common.Flips = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table, figures and overlays.")
    ] = None,
    seed: common.Seed = 0,
    as_json: common.AsJson = False,
):
    """Score a model, or a classical baseline, on labelled micrographs at full resolution.

    Prints IoU, Dice, precision and recall per image and pooled, with 95 % bootstrap intervals over
    images, and instances matched one to one at IoU 0.5 with panoptic quality, and COCO's AP of
    boxes and masks for detectors. Objects are those that `temzoo predict` writes: cut apart where
    they touch, from 10 px on (--instances components --min-area-px 0 does neither). Without
    --names, a run is scored on the images it was validated on. Its --values, --rename and --merge
    hold for the labels here too, unless others are given.

    A classifier needs no --labels: --images is a folder of particles with their classes, as it was
    trained on. Prints balanced accuracy, macro F1 and the confusion matrix, with intervals over
    micrographs or --groups.

    Example: temzoo evaluate runs/first --images micrographs --labels annotations.xml --out scores
    """
    if weights in CLASSICAL:
        common.refuse_idle({"--set": bool(set_)}, "networks")
    else:
        idle = {"--fit-names": fit_names is not None, "--limit": limit is not None}
        common.refuse_idle(idle, f"what is fitted here, {' and '.join(CLASSICAL)}")
    load_tensorflow()
    if labels is None:
        with common.json_alone(as_json):
            scored = _evaluate_classifier(weights, images, groups, names, set_, out, seed)
        if as_json:
            common.print_json(scored.facts())
        return
    import temzoo
    from temzoo.data.examples import class_names
    from temzoo.labels.renaming import parsed
    from temzoo.zoo.built import class_names_of, task_of

    with common.json_alone(as_json):
        separation = separation_of(instances, neck, threshold)
        renames, merges = parsed(rename, merge)
        how = {"values": values, "rename": renames, "merge": merges, "like": _run_of(weights)}
        everything = temzoo.load_dataset(images=images, labels=labels, groups=groups, **how)
        if weights in CLASSICAL:
            from temzoo.evaluation.baselines import Otsu, PixelForest

            learn, examples = _fit_and_score(everything, fit_names, names)
            learn = drawn(learn, limit, seed) if limit else learn
            classes = class_names(everything)
            fitted = (
                Otsu(classes) if weights == "otsu" else PixelForest(classes, seed=seed, jobs=-1)
            )
            model = fitted.fit(learn)
        else:
            model = trained(weights, set_)
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
        known = class_names_of(model)
        if known and known != found.classes:
            print(
                f"labels of {', '.join(found.classes)} score the model's class {', '.join(known)}"
            )
        print(found.summary())
        if out:
            table, figures, sheet = (
                out / name for name in ("images.csv", "figures.json", "overlays.png")
            )
            found.to_csv(table)
            found.to_json(figures)
            shown = {"min_score": min_score, "min_area_px": min_area_px}
            task_of(model).picture(sheet, model, examples, found.classes, **shown)
            print(f"table: {table}; figures: {figures}; overlays: {sheet}")
    if as_json:
        common.print_json(found.facts())


def _evaluate_classifier(weights, images, groups, names, set_, out: Path | None, seed: int):
    """What ``evaluate`` does without labels."""
    import temzoo
    from temzoo.zoo.cards import model_card
    from temzoo.zoo.pretrained import find_trained
    from temzoo.zoo.task import task_named

    asked = None if weights in CLASSICAL else model_card(find_trained(weights).card.model).task
    if asked is None or task_named(asked).examples != "classes":
        raise ValueError(
            f"{weights} is scored on labelled micrographs. Received: no --labels. Add --labels"
            " FILE; only classifiers go without."
        )
    model = trained(weights, set_)
    examples = _to_score(weights, temzoo.load_classes(images, groups), names)
    found = temzoo.evaluate_classifier(model, examples, seed=seed)
    print(found.summary())
    if out:
        table, figures, drawn = (
            out / name for name in ("images.csv", "figures.json", "confusion.png")
        )
        found.to_csv(table)
        found.to_json(figures)
        task_named(asked).picture(drawn, model, examples, found.classes)
        print(f"table: {table}; figures: {figures}; confusion matrix: {drawn}")
    return found


def _fit_and_score(examples, fit_names: Path | None, names: Path | None):
    """What a baseline learns from, and what it is scored on: no image or specimen is in both."""
    from temzoo.data.splits import pick, read_names, require_apart, split_by_names

    if fit_names is None:
        raise ValueError(
            "otsu and forest learn from labelled images, and are scored on others. Name the first"
            " with --fit-names FILE.csv; the rest, or --names, are scored."
        )
    if names is not None:
        return split_by_names(examples, read_names(fit_names), read_names(names))
    learn = pick(examples, read_names(fit_names))
    known = {example.name for example in learn}
    rest = [example for example in examples if example.name not in known]
    require_apart(learn, rest)
    return learn, rest


def _run_of(weights: str) -> dict[str, Any]:
    """What the run says that weights are of; empty where they are of none."""
    where = Path(weights)
    run = (where if where.is_dir() else where.parent) / "run.json"
    is_run = weights not in CLASSICAL and run.is_file()
    return read_fields(run, {"data": dict}) if is_run else {}


def _to_score(weights: str, examples, names: Path | None):
    """The named images; else those that the run validated on; else all."""
    from temzoo.data.splits import pick, read_names

    data = _run_of(weights).get("data")
    learnt, judged = (set(data[part]["names"]) if data else set() for part in ("train", "val"))
    if names is not None:
        chosen = pick(examples, read_names(names))
    else:
        chosen = [example for example in examples if example.name in judged] or examples
        if len(chosen) < len(examples):
            print(f"scoring the {len(chosen)} validation images of the run; --names chooses others")
    seen = sum(example.name in learnt for example in chosen)
    if seen:
        typer.echo(f"temzoo: the model was trained on {seen} of these images", err=True)
    return chosen


@app.command()
def tune_instances(
    weights: common.Weights,
    images: common.Images,
    labels: common.Labels,
    values: common.Values = "auto",
    rename: common.Rename = None,
    merge: common.Merge = None,
    with_: common.With = None,
    names: Annotated[Path | None, typer.Option(help="CSV of images to tune on.")] = None,
):
    """Find the watershed that tells touching particles apart best, on labelled micrographs.

    For networks that label pixels. Without --names, a run is tuned on the images it was validated
    on; choose no images that you will report a score on. Prints the best settings by F1 at IoU 0.5
    and what to type to use them.

    Example: temzoo tune-instances runs/first --images micrographs --labels annotations.xml
    """
    load_tensorflow()
    import temzoo
    from temzoo.labels.renaming import parsed

    renames, merges = parsed(rename, merge)
    how = {"values": values, "rename": renames, "merge": merges, "like": _run_of(weights)}
    everything = temzoo.load_dataset(images=images, labels=labels, **how)
    examples = _to_score(weights, everything, names)
    tuned = temzoo.tune_instances(trained(weights), examples)
    ranked = sorted(tuned.table, key=lambda row: -row["f1"])
    print("F1     matched  true   found  neck  threshold  least score  least area, px")
    for row in ranked[:8]:
        threshold, score = (
            "-" if row[name] is None else f"{row[name]:g}" for name in ("threshold", "min_score")
        )
        print(
            f"{row['f1']:.3f}  {row['matched']:7d}  {row['true']:5d}  {row['predicted']:5d}"
            f"  {row['neck']:4g}  {threshold:>9}  {score:>11}  {row['min_area_px']:6d}"
        )
    best = tuned.best
    limit = "" if best["threshold"] is None else f" --threshold {best['threshold']:g}"
    limit += "" if best["min_score"] is None else f" --min-score {best['min_score']:g}"
    print(
        f"temzoo predict {weights} IMAGES --instances watershed --neck {best['neck']:g}{limit}"
        f" --min-area-px {best['min_area_px']}"
    )


def number_or_word(text: str, kind: type) -> Any:
    """A number where one was given; what words there are, ``PredictOptions`` checks."""
    try:
        return kind(text)
    except ValueError:
        return text


def separation_of(instances: str, neck: float | None, threshold: float | None):
    """How instances are told apart: the word, or a watershed with settings of one's own."""
    from temzoo.inference.regions import Watershed

    if neck is None and threshold is None:
        return instances
    if instances not in ("auto", "watershed"):
        raise ValueError(
            "--neck and --threshold are settings of the watershed. Received: "
            f"--instances {instances}. Add --instances watershed."
        )
    return Watershed(neck, threshold)
