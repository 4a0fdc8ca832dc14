"""Many micrographs, restored and written one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from temzoo.core.files import own_folder
from temzoo.data.pair_files import frames_in
from temzoo.evaluation.unlike_images import Likeness
from temzoo.inference.restore import restore
from temzoo.micrographs import count_frames, load_micrograph
from temzoo.micrographs.hdf5_file import name_of
from temzoo.micrographs.listing import image_paths, own_names
from temzoo.store.restored import save_restored


@dataclass(frozen=True)
class Restored:
    """What became of one micrograph.

    Attributes:
        files: that were written, by what they hold: "restored" and "comparison".
        frames: that its file has; the first alone was restored.
        warning: that it looks unlike what the model was trained on; "" where it does not.
    """

    name: str
    files: dict[str, Path]
    frames: int
    warning: str


def restore_folder(
    model: Any,
    images: Sequence[Path],
    out: Path,
    *,
    likeness: Likeness | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    flips: bool = False,
    keep_float: bool = False,
) -> Iterator[Restored]:
    """Restores micrographs; each is written before the next is read.

    Args:
        model, tile, overlap, flips: as for ``temzoo.restore``.
        images: files, and folders to look through.
        likeness: of the images that the model was trained on; None: not known.
        keep_float: write 32-bit TIFF, with nothing rounded or clipped.

    Raises:
        FileNotFoundError: there are no images.
        ValueError: two would be written under one name, or one cannot be read.
        RuntimeError: another job is at work in ``out``.
    """
    paths = image_paths(images)
    how = {"tile": tile, "overlap": overlap, "flips": flips}
    with own_folder(out):
        for path, own_name in own_names(paths).items():
            micrograph = replace(load_micrograph(path), name=own_name)
            restored = restore(model, micrograph, **how, progress=True)
            files = save_restored(restored, out, before=micrograph, keep_float=keep_float)
            what = "colours" if restored.channels == 3 else "details"
            warning = likeness.warning(model, micrograph, what=what) if likeness else None
            frames = max(frames_in(path), count_frames(path))
            yield Restored(name_of(path), files, frames, warning or "")
