"""Does the memory stay bounded where temzoo says so? Measured at full size.

    python -m benchmarks limits all             # an hour on two slow cores
    python -m benchmarks limits read-points     # some; the records of the others are kept

Each measurement runs in a fresh process, on generated data. Its figures, in bytes:

- ``peak``: the most resident memory that the process ever had, ``VmHWM`` of ``/proc``. (It is
  what ``getrusage`` gives as ``ru_maxrss``, but for one thing: a process inherits that figure from
  the one that starts it, so that a large parent would hide a small child.)
- ``baseline``: resident once the libraries are imported and the network is built, before the first
  byte of data.
- ``input``: the pixels of the micrograph; 0 for a label file, which is read as a stream.
- ``used``: what the bound speaks of. Reading: the whole process, ``peak``. Predicting: what comes
  on top of the image and the libraries, ``peak - baseline - input``.

The exit status is 1 when a bound was broken. Needs Linux.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import temzoo
from benchmarks import cvat_exports
from benchmarks.cvat_exports import LABEL, outline, polygon
from benchmarks.metrics import CONNECTED
from benchmarks.timing import in_child, memory

GB = 10**9
MEGABYTES = 200
SIDE = 16384
LABELLED = 4096  # side of the images that the generated labels speak of


@dataclass(frozen=True)
class Limit:
    """One promise."""

    about: str  # what is done, in words
    bound: int  # bytes that ``used`` must not exceed
    labels: str = ""  # the layout of the label file to read, a name of ``LAYOUTS``
    model: str = "identity"  # a registered name, or that (see ``identity``)
    config: Mapping[str, Any] = field(default_factory=dict)  # the model's keywords
    classes: int = 2  # of the identity model
    # predict white noise, with as many instances as an image can have, not blobs
    noise: bool = False
    save: bool = False  # also write the maps and the overlay


MOBILENET = {"alpha": 0.25, "encoder_weights": None}
LIMITS = {
    "read-points": Limit("polygons of 700 points", GB, "points"),
    "read-shapes": Limit("polygons of 5 points with 8 attributes each", GB, "shapes"),
    "read-boxes": Limit("boxes and nothing else", GB, "boxes"),
    "read-video": Limit("tracks of polygons of 70 points, a keyframe a frame", GB, "video"),
    "predict-identity": Limit("the identity model", 2 * GB),
    "predict-noise": Limit("the identity model on white noise", 2 * GB, noise=True),
    "predict-classes8": Limit("the identity model, 8 classes", 2 * GB, classes=8),
    "predict-save": Limit("the identity model, maps and overlay written", 2 * GB, save=True),
    "predict-unet8": Limit("`unet`, 8 filters", 2 * GB, "", "unet", {"filters": 8}),
    "predict-mobilenet": Limit(
        "`unet_mobilenet`, alpha 0.25", 2 * GB, "", "unet_mobilenet", MOBILENET
    ),
    "predict-unet": Limit("`unet`, its default of 32 filters", 2 * GB, "", "unet"),
}


def _images(shapes: Iterator[str]) -> Iterator[str]:
    return cvat_exports.images(shapes, 200, LABELLED)


def many_points() -> Iterator[str]:
    tags = f'label="{LABEL}" occluded="0"'
    return _images(itertools.cycle([polygon(each, tags) for each in _fifty(700, LABELLED)]))


def many_shapes() -> Iterator[str]:
    attributes = "".join(
        f'      <attribute name="property {k}">judged by the second of two readers</attribute>\n'
        for k in range(8)
    )
    tags = f'label="{LABEL}" occluded="0"'
    shapes = [polygon(each, tags, attributes) for each in _fifty(5, LABELLED)]
    return _images(itertools.cycle(shapes))


def many_boxes() -> Iterator[str]:
    shapes = [
        f'    <box label="{LABEL}" source="manual" occluded="0" xtl="{number}.25"'
        f' ytl="{number}.5" xbr="{number + 30}.75" ybr="{number + 20}.0" z_order="0">\n'
        "    </box>\n"
        for number in range(50)
    ]
    return _images(itertools.cycle(shapes))


def video() -> Iterator[str]:
    """Tracks with a keyframe on each of 1,000 frames, without end."""
    # So far from the border that none drifts out of the frames.
    tracks = itertools.cycle([(0, each) for each in _fifty(70, LABELLED // 2)])
    return cvat_exports.video(tracks, life=1000, every=1, side=LABELLED, frames=1000)


def _fifty(points: int, side: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [outline(rng, side, points) for _ in range(50)]


LAYOUTS: dict[str, Callable[[], Iterator[str]]] = {
    "points": many_points,
    "shapes": many_shapes,
    "boxes": many_boxes,
    "video": video,
}


def write_labels(path: Path, layout: str, size: int) -> None:
    """Writes a CVAT XML of at least ``size`` bytes, ending with a whole image or track."""
    cvat_exports.write(path, LAYOUTS[layout](), size)


def child_reads(path: str) -> dict[str, Any]:
    """In the child: reads the whole file at once, and holds all of it."""
    from temzoo.labels.formats import cvat

    baseline = memory("VmRSS")
    start = time.monotonic()
    images = cvat.read(Path(path))
    shapes = [shape for image in images for shape in image.shapes]
    return {
        "baseline": baseline,
        "peak": memory("VmHWM"),
        "input": 0,
        "seconds": time.monotonic() - start,
        "images": len(images),
        "shapes": len(shapes),
        "points": sum(len(shape.points) for shape in shapes),
    }


def child_predicts(name: str, side: int) -> dict[str, Any]:
    """In the child: predicts a square uint8 micrograph of that side with the defaults."""
    return _predicts(LIMITS[name], side)


def child_predicts_with(model: str, config: Mapping[str, Any], side: int) -> dict[str, Any]:
    """The same with any network."""
    return _predicts(Limit("", 0, model=model, config=config), side)


def _predicts(limit: Limit, side: int) -> dict[str, Any]:
    from temzoo.store import pictures

    if limit.model == "identity":
        model = identity(limit.classes)
    else:
        model = temzoo.get_model(limit.model, compile=False, **limit.config)
    baseline = memory("VmRSS")
    pixels = micrograph(side, noise=limit.noise)
    start = time.monotonic()
    found = temzoo.predict(model, pixels, **CONNECTED)
    if limit.save:
        with tempfile.TemporaryDirectory() as folder:
            pictures.save_prediction(found, folder, micrograph=temzoo.Micrograph(pixels))
    peak, given = memory("VmHWM"), pixels.nbytes
    return {
        **{"baseline": baseline, "peak": peak, "input": given, "used": peak - baseline - given},
        "seconds": time.monotonic() - start,
        "side": side,
        "instances": int(found.instances.max()),
        "foreground": round(float(np.mean(found.classes[::16, ::16] > 0)), 4),
    }


def identity(classes: int) -> Callable:
    """A model that gives grey back: 0 is class 0, 255 the last, and what is between is shared."""

    def network(batch):
        """(B, h, w, 1) uint8 → (B, h, w, classes) float32."""
        answer = np.arange(classes, dtype=np.float32) - batch * np.float32((classes - 1) / 255)
        np.abs(answer, out=answer)
        np.subtract(1, answer, out=answer)
        return np.maximum(answer, 0, out=answer)

    return network


def micrograph(side: int, *, noise: bool = False):
    """(side, side) uint8: blobs on a grid, each of its own brightness, or white noise."""
    rng = np.random.default_rng(0)
    if noise:
        return rng.integers(0, 256, (side, side), np.uint8)
    offset = (np.arange(64) - 32) ** 2
    blob = np.exp(-np.add.outer(offset, offset) / 200)
    cells = side // 64
    bright = rng.uniform(150, 250, (cells, cells))
    pixels = np.empty((side, side), np.uint8)
    for row in range(cells):
        pixels[64 * row : 64 * row + 64, : 64 * cells] = np.kron(bright[row], blob)
    return pixels


def measure(name: str, *, megabytes: float = MEGABYTES, side: int = SIDE) -> dict[str, Any]:
    """Takes one measurement in a fresh process.

    Args:
        name: a key of ``LIMITS``.
        megabytes: size of a label file to read.
        side: of a square micrograph to predict, px; a multiple of 64.

    Returns:
        ``baseline``, ``peak``, ``input``, ``used`` and ``bound`` in bytes, and what was done.
    """
    limit = LIMITS[name]
    if not limit.labels:
        found = in_child("benchmarks.limits:child_predicts", name, side)
        return {**found, "bound": limit.bound}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "annotations.xml"
        write_labels(data, limit.labels, round(megabytes * 1e6))
        found = in_child("benchmarks.limits:child_reads", str(data))
        told = {"file": data.stat().st_size, "used": found["peak"], "bound": limit.bound}
        return {**found, **told}


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from benchmarks.datasets import generated  # its imports would count in a child's memory

    broken = []
    for name in LIMITS if "all" in arguments.names else arguments.names:
        limit, figures = LIMITS[name], measure(name)
        broken += [name] * (figures["used"] > figures["bound"])
        content = limit.labels.encode() if limit.labels else micrograph(512, noise=limit.noise)
        data = f"generated labels, {limit.labels}" if limit.labels else "drawn micrograph"
        yield {
            "name": name,
            "about": limit.about,
            "command": arguments.again(names=name),
            "model": None if limit.labels else limit.model,
            "config": dict(limit.config),
            "settings": {"threads": os.environ.get("TF_NUM_INTRAOP_THREADS", "all")},
            "dataset": generated(data, content),
            "seed": 0,
            "figures": figures,
        }
    if broken:
        raise SystemExit(f"Memory stays within its bound. Received: {', '.join(broken)} beyond it.")
