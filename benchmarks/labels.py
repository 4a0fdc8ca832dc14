"""Reading and drawing of large label exports, beside datumaro.

    python -m benchmarks peers --setup datumaro    # an environment for it
    python -m benchmarks labels                    # 100,000 polygons; 10,000 tracks

Two CVAT 1.1 exports are generated, the same on every machine: "images", 250 polygons of 24 vertices
on each of 400 images of 1024 px; and "video", 10,000 tracks of 10 frames each, every frame written
with every second one a keyframe, over 1,000 frames. Each is read and drawn, an instance map for
every image, in a fresh process, in turns: temzoo, datumaro, temzoo … Who takes more than a minute
does so once. Datumaro draws by its transform ``polygons_to_masks`` and ``merge_masks``; where its
environment is not there the table says so. Blank images lie beside the export, since datumaro takes
none without. Seconds leave out the start of Python and the imports. Memory: ``VmHWM`` of the whole
process.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks import cvat_exports
from benchmarks.cvat_exports import LABEL, outline, polygon
from benchmarks.environments import python_of, why_not
from benchmarks.timing import in_child, last_line, memory, ratio, spread, tell, timed
from temzoo.labels.formats import cvat
from temzoo.labels.shapes.raster import instance_map

SIDE = 1024  # of every image, px
VERTICES = 24
LIFE = 10  # frames of a track
TRACKS_AT_ONCE = 100
ONCE_S = 60.0  # of reading and drawing, after which it is not repeated
TIMED = ("read_s", "draw_s", "peak")


class Size(NamedTuple):
    images: int
    polygons_each: int
    tracks: int
    repetitions: int

    @property
    def frames(self) -> int:
        return self.tracks * LIFE // TRACKS_AT_ONCE


FULL, QUICK = Size(400, 250, 10_000, 3), Size(8, 250, 200, 3)


def outlines(kind: int, count: int, each: int = 1) -> Iterator[np.ndarray]:
    """So many of each image or track, whose number seeds them."""
    for number in range(count):
        rng = np.random.default_rng([kind, number])
        yield from (outline(rng, SIDE, VERTICES) for _ in range(each))


def images_export(size: Size) -> Iterator[str]:
    tags = f'label="{LABEL}" source="manual" occluded="0"'
    shapes = (polygon(one, tags) for one in outlines(0, size.images, size.polygons_each))
    return cvat_exports.images(shapes, size.polygons_each, SIDE, size.images)


def video_export(size: Size) -> Iterator[str]:
    begins = (LIFE * (number // TRACKS_AT_ONCE) for number in range(size.tracks))
    tracks = zip(begins, outlines(1, size.tracks), strict=True)
    return cvat_exports.video(tracks, life=LIFE, every=2, side=SIDE, frames=size.frames)


EXPORTS = {"images": images_export, "video": video_export}
NAMES = {"images": "{:06d}.png", "video": "frame_{:06d}.png"}  # as datumaro looks for them
# Run by datumaro's own Python: it sees nothing of this repository.
DATUMARO = """
import json, sys, time
import numpy as np
import datumaro
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


def write_export(path: Path, name: str, size: Size) -> None:
    """The export, and its blank images in ``images/`` beside it."""
    cvat_exports.write(path, EXPORTS[name](size))
    folder = path.parent / "images"
    folder.mkdir()
    blank = np.zeros((SIDE, SIDE), np.uint8)
    for number in range(size.images if name == "images" else size.frames):
        cv2.imwrite(str(folder / NAMES[name].format(number)), blank)


def child_reads_and_draws(path: str) -> dict[str, Any]:
    images, read_s = timed(lambda: cvat.read(Path(path)))
    px, draw_s = timed(lambda: sum(int(np.count_nonzero(instance_map(image))) for image in images))
    shapes = sum(len(image.shapes) for image in images)
    told = {"read_s": read_s, "draw_s": draw_s, "peak": memory("VmHWM")}
    return told | {"images": len(images), "shapes": shapes, "foreground_px": px}


def measure(name: str, size: Size, folder: Path) -> dict[str, Any]:
    """What a record says of an export of ``EXPORTS``, which is written into an empty folder."""
    from benchmarks.datasets import generated  # its imports would count in a child's memory

    data, why = folder / "annotations.xml", why_not("datumaro")
    write_export(data, name, size)
    asked = {"temzoo": lambda: in_child("benchmarks.labels:child_reads_and_draws", str(data))}
    if why is None:
        command = [python_of("datumaro"), "-c", DATUMARO, data]
        asked["datumaro"] = lambda: json.loads(last_line(command, PYTHONPATH=""))
    told: dict[str, list[dict[str, Any]]] = {who: [] for who in asked}
    for turn in range(size.repetitions):
        for who, ask in asked.items():
            # Minutes of one repetition tell more than its spread would.
            if turn and told[who][0]["read_s"] + told[who][0]["draw_s"] > ONCE_S:
                continue
            tell(f"{_about(name, size)}: {who}, {turn + 1} of {size.repetitions}")
            told[who].append(ask())
    taken = {
        who: {part: [row[part] for row in rows] for part in TIMED} for who, rows in told.items()
    }
    figures: dict[str, Any] = {
        who: rows[0] | {part: spread(each) for part, each in taken[who].items()}
        for who, rows in told.items()
    }
    if why is None:  # turn by turn, of the turns that both have
        theirs, ours = taken["datumaro"], taken["temzoo"]
        figures["ratio"] = {part: ratio(theirs[part], ours[part]) for part in TIMED}
    else:
        figures["datumaro"] = {"left_out": why}
    dataset = generated(f"generated, {name}", data.read_bytes()) | {"bytes": data.stat().st_size}
    return {"about": _about(name, size), "figures": figures, "dataset": dataset}


def _about(name: str, size: Size) -> str:
    if name == "images":
        return f"{size.images * size.polygons_each:,} polygons on {size.images:,} images"
    return f"{size.tracks:,} tracks on {size.frames:,} frames"


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    size = QUICK if arguments.quick else FULL
    for name in EXPORTS:
        with tempfile.TemporaryDirectory() as folder:
            yield {"name": name, "seed": 0, **measure(name, size, Path(folder))}
