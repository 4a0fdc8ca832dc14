"""Predicts a folder of micrographs and writes the results, with label files of them all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from temzoo.annotation.prediction_labels import SHAPES, labels_of
from temzoo.core.files import own_folder, shared_folder
from temzoo.core.settings import BINNING, MIN_AREA_PX, SEPARATION, SMOOTH
from temzoo.core.writers import write_csv
from temzoo.inference.options import PredictOptions
from temzoo.inference.regions import Watershed
from temzoo.labels import summary
from temzoo.labels import write as write_label_file
from temzoo.labels.formats import imagej
from temzoo.labels.names import label_paths
from temzoo.labels.shapes.trace import TOLERANCE_PX
from temzoo.micrographs.drawn import Drawn
from temzoo.store import particle_tables, predictions, sidecar
from temzoo.store.particle_tables import PARTS
from temzoo.store.sidecar import Origin, sidecar_path
from temzoo.workflows import shards
from temzoo.workflows.cluster import predict_on_cluster, write_rows, write_tables
from temzoo.workflows.elsewhere import at_hand
from temzoo.workflows.prediction_job import Image, Job, Row, named_images, predict_images, sweep
from temzoo.workflows.shards import Shard
from temzoo.zoo import pretrained
from temzoo.zoo.building import trained_model
from temzoo.zoo.built import built_or_none
from temzoo.zoo.cards import check_keywords, model_card

LABEL_FILES = {
    "cvat": "predictions.xml",
    "coco": "predictions.coco.json",
    "yolo": "predictions.yolo",
    "imagej": "predictions.imagej",
    "qupath": "predictions.qupath",
    "cellpose": "predictions.cellpose",
}
ONE_FILE = {"cvat", "coco"}  # the others have a file for each image
TABLE, CLUSTER_TABLE = "predictions.csv", "predictions.parquet"


@dataclass(frozen=True)
class LazyModel:
    """A model that is built only where something is left to predict.

    Attributes:
        origin: model, weights and their sha256; its options are what else it was made with.
        find: gives the model.
    """

    origin: Origin
    find: Callable[[], Any]

    @classmethod
    def of_weights(cls, weights: str | Path, **config: Any) -> LazyModel:
        """The model of a run folder, a weights file, or MODEL/NAME of a shipped set.

        Args:
            weights: which.
            **config: keywords of the model that may differ from training.

        Raises:
            FileNotFoundError: it is none of these.
            ValueError: the model has no such keyword.
        """
        card = pretrained.find_trained(weights).card
        if config:  # told before anything is built
            check_keywords(model_card(card.model), config)
        options = {"set": config}
        origin = Origin(None, card.model, str(weights), card.sha256, options)
        return cls(origin, lambda: trained_model(weights, **config))

    @classmethod
    def of_server(cls, model: Any) -> LazyModel:
        """A model of ``temzoo.connect``, by its address with the version, and what its card tells.

        What is finished depends on what the server serves now.
        """
        weights = model.card.get("weights")
        sha256 = str((weights.get("sha256") if isinstance(weights, dict) else "") or "")
        name = str(model.card.get("model") or "")
        origin = Origin(None, name, str(model.address), sha256, {"set": {}})
        return cls(origin, lambda: model)


@dataclass(frozen=True)
class FolderPredictions:
    """What a job left in its folder.

    Attributes:
        folder: where the files are, or their address.
        rows: one for each image that was asked for, in order.
        earlier: one for each image that other jobs left there.
        table: the file that lists all of them: predictions.csv, or predictions.parquet of a job on
            a cluster.
        labels: the label files, by format.
    """

    folder: Path | str
    rows: tuple[Row, ...]
    earlier: tuple[Row, ...]
    table: Path | str
    labels: Mapping[str, Path]

    @property
    def failed(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == "failed")


def predict_folder(
    model: Any,
    images: str | Path | Sequence[str | Path],
    out: str | Path = "predictions",
    *,
    frame: int | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    flips: bool = False,
    probabilities: bool = False,
    instances: str | Watershed | None = SEPARATION,
    min_area_px: int = MIN_AREA_PX,
    min_score: float | None = None,
    smooth: str | float = SMOOTH,
    binning: str | int = BINNING,
    drawn: Drawn | None = None,
    again: bool = False,
    formats: Sequence[str] = (),
    shapes: str = "polygons",
    error_px: float = TOLERANCE_PX,
    cluster: str | None = None,
    shard: Shard | None = None,
    progress: bool = True,
) -> FolderPredictions:
    """Predicts many micrographs of any size and writes the maps and an overlay picture of each.

    A micrograph gets STEM_classes.png, STEM_instances.tif, STEM_overlay.png and, last of all,
    STEM.prediction.json: where it is, the others are whole. Called again, a stopped job goes on
    where it was. Each image of a stack is predicted: stack_00.mrc, stack_01.mrc … A microscope's
    file goes before its export beside it, which has often lost the calibration.

    A file of several that cannot be predicted does not end the job: its row says why.

    Args:
        model: a run folder, a weights file or MODEL/NAME of a shipped set; or a ``LazyModel``,
            such as ``LazyModel.of_server(temzoo.connect(url))``; or a model, which predicts every
            image again, for it may have been trained since.
        images: a file, a folder, or several of them.
        out: the folder that is written to, made when absent; or its address for fsspec, such as
            "s3://bucket/predictions" (``temzoo[remote]``), which only one job may write to.
        frame: of stacks, this image alone, from 0; None: all.
        tile, overlap, flips, probabilities, instances, min_area_px, min_score, smooth, binning: see
            ``temzoo.predict``; objects that touch are cut apart, and small ones dropped, unless
            told otherwise.
        drawn: what is done about scale bars, info bars and panel letters of pictures; None: see
            ``temzoo.micrographs.drawn.Drawn``.
        again: predict what is finished too.
        formats: label files that are written too, of everything in the folder: "cvat"
            (predictions.xml), "coco" (predictions.coco.json), "yolo", "imagej", "qupath" and
            "cellpose" (the folders predictions.yolo …, Cellpose's of exact masks).
        shapes, error_px: of the labels, see ``temzoo.labels_of``.
        cluster: "auto" or the address of a Ray cluster (``temzoo[ray]``), whose machines share the
            work; see ``temzoo.workflows.cluster``. The images are listed in predictions.parquet,
            and the particles are measured too: particles_nm.parquet, a row each, and
            particles_px.parquet of uncalibrated images.
        shard: (3, 16): the third of sixteen parts of the images alone, listed in
            predictions-3-of-16.csv, while other jobs may do the other parts. A last call without it
            does what they left and writes the one table and the label files.
        progress: print a line for each image, under a progress bar.

    Returns:
        A row for each image, and where the files are.

    Raises:
        FileNotFoundError: there are no images, or no such weights.
        ValueError: an option is out of range, or two images have one name.
        ConnectionError, TimeoutError, RuntimeError: a server is gone, hangs or fails repeatedly.
        OSError: the disk is full.
        RuntimeError: another job is at work in ``out``.
        Exception: what is wrong with the image, where there is only one.

    Example:
        >>> done = predict_folder("unet_mobilenet/emps", "micrographs/new", formats=["cvat"])
        >>> [row.image for row in done.failed]
        []
    """
    _check(formats, shapes, error_px, instances)
    say = print if progress else lambda line: None
    places = [Path(each) for each in ([images] if isinstance(images, str | Path) else images)]
    if shard is not None:
        shards.checked(shard)
        shards.require_alone(places, out, formats, cluster)
    found = named_images(places, frame, say)
    if {*formats} - ONE_FILE:
        label_paths("", (image.name for image in found), "")  # refuses two images with one file
    options: dict[str, Any] = {
        "tile": tile,
        "overlap": overlap,
        "flips": flips,
        "probabilities": probabilities,
        "instances": instances,
        "min_area_px": min_area_px,
        "min_score": min_score,
        "smooth": smooth,
        "binning": binning,
    }
    PredictOptions(**options)  # refuses what no image can be predicted with
    lazy, drawn = _as_lazy(model), drawn or Drawn()
    # As JSON holds them: a watershed as its fields, a tuple as a list.
    stated = json.dumps({**options, **drawn.options(), **lazy.origin.options}, default=vars)
    origin = replace(lazy.origin, options=json.loads(stated))
    again = again or not lazy.origin.weights  # else nobody can tell what it predicted before
    with at_hand(out, formats) as (folder, place):
        job = Job(folder, origin, options, len(found) == 1, say, progress, drawn, place)
        if shard is not None:
            return _one_shard(found, shard, job, lazy, again=again)
        with own_folder(folder):
            sweep(found, job)
            rows = _rows(found, job, lazy, again=again, cluster=cluster)
            others = _earlier(found, folder)
            table = _write_whole_table([*rows, *others.values()], job, cluster is not None)
            done = [i for i, row in zip(found, rows, strict=True) if row.status != "failed"]
            if cluster is not None:
                _write_particles(done, job)
            mine = {sidecar_path(folder, image.own_name): image.name for image in done}
            named = mine | {path: row.image for path, row in others.items()}
            labels = {
                kind: _write_labels(kind, named, folder, shapes, error_px, say)
                for kind in (formats if done else ())  # else what is there stays
            }
            return FolderPredictions(job.told, tuple(rows), tuple(others.values()), table, labels)


def _check(formats: Sequence[str], shapes: str, error_px: float, instances: Any) -> None:
    """Refuses at once what would else be refused after the last prediction."""
    unknown = [word for word in formats if word not in LABEL_FILES]
    if unknown:
        raise ValueError(
            f"formats must be of {', '.join(LABEL_FILES)}. Received: {unknown[0]!r}."
            " The maps are written in any case."
        )
    if "imagej" in formats:
        imagej.roifile_module()
    if formats and instances is None:
        raise ValueError(
            "labels are of instances. Received: instances=None and formats. Use"
            ' instances="components".'
        )
    if shapes not in SHAPES:
        raise ValueError(f"shapes must be {' or '.join(SHAPES)}. Received: {shapes!r}.")
    if not 0 <= error_px < float("inf"):
        raise ValueError(f"the polygons' error must be 0 px or more. Received: {error_px}. Use 1.")


def _as_lazy(model: Any) -> LazyModel:
    if isinstance(model, LazyModel):
        return model
    if isinstance(model, str | Path):
        return LazyModel.of_weights(model)
    how = built_or_none(model)
    return LazyModel(Origin(model=how.name if how else ""), lambda: model)


def _one_shard(
    images: Sequence[Image], shard: Shard, job: Job, model: LazyModel, *, again: bool
) -> FolderPredictions:
    """Predicts one part of the images and lists it in a table of its own."""
    with shared_folder(job.out, f"shard-{shards.name_of(shard)}"):
        rows = _rows(shards.part_of(images, shard), job, model, again=again)
        table = _write_table(rows, job, f"predictions-{shards.name_of(shard)}.csv")
        return FolderPredictions(job.told, tuple(rows), (), table, {})


def _rows(
    images: Sequence[Image], job: Job, model: LazyModel, *, again: bool, cluster: str | None = None
) -> list[Row]:
    """A row for each image, in order, when those that were left are predicted."""
    kept, left = ([], images) if again else _finished(images, job, cluster is not None)
    if kept:
        job.say(f"skipping {len(kept)} finished; again=True (--again) redoes them")
    made: list[Row] = []
    if left and cluster is not None:
        made = predict_on_cluster(left, job, model, cluster)
    elif left:
        made = predict_images(left, job, model.find())
    by_name = {row.image: row for row in (*kept, *made)}
    return [by_name[image.name] for image in images]


def _write_table(rows: Sequence[Row], job: Job, name: str) -> Path | str:
    write_csv(job.out / name, [column.name for column in fields(Row)], map(astuple, rows))
    return job.finished(job.out / name)


def _write_whole_table(rows: Sequence[Row], job: Job, shared: bool) -> Path | str:
    """Lists all images of the folder, as Parquet where a cluster shared the work.

    The table of an earlier job of the other sort, which is of the past, is removed.
    """
    if shared:
        write_rows(rows, job.out / CLUSTER_TABLE)
        table, other = job.finished(job.out / CLUSTER_TABLE), TABLE
    else:
        table, other = _write_table(rows, job, TABLE), CLUSTER_TABLE
    (job.out / other).unlink(missing_ok=True)
    if job.place is not None:
        job.place.remove(other)
    return table


def _write_particles(images: Sequence[Image], job: Job) -> None:
    if job.place is not None:
        job.place.mirror_parts(job.out, PARTS, read=True)
    for path in write_tables(images, job.out):
        job.say(f"particles: {job.finished(path)}")


def _finished(images: Sequence[Image], job: Job, measured: bool) -> tuple[list[Row], list[Image]]:
    """The rows of what an earlier job of the same kind finished, and the images that are left.

    Args:
        measured: their particles must have been measured too.
    """
    if measured and job.place is not None:
        job.place.mirror_parts(job.out, PARTS, read=False)
    kept, left = [], []
    for image in images:
        origin = job.origin_of(image)
        if predictions.is_finished(job.out, image.own_name, origin, files=job.files) and (
            not measured or particle_tables.is_there(sidecar_path(job.out, image.own_name))
        ):
            told = sidecar.about(sidecar_path(job.out, image.own_name))
            kept.append(_kept_row(image.name, told))
        else:
            left.append(image)
    return kept, left


def _kept_row(name: str, told: Mapping[str, Any]) -> Row:
    down, along = told["nm_per_pixel"] or (None, None)
    found = told["instance_count"], told["covered_share"], told["seconds"]
    doubtful = None if told["doubtful"] is None else len(told["doubtful"])
    seen = told["smoothed_px"], told["binning"]
    return Row(name, "kept", *found, down, along, told["calibration"], "", doubtful, *seen)


def _earlier(images: Sequence[Image], out: Path) -> dict[Path, Row]:
    """What jobs on other micrographs left in the folder, by sidecar."""
    mine = {sidecar_path(out, image.own_name) for image in images}
    paths = predictions.list_predictions(out) if out.is_dir() else []
    told = {path: predictions.about_whole(path) for path in paths if path not in mine}
    return {
        path: _kept_row(about["image"] or about["name"] or path.name, about)
        for path, about in told.items()
        if about is not None
    }


def _write_labels(
    to: str,
    named: Mapping[Path, str],
    out: Path,
    shapes: str,
    error_px: float,
    say: Callable[[str], None],
) -> Path:
    """Writes predictions, by sidecar with the names of their images, as one label file."""
    shapes = "masks" if to == "cellpose" else shapes  # it holds pixels alone
    described = partial(labels_of, shapes=shapes, error_px=error_px, may_be_empty=True)
    labelled = [
        described(predictions.load_prediction(path), name=name) for path, name in named.items()
    ]
    path = out / LABEL_FILES[to]
    write_label_file(path, labelled, to=to)
    say(f"{to}: {path}, {summary(labelled)}")
    return path
