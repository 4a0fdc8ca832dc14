"""Tables that the template asks for by the names of figures.

``<!-- KIND PATH: COLUMN COLUMN … -->`` gives a row for each item at a path of the figures of the
records of a kind. The path is dotted; ``*`` in it stands for every key, ``.`` for the figures
themselves; what it leads to is a list, or a dict whose items are named by their keys. The path
``-`` gives one row a record, of all its figures. A column is a dotted path of the item, with ``_``
for a blank; ``key`` is its name, ``value`` all of it, ``@field`` a field of the record, and
``NAME=VALUE`` leaves out the items that are otherwise. ``/GB``, ``/MB``, ``/ms`` and ``/%`` after a
column scale it, ``:Title`` heads it. How a cell looks follows from what it holds: a spread, a
score, a difference, a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.page.cells import Record, change, command, number, score, table, timed

UNITS = {"GB": 1e-9, "MB": 1e-6, "ms": 1e3}


def lines(found: Sequence[Record], path: str, columns: Sequence[str]) -> list[str]:
    """The table of some records of a kind; nothing where no item is there."""
    wanted = dict(column.split("=") for column in columns if "=" in column)
    shown = [column.partition(":") for column in columns if "=" not in column]
    rows = [
        [_cell(_at(item, column, key, record), column) for column, *_ in shown]
        for record in found
        for key, item in _items(record["figures"], path)
        if all(str(_at(item, name, key, record)) == value for name, value in wanted.items())
    ]
    heads = [
        title or column.partition("/")[0].split(".")[-1].lstrip("@") for column, _, title in shown
    ]
    rows = [row for row in rows if {*row[1:]} != {"–"}]
    kept = [n for n in range(len(shown)) if any(row[n] != "–" for row in rows)]
    head = " | ".join(heads[n].replace("_", " ") for n in kept)
    return table(head, [[row[n] for n in kept] for row in rows]) if rows else []


def _items(value: Any, path: str, key: str = "") -> Iterator[tuple[str, Any]]:
    """(name, item) of everything that a path leads to."""
    first, _, rest = path.strip(".").partition(".")
    if first == "-":
        yield key, value
    elif first == "*" and isinstance(value, Mapping):
        for name, each in value.items():
            yield from _items(each, rest, f"{key}, {name}".strip(", "))
    elif first and isinstance(value, Mapping):
        if first in value:
            yield from _items(value[first], rest, key)
    elif isinstance(value, Mapping) and not _is_figure(value):
        for name, each in value.items():
            yield f"{key}, {name}".strip(", "), each
    elif isinstance(value, list):
        yield from ((key, each) for each in value)
    else:
        yield key, value


def _is_figure(value: Any) -> bool:
    return isinstance(value, Mapping) and bool({"median", "value"} & value.keys())


def _at(item: Any, column: str, key: str, record: Record) -> Any:
    path = column.partition("/")[0]
    if path in ("key", "value"):
        return key if path == "key" else item
    if path == "@command":
        return command(record)
    if path.startswith("@"):
        item, path = record, path[1:]
    while path and isinstance(item, Mapping):
        first, _, path = path.partition(".")
        item = next((each for name, each in item.items() if _word(name) == first), None)
    return None if path else item


def _word(name: str) -> str:
    """A key as a column writes it."""
    return name.replace(",", "").replace(" ", "_")


def _cell(value: Any, column: str) -> str:
    unit = column.partition("/")[2]
    factor = UNITS.get(unit, 1.0)
    if isinstance(value, Mapping):
        if unit == "%":
            return "{median:+.0%} [{least:+.0%}, {most:+.0%}]".format_map(value)
        if "verdict" in value:
            return change(value)
        return timed(value, factor) if "median" in value else score(value, number)
    if value is None or isinstance(value, str):
        return "–" if value is None else value
    if unit == "%":
        return f"{value:+.2%}"
    return f"{value:,}" if isinstance(value, int) and not unit else number(factor * value)
