"""Tables of particles as Parquet: those of single images beside their predictions, and of many.

A table of an image says by its schema which sidecar it was measured of, by the hash of that, so a
table of an earlier prediction is never taken for one of this.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temzoo.core.files import atomic_path, written_whole
from temzoo.store.sidecar import SUFFIX
from temzoo.zoo.pretrained import sha256

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PARTS = "particles"  # folder of the tables of single images
UNITS = ("nm", "px")
GROUP = 2**17  # rows at least in a row group: a file's foot lists them all
KEY = b"temzoo"  # in the schema


@dataclass(frozen=True, eq=False)
class ImageTable:
    """The particles of an image.

    Attributes:
        table: as ``temzoo.measure`` gives it.
        unit: "nm" or "px".
        frame: (height, width) in that unit, without what was left out.
    """

    table: pd.DataFrame
    unit: str
    frame: tuple[float, float]


def path_of(sidecar: Path, unit: str) -> Path:
    """Where the table of a prediction's particles lies, or would lie."""
    return sidecar.parent / PARTS / f"{sidecar.name.removesuffix(SUFFIX)}_{unit}.parquet"


def write(sidecar: Path, measured: ImageTable) -> Path:
    """Writes the table of the particles of a prediction; gone is one in the other unit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    told = {"sidecar_sha256": sha256(sidecar), "unit": measured.unit, "frame": measured.frame}
    table = pa.Table.from_pandas(measured.table, preserve_index=False)
    schema = {**(table.schema.metadata or {}), KEY: json.dumps(told).encode()}
    path = path_of(sidecar, measured.unit)
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(schema), temporary)
    for other in UNITS:  # of before it was calibrated
        if other != measured.unit:
            path_of(sidecar, other).unlink(missing_ok=True)
    return path


def is_there(sidecar: Path) -> bool:
    """Whether this very prediction was measured; an empty file is a name of one elsewhere."""
    paths = [path for path in (path_of(sidecar, unit) for unit in UNITS) if path.is_file()]
    return any(not path.stat().st_size for path in paths) or read(sidecar, []) is not None


def read(sidecar: Path, columns: Sequence[str] | None = None) -> ImageTable | None:
    """What was measured of this very prediction; None where that is not there, or damaged.

    Args:
        columns: these alone; None: all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for unit in UNITS:
        try:
            table = pq.read_table(path_of(sidecar, unit), partitioning=None, columns=columns)
            told = _told(table.schema)
            if told.get("sidecar_sha256") == sha256(sidecar) and told.get("unit") == unit:
                height, width = told["frame"]
                return ImageTable(table.to_pandas(), unit, (float(height), float(width)))
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            continue
    return None


def _told(schema: pa.Schema) -> Mapping[str, Any]:
    told = json.loads((schema.metadata or {}).get(KEY, b"{}"))
    return told if isinstance(told, dict) else {}


class Writer:
    """Writes tables of one unit into a file, of which memory holds few."""

    def __init__(self, path: Path):
        self.path, self.rows = path, 0
        self._file: Any = None
        self._waiting: list[pa.Table] = []

    def add(self, table: pd.DataFrame | pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not isinstance(table, pa.Table):
            table = pa.Table.from_pandas(table, preserve_index=False)
        if self._file is None:
            self._schema = _schema_of_many(table.schema)
            with written_whole(self.path):
                self._file = pq.ParquetWriter(self.path, self._schema)
        self._waiting.append(table.cast(self._schema))
        self.rows += len(table)
        if sum(map(len, self._waiting)) >= GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        with written_whole(self.path):
            self._file.write_table(pa.concat_tables(self._waiting))
        self._waiting.clear()

    def close(self) -> None:
        if self._file is None:
            return
        with written_whole(self.path):
            try:
                if self._waiting:
                    self._write()
            finally:
                self._file.close()
                self._file = None


def _schema_of_many(schema: pa.Schema) -> pa.Schema:
    """Of a first table, which may be empty: then pandas 2 does not know that names are texts."""
    import pyarrow as pa

    told = {name: said for name, said in (schema.metadata or {}).items() if name != KEY}
    typed = (f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in schema)
    return pa.schema(typed, told)


@contextmanager
def writer(path: Path) -> Iterator[Writer]:
    """A writer of a file, which is whole when the block ends well."""
    found = Writer(path)
    try:
        yield found
    finally:
        found.close()


def join(paths: Iterable[Path], path: Path) -> None:
    """Writes one table of several, in their order, of which memory holds few."""
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary, writer(temporary) as joined:
        for each in paths:
            joined.add(pq.read_table(each, partitioning=None))
