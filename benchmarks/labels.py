"""Reading and drawing of large label exports, beside datumaro.

    python -m benchmarks labels                    # 100,000 polygons; 10,000 tracks
    python -m benchmarks labels --environment DIR  # where datumaro's environment is, or is made
    python -m benchmarks labels --only video --repetitions 1

Two CVAT 1.1 exports are generated, the same on every machine: "images", 250 polygons of 24 vertices
on each of 400 images of 1024 px; and "video", 10,000 tracks of 10 frames each, every frame written
with every second one a keyframe, over 1,000 frames. Each is read and drawn, an instance map for
every image, in a fresh process, in turns: temzoo, datumaro, temzoo … Who takes more than a minute
does so once. Datumaro draws by its transform ``polygons_to_masks`` and ``merge_masks``. Its
environment is made by one command, ``python -m venv DIR && DIR/bin/pip install datumaro``, and
kept; where that fails the table says why. Blank images lie beside the export, since datumaro takes
none without. Seconds leave out the start of Python and the imports. Memory: ``VmHWM`` of the whole
process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.records import result
from benchmarks.timing import in_child, last_line, memory, ratio, spread, tell
from temzoo.labels.formats import cvat
from temzoo.labels.shapes.raster import instance_map

ENVIRONMENT = Path.home() / ".cache" / "temzoo-benchmarks" / "datumaro"
SIDE = 1024  # of every image, px
VERTICES = 24
LIFE = 10  # frames of a track
TRACKS_AT_ONCE = 100
ONCE_S = 60.0  # of reading and drawing, after which it is not repeated
LABEL = "particle"
TIMED = ("read_s", "draw_s", "peak")
DECLARED = f"<labels><label><name>{LABEL}</name><attributes></attributes></label></labels>"


@dataclass(frozen=True)
class Size:
    """How much is generated: images with polygons_each, tracks, and repetitions."""

    images: int
    polygons_each: int
    tracks: int
    repetitions: int


FULL = Size(400, 250, 10_000, 3)
QUICK = Size(8, 250, 200, 3)


def outline(rng: np.random.Generator) -> np.ndarray:
    """(VERTICES, 2) x, y of an uneven blob that lies in the image."""
    angle = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    radius = rng.uniform(8, 40) * (1 + 0.25 * rng.uniform(-1, 1, VERTICES))
    centre = rng.uniform(60, SIDE - 60, 2)
    return centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _points(outline: np.ndarray) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in outline.tolist())


def images_export(size: Size) -> Iterator[str]:
    """CVAT "for images", part by part."""
    yield f"  <meta><task><size>{size.images}</size><mode>annotation</mode>{DECLARED}"
    yield "</task></meta>\n"
    for number in range(size.images):
        rng = np.random.default_rng([0, number])
        yield f'  <image id="{number}" name="{number:06d}.png" width="{SIDE}" height="{SIDE}">\n'
        for _ in range(size.polygons_each):
            yield (
                f'    <polygon label="{LABEL}" source="manual" occluded="0"'
                f' points="{_points(outline(rng))}" z_order="0">\n    </polygon>\n'
            )
        yield "  </image>\n"


def video_export(size: Size) -> Iterator[str]:
    """CVAT "for video", part by part: every track drifts by 2 px a frame."""
    frames = _frames(size)
    yield f"  <meta><task><size>{frames}</size><mode>interpolation</mode><start_frame>0"
    yield f"</start_frame><stop_frame>{frames - 1}</stop_frame>{DECLARED}<original_size>"
    yield f"<width>{SIDE}</width><height>{SIDE}</height></original_size></task></meta>\n"
    for number in range(size.tracks):
        rng = np.random.default_rng([1, number])
        first, start = LIFE * (number // TRACKS_AT_ONCE), outline(rng)
        yield f'  <track id="{number}" label="{LABEL}" source="manual">\n'
        for frame in range(first, min(first + LIFE + 1, frames)):
            gone, key = frame == first + LIFE, (frame - first) % 2 == 0
            yield (
                f'    <polygon frame="{frame}" outside="{gone:d}" occluded="0"'
                f' keyframe="{key or gone:d}" points="{_points(start + 2 * (frame - first))}"'
                ' z_order="0">\n    </polygon>\n'
            )
        yield "  </track>\n"


EXPORTS: dict[str, Callable[[Size], Iterator[str]]] = {
    "images": images_export,
    "video": video_export,
}
NAMES = {"images": "{:06d}.png", "video": "frame_{:06d}.png"}  # as datumaro looks for them
# Run by datumaro's own Python: it sees nothing of this repository.
DATUMARO = textwrap.dedent(
    """
    import json, sys, time
    import numpy as np
    import datumaro
    from datumaro.components.media import Image
    from datumaro.util.mask_tools import merge_masks

    def peak():
        with open("/proc/self/status") as file:
            return next(int(l.split()[1]) for l in file if l.startswith("VmHWM:")) * 1024

    start = time.perf_counter()
    dataset = datumaro.Dataset.import_from(sys.argv[1], "cvat")
    items = list(dataset)
    read = time.perf_counter() - start
    shapes = foreground = 0
    start = time.perf_counter()
    dataset.transform("polygons_to_masks")
    for item in dataset:
        shown = [a for a in item.annotations if not a.attributes.get("outside")]
        merged = merge_masks((a.image, k) for k, a in enumerate(shown, start=1))
        shapes += len(shown)
        foreground += 0 if merged is None else int(np.count_nonzero(merged))
    drawn = time.perf_counter() - start
    print(json.dumps({"read_s": read, "draw_s": drawn, "peak": peak(), "images": len(items),
                      "shapes": shapes, "foreground_px": foreground,
                      "version": datumaro.__version__}))
    """
)


def write_export(path: Path, name: str, size: Size) -> None:
    """The export, and its blank images in ``images/`` beside it."""
    with path.open("w", encoding="utf-8") as out:
        out.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        )
        out.writelines(EXPORTS[name](size))
        out.write("</annotations>\n")
    folder = path.parent / "images"
    folder.mkdir()
    blank = np.zeros((SIDE, SIDE), np.uint8)
    for number in range(size.images if name == "images" else _frames(size)):
        cv2.imwrite(str(folder / NAMES[name].format(number)), blank)


def _frames(size: Size) -> int:
    return size.tracks * LIFE // TRACKS_AT_ONCE


def child_reads_and_draws(path: str) -> dict[str, Any]:
    """In the child."""
    start = time.perf_counter()
    images = cvat.read(Path(path))
    read = time.perf_counter() - start
    start = time.perf_counter()
    foreground = sum(int(np.count_nonzero(instance_map(image))) for image in images)
    return {
        "read_s": read,
        "draw_s": time.perf_counter() - start,
        "peak": memory("VmHWM"),
        "images": len(images),
        "shapes": sum(len(image.shapes) for image in images),
        "foreground_px": foreground,
    }


def environment(folder: Path) -> Path:
    """The Python that has datumaro; makes its environment where there is none.

    Raises:
        RuntimeError: it cannot be made here; the message says why.
    """
    python = folder / "bin" / "python"
    if _has_datumaro(python):
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "datumaro"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            why = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise RuntimeError(f"datumaro is not installed here: {''.join(why)[:200]}")
    return python


def _has_datumaro(python: Path) -> bool:
    if not python.is_file():
        return False
    return not subprocess.run([python, "-c", "import datumaro"], capture_output=True).returncode


def measure(name: str, size: Size, python: Path | None, why: str, folder: Path) -> dict[str, Any]:
    """What a record says of an export.

    Args:
        name: of ``EXPORTS``.
        size: what is generated.
        python: that has datumaro; None: it is left out.
        why: for that case.
        folder: an empty one.
    """
    from benchmarks.datasets import generated  # its imports would count in a child's memory

    data = folder / "annotations.xml"
    write_export(data, name, size)
    asked = {"temzoo": lambda: in_child("benchmarks.labels:child_reads_and_draws", str(data))}
    if python is not None:
        command = [python, "-c", DATUMARO, data]
        asked["datumaro"] = lambda: json.loads(last_line(command, PYTHONPATH=""))
    told: dict[str, list[dict[str, Any]]] = {who: [] for who in asked}
    for turn in range(size.repetitions):
        for who, ask in asked.items():
            if not _is_slow(told[who]):
                tell(f"{_about(name, size)}: {who}, {turn + 1} of {size.repetitions}")
                told[who].append(ask())
    figures: dict[str, Any] = {who: _summary(rows) for who, rows in told.items()}
    if python is None:
        figures["datumaro"] = {"left_out": why}
    else:
        figures["ratio"] = {part: _ratio(part, told) for part in TIMED}
    dataset = generated(f"generated, {name}", data.read_bytes()) | {"bytes": data.stat().st_size}
    return {"about": _about(name, size), "figures": figures, "dataset": dataset}


def _is_slow(rows: list[dict[str, Any]]) -> bool:
    """Whether one repetition was enough: its minutes tell more than its spread would."""
    return bool(rows) and rows[0]["read_s"] + rows[0]["draw_s"] > ONCE_S


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    timings = {part: spread([row[part] for row in rows]) for part in TIMED}
    return timings | {key: value for key, value in rows[0].items() if key not in timings}


def _ratio(part: str, told: dict[str, list]) -> dict[str, float]:
    """datumaro over temzoo, turn by turn, of the turns that both have."""
    return ratio(*([row[part] for row in told[who]] for who in ("datumaro", "temzoo")))


def _about(name: str, size: Size) -> str:
    if name == "images":
        return f"{size.images * size.polygons_each:,} polygons on {size.images:,} images"
    return f"{size.tracks:,} tracks on {_frames(size):,} frames"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = Path(os.environ.get("TEMZOO_DATUMARO", ENVIRONMENT))
    parser.add_argument("--environment", type=Path, default=where, help=f"datumaro's ({where})")
    parser.add_argument("--no-datumaro", action="store_true", help="temzoo alone")
    parser.add_argument("--only", choices=[*EXPORTS], help="one of the two exports")
    parser.add_argument("--repetitions", type=int, help="of each that takes no minutes (3)")


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    size = QUICK if arguments.quick else FULL
    size = replace(size, repetitions=arguments.repetitions or size.repetitions)
    python, why = None, "not asked for: the quick run installs nothing"
    if not arguments.no_datumaro:
        try:
            python = environment(arguments.environment)
        except RuntimeError as error:
            why = str(error)
    for name in [arguments.only] if arguments.only else EXPORTS:
        with tempfile.TemporaryDirectory() as folder:
            told = measure(name, size, python, why, Path(folder))
        command = arguments.again(only=name if arguments.only else None)
        yield result("labels", name, command=command, quick=arguments.quick, seed=0, **told)
