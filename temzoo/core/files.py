"""Files written whole or not at all, JSON among them; names of result files."""

from __future__ import annotations

import errno
import glob
import json
import math
import os
import platform
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import NoneType
from typing import Any

try:
    import fcntl
except ImportError:  # as on Windows
    fcntl = None  # type: ignore[assignment]

TYPE_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    NoneType: "null",
}
PARTIAL = ".partial-"
NO_SPACE = os.strerror(errno.ENOSPC)
IDLE_S = 60  # a file that is written still is younger, if by a process that is not seen here
_SWEPT: set[Path] = set()  # folders, by this process
_OWN: dict[Path, int | None] = {}  # of jobs of this process, with their handles
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # how they begin, in a spreadsheet


def lock(path: str | Path, *, shared: bool = False) -> int | None:
    """Locks a file or folder as long as this process holds the handle; None: another has it.

    A shared lock goes along with other shared ones. Windows has no such locks: nobody else has it
    there, whoever does.
    """
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    held = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(held, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


@contextmanager
def own_folder(folder: str | Path) -> Iterator[None]:
    """A folder that one job alone writes into; made when absent, and gone again if left empty.

    Raises:
        RuntimeError: another job is at work in it.
        FileNotFoundError: on writing a file inside, where it was moved or removed meanwhile.
    """
    with in_place(folder):
        held = lock(folder)
        if held is None:
            raise _busy(Path(folder))
        try:
            yield
        finally:
            os.close(held)


@contextmanager
def in_place(folder: str | Path) -> Iterator[None]:
    """A folder that a job writes into; made when absent, and gone again if left empty.

    Raises:
        FileNotFoundError: on writing a file inside, where it was moved or removed meanwhile.
    """
    folder = Path(folder).absolute()
    require_in_place(folder)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    held, before = None if fcntl is None else os.open(folder, os.O_RDONLY), _OWN.get(folder)
    _OWN[folder] = held
    try:
        yield
    finally:
        _OWN[folder] = before  # of another job of this process
        for each in made:
            with suppress(OSError):  # it is not empty
                each.rmdir()
        if held is not None:
            os.close(held)


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """Gives a hidden folder beside ``folder``, which takes its name when the block ends well.

    What killed processes left of such folders is removed.

    Raises:
        FileExistsError: there is one already, which is not empty.
        FileNotFoundError: on writing a file inside, where it was moved or removed meanwhile.
    """
    folder = Path(folder).absolute()
    _require_new(folder)
    prefix = f".{folder.name}{PARTIAL}"
    with in_place(folder.parent):
        for left in folder.parent.glob(f"{glob.escape(prefix)}*"):
            held = None if fcntl is None else lock(left)  # else it may be of a job at work
            if held is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(held)
        temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
        held = lock(temporary)
        try:
            with in_place(temporary):
                yield temporary
            temporary.chmod(0o777 & ~_umask())
            _require_new(folder)
            if folder.is_dir():
                folder.rmdir()
            os.rename(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if held is not None:
                os.close(held)


def _require_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"The folder must be a new one, or empty, for it is written whole. Received: {folder},"
            " which is there. Choose another --out, or move it away."
        )


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@contextmanager
def shared_folder(folder: str | Path, part: str) -> Iterator[None]:
    """A folder that jobs on several parts write into at once, on each part one job alone.

    Raises:
        RuntimeError: a job on this part, or one on all of it, is at work in it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    held = lock(folder, shared=True)
    if held is None:
        raise _busy(folder)
    mine = folder / f".{part}"
    try:
        with own_folder(mine):
            try:
                yield
            finally:
                with suppress(OSError):  # a killed job's, which own_folder leaves
                    mine.rmdir()
    finally:
        os.close(held)


def _busy(folder: Path) -> RuntimeError:
    return RuntimeError(
        f"One job at a time writes into a folder. Received: {folder}, in which another temzoo"
        " job is at work. Wait for it, or choose another --out."
    )


def require_in_place(path: Path) -> None:
    """Refuses to make the folder of a job anew, in which nothing of what it wrote would lie."""
    for folder, held in _OWN.items():
        if held is None or folder not in path.absolute().parents:
            continue
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(folder), os.fstat(held)):
                continue
        raise FileNotFoundError(
            f"The folder of a job must stay where it is. Received: {folder}, which was moved or"
            " removed while temzoo wrote into it. Put it back, and run the same again."
        )


def _sweep(folder: Path) -> None:
    """Removes what killed processes of this machine have left of files that they were writing."""
    if folder in _SWEPT:
        return
    _SWEPT.add(folder)
    node, here = platform.node(), _processes_seen()
    for left in folder.glob(f"{PARTIAL}*"):
        pid, _, rest = left.name.removeprefix(PARTIAL).partition("@")
        with suppress(OSError):
            seen = here and rest.startswith(f"{node}@{here}@")
            idle = rest.startswith(f"{node}@") and time.time() - left.stat().st_mtime > IDLE_S
            if (seen or idle) and pid.isdecimal() and not _runs(int(pid)):
                left.unlink()


def _processes_seen() -> str:
    """What those processes share whose ids mean the same: boot and namespace; "": not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
        return f"{zlib.crc32((boot + os.readlink('/proc/self/ns/pid')).encode()):08x}"
    except OSError:  # not on Linux
        return ""


def _runs(pid: int) -> bool:
    if os.name == "nt":  # signal 0 is Ctrl-C there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``, which takes its place when the block ends well.

    When the block raises, or is interrupted, the old file stays as it was.

    Raises:
        FileNotFoundError: it lies in a job's own folder, which was moved or removed.
        OSError: the block could not write, as on a full disk; the message names the file.
    """
    path = Path(path)
    with partial_path(path) as temporary, written_whole(path):
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)


@contextmanager
def partial_path(path: Path) -> Iterator[Path]:
    """Gives the temporary path of ``atomic_path`` alone, which is gone when the block ends.

    The temporary name keeps the suffixes, because writers choose a format by them. What a killed
    process left in the folder is removed by the next one.
    """
    require_in_place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    prefix = f"{PARTIAL}{os.getpid()}@{platform.node()}@{_processes_seen()}@"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=f"-{path.name}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def written_whole(path: Path) -> Iterator[None]:
    """Inside, a file is written; an error of the disk is one line that names it."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and NO_SPACE not in str(error):
            raise
        if getattr(error, "errno", None) is None or "\n" in str(error):  # NumPy's, HDF5's
            raise OSError(
                f"{path} must be written whole. Received: {' '.join(str(error).split())}. Check"
                " the free space of its disk."
            ) from error
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)  # Python does not say it of a full disk
        raise


def spreadsheet_text(value: str) -> str:
    """A text for a cell of a CSV, which spreadsheets would take for a formula otherwise."""
    return f"'{value}" if value.startswith(FORMULAS) else value


def text_of_spreadsheet(cell: str) -> str:
    """The text that ``spreadsheet_text`` made this cell of."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULAS) else cell


def read_json(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: when it is no complete JSON, or nested beyond any label format.
    """
    path = Path(path)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: the file must be complete JSON. Received: {error}. Export it again."
        ) from error


def text_lines(path: str | Path) -> list[str]:
    """The lines of a text file, without their ends and a byte-order mark.

    Raises:
        ValueError: when a line is not in UTF-8.
    """
    lines = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}, line {number}: the file must be in UTF-8. Received: "
                f"{line[:60].decode('latin-1')!r}, as Latin-1 has it. Save it again as UTF-8."
            ) from error
    return [line.decode("utf-8") for line in lines]


def read_fields(
    path: str | Path, fields: Mapping[str, type | tuple], *, optional: Mapping[str, type] = {}
) -> dict[str, Any]:
    """The JSON object of a file that may have come from anywhere.

    Args:
        fields: name -> type of what must be there; "data.train" is the field train of data.
        optional: of what need not.

    Raises:
        ValueError: it is no object, or a field is missing or of another type, which is named.
    """
    told = read_json(path)
    missing = object()
    for name, kinds in {"": dict, **fields, **optional}.items():
        value = told
        for part in name.split(".") if name else ():
            value = value.get(part, missing) if isinstance(value, dict) else missing
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        if not fits and not (value is missing and name in optional):
            words = " or ".join(TYPE_NAMES[kind] for kind in kinds)
            received = "nothing" if value is missing else json.dumps(value)[:60]
            raise ValueError(
                f"{path}: {name or 'the file'} must be {words}. Received: {received}. It is"
                " damaged, or not as temzoo writes it: copy it again."
            )
    return told


def write_json(path: str | Path, document: Any, *, indent: int | None = None) -> None:
    """Writes a JSON file in UTF-8, whole or not at all; with an indent for people to read."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    write_text(path, text + "\n" if indent else text)


def without_nan(content: Any) -> Any:
    """A document with null in place of numbers that are not finite, which JSON does not have."""
    if isinstance(content, Mapping):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_stem(name: str) -> str:
    """A micrograph's name as the start of a file name: no folders, suffix or odd characters.

    Example:
        >>> file_stem("../day 1/grid:3.tif")
        'grid_3'
    """
    last = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    stem = re.sub(r"[^\w.+-]+", "_", Path(last).stem).strip(".")
    return stem or "micrograph"
