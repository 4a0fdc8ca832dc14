"""``temzoo predict``: many micrographs, each finished or not begun, and labels made of them all."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from temzoo.cli.common import (
    Set,
    With,
    app,
    image_paths,
    keywords,
    load_tensorflow,
    require_own_names,
    trained,
)
from temzoo.cli.scoring import MinArea, Neck, Threshold, separation_of
from temzoo.core.settings import MIN_AREA_PX, SEPARATION

if TYPE_CHECKING:
    from temzoo.core.types import Micrograph, Prediction
    from temzoo.store.sidecar import Origin

FORMATS = ("maps", "cvat", "coco")
LABEL_FILES = {"cvat": "predictions.xml", "coco": "predictions.coco.json"}
TABLE = "predictions.csv"
PLAIN = ("tensorflow", "float32")  # engine and precision of the model as it is
# A larger file is not read ahead, nor written behind: two of them might not fit into memory.
AHEAD_BYTES = 2**28
MOST_SERVER_FAILURES = 3  # in a row; each may take minutes


@dataclass(frozen=True)
class Image:
    """A micrograph to predict: its file, its name in label files, and the frame of a stack."""

    path: Path
    name: str
    frame: int = 0

    @property
    def own_name(self) -> str:
        """Without folders; its results are named after it."""
        return self.name.rpartition("/")[2]

    def load(self) -> Micrograph:
        import temzoo

        return replace(temzoo.load_micrograph(self.path, frame=self.frame), name=self.own_name)


@dataclass(frozen=True)
class Row:
    """A line of the table. ``status``: "predicted", "kept" from an earlier job, or "failed"."""

    image: str
    status: str
    instances: int | None = None
    covered_share: float | None = None
    seconds: float | None = None
    message: str = ""


@dataclass(frozen=True)
class Job:
    """What is done to each micrograph.

    Attributes:
        out: the folder.
        origin: how predictions are made; its source is filled in for each.
        options: of ``temzoo.predict``.
        find_model: gives the model; not called where everything is finished.
        alone: there is one image: what is wrong with it is an error, not a row that says so.
    """

    out: Path
    origin: Origin
    options: dict[str, Any]
    find_model: Callable[[], Any]
    alone: bool

    @property
    def files(self) -> tuple[str, ...]:
        files = ("classes", "instances", "overlay")
        return (*files, "probabilities") if self.options["probabilities"] else files

    def origin_of(self, image: Image) -> Origin:
        return replace(self.origin, source=image.path, frame=image.frame, image=image.name)


@app.command()
def predict(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[WEIGHTS] IMAGES",
            help="A run folder, weights file or MODEL/NAME, if not the shipped ones; then"
            " micrographs, or folders of them.",
            show_default=False,
        ),
    ],
    set_: Set = None,
    with_: With = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("predictions"),
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
    tile: Annotated[int | None, typer.Option(help="Side of a tile, px; a multiple of 32.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Least overlap of tiles, px.")] = None,
    flips: Annotated[
        bool, typer.Option(help="Average over mirror images: 4 times slower.")
    ] = False,
    probabilities: Annotated[bool, typer.Option(help="Write the probability map too.")] = False,
    instances: Annotated[
        str,
        typer.Option(
            help="components: regions; watershed: cut where particles touch; auto: watershed, or a"
            " detector's own objects."
        ),
    ] = SEPARATION,
    neck: Neck = None,
    threshold: Threshold = None,
    min_area_px: MinArea = MIN_AREA_PX,
    min_score: Annotated[
        float | None, typer.Option(help="Detectors: drop objects that score less; 0.5.")
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

    A detector finds whole objects: --tile, --flips, --probabilities and a watershed are not for it.

    Example: temzoo predict micrographs/new

    Example: temzoo predict runs/first micrographs/new --out predictions --format cvat
    """
    from temzoo.store.paths import sidecar_path

    formats = chosen_formats(format_)
    check_shapes(shapes, polygon_error)
    weights, places = weights_and_images(arguments, server)
    images = named_images(places, frame)
    options = {
        "tile": tile,
        "overlap": overlap,
        "flips": flips,
        "probabilities": probabilities,
        "instances": separation_of(instances, neck, threshold),
        "min_area_px": min_area_px,
        "min_score": min_score,
    }
    accelerate = (engine, precision or "float32") != PLAIN
    if accelerate and server:
        raise ValueError(
            f"a server computes as it was told to. Received: --engine {engine} and --server"
            f" {server}. Leave one out."
        )
    origin, find_model = origin_and_model(weights, server, set_, options)
    if accelerate:
        origin, find_model = accelerated(origin, find_model, engine, precision, calibration)
    job = Job(out, origin, options, find_model, alone=len(images) == 1)
    kept, left = ([], images) if again else finished(images, job)
    if kept:
        print(f"skipping {len(kept)} finished; --again redoes them")
    rows = sorted_as(images, [*kept, *predicted(left, job)])
    done = {row.image for row in rows if row.status != "failed"}
    others = earlier(images, out)
    write_table(out / TABLE, [*rows, *others.values()])
    mine = {sidecar_path(out, i.own_name): i.name for i in images if i.name in done}
    named = mine | {path: row.image for path, row in others.items()}
    for format_ in formats if done else ():  # else what is there stays
        write_labels(format_, named, out, shapes, polygon_error)
    print(f"{len(done)} of {len(images)} predictions are in {out}, listed in {out / TABLE}")
    if others:
        print(f"with {len(others)} of earlier jobs, in label files too")
    report_failures(rows)


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


def check_shapes(shapes: str, error_px: float) -> None:
    """Refuses at once what would else be refused after the last prediction."""
    if shapes not in ("polygons", "masks"):
        raise ValueError(f"--shapes must be polygons or masks. Received: {shapes!r}.")
    if not 0 <= error_px < float("inf"):
        raise ValueError(f"--polygon-error must be 0 px or more. Received: {error_px}. Use 1.")


def weights_and_images(
    arguments: Sequence[str], server: str | None
) -> tuple[str | None, list[Path]]:
    """Tells weights from images: the first word is weights where it can be nothing else.

    Returns:
        The weights, None where a server has them; and the images.

    Raises:
        FileNotFoundError: the first word is neither.
        ValueError: there are no images, or weights for a server.
    """
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
    if not Path(first).exists():
        raise FileNotFoundError(
            f"Give a run folder, a {pretrained.SUFFIX} file, or MODEL/NAME of `temzoo models`, then"
            f" micrographs; or micrographs alone. Received: {first}, which is not there."
        )
    return (None if server else pretrained.GENERAL), [Path(first), *rest]


def is_weights(word: str) -> bool:
    """Whether a word names weights: a run folder, a weights file or a shipped set."""
    from temzoo.zoo import pretrained

    path = Path(word)
    if path.is_dir():
        if (path / "run.json").is_file() and not (path / pretrained.BEST).is_file():
            raise FileNotFoundError(
                f"a run has weights from its first validation on. Received: {word}, without"
                f" {pretrained.BEST}. Go on with `temzoo train … --resume`."
            )
        return (path / pretrained.BEST).is_file()
    model, slash, name = word.partition("/")
    shipped = bool(slash) and name in pretrained.available(model)
    return shipped or (word.endswith(pretrained.SUFFIX) and path.is_file())


def named_images(places: Sequence[Path], frame: int | None = None) -> list[Image]:
    """The micrographs, named as in the folder that was given: what CVAT calls them too.

    Args:
        places: files and folders.
        frame: of stacks, the image that is taken; None: all.

    Raises:
        FileNotFoundError: there are none.
        ValueError: the results of two would be written under one name.
    """
    folders = [place for place in places if place.is_dir()]
    found = []
    for path in image_paths(list(places)):
        folder = next((f for f in folders if path.is_relative_to(f)), path.parent)
        within = path.relative_to(folder)
        for number, own_name in frames_of(path, frame).items():
            found.append(Image(path, within.with_name(own_name).as_posix(), number))
    require_own_names((image.own_name, image.path) for image in found)
    return found


def frames_of(path: Path, frame: int | None) -> dict[int, str]:
    """The images of a file that are to be predicted, with the names that they have alone."""
    from temzoo.micrographs import count_frames, frame_name

    try:
        count = max(count_frames(path), 1)
    except (OSError, ValueError):
        return {frame or 0: path.name}  # reading it will say what is wrong
    if frame is not None:
        return {frame: frame_name(path, frame, count)}
    if count > 1:
        print(f"{path.name}: {count} images, all of them; --frame 0 takes the first alone")
    return {number: frame_name(path, number, count) for number in range(count)}


def origin_and_model(
    weights: str | None, server: str | None, set_: list[str] | None, options: dict[str, Any]
) -> tuple[Origin, Callable[[], Any]]:
    """How predictions will be made, and what gives the model, which takes seconds."""
    from temzoo.store.sidecar import Origin

    # As JSON holds them: a watershed as its fields, a tuple as a list.
    stated = json.loads(json.dumps({**options, "set": keywords(set_)}, default=vars))
    if server is not None:
        if set_:
            raise ValueError(
                "--set changes weights that are here, not a server's. Received: --set and "
                f"--server {server}. Leave one out."
            )
        model = served(server)  # what is finished depends on what it serves now
        return served_origin(model, stated), lambda: model
    found = stored(weights)
    origin = Origin(
        model=found.model, weights=weights, weights_sha256=found.card.sha256, options=stated
    )
    return origin, lambda: trained_and_told(weights, set_)


def served_origin(model: Any, options: dict[str, Any]) -> Origin:
    """How a server's model predicts: by its address with the version, and what its card tells."""
    from temzoo.store.sidecar import Origin

    weights = model.card.get("weights")
    return Origin(
        model=str(model.card.get("model") or ""),
        weights=str(model.address),
        weights_sha256=str(weights.get("sha256") or "") if isinstance(weights, dict) else "",
        options=options,
    )


def accelerated(
    origin: Origin,
    find_model: Callable[[], Any],
    engine: str,
    precision: str | None,
    calibration: Path | None,
) -> tuple[Origin, Callable[[], Any]]:
    """The same in another engine or precision, which the predictions tell of too.

    Raises:
        ValueError: there is no such engine or precision.
    """
    told = {"engine": engine, "precision": precision}
    told |= {"calibration": str(calibration)} if calibration else {}

    def find():
        load_tensorflow()
        import temzoo
        from temzoo.deploy.engines.accelerated import check

        check(engine, precision)
        given = image_paths([calibration]) if calibration else None
        model = temzoo.accelerate(find_model(), engine, precision, calibration=given)
        print(f"engine: {model.engine}, {model.precision}")
        return model

    return replace(origin, options={**origin.options, **told}), find


def stored(weights: str):
    """The weights' file and card, by the words that ``trained`` takes."""
    from temzoo.zoo import pretrained

    model, slash, name = weights.partition("/")
    if slash and name in pretrained.available(model):
        return pretrained.find(model, name)
    return pretrained.find("", weights)


def trained_and_told(weights: str, set_: list[str] | None):
    """The model; where nobody chose it, a line says which it is and what it is worth."""
    from temzoo.zoo import pretrained

    if weights == pretrained.GENERAL:
        scores = stored(weights).card.scores
        print(
            f"using {weights}, IoU {scores['iou']:.3f} [{scores['low']:.3f},"
            f" {scores['high']:.3f}] on {scores['images']} validation images"
        )
    load_tensorflow()
    return trained(weights, set_)


def served(url: str):
    import temzoo

    return temzoo.connect(url)


def finished(images: Sequence[Image], job: Job) -> tuple[list[Row], list[Image]]:
    """The rows of what an earlier job of the same kind finished, and the images that are left."""
    from temzoo.store import predictions, sidecar
    from temzoo.store.paths import sidecar_path

    kept, left = [], []
    for image in images:
        if predictions.is_finished(job.out, image.own_name, job.origin_of(image), files=job.files):
            told = sidecar.about(sidecar_path(job.out, image.own_name))
            kept.append(kept_row(image.name, told))
        else:
            left.append(image)
    return kept, left


def kept_row(name: str, told: Mapping[str, Any]) -> Row:
    return Row(name, "kept", told["instance_count"], told["covered_share"], told["seconds"])


def earlier(images: Sequence[Image], out: Path) -> dict[Path, Row]:
    """What jobs on other micrographs left in the folder, by sidecar."""
    from temzoo.store import predictions
    from temzoo.store.paths import sidecar_path

    mine = {sidecar_path(out, image.own_name) for image in images}
    paths = predictions.list_predictions(out) if out.is_dir() else []
    told = {path: predictions.about_whole(path) for path in paths if path not in mine}
    return {
        path: kept_row(about["image"] or about["name"] or path.name, about)
        for path, about in told.items()
        if about is not None
    }


def predicted(images: Sequence[Image], job: Job) -> list[Row]:
    """Predicts and writes; the next file is read, and the last written, beside the network."""
    if not images:
        return []
    sweep(images, job)
    model = job.find_model()
    rows: list[Row] = []
    writing: Future | None = None
    failures: list[Exception] = []
    with (
        ThreadPoolExecutor(1) as reader,
        ThreadPoolExecutor(1) as writer,
        shown(images, job) as advance,
    ):
        for image, reading in one_ahead(images, reader):
            made = attempt(model, image, reading, job, failures)
            if isinstance(made, Row):
                rows.append(made)
                advance()
                continue
            if writing is not None:
                rows.append(writing.result())
            writing = writer.submit(written_or_failed, image, job, *made, advance)
            if made[0].pixels.nbytes > AHEAD_BYTES:
                writing.exception()  # waits
        if writing is not None:
            rows.append(writing.result())
    return rows


def sweep(images: Sequence[Image], job: Job) -> None:
    """Removes what a killed job left under temporary names of the files that are to be written."""
    from temzoo.core.file_names import file_stem

    stems = {"predictions", *(file_stem(image.own_name) for image in images)}
    for path in job.out.glob(".partial-*"):
        name = path.name.removeprefix(".partial-").partition("-")[2]  # behind some letters
        if any(name.startswith((f"{stem}_", f"{stem}.")) for stem in stems):
            path.unlink(missing_ok=True)


def one_ahead(
    images: Sequence[Image], reader: ThreadPoolExecutor
) -> Iterator[tuple[Image, Future]]:
    """Each image with its micrograph to come, while the next, unless large, is being read."""
    upcoming = None
    for image, following in zip(images, [*images[1:], None], strict=True):
        reading = upcoming or reader.submit(image.load)
        reading.exception()  # waits; who takes the result gets the error
        upcoming = None
        if following is not None and size_of(following.path) <= AHEAD_BYTES:
            upcoming = reader.submit(following.load)
        yield image, reading


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # reading it will say what is wrong


def attempt(
    model: Any, image: Image, reading: Future, job: Job, failures: list[Exception]
) -> Row | tuple[Micrograph, Prediction, float]:
    """A prediction with its seconds; or, where that fails, the row that says why.

    Args:
        model, image, job: what predicts what, and how.
        reading: gives the micrograph.
        failures: of the server, in a row until now; kept here.

    Raises:
        ConnectionError, TimeoutError: a server is gone or hangs, and would for the other images.
        RuntimeError: it has failed for the third image in a row.
        Exception: what is wrong with the only image.
    """
    import temzoo

    began = time.monotonic()
    # A bad file must not end a job, whatever it breaks in whichever library reads it.
    try:
        micrograph = reading.result()
    except Exception as error:
        return failed(image, error, job)
    try:
        found = temzoo.predict(model, micrograph, progress=job.alone, **job.options)
    except (ConnectionError, TimeoutError):
        raise
    except Exception as error:
        if job.origin.is_served and isinstance(error, RuntimeError):
            failures.append(error)
        if len(failures) == MOST_SERVER_FAILURES:
            raise
        return failed(image, error, job)
    failures.clear()
    return micrograph, found, time.monotonic() - began


def failed(image: Image, error: Exception, job: Job) -> Row:
    """The row that says what is wrong with one of several images; raises that of the only one."""
    if job.alone:
        raise error
    return Row(image.name, "failed", message=" ".join(str(error).split()))


def written_or_failed(
    image: Image,
    job: Job,
    micrograph: Micrograph,
    found: Prediction,
    seconds: float,
    advance: Callable[[], None],
) -> Row:
    """The row of what was written, or the one that says why it was not.

    Raises:
        OSError: the disk is full or gone, for the other images too.
        Exception: what is wrong with the only image.
    """
    try:
        row = written(image, job, micrograph, found, seconds)
    except OSError:
        raise
    except Exception as error:
        row = failed(image, error, job)
    advance()
    return row


def written(
    image: Image,
    job: Job,
    micrograph: Micrograph,
    found: Prediction,
    seconds: float,
) -> Row:
    from temzoo.store.pictures import save_prediction

    save_prediction(
        found,
        job.out,
        micrograph=micrograph,
        probabilities=job.options["probabilities"],
        min_score=0.0,
        origin=replace(job.origin_of(image), seconds=round(seconds, 3)),
    )
    # The maps alone would miss objects that lie wholly under others.
    count = int(found.instances.max()) if found.detections is None else len(found.detections)
    share = float((found.classes > 0).mean())
    print(f"{image.name}: {count} instances, {share:.1%} of the area")
    return Row(image.name, "predicted", count, share, round(seconds, 3))


@contextmanager
def shown(images: Sequence[Image], job: Job) -> Iterator[Callable[[], None]]:
    """A progress bar over the images; a single one has a bar of its tiles instead."""
    if job.alone:
        yield lambda: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn()) as drawn:
        task = drawn.add_task("images", total=len(images))
        yield lambda: drawn.advance(task)


def sorted_as(images: Sequence[Image], rows: Sequence[Row]) -> list[Row]:
    by_name = {row.image: row for row in rows}
    return [by_name[image.name] for image in images]


def write_table(path: Path, rows: Sequence[Row]) -> None:
    from temzoo.core.files import atomic_path, spreadsheet_text

    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(column.name for column in fields(Row))
        for row in rows:
            cells = astuple(row)
            table.writerow(spreadsheet_text(c) if isinstance(c, str) else c for c in cells)


def write_labels(
    to: str, named: Mapping[Path, str], out: Path, shapes: str, error_px: float
) -> None:
    """Writes predictions, by sidecar with the names of their images, as one label file."""
    import temzoo.labels
    from temzoo.annotation.prediction_labels import labels_of
    from temzoo.store import predictions

    labelled = [
        labels_of(predictions.load_prediction(path), name=name, shapes=shapes, error_px=error_px)
        for path, name in named.items()
    ]
    path = out / LABEL_FILES[to]
    temzoo.labels.write(path, labelled, to=to)
    print(f"{to}: {path}, {temzoo.labels.summary(labelled)}")


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
