"""``temzoo labels``, ``augment`` and ``label-next``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import (
    Merge,
    Micrographs,
    Rename,
    Seed,
    Set,
    Values,
    Weights,
    With,
    app,
    load_tensorflow,
    trained,
)
from temzoo.cli.help import Group

labels_app = typer.Typer(cls=Group, no_args_is_help=True, help="Check and convert label files.")
app.add_typer(labels_app, name="labels")
LabelFile = Annotated[Path, typer.Argument(help="A label file, or a folder of labels or masks.")]


@labels_app.command("check")
def labels_check(
    labels: LabelFile,
    images: Annotated[Path | None, typer.Option(help="Folder of micrographs.")] = None,
    values: Values = "auto",
    html: Annotated[Path | None, typer.Option(help="Draw the flagged shapes on a page.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List each finding, not a few.")] = False,
):
    """Say what is wrong with a label set; exit status 1 when there are errors.

    Example: temzoo labels check annotations.xml --images micrographs --html check.html
    """
    from temzoo import labels as formats
    from temzoo.labels.check import check
    from temzoo.labels.check_report import Finding, to_text

    said: list[Finding] = []
    entries = formats.read(labels, images=images, values=values, said=said)
    report = check(entries, image_folder=images, said=said)
    print(to_text(report, every=every))
    if html:
        from temzoo.pages.label_check import to_html

        to_html(report, entries, html, image_folder=images)
        print(f"drawn: {html}")
    raise typer.Exit(report.exit_status)


@labels_app.command("convert")
def labels_convert(
    source: LabelFile,
    target: Annotated[Path, typer.Argument(help="File or folder to write.")],
    to: Annotated[
        str,
        typer.Option(
            help="cvat, coco, yolo (boxes), yolo-seg, labelme, via, via3, via-csv, datumaro, "
            "labelstudio, labelbox, segmask, masks, imagej, qupath, cellpose."
        ),
    ],
    kind: Annotated[
        str | None, typer.Option(help="Masks: classes, or instances to keep touching ones apart.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of micrographs, for labels that state no sizes.")
    ] = None,
    values: Values = "auto",
    rename: Rename = None,
    merge: Merge = None,
    line_width: Annotated[
        float | None, typer.Option(help="Make polylines bands of this width in px, to learn from.")
    ] = None,
):
    """Convert labels between formats, and say what the new one does not hold.

    Example: temzoo labels convert annotations.xml coco.json --to coco
    """
    from temzoo import labels as formats
    from temzoo.labels.renaming import parsed

    renames, merges = parsed(rename, merge)
    how = {"images": images, "values": values, "rename": renames, "merge": merges}
    how["line_width"] = line_width
    print(formats.convert(source, target, to=to, kind=kind, **how))


@app.command()
def augment(
    image: Annotated[Path, typer.Argument(help="A micrograph.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("augmentations.png"),
    seed: Seed = 0,
):
    """Draw what each operation of the augmentation does to a micrograph.

    Example: temzoo augment micrographs/a.tif --out augmentations.png
    """
    import temzoo
    from temzoo.data.augment import sheet as changed
    from temzoo.pictures.overlays import stretched
    from temzoo.pictures.sheets import Panel, sheet

    pixels = temzoo.load_micrograph(image).pixels
    panels = [
        Panel(stretched(picture), f"{title}: {parameters['range']}" if parameters else title)
        for title, picture, parameters in changed(pixels, seed=seed)
    ]
    print(sheet(out, panels, title=image.name))


@app.command()
def label_next(
    weights: Weights,
    images: Micrographs,
    set_: Set = None,
    with_: With = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("label-next"),
    count: Annotated[int, typer.Option(help="How many to choose.")] = 10,
    diversity: Annotated[
        float, typer.Option(help="0: the most uncertain, however alike; 1: the most different.")
    ] = 0.3,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels there are: what has some is left out, and not repeated."),
    ] = None,
    flips: Annotated[
        bool, typer.Option("--flips/--no-flips", help="Without: 4 times faster, a little worse.")
    ] = True,
    seed: Seed = 0,
):
    """Choose the micrographs whose labels would teach a trained model most.

    Those of which it is least sure, and which differ from each other and from what is labelled.
    Writes label_next.csv, all micrographs with the chosen first, and label_next.png, a sheet of the
    chosen that shows where the model is unsure. What cannot be read is named, the rest is ordered
    all the same, and the exit status is 1.

    Example: temzoo label-next runs/first micrographs --labels annotations.xml --count 10
    """
    from temzoo.micrographs.listing import image_paths

    paths = image_paths(images, exports=True)  # what CVAT reads
    fresh, known = _parted(paths, labels)
    load_tensorflow()
    import temzoo

    ranking = temzoo.label_next(
        trained(weights, set_),
        fresh,
        count=count,
        diversity=diversity,
        labelled=known,
        flips=flips,
        seed=seed,
        progress=True,
    )
    written = ranking.save(out)
    for one in ranking.chosen:
        print(f"{one.rank:3d}  uncertainty {one.uncertainty:.3f}  {one.name}")
    skipped = f"; {len(known)} left out, which have labels" if known else ""
    print(f"{len(ranking.chosen)} of {len(fresh)} micrographs{skipped}")
    print(f"table: {written['table']}; sheet: {written['sheet']}")
    for one in ranking.failed:
        print(f"not read: {one.name}: {one.reason.removeprefix(f'{one.name}: ')}", file=sys.stderr)
    if ranking.failed:
        raise typer.Exit(1)


def _parted(paths: list[Path], labels: Path | None) -> tuple[list[Path], list[Path]]:
    """Micrographs without and with labels, told apart by their names without suffix.

    Raises:
        ValueError: all have labels.
    """
    if labels is None:
        return paths, []
    from temzoo.core.files import file_stem
    from temzoo.labels import read

    folders = {path.parent for path in paths}
    entries = read(labels, images=folders.pop() if len(folders) == 1 else None)
    done = {file_stem(entry.name).casefold() for entry in entries if entry.shapes}
    known = [path for path in paths if file_stem(path.name).casefold() in done]
    fresh = [path for path in paths if path not in set(known)]
    if not fresh:
        raise ValueError(
            f"label-next orders micrographs without labels. Received: {len(paths)}, which all have"
            f" labels in {labels}. Name a folder with new ones, or leave --labels out."
        )
    return fresh, known
