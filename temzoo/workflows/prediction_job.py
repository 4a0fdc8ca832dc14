"""Predicts and writes the images of a job; a row says what became of each.

Files are read, objects told apart and predictions written beside the network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import BoundedSemaphore, Condition, Lock
from typing import Any

from temzoo.core.files import PARTIAL, file_stem
from temzoo.core.settings import SMOOTH
from temzoo.core.showing import scale_text
from temzoo.core.types import Micrograph, Prediction
from temzoo.inference.concurrent import in_order
from temzoo.inference.left_out import Box, leave_out
from temzoo.inference.predict import predict
from temzoo.inference.tiles import WHOLE
from temzoo.micrographs import count_frames, frame_name, load_micrograph
from temzoo.micrographs.drawn import Drawn
from temzoo.micrographs.drawn_text import forget_text_reader
from temzoo.micrographs.hdf5_file import name_of, parted
from temzoo.micrographs.listing import (
    image_paths,
    is_folder_of_images,
    own_names,
    require_own_names,
)
from temzoo.store.sidecar import Origin, is_of_prediction
from temzoo.store.with_overlay import save_prediction
from temzoo.workflows.elsewhere import Elsewhere
from temzoo.zoo.built import task_of

# A larger file is read, predicted and written alone: two of them might not fit into memory.
AHEAD_BYTES = 2**28
MOST_SERVER_FAILURES = 3  # in a row; each may take minutes


@dataclass(frozen=True)
class Image:
    """A micrograph to predict: its file, its name in label files, and the frame of a stack.

    Attributes:
        own_name: without folders; its results are named after it.
    """

    path: Path
    name: str
    own_name: str
    frame: int = 0

    def load(self) -> Micrograph:
        return replace(load_micrograph(self.path, frame=self.frame), name=self.own_name)


@dataclass(frozen=True)
class Row:
    """A line of the table of a job.

    Attributes:
        image: the micrograph's name, with the folders below the one that was given.
        status: "predicted", "kept" from an earlier job, or "failed".
        instances, covered_share, seconds: how many were found, their share of the field, 0 to 1,
            and what the prediction took; None of an image that failed.
        doubtful: objects of which the model is not sure enough to count them.
        smoothed_px, binning: see ``Prediction``.
        nm_per_pixel_row, nm_per_pixel_col, calibration: the size of a pixel, None where it is not
            known, and where it was read.
        message: why it failed.
    """

    image: str
    status: str
    instances: int | None = None
    covered_share: float | None = None
    seconds: float | None = None
    nm_per_pixel_row: float | None = None
    nm_per_pixel_col: float | None = None
    calibration: str = ""
    message: str = ""
    doubtful: int | None = None
    smoothed_px: float | None = None
    binning: int | None = None

    @property
    def object_share(self) -> float:
        """The mean share of the field that an object covers, 0 to 1; 0 where there is none."""
        return (self.covered_share or 0.0) / (self.instances or 1)


@dataclass(frozen=True)
class Job:
    """What is done to each micrograph.

    Attributes:
        origin: how predictions are made; its source is filled in for each.
        options: of ``temzoo.predict``.
        alone: there is one image: what is wrong with it is an error, not a row that says so.
        drawn: what is done about scale bars, info bars and panel letters.
        say: is told about each image that is finished.
        place: where results go from ``out``; None: they stay.
    """

    out: Path
    origin: Origin
    options: Mapping[str, Any]
    alone: bool
    say: Callable[[str], None]
    progress: bool
    drawn: Drawn = field(default_factory=Drawn)
    place: Elsewhere | None = None

    @property
    def told(self) -> Path | str:
        """The folder of the results, as it was given."""
        return self.out if self.place is None else self.place.address

    def finished(self, path: Path) -> Path | str:
        """Where a file is once it is where it belongs."""
        if self.place is None:
            return path
        self.place.put(path, self.out)
        return f"{self.place.address.rstrip('/')}/{path.name}"

    def load(self, image: Image) -> tuple[Micrograph, tuple[Box, ...]]:
        """The micrograph of an image, and the boxes of it that are left out."""
        return self.drawn.of(image.load())

    @property
    def files(self) -> tuple[str, ...]:
        files = ("classes", "instances", "overlay")
        return (*files, "probabilities") if self.options["probabilities"] else files

    def origin_of(self, image: Image) -> Origin:
        return replace(self.origin, source=image.path, frame=image.frame, image=image.name)


def named_images(
    places: Sequence[Path], frame: int | None, say: Callable[[str], None]
) -> list[Image]:
    """The micrographs, named as in the folder that was given: what CVAT calls them too.

    Args:
        frame: of stacks, the image that is taken; None: all.
        say: is told which files are passed over, and which are stacks.

    Raises:
        FileNotFoundError: there are none.
        ValueError: the results of two would be written under one name.
    """
    folders = [place for place in places if is_folder_of_images(place)]
    found = []
    listed = image_paths(places, say=say)
    paths = [path for path in listed if path in places or not is_of_prediction(path)]
    if not paths:
        raise FileNotFoundError(
            f"There must be micrographs. Received: {len(listed)} maps and pictures of predictions"
            " alone. Name the micrographs, or their folder."
        )
    if len(paths) < len(listed):
        say(f"passed over: {len(listed) - len(paths)} maps and pictures of predictions")
    own = own_names(paths)
    for path in paths:
        file, _ = parted(path)
        folder = next((f for f in folders if file.is_relative_to(f)), file.parent)
        within = file.relative_to(folder)
        count, frames = _frames_of(path, frame, say)
        for number in frames:
            name = within.with_name(frame_name(path, number, count)).as_posix()
            own_name = frame_name(own[path], number, count)
            found.append(Image(path, name, own_name, number))
    require_own_names((image.own_name, image.path) for image in found)
    return found


def _frames_of(
    path: Path, frame: int | None, say: Callable[[str], None]
) -> tuple[int, Sequence[int]]:
    """How many images a file has, and which of them are to be predicted."""
    try:
        count = max(count_frames(path), 1)
    except (OSError, ValueError):
        return 1, [frame or 0]  # reading it will say what is wrong
    if frame is not None:
        return count, [frame]
    if count > 1:
        how = "all of them; frame=0 (--frame 0) takes the first alone"
        say(f"{name_of(path)}: {count} images, {how}")
    return count, range(count)


def predict_images(images: Sequence[Image], job: Job, model: Any) -> list[Row]:
    """Predicts and writes each image: a row each, in their order.

    Raises:
        ConnectionError, TimeoutError, RuntimeError: see ``_Work.predicted``.
        OSError: the disk is full or gone.
        Exception: what is wrong with the only image.
    """
    # A fused prediction asks a detector too, which needs gigabytes; failures of a server are
    # counted in a row.
    alone = job.origin.is_served or job.options["instances"] == "fused"
    calls = 1 if alone else task_of(model).at_once(model)
    work = _Work(model, job, BoundedSemaphore(calls), Room((calls + 1) * WHOLE))
    rows = []
    with shown(images, job) as advance:
        # Two more than are predicted: one is read meanwhile, and one written.
        in_flight = 1 if len(images) == 1 else calls + 2
        for row, said in in_order(work.done, images, in_flight=in_flight):
            if said:
                job.say(said)
            rows.append(row)
            advance()
    return rows


def sweep(images: Sequence[Image], job: Job) -> None:
    """Removes what killed processes, of other machines too, left of the files to be written."""
    stems = {"predictions", *(file_stem(image.own_name) for image in images)}
    for path in job.out.glob(f"{PARTIAL}*"):
        name = path.name.rpartition("@")[2].partition("-")[2]  # behind some letters
        if any(name.startswith((f"{stem}_", f"{stem}.")) for stem in stems):
            path.unlink(missing_ok=True)


@dataclass
class _Work:
    """What is done to one image after another, in several threads.

    Attributes:
        turns: to ask the model.
        room: for the pixels of images in progress.
        writing: one image at a time.
        failures: of a server, in a row until now.
        ended: what ended the job; nothing else is predicted or written then.
    """

    model: Any
    job: Job
    turns: AbstractContextManager
    room: Room
    writing: Lock = field(default_factory=Lock)
    failures: list[Exception] = field(default_factory=list)
    ended: Exception | None = None

    def done(self, image: Image) -> tuple[Row, str]:
        """Reads, predicts and writes an image: its row, and a line about it.

        Raises:
            ConnectionError, TimeoutError, RuntimeError: see ``predicted``.
            OSError: the disk is full or gone, for the other images too.
            Exception: what is wrong with the only image.
        """
        with ExitStack() as held:
            # A bad file must not end a job, whatever it breaks in whichever library reads it.
            try:
                large = _size_of(image.path) > AHEAD_BYTES
                if large:
                    held.enter_context(self.room.taken(math.inf))
                micrograph, boxes = self.job.load(image)
                if self.job.alone:
                    forget_text_reader()  # the network needs the memory
                if not large:
                    held.enter_context(self.room.taken(micrograph.height * micrograph.width))
            except Exception as error:
                return self.failed(image, error)
            with self.turns:
                began = time.monotonic()
                found = self.predicted(micrograph, boxes)
                seconds = round(time.monotonic() - began, 3)
            if isinstance(found, Exception):
                return self.failed(image, found)
            try:
                with self.writing:
                    return self.written(image, micrograph, found, seconds)
            except OSError as error:
                self.ended = error
                raise
            except Exception as error:
                return self.failed(image, error)

    def predicted(self, micrograph: Micrograph, boxes: tuple[Box, ...]) -> Prediction | Exception:
        """A prediction; or what was wrong with the image.

        Raises:
            ConnectionError, TimeoutError: a server is gone or hangs, and would for other images.
            RuntimeError: it has failed for the third image in a row.
        """
        if self.ended is not None:
            raise self.ended
        try:
            found = predict(
                self.model,
                micrograph,
                progress=self.job.progress and self.job.alone,
                **self.job.options,
            )
            found = leave_out(found, boxes)
        except (ConnectionError, TimeoutError) as error:
            self.ended = error
            raise
        except Exception as error:
            if self.job.origin.is_served and isinstance(error, RuntimeError):
                self.failures.append(error)
            if len(self.failures) == MOST_SERVER_FAILURES:
                self.ended = error
                raise
            return error
        self.failures.clear()
        return found

    def failed(self, image: Image, error: Exception) -> tuple[Row, str]:
        """The row that says what is wrong with one of several images; raises that of the only."""
        if self.job.alone:
            raise error
        return Row(image.name, "failed", message=" ".join(str(error).split())), ""

    def written(
        self, image: Image, micrograph: Micrograph, found: Prediction, seconds: float
    ) -> tuple[Row, str]:
        if self.ended is not None:
            raise self.ended
        job = self.job
        how = {"seconds": seconds, "calibration": micrograph.calibration}
        save_prediction(
            found,
            job.out,
            micrograph=micrograph,
            probabilities=job.options["probabilities"],
            origin=replace(job.origin_of(image), **how),
        )
        if job.place is not None:
            job.place.put_image(image.own_name, job.out)
        # The maps alone would miss objects that lie wholly under others.
        count = int(found.instances.max()) if found.detections is None else len(found.detections)
        scale, read = found.nm_per_pixel, micrograph.calibration
        size = f"{scale_text(scale)} per pixel" if scale else "no calibration"
        size += f" ({read})" if read else ""
        doubtful = None if found.doubtful is None else len(found.doubtful)
        more = f"; {doubtful} doubtful" if doubtful else ""
        if found.smoothed_px:
            noisy = "noisy: " * (job.options["smooth"] == SMOOTH)
            more += f"; {noisy}smoothed by {found.smoothed_px:g} px"
        if found.binning > 1:
            more += f"; seen at {found.binning} x {found.binning} binning"
        told = f"{count} instances, {found.covered_share:.1%} of the area{more}; {size}"
        figures = count, found.covered_share, seconds, *(scale or (None, None)), read
        seen = doubtful, found.smoothed_px, found.binning
        row = Row(image.name, "predicted", *figures, "", *seen)
        return row, f"{image.name}: {told}"


class Room:
    """Memory for images in progress: as many as fit, and one that does not fit, alone."""

    def __init__(self, size: int):
        self._size = self._left = size
        self._changed = Condition()

    @contextmanager
    def taken(self, size: float) -> Iterator[None]:
        """Waits until there is room for something of a size."""
        taken = int(min(size, self._size))
        with self._changed:
            self._changed.wait_for(lambda: self._left >= taken)
            self._left -= taken
        try:
            yield
        finally:
            with self._changed:
                self._left += taken
                self._changed.notify_all()


def _size_of(path: Path) -> int:
    try:
        return parted(path)[0].stat().st_size
    except OSError:
        return 0  # reading it will say what is wrong


@contextmanager
def shown(images: Sequence[Image], job: Job) -> Iterator[Callable[[], None]]:
    """A progress bar over the images; a single one has a bar of its tiles instead."""
    if job.alone or not job.progress:
        yield lambda: None
        return
    from rich import progress

    columns = (progress.TextColumn("images"), progress.BarColumn(), progress.MofNCompleteColumn())
    times = progress.TimeElapsedColumn(), progress.TimeRemainingColumn()
    with progress.Progress(*columns, *times) as drawn:
        task = drawn.add_task("images", total=len(images))
        yield lambda: drawn.advance(task)
