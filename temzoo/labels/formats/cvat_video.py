"""Videos in CVAT 1.1 XML: what ``<meta>`` and ``<track>`` say, and the frames made of both."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from sys import intern
from typing import Any

from temzoo.core.hints import located
from temzoo.core.types import LabelledImage
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.cvat_shapes import Attributes, text_of, whole
from temzoo.labels.formats.entries import left_out
from temzoo.labels.formats.limits import require_mask_fits, require_size
from temzoo.labels.formats.tracks import Keyframe, interpolate

MAX_FRAMES = 10_000_000


@dataclass
class Task:
    """What ``<meta>`` says of one task or job."""

    id: str = ""
    subset: str = ""
    start_frame: int | None = None
    stop_frame: int | None = None
    step: int = 1
    width: int | None = None
    height: int | None = None


@dataclass
class Track:
    """One object of a video, as far as it was read."""

    id: int
    label: str
    tags: dict[str, Any]
    task_id: str
    subset: str
    attributes: dict[str, str] = field(default_factory=dict)
    keyframes: list[Keyframe] = field(default_factory=list)


def track_of(attributes: Attributes) -> Track:
    number, label = whole(attributes, "id"), intern(text_of(attributes, "label"))
    tags = {
        "label": label,
        "group_id": whole(attributes, "group_id", 0),
        "source": intern(attributes.get("source", "manual")),
        "track_id": number,
    }
    task_id, subset = attributes.get("task_id", ""), attributes.get("subset", "")
    return Track(number, label, tags, task_id, subset)


def task_of(meta: Mapping[str, str]) -> Task:
    numbers = ("start_frame", "stop_frame", "width", "height")
    stated = {name: whole(meta, name) for name in numbers if meta.get(name)}
    task = Task(meta.get("id", ""), meta.get("subset", ""), **stated)
    step = re.search(r"step\s*=\s*(\S+)", meta.get("frame_filter", ""))
    if step:
        task.step = whole({"frame_filter step": step[1]}, "frame_filter step")
    if task.step < 1:
        raise ValueError(
            f"frame_filter's step must be at least 1. Received: step={task.step}. Correct it."
        )
    return task


def frames(
    path: Path,
    classes: tuple[str, ...],
    tasks: Sequence[Task],
    tracks: Sequence[Track],
    said: list[Finding] | None = None,
) -> Iterator[LabelledImage]:
    """The frames of a video's tracks, task by task; ``path`` is for errors.

    Args:
        said: takes masks that do not fit, which are left out; None: the first is raised.
    """
    for task_id in dict.fromkeys(track.task_id for track in tracks):
        own = [track for track in tracks if track.task_id == task_id]
        task = _task_named(path, tasks, task_id)
        width, height = _video_size(path, task)
        for track in own:
            _keep_fitting(path, track, width, height, said)
        numbers = _frame_range(path, task, own)
        subset = own[0].subset or task.subset
        moving = (interpolate(track.keyframes, numbers) for track in own)
        # merge keeps the order of the tracks within a frame, and holds one shape of each.
        merged = heapq.merge(*moving, key=itemgetter(0))
        for frame, items in itertools.groupby(merged, key=itemgetter(0)):
            name, shapes = f"frame_{frame:06d}", tuple(shape for _, shape in items)
            yield LabelledImage(name, width, height, shapes, classes, subset, task_id, frame)


def _task_named(path: Path, tasks: Sequence[Task], task_id: str) -> Task:
    if not tasks and not task_id:
        return Task()
    if len(tasks) == 1 and not (task_id and tasks[0].id):
        return tasks[0]  # the only one need not be numbered
    for task in tasks:
        if task.id == task_id:
            return task
    raise ValueError(
        f"{path}: each track must name a task of <meta>. Received: task_id={task_id!r}, "
        f"tasks {[task.id for task in tasks]}. Export the project again."
    )


def _video_size(path: Path, task: Task) -> tuple[int, int]:
    if task.width is None or task.height is None:
        raise ValueError(
            f"{path}: a video's <meta> must state <original_size>, width and height. "
            f"Received: width={task.width}, height={task.height}. Export the task again."
        )
    with located(f"{path}, <original_size>"):
        require_size(task.width, task.height)
    return task.width, task.height


def _keep_fitting(
    path: Path, track: Track, width: int, height: int, said: list[Finding] | None
) -> None:
    """Takes the keyframes out of a track whose masks do not fit their image."""
    kept = []
    for key in track.keyframes:
        place = f"{path}, track {track.id} of label {track.label!r}, frame {key.frame}"
        with left_out(said, f"{place}, shape ({key.shape.kind})"):
            require_mask_fits(vars(key.shape), width, height)
            kept.append(key)
    track.keyframes = kept


def _frame_range(path: Path, task: Task, tracks: list[Track]) -> range:
    """The frames of a task; where <meta> does not say, those between its keyframes."""
    stated = [key.frame for track in tracks for key in track.keyframes] or [0]
    start = min(stated) if task.start_frame is None else task.start_frame
    stop = max(stated) if task.stop_frame is None else task.stop_frame
    numbers = range(start, stop + 1, task.step)
    if len(numbers) > MAX_FRAMES:
        raise ValueError(
            f"{path}: a video must have at most {MAX_FRAMES} frames. Received: "
            f"start_frame={start}, stop_frame={stop}, step={task.step}. Correct <meta>."
        )
    return numbers
