"""``temzoo predict`` and ``restore``: which weights, which micrographs, what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from temzoo.cli import common
from temzoo.cli.common import app, keywords, load_tensorflow, trained
from temzoo.cli.scoring import MinArea, Neck, Threshold, separation_of
from temzoo.core.settings import MIN_AREA_PX, SEPARATION

if TYPE_CHECKING:
    from temzoo.workflows.predict_folder import LazyModel
    from temzoo.workflows.prediction_job import Row

FORMATS = ("maps", "cvat", "coco")
Tile = Annotated[int | None, typer.Option(help="Side of a tile, px; a multiple of 32.")]
Overlap = Annotated[int | None, typer.Option(help="Least overlap of tiles, px.")]
PLAIN = ("tensorflow", "float32")  # engine and precision of the model as it is


@app.command()
def predict(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[WEIGHTS] IMAGES",
            help="A run folder, weights file or MODEL/NAME, if not the shipped ones; then"
            f" micrographs, or folders of them. {common.OF_HDF5}",
            show_default=False,
        ),
    ],
    set_: common.Set = None,
    with_: common.With = None,
    out: Annotated[
        str, typer.Option(help="Folder to write to, or s3://…, gs://… (temzoo[remote]).")
    ] = "predictions",
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="maps; cvat: predictions.xml too, to upload as labels; coco:"
            " predictions.coco.json too. Repeatable, or with commas.",
        ),
    ] = None,
    shapes: Annotated[str, typer.Option(help="cvat, coco: polygons, or exact masks.")] = "polygons",
    polygon_error: Annotated[
        float, typer.Option(help="cvat, coco: px that a polygon may leave the outline.")
    ] = 1.0,
    tile: Tile = None,
    overlap: Overlap = None,
    flips: common.Flips = False,
    probabilities: Annotated[bool, typer.Option(help="Write the probability map too.")] = False,
    instances: Annotated[
        str,
        typer.Option(
            help="components: regions; watershed: cut where particles touch; fused: of particles,"
            " cut where mask_rcnn/emps sees several too; auto: watershed, or a detector's own"
            " objects."
        ),
    ] = SEPARATION,
    neck: Neck = None,
    threshold: Threshold = None,
    min_area_px: MinArea = MIN_AREA_PX,
    min_score: Annotated[
        float | None,
        typer.Option(help="Drop objects that score less; by default the model's own."),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Ask TF Serving at grpc://HOST:8500/NAME or http://HOST:8501/NAME; no WEIGHTS"
            " then.",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="On a CPU: tensorflow; openvino, onnxruntime (extras); auto: the fastest."
        ),
    ] = "tensorflow",
    precision: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16 or int8; by default float32, or what auto found."),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="int8: folder of micrographs as in training.")
    ] = None,
    frame: Annotated[
        int | None,
        typer.Option(min=0, help="Of stacks: this image alone, from 0; all by default."),
    ] = None,
    scale_bar: Annotated[
        str,
        typer.Option(
            metavar="auto|off|require",
            help="Calibrate by the scale bar in the picture, where the file states nothing; auto:"
            " where temzoo[scalebar] is installed; require: else the image fails.",
        ),
    ] = "auto",
    crop_bar: common.CropBar = True,
    ignore_box: common.IgnoreBox = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="auto|ADDRESS",
            help="Share the work on a Ray cluster (temzoo[ray]); auto: the one that runs here, else"
            " this machine.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER/COUNT",
            help="3/16: the third of sixteen parts of the images, of a job array; a last call"
            " without it writes the tables.",
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Redo what is finished.")] = False,
):
    """Segment micrographs of any size: class map, instance map and overlay of each.

    Each micrograph gets STEM_classes.png, STEM_instances.tif, STEM_overlay.png and, last of all,
    STEM.prediction.json: where it is, the others are whole. Run again, a stopped job goes on where
    it was, and labels in another format cost no prediction. A file that cannot be predicted does
    not end the job: predictions.csv lists them all, and the exit status is 1. It lists what earlier
    jobs left in the folder too, and so do label files.

    Each image of a stack is predicted: stack_00.mrc, stack_01.mrc … A microscope's file goes before
    its export beside it, which has often lost the calibration.

    --set changes what may differ from training: a dense micrograph needs --set max_detections=800
    --set proposals=1500 of a detector.

    --engine and --precision make it faster on a CPU: int8 is calibrated on the micrographs of
    --calibration; auto takes what temzoo.accelerate found for these weights, else the fastest in
    float32.

    Objects that touch are cut apart, and those below 10 px dropped (--instances components
    --min-area-px 0 keeps connected regions as they are).

    The scale bar drawn into a picture calibrates it, if its file states no calibration, and what
    was drawn counts in nothing: not as objects, and not in the area of the field.

    A detector finds whole objects: --tile, --flips, --probabilities and a watershed are not for it.

    Example: temzoo predict micrographs/new

    Example: temzoo predict runs/first micrographs/new --out predictions --format cvat
    """
    from temzoo.workflows.drawn import Drawn, boxes_of
    from temzoo.workflows.predict_folder import predict_folder
    from temzoo.workflows.shards import shard_of

    part = None if shard is None else shard_of(shard)
    formats = chosen_formats(format_)
    weights, places = weights_and_images(arguments, server)
    accelerate = (engine, precision or "float32") != PLAIN
    if accelerate and server:
        raise ValueError(
            f"a server computes as it was told to. Received: --engine {engine} and --server"
            f" {server}. Leave one out."
        )
    model = chosen_model(weights, server, set_)
    if accelerate:
        model = accelerated(model, engine, precision, calibration)
    done = predict_folder(
        model,
        places,
        out,
        frame=frame,
        tile=tile,
        overlap=overlap,
        flips=flips,
        probabilities=probabilities,
        instances=separation_of(instances, neck, threshold),
        min_area_px=min_area_px,
        min_score=min_score,
        drawn=Drawn(scale_bar, crop_bar, boxes_of(ignore_box)),
        again=again,
        formats=formats,
        shapes=shapes,
        error_px=polygon_error,
        cluster=cluster,
        shard=part,
    )
    there = len(done.rows) - len(done.failed)
    print(f"{there} of {len(done.rows)} predictions are in {out}, listed in {done.table}")
    if done.earlier:
        print(f"with {len(done.earlier)} of earlier jobs, in label files too")
    report_failures(done.rows)


def chosen_formats(given: Sequence[str] | None) -> list[str]:
    """The formats named by ``--format``, each once, in its order."""
    words = [word.strip() for text in given or ["maps"] for word in text.split(",")]
    unknown = [word for word in words if word not in FORMATS]
    if unknown:
        raise ValueError(
            f"--format must be of {', '.join(FORMATS)}. Received: {unknown[0]!r}. Give one, or"
            " several with commas."
        )
    return [word for word in dict.fromkeys(words) if word != "maps"]


def weights_and_images(
    arguments: Sequence[str], server: str | None
) -> tuple[str | None, list[Path]]:
    """Tells weights from images: the first word names weights where such weights exist.

    Returns:
        The weights, None where a server has them; and the images.

    Raises:
        FileNotFoundError: the first word is neither.
        ValueError: there are no images, or weights for a server.
    """
    from temzoo.micrographs.hdf5_file import parted
    from temzoo.zoo import pretrained

    first, rest = arguments[0], [Path(word) for word in arguments[1:]]
    if is_weights(first):
        if server is not None:
            raise ValueError(
                f"a server has weights of its own. Received: {first} and --server {server}. Leave"
                " one out."
            )
        if not rest:
            raise ValueError(f"name micrographs, or folders of them. Received: {first} alone.")
        return first, rest
    if not parted(first)[0].exists():
        raise FileNotFoundError(
            f"Give a run folder, a {pretrained.SUFFIX} file, or MODEL/NAME of `temzoo models`, then"
            f" micrographs; or micrographs alone. Received: {first}, which is not there."
        )
    return (None if server else pretrained.GENERAL), [Path(first), *rest]


def is_weights(word: str) -> bool:
    """Whether a word names weights: a run folder, a weights file or a shipped set."""
    from temzoo.zoo import pretrained

    path = Path(word)
    if (path / "run.json").is_file() and not (path / pretrained.BEST).is_file():
        raise FileNotFoundError(
            f"a run has weights from its first validation on. Received: {word}, without"
            f" {pretrained.BEST}. Go on with `temzoo train … --resume`."
        )
    if path.is_dir() or path.name.endswith(pretrained.SUFFIX):
        return path.is_file() or (path / pretrained.BEST).is_file()
    model, _, name = word.partition("/")
    return name in pretrained.available(model)


def chosen_model(weights: str | None, server: str | None, set_: list[str] | None) -> LazyModel:
    """The model of some weights or of a server; it is built only where it is needed."""
    import temzoo
    from temzoo.workflows.predict_folder import LazyModel

    if server is None:
        lazy = LazyModel.of_weights(weights, **keywords(set_))
        return replace(lazy, find=lambda: trained_and_told(weights, set_))
    if set_:
        raise ValueError(
            "--set changes weights that are here, not a server's. Received: --set and "
            f"--server {server}. Leave one out."
        )
    return LazyModel.of_server(temzoo.connect(server))


def accelerated(
    lazy: LazyModel, engine: str, precision: str | None, calibration: Path | None
) -> LazyModel:
    """The model in another engine or precision; the sidecars of its predictions record both.

    Raises:
        ValueError: there is no such engine or precision.
    """
    from temzoo.micrographs.listing import image_paths

    told = {"engine": engine, "precision": precision}
    told |= {"calibration": str(calibration)} if calibration else {}

    def find():
        load_tensorflow()
        import temzoo
        from temzoo.deploy.engines.accelerated import check

        check(engine, precision)
        given = image_paths([calibration]) if calibration else None
        model = temzoo.accelerate(lazy.find(), engine, precision, calibration=given)
        print(f"engine: {model.engine}, {model.precision}")
        return model

    origin = replace(lazy.origin, options={**lazy.origin.options, **told})
    return replace(lazy, origin=origin, find=find)


def trained_and_told(weights: str, set_: list[str] | None):
    """Builds the model; where the user chose none, prints which it is and how well it scores."""
    from temzoo.zoo import pretrained
    from temzoo.zoo.cards import score_texts

    if weights == pretrained.GENERAL:
        scores = pretrained.find_trained(weights).card.scores
        print(f"using {weights}: {score_texts(scores)[0]} on {scores['images']} validation images")
    load_tensorflow()
    return trained(weights, set_)


def report_failures(rows: Sequence[Row]) -> None:
    """Lists on the error stream what could not be predicted, and ends with status 1 if any was."""
    failures = [row for row in rows if row.status == "failed"]
    if not failures:
        return
    messages = {row.message for row in failures}
    if len(failures) == len(rows) and len(messages) == 1:
        raise ValueError(f"no image could be predicted: {messages.pop()}")
    width = max(len(row.image) for row in failures)
    typer.echo(f"temzoo: {len(failures)} of {len(rows)} images failed:", err=True)
    for row in failures:
        typer.echo(f"  {row.image:<{width}}  {row.message}", err=True)
    raise typer.Exit(1)


@app.command()
def restore(
    weights: common.Weights,
    images: common.Micrographs,
    set_: common.Set = None,
    with_: common.With = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("restored"),
    tile: Tile = None,
    overlap: Overlap = None,
    flips: common.Flips = False,
    keep_float: Annotated[
        bool, typer.Option("--float", help="32-bit TIFF, nothing rounded or clipped.")
    ] = False,
):
    """Denoise or colour micrographs of any size: a calibrated TIFF of each, and a picture of both.

    Says when an image looks unlike those the model was trained on. Colours of a grey electron
    micrograph are an aid to the eye, not data.

    Example: temzoo restore runs/denoiser micrographs --out restored
    """
    load_tensorflow()
    from temzoo.evaluation.unlike_images import Likeness
    from temzoo.tasks.training_data import LIKENESS
    from temzoo.workflows.restore_folder import restore_folder

    where = Path(weights)
    known = (where if where.is_dir() else where.parent) / LIKENESS
    done = restore_folder(
        trained(weights, set_),
        images,
        out,
        likeness=Likeness.load(known) if known.is_file() else None,
        tile=tile,
        overlap=overlap,
        flips=flips,
        keep_float=keep_float,
    )
    for one in done:
        if one.frames > 1:
            typer.echo(f"temzoo: {one.name}: the first of {one.frames} frames alone", err=True)
        print(f"{one.name}: {one.files['restored']}, {one.files['comparison']}")
        if one.warning:
            typer.echo(f"temzoo: {one.warning}", err=True)
