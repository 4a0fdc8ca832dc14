"""MRC: one image, or a stack of sections, with the pixel size in ångström.

The format: Cheng et al. 2015, J. Struct. Biol. 192, 146 (MRC2014). Sections are given as they are
stored, the first row on top, as RosettaSciIO and ImageJ show them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from temzoo.micrographs.calibration import Scale, nm_of, real_scale
from temzoo.micrographs.source import MicrographError, Stack, Stacks, quietly

if TYPE_CHECKING:
    from mrcfile.mrcfile import MrcFile

EXTENDED_BY_FEI = (b"FEI1", b"FEI2")


@contextmanager
def open_mrc(path: Path) -> Iterator[Stacks]:
    """The sections of an MRC file, mapped: one that nobody asks for stays on disk."""
    import mrcfile

    with quietly("mrcfile"):
        file = mrcfile.mmap(path, mode="r", permissive=False)
    with file:
        if file.data.ndim > 3:
            raise MicrographError(
                f"{path}: an MRC file must hold one image or one stack. Received: "
                f"shape={file.data.shape}, a stack of volumes. Save one volume of it."
            )
        yield Stacks([Stack(file.data, _scale_of_header(file) or _scale_of_fei(file))])


def _scale_of_header(file: MrcFile) -> Scale | None:
    """From the size of the cell, ångström, and the intervals along it (words 8 to 13)."""
    header = file.header
    cell = [float(header.cella[axis]) for axis in "xyz"]
    intervals = [int(header[f"m{axis}"]) for axis in "xyz"]
    # Which of x, y, z runs along rows and along columns: 2 and 1, unless the file was turned.
    along = int(header.mapr) - 1, int(header.mapc) - 1
    if not all(k in range(3) and intervals[k] > 0 for k in along):
        return None
    row, col = (nm_of("angstrom") * cell[k] / intervals[k] for k in along)
    return real_scale((row, col))


def _scale_of_fei(file: MrcFile) -> Scale | None:
    """From the first section's extended header, metres."""
    if bytes(file.header.exttyp) not in EXTENDED_BY_FEI or not file.header.nsymbt:
        return None
    first = file.indexed_extended_header[0]
    return real_scale(tuple(nm_of("m") * float(first[f"Pixel size {axis}"]) for axis in "YX"))
