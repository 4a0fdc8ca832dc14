"""Does the memory stay bounded where temzoo says so? Measured at full size.

    python -m benchmarks.limits --list
    python -m benchmarks.limits                 # all of them, an hour on two slow cores
    python -m benchmarks.limits read-points     # some; the records of the others are kept

Each measurement runs in a fresh process, on generated data. Its figures, in bytes:

- ``peak``: the most resident memory that the process ever had, ``VmHWM`` of ``/proc``. (It is
  what ``getrusage`` gives as ``ru_maxrss``, but for one thing: a process inherits that figure from
  the one that starts it, so that a large parent would hide a small child.)
- ``baseline``: resident once the libraries are imported and the network is built, before the first
  byte of data.
- ``input``: the pixels of the micrograph; 0 for a label file, which is read as a stream.
- ``used``: what the bound speaks of. Reading: the whole process, ``peak``. Predicting: what comes
  on top of the image and the libraries, ``peak - baseline - input``.

Written to ``results/limits.json`` and ``results/limits.md``, whole or not at all. The exit status
is 1 when a bound was broken. Needs Linux.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.records import RESULTS, stamp, write_json, write_lines

ROOT = Path(__file__).resolve().parents[1]
GB = 10**9
MEGABYTES = 200
SIDE = 16384
WIDTH, HEIGHT = 4096, 4096  # of the images that the generated labels speak of


@dataclass(frozen=True)
class Limit:
    """One promise.

    Attributes:
        about: what is done, in words.
        bound: bytes that ``used`` must not exceed.
        labels: the layout of the label file to read, a name of ``LAYOUTS``.
        model: a registered name, or "identity" (see ``identity``).
        config: the model's keywords.
        classes: of the identity model.
        noise: predict white noise, with as many instances as an image can have, not blobs.
        save: also write the maps and the overlay.
    """

    about: str
    bound: int
    labels: str = ""
    model: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 2
    noise: bool = False
    save: bool = False


LIMITS = {
    "read-points": Limit("polygons of 700 points", GB, "points"),
    "read-shapes": Limit("polygons of 5 points with 8 attributes each", GB, "shapes"),
    "read-boxes": Limit("boxes and nothing else", GB, "boxes"),
    "read-video": Limit("tracks of polygons of 70 points, a keyframe a frame", GB, "video"),
    "predict-identity": Limit("the identity model", 2 * GB, model="identity"),
    "predict-noise": Limit("the identity model on white noise", 2 * GB, "", "identity", noise=True),
    "predict-classes8": Limit("the identity model, 8 classes", 2 * GB, "", "identity", classes=8),
    "predict-save": Limit(
        "the identity model, maps and overlay written", 2 * GB, "", "identity", save=True
    ),
    "predict-unet8": Limit("`unet`, 8 filters", 2 * GB, "", "unet", {"filters": 8}),
    "predict-mobilenet": Limit(
        "`unet_mobilenet`, alpha 0.25",
        2 * GB,
        "",
        "unet_mobilenet",
        {"alpha": 0.25, "encoder_weights": None},
    ),
    "predict-unet": Limit("`unet`, its default of 32 filters", 2 * GB, "", "unet"),
}


def polygon(points: int, number: int, tags: str = "", inside: str = "") -> str:
    """A polygon as CVAT writes it, with coordinates that differ by number."""
    corners = ";".join(
        f"{(7 * k + number) % WIDTH + 0.25:.2f},{(3 * k + number) % HEIGHT + 0.75:.2f}"
        for k in range(points)
    )
    return f'    <polygon{tags} occluded="0" points="{corners}" z_order="0">\n{inside}</polygon>\n'


def _images(shapes: list[str]) -> Iterator[str]:
    """Image after image of 200 shapes each, without end."""
    body = itertools.cycle(shapes)
    for number in itertools.count():
        yield f'  <image id="{number}" name="{number}.tif" width="{WIDTH}" height="{HEIGHT}">\n'
        yield from itertools.islice(body, 200)
        yield "  </image>\n"


def many_points() -> Iterator[str]:
    return _images([polygon(700, number, ' label="particle"') for number in range(50)])


def many_shapes() -> Iterator[str]:
    attributes = "".join(
        f'      <attribute name="property {k}">judged by the second of two readers</attribute>\n'
        for k in range(8)
    )
    shapes = [polygon(5, number, ' label="particle"', attributes) for number in range(50)]
    return _images(shapes)


def many_boxes() -> Iterator[str]:
    return _images(
        [
            f'    <box label="particle" source="manual" occluded="0" xtl="{number}.25"'
            f' ytl="{number}.5" xbr="{number + 30}.75" ybr="{number + 20}.0" z_order="0">\n'
            "    </box>\n"
            for number in range(50)
        ]
    )


def video() -> Iterator[str]:
    """Tracks with a keyframe on each of 1,000 frames, without end."""
    yield f"  <meta><task><original_size><width>{WIDTH}</width><height>{HEIGHT}</height>"
    yield "</original_size></task></meta>\n"
    for number in itertools.count():
        yield f'  <track id="{number}" label="particle">\n'
        for frame in range(1000):
            yield polygon(70, number + frame, f' frame="{frame}" outside="0" keyframe="1"')
        yield "  </track>\n"


LAYOUTS: dict[str, Callable[[], Iterator[str]]] = {
    "points": many_points,
    "shapes": many_shapes,
    "boxes": many_boxes,
    "video": video,
}


def write_labels(path: Path, layout: str, size: int) -> None:
    """Writes a CVAT XML of at least ``size`` bytes, ending with a whole image or track."""
    with path.open("w", encoding="utf-8") as out:
        written = out.write("<annotations>\n  <version>1.1</version>\n")
        for part in LAYOUTS[layout]():
            written += out.write(part)
            if written >= size and part.startswith(("  </image", "  </track")):
                break
        out.write("</annotations>\n")


def memory(what: str) -> int:
    """Bytes of this process: "VmHWM", the most there ever was, or "VmRSS", now."""
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith(f"{what}:"))
    return int(line.split()[1]) * 1024


def child_reads(path: Path) -> dict[str, Any]:
    """In the child: reads the whole file at once, and holds all of it."""
    from temzoo.labels.formats import cvat

    baseline = memory("VmRSS")
    start = time.monotonic()
    images = cvat.read(path)
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


def child_predicts(limit: Limit, side: int) -> dict[str, Any]:
    """In the child: predicts a square uint8 micrograph of that side with the defaults."""
    import numpy as np

    from temzoo.core.types import Micrograph
    from temzoo.inference import predict
    from temzoo.store import pictures

    model = identity(limit.classes) if limit.model == "identity" else _network(limit)
    baseline = memory("VmRSS")
    pixels = micrograph(side, noise=limit.noise)
    start = time.monotonic()
    found = predict.predict(model, pixels)
    if limit.save:
        with tempfile.TemporaryDirectory() as folder:
            pictures.save_prediction(found, folder, micrograph=Micrograph(pixels))
    return {
        "baseline": baseline,
        "peak": memory("VmHWM"),
        "input": pixels.nbytes,
        "seconds": time.monotonic() - start,
        "side": side,
        "instances": int(found.instances.max()),
        "foreground": round(float(np.mean(found.classes[::16, ::16] > 0)), 4),
    }


def _network(limit: Limit):
    import temzoo

    return temzoo.get_model(limit.model, compile=False, **limit.config)


def identity(classes: int) -> Callable:
    """A model that gives grey back: 0 is class 0, 255 the last, and what is between is shared."""
    import numpy as np

    def network(batch):
        """(B, h, w, 1) uint8 → (B, h, w, classes) float32."""
        answer = np.arange(classes, dtype=np.float32) - batch * np.float32((classes - 1) / 255)
        np.abs(answer, out=answer)
        np.subtract(1, answer, out=answer)
        return np.maximum(answer, 0, out=answer)

    return network


def micrograph(side: int, *, noise: bool = False):
    """(side, side) uint8: blobs on a grid, each of its own brightness, or white noise."""
    import numpy as np

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
    with tempfile.TemporaryDirectory() as folder:
        if limit.labels:
            data = Path(folder) / "annotations.xml"
            write_labels(data, limit.labels, round(megabytes * 1e6))
            figures = _in_child(name, str(data))
            figures["file"] = data.stat().st_size
            used = figures["peak"]
        else:
            figures = _in_child(name, str(side))
            used = figures["peak"] - figures["baseline"] - figures["input"]
    return {"about": limit.about, **figures, "used": used, "bound": limit.bound}


def _in_child(name: str, data: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.limits", "--child", data, name]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if run.returncode:
        raise RuntimeError(f"{name} must run to its end. Received:\n{run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def recorded(name: str) -> dict[str, Any]:
    """A measurement at full size with what is needed to repeat it."""
    figures = measure(name)
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "all")
    return {**figures, "threads": threads, **stamp(f"python -m benchmarks.limits {name}")}


def write_results(records: Mapping[str, Mapping[str, Any]]) -> Path:
    """Adds records to ``results/limits.json`` and regenerates ``results/limits.md``."""
    path = RESULTS / "limits.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    merged = {**known, **records}
    merged = {name: merged[name] for name in LIMITS if name in merged}
    write_json(path, merged)
    return write_lines(path.with_suffix(".md"), page(merged).splitlines())


def page(records: Mapping[str, Mapping[str, Any]]) -> str:
    """``results/limits.md`` from the records."""
    lines = [
        "# Memory at full size",
        "",
        "Written by `python -m benchmarks.limits`; every row's command is beside it. One process a",
        "row. Peak: the most resident memory it had (`VmHWM`). Baseline: with the libraries",
        "imported and the network built. The bound of a reading is on the peak; that of a",
        "prediction on what comes on top of baseline and image, results included: 1 byte a pixel",
        "for the class map, 4 for the instance map. GB are 10⁹ bytes. The networks are untrained:",
        "weights cost no memory by their values.",
        "",
        "| command | what | data | peak, GB | baseline, GB | image, GB | bounded, GB | bound, GB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(record) for record in records.values()]
    machines = {
        f"{r['hardware']['processor']}, {r['hardware']['cores']} cores, {r['hardware']['system']},"
        f" TensorFlow {r['versions'].get('tensorflow')}, Python {r['versions']['python']},"
        f" commit {r['commit']}, {r['date']}"
        for r in records.values()
    }
    return "\n".join([*lines, "", f"Measured on: {'; '.join(sorted(machines))}."]) + "\n"


def _row(record: Mapping[str, Any]) -> str:
    if "file" in record:
        data = f"{record['file'] / 1e6:.0f} MB, {record['shapes']:,} shapes,"
        data += f" {record['points']:,} points"
    else:
        data = f"{record['side']:,} x {record['side']:,} uint8, {record['instances']:,} instances"
    figures = [f"{record[part] / GB:.2f}" for part in ("peak", "baseline", "input", "used")]
    over = "" if record["used"] <= record["bound"] else ", **broken**"
    cells = (f"`{record['command']}`", record["about"], data, *figures)
    return f"| {' | '.join(cells)} | {record['bound'] / GB:.0f}{over} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="measurements, see --list")
    parser.add_argument("--list", action="store_true", help="list the measurements")
    parser.add_argument("--child", metavar="DATA", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in LIMITS:
            parser.error(f"no measurement is called {name!r}; --list shows them")
    if arguments.list:
        print("\n".join(f"{name:18} {limit.about}" for name, limit in LIMITS.items()))
    elif arguments.child:
        limit, data = LIMITS[arguments.names[0]], arguments.child
        told = child_reads(Path(data)) if limit.labels else child_predicts(limit, int(data))
        print(json.dumps(told))
    else:
        sys.exit(_measure_all(arguments.names or list(LIMITS)))


def _measure_all(names: list[str]) -> int:
    """Exit status: 1 when a bound was broken."""
    status = 0
    for name in names:
        record = recorded(name)
        used, bound = record["used"] / GB, record["bound"] / GB
        print(f"{name}: {used:.3f} GB of {bound:.0f}, {record['seconds']:.0f} s", flush=True)
        print(write_results({name: record}), flush=True)
        status |= used > bound
    return status


if __name__ == "__main__":
    main()
