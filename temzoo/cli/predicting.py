"""``temzoo predict``: which weights, which micrographs, what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from temzoo.cli import common
from temzoo.cli.common import app, keywords, load_tensorflow, trained
from temzoo.cli.scoring import (
    Binning,
    MinArea,
    Neck,
    Smooth,
    Threshold,
    number_or_word,
    separation_of,
)
from temzoo.core.settings import BINNING, MIN_AREA_PX, SEPARATION, SMOOTH
from temzoo.core.showing import doubtful_text, support_text

if TYPE_CHECKING:
    from temzoo.workflows.predict_folder import LazyModel
    from temzoo.workflows.prediction_job import Row

FORMATS = ("maps", "cvat", "coco", "yolo", "imagej", "qupath", "cellpose")
WIDE = 0.4  # share of the field that an object covers which may be a support
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
        str, typer.Option(help="Folder to write to, or s3://…, gs://… (the extra remote).")
    ] = "predictions",
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="maps; cvat: predictions.xml too, to upload as labels; coco:"
            " predictions.coco.json too; yolo, imagej, qupath, cellpose: predictions.yolo/ … too,"
            " a file for each. Repeatable, or with commas.",
        ),
    ] = None,
    shapes: Annotated[str, typer.Option(help="Of labels: polygons, or exact masks.")] = "polygons",
    polygon_error: Annotated[
        float, typer.Option(help="Of labels: px that a polygon may leave the outline.")
    ] = 1.0,
    tile: common.Tile = None,
    overlap: common.Overlap = None,
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
    smooth: Smooth = SMOOTH,
    binning: Binning = BINNING,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Ask TF Serving at grpc://HOST:8500/NAME or http://HOST:8501/NAME; no WEIGHTS"
            " then.",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="On a CPU: tensorflow; openvino, onnxruntime (extras); auto: the fastest. By"
            " default an extra that is installed, in float32, else tensorflow.",
            show_default=False,
        ),
    ] = None,
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
            " where the extra scalebar is installed; require: else the image fails.",
        ),
    ] = "auto",
    crop_bar: common.CropBar = True,
    ignore_box: common.IgnoreBox = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="auto|ADDRESS",
            help="Share the work on a Ray cluster (the extra ray); auto: the one that runs here,"
            " else this machine.",
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
    not end the job: predictions.csv (of --cluster: predictions.parquet) lists them all, and the
    exit status is 1. It lists what earlier jobs left in the folder too, and so do label files.

    Each image of a stack is predicted: stack_00.mrc, stack_01.mrc … A microscope's file goes before
    its export beside it, which has often lost the calibration.

    --set changes what may differ from training: a dense micrograph needs --set max_detections=800
    --set proposals=1500 of a detector.

    A micrograph that is noisier or larger than those that shipped weights know is smoothed or
    binned before they see it, and its line says so.

    --engine and --precision make it faster on a CPU: int8 is calibrated on the micrographs of
    --calibration; auto takes what temzoo.accelerate found for these weights, else the fastest in
    float32. A network that was converted for an engine is kept (temzoo cache), and the next
    prediction starts without TensorFlow.

    Objects that touch are cut apart, and those below 10 px dropped (--instances components
    --min-area-px 0 keeps connected regions as they are).

    The scale bar drawn into a picture calibrates it, if its file states no calibration, and what
    was drawn counts in nothing: not as objects, and not in the area of the field.

    A detector finds whole objects: --tile, --flips, --probabilities and a watershed are not for it.

    Example: temzoo predict micrographs/new

    Example: temzoo predict runs/first micrographs/new --out predictions --format cvat
    """
    from temzoo.micrographs.drawn import Drawn, boxes_of
    from temzoo.workflows.predict_folder import predict_folder
    from temzoo.workflows.shards import shard_of
    from temzoo.zoo import pretrained

    part = None if shard is None else shard_of(shard)
    formats = chosen_formats(format_)
    idle = calibration is not None and precision != "int8" and engine != "auto"
    common.refuse_idle({"--calibration": idle}, "--precision int8")
    of_labels = {"--shapes": shapes != "polygons", "--polygon-error": polygon_error != 1.0}
    common.refuse_idle({} if formats else of_labels, "labels, such as --format cvat")
    weights, places = weights_and_images(arguments, server)
    accelerate = (engine or PLAIN[0], precision or PLAIN[1]) != PLAIN
    if accelerate and server:
        raise ValueError(
            f"a server computes as it was told to. Received: --engine {engine} and --server"
            f" {server}. Leave one out."
        )
    model = chosen_model(weights, server, set_)
    if accelerate:
        model = in_engine(model, weights, set_, engine or PLAIN[0], precision, calibration)
    elif engine is not None and weights is not None:
        model = replace(model, find=partial(built, weights, set_))
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
        smooth=number_or_word(smooth, float),
        binning=number_or_word(binning, int),
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
    empty = [row.image for row in done.rows if row.instances == 0]
    if empty:
        print(
            f"Nothing was found in {len(empty)} of {len(done.rows)}, first in {empty[0]}. If there"
            " is something to be found, these weights do not know such pictures: label a few and"
            " train further with temzoo train."
        )
    wide = [row.image for row in done.rows if row.object_share > WIDE]
    if wide and weights == pretrained.GENERAL:
        print(support_text(wide, len(done.rows), WIDE))
    doubtful = sum(row.doubtful or 0 for row in done.rows)
    if doubtful:
        print(doubtful_text(doubtful))
    if there and part is None:
        print(f"next: temzoo measure {out}; temzoo report {out}")
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
        return replace(lazy, find=partial(usual_model, weights, set_))
    if set_:
        raise ValueError(
            "--set changes weights that are here, not a server's. Received: --set and "
            f"--server {server}. Leave one out."
        )
    return LazyModel.of_server(temzoo.connect(server))


def usual_model(weights: str, set_: list[str] | None):
    """What weights are predicted with unless told otherwise: kept for an engine that is there."""
    from temzoo.deploy.engines import kept
    from temzoo.zoo import pretrained

    tell_which(weights)
    engine, build = kept.usual_engine(), partial(built, weights, set_)
    if engine is None:
        return build()
    found = pretrained.find_trained(weights)
    return kept.kept_or_built(found, keywords(set_), engine, PLAIN[1], build)


def in_engine(
    lazy: LazyModel,
    weights: str,
    set_: list[str] | None,
    engine: str,
    precision: str | None,
    calibration: Path | None,
) -> LazyModel:
    """The model in an engine that was asked for; sidecars record engine and precision.

    Raises:
        ValueError: there is no such engine or precision.
    """
    told = {"engine": engine, "precision": precision}
    told |= {"calibration": str(calibration)} if calibration else {}

    def find():
        from temzoo.deploy.engines import kept
        from temzoo.micrographs.listing import image_paths
        from temzoo.zoo import pretrained

        tell_which(weights)
        build = partial(built, weights, set_, engine, precision)
        found = pretrained.find_trained(weights)
        given = image_paths([calibration]) if calibration else None
        config = keywords(set_)
        if engine == "auto" and kept.chosen(found, config, precision) is None:
            print("choosing the engine: where none was timed before, this takes a minute")
        model = kept.accelerated(found, config, engine, precision, build, given)
        print(model.told)
        return model

    origin = replace(lazy.origin, options={**lazy.origin.options, **told})
    return replace(lazy, origin=origin, find=find)


def tell_which(weights: str) -> None:
    """Where the user chose no weights, prints which they are and how well they score."""
    from temzoo.zoo import pretrained
    from temzoo.zoo.cards import score_texts

    if weights == pretrained.GENERAL:
        scores = pretrained.find_trained(weights).card.scores
        print(f"using {weights}: {score_texts(scores)[0]} on {scores['images']} validation images")


def built(weights: str, set_: list[str] | None, *engine: str | None):
    """The Keras model; for an engine and a precision, of which there must be such."""
    load_tensorflow()
    if engine:
        from temzoo.deploy.engines.accelerated import check

        check(*engine)
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
