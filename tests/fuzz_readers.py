"""Damaged files for every reader: each is read, or refused in one line that names it.

    make fuzz MINUTES=20

A valid file of each kind is made, then changed at random: bytes, numbers, cuts, repeated parts. An
input is a problem when it raises anything but ValueError or OSError, when the message does not name
the file, when it takes more than 10 s or 2 GB, or when the process ends. Problems are kept in a
folder, with what happened. Input ``k`` of a reader is the same in every run, so that `make fuzz`
finds it again; those of a mended problem become tests of their own.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import importlib.util
import io
import json
import logging
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

import temzoo
from temzoo import labels
from temzoo.core.types import LabelledImage, Prediction, Shape
from temzoo.data.splits import read_groups, read_names
from temzoo.labels.check import check
from temzoo.labels.formats.geometry import compressed
from temzoo.labels.shapes.raster import instance_map
from temzoo.micrographs import iter_frames, load_numbers
from temzoo.store import predictions
from temzoo.store.corrections import read_corrections
from temzoo.zoo import pretrained

SECONDS, GIGABYTES = 10, 2.0
LARGEST_DRAWN = 4_000_000  # px of a labelled image that is drawn too
Files = dict[str, bytes]  # of one input, by name; the first is the one that is read


@dataclasses.dataclass(frozen=True)
class Reader:
    """What is fuzzed.

    Attributes:
        read: takes the path of the first file of an input, or their folder.
        seeds: make valid inputs in an empty folder.
        folder: ``read`` takes the folder.
    """

    read: Callable[[Path], object]
    seeds: tuple[Callable[[Path], None], ...]
    folder: bool = False


# Valid inputs.


def labelled() -> list[LabelledImage]:
    triangle = Shape("polygon", "particle", np.array([[2.0, 3.0], [20.0, 5.0], [9.5, 30.25]]))
    disc = Shape("ellipse", "particle", np.array([[30.0, 20.0], [6.0, 8.0]]), group_id=1)
    box = Shape("box", "other", np.array([[1.0, 1.0], [9.0, 12.0]]), rotation=20.0, z_order=2)
    mask = Shape("mask", "other", np.array([[40.0, 40.0], [42.0, 44.0]]), runs=np.array([1, 3, 4]))
    line = Shape("polyline", "line", np.array([[0.0, 0.0], [5.0, 60.0]]))
    classes = ("particle", "other", "line")
    shapes = (triangle, disc, box, mask, line)
    return [LabelledImage(f"{name}.png", 64, 48, shapes, classes) for name in "ab"]


def written(to: str, name: str, kind: str | None = None) -> Callable[[Path], None]:
    """Labels in a format."""

    def make(folder: Path) -> None:
        labels.write(folder / name, labelled(), to=to, kind=kind)
        if to.startswith("yolo"):
            for image in labelled():
                Image.fromarray(grey()).save(folder / image.name)

    return make


def via(folder: Path) -> None:
    region = {"shape_attributes": {"name": "polygon", "all_points_x": [1, 9, 5]}}
    region["shape_attributes"]["all_points_y"] = [2, 3, 30]
    region["region_attributes"] = {"class": "particle"}
    circle: dict = {"shape_attributes": {"name": "circle", "cx": 20, "cy": 9, "r": 5.5}}
    entry = {
        "filename": "a.png",
        "size": 9,
        "regions": [region, circle | {"region_attributes": {}}],
    }
    (folder / "via.json").write_text(json.dumps({"a.png9": entry}))
    Image.fromarray(grey()).save(folder / "a.png")


def with_images(to: str, name: str) -> Callable[[Path], None]:
    """Labels in a format that states no sizes, and their images."""

    def make(folder: Path) -> None:
        written(to, name)(folder)
        for image in labelled():
            Image.fromarray(grey()).save(folder / image.name)

    return make


def parts(to: str, name: str) -> Callable[[Path], None]:
    """Labels of two parts of a data set."""

    def make(folder: Path) -> None:
        written(to, name.format("train"))(folder)
        written(to, name.format("val"))(folder)

    return make


def grey(dtype=np.uint8) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 250, (48, 64))
    return values.astype(dtype)


def picture(name: str, dtype=np.uint8, **how: object) -> Callable[[Path], None]:
    return lambda folder: Image.fromarray(grey(dtype)).save(folder / name, **how)


def tiff(dtype=np.uint8, *, colour: bool = False, frames: int = 1, **how: object):
    def make(folder: Path) -> None:
        pixels = np.stack([grey(dtype)] * 3, -1) if colour else grey(dtype)
        pixels = np.stack([pixels] * frames) if frames > 1 else pixels
        tifffile.imwrite(folder / "a.tif", pixels, **how)

    return make


def microscope(name: str) -> Callable[[Path], None]:
    from test_microscope_files import WRITERS

    stack = np.random.default_rng(0).integers(0, 30_000, (2, 12, 16), dtype=np.int16)
    return lambda folder: WRITERS[name](folder / name, stack)


def nion(**told: object) -> Callable[[Path], None]:
    from test_nion_and_tia import NM, SEQUENCE, STACK, write_ndata

    def make(folder: Path) -> None:
        write_ndata(folder / "a.ndata1", STACK, [{}, *NM], **SEQUENCE, **told)

    return make


def tia_pair(folder: Path) -> None:
    from test_nion_and_tia import pair

    pair(folder, series=2)


def nexus(**how: object) -> Callable[[Path], None]:
    from test_hdf5_files import write_nexus

    return lambda folder: write_nexus(folder / "a.h5", **how)


def napari_shapes(folder: Path) -> None:
    numbers("a.png")(folder)
    head = "index,shape-type,vertex-index,axis-0,axis-1"
    kinds = ("polygon", "rectangle", "ellipse", "path", "line")
    lines = [f"{k},{kind},{v},{v % 3}.5,{v}.0" for k, kind in enumerate(kinds) for v in range(4)]
    (folder / "a.csv").write_text("\n".join([head, *lines]))


def masks_of_sam(folder: Path) -> None:
    masks = [{"segmentation": compressed(grey() > k), "predicted_iou": 0.9} for k in (99, 240)]
    image = {"width": 64, "height": 48, "file_name": "a.png"}
    (folder / "a.json").write_text(json.dumps({"image": image, "annotations": masks}))


def hspy(folder: Path) -> None:
    from test_hdf5_files import write_hspy

    write_hspy(folder / "a.hspy")


def zspy(folder: Path) -> None:
    from test_ome_zarr import STACK, write_zspy

    write_zspy(folder, STACK[:1])


def ome_zarr(version: str) -> Callable[[Path], None]:
    from test_ome_zarr import STACK, write_ome_zarr

    return lambda folder: write_ome_zarr(folder, STACK[:1], version)


def array(folder: Path) -> None:
    np.save(folder / "a.npy", grey(np.float32))


def numbers(name: str) -> Callable[[Path], None]:
    values = (grey() // 100).astype(np.uint8)
    return lambda folder: Image.fromarray(values).save(folder / name)


def prediction(folder: Path) -> None:
    instances = np.zeros((48, 64), np.int32)
    instances[4:20, 4:20], instances[30:40, 30:60] = 1, 2
    scores = np.array([0.5, 0.75], np.float32)
    found = Prediction((instances > 0).astype(np.uint8), instances, scores=scores, name="a.png")
    predictions.save(found, folder)


def corrections(folder: Path) -> None:
    one = {"image": "a.png", "instances_sha256": "0" * 64, "exclude": [3], "merge": [[1, 2]]}
    document = {"temzoo_corrections": 1, "images": [{**one, "relabel": {"4": "rod"}}]}
    (folder / "corrections.json").write_text(json.dumps(document))


def card(folder: Path) -> None:
    weights = folder / f"a{pretrained.SUFFIX}"
    weights.write_bytes(b"weights")
    pretrained.write_card(weights, pretrained.WeightsCard("unet", {"filters": 4}, ("particle",)))


def table(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text)


# Readers.


def _read_labels(path: Path) -> None:
    found = labels.read(path, images=path.parent if path.is_file() else None)
    for image in found:
        if 0 < image.height * image.width <= LARGEST_DRAWN:
            instance_map(image)
    check(found)


def _read_micrograph(path: Path) -> None:
    for micrograph in iter_frames(path):
        np.asarray(micrograph.pixels).sum()


def _read_dataset(path: Path) -> None:
    with contextlib.suppress(ValueError):
        iter_frames(path).__next__()  # lists the datasets
    _read_micrograph(Path(f"{path}::/entry/data/data"))


def _read_card(path: Path) -> None:
    weights = pretrained.find_trained(path.with_name(f"a{pretrained.SUFFIX}"))
    weights.check()


PICTURES = (
    picture("a.png"),
    picture("a.png", np.uint16),
    picture("a.jpg"),
    picture("a.bmp"),
    array,
)
TIFFS = (
    tiff(),
    tiff(np.uint16, compression="zlib", predictor=True),
    tiff(np.float32, tile=(16, 16)),
    picture("a.tif", compression="tiff_lzw"),
    tiff(colour=True, compression="zlib"),
    tiff(np.int16, frames=3, imagej=True, resolution=(2, 2), metadata={"unit": "nm"}),
    tiff(np.uint16, frames=2, ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 2.0}),
)
READERS: dict[str, Reader] = {
    "CVAT": Reader(_read_labels, (written("cvat", "a.xml"),)),
    "COCO": Reader(_read_labels, (written("coco", "a.json"),)),
    "VIA": Reader(_read_labels, (via,)),
    "VIA 3": Reader(_read_labels, (with_images("via3", "a.json"),)),
    "napari": Reader(_read_labels, (napari_shapes,)),
    "VIA CSV": Reader(_read_labels, (with_images("via-csv", "a.csv"),)),
    "Datumaro": Reader(_read_labels, (written("datumaro", "a.json"),)),
    "Label Studio": Reader(_read_labels, (written("labelstudio", "a.json"),)),
    "Labelbox": Reader(_read_labels, (written("labelbox", "a.ndjson"),)),
    "parts": Reader(
        _read_labels,
        (
            parts("coco", "{}/_annotations.coco.json"),  # as Roboflow has them
            parts("datumaro", "annotations/{}.json"),
        ),
        folder=True,
    ),
    "LabelMe": Reader(_read_labels, (written("labelme", "."),), folder=True),
    "Cellpose": Reader(_read_labels, (written("cellpose", "."),), folder=True),
    "Segment Anything": Reader(_read_labels, (masks_of_sam,)),
    "segmentation mask": Reader(_read_labels, (written("segmask", "."),), folder=True),
    "YOLO": Reader(_read_labels, (written("yolo", "."), written("yolo-seg", ".")), folder=True),
    "masks": Reader(
        _read_labels,
        (written("masks", "."), written("masks", ".", "instances"), numbers("a.tif")),
        folder=True,
    ),
    "label image": Reader(load_numbers, (numbers("a.png"), numbers("a.tif"), tiff(np.uint16))),
    "pictures": Reader(_read_micrograph, PICTURES),
    "TIFF": Reader(_read_micrograph, TIFFS),
    "MRC": Reader(_read_micrograph, (microscope("a.mrc"),)),
    "Digital Micrograph": Reader(_read_micrograph, (microscope("a.dm3"), microscope("a.dm4"))),
    "TIA": Reader(_read_micrograph, (microscope("a.ser"), tia_pair)),
    "Nion Swift": Reader(_read_micrograph, (nion(), nion(compression=zipfile.ZIP_DEFLATED))),
    "HDF5": Reader(_read_dataset, (nexus(), nexus(chunks=(1, 8, 8), compression="gzip"))),
    "hspy": Reader(_read_micrograph, (hspy,)),
    "EMD": Reader(_read_micrograph, (microscope("berkeley.emd"), microscope("velox.emd"))),
    "prediction": Reader(temzoo.load_prediction, (prediction,)),
    "corrections": Reader(read_corrections, (corrections,)),
    "card": Reader(_read_card, (card,)),
    "names": Reader(read_names, (table("a.csv", "name\na.png\nb.png\n"),)),
    "groups": Reader(read_groups, (table("a.csv", "name,group\na.png,1\nb.png,2\n"),)),
}
if importlib.util.find_spec("zarr"):
    READERS["OME-Zarr"] = Reader(_read_micrograph, (ome_zarr("0.4"), ome_zarr("0.5")), folder=True)
    READERS["zspy"] = Reader(_read_micrograph, (zspy,), folder=True)

# Changes.

WORDS = (b"-1", b"0", b"1e308", b"99999999999999999999", b"NaN", b"null", b'"x"', b"[]", b"{}")
NUMBERS_32 = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00FFFFFF, 65_536)
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes of a file with one to four changes."""
    is_text = b"\0" not in data[:2000]
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        kind = rng.integers(0, 5 if is_text else 4)
        at, length = int(rng.integers(0, len(data))), int(rng.integers(1, 40))
        if kind == 0:
            data = data[:at] + bytes(rng.integers(0, 256, 1, np.uint8)) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[at + length :]
        elif kind == 2:
            data = (
                data[:at] if rng.random() < 0.3 else data[:at] + data[at : at + length] + data[at:]
            )
        elif kind == 3 and not is_text:
            order = "<" if rng.random() < 0.5 else ">"
            number = np.array(rng.choice(NUMBERS_32), np.dtype(np.uint32).newbyteorder(order))
            # Headers stand at the start and the end of files.
            near = min(int(rng.exponential(200)), len(data) - 1)
            at = near if rng.random() < 0.8 else len(data) - 1 - near
            data = data[:at] + number.tobytes() + data[at + 4 :]
        else:
            places = [match.span() for match in NUMBER.finditer(data)]
            if places:
                start, end = places[rng.integers(0, len(places))]
                data = data[:start] + WORDS[rng.integers(0, len(WORDS))] + data[end:]
    return data


def seeds_of(name: str) -> list[Files]:
    """Valid inputs of a reader; the file that is read comes first."""
    found = []
    for make in READERS[name].seeds:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            paths = sorted(p for p in Path(folder).rglob("*") if p.is_file())
            # Labels, sidecars and cards before the images beside them.
            paths.sort(key=lambda path: path.suffix in (".png", ".tif", ".h5"))
            found.append({str(p.relative_to(folder)): p.read_bytes() for p in paths})
    return found


def changed_input(name: str, index: int, seeds: list[Files]) -> Files:
    rng = np.random.default_rng([index, *name.encode()])
    files = dict(seeds[rng.integers(0, len(seeds))])
    names = list(files)
    victim = names[rng.integers(0, len(names))] if rng.random() < 0.4 else names[0]
    files[victim] = changed(files[victim], rng)
    return files


# Trying.


class _TooSlow(BaseException):
    pass


def _alarm(*_: object) -> None:
    raise _TooSlow


def attempt(name: str, files: Files, folder: Path) -> str:
    """What became of an input: "read", "refused", or a problem in words."""
    for each, data in files.items():
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_bytes(data)
    reader = READERS[name]
    path = folder if reader.folder else folder / next(iter(files))
    signal.signal(signal.SIGALRM, _alarm)
    try:
        signal.alarm(SECONDS)
        reader.read(path)
        told = "read"
    except (ValueError, OSError) as error:
        named = any(Path(each).name in str(error) for each in files) or str(folder) in str(error)
        told = "refused" if named else f"unnamed: {type(error).__name__}: {str(error)[:200]}"
    except _TooSlow:
        told = f"slow: more than {SECONDS} s"
    except BaseException as error:
        told = f"uncaught: {type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
    return told


def _work(name: str, start: int, until: float, most: int, pipe) -> None:
    """Tries inputs from ``start`` on; sends the index before each, and what became of it."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    null = os.open(os.devnull, os.O_WRONLY)  # libraries write to the descriptor itself
    os.dup2(null, 2)
    sys.stderr = io.StringIO()
    seeds = seeds_of(name)
    for index in range(start, most):
        if time.monotonic() > until:
            break
        pipe.send((index, None, 0.0, 0.0))
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            told = attempt(name, changed_input(name, index, seeds), Path(folder))
        seconds = time.monotonic() - begun
        gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        told = told if gigabytes < GIGABYTES else f"memory: {gigabytes:.1f} GB"
        pipe.send((index, told, seconds, gigabytes))
        if told.startswith("memory"):
            break
    pipe.send(None)


def tried(name: str, seconds: float, most: int) -> Iterator[tuple[int, str, float, float]]:
    """Index, outcome, seconds and GB so far of each input; a process that ends is begun anew."""
    context = multiprocessing.get_context("fork")
    until, start = time.monotonic() + seconds, 0
    while start < most and time.monotonic() < until:
        here, there = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(name, start, until, most, there))
        worker.start()
        there.close()
        begun = None
        try:
            while (begun is None or here.poll(3 * SECONDS)) and (message := here.recv()):
                index, told, *_ = message
                begun, start = (index if told is None else None), index + 1
                if told is not None:
                    yield message
            if begun is not None:  # in C, where no signal reaches it
                worker.kill()
                yield begun, f"hung: more than {3 * SECONDS} s", 3.0 * SECONDS, 0.0
        except EOFError:
            worker.join()
            if begun is not None:
                yield begun, f"ended: the process ended with {worker.exitcode}", 0.0, 0.0
        worker.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="in all, shared by the readers")
    parser.add_argument("--most", type=int, default=10**9, help="inputs of each reader")
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="problems are kept here")
    parser.add_argument("readers", nargs="*", help=", ".join(READERS))
    arguments = parser.parse_args()
    names = arguments.readers or list(READERS)
    problems = total = 0
    begun = time.monotonic()
    for place, name in enumerate(names):
        # What a quick reader leaves goes to those that follow.
        left = 60 * arguments.minutes - (time.monotonic() - begun)
        counts: collections.Counter[str] = collections.Counter()
        seeds, slowest, most = seeds_of(name), 0.0, 0.0
        share = left / (len(names) - place)
        for index, told, took, gigabytes in tried(name, share, arguments.most):
            slowest, most = max(slowest, took), max(most, gigabytes)
            counts[told if told in ("read", "refused") else re.split(r"[\d']", told)[0]] += 1
            if told not in ("read", "refused"):
                folder = arguments.out / f"{name}-{index}".replace(" ", "_")
                shutil.rmtree(folder, ignore_errors=True)
                for each, data in changed_input(name, index, seeds).items():
                    (folder / each).parent.mkdir(parents=True, exist_ok=True)
                    (folder / each).write_bytes(data)
                (folder / "what_happened.txt").write_text(told)
        found = sum(n for told, n in counts.items() if told not in ("read", "refused"))
        problems, total = problems + found, total + counts.total()
        print(
            f"{name}: {counts.total():,} inputs, {counts['read']:,} read, {counts['refused']:,}"
            f" refused, {found:,} problems; slowest {slowest:.2f} s, at most {most:.2f} GB",
            flush=True,
        )
        for told, number in counts.most_common():
            if told not in ("read", "refused"):
                print(f"    {number:,} x {told}", flush=True)
    print(f"{total:,} inputs, {problems:,} problems" + (f": {arguments.out}" if problems else ""))
    return min(problems, 1)


if __name__ == "__main__":
    sys.exit(main())
