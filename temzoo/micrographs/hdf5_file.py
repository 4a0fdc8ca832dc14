"""One dataset of an HDF5 or NeXus file, which is named behind the file: ``a.h5::/entry/data/data``.

A file may hold many datasets and does not say which is the micrograph, so none is guessed. The size
of a pixel is taken from the axes of a NeXus group (attribute ``axes`` of NXdata,
https://manual.nexusformat.org/classes/base_classes/NXdata.html), evenly spaced numbers with an
attribute ``units``, from ``element_size_um``, as Fiji and ilastik write it, from the groups
``axis-0``, ``axis-1`` … beside a dataset, as HyperSpy does, or from ``dim0`` or ``dim1`` on in a
group of EMD, as py4DSTEM (emdfile) and ncempy write it, of which two numbers are the first ones.

HyperSpy's hspy needs no name of a dataset: it holds signals, each with an array "data", under
"Experiments" (https://hyperspy.org/rosettasciio, "HSpy"); the image's two axes do not navigate.

Links into other files are refused: a file that comes from elsewhere must not choose what is read.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from temzoo.core.hdf5_heaps import require_sound_heaps
from temzoo.micrographs.calibration import Scale, scale_of_axes
from temzoo.micrographs.source import Images, MicrographError, say
from temzoo.micrographs.whole_picture import require_inflates_to

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".h5", ".hdf5", ".nxs")
HSPY, SIGNALS = ".hspy", "Experiments"
EMD_GROUP = "emd_group_type"
MARK = "::"
MOST_LINKS, MOST_NAMED = 20, 8
UNEVEN = 0.01  # of a step, that steps of an axis may differ
NUMBERS = "buif"


def parted(path: str | Path) -> tuple[Path, str]:
    """The file, and the path of the dataset in it, "" where none is named.

    Example:
        >>> parted("a.h5::/entry/data")
        (PosixPath('a.h5'), '/entry/data')
    """
    file, mark, inside = str(path).partition(MARK)
    if not mark or Path(path).exists():
        return Path(path), ""
    return Path(file), "/" + inside.strip("/")


def name_of(path: str | Path) -> str:
    """The name of a micrograph: its file's; of a dataset with its path, "a_entry_data.h5"."""
    file, inside = parted(path)
    ending = re.sub(r"[^\w.+-]+", "_", inside.rstrip("/"))
    return f"{file.stem}{ending}{file.suffix}" if inside else file.name


@contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5Images]:
    """The images of a dataset, on disk until they are read."""
    import h5py

    file, inside = parted(path)
    require_sound_heaps(file)
    with h5py.File(file, "r") as opened:
        if not inside:
            raise MicrographError(
                f"{file}: of an HDF5 file the dataset must be named. Received: the file alone. It"
                f" holds {named_datasets(opened, file)}."
            )
        dataset = _found(opened, inside, path)
        if not isinstance(dataset, h5py.Dataset) or not _is_image(dataset):
            raise MicrographError(
                f"{path}: must be an image or a stack of images. Received: {_described(dataset)}."
                f" The file holds {named_datasets(opened, file)}."
            )
        _require_readable(dataset, path)
        yield Hdf5Images(path, dataset, _scale(dataset, opened, inside, path))


@contextmanager
def open_hspy(path: Path) -> Iterator[Hdf5Images]:
    """The images of the first signal of a hspy, on disk until they are read."""
    import h5py

    require_sound_heaps(path)
    with h5py.File(path, "r") as opened:
        signals = _found(opened, SIGNALS, path)
        names = sorted(signals) if isinstance(signals, h5py.Group) else []
        if not names:
            raise MicrographError(
                f"{path}: a hspy must hold signals in its group {SIGNALS}. Received: none. Save it"
                " in HyperSpy again."
            )
        if len(names) > 1:
            say(path, f"its first signal, {names[0]}, of {len(names)}")
        inside = f"{SIGNALS}/{names[0]}/data"
        dataset = _found(opened, inside, path)
        moves = [bool(axis.get("navigate")) for axis in _signal_axes(dataset, opened, inside, path)]
        if not _is_image(dataset) or moves != [True, False, False][-len(moves) :]:
            raise MicrographError(
                f"{path}: a signal must be of images, one or a stack. Received:"
                f" {_described(dataset)}, with {moves.count(False)} axes of the signal. Make it a"
                " Signal2D in HyperSpy."
            )
        _require_readable(dataset, path)
        yield Hdf5Images(path, dataset, _scale(dataset, opened, inside, path))


def _signal_axes(
    dataset: h5py.Dataset, opened: h5py.File, inside: str, path: Path
) -> list[dict[str, Any]]:
    """What HyperSpy says of each axis of a signal; empty where it says nothing."""
    group = _found(opened, inside.rpartition("/")[0], path)
    names = [f"axis-{axis}" for axis in range(dataset.ndim)]
    if any(group.get(name, getclass=True, getlink=True) is None for name in names):
        return []
    axes = [_found(opened, f"{group.name}/{name}", path) for name in names]
    return [dict(axis.attrs) for axis in axes]


def named_datasets(opened: h5py.File, file: Path) -> str:
    """The datasets that can be images, as they are to be named; in words."""
    import h5py

    found: list[str] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and _is_image(item):
            found.append(f"{file.name}{MARK}/{name} {item.shape} {item.dtype}")

    opened.visititems(note)
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ", ".join(found[:MOST_NAMED]) + more if found else "no dataset of 2 or 3 dimensions"


def _is_image(dataset: h5py.Dataset) -> bool:
    shape = dataset.shape or ()
    return len(shape) in (2, 3) and min(shape) > 0 and dataset.dtype.kind in NUMBERS


def _described(item: Any) -> str:
    return f"shape {item.shape}, {item.dtype}" if hasattr(item, "shape") else "a group"


def _found(opened: h5py.File, inside: str, path: Path) -> Any:
    """What is at a path, over links of this file alone."""
    import h5py

    parts, place, followed = inside.split("/")[::-1], opened, 0
    while parts:
        part = parts.pop()
        if part in ("", "."):
            continue
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            raise MicrographError(
                f"{path}: must lie in the file that is named. Received: a link to"
                f" {link.filename}. Name it in that file: {link.filename}{MARK}{link.path}."
            )
        if isinstance(link, h5py.SoftLink):
            followed += 1
            if followed > MOST_LINKS:
                raise ValueError("its links go round in circles")
            place = opened if link.path.startswith("/") else place
            parts += link.path.split("/")[::-1]
        elif link is None:
            raise MicrographError(
                f"{path}: there must be such a dataset. Received: {inside}. The file holds"
                f" {named_datasets(opened, parted(path)[0])}."
            )
        else:
            place = place[part]
    return place


def _require_readable(dataset: h5py.Dataset, path: Path) -> None:
    """Raises MicrographError for pixels in other files, and for filters that are not installed."""
    import h5py

    if dataset.is_virtual or dataset.external:
        raise MicrographError(
            f"{path}: its pixels must lie in the file that is named. Received: pixels of other"
            " files. Name the dataset in the file that holds them."
        )
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(k) for k in range(plan.get_nfilters())]
    for code, _, _, name in filters:
        if not h5py.h5z.filter_avail(code):
            raise MicrographError(
                f"{path}: must be compressed as HDF5 itself can. Received: filter {code}"
                f" ({name.decode('latin-1')[:40]}). Save it with gzip, or uncompressed."
            )


@dataclass(frozen=True)
class Hdf5Images(Images):
    """Frames come first; a last axis of 3 or 4 are colours, for no image is so narrow."""

    path: Path
    dataset: h5py.Dataset
    scale: Scale | None

    def count(self) -> int:
        shape = self.dataset.shape
        if len(shape) == 2:
            return 1
        how = "its last axis are colours" if self._coloured else "its first axis counts the frames"
        say(self.path, f"of shape {tuple(map(int, shape))}, {how}")
        return 1 if self._coloured else int(shape[0])

    def size(self, frame: int) -> tuple[int, ...]:
        first = 0 if self._coloured or self.dataset.ndim == 2 else 1
        return tuple(map(int, self.dataset.shape[first : first + 2]))

    def read(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        whole = self._coloured or self.dataset.ndim == 2
        self._require_whole(0 if whole else frame)
        return np.asarray(self.dataset[()] if whole else self.dataset[frame]), self.scale

    @property
    def _coloured(self) -> bool:
        return self.dataset.ndim == 3 and self.dataset.shape[2] in (3, 4)

    def _require_whole(self, frame: int) -> None:
        """Raises ValueError where pixels were never written: HDF5 fills them with one value."""
        dataset = self.dataset
        if dataset.chunks is None:
            if dataset.id.get_storage_size() < math.prod(dataset.shape) * dataset.dtype.itemsize:
                raise ValueError("its pixels were never written")
            return
        places = list(self._places(frame))
        missing = [place for place in places if place not in self._written]
        if missing:
            what = f"{len(missing)} of {len(places)} chunks of frame {frame}"
            raise ValueError(f"{what} were never written")
        if dataset.compression == "gzip":
            promised = math.prod(dataset.chunks) * dataset.dtype.itemsize
            for place in places:
                require_inflates_to(dataset.id.read_direct_chunk(place)[1], promised)

    @cached_property
    def _written(self) -> set[tuple[int, ...]]:
        """Where the chunks begin that are in the file."""
        found: set[tuple[int, ...]] = set()
        self.dataset.id.chunk_iter(lambda chunk: found.add(tuple(chunk.chunk_offset)))
        return found

    def _places(self, frame: int) -> Iterator[tuple[int, ...]]:
        """Where the chunks of a frame begin."""
        sizes = zip(self.dataset.shape, self.dataset.chunks, strict=True)
        ranges = [range(0, int(n), chunk) for n, chunk in sizes]
        if self.dataset.ndim == 3 and not self._coloured:
            deep = self.dataset.chunks[0]
            ranges[0] = range(frame // deep * deep, frame + 1, deep)
        return itertools.product(*ranges)


def _scale(dataset: h5py.Dataset, opened: h5py.File, inside: str, path: Path) -> Scale | None:
    """(row, col) in nm as the file states it, which is said; with colours, of the axes before."""
    sizes = dataset.attrs.get("element_size_um")
    if isinstance(sizes, np.ndarray) and sizes.dtype.kind in "fiu" and sizes.size >= 2:
        stated, words = [(size, "um") for size in sizes.ravel()[-2:]], "element_size_um"
    elif axes := _signal_axes(dataset, opened, inside, path):
        stated, words = [(axis.get("scale"), axis.get("units")) for axis in axes[-2:]], "its axes"
    else:
        names = _axis_names(dataset, opened, inside, path)
        if names is None:
            return None
        stated, words = [], f"the axes {names[0]} and {names[1]}"
        for name, length in zip(names, Hdf5Images(path, dataset, None).size(0), strict=True):
            axis, why = _axis(opened, f"{inside.rpartition('/')[0]}/{name}", length, path)
            if why:
                say(path, f"the axis {name} {why}, so it is no size of a pixel")
                return None
            stated.append(axis)
    scale, why = scale_of_axes(stated)
    if scale:
        say(path, f"pixel size from {words}")
    elif why:
        say(path, f"{words}: {why}, which is no size of a pixel")
    return scale


def _axis_names(
    dataset: h5py.Dataset, opened: h5py.File, inside: str, path: Path
) -> tuple[str, str] | None:
    """The names of the axes of rows and of columns; None where the file has none."""
    group = _found(opened, inside.rpartition("/")[0] or "/", path)
    axes = group.attrs.get("axes", dataset.attrs.get("axes"))
    if axes is None and EMD_GROUP in group.attrs:
        start = 0 if "dim0" in group else 1
        axes = [f"dim{start + axis}" for axis in range(dataset.ndim)]
    if isinstance(axes, str | bytes):
        text = axes if isinstance(axes, str) else axes.decode("utf-8", "replace")
        names = re.split(r"[:,]", text.strip("[]"))
    else:
        names = [
            name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
            for name in np.ravel(axes if axes is not None else [])
        ]
    first = 1 if len(names) == 3 and not Hdf5Images(path, dataset, None)._coloured else 0
    if len(names) not in (2, 3) or len(names) < first + 2 or "." in names[first : first + 2]:
        return None
    return names[first].strip(), names[first + 1].strip()


def _axis(
    opened: h5py.File, inside: str, length: int, path: Path
) -> tuple[tuple[object, object], str]:
    """The step of an axis and its unit, and why it is none."""
    import h5py

    try:
        axis = _found(opened, inside, path)
    except MicrographError:
        return (None, None), "is not in the file"
    if not isinstance(axis, h5py.Dataset) or axis.dtype.kind not in "uif" or axis.ndim != 1:
        return (None, None), "is no list of numbers"
    # As many as pixels, or as edges between them.
    known = (length, length + 1, 2) if EMD_GROUP in axis.parent.attrs else (length, length + 1)
    if axis.shape[0] not in known or length < 2 or axis.is_virtual or axis.external:
        return (None, None), f"has {axis.shape[0]} numbers for {length} pixels"
    steps = np.diff(axis[()].astype(np.float64))
    step = float(np.mean(steps))
    if not np.isfinite(steps).all() or np.abs(steps - step).max() > UNEVEN * abs(step):
        return (None, None), "is not evenly spaced"
    unit = axis.attrs.get("units", "")
    return (abs(step), unit.decode("utf-8", "replace") if isinstance(unit, bytes) else unit), ""
