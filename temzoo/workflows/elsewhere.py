"""Results in a folder elsewhere, which fsspec writes to: s3://…, gs://…, memory://… .

What a job makes of an image is whole in a folder of this machine before it is put there, the
sidecar last. What is there is known from the sidecars, and by files of its names without content.

Source: https://filesystem-spec.readthedocs.io.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temzoo.store.sidecar import SUFFIX, about, sidecar_path

URL = re.compile(r"[a-z][a-z0-9+.]+://", re.IGNORECASE)


def is_elsewhere(folder: str | Path) -> bool:
    """Whether it names a folder by an address."""
    return bool(URL.match(str(folder)))


@contextmanager
def at_hand(out: str | Path, formats: Sequence[str]) -> Iterator[tuple[Path, Elsewhere | None]]:
    """The folder of this machine that a job works in; and, if that is another, where results go.

    Raises:
        ModuleNotFoundError: fsspec, or what it needs for this kind of address, is not installed.
        ValueError: label files were asked for, or there is no such kind of address.
    """
    if not is_elsewhere(out):
        yield Path(out), None
        return
    if formats:
        raise ValueError(
            "Label files are made of maps in a folder of this machine. Received:"
            f" {formats[0]!r} with --out {out}. Copy the results, and predict into the copy."
        )
    place = Elsewhere.of(str(out))
    with tempfile.TemporaryDirectory(prefix="temzoo-") as folder:
        place.mirror(Path(folder))
        yield Path(folder), place


@dataclass(frozen=True)
class Elsewhere:
    """A folder of a file system of fsspec.

    Attributes:
        address: as it was given.
        files, root: the file system, and the folder in it.
    """

    address: str
    files: Any
    root: str

    @classmethod
    def of(cls, address: str) -> Elsewhere:
        try:
            import fsspec

            files, root = fsspec.core.url_to_fs(address)
        except ImportError as error:
            raise ModuleNotFoundError(
                "A folder elsewhere needs fsspec, with s3fs for s3://, gcsfs for gs://. Received:"
                f' {address} ({error}). Type: pip install "temzoo[remote]" s3fs'
            ) from error
        except ValueError as error:
            raise ValueError(
                f"--out must be a folder, or an address that fsspec knows. Received: {address}"
                f" ({error}). Use one such as s3://BUCKET/FOLDER."
            ) from error
        return cls(address, files, root.rstrip("/"))

    def mirror(self, folder: Path) -> None:
        """Makes files of the names that are there in a folder, of which sidecars have content."""
        for path in self.files.find(self.root):
            name = path.removeprefix(f"{self.root}/")
            if name == Path(name).name:
                self._name(name, folder)

    def mirror_parts(self, folder: Path, parts: str, *, read: bool) -> None:
        """The same of the folder ``parts`` in it, whose files have content where ``read``."""
        for path in self.files.find(f"{self.root}/{parts}"):
            name = f"{parts}/{Path(path).name}"
            self._name(name, folder, read=read)

    def _name(self, name: str, folder: Path, *, read: bool = False) -> None:
        local = folder / name
        local.parent.mkdir(exist_ok=True)
        if read or name.endswith(SUFFIX):
            self.files.get_file(f"{self.root}/{name}", str(local))
        else:
            local.touch()

    def put(self, path: Path, folder: Path) -> None:
        """Puts a file of the folder of this machine there, under the same name."""
        there = f"{self.root}/{path.relative_to(folder).as_posix()}"
        self.files.makedirs(there.rpartition("/")[0], exist_ok=True)
        self.files.put_file(str(path), there)

    def put_image(self, own_name: str, folder: Path, parts: Sequence[Path] = ()) -> None:
        """Puts what was made of an image there, its sidecar last; the names alone stay here."""
        sidecar = sidecar_path(folder, own_name)
        self.remove(sidecar.name)
        maps = [folder / name for name in about(sidecar)["files"].values()]
        for path in (*maps, *parts, sidecar):
            self.put(path, folder)
        for path in (*maps, *parts):
            path.write_bytes(b"")

    def remove(self, name: str) -> None:
        if self.files.exists(f"{self.root}/{name}"):
            self.files.rm_file(f"{self.root}/{name}")
