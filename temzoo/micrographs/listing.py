"""Which files a command or a job works on: those that are named, and those of named folders."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from temzoo.core.files import file_stem
from temzoo.micrographs.hdf5_file import SUFFIXES as HDF5_SUFFIXES
from temzoo.micrographs.hdf5_file import name_of, parted
from temzoo.micrographs.loading import count_frames
from temzoo.micrographs.mrc_file import SUFFIXES as MRC_SUFFIXES
from temzoo.micrographs.opening import MICROSCOPE_SUFFIXES, SUFFIXES, format_of
from temzoo.micrographs.plain_files import holds_objects
from temzoo.micrographs.rosetta import EMI, series_of
from temzoo.micrographs.source import MicrographError
from temzoo.micrographs.zarr_file import SUFFIXES as ZARR_SUFFIXES
from temzoo.micrographs.zarr_file import is_zarr

# Endings of other programs' files too: in folders they count where the file is an MRC.
SHARED_SUFFIXES = frozenset(MRC_SUFFIXES) - {".mrc"}
TIFF_SUFFIXES = (".tif", ".tiff")
MOST_LINES = 10  # of files that are passed over


def list_images(folder: str | Path, *, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """All images below a folder, sorted; hidden ones are skipped.

    A folder of OME-Zarr is one image. An emi file is none where the ser files with its pixels lie
    beside it. HDF5 files are left out: which dataset of one is meant must be said.

    Args:
        folder: looked through with its subfolders.
        suffixes: in lower case, with their points; by default what ``load_micrograph`` reads.

    Raises:
        NotADirectoryError: ``folder`` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(
            f"images must be a folder of images. Received: {str(folder)!r}, which is "
            f"{'a file' if folder.exists() else 'not there'}. Give the folder that holds them."
        )
    return sorted(_below(folder, suffixes))


def _below(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    try:
        paths = list(folder.iterdir())
    except PermissionError:
        return
    for path in paths:
        suffix = path.suffix.lower()
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if suffix not in ZARR_SUFFIXES or not is_zarr(path):
                # As rglob does, past links to folders, which may go round in circles.
                yield from () if path.is_symlink() else _below(path, suffixes)
            elif suffix in suffixes:
                yield path
        elif suffix in suffixes and path.is_file() and _is_listed(path, suffix):
            yield path


def _is_listed(path: Path, suffix: str) -> bool:
    """Whether a file of a suffix that other programs use too, or of two files, is an image.

    Cellpose writes a_seg.npy beside a.png: a dictionary, which is no image.
    """
    if suffix == EMI:
        return not series_of(path)
    try:
        if suffix == ".npy":
            return not holds_objects(path)
        return suffix not in SHARED_SUFFIXES or format_of(path) == "MRC"
    except (OSError, MicrographError):
        return False


def files_of(path: Path) -> list[Path]:
    """The files that hold a micrograph: one, those of an emi file, or all of an OME-Zarr."""
    file, _ = parted(path)
    if is_zarr(file):
        return sorted(each for each in file.rglob("*") if each.is_file())
    return [file, *series_of(file)] if file.suffix.lower() == EMI else [file]


def is_file_of_image(path: Path) -> bool:
    """Whether there is a file, or a folder of OME-Zarr, at a path."""
    file, _ = parted(path)
    return file.is_file() or is_zarr(file)


def is_folder_of_images(path: Path) -> bool:
    """Whether a path is a folder, and no image itself as those of OME-Zarr are."""
    return path.is_dir() and not is_zarr(path)


def image_paths(
    images: Sequence[Path], *, exports: bool = False, say: Callable[[str], None] = print
) -> list[Path]:
    """The image files that are named, and those of the folders that are.

    Args:
        images: files, and folders to look through.
        exports: of a microscope's file and its export beside it, take the export; else the file
            that is calibrated, where it can be read.
        say: is told which files are passed over.

    Raises:
        FileNotFoundError: there are none.
        ValueError: what is made of two of them would be written under one name.
    """
    paths = [
        path
        for image in images
        for path in (_one_of_each(image, exports, say) if is_folder_of_images(image) else [image])
    ]
    if not paths:
        below = (path for image in images for path in image.rglob("*"))
        hdf5 = [path for path in below if path.suffix.lower() in HDF5_SUFFIXES]
        hint = f" Of {hdf5[0]} name a dataset: `temzoo info` lists them." if hdf5 else ""
        raise FileNotFoundError(f"There are no images in {', '.join(map(str, images))}.{hint}")
    require_own_names((name, path) for path, name in own_names(paths).items())
    return paths


def own_names(paths: Sequence[Path]) -> dict[Path, str]:
    """The name of each file that its results are named after: its own, where that is the only one.

    Of files of one folder that differ in their ending alone, such as a TIFF and its export, the
    TIFF keeps its name, and the others have their ending in it: "a_png.png".
    """
    taken: set[tuple[Path, str]] = set()
    names = {}
    for path in sorted(paths, key=lambda path: path.suffix.lower() not in TIFF_SUFFIXES):
        name = Path(name_of(path))
        key = parted(path)[0].parent, name.stem.casefold()
        another = key in taken and path not in names
        names[path] = f"{name.stem}_{name.suffix[1:]}{name.suffix}" if another else name.name
        taken.add(key)
    return {path: names[path] for path in paths}


def require_own_names(named: Iterable[tuple[str, Path]]) -> None:
    """Raises ValueError where the results of two (name, file) would be written under one name."""
    first: dict[str, tuple[str, Path]] = {}
    for name, path in named:
        other = first.setdefault(file_stem(name).casefold(), (name, path))
        if other != (name, path):
            raise ValueError(
                "Results are named after the images, so their names must differ. Received:"
                f" {other[1]} and {path}. Take one folder at a time, each with an output folder of"
                " its own."
            )


def _one_of_each(folder: Path, exports: bool, say: Callable[[str], None]) -> list[Path]:
    """The images of a folder; of a microscope's file and its exports beside it one kind.

    What is passed over is said, for an export has often lost the calibration.
    """
    paths = list_images(folder)
    raw, exported = {}, {}
    for path in paths:
        kind = raw if path.suffix.lower() in MICROSCOPE_SUFFIXES else exported
        kind.setdefault(path.with_suffix(""), []).append(path)
    passed_over = {}
    for stem in raw.keys() & exported.keys():
        use_raw = not exports and all(map(_is_readable, raw[stem]))
        taken, left = (raw, exported) if use_raw else (exported, raw)
        passed_over |= dict.fromkeys(left[stem], taken[stem][0])
    for path in sorted(passed_over)[:MOST_LINES]:
        say(f"using {passed_over[path].name}, not {path.name} beside it")
    if len(passed_over) > MOST_LINES:
        say(f"and so on with {len(passed_over) - MOST_LINES} more files")
    return [path for path in paths if path not in passed_over]


def _is_readable(path: Path) -> bool:
    """Whether its reader is installed, and finds an image in it; by the header alone."""
    try:
        return count_frames(path) > 0
    except (OSError, ValueError):
        return False
