"""What Cellpose's window saves beside an image: ``NAME_seg.npy``, a dictionary with numbered masks.

Such files are pickles, which name functions to be called. Here none is: what a pickle names is put
together from ``Piece``, which only notes what it is given, and the masks are made of the bytes.

Source: https://cellpose.readthedocs.io/en/latest/outputs.html and numpy.lib.format
"""

from __future__ import annotations

import math
import pickle
import re
import struct
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from scipy import ndimage
from skimage import measure

from temzoo.core.files import atomic_path
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels import not_areas
from temzoo.labels.check_report import Finding
from temzoo.labels.formats.entries import OBJECT, left_out
from temzoo.labels.formats.limits import require_size, short
from temzoo.labels.names import label_paths, with_area
from temzoo.labels.shapes.raster import instance_map
from temzoo.labels.shapes.run_lengths import mask_geometry

SUFFIX, MASKS = "_seg.npy", "*_cp_masks.*"
WHOLE_NUMBERS = re.compile("[biu][1248]")
# What reading a damaged pickle may raise.
DAMAGES = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, MemoryError, RecursionError, struct.error),
)


class Piece:
    """Whatever a pickle has made: what of, and the state that it is given."""

    made_of: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *made_of: Any):
        self.made_of = made_of

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Pieces(pickle._Unpickler):  # in Python: the one in C spends memory that a file claims
    def find_class(self, module: str, name: str) -> Any:
        return Piece


def recognises(path: Path) -> bool:
    """Whether it is such a file, or a folder of some and without masks that Cellpose exported."""
    if path.is_file():
        return path.name.endswith(SUFFIX)
    return any(path.rglob(f"*{SUFFIX}")) and not any(path.rglob(MASKS))


def read(
    path: str | Path, *, images: str | Path | None = None, said: list[Finding] | None = None
) -> list[LabelledImage]:
    """The masks of a file, or of those in a folder and its subfolders, each named as its image.

    Args:
        images: not looked at; masks are as large as their image.
        said: takes files that cannot be read, which are left out; None: the first is raised.

    Raises:
        ValueError: when a file is damaged, or its masks are not those of one image.
    """
    path, labelled = Path(path), []
    home = path.parent if path.is_file() else path
    for file in [path] if path.is_file() else sorted(path.rglob(f"*{SUFFIX}")):
        with left_out(said, str(file)):
            content = _content(file)
            masks = _array(content.get("masks"))
            height, width = masks.shape
            require_size(width, height)
            numbers = np.unique(masks, return_inverse=True)[1].reshape(masks.shape)
            shapes = []
            for region in measure.regionprops(numbers + int(masks.min() != 0)):
                points, runs = mask_geometry(region.image, *region.bbox[:2])
                shapes.append(Shape("mask", OBJECT, points, runs=runs))
            suffix = PurePosixPath(str(content.get("filename", ""))).suffix
            name = file.with_name(file.name.removesuffix(SUFFIX) + suffix)
            name = name.relative_to(home).as_posix()
            labelled.append(LabelledImage(name, width, height, tuple(shapes), (OBJECT,)))
    return labelled


def _content(path: Path) -> dict[str, Any]:
    """The dictionary in a file; what is no text, number or list in it is a ``Piece``."""
    try:
        with path.open("rb") as file:
            start = file.read(12)  # the array's header says nothing that is needed
            digits = 2 if start[6] == 1 else 4
            file.seek(8 + digits + int.from_bytes(start[8 : 8 + digits], "little"))
            content = _Pieces(file).load().state[-1][0]
    except DAMAGES as error:
        raise ValueError(
            f"a {SUFFIX} must be a dictionary as Cellpose saves it. Received: a damaged file "
            f"({type(error).__name__}). Save it again in Cellpose."
        ) from error
    return content if isinstance(content, dict) else {}


def _array(piece: Any) -> np.ndarray:
    """(H, W) whole numbers of an array in a pickle: version, shape, type, order and bytes."""
    state = piece.state if isinstance(piece, Piece) and isinstance(piece.state, tuple) else ()
    _, shape, kind, by_columns, data = state if len(state) == 5 else (0, (), None, False, b"")
    stated = str(kind.made_of[0]) if isinstance(kind, Piece) and kind.made_of else ""
    order = str(kind.state[1]) if stated and isinstance(kind.state, tuple) else "|"
    sizes = isinstance(shape, tuple) and len(shape) == 2 and all(type(n) is int for n in shape)
    if not (sizes and WHOLE_NUMBERS.fullmatch(stated) and order in ("<", ">", "|")):
        raise ValueError(
            "masks must be whole numbers of one image. Received: "
            f"masks={short(shape)} of {stated or type(piece).__name__}. Save those of one image as "
            "TIFF in Cellpose."
        )
    if not isinstance(data, bytes) or math.prod(shape) * int(stated[1]) != len(data):
        raise ValueError(
            f"masks must be whole. Received: {shape} of {stated} in {len(data)} bytes. Save it "
            "again in Cellpose."
        )
    numbers = np.frombuffer(data, np.dtype(stated).newbyteorder(order))
    return numbers.reshape(shape, order="F" if by_columns else "C")


def write(folder: str | Path, images: Iterable[LabelledImage]) -> dict[str, int]:
    """Writes ``NAME_seg.npy`` for each image, to be put beside it. Classes are lost.

    Returns:
        how many shapes of each kind were left out, since they have no area.

    Raises:
        ValueError: when an image's name leads out of the folder, or two images get one file.
    """
    images = list(images)
    paths = label_paths(folder, (image.name for image in images), SUFFIX)
    for path, image in zip(paths, images, strict=True):
        masks = _renumbered(instance_map(with_area(image)))
        count = int(masks.max(initial=0))
        content = {
            "filename": image.name,
            "masks": masks,
            "outlines": _rims(masks),
            "ismanual": np.zeros(count, bool),
            "colors": np.random.default_rng(0).integers(64, 256, (count, 3)).astype(np.uint8),
            "chan_choose": [0, 0],
            "flows": [],
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, np.array(content, object), allow_pickle=True)
    return not_areas(images)


def _renumbered(numbers: np.ndarray) -> np.ndarray:
    """The same objects from 1 on without gaps, uint16 where they fit, as Cellpose has them."""
    found, masks = np.unique(numbers, return_inverse=True)
    masks = masks.reshape(numbers.shape) + (found[0] != 0)
    return masks.astype(np.uint16 if masks.max(initial=0) < 2**16 else np.uint32)


def _rims(masks: np.ndarray) -> np.ndarray:
    """The pixels of each object that touch another or the ground along a row or column."""
    cross = ndimage.generate_binary_structure(2, 1)
    lowest = ndimage.minimum_filter(masks, footprint=cross, mode="constant")
    highest = ndimage.maximum_filter(masks, footprint=cross, mode="constant")
    return np.where((lowest != masks) | (highest != masks), masks, 0).astype(masks.dtype)
