"""Does the memory stay bounded where temzoo says so? Measured at full size.

    python -m benchmarks limits all             # an hour on two slow cores
    python -m benchmarks limits read-points     # or read-shapes, read-boxes, read-video,
                                                # predict-identity, predict-noise, predict-save,
                                                # predict-classes8, predict-unet8,
                                                # lazy-2048, lazy-8192, lazy-16384, lazy-65536
    python -m benchmarks limits sides           # one small network at each size, without a bound

Each measurement runs in a fresh process, on generated data. Its figures, in bytes:

- ``peak``: the most resident memory that the process ever had, ``VmHWM`` of ``/proc`` (unlike
  ``ru_maxrss`` it is not inherited from the process that starts it).
- ``baseline``: resident once the libraries are imported and the network is built, before the first
  byte of data.
- ``input``: the pixels of the micrograph; 0 for a label file, which is read as a stream.
- ``used``: what the bound speaks of. Reading: the whole process, ``peak``. Predicting: what comes
  on top of the image and the libraries, ``peak - baseline - input``. A lazy image is a Zarr of
  zeros without a chunk on disk, its class map is written to another: the input counts as 0.

The exit status is 1 when a bound was broken. Needs Linux.
"""

import argparse
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import temzoo
from benchmarks import cvat_exports
from benchmarks.cvat_exports import LABEL, outline, polygon
from benchmarks.records import CONNECTED
from benchmarks.timing import in_child, memory, timed

GB = 10**9
LABELLED = 4096  # side of the images that the generated labels speak of
SIDES = (512, 1024, 2048, 4096, 8192, 16384)
SMALL = {"model": "unet_mobilenet", "config": {"alpha": 0.25, "encoder_weights": None}}
# What is done, in words; and the layout of the label file that is read, or how ``child_predicts``
# predicts.
LIMITS: dict[str, tuple[str, dict[str, Any]]] = {
    "read-points": ("polygons of 700 points", {"labels": "points"}),
    "read-shapes": ("polygons of 5 points with 8 attributes each", {"labels": "shapes"}),
    "read-boxes": ("boxes and nothing else", {"labels": "boxes"}),
    "read-video": ("tracks of polygons of 70 points, a keyframe a frame", {"labels": "video"}),
    "predict-identity": ("the identity model", {}),
    "predict-noise": ("the identity model on white noise", {"noise": True}),
    "predict-classes8": ("the identity model, 8 classes", {"classes": 8}),
    "predict-save": ("the identity model, maps and overlay written", {"save": True}),
    "predict-unet8": ("`unet`, 8 filters", {"model": "unet", "config": {"filters": 8}}),
    **{
        f"lazy-{side}": ("the identity model, from one Zarr to another", {"lazy": side})
        for side in (2048, 8192, 16384, 65536)
    },
}


def _images(shapes: list[str]) -> Iterator[str]:
    return cvat_exports.images(itertools.cycle(shapes), 200, LABELLED)


def _polygons(points: int, inside: str = "") -> Iterator[str]:
    tags = f'label="{LABEL}" occluded="0"'
    return _images([polygon(each, tags, inside) for each in _fifty(points, LABELLED)])


def _fifty(points: int, side: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [outline(rng, side, points) for _ in range(50)]


def many_boxes() -> Iterator[str]:
    box = (
        f'    <box label="{LABEL}" source="manual" occluded="0" xtl="{{0}}.25" ytl="{{0}}.5"'
        ' xbr="{1}.75" ybr="{2}.0" z_order="0">\n    </box>\n'
    )
    return _images([box.format(n, n + 30, n + 20) for n in range(50)])


def video() -> Iterator[str]:
    """Tracks with a keyframe on each of 1,000 frames, without end."""
    # So far from the border that none drifts out of the frames.
    tracks = itertools.cycle([(0, each) for each in _fifty(70, LABELLED // 2)])
    return cvat_exports.video(tracks, life=1000, every=1, side=LABELLED, frames=1000)


ATTRIBUTES = "".join(
    f'      <attribute name="property {k}">judged by the second of two readers</attribute>\n'
    for k in range(8)
)
LAYOUTS: dict[str, Callable[[], Iterator[str]]] = {
    "points": partial(_polygons, 700),
    "shapes": partial(_polygons, 5, ATTRIBUTES),
    "boxes": many_boxes,
    "video": video,
}


def child_reads(path: str) -> dict[str, Any]:
    """In the child: reads the whole file at once, and holds all of it."""
    from temzoo.labels.formats import cvat

    baseline = memory("VmRSS")
    images, seconds = timed(lambda: cvat.read(Path(path)))
    shapes = [shape for image in images for shape in image.shapes]
    peak, points = memory("VmHWM"), sum(len(shape.points) for shape in shapes)
    told = {"baseline": baseline, "peak": peak, "input": 0, "used": peak, "seconds": seconds}
    return told | {"images": len(images), "shapes": len(shapes), "points": points}


def child_predicts(asked: Mapping[str, Any], side: int) -> dict[str, Any]:
    """In the child: predicts a square uint8 micrograph with the defaults.

    Asked is for a ``model`` with its ``config``, or the ``classes`` of the identity model;
    ``noise``: as many instances as an image can have, not blobs; ``save``: maps and overlay too.
    """
    from temzoo.store.with_overlay import save_prediction

    if "model" in asked:
        model = temzoo.get_model(asked["model"], compile=False, **asked["config"])
    else:
        model = identity(asked.get("classes", 2))
    baseline = memory("VmRSS")
    pixels = micrograph(side, noise=asked.get("noise", False))
    found, seconds = timed(lambda: temzoo.predict(model, pixels, **CONNECTED))
    if asked.get("save"):
        with tempfile.TemporaryDirectory() as folder:
            save_prediction(found, folder, micrograph=temzoo.Micrograph(pixels))
    peak, given = memory("VmHWM"), pixels.nbytes
    return {
        **{"baseline": baseline, "peak": peak, "input": given, "used": peak - baseline - given},
        **{"seconds": seconds, "side": side, "instances": int(found.instances.max())},
        "foreground": round(float(np.mean(found.classes[::16, ::16] > 0)), 4),
    }


def child_predicts_lazily(side: int) -> dict[str, Any]:
    """In the child: the class map of a square uint8 Zarr, written to another."""
    import dask.array as da
    import zarr

    chunks = {"shape": (side, side), "chunks": (1024, 1024), "dtype": "uint8"}
    with tempfile.TemporaryDirectory() as folder:
        source = zarr.create_array(f"{folder}/image.zarr", **chunks, fill_value=0)
        target = zarr.create_array(f"{folder}/classes.zarr", **chunks)
        baseline = memory("VmRSS")
        found = temzoo.predict(identity(2), source, instances=None)
        _, seconds = timed(lambda: da.store(found, target, lock=True))
    told = {"baseline": baseline, "peak": memory("VmHWM"), "input": 0, "side": side}
    return told | {"used": told["peak"] - baseline, "seconds": seconds}


def identity(classes: int) -> Callable:
    """A model that gives grey back: 0 is class 0, 255 the last, and what is between is shared."""

    def network(batch):
        """(B, h, w, 1) uint8 → (B, h, w, classes) float32."""
        answer = np.arange(classes, dtype=np.float32) - batch * np.float32((classes - 1) / 255)
        np.abs(answer, out=answer)
        np.subtract(1, answer, out=answer)
        return np.maximum(answer, 0, out=answer)

    return network


def micrograph(side: int, *, noise: bool = False) -> np.ndarray:
    """(side, side) uint8: blobs on a grid, each of its own brightness, or white noise."""
    rng = np.random.default_rng(0)
    if noise:
        return rng.integers(0, 256, (side, side), np.uint8)
    offset = (np.arange(64) - 32) ** 2
    blob = np.exp(-np.add.outer(offset, offset) / 200)
    bright = rng.uniform(150, 250, (side // 64, side // 64))
    pixels = np.empty((side, side), np.uint8)
    for row, values in enumerate(bright):
        pixels[64 * row : 64 * row + 64] = np.kron(values, blob)
    return pixels


def measure(name: str, *, megabytes: float = 200, side: int = SIDES[-1]) -> dict[str, Any]:
    """Takes one measurement in a fresh process: bytes, and what was done.

    A label file has so many megabytes; a micrograph has so many px a side, a multiple of 64.
    """
    _, asked = LIMITS[name]
    if "lazy" in asked:
        found = in_child("benchmarks.limits:child_predicts_lazily", asked["lazy"])
        return found | {"bound": GB // 2}
    if "labels" not in asked:
        return in_child("benchmarks.limits:child_predicts", asked, side) | {"bound": 2 * GB}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "annotations.xml"
        cvat_exports.write(data, LAYOUTS[asked["labels"]](), round(megabytes * 1e6))
        found = in_child("benchmarks.limits:child_reads", str(data))
        return found | {"file": data.stat().st_size, "bound": GB}


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from benchmarks.datasets import generated  # its imports would count in a child's memory

    broken = []
    for name in [*LIMITS, "sides"] if "all" in arguments.names else arguments.names:
        command = arguments.again(names=name)
        if name == "sides":
            drawn = generated("drawn blobs (benchmarks.limits.micrograph)", micrograph(512))
            rows = [in_child("benchmarks.limits:child_predicts", SMALL, side) for side in SIDES]
            told = {"what": "memory", "about": "temzoo.predict with unet_mobilenet, alpha 0.25"}
            told |= {"name": SMALL["model"], "command": command, "dataset": drawn, "seed": 0}
            yield told | SMALL | {"figures": {"sides": rows}}
            continue
        (about, asked), figures = LIMITS[name], measure(name)
        broken += [name] * (figures["used"] > figures["bound"])
        told = {"name": name, "about": about, "command": command}
        content = json.dumps(asked).encode()
        told |= {"model": asked.get("model"), "config": asked.get("config"), "figures": figures}
        told |= {"settings": {"threads": os.environ.get("TF_NUM_INTRAOP_THREADS", "all")}}
        yield told | {"dataset": generated("generated labels or micrograph", content)}
    if broken:
        raise SystemExit(f"Memory stays within its bound. Received: {', '.join(broken)} beyond it.")
